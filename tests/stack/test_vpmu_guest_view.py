"""What a guest with counters of its own can see and do: its own counters, and nothing else."""

from __future__ import annotations

import pytest

from isa.causes import Cause
from isa.counting import INHIBITS, OF
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S, U
from rvperf.machine.traps import Trap
from rvperf.stack.events_core import EventAttr
from rvperf.stack.sbi import Base, Extension
from tests.stack.virtual import CYCLES, INSTRUCTIONS, SCAUSE, Guest, Stack

CYCLE, TIME, SCOUNTEREN, SCOUNTINHIBIT, SCOUNTOVF, SISELECT, SIREG, SIREG2 = (
    CSR_NUMBERS[name]
    for name in (
        "cycle",
        "time",
        "scounteren",
        "scountinhibit",
        "scountovf",
        "siselect",
        "sireg",
        "sireg2",
    )
)
SIREGS = [CSR_NUMBERS[f"sireg{n}"] for n in ("", 2, 3, 4, 5, 6)]
MCOUNTINHIBIT, MHPMEVENT, MCOUNTER = (
    CSR_NUMBERS["mcountinhibit"],
    CSR_NUMBERS["mhpmevent3"] - 3,
    CSR_NUMBERS["mcycle"],
)
GIVEN = 0x7FFF8  # counters 3 to 18
ONES = (1 << 64) - 1
WORK = 1000


class Bare(Guest):
    """A guest without a driver."""

    def boot(self, driver) -> None:
        """Nothing is touched."""

    def raises(self, csr, value=None):
        """What the hart makes of an access, as such: 0, or the cause of the exception."""
        try:
            if value is None:
                self.hart.read_csr(csr)
            else:
                self.hart.write_csr(csr, value)
        except Trap as trap:
            return trap.cause
        return 0

    def in_user_mode(self, do):
        """Do something in VU-mode."""
        self.hart.mode = VU
        try:
            return do()
        finally:
            self.hart.mode = VS


def run(test, vpmu="passthrough", **options):
    stack = Stack(vpmu, guest=Bare, **options)
    stack.run(lambda guest: test(guest, stack))


def host_samples(stack):
    """Have the host use two counters, of which one has overflowed."""
    core = stack.host.core
    events = [core.open(EventAttr(n, sample_period=1000)) for n in (CYCLES, INSTRUCTIONS)]
    assert [event.idx for event in events] == [31, 30]
    stack.hart.csrs.write(MHPMEVENT + 31, stack.hart.csrs.value(MHPMEVENT + 31) | OF)


@pytest.mark.parametrize("counters", [1, 4, 16, 29])
def test_probing_finds_exactly_the_counters_given(counters):
    """As Linux' driver does: ones to scountinhibit, and what sticks are its counters."""

    def test(guest, stack):
        guest.write(SCOUNTINHIBIT, ONES)
        assert guest.read(SCOUNTINHIBIT) == ((1 << counters) - 1) << 3
        guest.write(SCOUNTINHIBIT, 0)
        assert guest.read(SCOUNTINHIBIT) == 0
        assert guest.vcpu.exits == []

    run(test, counters=counters)


def test_others_counters_can_not_be_reached():
    def test(guest, stack):
        for number in range(32):
            guest.write(SISELECT, 0x40 + number)
            own = GIVEN >> number & 1
            for register in SIREGS:
                reached = own and register in (SIREG, SIREG2)
                expected = 0 if reached else Cause.VIRTUAL_INSTRUCTION
                assert guest.raises(register) == guest.raises(register, 0) == expected
            readable = own or number == TIME - CYCLE
            assert guest.raises(CYCLE + number) == (0 if readable else Cause.VIRTUAL_INSTRUCTION)

    run(test)


def test_trying_is_an_illegal_instruction_for_the_guests_kernel():
    """The hypervisor, which is told, has nothing to emulate."""

    def test(guest, stack):
        guest.write(SISELECT, 0x40 + 31)
        for access in (
            lambda: guest.read(SIREG),
            lambda: guest.write(SIREG2, INSTRUCTIONS),
            lambda: guest.read(CYCLE + 31),
            lambda: guest.read(CYCLE),
        ):
            guest.write(SCAUSE, 0)
            with pytest.raises(Trap):
                access()
            assert guest.read(SCAUSE) == Cause.ILLEGAL_INSTRUCTION
        assert [exit.key for exit in guest.vcpu.exits] == [
            "sireg",
            "sireg2",
            "hpmcounter31",
            "cycle",
        ]

    run(test)


def test_nothing_tells_a_guest_what_the_host_counts():
    def test(guest, stack):
        guest.let_host(lambda: host_samples(stack))
        assert guest.read(SCOUNTOVF) & ~GIVEN == 0
        assert guest.read(SCOUNTINHIBIT) & ~GIVEN == 0
        before = stack.hart.csrs.value(MCOUNTINHIBIT) & ~GIVEN
        for value in (ONES, 0, GIVEN, ~GIVEN & ONES):
            guest.write(SCOUNTINHIBIT, value)
            assert guest.read(SCOUNTINHIBIT) == value & GIVEN
            assert stack.hart.csrs.value(MCOUNTINHIBIT) & ~GIVEN == before

    run(test)


def test_user_mode_has_the_counters_that_the_guests_kernel_opens_and_no_control():
    def test(guest, stack):
        guest.write(SCOUNTEREN, 1 << 3)

        def tries():
            return [
                guest.raises(csr)
                for csr in (CYCLE + 3, CYCLE + 4, SCOUNTINHIBIT, SCOUNTOVF, SISELECT, SIREG)
            ]

        assert guest.in_user_mode(tries) == [0] + [Cause.VIRTUAL_INSTRUCTION] * 5

    run(test)


def test_a_guest_can_not_count_outside_of_itself():
    """I3: with every filter bit that it can write off or on, its counter moves by what its modes
    retire: nothing of HS, U and M."""

    def elsewhere(stack):
        hart = stack.hart
        hart.mode = U
        hart.charge(WORK, WORK)
        hart.mode = S
        hart.charge(WORK, WORK)
        stack.host.call(Extension.BASE, Base.GET_SPEC_VERSION)

    def test(guest, stack):
        hart = stack.hart
        filters = sum(1 << bit for bit in INHIBITS.values())
        seen = {}
        for number, config in ((3, INSTRUCTIONS), (4, INSTRUCTIONS | filters | OF)):
            guest.write(SISELECT, 0x40 + number)
            guest.write(SIREG2, config)
            seen[number] = guest.read(SIREG2)
        # The guest's SINH and UINH are all that it has; they are about VS and VU.
        own = 1 << INHIBITS[S] | 1 << INHIBITS[U]
        assert seen == {3: INSTRUCTIONS, 4: INSTRUCTIONS | own | OF}
        guest.write(SCOUNTINHIBIT, 0)
        before, inside = values(guest), hart.counts[VS]["instructions"]
        outside = sum(hart.counts[mode]["instructions"] for mode in (M, S, U))
        for _ in range(3):
            guest.let_host(lambda: elsewhere(stack))
        guest.switched_out()
        moved = [now - then for now, then in zip(values(guest), before, strict=True)]
        assert moved == [hart.counts[VS]["instructions"] - inside, 0]
        assert sum(hart.counts[mode]["instructions"] for mode in (M, S, U)) > outside + 6 * WORK

    def values(guest):
        return [guest.hart.pmu.value(number) for number in (3, 4)]

    run(test)


def test_user_mode_of_the_host_reads_nothing_of_a_guest():
    """I8: scounteren is not banked, and the guest has opened all of it."""
    found = []

    def as_user(stack):
        hart = stack.hart
        hart.mode = U
        for number in range(3, 32):
            with pytest.raises(Trap) as caught:
                hart.read_csr(CYCLE + number)
            found.append(caught.value.cause)
        hart.mode = S

    def test(guest, stack):
        guest.write(SCOUNTEREN, ONES)
        guest.let_host(lambda: as_user(stack))

    run(test)
    assert found == [Cause.ILLEGAL_INSTRUCTION] * 29


@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "deleg", "mediated"])
def test_without_passthrough_every_control_register_traps(vpmu):
    """A hart lets no guest at them (Ssccfg); counters can be read where the host lets them be."""

    def test(guest, stack):
        mediated = vpmu == "mediated"
        for number in range(3, 32):
            if guest.raises(SISELECT, 0x40 + number) == 0:
                assert guest.raises(SIREG) == Cause.VIRTUAL_INSTRUCTION
                assert guest.raises(SIREG2, 0) == Cause.VIRTUAL_INSTRUCTION
            expected = 0 if mediated else Cause.VIRTUAL_INSTRUCTION
            assert guest.raises(CYCLE + number) == expected
        assert guest.raises(SCOUNTINHIBIT) == Cause.VIRTUAL_INSTRUCTION
        assert guest.raises(SCOUNTINHIBIT, 0) == Cause.VIRTUAL_INSTRUCTION
        assert guest.raises(SCOUNTOVF) == Cause.VIRTUAL_INSTRUCTION
        assert guest.raises(SCOUNTOVF, 0) == Cause.ILLEGAL_INSTRUCTION  # it is read-only

    run(test, vpmu)


def test_the_next_guest_finds_nothing_of_the_one_before():
    """I8, from guest to guest."""
    found = []

    def leaves_something(guest):
        for number in range(3, 19):
            guest.write(SISELECT, 0x40 + number)
            guest.write(SIREG, 0xDEAD + number)
            guest.write(SIREG2, INSTRUCTIONS | OF)
        guest.write(SISELECT, 0x45)

    def looks(guest):
        found.append((guest.read(SISELECT), guest.read(SCOUNTINHIBIT), guest.read(SCOUNTOVF)))
        for number in range(3, 19):
            guest.write(SISELECT, 0x40 + number)
            found.append((guest.read(SIREG), guest.read(SIREG2)))

    Stack("passthrough", vpmus=["passthrough"] * 2, guest=Bare).run(leaves_something, looks)
    assert found == [(0, GIVEN, 0)] + [(0, 0)] * 16
