"""Svinval: fine-grained invalidation of translations (privileged manual, Svinval).

Here each invalidation acts at once, as a hart may, so that the two fences around a series of them
have nothing left to do.
"""

from isa.spec import Extension

EXTENSION = Extension("Svinval", "Fine-grained address-translation cache invalidation")
insn = EXTENSION.insn


@insn("sinval.vma", "0001011 rs2 rs1 000 00000 1110011", "system", native=False)
def sinval_vma(m, rs1, rs2, rs1_n, rs2_n):
    """As sfence.vma, ordered only by the fences around it."""
    m.need("Svinval")
    m.sfence_vma(rs1, rs2, rs1_n != 0, rs2_n != 0)


@insn("sfence.w.inval", "0001100 00000 00000 000 00000 1110011", "system", native=False)
def sfence_w_inval(m):
    """Order stores before the invalidations that follow."""
    m.need("Svinval")
    m.order_invalidations()


@insn("sfence.inval.ir", "0001100 00001 00000 000 00000 1110011", "system", native=False)
def sfence_inval_ir(m):
    """Order the invalidations before translations that follow."""
    m.need("Svinval")
    m.order_invalidations()


@insn("hinval.vvma", "0010011 rs2 rs1 000 00000 1110011", "system", native=False)
def hinval_vvma(m, rs1, rs2, rs1_n, rs2_n):
    """As hfence.vvma, ordered only by the fences around it."""
    m.need("Svinval")
    m.hfence_vvma(rs1, rs2, rs1_n != 0, rs2_n != 0)


@insn("hinval.gvma", "0110011 rs2 rs1 000 00000 1110011", "system", native=False)
def hinval_gvma(m, rs1, rs2, rs1_n, rs2_n):
    """As hfence.gvma, ordered only by the fences around it."""
    m.need("Svinval")
    m.hfence_gvma(rs1, rs2, rs1_n != 0, rs2_n != 0)
