"""Smctr and Ssctr: control transfer records (privileged manual, their chapter).

The last jumps, taken branches, traps and trap returns, in the modes that are enabled. Of what is
optional there are the transfer types' filters, misprediction and cycle counts; not the emulation
of a return-address stack, not-taken branches, nor external traps.
"""

from isa.causes import Cause
from isa.csr import Part, View, Window, bits
from isa.ext.smcsrind import GUEST, SUPERVISOR
from isa.ext.smstateen import granted
from isa.modes import M, virtual
from isa.spec import Extension

EXTENSION = Extension("Smctr", "Control transfer records")
csr = EXTENSION.csr
extend = EXTENSION.extend

CTR = 54  # of mstateen0 and hstateen0
FIRST_SELECT, LAST_SELECT = 0x200, 0x2FF
ENTRY = ("ctrsource", "ctrtarget", "ctrdata")
FILTERS = {
    "EXCINH": 33,
    "INTRINH": 34,
    "TRETINH": 35,
    "TKBRINH": 37,
    "INDCALLINH": 40,
    "DIRCALLINH": 41,
    "INDJMPINH": 42,
    "DIRJMPINH": 43,
    "CORSWAPINH": 44,
    "RETINH": 45,
    "INDLJMPINH": 46,
    "DIRLJMPINH": 47,
}
GUESTS = {name: bits(at) for name, at in {"U": 0, "S": 1, "BPFRZ": 11, **FILTERS}.items()}
OVERFLOW = {"LCOFIFRZ": bits(12)}  # with Sscofpmf
MACHINE_ALONE = 1 << 2 | 1 << 9  # M, and MTE

csr(
    "mctrctl",
    0x34E,
    "In which modes which control transfers are recorded.",
    fields=GUESTS | {"M": bits(2)},
)
csr(
    "sctrctl",
    0x14E,
    "The part of mctrctl that is S-mode's.",
    view=View("mctrctl", (1 << 64) - 1 & ~MACHINE_ALONE),
)
csr(
    "vsctrctl",
    0x24E,
    "In which of the guest's modes which control transfers are recorded.",
    fields=GUESTS,
    needs=("H",),
    stands_for="sctrctl",
)
for name in ("mctrctl", "vsctrctl"):
    extend(name, needs=("Sscofpmf",), fields=OVERFLOW)
csr(
    "sctrdepth",
    0x15F,
    "How many records there are at most: 16 << DEPTH.",
    fields={"DEPTH": bits(2, 0, legal=(0, 1, 2, 3, 4))},
    visible=lambda mode, read: not virtual(mode),
)
csr(
    "sctrstatus",
    0x14F,
    "Where the next record goes, and whether recording is frozen.",
    fields={"WRPTR": bits(7, 0), "FROZEN": bits(31)},
)
for name in ("mstateen0", "hstateen0"):
    extend(name, fields={"CTR": bits(CTR)})
for name in ("sctrctl", "vsctrctl", "sctrdepth", "sctrstatus"):
    extend(name, needs=("Smstateen",), visible=granted(CTR))


def records(part: str | None, gated: bool) -> Window:
    """A window on a part of the records; `gated` by the state enables, where there are such."""

    def refusal(select, mode, guest, read):
        if not gated or mode == M:
            return None
        if not read("mstateen0") >> CTR & 1:
            return Cause.ILLEGAL_INSTRUCTION
        if virtual(mode) and not read("hstateen0") >> CTR & 1:
            return Cause.VIRTUAL_INSTRUCTION
        return None

    def reached(select):
        return Part(part, index=select - FIRST_SELECT)

    return Window(FIRST_SELECT, LAST_SELECT, refusal, reached)


for names in (SUPERVISOR, GUEST):
    for name, part in zip(names, (*ENTRY, None, None, None), strict=True):
        extend(name, window=records(part, gated=False))
        extend(name, needs=("Smstateen",), window=records(part, gated=True))


@EXTENSION.insn("sctrclr", "000100000100 00000 000 00000 1110011", "system", native=False)
def sctrclr(m):
    """Clear all control transfer records."""
    m.need("Smctr")
    m.clear_transfers()
