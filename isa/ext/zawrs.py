"""Zawrs: wait on reservation set (unprivileged manual, chapter 15)."""

from isa.spec import Extension

EXTENSION = Extension("Zawrs", "Wait on reservation set")
insn = EXTENSION.insn


@insn("wrs.nto", "000000001101 00000 000 00000 1110011", "system", native=False)
def wrs_nto(m):
    """Wait until the reservation is lost. It may end early for any reason."""
    m.wait_on_reservation(short=False)


@insn("wrs.sto", "000000011101 00000 000 00000 1110011", "system", native=False)
def wrs_sto(m):
    """Wait until the reservation is lost, for a short time at most."""
    m.wait_on_reservation(short=True)
