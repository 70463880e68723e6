"""The algebra in which instructions say what they mean.

A semantic body works on `Word`s (64 bits) and `Bit`s (a truth value) and never learns what they are
made of: `isa.num` computes them with Python integers (the living definition), the engine's `ssa`
writes LLVM for them. The vocabulary below is closed and total: every operator is defined on all
inputs, because LLVM's are not. Signedness is in the verb (`slt`/`ult`), never in the type.

    add sub mul               modulo 2^64
    mulhu mulhs mulhsu        the high half of the 128-bit product; su: signed times unsigned
    sdiv udiv srem urem       rounded to zero; by zero: quotient all ones, remainder the dividend;
                              MIN / -1 = MIN, remainder 0 (as RISC-V, manual 7.2)
    and or xor not
    shl shr sar               by the amount modulo 64; shr shifts in zeros, sar the sign
    sext(n) zext(n)           the low n bits, extended to 64
    clz ctz cpop              64 for clz and ctz of zero
    bswap                     byte order reversed
    eq ne slt ult             give a Bit
    bit_and bit_or bit_not    on Bits
    bit_word                  a Bit as the word 0 or 1
    select                    one of two words by a Bit
"""

from __future__ import annotations

BINARY = "add sub mul mulhu mulhs mulhsu sdiv udiv srem urem and or xor shl shr sar".split()
COMPARE = "eq ne slt ult".split()
UNARY = "clz ctz cpop bswap".split()
EXTEND = "sext zext".split()
ON_BITS = "bit_and bit_or bit_not bit_word select".split()
VOCABULARY = (*BINARY, *COMPARE, *UNARY, *EXTEND, *ON_BITS)

MASK = (1 << 64) - 1


class Bit:
    """A truth value of the algebra. Readers subclass it and give `apply`."""

    __slots__ = ()

    def apply(self, op: str, *operands):
        """Compute one operator of the vocabulary; the only thing a reader writes."""
        raise NotImplementedError

    def __and__(self, other):
        return self.apply("bit_and", self, other)

    def __or__(self, other):
        return self.apply("bit_or", self, other)

    def __invert__(self):
        return self.apply("bit_not", self)

    def word(self):
        """1 where it holds, else 0."""
        return self.apply("bit_word", self)

    def __bool__(self):
        raise TypeError(
            "a Bit of a semantic body is not known in Python: write select(bit, a, b), or "
            "combine Bits with & | ~, instead of if, and, or, not"
        )


class Word:
    """64 bits of the algebra. Readers subclass it and give `apply`. Python ints mix in freely."""

    __slots__ = ()

    def apply(self, op: str, *operands):
        """Compute one operator of the vocabulary; the only thing a reader writes."""
        raise NotImplementedError

    def __add__(self, other):
        return self.apply("add", self, other)

    __radd__ = __add__

    def __sub__(self, other):
        return self.apply("sub", self, other)

    def __rsub__(self, other):
        return self.apply("sub", other, self)

    def __mul__(self, other):
        return self.apply("mul", self, other)

    def __and__(self, other):
        return self.apply("and", self, other)

    __rand__ = __and__

    def __or__(self, other):
        return self.apply("or", self, other)

    __ror__ = __or__

    def __xor__(self, other):
        return self.apply("xor", self, other)

    __rxor__ = __xor__

    def __invert__(self):
        return self.apply("xor", self, MASK)

    def __neg__(self):
        return self.apply("sub", 0, self)

    def __eq__(self, other):
        return self.apply("eq", self, other)

    def __ne__(self, other):
        return self.apply("ne", self, other)

    __hash__ = None

    def mulhu(self, other):
        return self.apply("mulhu", self, other)

    def mulhs(self, other):
        return self.apply("mulhs", self, other)

    def mulhsu(self, other):
        return self.apply("mulhsu", self, other)

    def sdiv(self, other):
        return self.apply("sdiv", self, other)

    def udiv(self, other):
        return self.apply("udiv", self, other)

    def srem(self, other):
        return self.apply("srem", self, other)

    def urem(self, other):
        return self.apply("urem", self, other)

    def shl(self, amount):
        return self.apply("shl", self, amount)

    def __rlshift__(self, other):
        """`1 << rs2`: a Python int shifted by a Word."""
        return self.apply("shl", other, self)

    def shr(self, amount):
        return self.apply("shr", self, amount)

    def sar(self, amount):
        return self.apply("sar", self, amount)

    def sext(self, bits: int):
        return self.apply("sext", self, bits)

    def zext(self, bits: int):
        return self.apply("zext", self, bits)

    def clz(self):
        return self.apply("clz", self)

    def ctz(self):
        return self.apply("ctz", self)

    def cpop(self):
        return self.apply("cpop", self)

    def bswap(self):
        return self.apply("bswap", self)

    def slt(self, other):
        return self.apply("slt", self, other)

    def ult(self, other):
        return self.apply("ult", self, other)

    def sge(self, other):
        return ~self.apply("slt", self, other)

    def uge(self, other):
        return ~self.apply("ult", self, other)

    def bit(self, n: int):
        """Bit n (a Python int) as a Bit."""
        return self.shr(n) & 1 != 0

    def __bool__(self):
        raise TypeError(
            "a Word of a semantic body is not known in Python: compare it and use select(bit, a, b)"
        )


def select(bit: Bit, when_true, when_false):
    """`when_true` where bit holds, else `when_false`; both words are computed."""
    return bit.apply("select", bit, when_true, when_false)
