"""What guests and the host count is what was retired: nothing is counted twice, and nothing lost.

The truth is the hart's ledger, by mode. An event counts between the operation of its driver that
lets its counter count, and the one that has it stand still.
"""

from __future__ import annotations

from random import Random

import pytest

from isa.modes import VS, VU
from rvperf.stack.events_core import EventAttr
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from tests.stack.virtual import CYCLES, INSTRUCTIONS, SSTATUS, Stack, sampling

SOURCES = {INSTRUCTIONS: "instructions", CYCLES: "cycles"}
PERIOD = 8_000
SIE_BIT = 1 << 1
FILTERS = {  # of perf, in a guest
    "": ({}, (VS, VU)),
    ":u": ({"exclude_kernel": True, "exclude_hv": True}, (VU,)),
    ":k": ({"exclude_user": True, "exclude_hv": True}, (VS,)),
}


# All designs; the number of counters only costs time.
KINDS = [
    *((vpmu, {"counters": 4} if vpmu in ("mediated", "passthrough") else {}) for vpmu in DESIGNS),
    *(("passthrough", {"counters": 4, "policy": policy}) for policy in ("eager", "always")),
]


class Truth:
    """What the one event of a guest's driver should have counted, in some modes."""

    def __init__(self, guest, source, modes):
        self.guest, self.source, self.modes = guest, source, modes
        self.total, self.since, self.last = 0, None, 0
        guest.on_operation = self._operation
        driver = guest.core.driver
        for name in ("_start", "_restart_used"):
            self._watch(driver, name, self._started)
        for name in ("_stop", "_stop_used"):
            self._watch(driver, name, self._stopped)

    def ledger(self):
        """How many there have been in all."""
        return sum(self.guest.hart.counts[mode][self.source] for mode in self.modes)

    def _operation(self, operation):
        what, _, name, *_ = operation
        if what == "call" or (what == "write" and name == "scountinhibit"):
            self.last = self.ledger()

    @staticmethod
    def _watch(driver, name, then):
        method = getattr(driver, name)

        def watched(*arguments):
            method(*arguments)
            then()

        setattr(driver, name, watched)

    def _started(self):
        if self.since is None:
            self.since = self.last

    def _stopped(self):
        if self.since is not None:
            self.total += self.last - self.since
            self.since = None


def lead_a_life(guest, seed, leaves=True):
    """All kinds of things that a guest does, and that happen to it, in some order; among them that
    its vCPU leaves the hart, if it `leaves`."""
    random = Random(seed)
    page = iter(range(0x8000_0000, 0x8400_0000, 2 << 20))

    def slices():
        guest.core.switch_out("task")
        guest.work(random.randrange(1, 5000))
        guest.core.switch_in("task")

    def late():
        """An overflow that waits while the vCPU is away."""
        guest.clear(SSTATUS, SIE_BIT)
        guest.work(random.randrange(1, 6000))
        guest.switched_out()
        guest.set(SSTATUS, SIE_BIT)
        guest.poll()

    things = [
        lambda: guest.work(random.randrange(1, 6000)),
        lambda: guest.user(random.randrange(1, 6000)),
        guest.ask,
        lambda: guest.touch(next(page)),
        slices,
        *((guest.wait, guest.switched_out, late) if leaves else ()),
    ]
    for _ in range(60):
        random.choice(things)()


@pytest.mark.parametrize("selector", SOURCES)
@pytest.mark.parametrize("modifier", FILTERS)
@pytest.mark.parametrize("vpmu, options", KINDS)
def test_a_guest_counts_exactly_what_it_retires(vpmu, options, modifier, selector):
    excluded, modes = FILTERS[modifier]
    stack, found = Stack(vpmu, **options), []

    def run(guest):
        truth = Truth(guest, SOURCES[selector], modes)
        event = sampling(guest, PERIOD, selector=selector, **excluded)
        guest.core.enable(event)
        lead_a_life(guest, seed=4)
        guest.core.switch_out("task")
        found.extend((event.count, truth.total))

    guest = stack.run(run)
    count, truth = found
    assert count == truth > 2 * PERIOD
    # Periods go on where they ended, so that none is lost by what was counted too far.
    assert guest.samples == guest.overflows == count // PERIOD


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_a_guest_that_only_counts_may_read_at_any_time(vpmu):
    stack, found = Stack(vpmu), []

    def run(guest):
        truth = Truth(guest, "instructions", (VS, VU))
        guest.core.switch_in("task")
        event = guest.core.open(EventAttr(INSTRUCTIONS), "task")
        for seed in range(3):
            lead_a_life(guest, seed)
            # The read itself: what is charged before the counter is read is in it.
            count = guest.core.read(event).count
            assert truth.total < count <= truth.total + truth.ledger() - truth.since
        guest.core.close(event)
        found.extend((event.count, truth.total))

    stack.run(run)
    assert found[0] == found[1]


# I12: what a hypervisor emulates does not retire in the guest.
@pytest.mark.parametrize(
    "vpmu, retired",
    [("trap", 0), ("sbi", 0), ("snapshot", 0), ("deleg", 0), ("mediated", 1), ("passthrough", 1)],
)
def test_an_emulated_instruction_does_not_retire_in_the_guest(vpmu, retired):
    """A read of the counter is one instruction, and is in no count if it is emulated: KVM doesn't
    add it, and the guest's instret is short by one for each."""
    stack, found = Stack(vpmu), []

    def run(guest):
        guest.core.switch_in("task")
        event = guest.core.open(EventAttr(INSTRUCTIONS), "task")
        csr = guest.core.driver.info[event.idx].csr
        first = guest.read(csr)
        found.append(guest.read(csr) - first)

    stack.run(run)
    assert found == [retired]
