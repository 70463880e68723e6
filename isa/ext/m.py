"""M: integer multiplication and division (unprivileged manual, chapter 13)."""

from isa.spec import Extension

EXTENSION = Extension("M", "Integer multiplication and division")
insn = EXTENSION.insn


@insn("mul", "0000001 rs2 rs1 000 rd 0110011", "multiply")
def mul(rs1, rs2):
    """Low half of the product."""
    return rs1 * rs2


@insn("mulh", "0000001 rs2 rs1 001 rd 0110011", "multiply")
def mulh(rs1, rs2):
    """High half of the signed product."""
    return rs1.mulhs(rs2)


@insn("mulhsu", "0000001 rs2 rs1 010 rd 0110011", "multiply")
def mulhsu(rs1, rs2):
    """High half of signed rs1 times unsigned rs2."""
    return rs1.mulhsu(rs2)


@insn("mulhu", "0000001 rs2 rs1 011 rd 0110011", "multiply")
def mulhu(rs1, rs2):
    """High half of the unsigned product."""
    return rs1.mulhu(rs2)


@insn("div", "0000001 rs2 rs1 100 rd 0110011", "divide")
def div(rs1, rs2):
    """Signed quotient, rounded towards zero. Division by zero gives all ones; it never traps."""
    return rs1.sdiv(rs2)


@insn("divu", "0000001 rs2 rs1 101 rd 0110011", "divide")
def divu(rs1, rs2):
    """Unsigned quotient; by zero all ones."""
    return rs1.udiv(rs2)


@insn("rem", "0000001 rs2 rs1 110 rd 0110011", "divide")
def rem(rs1, rs2):
    """Signed remainder, with the dividend's sign; by zero the dividend."""
    return rs1.srem(rs2)


@insn("remu", "0000001 rs2 rs1 111 rd 0110011", "divide")
def remu(rs1, rs2):
    """Unsigned remainder; by zero the dividend."""
    return rs1.urem(rs2)


@insn("mulw", "0000001 rs2 rs1 000 rd 0111011", "multiply")
def mulw(rs1, rs2):
    """Low 32 bits of the product, sign-extended."""
    return (rs1 * rs2).sext(32)


@insn("divw", "0000001 rs2 rs1 100 rd 0111011", "divide")
def divw(rs1, rs2):
    """Signed quotient of the low 32 bits, sign-extended."""
    return rs1.sext(32).sdiv(rs2.sext(32)).sext(32)


@insn("divuw", "0000001 rs2 rs1 101 rd 0111011", "divide")
def divuw(rs1, rs2):
    """Unsigned quotient of the low 32 bits, sign-extended."""
    return rs1.zext(32).udiv(rs2.zext(32)).sext(32)


@insn("remw", "0000001 rs2 rs1 110 rd 0111011", "divide")
def remw(rs1, rs2):
    """Signed remainder of the low 32 bits, sign-extended."""
    return rs1.sext(32).srem(rs2.sext(32)).sext(32)


@insn("remuw", "0000001 rs2 rs1 111 rd 0111011", "divide")
def remuw(rs1, rs2):
    """Unsigned remainder of the low 32 bits, sign-extended."""
    return rs1.zext(32).urem(rs2.zext(32)).sext(32)
