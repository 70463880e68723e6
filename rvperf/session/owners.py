"""Who owns which hardware counter, and when: the host, a guest, or nobody."""

from __future__ import annotations

from collections.abc import Callable

from isa.counting import TIME
from isa.record import replace
from rvperf.results import CounterOwner
from rvperf.stack.sbi import bits

HOST = "host"
MOST = 100_000
"""Intervals of one hart; if there are more, the shortest go."""


class Owners:
    """Follows the counters of one hart, `number`, of a board. `name_of(vcpu)` is what a guest is
    called."""

    def __init__(self, number: int, one, name_of: Callable):
        self.number, self.hart, self.host, self.name_of = number, one.hart, one.host, name_of
        self.intervals: list[CounterOwner] = []
        self.grain = 0
        """How long, in ns, an interval must be to be kept, and a gap to divide two."""
        self.changes = 0
        """How often passed-through counters came to hold another vCPU's values."""
        self._last = None
        self._now: dict[int, tuple[str, int]] = {}  # by counter: whose, and since when
        self._guests: dict[int, str] = {}  # counters whose values are a guest's

    def begin(self) -> None:
        """From now on."""
        self.host.on_owner = self._given
        self.host.core.driver.on_change = self._changed
        if self.host.counters_of is not None:
            vcpu = self.host.counters_of
            self._guests = dict.fromkeys(bits(vcpu.vpmu.reserved), self.name_of(vcpu))
        self.changes, self._last = 0, self.host.counters_of
        self.intervals.clear()
        self._now.clear()
        self._changed()

    def end(self, now: int) -> tuple[CounterOwner, ...]:
        """All intervals in which a counter was owned by somebody; `now` it is over."""
        for counter, (owner, since) in self._now.items():
            self._note(counter, owner, since, now)
        self._now.clear()
        self.host.on_owner = self.host.core.driver.on_change = None
        return tuple(sorted(self.intervals, key=lambda one: (one.counter, one.start)))

    def so_far(self) -> list[CounterOwner]:
        """The intervals until now, while it goes on."""
        now = self.hart.cycles
        going = [
            CounterOwner(self.number, counter, owner, since, now)
            for counter, (owner, since) in self._now.items()
            if now > since
        ]
        return [*self.intervals, *going]

    def unused(self, guests: int, there: int) -> tuple[str, ...]:
        """As JointReport's. `guests` are the counters that are passed through, and `there` those
        that the hart has, as masks."""
        kept = self.host.core.driver.kept
        # What firmware hasn't delegated the host has to ask it for, each time (SBI's CFG_MATCH).
        others = "free" if kept else "firmware"

        def of(counter: int) -> str:
            if counter == TIME:
                return "clock"
            if not there >> counter & 1:
                return "absent"
            if guests >> counter & 1:
                return "guests"
            return HOST if kept >> counter & 1 else others

        return tuple(map(of, range(32)))

    def _given(self, vcpu, counters: int) -> None:
        if vcpu is not None and vcpu.vpmu.reserved:
            self.changes += vcpu is not self._last
            self._last = vcpu
        for counter in bits(counters):
            if vcpu is None:
                self._guests.pop(counter, None)
            else:
                self._guests[counter] = self.name_of(vcpu)
        self._changed()

    def _changed(self) -> None:
        now = self.hart.cycles
        owners = {}
        driver = self.host.core.driver
        for idx, event in driver.events.items():
            if not driver.info[idx].firmware:
                owners[idx] = self.name_of(event.context.task) if event.guest else HOST
        owners.update(self._guests)
        for counter in owners.keys() | self._now.keys():
            owner = owners.get(counter)
            before = self._now.get(counter)
            if before and before[0] == owner:
                continue
            if before:
                self._note(counter, *before, now)
                del self._now[counter]
            if owner:
                self._now[counter] = owner, now

    def _note(self, counter: int, owner: str, start: int, end: int) -> None:
        if end > start:
            self.intervals.append(CounterOwner(self.number, counter, owner, start, end))
            if len(self.intervals) > MOST:
                self.intervals = self._coarsened()
                while len(self.intervals) > MOST // 2:
                    self.grain = 2 * self.grain or 1000
                    self.intervals = self._coarsened()

    def _coarsened(self) -> list[CounterOwner]:
        """The intervals without what is shorter than the grain."""
        joined: list[CounterOwner] = []
        last: dict[int, int] = {}
        for one in self.intervals:
            at = last.get(one.counter)
            before = None if at is None else joined[at]
            if before and before.owner == one.owner and one.start - before.end < self.grain:
                joined[at] = replace(before, end=one.end)
            else:
                last[one.counter] = len(joined)
                joined.append(one)
        return [one for one in joined if one.end - one.start >= self.grain]
