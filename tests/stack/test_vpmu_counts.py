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
from tests.stack.virtual import CYCLES, INSTRUCTIONS, SIE_BIT, SSTATUS, Stack, sampling

LOADS = 0x10000
SOURCES = {LOADS: "loads", INSTRUCTIONS: "instructions", CYCLES: "cycles"}
PERIOD = 8_000
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
    """What the events of a guest's driver should have counted: `modes` has, by event, in which.

    `total` is complete for events that stand still.
    """

    def __init__(self, guest, modes):
        self.guest, self.modes = guest, modes
        self.total = dict.fromkeys(modes, 0)
        self.since = {}  # the ledger when an event started
        self.ledgers = []  # at each operation that may start or stop counters
        guest.on_operation = self._operation
        self.driver = driver = guest.core.driver
        for name in ("_start", "_restart_used", "_stop", "_stop_used"):
            setattr(driver, name, self._watched(getattr(driver, name), getattr(self, name)))

    def ledger(self, event):
        """How many there have been of an event in all."""
        source = SOURCES[event.selector]
        return sum(self.guest.retired(mode, source) for mode in self.modes[event])

    def _operation(self, operation):
        what, _, name, *_ = operation
        if what == "call" or (what == "write" and name == "scountinhibit"):
            self.ledgers.append({event: self.ledger(event) for event in self.modes})

    def _watched(self, method, then):
        def watched(*arguments):
            first = len(self.ledgers)
            method(*arguments)
            then(self.ledgers[first:], *arguments)

        return watched

    def _start(self, ledgers, event, value):
        self.since[event] = ledgers[-1][event]

    def _restart_used(self, ledgers, overflown, resting):
        """Those that haven't overflown start first, unless all start at once."""
        for event in self.driver.events.values():
            if event not in self.since and not resting >> event.idx & 1:
                turn = (overflown & (2 << event.idx) - 1).bit_count()
                late = overflown >> event.idx & 1 and len(ledgers) > 1
                self.since[event] = ledgers[turn if late else 0][event]

    def _stop(self, ledgers, event):
        if event in self.since:
            self.total[event] += ledgers[-1][event] - self.since.pop(event)

    def _stop_used(self, ledgers):
        for event in self.driver.events.values():
            self._stop(ledgers, event)


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


@pytest.mark.parametrize("selector", [INSTRUCTIONS, CYCLES])
@pytest.mark.parametrize("modifier", FILTERS)
@pytest.mark.parametrize("vpmu, options", KINDS)
def test_a_guest_counts_exactly_what_it_retires(vpmu, options, modifier, selector):
    excluded, modes = FILTERS[modifier]
    stack, found = Stack(vpmu, **options), []

    def run(guest):
        event = sampling(guest, PERIOD, selector=selector, **excluded)
        truth = Truth(guest, {event: modes})
        guest.core.enable(event)
        lead_a_life(guest, seed=4)
        guest.core.switch_out("task")
        guest.core.switch_in("task")
        guest.core.close(event)
        found.extend((event.count, truth.total[event]))

    guest = stack.run(run)
    count, truth = found
    assert count == truth > 2 * PERIOD
    # Periods go on where they ended, so that none is lost by what was counted too far.
    assert guest.samples + guest.missed == count // PERIOD
    assert guest.missed < guest.samples <= guest.overflows


@pytest.mark.parametrize("vpmu, options", KINDS)
def test_several_events_of_a_guest_count_exactly_beside_each_other(vpmu, options):
    """With periods of their own, so that some go on where they were when others overflow."""
    stack, found = Stack(vpmu, **options), {}

    def run(guest):
        events = {
            sampling(guest, PERIOD, **FILTERS[""][0]): (VS, VU),
            sampling(guest, PERIOD + 999, CYCLES, **FILTERS[":k"][0]): (VS,),
            sampling(guest, 1 << 40, LOADS, **FILTERS[":u"][0]): (VU,),
        }
        truth = Truth(guest, events)
        for event in events:
            guest.core.enable(event)
        lead_a_life(guest, seed=8)
        guest.core.switch_out("task")
        guest.core.switch_in("task")
        for event in events:
            guest.core.close(event)
            found[event.selector, event.sample_period] = event.count, truth.total[event]
            found["samples"] = found.get("samples", 0) + event.count // event.sample_period

    guest = stack.run(run)
    assert guest.samples + guest.missed == found.pop("samples") >= 5
    assert all(count == truth for count, truth in found.values()), found


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_a_guest_that_only_counts_may_read_at_any_time(vpmu):
    stack, found = Stack(vpmu), []

    def run(guest):
        guest.core.switch_in("task")
        event = guest.core.open(EventAttr(INSTRUCTIONS, disabled=True), "task")
        truth = Truth(guest, {event: (VS, VU)})
        guest.core.enable(event)
        for seed in range(3):
            lead_a_life(guest, seed)
            before = truth.ledger(event)
            count = guest.core.read(event).count
            # The read's own instructions up to where the counter is read are in it.
            ran = truth.total[event] - truth.since[event]
            assert before <= count - ran <= truth.ledger(event)
        guest.core.close(event)
        found.extend((event.count, truth.total[event]))

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
