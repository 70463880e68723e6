"""SBI's PMU extension on a hart's own counters, as OpenSBI serves it (lib/sbi/sbi_pmu.c).

Counters have the hart's numbers: 0 is mcycle, 2 minstret, from 3 on those with an mhpmevent, and
behind them 16 that count what the firmware does itself.
"""

from __future__ import annotations

from isa.causes import Interrupt
from isa.counting import FIRST, INHIBITS, LAST, OF
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S, U
from rvperf.machine.pmu import EVENTS
from rvperf.stack.firmware import costs
from rvperf.stack.level import MASK, Level
from rvperf.stack.sbi import (
    EVENT_IDX,
    RAW_EVENT,
    RAW_EVENT_V2,
    CfgFlag,
    CounterInfo,
    Error,
    FirmwareEvent,
    Pmu,
    Refused,
    Service,
    Snapshot,
    StartFlag,
    StopFlag,
    counter_set,
    is_firmware,
    tell_events,
)

CYCLE, MCYCLE = CSR_NUMBERS["cycle"], CSR_NUMBERS["mcycle"]
MHPMEVENT = CSR_NUMBERS["mhpmevent3"] - FIRST
MCYCLECFG = CSR_NUMBERS["mcyclecfg"]
MCOUNTINHIBIT, MIP = CSR_NUMBERS["mcountinhibit"], CSR_NUMBERS["mip"]
LCOFIP = 1 << Interrupt.COUNTER_OVERFLOW
FIXED = {1: 0, 2: 2}  # cycles and instructions, and the counters that count nothing else
FIRMWARE_COUNTERS = 16
INHIBITED_BY = {
    CfgFlag.SET_VUINH: VU,
    CfgFlag.SET_VSINH: VS,
    CfgFlag.SET_UINH: U,
    CfgFlag.SET_SINH: S,
}


def inhibits(flags: int) -> int:
    """The bits of mhpmevent for flags of COUNTER_CFG_MATCH. M-mode is never counted."""
    modes = [M, *(mode for flag, mode in INHIBITED_BY.items() if flags & flag)]
    return sum(1 << INHIBITS[mode] for mode in modes)


class PmuService:
    """The PMU extension of `firmware`'s hart. `snapshot` is whether counter snapshots can be
    taken, and `events_told` whether there is EVENT_GET_INFO."""

    def __init__(self, firmware: Level, snapshot: bool, events_told: bool):
        self.level = firmware
        extensions = firmware.hart.extensions
        self.overflows = "Sscofpmf" in extensions
        self.fixed_filter = "Smcntrpmf" in extensions
        self.widths: dict[int, int] = {0: 64, 2: 64}
        """The hart's counters that there are, and their widths in bits."""
        self.first_own = LAST + 1
        """The first counter of the firmware."""
        self.active: dict[int, int] = dict(zip(FIXED.values(), FIXED, strict=True))
        """The event_idx that each counter is configured for."""
        self.own: dict[int, int] = {}
        """What the firmware's counters hold."""
        self.own_running: set[int] = set()
        self.shared: Snapshot | None = None
        self.service: Service = {
            Pmu.NUM_COUNTERS: self.num_counters,
            Pmu.COUNTER_GET_INFO: self.get_info,
            Pmu.COUNTER_CFG_MATCH: self.cfg_match,
            Pmu.COUNTER_START: self.start,
            Pmu.COUNTER_STOP: self.stop,
            Pmu.COUNTER_FW_READ: self.fw_read,
            Pmu.COUNTER_FW_READ_HI: self.fw_read_hi,
        }
        if snapshot:
            self.service = {**self.service, Pmu.SNAPSHOT_SET_SHMEM: self.set_shmem}
        if events_told:
            self.service = {**self.service, Pmu.EVENT_GET_INFO: self.event_info}

    def find_counters(self) -> None:
        """At boot: which programmable counters there are, by what they hold of what is written."""
        hart = self.level.hart
        for number in range(FIRST, LAST + 1):
            before = hart.read_csr(MCYCLE + number)
            hart.write_csr(MCYCLE + number, MASK)
            if width := hart.read_csr(MCYCLE + number).bit_length():
                self.widths[number] = width
            hart.write_csr(MCYCLE + number, before)
        self.first_own = max(self.widths) + 1
        self.own = {self.first_own + n: 0 for n in range(FIRMWARE_COUNTERS)}

    @property
    def total(self) -> int:
        """The number of counters, those between that aren't there included."""
        return self.first_own + FIRMWARE_COUNTERS

    def happened(self, event: FirmwareEvent) -> None:
        """Count something that the firmware did."""
        for idx in self.own_running:
            if self.active[idx] == event.event_idx:
                self.own[idx] = self.own[idx] + 1 & MASK

    def can_count(self, event_idx: int, data: int) -> bool:
        """Whether there is a counter for an event."""
        if is_firmware(event_idx):
            return event_idx & 0xFFFF in FirmwareEvent._value2member_map_
        return self._selector(event_idx, data) in EVENTS

    def _selector(self, event_idx: int, data: int) -> int:
        return data if event_idx in (RAW_EVENT, RAW_EVENT_V2) else event_idx

    # The calls.

    def num_counters(self, *_) -> int:
        self.level.charge(costs.NUM_COUNTERS)
        return self.total

    def get_info(self, idx: int, *_) -> int:
        self.level.charge(costs.GET_INFO)
        if idx in self.own:
            return CounterInfo(firmware=True).value
        if idx not in self.widths:
            raise Refused(Error.INVALID_PARAM)
        return CounterInfo(CYCLE + idx, self.widths[idx]).value

    def cfg_match(self, first: int, mask: int, flags: int, event_idx: int, data: int, *_) -> int:
        """Configure a counter of a set for an event, and give its number."""
        self.level.charge(costs.CFG_MATCH)
        among = counter_set(first, mask, self.total)
        event_idx &= EVENT_IDX
        if not self.can_count(event_idx, data):
            raise Refused(Error.NOT_SUPPORTED)
        if flags & CfgFlag.SKIP_MATCH:
            idx = among[0]
            if idx not in self.active:
                raise Refused(Error.INVALID_PARAM)
        elif is_firmware(event_idx):
            idx = self._find_own(among)
        else:
            idx = self._find(among, flags, event_idx, data)
        self.active[idx] = event_idx
        if flags & CfgFlag.CLEAR_VALUE:
            self._put(idx, 0)
        if flags & CfgFlag.AUTO_START:
            self._start_one(idx)
        return idx

    def _find_own(self, among: list[int]) -> int:
        for idx in among:
            if idx in self.own and idx not in self.active:
                return idx
        raise Refused(Error.NOT_SUPPORTED)

    def _find(self, among: list[int], flags: int, event_idx: int, data: int) -> int:
        """pmu_ctr_find_hw: the last programmable counter that is free, configured; else the fixed
        one, if the event has any. It can't interrupt, so it's the only one without Sscofpmf."""
        level, fixed = self.level, FIXED.get(event_idx)
        if self.overflows or fixed is None:
            standing = level.read(MCOUNTINHIBIT)
            free = [
                idx
                for idx in among
                if idx >= FIRST and idx in self.widths and idx not in self.active
                if standing >> idx & 1
            ]
            if free:
                config = self._selector(event_idx, data)
                if self.overflows:  # OF keeps it from interrupting until it is started
                    config |= OF | inhibits(flags)
                level.write(MHPMEVENT + free[-1], config)
                return free[-1]
        if fixed not in among:
            raise Refused(Error.NOT_SUPPORTED)
        if self.fixed_filter:
            level.write(MCYCLECFG + (fixed != 0), inhibits(flags))
        return fixed

    def start(self, first: int, mask: int, flags: int, value: int, *_) -> None:
        self.level.charge(costs.START)
        among = counter_set(first, mask, self.total)
        both = StartFlag.SET_INIT_VALUE | StartFlag.INIT_SNAPSHOT
        if flags & both == both:
            raise Refused(Error.INVALID_PARAM)
        shared = self._shared(flags & StartFlag.INIT_SNAPSHOT)

        def start(idx: int) -> Error:
            if flags & StartFlag.SET_INIT_VALUE:
                return self._start_one(idx, value)
            return self._start_one(idx, shared[idx - first] if shared else None)

        self._each(among, start)

    def stop(self, first: int, mask: int, flags: int, *_) -> None:
        self.level.charge(costs.STOP)
        among = counter_set(first, mask, self.total)
        shared = self._shared(flags & StopFlag.TAKE_SNAPSHOT)
        overflow = shared.overflow if shared else 0

        def stop(idx: int) -> Error:
            nonlocal overflow
            error = self._stop_one(idx)
            if shared and not error:
                at = idx - first
                shared[at] = self._get(idx)
                overflow = overflow & ~(1 << at) | self._has_overflowed(idx) << at
            if flags & StopFlag.RESET and idx >= FIRST:
                del self.active[idx]
                if idx in self.widths:
                    self.level.write(MHPMEVENT + idx, 0)
                overflow &= ~(1 << idx - first)
            return error

        try:
            self._each(among, stop)
        finally:
            if shared:
                shared.overflow = overflow

    def _each(self, among: list[int], do) -> None:
        """Do it to the configured counters of a set. Refused with what one of them gave, or if
        none is configured."""
        errors = []
        for idx in among:
            if idx in self.active:
                self.level.charge(costs.EACH_COUNTER)
                errors.append(do(idx))
        if not errors:
            raise Refused(Error.INVALID_PARAM)
        if failed := [error for error in errors if error]:
            raise Refused(failed[-1])

    def fw_read(self, idx: int, *_) -> int:
        self.level.charge(costs.FW_READ)
        if idx not in self.own or idx not in self.active:
            raise Refused(Error.INVALID_PARAM)
        return self.own[idx]

    def fw_read_hi(self, idx: int, *_) -> int:
        """The upper half, which only 32-bit registers need."""
        self.fw_read(idx)
        return 0

    def set_shmem(self, low: int, high: int, flags: int, *_) -> None:
        self.level.charge(costs.SET_SHMEM)
        self.shared = Snapshot.share(self.level.hart.ram, low, high, flags)

    def event_info(self, low: int, high: int, count: int, flags: int, *_) -> None:
        self.level.charge(costs.EVENT_INFO)
        tell_events(self.level.hart.ram, low, high, count, flags, self.can_count)

    def _shared(self, wanted: int) -> Snapshot | None:
        if not wanted:
            return None
        if not self.shared:
            raise Refused(Error.NO_SHMEM)
        return self.shared

    # One counter.

    def _start_one(self, idx: int, value: int | None = None) -> Error:
        if idx in self.own:
            if idx in self.own_running:
                return Error.ALREADY_STARTED
            if value is not None:
                self.own[idx] = value
            self.own_running.add(idx)
            return Error.SUCCESS
        level = self.level
        standing = level.read(MCOUNTINHIBIT)
        if not standing >> idx & 1:
            return Error.ALREADY_STARTED
        if self.overflows and idx >= FIRST:
            # Let it interrupt, unless an interrupt is still to be served that OF tells of.
            config = level.read(MHPMEVENT + idx)
            if not level.read(MIP) & LCOFIP:
                level.write(MHPMEVENT + idx, config & ~OF)
        if value is not None:
            self._put(idx, value)
        level.write(MCOUNTINHIBIT, standing & ~(1 << idx))
        return Error.SUCCESS

    def _stop_one(self, idx: int) -> Error:
        if idx in self.own:
            if idx not in self.own_running:
                return Error.ALREADY_STOPPED
            self.own_running.remove(idx)
            return Error.SUCCESS
        standing = self.level.read(MCOUNTINHIBIT)
        if standing >> idx & 1:
            return Error.ALREADY_STOPPED
        self.level.write(MCOUNTINHIBIT, standing | 1 << idx)
        return Error.SUCCESS

    def _get(self, idx: int) -> int:
        return self.own[idx] if idx in self.own else self.level.read(MCYCLE + idx)

    def _put(self, idx: int, value: int) -> None:
        if idx in self.own:
            self.own[idx] = value
        else:
            self.level.write(MCYCLE + idx, value)

    def _has_overflowed(self, idx: int) -> int:
        if not self.overflows or idx in self.own or idx < FIRST:
            return 0
        return self.level.read(MHPMEVENT + idx) >> 63
