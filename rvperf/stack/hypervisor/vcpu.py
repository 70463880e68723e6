"""A virtual CPU: its registers while it doesn't run, and the guest software that runs on it.

Guest software is a model that runs in VS-mode, in a coroutine of its own, so that it can be left
wherever it traps, another vCPU can run, and it goes on later where it was.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from greenlet import greenlet

from isa.csrs import CSR_NUMBERS
from isa.routing import LCOFI, VS_INTERRUPTS, VSLCOFI
from rvperf.machine.recorders import Recorders

NEVER = (1 << 64) - 1
SPP = 1 << 8


class Exit:
    """One VM exit: scause, what in particular (a CSR, an SBI call, an address), the mode that the
    guest was in, when it stopped and how long until it went on, in ns (None before it has)."""

    __slots__ = ("cause", "key", "mode", "time", "duration")

    def __init__(self, cause: int, mode: int, time: int):
        self.cause, self.key, self.mode, self.time = cause, "", mode, time
        self.duration: int | None = None


# What kvm_arch_vcpu_load writes and kvm_arch_vcpu_put reads back.
VSTIMECMP, VSIE = CSR_NUMBERS["vstimecmp"], CSR_NUMBERS["vsie"]
OWN = tuple(
    CSR_NUMBERS[name]
    for name in (
        "vsstatus",
        "vsie",
        "vstvec",
        "vsscratch",
        "vsepc",
        "vscause",
        "vstval",
        "vsatp",
        "vstimecmp",
    )
)


def in_guests_kernel(vcpu: Vcpu) -> bool:
    """Whether a guest that has stopped was in VS-mode."""
    return bool(vcpu.sstatus & SPP)


class Vcpu:
    """One vCPU of `vm`, the next by number.

    `run` is called once, in VS-mode, as what is there at its reset pc: the guest's software, which
    is a Level, `software`, once that is known. `vpmu` is its PMU, if it isn't as the VM's others.
    """

    def __init__(self, vm, run: Callable[[], None], vpmu=None):
        self.vm, self.number = vm, len(vm.vcpus)
        self.vpmu = vpmu or (vm.vpmu.another() if vm.vcpus else vm.vpmu)
        vm.vcpus.append(self)
        self.hypervisor = vm.hypervisor
        self.exits: list[Exit] = []
        self.ready_at = 0
        """When it came to its hart, by the clock of the one that it came from."""
        self.ran_on = None
        """The hart that it was on last."""
        self.switches = self.migrations = 0
        """How often it has left a hart, and gone to another."""
        self._ran, self._loaded_at = 0, None
        self.reset(run)

    def reset(self, run: Callable[[], None]) -> None:
        """Its registers are as when it is made, and other software runs on it from now on. It must
        not be loaded, and what ran on it must have ended (`forget`)."""
        self.software = None
        self.csrs = dict.fromkeys(OWN, 0) | {VSTIMECMP: NEVER}
        self.scounteren = 0
        self.senvcfg = 0
        self.hvip = 0
        """What is injected: as hvip has it while the vCPU runs."""
        self.sepc = 0
        self.hstatus = self.sstatus = 0
        self.x = array("Q", bytes(8 * 32))
        self.f = array("Q", bytes(8 * 32))
        self.fcsr = 0
        self.halted = False
        self.stopped = False
        """It has ended (HART_STOP): it never runs again."""
        self.recorders = Recorders()
        """What a hart's recorders have of it."""
        self.fiber = greenlet(run)

    def forget(self) -> None:
        """It is switched off: the guest's software ends wherever it is. (The memory of a coroutine
        that waits for ever is never given back.)"""
        if not self.fiber.dead:
            x = self.hypervisor.hart.x  # another's, perhaps: whoever ends puts his own back
            kept = array("Q", x[0:32].tobytes())
            self.fiber.throw()
            x[0:32] = kept

    def loads(self) -> None:
        """It has a hart from now on."""
        self._loaded_at = self.hypervisor.hart.cycles

    def leaves(self) -> None:
        """It has none."""
        self._ran, self._loaded_at = self.ran, None
        self.switches += 1

    @property
    def ran(self) -> int:
        """For how long it has had a hart, in ns."""
        since = self._loaded_at
        return self._ran + (0 if since is None else self.hypervisor.hart.cycles - since)

    def resume(self) -> None:
        """Go on with the guest's software, as the hart is in VS-mode."""
        self.fiber.switch()

    def leave(self) -> None:
        """The guest's software has trapped out of VS-mode, or entered VU: come back when it is to
        go on."""
        self.fiber.parent.switch()

    def synchronise(self, hvip: int) -> None:
        """The guest may have taken back what was injected (kvm_riscv_vcpu_sync_interrupts)."""
        self.hvip = hvip

    @property
    def injected(self) -> int:
        """What hvip has of the guest, by the numbers that the guest knows its interrupts by."""
        passed = self.hvip & VSLCOFI
        return (self.hvip & VS_INTERRUPTS | passed) >> 1 | self.hvip & LCOFI

    @property
    def finished(self) -> bool:
        """Whether the guest's software has ended."""
        return self.fiber.dead
