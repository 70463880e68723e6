"""Zbb: basic bit manipulation (unprivileged manual, chapter 29)."""

from isa.spec import Extension
from isa.words import select

EXTENSION = Extension("Zbb", "Basic bit manipulation")
insn = EXTENSION.insn


@insn("andn", "0100000 rs2 rs1 111 rd 0110011", "alu")
def andn(rs1, rs2):
    """And with rs2 inverted."""
    return rs1 & ~rs2


@insn("orn", "0100000 rs2 rs1 110 rd 0110011", "alu")
def orn(rs1, rs2):
    """Or with rs2 inverted."""
    return rs1 | ~rs2


@insn("xnor", "0100000 rs2 rs1 100 rd 0110011", "alu")
def xnor(rs1, rs2):
    """Exclusive nor."""
    return ~(rs1 ^ rs2)


@insn("clz", "011000000000 rs1 001 rd 0010011", "alu")
def clz(rs1):
    """Count leading zeros."""
    return rs1.clz()


@insn("ctz", "011000000001 rs1 001 rd 0010011", "alu")
def ctz(rs1):
    """Count trailing zeros."""
    return rs1.ctz()


@insn("cpop", "011000000010 rs1 001 rd 0010011", "alu")
def cpop(rs1):
    """Count set bits."""
    return rs1.cpop()


@insn("clzw", "011000000000 rs1 001 rd 0011011", "alu")
def clzw(rs1):
    """Count leading zeros of the low 32 bits."""
    return rs1.zext(32).clz() - 32


@insn("ctzw", "011000000001 rs1 001 rd 0011011", "alu")
def ctzw(rs1):
    """Count trailing zeros of the low 32 bits."""
    return (rs1 | 1 << 32).ctz()


@insn("cpopw", "011000000010 rs1 001 rd 0011011", "alu")
def cpopw(rs1):
    """Count set bits of the low 32."""
    return rs1.zext(32).cpop()


@insn("max", "0000101 rs2 rs1 110 rd 0110011", "alu")
def max_(rs1, rs2):
    """Larger, signed."""
    return select(rs1.slt(rs2), rs2, rs1)


@insn("maxu", "0000101 rs2 rs1 111 rd 0110011", "alu")
def maxu(rs1, rs2):
    """Larger, unsigned."""
    return select(rs1.ult(rs2), rs2, rs1)


@insn("min", "0000101 rs2 rs1 100 rd 0110011", "alu")
def min_(rs1, rs2):
    """Smaller, signed."""
    return select(rs1.slt(rs2), rs1, rs2)


@insn("minu", "0000101 rs2 rs1 101 rd 0110011", "alu")
def minu(rs1, rs2):
    """Smaller, unsigned."""
    return select(rs1.ult(rs2), rs1, rs2)


@insn("sext.b", "011000000100 rs1 001 rd 0010011", "alu")
def sext_b(rs1):
    """Sign-extend a byte."""
    return rs1.sext(8)


@insn("sext.h", "011000000101 rs1 001 rd 0010011", "alu")
def sext_h(rs1):
    """Sign-extend a halfword."""
    return rs1.sext(16)


@insn("zext.h", "000010000000 rs1 100 rd 0111011", "alu")
def zext_h(rs1):
    """Zero-extend a halfword."""
    return rs1.zext(16)


@insn("rol", "0110000 rs2 rs1 001 rd 0110011", "alu")
def rol(rs1, rs2):
    """Rotate left."""
    return rs1.shl(rs2) | rs1.shr(-rs2)


@insn("ror", "0110000 rs2 rs1 101 rd 0110011", "alu")
def ror(rs1, rs2):
    """Rotate right."""
    return rs1.shr(rs2) | rs1.shl(-rs2)


@insn("rori", "011000 shamt[5:0] rs1 101 rd 0010011", "alu")
def rori(rs1, shamt):
    """Rotate right by an immediate."""
    return rs1.shr(shamt) | rs1.shl(-shamt)


@insn("rolw", "0110000 rs2 rs1 001 rd 0111011", "alu")
def rolw(rs1, rs2):
    """Rotate the low 32 bits left, sign-extended."""
    low = rs1.zext(32)
    return (low.shl(rs2 & 31) | low.shr(-rs2 & 31)).sext(32)


@insn("rorw", "0110000 rs2 rs1 101 rd 0111011", "alu")
def rorw(rs1, rs2):
    """Rotate the low 32 bits right, sign-extended."""
    low = rs1.zext(32)
    return (low.shr(rs2 & 31) | low.shl(-rs2 & 31)).sext(32)


@insn("roriw", "0110000 shamt[4:0] rs1 101 rd 0011011", "alu")
def roriw(rs1, shamt):
    """Rotate the low 32 bits right by an immediate, sign-extended."""
    low = rs1.zext(32)
    return (low.shr(shamt) | low.shl(-shamt & 31)).sext(32)


@insn("orc.b", "001010000111 rs1 101 rd 0010011", "alu")
def orc_b(rs1):
    """Each byte all ones if any of its bits is set, else zero."""
    low7 = 0x7F7F7F7F_7F7F7F7F
    tops = (((rs1 & low7) + low7) | rs1) & ~low7
    return tops | (tops - tops.shr(7))


@insn("rev8", "011010111000 rs1 101 rd 0010011", "alu")
def rev8(rs1):
    """Reverse the order of the bytes."""
    return rs1.bswap()
