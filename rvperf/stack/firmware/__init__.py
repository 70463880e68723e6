"""Firmware in M-mode: hands the machine over to the kernel and serves its SBI calls, as OpenSBI
does.

It keeps the first 2 MiB of RAM to itself, delegates to S-mode what S-mode handles, and opens the
counters. On a hart with the hypervisor extension it delegates what OpenSBI does, and passes other
exceptions on by itself (lib/sbi/sbi_trap.c); a hart without is given all of them, so that there
nothing traps to M-mode but SBI calls.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.causes import Cause, Interrupt
from isa.csrs import CSR_NUMBERS
from isa.modes import M
from isa.routing import FRAMES, HSTATUS_GVA, MPV, MSTATUS_GVA, SPV, SPVP
from isa.routing import INTERRUPT as INTERRUPT_BIT
from rvperf.machine.hart import Hart
from rvperf.machine.timing import cycles_of
from rvperf.stack import sbi
from rvperf.stack.firmware import costs
from rvperf.stack.firmware.pmu import PmuService
from rvperf.stack.handover import MPP, MPP_SUPERVISOR, hand_over
from rvperf.stack.level import MASK, Level, Tally
from rvperf.stack.sbi import Error, Extension, FirmwareEvent, HartState, Refused

MSTATUS, MEPC = CSR_NUMBERS["mstatus"], CSR_NUMBERS["mepc"]
MCAUSE, MTVAL, MTVAL2, MTINST = (
    CSR_NUMBERS[name] for name in ("mcause", "mtval", "mtval2", "mtinst")
)
HSTATUS, HEDELEG, HTVAL, HTINST, VSSTATUS = (
    CSR_NUMBERS[name] for name in ("hstatus", "hedeleg", "htval", "htinst", "vsstatus")
)
STIMECMP, MIP = CSR_NUMBERS["stimecmp"], CSR_NUMBERS["mip"]

MPP_AT = 11
SSIP = 1 << Interrupt.SUPERVISOR_SOFTWARE
VERSION = 1 << 16 | 6  # OpenSBI's 1.6
ONE_HART = MASK  # hart_mask_base: all harts
PAGE, FENCED_SINGLY = 4096, 64  # more pages than that, and everything is fenced
SYSTEM_CYCLES = cycles_of("system")

# What the firmware counts of exceptions that it passes on.
COUNTED = {
    Cause.LOAD_ADDRESS_MISALIGNED: FirmwareEvent.MISALIGNED_LOAD,
    Cause.STORE_ADDRESS_MISALIGNED: FirmwareEvent.MISALIGNED_STORE,
    Cause.LOAD_ACCESS_FAULT: FirmwareEvent.ACCESS_LOAD,
    Cause.STORE_ACCESS_FAULT: FirmwareEvent.ACCESS_STORE,
    Cause.ILLEGAL_INSTRUCTION: FirmwareEvent.ILLEGAL_INSN,
}
# What it counts of remote fences: when asked, and when done.
FENCES = {
    sbi.Rfence.FENCE_I: (FirmwareEvent.FENCE_I_SENT, FirmwareEvent.FENCE_I_RECEIVED),
    sbi.Rfence.SFENCE_VMA: (FirmwareEvent.SFENCE_VMA_SENT, FirmwareEvent.SFENCE_VMA_RECEIVED),
    sbi.Rfence.SFENCE_VMA_ASID: (
        FirmwareEvent.SFENCE_VMA_ASID_SENT,
        FirmwareEvent.SFENCE_VMA_ASID_RECEIVED,
    ),
    sbi.Rfence.HFENCE_GVMA_VMID: (
        FirmwareEvent.HFENCE_GVMA_VMID_SENT,
        FirmwareEvent.HFENCE_GVMA_VMID_RECEIVED,
    ),
    sbi.Rfence.HFENCE_GVMA: (FirmwareEvent.HFENCE_GVMA_SENT, FirmwareEvent.HFENCE_GVMA_RECEIVED),
    sbi.Rfence.HFENCE_VVMA_ASID: (
        FirmwareEvent.HFENCE_VVMA_ASID_SENT,
        FirmwareEvent.HFENCE_VVMA_ASID_RECEIVED,
    ),
    sbi.Rfence.HFENCE_VVMA: (FirmwareEvent.HFENCE_VVMA_SENT, FirmwareEvent.HFENCE_VVMA_RECEIVED),
}
OF_GUESTS = (
    sbi.Rfence.HFENCE_GVMA_VMID,
    sbi.Rfence.HFENCE_GVMA,
    sbi.Rfence.HFENCE_VVMA_ASID,
    sbi.Rfence.HFENCE_VVMA,
)


class Firmware(Level):
    """The M-mode model of hart `number`.

    It serves the SBI of version `spec`; `snapshot` is whether it takes counter snapshots, which
    OpenSBI does not. `on_reset` is given the type and reason of a system reset and must not come
    back; without it there is no SRST.
    """

    def __init__(
        self,
        hart: Hart,
        tally: Tally | None = None,
        *,
        number: int = 0,
        spec: tuple[int, int] = (2, 0),
        snapshot: bool = False,
        on_reset: Callable[[int, int], None] | None = None,
    ):
        super().__init__(hart, M, tally=tally)
        self.number = number
        self.pmu = PmuService(self, snapshot, events_told=spec >= (3, 0))
        self.services: dict[int, sbi.Service] = {
            Extension.TIME: {sbi.Time.SET_TIMER: self._set_timer},
            Extension.IPI: {sbi.Ipi.SEND_IPI: self._send_ipi},
            Extension.RFENCE: {
                function: self._fence(function)
                for function in sbi.Rfence
                if hart.hypervisor or function not in OF_GUESTS
            },
            Extension.HSM: {
                sbi.Hsm.HART_START: self._start_hart,
                sbi.Hsm.HART_GET_STATUS: self._hart_status,
                sbi.Hsm.HART_SUSPEND: self._suspend_hart,
            },
            Extension.PMU: self.pmu.service,
        }
        if on_reset:
            reset = _checked_reset(on_reset)
            self.services[Extension.SRST] = {sbi.Srst.SYSTEM_RESET: reset}
        self.services[Extension.BASE] = sbi.base(self.services, spec, sbi.OPENSBI, VERSION)

    def boot(self, entry: int) -> None:
        """Set the hart up and enter S-mode at `entry`. None of it is counted, or takes time."""
        self.pmu.find_counters()
        hand_over(self.hart, entry)

    def trap(self) -> None:
        """Serve the trap that the hart has taken to M-mode, and return from it."""
        self.charge(costs.TRAP)
        epc, status, cause, tval = (self.read(csr) for csr in (MEPC, MSTATUS, MCAUSE, MTVAL))
        of_guest = 0, 0
        if self.hart.hypervisor:
            of_guest = self.read(MTVAL2), self.read(MTINST)
        if cause & INTERRUPT_BIT:
            raise AssertionError(f"interrupt {cause & ~INTERRUPT_BIT} in M-mode: none is enabled")
        if cause == Cause.ENVIRONMENT_CALL_FROM_S:
            self.charge(costs.CALL)
            sbi.serve(self.hart.x, self.services)
            epc += 4
        else:
            if cause in COUNTED:
                self.pmu.happened(COUNTED[cause])
            epc, status = self._pass_on(cause, epc, status, tval, of_guest)
        self.write(MSTATUS, status)
        self.write(MEPC, epc)
        self.hart.charge(1, SYSTEM_CYCLES)
        self.hart.mret()

    def _pass_on(
        self, cause: int, epc: int, status: int, tval: int, of_guest: tuple[int, int]
    ) -> tuple[int, int]:
        """sbi_trap_redirect: have S-mode take an exception, or VS-mode if it came from a guest and
        hedeleg says so, as if it had been delegated. Gives mepc and mstatus to return with.

        `of_guest` is what mtval2 and mtinst were.
        """
        self.charge(costs.REDIRECT)
        level = (status & MPP) >> MPP_AT
        virtual = bool(status & MPV)
        to_guest = virtual and bool(self.read(HEDELEG) >> cause & 1)
        if self.hart.hypervisor and not to_guest:
            host = self.read(HSTATUS) & ~(SPV | HSTATUS_GVA)
            if virtual:
                host = host & ~SPVP | SPV | (SPVP if level else 0)
            host |= HSTATUS_GVA if status & MSTATUS_GVA else 0
            self.write(HSTATUS, host)
            for csr, value in zip((HTVAL, HTINST), of_guest, strict=True):
                self.write(csr, value)
        prefix = "vs" if to_guest else "s"
        for name, value in (("tval", tval), ("epc", epc), ("cause", cause)):
            self.write(CSR_NUMBERS[prefix + name], value)
        handler = self.read(CSR_NUMBERS[prefix + "tvec"]) & ~3
        if to_guest:
            self.write(VSSTATUS, _entered(self.read(VSSTATUS), level))
        else:
            status = _entered(status, level) & ~MPV
        return handler, status & ~MPP | MPP_SUPERVISOR

    # The calls of the smaller extensions.

    def _set_timer(self, when: int, *_) -> None:
        self.charge(costs.SET_TIMER)
        self.pmu.happened(FirmwareEvent.SET_TIMER)
        self.write(STIMECMP, when)

    def _is_meant(self, mask: int, first: int) -> bool:
        """Whether a set of harts has this one. Refused if it has one that isn't there."""
        if first == ONE_HART:
            return True
        here = 1 << self.number >> first if self.number >= first else 0
        if mask & ~here:
            raise Refused(Error.INVALID_PARAM)
        return bool(mask)

    def _send_ipi(self, mask: int, first: int, *_) -> None:
        self.charge(costs.SEND_IPI)
        if self._is_meant(mask, first):
            self.pmu.happened(FirmwareEvent.IPI_SENT)
            self.pmu.happened(FirmwareEvent.IPI_RECEIVED)
            self.set(MIP, SSIP)

    def _fence(self, function: sbi.Rfence) -> Callable[..., None]:
        sent, received = FENCES[function]

        def fence(mask: int, first: int, start: int, size: int, *_) -> None:
            self.charge(costs.FENCE)
            if not self._is_meant(mask, first):
                return
            self.pmu.happened(sent)
            self.pmu.happened(received)
            if function == sbi.Rfence.FENCE_I:
                self.hart.fence_i()
            elif function in OF_GUESTS or not 0 < size <= FENCED_SINGLY * PAGE:
                self.hart.sfence_vma()
            else:
                for va in range(start & -PAGE, start + size, PAGE):
                    self.hart.sfence_vma(va)

        return fence

    def _start_hart(self, number: int, *_) -> None:
        self._known(number)
        raise Refused(Error.ALREADY_AVAILABLE)

    def _hart_status(self, number: int, *_) -> int:
        self._known(number)
        return HartState.STARTED

    def _suspend_hart(self, kind: int, *_) -> None:
        """Suspend until an interrupt: of the kinds, 0 alone (retentive, the default) is there."""
        self.charge(costs.SUSPEND)
        if kind:
            known = kind == 1 << 31  # non-retentive, the default
            raise Refused(Error.NOT_SUPPORTED if known else Error.INVALID_PARAM)
        self.hart.wfi()

    def _known(self, number: int) -> None:
        if number != self.number:
            raise Refused(Error.INVALID_PARAM)


def _entered(status: int, level: int) -> int:
    """mstatus or vsstatus once its supervisor takes a trap from `level`: 1 itself, 0 its user."""
    frame = FRAMES[1]
    enabled = status >> frame.ie & 1
    status &= ~(1 << frame.ie | 1 << frame.pie | 1 << frame.pp)
    return status | enabled << frame.pie | level << frame.pp


def _checked_reset(on_reset: Callable[[int, int], None]) -> Callable[..., None]:
    def reset(kind: int, reason: int, *_) -> None:
        if kind > 2 or reason > 1:  # shutdown, cold and warm reboot; no reason, system failure
            raise Refused(Error.INVALID_PARAM)
        on_reset(kind, reason)

    return reset
