"""Sstc: supervisor-mode timer interrupts (privileged manual, chapter 15)."""

from isa.csr import bits
from isa.modes import M
from isa.spec import Extension

EXTENSION = Extension("Sstc", "Supervisor-mode timer interrupts")
csr = EXTENSION.csr


def _timer_granted(mode, read):
    """S-mode has a timer where menvcfg.STCE gives it one and mcounteren.TM lets it see the time."""
    return mode == M or bool(read("menvcfg") >> 63 and read("mcounteren") & 1 << 1)


csr(
    "stimecmp",
    0x14D,
    "mip.STIP is set while the time is at or past this.",
    fields={"time": bits(63, 0)},
    reset=(1 << 64) - 1,
    visible=_timer_granted,
)
