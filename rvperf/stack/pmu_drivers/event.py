"""A counting or sampling event as a PMU driver sees it (Linux' struct hw_perf_event, and what the
driver looks at of the attributes)."""

from __future__ import annotations

from enum import IntFlag

from isa.modes import VS, VU, Mode, S, U
from rvperf.stack.sbi import is_firmware


class State(IntFlag):
    """Of an event that has a counter: whether it stands still, and its count is up to date."""

    STOPPED = 1  # PERF_HES_STOPPED
    UPTODATE = 2  # PERF_HES_UPTODATE


class HwEvent:
    """What to count, and how far it has got.

    `selector` is SBI's event_idx, and `data` its event_data. With a `sample_period` an overflow
    is delivered each time that so many have been counted; without, the driver puts in how far the
    counter goes at a time. The five `exclude`s say where not to count, `guest` that a hypervisor
    made the event for its guest, and `user_read` that the program may read the counter by itself.
    `counters` are those that can count it, as a mask, 0 for any.
    """

    def __init__(
        self,
        selector: int,
        sample_period: int = 0,
        *,
        data: int = 0,
        exclude_user: bool = False,
        exclude_kernel: bool = False,
        exclude_hv: bool = False,
        exclude_host: bool = False,
        exclude_guest: bool = False,
        guest: bool = False,
        user_read: bool = False,
        counters: int = 0,
    ):
        self.selector = selector
        self.data = data
        self.exclude_user = exclude_user
        self.exclude_kernel = exclude_kernel
        self.exclude_hv = exclude_hv
        self.exclude_host = exclude_host
        self.exclude_guest = exclude_guest
        self.guest = guest
        self.user_read = user_read
        self.counters = counters
        self.sampling = sample_period != 0
        self.sample_period = sample_period
        self.last_period = sample_period
        """The period that the last overflow ended: PERF_SAMPLE_PERIOD."""
        self.period_left = sample_period
        """How far it is to the next overflow, counted at the last update; negative when late."""
        self.prev_count = 0
        """What the counter held at the last update."""
        self.count = 0
        """How many have been counted, up to the last update."""
        self.idx: int | None = None
        """The counter's number, while it has one."""
        self.state = State.STOPPED | State.UPTODATE

    @property
    def firmware(self) -> bool:
        """Whether the firmware counts it."""
        return is_firmware(self.selector)

    @property
    def inhibited(self) -> frozenset[Mode]:
        """In which modes the counter is to stand still: of the five `exclude`s what the drivers
        make of them. A hypervisor's are for its guest's modes."""
        modes: set[Mode] = set()
        if self.exclude_kernel:
            modes.add(VS if self.guest else S)
        if self.exclude_user:
            modes.add(VU if self.guest else U)
        if self.guest and self.exclude_hv:
            modes.add(S)
        if self.exclude_host:
            modes |= {U, S}
        if self.exclude_guest:
            modes |= {VS, VU}
        return frozenset(modes)
