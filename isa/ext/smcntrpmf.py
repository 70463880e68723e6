"""Smcntrpmf: cycle and instret count only in some modes (privileged manual, its chapter)."""

from isa.counting import INHIBIT_NAMES, INHIBITS
from isa.csr import bits
from isa.ext.smcdeleg import FIRST_SELECT, delegated
from isa.modes import virtual
from isa.spec import Extension

EXTENSION = Extension("Smcntrpmf", "Cycle and instret privilege mode filtering")

for name, address, counted in (("mcyclecfg", 0x321, "cycle"), ("minstretcfg", 0x322, "instret")):
    fields = {INHIBIT_NAMES[mode]: bits(bit) for mode, bit in INHIBITS.items() if not virtual(mode)}
    EXTENSION.csr(name, address, f"The modes in which {counted} stands still.", fields=fields)
    guests = {INHIBIT_NAMES[mode]: bits(bit) for mode, bit in INHIBITS.items() if virtual(mode)}
    EXTENSION.extend(name, needs=("H",), fields=guests)
CONFIGS = {FIRST_SELECT: "mcyclecfg", FIRST_SELECT + 2: "minstretcfg"}
for name in ("sireg2", "vsireg2"):
    window = delegated(CONFIGS, FIRST_SELECT, FIRST_SELECT + 2, configures=True)
    EXTENSION.extend(name, needs=("Smcdeleg",), window=window)
