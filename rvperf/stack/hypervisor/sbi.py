"""SBI as the hypervisor gives it to guests (arch/riscv/kvm/vcpu_sbi*.c)."""

from __future__ import annotations

from isa.causes import Interrupt
from isa.csrs import CSR_NUMBERS
from rvperf.stack.sbi import (
    A6,
    A7,
    KVM,
    Error,
    Extension,
    FirmwareEvent,
    Hsm,
    Ipi,
    Refused,
    Rfence,
    Srst,
    Time,
    base,
    bits,
    name_of,
    serve,
)

SPEC, LINUX = (2, 0), 6 << 16 | 12 << 8  # SBI's version, and KVM's: the kernel's
VSTIMECMP = CSR_NUMBERS["vstimecmp"]
RFENCES = {
    Rfence.FENCE_I: FirmwareEvent.FENCE_I_SENT,
    Rfence.SFENCE_VMA: FirmwareEvent.SFENCE_VMA_SENT,
    Rfence.SFENCE_VMA_ASID: FirmwareEvent.SFENCE_VMA_ASID_SENT,
}
STARTED, STOPPED = 0, 1


class GuestSbi:
    """The SBI of one VM."""

    def __init__(self, vm):
        self.vm = vm

    def called(self, vcpu) -> str:
        """A guest has made an SBI call: answer it. Gives what it was."""
        x = vcpu.hypervisor.hart.x
        name = name_of(x[A7], x[A6])
        serve(x, self.services(vcpu))
        return name

    def services(self, vcpu) -> dict:
        """What a vCPU can call."""
        vpmu, event = vcpu.vpmu, vcpu.vpmu.firmware_event

        def set_timer(value: int, *_) -> None:
            event(FirmwareEvent.SET_TIMER)
            vcpu.hypervisor.write(VSTIMECMP, value)

        def send_ipi(mask: int, first: int, *_) -> None:
            event(FirmwareEvent.IPI_SENT)
            for other in self.among(mask, first):
                other.vpmu.firmware_event(FirmwareEvent.IPI_RECEIVED)
                vcpu.hypervisor.inject(other, Interrupt.VIRTUAL_SUPERVISOR_SOFTWARE)

        def fence(which: FirmwareEvent):
            def fenced(mask: int, first: int, *_) -> None:
                event(which)
                self.among(mask, first)
                vcpu.hypervisor.hart.fence_i()
                vcpu.hypervisor.hart.sfence_vma()

            return fenced

        def status(number: int, *_) -> int:
            found = next((one for one in self.vm.vcpus if one.number == number), None)
            if found is None:
                raise Refused(Error.INVALID_PARAM)
            return STOPPED if found.finished or found.stopped else STARTED

        def stop(*_) -> None:
            vcpu.stopped = True

        def reset(*_) -> None:
            self.vm.stopped = True

        services = {
            Extension.TIME: {Time.SET_TIMER: set_timer},
            Extension.IPI: {Ipi.SEND_IPI: send_ipi},
            Extension.RFENCE: {function: fence(which) for function, which in RFENCES.items()},
            Extension.HSM: {Hsm.HART_STOP: stop, Hsm.HART_GET_STATUS: status},
            Extension.SRST: {Srst.SYSTEM_RESET: reset},
        }
        if calls := vpmu.calls(vcpu):
            services[Extension.PMU] = calls
        services[Extension.BASE] = base(services, SPEC, KVM, LINUX)
        return services

    def among(self, mask: int, first: int) -> list:
        """The vCPUs that a call names; all of them if `first` is all ones. Refused."""
        if first == (1 << 64) - 1:
            return list(self.vm.vcpus)
        named = {first + bit for bit in bits(mask)}
        found = [one for one in self.vm.vcpus if one.number in named]
        if len(found) != mask.bit_count():
            raise Refused(Error.INVALID_PARAM)
        return found
