"""A hart with the hypervisor extension: what a guest's CSRs are, its traps, interrupts and timers.

Sections are of the privileged manual, chapter 8, where they say nothing else.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL
from isa.modes import VS, VU, M, S, U
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from tests.machine.harts import FS, MPIE, MPRV, MXR, RAM_AT, SIE, SPIE, SPP, SUM, hart_in, value

ONES = (1 << 64) - 1
XL = 0xA_00000000
STVEC, MTVEC, VSTVEC, PC = 0x8000_1000, 0x8000_2000, 0x8000_3000, 0x8000_0040
GVA, MPV, HGVA, SPV, SPVP, VSXL = 1 << 38, 1 << 39, 1 << 6, 1 << 7, 1 << 8, 2 << 32
STCE = 1 << 63
SSI, VSSI, STI, VSTI, SEI, VSEI, SGEI, LCOFI = (1 << n for n in (1, 2, 5, 6, 9, 10, 12, 13))


def guest(mode=VS, extensions=OPTIONAL, **csrs):
    return hart_in(mode, extensions=extensions, **csrs)


def reads(hart, name):
    """What an instruction of the hart's mode reads, or the cause of its trap."""
    try:
        return hart.read_csr(CSR_NUMBERS[name])
    except Trap as trap:
        return "cause", trap.cause


def writes(hart, name, new):
    try:
        hart.write_csr(CSR_NUMBERS[name], new)
    except Trap as trap:
        return "cause", trap.cause


def put(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


# Which extensions a hart has.


def test_a_hart_has_no_hypervisor_extension_unless_it_is_told():
    hart = hart_in(M)
    for name in ("hstatus", "vsstatus", "hgatp", "vstimecmp", "mtval2", "mstateen0", "hvien"):
        assert reads(hart, name) == ("cause", 2)
    assert set(hart.counts) == {U, S, M}


@pytest.mark.parametrize("extensions", [{"Shlcofideleg"}, {"H", "X"}])
def test_an_extension_without_what_it_needs_is_refused(extensions):
    with pytest.raises(ValueError, match="there is no"):
        Hart(Ram(1 << 16), extensions=extensions)


# Substitution (8.2): while V=1 a supervisor CSR's number means its VS CSR.

SUBSTITUTED = "sstatus sie stvec sscratch sepc scause stval sip satp stimecmp".split()


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SUBSTITUTED),
            st.sampled_from([VS, S, M]),
            st.integers(0, ONES),
        ),
        max_size=20,
    )
)
def test_a_guests_supervisor_csrs_are_its_own(steps):
    """What VS-mode writes by a name is what HS-mode finds under the VS name, and never changes the
    supervisor's; and the other way round."""
    hart = guest(
        M, mcounteren=2, hcounteren=2, menvcfg=STCE, henvcfg=STCE, hideleg=0x444, mideleg=0x222
    )
    for name, mode, new in steps:
        hart.mode = mode
        mine = f"v{name}" if mode == VS else name
        # A timer's comparison makes its interrupt pending by itself.
        still = [one for one in SUBSTITUTED if (name, one) != ("stimecmp", "sip")]
        names = [*still, *(f"v{one}" for one in still)]
        before = {one: value(hart, one) for one in names}
        hart.write_csr(CSR_NUMBERS[name], new)
        after = {one: value(hart, one) for one in names}
        assert {one for one in names if after[one] != before[one]} <= {mine}, (name, mode)
        assert hart.read_csr(CSR_NUMBERS[name]) == after[mine]


def test_what_has_no_vs_csr_is_shared():
    """8.2: scounteren and senvcfg have no VS CSR; a hypervisor swaps them."""
    hart = guest(VS, mstateen0=ONES, hstateen0=ONES)
    for name, new in (("scounteren", 5), ("senvcfg", 1)):
        writes(hart, name, new)
        assert value(hart, name) == new == reads(hart, name)


# Traps (8.6).


def trapped(mode, trap, **csrs):
    hart = guest(mode, stvec=STVEC, mtvec=MTVEC, vstvec=VSTVEC, **csrs)
    hart.pc = PC
    hart.take(trap)
    return hart


def saved(hart, prefix):
    return tuple(value(hart, prefix + name) for name in ("epc", "cause", "tval"))


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    st.sampled_from([U, S, M, VU, VS]),
    st.sampled_from([cause for cause in Cause if cause != 11]),
    st.integers(0, ONES),
    st.integers(0, ONES),
    st.sampled_from([0, SIE, SPIE | SPP, SIE | SPP]),
)
def test_one_mode_gets_the_trap_and_returns_to_where_it_was(mode, cause, medeleg, hedeleg, status):
    """8.2.2, 8.6.2, 8.6.5: and only that mode's CSRs change."""
    trap = Trap(cause, 0x1234, gpa=0x5678 if cause in (20, 21, 23) else 0)
    hart = trapped(
        mode, trap, medeleg=medeleg, hedeleg=hedeleg, mstatus=status, vsstatus=status, hstatus=SPVP
    )
    kept = value(hart, "medeleg") >> cause & 1, value(hart, "hedeleg") >> cause & 1
    to = M if mode == M or not kept[0] else VS if mode >= VU and kept[1] else S
    prefixes = {M: "m", S: "s", VS: "vs"}
    assert hart.mode == to
    assert hart.pc == {M: MTVEC, S: STVEC, VS: VSTVEC}[to]
    assert saved(hart, prefixes.pop(to)) == (PC, cause, 0x1234)
    for prefix in prefixes.values():
        assert saved(hart, prefix) == (0, 0, 0)
    assert value(hart, "htval") == (trap.gpa >> 2 if to == S else 0)
    assert value(hart, "mtval2") == (trap.gpa >> 2 if to == M else 0)
    addressed = cause in (0, 1, 3, 4, 5, 6, 7, 12, 13, 15, 20, 21, 23)
    gva = addressed and mode >= VU
    assert bool(value(hart, "mstatus") & GVA) == (gva and to == M)
    assert bool(value(hart, "mstatus") & MPV) == (mode >= VU and to == M)
    hstatus = value(hart, "hstatus")
    assert bool(hstatus & HGVA) == (gva and to == S)
    assert bool(hstatus & SPV) == (mode >= VU and to == S)
    assert bool(hstatus & SPVP) == (mode != VU or to != S)
    hart.mret() if to == M else hart.sret()
    assert (hart.mode, hart.pc) == (mode, PC)
    for name in ("mstatus", "vsstatus"):
        assert value(hart, name) & SIE == status & SIE
    assert not value(hart, "hstatus") & SPV
    assert not value(hart, "mstatus") & MPV


def test_a_guest_address_from_hlv_is_told_by_gva():
    """8.6.2: GVA is set and SPV is not when HLV faults."""
    hart = trapped(S, Trap(13, 0x1000, guest=True), medeleg=1 << 13)
    assert value(hart, "hstatus") & (HGVA | SPV) == HGVA


@pytest.mark.parametrize("mpv, to", [(0, S), (MPV, VS)])
def test_returns_that_leave_machine_mode_end_mprv(mpv, to):
    hart = guest(M, mstatus=MPRV | MPIE | 1 << 11 | mpv, mepc=PC)
    hart.mret()
    assert hart.mode == to
    assert value(hart, "mstatus") & (MPRV | MPV) == 0


def test_floating_point_of_a_guest_needs_both_units_on():
    hart = guest(VS, mstatus=FS)
    assert (hart.floats_on, bool(hart.fp_slow)) == (False, True)
    put(hart, "vsstatus", FS)
    assert (hart.floats_on, bool(hart.fp_slow)) == (True, False)
    put(hart, "mstatus", 0)
    assert (hart.floats_on, bool(hart.fp_slow)) == (False, True)
    put(hart, "mstatus", FS)
    put(hart, "vsstatus", 0)
    assert hart.fp_slow
    hart.mode = S
    assert not hart.fp_slow


# Interrupts (8.2.2 to 8.2.4, 8.2.12).


def test_hvip_makes_interrupts_pending_for_vs_mode():
    hart = guest(VU, hideleg=0x444, hvip=VSTI, vstvec=VSTVEC)
    assert (value(hart, "hip"), value(hart, "mip"), value(hart, "vsip")) == (VSTI, VSTI, STI)
    assert not hart.interrupt()
    put(hart, "vsie", STI)
    assert (value(hart, "hie"), value(hart, "mie")) == (VSTI, VSTI)
    hart.pc = PC
    assert hart.interrupt()
    assert (hart.mode, hart.pc) == (VS, VSTVEC)
    assert saved(hart, "vs") == (PC, 1 << 63 | 5, 0)
    assert not hart.interrupt()  # vsstatus.SIE is off in the handler
    hart.mode = S
    put(hart, "mstatus", SIE)
    assert not hart.interrupt()  # delegated: never HS-mode's


def test_what_is_not_delegated_further_is_the_hypervisors():
    hart = guest(VS, hvip=VSEI, hie=VSEI, stvec=STVEC)
    hart.pc = PC
    assert hart.interrupt()
    assert (hart.mode, saved(hart, "s")) == (S, (PC, 1 << 63 | 10, 0))
    assert value(hart, "hstatus") & SPV


def test_vssip_is_one_bit_by_all_its_names():
    hart = guest(VS, hideleg=0x444)
    names = {"mip": VSSI, "hip": VSSI, "hvip": VSSI, "vsip": SSI}
    for name, bit in names.items():
        put(hart, name, bit)
        assert all(value(hart, other) & place for other, place in names.items()), name
        put(hart, name, 0)
        assert not any(value(hart, other) & place for other, place in names.items()), name
    writes(hart, "sip", ONES)
    assert value(hart, "hvip") == VSSI  # the guest's timer and external bits are not its to set


def test_without_hideleg_vs_mode_sees_and_changes_nothing():
    hart = guest(VS, hvip=0x444, hie=0x444)
    assert reads(hart, "sip") == reads(hart, "sie") == 0
    writes(hart, "sip", 0)
    writes(hart, "sie", 0)
    assert (value(hart, "hvip"), value(hart, "hie")) == (0x444, 0x444)


def test_guest_external_interrupts_are_vgeins_and_hgeies():
    hart = guest(S, hgeie=2)
    hart.csrs.words[CSR_NUMBERS["hgeip"]] = 2  # as a device does
    assert value(hart, "hip") == SGEI
    put(hart, "hstatus", 1 << 12)
    assert value(hart, "hip") == SGEI | VSEI
    put(hart, "hgeie", 0)
    assert value(hart, "hip") == VSEI


@pytest.mark.parametrize(
    "hideleg, hvien, hart_bit, own_bit",
    [
        (0, 0, None, None),
        (LCOFI, 0, "mip", "mie"),  # Shlcofideleg: aliases of sip and sie
        (0, LCOFI, "hvip", None),  # Ssaia: hvip, and an enable of its own
        (LCOFI, LCOFI, "mip", "mie"),
    ],
)
def test_where_counter_overflow_of_a_guest_lives(hideleg, hvien, hart_bit, own_bit):
    hart = guest(VS, mideleg=LCOFI, hideleg=hideleg, hvien=hvien)
    for name in ("mip", "hvip", "mie"):
        put(hart, name, 0)
    for name in ("sip", "sie"):
        writes(hart, name, LCOFI)
    shown = LCOFI if hart_bit else 0
    assert reads(hart, "sip") == reads(hart, "sie") == shown
    for name in ("mip", "hvip"):
        assert bool(value(hart, name) & LCOFI) == (name == hart_bit), name
    assert bool(value(hart, "mie") & LCOFI) == (own_bit == "mie")
    writes(hart, "sip", 0)
    assert reads(hart, "sip") == 0 == value(hart, "hvip") | value(hart, "mip")


def test_a_counter_overflow_exits_to_the_hypervisor_unless_it_is_delegated():
    hart = guest(VS, mideleg=LCOFI, mie=LCOFI, mip=LCOFI, stvec=STVEC, vstvec=VSTVEC)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "scause")) == (S, 1 << 63 | 13)
    hart = guest(VU, mideleg=LCOFI, hideleg=LCOFI, mie=LCOFI, mip=LCOFI, vstvec=VSTVEC)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "vscause")) == (VS, 1 << 63 | 13)


# Time (8.2.7; Sstc).


def test_a_guests_time_is_the_hosts_and_a_difference():
    hart = guest(VS, mcounteren=2, hcounteren=2, scounteren=2, htimedelta=ONES - 4)
    hart.idle_until(1_000)
    assert (value(hart, "time"), reads(hart, "time")) == (10, 5)
    for mode, seen in ((VU, 5), (S, 10), (U, 10), (M, 10)):
        hart.mode = mode
        assert reads(hart, "time") == seen


def test_a_guests_timer_is_vstimecmp_by_its_time():
    hart = guest(VU, menvcfg=STCE, henvcfg=STCE, hideleg=VSTI, hie=VSTI, htimedelta=100)
    put(hart, "vstimecmp", 200)
    hart.idle_until(9_999)
    assert (value(hart, "hip"), hart.interrupt()) == (0, False)
    hart.idle_until(10_000)
    assert (value(hart, "hip"), value(hart, "vsip")) == (VSTI, STI)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "vscause")) == (VS, 1 << 63 | 5)
    put(hart, "vstimecmp", ONES)
    assert value(hart, "hip") == 0
    put(hart, "hvip", VSTI)  # hvip's bit and the timer's are one or the other
    assert value(hart, "hip") == VSTI


@pytest.mark.parametrize("menvcfg, henvcfg", [(0, STCE), (STCE, 0), (0, 0)])
def test_without_stce_there_is_no_timer_for_a_guest(menvcfg, henvcfg):
    hart = guest(S, menvcfg=menvcfg, henvcfg=henvcfg, vstimecmp=0)
    assert value(hart, "hip") == 0
    assert value(hart, "henvcfg") == 0  # STCE is zero there while menvcfg's is


def test_state_enables_of_a_guest_are_zero_where_mstateens_are():
    hart = guest(M, mstateen0=1 << 63, hstateen0=ONES)
    assert value(hart, "hstateen0") == 1 << 63


# How memory is accessed follows the mode and both statuses.


def test_rights_of_a_guest_are_of_its_status():
    hart = guest(S, vsstatus=SUM | MXR)
    none = hart.access
    hart.mode = VS
    assert hart.access != none
    hart.mode = S
    assert hart.access == none
    hart.mode = M
    put(hart, "mstatus", MPRV | MPV | 3 << 11)
    own = hart.access
    put(hart, "mstatus", MPRV | MPV | 1 << 11)
    guests = hart.access
    put(hart, "vsstatus", 0)
    assert len({own, guests, hart.access}) == 3
    put(hart, "mstatus", MPRV | MPV | 3 << 11)
    assert hart.access == own


def test_a_context_tells_a_guests_spaces_apart():
    hart = guest(VS, vsatp=8 << 60 | 1, hgatp=8 << 60 | 4, satp=8 << 60 | 1)
    seen = {hart.context}
    put(hart, "hgatp", 8 << 60 | 8)
    seen.add(hart.context)
    put(hart, "vsatp", 8 << 60 | 2)
    seen.add(hart.context)
    hart.mode = S
    seen.add(hart.context)
    assert len(seen) == 4


def test_ram_is_a_guests_without_any_tables():
    hart = guest(VU)
    assert hart.translate(RAM_AT + 5, "r") == RAM_AT + 5


# AIA 6.3.2, 6.3.4: hvictl says which interrupt VS-mode takes, and vscause has its number.
def test_hvictl_interrupts_vs_mode():
    hart = guest(VU, vstvec=VSTVEC, hvictl=1 << 30 | 35 << 16)
    hart.pc = PC
    assert hart.interrupt()
    assert (hart.mode, hart.pc) == (VS, VSTVEC)
    assert (value(hart, "vscause"), value(hart, "vsepc")) == (1 << 63 | 35, PC)
    assert not hart.interrupt()  # vsstatus.SIE is 0 now


def test_hvictl_is_in_none_of_the_pending_bits():
    hart = guest(S, hvictl=1 << 30 | 5 << 16)
    assert [value(hart, name) for name in ("mip", "hip", "vsip", "hvip")] == [0, 0, 0, 0]
    assert not hart.interrupt()
