"""Zbs: single-bit instructions (unprivileged manual, chapter 29).

The bit's number is taken modulo 64, as shift amounts are.
"""

from isa.spec import Extension

EXTENSION = Extension("Zbs", "Single-bit instructions")
insn = EXTENSION.insn


@insn("bclr", "0100100 rs2 rs1 001 rd 0110011", "alu")
def bclr(rs1, rs2):
    """Clear a bit."""
    return rs1 & ~(1 << rs2)


@insn("bext", "0100100 rs2 rs1 101 rd 0110011", "alu")
def bext(rs1, rs2):
    """Extract a bit, as 0 or 1."""
    return rs1.shr(rs2) & 1


@insn("binv", "0110100 rs2 rs1 001 rd 0110011", "alu")
def binv(rs1, rs2):
    """Invert a bit."""
    return rs1 ^ (1 << rs2)


@insn("bset", "0010100 rs2 rs1 001 rd 0110011", "alu")
def bset(rs1, rs2):
    """Set a bit."""
    return rs1 | (1 << rs2)


@insn("bclri", "010010 shamt[5:0] rs1 001 rd 0010011", "alu")
def bclri(rs1, shamt):
    """Clear a bit, by an immediate."""
    return rs1 & ~(1 << shamt)


@insn("bexti", "010010 shamt[5:0] rs1 101 rd 0010011", "alu")
def bexti(rs1, shamt):
    """Extract a bit, by an immediate."""
    return rs1.shr(shamt) & 1


@insn("binvi", "011010 shamt[5:0] rs1 001 rd 0010011", "alu")
def binvi(rs1, shamt):
    """Invert a bit, by an immediate."""
    return rs1 ^ (1 << shamt)


@insn("bseti", "001010 shamt[5:0] rs1 001 rd 0010011", "alu")
def bseti(rs1, shamt):
    """Set a bit, by an immediate."""
    return rs1 | (1 << shamt)
