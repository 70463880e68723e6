"""KVM's virtual PMU: the guest's counters are perf events of the host (arch/riscv/kvm/vcpu_pmu.c).

The guest drives it by SBI calls. Each of its counters that is in use has a host event, task-bound
to the vCPU's thread, that counts only in the guest; its overflow interrupt comes to the host, which
injects one. With a snapshot, the counters' values and overflows come and go by shared memory.
"""

from __future__ import annotations

from isa.causes import Interrupt
from isa.csrs import CSR_NUMBERS
from rvperf.stack import sbi
from rvperf.stack.hypervisor.instructions import CsrAccess
from rvperf.stack.hypervisor.vpmu import Vpmu

MASK = (1 << 64) - 1
CYCLE, SCOUNTOVF = CSR_NUMBERS["cycle"], CSR_NUMBERS["scountovf"]
SIP = CSR_NUMBERS["sip"]
FIXED = {0x1: 0, 0x2: 2}  # the events of fixed counters, cycles and instructions, and these
TIME = 1
LCOFI = 1 << Interrupt.COUNTER_OVERFLOW
FIRMWARE_COUNTERS = 32  # RISCV_KVM_MAX_FW_CTRS
UINH, SINH = sbi.CFG_SET_UINH, sbi.CFG_SET_SINH


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
        numbers = range(self.hardware + FIRMWARE_COUNTERS)
        self.pmcs = {n: Counter(n) for n in numbers if n != TIME}
        self.overflown = 0
        self.shared = None
        """The guest physical address of the snapshot's memory."""

    # SBI calls (vcpu_sbi_pmu.c).

    def call(self, vcpu, function: int, arguments: list[int]) -> tuple[int, int] | None:
        """As `Vpmu.call`."""
        served = {
            sbi.PMU_NUM_COUNTERS: self.number_of_counters,
            sbi.PMU_COUNTER_GET_INFO: self.info,
            sbi.PMU_COUNTER_CONFIG_MATCHING: self.configure,
            sbi.PMU_COUNTER_START: self.start,
            sbi.PMU_COUNTER_STOP: self.stop,
            sbi.PMU_COUNTER_FW_READ: self.read_firmware,
            sbi.PMU_COUNTER_FW_READ_HI: lambda vcpu, number, *_: (sbi.SUCCESS, 0),
            sbi.PMU_SNAPSHOT_SET_SHMEM: self.share,
        }.get(function)
        return served(vcpu, *arguments) if served else (sbi.ERR_NOT_SUPPORTED, 0)

    def number_of_counters(self, vcpu, *_) -> tuple[int, int]:
        """PMU_NUM_COUNTERS."""
        return sbi.SUCCESS, self.hardware + FIRMWARE_COUNTERS

    def info(self, vcpu, number: int, *_) -> tuple[int, int]:
        """PMU_COUNTER_GET_INFO."""
        if number not in self.pmcs:
            return sbi.ERR_INVALID_PARAM, 0
        if number >= self.hardware:
            return sbi.SUCCESS, 1 << 63
        return sbi.SUCCESS, CYCLE + number | 63 << 12

    def configure(self, vcpu, base, mask, flags, event_idx, data, *_) -> tuple[int, int]:
        """PMU_COUNTER_CONFIG_MATCHING (kvm_riscv_vcpu_pmu_ctr_cfg_match)."""
        if not self._valid(base, mask):
            return sbi.ERR_INVALID_PARAM, 0
        core = vcpu.hypervisor.core
        firmware = event_idx >> 16 == sbi.EVENT_TYPE_FW
        if not firmware and not core.supports(event_idx):
            return sbi.ERR_NOT_SUPPORTED, 0
        if flags & sbi.CFG_SKIP_MATCH:
            number = base + (mask & -mask).bit_length() - 1
            if self.pmcs[number].event_idx is None:
                return sbi.ERR_INVALID_PARAM, 0
        else:
            number = self._free(event_idx, firmware)
            if number is None:
                return sbi.ERR_NOT_SUPPORTED, 0
        counter = self.pmcs[number]
        if flags & sbi.CFG_CLEAR_VALUE:
            counter.value = 0
        if not firmware:
            self._make(vcpu, counter, event_idx, flags)
        counter.started = bool(flags & sbi.CFG_AUTO_START)
        counter.event_idx = event_idx
        if counter.started and counter.event:
            core.enable(counter.event)
        return sbi.SUCCESS, number

    def _free(self, event_idx: int, firmware: bool) -> int | None:
        """The counter for an event (pmu_get_pmc_index)."""
        if not firmware and event_idx in FIXED:
            return FIXED[event_idx]
        begin, end = (self.hardware, None) if firmware else (3, self.hardware)
        for number in range(begin, end or self.hardware + FIRMWARE_COUNTERS):
            if self.pmcs[number].event_idx is None:
                return number
        return None

    def _make(self, vcpu, counter: Counter, event_idx: int, flags: int) -> None:
        """kvm_pmu_create_perf_event: a host event that is not enabled yet."""
        self._release(vcpu, counter)
        counter.event = vcpu.hypervisor.core.create(
            selector=event_idx,
            task=vcpu,
            pinned=True,
            guest=True,
            exclude_host=True,
            exclude_hv=True,
            exclude_user=bool(flags & UINH),
            exclude_kernel=bool(flags & SINH),
            sample_period=period(counter.value),
            on_overflow=lambda event: self.overflowed(vcpu, counter),
        )
        counter.counted = 0

    def _release(self, vcpu, counter: Counter) -> None:
        if counter.event is not None:
            vcpu.hypervisor.core.release(counter.event)
            counter.event = None

    def start(self, vcpu, base, mask, flags, value, *_) -> tuple[int, int]:
        """PMU_COUNTER_START (kvm_riscv_vcpu_pmu_ctr_start)."""
        if not self._valid(base, mask):
            return sbi.ERR_INVALID_PARAM, 0
        from_memory = flags & sbi.START_INIT_SNAPSHOT
        if from_memory and self.shared is None:
            return sbi.ERR_NO_SHMEM, 0
        core, error = vcpu.hypervisor.core, sbi.SUCCESS
        for bit in bits(mask):
            counter = self.pmcs.get(base + bit)
            if counter is None or counter.event_idx is None:
                continue
            self.overflown &= ~(1 << counter.number)
            if flags & sbi.START_SET_INIT_VALUE:
                counter.value = value
            elif from_memory:
                counter.value = self._load(vcpu, sbi.SNAPSHOT_VALUES + 8 * bit)
            if counter.started:
                error = sbi.ERR_ALREADY_STARTED
                continue
            if counter.event is None:
                error = sbi.SUCCESS if counter.number >= self.hardware else sbi.ERR_INVALID_PARAM
            else:
                counter.counted = core.count(counter.event)
                core.period(counter.event, period(counter.value))
                core.enable(counter.event)
            counter.started = True
        return error, 0

    def stop(self, vcpu, base, mask, flags, *_) -> tuple[int, int]:
        """PMU_COUNTER_STOP (kvm_riscv_vcpu_pmu_ctr_stop)."""
        if not self._valid(base, mask):
            return sbi.ERR_INVALID_PARAM, 0
        to_memory = flags & sbi.STOP_TAKE_SNAPSHOT
        if to_memory and self.shared is None:
            return sbi.ERR_NO_SHMEM, 0
        core, error, overflown = vcpu.hypervisor.core, sbi.SUCCESS, 0
        for bit in bits(mask):
            counter = self.pmcs.get(base + bit)
            if counter is None or counter.event_idx is None:
                continue
            if counter.started:
                self.stopping(vcpu, counter)
                if counter.event is not None:
                    core.disable(counter.event)
                counter.started = False
            else:
                error = sbi.ERR_ALREADY_STOPPED
            if to_memory:
                if counter.event is not None:
                    self._update(vcpu, counter)
                self._store(vcpu, sbi.SNAPSHOT_VALUES + 8 * bit, counter.value)
                if self.overflown >> counter.number & 1:
                    overflown |= 1 << bit
            if flags & sbi.STOP_RESET:
                self._release(vcpu, counter)
                counter.event_idx = None
                self.overflown &= ~(1 << counter.number)
        if to_memory:
            self._store(vcpu, sbi.SNAPSHOT_OVERFLOWS, overflown)
        return error, 0

    def stopping(self, vcpu, counter: Counter) -> None:
        """A counter is about to be stopped for the guest."""

    def read_firmware(self, vcpu, number: int, *_) -> tuple[int, int]:
        """PMU_COUNTER_FW_READ."""
        counter = self.pmcs.get(number)
        if counter is None or number < self.hardware or counter.event_idx is None:
            return sbi.ERR_INVALID_PARAM, 0
        return sbi.SUCCESS, counter.value

    def share(self, vcpu, low: int, high: int, *_) -> tuple[int, int]:
        """PMU_SNAPSHOT_SET_SHMEM: where the guest wants its snapshots."""
        if not self.snapshot:
            return sbi.ERR_NOT_SUPPORTED, 0
        if low == MASK and high == MASK:
            self.shared = None
            return sbi.SUCCESS, 0
        if high or low & 4095:
            return sbi.ERR_INVALID_PARAM, 0
        if not vcpu.vm.memory.contains(low, sbi.SNAPSHOT_SIZE):
            return sbi.ERR_INVALID_ADDRESS, 0
        vcpu.vm.memory.zero(low, sbi.SNAPSHOT_SIZE)
        self.shared = low
        return sbi.SUCCESS, 0

    def _valid(self, base: int, mask: int) -> bool:
        return bool(mask) and base + mask.bit_length() <= self.hardware + FIRMWARE_COUNTERS

    def _load(self, vcpu, offset: int) -> int:
        return vcpu.vm.memory.load(self.shared + offset, 8)

    def _store(self, vcpu, offset: int, value: int) -> None:
        vcpu.vm.memory.store(self.shared + offset, 8, value)

    # Values.

    def _update(self, vcpu, counter: Counter) -> int:
        """Bring a counter's value up to date, and give it."""
        count = vcpu.hypervisor.core.read(counter.event)
        if "kvm-cumulative-read" in self.quirks:
            counter.value = counter.value + count & MASK
        else:
            counter.value = counter.value + count - counter.counted & MASK
            counter.counted = count
        return counter.value

    # CSRs that trap (kvm_riscv_vcpu_pmu_read_hpm).

    def access(self, vcpu, access: CsrAccess) -> bool:
        """As `Vpmu.access`."""
        value = self.read(vcpu, access)
        if value is None or access.writes:
            return False
        if access.rd:
            vcpu.hypervisor.hart.x[access.rd] = value
        return True

    def read(self, vcpu, access: CsrAccess) -> int | None:
        """What the guest reads from a CSR; None if it has none of that kind."""
        if access.csr == SCOUNTOVF and "kvm-no-scountovf" not in self.quirks:
            return self.overflown
        number = access.csr - CYCLE
        most = 31 if "kvm-hpm31" in self.quirks else 32
        if not 0 <= number < min(most, self.hardware) or number == TIME:
            return None
        counter = self.pmcs[number]
        if counter.event is None:
            return None
        return self._update(vcpu, counter)

    # Overflows.

    def overflowed(self, vcpu, counter: Counter) -> None:
        """The host's event of a counter has overflown (kvm_riscv_pmu_overflow)."""
        core = vcpu.hypervisor.core
        core.driver.stop(counter.event, True)
        counter.event.sample_period = -core.count(counter.event) & MASK
        counter.event.period_left = 0
        self.overflown |= 1 << counter.number
        vcpu.hypervisor.inject(vcpu, Interrupt.COUNTER_OVERFLOW)
        core.driver.start(counter.event, True)


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

    def loaded(self, vcpu) -> None:
        """The guest's interrupt is the hart's own."""
        hypervisor = vcpu.hypervisor
        hypervisor.set(CSR_NUMBERS["hideleg"], LCOFI)

    def putting(self, vcpu) -> None:
        """It is the host's again."""
        vcpu.hypervisor.clear(CSR_NUMBERS["hideleg"], LCOFI)

    def stopping(self, vcpu, counter: Counter) -> None:
        """Nobody told the host if the counter has overflown: ask the hart."""
        event = counter.event
        if event is not None and event.idx is not None:
            if vcpu.hypervisor.read(SCOUNTOVF) >> event.idx & 1:
                self.overflown |= 1 << counter.number


def period(value: int) -> int:
    """How far a counter is from its overflow (kvm_pmu_get_sample_period)."""
    return -value & MASK if value else MASK


def bits(mask: int):
    """The numbers of the bits that are set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
