"""`perf stat -I`: what was counted since the last time, again and again while the program runs.

A bare run is looked at from outside: looking takes no time and changes no count.
"""

from __future__ import annotations

from isa.record import replace
from rvperf.machine.timing import SLOWEST
from rvperf.machine.traps import Trap
from rvperf.results import Count, Interval
from rvperf.session import Every, Machine, StatRequest, Workload
from rvperf.stack.kernel import Kernel


class Intervals:
    """The rows of one `perf stat`; without `every` there are none."""

    def __init__(self, every: Every | None):
        self.every = every
        self.told: list[Interval] = []
        self.total: tuple[Count, ...] = ()
        """What had been counted at the last of them, since the beginning."""

    @property
    def over(self) -> bool:
        """Whether as many were told as was asked for; always so if none was."""
        every = self.every
        return every is None or 0 < every.times <= len(self.told)

    def tell(self, time: int, total: tuple[Count, ...]) -> None:
        """Tell what is new in `total`, which was counted in `time` ns since the beginning."""
        if self.over:
            return
        before = self.total or (None,) * len(total)
        interval = Interval(time, tuple(map(since, total, before)))
        self.total = total
        self.told.append(interval)
        self.every.told(interval)

    def end(self, time: int, total: tuple[Count, ...]) -> tuple[Count, ...]:
        """The program has ended: tell the rest, if time has passed. What the summary shows: what
        was counted until the last that was told, as in perf."""
        if self.every is None:
            return total
        if not self.told or time > self.told[-1].time:
            self.tell(time, total)
        return self.total


def since(now: Count, before: Count | None) -> Count:
    """What was counted in between."""
    if before is None or now.value is None:
        return now
    return replace(
        now,
        value=now.value - (before.value or 0),
        enabled=now.enabled - before.enabled,
        running=now.running - before.running,
    )


# A bare run.


class Watch:
    """Looks at a bare run at the first moment at or after each multiple of `ns`."""

    def __init__(self, machine: Machine, request: StatRequest):
        self.machine, self.events = machine, request.events
        self.ns = request.every.ns
        self.due = self.ns
        self.intervals = Intervals(request.every)

    def look(self) -> None:
        """Time has passed."""
        machine = self.machine
        now = machine.hart.cycles
        if now < self.due:
            return
        # Kernel work that lasts longer than an interval is not divided.
        self.due = (now // self.ns + 1) * self.ns
        if not self.intervals.over:
            machine.hart.collect()
            self.intervals.tell(now, machine.counts(self.events))


class WatchedKernel(Kernel):
    """A kernel that a `Watch` looks at when time has passed in it."""

    watch: Watch | None = None

    def charge(self, cost, moved=0):
        """As `Kernel.charge`."""
        super().charge(cost, moved)
        if self.watch:
            self.watch.look()

    def wait(self, until):
        """As `Kernel.wait`."""
        while self.watch and self.watch.due < until:
            super().wait(self.watch.due)
            self.watch.look()
        super().wait(until)
        if self.watch:
            self.watch.look()


class WatchedEngine:
    """An engine that a `Watch` looks at in time: it runs in pieces that can't be too long."""

    def __init__(self, engine, hart, watch: Watch):
        self.engine, self.hart, self.watch = engine, hart, watch

    def run(self, budget: int) -> None:
        """As the engine's."""
        watch, hart, run = self.watch, self.hart, self.engine.run
        while budget > 0:
            part = min(budget, max((watch.due - hart.cycles) // SLOWEST, 1))
            try:
                run(part)
            except Trap:
                watch.look()
                raise
            watch.look()
            budget -= part


class WatchedMachine(Machine):
    """A machine whose program is counted at intervals."""

    kernel_type = WatchedKernel

    def __init__(self, workload: Workload, live: frozenset[str], request: StatRequest):
        super().__init__(workload, live)
        self.watch = Watch(self, request)
        self.kernel.watch = self.watch
        self.engine = WatchedEngine(self.engine, self.hart, self.watch)
