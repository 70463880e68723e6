"""What the counters' CSRs give who may access them: delegated counters, filters, overflow bits.

Tests are named by the manual's normative rules where it has one (Sscofpmf, Smcntrpmf, Smcdeleg,
Smcsrind). Who may access them at all is in tests/isa/test_pmu_csrs.py.
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.counting import INHIBITS, OF
from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL
from isa.modes import VS, VU, M, S, U
from rvperf.machine.traps import Trap
from tests.machine.harts import hart_in, value

ONES = (1 << 64) - 1
CDE = 1 << 60
MINH, SINH, UINH, VSINH, VUINH = (1 << INHIBITS[mode] for mode in (M, S, U, VS, VU))
INSTRUCTIONS, CYCLES = 2, 1
RATIFIED = tuple(OPTIONAL.keys() - {"Xrvpt"})
MODES = (U, S, M, VU, VS)


def hart_with(mode=M, extensions=RATIFIED, **csrs):
    """A hart whose state enables let everything through."""
    enables = {"mstateen0": ONES, "hstateen0": ONES} if "Smstateen" in extensions else {}
    return hart_in(mode, extensions=extensions, **enables, **csrs)


def csr(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


def reads(hart, mode, name):
    """What an instruction in a mode reads, or (the cause of its trap,)."""
    hart.mode = mode
    try:
        return hart.read_csr(CSR_NUMBERS[name])
    except Trap as trap:
        return (int(trap.cause),)


def writes(hart, mode, name, new):
    hart.mode = mode
    try:
        hart.write_csr(CSR_NUMBERS[name], new)
    except Trap as trap:
        return (int(trap.cause),)


# Reading counters: every mode by every gate bit of every counter.


@pytest.mark.parametrize("number", [0, 1, 2, *range(3, 32)])
def test_norm_H_virtinst_vs_nonhighctr_h0_m1(number):
    """And H_virtinst_vu_nonhighctr_h0_s0_m1: five modes by the three gates, and all other bits."""
    name = {0: "cycle", 1: "time", 2: "instret"}.get(number, f"hpmcounter{number}")
    hart = hart_with(mcountinhibit=ONES)
    if number != 1:
        csr(hart, {0: "mcycle", 2: "minstret"}.get(number, f"mhpmcounter{number}"), 77)
    right = 0 if number == 1 else 77
    for m, h, s, others in product((0, 1), repeat=4):
        for gate, bit in (("mcounteren", m), ("hcounteren", h), ("scounteren", s)):
            csr(hart, gate, (bit << number) | (ONES ^ 1 << number if others else 0))
        expected = {
            M: right,
            S: right if m else (2,),
            U: right if m and s else (2,),
            VS: (2,) if not m else right if h else (22,),
            VU: (2,) if not m else right if h and s else (22,),
        }
        for mode in MODES:
            assert reads(hart, mode, name) == expected[mode], (mode, m, h, s)
            assert writes(hart, mode, name, 0) == (2,)


# scountovf.


@pytest.mark.parametrize("cde", [0, CDE])
@pytest.mark.parametrize("mcounteren", [0, ONES, 0x5555_5555, 0xAAAA_AAAA, 8, 1 << 31])
@pytest.mark.parametrize("hcounteren", [0, ONES, 0x3333_3333, 0xCCCC_CCCC, 1 << 31])
def test_norm_scountovf_vsmode_read_access(mcounteren, hcounteren, cde):
    """And scountovf_mmode_read_access, scountovf_smode_read_access: the OF bits, masked."""
    hart = hart_with(menvcfg=cde, mcounteren=mcounteren, hcounteren=hcounteren)
    for overflowed in (0, 0xFFFF_FFF8, 0x0F0F_0F08, 1 << 31, 8):
        for n in range(3, 32):
            csr(hart, f"mhpmevent{n}", OF if overflowed >> n & 1 else 0)
        assert reads(hart, M, "scountovf") == overflowed
        assert reads(hart, S, "scountovf") == overflowed & mcounteren
        guest = (22,) if cde else overflowed & mcounteren & hcounteren
        assert reads(hart, VS, "scountovf") == guest
        assert reads(hart, VU, "scountovf") == (22,)
        assert reads(hart, U, "scountovf") == (2,)


def test_norm_scountovf_op():
    """Bit X corresponds to mhpmeventX, and shows OF as it is now; it can't be written."""
    hart = hart_with(mcounteren=ONES)
    for n in range(3, 32):
        csr(hart, f"mhpmevent{n}", OF)
        assert reads(hart, S, "scountovf") == 1 << n
        csr(hart, f"mhpmevent{n}", 0)
        assert reads(hart, S, "scountovf") == 0
    for mode in MODES:
        assert writes(hart, mode, "scountovf", 0) == (2,)


def test_cde_changes_under_a_guest_that_polls_scountovf():
    """Edge (a)."""
    hart = hart_with(mcounteren=ONES, hcounteren=ONES, mhpmevent5=OF)
    assert reads(hart, VS, "scountovf") == 32
    csr(hart, "menvcfg", CDE)
    assert reads(hart, VS, "scountovf") == (22,)
    csr(hart, "menvcfg", 0)
    assert reads(hart, VS, "scountovf") == 32


# scountinhibit.


@pytest.mark.parametrize("mcounteren", [0, ONES, 0x5555_5555, 0xF000_0005, 2])
@pytest.mark.parametrize("before", [0, 0xFFFF_FFFD, 0x0F0F_0F0C])
@pytest.mark.parametrize("mode", [S, M])
def test_norm_Ssccfg_scountinhibit_nondelegated_ro(mode, before, mcounteren):
    """And Ssccfg_scountinhibit_exists, Ssccfg_scountinhibit_delegated_rw: a masked alias; writes
    leave what is not delegated as it is."""
    hart = hart_with(menvcfg=CDE, mcounteren=mcounteren, mcountinhibit=before)
    mask = mcounteren & 0xFFFF_FFFD
    assert reads(hart, mode, "scountinhibit") == before & mask
    for new in (0, ONES, 0x1234_5678):
        writes(hart, mode, "scountinhibit", new)
        assert value(hart, "mcountinhibit") == new & mask | before & ~mask
        assert reads(hart, mode, "scountinhibit") == new & mask


def test_scountinhibit_really_stops_a_counter():
    hart = hart_with(S, menvcfg=CDE, mcounteren=ONES, mhpmevent4=INSTRUCTIONS)
    hart.charge(10, 10)
    writes(hart, S, "scountinhibit", 16)
    hart.charge(10, 10)
    writes(hart, S, "scountinhibit", 0)
    hart.charge(10, 10)
    assert value(hart, "mhpmcounter4") == 20


# Indirect access to delegated counters.

DIRECT = {0: ("mcycle", "mcyclecfg"), 2: ("minstret", "minstretcfg")} | {
    n: (f"mhpmcounter{n}", f"mhpmevent{n}") for n in range(3, 32)
}


@pytest.mark.parametrize("number", DIRECT)
@pytest.mark.parametrize("mode", [S, M])
def test_norm_smcdeleg_delegated_access(mode, number):
    """sireg* aliases counter i while siselect is 0x40 + i; sireg2 without MINH."""
    counter, config = DIRECT[number]
    hart = hart_with(menvcfg=CDE, mcounteren=1 << number, mcountinhibit=ONES)
    csr(hart, config, MINH)
    writes(hart, mode, "siselect", 0x40 + number)
    assert writes(hart, mode, "sireg", 0x1234_5678_9ABC) is None
    assert value(hart, counter) == 0x1234_5678_9ABC == reads(hart, mode, "sireg")
    kept = value(hart, config)
    assert kept == MINH
    writes(hart, mode, "sireg2", ONES)
    everything = SINH | UINH | VSINH | VUINH
    if number >= 3:
        everything |= OF | (1 << 56) - 1
    assert value(hart, config) == everything | MINH
    assert reads(hart, mode, "sireg2") == everything
    writes(hart, mode, "sireg2", 0)
    assert value(hart, config) == MINH
    for suffix in ("3", "4", "5", "6"):
        assert reads(hart, mode, f"sireg{suffix}") == (2,)
        assert writes(hart, mode, f"sireg{suffix}", 0) == (2,)


@pytest.mark.parametrize("name", ["sireg", "sireg2", "sireg3", "sireg4", "sireg5", "sireg6"])
@pytest.mark.parametrize("cde", [0, CDE])
def test_norm_Ssccfg_hyp_vs_access_sireg_conditional(name, cde):
    """2 or 22 by CDE, whatever hcounteren says; and of vsireg* from M and HS always 2."""
    hart = hart_with(menvcfg=cde, mcounteren=ONES)
    for number, hcounteren in product(range(32), (0, ONES)):
        csr(hart, "vsiselect", 0x40 + number)
        csr(hart, "hcounteren", hcounteren)
        for access in (reads(hart, VS, name), writes(hart, VS, name, 0)):
            assert access == ((22,) if cde else (2,))
        for mode in (M, S):
            assert reads(hart, mode, f"v{name}") == (2,)
            assert writes(hart, mode, f"v{name}", 0) == (2,)


def test_norm_Ssccfg_illegal_sireg_not_delegated():
    hart = hart_with(menvcfg=CDE, mcounteren=0xFFFF_FFFF ^ 1 << 9)
    for number in range(32):
        csr(hart, "siselect", 0x40 + number)
        for mode, name in product((S, M), ("sireg", "sireg2")):
            assert (reads(hart, mode, name) == (2,)) == (number in (1, 9)), number


def test_norm_Ssccfg_illegal_sireg_cde0():
    hart = hart_with(mcounteren=ONES)
    for number, mode, suffix in product(range(32), (S, M), ("", "2", "3", "4", "5", "6")):
        csr(hart, "siselect", 0x40 + number)
        assert reads(hart, mode, f"sireg{suffix}") == (2,)
        assert writes(hart, mode, f"sireg{suffix}", 0) == (2,)


def test_norm_Ssccfg_missing_extension_illegal():
    """Without Smcntrpmf there is no cyclecfg; without Sscofpmf hpmevent has no OF."""
    hart = hart_with(extensions=("H", "Smcsrind", "Smcdeleg"), menvcfg=CDE, mcounteren=ONES)
    for number in (0, 2):
        csr(hart, "siselect", 0x40 + number)
        assert reads(hart, S, "sireg2") == (2,)
        assert reads(hart, S, "sireg") == 0
    csr(hart, "siselect", 0x43)
    writes(hart, S, "sireg2", ONES)
    assert reads(hart, S, "sireg2") == (1 << 56) - 1


def test_norm_vsiselect_is_the_guests():
    """H_vscsrs_sub: siselect in VS-mode is vsiselect, which HS-mode finds there."""
    hart = hart_with()
    writes(hart, VS, "siselect", 0x41)
    assert (value(hart, "vsiselect"), value(hart, "siselect")) == (0x41, 0)
    assert reads(hart, S, "vsiselect") == 0x41 == reads(hart, VS, "siselect")


def test_a_guests_time_select_is_as_the_others():
    """Edge (b): vsiselect = 0x41 is a virtual instruction, though there is no counter 1."""
    hart = hart_with(menvcfg=CDE, mcounteren=ONES, hcounteren=ONES, vsiselect=0x41)
    assert reads(hart, VS, "sireg") == (22,)
    csr(hart, "siselect", 0x41)
    assert reads(hart, S, "sireg") == (2,)


def test_a_counter_that_is_no_longer_delegated_keeps_counting():
    """Edge (c)."""
    hart = hart_with(S, menvcfg=CDE, mcounteren=ONES, mhpmevent6=INSTRUCTIONS | OF, siselect=0x46)
    hart.charge(5, 5)
    csr(hart, "mcountinhibit", 1 << 7)
    csr(hart, "mcounteren", ONES ^ 1 << 6 ^ 1 << 7)
    hart.charge(5, 5)
    assert value(hart, "mhpmcounter6") == 10
    assert reads(hart, S, "sireg") == (2,)
    assert reads(hart, S, "scountovf") == 0
    assert reads(hart, S, "scountinhibit") == 0
    assert value(hart, "mcountinhibit") == 1 << 7


def test_an_event_with_of_set_does_not_interrupt():
    """Edge (f): the guest's wrap makes nothing pending."""
    hart = hart_with(S, menvcfg=CDE, mcounteren=ONES, mideleg=1 << 13, siselect=0x43)
    writes(hart, S, "sireg2", INSTRUCTIONS | OF)
    writes(hart, S, "sireg", ONES)
    hart.mode = VS
    hart.charge(3, 3)
    assert (value(hart, "mhpmcounter3"), value(hart, "mip")) == (2, 0)


# Smcntrpmf: mcycle and minstret in modes.


@pytest.mark.parametrize("mode", MODES)
def test_norm_counter_inhibited_behavior(mode):
    """And all_xinh_zero, instret_non_inhibited, cycle_counting: 32 filters in each mode."""
    hart = hart_with(mode)
    for inhibited in range(32):
        for name, config in (("mcycle", "mcyclecfg"), ("minstret", "minstretcfg")):
            csr(hart, config, inhibited << 58)
            csr(hart, name, 1_000)
        hart.charge(3, 7)
        hart.idle_until(hart.cycles + 5)
        stops = inhibited << 58 >> INHIBITS[mode] & 1
        assert value(hart, "minstret") == (1_000 if stops else 1_003), inhibited
        assert value(hart, "mcycle") == (1_000 if stops else 1_012), inhibited


def test_norm_mcyclecfg_sz():
    """And unimplemented_mode_bits, rv32_high_access: 62..58, bit 63 is zero, no high halves."""
    for name in ("mcyclecfg", "minstretcfg"):
        hart = hart_with()
        csr(hart, name, ONES)
        assert value(hart, name) == 31 << 58
        hart = hart_in(M, extensions=["Smcntrpmf"])
        csr(hart, name, ONES)
        assert value(hart, name) == 7 << 60
    for number in (0x721, 0x722, 0x723, 0xB80, 0xC80):
        with pytest.raises(Trap) as trap:
            hart.read_csr(number)
        assert trap.value.cause == 2


def test_filters_change_nothing_of_what_was_counted():
    hart = hart_with(S)
    hart.charge(10, 20)
    csr(hart, "minstretcfg", SINH)
    csr(hart, "mcyclecfg", UINH)
    hart.charge(10, 20)
    hart.mode = U
    hart.charge(10, 20)
    assert (value(hart, "minstret"), value(hart, "mcycle")) == (20, 40)
    csr(hart, "minstretcfg", 0)
    csr(hart, "mcyclecfg", 0)
    hart.charge(1, 2)
    assert (value(hart, "minstret"), value(hart, "mcycle")) == (21, 42)


@pytest.mark.parametrize("number", [0, 2])
def test_fixed_counters_never_interrupt(number):
    """Bit 63 of their configuration is read-only zero, since they don't generate LCOFI."""
    hart = hart_with(S, mie=ONES, mideleg=ONES)
    csr(hart, DIRECT[number][0], ONES)
    hart.charge(5, 5)
    assert (value(hart, DIRECT[number][0]), value(hart, "mip")) == (4, 0)


# Fewer counters.


def test_a_hart_with_fewer_counters():
    hart = hart_in(M, extensions=RATIFIED, counters=4, mcounteren=ONES)
    csr(hart, "mhpmevent6", INSTRUCTIONS)
    csr(hart, "mhpmevent7", INSTRUCTIONS)
    csr(hart, "mhpmcounter7", 5)
    hart.charge(9, 9)
    assert [value(hart, f"mhpmcounter{n}") for n in (6, 7)] == [9, 0]
    assert value(hart, "mcounteren") == 0x7F
    csr(hart, "menvcfg", CDE)
    csr(hart, "scountinhibit", ONES)
    assert value(hart, "scountinhibit") == 0x7D
