"""What the RISC-V PMU drivers have in common (Linux, drivers/perf/riscv_pmu.c, and the interrupt
handler of riscv_pmu_sbi.c, which riscv_pmu_dev.c has too)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

from isa.csrs import CSR_NUMBERS
from isa.routing import LCOFI
from rvperf.stack.level import Level
from rvperf.stack.pmu_drivers import costs
from rvperf.stack.pmu_drivers.event import HwEvent, State
from rvperf.stack.sbi import CounterInfo, bits

SIP, SIE, SCOUNTEREN = CSR_NUMBERS["sip"], CSR_NUMBERS["sie"], CSR_NUMBERS["scounteren"]
CYCLE = CSR_NUMBERS["cycle"]
TIME_ONLY = 1 << 1  # in scounteren
QUIRKS = {
    "linux-snapshot-base": "After an overflow, Linux' driver restarts counters with snapshots from "
    "a wrong counter_idx_base (4096 for 0), which is refused: they stand still until the event is "
    "scheduled again.",
}
"""Known mistakes of the real drivers, off unless asked for."""


class Driver:
    """The driver of one hart's counters, for the kernel at `level`.

    `overflows` says whether the kernel was told that counters interrupt and filter modes
    (Sscofpmf); by default whether the hart does. Made, it must `probe` before anything else.
    """

    def __init__(self, level: Level, quirks: Iterable[str] = (), overflows: bool | None = None):
        self.level = level
        self.quirks = frozenset(quirks)
        self.overflows = "Sscofpmf" in level.hart.extensions if overflows is None else overflows
        self.info: dict[int, CounterInfo] = {}
        """The counters that there are, by number."""
        self.events: dict[int, HwEvent] = {}
        """The event that each counter counts, of those in use."""
        self.on_change: Callable[[], None] | None = None
        """Told that `events` has changed."""

    # What a driver of its own kind does: the operations on counters.

    def probe(self) -> None:
        """Find the counters, as at boot, and let their interrupt in."""
        raise NotImplementedError

    def _maps(self, event: HwEvent) -> int:
        """0, or the errno if there is no such event here."""
        raise NotImplementedError

    def _claim(self, event: HwEvent) -> int | None:
        """Have a free counter count this, though not yet: its number, or None."""
        raise NotImplementedError

    def _start(self, event: HwEvent, value: int) -> None:
        """Have the event's counter count on from a value."""
        raise NotImplementedError

    def _stop(self, event: HwEvent) -> None:
        """Have the event's counter stand still."""
        raise NotImplementedError

    def _release(self, event: HwEvent) -> None:
        """The event needs its counter, which stands still, no longer."""
        raise NotImplementedError

    def _value(self, event: HwEvent) -> int:
        """What the event's counter holds."""
        raise NotImplementedError

    def _stop_used(self) -> None:
        """Have all of the hart's counters that are in use stand still."""
        raise NotImplementedError

    def _overflowed(self) -> int:
        """Which counters have overflowed, once they stand still."""
        raise NotImplementedError

    def _restart_used(self, overflowed: int, resting: int) -> None:
        """Have all counters in use but those `resting` go on, those that have overflowed from their
        new values."""
        raise NotImplementedError

    # What perf_events asks for.

    @property
    def counters(self) -> int:
        """The counters that there are, as a mask."""
        return sum(1 << idx for idx in self.info)

    @property
    def used(self) -> int:
        """The hart's counters that are in use, as a mask."""
        return sum(1 << idx for idx in self.events if not self.info[idx].firmware)

    @property
    def kept(self) -> int:
        """The hart's counters that it may take without asking anybody, as a mask."""
        return 0

    @property
    def width(self) -> int:
        """The width in bits of the programmable counters, 0 if there are none."""
        return next((info.width for idx, info in sorted(self.info.items()) if idx > 2), 0)

    @property
    def hardware(self) -> int:
        """How many of the counters are the hart's."""
        return sum(not info.firmware for info in self.info.values())

    def supports(self, event: HwEvent) -> int:
        """event_init: 0 and the event can be added, or the errno. Nothing is asked of anybody."""
        refused = self._maps(event)
        if refused:
            return refused
        if not self.overflows:  # PERF_PMU_CAP_NO_INTERRUPT, PERF_PMU_CAP_NO_EXCLUDE
            if event.sampling:
                return errno.EOPNOTSUPP
            if event.inhibited or event.exclude_hv:
                return errno.EINVAL
        event.idx = None
        if not event.sampling:
            # Half of what the counter can count, so that it doesn't overtake the last update.
            event.sample_period = event.last_period = event.period_left = self._mask(event) >> 1
        return 0

    def add(self, event: HwEvent, start: bool = True) -> bool:
        """Give the event a counter: was there one free?"""
        self.level.charge(costs.ADD)
        idx = self._claim(event)
        if idx is None or idx in self.events:
            return False
        event.idx = idx
        self.events[idx] = event
        if self.on_change:
            self.on_change()
        event.state = State.UPTODATE | State.STOPPED
        if start:
            self.start(event)
        return True

    def delete(self, event: HwEvent) -> None:
        """Update the event, and take its counter away."""
        self.level.charge(costs.DELETE)
        self.stop(event)
        self._release(event)
        del self.events[event.idx]
        event.idx = None
        if self.on_change:
            self.on_change()

    def start(self, event: HwEvent, reload: bool = True) -> None:
        """Have an event count on that stands still. It always gets its period anew (`reload`)."""
        if not event.state & State.STOPPED:
            return
        self.level.charge(costs.START)
        event.state = State(0)
        self._set_period(event)
        self._start(event, event.prev_count & self._mask(event))
        if event.user_read:
            self._let_read(event, True)

    def stop(self, event: HwEvent, update: bool = True) -> None:
        """Have an event stand still. It is always brought up to date (`update`)."""
        if event.state & State.STOPPED:
            return
        self.level.charge(costs.STOP)
        if event.user_read:
            self._let_read(event, False)
        self._stop(event)
        event.state |= State.STOPPED
        self._update(event)
        event.state |= State.UPTODATE

    def read(self, event: HwEvent) -> None:
        """Bring the event's count up to date."""
        self._update(event)

    def peek(self, event: HwEvent, held: Callable[[int], int]) -> int:
        """What the event's count would be after `read`, without doing anything for it: `held` gives
        what a counter holds, by number."""
        if event.state & State.STOPPED or event.idx is None or self.info[event.idx].firmware:
            return event.count
        return event.count + (held(event.idx) - event.prev_count & self._mask(event))

    def overflow(self, deliver: Callable[[HwEvent], bool]) -> int:
        """Serve the counters' interrupt: `deliver` each event whose period is over, while all
        counters stand still. How many there were.

        Those whose delivery says that they are throttled stand still until they are started. (As
        perf_event_throttle of 6.16 means it; the driver as it is starts them again, which could go
        on for ever here.)
        """
        level = self.level
        level.charge(costs.OVERFLOW)
        used = self.used
        if not used:
            level.clear(SIP, LCOFI)
            return 0
        self._stop_used()
        overflowed = self._overflowed()
        level.clear(SIP, LCOFI)  # not before they stand still
        if not overflowed:
            return 0  # and leave them standing
        restarted = resting = delivered = 0
        for idx in bits(used & overflowed):
            event = self.events[idx]
            if not event.sampling:
                continue
            level.charge(costs.OVERFLOWED)
            restarted |= 1 << idx
            event.state |= State.STOPPED
            self._update(event)
            event.state |= State.UPTODATE
            if self._set_period(event):
                delivered += 1
                if deliver(event):
                    resting |= 1 << idx
                    continue
            event.state = State(0)
        self._restart_used(restarted & ~resting, resting)
        return delivered

    # Periods.

    def _mask(self, event: HwEvent) -> int:
        """The bits of the event's counter; of counter 0 before it has one."""
        info = self.info.get(event.idx or 0, CounterInfo())
        return (1 << info.width) - 1

    def _update(self, event: HwEvent) -> None:
        """riscv_pmu_event_update: add what was counted since the last time."""
        self.level.charge(costs.UPDATE)
        value = self._value(event)
        counted = value - event.prev_count & self._mask(event)
        event.prev_count = value
        event.count += counted
        event.period_left -= counted

    def _set_period(self, event: HwEvent) -> bool:
        """riscv_pmu_event_set_period: what the counter is to start from, in prev_count. Was the
        period over?"""
        left, period = event.period_left, event.sample_period
        over = left <= 0
        if over:
            # What has been counted too many belongs to the next period, unless that's over as well.
            left = period if left <= -period else left + period
            event.period_left, event.last_period = left, period
        event.prev_count = -min(left, self._mask(event) >> 1)
        return over

    def _let_read(self, event: HwEvent, allowed: bool) -> None:
        """Let the program read the counter, or no longer."""
        bit = 1 << self.info[event.idx].csr - CYCLE
        now = self.level.read(SCOUNTEREN)
        self.level.write(SCOUNTEREN, now | bit if allowed else now & ~bit)

    def _listen(self) -> None:
        """Let the interrupt in, at boot."""
        if self.overflows:
            self.level.clear(SIP, LCOFI)
            self.level.set(SIE, LCOFI)
