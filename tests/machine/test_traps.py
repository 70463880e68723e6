"""Traps and interrupts: where they go, what they save, and how they return."""

import pytest

from isa.causes import Interrupt
from isa.csrs import CSR_NUMBERS
from isa.modes import M, S, U
from tests.machine.harts import (
    FS,
    MIE,
    MPIE,
    MPP_M,
    MPP_S,
    MPRV,
    RAM_AT,
    SIE,
    SPIE,
    SPP,
    SUM,
    hart_in,
    value,
)

XL = 0xA_00000000  # UXL and SXL: always 64 bits
STVEC, MTVEC = 0x8000_1000, 0x8000_2000
PC = 0x8000_0040


def trapped(mode, mstatus, cause, *, interrupt=False, medeleg=0, mideleg=0, vectored=0):
    hart = hart_in(
        mode,
        extensions=["Sscofpmf"],
        mstatus=mstatus,
        medeleg=medeleg,
        mideleg=mideleg,
        stvec=STVEC | vectored,
        mtvec=MTVEC | vectored,
    )
    hart.pc = PC
    hart.trap(cause, 0x1234, interrupt)
    return hart


def saved(hart, level):
    """(epc, cause, tval) of a mode's trap CSRs."""
    return tuple(value(hart, level + name) for name in ("epc", "cause", "tval"))


@pytest.mark.parametrize(
    "mode, cause, medeleg, to",
    [
        (U, 8, 0, M),
        (U, 8, 1 << 8, S),
        (S, 9, 1 << 9, S),
        (S, 9, 1 << 8, M),
        (M, 11, 0, M),
        (M, 13, 1 << 13, M),  # traps never go down
        (S, 13, 1 << 13, S),
        (U, 13, 1 << 13, S),
        (U, 15, 1 << 13, M),
        (S, 2, 0xB3FF ^ 1 << 2, M),
    ],
)
def test_which_mode_takes_an_exception(mode, cause, medeleg, to):
    hart = trapped(mode, 0, cause, medeleg=medeleg)
    assert hart.mode == to
    assert hart.pc == (STVEC if to == S else MTVEC)
    taker, other = ("s", "m") if to == S else ("m", "s")
    assert saved(hart, taker) == (PC, cause, 0x1234)
    assert saved(hart, other) == (0, 0, 0)


@pytest.mark.parametrize(
    "mode, to, before, after",
    [
        (U, S, 0, 0),
        (U, S, SIE, SPIE),
        (U, S, SIE | SPP | SPIE, SPIE),
        (U, S, SPIE | SPP, 0),
        (S, S, 0, SPP),
        (S, S, SIE, SPP | SPIE),
        (S, S, MIE | MPIE | MPP_M | SUM, MIE | MPIE | MPP_M | SUM | SPP),
        (U, M, MIE | MPP_M, MPIE),
        (S, M, MIE | SIE, MPIE | MPP_S | SIE),
        (M, M, 0, MPP_M),
        (M, M, MIE | MPRV, MPIE | MPP_M | MPRV),
        (M, M, MPIE | SPP | SPIE | SIE, MPP_M | SPP | SPIE | SIE),
    ],
)
def test_mstatus_after_trap_entry(mode, to, before, after):
    hart = trapped(mode, before, 2, medeleg=0xFFFF if to == S else 0)
    assert hart.mode == to
    assert value(hart, "mstatus") == after | XL


@pytest.mark.parametrize(
    "mode, before, to, after",
    [
        (S, SPIE, U, SIE | SPIE),
        (S, SPP | SPIE, S, SIE | SPIE),
        (S, SPP | SIE, S, SPIE),
        (S, SIE | MPRV | MPP_S, U, SPIE | MPP_S),  # memory is the new mode's again
        (M, SPP | MPRV | MPP_M, S, SPIE | MPP_M),  # M-mode may execute sret too
    ],
)
def test_sret_undoes_the_entry(mode, before, to, after):
    hart = hart_in(mode, mstatus=before, sepc=PC)
    hart.sret()
    assert (hart.pc, hart.mode, value(hart, "mstatus")) == (PC, to, after | XL)


@pytest.mark.parametrize(
    "before, to, after",
    [
        (MPIE, U, MIE | MPIE),
        (MPIE | MPP_S, S, MIE | MPIE),
        (MIE | MPP_S | MPRV, S, MPIE),
        (MPP_M | MPRV, M, MPIE | MPRV),  # back in M-mode MPRV stays
        (MPP_S | SIE | SPIE | SPP, S, MPIE | SIE | SPIE | SPP),
    ],
)
def test_mret_undoes_the_entry(before, to, after):
    hart = hart_in(M, mstatus=before, mepc=PC)
    hart.mret()
    assert (hart.pc, hart.mode, value(hart, "mstatus")) == (PC, to, after | XL)


@pytest.mark.parametrize("mode", [U, S, M])
@pytest.mark.parametrize("enabled", [0, SIE | MIE | FS])
@pytest.mark.parametrize("medeleg", [0, 0xFFFF])
def test_a_return_leads_back_to_where_the_trap_came_from(mode, enabled, medeleg):
    hart = trapped(mode, enabled, 3, medeleg=medeleg)
    hart.sret() if hart.mode == S else hart.mret()
    assert (hart.pc, hart.mode) == (PC, mode)
    assert value(hart, "mstatus") & (SIE | MIE | FS) == enabled


@pytest.mark.parametrize(
    "vectored, cause, interrupt, offset",
    [
        (0, 5, True, 0),
        (1, 5, True, 20),
        (1, 5, False, 0),  # exceptions go to the base
        (1, 13, True, 52),
        (1, 15, False, 0),
    ],
)
@pytest.mark.parametrize("to", [S, M])
def test_vectored_interrupts_go_by_their_number(to, vectored, cause, interrupt, offset):
    delegated = 0xFFFF if to == S else 0
    hart = trapped(
        U,
        0,
        cause,
        interrupt=interrupt,
        medeleg=delegated,
        mideleg=delegated,
        vectored=vectored,
    )
    assert hart.mode == to
    assert hart.pc == (STVEC if to == S else MTVEC) + offset
    code = value(hart, "scause" if to == S else "mcause")
    assert code == cause | (1 << 63 if interrupt else 0)


SSI, MSI, STI, MTI, SEI, MEI, LCOFI = (1 << n for n in (1, 3, 5, 7, 9, 11, 13))
ALL = SSI | MSI | STI | MTI | SEI | MEI | LCOFI
DELEGATED = SSI | STI | SEI | LCOFI


@pytest.mark.parametrize(
    "mode, mstatus, mip, mie, mideleg, taken, to",
    [
        # nothing pending, nothing enabled
        (U, MIE | SIE, 0, ALL, DELEGATED, None, U),
        (U, MIE | SIE, ALL, 0, DELEGATED, None, U),
        # a mode's own enable counts in that mode, not below it
        (M, 0, ALL, ALL, 0, None, M),
        (M, MIE, ALL, ALL, 0, 11, M),
        (S, 0, MTI, ALL, DELEGATED, 7, M),
        (U, 0, MTI, ALL, DELEGATED, 7, M),
        (S, 0, STI, ALL, DELEGATED, None, S),
        (S, SIE, STI, ALL, DELEGATED, 5, S),
        (U, 0, STI, ALL, DELEGATED, 5, S),
        # interrupts of less privileged modes don't happen
        (M, MIE | SIE, STI, ALL, DELEGATED, None, M),
        # not delegated: M-mode's, also S-mode's own
        (M, MIE, STI, ALL, 0, 5, M),
        (S, MIE | SIE, SSI, ALL, STI, 1, M),
        # priority: those for M-mode first; external, software, timer; overflow last
        (S, SIE, ALL, ALL, DELEGATED, 11, M),
        (S, SIE, ALL ^ MEI, ALL, DELEGATED, 3, M),
        (S, SIE, ALL ^ MEI ^ MSI, ALL, DELEGATED, 7, M),
        (S, SIE, DELEGATED, ALL, DELEGATED, 9, S),
        (S, SIE, DELEGATED ^ SEI, ALL, DELEGATED, 1, S),
        (S, SIE, STI | LCOFI, ALL, DELEGATED, 5, S),
        (S, SIE, LCOFI, ALL, DELEGATED, 13, S),
        (S, SIE, SEI | STI, ALL, DELEGATED ^ STI, 5, M),
        # only what is both pending and enabled
        (U, 0, SEI | STI, STI, DELEGATED, 5, S),
    ],
)
def test_which_interrupt_is_taken(mode, mstatus, mip, mie, mideleg, taken, to):
    enables = {"mie": mie, "mideleg": mideleg, "stvec": STVEC, "mtvec": MTVEC}
    hart = hart_in(mode, extensions=["Sscofpmf"], mstatus=mstatus, **enables)
    hart.csrs.words[CSR_NUMBERS["mip"]] = mip  # as devices do
    hart.pc = PC
    assert hart.pending_interrupt() == (None if taken is None else Interrupt(taken))
    assert hart.interrupt() == (taken is not None)
    assert hart.mode == to
    if taken is None:
        assert hart.pc == PC
    else:
        assert saved(hart, "s" if to == S else "m") == (PC, 1 << 63 | taken, 0)
        assert hart.pc == (STVEC if to == S else MTVEC)


def test_the_timer_interrupts_u_mode_when_the_time_has_come():
    hart = hart_in(U, menvcfg=1 << 63, mideleg=STI, mie=STI, stimecmp=100, stvec=STVEC, sscratch=7)
    hart.idle_until(9_999)
    assert not hart.interrupt()
    hart.idle_until(10_000)
    assert hart.interrupt()
    assert (hart.mode, hart.pc) == (S, STVEC)
    assert value(hart, "scause") == 1 << 63 | 5
    assert not hart.interrupt()  # SIE is off in the handler
    hart.set_csr(CSR_NUMBERS["stimecmp"], 200)
    hart.sret()
    assert not hart.interrupt()


def test_a_software_interrupt_is_pending_until_it_is_cleared():
    hart = hart_in(S, mstatus=SIE, mideleg=SSI, mie=SSI, stvec=STVEC)
    hart.write_csr(CSR_NUMBERS["sip"], SSI)
    assert hart.interrupt()
    assert value(hart, "scause") == 1 << 63 | 1
    hart.write_csr(CSR_NUMBERS["sip"], 0)
    hart.sret()
    assert not hart.interrupt()


def test_a_reservation_outlives_traps_and_returns():
    hart = hart_in(U, medeleg=0xFFFF, stvec=STVEC)
    hart.reservation = RAM_AT
    hart.trap(13, 0x1000)
    assert hart.reservation == RAM_AT
    hart.sret()
    assert hart.reservation == RAM_AT
    hart.reservation = None
    assert hart.reservation is None
