"""Sv39: which accesses a page table allows, and where they lead (privileged manual 10.4)."""

import pytest

from isa.csrs import CSR_NUMBERS
from isa.modes import M, S, U
from tests.machine.harts import (
    MPP_M,
    MPP_S,
    MPRV,
    MXR,
    RAM_AT,
    SUM,
    SV39,
    U_BIT,
    A,
    D,
    G,
    R,
    V,
    W,
    X,
    hart_in,
    outcome,
    pte,
    put_entry,
)

ROOT, MIDDLE, LAST, PAGE = (RAM_AT + (n << 12) for n in range(1, 5))
PAGE_FAULT = {"x": 12, "r": 13, "w": 15}
ACCESS_FAULT = {"x": 1, "r": 5, "w": 7}
BITS = {"R": R, "W": W, "X": X, "U": U_BIT}


def paged(mode=S, mstatus=0, leaf=0, *, level=0, **csrs):
    """A hart whose address 0x123 (and what shares its tables) is mapped by `leaf` at a level."""
    hart = hart_in(mode, mstatus=mstatus, satp=SV39 | ROOT >> 12, **csrs)
    entries = [(ROOT, pte(MIDDLE, V)), (MIDDLE, pte(LAST, V)), (LAST, 0)]
    entries[2 - level] = entries[2 - level][0], leaf
    for table, entry in entries:
        put_entry(hart, table, 0, entry)
    return hart


def allowed(hart, fetch=True):
    """The accesses to 0x123 that succeed, as letters; the others must be page faults."""
    letters = ""
    for access in "rwx" if fetch else "rw":
        found = outcome(hart.translate, 0x123, access)
        if found == PAGE + 0x123:
            letters += access
        else:
            assert found == (PAGE_FAULT[access], 0x123)
    return letters


PERMISSIONS = [
    # page, then what U-mode may do, S-mode, S-mode with SUM; the same with MXR
    ("R   ", "", "r", "r", "", "r", "r"),
    ("RW  ", "", "rw", "rw", "", "rw", "rw"),
    ("  X ", "", "x", "x", "", "rx", "rx"),
    ("R X ", "", "rx", "rx", "", "rx", "rx"),
    ("RWX ", "", "rwx", "rwx", "", "rwx", "rwx"),
    ("R  U", "r", "", "r", "r", "", "r"),
    ("RW U", "rw", "", "rw", "rw", "", "rw"),
    ("  XU", "x", "", "", "rx", "", "r"),  # S-mode never executes what is the user's
    ("R XU", "rx", "", "r", "rx", "", "r"),
    ("RWXU", "rwx", "", "rw", "rwx", "", "rw"),
    (" W  ", "", "", "", "", "", ""),  # reserved
    (" WX ", "", "", "", "", "", ""),
    (" W U", "", "", "", "", "", ""),
    (" WXU", "", "", "", "", "", ""),
    ("    ", "", "", "", "", "", ""),  # a pointer where no table can follow
]
COLUMNS = [(U, 0), (S, 0), (S, SUM), (U, MXR), (S, MXR), (S, SUM | MXR)]


@pytest.mark.parametrize("page, may", [(row[0], row[1:]) for row in PERMISSIONS])
def test_what_each_mode_may_do_with_a_page(page, may):
    leaf = pte(PAGE, V | A | D | sum(BITS.get(letter, 0) for letter in page))
    for (mode, status), letters in zip(COLUMNS, may, strict=True):
        assert allowed(paged(mode, status, leaf)) == letters, (mode, status)
        assert allowed(paged(mode, status, leaf | G)) == letters
        # M-mode with MPRV loads and stores as the mode in MPP, and fetches as itself.
        machine = paged(M, status | MPRV | (MPP_S if mode == S else 0), leaf)
        assert allowed(machine, fetch=False) == letters.replace("x", "")
        assert outcome(machine.translate, PAGE, "x") == PAGE


@pytest.mark.parametrize("status", [0, MPP_S, MPRV | MPP_M, SUM | MXR])
def test_m_mode_is_not_translated(status):
    hart = paged(M, status, 0)
    for access in "rwx":
        assert hart.translate(PAGE + 5, access) == PAGE + 5
        assert outcome(hart.translate, 5, access) == (ACCESS_FAULT[access], 5)


@pytest.mark.parametrize("mode", [U, S])
def test_without_a_scheme_addresses_are_physical(mode):
    hart = hart_in(mode)
    for access in "rwx":
        assert hart.translate(RAM_AT + 7, access) == RAM_AT + 7
        assert outcome(hart.translate, RAM_AT - 1, access) == (ACCESS_FAULT[access], RAM_AT - 1)


@pytest.mark.parametrize(
    "flags, may",
    [(A | D, "rwx"), (A, "rx"), (D, ""), (0, "")],
)
def test_accessed_and_dirty_are_for_software_to_set(flags, may):
    hart = paged(S, 0, pte(PAGE, V | R | W | X | flags))
    assert allowed(hart) == may
    assert hart.ram.load(LAST, 8) == pte(PAGE, V | R | W | X | flags)  # untouched


@pytest.mark.parametrize("level, va, offset", [
    (1, 0x123, 0x123),
    (1, 0x3F_FFF, 0x3F_FFF),
    (2, 0x123, 0x123),
    (2, 0x2_3456, 0x2_3456),
])  # fmt: skip
def test_a_leaf_at_a_higher_level_is_a_superpage(level, va, offset):
    hart = paged(S, 0, pte(RAM_AT, V | R | W | X | A | D), level=level)
    for access in "rwx":
        assert hart.translate(va, access) == RAM_AT + offset


@pytest.mark.parametrize("level, pa", [
    (1, RAM_AT + 0x1000),
    (1, RAM_AT + 0x10_0000),
    (2, RAM_AT + 0x1000),
    (2, RAM_AT + 0x20_0000),
])  # fmt: skip
def test_a_misaligned_superpage_is_a_page_fault(level, pa):
    hart = paged(S, 0, pte(pa, V | R | W | X | A | D), level=level)
    assert allowed(hart) == ""


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(R | W | X | A | D, id="not valid"),
        pytest.param(V | R | A | D | 1 << 54, id="reserved bit"),
        pytest.param(V | R | A | D | 1 << 61, id="Svpbmt, which this hart lacks"),
        pytest.param(V | R | A | D | 1 << 63, id="Svnapot, which this hart lacks"),
    ],
)
def test_an_entry_that_is_no_entry_is_a_page_fault(level, entry):
    assert allowed(paged(S, 0, pte(RAM_AT, 0) | entry, level=level)) == ""


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("reserved", [1 << 54, 1 << 60, 1 << 61, 1 << 63])
def test_reserved_bits_of_a_pointer_are_a_page_fault(level, reserved):
    hart = paged(S, 0, pte(PAGE, V | R | W | X | A | D))
    table, entry = (ROOT, pte(MIDDLE, V)) if level == 2 else (MIDDLE, pte(LAST, V))
    put_entry(hart, table, 0, entry | reserved)
    assert allowed(hart) == ""


@pytest.mark.parametrize("va", [1 << 38, 1 << 39, (1 << 64) - (1 << 39), 1 << 63, 0xFFFF << 40])
def test_an_address_that_is_not_the_extension_of_bit_38_is_a_page_fault(va):
    hart = paged(S, 0, pte(RAM_AT, V | R | W | X | A | D), level=2)
    put_entry(hart, ROOT, 256, pte(RAM_AT, V | R | W | X | A | D))
    for access in "rwx":
        assert outcome(hart.translate, va, access) == (PAGE_FAULT[access], va)
        assert hart.translate((1 << 64) - (1 << 38), access) == RAM_AT


@pytest.mark.parametrize(
    "level, entry",
    [
        (2, pte(0, V)),  # tables where there is no memory
        (1, pte(RAM_AT + (64 << 12), V)),
        (0, pte(0x1000, V | R | W | X | A | D)),
        (0, pte((1 << 56) - 0x1000, V | R | W | X | A | D)),
        (1, pte(0, V | R | W | X | A | D)),
    ],
)
def test_what_lies_outside_of_memory_is_an_access_fault(level, entry):
    hart = paged(S, 0, entry, level=level)
    for access in "rwx":
        assert outcome(hart.translate, 0x123, access) == (ACCESS_FAULT[access], 0x123)


def test_a_root_outside_of_memory_is_an_access_fault():
    hart = hart_in(S, satp=SV39 | 1)
    assert outcome(hart.load, 0x8, 8) == (5, 0x8)


def test_a_fault_on_the_second_page_is_reported_there_and_nothing_is_written():
    hart = paged(S, 0, pte(PAGE, V | R | W | A | D))
    hart.ram.store(PAGE + 0xFF8, 8, 0x1122334455667788)
    assert outcome(hart.load, 0xFFC, 8) == (13, 0x1000)
    assert outcome(hart.store, 0xFFC, 8, 0) == (15, 0x1000)
    assert hart.ram.load(PAGE + 0xFF8, 8) == 0x1122334455667788
    put_entry(hart, LAST, 1, pte(RAM_AT, V | R | W | A | D))  # the next page lies elsewhere
    hart.store(0xFFC, 8, 0xAABBCCDD_EEFF0011)
    assert hart.ram.load(PAGE + 0xFFC, 4) == 0xEEFF0011
    assert hart.ram.load(RAM_AT, 4) == 0xAABBCCDD
    assert hart.load(0xFFC, 8) == 0xAABBCCDD_EEFF0011


@pytest.mark.parametrize("va", [0x000, 0xFFF, None])
def test_a_fence_lets_translations_see_the_tables(va):
    leaf = pte(PAGE, V | R | W | A | D)
    hart = paged(S, 0, leaf)
    assert allowed(hart) == "rw"
    put_entry(hart, LAST, 0, leaf & ~W)
    hart.sfence_vma(va)
    assert allowed(hart) == "r"


def test_a_fence_reaches_what_was_walked_in_other_modes():
    hart = paged(U, 0, pte(PAGE, V | R | U_BIT | A | D))
    assert allowed(hart) == "r"
    hart.mode = S
    put_entry(hart, LAST, 0, 0)
    hart.sfence_vma(0x000)
    hart.mode = U
    assert allowed(hart) == ""


def test_engines_hear_of_fences():
    heard = []
    hart = hart_in(S)
    hart.fences.append(lambda va, asid: heard.append((va, asid)))
    hart.sfence_vma()
    hart.sfence_vma(0x5000)
    hart.sfence_vma(0x5000, 3)
    hart.sfence_vma(None, 3)
    assert heard == [(None, None), (0x5000, None), (0x5000, 3), (None, 3)]


def test_another_root_is_another_space():
    hart = paged(S, 0, pte(PAGE, V | R | A | D))
    assert hart.translate(0x123, "r") == PAGE + 0x123
    hart.write_csr(CSR_NUMBERS["satp"], SV39 | PAGE >> 12)
    assert outcome(hart.translate, 0x123, "r") == (13, 0x123)
    hart.write_csr(CSR_NUMBERS["satp"], 0)
    assert hart.translate(RAM_AT, "r") == RAM_AT


def test_modes_and_their_rights_are_not_mixed_up_by_what_is_remembered():
    hart = paged(S, 0, pte(PAGE, V | R | W | U_BIT | A | D))
    mstatus = CSR_NUMBERS["mstatus"]
    for _ in range(2):  # the second time all is remembered
        for mode, status, may in [
            (U, 0, "rw"),
            (S, 0, ""),
            (S, SUM, "rw"),
            (S, SUM | MXR, "rw"),
            (U, SUM, "rw"),
        ]:
            hart.mode = mode
            hart.set_csr(mstatus, status)
            assert allowed(hart) == may
        hart.mode = M
        hart.set_csr(mstatus, MPRV)
        assert allowed(hart, fetch=False) == "rw"
        hart.set_csr(mstatus, MPRV | MPP_S)  # MPP alone changes whose rights count
        assert allowed(hart, fetch=False) == ""
        hart.set_csr(mstatus, MPRV | MPP_S | SUM)
        assert allowed(hart, fetch=False) == "rw"
