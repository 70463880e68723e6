"""Zba: address generation (unprivileged manual, chapter 29)."""

from isa.spec import Extension

EXTENSION = Extension("Zba", "Address generation")
insn = EXTENSION.insn


@insn("add.uw", "0000100 rs2 rs1 000 rd 0111011", "alu")
def add_uw(rs1, rs2):
    """Add, the low 32 bits of rs1 zero-extended."""
    return rs2 + rs1.zext(32)


@insn("sh1add", "0010000 rs2 rs1 010 rd 0110011", "alu")
def sh1add(rs1, rs2):
    """Add, rs1 shifted left by one."""
    return rs2 + rs1.shl(1)


@insn("sh2add", "0010000 rs2 rs1 100 rd 0110011", "alu")
def sh2add(rs1, rs2):
    """Add, rs1 shifted left by two."""
    return rs2 + rs1.shl(2)


@insn("sh3add", "0010000 rs2 rs1 110 rd 0110011", "alu")
def sh3add(rs1, rs2):
    """Add, rs1 shifted left by three."""
    return rs2 + rs1.shl(3)


@insn("sh1add.uw", "0010000 rs2 rs1 010 rd 0111011", "alu")
def sh1add_uw(rs1, rs2):
    """Add, the low 32 bits of rs1 zero-extended and shifted left by one."""
    return rs2 + rs1.zext(32).shl(1)


@insn("sh2add.uw", "0010000 rs2 rs1 100 rd 0111011", "alu")
def sh2add_uw(rs1, rs2):
    """Add, the low 32 bits of rs1 zero-extended and shifted left by two."""
    return rs2 + rs1.zext(32).shl(2)


@insn("sh3add.uw", "0010000 rs2 rs1 110 rd 0111011", "alu")
def sh3add_uw(rs1, rs2):
    """Add, the low 32 bits of rs1 zero-extended and shifted left by three."""
    return rs2 + rs1.zext(32).shl(3)


@insn("slli.uw", "000010 shamt[5:0] rs1 001 rd 0011011", "alu")
def slli_uw(rs1, shamt):
    """Shift the low 32 bits left, zero-extended first."""
    return rs1.zext(32).shl(shamt)
