"""What must hold for counters that are passed through, whatever is scheduled (I1 to I12), and that
what is done wrong on purpose shows."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isa.csrs import CSR_NUMBERS
from isa.routing import VSLCOFI
from rvperf.machine.traps import Trap
from rvperf.stack.hypervisor import Hypervisor
from rvperf.stack.hypervisor.vpmu.passthrough import MASK, PassthroughPmu
from rvperf.stack.sbi import bits
from tests.stack.schedules import COUNTERS, LIFE, D, World, Wrong

SCHEDULES = int(os.environ.get("RVPERF_SCHEDULES", "300"))
POLICIES = ("lazy", "eager", "always")
SISELECT, SIREG, SIREG2, VSCOUNTINHIBIT, VSISELECT, HVIP, SCOUNTEREN = (
    CSR_NUMBERS[name]
    for name in ("siselect", "sireg", "sireg2", "vscountinhibit", "vsiselect", "hvip", "scounteren")
)


@settings(
    max_examples=SCHEDULES,
    deadline=None,
    derandomize=SCHEDULES <= 300,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    lives=st.lists(LIFE, min_size=1, max_size=3),
    harts=st.integers(1, 2),
    delay=st.sampled_from([0, 0, 0, 1, 40, 700, 5000]),
    plain=st.booleans(),
)
def test_every_schedule_keeps_the_invariants(lives, harts, delay, plain):
    """And guests can't tell the policies apart (I9); where interrupts come late, it is for time to
    say between which instructions."""
    seen = []
    last = (len(lives) - 1,) if plain and len(lives) > 1 else ()
    for policy in POLICIES:
        seen.append(World(lives, policy, harts, delay, last).run().traces)
    if not delay:
        assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("policy, saves", [("lazy", 0), ("eager", 3), ("always", 7)])
def test_alone_on_a_hart_it_is_never_saved(policy, saves):
    """I10: three times it leaves, and four exits let it stay; the last is its end."""
    life = [("program", 3, 900, 0), ("away",), ("away",), ("away",), ("ask",), ("work", 2000),
            ("ask",), ("ask",), ("user", 900)]  # fmt: skip
    (guest,) = World([life], policy).run().guests
    assert guest.interrupts == 1
    exits = [one for one in guest.vcpu.exits]
    assert len(exits) == 3 + 3 + 1  # no counter made one
    # It leaves at its end, too, which is an exit anyhow.
    assert guest.vcpu.vpmu.times_saved == saves + (policy == "eager")


def test_a_vcpu_that_was_moved_unsaved_is_saved_by_the_hart_that_has_it():
    """I11, row 4: the new hart asks and waits, and nobody waits for the new one."""
    life = [("program", 3, 5000, 0), ("work", 900), ("migrate", True), ("user", 900), ("look", 3),
            ("migrate", True), ("look", 3)]  # fmt: skip
    guest, _ = World([life, [("work", 100)]], harts=2).run().guests
    assert guest.vcpu.vpmu.times_saved == 2 and guest.vcpu.vpmu.times_restored == 3


def test_what_the_hypervisor_emulates_does_not_retire():
    """I12: an access that traps is not counted in the guest, whose hpmcounter says so."""
    trespass = [("program", 3, 5000, 0), ("trespass", 9), ("look", 3)]
    World([trespass]).run()  # which compares with the ledger of VS-mode


def test_a_vcpu_that_is_gone_leaves_nothing():
    """Rows 11 and 12, and I8: its counters are zero and stand still, and nobody owns them."""
    life = [("program", 3, 500, 0), ("closed", 900), ("program", 4, 7000, 0), ("closed", 100)]
    world = World([life, [("work", 10)]])
    gone = []

    def destroyed(host):
        guest = world.guests[0]
        guest.vcpu.vpmu.reset(guest.vcpu)
        gone.append([host.hart.pmu.value(number) for number in bits(D)])
        gone.append(host.hart.csr_value(HVIP) & VSLCOFI)
        gone.append(host.counters_of)
        for one in guest.counters.values():
            one.value, one.of, one.running, one.selects = 0, False, False, False
        guest.unserved.clear()
        guest.wraps = guest.interrupts
        guest.vcpu.hvip &= ~VSLCOFI

    world.guests[0].steps = [*life, ("off_hart", destroyed), ("look", 3), ("work", 2000)]
    world.run()
    assert gone == [[0] * COUNTERS, 0, None]


def test_an_image_of_other_counters_is_refused():
    pmu, other = PassthroughPmu(3), PassthroughPmu(4)
    with pytest.raises(ValueError, match="other counters"):
        pmu.put_back(None, other.blank())


def test_more_or_fewer_counters_keep_what_they_hold():
    """Row 13."""
    world = World([[]])
    seen = []

    def resized(host):
        vcpu = world.guests[0].vcpu
        vcpu.vpmu.resize(vcpu, 2)
        seen.append(vcpu.vpmu.images[vcpu].values)
        vcpu.vpmu.resize(vcpu, 3)
        world.guests[0].counters[5].__init__()
        seen.append(vcpu.vpmu.images[vcpu].values)

    world.guests[0].steps = [("program", 4, 1 << 20, 0), ("off_hart", resized), ("look", 4)]
    world.run()
    assert seen[0].keys() == {3, 4} and seen[1].keys() == {3, 4, 5}
    assert seen[0][4] == seen[1][4] > 1 << 63


@pytest.mark.parametrize("delay", [0, 300])
def test_a_vcpu_that_sleeps_wakes_for_what_its_counters_have_pending(delay):
    """Row 15."""
    life = [("program", 3, 500, 0), ("clear", 0x100, 2), ("charge_and_sleep",)]
    world = World([life], delay=delay)
    guest = world.guests[0]

    def sleeps():
        guest.hart.charge(900, 900)
        guest.wfi()
        guest.set(0x100, 2)
        guest.poll()

    guest.charge_and_sleep = sleeps
    world.run()
    assert guest.interrupts == 1


# What is done wrong.


class NoSettling(PassthroughPmu):
    """The pending bit is taken at once, though it may come later than OF."""

    def settle(self, vcpu):
        hypervisor = self.resident
        vcpu.hvip = vcpu.hvip & ~VSLCOFI | hypervisor.read(HVIP) & VSLCOFI


class NoPending(PassthroughPmu):
    """The pending bit is not saved."""

    def evicted(self, vcpu):
        super().evicted(vcpu)
        vcpu.hvip &= ~VSLCOFI


class InhibitedLast(PassthroughPmu):
    """Counters are let go on, then loaded, and made to stand still when that is done."""

    def restore(self, vcpu):
        super().restore(vcpu)
        vcpu.hypervisor.write(VSCOUNTINHIBIT, MASK)


class SavedRunning(PassthroughPmu):
    """Counters are read while they run, and left running."""

    def save(self, vcpu):
        super().save(vcpu)
        self.resident.write(VSCOUNTINHIBIT, self.images[vcpu].inhibited)


class SetInVain(PassthroughPmu):
    """The registers that are given it don't replace those in hardware."""

    def put_back(self, vcpu, image):
        if self.resident is None:
            super().put_back(vcpu, image)


class ForgottenInhibit(PassthroughPmu):
    """A handler's stop is forgotten by a migration."""

    def save(self, vcpu):
        super().save(vcpu)
        self.images[vcpu].__dict__["inhibited"] = 0


class OtherMask(PassthroughPmu):
    """The hart that it comes to gives it a counter less."""

    def migrating(self, vcpu):
        super().migrating(vcpu)
        self.reserved &= ~(1 << 5)


class Pended(PassthroughPmu):
    """OF is taken for an interrupt that has still to come."""

    def restore(self, vcpu):
        image = self.images.get(vcpu)
        super().restore(vcpu)
        if image and any(event >> 63 for event in image.events.values()):
            vcpu.hvip |= VSLCOFI


class ForgetsPlain(Hypervisor):
    """Nothing is saved for a vCPU that has no PMU."""

    def load(self, vcpu):
        if vcpu.vpmu.name != "none":
            super().load(vcpu)
            return
        owner, self.counters_of = self.counters_of, None
        super().load(vcpu)
        self.counters_of = owner


class LetsUsersRead(Hypervisor):
    """scounteren isn't the host's own while the host runs."""

    def count_with(self, driver):
        super().count_with(driver)
        self.write(SCOUNTEREN, MASK)


LATE = [("program", 3, 500, 0), ("closed", 900), ("work", 100)]
OTHER = [("program", 4, 1 << 20, 0), ("work", 200), ("give_way",), ("work", 200), ("give_way",)]
SHARED = [("program", 3, 1 << 20, 0), ("work", 300), ("give_way",), ("user", 300), ("look", 3)]
PLAIN = [("work", 500), ("give_way",), ("user", 700), ("give_way",)]
FAULTS = {
    # fault: (what is caught, the lives, how the world is)
    NoSettling: ("I6", [LATE, OTHER], {"delay": 5000}),
    NoPending: ("I6", [LATE, OTHER], {}),
    InhibitedLast: ("I1", [SHARED, OTHER], {}),
    SavedRunning: ("I3", [SHARED, PLAIN], {"plain": (1,)}),
    SetInVain: ("I1", [[*SHARED[:2], ("program", 4, 1 << 20, 0), ("program", 5, 1 << 20, 0),
                        ("set_registers", 70), ("look", 3)]], {}),
    ForgottenInhibit: ("I1", [[("program", 4, 1 << 20, 0), ("program", 3, 500, 0),
                               ("migrate in handler",), ("work", 900), ("look", 4)], OTHER],
                       {"harts": 2}),
    OtherMask: ("", [[("program", 5, 1 << 20, 0), ("migrate", False), ("look", 5)]], {"harts": 2}),
    Pended: ("I7", [[("park", 3), ("give_way",), ("work", 100)], OTHER], {}),
    ForgetsPlain: ("I", [SHARED, PLAIN], {"plain": (1,)}),
    LetsUsersRead: ("I8", [SHARED], {}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_done_wrong_shows(fault):
    caught, lives, how = FAULTS[fault]
    World(lives, **how).run()  # all is well
    where = "host" if issubclass(fault, Hypervisor) else "pmu"
    with pytest.raises((Wrong, Trap), match=caught or None):
        World(lives, **how, **{where: fault}).run()


def test_letting_counters_go_on_before_they_are_loaded_can_not_show():
    """Nothing in D counts in HS-mode, so of this order only the last write matters."""

    class RunningFirst(PassthroughPmu):
        def restore(self, vcpu):
            image = self.images.get(vcpu) or self.blank()
            vcpu.hypervisor.write(VSCOUNTINHIBIT, image.inhibited)
            write = vcpu.hypervisor.write
            vcpu.hypervisor.write = lambda csr, value: (
                None if csr == VSCOUNTINHIBIT else write(csr, value)
            )
            super().restore(vcpu)
            del vcpu.hypervisor.write

    for policy in POLICIES:
        World([SHARED, OTHER], policy, pmu=RunningFirst).run()
