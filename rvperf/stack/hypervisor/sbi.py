"""SBI as the hypervisor gives it to guests (arch/riscv/kvm/vcpu_sbi*.c)."""

from __future__ import annotations

A0, A7 = 10, 17
NOT_SUPPORTED = -2


class GuestSbi:
    """The SBI of one VM."""

    def __init__(self, vm):
        self.vm = vm

    def called(self, vcpu) -> str:
        """A guest has made an SBI call: answer it. Gives what it was."""
        x = vcpu.vm.hypervisor.hart.x
        function, extension = x[16], x[A7]
        error, value = NOT_SUPPORTED, 0
        x[A0], x[A0 + 1] = error & (1 << 64) - 1, value
        return f"{extension:#x}/{function}"
