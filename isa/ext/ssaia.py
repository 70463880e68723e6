"""Ssaia, as far as it filters interrupts for guests (Advanced Interrupt Architecture, chapter 6).

Of the extended interrupts there is one, counter overflow (13): with hvien its pending bit for VS
is one of hvip, and no longer the hart's. With hvictl.VTI the hypervisor decides what interrupts
VS-mode (`routing.guest_interrupt`), which is kept from sip, sie and its timer. There is no
interrupt file, and no priorities but hvictl's.
"""

from isa.csr import bits
from isa.modes import VS
from isa.routing import VTI
from isa.spec import Extension

EXTENSION = Extension("Ssaia", "Interrupt filtering for guests")
csr = EXTENSION.csr

csr(
    "hvien",
    0x608,
    "Which interrupts for VS-mode are hvip's rather than the hart's.",
    fields={"LCOFI": bits(13)},
    needs=("H",),
)
csr(
    "hvictl",
    0x609,
    "How interrupts for VS-mode are told to it.",
    fields={
        "VTI": bits(30),
        "IID": bits(27, 16),
        "DPR": bits(9),
        "IPRIOM": bits(8),
        "IPRIO": bits(7, 0),
    },
    needs=("H",),
)


def _own_interrupts(mode, read):
    """With hvictl.VTI the hypervisor decides about all of VS-mode's interrupts (6.3.3)."""
    return mode != VS or not read("hvictl") & VTI


EXTENSION.extend("hvip", fields={"LCOFIP": bits(13)})
for name in ("mstateen0", "hstateen0"):
    EXTENSION.extend(name, fields={"AIA": bits(59)})
for name in ("sip", "sie"):
    EXTENSION.extend(name, visible=_own_interrupts)
# Nor may the guest take back its timer's interrupt by a later deadline.
EXTENSION.extend("stimecmp", locked=lambda mode, read: not _own_interrupts(mode, read))
