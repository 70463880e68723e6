"""Where traps go, and what taking and leaving them does to mstatus."""

from __future__ import annotations

from itertools import product

import pytest

from isa.causes import PRIORITY, Cause, Interrupt
from isa.modes import M, S, U
from isa.routing import enter, handler, leave, pending, route

SIE, MIE, SPIE, MPIE, SPP, MPRV = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 1 << 17
SSI, MSI, STI, MTI, SEI, MEI, LCOFI = (1 << n for n in (1, 3, 5, 7, 9, 11, 13))


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("mode, delegated", [*product((U, S, M), (False, True))])
def test_exceptions_go_to_supervisor_mode_if_delegated_and_not_from_machine_mode(
    cause, mode, delegated
):
    medeleg = 1 << cause if delegated else 0xFFFF & ~(1 << cause)
    to = route(cause, False, mode, medeleg, 0 if delegated else 0xFFFF)
    assert to == (S if delegated and mode != M else M)


def test_interrupts_are_delegated_by_mideleg():
    assert route(Interrupt.SUPERVISOR_TIMER, True, U, 0, STI) == S
    assert route(Interrupt.SUPERVISOR_TIMER, True, U, STI, 0) == M


@pytest.mark.parametrize(
    "mode, mstatus, mip, mie, mideleg, taken",
    [
        (U, 0, STI, STI, STI, Interrupt.SUPERVISOR_TIMER),  # U never masks those of S
        (S, 0, STI, STI, STI, None),
        (S, SIE, STI, STI, STI, Interrupt.SUPERVISOR_TIMER),
        (S, SIE, STI, 0, STI, None),
        (S, 0, STI, STI, 0, Interrupt.SUPERVISOR_TIMER),  # not delegated: M-mode's, at once
        (M, SIE, STI, STI, STI, None),  # S-mode's do not happen in M
        (M, SIE | MIE, STI, STI, STI, None),
        (M, MIE, MTI, MTI, 0, Interrupt.MACHINE_TIMER),
        (M, 0, MTI, MTI, 0, None),
        (S, 0, MTI, MTI, 0, Interrupt.MACHINE_TIMER),
        (S, SIE, MTI | STI, MTI | STI, STI, Interrupt.MACHINE_TIMER),  # M-mode's first
        (S, SIE, 0xFFFF, LCOFI | STI | SSI | SEI, 0x2222, Interrupt.SUPERVISOR_EXTERNAL),
        (S, SIE, LCOFI | STI, LCOFI | STI, 0x2222, Interrupt.SUPERVISOR_TIMER),
        (S, SIE, LCOFI, LCOFI, 0x2222, Interrupt.COUNTER_OVERFLOW),
        (U, 0, 0, 0xFFFF, 0x2222, None),
    ],
)
def test_which_interrupt_is_taken(mode, mstatus, mip, mie, mideleg, taken):
    assert pending(mode, mstatus, mip, mie, mideleg) == taken


def test_every_interrupt_has_its_place():
    assert set(PRIORITY) == set(Interrupt)


@pytest.mark.parametrize("mode, enabled", [*product((U, S), (False, True))])
def test_a_trap_to_supervisor_mode_stacks_its_enable_and_the_mode(mode, enabled):
    before = MIE | MPIE | (SIE if enabled else SPIE)
    after = MIE | MPIE | (SPIE if enabled else 0) | (SPP if mode == S else 0)
    assert enter(S, mode, before) == after


@pytest.mark.parametrize("mode, enabled", [*product((U, S, M), (False, True))])
def test_a_trap_to_machine_mode_stacks_its_enable_and_the_mode(mode, enabled):
    before = SIE | SPIE | (MIE if enabled else MPIE)
    after = SIE | SPIE | (MPIE if enabled else 0) | mode << 11
    assert enter(M, mode, before) == after


@pytest.mark.parametrize("mode", (U, S, M))
def test_mret_returns_to_the_mode_and_enable_of_before(mode):
    to, status = leave(M, mode << 11 | MPIE | MPRV)
    assert to == mode
    assert status == MIE | MPIE | (MPRV if mode == M else 0)  # MPP is U, the least mode


@pytest.mark.parametrize("mode", (U, S))
def test_sret_returns_to_the_mode_and_enable_of_before(mode):
    assert leave(S, (SPP if mode == S else 0) | SIE | MPRV) == (mode, SPIE)


@pytest.mark.parametrize(
    "tvec, cause, interrupt, address",
    [
        (0x1000, 7, True, 0x1000),
        (0x1001, 7, True, 0x101C),
        (0x1001, 7, False, 0x1000),  # exceptions go to the base even if vectored
    ],
)
def test_where_handlers_start(tvec, cause, interrupt, address):
    assert handler(tvec, cause, interrupt) == address
