"""Sstc: supervisor-mode timer interrupts (privileged manual, chapter 15)."""

from isa.csr import bits
from isa.modes import M, virtual
from isa.spec import Extension

EXTENSION = Extension("Sstc", "Supervisor-mode timer interrupts")
csr = EXTENSION.csr


def _timer_granted(mode, read):
    """A mode has a timer where menvcfg.STCE gives it one and mcounteren.TM lets it see the time.

    In VS-mode henvcfg.STCE and hcounteren.TM must as well.
    """
    if mode == M:
        return True
    granted = bool(read("menvcfg") >> 63 and read("mcounteren") & 1 << 1)
    if virtual(mode):
        granted = granted and bool(read("henvcfg") >> 63 and read("hcounteren") & 1 << 1)
    return granted


csr(
    "stimecmp",
    0x14D,
    "mip.STIP is set while the time is at or past this.",
    fields={"time": bits(63, 0)},
    reset=(1 << 64) - 1,
    visible=_timer_granted,
)
csr(
    "vstimecmp",
    0x24D,
    "hip.VSTIP is set while the guest's time is at or past this, if henvcfg.STCE gives it a timer.",
    fields={"time": bits(63, 0)},
    reset=(1 << 64) - 1,
    visible=_timer_granted,
    needs=("H",),
    stands_for="stimecmp",
)
EXTENSION.extend("henvcfg", fields={"STCE": bits(63)})
