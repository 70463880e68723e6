"""VM exits and SBI calls of whole runs, by closed formulas of how often each thing happens.

k overflows of the guest's event, n pairs of its task being switched in and out, h pairs of the
vCPU's thread being switched out and in by the host while the event counts, x exits that have
nothing to do with the PMU.
"""

from __future__ import annotations

import pytest

from rvperf.machine.pmu import EVENTS
from rvperf.stack.events_core import EventAttr
from rvperf.stack.pmu_drivers.event import HwEvent
from tests.stack.virtual import Stack, sampling

PERIOD = 20_000
# k, n and h each take every value of 0..20, in different orders; then corners. Without a pair
# nothing is ever switched in that could overflow, or be switched out.
RUNS = [
    *((k, 1 + (7 * k + 3) % 20, (8 * k + 1) % 21, (13 * k + 7) % 21) for k in range(21)),
    *((k, 1, 0, 0) for k in (0, 1, 20)),
    *((0, 1, h, 0) for h in (1, 20)),
    *((0, n, 0, 0) for n in (2, 20)),
    (20, 20, 20, 20),
    (0, 0, 0, 0),
    (0, 0, 0, 20),
]
FORMULAS = {  # (VM exits, SBI calls of the host)
    # 6 exits an overflow: the interrupt, STOP, scountovf, the counter, START of none, START.
    "sbi": lambda k, n, h, x: (6 * k + 5 * n + x, 8 * k + 4 * (n + h)),
    # 3: the interrupt, STOP, START.
    "snapshot": lambda k, n, h, x: (3 * k + 4 * n + x, 8 * k + 4 * (n + h)),
    # 2: the same without the interrupt.
    "deleg": lambda k, n, h, x: (2 * k + 4 * n + x, 0),
    # The interrupt, and 11 emulated accesses; a pair is 6 and 4 of them.
    "trap": lambda k, n, h, x: (12 * k + 10 * n + x, 0),
    # As many without those of the counter: one an overflow, one a pair.
    "mediated": lambda k, n, h, x: (11 * k + 9 * n + x, 0),
    "passthrough": lambda k, n, h, x: (x, 0),
}
STOCK = {
    # 2 exits an overflow: the interrupt and STOP, of which the latter is then missing at the end
    # of the slice; counters stand still from then on, so there is no second one in a slice.
    ("sbi", "kvm-no-scountovf"): lambda k, n, h, x: (2 * k + 5 * n + x, 4 * k + 4 * (n + h)),
    ("snapshot", "linux-snapshot-base"): lambda k, n, h, x: (
        3 * k + 4 * n + x,
        4 * k + 4 * (n + h),
    ),
}


def spread(count, slots):
    """How many of `count` fall into each slot."""
    return [count * (at + 1) // slots - count * at // slots for at in range(slots)]


def workload(guest, stack, k, n, h, x):
    """Have it all happen; h of the x exits are those behind which the host switches."""
    core, calls = guest.core, stack.host.calls_by_origin
    exits, before = len(guest.vcpu.exits), sum(calls.values())
    event = sampling(guest, PERIOD)
    core.switch_out("task")
    core.enable(event)
    overflows = guest.overflows
    for each_k, each_h in zip(spread(k, n or 1), spread(h, n or 1), strict=True):
        if n:
            core.switch_in("task")
        # The host's switches come first: an event may not survive its first overflow.
        for _ in range(each_h):
            guest.switched_out()
        for _ in range(each_k):
            seen = guest.overflows
            while guest.overflows == seen:
                guest.work(PERIOD // 4)
        core.switch_out("task")
    for _ in range(x):
        guest.ask()
    core.close(event)
    assert guest.overflows - overflows == k
    return len(guest.vcpu.exits) - exits, sum(calls.values()) - before


@pytest.mark.parametrize("vpmu", FORMULAS)
def test_exits_and_calls_are_as_many_as_the_formulas_say(vpmu):
    found = {}
    stack = Stack(vpmu, **({"counters": 1} if vpmu == "mediated" else {}))

    def run(guest):
        for run in RUNS:
            found[run] = workload(guest, stack, *run)

    stack.run(run)
    formula = FORMULAS[vpmu]
    # Each of the host's switches came behind an exit of its own.
    assert found == {(k, n, h, x): formula(k, n, h, x + h) for k, n, h, x in RUNS}


def test_all_values_up_to_twenty_occur():
    for at in range(3):
        assert {run[at] for run in RUNS} == set(range(21))


@pytest.mark.parametrize("vpmu, quirk", STOCK)
def test_exits_and_calls_with_the_mistakes_of_the_real_software(vpmu, quirk):
    """At most one overflow a slice: the counter then stands still until the next."""
    found = {}
    stack = Stack(vpmu, quirks=[quirk])
    runs = [(0, 1, 0, 0), (1, 1, 0, 0), (5, 5, 3, 2), (4, 9, 0, 7)]

    def run(guest):
        for run in runs:
            found[run] = workload(guest, stack, *run)

    stack.run(run)
    formula = STOCK[vpmu, quirk]
    assert found == {(k, n, h, x): formula(k, n, h, x + h) for k, n, h, x in runs}


# A guest's events are pinned events of the vCPU's thread, and enabling one has them all scheduled
# again: what a START costs the host grows with the events that there are.


def test_starting_the_mth_counter_takes_m_minus_1_off_and_puts_m_on():
    """Each off is STOP and STOP(RESET), each on CFG_MATCH and START."""
    found = []
    stack = Stack("snapshot")

    def run(guest):
        for selector in EVENTS:
            before = sum(stack.host.calls_by_origin.values())
            assert guest.core.driver.add(HwEvent(selector, PERIOD))
            found.append(sum(stack.host.calls_by_origin.values()) - before)

    stack.run(run)
    assert found == [2 * (m - 1) + 2 * m for m in range(1, len(EVENTS) + 1)]


def test_enabling_the_mth_event_costs_the_host_m_squared():
    """The guest's core takes m - 1 events off, of which each costs the host 2 calls, and puts m on,
    which is the row of starts above."""
    found = []
    stack = Stack("snapshot")

    def run(guest):
        guest.core.switch_in("task")
        for event in [
            guest.core.open(EventAttr(number, disabled=True), "task") for number in EVENTS
        ]:
            before = sum(stack.host.calls_by_origin.values())
            guest.core.enable(event)
            found.append(sum(stack.host.calls_by_origin.values()) - before)

    stack.run(run)
    assert found == [2 * (m - 1) + 2 * m**2 for m in range(1, len(EVENTS) + 1)]


def test_a_single_vcpu_with_its_own_counters_costs_nothing():
    stack = Stack("passthrough")

    def run(guest):
        stack.vpmu.saves = stack.vpmu.restores = 0
        workload(guest, stack, k=7, n=5, h=0, x=0)
        assert guest.samples == 7

    guest = stack.run(run)
    assert guest.vcpu.exits == []
    assert sum(stack.host.calls_by_origin.values()) == 0
    assert (stack.vpmu.saves, stack.vpmu.restores) == (0, 0)
    assert not [key for key in stack.host.tally if key[0] == "trapped"]


def test_nor_do_exits_and_switches_of_a_single_vcpu_save_anything():
    stack = Stack("passthrough")

    def run(guest):
        stack.vpmu.saves = stack.vpmu.restores = 0
        workload(guest, stack, k=7, n=5, h=6, x=4)
        guest.wait()
        guest.touch(0x8000_0000)

    guest = stack.run(run)
    assert [exit.key for exit in guest.vcpu.exits[-2:]] == ["wfi", "0x80000000"]
    assert len(guest.vcpu.exits) == 6 + 4 + 2
    assert (stack.vpmu.saves, stack.vpmu.restores) == (0, 0)
