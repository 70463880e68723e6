"""A program that runs one instruction at a time, and a list of who called whom kept beside it."""

import os

from rvperf.machine.hart import S, U
from rvperf.machine.traps import Trap
from rvperf.session import Machine, Workload
from rvperf.stack.firmware import Firmware
from rvperf.symbols import Symbols

SP, RA = 2, 1


class Stepper:
    """Runs a program by the reference engine; `calls` has (return address, sp at the call)."""

    def __init__(self, argv, sysroot=None):
        nowhere = os.open(os.devnull, os.O_RDWR)
        self.machine = Machine(
            Workload(
                argv=tuple(argv),
                sysroot=sysroot,
                allow_write=(),
                env={},
                engine="reference",
                descriptors=(nowhere, nowhere, nowhere),
            ),
            frozenset(),
        )
        self.hart, self.kernel = self.machine.hart, self.machine.kernel
        self.symbols = [Symbols(symfs=root, buildid_dir="/nonexistent") for root in (sysroot, None)]
        self.calls: list[tuple[int, int]] = []
        self._places: dict[int, tuple | None] = {}

    def steps(self):
        """Yield before each instruction of the program."""
        hart, kernel, engine = self.hart, self.kernel, self.machine.engine
        Firmware(hart).boot(0)
        kernel.boot()
        while not kernel.finished:
            if hart.mode == U:
                yield
            pc, sp, user = hart.pc, hart.x[SP], hart.mode == U
            word = self.read(pc, 4) if user else b""
            try:
                if not hart.interrupt():
                    engine.run(1)
            except Trap as trap:
                hart.trap(trap.cause, trap.tval)
            if user and hart.mode == U:
                self._followed(pc, sp, int.from_bytes(word, "little"))
            if hart.mode == S:
                before = hart.x[SP]
                kernel.trap()
                self._trapped(pc, before)

    def _followed(self, pc, sp, word) -> None:
        hart, link = self.hart, None
        if word & 3 == 3:
            if word & 0x7F in (0x67, 0x6F) and word >> 7 & 31 == RA:
                link = pc + 4
        elif word & 0xF07F == 0x9002 and word & 0xF80:
            link = pc + 2  # c.jalr
        # Whose sp is above what it was when it called has been left, by a jump or an exception.
        while self.calls and hart.x[SP] > self.calls[-1][1]:
            self.calls.pop()
        if word & 0xFFFF == 0x8082 or word == 0x00008067:
            if self.calls and hart.pc == self.calls[-1][0]:
                self.calls.pop()
        if link is not None and hart.pc != link:
            self.calls.append((link, sp))

    def _trapped(self, pc, sp) -> None:
        hart, space = self.hart, self.kernel.current.memory
        if space is None:
            return
        if pc == space.sigreturn_address + 4 and hart.pc == self.calls[-1][0]:
            self.calls.pop()
        if hart.mode == U and hart.x[RA] == space.sigreturn_address and hart.x[SP] < sp - 900:
            registers = hart.x[SP] + 128 + 176
            interrupted = int.from_bytes(self.read(registers, 8), "little")
            self.calls.append((interrupted, sp))
            self.calls.append((space.sigreturn_address, hart.x[SP]))

    def expected(self) -> list[int]:
        """What unwinding should find now."""
        sigreturn = self.kernel.current.memory.sigreturn_address
        pc = self.hart.pc
        found, exact = [pc], pc in (sigreturn, sigreturn + 4)
        for address, _ in reversed(self.calls):
            handler_ends = address == sigreturn
            found.append(address if exact or handler_ends else address - 1)
            exact = handler_ends
        return found

    # What unwinding needs.

    @property
    def registers(self) -> list[int]:
        return [self.hart.pc, *self.hart.x[1:32]]

    def read(self, address, size):
        """Bytes of the program's memory, None where there are none."""
        space = self.kernel.current.memory
        if space.find(address) is None or space.find(address + size - 1) is None:
            return None
        try:
            return bytes(self.hart.load(address + n, 1) for n in range(size))
        except Trap:
            return None

    def find_dso(self, ip):
        page = ip >> 12
        if page not in self._places:
            self._places[page] = self._find(ip)
        return self._places[page]

    def _find(self, ip):
        area = self.kernel.current.memory.find(ip)
        named = area and (area.name or getattr(area.file, "name", None))
        if not named:
            return None
        name = os.fsdecode(named)
        dsos = [symbols.dso(name) for symbols in self.symbols]
        dso = next((dso for dso in dsos if dso.elf), dsos[0])
        return dso, area.start, area.offset
