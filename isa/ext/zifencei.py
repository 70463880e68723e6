"""Zifencei: instruction-fetch fence (unprivileged manual, chapter 5)."""

from isa.spec import Extension

EXTENSION = Extension("Zifencei", "Instruction-fetch fence")
insn = EXTENSION.insn


@insn("fence.i", "imm[11:0] rs1 001 rd 0001111", "fence", native=False)
def fence_i(m):
    """Let later fetches see earlier stores. Its operands are for the future, and are ignored."""
    m.fence_i()
