"""Zicsr: instructions on control and status registers (unprivileged manual, chapter 6).

A swap into x0 does not read, and setting or clearing by x0 or 0 does not write, so neither has the
other's consequences: a read-only CSR can be read by `csrrs rd, csr, x0`.
"""

from isa.spec import Extension

EXTENSION = Extension("Zicsr", "Control and status register instructions")
insn = EXTENSION.insn


@insn("csrrw", "csr rs1 001 rd 1110011", "csr", native=False)
def csrrw(m, csr, rs1, rd_n):
    """Swap a CSR and a register."""
    old = m.read_csr(csr, writes=True) if rd_n else None
    m.write_csr(csr, rs1)
    return old


@insn("csrrs", "csr rs1 010 rd 1110011", "csr", native=False)
def csrrs(m, csr, rs1, rs1_n):
    """Read a CSR and set the bits that rs1 has."""
    old = m.read_csr(csr, writes=rs1_n != 0)
    if rs1_n:
        m.write_csr(csr, old | rs1)
    return old


@insn("csrrc", "csr rs1 011 rd 1110011", "csr", native=False)
def csrrc(m, csr, rs1, rs1_n):
    """Read a CSR and clear the bits that rs1 has."""
    old = m.read_csr(csr, writes=rs1_n != 0)
    if rs1_n:
        m.write_csr(csr, old & ~rs1)
    return old


@insn("csrrwi", "csr uimm5 101 rd 1110011", "csr", native=False)
def csrrwi(m, csr, uimm5, rd_n):
    """Read a CSR and write it with five bits."""
    old = m.read_csr(csr, writes=True) if rd_n else None
    m.write_csr(csr, uimm5)
    return old


@insn("csrrsi", "csr uimm5 110 rd 1110011", "csr", native=False)
def csrrsi(m, csr, uimm5, uimm5_n):
    """Read a CSR and set some of its low five bits."""
    old = m.read_csr(csr, writes=uimm5_n != 0)
    if uimm5_n:
        m.write_csr(csr, old | uimm5)
    return old


@insn("csrrci", "csr uimm5 111 rd 1110011", "csr", native=False)
def csrrci(m, csr, uimm5, uimm5_n):
    """Read a CSR and clear some of its low five bits."""
    old = m.read_csr(csr, writes=uimm5_n != 0)
    if uimm5_n:
        m.write_csr(csr, old & ~uimm5)
    return old
