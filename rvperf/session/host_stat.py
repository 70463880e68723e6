"""perf stat of the host: system-wide, or of the threads of one VM."""

from __future__ import annotations

from isa.modes import S
from isa.record import Record
from rvperf.events import Event
from rvperf.machine.pmu import SELECTORS
from rvperf.results import Count, Exit, StatResult
from rvperf.session import HARDWARE, Every
from rvperf.session.attributes import How, excluded_sides
from rvperf.session.host_software import SoftwareEvent
from rvperf.session.intervals import Intervals
from rvperf.stack.events_core import attr_of

NOBODY = How()


class HostStatRequest(Record):
    """What a `perf stat` of the host counts: of everything, or of the VM by number `vm`.

    `every` is -I's.
    """

    events: tuple[Event, ...]
    every: Every | None = None
    vm: int | None = None


class HostStat:
    """One of them on `board`. `vcpus` are all there are."""

    def __init__(self, request: HostStatRequest, board, vcpus):
        self.request, self.board = request, board
        self.vcpus = [one for one in vcpus if request.vm in (None, one.vm.number)]
        self.opened: list = []  # for each hart its events, by the request's order
        self.began = 0
        self.intervals = Intervals(request.every)
        self.interval_ns = request.every.ns if request.every else 0
        # What harts have read of intervals that not all have read yet.
        self._read: dict[int, dict] = {}
        self._told = 0  # the last of them that all have read

    def begin(self, one, now: int) -> None:
        """A hart's host opens its events, and counts."""
        leaders: dict = {}
        events = [self._open(one, leaders, event) for event in self.request.events]
        self.opened.append((one, events))
        self.began = max(self.began, now)
        if self.interval_ns:
            self._next(one, events, now + self.interval_ns, 1)

    def _open(self, one, leaders: dict, event: Event) -> list | None:
        """The host's events that count this one on a hart; None if they can't. `leaders` has those
        of the groups so far."""
        host, vm = one.host, self.request.vm
        vcpus = [vcpu for vcpu in self.vcpus if vcpu.hypervisor is host]
        if event.source not in HARDWARE:
            if event.kind == "tool" and self.opened:
                return []  # those are counted once, and not on every CPU
            return [SoftwareEvent(event, one, vcpus, vm is None)]
        exclude_host, exclude_guest = excluded_sides(event, NOBODY)
        if counts_none_of(self.vcpus, exclude_guest):
            return None
        opened = []
        for task in [None] if vm is None else vcpus:
            leader = leaders.get((event.group, task))
            attr = attr_of(
                event,
                SELECTORS[HARDWARE[event.source]],
                leader is None,
                exclude_host=exclude_host,
                exclude_guest=exclude_guest,
            )
            try:
                opened.append(host.core.open(attr, task, leader))
            except OSError:
                return None
            if event.group is not None:
                leaders.setdefault((event.group, task), opened[-1])
        return opened

    # Intervals: each hart reads when it is time there, and the last one makes the sum. On those
    # that nobody runs on time doesn't pass, nor does anything count.

    def _next(self, one, events, time: int, number: int) -> None:
        def read() -> None:
            self._arrived(number, one, self._values(one, events))
            if not self.intervals.over:
                self._next(one, events, time + self.interval_ns, number + 1)

        one.host.at(time, read)

    def _arrived(self, number: int, one, values: list) -> None:
        if number > self._told:
            self._read.setdefault(number, {})[one] = values
        while (number := self._told + 1) in self._read:
            parts = self._read[number]
            missing = [(other, events) for other, events in self.opened if other not in parts]
            if any(other.busy for other, _ in missing):
                break
            parts |= {other: self._values(other, events) for other, events in missing}
            del self._read[number]
            self._told = number
            self._interval(number * self.interval_ns, summed([*parts.values()]))

    def _interval(self, time: int, total: list) -> None:
        self.intervals.tell(time, self._counts(total))

    @staticmethod
    def _values(one, events, not_asked: bool = False) -> list:
        """(count, enabled, running) of each event on a hart, which may be `not_asked` for it."""
        found = []
        for several in events:
            if several is None:
                found.append(None)
                continue
            total = (0, 0, 0)
            for event in several:
                if isinstance(event, SoftwareEvent):
                    value = event.read()
                else:
                    task = event.context.task
                    host = task.hypervisor if task else one.host
                    # One that has gone to a hart that runs a guest now isn't read there.
                    look = not_asked or host is not one.host and host.hart.mode != S
                    now = (host.core.peek if look else host.core.read)(event)
                    value = now.count, now.enabled, now.running
                total = tuple(a + b for a, b in zip(total, value, strict=True))
            found.append(total)
        return found

    def _counts(self, values: list) -> tuple[Count, ...]:
        counts = []
        for event, value in zip(self.request.events, values, strict=True):
            shown = {"unit": event.unit, "scale": event.scale, "context": event.context}
            if value is None:
                counts.append(Count(event.name, event.symbol, None, supported=False, **shown))
            else:
                count, enabled, running = value
                counts.append(
                    Count(event.name, event.symbol, count, enabled=enabled, running=running,
                          **shown)
                )  # fmt: skip
        return tuple(counts)

    @property
    def whose(self) -> str:
        """What is counted."""
        return "system wide" if self.request.vm is None else f"vm{self.request.vm}"

    def so_far(self) -> tuple[Count, ...]:
        """What has been counted until now; nothing is done for it on the board."""
        if not self.opened:
            return ()
        return self._counts(summed([self._values(*each, not_asked=True) for each in self.opened]))

    def finish(self) -> StatResult:
        """The guests have gone."""
        ended = max(one.hart.cycles for one, _ in self.opened)
        for one, _ in self.opened:
            one.hart.idle_until(ended)
        last = {one: self._values(one, events) for one, events in self.opened}
        total = summed([*last.values()])
        for number, parts in sorted(self._read.items()):  # some harts ended before that
            self._interval(number * self.interval_ns, summed([*(last | parts).values()]))
        elapsed = ended - self.began
        return StatResult(
            command=(self.whose,),
            counts=self.intervals.end(elapsed, self._counts(total)),
            elapsed=elapsed,
            user=None,
            system=None,
            exit=Exit(code=0),
        )


def counts_none_of(vcpus, exclude_guest: bool) -> bool:
    """Whether the host refuses events that count in guests too, since these vCPUs have all of the
    PMU while they run."""
    return not exclude_guest and any(not vcpu.vpmu.host_counts_guests for vcpu in vcpus)


def summed(parts: list[list]) -> list:
    """The sum over harts of (count, enabled, running) of each event, None where there is none."""
    found = []
    for each in zip(*parts, strict=True):
        if any(value is None for value in each):
            found.append(None)
        else:
            found.append(tuple(map(sum, zip(*each, strict=True))))
    return found
