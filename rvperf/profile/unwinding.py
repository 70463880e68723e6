"""The callers of samples that were recorded with `--call-graph dwarf`.

Such a sample has the user registers and a piece of the stack; its callers follow from the call
frame information of the files that were mapped. perf 6.1 can do this on riscv64 only where it was
built there with a library for it, and elsewhere shows no callers at all.
"""

from rvperf.perfdata import records
from rvperf.perfdata.records import RecordError
from rvperf.symbols import unwind

ALL_REGISTERS = (1 << unwind.REGISTERS) - 1


class Unwinder:
    """Gives `Profile` the user frames of a sample: Profile(reader, symbols, unwinder=Unwinder()).

    `depth` is how many frames at most.
    """

    def __init__(self, depth: int = unwind.DEEPEST):
        self.depth = depth
        self._mapped: dict[tuple, tuple | None] = {}

    def __call__(self, profile, index: int) -> tuple[int, ...]:
        """The instruction pointers of sample `index`, innermost first; none without registers,
        or with another machine's.

        Those of callers are of the byte before the return address, as perf has them.
        """
        if profile.reader.features.get("ARCH", "riscv64") != "riscv64":
            return ()
        try:
            sample = profile.reader.record(int(profile.record[index]))
        except RecordError:
            return ()
        saved = sample.regs_user
        if not saved or not saved.abi or not sample.stack_size:
            return ()
        numbered = saved.by_number(sample.event.attr.sample_regs_user & ALL_REGISTERS)
        if 0 not in numbered or unwind.SP not in numbered:
            return ()
        registers = [numbered.get(number, 0) for number in range(unwind.REGISTERS)]
        bottom, stack = registers[unwind.SP], sample.stack[: sample.stack_size]

        def read_memory(address: int, size: int) -> bytes | None:
            at = address - bottom
            if 0 <= at and at + size <= len(stack):
                return stack[at : at + size]
            return self._code(profile, index, address, size)

        def find_dso(ip: int):
            return self._dso_at(profile, index, ip)

        return tuple(unwind.unwind(registers, read_memory, find_dso, self.depth))

    def _dso_at(self, profile, index: int, ip: int):
        """(symbols, start, pgoff) of what is mapped at an address; None if nothing is."""
        key = profile.space(index), ip
        if key not in self._mapped:
            there = profile.locate(index, ip, records.USER).map
            symbols = there.dso.symbols if there else None
            self._mapped[key] = (symbols, there.start, there.pgoff) if symbols else None
        return self._mapped[key]

    def _code(self, profile, index: int, address: int, size: int) -> bytes | None:
        mapped = self._dso_at(profile, index, address)
        if mapped is None:
            return None
        symbols, start, pgoff = mapped
        found = symbols.code(address - start + pgoff, size)
        return found if len(found) == size else None
