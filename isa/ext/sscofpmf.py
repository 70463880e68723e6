"""Sscofpmf: counters interrupt when they overflow, and count only in some modes.

(Privileged manual, the extension's chapter.) OF is both: what has overflowed, and that it will not
interrupt again. All overflows share one interrupt, of bit 13.
"""

from isa.counting import FIRST, INHIBIT_NAMES, INHIBITS, LAST
from isa.csr import bits
from isa.modes import virtual
from isa.spec import Extension

EXTENSION = Extension("Sscofpmf", "Count overflow and mode-based filtering")
extend = EXTENSION.extend

for n in range(FIRST, LAST + 1):
    name = f"mhpmevent{n}"
    extend(name, fields={"OF": bits(63)})
    for mode, bit in INHIBITS.items():
        needs = ("H",) if virtual(mode) else ()
        extend(name, needs=needs, fields={INHIBIT_NAMES[mode]: bits(bit)})
extend("mip", fields={"LCOFIP": bits(13)})
extend("mie", fields={"LCOFIE": bits(13)})
extend("mideleg", fields={"LCOFI": bits(13)})
extend("vsip", fields={"LCOFIP": bits(13)})
extend("vsie", fields={"LCOFIE": bits(13)})

EXTENSION.csr(
    "scountovf",
    0xDA0,
    "Which counters have overflowed: the OF bits of those that the mode may read.",
    fields={"OF": bits(LAST, FIRST, writable=False)},
)
