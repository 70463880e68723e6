"""CSRs: who may see them, what of a write is legal, and what their views show."""

from __future__ import annotations

from itertools import product

import pytest

from isa.counting import counter_visible
from isa.csr import Csr, bits, expand
from isa.csrs import CSR_NAMES, CSR_NUMBERS, CSRS, registers
from isa.ext import EVERY, EXTENSIONS
from isa.modes import M, S, U

ONES = (1 << 64) - 1


def legal(name: str, new: int, old: int = 0) -> int:
    """What a CSR holds after a write over `old`."""
    return CSRS[CSR_NUMBERS[name]].legalize(old, new)


def permits(name: str, mode: int, write: bool = False, **others: int) -> bool:
    """Whether a mode may access a CSR, the others having these values or else zero."""
    return CSRS[CSR_NUMBERS[name]].permits(mode, write, lambda other: others.get(other, 0))


# What binutils 2.40 does not know, as the manual lists it; one is our own (Xrvpt).
NEWER = {
    "scountinhibit": 0x120,
    "mcyclecfg": 0x321,
    "minstretcfg": 0x322,
    "vscountinhibit": 0x6C0,
    "mctrctl": 0x34E,
    "sctrctl": 0x14E,
    "vsctrctl": 0x24E,
    "sctrdepth": 0x15F,
    "sctrstatus": 0x14F,
} | {
    f"{prefix}ireg{n}": first + offset
    for prefix, first in (("m", 0x350), ("s", 0x150), ("vs", 0x250))
    for n, offset in ((2, 2), (3, 3), (4, 5), (5, 6), (6, 7))
}


def test_addresses_of_newer_csrs_are_the_manuals():
    assert {name: CSR_NUMBERS[name] for name in NEWER} == NEWER


def test_addresses_are_what_binutils_has_for_the_names(binutils):
    names = [name for name in CSR_NUMBERS if name not in NEWER]
    code = binutils.assemble("".join(f"csrr a0, {name}\n" for name in names))
    words = [int.from_bytes(code[at : at + 4], "little") for at in range(0, len(code), 4)]
    found = {name: word >> 20 for name, word in zip(names, words, strict=True)}
    assert found | NEWER == CSR_NUMBERS


def test_no_address_or_name_is_declared_twice():
    declared = [csr for extension in EXTENSIONS for csr in extension.csrs]
    every = registers(EVERY)
    assert len(declared) == len(every) == len(CSR_NUMBERS) == len(CSR_NAMES)


def test_fields_do_not_overlap_and_views_are_of_what_exists():
    for csr in registers(EVERY).values():
        masks = [field.mask for field in csr.fields.values()]
        assert sum(masks) == sum(set(masks)) and not any(
            a & b for n, a in enumerate(masks) for b in masks[:n]
        ), csr.name
        assert csr.doc
        if csr.view:
            assert csr.view.of in CSR_NUMBERS and not csr.fields
            gate = csr.view.gate
            assert gate is None or callable(gate) or gate in CSR_NUMBERS


def test_a_range_declares_one_for_each_number():
    found = list(expand(Csr("pmpcfg{0..4..2}", 0x3A0, "")))
    assert [(csr.name, csr.address) for csr in found] == [
        ("pmpcfg0", 0x3A0),
        ("pmpcfg2", 0x3A2),
        ("pmpcfg4", 0x3A4),
    ]
    assert [CSR_NUMBERS[f"mhpmevent{n}"] for n in (3, 31)] == [0x323, 0x33F]
    assert CSRS[0xC1F].view.of == "mhpmcounter31"


@pytest.mark.parametrize("name, least", [("fcsr", U), ("sstatus", S), ("stvec", S), ("mtvec", M)])
def test_the_address_says_the_least_mode(name, least):
    for mode in (U, S, M):
        assert permits(name, mode, mstatus=ONES) == (mode >= least)


@pytest.mark.parametrize("name", ["cycle", "mvendorid", "mhartid", "hpmcounter3"])
def test_read_only_csrs_are_not_written(name):
    assert permits(name, M)
    assert not permits(name, M, write=True)


@pytest.mark.parametrize("name, number", [("cycle", 0), ("time", 1), ("instret", 2),
                                          ("hpmcounter3", 3), ("hpmcounter31", 31)])  # fmt: skip
@pytest.mark.parametrize("mode, m, s", [*product((U, S, M), (0, 1), (0, 1))])
def test_a_counter_needs_an_enable_for_each_mode_below(name, number, mode, m, s):
    enables = {"mcounteren": m << number, "scounteren": s << number}
    expected = {M: True, S: bool(m), U: bool(m and s)}[mode]
    assert permits(name, mode, **enables) == expected
    assert counter_visible(number, mode, m << number, s << number) == expected


@pytest.mark.parametrize("name", ["fflags", "frm", "fcsr"])
def test_floating_point_csrs_are_illegal_while_floating_point_is_off(name):
    for mode in (U, S, M):
        assert not permits(name, mode)
        assert permits(name, mode, mstatus=1 << 13)


def test_tvm_keeps_satp_from_supervisor_mode():
    assert permits("satp", S)
    assert not permits("satp", S, mstatus=1 << 20)
    assert permits("satp", M, mstatus=1 << 20)


@pytest.mark.parametrize("stce, tm", [*product((0, 1), (0, 1))])
def test_stimecmp_needs_stce_and_the_time(stce, tm):
    others = {"menvcfg": stce << 63, "mcounteren": tm << 1}
    assert permits("stimecmp", S, write=True, **others) == bool(stce and tm)
    assert permits("stimecmp", M, write=True, **others)


@pytest.mark.parametrize(
    "name, old, new, result",
    [
        ("mstatus", 0, ONES, 0x8000_000A_007E_79AA),  # UXL and SXL are 2, FS dirty makes SD
        ("mstatus", 0, 1 << 13, 0x8000_000A_0000_6000),  # FS is Off or Dirty
        ("mstatus", 0x8000_000A_007E_79AA, 0, 0xA_0000_0000),
        ("mstatus", 3 << 11, 2 << 11, 0xA_0000_1800),  # MPP has no mode 2
        ("misa", 0, 0, 2 << 62 | 0b1_0100_0001_0001_0010_1111),
        ("mtvec", 0x100, 0x203, 0x200),  # MODE 3 is reserved: the old one stays
        ("mtvec", 0, 0x201, 0x201),
        ("mepc", 0, 0x1003, 0x1002),
        ("medeleg", 0, ONES, 0xB3FF),  # not calls from M-mode, nor what doesn't exist
        ("mideleg", 0, ONES, 0x222),
        ("mie", 0, ONES, 0xAAA),
        ("mip", 0, ONES, 0x222),  # M-mode's own are the devices'
        ("satp", 0, 8 << 60 | 1 << 44 | 5, 8 << 60 | 1 << 44 | 5),
        ("satp", 7, 9 << 60 | 5, 7),  # Sv48: no effect at all
        ("mcountinhibit", 0, ONES, 0xFFFF_FFFD),
        ("mcounteren", 0, ONES, 0xFFFF_FFFF),
        ("menvcfg", 1 << 4, ONES & ~(1 << 4), 1 << 63 | 0b1101_0001),  # CBIE 2 is reserved
        ("senvcfg", 0, ONES, 0b1111_0001),
        ("fcsr", 0, ONES, 0xFF),
        ("pmpcfg4", 0, ONES, 0),
        ("pmpaddr63", 0, ONES, 0),
    ],
)
def test_writes_keep_what_is_legal(name, old, new, result):
    assert legal(name, new, old) == result


def test_sstatus_shows_and_changes_its_part_of_mstatus():
    sstatus = CSRS[CSR_NUMBERS["sstatus"]]
    assert sstatus.read(lambda name: {"mstatus": 0x8000_000A_007E_79AA}[name]) == (
        0x8000_0002_000C_6122
    )
    written = sstatus.write(0, lambda name: {"mstatus": 0x8000_000A_007E_79AA}[name])
    assert legal("mstatus", written) == 0xA_0072_1888


@pytest.mark.parametrize("mideleg, shown", [(0, 0), (0x20, 0x20), (0x2222, 0x2222)])
def test_sie_and_sip_show_what_is_delegated(mideleg, shown):
    values = {"mie": 0xAAAA, "mip": 0xAAAA, "mideleg": mideleg}
    for name in ("sie", "sip"):
        assert CSRS[CSR_NUMBERS[name]].read(values.__getitem__) == shown


def test_sip_changes_software_and_overflow_interrupts_alone():
    values = {"mip": 0, "mideleg": 0x2222}
    assert CSRS[CSR_NUMBERS["sip"]].write(ONES, values.__getitem__) == 0x2002


def test_fflags_and_frm_are_parts_of_fcsr():
    values = {"fcsr": 0b011_10101}
    fflags, frm = CSRS[1], CSRS[2]
    assert (fflags.read(values.__getitem__), frm.read(values.__getitem__)) == (0b10101, 0b011)
    assert fflags.write(ONES, values.__getitem__) == 0b011_11111
    assert frm.write(0b101, values.__getitem__) == 0b101_10101


def test_a_field_says_its_value():
    assert bits(12, 11).of(0x1800) == 3
    assert bits(63).of(1 << 63) == 1
