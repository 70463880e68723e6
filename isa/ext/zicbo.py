"""Zicbom, Zicboz, Zicbop: cache-block operations (unprivileged manual, chapter 19)."""

from isa.spec import Extension

EXTENSION = Extension("Zicbo", "Cache-block management (Zicbom), zero (Zicboz), prefetch (Zicbop)")
insn = EXTENSION.insn


@insn("cbo.inval", "000000000000 rs1 010 00000 0001111", "system", native=False)
def cbo_inval(m, rs1):
    """Invalidate the cache block."""
    m.cache_block(rs1, "inval")


@insn("cbo.clean", "000000000001 rs1 010 00000 0001111", "system", native=False)
def cbo_clean(m, rs1):
    """Write the cache block back."""
    m.cache_block(rs1, "clean")


@insn("cbo.flush", "000000000010 rs1 010 00000 0001111", "system", native=False)
def cbo_flush(m, rs1):
    """Write the cache block back and invalidate it."""
    m.cache_block(rs1, "flush")


@insn("cbo.zero", "000000000100 rs1 010 00000 0001111", "store", native=False)
def cbo_zero(m, rs1):
    """Store zeros to the whole cache block."""
    m.cache_block(rs1, "zero")


@insn("prefetch.i", "imm[11:5] 00000 rs1 110 00000 0010011", "alu")
def prefetch_i():
    """Hint that a block will be fetched; like its kind an `ori` into x0, and without effect."""
    return None


@insn("prefetch.r", "imm[11:5] 00001 rs1 110 00000 0010011", "alu")
def prefetch_r():
    """Hint that a block will be loaded."""
    return None


@insn("prefetch.w", "imm[11:5] 00011 rs1 110 00000 0010011", "alu")
def prefetch_w():
    """Hint that a block will be stored to."""
    return None
