"""When things happen between guests and host: overflow interrupts, and running totals."""

from __future__ import annotations

from collections.abc import Callable

from isa.modes import VS, M, S
from isa.routing import INTERRUPT
from rvperf.results import OverflowInterrupt, Totals

OVERFLOW = INTERRUPT | 13
MODES = {VS: "VS", S: "HS", M: "M"}
MOST_BINS = 1024
MOST_OVERFLOWS = 100_000
"""Later ones aren't kept, they are counted all the same."""


class Moments:
    """Listens to the levels of `board` and to the kernels of `machines`, which is what VMs have.

    `name_of(vcpu)` is what a guest is called.
    """

    def __init__(self, board, machines, name_of: Callable):
        self.board, self.machines, self.name_of = board, machines, name_of
        self.overflows: list[OverflowInterrupt] = []
        self.also: Callable | None = None
        """Told each operation too, if set: also(level, owner, operation)."""
        self._began = 0
        self._width = 1000  # ns
        self._bins: dict[int, list[int]] = {}
        self._saved = (0, 0)

    def begin(self, now: int) -> None:
        """From now on."""
        self._began = now
        for number, one in enumerate(self.board.harts):
            for level, owner in ((one.host, "host"), (one.firmware, "firmware")):
                level.on_operation = self._listener(level, owner, number)
        for machine in self.machines:
            self.follow(machine)

    def follow(self, machine) -> None:
        """Listen to a guest's kernel."""
        name = self.name_of(machine.vcpu)
        machine.kernel.on_operation = self._listener(machine.kernel, name, None)

    def totals(self) -> tuple[Totals, ...]:
        """What there was from the beginning to some moments, the last of which is the end."""
        self._look(max(one.hart.cycles for one in self.board.harts))
        sums, found = [0] * 5, []
        for number, counts in sorted(self._bins.items()):
            sums = [a + b for a, b in zip(sums, counts, strict=True)]
            found.append(Totals(self._began + (number + 1) * self._width, *sums))
        return tuple(found)

    def _listener(self, level, owner: str, number: int | None) -> Callable:
        def hear(operation: tuple) -> None:
            what = operation[0]
            if what == "interrupt":
                if operation[2] == OVERFLOW and len(self.overflows) < MOST_OVERFLOWS:
                    hart = self._number(level.hart) if number is None else number
                    mode = MODES[operation[1]]
                    self.overflows.append(OverflowInterrupt(level.hart.cycles, hart, mode, owner))
            elif what == "exit":
                self._bin(level.hart.cycles)[0] += 1
            elif what == "enter":
                self._look(level.hart.cycles)
            elif what == "call":
                self._bin(level.hart.cycles)[1 if owner == "host" else 2] += 1
            if self.also:
                self.also(level, owner, operation)

        return hear

    def _number(self, hart) -> int:
        return next(n for n, one in enumerate(self.board.harts) if one.hart is hart)

    def _look(self, now: int) -> None:
        """Note how many saves and restores there have been."""
        vpmus = {id(machine.vpmu): machine.vpmu for machine in self.machines}.values()
        saved = sum(one.times_saved for one in vpmus), sum(one.times_restored for one in vpmus)
        if saved != self._saved:
            counts = self._bin(now)
            counts[3] += saved[0] - self._saved[0]
            counts[4] += saved[1] - self._saved[1]
            self._saved = saved

    def _bin(self, now: int) -> list[int]:
        number = max(now - self._began, 0) // self._width
        while number >= MOST_BINS:
            wider: dict[int, list[int]] = {}
            for old, counts in self._bins.items():
                into = wider.setdefault(old // 2, [0] * 5)
                into[:] = [a + b for a, b in zip(into, counts, strict=True)]
            self._bins, self._width, number = wider, 2 * self._width, number // 2
        return self._bins.setdefault(number, [0] * 5)
