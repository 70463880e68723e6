"""F: single-precision floating point (unprivileged manual, chapter 20).

An f register has 64 bits. A single is boxed in it: all bits above it are ones, and a register
that does not look so reads as the canonical NaN. Moves, loads and stores carry bits as they are.
The parts of a number are integers here; `m` rounds.
"""

from isa.csr import View, bits
from isa.spec import Extension
from isa.words import MASK, select

EXTENSION = Extension("F", "Single-precision floating point")
insn = EXTENSION.insn
csr = EXTENSION.csr
RESERVED_RM = {"rm": (5, 6)}

SIGN = {32: 1 << 31, 64: 1 << 63}
INFINITY = {32: 0xFF << 23, 64: 0x7FF << 52}
QUIET = {32: 1 << 22, 64: 1 << 51}
CANONICAL_NAN = {32: 0x7FC00000, 64: 0x7FF80000_00000000}
SMALLEST_NORMAL = {32: 1 << 23, 64: 1 << 52}
BOX = MASK ^ 0xFFFFFFFF


def float_on(mode, read):
    """Floating-point state is off, instructions and CSRs, while mstatus.FS is."""
    return read("mstatus") & 3 << 13 != 0


csr(
    "fflags",
    0x001,
    "Accrued exceptions: NV DZ OF UF NX.",
    view=View("fcsr", 0x1F),
    visible=float_on,
)
csr("frm", 0x002, "Dynamic rounding mode.", view=View("fcsr", 0xE0, shift=5), visible=float_on)
csr(
    "fcsr",
    0x003,
    "Floating-point control and status.",
    fields={"frm": bits(7, 5), "fflags": bits(4, 0)},
    visible=float_on,
)


def box(single):
    """A single as an f register holds it."""
    return single | BOX


def unbox(register):
    """The single in an f register; the canonical NaN if it isn't boxed."""
    return select(register.uge(BOX), register.zext(32), CANONICAL_NAN[32])


def magnitude(fmt, a):
    """The bits of |a|, which order as the numbers do, NaNs above infinity."""
    return a.zext(fmt - 1)


def is_nan(fmt, a):
    """Whether a is not a number."""
    return magnitude(fmt, a).uge(INFINITY[fmt] + 1)


def order(fmt, a):
    """A signed integer that orders as the numbers do, -0 below +0."""
    wide = a.sext(fmt)
    return wide ^ wide.sar(63).shr(1)


def minimum(m, fmt, a, b):
    """The smaller number (IEEE 754-2019 minimumNumber); a NaN only if both are NaNs."""
    m.feq(fmt, a, b)  # for its flag: a signalling NaN is invalid even if the other is returned
    smaller = select(order(fmt, a).slt(order(fmt, b)), a, b)
    return _number_of(fmt, a, b, smaller)


def maximum(m, fmt, a, b):
    """The larger number (IEEE 754-2019 maximumNumber); a NaN only if both are NaNs."""
    m.feq(fmt, a, b)
    larger = select(order(fmt, a).slt(order(fmt, b)), b, a)
    return _number_of(fmt, a, b, larger)


def _number_of(fmt, a, b, chosen):
    either = select(is_nan(fmt, b), a, chosen)
    return select(is_nan(fmt, a), select(is_nan(fmt, b), CANONICAL_NAN[fmt], b), either)


def classify(fmt, a):
    """One bit of ten: -inf, -normal, -subnormal, -0, +0, +subnormal, +normal, +inf, sNaN, qNaN."""
    size = magnitude(fmt, a)
    positive = select(
        size == 0,
        1 << 4,
        select(
            size.ult(SMALLEST_NORMAL[fmt]),
            1 << 5,
            select(size.ult(INFINITY[fmt]), 1 << 6, 1 << 7),
        ),
    )
    negative = select(
        size == 0,
        1 << 3,
        select(
            size.ult(SMALLEST_NORMAL[fmt]),
            1 << 2,
            select(size.ult(INFINITY[fmt]), 1 << 1, 1 << 0),
        ),
    )
    number = select(a.bit(fmt - 1), negative, positive)
    return select(is_nan(fmt, a), select(a & QUIET[fmt] == 0, 1 << 8, 1 << 9), number)


@insn("flw", "imm[11:0] rs1 010 fd 0000111", "fp-load")
def flw(m, rs1, imm):
    """Load a single."""
    return box(m.load(rs1 + imm, 4))


@insn("fsw", "imm[11:5] fs2 rs1 010 imm[4:0] 0100111", "fp-store")
def fsw(m, rs1, fs2, imm):
    """Store the low 32 bits of an f register."""
    m.store(rs1 + imm, 4, fs2)


@insn("fmadd.s", "fs3 00 fs2 fs1 rm fd 1000011", "fp-fma", unless=RESERVED_RM)
def fmadd_s(m, fs1, fs2, fs3, rm):
    """fs1 times fs2 plus fs3, rounded once."""
    return box(m.ffma(32, unbox(fs1), unbox(fs2), unbox(fs3), rm))


@insn("fmsub.s", "fs3 00 fs2 fs1 rm fd 1000111", "fp-fma", unless=RESERVED_RM)
def fmsub_s(m, fs1, fs2, fs3, rm):
    """fs1 times fs2 minus fs3, rounded once."""
    return box(m.ffma(32, unbox(fs1), unbox(fs2), unbox(fs3) ^ SIGN[32], rm))


@insn("fnmsub.s", "fs3 00 fs2 fs1 rm fd 1001011", "fp-fma", unless=RESERVED_RM)
def fnmsub_s(m, fs1, fs2, fs3, rm):
    """Minus the product, plus fs3, rounded once."""
    return box(m.ffma(32, unbox(fs1) ^ SIGN[32], unbox(fs2), unbox(fs3), rm))


@insn("fnmadd.s", "fs3 00 fs2 fs1 rm fd 1001111", "fp-fma", unless=RESERVED_RM)
def fnmadd_s(m, fs1, fs2, fs3, rm):
    """Minus the product, minus fs3, rounded once."""
    return box(m.ffma(32, unbox(fs1) ^ SIGN[32], unbox(fs2), unbox(fs3) ^ SIGN[32], rm))


@insn("fadd.s", "0000000 fs2 fs1 rm fd 1010011", "fp-add", unless=RESERVED_RM)
def fadd_s(m, fs1, fs2, rm):
    """Sum."""
    return box(m.fadd(32, unbox(fs1), unbox(fs2), rm))


@insn("fsub.s", "0000100 fs2 fs1 rm fd 1010011", "fp-add", unless=RESERVED_RM)
def fsub_s(m, fs1, fs2, rm):
    """Difference."""
    return box(m.fsub(32, unbox(fs1), unbox(fs2), rm))


@insn("fmul.s", "0001000 fs2 fs1 rm fd 1010011", "fp-multiply", unless=RESERVED_RM)
def fmul_s(m, fs1, fs2, rm):
    """Product."""
    return box(m.fmul(32, unbox(fs1), unbox(fs2), rm))


@insn("fdiv.s", "0001100 fs2 fs1 rm fd 1010011", "fp-divide", unless=RESERVED_RM)
def fdiv_s(m, fs1, fs2, rm):
    """Quotient."""
    return box(m.fdiv(32, unbox(fs1), unbox(fs2), rm))


@insn("fsqrt.s", "0101100 00000 fs1 rm fd 1010011", "fp-divide", unless=RESERVED_RM)
def fsqrt_s(m, fs1, rm):
    """Square root."""
    return box(m.fsqrt(32, unbox(fs1), rm))


@insn("fsgnj.s", "0010000 fs2 fs1 000 fd 1010011", "fp-move")
def fsgnj_s(fs1, fs2):
    """fs1 with the sign of fs2."""
    return box(unbox(fs1).zext(31) | unbox(fs2) & SIGN[32])


@insn("fsgnjn.s", "0010000 fs2 fs1 001 fd 1010011", "fp-move")
def fsgnjn_s(fs1, fs2):
    """fs1 with the opposite of the sign of fs2."""
    return box(unbox(fs1).zext(31) | ~unbox(fs2) & SIGN[32])


@insn("fsgnjx.s", "0010000 fs2 fs1 010 fd 1010011", "fp-move")
def fsgnjx_s(fs1, fs2):
    """fs1, its sign changed if fs2 is negative."""
    return box(unbox(fs1) ^ unbox(fs2) & SIGN[32])


@insn("fmin.s", "0010100 fs2 fs1 000 fd 1010011", "fp-add")
def fmin_s(m, fs1, fs2):
    """Smaller number."""
    return box(minimum(m, 32, unbox(fs1), unbox(fs2)))


@insn("fmax.s", "0010100 fs2 fs1 001 fd 1010011", "fp-add")
def fmax_s(m, fs1, fs2):
    """Larger number."""
    return box(maximum(m, 32, unbox(fs1), unbox(fs2)))


@insn("fcvt.w.s", "1100000 00000 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_w_s(m, fs1, rm):
    """Convert to a signed 32-bit integer."""
    return m.f_to_int(32, unbox(fs1), 32, True, rm)


@insn("fcvt.wu.s", "1100000 00001 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_wu_s(m, fs1, rm):
    """Convert to an unsigned 32-bit integer."""
    return m.f_to_int(32, unbox(fs1), 32, False, rm)


@insn("fcvt.l.s", "1100000 00010 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_l_s(m, fs1, rm):
    """Convert to a signed 64-bit integer."""
    return m.f_to_int(32, unbox(fs1), 64, True, rm)


@insn("fcvt.lu.s", "1100000 00011 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_lu_s(m, fs1, rm):
    """Convert to an unsigned 64-bit integer."""
    return m.f_to_int(32, unbox(fs1), 64, False, rm)


@insn("fcvt.s.w", "1101000 00000 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_s_w(m, rs1, rm):
    """Convert from a signed 32-bit integer."""
    return box(m.int_to_f(32, rs1, 32, True, rm))


@insn("fcvt.s.wu", "1101000 00001 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_s_wu(m, rs1, rm):
    """Convert from an unsigned 32-bit integer."""
    return box(m.int_to_f(32, rs1, 32, False, rm))


@insn("fcvt.s.l", "1101000 00010 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_s_l(m, rs1, rm):
    """Convert from a signed 64-bit integer."""
    return box(m.int_to_f(32, rs1, 64, True, rm))


@insn("fcvt.s.lu", "1101000 00011 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_s_lu(m, rs1, rm):
    """Convert from an unsigned 64-bit integer."""
    return box(m.int_to_f(32, rs1, 64, False, rm))


@insn("fmv.x.w", "1110000 00000 fs1 000 rd 1010011", "fp-move")
def fmv_x_w(fs1):
    """The low 32 bits of an f register, sign-extended."""
    return fs1.sext(32)


@insn("fmv.w.x", "1111000 00000 rs1 000 fd 1010011", "fp-move")
def fmv_w_x(rs1):
    """A single from its bits in an x register."""
    return box(rs1)


@insn("feq.s", "1010000 fs2 fs1 010 rd 1010011", "fp-add")
def feq_s(m, fs1, fs2):
    """1 if equal."""
    return m.feq(32, unbox(fs1), unbox(fs2)).word()


@insn("flt.s", "1010000 fs2 fs1 001 rd 1010011", "fp-add")
def flt_s(m, fs1, fs2):
    """1 if less."""
    return m.flt(32, unbox(fs1), unbox(fs2)).word()


@insn("fle.s", "1010000 fs2 fs1 000 rd 1010011", "fp-add")
def fle_s(m, fs1, fs2):
    """1 if less or equal."""
    return m.fle(32, unbox(fs1), unbox(fs2)).word()


@insn("fclass.s", "1110000 00000 fs1 001 rd 1010011", "fp-move")
def fclass_s(fs1):
    """What kind of number it is."""
    return classify(32, unbox(fs1))
