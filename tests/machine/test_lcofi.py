"""Where the counter overflow interrupt goes: five modes by every bit that routes and gates it.

Tests are named by the manual's normative rules where it has one (Sscofpmf, hypervisor, Smcdeleg).
`taken_by` says the rules again: privileged manual 3.1.9, hypervisor 8.2.2 and 8.2.12, Shlcofideleg,
AIA 6.3.2.
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL
from isa.modes import VS, VU, M, S, U
from tests.machine.harts import hart_in, value

LCOFI = 1 << 13
SIE, MIE = 1 << 1, 1 << 3
INSTRUCTIONS = 2
RATIFIED = tuple(OPTIONAL.keys() - {"Xrvpt"})
MODES = (U, S, M, VU, VS)


def csr(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


def access(hart, mode, name, new=None):
    """Read in a mode, or write."""
    hart.mode = mode
    if new is None:
        return hart.read_csr(CSR_NUMBERS[name])
    hart.write_csr(CSR_NUMBERS[name], new)


def overflow(mode, **csrs):
    """A hart in `mode` whose counter 3 has just wrapped, everything else of these values."""
    hart = hart_in(mode, extensions=RATIFIED, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-1, **csrs)
    hart.charge(1, 1)
    assert value(hart, "scountovf") == 8
    return hart


def taken_by(mode, mie, sie_m, sie_s, sie_vs, mideleg, hideleg, hvip, hvien, vsie):
    """Which mode takes the interrupt, or None. `hvip`: the hypervisor has one pending as well;
    sie_m, sie_s and sie_vs are the enables of mstatus, for M and S, and of vsstatus."""
    if not mideleg:
        if mie and (mode != M or sie_m):
            return M
    elif mie and not hideleg:
        if mode in (U, VU, VS) or (mode == S and sie_s):
            return S
    if mode not in (VU, VS):
        return None
    pending, enabled = (mideleg, mie and mideleg) if hideleg else (hvip and hvien, vsie and hvien)
    if pending and enabled and (mode == VU or sie_vs):
        return VS
    return None


@pytest.mark.parametrize("mode", MODES)
def test_norm_mideleg_op(mode):
    """M, HS or VS by mode, mideleg, hideleg, hvien and hvip; the enables of each level."""
    hart = hart_in(mode, extensions=RATIFIED)
    for bits in product((0, 1), repeat=9):
        mie, sie_m, sie_s, sie_vs, mideleg, hideleg, hvip, hvien, vsie = bits
        hart.mode = M
        csr(hart, "mstatus", sie_m * MIE | sie_s * SIE)
        csr(hart, "vsstatus", sie_vs * SIE)
        csr(hart, "mideleg", LCOFI)
        csr(hart, "hideleg", 0)
        csr(hart, "hvien", LCOFI)
        csr(hart, "vsie", vsie * LCOFI)  # the guest's own while hvien has the bit
        csr(hart, "mideleg", mideleg * LCOFI)
        csr(hart, "hideleg", hideleg * LCOFI)
        csr(hart, "hvien", hvien * LCOFI)
        csr(hart, "hvip", hvip * LCOFI)
        csr(hart, "mie", mie * LCOFI)
        csr(hart, "mip", LCOFI)
        hart.mode = mode
        found = hart.pending_interrupt()
        taken = hart.interrupt()
        expected = taken_by(mode, *bits)
        assert taken == (expected is not None) == (found is not None), bits
        if expected is not None:
            assert hart.mode == expected, bits
            cause = {M: "mcause", S: "scause", VS: "vscause"}[expected]
            assert value(hart, cause) == 1 << 63 | 13, bits


@pytest.mark.parametrize("mode", MODES)
def test_norm_LCOFIP_op(mode):
    """An overflow in any mode makes mip.LCOFIP pending, and sip's if it is delegated."""
    hart = overflow(mode, mideleg=LCOFI)
    assert value(hart, "mip") == LCOFI == value(hart, "sip")
    csr(hart, "mideleg", 0)
    assert (value(hart, "mip"), value(hart, "sip")) == (LCOFI, 0)


@pytest.mark.parametrize("mode", [S, M])
def test_norm_mhpmevent_of_op(mode):
    """Software clears LCOFIP, which leaves OF; and OF, which leaves LCOFIP. Edge (d)."""
    hart = overflow(VS, mideleg=LCOFI)
    access(hart, mode, "sip", 0)
    assert (value(hart, "mip"), value(hart, "scountovf")) == (0, 8)
    hart.charge(100, 100)
    assert value(hart, "mip") == 0
    hart = overflow(VS, mideleg=LCOFI)
    csr(hart, "mhpmevent3", INSTRUCTIONS)
    assert (value(hart, "mip"), value(hart, "scountovf")) == (LCOFI, 0)


def test_an_interrupt_of_a_host_counter_leaves_the_guest_for_hs_mode():
    hart = overflow(VU, mideleg=LCOFI, mie=LCOFI)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "scause")) == (S, 1 << 63 | 13)
    assert value(hart, "hstatus") & 1 << 7  # SPV


# vsip and vsie.


@pytest.mark.parametrize("mideleg, hideleg", [*product((0, LCOFI), repeat=2)])
def test_norm_vsip_vsie_lcofi(mideleg, hideleg):
    """With hideleg[13] vsip.LCOFIP and vsie.LCOFIE are aliases of sip's and sie's; else zero."""
    hart = hart_in(M, extensions=RATIFIED, mideleg=mideleg, hideleg=hideleg, mip=LCOFI, mie=LCOFI)
    shown = LCOFI if mideleg and hideleg else 0
    assert value(hart, "vsip") == access(hart, VS, "sip") == shown
    assert value(hart, "vsie") == access(hart, VS, "sie") == shown
    access(hart, VS, "sip", 0)
    access(hart, VS, "sie", 0)
    assert value(hart, "mip") == value(hart, "mie") == (0 if shown else LCOFI)
    access(hart, VS, "sip", LCOFI)
    access(hart, VS, "sie", LCOFI)
    assert value(hart, "mip") == value(hart, "mie") == LCOFI


def test_without_shlcofideleg_hideleg_has_no_lcofi():
    extensions = [name for name in RATIFIED if name != "Shlcofideleg"]
    hart = hart_in(M, extensions=extensions, hideleg=LCOFI, mideleg=LCOFI, mip=LCOFI, mie=LCOFI)
    assert value(hart, "hideleg") == value(hart, "vsip") == value(hart, "vsie") == 0


def test_norm_Ssccfg_lcofi_hvip_hvien():
    """Edge (h): hvip.LCOFIP set by HS-mode is the guest's; it clears it, and HS-mode sees that."""
    hart = hart_in(S, extensions=RATIFIED, mstateen0=-1, mideleg=LCOFI)
    access(hart, S, "hvien", LCOFI)
    access(hart, S, "hvip", LCOFI)
    access(hart, VS, "sie", LCOFI)
    assert access(hart, VS, "sip") == LCOFI
    assert value(hart, "mip") == value(hart, "mie") == 0  # neither is the hart's
    csr(hart, "vsstatus", SIE)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "vscause")) == (VS, 1 << 63 | 13)
    access(hart, VS, "sip", 0)
    assert access(hart, S, "hvip") == 0


def test_norm_Ssccfg_lcofi_mvip_mvien():
    """They belong to Smaia, which this hart has not: then there are none (0x308, 0x309)."""
    assert not {0x308, 0x309} & hart_in(M, extensions=RATIFIED).csrs.rows.keys()


def test_hideleg_is_switched_while_lcofip_is_pending():
    """Edge (i): what was pending for HS-mode becomes the guest's, and back."""
    hart = hart_in(VS, extensions=RATIFIED, mideleg=LCOFI, mip=LCOFI, mie=LCOFI, vsstatus=SIE)
    csr(hart, "hideleg", LCOFI)
    assert access(hart, VS, "sip") == LCOFI
    csr(hart, "hideleg", 0)
    assert access(hart, VS, "sip") == 0
    csr(hart, "hideleg", LCOFI)
    hart.mode = S
    csr(hart, "mstatus", SIE)
    assert not hart.interrupt()  # the host's sample is lost to it: it waits for the guest
    hart.mode = VS
    assert hart.interrupt() and hart.mode == VS


def test_the_guests_enable_is_the_hosts_with_shlcofideleg():
    """sie.LCOFIE belongs to whoever runs: what the guest writes there the host finds."""
    hart = hart_in(VS, extensions=RATIFIED, mideleg=LCOFI, hideleg=LCOFI)
    access(hart, VS, "sie", LCOFI)
    assert access(hart, S, "sie") == LCOFI


@pytest.mark.parametrize("vti", [0, 1 << 30])
def test_vti_keeps_the_guest_from_its_pending_bit(vti):
    """AIA 6.3.3: accesses to sip and sie in VS-mode are virtual instructions then."""
    hart = hart_in(VS, extensions=RATIFIED, mstateen0=-1, hvien=LCOFI, hvip=LCOFI, hvictl=vti)
    if vti:
        with pytest.raises(Exception, match="cause 22"):
            access(hart, VS, "sip")
    else:
        assert access(hart, VS, "sip") == LCOFI


# Priority.


@pytest.mark.parametrize("others, first", [(0x222, 9), (0x22, 1), (0x20, 5), (0, 13)])
def test_norm_hsint_priority(others, first):
    """LCOFI is the last of an HS-mode's interrupts."""
    hart = hart_in(U, extensions=RATIFIED, mideleg=0x2222, mie=0x2222)
    hart.csrs.words[CSR_NUMBERS["mip"]] = LCOFI | others
    assert hart.pending_interrupt() == first


def test_lcofi_comes_behind_those_of_vs_mode():
    """hsint_priority: SEI SSI STI SGEI VSEI VSSI VSTI LCOFI."""
    hart = hart_in(VU, extensions=RATIFIED, mideleg=LCOFI, mie=0x2444, mip=LCOFI, hvip=0x444)
    for taken in (10, 2, 6):
        assert hart.pending_interrupt() == taken
        csr(hart, "hvip", value(hart, "hvip") & ~(1 << taken))
    assert hart.pending_interrupt() == 13
