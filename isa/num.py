"""The algebra over Python integers: the living definition, and the oracle for the native engine."""

from __future__ import annotations

from isa.words import BINARY, COMPARE, MASK, Bit, Word

MIN = 1 << 63


def signed(value: int, bits: int = 64) -> int:
    """The low `bits` of value as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _sdiv(a: int, b: int) -> int:
    a, b = signed(a), signed(b)
    if b == 0:
        return -1
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _srem(a: int, b: int) -> int:
    a, b = signed(a), signed(b)
    if b == 0:
        return a
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


# Operands arrive as ints in 0 <= x < 2^64; results are reduced modulo 2^64 by `Num`.
WORDS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "mulhu": lambda a, b: a * b >> 64,
    "mulhs": lambda a, b: signed(a) * signed(b) >> 64,
    "mulhsu": lambda a, b: signed(a) * b >> 64,
    "sdiv": _sdiv,
    "udiv": lambda a, b: a // b if b else MASK,
    "srem": _srem,
    "urem": lambda a, b: a % b if b else a,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << (b & 63),
    "shr": lambda a, b: a >> (b & 63),
    "sar": lambda a, b: signed(a) >> (b & 63),
    "sext": lambda a, n: signed(a, n),
    "zext": lambda a, n: a & ((1 << n) - 1),
    "clz": lambda a: 64 - a.bit_length(),
    "ctz": lambda a: (a & -a).bit_length() - 1 if a else 64,
    "cpop": lambda a: a.bit_count(),
    "bswap": lambda a: int.from_bytes(a.to_bytes(8, "little"), "big"),
    "bit_word": lambda a: a,
    "select": lambda c, a, b: a if c else b,
}
TRUTHS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "slt": lambda a, b: signed(a) < signed(b),
    "ult": lambda a, b: a < b,
    "bit_and": lambda a, b: a and b,
    "bit_or": lambda a, b: a or b,
    "bit_not": lambda a: not a,
}


def number(value) -> int:
    """The int behind a Num, a Truth or a plain int, modulo 2^64."""
    kind = type(value)
    return value.value if kind is Num or kind is Truth else value & MASK


def _apply(op: str, *operands):
    values = [number(operand) for operand in operands]
    if op in WORDS:
        return Num(WORDS[op](*values))
    return Truth(TRUTHS[op](*values))


class Truth(Bit):
    """A Bit that is known: a Python bool."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = bool(value)

    apply = staticmethod(_apply)


class Num(Word):
    """A Word that is known: a Python int modulo 2^64."""

    __slots__ = ("value",)

    def __init__(self, value: int):
        self.value = value & MASK

    apply = staticmethod(_apply)

    def __repr__(self):
        return f"Num({self.value:#x})"


def _direct(op: str):
    """The operator between two words, without the general `_apply`: most of the time goes here."""
    compute, kind = (WORDS[op], Num) if op in WORDS else (TRUTHS[op], Truth)

    def operate(self, other):
        return kind(compute(self.value, other.value if type(other) is Num else other & MASK))

    return operate


for _op in (*BINARY, *COMPARE):
    _name = _op if hasattr(Word, _op) else f"__{_op}__"
    setattr(Num, _name, _direct(_op))
