"""Control transfer records as such: types, order, cycles and depth."""

import pytest

from rvperf.machine.transfers import TYPES, type_of

from .harts import hart_in

RA, T0, T1, A0 = 1, 5, 6, 10


@pytest.mark.parametrize(
    "kind, rd, rs1, name",
    [
        ("branch", 0, 0, "taken-branch"),
        ("jump", 0, 0, "direct-jump"),
        ("jump", RA, 0, "direct-call"),
        ("jump", T0, 0, "direct-call"),
        ("jump", A0, 0, "other-direct-jump"),
        ("jump-register", 0, A0, "indirect-jump"),
        ("jump-register", 0, RA, "return"),
        ("jump-register", A0, T0, "return"),
        ("jump-register", RA, A0, "indirect-call"),
        ("jump-register", RA, RA, "indirect-call"),
        ("jump-register", RA, T0, "coroutine-swap"),
        ("jump-register", T1, A0, "other-indirect-jump"),
    ],
)
def test_types_are_those_of_smctr(kind, rd, rs1, name):
    assert type_of(kind, rd, rs1) == TYPES[name]


def test_other_instructions_are_no_transfers():
    assert type_of("alu") is None and type_of("system") is None


def test_newest_comes_first_with_the_cycles_since_the_one_before():
    hart = hart_in()
    hart.record_transfers()
    assert hart.branch_records() == []
    hart.transfers.record(0x1000, 0x2000, 9, False, 100)
    hart.transfers.record(0x2004, 0x3000, 5, True, 107)
    hart.transfers.record(0x3004, 0x1004, 13, False, 100_000)
    assert [(r.source, r.to, r.mispredicted, r.cycles, r.type) for r in hart.branch_records()] == [
        (0x3004, 0x1004, False, 65535, 13),
        (0x2004, 0x3000, True, 7, 5),
        (0x1000, 0x2000, False, 0, 9),
    ]


@pytest.mark.parametrize("depth", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("first", [0, 511])
def test_depth_is_how_many_there_are(depth, first):
    hart = hart_in()
    hart.record_transfers(depth=depth)
    for n in range(first + 2 * depth):
        hart.transfers.record(2 * n, 0, 11, False, 3 * n)
    found = hart.branch_records()
    last = first + 2 * depth - 1
    assert [r.source for r in found] == [2 * n for n in range(last, last - depth, -1)]
    assert {r.cycles for r in found} == {3}


def test_only_chosen_types_are_recorded():
    hart = hart_in()
    hart.record_transfers(["return", "direct-call"])
    assert hart.recorded == {"return", "direct-call"}
    for type in TYPES.values():
        hart.transfers.record(type, 0, type, False, 0)
    assert [r.type for r in hart.branch_records()] == [13, 9]


def test_no_such_depth():
    with pytest.raises(ValueError, match="no such depth: 20"):
        hart_in().record_transfers(depth=20)
