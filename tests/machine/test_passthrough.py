"""Xrvpt, the private extension: docs/passthrough.md, by its sections."""

from __future__ import annotations

from itertools import product

import pytest

from isa.counting import INHIBITS, OF
from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL
from isa.modes import VS, VU, M, S, U
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from tests.machine.harts import hart_in, value

ONES = (1 << 64) - 1
CDE = 1 << 60
LCOFI, VSLCOFI, MLCOFI = 1 << 13, 1 << 14, 1 << 15
SIE = 1 << 1
MINH, SINH, UINH, VSINH, VUINH = (1 << INHIBITS[mode] for mode in (M, S, U, VS, VU))
INSTRUCTIONS, CYCLES = 2, 1
MODES = (U, S, M, VU, VS)
MINE = 0x7FFF8  # counters 3 to 18, the guest's
EVERYTHING = tuple(OPTIONAL)


def passing(mode=VS, mine=MINE, mcounteren=ONES, **csrs):
    """A hart that passes some counters through."""
    return hart_in(
        mode,
        extensions=EVERYTHING,
        mstateen0=ONES,
        hstateen0=ONES,
        menvcfg=CDE,
        henvcfg=CDE,
        mcounteren=mcounteren,
        hcounteren=mine,
        **csrs,
    )


def csr(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


def reads(hart, mode, name):
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


# 2 and 3: dependencies, reset, what is off.


@pytest.mark.parametrize("missing", ["H", "Sscofpmf", "Smcntrpmf", "Smcdeleg"])
def test_it_needs_what_it_builds_on(missing):
    needed = {"H", "Sscofpmf", "Smcntrpmf", "Smcsrind", "Smcdeleg", "Xrvpt"} - {missing}
    with pytest.raises(ValueError, match=f"there is no {missing}"):
        Hart(Ram(1 << 16), extensions=needed)


def test_cde_vs_is_writable_while_cde_is_set():
    hart = hart_in(M, extensions=EVERYTHING, henvcfg=CDE)
    assert value(hart, "henvcfg") & CDE == 0
    csr(hart, "menvcfg", CDE)
    csr(hart, "henvcfg", CDE)
    assert value(hart, "henvcfg") & CDE == CDE


def test_until_it_is_asked_for_a_guest_has_nothing():
    hart = passing()
    csr(hart, "henvcfg", 0)
    csr(hart, "vsiselect", 0x43)
    for name in ("sireg", "sireg2", "scountinhibit", "scountovf"):
        assert reads(hart, VS, name) == (22,), name
    assert value(hart, "vscountinhibit") == 0


# 4: which counters.


@pytest.mark.parametrize("cde, cde_vs, m, h", [*product((0, CDE), (0, CDE), (0, 1), (0, 1))])
def test_which_counters_are_the_guests(cde, cde_vs, m, h):
    hart = passing(mine=h << 5, mcounteren=m << 5, mcountinhibit=ONES)
    csr(hart, "henvcfg", cde_vs)
    csr(hart, "menvcfg", cde)
    mine = 1 << 5 if cde and cde_vs and m and h else 0
    assert value(hart, "vscountinhibit") == mine


def test_time_is_no_counter():
    hart = passing(mine=ONES, mcountinhibit=ONES, vsiselect=0x41)
    assert reads(hart, VS, "scountinhibit") == 0xFFFF_FFFD
    assert reads(hart, VS, "sireg") == (22,)


def test_a_counter_keeps_its_value_when_it_is_passed_through_and_taken_back():
    hart = passing(S, mine=0)
    csr(hart, "mhpmevent3", INSTRUCTIONS)
    csr(hart, "minstret", 0)
    for mine, minstret in ((0, 10), (13, 10), (0, 20)):
        csr(hart, "hcounteren", mine)
        hart.charge(10, 10)  # in HS-mode
        assert value(hart, "mhpmcounter3") == minstret == value(hart, "minstret")
    for name in ("mcounteren", "menvcfg", "henvcfg"):
        csr(hart, "hcounteren", 13)
        kept = value(hart, "mhpmcounter3")
        csr(hart, name, 0)
        hart.charge(1, 1)
        assert value(hart, "mhpmcounter3") == kept + 1  # it is the host's again
        csr(hart, "mcounteren", ONES)
        csr(hart, "menvcfg", CDE)
        csr(hart, "henvcfg", CDE)


# 5.1: sireg.


@pytest.mark.parametrize("number", range(32))
def test_a_guest_reaches_its_own_counters_alone(number):
    hart = passing(vsiselect=0x40 + number)
    mine = MINE >> number & 1
    for name in ("sireg", "sireg2"):
        assert writes(hart, VS, name, 5) == (None if mine else (22,))
        assert reads(hart, VS, name) == (5 if mine else (22,))
    for name in ("sireg3", "sireg4", "sireg5", "sireg6"):
        assert reads(hart, VS, name) == (22,)
    for mode, name in product((S, M), ("vsireg", "vsireg2")):
        assert reads(hart, mode, name) == (2,)
    assert reads(hart, VU, "sireg") == (22,)
    if mine:
        assert value(hart, f"mhpmcounter{number}") == 5


@pytest.mark.parametrize("number, counter", [(0, "mcycle"), (2, "minstret")])
def test_fixed_counters_may_be_passed_through(number, counter):
    hart = passing(mine=5, vsiselect=0x40 + number)
    writes(hart, VS, "sireg", 100)
    writes(hart, VS, "sireg2", UINH)  # the guest's U-mode, which is VU
    for mode in MODES:
        hart.mode = mode
        hart.charge(3, 3)
        hart.idle_until(hart.cycles + 4)
    assert value(hart, counter) == (107 if number == 0 else 103)


# 5.2: scountinhibit, scountovf.


@pytest.mark.parametrize("before", [0, 0xFFFF_FFFD, 0x0F0F_0F08])
@pytest.mark.parametrize("mine", [0, MINE, 5, ONES])
@pytest.mark.parametrize("mode, name", [(VS, "scountinhibit"), (S, "vscountinhibit")])
def test_scountinhibit_of_a_guest_is_masked_and_preserves_the_rest(mode, name, mine, before):
    hart = passing(mine=mine, mcounteren=ONES ^ 1 << 4, mcountinhibit=before)
    mask = mine & ~(1 << 4) & 0xFFFF_FFFD
    assert reads(hart, mode, name) == before & mask
    for new in (ONES, 0, 0x5555_5555):
        writes(hart, mode, name, new)
        assert value(hart, "mcountinhibit") == new & mask | before & ~mask
    assert reads(hart, VU, "scountinhibit") == (22,)


def test_a_driver_finds_its_counters_as_ssccfg_has_it():
    """5.5: what sticks of ones in scountinhibit is D, and only D; in VS as in HS."""
    hart = passing()
    before = value(hart, "mcountinhibit")
    old = reads(hart, VS, "scountinhibit")
    writes(hart, VS, "scountinhibit", ONES)
    assert reads(hart, VS, "scountinhibit") == MINE
    writes(hart, VS, "scountinhibit", old)
    assert value(hart, "mcountinhibit") == before


def test_scountovf_shows_a_guest_its_own():
    hart = passing(**{f"mhpmevent{n}": OF for n in range(3, 32)})
    assert reads(hart, VS, "scountovf") == MINE
    assert reads(hart, S, "scountovf") == 0xFFFF_FFF8
    assert reads(hart, VU, "scountovf") == (22,)
    assert writes(hart, VS, "scountovf", 0) == (2,)


# 5.3: the guest's view.


@pytest.mark.parametrize("stored", [0, MINH | SINH | UINH, VSINH, VUINH, VSINH | VUINH | OF])
def test_how_a_guest_sees_its_configuration(stored):
    hart = passing(vsiselect=0x43, siselect=0x43, mhpmevent3=stored | 0x10019)
    shown = 0x10019 | stored & OF
    shown |= (SINH if stored & VSINH else 0) | (UINH if stored & VUINH else 0)
    assert reads(hart, VS, "sireg2") == shown
    assert reads(hart, S, "sireg2") == (stored | 0x10019) & ~MINH  # 7: HS-mode's is plain


@pytest.mark.parametrize("bits", range(64))
def test_what_a_guest_writes_to_its_configuration(bits):
    new = bits << 58 | INSTRUCTIONS
    hart = passing(vsiselect=0x43, mhpmevent3=MINH | UINH)
    writes(hart, VS, "sireg2", new)
    expected = MINH | UINH | INSTRUCTIONS | new & OF
    expected |= (VSINH if new & SINH else 0) | (VUINH if new & UINH else 0)
    assert value(hart, "mhpmevent3") == expected
    assert reads(hart, VS, "sireg2") == new & (OF | SINH | UINH | INSTRUCTIONS)


# 5.4: only the guest is counted.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inhibited", range(32))
def test_a_guests_counter_counts_nothing_else(mode, inhibited):
    hart = passing(mode, mhpmevent3=INSTRUCTIONS | inhibited << 58)
    hart.charge(7, 7)
    counts = mode in (VS, VU) and not inhibited << 58 >> INHIBITS[mode] & 1
    assert value(hart, "mhpmcounter3") == (7 if counts else 0)


# 6: interrupts.


@pytest.mark.parametrize("cde", [0, CDE])
@pytest.mark.parametrize("delegated, mine", [(0, 0), (1, 0), (1, 1), (0, 1)])
def test_whose_pending_bit_an_overflow_sets(delegated, mine, cde):
    hart = passing(mine=mine << 9, mcounteren=ONES if delegated else ONES ^ 1 << 9)
    csr(hart, "menvcfg", cde)
    csr(hart, "mhpmevent9", INSTRUCTIONS)
    csr(hart, "mhpmcounter9", ONES)
    hart.charge(1, 1)
    if not cde:
        expected = LCOFI
    elif not delegated:
        expected = MLCOFI
    else:
        expected = VSLCOFI if mine else LCOFI
    assert value(hart, "mip") == expected
    assert value(hart, "hvip") == expected & VSLCOFI == value(hart, "hip")


@pytest.mark.parametrize("mode, hideleg, enabled, sie", [*product(MODES, (0, 1), (0, 1), (0, 1))])
def test_where_the_guests_interrupt_goes(mode, hideleg, enabled, sie):
    hart = passing(mode, hideleg=hideleg * VSLCOFI, hvip=VSLCOFI, mie=enabled * VSLCOFI)
    csr(hart, "vsstatus", sie * SIE)
    csr(hart, "mstatus", sie * (SIE | 1 << 3))
    expected = None
    if enabled and hideleg and (mode == VU or (mode == VS and sie)):
        expected = VS, "vscause", 13
    elif enabled and not hideleg and (mode in (U, VU, VS) or (mode == S and sie)):
        expected = S, "scause", 14
    assert hart.interrupt() == bool(expected)
    if expected:
        to, cause, number = expected
        assert (hart.mode, value(hart, cause)) == (to, 1 << 63 | number)


def test_m_modes_interrupt_is_never_delegated():
    hart = passing(S, mideleg=ONES, mip=MLCOFI, mie=MLCOFI, mstatus=SIE)
    assert value(hart, "mideleg") & (VSLCOFI | MLCOFI) == VSLCOFI
    assert value(hart, "sip") == 0
    assert hart.interrupt()
    assert (hart.mode, value(hart, "mcause")) == (M, 1 << 63 | 15)


def test_a_guest_has_its_enable_and_pending_bits_to_itself():
    hart = passing(hideleg=VSLCOFI, mideleg=LCOFI, mip=LCOFI, mie=LCOFI)
    writes(hart, VS, "sie", LCOFI)
    assert value(hart, "mie") == LCOFI | VSLCOFI == LCOFI | value(hart, "hie")
    writes(hart, VS, "sie", 0)
    assert value(hart, "mie") == LCOFI
    csr(hart, "hvip", VSLCOFI)
    assert reads(hart, VS, "sip") == LCOFI
    writes(hart, VS, "sip", 0)
    assert (value(hart, "hvip"), value(hart, "mip")) == (0, LCOFI)


@pytest.mark.parametrize("name", ["hvip", "hip", "mip"])
def test_the_pending_bit_is_softwares_to_restore(name):
    hart = passing(hideleg=VSLCOFI)
    csr(hart, name, VSLCOFI)
    assert value(hart, "vsip") == LCOFI and value(hart, "hvip") == VSLCOFI
    csr(hart, name, 0)
    assert value(hart, "vsip") == 0 == value(hart, "mip")


def test_priority_of_the_three():
    hart = passing(VU, mideleg=LCOFI, mie=LCOFI | VSLCOFI | MLCOFI)
    csr(hart, "mip", LCOFI | VSLCOFI | MLCOFI)
    for bit, number in ((MLCOFI, 15), (LCOFI, 13), (VSLCOFI, 14)):
        assert hart.pending_interrupt() == number
        csr(hart, "mip", value(hart, "mip") & ~bit)


# 8: other extensions.


def test_the_guests_own_comes_before_shlcofideleg_and_aia():
    hart = passing(mideleg=LCOFI, hideleg=LCOFI | VSLCOFI, mip=LCOFI, mie=LCOFI)
    csr(hart, "hvien", LCOFI)
    csr(hart, "hvip", LCOFI)
    assert (value(hart, "vsip"), value(hart, "vsie")) == (0, 0)
    writes(hart, VS, "sip", LCOFI)
    writes(hart, VS, "sie", LCOFI)
    assert value(hart, "hvip") == LCOFI | VSLCOFI
    assert value(hart, "mie") == LCOFI | VSLCOFI


# 9: two guests on one hart.


def save(hart):
    inhibit = reads(hart, S, "vscountinhibit")
    writes(hart, S, "vscountinhibit", ONES)
    counters = []
    for n in range(3, 19):
        writes(hart, S, "siselect", 0x40 + n)
        counters.append((reads(hart, S, "sireg"), reads(hart, S, "sireg2")))
    others = [reads(hart, S, name) for name in ("hvip", "hie", "vsiselect")]
    writes(hart, S, "hvip", others[0] & ~VSLCOFI)
    return inhibit, counters, others


def restore(hart, image):
    inhibit, counters, others = image
    writes(hart, S, "vscountinhibit", ONES)
    for n, (count, config) in enumerate(counters, 3):
        writes(hart, S, "siselect", 0x40 + n)
        writes(hart, S, "sireg", count)
        writes(hart, S, "sireg2", config)
    for name, new in zip(("hvip", "hie", "vsiselect"), others, strict=True):
        writes(hart, S, name, new)
    writes(hart, S, "vscountinhibit", inhibit)


def test_guests_that_take_turns_count_and_interrupt_exactly():
    """Each has a counter of its own instructions; one overflows just before it is switched out."""
    hart = passing(S, hideleg=VSLCOFI, mhpmevent31=INSTRUCTIONS | MINH | SINH | UINH)
    empty = save(hart)
    images = {}
    for guest, start in (("one", 0), ("other", -100 & ONES)):
        restore(hart, empty)
        writes(hart, VS, "siselect", 0x43)
        writes(hart, VS, "sireg", start)
        writes(hart, VS, "sireg2", INSTRUCTIONS)
        images[guest] = save(hart)
    counted = dict.fromkeys(images, 0)
    for turn in range(12):
        guest = ("one", "other")[turn % 2]
        restore(hart, images[guest])
        hart.mode = VU if turn % 3 else VS
        hart.charge(17, 20)
        counted[guest] += 17
        hart.mode = S
        hart.charge(1_000, 1_000)
        images[guest] = save(hart)
        assert value(hart, "hvip") == 0
    assert images["one"][1][0] == (102, INSTRUCTIONS)
    assert images["other"][1][0] == (2, INSTRUCTIONS | OF)
    assert [image[2][0] for image in images.values()] == [0, VSLCOFI]
    # The host's counter of all guests has every instruction, once.
    assert value(hart, "mhpmcounter31") == sum(counted.values()) == 204
    restore(hart, images["one"])
    hart.mode = VU
    assert hart.pending_interrupt() is None
    restore(hart, images["other"])
    csr(hart, "hie", VSLCOFI)
    hart.mode = VU
    assert hart.pending_interrupt() == 13


def test_restoring_of_makes_nothing_pending():
    hart = passing(siselect=0x43)
    writes(hart, S, "sireg2", INSTRUCTIONS | OF)
    writes(hart, S, "sireg", ONES)
    hart.mode = VS
    hart.charge(5, 5)
    assert value(hart, "mip") == 0
