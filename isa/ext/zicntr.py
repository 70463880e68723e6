"""Zicntr: the base counters (unprivileged manual, chapter 7.1)."""

from isa.counting import counter_visible
from isa.csr import View
from isa.modes import virtual
from isa.spec import Extension

EXTENSION = Extension("Zicntr", "Base counters and timers")
csr = EXTENSION.csr


def enabled(number):
    """Whether a mode sees counter `number`, by mcounteren, hcounteren and scounteren."""

    def visible(mode, read):
        hcounteren = read("hcounteren") if virtual(mode) else 0
        return counter_visible(number, mode, read("mcounteren"), read("scounteren"), hcounteren)

    return visible


csr("cycle", 0xC00, "Cycles executed.", view=View("mcycle"), visible=enabled(0))
csr("time", 0xC01, "Ticks of the real-time clock.", visible=enabled(1))
csr("instret", 0xC02, "Instructions retired.", view=View("minstret"), visible=enabled(2))
