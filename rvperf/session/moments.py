"""When things happen between guests and host: overflow interrupts, world switches, SBI calls and
the like, and running totals."""

from __future__ import annotations

from collections.abc import Callable

from isa.modes import VS, VU, M, S
from isa.routing import INTERRUPT
from rvperf.results import HartEvent, HartEvents, OverflowInterrupt, Totals
from rvperf.stack.sbi import name_of as name_of_call

OVERFLOW = INTERRUPT | 13
MODES = {VU: "VU", VS: "VS", S: "HS", M: "M"}
MOST_BINS = 1024
MOST_OVERFLOWS = MOST_EVENTS = 100_000
"""Later ones aren't kept, they are counted all the same."""
KINDS = {
    "load": "vcpu_load",
    "put": "vcpu_put",
    "migrate": "vcpu_migrate",
    "save": "counters_save",
    "restore": "counters_restore",
}
"""What a hypervisor tells of its vCPUs."""


class Moments:
    """Listens to the levels of `board` and to the kernels of `machines`, which is what VMs have.

    `name_of(vcpu)` is what a guest is called.
    """

    def __init__(self, board, machines, name_of: Callable):
        self.board, self.machines, self.name_of = board, machines, name_of
        self.overflows: list[OverflowInterrupt] = []
        self.also: Callable | None = None
        """Told each operation too, if set: also(level, owner, operation)."""
        self._happened: list[tuple] = []
        self._dropped = [0] * len(board.harts)
        self._began = 0
        self._width = 1000  # ns
        self._bins: dict[int, list[int]] = {}

    def begin(self, now: int) -> None:
        """From now on."""
        self._began = now
        for number, one in enumerate(self.board.harts):
            for level, owner in ((one.host, "host"), (one.firmware, "firmware")):
                level.on_operation = self._listener(level, owner, number)
            one.host.on_vcpu = self._vcpu_listener(one, number)
        for machine in self.machines:
            self.follow(machine)

    def follow(self, machine) -> None:
        """Listen to a guest's kernel."""
        name = self.name_of(machine.vcpu)
        machine.kernel.on_operation = self._listener(machine.kernel, name, None)

    def totals(self) -> tuple[Totals, ...]:
        """What there was from the beginning to some moments, the last of which is the end."""
        sums, found = [0] * 5, []
        now = max(one.hart.cycles for one in self.board.harts)
        for number, counts in sorted(self._bins.items()):
            sums = [a + b for a, b in zip(sums, counts, strict=True)]
            time = min(self._began + (number + 1) * self._width, now)
            found.append(Totals(time, *sums))
        return tuple(found)

    def hart_events(self) -> HartEvents:
        """What there was beside overflow interrupts."""
        kept = []
        for *what, about in self._happened:
            if what[2] == "sbi_call":
                about = *about, name_of_call(*about[1:])
            kept.append(HartEvent(*what, about))
        return HartEvents(tuple(kept), tuple(self._dropped))

    def _note(self, time: int, hart: int, *what) -> None:
        if len(self._happened) < MOST_EVENTS:
            self._happened.append((time, hart, *what))
        else:
            self._dropped[hart] += 1

    def _vcpu_listener(self, one, number: int) -> Callable:
        def hear(what: str, vcpu, about) -> None:
            if what == "migrate":
                about = self.board.hosts.index(about)
            elif what in ("save", "restore"):
                self._bin(one.hart.cycles)[3 if what == "save" else 4] += 1
            rest = () if about is None else (about,)
            self._note(one.hart.cycles, number, KINDS[what], self.name_of(vcpu), rest)

        return hear

    def _listener(self, level, owner: str, number: int | None) -> Callable:
        def hear(operation: tuple) -> None:
            what = operation[0]
            if what == "interrupt":
                if operation[2] == OVERFLOW and len(self.overflows) < MOST_OVERFLOWS:
                    hart = self._number(level.hart) if number is None else number
                    mode = MODES[operation[1]]
                    self.overflows.append(OverflowInterrupt(level.hart.cycles, hart, mode, owner))
            elif what == "exit":
                now = level.hart.cycles
                self._bin(now)[0] += 1
                about = MODES[operation[1]], operation[2]
                self._note(now, number, "vm_exit", self.name_of(level.vcpu), about)
            elif what == "enter":
                about = (MODES[operation[1]],)
                self._note(level.hart.cycles, number, "vm_entry", self.name_of(level.vcpu), about)
            elif what == "call":
                now = level.hart.cycles
                hart = self._number(level.hart) if number is None else number
                self._bin(now)[1 if owner == "host" else 2] += 1
                about = MODES[operation[1]], *operation[2:]
                self._note(now, hart, "sbi_call", owner, about)
            if self.also:
                self.also(level, owner, operation)

        return hear

    def _number(self, hart) -> int:
        return next(n for n, one in enumerate(self.board.harts) if one.hart is hart)

    def _bin(self, now: int) -> list[int]:
        number = max(now - self._began, 0) // self._width
        while number >= MOST_BINS:
            wider: dict[int, list[int]] = {}
            for old, counts in self._bins.items():
                into = wider.setdefault(old // 2, [0] * 5)
                into[:] = [a + b for a, b in zip(into, counts, strict=True)]
            self._bins, self._width, number = wider, 2 * self._width, number // 2
        return self._bins.setdefault(number, [0] * 5)
