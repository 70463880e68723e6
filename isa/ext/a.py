"""A: atomic instructions (unprivileged manual, chapter 14).

The aq and rl bits order accesses between harts; a hart that runs in program order ignores them.
"""

from isa.spec import Extension
from isa.words import select

EXTENSION = Extension("A", "Atomic instructions: LR/SC (Zalrsc) and AMOs (Zaamo)")
insn = EXTENSION.insn


@insn("lr.w", "00010 aq rl 00000 rs1 010 rd 0101111", "load-reserved")
def lr_w(m, rs1):
    """Load a word, sign-extended, and reserve it."""
    return m.load_reserved(rs1, 4).sext(32)


@insn("sc.w", "00011 aq rl rs2 rs1 010 rd 0101111", "store-conditional")
def sc_w(m, rs1, rs2):
    """Store a word if it is still reserved: 0 if stored, else 1."""
    return m.store_conditional(rs1, 4, rs2)


@insn("amoswap.w", "00001 aq rl rs2 rs1 010 rd 0101111", "amo")
def amoswap_w(m, rs1, rs2):
    """Swap a word; gives the old one, sign-extended, as all AMOs on words do."""
    return m.amo(rs1, 4, lambda old: rs2).sext(32)


@insn("amoadd.w", "00000 aq rl rs2 rs1 010 rd 0101111", "amo")
def amoadd_w(m, rs1, rs2):
    """Add to a word."""
    return m.amo(rs1, 4, lambda old: old + rs2).sext(32)


@insn("amoxor.w", "00100 aq rl rs2 rs1 010 rd 0101111", "amo")
def amoxor_w(m, rs1, rs2):
    """Exclusive or into a word."""
    return m.amo(rs1, 4, lambda old: old ^ rs2).sext(32)


@insn("amoand.w", "01100 aq rl rs2 rs1 010 rd 0101111", "amo")
def amoand_w(m, rs1, rs2):
    """And into a word."""
    return m.amo(rs1, 4, lambda old: old & rs2).sext(32)


@insn("amoor.w", "01000 aq rl rs2 rs1 010 rd 0101111", "amo")
def amoor_w(m, rs1, rs2):
    """Or into a word."""
    return m.amo(rs1, 4, lambda old: old | rs2).sext(32)


@insn("amomin.w", "10000 aq rl rs2 rs1 010 rd 0101111", "amo")
def amomin_w(m, rs1, rs2):
    """Lower a word to the smaller, signed."""
    new = rs2.sext(32)
    return m.amo(rs1, 4, lambda old: select(old.sext(32).slt(new), old, new)).sext(32)


@insn("amomax.w", "10100 aq rl rs2 rs1 010 rd 0101111", "amo")
def amomax_w(m, rs1, rs2):
    """Raise a word to the larger, signed."""
    new = rs2.sext(32)
    return m.amo(rs1, 4, lambda old: select(old.sext(32).slt(new), new, old)).sext(32)


@insn("amominu.w", "11000 aq rl rs2 rs1 010 rd 0101111", "amo")
def amominu_w(m, rs1, rs2):
    """Lower a word to the smaller, unsigned."""
    new = rs2.zext(32)
    return m.amo(rs1, 4, lambda old: select(old.ult(new), old, new)).sext(32)


@insn("amomaxu.w", "11100 aq rl rs2 rs1 010 rd 0101111", "amo")
def amomaxu_w(m, rs1, rs2):
    """Raise a word to the larger, unsigned."""
    new = rs2.zext(32)
    return m.amo(rs1, 4, lambda old: select(old.ult(new), new, old)).sext(32)


@insn("lr.d", "00010 aq rl 00000 rs1 011 rd 0101111", "load-reserved")
def lr_d(m, rs1):
    """Load a doubleword and reserve it."""
    return m.load_reserved(rs1, 8)


@insn("sc.d", "00011 aq rl rs2 rs1 011 rd 0101111", "store-conditional")
def sc_d(m, rs1, rs2):
    """Store a doubleword if it is still reserved: 0 if stored, else 1."""
    return m.store_conditional(rs1, 8, rs2)


@insn("amoswap.d", "00001 aq rl rs2 rs1 011 rd 0101111", "amo")
def amoswap_d(m, rs1, rs2):
    """Swap a doubleword; gives the old one."""
    return m.amo(rs1, 8, lambda old: rs2)


@insn("amoadd.d", "00000 aq rl rs2 rs1 011 rd 0101111", "amo")
def amoadd_d(m, rs1, rs2):
    """Add to a doubleword."""
    return m.amo(rs1, 8, lambda old: old + rs2)


@insn("amoxor.d", "00100 aq rl rs2 rs1 011 rd 0101111", "amo")
def amoxor_d(m, rs1, rs2):
    """Exclusive or into a doubleword."""
    return m.amo(rs1, 8, lambda old: old ^ rs2)


@insn("amoand.d", "01100 aq rl rs2 rs1 011 rd 0101111", "amo")
def amoand_d(m, rs1, rs2):
    """And into a doubleword."""
    return m.amo(rs1, 8, lambda old: old & rs2)


@insn("amoor.d", "01000 aq rl rs2 rs1 011 rd 0101111", "amo")
def amoor_d(m, rs1, rs2):
    """Or into a doubleword."""
    return m.amo(rs1, 8, lambda old: old | rs2)


@insn("amomin.d", "10000 aq rl rs2 rs1 011 rd 0101111", "amo")
def amomin_d(m, rs1, rs2):
    """Lower a doubleword to the smaller, signed."""
    return m.amo(rs1, 8, lambda old: select(old.slt(rs2), old, rs2))


@insn("amomax.d", "10100 aq rl rs2 rs1 011 rd 0101111", "amo")
def amomax_d(m, rs1, rs2):
    """Raise a doubleword to the larger, signed."""
    return m.amo(rs1, 8, lambda old: select(old.slt(rs2), rs2, old))


@insn("amominu.d", "11000 aq rl rs2 rs1 011 rd 0101111", "amo")
def amominu_d(m, rs1, rs2):
    """Lower a doubleword to the smaller, unsigned."""
    return m.amo(rs1, 8, lambda old: select(old.ult(rs2), old, rs2))


@insn("amomaxu.d", "11100 aq rl rs2 rs1 011 rd 0101111", "amo")
def amomaxu_d(m, rs1, rs2):
    """Raise a doubleword to the larger, unsigned."""
    return m.amo(rs1, 8, lambda old: select(old.ult(rs2), rs2, old))
