"""The design `passthrough`: the first counters are the guest's, by hardware (docs/passthrough.md).

What the hart delegates to VS-mode counts in VS and VU alone, and interrupts VS alone, so nothing is
saved or restored around exits. Only when another vCPU comes to the hart, or the vCPU goes to
another hart, its registers must follow: the policy says when that is done.
"""

from __future__ import annotations

from isa.causes import Interrupt
from isa.csrs import CSR_NUMBERS
from isa.record import Record
from rvperf.stack.hypervisor.vpmu import HSENVCFG, Vpmu
from rvperf.stack.hypervisor.vpmu.ssccfg import CSRIND, TIME_COUNTER, WINDOW
from rvperf.stack.sbi import bits

(SIREG, SIREG2, SISELECT, VSISELECT, VSCOUNTINHIBIT, HCOUNTEREN, HENVCFG, HIDELEG, HVIP) = (
    CSR_NUMBERS[name]
    for name in (
        "sireg",
        "sireg2",
        "siselect",
        "vsiselect",
        "vscountinhibit",
        "hcounteren",
        "henvcfg",
        "hideleg",
        "hvip",
    )
)
CDE_VS = 1 << 60  # henvcfg: counters that hcounteren has are delegated to VS
VSLCOFI = 1 << Interrupt.VIRTUAL_SUPERVISOR_COUNTER_OVERFLOW
FIRST = 3  # the first programmable counter
POLICIES = ("lazy", "eager", "always")
MASK = (1 << 64) - 1


class Image(Record):
    """The registers of a guest's counters in memory. The pending bit and the enable bit of their
    interrupt are hvip's and vsie's, which follow the vCPU in any case."""

    values: dict[int, int]
    events: dict[int, int]
    inhibited: int
    selected: int


class PassthroughPmu(Vpmu):
    """The first `counters` programmable counters are the guest's.

    `policy` says when they are saved: "lazy" when another vCPU comes to the hart, "eager" whenever
    the vCPU leaves it, "always" at every exit as well (as `mediated` would).
    """

    name = "passthrough"
    guest_driver = "delegation"
    host_driver = "delegation"
    hstateen0 = HSENVCFG | CSRIND
    henvcfg = CDE_VS
    extensions = Vpmu.extensions | {"Xrvpt"}

    def __init__(self, counters: int = 16, quirks: frozenset[str] = frozenset(), policy="lazy"):
        super().__init__(counters, quirks)
        self.reserved = ((1 << counters) - 1) << FIRST
        self.policy = policy
        self.images: dict = {}
        """By vCPU, what it had when its registers were saved last."""

    def another(self) -> PassthroughPmu:
        """As `Vpmu.another`."""
        return type(self)(self.counters, self.quirks, self.policy)

    def loaded(self, vcpu) -> None:
        """Delegate the counters, and see that they hold what this vCPU left in them."""
        hypervisor = vcpu.hypervisor
        if hypervisor.counters_of is vcpu:
            return
        hypervisor.write(HCOUNTEREN, TIME_COUNTER | self.reserved)
        hypervisor.set(HIDELEG, VSLCOFI)
        self.restore(vcpu)
        hypervisor.counters_of = vcpu
        hypervisor.owns(vcpu, self.reserved)

    def putting(self, vcpu) -> None:
        """Lazily, nothing: while they are delegated they count nothing of the host's."""
        if self.policy != "lazy":
            self.evicted(vcpu)

    def evicted(self, vcpu) -> None:
        """As `Vpmu.evicted`. What is pending is in the vCPU's hvip."""
        hypervisor = vcpu.hypervisor
        if vcpu not in self.images:
            self.save(vcpu)
        hypervisor.write(HVIP, 0)
        hypervisor.write(HCOUNTEREN, TIME_COUNTER)
        hypervisor.clear(HENVCFG, CDE_VS)
        hypervisor.clear(HIDELEG, VSLCOFI)
        hypervisor.counters_of = None
        hypervisor.owns(None, self.reserved)

    def entering(self, vcpu) -> None:
        """Nothing, unless everything is saved `always`."""
        if vcpu in self.images:
            self.restore(vcpu)

    def exited(self, vcpu, cause: int) -> None:
        """As `entering`."""
        if self.policy == "always":
            self.save(vcpu)

    def save(self, vcpu) -> None:
        """Stop a vCPU's counters and take their registers into memory (docs/passthrough.md 9)."""
        hypervisor = vcpu.hypervisor
        inhibited = hypervisor.read(VSCOUNTINHIBIT)
        hypervisor.write(VSCOUNTINHIBIT, MASK)
        values, events = {}, {}
        for number in bits(self.reserved):
            hypervisor.write(SISELECT, WINDOW + number)
            values[number] = hypervisor.read(SIREG)
            events[number] = hypervisor.read(SIREG2)
        self.images[vcpu] = Image(values, events, inhibited, hypervisor.read(VSISELECT))
        self.saves += 2 * len(values)
        self.times_saved += 1

    def restore(self, vcpu) -> None:
        """Put a vCPU's registers into its counters, and let them go on."""
        hypervisor = vcpu.hypervisor
        image = self.images.pop(vcpu, None) or self.blank()
        hypervisor.write(VSCOUNTINHIBIT, MASK)
        for number in bits(self.reserved):
            hypervisor.write(SISELECT, WINDOW + number)
            hypervisor.write(SIREG, image.values[number])
            hypervisor.write(SIREG2, image.events[number])
        hypervisor.write(VSISELECT, image.selected)
        hypervisor.write(VSCOUNTINHIBIT, image.inhibited)
        self.restores += 2 * len(image.values)
        self.times_restored += 1

    def blank(self) -> Image:
        """A vCPU's registers at its reset."""
        numbers = list(bits(self.reserved))
        return Image(dict.fromkeys(numbers, 0), dict.fromkeys(numbers, 0), self.reserved, 0)
