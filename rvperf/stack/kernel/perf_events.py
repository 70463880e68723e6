"""perf_events: the kernel's sampling core (kernel/events/core.c).

An open event has a period; when its count has gone on so far, there is a sample, and the period
begins anew. Counts of hardware events are the hart's, and the engine stops on the exact instruction
(Hart.stop_after); work that the kernel model is charged for, software events and tracepoints happen
here. Each task has its own countdown, as each has its own context in Linux. What is found goes to a
`sink` (see `Sink`). Taking a sample takes no emulated time.
"""

from __future__ import annotations

from rvperf.events.tracepoints import pack
from rvperf.machine.hart import SOURCES

from . import costs
from .memory import PROT_EXEC, PROT_READ
from .samples import CONTEXT_USER, Details, Sampler, Sampling

U, S = 0, 1
TICK_NS = 4_000_000  # CONFIG_HZ is 250
SHORTEST_CLOCK_NS = 10_000  # perf_swevent_start_hrtimer's least period
NSEC = 1_000_000_000
NEVER = 1 << 62
CLOCKS = ("task-clock", "cpu-clock")
SOFTWARE_IN_KERNEL = ("context-switches", "cpu-migrations")
FAULTS = ("page-faults", "minor-faults", "major-faults")


class Open:
    """An event while it is being counted."""

    __slots__ = (
        "spec", "number", "modes", "at", "kernel", "user", "period", "last_period", "target",
        "stamp", "count_stamp", "count", "ids", "lost",
    )  # fmt: skip

    def __init__(self, number: int, spec: Sampling):
        event = spec.event
        self.spec, self.number = spec, number
        self.kernel, self.user = not event.exclude_kernel, not event.exclude_user
        self.modes = (U,) * self.user + (S,) * self.kernel
        self.at = SOURCES.index(spec.source) if spec.source in SOURCES else None
        period = spec.period
        if spec.freq:
            period = NSEC // spec.freq if spec.kind == "clock" else 1
        if spec.kind == "clock" and period:
            period = max(period, SHORTEST_CLOCK_NS)
        self.period = self.last_period = max(period, 0)
        self.target = period
        self.stamp = self.count_stamp = 0
        self.count = 0  # of software events and tracepoints

    @property
    def adjusts(self) -> bool:
        """Whether the period follows a frequency; a clock's needs no adjustment."""
        return bool(self.spec.freq) and self.spec.kind != "clock"


class PerfEvents(Sampler):
    """The events that are open, for one kernel. `sink` takes what happens: see session.record."""

    def __init__(
        self, kernel, samplings: tuple[Sampling, ...], details: Details, sink, symbols=None
    ):
        super().__init__(kernel, details, sink, symbols)
        self.open = [Open(number, spec) for number, spec in enumerate(samplings)]
        sampled = self.sampled = self._counted_down()
        self.hardware = [one for one in sampled if one.spec.kind == "hardware"]
        self.clocks = [one for one in sampled if one.spec.kind == "clock"]
        self.software = {}
        for one in self.open:
            if one.spec.kind in ("software", "tracepoint"):
                self.software.setdefault(one.spec.source, []).append(one)
        self.ticking = any(one.adjusts for one in sampled)
        self.next_tick = TICK_NS
        self.skidding = []  # (instructions retired when it is due, event, period)
        self.enabled = not details.enable_at
        self.on_enable = None
        """Called when a delay is over."""
        if not self.enabled:
            self._pause()
        self.by_task = {}  # what each event has counted in a task that is not running
        self.accounted = self._accounted()
        self.at_switch = [0] * len(self.accounted)
        self.exact = {}  # by (event, where): where is a kernel symbol, or (area's name, address)
        self.own = self._let_engine_sample()
        self.left = {}  # of tasks that don't run: what each event has left until its next sample

    def _counted_down(self) -> list[Open]:
        """The events whose samples are taken here."""
        return [one for one in self.open if one.period]

    def _accounted(self) -> list[Open]:
        """The events whose counts by task are kept here."""
        return self.open

    def group_values(self, one: Open) -> list[tuple[int, int]]:
        """As `Sampler.group_values`."""
        leader = one.spec.leader
        group = [other for other in self.open if other.spec.leader == leader]
        return [(self.value(other), other.number) for other in group]

    def _let_engine_sample(self) -> dict[int, Open]:
        """Events whose samples the engine can take by itself, by their source's place."""
        details, capture, found = self.details, self.hart.capture, {}
        python_only = (
            details.user_registers
            or details.user_stack
            or details.addresses
            or details.weights
            or details.branch_depth
        )
        followed = details.callchain in (None, "fp", "exact") and details.user_chain
        simple = followed and not python_only
        for one in self.hardware:
            alone = sum(other.at == one.at for other in self.hardware) == 1
            plain = not one.spec.skid and one.spec.leader is None and not one.adjusts
            if capture and simple and alone and plain and one.user:
                found[one.at] = one
        if found:
            periods = {SOURCES[at]: one.period for at, one in found.items()}
            capture.configure(periods, details.callchain, details.max_stack - 1)
        return found

    def _drain(self) -> None:
        """Pass on the samples that the engine has taken."""
        samples = self.hart.capture.drain()
        if not samples:
            return
        task, clock = self.kernel.current, self.hart.clock
        pid, tid, chains = task.process.pid, task.tid, self.details.callchain is not None
        for at, uncollected, addresses in samples:
            one = self.own[at]
            one.target += one.period
            chain = (CONTEXT_USER, *addresses) if chains else None
            self.sink.plain_sample(
                one.number, addresses[0], pid, tid, clock + uncollected, one.period, chain
            )

    def _pause(self) -> None:
        """Nothing is sampled until the targets are set anew."""
        for one in self.open:
            one.target = NEVER

    def _enable(self) -> None:
        """A delay is over."""
        self.enabled = True
        for one in self.sampled:
            one.target = self.value(one) + one.period
        if self.on_enable:
            self.on_enable()

    def _when_to_enable(self) -> int | None:
        """The clock at which a delay ends; None if there is none."""
        return None if self.enabled or self.details.enable_at < 0 else self.details.enable_at

    # What only a PMU's driver needs (driven_perf.py).

    def boot(self) -> None:
        """The kernel boots."""

    # Counts.

    def value(self, one: Open) -> int:
        """What an event has counted so far, in all tasks."""
        if one.spec.kind == "hardware":
            hart, source = self.hart, one.spec.source
            count = sum(hart.counts[mode][source] for mode in one.modes)
            if hart.mode in one.modes:
                count += hart.uncollected()[one.at]
            return count
        if one.spec.kind == "clock":
            kernel = self.kernel
            running = (
                kernel.hart.cycles - kernel.entered if kernel.hart.mode == kernel.user_mode else 0
            )
            return kernel.user_ns + kernel.system_ns + running
        return one.count

    def resume(self) -> None:
        """User code will run: let the hart stop where the next sample falls."""
        stops: dict[str, int] = {}
        delayed = self._when_to_enable()
        if delayed is not None:
            if self.hart.cycles >= delayed:
                self._enable()
            else:
                self._stop(stops, "cycles", delayed - self.hart.cycles)
        for one in self.hardware:
            if one.user:
                self._stop(stops, one.spec.source, one.target - self.value(one))
        for one in self.clocks:
            self._stop(stops, "cycles", one.target - self.value(one))
        if self.ticking:
            self._stop(stops, "cycles", self.next_tick - self.hart.cycles)
        if self.skidding:
            due = min(when for when, _, _ in self.skidding)
            self._stop(stops, "instructions", due - self.hart.instructions)
        self.hart.stop_after(stops)

    @staticmethod
    def _stop(stops: dict[str, int], source: str, more: int) -> None:
        stops[source] = max(min(stops.get(source, more), more), 1)

    def stopped(self) -> None:
        """An engine has returned from user code: take the samples that are due."""
        hart = self.hart
        if self.own:
            self._drain()
        if hart.limited and hart.stopped:
            self._take()
            self.resume()

    def _take(self) -> None:
        self._skidded()
        for one in self.hardware:
            if one.user:
                self._overflow_user(one)
        for one in self.clocks:
            self._overflow_user(one)
        if self.ticking and self.hart.cycles >= self.next_tick:
            self.tick()

    def _overflow_user(self, one: Open) -> None:
        count = self.value(one)
        while one.target <= count:
            period = self._overflowed(one, count)
            if not one.user:
                continue
            if one.spec.skid:
                due = self.hart.instructions + one.spec.skid
                self.skidding.append((due, one, period))
            else:
                self.user_sample(one, period, self.hart.before)

    def _skidded(self) -> None:
        """Samples whose instruction has come. The one before which it was is `before`'s."""
        if not self.skidding:
            return
        now = self.hart.instructions
        due = [entry for entry in self.skidding if entry[0] <= now]
        self.skidding = [entry for entry in self.skidding if entry[0] > now]
        for _, one, period in due:
            self.user_sample(one, period, self.hart.before)

    def entered(self) -> None:
        """The kernel was entered: an interrupt on its way arrives now, on the last instruction."""
        if not self.skidding:
            return
        pending, self.skidding = self.skidding, []
        registers = self.registers()
        for _, one, period in pending:
            self.user_sample(one, period, registers)

    def _overflowed(self, one: Open, count: int, later: int = 0) -> int:
        """Begin the next period, `later` cycles from now; gives the one that has ended
        (PERF_SAMPLE_PERIOD)."""
        ended = one.last_period
        one.target += one.period
        one.last_period = one.period
        if one.adjusts:
            now = self.hart.cycles + later
            delta, one.stamp = now - one.stamp, now
            if 0 < delta < 2 * TICK_NS:
                # Linux takes the period that begins for the one that has ended: near enough where
                # interrupts take time, but here they don't, and it would be far off at the start.
                self._adjust(one, delta, ended, count)
        return ended

    def _adjust(self, one: Open, nsec: int, count: int, value: int) -> None:
        """perf_adjust_period(): a low-pass filter towards the period that gives the frequency."""
        period = count * NSEC // (nsec * one.spec.freq)
        change = period - one.period + 7
        one.period = max(one.period + (change // 8 if change >= 0 else -(-change // 8)), 1)
        if one.target - value > 8 * one.period:
            one.target = value + one.period
            one.last_period = one.period

    def tick(self) -> None:
        """The timer tick's part: perf_adjust_freq_unthr_context()."""
        now = self.hart.cycles
        while self.next_tick <= now:
            self.next_tick += TICK_NS
        for one in self.sampled:
            if one.adjusts:
                count = self.value(one)
                delta, one.count_stamp = count - one.count_stamp, count
                if delta > 0:
                    self._adjust(one, TICK_NS, delta, count)

    # The kernel's own work.

    def work(self, cost: costs.Cost, instructions: int, cycles: int) -> None:
        """The kernel is about to be charged for work: samples fall on its function."""
        happened = {"instructions": instructions, "cycles": cycles}
        if self.details.truth:
            self._worked(cost, happened)
        for one in self.hardware:
            total = happened.get(one.spec.source)
            if one.kernel and total:
                start = self.value(one)
                while one.target <= start + total:
                    place = (one.target - start - 1) * instructions // total
                    at = (one.target - start) * cycles // total
                    period = self._overflowed(one, one.target, at)
                    self.kernel_sample(one, period, cost, place, at)
        for one in self.clocks:
            start = self.value(one)
            while one.target <= start + cycles:
                at = one.target - start
                period = self._overflowed(one, one.target, at)
                if one.kernel:
                    self.kernel_sample(one, period, cost, (at - 1) * instructions // cycles, at)

    def _worked(self, cost: costs.Cost, happened: dict[str, int]) -> None:
        """Keep what the kernel's work counts, for `exact`."""
        for one in self.open:
            source = "cycles" if one.spec.kind == "clock" else one.spec.source
            if one.kernel and happened.get(source):
                self._exactly(one, cost.symbol, happened[source])

    # Software events and tracepoints.

    def software_sampled(self) -> list[Open]:
        """The software events and tracepoints that are sampled every so often."""
        found = [one for some in self.software.values() for one in some]
        return [one for one in found if one.spec.period and not one.spec.freq]

    def _exactly(self, one: Open, where, count: int) -> None:
        key = one.number, where
        self.exact[key] = self.exact.get(key, 0) + count

    def _place(self, ip: int):
        """(the file that is mapped at an address or None, the address in it)."""
        area = self.kernel.current.memory.find(ip)
        if area is None or area.file is None:
            return None, ip
        return area.file.name, ip - area.start + area.offset

    def software_event(self, source: str, addr: int = 0, in_kernel: str | None = None) -> None:
        """A software event has happened, in user mode or in a function of the kernel's."""
        for one in self.software.get(source, ()):
            if not (one.kernel if in_kernel else one.user):
                continue
            one.count += 1
            if self.details.truth:
                self._exactly(one, in_kernel or self._place(self.kernel.current.pc), 1)
            self._happened(one, addr, in_kernel, None)

    def tracepoint(self, name: str, where: str, fields) -> None:
        """A tracepoint was passed, in a function of the kernel's; `fields` gives its fields."""
        for one in self.software.get(name, ()):
            if one.kernel:
                one.count += 1
                if self.details.truth:
                    self._exactly(one, where, 1)
                self._happened(one, 0, where, pack(name, self.kernel.current.tid, fields()))

    def _happened(self, one: Open, addr: int, in_kernel: str | None, raw: bytes | None) -> None:
        while one.period and one.target <= one.count:
            period = self._overflowed(one, one.count)
            if in_kernel:
                cost = costs.Cost(in_kernel, 0, 0, callers=costs.callers_of(in_kernel))
                self.kernel_sample(one, period, cost, 0, 0, raw, addr)
            else:
                self.user_sample(one, period, self.registers(), addr, raw)

    # Tasks.

    def switch(self, before, after) -> None:
        """Another task runs: each has its own countdowns."""
        if self.details.switches:
            self.sink.switch(before, True)
            self.sink.switch(after, False)
        if self.details.counts_by_task:
            self._count_for(before)
        if self.details.all_tasks:
            return
        if not self.enabled:
            return
        now = [(one, self.value(one)) for one in self.sampled]
        self.left[before] = [one.target - value for one, value in now]
        left = self.left.pop(after, None)
        if not self.details.inherit and after is not self.kernel.first:
            self._pause()
            return
        for at, (one, value) in enumerate(now):
            one.target = value + (left[at] if left else one.period)

    def _count_for(self, task) -> list[int]:
        """Put what has been counted since the last switch to a task's account."""
        now = [self.value(one) for one in self.accounted]
        spent = self.by_task.get(task, [0] * len(now))
        found = [a + b - c for a, b, c in zip(spent, now, self.at_switch, strict=True)]
        self.by_task[task], self.at_switch = found, now
        return found

    def executed(self, task) -> None:
        """A new program begins in a task: exec."""
        self.sink.comm(task, True)
        task.memory.watcher = self
        for area in task.memory.areas:
            self.mapped(area)

    def mapped(self, area) -> None:
        """The current task has mapped an area, or made it executable."""
        if area.prot & PROT_EXEC:
            self.sink.mmap(self.kernel.current, area, True)
        elif self.details.addresses and area.prot & PROT_READ:
            self.sink.mmap(self.kernel.current, area, False)

    def faulted(self, va: int) -> None:
        """The kernel itself has faulted a page in, for a system call of the current task's."""
        for source in ("page-faults", "minor-faults"):
            self.software_event(source, va, costs.COPY_FROM_USER)

    def forked(self, parent, child) -> None:
        """A thread or process was made."""
        child.memory.watcher = self
        self.sink.fork(parent, child)

    def exited(self, task) -> None:
        """A task has ended."""
        self.left.pop(task, None)
        if self.details.counts_by_task:
            running = task is self.kernel.current
            spent = self._count_for(task) if running else self.by_task.get(task, ())
            for one, count in zip(self.accounted, spent, strict=False):
                self.sink.read(task, one.number, count)
            self.by_task.pop(task, None)
        self.sink.exit(task)

    def renamed(self, task) -> None:
        """A task has a new name: prctl(PR_SET_NAME)."""
        self.sink.comm(task, False)
