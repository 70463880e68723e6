"""Who may access the counters' CSRs: every mode by every gate, against the rules written out again.

`permitted` and the others below say in the order of the manual's text what the declarations say in
theirs. Rules are the manual's normative ones (Smcsrind, Smcdeleg, Sscofpmf, hypervisor 8.6.1).
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.csrs import CSR_NUMBERS, registers
from isa.ext import EVERY
from isa.modes import VS, VU, M, S, U

ONES = (1 << 64) - 1
OK, ILLEGAL, VIRTUAL = None, 2, 22
MODES = (U, S, M, VU, VS)
CDE, CSRIND = 1 << 60, 1 << 60
WITHOUT = {
    "nothing": {"Xrvpt"},
    "Smstateen": {"Xrvpt", "Smstateen"},
    "Smcntrpmf": {"Xrvpt", "Smcntrpmf"},
    "Smcdeleg": {"Xrvpt", "Smcdeleg"},
}
NUMBERS = {"": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}
SELECTS = (0, 0x3F, 0x40, 0x41, 0x42, 0x43, 0x52, 0x5F, 0x60, 0xFFF, 1 << 63)


def refusal(rows, name, mode, write, values):
    return rows[CSR_NUMBERS[name]].refusal(mode, write, lambda other: values.get(other, 0))


def indirect(name, mode, values, without):
    """What an access to an indirect register, or a select register, raises (Smcsrind, Smcdeleg)."""
    virtual = mode in (VS, VU)
    if mode == U:
        return ILLEGAL
    if "Smstateen" not in without and mode != M:
        if not values["mstateen0"] & CSRIND:
            return ILLEGAL
        if virtual and not values["hstateen0"] & CSRIND:
            return VIRTUAL
    if virtual and (name.startswith("v") or mode == VU):
        return VIRTUAL
    if "select" in name:
        return OK
    guest = virtual or name.startswith("v")
    select = values["vsiselect" if guest else "siselect"]
    enabled = "Smcdeleg" not in without and values["menvcfg"] & CDE
    if not 0x40 <= select <= 0x5F:
        return ILLEGAL
    if guest:
        return VIRTUAL if mode == VS and enabled else ILLEGAL
    number, alias = select - 0x40, NUMBERS[name.removeprefix("sireg")]
    if not enabled or alias > 2 or number == 1 or not values["mcounteren"] >> number & 1:
        return ILLEGAL
    if alias == 2 and number in (0, 2) and "Smcntrpmf" in without:
        return ILLEGAL
    return OK


@pytest.mark.parametrize("without", WITHOUT)
@pytest.mark.parametrize("name", ["siselect", "vsiselect"] + [
    f"{prefix}ireg{suffix}" for prefix in ("s", "vs") for suffix in NUMBERS])  # fmt: skip
def test_norm_sireg_access_on_legal_siselect(name, without):
    """Every mode by select value, CDE, delegation, hcounteren and both state enables; for reads
    and for writes."""
    rows = registers(EVERY - WITHOUT[without])
    gates = product((0, CDE), (0, 1), (0, 1), (0, CSRIND), (0, CSRIND), SELECTS)
    for cde, m, h, mstateen, hstateen, select in gates:
        number = select - 0x40 if 0x40 <= select <= 0x5F else 5
        values = {
            "menvcfg": cde,
            # Only this counter's bit, or all but it: others' bits don't count.
            "mcounteren": 1 << number if m else ONES ^ 1 << number,
            "hcounteren": 1 << number if h else ONES ^ 1 << number,
            "mstateen0": mstateen,
            "hstateen0": hstateen & mstateen,
            "siselect": select,
            "vsiselect": select,
        }
        for mode, write in product(MODES, (False, True)):
            if "Smcdeleg" in WITHOUT[without]:
                values["menvcfg"] = CDE  # which this hart has not
            found = refusal(rows, name, mode, write, values)
            assert found == indirect(name, mode, values, WITHOUT[without]), (mode, values)


def test_norm_sscsrind_csrs_access_control():
    """mstateen0[60] = 0: an illegal instruction below M; it is the guest's select register that
    counts for a guest, and the host's for the host."""
    rows = registers(EVERY - {"Xrvpt"})
    values = {"menvcfg": CDE, "mcounteren": ONES, "siselect": 0x43, "vsiselect": 0x1000}
    for name in ("siselect", "sireg", "sireg2", "vsiselect", "vsireg", "vsireg6"):
        found = [refusal(rows, name, mode, False, values) for mode in MODES]
        assert found[:2] == [ILLEGAL] * 2 and found[3:] == [ILLEGAL] * 2, name
    values |= {"mstateen0": CSRIND, "hstateen0": CSRIND}
    assert refusal(rows, "sireg", S, False, values) is OK
    assert refusal(rows, "sireg", VS, False, values) == ILLEGAL
    values |= {"siselect": 0x1000, "vsiselect": 0x43}
    assert refusal(rows, "sireg", S, False, values) == ILLEGAL
    assert refusal(rows, "sireg", VS, False, values) == VIRTUAL


@pytest.mark.parametrize("m, h", [*product((0, CSRIND), repeat=2)])
def test_norm_hypervisor_impl_csrs_access_control(m, h):
    """hstateen0[60] = 0 with mstateen0[60] = 1: a virtual instruction, whatever vsiselect holds."""
    rows = registers(EVERY - {"Xrvpt"})
    for select, mode in product(SELECTS, (VS, VU)):
        values = {"mstateen0": m, "hstateen0": h & m, "vsiselect": select}
        for name in ("siselect", "sireg", "sireg3"):
            found = refusal(rows, name, mode, True, values)
            if not m:
                assert found == ILLEGAL
            elif not h or mode == VU:
                assert found == VIRTUAL


@pytest.mark.parametrize("name", ["vsiselect", "vsireg", "vsireg2", "vsireg6"])
def test_norm_sscsrind_virtual_inst_fault(name):
    rows = registers(EVERY - {"Xrvpt"})
    values = {"mstateen0": CSRIND, "hstateen0": CSRIND, "vsiselect": 0x43, "menvcfg": CDE}
    assert [refusal(rows, name, mode, False, values) for mode in (VS, VU)] == [VIRTUAL] * 2
    assert refusal(rows, name.removeprefix("v"), VU, False, values) == VIRTUAL


# mireg: no extension gives miselect anything, which is illegal as the manual recommends.
def test_norm_mireg_access_behaviour():
    rows = registers(EVERY)
    for suffix, select, mode in product(NUMBERS, SELECTS, MODES):
        values = {"miselect": select, "menvcfg": CDE, "mcounteren": ONES, "mstateen0": ONES}
        assert refusal(rows, f"mireg{suffix}", mode, False, values) == ILLEGAL
    assert refusal(rows, "miselect", M, True, {}) is OK
    assert {refusal(rows, "miselect", mode, False, {}) for mode in (U, S, VU, VS)} == {ILLEGAL}


def test_norm_miph_csr_number():
    """0x354 is miph, so the mireg numbers have a gap; and so have the others'."""
    rows = registers(EVERY)
    assert not {0x354, 0x154, 0x254} & rows.keys()


@pytest.mark.parametrize("name", ["miselect", "siselect", "vsiselect"])
def test_norm_siselect_min_range(name):
    """0..0xFFF at least, with the most significant bit for custom values (siselect_msb_op)."""
    row = registers(EVERY)[CSR_NUMBERS[name]]
    for value in (0, 0xFFF, 0x555, 1 << 63 | 7):
        assert row.legalize(0, value) == value


# scountinhibit and scountovf.


def inhibit(mode, values):
    if mode == U or not values["menvcfg"] & CDE:
        return ILLEGAL
    return VIRTUAL if mode in (VS, VU) else OK


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("cde, m, h", [*product((0, CDE), (0, ONES), (0, ONES))])
def test_norm_Ssccfg_illegal_scountinhibit_vs_vu(cde, m, h, write):
    """And Ssccfg_illegal_scountinhibit_cde0: illegal from every mode while CDE is clear."""
    rows = registers(EVERY - {"Xrvpt"})
    values = {"menvcfg": cde, "mcounteren": m, "hcounteren": h}
    for mode in MODES:
        found = refusal(rows, "scountinhibit", mode, write, values)
        assert found == inhibit(mode, values), mode


@pytest.mark.parametrize("cde, m, h", [*product((0, CDE), (0, ONES), (0, ONES))])
def test_norm_Ssccfg_virtual_scountovf_vs_vu(cde, m, h):
    """A read by a guest is a virtual instruction once CDE is set, and always in VU-mode; a write
    is illegal everywhere."""
    rows = registers(EVERY - {"Xrvpt"})
    values = {"menvcfg": cde, "mcounteren": m, "hcounteren": h}
    expected = {U: ILLEGAL, S: OK, M: OK, VU: VIRTUAL, VS: VIRTUAL if cde else OK}
    for mode in MODES:
        assert refusal(rows, "scountovf", mode, False, values) == expected[mode], mode
        assert refusal(rows, "scountovf", mode, True, values) == ILLEGAL, mode


@pytest.mark.parametrize("name, extension", [("scountovf", "Sscofpmf"), ("mcyclecfg", "Smcntrpmf"),
                                             ("minstretcfg", "Smcntrpmf"), ("siselect", "Smcsrind"),
                                             ("vsireg2", "Smcsrind"), ("mireg6", "Smcsrind"),
                                             ("scountinhibit", "Smcdeleg"),
                                             ("vscountinhibit", "Xrvpt")])  # fmt: skip
def test_an_absent_extension_has_no_csrs(name, extension):
    assert CSR_NUMBERS[name] in registers(EVERY)
    assert CSR_NUMBERS[name] not in registers(EVERY - {extension})


@pytest.mark.parametrize("name, mask, extensions", [
    ("menvcfg", CDE, {"Smcdeleg"}),
    ("mstateen0", CSRIND, {"Smcsrind"}),
    ("hstateen0", CSRIND, {"Smcsrind"}),
    ("mip", 1 << 13, {"Sscofpmf"}),
    ("mie", 1 << 13, {"Sscofpmf"}),
    ("mideleg", 1 << 13, {"Sscofpmf"}),
    ("vsie", 1 << 13, {"Sscofpmf"}),
    ("hideleg", 1 << 13, {"Shlcofideleg"}),
    ("hvip", 1 << 13, {"Ssaia"}),
    ("mhpmevent3", 1 << 63, {"Sscofpmf"}),
    ("mhpmevent31", 31 << 58, {"Sscofpmf"}),
    ("mcyclecfg", 3 << 58, {"H"}),
    ("mhpmevent7", 3 << 58, {"H"}),
    ("henvcfg", 1 << 60, {"Xrvpt"}),
    ("hideleg", 1 << 14, {"Xrvpt"}),
    ("mip", 3 << 14, {"Xrvpt"}),
    ("mie", 3 << 14, {"Xrvpt"}),
    ("mideleg", 1 << 14, {"Xrvpt"}),
    ("hvip", 1 << 14, {"Xrvpt"}),
])  # fmt: skip
def test_an_absent_extensions_bits_read_zero(name, mask, extensions):
    number = CSR_NUMBERS[name]
    assert registers(EVERY)[number].legalize(0, ONES) & mask == mask
    assert not registers(EVERY - extensions)[number].legalize(0, ONES) & mask


@pytest.mark.parametrize("count", [0, 1, 16, 29])
def test_counters_that_there_are_not_read_zero(count):
    rows = registers(EVERY, count)
    present = (1 << 3 + count) - 1
    for name in ("mcounteren", "hcounteren", "scounteren"):
        assert rows[CSR_NUMBERS[name]].legalize(0, ONES) == present
    assert rows[CSR_NUMBERS["mcountinhibit"]].legalize(0, ONES) == present & ~2
    for n in range(3, 32):
        for name in (f"mhpmcounter{n}", f"mhpmevent{n}"):
            assert bool(rows[CSR_NUMBERS[name]].legalize(0, ONES)) == (n < 3 + count)


# Xrvpt: docs/passthrough.md, sections 4 and 5.


def passed(name, mode, values):
    """What Xrvpt makes of an access that would be refused to VS-mode."""
    guest = values["menvcfg"] & CDE and values["henvcfg"] & CDE
    mine = values["mcounteren"] & values["hcounteren"] & ~2 if guest else 0
    if mode == VS and name in ("sireg", "sireg2"):
        select = values["vsiselect"] - 0x40
        enabled = values["mstateen0"] & values["hstateen0"] & CSRIND
        if enabled and 0 <= select < 32 and mine >> select & 1:
            return OK
    if name == "scountinhibit":
        return OK if mode == VS and guest else inhibit(mode, values)
    return indirect(name, mode, values, WITHOUT["nothing"])


@pytest.mark.parametrize("name", ["scountinhibit"] + [
    f"{prefix}ireg{suffix}" for prefix in ("s", "vs") for suffix in NUMBERS])  # fmt: skip
def test_what_xrvpt_passes_through(name):
    rows = registers(EVERY)
    gates = product((0, CDE), (0, CDE), (0, 1), (0, 1), (0, CSRIND), (0, CSRIND), SELECTS)
    for cde, guest, m, h, mstateen, hstateen, select in gates:
        number = select - 0x40 if 0x40 <= select <= 0x5F else 5
        values = {
            "menvcfg": cde,
            "henvcfg": guest & cde,
            "mcounteren": 1 << number if m else ONES ^ 1 << number,
            "hcounteren": 1 << number if h else ONES ^ 1 << number,
            "mstateen0": mstateen,
            "hstateen0": hstateen & mstateen,
            "siselect": select,
            "vsiselect": select,
        }
        for mode, write in product(MODES, (False, True)):
            found = refusal(rows, name, mode, write, values)
            assert found == passed(name, mode, values), (mode, values)


@pytest.mark.parametrize("cde, guest", [*product((0, CDE), repeat=2)])
def test_who_sees_scountovf_and_vscountinhibit_with_xrvpt(cde, guest):
    rows = registers(EVERY)
    values = {"menvcfg": cde, "henvcfg": guest & cde, "mcounteren": ONES, "hcounteren": ONES}
    vs = OK if guest or not cde else VIRTUAL
    if cde == 0:
        vs = OK  # Sscofpmf's masked copy
    assert [refusal(rows, "scountovf", mode, False, values) for mode in MODES] == [
        ILLEGAL, OK, OK, VIRTUAL, vs]  # fmt: skip
    own = OK if cde else ILLEGAL
    below = VIRTUAL if cde else ILLEGAL
    for write in (False, True):
        assert [refusal(rows, "vscountinhibit", mode, write, values) for mode in MODES] == [
            ILLEGAL, own, own, below, below]  # fmt: skip
