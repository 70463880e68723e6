"""Xrvpt, a private extension: counters and their overflow interrupt passed through to a guest.

docs/passthrough.md specifies it. While henvcfg.CDE_VS is set, the counters of which mcounteren and
hcounteren both have the bit are VS-mode's. It reaches them as an S-mode with Ssccfg would; they
count in VS-mode and VU-mode only; and their overflows are an interrupt of its own.
"""

from isa.counting import INHIBITS
from isa.csr import Part, View, Window, bits
from isa.ext.smcdeleg import CDE, COUNTERS, EVENTS, FIRST_SELECT, LAST_SELECT, delegated
from isa.ext.smcntrpmf import CONFIGS
from isa.modes import VS, VU, M, S, U
from isa.spec import Extension

EXTENSION = Extension("Xrvpt", "Passing counters through to a guest (private)")
extend = EXTENSION.extend

CDE_VS = 1 << 60  # of henvcfg
TIME = 1 << 1
FORCED = sum(1 << INHIBITS[mode] for mode in (M, S, U))
# Where a guest finds the filters of its modes, which it takes for S-mode and U-mode.
SHOWN = {INHIBITS[VS]: INHIBITS[S], INHIBITS[VU]: INHIBITS[U]}
HIDDEN = sum(1 << bit for bit in INHIBITS.values())


def guest_counters(read) -> int:
    """The counters that are VS-mode's, by their bits."""
    if not read("menvcfg") & CDE or not read("henvcfg") & CDE_VS:
        return 0
    return read("mcounteren") & read("hcounteren") & ~TIME


def shown(value: int) -> int:
    """What a guest reads of a counter's event and filters."""
    found = value & ~HIDDEN
    for own, seen in SHOWN.items():
        found |= (value >> own & 1) << seen
    return found


def taken(old: int, new: int) -> int:
    """What a guest's write makes of a counter's event and filters: M's, S's and U's stay."""
    found = old & FORCED | new & ~HIDDEN
    for own, seen in SHOWN.items():
        found |= (new >> seen & 1) << own
    return found


def passed_through(reached: dict[int, str], configures: bool, view: bool) -> Window:
    """Smcdeleg's window, with the guest's counters open to VS-mode; with `view` what it gets is
    as a guest sees it."""
    plain = delegated(reached, FIRST_SELECT, LAST_SELECT, configures)

    def refusal(select, mode, guest, read):
        if guest and mode == VS and select in reached:
            if guest_counters(read) >> select - FIRST_SELECT & 1:
                return None
        return plain.refusal(select, mode, guest, read)

    def part(select):
        return Part(reached[select], shown, taken) if configures else Part(reached[select])

    return Window(FIRST_SELECT, LAST_SELECT, refusal, part if view else plain.part)


# Who may, an instruction of VS-mode asks of sireg; what it then reaches is vsireg.
for name, view in (("sireg", False), ("vsireg", True)):
    extend(name, window=passed_through(COUNTERS, False, view))
    extend(f"{name}2", window=passed_through(CONFIGS | EVENTS, True, view))


def _passes(mode, read):
    return mode == VS and bool(read("menvcfg") & CDE and read("henvcfg") & CDE_VS)


extend(
    "henvcfg",
    fields={"CDE_VS": bits(60)},
    open=lambda read: ~CDE_VS | read("menvcfg") & CDE,
)
extend("scountinhibit", admits=_passes)
extend("scountovf", admits=_passes)
EXTENSION.csr(
    "vscountinhibit",
    0x6C0,
    "The guest's scountinhibit: which of its counters stand still.",
    view=View("mcountinhibit", gate=guest_counters),
    visible=lambda mode, read: bool(read("menvcfg") & CDE),
    stands_for="scountinhibit",
)
extend("mideleg", fields={"VSLCOFI": bits(14, value=1)})
extend("mie", fields={"VSLCOFIE": bits(14), "MLCOFIE": bits(15)})
extend("mip", fields={"VSLCOFIP": bits(14), "MLCOFIP": bits(15)})
extend("hideleg", fields={"VSLCOFI": bits(14)})
extend("hvip", fields={"VSLCOFIP": bits(14)})
