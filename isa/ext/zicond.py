"""Zicond: integer conditional operations."""

from isa.spec import Extension
from isa.words import select

EXTENSION = Extension("Zicond", "Integer conditional operations")
insn = EXTENSION.insn


@insn("czero.eqz", "0000111 rs2 rs1 101 rd 0110011", "alu")
def czero_eqz(rs1, rs2):
    """Zero if rs2 is zero, else rs1."""
    return select(rs2 == 0, 0, rs1)


@insn("czero.nez", "0000111 rs2 rs1 111 rd 0110011", "alu")
def czero_nez(rs1, rs2):
    """Zero if rs2 is not zero, else rs1."""
    return select(rs2 != 0, 0, rs1)
