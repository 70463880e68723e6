"""The driver that programs counters by itself where they are delegated to supervisors, Smcdeleg and
Ssccfg (Linux, drivers/perf/riscv_pmu_dev.c as posted in 2025, and asm/csr_ind.h)."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from isa.counting import FIRST, INHIBITS, OF
from isa.csrs import CSR_NUMBERS
from rvperf.machine.pmu import EVENTS
from rvperf.stack.level import MASK, Level
from rvperf.stack.pmu_drivers.event import HwEvent
from rvperf.stack.pmu_drivers.riscv_pmu import CYCLE, LCOFI, SCOUNTEREN, SIP, TIME_ONLY
from rvperf.stack.pmu_drivers.sbi import SCOUNTOVF, SbiDriver
from rvperf.stack.sbi import RAW_EVENT, RAW_EVENT_V2, CounterInfo, Pmu, bits

SISELECT, SIREG, SIREG2 = (CSR_NUMBERS[name] for name in ("siselect", "sireg", "sireg2"))
SCOUNTINHIBIT = CSR_NUMBERS["scountinhibit"]
FIRST_SELECT = 0x40  # in siselect, counter 0
FIXED = 0b101  # cycle and instret
PROGRAMMABLE = MASK & ~0b111


class DelegationDriver(SbiDriver):
    """Counters by CSRs; only the firmware's own by SBI calls.

    Free counters are taken from the lowest on, or from the last with `lowest_first` false, and
    only those in `limit`: so a host leaves the first ones to its guests. The firmware's own are
    there if SBI has its PMU extension.
    """

    def __init__(
        self,
        level: Level,
        lowest_first: bool = True,
        limit: int = MASK,
        quirks: Iterable[str] = (),
        overflows: bool | None = None,
    ):
        super().__init__(level, None, quirks, overflows)
        self.lowest_first = lowest_first
        self.limit = limit
        self.filters_fixed = "Smcntrpmf" in level.hart.extensions

    # csr_ind.h: indirect access.

    def _ind_read(self, idx: int, register: int) -> int:
        self.level.write(SISELECT, FIRST_SELECT + idx)
        return self.level.read(register)

    def _ind_write(self, idx: int, register: int, value: int) -> None:
        self.level.write(SISELECT, FIRST_SELECT + idx)
        self.level.write(register, value)

    def _ind_warl(self, idx: int, register: int, value: int) -> int:
        """What is legal of a value; the register keeps its own."""
        level = self.level
        level.write(SISELECT, FIRST_SELECT + idx)
        before = level.read(register)
        level.write(register, value)
        legal = level.read(register)
        level.write(register, before)
        return legal

    def _inhibit(self, counters: int) -> None:
        self.level.write(SCOUNTINHIBIT, self.level.read(SCOUNTINHIBIT) | counters)

    def _let_count(self, counters: int) -> None:
        self.level.write(SCOUNTINHIBIT, self.level.read(SCOUNTINHIBIT) & ~counters)

    def probe(self) -> None:
        """Find by the bits of scountinhibit which counters are delegated, ask for the firmware's,
        stop everything, and let the interrupt in."""
        level, firmware = self.level, self._ask_for_pmu()
        before = level.read(SCOUNTINHIBIT)
        level.write(SCOUNTINHIBIT, MASK)
        delegated = level.read(SCOUNTINHIBIT)
        level.write(SCOUNTINHIBIT, before)
        for idx in bits(delegated & ~0b10):
            width = 64 if FIXED >> idx & 1 else self._ind_warl(idx, SIREG, MASK).bit_length()
            self.info[idx] = CounterInfo(CYCLE + idx, width)
        if firmware:
            self._find_counters()
        level.write(SCOUNTEREN, TIME_ONLY)
        self._inhibit(delegated)
        if firmware:
            self._call(Pmu.COUNTER_STOP, 0, self._firmware_counters, 0)
        self._listen()

    def _takes(self, info: CounterInfo) -> bool:
        return info.firmware

    @property
    def kept(self) -> int:
        """As `Driver.kept`: firmware has delegated them for good."""
        return self.counters & ~self._firmware_counters & self.limit

    @property
    def _firmware_counters(self) -> int:
        return sum(1 << idx for idx, info in self.info.items() if info.firmware)

    def _counters_for(self, event: HwEvent) -> int:
        return self._firmware_counters

    def _maps(self, event: HwEvent) -> int:
        if not self.info:
            return errno.ENOENT
        if event.firmware:
            return 0 if self._firmware_counters else errno.ENOENT
        raw = event.selector in (RAW_EVENT, RAW_EVENT_V2)
        return 0 if raw or event.selector in EVENTS else errno.ENOENT

    def _claim(self, event: HwEvent) -> int | None:
        if event.firmware:
            return super()._claim(event)
        free = self.counters & ~self._firmware_counters & ~self.used
        if event.counters:
            free &= event.counters
        fixed = free & FIXED & event.counters
        if fixed and not event.sampling:  # only if it is asked for
            idx = next(bits(fixed))
            if self.filters_fixed:
                self._configure(idx, event)
            return idx
        free &= PROGRAMMABLE & self.limit
        if not free:
            return None
        idx = next(bits(free)) if self.lowest_first else free.bit_length() - 1
        self._configure(idx, event)
        return idx

    def _configure(self, idx: int, event: HwEvent) -> None:
        """update_deleg_hpmevent: what to count and where not. The overflow interrupt stays off."""
        selector = event.data if event.selector in (RAW_EVENT, RAW_EVENT_V2) else event.selector
        inhibits = sum(1 << INHIBITS[mode] for mode in event.inhibited)
        self._ind_write(idx, SIREG2, selector | inhibits | OF)

    def _start(self, event: HwEvent, value: int) -> None:
        if event.firmware:
            super()._start(event, value)
            return
        self._ind_write(event.idx, SIREG, value)
        pending = self.level.read(SIP) & LCOFI
        if event.sampling and not pending:  # else an interrupt is still to be served
            config = self._ind_read(event.idx, SIREG2)
            self._ind_write(event.idx, SIREG2, config & ~OF)
        self._let_count(1 << event.idx)

    def _stop(self, event: HwEvent) -> None:
        if event.firmware:
            super()._stop(event)
        else:
            self._inhibit(1 << event.idx)

    def _release(self, event: HwEvent) -> None:
        if event.firmware:
            super()._release(event)
        elif event.idx >= FIRST or self.filters_fixed:
            self._ind_write(event.idx, SIREG2, OF)

    def _stop_used(self) -> None:
        self._inhibit(self.used)

    def _overflowed(self) -> int:
        return self.level.read(SCOUNTOVF)

    def _restart_used(self, overflowed: int, resting: int) -> None:
        self._let_count(self.used & ~(overflowed | resting))
        for idx, value in self._new_values(overflowed):
            self._start(self.events[idx], value)
