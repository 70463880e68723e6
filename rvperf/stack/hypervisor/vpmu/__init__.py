"""How a VM gets a PMU: the designs that `--vpmu` chooses from, and what each must say.

A design is asked at the points where KVM (or a hypervisor that knew the proposal) would act: when
the guest makes an SBI call of the PMU extension, when it accesses a CSR that traps, around every
entry into the guest, and when a vCPU comes to a hart or leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable

from rvperf.stack.hypervisor.instructions import CsrAccess
from rvperf.stack.sbi import Service

HSENVCFG = 1 << 62  # hstateen0: the guest has henvcfg and senvcfg


class Vpmu:
    """No PMU at all, and what the designs have in common."""

    name = "none"
    extensions = frozenset(
        {"H", "Svinval", "Smstateen", "Ssaia", "Sscofpmf", "Smcntrpmf", "Smcsrind", "Smcdeleg"}
    )
    """What the hart has to have, without quirks."""
    hstateen0 = HSENVCFG
    """What hstateen0 is while the guest runs."""
    reserved = 0
    """The counters that are the guest's alone, a bit for each."""
    henvcfg = 0
    """What henvcfg has beside what all guests have."""
    why_host_loses = ""
    """Why overflows of the host's own counters don't come to the host, if they don't."""
    host_counts_guests = True
    """Whether the host's own events can count while a guest runs."""
    guest_driver = host_driver = "none"
    """Which drivers the two kernels have for counters: "sbi", "snapshot" or "delegation"."""

    def __init__(self, counters: int = 0, quirks: frozenset[str] = frozenset()):
        self.counters, self.quirks = counters, quirks
        self.saves = self.restores = 0
        """Registers of counters that were saved and restored for the guest."""
        self.times_saved = self.times_restored = 0
        """How often that was done."""

    def holds(self, vcpu, number: int) -> int:
        """What a vCPU's counter holds, wherever that is: for who looks on, nothing is done for
        it."""
        return 0

    def saved(self, hypervisor, vcpu, registers: int) -> None:
        """So many registers of a vCPU's were saved from a hart."""
        self.saves += registers
        self.times_saved += 1
        hypervisor.tell("save", vcpu, registers)

    def restored(self, hypervisor, vcpu, registers: int) -> None:
        """So many registers of a vCPU's were put into a hart."""
        self.restores += registers
        self.times_restored += 1
        hypervisor.tell("restore", vcpu, registers)

    def another(self) -> Vpmu:
        """The same for a further vCPU: what it holds is one vCPU's."""
        return type(self)(self.counters, self.quirks)

    @classmethod
    def needs(cls, quirks: Iterable[str]) -> frozenset[str]:
        """The extensions that the hart has to have, with some quirks."""
        return cls.extensions

    def entering(self, vcpu) -> None:
        """The host is about to go into the guest, with interrupts off."""

    def exited(self, vcpu, cause: int) -> None:
        """The guest has stopped, with interrupts still off."""

    def loaded(self, vcpu) -> None:
        """A vCPU comes to the hart, whose registers for guests it doesn't have yet."""

    def leaving(self, vcpu) -> None:
        """A vCPU is about to leave the hart, and has the host's events still."""

    def putting(self, vcpu) -> None:
        """A vCPU leaves the hart, and its registers have been taken."""

    def evicted(self, vcpu) -> None:
        """Another vCPU comes to the hart, whose counters hold this one's values still
        (`Hypervisor.counters_of`)."""

    def migrating(self, vcpu) -> None:
        """A vCPU that has left the hart goes to another."""

    def reset(self, vcpu) -> None:
        """A vCPU that is on no hart has its PMU as at its reset, or is no more."""

    def access(self, vcpu, access: CsrAccess) -> bool:
        """A CSR instruction of the guest's has trapped: do it. False if there is no such CSR."""
        return False

    def calls(self, vcpu) -> Service:
        """The functions of SBI's PMU extension that the guest has; none without the extension."""
        return {}

    def firmware_event(self, code: int) -> None:
        """The hypervisor has done for the guest what a firmware event counts."""
