"""Shlcofideleg: counter overflow interrupts may be delegated to VS-mode."""

from isa.csr import bits
from isa.spec import Extension

EXTENSION = Extension("Shlcofideleg", "Delegation of counter overflow interrupts to VS-mode")
EXTENSION.extend("hideleg", fields={"LCOFI": bits(13)})
