"""Where the kernel's functions lie: what /proc/kallsyms would say.

The kernel is a model, so its functions have names and places but no code. Each function that work
is charged to (costs.py), and each that leads to one, is given `SIZE` bytes, in the order of the
names, so that samples of the kernel fall on a symbol and stay the same from version to version of
the cost table's figures. Where a PMU is driven there are the functions that do it as well, behind
all others.
"""

from functools import cache

from isa.record import Record
from rvperf.stack.costs import Cost
from rvperf.stack.pmu_drivers import costs as drivers

from . import costs
from .syscalls import TABLE

TEXT = 0xFFFFFFFF80000000  # where Linux has its own code
FIRST = TEXT + 0x2000
SIZE = 0x400
STEP = 4  # bytes of one instruction of the model
BOUNDARIES = ("_text", "_stext", "_start")


class KernelSymbols(Record):
    """Names by address, and the end of the kernel's text."""

    addresses: dict[str, int]
    end: int

    def place(self, name: str, instruction: int) -> int:
        """The address of the n-th instruction (from 0) of work charged to a function."""
        return self.addresses[name] + instruction * STEP % SIZE

    def call(self, name: str) -> int:
        """The return address in a function that has called another one."""
        return self.addresses[name] + SIZE // 2

    def text(self) -> str:
        """The lines of /proc/kallsyms."""
        lines = [f"{TEXT:016x} T {name}" for name in BOUNDARIES]
        lines += [f"{address:016x} T {name}" for name, address in self.addresses.items()]
        lines += [f"{self.end:016x} T _etext"]
        return "\n".join(lines) + "\n"


@cache
def symbols(driven: bool = False, further: tuple[Cost, ...] = ()) -> KernelSymbols:
    """The kernel's symbols; with those of its PMU drivers if it is `driven`, and behind those the
    ones that `further` work is charged to."""
    names = set(costs.ENTRIES)
    for cost in costs.fixed():
        names |= {cost.symbol, *cost.callers}
    for call in TABLE.values():
        names |= {call.cost.symbol, *call.cost.callers}
    ordered = sorted(names)
    work = [value for value in vars(drivers).values() if isinstance(value, Cost)]
    for more in ((*work, *costs.driven()) if driven else (), further):
        found = {name for cost in more for name in (cost.symbol, *cost.callers)}
        ordered += sorted(found.difference(ordered))
    addresses = {name: FIRST + SIZE * n for n, name in enumerate(ordered)}
    return KernelSymbols(addresses, FIRST + SIZE * len(addresses))
