"""The privileged architecture: instructions of M-mode and S-mode (privileged manual, 3.3, 10.2)."""

from isa.spec import Extension

EXTENSION = Extension("Priv", "Privileged instructions: M-mode and S-mode")
insn = EXTENSION.insn


@insn("sret", "000100000010 00000 000 00000 1110011", "system", native=False)
def sret(m):
    """Return from a trap taken in S-mode: to sepc, in the mode and with the SIE of before."""
    m.sret()


@insn("mret", "001100000010 00000 000 00000 1110011", "system", native=False)
def mret(m):
    """Return from a trap taken in M-mode: to mepc, in the mode and with the MIE of before."""
    m.mret()


@insn("wfi", "000100000101 00000 000 00000 1110011", "system", native=False)
def wfi(m):
    """Wait for interrupt. A hint: it may end early."""
    m.wfi()


@insn("sfence.vma", "0001001 rs2 rs1 000 00000 1110011", "system", native=False)
def sfence_vma(m, rs1, rs2, rs1_n, rs2_n):
    """Order page table stores before later translations; x0 stands for every address or ASID."""
    m.sfence_vma(rs1, rs2, rs1_n != 0, rs2_n != 0)
