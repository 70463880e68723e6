"""What to try on every instruction: cases with edge and random operands, the same on every run.

A case is a few bytes of code, one instruction in most, and the state that it starts from. Cases lie
at fixed addresses, so that whoever executes them sees the same pointers. x31 is not theirs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from isa import softfloat
from isa.ext import RV64GC
from isa.spec import Insn

CODE_AT, CODE_STEP = 0x2000_0000, 32
STATES_AT, STATE_STEP, MEMORY_IN_STATE = 0x3000_0000, 704, 576
MEMORY = 128  # bytes that loads and stores of a case may reach
MASK = (1 << 64) - 1
BACKGROUND = [n * 0x0101_0101_0101_0101 for n in range(32)]
BACKGROUND_MEMORY = bytes(range(0x40, 0x40 + MEMORY))
RESERVED = 31
JUMPS = ("branch", "jump", "jump-register")
ATOMIC = ("amo", "load-reserved", "store-conditional")
MEMORY_KINDS = ("load", "store", "fp-load", "fp-store", *ATOMIC)

INTEGERS = [
    sign * value & MASK
    for value in (0, 1, 2, 3, 31, 32, 63, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
                  0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x1_00000000, 0x1_00000001,
                  0x7FFFFFFF_FFFFFFFF, 0x80000000_00000000, 0x55555555_55555555,
                  0x01234567_89ABCDEF, 0x00FF00FF_00FF00FF)
    for sign in (1, -1)
]  # fmt: skip

# Floats that matter, as Python writes them; their bits in either format are edges, negated as well.
NOTEWORTHY = [
    0.0, 0.25, 0.49999997, 0.5, 0.50000006, 0.75, 1.0, 1.0000001, 1.5, 2.0, 2.5, 3.0, 3.5,
    4.5, 7.0, 10.0, 16777215.0, 16777216.0, 16777217.0, 2.0**31 - 1, 2.0**31 - 0.5, 2.0**31,
    2.0**31 + 0.5, 2.0**31 + 1, 2.0**32 - 1, 2.0**32 - 0.5, 2.0**32, 2.0**52 + 0.5, 2.0**53,
    2.0**62, 2.0**63 - 1024, 2.0**63, 2.0**63 + 2048, 2.0**64 - 2048, 2.0**64, 1e10, 1e-10,
]  # fmt: skip
SPECIAL = {
    32: [0x00000001, 0x00000002, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x7F7FFFFF,
         0x7F7FFFFE, 0x7F000000, 0x7F800000, 0x7F800001, 0x7FA00000, 0x7FBFFFFF, 0x7FC00000,
         0x7FC00001, 0x7FFFFFFF, 0x33800000, 0x34000000, 0x1A800000, 0x20000000, 0x3F7FFFFF],
    64: [0x1, 0x2, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x10000000000001, 0x1FFFFFFFFFFFFF,
         0x7FEFFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFE, 0x7FE0000000000000, 0x7FF0000000000000,
         0x7FF0000000000001, 0x7FF4000000000000, 0x7FF7FFFFFFFFFFFF, 0x7FF8000000000000,
         0x7FF8000000000001, 0x7FFFFFFFFFFFFFFF, 0x3CA0000000000000, 0x3CB0000000000000,
         0x1E60000000000000, 0x2000000000000000, 0x3FEFFFFFFFFFFFFF,
         # around the limits of singles: overflow, subnormal, and ties of the conversion
         0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x47EFFFFFEFFFFFFF, 0x3810000000000000,
         0x380FFFFFF0000000, 0x380FFFFFE0000000, 0x36A0000000000000, 0x3690000000000000,
         0x3690000000000001, 0x3FF0000010000000, 0x3FF0000030000000],
}  # fmt: skip
EDGES = {
    fmt: [bits | sign << (fmt - 1) for bits in special for sign in (0, 1)]
    for fmt, special in SPECIAL.items()
}
for _value in NOTEWORTHY:
    for _signed in (_value, -_value):
        EDGES[32] += struct.unpack("<I", struct.pack("<f", _signed))
        EDGES[64] += struct.unpack("<Q", struct.pack("<d", _signed))


class Outcome(NamedTuple):
    """The state after a case: registers (without x31), fcsr, memory, pc, the trap's cause."""

    x: tuple[int, ...]
    f: tuple[int, ...]
    fcsr: int
    memory: bytes
    pc: int | None
    cause: int | None


@dataclass
class Case:
    """Code, how many instructions it has, and the state that it starts from."""

    index: int
    code: bytes
    steps: int
    x: list[int]
    f: list[int]
    fcsr: int
    memory: bytes

    @property
    def pc(self) -> int:
        return CODE_AT + self.index * CODE_STEP

    @property
    def memory_at(self) -> int:
        return STATES_AT + self.index * STATE_STEP + MEMORY_IN_STATE

    def __str__(self) -> str:
        return " ".join(self.code.hex(" ", 2).split()) + f" at {self.pc:#x}, fcsr {self.fcsr:#x}"


def integer(random: Random) -> int:
    """An edge, or a number of random length and sign."""
    if random.random() < 0.4:
        return random.choice(INTEGERS)
    value = random.getrandbits(random.randint(1, 64))
    return value if random.random() < 0.5 else -value & MASK


def floating(random: Random, fmt: int) -> int:
    """The bits of an edge, of a number near one, of a plain number, or of anything."""
    precision, bias = softfloat.FORMATS[fmt].precision, softfloat.FORMATS[fmt].bias
    chosen = random.random()
    if chosen < 0.4:
        return random.choice(EDGES[fmt])
    if chosen < 0.6:
        fraction = random.getrandbits(3) << (precision - 4)
        exponent = bias + random.randint(-3, precision + 3)
    elif chosen < 0.9:
        fraction, exponent = random.getrandbits(precision - 1), bias + random.randint(-30, 30)
    else:
        return random.getrandbits(fmt)
    return random.getrandbits(1) << (fmt - 1) | exponent << (precision - 1) | fraction


def format_of(insn: Insn) -> int:
    """The format of what an instruction finds in f registers."""
    name = insn.name
    return 32 if name.endswith((".s", ".x.w", "flw", "fsw")) else 64


def f_register(random: Random, fmt: int) -> int:
    """What an f register may hold: doubles, boxed singles, and now and then an unboxed one."""
    value = floating(random, fmt)
    if fmt == 64 or random.random() < 0.04:
        return value
    return value | 0xFFFFFFFF_00000000


def operands_of(random: Random, spelled: Insn) -> dict[str, int]:
    """Values for the fields of an instruction, as its encoder takes them."""
    few = [random.randrange(1, RESERVED) for _ in range(3)]
    values = {}
    for name, field in spelled.fields.items():
        if name.rstrip("'") in ("rd", "rs1", "rs2", "rs3", "fd", "fs1", "fs2", "fs3"):
            at = random.choice(few) if random.random() < 0.92 else 0
            values[name] = 8 + at % 8 if name.endswith("'") else at
        elif name == "rm":
            values[name] = random.choice((0, 0, 1, 2, 3, 4, 7, 7, 7))
        elif name == "csr":
            values[name] = random.choice((1, 2, 3))
        else:
            bits = [piece.at + n for piece in field.pieces for n in range(piece.width)]
            chance = random.choice((0, 0.5, 0.5, 0.5, 1))
            word = sum(1 << bit for bit in bits if random.random() < chance)
            if random.random() < 0.1:
                word ^= 1 << random.choice(bits)
            values[name] = field.decode(word)
    return values


def case_of(random: Random, spelled: Insn, index: int) -> Case:
    """A case for one instruction."""
    while True:
        try:
            word = spelled.encode(**operands_of(random, spelled))
        except ValueError:
            continue  # reserved operands
        decoded = RV64GC.decode(word)
        if decoded.spelled is not spelled:
            continue  # such operands make it another instruction
        if decoded.insn.kind in MEMORY_KINDS and decoded.operands["rs1"] == 0:
            continue
        break
    insn, operands = decoded.insn, decoded.operands
    x, f = BACKGROUND[:], BACKGROUND[:]
    for name, at in operands.items():
        if name in ("rs1", "rs2") and at:
            x[at] = integer(random)
        if name in ("fs1", "fs2", "fs3"):
            f[at] = f_register(random, format_of(insn))
    if insn.kind in ("fp-multiply", "fp-fma", "fp-divide") and random.random() < 0.25:
        _reach_the_limits(random, insn, operands, f)
    elif insn.kind == "fp-fma" and random.random() < 0.4:
        _cancel(random, insn, operands, f)
    elif insn.kind == "fp-fma" and random.random() < 0.1:
        _multiply_infinity_by_zero(random, insn, operands, f)
    code, steps = word.to_bytes(decoded.length, "little"), 1
    case = Case(index, code, steps, x, f, 0, BACKGROUND_MEMORY)
    if insn.kind in MEMORY_KINDS:
        step = 8 if insn.kind in ATOMIC else 1
        target = case.memory_at + random.randrange(0, MEMORY - 7, step)
        x[operands["rs1"]] = target - operands.get("imm", 0) & MASK
        case.memory = bytes(random.getrandbits(8) for _ in range(MEMORY))
    if insn.kind == "store-conditional" and random.random() < 0.7:
        reserve = RV64GC[insn.name.replace("sc", "lr")]
        first = reserve.encode(rd=0, rs1=operands["rs1"], aq=0, rl=0)
        case.code, case.steps = first.to_bytes(4, "little") + code, 2
    if insn.extension in ("F", "D") or insn.kind == "csr":
        flags = random.getrandbits(5) if random.random() < 0.2 else 0
        case.fcsr = random.randrange(5) << 5 | flags
    return case


def _cancel(random: Random, insn: Insn, operands: dict[str, int], f: list[int]) -> None:
    """Let the third operand be about the product, so that nearly everything cancels."""
    fmt = format_of(insn)
    keep = (1 << fmt) - 1
    a, b = f[operands["fs1"]] & keep, f[operands["fs2"]] & keep
    product, _ = softfloat.mul(fmt, a, b, softfloat.RNE)
    product ^= random.choice((0, 1, 2)) | random.getrandbits(1) << (fmt - 1)
    _put(f, operands["fs3"], fmt, product)


def _reach_the_limits(random: Random, insn: Insn, operands: dict[str, int], f: list[int]) -> None:
    """Let the product or quotient lie about the smallest normal, the smallest, or the largest."""
    fmt = format_of(insn)
    form = softfloat.FORMATS[fmt]
    ones = (1 << (form.precision - 1)) - 1
    fractions = (0, 1, 2, ones, ones - 1, ones >> 1, random.getrandbits(form.precision - 1))
    aim = random.choice((1 - form.bias, 1 - form.bias, form.quantum, form.bias))
    aim += random.choice((-2, -1, -1, 0, 1))
    first = random.randint(-20, 20)
    second = first - aim if insn.kind == "fp-divide" else aim - first
    for name, exponent in (("fs1", first), ("fs2", second), ("fs3", -form.bias)):
        if name in operands:
            biased = min(max(exponent + form.bias, 0), 2 * form.bias)
            bits = biased << (form.precision - 1) | random.choice(fractions)
            if name == "fs3" and random.random() < 0.5:
                bits = random.choice((0, 1))
            _put(f, operands[name], fmt, bits | random.getrandbits(1) << (fmt - 1))


def _multiply_infinity_by_zero(
    random: Random, insn: Insn, operands: dict[str, int], f: list[int]
) -> None:
    """Invalid whatever is added, be it a NaN."""
    fmt = format_of(insn)
    infinity, quiet = softfloat.FORMATS[fmt].infinity, softfloat.FORMATS[fmt].nan
    factors = [infinity, 0]
    random.shuffle(factors)
    addend = random.choice((quiet, quiet | 1, infinity | 1, infinity, 0))
    for name, bits in zip(("fs1", "fs2", "fs3"), (*factors, addend), strict=True):
        _put(f, operands[name], fmt, bits)


def _put(f: list[int], at: int, fmt: int, bits: int) -> None:
    """Let an f register hold a number, boxed if it is a single."""
    f[at] = bits | (MASK ^ (1 << fmt) - 1)


def how_many(insn: Insn) -> int:
    """How many cases an instruction gets: more if its operands are floats and modes."""
    if insn.extension in ("F", "D"):
        return 400 if insn.kind == "fp-fma" else 250
    return 24 if insn.expands else 60
