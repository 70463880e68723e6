"""A PMU and its driver for the tests of perf_events: events count as many a nanosecond as their
selector says, exactly, and each call of the driver is noted."""

from errno import EOPNOTSUPP

from rvperf.stack.events_core import EventAttr, EventsCore

UNKNOWN = 99


class FakeDriver:
    """`size` counters, any of which counts anything."""

    def __init__(self, size: int):
        self.size = size
        self.calls: list[tuple[str, object]] = []
        self.counting = []
        self.adding = []
        self.pending = []
        self.stopped = set()

    def supports(self, event) -> int:
        return EOPNOTSUPP if event.selector == UNKNOWN else 0

    def note(self, what, event) -> None:
        self.calls.append((what, event.owner))

    def add(self, event, start=True) -> bool:
        self.note("add", event)
        if len(self.counting) == self.size:
            return False
        self.counting.append(event)
        self._preset(event)
        return True

    def delete(self, event) -> None:
        self.note("del", event)
        self.counting.remove(event)
        self.stopped.discard(event)

    def start(self, event, reload=True) -> None:
        self.note("start", event)
        self.stopped.discard(event)
        self._preset(event)

    def stop(self, event, update=True) -> None:
        self.note("stop", event)
        self.stopped.add(event)

    def read(self, event) -> None:
        self.note("read", event)

    def overflow(self, deliver) -> int:
        found, self.pending = self.pending, []
        for event in found:
            self._preset(event)
            deliver(event)
        return len(found)

    @staticmethod
    def _preset(event) -> None:
        if event.sampling and event.period_left <= 0:
            event.last_period = event.sample_period
            event.period_left += event.sample_period

    def taken(self) -> list[tuple[str, object]]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


class World:
    """A CPU with `size` counters and the core over it. `run(ns)` lets its task run; an interrupt of
    the PMU takes `interrupt_ns` in which nothing is counted."""

    def __init__(self, size: int = 4, interrupt_ns: int = 0):
        self.now = 0
        self.interrupt_ns = interrupt_ns
        self.driver = FakeDriver(size)
        self.core = EventsCore(self.driver, lambda: self.now)
        self.truth: dict[object, int] = {}
        """How long each task has run."""

    def open(self, name, task=None, leader=None, selector=1, **attr):
        """An event whose calls are noted under a name; they begin with those of its opening."""
        event = None

        def named(made):
            made.owner = name

        supports = self.driver.supports
        self.driver.supports = lambda made: named(made) or supports(made)
        try:
            event = self.core.open(EventAttr(selector, **attr), task, leader)
        finally:
            self.driver.supports = supports
        return event

    def run(self, ns: int) -> None:
        """Time passes: counters count, and interrupts and timers come when they are due."""
        core, end = self.core, self.now + ns
        while self.now < end:
            step = end - self.now
            due = core.due()
            if due is not None:
                step = min(step, max(due - self.now, 1))
            counting = [e for e in self.driver.counting if e not in self.driver.stopped]
            for event in counting:
                if event.sampling:
                    step = min(step, max(-(-event.period_left // event.selector), 1))
            self.now += step
            self.truth[core.current] = self.truth.get(core.current, 0) + step
            for event in counting:
                event.count += step * event.selector
                event.period_left -= step * event.selector
                if event.sampling and event.period_left <= 0:
                    self.driver.pending.append(event)
            if self.driver.pending:
                self.now += self.interrupt_ns
                core.interrupt()
            if due is not None and self.now >= due:
                core.timer()
