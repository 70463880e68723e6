"""The algebra: every operator is defined on every input, and none is left out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.num import TRUTHS, WORDS, Num, Truth, number
from isa.words import VOCABULARY, select

MIN, MAX, ONES = 1 << 63, (1 << 63) - 1, (1 << 64) - 1
STEADY = settings(derandomize=True, deadline=None, max_examples=300)
WORD = st.one_of(
    st.integers(0, ONES), st.sampled_from([0, 1, 2, 63, 64, MIN, MAX, ONES, ONES - 1, 1 << 31])
)


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def test_the_reader_has_the_whole_vocabulary():
    assert set(WORDS) | set(TRUTHS) == set(VOCABULARY)


@STEADY
@given(WORD, WORD)
def test_products(a, b):
    low, high = a * b % (1 << 64), a * b >> 64
    assert number(Num(a) * Num(b)) == low
    assert number(Num(a).mulhu(Num(b))) == high
    assert number(Num(a).mulhs(Num(b))) == (signed(a) * signed(b) >> 64) % (1 << 64)
    assert number(Num(a).mulhsu(Num(b))) == (signed(a) * b >> 64) % (1 << 64)


@STEADY
@given(WORD, WORD)
def test_quotients_and_remainders_make_the_dividend(a, b):
    for quotient, remainder in (
        (Num(a).udiv(Num(b)), Num(a).urem(Num(b))),
        (Num(a).sdiv(Num(b)), Num(a).srem(Num(b))),
    ):
        assert number(quotient * Num(b) + remainder) == a


@pytest.mark.parametrize(
    "operator, a, b, result",
    [
        ("sdiv", 7, -2, -3),
        ("srem", 7, -2, 1),
        ("srem", -7, 2, -1),
        ("sdiv", 5, 0, -1),
        ("srem", -5, 0, -5),
        ("udiv", 5, 0, -1),
        ("urem", 5, 0, 5),
        ("sdiv", MIN, -1, MIN),
        ("srem", MIN, -1, 0),
        ("shl", 1, 64, 1),
        ("shl", 1, 65, 2),
        ("shr", MIN, 127, 1),
        ("sar", MIN, 63, -1),
        ("sext", 0x80, 8, -128),
        ("zext", 0x1FF, 8, 0xFF),
    ],
)
def test_edges(operator, a, b, result):
    assert number(getattr(Num(a), operator)(b)) == result % (1 << 64)


@pytest.mark.parametrize("a, clz, ctz, cpop", [(0, 64, 64, 0), (1, 63, 0, 1), (MIN, 0, 63, 1)])
def test_counts(a, clz, ctz, cpop):
    word = Num(a)
    assert [number(word.clz()), number(word.ctz()), number(word.cpop())] == [clz, ctz, cpop]


@STEADY
@given(WORD, WORD)
def test_the_quick_operators_are_the_general_ones(a, b):
    for name in ("add", "sub", "and", "or", "xor", "eq", "ne", "slt", "ult", "shl", "sar"):
        method = name if hasattr(Num, name) else f"__{name}__"
        quick = getattr(Num(a), method)(Num(b))
        general = Num.apply(name, Num(a), Num(b))
        assert (type(quick), quick.value) == (type(general), general.value)
        mixed = getattr(Num(a), method)(signed(b))
        assert mixed.value == general.value


def test_python_numbers_mix_in_on_the_left():
    assert number(5 - Num(7)) == ONES - 1
    assert number(1 << Num(65)) == 2
    assert number(-Num(1)) == ONES
    assert number(~Num(0)) == ONES


def test_select_takes_one_of_two():
    assert number(select(Truth(True), 1, Num(2))) == 1
    assert number(select(Truth(False), 1, Num(2))) == 2
    assert number((Truth(True) & ~Truth(False) | Truth(False)).word()) == 1


def test_a_body_can_not_branch_on_what_it_computes():
    with pytest.raises(TypeError, match=r"compare it and use select"):
        assert Num(1)
    with pytest.raises(TypeError, match=r"write select\(bit, a, b\)"):
        assert Num(1) == Num(1)
