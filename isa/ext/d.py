"""D: double-precision floating point (unprivileged manual, chapter 21)."""

from isa.ext.f import RESERVED_RM, SIGN, box, classify, maximum, minimum, unbox
from isa.spec import Extension

EXTENSION = Extension("D", "Double-precision floating point")
insn = EXTENSION.insn


@insn("fld", "imm[11:0] rs1 011 fd 0000111", "fp-load")
def fld(m, rs1, imm):
    """Load a double."""
    return m.load(rs1 + imm, 8)


@insn("fsd", "imm[11:5] fs2 rs1 011 imm[4:0] 0100111", "fp-store")
def fsd(m, rs1, fs2, imm):
    """Store a double."""
    m.store(rs1 + imm, 8, fs2)


@insn("fmadd.d", "fs3 01 fs2 fs1 rm fd 1000011", "fp-fma", unless=RESERVED_RM)
def fmadd_d(m, fs1, fs2, fs3, rm):
    """fs1 times fs2 plus fs3, rounded once."""
    return m.ffma(64, fs1, fs2, fs3, rm)


@insn("fmsub.d", "fs3 01 fs2 fs1 rm fd 1000111", "fp-fma", unless=RESERVED_RM)
def fmsub_d(m, fs1, fs2, fs3, rm):
    """fs1 times fs2 minus fs3, rounded once."""
    return m.ffma(64, fs1, fs2, fs3 ^ SIGN[64], rm)


@insn("fnmsub.d", "fs3 01 fs2 fs1 rm fd 1001011", "fp-fma", unless=RESERVED_RM)
def fnmsub_d(m, fs1, fs2, fs3, rm):
    """Minus the product, plus fs3, rounded once."""
    return m.ffma(64, fs1 ^ SIGN[64], fs2, fs3, rm)


@insn("fnmadd.d", "fs3 01 fs2 fs1 rm fd 1001111", "fp-fma", unless=RESERVED_RM)
def fnmadd_d(m, fs1, fs2, fs3, rm):
    """Minus the product, minus fs3, rounded once."""
    return m.ffma(64, fs1 ^ SIGN[64], fs2, fs3 ^ SIGN[64], rm)


@insn("fadd.d", "0000001 fs2 fs1 rm fd 1010011", "fp-add", unless=RESERVED_RM)
def fadd_d(m, fs1, fs2, rm):
    """Sum."""
    return m.fadd(64, fs1, fs2, rm)


@insn("fsub.d", "0000101 fs2 fs1 rm fd 1010011", "fp-add", unless=RESERVED_RM)
def fsub_d(m, fs1, fs2, rm):
    """Difference."""
    return m.fsub(64, fs1, fs2, rm)


@insn("fmul.d", "0001001 fs2 fs1 rm fd 1010011", "fp-multiply", unless=RESERVED_RM)
def fmul_d(m, fs1, fs2, rm):
    """Product."""
    return m.fmul(64, fs1, fs2, rm)


@insn("fdiv.d", "0001101 fs2 fs1 rm fd 1010011", "fp-divide", unless=RESERVED_RM)
def fdiv_d(m, fs1, fs2, rm):
    """Quotient."""
    return m.fdiv(64, fs1, fs2, rm)


@insn("fsqrt.d", "0101101 00000 fs1 rm fd 1010011", "fp-divide", unless=RESERVED_RM)
def fsqrt_d(m, fs1, rm):
    """Square root."""
    return m.fsqrt(64, fs1, rm)


@insn("fsgnj.d", "0010001 fs2 fs1 000 fd 1010011", "fp-move")
def fsgnj_d(fs1, fs2):
    """fs1 with the sign of fs2."""
    return fs1.zext(63) | fs2 & SIGN[64]


@insn("fsgnjn.d", "0010001 fs2 fs1 001 fd 1010011", "fp-move")
def fsgnjn_d(fs1, fs2):
    """fs1 with the opposite of the sign of fs2."""
    return fs1.zext(63) | ~fs2 & SIGN[64]


@insn("fsgnjx.d", "0010001 fs2 fs1 010 fd 1010011", "fp-move")
def fsgnjx_d(fs1, fs2):
    """fs1, its sign changed if fs2 is negative."""
    return fs1 ^ fs2 & SIGN[64]


@insn("fmin.d", "0010101 fs2 fs1 000 fd 1010011", "fp-add")
def fmin_d(m, fs1, fs2):
    """Smaller number."""
    return minimum(m, 64, fs1, fs2)


@insn("fmax.d", "0010101 fs2 fs1 001 fd 1010011", "fp-add")
def fmax_d(m, fs1, fs2):
    """Larger number."""
    return maximum(m, 64, fs1, fs2)


@insn("fcvt.s.d", "0100000 00001 fs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_s_d(m, fs1, rm):
    """Convert a double to a single."""
    return box(m.f_to_f(32, 64, fs1, rm))


@insn("fcvt.d.s", "0100001 00000 fs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_d_s(m, fs1, rm):
    """Convert a single to a double; never inexact."""
    return m.f_to_f(64, 32, unbox(fs1), rm)


@insn("feq.d", "1010001 fs2 fs1 010 rd 1010011", "fp-add")
def feq_d(m, fs1, fs2):
    """1 if equal."""
    return m.feq(64, fs1, fs2).word()


@insn("flt.d", "1010001 fs2 fs1 001 rd 1010011", "fp-add")
def flt_d(m, fs1, fs2):
    """1 if less."""
    return m.flt(64, fs1, fs2).word()


@insn("fle.d", "1010001 fs2 fs1 000 rd 1010011", "fp-add")
def fle_d(m, fs1, fs2):
    """1 if less or equal."""
    return m.fle(64, fs1, fs2).word()


@insn("fclass.d", "1110001 00000 fs1 001 rd 1010011", "fp-move")
def fclass_d(fs1):
    """What kind of number it is."""
    return classify(64, fs1)


@insn("fcvt.w.d", "1100001 00000 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_w_d(m, fs1, rm):
    """Convert to a signed 32-bit integer."""
    return m.f_to_int(64, fs1, 32, True, rm)


@insn("fcvt.wu.d", "1100001 00001 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_wu_d(m, fs1, rm):
    """Convert to an unsigned 32-bit integer."""
    return m.f_to_int(64, fs1, 32, False, rm)


@insn("fcvt.l.d", "1100001 00010 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_l_d(m, fs1, rm):
    """Convert to a signed 64-bit integer."""
    return m.f_to_int(64, fs1, 64, True, rm)


@insn("fcvt.lu.d", "1100001 00011 fs1 rm rd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_lu_d(m, fs1, rm):
    """Convert to an unsigned 64-bit integer."""
    return m.f_to_int(64, fs1, 64, False, rm)


@insn("fcvt.d.w", "1101001 00000 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_d_w(m, rs1, rm):
    """Convert from a signed 32-bit integer; never inexact."""
    return m.int_to_f(64, rs1, 32, True, rm)


@insn("fcvt.d.wu", "1101001 00001 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_d_wu(m, rs1, rm):
    """Convert from an unsigned 32-bit integer; never inexact."""
    return m.int_to_f(64, rs1, 32, False, rm)


@insn("fcvt.d.l", "1101001 00010 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_d_l(m, rs1, rm):
    """Convert from a signed 64-bit integer."""
    return m.int_to_f(64, rs1, 64, True, rm)


@insn("fcvt.d.lu", "1101001 00011 rs1 rm fd 1010011", "fp-convert", unless=RESERVED_RM)
def fcvt_d_lu(m, rs1, rm):
    """Convert from an unsigned 64-bit integer."""
    return m.int_to_f(64, rs1, 64, False, rm)


@insn("fmv.x.d", "1110001 00000 fs1 000 rd 1010011", "fp-move")
def fmv_x_d(fs1):
    """The bits of a double."""
    return fs1


@insn("fmv.d.x", "1111001 00000 rs1 000 fd 1010011", "fp-move")
def fmv_d_x(rs1):
    """A double from its bits."""
    return rs1
