"""I: the base integer instruction set, RV64I (unprivileged manual, chapters 2 and 4)."""

from isa.spec import Extension

EXTENSION = Extension("I", "RV64I base integer instructions")
insn = EXTENSION.insn


@insn("lui", "imm[31:12] rd 0110111", "alu")
def lui(imm):
    """Load upper immediate."""
    return imm


@insn("auipc", "imm[31:12] rd 0010111", "alu")
def auipc(pc, imm):
    """Add upper immediate to pc."""
    return pc + imm


@insn("jal", "imm[20|10:1|11|19:12] rd 1101111", "jump")
def jal(m, pc, next_pc, imm):
    """Jump, and keep the address of the next instruction."""
    m.jump(pc + imm)
    return next_pc


@insn("jalr", "imm[11:0] rs1 000 rd 1100111", "jump-register")
def jalr(m, next_pc, rs1, imm):
    """Jump to a register plus offset, its lowest bit cleared."""
    m.jump((rs1 + imm) & ~1)
    return next_pc


@insn("beq", "imm[12|10:5] rs2 rs1 000 imm[4:1|11] 1100011", "branch")
def beq(m, pc, rs1, rs2, imm):
    """Branch if equal."""
    m.jump(pc + imm, when=rs1 == rs2)


@insn("bne", "imm[12|10:5] rs2 rs1 001 imm[4:1|11] 1100011", "branch")
def bne(m, pc, rs1, rs2, imm):
    """Branch if not equal."""
    m.jump(pc + imm, when=rs1 != rs2)


@insn("blt", "imm[12|10:5] rs2 rs1 100 imm[4:1|11] 1100011", "branch")
def blt(m, pc, rs1, rs2, imm):
    """Branch if less, signed."""
    m.jump(pc + imm, when=rs1.slt(rs2))


@insn("bge", "imm[12|10:5] rs2 rs1 101 imm[4:1|11] 1100011", "branch")
def bge(m, pc, rs1, rs2, imm):
    """Branch if greater or equal, signed."""
    m.jump(pc + imm, when=rs1.sge(rs2))


@insn("bltu", "imm[12|10:5] rs2 rs1 110 imm[4:1|11] 1100011", "branch")
def bltu(m, pc, rs1, rs2, imm):
    """Branch if less, unsigned."""
    m.jump(pc + imm, when=rs1.ult(rs2))


@insn("bgeu", "imm[12|10:5] rs2 rs1 111 imm[4:1|11] 1100011", "branch")
def bgeu(m, pc, rs1, rs2, imm):
    """Branch if greater or equal, unsigned."""
    m.jump(pc + imm, when=rs1.uge(rs2))


@insn("lb", "imm[11:0] rs1 000 rd 0000011", "load")
def lb(m, rs1, imm):
    """Load a byte, sign-extended."""
    return m.load(rs1 + imm, 1).sext(8)


@insn("lh", "imm[11:0] rs1 001 rd 0000011", "load")
def lh(m, rs1, imm):
    """Load a halfword, sign-extended."""
    return m.load(rs1 + imm, 2).sext(16)


@insn("lw", "imm[11:0] rs1 010 rd 0000011", "load")
def lw(m, rs1, imm):
    """Load a word, sign-extended."""
    return m.load(rs1 + imm, 4).sext(32)


@insn("ld", "imm[11:0] rs1 011 rd 0000011", "load")
def ld(m, rs1, imm):
    """Load a doubleword."""
    return m.load(rs1 + imm, 8)


@insn("lbu", "imm[11:0] rs1 100 rd 0000011", "load")
def lbu(m, rs1, imm):
    """Load a byte, zero-extended."""
    return m.load(rs1 + imm, 1)


@insn("lhu", "imm[11:0] rs1 101 rd 0000011", "load")
def lhu(m, rs1, imm):
    """Load a halfword, zero-extended."""
    return m.load(rs1 + imm, 2)


@insn("lwu", "imm[11:0] rs1 110 rd 0000011", "load")
def lwu(m, rs1, imm):
    """Load a word, zero-extended."""
    return m.load(rs1 + imm, 4)


@insn("sb", "imm[11:5] rs2 rs1 000 imm[4:0] 0100011", "store")
def sb(m, rs1, rs2, imm):
    """Store a byte."""
    m.store(rs1 + imm, 1, rs2)


@insn("sh", "imm[11:5] rs2 rs1 001 imm[4:0] 0100011", "store")
def sh(m, rs1, rs2, imm):
    """Store a halfword."""
    m.store(rs1 + imm, 2, rs2)


@insn("sw", "imm[11:5] rs2 rs1 010 imm[4:0] 0100011", "store")
def sw(m, rs1, rs2, imm):
    """Store a word."""
    m.store(rs1 + imm, 4, rs2)


@insn("sd", "imm[11:5] rs2 rs1 011 imm[4:0] 0100011", "store")
def sd(m, rs1, rs2, imm):
    """Store a doubleword."""
    m.store(rs1 + imm, 8, rs2)


@insn("addi", "imm[11:0] rs1 000 rd 0010011", "alu")
def addi(rs1, imm):
    """Add immediate."""
    return rs1 + imm


@insn("slti", "imm[11:0] rs1 010 rd 0010011", "alu")
def slti(rs1, imm):
    """1 if less than the immediate, signed."""
    return rs1.slt(imm).word()


@insn("sltiu", "imm[11:0] rs1 011 rd 0010011", "alu")
def sltiu(rs1, imm):
    """1 if less than the sign-extended immediate, unsigned."""
    return rs1.ult(imm).word()


@insn("xori", "imm[11:0] rs1 100 rd 0010011", "alu")
def xori(rs1, imm):
    """Exclusive or with the immediate."""
    return rs1 ^ imm


@insn("ori", "imm[11:0] rs1 110 rd 0010011", "alu")
def ori(rs1, imm):
    """Or with the immediate."""
    return rs1 | imm


@insn("andi", "imm[11:0] rs1 111 rd 0010011", "alu")
def andi(rs1, imm):
    """And with the immediate."""
    return rs1 & imm


@insn("slli", "000000 shamt[5:0] rs1 001 rd 0010011", "alu")
def slli(rs1, shamt):
    """Shift left."""
    return rs1.shl(shamt)


@insn("srli", "000000 shamt[5:0] rs1 101 rd 0010011", "alu")
def srli(rs1, shamt):
    """Shift right, zeros in."""
    return rs1.shr(shamt)


@insn("srai", "010000 shamt[5:0] rs1 101 rd 0010011", "alu")
def srai(rs1, shamt):
    """Shift right, sign in."""
    return rs1.sar(shamt)


@insn("add", "0000000 rs2 rs1 000 rd 0110011", "alu")
def add(rs1, rs2):
    """Sum."""
    return rs1 + rs2


@insn("sub", "0100000 rs2 rs1 000 rd 0110011", "alu")
def sub(rs1, rs2):
    """Difference."""
    return rs1 - rs2


@insn("sll", "0000000 rs2 rs1 001 rd 0110011", "alu")
def sll(rs1, rs2):
    """Shift left by the low six bits of rs2."""
    return rs1.shl(rs2)


@insn("slt", "0000000 rs2 rs1 010 rd 0110011", "alu")
def slt(rs1, rs2):
    """1 if less, signed."""
    return rs1.slt(rs2).word()


@insn("sltu", "0000000 rs2 rs1 011 rd 0110011", "alu")
def sltu(rs1, rs2):
    """1 if less, unsigned."""
    return rs1.ult(rs2).word()


@insn("xor", "0000000 rs2 rs1 100 rd 0110011", "alu")
def xor(rs1, rs2):
    """Exclusive or."""
    return rs1 ^ rs2


@insn("srl", "0000000 rs2 rs1 101 rd 0110011", "alu")
def srl(rs1, rs2):
    """Shift right by the low six bits of rs2, zeros in."""
    return rs1.shr(rs2)


@insn("sra", "0100000 rs2 rs1 101 rd 0110011", "alu")
def sra(rs1, rs2):
    """Shift right by the low six bits of rs2, sign in."""
    return rs1.sar(rs2)


@insn("or", "0000000 rs2 rs1 110 rd 0110011", "alu")
def or_(rs1, rs2):
    """Or."""
    return rs1 | rs2


@insn("and", "0000000 rs2 rs1 111 rd 0110011", "alu")
def and_(rs1, rs2):
    """And."""
    return rs1 & rs2


@insn("addiw", "imm[11:0] rs1 000 rd 0011011", "alu")
def addiw(rs1, imm):
    """Add immediate, 32 bits, sign-extended."""
    return (rs1 + imm).sext(32)


@insn("slliw", "0000000 shamt[4:0] rs1 001 rd 0011011", "alu")
def slliw(rs1, shamt):
    """Shift left, 32 bits, sign-extended."""
    return rs1.shl(shamt).sext(32)


@insn("srliw", "0000000 shamt[4:0] rs1 101 rd 0011011", "alu")
def srliw(rs1, shamt):
    """Shift the low 32 bits right, zeros in, sign-extended."""
    return rs1.zext(32).shr(shamt).sext(32)


@insn("sraiw", "0100000 shamt[4:0] rs1 101 rd 0011011", "alu")
def sraiw(rs1, shamt):
    """Shift the low 32 bits right, sign in."""
    return rs1.sext(32).sar(shamt)


@insn("addw", "0000000 rs2 rs1 000 rd 0111011", "alu")
def addw(rs1, rs2):
    """Sum, 32 bits, sign-extended."""
    return (rs1 + rs2).sext(32)


@insn("subw", "0100000 rs2 rs1 000 rd 0111011", "alu")
def subw(rs1, rs2):
    """Difference, 32 bits, sign-extended."""
    return (rs1 - rs2).sext(32)


@insn("sllw", "0000000 rs2 rs1 001 rd 0111011", "alu")
def sllw(rs1, rs2):
    """Shift left by the low five bits of rs2, 32 bits, sign-extended."""
    return rs1.shl(rs2 & 31).sext(32)


@insn("srlw", "0000000 rs2 rs1 101 rd 0111011", "alu")
def srlw(rs1, rs2):
    """Shift the low 32 bits right by the low five bits of rs2, zeros in, sign-extended."""
    return rs1.zext(32).shr(rs2 & 31).sext(32)


@insn("sraw", "0100000 rs2 rs1 101 rd 0111011", "alu")
def sraw(rs1, rs2):
    """Shift the low 32 bits right by the low five bits of rs2, sign in."""
    return rs1.sext(32).sar(rs2 & 31)


@insn("fence", "fm pred succ rs1 000 rd 0001111", "fence")
def fence():
    """Order memory accesses. With one hart that runs in program order there is nothing to do."""
    return None


@insn("ecall", "000000000000 00000 000 00000 1110011", "system", native=False)
def ecall(m):
    """Call the environment: a trap whose cause tells the mode it came from."""
    m.ecall()


@insn("ebreak", "000000000001 00000 000 00000 1110011", "system", native=False)
def ebreak(m):
    """Breakpoint trap."""
    m.ebreak()
