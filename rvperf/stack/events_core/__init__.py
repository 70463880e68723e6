"""perf_events: the core of a kernel's counting and sampling (kernel/events/core.c, as of 6.12).

Events belong to tasks or to the CPU. Who runs decides whose events want counters, and there may be
fewer counters than events: groups of events get theirs all or none, pinned ones before flexible
ones and the CPU's before a task's, and flexible ones in turns. What is done to counters is the
driver's; this calls it as often and in the order that Linux does, as each call may be a trap or
several. Called with interrupts off, as Linux holds its locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from errno import EINVAL

from .context import FLEXIBLE, KINDS, PINNED, Context, kind_of
from .event import EventAttr, PerfEvent, Reading, Status, attr_of
from .period import (
    ALLOWED_NS,
    AVERAGED,
    MOST_SAMPLES_A_TICK,
    TICK_NS,
    adjusted,
    calculated,
    scaled,
)

__all__ = ["EventAttr", "EventsCore", "PerfEvent", "Reading", "Status", "attr_of", "scaled"]


class EventsCore:
    """The events of a kernel with one CPU. `clock` gives nanoseconds.

    `current` is the task that runs. Tasks are whatever can be a key; None is none of them.
    """

    def __init__(self, driver, clock: Callable[[], int], rotation_ns: int = TICK_NS):
        self.driver, self.clock = driver, clock
        self.rotation_ns = rotation_ns
        """perf_event_mux_interval_ms."""
        self.cpu = Context(clock)
        self.contexts: dict[object, Context] = {}
        self.current: object = None
        self.task: Context | None = None
        """The context of `current` while it is scheduled in."""
        self.exclusive = False
        """An event that wants the PMU for its group alone has it."""
        self.tick_due: int | None = None
        """When the next tick is, while ticks are of use here."""
        self.rotation_due: int | None = None
        self.most_samples = MOST_SAMPLES_A_TICK
        """In a tick, before an event is throttled."""
        self._allowed_ns, self._taken_ns = ALLOWED_NS, 0

    # Opening and closing: perf_event_open(2), perf_event_create_kernel_counter().

    def open(
        self,
        attr: EventAttr,
        task: object = None,
        leader: PerfEvent | None = None,
        on_overflow: Callable[[PerfEvent], None] | None = None,
    ) -> PerfEvent:
        """An event of a task's, or the CPU's if there is none. OSError if it can't be."""
        context = self.cpu if task is None else self.contexts.get(task)
        if context is None:
            context = self.contexts[task] = Context(self.clock, task)
        if leader and (leader.leader is not leader or leader.context is not context):
            raise OSError(EINVAL, "not the leader of a group of this context")
        if leader and (attr.pinned or attr.exclusive):
            raise OSError(EINVAL, "only a group's leader can be pinned or exclusive")
        event = self._made(attr, context, leader)
        event.on_overflow = on_overflow
        # The first event of a context reschedules it in any case, others only if they may run.
        first = not context.events
        context.update_time()
        event.stamp = context.time
        context.add(event)
        off = min(event.status, event.leader.status) <= Status.OFF
        if self._runs(context) and (first or not off):
            self._reschedule({kind_of(event)}, context is self.cpu)
        return event

    def _made(self, attr: EventAttr, context: Context, leader: PerfEvent | None) -> PerfEvent:
        event = PerfEvent(attr, context, leader)
        refused = self.driver.supports(event)
        if refused:
            raise OSError(refused, "event_init")
        return event

    def close(self, event: PerfEvent) -> None:
        """perf_event_release_kernel()."""
        for one in (event, *event.children):
            self._remove(one)
        event.children = []

    def _remove(self, event: PerfEvent) -> None:
        context = event.context
        context.update_time()
        self._event_out(event)
        event.set_status(Status.EXIT)
        if event in context.events:
            context.remove(event)
        if not context.events:
            context.rotate = False
            context.scheduled.clear()
            context.stop_time()
            if context is self.task:
                self.task = None

    # Enabling.

    def enable(self, event: PerfEvent) -> None:
        """perf_event_enable(), of the event and its clones."""
        for one in (event, *event.children):
            self._enable(one)

    def _enable(self, event: PerfEvent) -> None:
        if event.status >= Status.INACTIVE or event.status < Status.ERROR:
            return
        context = event.context
        context.update_time()
        event.set_status(Status.INACTIVE)
        if not context.scheduled:
            return
        if event.leader is not event and event.leader.status != Status.ACTIVE:
            return
        self._reschedule({kind_of(event)}, context is self.cpu)

    def disable(self, event: PerfEvent) -> None:
        """perf_event_disable(), of the event and its clones."""
        for one in (event, *event.children):
            if one.status >= Status.INACTIVE:
                one.context.update_time()
                if one.leader is one:
                    self._group_out(one)
                else:
                    self._event_out(one)
                one.set_status(Status.OFF)

    def set_period(self, event: PerfEvent, period: int) -> None:
        """perf_event_period(): a new period, which begins now."""
        event.sample_period, event.sampling = period, True
        active = event.status == Status.ACTIVE
        if active:
            self._let_go_on(event)
            self.driver.stop(event, True)
        event.period_left = 0
        if active:
            self.driver.start(event, True)

    # Reading.

    def read(self, event: PerfEvent) -> Reading:
        """perf_event_read_value(): the event's and its clones' count and times."""
        return self._total(event, self._read)

    def peek(self, event: PerfEvent, held: Callable[[int], int]) -> Reading:
        """What `read` would give, without doing anything for it: `held` gives what a counter holds,
        by number."""
        count, enabled, running = event.gone.count, event.gone.enabled, event.gone.running
        for one in (event, *event.children):
            count += self.driver.peek(one, held)
            more = one.times(one.context.now)
            enabled, running = enabled + more[0], running + more[1]
        return Reading(count, enabled, running)

    def read_group(self, leader: PerfEvent) -> list[Reading]:
        """PERF_FORMAT_GROUP: all of a group at one moment, the leader first."""
        for one in (leader, *leader.children):
            self._read_group(one)
        return [self._total(event, lambda event: None) for event in leader.group]

    def update_group(self, event: PerfEvent) -> None:
        """Bring the counts of an event's group up to date while it is sampled itself
        (perf_output_read_group)."""
        for other in event.group:
            if other is not event and other.status == Status.ACTIVE:
                self.driver.read(other)

    @staticmethod
    def _total(event: PerfEvent, read: Callable[[PerfEvent], None]) -> Reading:
        count, enabled, running = event.gone.count, event.gone.enabled, event.gone.running
        for one in (event, *event.children):
            read(one)
            count, enabled = count + one.count, enabled + one.enabled
            running += one.running
        return Reading(count, enabled, running)

    def _read(self, event: PerfEvent) -> None:
        event.context.update_time()
        event.update_time()
        if event.status == Status.ACTIVE:
            self.driver.read(event)

    def _read_group(self, leader: PerfEvent) -> None:
        leader.context.update_time()
        for event in leader.group:
            event.update_time()
        if leader.status == Status.ACTIVE:
            for event in leader.group:
                if event.status == Status.ACTIVE:
                    self.driver.read(event)

    # Tasks.

    def switch(self, before: object, after: object) -> None:
        """Another task runs. Between tasks whose events are clones of the same ones nothing needs
        to be done to the PMU: they exchange their contexts."""
        ours, theirs = self.contexts.get(before), self.contexts.get(after)
        if ours and theirs and ours is self.task and ours.equivalent(theirs):
            self.contexts[before], self.contexts[after] = theirs, ours
            ours.task, theirs.task = after, before
            self.current = after
            return
        self.switch_out(before)
        self.switch_in(after)

    def switch_out(self, task: object) -> None:
        """The task no longer runs: perf_event_context_sched_out()."""
        if self.task and self.task.task is task:
            self._out(self.task, KINDS)
        self.current = None

    def switch_in(self, task: object) -> None:
        """The task runs from now on: perf_event_context_sched_in()."""
        self.current = task
        context = self.contexts.get(task)
        if context is None or not context.events:
            return
        if context.groups[PINNED]:
            self._out(self.cpu, (FLEXIBLE,))
        self._in_order(context)

    def move(self, task: object, other: EventsCore) -> None:
        """A task that doesn't run goes to another CPU, and its events with it."""
        context = self.contexts.pop(task, None)
        if context is not None:
            context.clock = other.clock
            other.contexts[task] = context

    def load_guest(self) -> None:
        """perf_load_guest_context(): all counters are a guest's until `put_guest`."""
        if self.task:
            self._out(self.task, KINDS)
        self._out(self.cpu, KINDS)

    def put_guest(self) -> None:
        """perf_put_guest_context(): the counters are ours again."""
        self._in_order(self.contexts.get(self.current))

    def exec(self, task: object) -> None:
        """A task begins a program: perf_event_enable_on_exec()."""
        context = self.contexts.get(task)
        if context is None:
            return
        context.update_time()
        enabled = False
        for event in context.events:
            if event.enable_on_exec:
                event.enable_on_exec = False
                if event.status < Status.INACTIVE:
                    event.set_status(Status.INACTIVE)
                    enabled = True
        if enabled:
            context.differs()
            if self._runs(context):
                self._reschedule({kind_of(event) for event in context.events}, False)

    def fork(self, parent: object, child: object) -> None:
        """A task has made another: clones of the events that are inherited."""
        context = self.contexts.get(parent)
        if context is None:
            return
        made, whole = Context(self.clock, child), True
        for kind in KINDS:
            for leader in context.groups[kind]:
                if not leader.attr.inherit:
                    whole = False
                    continue
                first = self._inherited(leader, made, None)
                for sibling in leader.siblings:
                    if sibling.attr.inherit:
                        self._inherited(sibling, made, first)
                    else:
                        whole = False
        if made.events:
            self.contexts[child] = made
            if whole:
                made.copied_from(context)

    def _inherited(self, event: PerfEvent, context: Context, leader: PerfEvent | None) -> PerfEvent:
        original = event.parent or event
        clone = self._made(original.attr, context, leader)
        clone.status = Status.INACTIVE if event.status >= Status.INACTIVE else Status.OFF
        clone.enable_on_exec = event.enable_on_exec
        if original.sampling:
            clone.sample_period = clone.last_period = clone.period_left = original.sample_period
        clone.on_overflow, clone.on_throttle = original.on_overflow, original.on_throttle
        clone.owner, clone.parent = original.owner, original
        original.children.append(clone)
        context.add(clone)
        return clone

    def exit(self, task: object) -> None:
        """A task has ended: perf_event_exit_task(). Its clones' counts go to their originals."""
        context = self.contexts.pop(task, None)
        if context is None:
            return
        if context is self.task:
            self._out(context, KINDS)
        for event in context.events:
            event.set_status(Status.EXIT)
            original = event.parent
            if original and event in original.children:
                gone = original.gone
                original.gone = Reading(
                    gone.count + event.count,
                    gone.enabled + event.enabled,
                    gone.running + event.running,
                )
                original.children.remove(event)

    # Who gets counters.

    def _runs(self, context: Context) -> bool:
        return context is self.cpu or context.task is self.current

    def _reschedule(self, kinds: set[str], cpu_event: bool) -> None:
        """ctx_resched(): because of events of some kinds, of the CPU's or the current task's."""
        task = self.contexts.get(self.current)
        if PINNED in kinds:
            kinds = {*kinds, FLEXIBLE}
        if self.task:
            self._out(self.task, kinds)
        if cpu_event:
            self._out(self.cpu, kinds)
        elif PINNED in kinds:
            self._out(self.cpu, (FLEXIBLE,))
        self._in_order(task)

    def _in_order(self, task: Context | None) -> None:
        """perf_event_sched_in(): CPU pinned, task pinned, CPU flexible, task flexible."""
        for kind in KINDS:
            self._in(self.cpu, kind)
            if task:
                self._in(task, kind)

    def _out(self, context: Context, kinds: Iterable[str]) -> None:
        """ctx_sched_out(): take the counters of a context's groups of some kinds."""
        if not context.scheduled:
            return
        context.update_time()
        for kind in KINDS:
            if kind not in kinds or kind not in context.scheduled:
                continue
            context.scheduled.remove(kind)
            for leader in list(context.on[kind]):
                self._group_out(leader)
            if kind == FLEXIBLE:
                context.rotate = False
        if not context.scheduled:
            context.stop_time()
            if context is self.task:
                self.task = None

    def _in(self, context: Context, kind: str) -> None:
        """ctx_sched_in(): give counters to a context's groups of a kind, as far as they go."""
        if not context.events or kind in context.scheduled:
            return
        if not context.scheduled:
            context.start_time()
            if context is not self.cpu:
                self.task = context
        context.scheduled.add(kind)
        room = True
        for leader in list(context.groups[kind]):
            if leader.status <= Status.OFF:
                continue
            if self._may_go_on(leader, room) and self._group_in(leader):
                context.on[kind].append(leader)
                continue
            room = False  # and no more are tried
            if kind == PINNED:
                leader.set_status(Status.ERROR)
            else:
                context.rotate = True
                if self.rotation_due is None:
                    self.rotation_due = self.clock() + self.rotation_ns

    def _may_go_on(self, leader: PerfEvent, room: bool) -> bool:
        """group_can_go_on()."""
        if self.exclusive or leader.attr.exclusive and leader.context.on[kind_of(leader)]:
            return False
        return room

    def _group_in(self, leader: PerfEvent) -> bool:
        """group_sched_in(): a counter for each of the group, or none."""
        got = []
        for event in leader.group:
            if not self._event_in(event):
                for other in got[1:] + got[:1]:
                    self._event_out(other)
                return False
            got.append(event)
        return True

    def _event_in(self, event: PerfEvent) -> bool:
        """event_sched_in(): false if there is no counter."""
        if event.status <= Status.OFF:
            return True
        event.set_status(Status.ACTIVE)
        self._let_go_on(event)  # ticks may have been missed
        if not self.driver.add(event):
            event.set_status(Status.INACTIVE)
            return False
        self.exclusive |= event.attr.exclusive
        return True

    def _group_out(self, leader: PerfEvent) -> None:
        """group_sched_out()."""
        on = leader.context.on[kind_of(leader)]
        if leader in on:
            on.remove(leader)
        for event in leader.group:
            self._event_out(event)

    def _event_out(self, event: PerfEvent) -> None:
        """event_sched_out()."""
        if event.status != Status.ACTIVE:
            return
        self.driver.delete(event)
        event.set_status(Status.INACTIVE)
        if event.attr.exclusive:
            self.exclusive = False

    # What time brings.

    def due(self) -> int | None:
        """When `timer` is next to be called; None if it needn't be. Ticks are only asked for while
        they have something to do here."""
        if not any(event.frequency or event.throttled for event in self._active()):
            self.tick_due = None
        elif self.tick_due is None:
            self.tick_due = (self.clock() // TICK_NS + 1) * TICK_NS
        if self.tick_due is None or self.rotation_due is None:
            return self.rotation_due if self.tick_due is None else self.tick_due
        return min(self.tick_due, self.rotation_due)

    def timer(self) -> None:
        """The timer interrupt: the tick and the rotation, if they are due."""
        now = self.clock()
        if self.tick_due is not None and now >= self.tick_due:
            self.tick_due = (now // TICK_NS + 1) * TICK_NS
            self.tick()
        if self.rotation_due is not None and now >= self.rotation_due:
            rotated = self.rotate()
            later = now - self.rotation_due
            missed = later // self.rotation_ns
            self.rotation_due = (
                self.rotation_due + (missed + 1) * self.rotation_ns if rotated else None
            )

    def _active(self) -> list[PerfEvent]:
        """The events that have counters."""
        contexts = [self.cpu, self.task] if self.task else [self.cpu]
        return [
            event
            for context in contexts
            for kind in KINDS
            for leader in context.on[kind]
            for event in leader.group
            if event.status == Status.ACTIVE
        ]

    def tick(self) -> None:
        """perf_event_task_tick(): let throttled events go on, and adjust periods."""
        for event in self._active():
            if event.throttled:
                self._let_go_on(event)
                self.driver.start(event, False)
            if event.frequency:
                self.driver.stop(event, True)
                more = event.count - event.freq_count_stamp
                event.freq_count_stamp = event.count
                if more > 0:
                    self._adjust(event, TICK_NS, more, stop=False)
                self.driver.start(event, more > 0)

    def rotate(self) -> bool:
        """perf_rotate_context(): other groups get the counters if some didn't fit. Was it so?"""
        of_task = self.task if self.task and self.task.rotate else None
        of_cpu = self.cpu.rotate
        if not of_task and not of_cpu:
            return False
        task = self.task
        first = of_task.next_to_rotate() if of_task else None
        first_of_cpu = self.cpu.next_to_rotate() if of_cpu else None
        again = task if first or first_of_cpu else None
        if again:
            self._out(again, (FLEXIBLE,))
        if first_of_cpu:
            self._out(self.cpu, (FLEXIBLE,))
            self.cpu.rotate_to_end(first_of_cpu)
            self._in(self.cpu, FLEXIBLE)
        if of_task and first:
            of_task.rotate_to_end(first)
        if again:
            self._in(again, FLEXIBLE)
        return True

    # Overflow.

    def interrupt(self) -> int:
        """The PMU's interrupt: how many periods were over."""
        began = self.clock()
        found = self.driver.overflow(self.overflow)
        self._took(self.clock() - began)
        return found

    def _took(self, ns: int) -> None:
        """perf_sample_event_took(): interrupts may take a quarter of the time at most
        (perf_cpu_time_max_percent), or there are fewer."""
        self._taken_ns += ns - self._taken_ns // AVERAGED
        average = self._taken_ns // AVERAGED
        if average > self._allowed_ns:
            self._allowed_ns = average + average // 4
            self.most_samples = max(TICK_NS // 4 // self._allowed_ns, 1)

    def overflow(self, event: PerfEvent) -> bool:
        """perf_event_overflow(): a period of an event's is over. Whether it is throttled."""
        if not event.sampling:
            return False
        tick = self.clock() // TICK_NS
        if event.interrupts_tick != tick:
            event.interrupts_tick, event.interrupts = tick, 1
        else:
            event.interrupts += 1
            if event.interrupts > self.most_samples and not event.throttled:
                event.throttled = True
                if event.on_throttle:
                    event.on_throttle(event, True)
        if event.frequency:
            now = self.clock()
            since, event.freq_stamp = now - event.freq_stamp, now
            if 0 < since < 2 * TICK_NS:
                self._adjust(event, since, event.last_period, stop=True)
        if event.on_overflow:
            event.on_overflow(event)
        return event.throttled

    def _let_go_on(self, event: PerfEvent) -> None:
        """perf_log_throttle(event, 1)."""
        if event.throttled:
            event.throttled, event.interrupts = False, 0
            if event.on_throttle:
                event.on_throttle(event, False)

    def _adjust(self, event: PerfEvent, nsec: int, count: int, stop: bool) -> None:
        """perf_adjust_period(): `count` happened in `nsec`. `stop`: the event isn't stopped yet."""
        wanted = calculated(count, nsec, event.frequency)
        event.sample_period = adjusted(event.sample_period, wanted)
        if event.period_left > 8 * event.sample_period:
            if stop:
                self.driver.stop(event, True)
            event.period_left = 0
            if stop:
                self.driver.start(event, True)
