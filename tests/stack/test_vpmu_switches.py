"""Several vCPUs on one hart: whose counters the hardware holds, and that each counts its own."""

from __future__ import annotations

import pytest

from isa.modes import VS, VU
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from rvperf.stack.hypervisor.vpmu.passthrough import POLICIES
from tests.stack.test_vpmu_counts import Truth
from tests.stack.virtual import SIE_BIT, SSTATUS, Stack, sampling

PERIOD = 8_000
TURNS = 12


def give_way(guest):
    """An SBI call, behind which the host has another vCPU run if one waits."""
    guest.vcpu.hypervisor.scheduler.slice_end = 0
    guest.ask()


def noted(stack):
    """What the host does with vCPUs' counters: ("load" | "save" | "restore", number of the VM)."""
    notes = []

    def watch(of, name, number):
        method = getattr(of, name)

        def watched(vcpu):
            notes.append((name, number(vcpu)))
            method(vcpu)

        setattr(of, name, watched)

    watch(stack.host, "load", lambda vcpu: vcpu.vm.number)
    for vm in stack.vms:
        for name in ("save", "restore"):
            if hasattr(vm.vpmu, name):
                watch(vm.vpmu, name, lambda vcpu: vcpu.vm.number)
    return notes


def alternating(vpmus, turns=TURNS, late=False, vcpus=1, **options):
    """Guests, `vcpus` for each of some VMs, that sample and take turns: the stack; what each
    counted and should have, its samples and those missed; what was done (`noted`) once all were
    booted."""
    stack, results = Stack(vpmus[0], vpmus=vpmus, vcpus=vcpus, **options), {}
    notes = noted(stack)

    def software(number):
        def run(guest):
            give_way(guest)
            if number == 0:
                notes.clear()
            event = sampling(guest, PERIOD + 100 * number)
            truth = Truth(guest, {event: (VS, VU)})
            guest.core.enable(event)
            for turn in range(turns):
                if late:  # what overflows interrupts only when it is this one's turn again
                    guest.clear(SSTATUS, SIE_BIT)
                guest.work(1500 + 700 * number + 111 * turn)
                if not late:
                    guest.user(2000)
                give_way(guest)
                guest.set(SSTATUS, SIE_BIT)
                guest.poll()
            guest.core.switch_out("task")
            guest.core.switch_in("task")
            guest.core.close(event)
            results[number] = event.count, truth.total[event], guest.samples, guest.missed

        return run

    stack.run(*(software(number) for number in range(len(vpmus) * vcpus)))
    return stack, results, notes


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "vpmu, options",
    [
        *((vpmu, {}) for vpmu in DESIGNS if vpmu not in ("mediated", "passthrough")),
        ("mediated", {"counters": 4}),
        *(("passthrough", {"counters": 4, "policy": policy}) for policy in POLICIES),
    ],
)
def test_each_of_three_counts_exactly_its_own(vpmu, options, late):
    _, results, _ = alternating([vpmu] * 3, late=late, **options)
    for number, (count, truth, samples, missed) in results.items():
        assert count == truth > 2 * PERIOD
        assert samples + missed == count // (PERIOD + 100 * number)


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_vcpus_of_one_vm_have_counters_each(vpmu):
    options = {"counters": 4} if vpmu in ("mediated", "passthrough") else {}
    _, results, _ = alternating([vpmu], vcpus=2, **options)
    assert len(results) == 2
    for count, truth, *_ in results.values():
        assert count == truth > 2 * PERIOD


@pytest.mark.parametrize("others", ["sbi", "trap"])
def test_a_vcpu_without_passed_through_counters_is_not_counted_in_them(others):
    _, results, notes = alternating(["passthrough", others], counters=4)
    assert all(count == truth for count, truth, *_ in results.values())
    # Row 8: who owns the counters is saved when the other comes, and restored when it goes.
    first = notes.index(("restore", 0))
    about = [note for note in notes[first:] if note[0] != "load"]
    assert about[:4] == [("restore", 0), ("save", 0)] * 2


def test_one_save_and_one_restore_for_each_change_of_owner():
    """`lazy`, two vCPUs: each load is another owner's, and is the last one's save and its own
    restore, in this order."""
    _, _, notes = alternating(["passthrough"] * 2, counters=4)
    loads = [number for name, number in notes if name == "load"][: 2 * TURNS]
    assert loads == [0, 1] * TURNS or loads == [1, 0] * TURNS
    expected = []
    for number in loads:
        expected += [("load", number), ("save", 1 - number), ("restore", number)]
    assert notes[: len(expected)] == expected


@pytest.mark.parametrize(
    "policy, saves",
    [("lazy", 0), ("eager", 5), ("always", 9)],  # never; at each leaving; at each exit
)
def test_a_single_vcpu_that_comes_and_goes(policy, saves):
    """Five times it leaves the hart and comes back, and four exits let it stay."""
    stack = Stack("passthrough", counters=4, policy=policy)
    notes = noted(stack)

    def run(guest):
        notes.clear()
        for _ in range(5):
            guest.switched_out()
        for _ in range(4):
            guest.ask()

    stack.run(run)
    done = [name for name, _ in notes]
    assert done.count("load") == 5
    assert done.count("save") == done.count("restore") == saves


def test_registers_saved_and_restored_are_counted():
    """Two for each counter: its value and its event."""
    stack, _, notes = alternating(["passthrough"] * 2, counters=4)
    for vm in stack.vms:
        assert vm.vpmu.saves % (2 * 4) == vm.vpmu.restores % (2 * 4) == 0
    done = [note for note in notes if note[0] == "save"]
    assert 2 * TURNS - 1 <= len(done) <= 2 * TURNS + 2


def test_all_policies_look_alike_to_the_guests():
    """I9: what they count and sample doesn't depend on when their registers are saved."""
    seen = [alternating(["passthrough"] * 2, counters=4, policy=policy)[1] for policy in POLICIES]
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "deleg", "mediated", "passthrough"])
def test_an_overflow_interrupts_whose_counter_it_was(vpmu):
    """I8: one vCPU leaves with its overflow pending, and another that has counters too runs."""
    stack, seen = Stack(vpmu, vpmus=[vpmu] * 2), []

    def leaves(guest):
        event = sampling(guest, PERIOD)
        guest.core.enable(event)
        guest.clear(SSTATUS, SIE_BIT)
        guest.work(PERIOD)
        give_way(guest)
        seen.append(("leaves", guest.overflows))
        guest.set(SSTATUS, SIE_BIT)
        guest.poll()
        seen.append(("leaves", guest.overflows))

    def comes(guest):
        event = sampling(guest, 1 << 40)
        guest.core.enable(event)
        guest.work(PERIOD // 2)
        guest.user(PERIOD // 2)
        seen.append(("comes", guest.overflows))
        guest.core.close(event)

    stack.run(leaves, comes)
    assert seen == [("comes", 0), ("leaves", 0), ("leaves", 1)]
    assert [guest.samples for guest in stack.guests] == [1, 0]


def test_counters_that_stand_parked_with_their_overflow_bit_interrupt_nobody():
    """I7: Linux leaves OF set in counters that it doesn't use; restoring that is no overflow."""
    stack = Stack("passthrough", vpmus=["passthrough"] * 2, counters=4)

    def run(guest):
        for _ in range(3):
            event = sampling(guest, PERIOD)
            guest.core.enable(event)
            give_way(guest)
            guest.core.close(event)
            give_way(guest)
            guest.work(10)

    stack.run(run, run)
    assert [guest.overflows for guest in stack.guests] == [0, 0]
