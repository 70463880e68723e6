"""The driver that programs counters by SBI calls (Linux 6.12, drivers/perf/riscv_pmu_sbi.c)."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, S, U
from rvperf.stack import sbi
from rvperf.stack.level import Level
from rvperf.stack.pmu_drivers.event import HwEvent, State
from rvperf.stack.pmu_drivers.riscv_pmu import SCOUNTEREN, TIME_ONLY, Driver
from rvperf.stack.sbi import (
    CfgFlag,
    CounterInfo,
    Error,
    Extension,
    Pmu,
    Snapshot,
    StartFlag,
    StopFlag,
    bits,
)

SCOUNTOVF = CSR_NUMBERS["scountovf"]
MAX_COUNTERS = 64
INHIBIT_FLAGS = {
    U: CfgFlag.SET_UINH,
    S: CfgFlag.SET_SINH,
    VU: CfgFlag.SET_VUINH,
    VS: CfgFlag.SET_VSINH,
}
STANDARD_EVENTS = (*sbi.GENERAL, *sbi.CACHE_EVENTS)
WRONG_BASE = 64 * MAX_COUNTERS  # the quirk: an index that has run past the end, times 64


class SbiDriver(Driver):
    """Counters by SBI calls. `snapshot` is the page to share for snapshots of counters: it is
    offered at `probe`, and not used if it is declined, as OpenSBI does."""

    def __init__(
        self,
        level: Level,
        snapshot: Snapshot | None = None,
        quirks: Iterable[str] = (),
        overflows: bool | None = None,
    ):
        super().__init__(level, quirks, overflows)
        self._offered = snapshot
        self.snapshot: Snapshot | None = None
        """The page shared for snapshots, if any is."""
        self.missing: set[int] = set()
        """The standard events that no counter can count."""
        self._kept: dict[int, int] = {}  # values of counters stopped together, by number

    def _call(self, function: Pmu, *arguments: int) -> tuple[int, int]:
        return self.level.call(Extension.PMU, function, *arguments)

    def probe(self) -> None:
        """Find the counters, offer the shared page, stop everything, let the interrupt in, and
        try which standard events there are. There may be nothing at all."""
        spec = self._ask_for_pmu()
        if not spec:
            return
        self._find_counters()
        if self._offered and spec >= sbi.version(2, 0):
            error, _ = self._call(Pmu.SNAPSHOT_SET_SHMEM, self._offered.address, 0, 0)
            if not error:
                self.snapshot = self._offered
        self.level.write(SCOUNTEREN, TIME_ONLY)
        self._call(Pmu.COUNTER_STOP, 0, self.counters, StopFlag.RESET)
        self._listen()
        self._try_standard_events()

    def _ask_for_pmu(self) -> int:
        """The version of SBI, or 0 if it has no PMU."""
        call = self.level.call
        _, spec = call(Extension.BASE, sbi.Base.GET_SPEC_VERSION)
        _, there = call(Extension.BASE, sbi.Base.PROBE_EXTENSION, Extension.PMU)
        return spec if there else 0

    def _find_counters(self) -> None:
        """Ask for all counters."""
        _, count = self._call(Pmu.NUM_COUNTERS)
        for idx in range(min(count, MAX_COUNTERS)):
            error, value = self._call(Pmu.COUNTER_GET_INFO, idx)
            if not error and self._takes(info := CounterInfo.of(value)):
                self.info[idx] = info

    def _takes(self, info: CounterInfo) -> bool:
        """Whether a counter of the firmware's list is used through it."""
        return True

    def _try_standard_events(self) -> None:
        """pmu_sbi_check_std_events: have each configured once."""
        for event_idx in STANDARD_EVENTS:
            error, idx = self._call(Pmu.COUNTER_CFG_MATCH, 0, self.counters, 0, event_idx, 0)
            if not error:
                self._call(Pmu.COUNTER_STOP, idx, 1, StopFlag.RESET)
            elif error == Error.NOT_SUPPORTED:
                self.missing.add(event_idx)

    def _maps(self, event: HwEvent) -> int:
        if not self.info or event.selector in self.missing:
            return errno.ENOENT
        if event.firmware or event.selector in (*STANDARD_EVENTS, sbi.RAW_EVENT, sbi.RAW_EVENT_V2):
            return 0
        return errno.EINVAL

    def _claim(self, event: HwEvent) -> int | None:
        flags = CfgFlag(0)
        for mode in event.inhibited:
            flags |= INHIBIT_FLAGS[mode]
        counters = self._counters_for(event)
        error, idx = self._call(
            Pmu.COUNTER_CFG_MATCH, 0, counters, flags, event.selector, event.data
        )
        return None if error or not counters >> idx & 1 else idx

    def _counters_for(self, event: HwEvent) -> int:
        return self.counters

    def _start(self, event: HwEvent, value: int) -> None:
        self._call(Pmu.COUNTER_START, event.idx, 1, StartFlag.SET_INIT_VALUE, value)

    def _stop(self, event: HwEvent) -> None:
        self._stop_one(event.idx, StopFlag(0))

    def _release(self, event: HwEvent) -> None:
        self._stop_one(event.idx, StopFlag.RESET)

    def _stop_one(self, idx: int, flags: StopFlag) -> None:
        shared = self.snapshot
        if shared:
            flags |= StopFlag.TAKE_SNAPSHOT
        error, _ = self._call(Pmu.COUNTER_STOP, idx, 1, flags)
        if shared and not error and idx:  # its value is the first of the call's counters
            shared[idx], shared[0] = shared[0], 0

    def _value(self, event: HwEvent) -> int:
        if self.snapshot and event.state & State.STOPPED:
            return self.snapshot[event.idx]
        if event.firmware:
            error, value = self._call(Pmu.COUNTER_FW_READ, event.idx)
            return 0 if error else value
        return self.level.read(self.info[event.idx].csr)

    def _stop_used(self) -> None:
        flags = StopFlag.TAKE_SNAPSHOT if self.snapshot else StopFlag(0)
        error, _ = self._call(Pmu.COUNTER_STOP, 0, self.used, flags)
        self._kept = {}
        if self.snapshot and not error:
            self._kept = {idx: self.snapshot[idx] for idx in bits(self.used)}

    def _overflowed(self) -> int:
        return self.snapshot.overflow if self.snapshot else self.level.read(SCOUNTOVF)

    def _restart_used(self, overflowed: int, resting: int) -> None:
        used = self.used & ~resting
        if self.snapshot:
            for idx in bits(used):
                self.snapshot[idx] = self._kept.get(idx, 0)
            for idx, value in self._new_values(overflowed):
                self.snapshot[idx] = value
            base = WRONG_BASE if "linux-snapshot-base" in self.quirks else 0
            self._call(Pmu.COUNTER_START, base, used, StartFlag.INIT_SNAPSHOT)
            return
        self._call(Pmu.COUNTER_START, 0, used & ~overflowed, 0)  # even if there are none
        for idx, value in self._new_values(overflowed):
            self._call(Pmu.COUNTER_START, idx, 1, StartFlag.SET_INIT_VALUE, value)

    def _new_values(self, overflowed: int) -> Iterator[tuple[int, int]]:
        """(counter, what it goes on from) of those that have overflowed."""
        for idx in bits(overflowed):
            event = self.events[idx]
            yield idx, event.prev_count & self._mask(event)
