"""Physical memory protection (privileged manual 3.7): its CSRs, and who may access what."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.assembly import program
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S, U
from rvperf.engine.hot import Regions
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.firmware import Firmware
from tests.fuzz import AtOnce
from tests.machine.harts import (
    MPP_M,
    MPP_S,
    MPRV,
    RAM_AT,
    RAM_SIZE,
    SV39,
    A,
    D,
    V,
    hart_in,
    outcome,
    pte,
    put_entry,
    read,
    value,
    write,
)
from tests.machine.harts import U_BIT as PTE_U
from tests.machine.harts import R as PTE_R
from tests.machine.harts import W as PTE_W
from tests.machine.harts import X as PTE_X

R, W, X, TOR, NA4, NAPOT, L = 1, 2, 4, 1 << 3, 2 << 3, 3 << 3, 1 << 7
RWX = R | W | X
ALL = (1 << 54) - 1  # with NAPOT, all of memory
ONES = (1 << 64) - 1
ACCESS_FAULT = {"x": 1, "r": 5, "w": 7}


def page(n: int) -> int:
    """The address of a page of RAM."""
    return RAM_AT + (n << 12)


def one_page(n: int) -> int:
    """The pmpaddr of a page of RAM, for NAPOT."""
    return page(n) >> 2 | 0x1FF


def protected(mode=M, cfg=(), addr=(), **given) -> Hart:
    """A hart with 16 entries, the first of which have these configurations and addresses."""
    csrs = {f"pmpaddr{n}": address for n, address in enumerate(addr)}
    for first in range(0, len(cfg), 8):
        bytes_ = bytes(cfg[first : first + 8])
        csrs[f"pmpcfg{first // 4}"] = int.from_bytes(bytes_, "little")
    return hart_in(mode, pmp_entries=16, **csrs, **given)


def allowed(hart, pa: int) -> str:
    """The accesses to pa that succeed, as letters; the others must be access faults."""
    letters = ""
    for access in "rwx":
        found = outcome(hart.translate, pa, access)
        if found == pa:
            letters += access
        else:
            assert found == (ACCESS_FAULT[access], pa)
    return letters


# The CSRs (3.7.1).


@pytest.mark.parametrize(
    "name, before, written, after",
    [
        ("pmpcfg0", 0, R | TOR, R | TOR),
        ("pmpcfg2", 0, (RWX | NAPOT) << 56, (RWX | NAPOT) << 56),
        ("pmpcfg0", 0, ONES & ~(L | L << 56), 0x1F9F9F9F_9F9F9F1F),  # bits 5 and 6 are 0
        ("pmpcfg0", 0, NA4 | RWX, RWX),  # NA4 can't be selected: A stays as it was
        ("pmpcfg0", NAPOT, NA4 | RWX, NAPOT | RWX),
        ("pmpcfg0", 0, W, 0),  # W without R is reserved
        ("pmpcfg0", R, W | X | TOR, R | TOR),
        ("pmpcfg0", 0, W << 8 | R, R),  # the others are written all the same
        ("pmpcfg4", 0, ONES, 0),  # of entries that aren't there
        ("pmpcfg14", 0, ONES, 0),
        ("pmpaddr16", 0, ONES, 0),
        ("pmpaddr63", 0, ONES, 0),
        ("pmpaddr15", 0, ONES, (1 << 54) - 1 & ~0x3FF),
        ("pmpaddr0", 0, 1 << 54 | 0x400, 0x400),
    ],
)
def test_what_a_csr_keeps_of_a_write(name, before, written, after):
    hart = protected()
    write(hart, name, before)
    write(hart, name, written)
    assert read(hart, name) == after


@pytest.mark.parametrize("name", ["pmpcfg1", "pmpcfg3", "pmpcfg15"])
def test_odd_configuration_registers_are_of_rv32(name):
    with pytest.raises(Trap) as trap:
        protected().read_csr(0x3A0 + int(name[6:]))
    assert trap.value.cause == 2


@pytest.mark.parametrize("name", ["pmpcfg0", "pmpaddr0"])
@pytest.mark.parametrize("mode", [S, U])
def test_they_are_m_modes(name, mode):
    assert read(protected(mode), name) == write(protected(mode), name, 0) == "illegal"


@pytest.mark.parametrize(
    "mode, held, seen",
    [
        (0, ONES, (1 << 54) - 0x400),  # OFF and TOR: [G-1:0] read as zeros
        (TOR, ONES, (1 << 54) - 0x400),
        (TOR, 0x3FF, 0),
        (NAPOT, 0, 0x1FF),  # NAPOT: [G-2:0] read as ones, and G-1 as it is
        (NAPOT, 0x200, 0x3FF),
        (NAPOT, ONES, (1 << 54) - 1),
    ],
)
def test_an_address_reads_by_its_granularity(mode, held, seen):
    assert read(protected(cfg=[mode], addr=[held]), "pmpaddr0") == seen


def test_what_is_not_read_of_an_address_is_still_held():
    hart = protected(cfg=[NAPOT], addr=[0x600])
    for mode, seen in ((0, 0x400), (NAPOT, 0x7FF), (TOR, 0x400), (NAPOT, 0x7FF)):
        write(hart, "pmpcfg0", mode)
        assert read(hart, "pmpaddr0") == seen


# Locks.


def test_a_locked_entry_is_not_written():
    hart = protected(cfg=[R, L | NAPOT | R, X], addr=[0x400, 0x7FF, 0xC00])
    write(hart, "pmpcfg0", 0)
    for n in range(3):
        write(hart, f"pmpaddr{n}", 0x2000)
    assert read(hart, "pmpcfg0") == (L | NAPOT | R) << 8
    assert [read(hart, f"pmpaddr{n}") for n in range(3)] == [0x2000, 0x7FF, 0x2000]


def test_an_entry_that_is_off_can_be_locked():
    hart = protected(cfg=[L | R], addr=[0x400])
    write(hart, "pmpcfg0", RWX | NAPOT)
    write(hart, "pmpaddr0", 0x800)
    assert (read(hart, "pmpcfg0"), read(hart, "pmpaddr0")) == (L | R, 0x400)


@pytest.mark.parametrize("n", [0, 7, 14])  # 7: the other configuration is in another register
@pytest.mark.parametrize("mode, held", [(TOR, True), (NAPOT, False), (0, False)])
def test_a_locked_region_keeps_where_it_begins(n, mode, held):
    hart = protected(cfg=[0] * (n + 1) + [L | mode], addr=[0x400] * 16)
    write(hart, f"pmpaddr{n}", 0x800)
    assert read(hart, f"pmpaddr{n}") == (0x400 if held else 0x800)


# Who may access what.


def test_without_a_match_only_m_mode_has_access():
    hart = protected()
    assert [allowed(protected(mode), page(1)) for mode in (U, S, M)] == ["", "", "rwx"]
    hart.set_csr(CSR_NUMBERS["mstatus"], MPRV | MPP_S)
    assert allowed(hart, page(1)) == "x"  # MPRV is not for fetches
    hart.set_csr(CSR_NUMBERS["mstatus"], MPRV | MPP_M)
    assert allowed(hart, page(1)) == "rwx"


@pytest.mark.parametrize("mode", [U, S, M])
def test_a_hart_without_entries_protects_nothing(mode):
    assert allowed(hart_in(mode, pmpcfg0=NAPOT, pmpaddr0=ALL), page(1)) == "rwx"


@pytest.mark.parametrize("rights", [0, R, R | W, X, R | X, RWX])
@pytest.mark.parametrize("mode, locked", [(U, 0), (S, 0), (M, 0), (U, L), (S, L), (M, L)])
def test_an_entry_gives_its_rights(rights, mode, locked):
    """To M-mode only if it is locked; otherwise that has them all."""
    hart = protected(mode, cfg=[rights | NAPOT | locked], addr=[one_page(2)])
    named = "".join(c for bit, c in ((R, "r"), (W, "w"), (X, "x")) if rights & bit)
    assert allowed(hart, page(2)) == ("rwx" if mode == M and not locked else named)
    assert allowed(hart, page(3)) == allowed(hart, page(1)) == ("rwx" if mode == M else "")


def test_the_entry_of_the_lowest_number_decides():
    hart = protected(S, cfg=[R | NAPOT, RWX | NAPOT, NAPOT], addr=[one_page(2), ALL, one_page(3)])
    assert [allowed(hart, page(n)) for n in (1, 2, 3)] == ["rwx", "r", "rwx"]


@pytest.mark.parametrize(
    "cfg, first, after",
    [
        ([RWX | TOR, 0], None, 4),  # entry 0 begins at address 0
        ([0, RWX | TOR], 4, 6),  # where the one before ends, though that is off
        ([0, 0, RWX | TOR], 6, 6),  # nothing between the same
        ([0, 0, 0, RWX | TOR], 6, 5),  # nor the other way round
    ],
)
def test_the_top_of_a_range(cfg, first, after):
    addr = [page(n) >> 2 | 0x155 for n in (4, 6, 6, 5)]  # bits below the granularity don't count
    hart = protected(S, cfg=cfg, addr=addr)
    found = [n for n in range(64) if allowed(hart, page(n))]
    assert found == list(range(first or 0, after))


def test_an_access_across_pages_needs_both():
    hart = protected(S, cfg=[RWX | NAPOT, R | NAPOT], addr=[one_page(2), one_page(3)])
    hart.ram.store(page(3) - 4, 8, 0x1122334455667788)
    assert hart.load(page(3) - 4, 8) == 0x1122334455667788
    assert outcome(hart.store, page(3) - 4, 8, 0) == (7, page(3))
    assert outcome(hart.load, page(4) - 4, 8) == (5, page(4))
    assert hart.ram.load(page(3) - 4, 8) == 0x1122334455667788


# Any entries: the manual's rules written anew, byte for byte.


def right(hart, pa: int, access: str, mode: int) -> bool:
    """Whether a mode has an access, by what the CSRs hold."""
    words = hart.csrs.words
    below = 0
    for n in range(16):
        cfg = words[CSR_NUMBERS[f"pmpcfg{n // 8 * 2}"]] >> 8 * (n % 8) & 0xFF
        held = words[CSR_NUMBERS[f"pmpaddr{n}"]]
        unit, top = pa >> 12, held >> 10
        if cfg >> 3 & 3 == 1:
            matches = below <= unit < top
        elif cfg >> 3 & 3 == 3:
            bits = f"{held | 0x1FF:054b}"
            base = bits[: bits.rfind("0")] if "0" in bits else ""
            matches = f"{pa >> 2:054b}".startswith(base)
        else:
            matches = False
        below = top
        if matches:
            return mode == M and not cfg & L or bool(cfg & {"r": R, "w": W, "x": X}[access])
    return mode == M


def entries(seed: int, locks: bool):
    """Configurations and addresses around the RAM."""
    choose = random.Random(seed)
    cfg, addr = [], []
    for _ in range(16):
        kind = choose.choice([0, 0, TOR, TOR, NAPOT, NAPOT])
        lock = L if locks and choose.random() < 0.2 else 0
        cfg.append(choose.choice([0, R, R | W, X, R | X, RWX, RWX]) | kind | lock)
        at = page(choose.randrange(-2, 66)) >> 2 | choose.randrange(1 << 10)
        size = choose.choice([0, 0, 0, 1, 2, 4, 6, 20, 44])
        addr.append(at | (1 << 9 + size) - 1 if kind == NAPOT else at)
    return cfg, addr


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32), mode=st.sampled_from([U, S, M, VS, VU]), locks=st.booleans())
def test_any_entries(seed, mode, locks):
    cfg, addr = entries(seed, locks)
    hart = protected(mode, cfg, addr, extensions=["H"])
    for n in range(64):
        expected = "".join(c for c in "rwx" if right(hart, page(n), c, mode))
        assert allowed(hart, page(n)) == expected


# Translation: tables are read as by S-mode, whoever the access is of.

ROOT, MIDDLE, LAST, PAGE = (page(n) for n in range(1, 5))
LEAF = V | PTE_R | PTE_W | PTE_X | A | D


def put_tables(hart, leaf=LEAF, root=ROOT, middle=MIDDLE, last=LAST, to=PAGE):
    """Map address 0x123 to PAGE."""
    for table, entry in ((root, pte(middle, V)), (middle, pte(last, V)), (last, pte(to, leaf))):
        put_entry(hart, table, 0, entry)


@pytest.mark.parametrize("unreadable", [ROOT, MIDDLE, LAST])
@pytest.mark.parametrize("mode", [U, S])
def test_a_table_that_may_not_be_read_is_an_access_fault(unreadable, mode):
    """Of the access that was made, with its own address."""
    cfg, addr = [X | NAPOT, RWX | NAPOT], [unreadable >> 2 | 0x1FF, ALL]
    for rights, found in ((X, ""), (R, "rwx")):
        cfg[0] = rights | NAPOT
        hart = protected(mode, cfg, addr, satp=SV39 | ROOT >> 12)
        put_tables(hart, LEAF | (PTE_U if mode == U else 0))
        for access in "rwx":
            expected = PAGE + 0x123 if found else (ACCESS_FAULT[access], 0x123)
            assert outcome(hart.translate, 0x123, access) == expected


def test_a_page_fault_comes_before_an_access_fault():
    hart = protected(S, [NAPOT, RWX | NAPOT], [one_page(4), ALL], satp=SV39 | ROOT >> 12)
    put_tables(hart, V | PTE_R | A)
    assert outcome(hart.translate, 0x123, "r") == (5, 0x123)
    assert outcome(hart.translate, 0x123, "w") == (15, 0x123)


GUEST_ROOT, HOST_ROOT = page(8), page(12)


def a_guest(mode, denied, rights=0):
    """A guest whose 0x123 is in PAGE through both stages, each of which map what they need."""
    cfg, addr = [rights | NAPOT, RWX | NAPOT], [denied >> 2 | 0x1FF, ALL]
    extensions = ["H"]
    csrs = {"vsatp": SV39 | GUEST_ROOT >> 12, "hgatp": SV39 | HOST_ROOT >> 12}
    hart = protected(mode, cfg, addr, extensions=extensions, **csrs)
    put_tables(hart, LEAF | PTE_U, GUEST_ROOT, page(9), page(10))
    # hgatp: the gigabyte at RAM_AT, as it is, by two megabyte pages.
    put_entry(hart, HOST_ROOT, RAM_AT >> 30, pte(page(16), V))
    put_entry(hart, page(16), 0, pte(RAM_AT, LEAF | PTE_U))
    return hart


@pytest.mark.parametrize("where", [GUEST_ROOT, page(9), page(10), HOST_ROOT, page(16), PAGE])
def test_guests_are_protected_from_on_physical_addresses(where):
    for access in "rwx":
        hart = a_guest(VU, where)
        assert outcome(hart.translate, 0x123, access) == (ACCESS_FAULT[access], 0x123)
        assert outcome(a_guest(VU, page(40)).translate, 0x123, access) == PAGE + 0x123


@pytest.mark.parametrize("mode", [M, S])
def test_hlv_and_hsv_are_no_way_around_it(mode):
    hart = a_guest(mode, PAGE, R)
    assert hart.guest_load(0x123, 1) == 0
    assert outcome(hart.guest_store, 0x123, 1, 0) == (7, 0x123)


def test_hlvx_needs_what_may_be_read():
    """ "HLVX cannot override machine-level physical memory protection"."""
    hart = a_guest(S, PAGE, X)
    assert outcome(hart.guest_load, 0x123, 2, True) == (5, 0x123)
    assert a_guest(S, PAGE, R).guest_load(0x123, 2, True) == 0


# What follows when entries change.


def test_m_modes_own_writes_hold_at_once():
    hart = protected()
    assert allowed(hart, page(2)) == "rwx"
    write(hart, "pmpaddr0", one_page(2))
    write(hart, "pmpcfg0", R | NAPOT)
    assert allowed(hart, page(2)) == "rwx"
    write(hart, "pmpcfg0", R | NAPOT | L)
    assert allowed(hart, page(2)) == "r"
    assert allowed(hart, page(3)) == "rwx"


def test_it_holds_when_m_mode_is_left():
    hart = protected(cfg=[RWX | NAPOT], addr=[ALL])
    for rights in (RWX, R, 0, X, RWX):
        hart.mode = M
        write(hart, "pmpcfg0", rights | NAPOT)
        hart.mode = S
        expected = "".join(c for bit, c in ((R, "r"), (W, "w"), (X, "x")) if rights & bit)
        assert allowed(hart, page(5)) == expected


def test_firmware_keeps_its_memory_to_itself():
    hart = Hart(Ram(8 << 20, RAM_AT), extensions=["H"], pmp_entries=16)
    Firmware(hart).boot(0)
    assert hart.mode == S
    assert [allowed(hart, at) for at in (RAM_AT, RAM_AT + 0x1FF000)] == ["", ""]
    assert [allowed(hart, at) for at in (RAM_AT + 0x200000, RAM_AT + 0x7FF000)] == ["rwx"] * 2


@pytest.mark.parametrize("count", [1, 8, 64])
def test_a_hart_has_16_entries_or_none(count):
    with pytest.raises(ValueError, match="PMP"):
        Hart(Ram(1 << 16), pmp_entries=count)


# Native code, and the definitions, do what the rules say.

CODE = page(20)
LINES = {"r": "ld a0, 0(a1)", "w": "sd a0, 0(a1)", "x": "jalr a0, 0(a1)"}
ENGINES = {
    "native": lambda *given, **kept: Native(protected(*given, extra=EXTRA, **kept)),
    "reference": lambda *given, **kept: Reference(protected(*given, **kept)),
}


def put_code(hart) -> None:
    """An instruction for each access at CODE, and what is harmless to execute in each page."""
    for n in range(64):
        hart.ram.store(page(n), 4, 0x13)
    for n, line in enumerate(LINES.values()):
        hart.ram.write(CODE + 4 * n, program(line, CODE + 4 * n))


def run_access(engine, access: str, pa: int):
    """Execute the access at pa, and where it jumps to if it does: (cause, tval), or None."""
    hart = engine.hart
    hart.pc = CODE + 4 * list(LINES).index(access)
    hart.x[10], hart.x[11] = 0x13, pa
    try:
        engine.run(2 if access == "x" else 1)
    except Trap as trap:
        return trap.cause, trap.tval


@pytest.mark.parametrize("kind", ENGINES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32), mode=st.sampled_from([U, S, M]), locks=st.booleans())
def test_engines_know(kind, seed, mode, locks):
    cfg, addr = entries(seed, locks)
    engine = ENGINES[kind](mode, cfg, addr)
    hart = engine.hart
    put_code(hart)
    choose = random.Random(seed)
    for _ in range(40):
        access, pa = choose.choice("rwx"), page(choose.choice([*range(20), *range(21, 64)]))
        expected = None
        if not right(hart, CODE, "x", mode):
            expected = 1, CODE + 4 * list(LINES).index(access)
        elif not right(hart, pa, access, mode):
            expected = ACCESS_FAULT[access], pa
        assert run_access(engine, access, pa) == expected


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("mode", [U, S, VU, VS])
@pytest.mark.parametrize("denied", [ROOT, MIDDLE, LAST, PAGE, HOST_ROOT, page(40)])
def test_engines_know_of_tables(kind, mode, denied):
    """A load by way of tables in both stages, one page of which may only be executed."""
    guest = mode >= VU
    satp = {"vsatp" if guest else "satp": SV39 | ROOT >> 12}
    if guest:
        satp["hgatp"] = SV39 | HOST_ROOT >> 12
    cfg, addr = [X | NAPOT, RWX | NAPOT], [denied >> 2 | 0x1FF, ALL]
    engine = ENGINES[kind](mode, cfg, addr, extensions=["H"], **satp)
    hart = engine.hart
    user = PTE_U if mode in (U, VU) else 0
    put_code(hart)
    put_tables(hart, LEAF | user)
    put_entry(hart, LAST, CODE >> 12 & 0x1FF, pte(CODE, LEAF | user))
    put_entry(hart, HOST_ROOT, RAM_AT >> 30, pte(RAM_AT, LEAF | PTE_U))
    hart.pc, hart.x[11] = CODE & 0x1FF000, 0x120
    denies = denied in (ROOT, MIDDLE, LAST) or (guest and denied == HOST_ROOT)
    expected = (1, CODE & 0x1FF000) if denies else (5, 0x120) if denied == PAGE else None
    try:
        engine.run(1)
        found = None
    except Trap as trap:
        found = trap.cause, trap.tval
    assert found == expected


@pytest.mark.parametrize("kind", ENGINES)
def test_engines_see_a_change(kind):
    """What they remember of memory is no longer true."""
    engine = ENGINES[kind](S, [RWX | NAPOT, RWX | NAPOT], [one_page(3), ALL])
    hart = engine.hart
    put_code(hart)
    for rights in (RWX, R, RWX, X, R | W, 0, RWX):
        hart.mode = M
        assert [run_access(engine, c, page(3)) for c in LINES] == [None] * 3
        write(hart, "pmpcfg0", (RWX | NAPOT) << 8 | rights | NAPOT)
        hart.mode = S
        for bit, access in ((R, "r"), (W, "w"), (X, "x")):
            expected = None if rights & bit else (ACCESS_FAULT[access], page(3))
            assert run_access(engine, access, page(3)) == expected
            assert run_access(engine, access, page(4)) is None


@pytest.mark.parametrize("kind", ENGINES)
def test_a_lock_is_for_m_modes_code_too(kind):
    """From the next instruction on."""
    engine = ENGINES[kind](M)
    hart = engine.hart
    hart.ram.write(CODE, program("csrw pmpcfg0, t0\n addi x0, x0, 0", CODE))
    hart.set_csr(CSR_NUMBERS["pmpaddr0"], CODE >> 2 | 0x1FF)
    hart.pc, hart.x[5] = CODE, R | NAPOT | L
    with pytest.raises(Trap) as trap:
        engine.run(2)
    assert (trap.value.cause, trap.value.tval, hart.pc) == (1, CODE + 4, CODE + 4)
    assert value(hart, "minstret") == 1 and RAM_SIZE == hart.ram.size


def test_compiled_code_is_not_entered_where_it_may_not_be_executed():
    """A compiled loop calls a compiled function, in a page that is then protected."""
    regions = Regions(frozenset())
    regions.worker = AtOnce(frozenset())
    cfg, addr = [RWX | NAPOT, RWX | NAPOT], [one_page(21), ALL]
    engine = Native(protected(S, cfg, addr, extra=EXTRA), regions)
    engine.threshold[0] = 2
    hart, function = engine.hart, page(21)
    loop = """
        begin: addi x12, x0, 20          # the region that calls is in hand before it does
        again: addi x12, x12, -1
        bne x12, x0, again
        jalr x1, 0(x8)
        addi x11, x11, -1
        bne x11, x0, begin
        ecall
    """
    inner = "inner: addi x9, x9, -1\n bne x9, x0, inner\n addi x9, x0, 5\n jalr x0, 0(x1)"
    hart.ram.write(CODE, program(loop, CODE))
    hart.ram.write(function, program(inner, function))
    hart.x[8], hart.x[9] = function, 5

    def run():
        hart.mode, hart.pc, hart.x[11] = S, CODE, 100
        with pytest.raises(Trap) as trap:
            engine.run(10_000)
        regions.poll()
        return trap.value.cause, trap.value.tval, hart.x[11]

    assert [run() for _ in range(4)] == [(9, 0, 0)] * 4
    assert {CODE + 4, function} <= regions.known.keys()
    hart.mode = M
    write(hart, "pmpcfg0", (RWX | NAPOT) << 8 | R | W | NAPOT)
    assert run() == (1, function, 100)
