"""Smcdeleg and Ssccfg: M-mode delegates counters to S-mode (privileged manual, their chapter).

Those that mcounteren enables are delegated while menvcfg.CDE is set: S-mode reaches them, without
what is M-mode's alone, by siselect 0x40 + i, and starts and stops them by scountinhibit. A guest
doesn't: that is emulated for it.
"""

from isa.causes import Cause
from isa.counting import FIRST, INHIBITS, LAST
from isa.csr import Part, View, Window, bits
from isa.ext.smcsrind import GUEST, SUPERVISOR
from isa.modes import M, S, virtual
from isa.spec import Extension

EXTENSION = Extension("Smcdeleg", "Counter delegation")
extend = EXTENSION.extend

CDE = 1 << 60  # of menvcfg
FIRST_SELECT, LAST_SELECT = 0x40, 0x5F
MINH = 1 << INHIBITS[M]
COUNTERS = {FIRST_SELECT: "mcycle", FIRST_SELECT + 2: "minstret"} | {
    FIRST_SELECT + n: f"mhpmcounter{n}" for n in range(FIRST, LAST + 1)
}
EVENTS = {FIRST_SELECT + n: f"mhpmevent{n}" for n in range(FIRST, LAST + 1)}


def delegated(reached: dict[int, str], first: int, last: int, configures: bool = False) -> Window:
    """A window on those of the CSRs `reached`, by the select register's value, that are delegated.

    CSRs that configure a counter have MINH, which only M-mode sees.
    """

    def refusal(select, mode, guest, read):
        enabled = read("menvcfg") & CDE
        if guest:
            through = enabled and virtual(mode)
            return Cause.VIRTUAL_INSTRUCTION if through else Cause.ILLEGAL_INSTRUCTION
        if enabled and select in reached and read("mcounteren") >> select - FIRST_SELECT & 1:
            return None
        return Cause.ILLEGAL_INSTRUCTION

    def part(select):
        if not configures:
            return Part(reached[select])
        return Part(
            reached[select],
            show=lambda value: value & ~MINH,
            take=lambda old, new: old & MINH | new & ~MINH,
        )

    return Window(first, last, refusal, part)


for names in (SUPERVISOR, GUEST):
    counters, events, *others = names
    extend(counters, window=delegated(COUNTERS, FIRST_SELECT, LAST_SELECT))
    extend(events, window=delegated(EVENTS, FIRST_SELECT, LAST_SELECT, configures=True))
    for name in others:  # high halves, for RV32 alone, and nothing at all
        extend(name, window=delegated({}, FIRST_SELECT, LAST_SELECT))

extend("menvcfg", fields={"CDE": bits(60)})
EXTENSION.csr(
    "scountinhibit",
    0x120,
    "Which of the delegated counters stand still.",
    view=View("mcountinhibit", gate="mcounteren"),
    visible=lambda mode, read: mode in (M, S) and bool(read("menvcfg") & CDE),
)
# A guest's is emulated as well, once counters are delegated.
extend("scountovf", visible=lambda mode, read: not (virtual(mode) and read("menvcfg") & CDE))
