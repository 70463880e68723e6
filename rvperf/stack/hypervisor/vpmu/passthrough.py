"""The design `passthrough`: the first counters are the guest's, by hardware (docs/passthrough.md).

What the hart delegates to VS-mode counts in VS and VU alone, and interrupts VS alone, so nothing is
saved or restored around exits. Only when another vCPU comes to the hart, or the vCPU goes to
another hart, its registers must follow: the policy says when that is done.
"""

from __future__ import annotations

from isa.counting import FIRST
from isa.csrs import CSR_NUMBERS
from isa.record import Record, replace
from isa.routing import VSLCOFI
from rvperf.stack.hypervisor.instructions import CsrAccess
from rvperf.stack.hypervisor.vpmu import HSENVCFG, Vpmu
from rvperf.stack.hypervisor.vpmu.ssccfg import CSRIND, TIME_COUNTER, WINDOW
from rvperf.stack.sbi import bits

(CYCLE, SIREG, SIREG2, SISELECT, VSISELECT, VSCOUNTINHIBIT, HCOUNTEREN, HENVCFG, HIDELEG, HVIP) = (
    CSR_NUMBERS[name]
    for name in (
        "cycle",
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
POLICIES = ("lazy", "eager", "always")
MASK = (1 << 64) - 1


class Image(Record):
    """The registers of a guest's counters in memory. The pending bit and the enable bit of their
    interrupt are hvip's and vsie's, which follow the vCPU in any case; `pending` is for an image
    that is put back later."""

    values: dict[int, int]
    events: dict[int, int]
    inhibited: int
    selected: int
    pending: bool = False


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
        self.taken: dict[int, list[int]] = {}
        """Counters that the guest once had: their values, event registers and whether they were
        inhibited."""
        self.images: dict = {}
        """By vCPU, what it had when its registers were saved last."""
        self.resident = None
        """Who runs the hart whose counters hold this vCPU's values; None if memory has them."""

    def another(self) -> PassthroughPmu:
        """As `Vpmu.another`."""
        return type(self)(self.counters, self.quirks, self.policy)

    def loaded(self, vcpu) -> None:
        """Delegate the counters, and see that they hold what this vCPU left in them."""
        hypervisor = vcpu.hypervisor
        if hypervisor.counters_of is vcpu:
            return
        if self.resident is not None:
            self.fetch(vcpu)
        hypervisor.write(HCOUNTEREN, TIME_COUNTER | self.reserved)
        hypervisor.set(HIDELEG, VSLCOFI)
        self.restore(vcpu)
        hypervisor.counters_of = vcpu
        self.resident = hypervisor
        hypervisor.owns(vcpu, self.reserved)

    def putting(self, vcpu) -> None:
        """Lazily, nothing: while they are delegated they count nothing of the host's."""
        if self.policy != "lazy":
            self.evicted(vcpu)

    def evicted(self, vcpu) -> None:
        """As `Vpmu.evicted`. What is pending is in the vCPU's hvip."""
        hypervisor = self.resident
        if vcpu not in self.images:
            self.save(vcpu)
        hypervisor.write(HVIP, 0)
        hypervisor.write(HCOUNTEREN, TIME_COUNTER)
        hypervisor.clear(HENVCFG, CDE_VS)
        hypervisor.clear(HIDELEG, VSLCOFI)
        hypervisor.counters_of = self.resident = None
        hypervisor.owns(None, self.reserved)

    def migrating(self, vcpu) -> None:
        """The hart where it was saves its registers, unless they have been."""
        if self.resident is not None:
            self.evicted(vcpu)

    def fetch(self, vcpu) -> None:
        """It was moved without that: the hart that has its registers saves them when the new one
        asks it to, which waits for it. Nobody else's vCPU is there, or they would be saved."""
        here, there = vcpu.hypervisor.hart, self.resident.hart
        there.idle_until(here.cycles)
        self.evicted(vcpu)
        here.idle_until(there.cycles)

    # What else ends with the registers in memory: live migration, KVM_SET_ONE_REG and the like.

    def snapshot(self, vcpu) -> Image:
        """A vCPU's registers, while it is on no hart: they are in memory from then on."""
        self.migrating(vcpu)
        image = self.images.get(vcpu) or self.blank()
        return replace(image, pending=bool(vcpu.hvip & VSLCOFI))

    def put_back(self, vcpu, image: Image) -> None:
        """Give a vCPU that is on no hart other registers. ValueError if they are of other
        counters."""
        if set(image.values) != set(bits(self.reserved)):
            raise ValueError("an image of other counters than the guest has here")
        self.migrating(vcpu)
        self.images[vcpu] = image
        vcpu.hvip = vcpu.hvip & ~VSLCOFI | (VSLCOFI if image.pending else 0)

    def reset(self, vcpu) -> None:
        """A vCPU that is on no hart has its registers as at reset, or is no more: nothing of it
        stays in hardware."""
        if self.resident is not None:
            self.clear(vcpu)
        self.images.pop(vcpu, None)
        vcpu.hvip &= ~VSLCOFI
        self.taken = {}

    def clear(self, vcpu) -> None:
        """Stop the counters that hold its values, and zero them."""
        there = self.resident
        there.write(VSCOUNTINHIBIT, MASK)
        for number in bits(self.reserved):
            there.write(SISELECT, WINDOW + number)
            there.write(SIREG, 0)
            there.write(SIREG2, 0)
        self.images[vcpu] = self.blank()
        self.evicted(vcpu)

    def resize(self, vcpu, counters: int) -> None:
        """A vCPU that is on no hart gets more or fewer counters. The guest, which has found out at
        its boot how many there are, may go on to use those that are taken from it: they stand
        still, until it has them again."""
        image = self.snapshot(vcpu)
        now = ((1 << counters) - 1) << FIRST
        registers = {
            n: [value, image.events[n], image.inhibited >> n & 1]
            for n, value in image.values.items()
        } | self.taken
        self.taken = {n: kept for n, kept in registers.items() if not now >> n & 1}
        self.counters, self.reserved = counters, now
        blank = self.blank()
        mine = {n: registers.get(n, [0, 0, 1]) for n in blank.values}
        self.images[vcpu] = Image(
            {n: value for n, (value, _, _) in mine.items()},
            {n: event for n, (_, event, _) in mine.items()},
            sum(inhibited << n for n, (_, _, inhibited) in mine.items()),
            image.selected,
        )

    def access(self, vcpu, access: CsrAccess) -> bool:
        """As `Vpmu.access`: a counter that the guest once had."""
        number, which = access.csr - CYCLE, 0
        if access.csr in (SIREG, SIREG2):
            number, which = vcpu.hypervisor.read(VSISELECT) - WINDOW, access.csr == SIREG2
        elif access.writes:
            return False
        if number not in self.taken:
            return False
        x, registers = vcpu.hypervisor.hart.x, self.taken[number]
        before = registers[which]
        if access.writes:
            registers[which] = access.result(before, x)
        if access.rd:
            x[access.rd] = before
        return True

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
        hypervisor = self.resident
        inhibited = hypervisor.read(VSCOUNTINHIBIT)
        hypervisor.write(VSCOUNTINHIBIT, MASK)
        if hypervisor.hart.pmu.delay:
            self.settle(vcpu)
        values, events = {}, {}
        for number in bits(self.reserved):
            hypervisor.write(SISELECT, WINDOW + number)
            values[number] = hypervisor.read(SIREG)
            events[number] = hypervisor.read(SIREG2)
        self.images[vcpu] = Image(values, events, inhibited, hypervisor.read(VSISELECT))
        self.saved(hypervisor, vcpu, 2 * len(values))

    def holds(self, vcpu, number: int) -> int:
        """As `Vpmu.holds`."""
        if number in self.taken:
            return self.taken[number][0]
        if vcpu in self.images:
            return self.images[vcpu].values[number]
        return self.resident.hart.pmu.value(number) if self.resident else 0

    def settle(self, vcpu) -> None:
        """What has overflown is pending by now, if that takes its time, and is the vCPU's."""
        hypervisor = self.resident
        hypervisor.hart.charge(1, hypervisor.hart.pmu.delay)
        came = hypervisor.read(HVIP) & VSLCOFI
        vcpu.hvip = vcpu.hvip & ~VSLCOFI | came

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
        if hypervisor.hart.pmu.delay:
            hypervisor.set(HVIP, vcpu.hvip & VSLCOFI)
        self.restored(hypervisor, vcpu, 2 * len(image.values))

    def blank(self) -> Image:
        """A vCPU's registers at its reset."""
        numbers = list(bits(self.reserved))
        return Image(dict.fromkeys(numbers, 0), dict.fromkeys(numbers, 0), self.reserved, 0)
