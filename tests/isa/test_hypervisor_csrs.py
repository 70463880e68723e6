"""The hypervisor extension's CSRs: which exception a mode gets for them, and what they keep.

Rules are the manual's (privileged, chapter 8; Sstc, Smstateen, AIA), named in comments.
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.csrs import CSR_NUMBERS, CSRS, registers
from isa.ext import EVERY, EXTENSIONS, STANDARD
from isa.modes import VS, VU, M, S, U

ONES = (1 << 64) - 1
RATIFIED = EVERY - {"Xrvpt"}
ROWS = registers(RATIFIED)
HYPERVISOR = registers(STANDARD | {"H"})
OK, ILLEGAL, VIRTUAL = None, 2, 22
MODES = (U, S, M, VU, VS)
FS, TVM, VTVM, STCE, TM = 3 << 13, 1 << 20, 1 << 20, 1 << 63, 1 << 1


def refusal(name: str, mode: int, write: bool = False, rows=HYPERVISOR, **others: int):
    """What an access raises, the other CSRs having these values or else zero."""
    return rows[CSR_NUMBERS[name]].refusal(mode, write, lambda other: others.get(other, 0))


def in_modes(name: str, write: bool = False, rows=HYPERVISOR, **others: int) -> list[int | None]:
    """What it raises in U, HS, M, VU and VS."""
    return [refusal(name, mode, write, rows, **others) for mode in MODES]


def legal(name: str, new: int, old: int = 0, rows=ROWS) -> int:
    return rows[CSR_NUMBERS[name]].legalize(old, new)


# 8.6.1: in VS-mode hypervisor CSRs and VS CSRs, in VU-mode those and supervisor CSRs, raise a
# virtual instruction exception where HS-mode may access them, and others an illegal instruction.
@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("number", list(HYPERVISOR))
def test_which_exception_follows_from_the_level_in_the_address(number, write):
    csr = HYPERVISOR[number]
    enabled = {
        "mstatus": FS, "vsstatus": FS, "mcounteren": ONES, "scounteren": ONES,
        "hcounteren": ONES, "menvcfg": STCE, "henvcfg": STCE,
    }  # fmt: skip
    found = in_modes(csr.name, write, **enabled)
    level, read_only = number >> 8 & 3, number >> 10 == 3
    if write and read_only:
        assert found == [ILLEGAL] * 5
    elif level == 0:
        assert found == [OK] * 5
    elif level == 1:
        assert found == [ILLEGAL, OK, OK, VIRTUAL, OK]
    elif level == 2:
        assert found == [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]
    else:
        assert found == [ILLEGAL, ILLEGAL, OK, ILLEGAL, ILLEGAL]


# 8.2.6 hcounteren; 3.1.11 mcounteren; 10.1.5 scounteren: the matrix by every bit of the gates.
@pytest.mark.parametrize("name, number", [("cycle", 0), ("time", 1), ("instret", 2),
                                          ("hpmcounter3", 3), ("hpmcounter31", 31)])  # fmt: skip
@pytest.mark.parametrize("m, h, s", [*product((0, 1), repeat=3)])
def test_counters_are_gated_by_each_mode_above(name, number, m, h, s):
    gates = {"mcounteren": m << number, "hcounteren": h << number, "scounteren": s << number}
    expected = {
        M: OK,
        S: OK if m else ILLEGAL,
        U: OK if m and s else ILLEGAL,
        VS: ILLEGAL if not m else OK if h else VIRTUAL,
        VU: ILLEGAL if not m else OK if h and s else VIRTUAL,
    }
    for mode in MODES:
        assert refusal(name, mode, **gates) == expected[mode], mode
        assert refusal(name, mode, write=True, **gates) == ILLEGAL
        others = {gate: ~value & ONES for gate, value in gates.items()}
        if not (m or h or s):  # enables of other counters don't count
            others = {gate: ONES ^ 1 << number for gate in gates}
            assert refusal(name, mode, **others) == (OK if mode == M else ILLEGAL)


# 8.2.1 VTVM is satp's in VS-mode; 3.1.6.5 TVM is satp's and hgatp's in HS-mode and not V=1's.
@pytest.mark.parametrize("tvm, vtvm", [*product((0, TVM), (0, VTVM))])
def test_what_tvm_and_vtvm_keep(tvm, vtvm):
    status = {"mstatus": tvm, "hstatus": vtvm}
    hs = ILLEGAL if tvm else OK
    for write in (False, True):
        vs = VIRTUAL if vtvm else OK
        assert in_modes("satp", write, **status) == [ILLEGAL, hs, OK, VIRTUAL, vs]
        assert in_modes("hgatp", write, **status) == [ILLEGAL, hs, OK, VIRTUAL, VIRTUAL]
        assert in_modes("vsatp", write, **status) == [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]


# 8.2.11: both vsstatus.FS and sstatus.FS; Off in either is an illegal instruction.
@pytest.mark.parametrize("name", ["fcsr", "frm", "fflags"])
@pytest.mark.parametrize("fs, vfs", [*product((0, FS), (0, FS))])
def test_floating_point_csrs_of_a_guest_need_both_units_on(name, fs, vfs):
    host, guest = OK if fs else ILLEGAL, OK if fs and vfs else ILLEGAL
    assert in_modes(name, mstatus=fs, vsstatus=vfs) == [host, host, host, guest, guest]


# Sstc: stimecmp in VS-mode, which is vstimecmp, needs both STCE and both TM.
@pytest.mark.parametrize("mstce, mtm, hstce, htm", [*product((0, 1), repeat=4)])
def test_timers_are_granted_by_stce_and_tm(mstce, mtm, hstce, htm):
    gates = {
        "menvcfg": mstce * STCE, "mcounteren": mtm * TM,
        "henvcfg": hstce * STCE, "hcounteren": htm * TM,
    }  # fmt: skip
    host = OK if mstce and mtm else ILLEGAL
    below = VIRTUAL if host is OK else ILLEGAL
    guest = OK if host is OK and hstce and htm else below
    assert in_modes("stimecmp", **gates) == [ILLEGAL, host, OK, below, guest]
    assert in_modes("vstimecmp", **gates) == [ILLEGAL, host, OK, below, below]


# Smstateen: mstateen's bits gate all modes below M (illegal), hstateen's V=1 (virtual).
@pytest.mark.parametrize("m, h", [*product((0, 1), repeat=2)])
def test_state_enables_gate_envcfg_and_themselves(m, h):
    host = OK if m else ILLEGAL
    below = VIRTUAL if m else ILLEGAL
    guest = OK if m and h else below
    gates = {"mstateen0": m << 62, "hstateen0": h << 62}
    assert in_modes("senvcfg", rows=ROWS, **gates) == [ILLEGAL, host, OK, below, guest]
    assert in_modes("henvcfg", rows=ROWS, **gates) == [ILLEGAL, host, OK, below, below]
    for n in range(4):
        gates = {f"mstateen{n}": m << 63, f"hstateen{n}": h << 63}
        found = in_modes(f"sstateen{n}", rows=ROWS, **gates)
        assert found == [ILLEGAL, host, OK, below, guest]
        found = in_modes(f"hstateen{n}", rows=ROWS, **gates)
        assert found == [ILLEGAL, host, OK, below, below]
        assert in_modes(f"mstateen{n}", rows=ROWS, **gates) == [ILLEGAL, ILLEGAL, OK] + 2 * [
            ILLEGAL
        ]


@pytest.mark.parametrize("name", ["hvien", "hvictl"])
@pytest.mark.parametrize("m", [0, 1])
def test_state_enables_gate_what_filters_interrupts(name, m):
    host, below = (OK, VIRTUAL) if m else (ILLEGAL, ILLEGAL)
    found = in_modes(name, rows=ROWS, mstateen0=m << 59, hstateen0=ONES)
    assert found == [ILLEGAL, host, OK, below, below]


# AIA 6.3.3: with hvictl.VTI, VS-mode's accesses to sip and sie are virtual instructions.
@pytest.mark.parametrize("name", ["sip", "sie"])
@pytest.mark.parametrize("vti", [0, 1])
def test_vti_takes_the_interrupts_from_vs_mode(name, vti):
    found = in_modes(name, rows=ROWS, hvictl=vti << 30)
    assert found == [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL if vti else OK]


# AIA 6.3.2: nor may it write what could make an interrupt of vsip go away, which is its timer.
@pytest.mark.parametrize("write, vti", [*product((False, True), (0, 1))])
def test_vti_takes_the_timer_from_vs_mode(write, vti):
    timer = {"menvcfg": STCE, "henvcfg": STCE, "mcounteren": TM, "hcounteren": TM}
    found = in_modes("stimecmp", write, rows=ROWS, hvictl=vti << 30, **timer)
    assert found == [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL if write and vti else OK]


@pytest.mark.parametrize(
    "name, old, new, result",
    [
        ("mstatus", 0, ONES, 0x8000_00CA_007E_79AA),  # GVA 38, MPV 39 (8.4.1)
        ("misa", 0, 0, 2 << 62 | 0b1_0100_0001_0001_1010_1111),
        ("medeleg", 0, ONES, 0xF0_B7FF),  # calls from VS, guest page faults, 22 (8.4.2)
        ("mideleg", 0x3666, 0, 0x1444),  # VS-mode's, and guest external, are always delegated
        ("mideleg", 0, ONES, 0x3666),
        ("mie", 0, ONES, 0x3EEE),
        ("mip", 0, ONES, 0x2226),  # VSSIP is writable, the others are hvip's and the devices'
        ("hstatus", 0, ONES, 0x2_0070_03C0),  # VSXL 2; VGEIN of 63 is none, 0 stays
        ("hstatus", 0, 1 << 12, 0x2_0000_1000),
        ("hedeleg", 0, ONES, 0xB1FF),  # not calls from HS, VS and M, nor 20 to 23 (8.2.2)
        ("hideleg", 0, ONES, 0x2444),  # 13 with Shlcofideleg
        ("hvip", 0, ONES, 0x2444),  # 13 with Ssaia
        ("hvien", 0, ONES, 0x2000),
        ("hvictl", 0, ONES, 0x4FFF_03FF),
        ("hgeie", 0, ONES, 2),
        ("hcounteren", 0, ONES, 0xFFFF_FFFF),
        ("htimedelta", 0, ONES, ONES),
        ("henvcfg", 0, ONES, 1 << 63 | 0b1111_0001),
        ("htval", 0, ONES, ONES),
        ("htinst", 0, ONES, ONES),
        ("hgatp", 0, 8 << 60 | 0x3FFF << 44 | 7, 8 << 60 | 0x3FFF << 44 | 4),  # 16 KiB (8.2.10)
        ("hgatp", 8 << 60 | 4, 9 << 60 | 8, 8 << 60 | 8),  # fields alone: not as satp
        ("vsstatus", 0, ONES, 0x8000_0002_000C_6122),
        ("vsatp", 7, 9 << 60 | 5, 7),
        ("vsepc", 0, 0x1003, 0x1002),
        ("vstvec", 0x100, 0x203, 0x200),
        ("mstateen0", 0, ONES, 3 << 62 | 3 << 59 | 1 << 54),  # AIA, CSRIND, CTR
        ("mstateen1", 0, ONES, 1 << 63),
        ("sstateen0", 0, ONES, 0),
    ],
)
def test_writes_keep_what_is_legal(name, old, new, result):
    assert legal(name, new, old) == result


@pytest.mark.parametrize("name, without", [("hideleg", {"Shlcofideleg"}), ("hvip", {"Ssaia"})])
def test_counter_overflow_is_another_extensions_bit(name, without):
    assert legal(name, ONES, rows=registers(RATIFIED - without)) == 0x444


def test_without_the_extension_all_is_as_if_there_were_none():
    added = {csr.name for extension in EXTENSIONS if extension.name == "H"
             for csr in extension.csrs}  # fmt: skip
    assert len(added) == 25 and not added & {csr.name for csr in CSRS.values()}
    assert not {"vstimecmp", "hstateen0", "hvien"} & {
        csr.name for csr in registers(RATIFIED - {"H", "Shlcofideleg"}).values()
    }
    for name, kept in [("mstatus", 0x8000_000A_007E_79AA), ("mip", 0x222), ("medeleg", 0xB3FF)]:
        assert legal(name, ONES, rows=CSRS) == kept


def test_vs_csrs_stand_for_the_supervisors_of_their_name():
    pairs = {csr.name: csr.stands_for for csr in HYPERVISOR.values() if csr.stands_for}
    names = "status ie tvec scratch epc cause tval ip atp timecmp".split()
    assert pairs == {f"vs{name}": f"s{name}" for name in names}
