"""Where traps go, and what taking and leaving them does to mstatus."""

from __future__ import annotations

from itertools import product

import pytest

from isa import routing
from isa.causes import PRIORITY, Cause, Interrupt
from isa.modes import VS, VU, M, S, U
from isa.routing import (
    claim,
    enter,
    enter_host,
    guest_view,
    handler,
    leave,
    pending,
    renumbered,
    route,
)

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


# With the hypervisor extension (chapter 8).

VSSI, VSTI, VSEI, SGEI = (1 << n for n in (2, 6, 10, 12))
MPV, GVA, SPV, SPVP, HGVA = 1 << 39, 1 << 38, 1 << 7, 1 << 8, 1 << 6
FROM_VS = 0x1444  # of mideleg: always delegated
ANY = (U, S, M, VU, VS)


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("mode, m, h", [*product(ANY, (0, 1), (0, 1))])
def test_exceptions_go_to_vs_mode_if_both_delegate_them_and_v_is_1(cause, mode, m, h):
    """8.2.2: a trap delegated to HS by medeleg is further delegated if V=1 and hedeleg is set."""
    expected = M if mode == M or not m else VS if h and mode in (VS, VU) else S
    assert route(cause, False, mode, m << cause, 0, h << cause, 0) == expected


@pytest.mark.parametrize("number, seen", [(2, 1), (6, 5), (10, 9), (13, 13), (12, 12), (5, 5)])
def test_vs_mode_sees_its_interrupts_by_the_supervisors_numbers(number, seen):
    assert renumbered(number) == seen


@pytest.mark.parametrize(
    "mode, mstatus, ready, mideleg, hideleg, vsstatus, guest, taken",
    [
        # HS-mode takes what is delegated to it: from V=1 always, in HS-mode with SIE
        (VS, 0, STI, 0x2222, 0, 0, 0, (S, 5)),
        (VU, 0, STI, 0x2222, 0, 0, 0, (S, 5)),
        (VS, 0, VSTI, FROM_VS, 0, 0, 0, (S, 6)),
        (S, 0, VSTI, FROM_VS, 0, 0, 0, None),
        (S, SIE, VSTI, FROM_VS, 0, 0, 0, (S, 6)),
        (U, 0, SGEI, FROM_VS, 0, 0, 0, (S, 12)),
        # what hideleg delegates never traps to HS
        (S, SIE, VSTI, FROM_VS, 0x444, 0, STI, None),
        (U, 0, VSTI, FROM_VS, 0x444, 0, STI, None),
        # VS-mode takes its own in VU, and in VS with vsstatus.SIE, and only there
        (VU, 0, VSTI, FROM_VS, 0x444, 0, STI, (VS, 5)),
        (VS, SIE, VSTI, FROM_VS, 0x444, 0, STI, None),
        (VS, 0, VSTI, FROM_VS, 0x444, SIE, STI, (VS, 5)),
        (M, SIE | MIE, VSTI, FROM_VS, 0x444, SIE, STI, None),
        # more privileged modes go first
        (VS, 0, VSTI | STI, 0x3666, 0x444, SIE, STI, (S, 5)),
        (VS, 0, MTI | VSEI, FROM_VS, 0x444, SIE, SEI, (M, 7)),
        # priority in HS: SEI SSI STI SGEI VSEI VSSI VSTI LCOFI
        (VS, 0, 0x3666, 0x3666, 0, 0, 0, (S, 9)),
        (VS, 0, 0x3466 ^ SSI, 0x3666, 0, 0, 0, (S, 5)),
        (VS, 0, SGEI | VSEI | VSSI | VSTI | LCOFI, 0x3666, 0, 0, 0, (S, 12)),
        (VS, 0, VSEI | VSSI | VSTI | LCOFI, 0x3666, 0, 0, 0, (S, 10)),
        (VS, 0, VSSI | VSTI | LCOFI, 0x3666, 0, 0, 0, (S, 2)),
        (VS, 0, VSTI | LCOFI, 0x3666, 0, 0, 0, (S, 6)),
        (VS, 0, LCOFI, 0x3666, 0, 0, 0, (S, 13)),
        # and in VS: SEI SSI STI LCOFI
        (VU, 0, 0, 0x3666, 0, 0, SEI | SSI | STI | LCOFI, (VS, 9)),
        (VU, 0, 0, 0x3666, 0, 0, SSI | STI | LCOFI, (VS, 1)),
        (VU, 0, 0, 0x3666, 0, 0, LCOFI, (VS, 13)),
        # counter overflow delegated by hideleg: a host's waits while V=0
        (S, SIE, LCOFI, 0x3666, LCOFI, 0, LCOFI, None),
        (VU, 0, LCOFI, 0x3666, LCOFI, 0, LCOFI, (VS, 13)),
    ],
)
def test_which_mode_takes_an_interrupt(
    mode, mstatus, ready, mideleg, hideleg, vsstatus, guest, taken
):
    assert claim(mode, mstatus, ready, ready, mideleg, hideleg, vsstatus, guest) == taken


@pytest.mark.parametrize(
    "shared, own, mideleg, hideleg, hvien, seen",
    [
        (0x3666, 0, 0x3666, 0, 0, 0),  # 8.2.12: zero unless hideleg delegates it
        (0x0444, 0, 0x3666, 0x444, 0, 0x222),
        (0x0040, 0, 0x3666, 0x444, 0, 0x020),
        (0x0444, 0, 0x3666, 0x040, 0, 0x020),
        (LCOFI, 0, 0x3666, LCOFI, 0, LCOFI),  # Shlcofideleg: sip's own
        (LCOFI, 0, 0x1666, LCOFI, 0, 0),  # which sip has not without mideleg
        (LCOFI, 0, 0x3666, 0, LCOFI, 0),  # hvien: hvip's
        (0, LCOFI, 0x3666, 0, LCOFI, LCOFI),
        (0, LCOFI, 0x3666, LCOFI, LCOFI, 0),  # hideleg comes first
        (0, LCOFI, 0x3666, 0, 0, 0),
    ],
)
def test_what_vs_mode_sees_of_interrupts(shared, own, mideleg, hideleg, hvien, seen):
    assert guest_view(shared, own, mideleg, hideleg, hvien) == seen


@pytest.mark.parametrize("mode, address", [*product(ANY, (False, True))])
def test_a_trap_to_machine_mode_stacks_v(mode, address):
    """8.4.1: MPV and MPP are the mode, GVA whether mtval is a guest virtual address."""
    after = enter(M, mode, MPV | GVA | 3 << 11, address)
    assert after == (mode & 3) << 11 | (MPV if mode in (VS, VU) else 0) | (GVA if address else 0)


@pytest.mark.parametrize(
    "mode, address, before, after",
    [
        (VS, False, 0, SPV | SPVP),
        (VU, False, SPVP, SPV),
        (VU, True, 0, SPV | HGVA),
        (S, False, SPV | SPVP | HGVA, SPVP),  # SPVP is a guest's: it stays (8.6.2)
        (U, True, SPV, HGVA),  # of HLV in U-mode
    ],
)
def test_a_trap_to_hs_mode_stacks_v(mode, address, before, after):
    assert enter_host(mode, before, address) == after
    assert enter(S, mode, MPV | GVA, address) == MPV | GVA | (SPP if mode & 1 else 0)


@pytest.mark.parametrize("mode", (VU, VS))
def test_a_trap_to_vs_mode_stacks_its_enable_and_the_level(mode):
    assert enter(VS, mode, SIE) == SPIE | (SPP if mode == VS else 0)
    assert leave(VS, SPIE | (SPP if mode == VS else 0)) == (mode, SIE | SPIE)


@pytest.mark.parametrize("mpp, mpv", [*product((U, S, M), (0, MPV))])
def test_mret_returns_to_v_unless_to_machine_mode(mpp, mpv):
    """8.6.5: MRET sets V to MPV unless MPP=3, in which case V stays 0, and clears MPV."""
    to, status = leave(M, mpp << 11 | mpv | MPRV)
    assert to == (M if mpp == M else mpp | (4 if mpv else 0))
    assert status == MPIE | (MPRV if mpp == M else 0)


@pytest.mark.parametrize("spp, spv", [*product((U, S), (False, True))])
def test_sret_in_hs_mode_returns_to_v(spp, spv):
    assert leave(S, spp << 8 | MPRV, spv) == (spp | (4 if spv else 0), SPIE)


# AIA 6.3.3 (vstopi): candidates are the external interrupt of vsip and vsie, and either the others
# of those or, with VTI, the one that hvictl names; IPRIO and DPR say which of two goes first.
VTI, DPR, EXTERNAL = 1 << 30, 1 << 9, 1 << 9
NOTHING = 9 << 16  # in IID


@pytest.mark.parametrize(
    "ready, hvictl, taken",
    [
        (0, 0, None),
        (0, 5 << 16, None),  # IID counts with VTI only
        (1 << 1 | 1 << 5, 0, 1),
        (1 << 1 | EXTERNAL, 0, 9),
        (0, VTI | 5 << 16, 5),
        (0, VTI | 35 << 16, 35),  # a number that the hart has no interrupt for
        (0, VTI, 0),
        (0, VTI | NOTHING, None),
        (1 << 1 | 1 << 5 | 1 << 13, VTI | NOTHING, None),
        (1 << 1 | EXTERNAL, VTI | NOTHING, 9),
        (1 << 1, VTI | 13 << 16, 13),
        (EXTERNAL, VTI | 13 << 16, 13),
        (EXTERNAL, VTI | 1 << 16 | DPR, 9),
        (0, VTI | 1 << 16 | DPR, 1),
        (EXTERNAL, VTI | 1 << 16 | DPR | 255, 1),  # before the external interrupt's 256
    ],
)
def test_which_interrupt_is_first_for_vs_mode(ready, hvictl, taken):
    assert routing.guest_interrupt(ready, hvictl) == taken


@pytest.mark.parametrize(
    "mode, enabled, taken",
    [(VU, 0, True), (VS, 0, False), (VS, 2, True), (U, 2, False), (S, 2, False), (M, 2, False)],
)
def test_an_interrupt_of_hvictl_waits_for_vs_modes_enable_and_for_v(mode, enabled, taken):
    found = claim(mode, 0, 0, 0, 0, vsstatus=enabled, hvictl=VTI | 13 << 16)
    assert found == ((VS, 13) if taken else None)
