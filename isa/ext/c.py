"""C: compressed instructions (unprivileged manual, chapter 26, table 26.6 and the listings after).

Each stands for one instruction of 32 bits. Encodings that the manual calls HINTs are instructions
without effect, and are written to x0 as such; those that it reserves are illegal.
"""

from isa.spec import Extension

EXTENSION = Extension("C", "Compressed instructions (Zca and Zcd)")
short = EXTENSION.short
X0, RA, SP = 0, 1, 2

# Quadrant 0. A word of zeros is c.addi4spn with the reserved immediate 0, and so illegal.
short(
    "c.addi4spn", "000 uimm[5:4|9:6|2|3] rd' 00", "addi", rd="rd'", rs1=SP, imm="uimm",
    unless={"uimm": (0,)},
)  # fmt: skip
short("c.fld", "001 uimm[5:3] rs1' uimm[7:6] fd' 00", "fld", fd="fd'", rs1="rs1'", imm="uimm")
short("c.lw", "010 uimm[5:3] rs1' uimm[2|6] rd' 00", "lw", rd="rd'", rs1="rs1'", imm="uimm")
short("c.ld", "011 uimm[5:3] rs1' uimm[7:6] rd' 00", "ld", rd="rd'", rs1="rs1'", imm="uimm")
short("c.fsd", "101 uimm[5:3] rs1' uimm[7:6] fs2' 00", "fsd", rs1="rs1'", fs2="fs2'", imm="uimm")
short("c.sw", "110 uimm[5:3] rs1' uimm[2|6] rs2' 00", "sw", rs1="rs1'", rs2="rs2'", imm="uimm")
short("c.sd", "111 uimm[5:3] rs1' uimm[7:6] rs2' 00", "sd", rs1="rs1'", rs2="rs2'", imm="uimm")

# Quadrant 1.
short("c.nop", "000 imm[5] 00000 imm[4:0] 01", "addi", rd=X0, rs1=X0, imm="imm")
short("c.addi", "000 imm[5] rd imm[4:0] 01", "addi", rd="rd", rs1="rd", imm="imm")
short(
    "c.addiw", "001 imm[5] rd imm[4:0] 01", "addiw", rd="rd", rs1="rd", imm="imm",
    unless={"rd": (X0,)},
)  # fmt: skip
short("c.li", "010 imm[5] rd imm[4:0] 01", "addi", rd="rd", rs1=X0, imm="imm")
short(
    "c.addi16sp", "011 imm[9] 00010 imm[4|6|8:7|5] 01", "addi", rd=SP, rs1=SP, imm="imm",
    unless={"imm": (0,)},
)  # fmt: skip
short(
    "c.lui", "011 imm[17] rd imm[16:12] 01", "lui", rd="rd", imm="imm",
    unless={"rd": (SP,), "imm": (0,)},
)  # fmt: skip
short("c.srli", "100 shamt[5] 00 rd' shamt[4:0] 01", "srli", rd="rd'", rs1="rd'", shamt="shamt")
short("c.srai", "100 shamt[5] 01 rd' shamt[4:0] 01", "srai", rd="rd'", rs1="rd'", shamt="shamt")
short("c.andi", "100 imm[5] 10 rd' imm[4:0] 01", "andi", rd="rd'", rs1="rd'", imm="imm")
short("c.sub", "100 0 11 rd' 00 rs2' 01", "sub", rd="rd'", rs1="rd'", rs2="rs2'")
short("c.xor", "100 0 11 rd' 01 rs2' 01", "xor", rd="rd'", rs1="rd'", rs2="rs2'")
short("c.or", "100 0 11 rd' 10 rs2' 01", "or", rd="rd'", rs1="rd'", rs2="rs2'")
short("c.and", "100 0 11 rd' 11 rs2' 01", "and", rd="rd'", rs1="rd'", rs2="rs2'")
short("c.subw", "100 1 11 rd' 00 rs2' 01", "subw", rd="rd'", rs1="rd'", rs2="rs2'")
short("c.addw", "100 1 11 rd' 01 rs2' 01", "addw", rd="rd'", rs1="rd'", rs2="rs2'")
short("c.j", "101 imm[11|4|9:8|10|6|7|3:1|5] 01", "jal", rd=X0, imm="imm")
short("c.beqz", "110 imm[8|4:3] rs1' imm[7:6|2:1|5] 01", "beq", rs1="rs1'", rs2=X0, imm="imm")
short("c.bnez", "111 imm[8|4:3] rs1' imm[7:6|2:1|5] 01", "bne", rs1="rs1'", rs2=X0, imm="imm")

# Quadrant 2.
short("c.slli", "000 shamt[5] rd shamt[4:0] 10", "slli", rd="rd", rs1="rd", shamt="shamt")
short("c.fldsp", "001 uimm[5] fd uimm[4:3|8:6] 10", "fld", fd="fd", rs1=SP, imm="uimm")
short(
    "c.lwsp", "010 uimm[5] rd uimm[4:2|7:6] 10", "lw", rd="rd", rs1=SP, imm="uimm",
    unless={"rd": (X0,)},
)  # fmt: skip
short(
    "c.ldsp", "011 uimm[5] rd uimm[4:3|8:6] 10", "ld", rd="rd", rs1=SP, imm="uimm",
    unless={"rd": (X0,)},
)  # fmt: skip
short("c.jr", "100 0 rs1 00000 10", "jalr", rd=X0, rs1="rs1", imm=0, unless={"rs1": (X0,)})
short("c.mv", "100 0 rd rs2 10", "add", rd="rd", rs1=X0, rs2="rs2", unless={"rs2": (X0,)})
short("c.ebreak", "100 1 00000 00000 10", "ebreak")
short("c.jalr", "100 1 rs1 00000 10", "jalr", rd=RA, rs1="rs1", imm=0, unless={"rs1": (X0,)})
short("c.add", "100 1 rd rs2 10", "add", rd="rd", rs1="rd", rs2="rs2", unless={"rs2": (X0,)})
short("c.fsdsp", "101 uimm[5:3|8:6] fs2 10", "fsd", rs1=SP, fs2="fs2", imm="uimm")
short("c.swsp", "110 uimm[5:2|7:6] rs2 10", "sw", rs1=SP, rs2="rs2", imm="uimm")
short("c.sdsp", "111 uimm[5:3|8:6] rs2 10", "sd", rs1=SP, rs2="rs2", imm="uimm")
