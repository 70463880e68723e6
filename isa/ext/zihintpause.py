"""Zihintpause: the pause hint (unprivileged manual, chapter 8)."""

from isa.spec import Extension

EXTENSION = Extension("Zihintpause", "Pause hint")
insn = EXTENSION.insn


@insn("pause", "0000 0001 0000 00000 000 00000 0001111", "fence")
def pause():
    """Retire slowly for a while, in a spin loop: a fence that orders nothing."""
    return None
