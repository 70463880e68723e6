"""IEEE 754 arithmetic as RISC-V has it, exactly, over Python integers.

Values are the raw bits of a format, named by its width: 32 or 64. A finite number is taken apart
into sign, significand and exponent, the operation is done without error, and the result is rounded
once (`_rounded`). Each function returns what it computed and the exceptions that it raised.

Tininess is detected after rounding; a NaN result is always the canonical NaN (unprivileged manual,
20.3 and 20.4).
"""

from __future__ import annotations

from math import isqrt

from isa.record import Record

RNE, RTZ, RDN, RUP, RMM = range(5)  # to nearest even, to zero, down, up, to nearest away from zero
DYNAMIC = 7  # in an instruction: the rounding mode that frm holds
NX, UF, OF, DZ, NV = 1, 2, 4, 8, 16  # inexact, underflow, overflow, division by zero, invalid


class Format(Record):
    """A binary interchange format."""

    width: int
    precision: int  # bits of the significand, the implicit one included
    bias: int

    @property
    def sign(self) -> int:
        return 1 << (self.width - 1)

    @property
    def infinity(self) -> int:
        return (2 * self.bias + 1) << (self.precision - 1)

    @property
    def quiet(self) -> int:
        """The bit that tells quiet NaNs from signalling ones."""
        return 1 << (self.precision - 2)

    @property
    def nan(self) -> int:
        """The canonical NaN."""
        return self.infinity | self.quiet

    @property
    def quantum(self) -> int:
        """The exponent of the smallest subnormal number."""
        return 2 - self.bias - self.precision


FORMATS = {32: Format(32, 24, 127), 64: Format(64, 53, 1023)}
# The properties, computed once: sign, infinity, canonical NaN, quiet bit.
_BITS = {fmt: (f.sign, f.infinity, f.nan, f.quiet) for fmt, f in FORMATS.items()}


def is_nan(fmt: int, a: int) -> bool:
    """Whether the bits are a NaN."""
    sign, infinity, _, _ = _BITS[fmt]
    return a & ~sign > infinity


def is_signalling(fmt: int, a: int) -> bool:
    """Whether the bits are a signalling NaN."""
    sign, infinity, _, quiet = _BITS[fmt]
    return a & ~sign > infinity and not a & quiet


def _nan(fmt: int, *operands: int) -> tuple[int, int]:
    """The result of an operation with a NaN among its operands."""
    return _BITS[fmt][2], NV if any(is_signalling(fmt, a) for a in operands) else 0


def _invalid(fmt: int) -> tuple[int, int]:
    return _BITS[fmt][2], NV


def _parts(fmt: int, a: int) -> tuple[int, int, int]:
    """(sign, significand, exponent) of a finite number: its size is significand * 2**exponent."""
    form = FORMATS[fmt]
    fraction_bits = form.precision - 1
    fraction = a & ((1 << fraction_bits) - 1)
    exponent = a >> fraction_bits & (2 * form.bias + 1)
    if exponent:
        fraction |= 1 << fraction_bits
        exponent -= 1
    return a >> (fmt - 1), fraction, exponent + form.quantum


def _shifted(sign: int, significand: int, shift: int, rm: int) -> tuple[int, bool]:
    """significand / 2**shift rounded to an integer, and whether that was inexact."""
    if shift <= 0:
        return significand << -shift, False
    whole = significand >> shift
    rest = significand & ((1 << shift) - 1)
    if not rest:
        return whole, False
    half = 1 << (shift - 1)
    if rm == RNE:
        up = rest > half or (rest == half and whole & 1)
    elif rm == RTZ:
        up = False
    elif rm == RDN:
        up = sign
    elif rm == RUP:
        up = not sign
    else:
        up = rest >= half
    return whole + bool(up), True


def _rounded(fmt: int, sign: int, significand: int, exponent: int, rm: int) -> tuple[int, int]:
    """The number of the format for (-1)**sign * significand * 2**exponent, and its exceptions."""
    form = FORMATS[fmt]
    top = sign << (fmt - 1)
    if not significand:
        return top, 0
    # The exponent of the last place of a result of full precision, and what the format allows.
    free = exponent + significand.bit_length() - form.precision
    last = max(free, form.quantum)
    whole, inexact = _shifted(sign, significand, last - exponent, rm)
    if not inexact:
        flags = 0
    elif free >= form.quantum:
        flags = NX
    else:
        unbounded, _ = _shifted(sign, significand, free - exponent, rm)
        tiny = free < form.quantum - 1 or unbounded < 1 << form.precision
        flags = NX | UF if tiny else NX
    # The implicit one, and a carry out of the significand, both count up the exponent field.
    bits = ((last - form.quantum) << (form.precision - 1)) + whole
    infinity = _BITS[fmt][1]
    if bits >= infinity:
        to_infinity = rm in (RNE, RMM) or rm == (RDN if sign else RUP)
        return top | (infinity if to_infinity else infinity - 1), OF | NX
    return top | bits, flags


def fused(fmt: int, a: int, b: int, c: int, rm: int) -> tuple[int, int]:
    """a * b + c, rounded once."""
    sign_bit, infinity, _, _ = _BITS[fmt]
    size_a, size_b, size_c = a & ~sign_bit, b & ~sign_bit, c & ~sign_bit
    endless = infinity in (size_a, size_b)
    if size_a > infinity or size_b > infinity or size_c > infinity:
        if endless and 0 in (size_a, size_b):
            return _invalid(fmt)  # infinity times zero, though c is a NaN
        return _nan(fmt, a, b, c)
    sign = (a ^ b) >> (fmt - 1)
    if endless:
        opposite = size_c == infinity and c >> (fmt - 1) != sign
        if 0 in (size_a, size_b) or opposite:
            return _invalid(fmt)
        return sign << (fmt - 1) | infinity, 0
    if size_c == infinity:
        return c, 0
    _, significand_a, exponent_a = _parts(fmt, a)
    _, significand_b, exponent_b = _parts(fmt, b)
    sign_c, significand_c, exponent_c = _parts(fmt, c)
    product, exponent = significand_a * significand_b, exponent_a + exponent_b
    lowest = min(exponent, exponent_c)
    product <<= exponent - lowest
    addend = significand_c << (exponent_c - lowest)
    total = (-product if sign else product) + (-addend if sign_c else addend)
    if total:
        return _rounded(fmt, int(total < 0), abs(total), lowest, rm)
    # Zero has the sign of both terms; terms of opposite signs give +0, or -0 rounding down.
    return (sign if sign == sign_c else int(rm == RDN)) << (fmt - 1), 0


def add(fmt: int, a: int, b: int, rm: int) -> tuple[int, int]:
    """a + b."""
    one = FORMATS[fmt].bias << (FORMATS[fmt].precision - 1)
    return fused(fmt, a, one, b, rm)


def sub(fmt: int, a: int, b: int, rm: int) -> tuple[int, int]:
    """a - b."""
    return add(fmt, a, b ^ _BITS[fmt][0], rm)


def mul(fmt: int, a: int, b: int, rm: int) -> tuple[int, int]:
    """a * b."""
    sign_bit, infinity, _, _ = _BITS[fmt]
    size_a, size_b = a & ~sign_bit, b & ~sign_bit
    if size_a > infinity or size_b > infinity:
        return _nan(fmt, a, b)
    sign = (a ^ b) >> (fmt - 1)
    if infinity in (size_a, size_b):
        if 0 in (size_a, size_b):
            return _invalid(fmt)
        return sign << (fmt - 1) | infinity, 0
    _, significand_a, exponent_a = _parts(fmt, a)
    _, significand_b, exponent_b = _parts(fmt, b)
    return _rounded(fmt, sign, significand_a * significand_b, exponent_a + exponent_b, rm)


def div(fmt: int, a: int, b: int, rm: int) -> tuple[int, int]:
    """a / b."""
    sign_bit, infinity, _, _ = _BITS[fmt]
    size_a, size_b = a & ~sign_bit, b & ~sign_bit
    if size_a > infinity or size_b > infinity:
        return _nan(fmt, a, b)
    sign = (a ^ b) >> (fmt - 1)
    if size_a == infinity:
        return _invalid(fmt) if size_b == infinity else (sign << (fmt - 1) | infinity, 0)
    if size_b == infinity:
        return sign << (fmt - 1), 0
    if not size_b:
        return (sign << (fmt - 1) | infinity, DZ) if size_a else _invalid(fmt)
    _, significand_a, exponent_a = _parts(fmt, a)
    _, significand_b, exponent_b = _parts(fmt, b)
    # Enough places that the last one can stand for the whole remainder without changing how the
    # quotient rounds: two more than the precision, however small the dividend.
    places = 2 * FORMATS[fmt].precision + 2
    quotient, remainder = divmod(significand_a << places, significand_b)
    quotient = quotient << 1 | bool(remainder)
    return _rounded(fmt, sign, quotient, exponent_a - exponent_b - places - 1, rm)


def sqrt(fmt: int, a: int, rm: int) -> tuple[int, int]:
    """The square root of a."""
    sign_bit, infinity, _, _ = _BITS[fmt]
    size = a & ~sign_bit
    if size > infinity:
        return _nan(fmt, a)
    if not size:
        return a, 0
    if a & sign_bit:
        return _invalid(fmt)
    if size == infinity:
        return a, 0
    _, significand, exponent = _parts(fmt, a)
    places = 2 * FORMATS[fmt].precision + 4 + (exponent & 1)
    square = significand << places
    root = isqrt(square)
    root = root << 1 | (root * root != square)
    return _rounded(fmt, 0, root, (exponent - places) // 2 - 1, rm)


def equal(fmt: int, a: int, b: int) -> tuple[bool, int]:
    """a == b; quiet NaNs are just not equal."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return False, _nan(fmt, a, b)[1]
    return a == b or not (a | b) & ~_BITS[fmt][0], 0


def less(fmt: int, a: int, b: int) -> tuple[bool, int]:
    """a < b; invalid for any NaN."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return False, NV
    return _ordered(fmt, a) < _ordered(fmt, b), 0


def less_or_equal(fmt: int, a: int, b: int) -> tuple[bool, int]:
    """a <= b; invalid for any NaN."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return False, NV
    return _ordered(fmt, a) <= _ordered(fmt, b), 0


def _ordered(fmt: int, a: int) -> int:
    """An integer that orders as the numbers do, both zeros alike."""
    sign = _BITS[fmt][0]
    return -(a ^ sign) if a & sign else a


def to_int(fmt: int, a: int, bits: int, signed: bool, rm: int) -> tuple[int, int]:
    """a rounded to an integer, clipped to the range of `bits`; a NaN becomes the largest."""
    lowest, highest = (
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    )
    if is_nan(fmt, a):
        return highest, NV
    if a & ~_BITS[fmt][0] == _BITS[fmt][1]:
        return lowest if a >> (fmt - 1) else highest, NV
    sign, significand, exponent = _parts(fmt, a)
    whole, inexact = _shifted(sign, significand, -exponent, rm)
    value = -whole if sign else whole
    if value < lowest or value > highest:
        return max(lowest, min(highest, value)), NV
    return value, NX if inexact else 0


def from_int(fmt: int, value: int, rm: int) -> tuple[int, int]:
    """The number for a Python int."""
    return _rounded(fmt, int(value < 0), abs(value), 0, rm)


def convert(to_fmt: int, from_fmt: int, a: int, rm: int) -> tuple[int, int]:
    """The same number in another format."""
    if is_nan(from_fmt, a):
        return _BITS[to_fmt][2], _nan(from_fmt, a)[1]
    sign, significand, exponent = _parts(from_fmt, a)
    if a & ~_BITS[from_fmt][0] == _BITS[from_fmt][1]:
        return sign << (to_fmt - 1) | _BITS[to_fmt][1], 0
    return _rounded(to_fmt, sign, significand, exponent, rm)
