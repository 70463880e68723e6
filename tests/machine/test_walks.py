"""Random page tables: the hart agrees with a walker written anew, and native code with the hart."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.csrs import CSR_NUMBERS
from isa.ext import RV64GC
from isa.modes import M, S, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.traps import Trap
from tests.machine.harts import MPRV, MXR, RAM_AT, SUM, SV39, A, D, R, V, W, X, hart_in, outcome

# Pages of RAM that hold tables: the root, those of the middle level, and the last level's.
ROOT, MIDDLES, LASTS = 0, (1, 2), (3, 4, 5)
TABLES = 6
PAGES = 16  # pages of RAM that entries point to, the tables included
INDICES = (0, 1, 255, 511)
RAM_PPN = RAM_AT >> 12  # aligned for a leaf of any level
READABLE_LEAF = V | R | A | D


def entry(choose: random.Random, below: tuple[int, ...]) -> int:
    """A pointer to one of the tables below, or a leaf if there are none; at times anything else."""
    ppn, low, high = RAM_PPN + choose.choice(below or range(PAGES)), V, 0
    if not below or choose.random() < 0.1:
        low = choose.choice([READABLE_LEAF, READABLE_LEAF | W, READABLE_LEAF | W | X, V | A | D])
        low |= choose.choice([0, 0, 0, R, W, X]) | choose.choice([0, 16])
    if choose.random() < 0.05:
        low = choose.randrange(256)
    if choose.random() < 0.1:
        ppn = choose.choice([RAM_PPN, RAM_PPN + 512, RAM_PPN - 1, 0, 1 << 43])
    if choose.random() < 0.05:
        high = 1 << choose.choice([54, 60, 61, 63])
    return ppn << 10 | low | high


def table_of(seed: int) -> dict[tuple[int, int], int]:
    """Random tables: an entry for each (page, index) of them."""
    choose = random.Random(seed)
    levels = [((ROOT,), MIDDLES), (MIDDLES, LASTS), (LASTS, ())]
    return {
        (page, index): entry(choose, below)
        for pages, below in levels
        for page in pages
        for index in INDICES
    }


tables = st.integers(0, 1 << 32).map(table_of)


def address(indices, offset: int, top: int) -> int:
    """A virtual address from its three indices, sign-extended but for the bits in `top`."""
    va = indices[0] << 30 | indices[1] << 21 | indices[2] << 12 | offset
    if va >> 38:
        va |= (1 << 64) - (1 << 39)
    return va ^ top


addresses = st.builds(
    address,
    st.tuples(*[st.sampled_from(INDICES)] * 3),
    st.sampled_from([0, 8, 0x123, 0xFF8, 0xFFC, 0xFFF]),
    st.sampled_from([0] * 9 + [1 << 39, 1 << 63]),
)


def fill(hart, table: dict[tuple[int, int], int]) -> None:
    """Put the tables into the hart's RAM, with nothing else in it but a pattern."""
    hart.ram.zero(RAM_AT, TABLES << 12)
    hart.ram.write(RAM_AT + (TABLES << 12), PATTERN)
    for (page, index), pte in table.items():
        hart.ram.store(RAM_AT + (page << 12) + 8 * index, 8, pte)


PATTERN = random.Random(0).randbytes((PAGES - TABLES) << 12)


def expected(hart, va: int, access: str, mode: int, sum_: bool, mxr: bool):
    """The manual's algorithm, step by step (10.3.2): the physical address, or (cause, va)."""
    refused = {"x": 12, "r": 13, "w": 15}[access], va
    missing = {"x": 1, "r": 5, "w": 7}[access], va
    size = hart.ram.size
    if mode == 3:
        return va if RAM_AT <= va < RAM_AT + size else missing
    bits = [va >> n & 1 for n in range(64)]
    if len(set(bits[38:])) != 1:
        return refused
    a, level = RAM_AT, 2
    while True:
        vpn = (va >> 12 + 9 * level) % 512
        if not RAM_AT <= a < RAM_AT + size:
            return missing
        pte = int.from_bytes(hart.ram.read(a + 8 * vpn, 8), "little")
        v, r, w, x, u, _, accessed, dirty = (pte >> n & 1 for n in range(8))
        if not v or (w and not r) or pte >> 54:
            return refused
        if r or x:
            break
        level -= 1
        if level < 0:
            return refused
        a = (pte >> 10) * 4096
    granted = {"r": r or (mxr and x), "w": w, "x": x}[access]
    if mode == 0:
        granted = granted and u
    elif u:
        granted = granted and sum_ and access != "x"
    ppn, span = pte >> 10, 512**level
    if not granted or ppn % span or not accessed or (access == "w" and not dirty):
        return refused
    pa = (ppn * 4096) + va % (4096 * span)
    return pa if RAM_AT <= pa < RAM_AT + size else missing


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    table=tables,
    asked=st.lists(st.tuples(addresses, st.sampled_from("rwx")), min_size=24, max_size=24),
    mode=st.sampled_from([U, S, M]),
    mprv=st.sampled_from([0, MPRV]),
    mpp=st.sampled_from([U, S, M]),
    sum_=st.booleans(),
    mxr=st.booleans(),
)
def test_translation_is_the_manuals_algorithm(table, asked, mode, mprv, mpp, sum_, mxr):
    status = mprv | mpp << 11 | (SUM if sum_ else 0) | (MXR if mxr else 0)
    hart = hart_in(mode, mstatus=status, satp=SV39 | RAM_PPN)
    fill(hart, table)
    for va, access in asked * 2:  # the second time, what was found is remembered
        effective = mpp if mprv and access != "x" else mode
        want = expected(hart, va, access, effective, sum_, mxr)
        assert outcome(hart.translate, va, access) == want


# Native code against the definitions: the same instruction at the same address, one hart each.

CODE = RAM_AT + (40 << 12)  # where the instructions lie, behind two tables of their own
CODE_VA = 300 << 30
CODE_TABLES = [CODE + 0x1000, CODE + 0x2000]
ROOT_INDEX = 300
BASE, DATA, RESULT = 11, 12, 10


def instruction(name: str, **operands) -> int:
    return RV64GC[name].encode(**operands)


ATOMIC = {"aq": 0, "rl": 0}
ACCESSES = {
    "lb": instruction("lb", rd=RESULT, rs1=BASE, imm=0),
    "lhu": instruction("lhu", rd=RESULT, rs1=BASE, imm=0),
    "lw": instruction("lw", rd=RESULT, rs1=BASE, imm=0),
    "ld": instruction("ld", rd=RESULT, rs1=BASE, imm=0),
    "sb": instruction("sb", rs1=BASE, rs2=DATA, imm=0),
    "sw": instruction("sw", rs1=BASE, rs2=DATA, imm=0),
    "sd": instruction("sd", rs1=BASE, rs2=DATA, imm=0),
    "fld": instruction("fld", fd=RESULT, rs1=BASE, imm=0),
    "lr.d": instruction("lr.d", rd=RESULT, rs1=BASE, **ATOMIC),
    "sc.d": instruction("sc.d", rd=RESULT, rs1=BASE, rs2=DATA, **ATOMIC),
    "amoadd.d": instruction("amoadd.d", rd=RESULT, rs1=BASE, rs2=DATA, **ATOMIC),
    "jalr": instruction("jalr", rd=RESULT, rs1=BASE, imm=0),
}


@dataclass
class Walker:
    """An engine, run one access at a time."""

    engine: Reference | Native

    def prepare(self, table, mode, status) -> None:
        hart = self.engine.hart
        fill(hart, table)
        user = 16 if mode == U else 0
        root, last = CODE_TABLES
        hart.ram.store(RAM_AT + 8 * ROOT_INDEX, 8, root >> 12 << 10 | V)
        hart.ram.store(root, 8, last >> 12 << 10 | V)
        hart.ram.store(last, 8, CODE >> 12 << 10 | V | R | X | A | user)
        hart.mode = M
        hart.set_csr(CSR_NUMBERS["mstatus"], status)
        hart.set_csr(CSR_NUMBERS["satp"], SV39 | RAM_PPN)
        hart.sfence_vma()
        hart.mode = mode
        hart.reservation = None

    def access(self, index: int, va: int, data: int):
        """Execute the access `index` of ACCESSES at va: all that it changed."""
        hart = self.engine.hart
        hart.x[RESULT], hart.x[BASE], hart.x[DATA] = 77, va, data
        hart.pc = (CODE_VA | (1 << 64) - (1 << 39)) + 4 * index
        fault = None
        steps = 2 if "jalr" in list(ACCESSES)[index] else 1  # also what it jumps to
        try:
            self.engine.run(steps)
        except Trap as trap:
            fault = int(trap.cause), trap.tval
        pages = hart.ram.read(RAM_AT, PAGES << 12)
        hart.collect()
        counts = {mode: dict(of) for mode, of in hart.counts.items()}
        return fault, list(hart.x[:32]), list(hart.f), hart.pc, hart.reservation, pages, counts


@pytest.fixture(scope="module")
def walkers():
    engines = Reference(hart_in()), Native(hart_in(extra=EXTRA))
    for engine in engines:
        for index, word in enumerate(ACCESSES.values()):
            engine.hart.ram.store(CODE + 4 * index, 4, word)
    return [Walker(engine) for engine in engines]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    table=tables,
    asked=st.lists(
        st.tuples(st.sampled_from(range(len(ACCESSES))), addresses), min_size=24, max_size=24
    ),
    mode=st.sampled_from([U, U, S]),
    status=st.sampled_from([0, 0, SUM, MXR, SUM | MXR]),
)
def test_native_accesses_are_as_the_hart_translates(walkers, table, asked, mode, status):
    for walker in walkers:
        walker.prepare(table, mode, status | 3 << 13)
    tables = None
    for number, (index, va) in enumerate(asked):
        reference, native = (walker.access(index, va, number << 56 | 0x13) for walker in walkers)
        assert native == reference
        before, tables = tables, reference[5][: TABLES << 12]
        if tables != before:  # by a store: what was walked is stale
            for walker in walkers:
                walker.engine.hart.sfence_vma()


@pytest.mark.parametrize("mode", [U, S])
@pytest.mark.parametrize("status", [0, SUM, MXR, SUM | MXR])
def test_native_code_reads_every_bit_of_an_entry(walkers, mode, status):
    chain = {(ROOT, 0): RAM_PPN + 1 << 10 | V, (1, 0): RAM_PPN + 3 << 10 | V}
    leaf_at, target = RAM_AT + (3 << 12), RAM_PPN + PAGES - 1
    for walker in walkers:
        walker.prepare(chain, mode, status | 3 << 13)
    for low in range(256):
        for walker in walkers:
            walker.engine.hart.ram.store(leaf_at, 8, target << 10 | low)
            walker.engine.hart.sfence_vma(0)
        for name in ("lb", "sb", "jalr"):
            index = list(ACCESSES).index(name)
            reference, native = (walker.access(index, 0x40, low) for walker in walkers)
            assert native == reference, (name, low)
