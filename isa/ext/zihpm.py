"""Zihpm: hardware performance counters (unprivileged manual 7.2, privileged manual 3.1.10)."""

from isa.csr import View, bits
from isa.ext.zicntr import enabled
from isa.spec import Extension

EXTENSION = Extension("Zihpm", "Hardware performance counters")
csr = EXTENSION.csr

csr(
    "mhpmcounter{3..31}",
    0xB03,
    "Counts what its mhpmevent selects.",
    fields={"count": bits(63, 0)},
)
csr(
    "mhpmevent{3..31}",
    0x323,
    "What the counter of this number counts; 0 is nothing.",
    fields={"event": bits(55, 0)},
)
for n in range(3, 32):
    csr(
        f"hpmcounter{n}",
        0xC00 + n,
        f"mhpmcounter{n}, for reading.",
        view=View(f"mhpmcounter{n}"),
        visible=enabled(n),
    )
