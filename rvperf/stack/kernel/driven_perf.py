"""perf_events of a kernel that has a PMU's driver: hardware events are counted and sampled as Linux
does it, by the PMU's counters and in its interrupt.

Software events and tracepoints are those of perf_events.py. Clocks are sampled by timer interrupts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isa.csrs import CSR_NUMBERS
from isa.record import Record
from rvperf.machine.pmu import SELECTORS
from rvperf.stack.events_core import EventsCore, PerfEvent, attr_of
from rvperf.stack.events_core.event import Status

from . import costs, kallsyms
from .perf_events import NEVER, Open, PerfEvents
from .samples import Details, Sampling

SSTATUS, SEPC, SCAUSE = (CSR_NUMBERS[name] for name in ("sstatus", "sepc", "scause"))
SIE = 1 << 1
TIMER, OVERFLOW = 1 << 63 | 5, 1 << 63 | 13


class Counted(Record):
    """What a hardware event has counted, and for how many ns it was enabled and had a counter."""

    count: int = 0
    enabled: int = 0
    running: int = 0
    supported: bool = True


class Nobody:
    """The sink of who only counts."""

    def __getattr__(self, name):
        return lambda *given: None


class DrivenPerf(PerfEvents):
    """As `PerfEvents`; a `Sampling` without a period or frequency is only counted.

    `driver` is the PMU's, made for the kernel. perf itself runs as a process beside the program, if
    `tool` makes one (`perf_tool.PerfTool`).
    """

    exact = False

    def __init__(
        self,
        kernel,
        samplings: tuple[Sampling, ...],
        driver,
        details: Details | None = None,
        sink=None,
    ):
        symbols = kallsyms.symbols(driven=True)
        super().__init__(kernel, samplings, details or Details(), sink or Nobody(), symbols)
        self.driver = driver
        self.core = EventsCore(driver, lambda: kernel.hart.cycles)
        kernel.driven = True
        self.tool = None
        """perf as a process: begins before the program, and opens the events (perf_tool.py)."""
        self.on_booted: Callable[[], None] | None = None
        """Called when the driver is there, before perf does anything."""
        self.enable_when: int | None = None
        """When a delay is over, which begins with the program."""
        self.events: dict[int, PerfEvent] = {}
        """The hardware events by their places, those that could be opened."""
        self.missed: dict[int, int] = {}
        """What has happened of an event while it was throttled, by its place."""
        self.refused: dict[int, int] = {}
        """The others: the errno."""
        self.working = None
        """What the kernel is charged for while it lets interrupts in: (cost, instructions done)."""
        self._at = None
        """Where an overflow interrupt came: as `working`, or None for in user mode."""
        self._delivering: PerfEvent | None = None

    def _counted_down(self) -> list[Open]:
        return [one for one in self.open if one.period and one.spec.kind != "hardware"]

    def _accounted(self) -> list[Open]:
        return [one for one in self.open if one.spec.kind != "hardware"]

    # Opening.

    def boot(self) -> None:
        with self.operating():
            self.driver.probe()
        if self.on_booted:
            self.on_booted()
        first = self.kernel.first
        if self.tool:
            self.tool.begin()
        else:
            self.open_events(first)
        if self.details.enable_at > 0:
            self.enable_when = self.hart.cycles + self.details.enable_at
        with self.operating():
            self.core.switch(self.core.current, first)

    def open_events(self, task) -> None:
        """perf_event_open(2) for each hardware event, for a task that has yet to exec."""
        leaders: dict[int, PerfEvent] = {}
        for one in self.open:
            if one.spec.kind != "hardware":
                continue
            group = one.spec.event.group
            leader = leaders.get(group) if group is not None else None
            self.kernel.charge(costs.OPEN_EVENT)
            try:
                with self.operating():
                    event = self._open(one, None if self.details.all_tasks else task, leader)
            except OSError as error:
                self.refused[one.number] = error.errno
                continue
            self.events[one.number] = event
            if group is not None:
                leaders.setdefault(group, event)
        if self.details.all_tasks and not self.details.enable_at:
            self._enable_events()

    def _open(self, one: Open, task, leader: PerfEvent | None) -> PerfEvent:
        spec, asked, details = one.spec, one.spec.event, self.details
        alone = leader is None
        attr = attr_of(
            asked,
            SELECTORS[spec.source],
            alone,
            sample_period=0 if spec.freq else spec.period,
            sample_freq=spec.freq,
            inherit=details.inherit and spec.leader is None,
            disabled=alone,
            enable_on_exec=alone and not details.enable_at and not details.all_tasks,
        )
        event = self.core.open(attr, task, leader, self._sampled)
        event.owner = one
        event.on_throttle = self._throttled
        return event

    def _enable(self) -> None:
        super()._enable()
        self._enable_events()

    def _enable_events(self) -> None:
        with self.operating():
            for event in self.events.values():
                if event.leader is event:
                    self.core.enable(event)

    def counts(self) -> dict[int, Counted]:
        """What the hardware events have counted, by their places, as read(2) gives it."""
        found = {number: Counted(supported=False) for number in self.refused}
        with self.operating():
            for number, event in self.events.items():
                value = self.core.read(event)
                found[number] = Counted(value.count, value.enabled, value.running)
        return found

    def so_far(self, held: Callable[[int], int]) -> dict[int, Counted]:
        """What `counts` would give, without anything being done for it: `held` gives what a counter
        holds, by number."""
        found = {one.number: Counted() for one in self.open}
        found |= {number: Counted(supported=False) for number in self.refused}
        for number, event in self.events.items():
            value = self.core.peek(event, held)
            found[number] = Counted(value.count, value.enabled, value.running)
        return found

    # Working with interrupts off, and on.

    @contextmanager
    def operating(self) -> Iterator[None]:
        """Around what is done to the PMU: interrupts are off, and it is system time."""
        kernel = self.kernel
        masked, kernel.masked = kernel.masked, True
        began, told = self.hart.cycles, kernel.system_ns
        try:
            yield
        finally:
            kernel.masked = masked
            more = self.hart.cycles - began - (kernel.system_ns - told)
            kernel.system_ns += more
            kernel.current.system_ns += more

    def let_pass(self, cost, instructions: int, cycles: int) -> None:
        """Let the time of kernel work pass where it is done. With interrupts on the PMU's come in
        its midst; those of who is above us do in any case."""

        def let_in(done: int) -> None:
            hart = self.hart
            hart.pc = self.symbols.place(cost.symbol, done)
            if self.kernel.masked:
                self.kernel.poll()
                return
            self.working = cost, done
            hart.write_csr(SSTATUS, hart.read_csr(SSTATUS) | SIE)
            self.kernel.poll()
            hart = self.hart  # a vCPU may have gone to another
            hart.write_csr(SSTATUS, hart.read_csr(SSTATUS) & ~SIE)

        self.kernel.let_pass(instructions, cycles, let_in)

    def interrupted(self) -> None:
        """An interrupt has been delivered while the kernel worked: serve it, and return."""
        hart, kernel = self.hart, self.kernel
        cause, epc = hart.read_csr(SCAUSE), hart.read_csr(SEPC)
        status, working = hart.read_csr(SSTATUS), self.working
        kernel.masked = True
        if cause == OVERFLOW:
            self.overflow(working)
        else:
            assert cause == TIMER, f"interrupt {cause:#x}"
            kernel.charge(costs.INTERRUPT)
            self.timer(working)
            kernel.timer_fired()
        kernel.masked = False
        self.working = working
        hart = self.hart
        hart.write_csr(SEPC, epc)
        hart.write_csr(SSTATUS, status)
        hart.sret()

    def overflow(self, at=None) -> None:
        """The PMU's interrupt, with interrupts off; `at` as `working` if it came in the kernel."""
        self._at = at
        kernel = self.kernel
        kernel.note("interrupt", kernel.mode, OVERFLOW)
        kernel.origin, before = "overflow", kernel.origin
        with self.operating():
            kernel.charge(costs.PMU_INTERRUPT)
            self.core.interrupt()
        kernel.origin = before

    def _sampled(self, event: PerfEvent) -> None:
        """A period of an event's is over, in the PMU's interrupt."""
        self.kernel.charge(costs.SAMPLE)
        self._delivering = event
        if self._at is None:
            self.user_sample(event.owner, event.last_period, self.registers())
        else:
            cost, done = self._at
            self.kernel_sample(event.owner, event.last_period, cost, done, 0)

    def _throttled(self, event: PerfEvent, on: bool) -> None:
        """An event that interrupts too often stands still until the next tick, or goes on."""
        one, hart = event.owner, self.hart
        hart.collect()
        modes = (self.kernel.user_mode,) * one.user + (self.kernel.mode,) * one.kernel
        so_far = sum(hart.counts[mode][one.spec.source] for mode in modes)
        self.missed[one.number] = self.missed.get(one.number, 0) + (-so_far if on else so_far)
        self.sink.throttle(self.kernel.current, one.number, on)

    def group_values(self, one: Open) -> list[tuple[int, int]]:
        event = self._delivering
        if event is None or event.owner is not one:
            return super().group_values(one)
        self.core.update_group(event)
        return [(other.count, other.owner.number) for other in event.group]

    # Time.

    def due(self) -> int | None:
        """When the timer interrupt is next needed here, in nanoseconds since boot."""
        due = [None if self.enabled else self.enable_when, self.core.due()]
        now = self.hart.cycles
        due += [now + one.target - self.value(one) for one in self.clocks if one.target < NEVER]
        return min((when for when in due if when is not None), default=None)

    def timer(self, at=None) -> None:
        """The timer interrupt has come, with interrupts off; `at` as in `overflow`."""
        for one in self.clocks:
            self._clock(one, at)
        when = self.enable_when
        if not self.enabled and when is not None and when <= self.hart.cycles:
            self._enable()
        with self.operating():
            self.core.timer()

    def _clock(self, one: Open, at) -> None:
        """perf_swevent_hrtimer(): one sample, however many periods are over."""
        period, value = 0, self.value(one)
        while one.target <= value:
            period = self._overflowed(one, value)
        if not period:
            return
        if at is None and one.user:
            self.user_sample(one, period, self.registers())
        elif at and one.kernel:
            self.kernel_sample(one, period, *at, 0)

    # Nothing is left to the engine to stop for.

    def resume(self) -> None:
        """As `PerfEvents.resume`."""

    def stopped(self) -> None:
        """As `PerfEvents.stopped`."""

    def work(self, cost, instructions: int, cycles: int) -> None:
        if self.details.truth:
            self._worked(cost, {"instructions": instructions, "cycles": cycles})

    # Tasks.

    def switch(self, before, after) -> None:
        super().switch(before, after)
        with self.operating():
            self.core.switch(before, after)

    def executed(self, task) -> None:
        with self.operating():
            self.core.exec(task)
        super().executed(task)

    def forked(self, parent, child) -> None:
        with self.operating():
            self.core.fork(parent, child)
        super().forked(parent, child)

    def exited(self, task) -> None:
        context = self.core.contexts.get(task)
        with self.operating():
            self.core.exit(task)
        if self.details.counts_by_task and context:
            for event in context.events:
                self.sink.read(task, event.owner.number, event.count)
        super().exited(task)

    def _exactly(self, one: Open, where, count: int) -> None:
        """As `PerfEvents._exactly`, but for what is done while the event stands still."""
        event = self.events.get(one.number)
        hardware = one.spec.kind == "hardware"
        counting = (
            not hardware
            or event is not None
            and any(each.status == Status.ACTIVE for each in (event, *event.children))
        )
        if counting and self.kernel.origin != "overflow":
            super()._exactly(one, where, count)

    def value(self, one: Open) -> int:
        """As `PerfEvents.value`; of hardware events, how far they are known without a look."""
        if one.spec.kind != "hardware":
            return super().value(one)
        event = self.events.get(one.number)
        if event is None:
            return 0
        return event.gone.count + sum(clone.count for clone in (event, *event.children))
