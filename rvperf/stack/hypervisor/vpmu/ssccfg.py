"""Designs whose guests drive counter CSRs: `trap`, with each access emulated, and `mediated`.

The guest has an ordinary driver for counter delegation (Ssccfg). No hart lets a guest at control
registers of counters, so sireg*, scountinhibit and scountovf trap, and are emulated here.
"""

from __future__ import annotations

from isa.causes import Interrupt
from isa.csrs import CSR_NUMBERS
from isa.routing import LCOFI
from rvperf.stack.hypervisor.instructions import CsrAccess
from rvperf.stack.hypervisor.vpmu import HSENVCFG, Vpmu
from rvperf.stack.hypervisor.vpmu.kvm import period
from rvperf.stack.sbi import bits

MASK = (1 << 64) - 1
(CYCLE, SIREG, SIREG2, SISELECT, VSISELECT, SCOUNTINHIBIT, SCOUNTOVF, HCOUNTEREN, SIP) = (
    CSR_NUMBERS[name]
    for name in (
        "cycle",
        "sireg",
        "sireg2",
        "siselect",
        "vsiselect",
        "scountinhibit",
        "scountovf",
        "hcounteren",
        "sip",
    )
)
CSRIND = 1 << 60  # hstateen0: the guest has siselect and sireg*
WINDOW = 0x40  # siselect of counter 0
TIME = 1
OF, MINH, SINH, UINH, VSINH, VUINH = (1 << n for n in (63, 62, 61, 60, 59, 58))
GUESTS = OF | SINH | UINH | (1 << 56) - 1  # the bits of an event register that a guest has
SELECTOR = (1 << 56) - 1
TIME_COUNTER = 1 << TIME


class SsccfgPmu(Vpmu):
    """The registers of a guest's PMU as it sees them, and their emulation."""

    guest_driver = "delegation"
    host_driver = "delegation"
    hstateen0 = HSENVCFG | CSRIND

    def __init__(self, counters: int = 29, quirks: frozenset[str] = frozenset()):
        super().__init__(counters, quirks)
        self.present = ((1 << counters + 3) - 1) & ~0b111
        """The counters that the guest has, a bit for each."""
        self.reset(None)

    def reset(self, vcpu) -> None:
        """As `Vpmu.reset`."""
        self.values = [0] * 32
        self.events = [0] * 32
        self.inhibited = self.present

    def access(self, vcpu, access: CsrAccess) -> bool:
        """As `Vpmu.access`: what the guest would do with these CSRs in S-mode."""
        x = vcpu.hypervisor.hart.x
        old = self.get(vcpu, access.csr)
        if old is None:
            return False
        if access.writes:
            new = access.result(old, x)
            if not self.put(vcpu, access.csr, new):
                return False
        if access.rd:
            x[access.rd] = old
        return True

    def selected(self, vcpu) -> int | None:
        """The counter that the guest's siselect is at."""
        number = vcpu.hypervisor.read(VSISELECT) - WINDOW
        return number if 0 <= number < 32 and self.present >> number & 1 else None

    def get(self, vcpu, csr: int) -> int | None:
        """The value that the guest reads."""
        if csr == SCOUNTINHIBIT:
            return self.inhibited
        if csr == SCOUNTOVF:
            return sum(1 << n for n in bits(self.present) if self.events[n] & OF)
        if CYCLE <= csr < CYCLE + 32:
            number = csr - CYCLE
            return self.value(vcpu, number) if self.present >> number & 1 else None
        if csr in (SIREG, SIREG2):
            number = self.selected(vcpu)
            if number is None:
                return None
            return self.value(vcpu, number) if csr == SIREG else self.events[number]
        return None

    def put(self, vcpu, csr: int, value: int) -> bool:
        """Write what the guest writes; False if it can't be written."""
        if csr == SCOUNTINHIBIT:
            before, self.inhibited = self.inhibited, value & self.present
            self.inhibit_changed(vcpu, before ^ self.inhibited)
            return True
        if csr not in (SIREG, SIREG2):
            return False
        number = self.selected(vcpu)
        if csr == SIREG:
            self.set_value(vcpu, number, value)
        else:
            before, self.events[number] = self.events[number], value & GUESTS
            self.event_changed(vcpu, number, before)
        return True

    # What is behind the registers.

    def value(self, vcpu, number: int) -> int:
        """A counter's value now."""
        return self.values[number]

    def holds(self, vcpu, number: int) -> int:
        """As `Vpmu.holds`."""
        return self.values[number]

    def set_value(self, vcpu, number: int, value: int) -> None:
        """The guest has written a counter."""
        self.values[number] = value

    def event_changed(self, vcpu, number: int, before: int) -> None:
        """The guest has written an event register; it was `before`."""

    def inhibit_changed(self, vcpu, changed: int) -> None:
        """The guest has written scountinhibit; these bits have changed."""


class TrapPmu(SsccfgPmu):
    """The design `trap`: each access emulated, on the host's events, as KVM does it on x86."""

    name = "trap"

    def __init__(self, counters: int = 29, quirks: frozenset[str] = frozenset()):
        self.host = [None] * 32  # the host's event of each counter
        self.counted = [0] * 32  # what it had counted when `values` was right
        super().__init__(counters, quirks)

    def reset(self, vcpu) -> None:
        """As `Vpmu.reset`."""
        for event in filter(None, self.host):
            vcpu.hypervisor.core.close(event)
        self.host, self.counted = [None] * 32, [0] * 32
        super().reset(vcpu)

    def value(self, vcpu, number: int) -> int:
        """As `SsccfgPmu.value`."""
        event = self.host[number]
        if event is None:
            return self.values[number]
        count = vcpu.hypervisor.core.read(event).count
        self.values[number] = self.values[number] + count - self.counted[number] & MASK
        self.counted[number] = count
        return self.values[number]

    def holds(self, vcpu, number: int) -> int:
        """As `Vpmu.holds`."""
        if (event := self.host[number]) is None:
            return self.values[number]
        more = vcpu.hypervisor.core.peek(event).count - self.counted[number]
        return self.values[number] + more & MASK

    def set_value(self, vcpu, number: int, value: int) -> None:
        """As `SsccfgPmu.set_value`."""
        core, event = vcpu.hypervisor.core, self.host[number]
        self.values[number] = value
        if event is not None:
            self.counted[number] = core.read(event).count
            core.set_period(event, period(value))

    def event_changed(self, vcpu, number: int, before: int) -> None:
        """Another event, or another filter, takes another host event; OF alone does not."""
        core, now = vcpu.hypervisor.core, self.events[number]
        if not (now ^ before) & ~OF:
            return
        if self.host[number] is not None:
            self.value(vcpu, number)
            core.close(self.host[number])
            self.host[number] = None
        selector = now & SELECTOR
        if not selector or not vcpu.hypervisor.counts_event(selector):
            return
        self.host[number] = vcpu.hypervisor.open_for_guest(
            vcpu,
            selector,
            exclude_user=bool(now & UINH),
            exclude_kernel=bool(now & SINH),
            sample_period=period(self.values[number]),
            on_overflow=lambda event: self.overflowed(vcpu, number),
        )
        self.counted[number] = 0
        if not self.inhibited >> number & 1:
            core.enable(self.host[number])

    def inhibit_changed(self, vcpu, changed: int) -> None:
        """Counters start and stop."""
        core = vcpu.hypervisor.core
        for number in bits(changed):
            event = self.host[number]
            if event is None:
                continue
            if self.inhibited >> number & 1:
                core.disable(event)
            else:
                core.enable(event)

    def overflowed(self, vcpu, number: int) -> None:
        """The host's event of a counter has overflown."""
        core, event = vcpu.hypervisor.core, self.host[number]
        core.driver.stop(event, True)
        event.sample_period = MASK >> 1
        event.period_left = 0
        if not self.events[number] & OF:
            self.events[number] |= OF
            vcpu.hypervisor.inject(vcpu, Interrupt.COUNTER_OVERFLOW)
        core.driver.start(event, True)


class MediatedPmu(SsccfgPmu):
    """The design `mediated`: the whole PMU is the guest's while it runs, and the host's otherwise.

    At every entry the guest's registers go into the hardware, at every exit they come back, so
    that what is emulated is only a change of this image. Counters are read without a trap. The
    host is blind meanwhile: it takes its own events off at entry.
    """

    name = "mediated"
    host_counts_guests = False
    within = False
    """Whether the hardware has the guest's registers."""

    def holds(self, vcpu, number: int) -> int:
        """As `Vpmu.holds`."""
        return vcpu.hypervisor.hart.pmu.value(number) if self.within else self.values[number]

    def loaded(self, vcpu) -> None:
        """The guest may read its counters."""
        vcpu.hypervisor.write(HCOUNTEREN, TIME_COUNTER | self.present)

    def putting(self, vcpu) -> None:
        """Nobody else may."""
        vcpu.hypervisor.write(HCOUNTEREN, TIME_COUNTER)

    def entering(self, vcpu) -> None:
        """Take the host's events off, and put the guest's registers in."""
        hypervisor = vcpu.hypervisor
        hypervisor.core.load_guest()
        hypervisor.owns(vcpu, self.present)
        for number in bits(self.present):
            hypervisor.write(SISELECT, WINDOW + number)
            hypervisor.write(SIREG, self.values[number])
            hypervisor.write(SIREG2, hardware_event(self.events[number]))
        self.restored(hypervisor, vcpu, 2 * self.present.bit_count())
        self.within = True
        others = hypervisor.read(SCOUNTINHIBIT) & ~self.present
        hypervisor.write(SCOUNTINHIBIT, others | self.inhibited)

    def exited(self, vcpu, cause: int) -> None:
        """Take the guest's registers out; what has overflown interrupts it."""
        hypervisor = vcpu.hypervisor
        hypervisor.write(SCOUNTINHIBIT, hypervisor.read(SCOUNTINHIBIT) | self.present)
        overflown = False
        for number in bits(self.present):
            hypervisor.write(SISELECT, WINDOW + number)
            self.values[number] = hypervisor.read(SIREG)
            if hypervisor.read(SIREG2) & OF and not self.events[number] & OF:
                self.events[number] |= OF
                overflown = True
        self.saved(hypervisor, vcpu, 2 * self.present.bit_count())
        self.within = False
        if overflown:
            hypervisor.clear(SIP, LCOFI)
            hypervisor.inject(vcpu, Interrupt.COUNTER_OVERFLOW)
        hypervisor.owns(None, self.present)
        hypervisor.core.put_guest()


def hardware_event(event: int) -> int:
    """A guest's event register as the hardware has to hold it: it counts in VS and VU alone."""
    filters = (VSINH if event & SINH else 0) | (VUINH if event & UINH else 0)
    return event & (OF | SELECTOR) | MINH | SINH | UINH | filters
