"""KVM's virtual PMU: the guest's counters are perf events of the host (arch/riscv/kvm/vcpu_pmu.c).

The guest drives it by SBI calls. Each of its counters that is in use has a host event, task-bound
to the vCPU's thread, that counts only in the guest; its overflow interrupt comes to the host, which
injects one. With a snapshot, the counters' values and overflows come and go by shared memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from isa.causes import Interrupt
from isa.csrs import CSR_NUMBERS
from isa.routing import LCOFI
from rvperf.stack.hypervisor.instructions import CsrAccess
from rvperf.stack.hypervisor.vpmu import Vpmu
from rvperf.stack.sbi import (
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

MASK = (1 << 64) - 1
CYCLE, SCOUNTOVF, HIDELEG, SIE, SIP = (
    CSR_NUMBERS[name] for name in ("cycle", "scountovf", "hideleg", "sie", "sip")
)
FIXED = {1: 0, 2: 2}  # the fixed counters of events: cycles and instructions
TIME = 1
FIRMWARE_COUNTERS = 32  # RISCV_KVM_MAX_FW_CTRS


class Counter:
    """One counter of a guest (struct kvm_pmc)."""

    __slots__ = ("number", "value", "event", "event_idx", "started", "counted")

    def __init__(self, number: int):
        self.number = number
        self.value = 0
        self.event = None  # the host's
        self.event_idx: int | None = None  # what the guest configured, while it is in use
        self.started = False
        self.counted = 0
        """What the host's event had counted when `value` was right."""


class KvmPmu(Vpmu):
    """The designs `sbi` and `snapshot`: guest driver on SBI, hypervisor on the host's events."""

    name = "sbi"
    guest_driver = "sbi"
    host_driver = "sbi"
    snapshot = False

    def __init__(self, counters: int = 29, quirks: frozenset[str] = frozenset()):
        super().__init__(counters, quirks)
        self.hardware = counters + 3
        self._clear()

    def _clear(self) -> None:
        numbers = range(self.hardware + FIRMWARE_COUNTERS)
        self.pmcs = {n: Counter(n) for n in numbers if n != TIME}
        self.overflown = 0
        self.shared = None
        """The snapshot's memory, if the guest has told where it is."""

    def reset(self, vcpu) -> None:
        """As `Vpmu.reset`: the host's events are closed (kvm_riscv_vcpu_pmu_deinit)."""
        for pmc in self.pmcs.values():
            self._release(vcpu, pmc)
        self._clear()

    @classmethod
    def needs(cls, quirks: Iterable[str]) -> frozenset[str]:
        """As `Vpmu.needs`. Where counters are delegated a guest's scountovf traps, which KVM has to
        serve; it reads as zero without."""
        if "kvm-no-scountovf" in quirks and cls.host_driver == "sbi":
            return cls.extensions - {"Smcdeleg"}
        return cls.extensions

    # SBI calls (vcpu_sbi_pmu.c).

    def calls(self, vcpu) -> Service:
        """As `Vpmu.calls`."""
        served = {
            Pmu.NUM_COUNTERS: self.number_of_counters,
            Pmu.COUNTER_GET_INFO: self.info,
            Pmu.COUNTER_CFG_MATCH: self.configure,
            Pmu.COUNTER_START: self.start,
            Pmu.COUNTER_STOP: self.stop,
            Pmu.COUNTER_FW_READ: self.read_firmware,
            Pmu.COUNTER_FW_READ_HI: lambda vcpu, *_: 0,
            Pmu.EVENT_GET_INFO: self.tell_events,
        }
        if self.snapshot:
            served[Pmu.SNAPSHOT_SET_SHMEM] = self.share
        return {function: partial(method, vcpu) for function, method in served.items()}

    @property
    def total(self) -> int:
        """The guest's counters, the hardware's and the firmware's."""
        return self.hardware + FIRMWARE_COUNTERS

    def number_of_counters(self, vcpu, *_) -> int:
        """NUM_COUNTERS."""
        return self.total

    def info(self, vcpu, number: int, *_) -> int:
        """COUNTER_GET_INFO."""
        if number not in self.pmcs:
            raise Refused(Error.INVALID_PARAM)
        if number >= self.hardware:
            return CounterInfo(firmware=True).value
        return CounterInfo(CYCLE + number).value

    def tell_events(self, vcpu, *arguments) -> None:
        """EVENT_GET_INFO."""
        low, high, count, flags, *_ = arguments
        supports = vcpu.hypervisor.counts_event
        tell_events(vcpu.vm.memory, low, high, count, flags, lambda idx, data: supports(idx))

    def configure(self, vcpu, base, mask, flags, event_idx, data, *_) -> int:
        """COUNTER_CFG_MATCH (kvm_riscv_vcpu_pmu_ctr_cfg_match)."""
        numbers = counter_set(base, mask, self.total)
        firmware = is_firmware(event_idx)
        if not firmware and not vcpu.hypervisor.counts_event(event_idx):
            raise Refused(Error.NOT_SUPPORTED)
        if flags & CfgFlag.SKIP_MATCH:
            number = numbers[0]
            if number not in self.pmcs or self.pmcs[number].event_idx is None:
                raise Refused(Error.INVALID_PARAM)
        else:
            number = self._free(event_idx, firmware, numbers)
        pmc = self.pmcs[number]
        if flags & CfgFlag.CLEAR_VALUE:
            pmc.value = 0
        if not firmware:
            self._make(vcpu, pmc, event_idx, flags)
        pmc.event_idx = event_idx
        if flags & CfgFlag.AUTO_START:
            self._start(vcpu, pmc)
        return number

    def _free(self, event_idx: int, firmware: bool, numbers: list[int]) -> int:
        """The counter for an event (pmu_get_pmc_index). Refused if there is none left.

        KVM gives the fixed one even while it is in use, and so breaks what it counts; this doesn't.
        """
        if not firmware and event_idx in FIXED:
            if self.pmcs[FIXED[event_idx]].event_idx is not None:
                raise Refused(Error.NOT_SUPPORTED)
            return FIXED[event_idx]
        for number in numbers:
            pmc = self.pmcs.get(number)
            if pmc and pmc.event_idx is None and (number >= self.hardware) == firmware:
                if firmware or number > max(FIXED.values()):
                    return number
        raise Refused(Error.NOT_SUPPORTED)

    def _make(self, vcpu, pmc: Counter, event_idx: int, flags: int) -> None:
        """kvm_pmu_create_perf_event: a host event that is not enabled yet."""
        self._release(vcpu, pmc)
        pmc.event = vcpu.hypervisor.open_for_guest(
            vcpu,
            event_idx,
            exclude_user=bool(flags & CfgFlag.SET_UINH),
            exclude_kernel=bool(flags & CfgFlag.SET_SINH),
            sample_period=period(pmc.value),
            on_overflow=lambda event: self.overflowed(vcpu, pmc),
        )
        pmc.counted = 0

    def _release(self, vcpu, pmc: Counter) -> None:
        if pmc.event is not None:
            vcpu.hypervisor.core.close(pmc.event)
            pmc.event = None

    def _start(self, vcpu, pmc: Counter) -> None:
        core = vcpu.hypervisor.core
        if pmc.event is not None:
            core.set_period(pmc.event, period(pmc.value))
            core.enable(pmc.event)
        pmc.started = True

    def start(self, vcpu, base, mask, flags, value, *_) -> None:
        """COUNTER_START (kvm_riscv_vcpu_pmu_ctr_start)."""
        numbers = counter_set(base, mask, self.total)
        if flags & StartFlag.INIT_SNAPSHOT and self.shared is None:
            raise Refused(Error.NO_SHMEM)
        error = None
        for number in numbers:
            pmc = self.pmcs.get(number)
            if pmc is None or pmc.event_idx is None:
                continue
            self.overflown &= ~(1 << number)
            if flags & StartFlag.SET_INIT_VALUE:
                self._set(pmc, value)
            elif flags & StartFlag.INIT_SNAPSHOT:
                self._set(pmc, self.shared[number - base])
            elif pmc.event is not None and "kvm-cumulative-read" not in self.quirks:
                self._update(vcpu, pmc)
            if pmc.started:
                error = Error.ALREADY_STARTED
            else:
                self._start(vcpu, pmc)
        if error:
            raise Refused(error)

    def stop(self, vcpu, base, mask, flags, *_) -> None:
        """COUNTER_STOP (kvm_riscv_vcpu_pmu_ctr_stop)."""
        numbers = counter_set(base, mask, self.total)
        snapshot = flags & StopFlag.TAKE_SNAPSHOT
        if snapshot and self.shared is None:
            raise Refused(Error.NO_SHMEM)
        error, overflown = None, 0
        for number in numbers:
            pmc = self.pmcs.get(number)
            if pmc is None or pmc.event_idx is None:
                continue
            if pmc.started:
                self.stopping(vcpu, pmc)
                if pmc.event is not None:
                    vcpu.hypervisor.core.disable(pmc.event)
                pmc.started = False
            else:
                error = Error.ALREADY_STOPPED
            if snapshot:
                if pmc.event is not None:
                    self._update(vcpu, pmc)
                self.shared[number - base] = pmc.value
                overflown |= (self.overflown >> number & 1) << number - base
            if flags & StopFlag.RESET:
                self._release(vcpu, pmc)
                pmc.event_idx = None
                self.overflown &= ~(1 << number)
        if snapshot:
            self.shared.overflow = overflown
        if error:
            raise Refused(error)

    def stopping(self, vcpu, pmc: Counter) -> None:
        """A counter is about to be stopped for the guest."""

    def read_firmware(self, vcpu, number: int, *_) -> int:
        """COUNTER_FW_READ."""
        pmc = self.pmcs.get(number)
        if pmc is None or number < self.hardware or pmc.event_idx is None:
            raise Refused(Error.INVALID_PARAM)
        return pmc.value

    def share(self, vcpu, low: int, high: int, flags: int, *_) -> None:
        """SNAPSHOT_SET_SHMEM: where the guest wants its snapshots."""
        self.shared = Snapshot.share(vcpu.vm.memory, low, high, flags)

    def firmware_event(self, code: int) -> None:
        """The hypervisor has done for the guest what a firmware event counts."""
        event_idx = FirmwareEvent(code).event_idx
        for pmc in self.pmcs.values():
            if pmc.event_idx == event_idx and pmc.started:
                pmc.value += 1

    # Values.

    @staticmethod
    def _set(pmc: Counter, value: int) -> None:
        """Give a counter that stands still its value."""
        pmc.value = value
        if pmc.event is not None:
            pmc.counted = pmc.event.count

    def _update(self, vcpu, pmc: Counter) -> int:
        """Bring a counter's value up to date, and give it."""
        count = vcpu.hypervisor.core.read(pmc.event).count
        since = count if "kvm-cumulative-read" in self.quirks else count - pmc.counted
        pmc.value, pmc.counted = pmc.value + since & MASK, count
        return pmc.value

    def holds(self, vcpu, number: int) -> int:
        """As `Vpmu.holds`."""
        pmc = self.pmcs[number]
        if pmc.event is None:
            return pmc.value
        since = 0 if "kvm-cumulative-read" in self.quirks else pmc.counted
        return pmc.value + vcpu.hypervisor.core.peek(pmc.event).count - since & MASK

    # CSRs that trap (kvm_riscv_vcpu_pmu_read_hpm).

    def access(self, vcpu, access: CsrAccess) -> bool:
        """As `Vpmu.access`."""
        value = self.read(vcpu, access.csr)
        if value is None or access.writes:
            return False
        if access.rd:
            vcpu.hypervisor.hart.x[access.rd] = value
        return True

    def read(self, vcpu, csr: int) -> int | None:
        """What the guest reads from a CSR; None if it has none of that kind."""
        if csr == SCOUNTOVF and "kvm-no-scountovf" not in self.quirks:
            return self.overflown
        number = csr - CYCLE
        most = 31 if "kvm-hpm31" in self.quirks else 32
        if not 0 <= number < min(most, self.hardware) or number == TIME:
            return None
        pmc = self.pmcs[number]
        return None if pmc.event is None else self._update(vcpu, pmc)

    # Overflows.

    def overflowed(self, vcpu, pmc: Counter) -> None:
        """The host's event of a counter has overflown (kvm_riscv_pmu_overflow)."""
        driver, event = vcpu.hypervisor.core.driver, pmc.event
        driver.stop(event, True)
        event.sample_period = -event.count & MASK
        event.period_left = 0
        self.overflown |= 1 << pmc.number
        vcpu.hypervisor.inject(vcpu, Interrupt.COUNTER_OVERFLOW)
        driver.start(event, True)


class SnapshotPmu(KvmPmu):
    """The design `snapshot`: `sbi` with values and overflows in memory that both see."""

    name = "snapshot"
    guest_driver = "snapshot"
    snapshot = True


class DelegatedPmu(SnapshotPmu):
    """The design `deleg`: `snapshot`, with counters and interrupts delegated by the hardware.

    The host's driver has the counters itself (Ssccfg), and counter overflow interrupts are
    delegated to VS-mode (Shlcofideleg). So the host isn't told of an overflow, and has to look
    for itself when the guest asks.
    """

    name = "deleg"
    host_driver = "delegation"
    extensions = Vpmu.extensions | {"Shlcofideleg"}
    why_host_loses = "counter overflow interrupts are delegated to the guest"
    pending = False
    """Whether the guest's interrupt was pending when its vCPU left the hart."""

    def loaded(self, vcpu) -> None:
        """The guest's interrupt is the hart's own."""
        vcpu.hypervisor.set(HIDELEG, LCOFI)
        if self.pending:
            vcpu.hypervisor.set(SIP, LCOFI)

    def leaving(self, vcpu) -> None:
        """The host's events forget what has overflown when they lose their counters."""
        hypervisor = vcpu.hypervisor
        started = [pmc for pmc in self.pmcs.values() if pmc.started]
        for pmc in started:
            self.stopping(vcpu, pmc)
        self.pending = any(self.overflown >> pmc.number & 1 for pmc in started)
        self.pending &= bool(hypervisor.read(SIP) & LCOFI)
        if self.pending:
            hypervisor.clear(SIP, LCOFI)

    def putting(self, vcpu) -> None:
        """It is the host's again."""
        vcpu.hypervisor.clear(HIDELEG, LCOFI)
        vcpu.hypervisor.set(SIE, LCOFI)  # which was the guest's

    def reset(self, vcpu) -> None:
        """As `Vpmu.reset`."""
        super().reset(vcpu)
        self.pending = False

    def stopping(self, vcpu, pmc: Counter) -> None:
        """Nobody told the host if the counter has overflown: ask the hart."""
        event = pmc.event
        if event is not None and event.idx is not None:
            if vcpu.hypervisor.read(SCOUNTOVF) >> event.idx & 1:
                self.overflown |= 1 << pmc.number


def period(value: int) -> int:
    """How far a counter is from its overflow (kvm_pmu_get_sample_period)."""
    return -value & MASK if value else MASK
