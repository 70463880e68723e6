"""Where traps go, and what taking and leaving them changes: pure functions over CSR values."""

from __future__ import annotations

from isa.causes import PRIORITY, Interrupt
from isa.modes import M, Mode, S
from isa.record import Record


class Frame(Record):
    """What belongs to a mode that takes traps: its CSRs, and its fields of mstatus."""

    epc: str
    cause: str
    tval: str
    tvec: str
    ie: int  # bit numbers: interrupt enable, its previous value, and the previous mode
    pie: int
    pp: int
    pp_width: int


FRAMES = {
    S: Frame("sepc", "scause", "stval", "stvec", ie=1, pie=5, pp=8, pp_width=1),
    M: Frame("mepc", "mcause", "mtval", "mtvec", ie=3, pie=7, pp=11, pp_width=2),
}
MPRV = 1 << 17
INTERRUPT = 1 << 63  # of mcause and scause


def route(cause: int, interrupt: bool, mode: int, medeleg: int, mideleg: int) -> Mode:
    """The mode that takes a trap: S if it is delegated and comes from S or U, else M."""
    delegated = (mideleg if interrupt else medeleg) >> cause & 1
    return S if delegated and mode != M else M


def pending(mode: int, mstatus: int, mip: int, mie: int, mideleg: int) -> Interrupt | None:
    """The interrupt that is taken before the next instruction (privileged manual 3.1.9).

    A mode's own interrupts wait for its enable bit, those of less privileged modes do not happen
    in it, and those of more privileged modes always do.
    """
    ready = mip & mie
    if not ready:
        return None
    for to, mask in ((M, ~mideleg), (S, mideleg)):
        enabled = mode < to or (mode == to and mstatus >> FRAMES[to].ie & 1)
        if enabled and ready & mask:
            return next(which for which in PRIORITY if ready & mask & 1 << which)
    return None


def enter(to: int, mode: int, mstatus: int) -> int:
    """mstatus once a trap from `mode` is taken to mode `to`."""
    frame = FRAMES[to]
    enabled = mstatus >> frame.ie & 1
    mstatus &= ~(1 << frame.ie | 1 << frame.pie | (1 << frame.pp_width) - 1 << frame.pp)
    return mstatus | enabled << frame.pie | mode << frame.pp


def leave(of: int, mstatus: int) -> tuple[Mode, int]:
    """(the mode returned to, mstatus) after mret (of M) or sret (of S)."""
    frame = FRAMES[of]
    to = Mode(mstatus >> frame.pp & (1 << frame.pp_width) - 1)
    enabled = mstatus >> frame.pie & 1
    mstatus &= ~(1 << frame.ie | (1 << frame.pp_width) - 1 << frame.pp)
    mstatus |= enabled << frame.ie | 1 << frame.pie
    return to, mstatus if to == M else mstatus & ~MPRV


def handler(tvec: int, cause: int, interrupt: bool) -> int:
    """The address where a trap's handler starts: the base, or by cause for vectored interrupts."""
    base = tvec & ~3
    return base + 4 * cause if interrupt and tvec & 3 == 1 else base


def counter_visible(number: int, mode: int, mcounteren: int, scounteren: int) -> bool:
    """Whether a mode may read unprivileged counter `number` (0 cycle, 1 time, 2 instret, 3...)."""
    visible = ~0
    if mode < M:
        visible &= mcounteren
    if mode < S:
        visible &= scounteren
    return bool(visible >> number & 1)
