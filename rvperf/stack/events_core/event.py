"""One open event: what was asked for, where it stands, and what it has counted so far."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from isa.record import Record
from rvperf.stack.pmu_drivers.event import HwEvent

TYPE_CHECKING = False  # as `typing` has it, whose import isn't free
if TYPE_CHECKING:
    from .context import Context


class Status(IntEnum):
    """enum perf_event_state. From INACTIVE on the event is enabled; ACTIVE has a counter."""

    EXIT = -3
    ERROR = -2
    OFF = -1
    INACTIVE = 0
    ACTIVE = 1


class EventAttr(Record):
    """What perf_event_open(2) is asked for, by perf_event_attr's names."""

    selector: int
    """SBI's event_idx."""
    data: int = 0
    """SBI's event_data."""
    sample_period: int = 0
    """0 only counts."""
    sample_freq: int = 0
    """Samples a second that the period is adjusted to, if not 0."""
    exclude_user: bool = False
    exclude_kernel: bool = False
    exclude_hv: bool = False
    exclude_host: bool = False
    exclude_guest: bool = False
    guest: bool = False
    """For a guest, by a hypervisor (config1's GUEST_EVENTS)."""
    user_read: bool = False
    """The program may read the counter by itself (an mmap'ed event)."""
    counters: int = 0
    """Those that can count it, as a mask; 0 for any."""
    pinned: bool = False
    exclusive: bool = False
    disabled: bool = False
    inherit: bool = False
    enable_on_exec: bool = False


def attr_of(event, selector: int, leads: bool, **more) -> EventAttr:
    """What an event of the command line (rvperf.events.Event) asks for; `more` is of EventAttr, and
    goes before. Only who `leads` a group can be pinned or exclusive."""
    asked = {
        "exclude_user": event.exclude_user,
        "exclude_kernel": event.exclude_kernel,
        "exclude_hv": event.exclude_hv,
        "exclude_host": event.exclude_host,
        "exclude_guest": event.exclude_guest,
        "pinned": event.pinned and leads,
        "exclusive": event.exclusive and leads,
    }
    return EventAttr(selector, **asked | more)


class Reading(Record):
    """What read(2) gives of one event: its count with those of its clones, and for how many ns of
    its task it was enabled and had a counter. All of a group are read at one moment."""

    count: int
    enabled: int
    running: int


class PerfEvent(HwEvent):
    """struct perf_event. Made by `EventsCore.open`, and operated by it alone."""

    def __init__(self, attr: EventAttr, context: Context, leader: PerfEvent | None = None):
        super().__init__(
            attr.selector,
            1 if attr.sample_freq else attr.sample_period,
            data=attr.data,
            exclude_user=attr.exclude_user,
            exclude_kernel=attr.exclude_kernel,
            exclude_hv=attr.exclude_hv,
            exclude_host=attr.exclude_host,
            exclude_guest=attr.exclude_guest,
            guest=attr.guest,
            user_read=attr.user_read,
            counters=attr.counters,
        )
        self.attr = attr
        self.context = context
        self.leader: PerfEvent = leader or self
        self.siblings: list[PerfEvent] = []
        self.status = Status.OFF if attr.disabled else Status.INACTIVE
        self.enable_on_exec = attr.enable_on_exec
        self.on_overflow: Callable[[PerfEvent], None] | None = None
        """Called in the overflow interrupt for each period that is over (overflow_handler)."""
        self.on_throttle: Callable[[PerfEvent, bool], None] | None = None
        """Told when sampling is throttled (true) and goes on."""
        self.owner: object = None
        """Whatever opened it may leave a note here; clones have their parent's."""
        # Inheritance: clones of a task's event for the tasks that it makes.
        self.parent: PerfEvent | None = None
        self.children: list[PerfEvent] = []
        self.gone = Reading(0, 0, 0)
        """What clones had counted whose tasks have ended."""
        # Times, of the context's clock.
        self.stamp = context.time
        self.enabled = self.running = 0
        # Frequency and throttling.
        self.freq_stamp = self.freq_count_stamp = 0
        self.interrupts, self.interrupts_tick = 0, -1
        self.throttled = False

    @property
    def group(self) -> list[PerfEvent]:
        """The leader and its siblings, whichever of them this is."""
        return [self.leader, *self.leader.siblings]

    @property
    def frequency(self) -> int:
        """Samples a second; 0 in period mode."""
        return self.attr.sample_freq

    def update_time(self) -> None:
        """perf_event_update_time(): give the time that has passed to what it was spent as."""
        now = self.context.time
        self.enabled, self.running = self.times(now)
        self.stamp = now

    def times(self, now: int) -> tuple[int, int]:
        """`enabled` and `running` at a time of the context's."""
        spent = now - self.stamp
        # A member of a group that is off isn't enabled either.
        status = self.leader.status if self.leader.status <= Status.OFF else self.status
        return (
            self.enabled + spent * (status >= Status.INACTIVE),
            self.running + spent * (status >= Status.ACTIVE),
        )

    def set_status(self, status: Status) -> None:
        """perf_event_set_state(). A leader's going on or off is its siblings' too."""
        if status == self.status:
            return
        self.update_time()
        if self.leader is self and (status < 0) != (self.status < 0):
            for sibling in self.siblings:
                sibling.update_time()
        self.status = status
