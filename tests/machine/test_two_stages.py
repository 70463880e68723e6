"""Two-stage translation: the hart agrees with a walker written anew (privileged manual 8.5)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S, U
from rvperf.machine.traps import Trap
from tests.machine.harts import (
    MPP_S,
    MPRV,
    MXR,
    RAM_AT,
    SUM,
    SV39,
    U_BIT,
    A,
    D,
    R,
    V,
    W,
    X,
    hart_in,
    pte,
    put_entry,
)

MPV, SPVP = 1 << 39, 1 << 8
READS_TABLE = 0x3000
RAM_PAGES = 64
# RAM: hgatp's root (four pages), its other tables, what guest physical addresses lead to.
HOST_ROOT, HOST_MIDDLES, HOST_LASTS = 0, (4, 5), (6, 7, 8)
GUEST_AT = 16  # the page of RAM where guest physical page 0 mostly lies
# Guest physical pages of the guest's tables.
GUEST_ROOT, GUEST_MIDDLES, GUEST_LASTS = 0, (1, 2), (3, 4, 5)
GUEST_PAGES = 16
INDICES = (0, 1, 255, 511)
RAM_PPN = RAM_AT >> 12


def guest_entry(choose, below):
    """An entry of the guest's tables: a pointer, or a leaf; at times anything else."""
    ppn, low, high = choose.choice(below or range(GUEST_PAGES)), V, 0
    if not below or choose.random() < 0.1:
        low = choose.choice([V | R | A | D, V | R | W | A | D, V | R | W | X | A | D, V | X | A])
        low |= choose.choice([0, U_BIT])
        if below:
            ppn = choose.choice([0, 512])
    if choose.random() < 0.05:
        low = choose.randrange(256)
    if choose.random() < 0.1:
        ppn = choose.choice([GUEST_PAGES, 1 << 28, 1 << 29, 1 << 43, 3])
    if choose.random() < 0.04:
        high = 1 << choose.choice([54, 61, 63])
    return ppn << 10 | low | high


def host_entry(choose, level, index):
    """An entry of the tables for guest physical addresses."""
    ppn = RAM_PPN + GUEST_AT + index
    low = V | U_BIT | choose.choice([R | W | X | A | D] * 8 + [R | A | D, X | A, R | W | A])
    if level:
        ppn = RAM_PPN + choose.choice(HOST_MIDDLES if level == 2 else HOST_LASTS)
        low = V
    if choose.random() < 0.04:
        low = choose.randrange(256)
    if choose.random() < 0.04:
        ppn = choose.choice([RAM_PPN, 0, 1 << 43, RAM_PPN + 512])
    if choose.random() < 0.02:
        return ppn << 10 | low | 1 << choose.choice([54, 61, 63])
    return ppn << 10 | low


def fill(hart, seed):
    """Random tables for both stages; guest physical page n lies mostly in page GUEST_AT + n."""
    choose = random.Random(seed)
    hart.ram.zero(RAM_AT, RAM_PAGES << 12)
    tables = [(2, HOST_ROOT, (0, 1, 512, 2047)), *((1, page, (0, 1)) for page in HOST_MIDDLES)]
    tables += [(0, page, range(GUEST_PAGES)) for page in HOST_LASTS]
    for level, page, indices in tables:
        for index in indices:
            put_entry(hart, RAM_AT + (page << 12), index, host_entry(choose, level, index))
    levels = [((GUEST_ROOT,), GUEST_MIDDLES), (GUEST_MIDDLES, GUEST_LASTS), (GUEST_LASTS, ())]
    for pages, below in levels:
        for page in pages:
            for index in INDICES:
                at = RAM_AT + (GUEST_AT + page << 12)
                put_entry(hart, at, index, guest_entry(choose, below))


class Refused(Exception):
    """(cause, gpa, tinst)."""


def in_ram(pa, size):
    return RAM_AT <= pa and pa + size <= RAM_AT + (RAM_PAGES << 12)


def walked(hart, address, root, width, permitted, read_entry, fault, missing):
    """10.3.2, for a root table with `width` index bits."""
    a, level = root, 2
    while True:
        index = address >> 12 + 9 * level
        index %= 1 << (width if level == 2 else 9)
        entry = read_entry(a + index * 8)
        v, r, w, x, u, _, accessed, dirty = (entry >> n & 1 for n in range(8))
        if not v or (w and not r) or entry >> 54:
            raise fault
        if r or x:
            break
        if level == 0:
            raise fault
        a, level = (entry >> 10) * 4096, level - 1
    if not permitted(r, w, x, u, accessed, dirty) or (entry >> 10) % 512**level:
        raise fault
    span = 4096 * 512**level
    return (entry >> 10 << 12) // span * span + address % span


def expected(hart, va, access, mode, hlvx, *, vsatp, hgatp, vsstatus, mstatus):
    """The physical address, or (cause, gpa, tinst)."""
    guest_fault = {"x": 20, "r": 21, "w": 23}[access]
    missing = Refused({"x": 1, "r": 5, "w": 7}[access], 0, 0)

    def word(pa):
        if not in_ram(pa, 8):
            raise missing
        return int.from_bytes(hart.ram.read(pa, 8), "little")

    def host(gpa, kind, fault, x_only=False):
        if not hgatp >> 60:
            return gpa
        if gpa >= 1 << 41:
            raise fault

        def permitted(r, w, x, u, a, d):
            readable = x if x_only else r or (x and mstatus & MXR)
            return u and a and {"r": readable, "w": w and d, "x": x}[kind]

        root = (hgatp & (1 << 44) - 1) << 12
        return walked(hart, gpa, root, 11, permitted, word, fault, missing)

    def permitted(r, w, x, u, a, d):
        readable = x if hlvx else r or (x and (mstatus | vsstatus) & MXR)
        allowed = {"r": readable, "w": w and d, "x": x}[access]
        if mode == VU:
            return u and a and allowed
        return a and allowed and (not u or (access != "x" and vsstatus & SUM))

    try:
        gpa = va
        if vsatp >> 60:
            page_fault = Refused({"x": 12, "r": 13, "w": 15}[access], 0, 0)
            if len({va >> n & 1 for n in range(38, 64)}) != 1:
                raise page_fault

            def entry(at):
                return word(host(at, "r", Refused(guest_fault, at, READS_TABLE)))

            root = (vsatp & (1 << 44) - 1) << 12
            gpa = walked(hart, va, root, 9, permitted, entry, page_fault, missing)
        pa = host(gpa, access, Refused(guest_fault, gpa, 0), hlvx)
        if not in_ram(pa & ~0xFFF, 4096):
            raise missing
    except Refused as refused:
        return refused.args
    return pa


def found(access, *args):
    try:
        return access(*args)
    except Trap as trap:
        assert trap.guest
        return int(trap.cause), trap.gpa, trap.tinst


addresses = st.builds(
    lambda indices, offset, top: (
        indices[0] << 30 | indices[1] << 21 | indices[2] << 12 | offset
        | ((1 << 64) - (1 << 39) if indices[0] >> 8 else 0)
    ) ^ top,
    st.tuples(*[st.sampled_from(INDICES)] * 3),
    st.sampled_from([0, 8, 0x123, 0xFFC]),
    st.sampled_from([0] * 9 + [1 << 39, 1 << 63, 1 << 41]),
)  # fmt: skip
bits = st.sampled_from([0, SUM, MXR, SUM | MXR])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.integers(0, 1 << 32),
    st.lists(addresses, min_size=1, max_size=12),
    st.tuples(bits, st.sampled_from([0, MXR])),
    st.sampled_from([(1, 1)] * 6 + [(0, 1), (1, 0), (0, 0)]),
)
def test_the_hart_walks_as_the_manual_says(seed, vas, statuses, stages):
    vsstatus, mstatus = statuses
    hart = hart_in(M, extensions=("H",))
    fill(hart, seed)
    guest_root = GUEST_ROOT if stages[1] else RAM_PPN + GUEST_AT
    settled = {
        "vsatp": SV39 * stages[0] | guest_root,
        "hgatp": stages[1] and SV39 | RAM_PPN + HOST_ROOT,
        "vsstatus": vsstatus,
        "mstatus": mstatus,
    }
    for name, value in settled.items():
        hart.set_csr(CSR_NUMBERS[name], value)
    for va in vas:
        for mode in (VU, VS):
            for access in "rwx":
                wanted = expected(hart, va, access, mode, False, **settled)
                hart.mode = mode
                assert found(hart.translate, va, access) == wanted
                if access != "x":  # by MPRV and MPV as well
                    hart.mode = M
                    level = MPP_S if mode == VS else 0
                    hart.set_csr(CSR_NUMBERS["mstatus"], mstatus | MPRV | MPV | level)
                    assert found(hart.translate, va, access) == wanted
                    hart.set_csr(CSR_NUMBERS["mstatus"], mstatus)
            for execute in (False, True):
                hart.mode = S
                hart.set_csr(CSR_NUMBERS["hstatus"], SPVP if mode == VS else 0)
                wanted = expected(hart, va & ~7, "r", mode, execute, **settled)
                if isinstance(wanted, int):
                    wanted = hart.ram.load(wanted, 8)
                assert found(hart.guest_load, va & ~7, 8, execute) == wanted


# What the walker above has in common with the hart, by hand.

PAGE = RAM_AT + (40 << 12)


def mapped(mode=VS, *, guest_leaf=V | R | W | X | A | D, host_leaf=V | R | W | X | U_BIT | A | D,
           **csrs):  # fmt: skip
    """A hart whose guest's 0x40000123 is guest physical 0x5123, and that PAGE + 0x123."""
    hart = hart_in(mode, extensions=("H",), vsatp=SV39, hgatp=SV39 | RAM_PPN, **csrs)
    tables = V | R | U_BIT | A
    put_entry(hart, RAM_AT, 0, pte(RAM_AT + (4 << 12), V))
    put_entry(hart, RAM_AT + (4 << 12), 0, pte(RAM_AT + (5 << 12), V))
    for gpn in range(3):
        put_entry(hart, RAM_AT + (5 << 12), gpn, pte(RAM_AT + (16 + gpn << 12), tables))
    put_entry(hart, RAM_AT + (5 << 12), 5, pte(PAGE, host_leaf))
    put_entry(hart, RAM_AT + (16 << 12), 1, pte(0x1000, V))
    put_entry(hart, RAM_AT + (17 << 12), 0, pte(0x2000, V))
    put_entry(hart, RAM_AT + (18 << 12), 0, pte(0x5000, guest_leaf))
    return hart


VA = 0x4000_0123


def test_a_guests_access_goes_through_both_stages():
    hart = mapped()
    for access in "rwx":
        assert hart.translate(VA, access) == PAGE + 0x123
    hart.store(VA, 8, 0x1122334455667788)
    assert hart.load(VA, 8) == hart.ram.load(PAGE + 0x123, 8) == 0x1122334455667788


@pytest.mark.parametrize("host_leaf, refused", [
    (0, "rwx"),
    (V | R | W | X | A | D, "rwx"),  # 8.5.1: as U-mode accesses, so U must be set
    (V | R | U_BIT | A, "wx"),
    (V | R | W | U_BIT | A, "wx"),  # Svade: D is software's to set
    (V | R | W | X | U_BIT | D, "rwx"),
])  # fmt: skip
def test_a_guest_page_fault_tells_the_guest_physical_address(host_leaf, refused):
    """8.6.2, 8.2.8: by the access that was tried, stval its address, htval the other's, over 4."""
    for access in refused:
        hart = mapped(host_leaf=host_leaf)
        with pytest.raises(Trap) as raised:
            hart.translate(VA, access)
        trap = raised.value
        assert trap.cause == {"x": 20, "r": 21, "w": 23}[access]
        assert (trap.tval, trap.gpa, trap.tinst) == (VA, 0x5123, 0)
        hart.set_csr(CSR_NUMBERS["medeleg"], (1 << 64) - 1)
        hart.take(trap)
        assert hart.mode == S
        seen = [hart.csr_value(CSR_NUMBERS[name]) for name in ("stval", "htval", "htinst")]
        assert seen == [VA, 0x5123 >> 2, 0]


@pytest.mark.parametrize("access, cause", [("x", 20), ("r", 21), ("w", 23)])
def test_a_fault_on_a_guests_table_is_told_by_a_pseudoinstruction(access, cause):
    """8.6.3: 0x3000 is a 64-bit read for VS-stage translation; the cause is the access's own."""
    hart = mapped()
    put_entry(hart, RAM_AT + (5 << 12), 2, 0)
    with pytest.raises(Trap) as raised:
        hart.translate(VA, access)
    trap = raised.value
    assert (trap.cause, trap.tval, trap.gpa, trap.tinst) == (cause, VA, 0x2000, 0x3000)


@pytest.mark.parametrize("leaf, mxr, allowed", [(V | X | A, 0, "x"), (V | X | A, MXR, "rx")])
def test_mxr_of_vsstatus_is_for_the_first_stage_alone(leaf, mxr, allowed):
    """8.2.11; mstatus.MXR is for both."""
    hart = mapped(guest_leaf=leaf, vsstatus=mxr)
    for access in "rx":
        assert isinstance(found(hart.translate, VA, access), int) == (access in allowed)
    hart = mapped(host_leaf=V | X | U_BIT | A, vsstatus=MXR)
    assert found(hart.translate, VA, "r") == (21, 0x5123, 0)
    hart = mapped(host_leaf=V | X | U_BIT | A, mstatus=MXR)
    assert hart.translate(VA, "r") == PAGE + 0x123


def test_another_root_is_another_space():
    hart = mapped()
    assert hart.translate(VA, "r") == PAGE + 0x123
    hart.set_csr(CSR_NUMBERS["vsatp"], SV39 | 3)
    assert found(hart.translate, VA, "r") == (21, 0x3008, READS_TABLE)
    hart.set_csr(CSR_NUMBERS["vsatp"], SV39)
    assert hart.translate(VA, "r") == PAGE + 0x123
    hart.set_csr(CSR_NUMBERS["hgatp"], 0)
    assert found(hart.translate, VA, "r") == (5, 0, 0)


def test_a_host_and_its_guest_do_not_share_what_is_remembered():
    hart = mapped()
    assert hart.translate(VA, "r") == PAGE + 0x123
    for mode in (S, U):
        hart.mode = mode
        with pytest.raises(Trap) as raised:
            hart.translate(VA, "r")
        assert raised.value.cause == 5  # satp is bare, and there is no memory
    hart.mode = VS
    assert hart.translate(VA, "r") == PAGE + 0x123
