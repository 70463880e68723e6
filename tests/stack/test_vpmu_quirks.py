"""What the real software is known to do wrong, on and off."""

from __future__ import annotations

import pytest

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL
from isa.modes import VS, M, S
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.events_core import EventAttr
from rvperf.stack.hypervisor.vpmu.designs import QUIRKS
from rvperf.stack.sbi import Extension, Pmu
from tests.stack.virtual import INSTRUCTIONS, SCAUSE, Stack, sampling

PERIOD = 10_000
BRANCHES = 5
MCOUNTEREN, MCOUNTINHIBIT, SCOUNTINHIBIT, SCOUNTOVF, HPMCOUNTER31 = (
    CSR_NUMBERS[name]
    for name in ("mcounteren", "mcountinhibit", "scountinhibit", "scountovf", "hpmcounter31")
)
MHPMEVENT3, HCOUNTEREN, MENVCFG = (
    CSR_NUMBERS[name] for name in ("mhpmevent3", "hcounteren", "menvcfg")
)
OF, CDE = 1 << 63, 1 << 60


def test_each_has_its_sentence():
    assert set(QUIRKS) == {
        "kvm-no-scountovf",
        "linux-snapshot-base",
        "kvm-cumulative-read",
        "kvm-hpm31",
        "qemu-scountovf",
        "qemu-scountinhibit",
    }
    for sentence in QUIRKS.values():
        assert sentence.endswith(".") and sentence.count(". ") == 0


def overflows(vpmu, *quirks, slices=1):
    """(exits, the host's SBI calls, samples) of the guest's first overflow; and how many overflows
    there were in all, of as many as three in each slice."""
    stack, found = Stack(vpmu, quirks=quirks), []

    def run(guest):
        event = sampling(guest, PERIOD)
        guest.core.enable(event)
        calls = stack.host.calls_by_origin
        exits, before = len(guest.vcpu.exits), sum(calls.values())
        guest.work(PERIOD)
        found.append((len(guest.vcpu.exits) - exits, sum(calls.values()) - before, guest.samples))
        for _ in range(slices):
            guest.work(PERIOD)
            guest.work(PERIOD)
            guest.core.switch_out("task")
            guest.core.switch_in("task")
            guest.work(PERIOD)

    guest = stack.run(run)
    return found[0], guest.overflows, guest.samples


@pytest.mark.parametrize(
    "quirks, first, seen, samples",
    [
        ((), (6, 8, 1), 4, 4),
        # The interrupt and STOP: 2 exits, 4 + 2 calls, no sample. Then it stands still, until the
        # task is switched in again.
        (("kvm-no-scountovf",), (2, 6, 0), 2, 0),
        # Nor does it help that QEMU shows too much: of the guest's counter 2 there is no bit. Its
        # driver takes the interrupt for others' and only starts the counter again, from beyond
        # its overflow.
        (("kvm-no-scountovf", "qemu-scountovf"), (3, 8, 0), 2, 0),
    ],
)
def test_kvm_does_not_emulate_scountovf(quirks, first, seen, samples):
    found = overflows("sbi", *quirks)
    assert found == (first, seen, samples)


@pytest.mark.parametrize(
    "quirks, first, seen",
    [
        ((), (3, 8, 1), 4),
        # START is refused: the host does nothing for it.
        (("linux-snapshot-base",), (3, 6, 1), 2),
    ],
)
def test_linux_restarts_counters_from_a_wrong_base(quirks, first, seen):
    found = overflows("snapshot", *quirks)
    assert found == (first, seen, seen)


@pytest.mark.parametrize("quirks, times", [((), 1), (("kvm-cumulative-read",), 2)])
def test_kvm_counts_again_what_a_read_has_given(quirks, times):
    """The second read is of as much as the first: with the quirk it moves by all since START."""
    stack, found = Stack("sbi", quirks=quirks), []

    def run(guest):
        guest.core.switch_in("task")
        event = guest.core.open(EventAttr(INSTRUCTIONS), "task")
        guest.work(PERIOD)
        first = guest.core.read(event).count
        guest.work(PERIOD)
        found.append(round((guest.core.read(event).count - first) / PERIOD))

    stack.run(run)
    assert found == [times]


@pytest.mark.parametrize("quirks, emulated", [((), True), (("kvm-hpm31",), False)])
def test_kvm_does_not_emulate_the_last_counter(quirks, emulated):
    stack = Stack("sbi", quirks=quirks)

    def run(guest):
        configured = guest.call(Extension.PMU, Pmu.COUNTER_CFG_MATCH, 31, 1, 0, BRANCHES, 0)
        assert configured == (0, 31)
        if emulated:
            assert guest.read(HPMCOUNTER31) == 0
        else:
            with pytest.raises(Trap):
                guest.read(HPMCOUNTER31)
            assert guest.read(SCAUSE) == Cause.ILLEGAL_INSTRUCTION

    stack.run(run)


def bare(*quirks):
    """A hart that has delegated counters 3 and 4, of which 4 and 5 have overflowed."""
    hart = Hart(Ram(1 << 20), 0, OPTIONAL_FOR_DELEGATION, quirks=quirks)
    hart.write_csr(MCOUNTEREN, 0b11000)
    hart.write_csr(MENVCFG, CDE)
    hart.write_csr(MHPMEVENT3 + 1, OF)
    hart.write_csr(MHPMEVENT3 + 2, OF)
    return hart


OPTIONAL_FOR_DELEGATION = {"H", "Sscofpmf", "Smcntrpmf", "Smcsrind", "Smcdeleg"}


@pytest.mark.parametrize("quirks, left", [((), 0b110100), (("qemu-scountinhibit",), 0b10000)])
def test_qemu_lets_counters_count_that_are_not_delegated(quirks, left):
    assert OPTIONAL_FOR_DELEGATION <= set(OPTIONAL)
    hart = bare(*quirks)
    hart.write_csr(MCOUNTINHIBIT, 0b101100)
    hart.mode = S
    hart.write_csr(SCOUNTINHIBIT, 0b110000)
    hart.mode = M
    assert hart.read_csr(MCOUNTINHIBIT) == left


@pytest.mark.parametrize("quirks, seen", [((), 0), (("qemu-scountovf",), 0b10000)])
def test_qemu_shows_guests_overflows_of_others_counters(quirks, seen):
    hart = bare(*quirks)
    hart.write_csr(MENVCFG, 0)  # else a guest's read traps
    hart.write_csr(HCOUNTEREN, 0b1000)
    hart.mode = S
    assert hart.read_csr(SCOUNTOVF) == 0b10000
    hart.mode = VS
    assert hart.read_csr(SCOUNTOVF) == seen
