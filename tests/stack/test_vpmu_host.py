"""The host's own events beside a guest's: what they count, and whether they can sample."""

from __future__ import annotations

import pytest

from isa.counting import OF
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, S, U
from rvperf.stack.events_core import EventAttr
from tests.stack.test_vpmu_counts import lead_a_life
from tests.stack.virtual import INSTRUCTIONS, Stack, sampling

WHOSE = {"all": {}, "H": {"exclude_guest": True}, "G": {"exclude_host": True}}
DESIGNS = ("trap", "sbi", "snapshot", "deleg", "passthrough")  # all but `mediated`
OVERFLOW = 1 << 63 | 13  # scause
MHPMEVENT = CSR_NUMBERS["mhpmevent3"] - 3


def retired(hart, *modes):
    """How many instructions there have been in some modes."""
    return sum(hart.counts[mode]["instructions"] for mode in modes)


def opened(stack, **attr):
    """An event of the host's CPU, which no event of a guest's can take the counter of."""
    return stack.host.core.open(EventAttr(INSTRUCTIONS, pinned=True, **attr))


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("vpmu", DESIGNS)
def test_the_hosts_and_the_guests_part_are_the_whole(vpmu, sampled):
    """:H and :G beside an unfiltered event, while the guest counts or samples as well."""
    stack, events, found = Stack(vpmu), {}, {}
    hart = stack.hart

    def values():
        return {name: hart.pmu.value(event.idx) for name, event in events.items()}

    def run(guest):
        for name, excluded in WHOSE.items():
            guest.let_host(lambda name=name, e=excluded: events.update({name: opened(stack, **e)}))
        event = sampling(guest, 8000 if sampled else 1 << 40)
        guest.core.enable(event)
        before, host, inside = values(), retired(hart, S, U), retired(hart, VS, VU)
        lead_a_life(guest, seed=9)
        found.update({name: value - before[name] for name, value in values().items()})
        found["ledger"] = retired(hart, S, U) - host, retired(hart, VS, VU) - inside

    guest = stack.run(run)
    host, inside = found["ledger"]
    assert found["G"] == inside
    assert found["all"] == found["H"] + found["G"]
    if vpmu in ("deleg", "passthrough") or not sampled:
        assert found["H"] == host
    else:  # the host's handler has everything stand still for a moment
        assert 0 < host - found["H"] < 400 * guest.overflows


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_the_guests_part_is_exact_though_the_hosts_event_loses_its_counter_at_times(vpmu):
    """A flexible event of the host makes way while events of the vCPU's thread are scheduled, and
    nothing of the guest happens meanwhile."""
    stack, events, found = Stack(vpmu), [], []
    hart = stack.hart

    def opened():
        attr = EventAttr(INSTRUCTIONS, exclude_host=True)
        events.append(stack.host.core.open(attr))
        found.append(retired(hart, VS, VU))

    def closed():
        found.append(retired(hart, VS, VU))
        stack.host.core.close(events[0])

    def run(guest):
        guest.let_host(opened)
        guest.core.enable(sampling(guest, 8000))
        lead_a_life(guest, seed=3)
        guest.let_host(closed)

    stack.run(run)
    assert events[0].count == found[1] - found[0] > 20_000


# A host that samples itself, as `perf record -a -e instructions:H` or without :H does.

PERIOD = 20_000  # further than any single piece of the host's work goes


def host_sampling(vpmu, guest_samples=True, leaves=True, seed=5, period=PERIOD, **excluded):
    """The stack after a run in which both sample, the host's event, and its samples. `leaves`:
    the vCPU leaves the hart at times."""
    options = {"counters": 4} if vpmu == "mediated" else {}
    stack, events, samples = Stack(vpmu, **options), [], []

    def begin():
        events.append(opened(stack, sample_period=period, **excluded))
        events[0].on_overflow = lambda event: samples.append(stack.hart.cycles)

    def end():
        stack.host.core.read(events[0])

    def run(guest):
        guest.let_host(begin)
        event = sampling(guest, 8000)
        if guest_samples:
            guest.core.enable(event)
        lead_a_life(guest, seed, leaves)
        guest.core.switch_out("task")
        guest.core.switch_in("task")
        guest.core.close(event)
        guest.let_host(end)
        guest.counted = event.count

    guest = stack.run(run)
    return stack, guest, events[0], samples


@pytest.mark.parametrize("excluded", [{"exclude_guest": True}, {}])
@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "passthrough"])
def test_both_sample_at_the_same_time_and_lose_nothing(vpmu, excluded):
    _, guest, event, samples = host_sampling(vpmu, **excluded)
    assert len(samples) == event.count // PERIOD > 5
    assert guest.samples + guest.missed == guest.counted // 8000 > 2


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("vpmu", ["trap", "sbi"])
def test_an_overflow_of_the_host_waits_until_it_is_done_with_its_events(vpmu, seed):
    """So short a period often ends while KVM has the host's core work for the guest."""
    _, guest, event, samples = host_sampling(vpmu, seed=seed, period=9500)
    assert len(samples) == event.count // 9500 > 20
    assert guest.samples + guest.missed == guest.counted // 8000


@pytest.mark.parametrize("excluded", [{"exclude_guest": True}, {}])
def test_the_talks_second_problem(excluded):
    """With counter overflow interrupts delegated to VS-mode, a host's counter that overflows
    interrupts the guest, now or as soon as that runs. The guest's driver finds nothing in its
    bitmap and clears it: the host's sample is lost, and as OF stays, all that would follow."""
    stack, guest, event, samples = host_sampling("deleg", leaves=False, **excluded)
    assert event.count > 4 * PERIOD
    assert samples == [] and stack.host.tally["interrupt", S, OVERFLOW] == 0
    assert stack.hart.csrs.value(MHPMEVENT + event.idx) & OF  # deaf
    assert guest.overflows > guest.samples  # the guest was interrupted for nothing


def test_it_disturbs_even_a_guest_that_does_not_sample():
    stack, guest, event, samples = host_sampling("deleg", guest_samples=False, leaves=False)
    assert guest.overflows == 1 and guest.samples == 0
    assert samples == []


def test_and_makes_a_guest_that_samples_lose_counts_too():
    """The guest's driver has stopped its counters, and leaves them standing (IRQ_NONE)."""
    _, alone, _, _ = host_sampling("snapshot", leaves=False)
    _, guest, _, _ = host_sampling("deleg", leaves=False)
    assert guest.counted < alone.counted


@pytest.mark.parametrize("guest_samples", [True, False])
def test_passed_through_counters_keep_the_two_apart(guest_samples):
    """All overflows of the host's counter interrupt the host, all of the guest's the guest."""
    stack, guest, event, samples = host_sampling("passthrough", guest_samples)
    assert stack.host.tally["interrupt", S, OVERFLOW] == len(samples) == event.count // PERIOD > 5
    assert guest.overflows == guest.samples
    assert event.idx == 31  # the host takes its counters from the last on


def test_a_host_that_lends_the_whole_pmu_is_blind_while_the_guest_runs():
    """`mediated`: the host's events are off between entry and exit, even those that would count
    the guest."""
    stack, guest, event, samples = host_sampling("mediated")
    assert guest.samples + guest.missed == guest.counted // 8000 > 2
    hart = stack.hart
    assert 0 < event.count < retired(hart, S, U)
    # It counted nothing of the guest: another that is for the guest alone counts nothing at all.
    _, _, event, samples = host_sampling("mediated", exclude_host=True)
    assert event.count == 0 and samples == []


@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "deleg", "passthrough"])
def test_the_other_designs_let_the_host_look_at_its_guest(vpmu):
    _, _, event, _ = host_sampling(vpmu, exclude_host=True)
    assert event.count > 20_000
