"""The definition of floating point, beside Python's doubles and exact fractions.

What the instructions make of it is compared with QEMU in tests/engine.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isa import softfloat
from isa.softfloat import DZ, FORMATS, NV, NX, OF, RDN, RMM, RNE, RTZ, RUP, UF

STEADY = settings(derandomize=True, deadline=None, max_examples=400)
DOUBLE = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(
        lambda x: struct.unpack("<Q", struct.pack("<d", x))[0]
    ),
    st.integers(0, (1 << 64) - 1),
)
ONE, THREE = 0x3FF << 52, 0x4008 << 48


def double(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def same(bits: int, value: float) -> bool:
    if math.isnan(value):
        return bits == FORMATS[64].nan
    return bits == struct.unpack("<Q", struct.pack("<d", value))[0]


@STEADY
@given(DOUBLE, DOUBLE)
def test_is_what_this_computer_makes_of_doubles(a, b):
    x, y = double(a), double(b)
    assert same(softfloat.add(64, a, b, RNE)[0], x + y)
    assert same(softfloat.sub(64, a, b, RNE)[0], x - y)
    assert same(softfloat.mul(64, a, b, RNE)[0], x * y)
    if y:
        assert same(softfloat.div(64, a, b, RNE)[0], x / y)
    if x >= 0:
        assert same(softfloat.sqrt(64, a, RNE)[0], math.sqrt(x))
    assert softfloat.equal(64, a, b)[0] == (x == y)
    assert softfloat.less(64, a, b)[0] == (x < y)
    assert softfloat.less_or_equal(64, a, b)[0] == (x <= y)


@STEADY
@given(DOUBLE, DOUBLE, DOUBLE)
def test_directed_roundings_enclose_the_exact_result(a, b, c):
    assume(all(math.isfinite(double(bits)) for bits in (a, b, c)))
    exact = Fraction(double(a)) * Fraction(double(b)) + Fraction(double(c))
    down, up = (double(softfloat.fused(64, a, b, c, rm)[0]) for rm in (RDN, RUP))
    assert down == -math.inf or Fraction(down) <= exact
    assert up == math.inf or Fraction(up) >= exact
    assert down == up or math.nextafter(down, math.inf) == up
    flags = softfloat.fused(64, a, b, c, RNE)[1]
    assert bool(flags & NX) == (down != up)
    toward_zero = double(softfloat.fused(64, a, b, c, RTZ)[0])
    assert toward_zero == (down if exact > 0 else up)


@STEADY
@given(st.integers(0, (1 << 32) - 1))
def test_singles_survive_a_trip_through_doubles(a):
    wide, flags = softfloat.convert(64, 32, a, RNE)
    back, again = softfloat.convert(32, 64, wide, RNE)
    if softfloat.is_nan(32, a):
        assert (wide, back) == (FORMATS[64].nan, FORMATS[32].nan)
        assert flags == (NV if softfloat.is_signalling(32, a) else 0)
    else:
        assert (back, flags, again) == (a, 0, 0)


@pytest.mark.parametrize(
    "value, results",
    [  # of RNE, RTZ, RDN, RUP, RMM
        (2.5, (2, 2, 2, 3, 3)),
        (-2.5, (-2, -2, -3, -2, -3)),
        (3.5, (4, 3, 3, 4, 4)),
        (-0.25, (0, 0, -1, 0, 0)),
        (0.5, (0, 0, 0, 1, 1)),
    ],
)
def test_rounding_modes(value, results):
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    for rm, result in zip((RNE, RTZ, RDN, RUP, RMM), results, strict=True):
        assert softfloat.to_int(64, bits, 64, True, rm) == (result, NX)


@pytest.mark.parametrize(
    "a, bits, signed, result, flags",
    [
        (FORMATS[64].nan, 32, True, (1 << 31) - 1, NV),
        (FORMATS[64].nan | 1 << 63, 64, False, (1 << 64) - 1, NV),
        (FORMATS[64].infinity | 1 << 63, 32, True, -(1 << 31), NV),
        (0xBFE0_0000_0000_0000, 32, False, 0, NX),  # -0.5 is 0
        (0xBFF0_0000_0000_0000, 32, False, 0, NV),  # -1 is out of range
        (0x41E0_0000_0000_0000, 32, True, (1 << 31) - 1, NV),  # 2**31
    ],
)
def test_conversions_out_of_range_are_clipped(a, bits, signed, result, flags):
    assert softfloat.to_int(64, a, bits, signed, RTZ) == (result, flags)


LARGEST, SMALLEST, MINIMUM = 0x7FEF_FFFF_FFFF_FFFF, 1, 1 << 52  # the smallest normal is MINIMUM


@pytest.mark.parametrize(
    "operation, result, flags",
    [
        (lambda: softfloat.div(64, ONE, 0, RNE), FORMATS[64].infinity, DZ),
        (lambda: softfloat.div(64, 0, 0, RNE), FORMATS[64].nan, NV),
        (lambda: softfloat.div(64, ONE, THREE, RNE), 0x3FD5_5555_5555_5555, NX),
        (lambda: softfloat.add(64, LARGEST, LARGEST, RNE), FORMATS[64].infinity, OF | NX),
        (lambda: softfloat.add(64, LARGEST, LARGEST, RTZ), LARGEST, OF | NX),
        (lambda: softfloat.mul(64, SMALLEST, ONE - (1 << 52), RNE), 0, UF | NX),
        (lambda: softfloat.mul(64, MINIMUM, ONE - (1 << 52), RNE), 1 << 51, 0),  # exact: no UF
        # Tiny before rounding, but not after: no underflow.
        (lambda: softfloat.mul(64, MINIMUM + 1, ONE - 2, RNE), MINIMUM, NX),
        (lambda: softfloat.sqrt(64, ONE | 1 << 63, RNE), FORMATS[64].nan, NV),
        (lambda: softfloat.sqrt(64, 1 << 63, RNE), 1 << 63, 0),
        (lambda: softfloat.add(64, ONE, ONE | 1 << 63, RNE), 0, 0),
        (lambda: softfloat.add(64, ONE, ONE | 1 << 63, RDN), 1 << 63, 0),
        (
            lambda: softfloat.fused(64, FORMATS[64].infinity, 0, FORMATS[64].nan, RNE),
            FORMATS[64].nan,
            NV,
        ),
    ],
)
def test_exceptions(operation, result, flags):
    assert operation() == (result, flags)
