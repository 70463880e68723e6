"""The shadow call stack as such: what calls, returns and everything irregular do to it."""

import pytest

from rvperf.machine.calls import MOST_ENTRIES, hints

from .harts import hart_in

RA, T0, T1, A0 = 1, 5, 6, 10


@pytest.fixture
def hart():
    hart = hart_in()
    hart.record_calls()
    return hart


def call(hart, back, sp):
    hart.calls.jumped(RA, 0, back - 4, back, 0x9000, sp)


def leave(hart, to, sp):
    hart.calls.jumped(0, RA, 0x9100, 0x9104, to, sp)


@pytest.mark.parametrize(
    "rd, rs1, action",
    [
        (0, A0, ""),
        (T1, A0, ""),  # as procedure linkage tables do
        (0, RA, "pop"),
        (0, T0, "pop"),
        (A0, RA, "pop"),
        (RA, A0, "push"),
        (T0, A0, "push"),
        (RA, T0, "pop push"),
        (T0, RA, "pop push"),
        (RA, RA, "push"),
        (T0, T0, "push"),
    ],
)
def test_hints_are_those_of_the_manual(rd, rs1, action):
    pops, pushes = hints(rd, rs1)
    assert " ".join(["pop"] * pops + ["push"] * pushes) == action


def test_nothing_is_kept_unless_asked_for():
    hart = hart_in()
    assert hart.call_stack() == [] and hart.recorded == frozenset()


def test_innermost_call_comes_first_and_the_limit_cuts_the_outermost(hart):
    for n in range(200):
        call(hart, 0x1000 + 4 * n, 0x8000 - 16 * n)
    assert hart.call_stack()[:2] == [0x1000 + 4 * 199, 0x1000 + 4 * 198]
    assert len(hart.call_stack()) == 127 and len(hart.call_stack(500)) == 200
    assert hart.call_stack(1) == [0x1000 + 4 * 199]


def test_return_with_nothing_on_the_stack(hart):
    leave(hart, 0x1000, 0x8000)
    leave(hart, 1, 0x8000)
    assert hart.call_stack() == []


def test_return_to_an_outer_caller_ends_the_inner_calls(hart):
    call(hart, 0x1000, 0x8000)
    call(hart, 0x2000, 0x7000)
    call(hart, 0x3000, 0x7000)  # by a tail call's frame, at the same stack pointer
    leave(hart, 0x2000, 0x7000)
    assert hart.call_stack() == [0x1000]


def test_landing_keeps_the_calls_from_further_up(hart):
    call(hart, 0x1000, 0x8000)
    call(hart, 0x2000, 0x7000)
    call(hart, 0x3000, 0x6000)
    leave(hart, 0x4444, 0x7000)
    assert hart.call_stack() == [0x1000]


def test_handler_returns_through_its_trampoline(hart):
    call(hart, 0x1000, 0x8000)
    hart.calls.enter_handler(pc=0x5000, trampoline=0x6000, frame=0x7000, lowest=0)
    assert hart.call_stack() == [0x6000, 0x5000, 0x1000]
    leave(hart, 0x6000, 0x7000)
    assert hart.call_stack() == [0x5000, 0x1000]
    hart.calls.leave_handler(0x7000)
    assert hart.call_stack() == [0x1000]


def test_sigreturn_of_an_outer_handler_leaves_the_inner_ones_too(hart):
    hart.calls.enter_handler(pc=0x5000, trampoline=0x6000, frame=0x7000, lowest=0)
    hart.calls.enter_handler(pc=0x5004, trampoline=0x6000, frame=0x5000, lowest=0)
    hart.calls.leave_handler(0x7000)
    assert hart.call_stack() == []


@pytest.mark.parametrize("base", [0x2000, 0x9000])  # below and above the interrupted stack
def test_jump_within_a_handler_on_its_own_stack_and_out_of_it(hart, base):
    call(hart, 0x1000, 0x8000)
    call(hart, 0x1100, 0x7000)
    hart.calls.enter_handler(pc=0x5000, trampoline=0x6000, frame=base + 0xF00, lowest=base)
    call(hart, 0x2000, base + 0xE00)
    call(hart, 0x2100, base + 0xD00)
    leave(hart, 0x4444, base + 0xE80)
    assert hart.call_stack() == [0x6000, 0x5000, 0x1100, 0x1000]
    call(hart, 0x2000, base + 0xE00)
    leave(hart, 0x4444, 0x7800)
    assert hart.call_stack() == [0x1000]


def test_hardware_has_lost_what_deeper_calls_overwrote(hart):
    hart.record_calls(kept=16)
    for n in range(20):
        call(hart, 0x1000 + 16 * n, 0x8000 - 16 * n)
    assert [source for source, _ in hart.call_records(16)] == [
        0x1000 + 16 * n - 4 for n in range(19, 3, -1)
    ]
    for n in range(19, 9, -1):
        leave(hart, 0x1000 + 16 * n, 0x8000 - 16 * n)
    assert hart.call_records(16) == [(0x1000 + 16 * n - 4, 0x9000) for n in range(9, 3, -1)]
    assert len(hart.call_stack()) == 10
    for n in range(9, 1, -1):
        leave(hart, 0x1000 + 16 * n, 0x8000 - 16 * n)
    assert hart.call_records(16) == []
    call(hart, 0x5000, 0x7000)
    assert hart.call_records(16) == [(0x4FFC, 0x9000)] and len(hart.call_stack()) == 3


def test_deepest_stack_forgets_its_older_half(hart):
    calls = hart.calls
    for n in range(MOST_ENTRIES + 1):
        calls.push(0x1000 + 2 * n, (1 << 40) - n, 0x1000, 0x2000)
    assert len(hart.call_stack(1 << 21)) == MOST_ENTRIES // 2 + 1
    assert hart.call_stack(2) == [0x1000 + 2 * MOST_ENTRIES, 0x1000 + 2 * MOST_ENTRIES - 2]


def test_task_has_a_stack_of_its_own(hart):
    call(hart, 0x1000, 0x8000)
    copy = hart.calls.copy()
    first = hart.calls.exchange(None)
    assert hart.call_stack() == []
    call(hart, 0x2000, 0x8000)
    hart.calls.exchange(copy)
    leave(hart, 0x1000, 0x8000)
    assert hart.call_stack() == []
    hart.calls.exchange(first)
    assert hart.call_stack() == [0x1000]
