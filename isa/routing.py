"""Where traps go, and what taking and leaving them changes: pure functions over CSR values.

With the hypervisor extension the virtual modes VS and VU are among the modes; a hart without it
is never in them, and gives zeros for hedeleg and hideleg.
"""

from __future__ import annotations

from isa.causes import PRIORITY, Cause, Interrupt
from isa.modes import BELOW, VIRTUAL, VS, VU, M, Mode, S, virtual
from isa.record import Record


class Frame(Record):
    """What belongs to a mode that takes traps: its CSRs, and the fields of its status.

    The status is mstatus for S and M, and vsstatus for VS.
    """

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
    VS: Frame("vsepc", "vscause", "vstval", "vstvec", ie=1, pie=5, pp=8, pp_width=1),
}
MPRV = 1 << 17
MSTATUS_GVA, MPV = 1 << 38, 1 << 39
HSTATUS_GVA, SPV, SPVP = 1 << 6, 1 << 7, 1 << 8
INTERRUPT = 1 << 63  # of mcause and scause
# VS-mode's interrupts as the hart numbers them; it sees them as the supervisor's, one lower.
VS_INTERRUPTS = (
    1 << Interrupt.VIRTUAL_SUPERVISOR_SOFTWARE
    | 1 << Interrupt.VIRTUAL_SUPERVISOR_TIMER
    | 1 << Interrupt.VIRTUAL_SUPERVISOR_EXTERNAL
    | 1 << Interrupt.VIRTUAL_SUPERVISOR_COUNTER_OVERFLOW
)
LCOFI = 1 << Interrupt.COUNTER_OVERFLOW
VTI, IID_AT, DPR = 1 << 30, 16, 1 << 9  # of hvictl
VSLCOFI = 1 << Interrupt.VIRTUAL_SUPERVISOR_COUNTER_OVERFLOW
# Exceptions whose tval is an address (privileged manual 3.1.16).
ADDRESSED = frozenset(Cause) - {
    Cause.ILLEGAL_INSTRUCTION,
    Cause.VIRTUAL_INSTRUCTION,
    Cause.ENVIRONMENT_CALL_FROM_U,
    Cause.ENVIRONMENT_CALL_FROM_S,
    Cause.ENVIRONMENT_CALL_FROM_VS,
    Cause.ENVIRONMENT_CALL_FROM_M,
}
# What a trap writes to htinst when an access by VS-stage translation itself faults: a pseudo-
# instruction, here for a read of 64 bits (8.6.3). A and D bits are never written.
READS_TABLE = 0x3000


def route(
    cause: int,
    interrupt: bool,
    mode: int,
    medeleg: int,
    mideleg: int,
    hedeleg: int = 0,
    hideleg: int = 0,
) -> Mode:
    """The mode that takes a trap: M, unless that delegates it and it comes from below; then S, or
    VS if that delegates it in turn and it comes from VS or VU (8.2.2)."""
    if mode == M or not (mideleg if interrupt else medeleg) >> cause & 1:
        return M
    if mode < VIRTUAL:
        return S
    return VS if (hideleg if interrupt else hedeleg) >> cause & 1 else S


def renumbered(cause: int) -> int:
    """An interrupt's number as VS-mode sees it: its own are the supervisor's there (8.2.2)."""
    return cause - 1 if VS_INTERRUPTS >> cause & 1 else cause


def guest_view(shared: int, own: int, mideleg: int, hideleg: int, hvien: int) -> int:
    """vsip from mip (`shared`) and hvip (`own`), or vsie from mie and what it alone holds.

    Delegated interrupts show by the supervisor's numbers (8.2.12). Counter overflow is the
    hart's where hideleg has it (Shlcofideleg), and where only hvien has it an interrupt of its own;
    but first comes the guest's own that hideleg may have (Xrvpt).
    """
    view = (shared & hideleg & VS_INTERRUPTS) >> 1
    if hideleg & VSLCOFI:
        return view
    if hideleg & LCOFI:
        return view | shared & mideleg & LCOFI
    return view | own & hvien & LCOFI


def guest_interrupt(ready: int, hvictl: int = 0) -> int | None:
    """The interrupt that VS-mode would take first, by the number that it sees (AIA, "vstopi").

    `ready` is vsip & vsie. With hvictl.VTI only the external interrupt comes from there, and the
    other is hvictl's, unless that says external as well.
    """
    external = 1 << Interrupt.SUPERVISOR_EXTERNAL
    if hvictl & VTI:
        number = hvictl >> IID_AT & 0xFFF
        # The external interrupt has priority 256 here. 0 leaves it to DPR which of them is first.
        last = hvictl & DPR and not hvictl & 0xFF
        if number != Interrupt.SUPERVISOR_EXTERNAL and not (ready & external and last):
            return number
        ready &= external
    return next((which for which in PRIORITY if ready >> which & 1), None)


def claim(
    mode: int,
    mstatus: int,
    mip: int,
    mie: int,
    mideleg: int,
    hideleg: int = 0,
    vsstatus: int = 0,
    guest: int = 0,
    hvictl: int = 0,
) -> tuple[Mode, Interrupt] | None:
    """(the mode that takes it, the interrupt) before the next instruction (3.1.9, 8.2.2).

    A mode's own interrupts wait for its enable bit, those of less privileged modes do not happen
    in it, and those of more privileged modes always do. `guest` is vsip & vsie; the number of an
    interrupt for VS is the one that it sees.
    """
    ready = mip & mie
    delegated = mideleg & ~hideleg
    for to, here in ((M, ready & ~mideleg), (S, ready & delegated)):
        if here and (mode in BELOW[to] or (mode == to and mstatus >> FRAMES[to].ie & 1)):
            return to, next(which for which in PRIORITY if here >> which & 1)
    if mode == VU or (mode == VS and vsstatus >> FRAMES[VS].ie & 1):
        which = guest_interrupt(guest, hvictl)
        if which is not None:
            return VS, which
    return None


def pending(mode: int, mstatus: int, mip: int, mie: int, mideleg: int) -> Interrupt | None:
    """The interrupt that is taken before the next instruction, without the virtual modes."""
    found = claim(mode, mstatus, mip, mie, mideleg)
    return found and found[1]


def enter(to: int, mode: int, status: int, guest_address: bool = False) -> int:
    """The status of `to` once a trap from `mode` is taken there.

    `guest_address`: its tval is a guest virtual address. mstatus has that, and V, for M alone.
    """
    frame = FRAMES[to]
    enabled = status >> frame.ie & 1
    previous = mode & (1 << frame.pp_width) - 1
    status &= ~(1 << frame.ie | 1 << frame.pie | (1 << frame.pp_width) - 1 << frame.pp)
    status |= enabled << frame.pie | previous << frame.pp
    if to == M:
        status &= ~(MPV | MSTATUS_GVA)
        status |= (MPV if virtual(mode) else 0) | (MSTATUS_GVA if guest_address else 0)
    return status


def enter_host(mode: int, hstatus: int, guest_address: bool) -> int:
    """hstatus once a trap from `mode` is taken to HS: SPVP is a guest's level, or stays (8.6.2)."""
    if virtual(mode):
        hstatus = hstatus & ~SPVP | SPV | (SPVP if mode == VS else 0)
    else:
        hstatus &= ~SPV
    return hstatus & ~HSTATUS_GVA | (HSTATUS_GVA if guest_address else 0)


def leave(of: int, status: int, previous_virtual: bool = False) -> tuple[Mode, int]:
    """(the mode returned to, the status) after mret (of M) or sret (of S or VS).

    Of S, `previous_virtual` is hstatus.SPV, which the return clears.
    """
    frame = FRAMES[of]
    level = status >> frame.pp & (1 << frame.pp_width) - 1
    if of == M:
        previous_virtual = bool(status & MPV) and level != M
        status &= ~MPV
    to = Mode(level | VIRTUAL if previous_virtual or of == VS else level)
    enabled = status >> frame.pie & 1
    status &= ~(1 << frame.ie | (1 << frame.pp_width) - 1 << frame.pp)
    status |= enabled << frame.ie | 1 << frame.pie
    return to, status if to == M or of == VS else status & ~MPRV


def handler(tvec: int, cause: int, interrupt: bool) -> int:
    """The address where a trap's handler starts: the base, or by cause for vectored interrupts."""
    base = tvec & ~3
    return base + 4 * cause if interrupt and tvec & 3 == 1 else base
