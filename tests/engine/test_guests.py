"""Guests in both engines: which mode may execute what, and accesses through two stages.

Sections are of the privileged manual, chapter 8, where they say nothing else.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.assembly import assemble, program
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.traps import Trap
from tests.machine.harts import FS, MXR, RAM_AT, SUM, SV39, U_BIT, A, D, R, V, W, X, hart_in, pte
from tests.machine.harts import put_entry as put
from tests.machine.test_two_stages import (
    GUEST_AT,
    GUEST_ROOT,
    HOST_ROOT,
    RAM_PAGES,
    RAM_PPN,
    addresses,
    fill,
)

CODE, DATA = RAM_AT + (48 << 12), RAM_AT + (50 << 12)
TVM, TW, TSR = 1 << 20, 1 << 21, 1 << 22
VTVM, VTW, VTSR, HU, SPVP = 1 << 20, 1 << 21, 1 << 22, 1 << 9, 1 << 8
MODES = (U, S, M, VU, VS)
OK, ILLEGAL, VIRTUAL = None, 2, 22
RESET = ("mstatus", "hstatus", "vsstatus", "menvcfg", "henvcfg", "senvcfg", "vsatp", "hgatp",
         "satp", "mcounteren", "hcounteren", "scounteren", "htimedelta")  # fmt: skip


@pytest.fixture(scope="module")
def engines():
    some = ("H", "Svinval")
    return [Reference(hart_in(extensions=some)), Native(hart_in(extra=EXTRA, extensions=some))]


@pytest.fixture(scope="module", params=[0, 1], ids=["reference", "native"])
def engine(request, engines):
    return engines[request.param]


def run(engine, mode, text, steps=1, **csrs):
    """Execute a program in a mode: the cause and tval of its trap, or None."""
    hart = engine.hart
    hart.mode = M
    for name in RESET:
        hart.set_csr(CSR_NUMBERS[name], 0)
    for name, value in csrs.items():
        hart.set_csr(CSR_NUMBERS[name], value)
    hart.sfence_vma()
    hart.ram.write(CODE, program(text, CODE))
    hart.mode = mode
    hart.pc = CODE
    try:
        engine.run(steps)
    except Trap as trap:
        return int(trap.cause), trap.tval
    return None


def causes(engine, text, **csrs):
    """What an instruction raises in U, HS, M, VU and VS."""
    found = [run(engine, mode, text, **csrs) for mode in MODES]
    for trap in found:
        assert trap is None or trap[1] == assemble(text)  # 8.6.2: the instruction, as for 2
    return [trap and trap[0] for trap in found]


# 8.6.1: a virtual instruction exception is raised where HS-mode could execute the instruction,
# TVM and TSR aside, and V=1 or a bit for V=1 is in the way.
@pytest.mark.parametrize(
    "text, csrs, expected",
    [
        ("sret", {}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("sret", {"mstatus": TSR}, [ILLEGAL, ILLEGAL, OK, VIRTUAL, OK]),
        ("sret", {"hstatus": VTSR}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("mret", {}, [ILLEGAL, ILLEGAL, OK, ILLEGAL, ILLEGAL]),
        ("wfi", {}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("wfi", {"mstatus": TW}, [ILLEGAL, ILLEGAL, OK, ILLEGAL, ILLEGAL]),
        ("wfi", {"hstatus": VTW}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("sfence.vma", {}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("sfence.vma a0, a1", {"mstatus": TVM}, [ILLEGAL, ILLEGAL, OK, VIRTUAL, OK]),
        ("sfence.vma", {"hstatus": VTVM}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("hfence.vvma", {}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("hfence.vvma a0, a1", {"mstatus": TVM}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("hfence.gvma", {}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("hfence.gvma a0, a1", {"mstatus": TVM}, [ILLEGAL, ILLEGAL, OK, VIRTUAL, VIRTUAL]),
        ("sinval.vma a0, a1", {}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("sinval.vma a0, a1", {"mstatus": TVM}, [ILLEGAL, ILLEGAL, OK, VIRTUAL, OK]),
        ("sinval.vma a0, a1", {"hstatus": VTVM}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("sfence.w.inval", {"mstatus": TVM, "hstatus": VTVM}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("sfence.inval.ir", {"mstatus": TVM, "hstatus": VTVM}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("hinval.vvma a0, a1", {"mstatus": TVM}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("hinval.gvma a0, a1", {}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("hinval.gvma a0, a1", {"mstatus": TVM}, [ILLEGAL, ILLEGAL, OK, VIRTUAL, VIRTUAL]),
        ("csrr a0, cycle", {"mcounteren": 1}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("csrr a0, cycle", {"hcounteren": 1}, [ILLEGAL, ILLEGAL, OK, ILLEGAL, ILLEGAL]),
        ("csrr a0, hstatus", {}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("csrr a0, vsstatus", {}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("csrw hgeip, a0", {}, [ILLEGAL] * 5),
        ("csrr a0, sstatus", {}, [ILLEGAL, OK, OK, VIRTUAL, OK]),
        ("csrw satp, zero", {"hstatus": VTVM}, [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]),
        ("csrr a0, mstatus", {}, [ILLEGAL, ILLEGAL, OK, ILLEGAL, ILLEGAL]),
        ("fadd.d fa0, fa0, fa0", {"mstatus": FS}, [OK, OK, OK, ILLEGAL, ILLEGAL]),
        ("fadd.d fa0, fa0, fa0", {"vsstatus": FS}, [ILLEGAL] * 5),
        ("fadd.d fa0, fa0, fa0", {"mstatus": FS, "vsstatus": FS}, [OK] * 5),
    ],
)  # fmt: skip
def test_which_exception_an_instruction_raises(engine, text, csrs, expected):
    engine.hart.x[10] = 0
    assert causes(engine, text, **csrs) == expected


@pytest.mark.parametrize("m, h, s", [(m, h, s) for m in (0, 1) for h in (0, 1) for s in (0, 1)])
def test_cache_block_operations_need_each_envcfg(engine, m, h, s):
    """CMO 4.x: menvcfg refuses with an illegal instruction, henvcfg, and senvcfg in VU, with a
    virtual instruction."""
    engine.hart.x[10] = DATA
    bit = 1 << 7
    found = causes(engine, "cbo.zero (a0)", menvcfg=m * bit, henvcfg=h * bit, senvcfg=s * bit)
    below = ILLEGAL if not m else VIRTUAL
    assert found == [
        OK if m and s else ILLEGAL,
        OK if m else ILLEGAL,
        OK,
        OK if m and h and s else below,
        OK if m and h else below,
    ]


@pytest.mark.parametrize("mode, cause", [(U, 8), (S, 9), (M, 11), (VU, 8), (VS, 10)])
def test_ecall_tells_the_mode(engine, mode, cause):
    assert run(engine, mode, "ecall") == (cause, 0)


LOADS = {
    "hlv.b": 0xFFFFFFFF_FFFFFF88, "hlv.bu": 0x88, "hlv.h": 0xFFFFFFFF_FFFF9988, "hlv.hu": 0x9988,
    "hlv.w": 0xFFFFFFFF_BBAA9988, "hlv.wu": 0xBBAA9988, "hlv.d": 0xFFEEDDCC_BBAA9988,
    "hlvx.hu": 0x9988, "hlvx.wu": 0xBBAA9988,
}  # fmt: skip
STORES = {"hsv.b": 1, "hsv.h": 2, "hsv.w": 4, "hsv.d": 8}


@pytest.mark.parametrize("name", [*LOADS, *STORES])
def test_who_may_access_a_guests_memory(engine, name):
    """8.3: HS-mode and M-mode, and U-mode by hstatus.HU; virtual instruction while V=1."""
    engine.hart.x[11] = DATA
    text = f"{name} a0, (a1)"
    assert causes(engine, text) == [ILLEGAL, OK, OK, VIRTUAL, VIRTUAL]
    assert causes(engine, text, hstatus=HU) == [OK, OK, OK, VIRTUAL, VIRTUAL]


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize("offset", [0, 3, 0xFFD])
def test_loads_from_a_guest(engine, name, offset):
    hart = engine.hart
    hart.ram.write(DATA + offset, bytes.fromhex("8899aabbccddeeff"))
    hart.x[11] = DATA + offset
    assert run(engine, S, f"{name} a0, (a1)") is None
    assert hart.x[10] == LOADS[name]


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("offset", [0, 3, 0xFFD])
def test_stores_to_a_guest(engine, name, offset):
    hart, size = engine.hart, STORES[name]
    hart.ram.write(DATA + offset, bytes(8))
    hart.x[10], hart.x[11] = 0x8877665544332211, DATA + offset
    assert run(engine, S, f"{name} a0, (a1)") is None
    assert hart.ram.read(DATA + offset, 8) == bytes.fromhex("1122334455667788")[:size].ljust(
        8, b"\0"
    )


@pytest.mark.parametrize(
    "text, extensions",
    [
        ("hlv.d a0, (a1)", ()),
        ("hsv.d a0, (a1)", ()),
        ("hfence.vvma", ("Svinval",)),
        ("hfence.gvma", ()),
        ("hinval.gvma a0, a1", ("Svinval",)),
        ("hinval.vvma a0, a1", ("H",)),
        ("sinval.vma a0, a1", ("H",)),
        ("sfence.w.inval", ()),
        ("sfence.inval.ir", ()),
    ],
)
@pytest.mark.parametrize("mode", [U, S, M])
def test_without_the_extension_its_instructions_are_illegal(text, extensions, mode):
    hart = hart_in(mode, extensions=extensions)
    hart.ram.write(CODE, program(text))
    hart.pc = CODE
    with pytest.raises(Trap) as raised:
        Reference(hart).run(1)
    assert (raised.value.cause, raised.value.tval) == (2, assemble(text))


# A guest's program, from trap to return.

GUEST = """
    li t0, 200
    li s0, 0x40003000
    loop: addi t0, t0, -1
    ld a0, 0(s0)
    add a0, a0, t0
    sd a0, 0(s0)
    csrw sscratch, a0
    bnez t0, loop
    csrr a1, sscratch
    ecall
"""


def mapped(hart, leaf=V | R | W | X | A | D):
    """The guest's 0x40000000 is guest physical 0, and that CODE; all of RAM_PAGES."""
    hart.ram.zero(RAM_AT, 40 << 12)
    put(hart, RAM_AT, 0, pte(RAM_AT + (4 << 12), V))
    put(hart, RAM_AT + (4 << 12), 0, pte(RAM_AT + (5 << 12), V))
    for page in range(8):
        at = RAM_AT + (48 + page << 12)
        put(hart, RAM_AT + (5 << 12), page, pte(at, V | R | W | X | U_BIT | A | D))
    for page in range(8, 16):
        at = RAM_AT + (16 + page << 12)
        put(hart, RAM_AT + (5 << 12), page, pte(at, V | R | U_BIT | A))
    put(hart, RAM_AT + (24 << 12), 1, pte(0x9000, V))
    put(hart, RAM_AT + (25 << 12), 0, pte(0xA000, V))
    for page in range(8):
        put(hart, RAM_AT + (26 << 12), page, pte(page << 12, leaf))


@pytest.mark.parametrize("mode", [VS, VU])
def test_a_guest_runs_until_it_exits(engines, mode):
    found = []
    for engine in engines:
        hart = engine.hart
        run(engine, M, "nop", mcounteren=7)
        mapped(hart, V | R | W | X | A | D | (U_BIT if mode == VU else 0))
        text = (
            GUEST
            if mode == VS
            else GUEST.replace("csrw sscratch, a0", "nop").replace("csrr a1, sscratch", "mv a1, a0")
        )
        hart.ram.write(CODE, program(text, CODE))
        hart.ram.store(CODE + 0x3000, 8, 5)
        for name, value in (("vsatp", SV39 | 8), ("hgatp", SV39 | RAM_PPN), ("medeleg", 0)):
            hart.set_csr(CSR_NUMBERS[name], value)
        hart.sfence_vma()
        hart.collect()
        before = {of: dict(counts) for of, counts in hart.counts.items()}
        hart.mode = mode
        hart.pc = 0x4000_0000
        with pytest.raises(Trap) as raised:
            engine.run(10_000)
        assert raised.value.cause == (10 if mode == VS else 8)
        hart.collect()
        counts = {
            of: {source: count - before[of][source] for source, count in these.items()}
            for of, these in hart.counts.items()
        }
        assert hart.x[11] == 5 + sum(range(200)) == hart.ram.load(CODE + 0x3000, 8)
        assert (
            counts[mode]["instructions"] == 200 * 6 + 2 + len(program("li s0, 0x40003000")) // 4 + 1
        )
        assert {of for of in counts if counts[of]["instructions"]} == {mode}
        found.append((list(hart.x[:32]), hart.pc, counts))
    assert found[0] == found[1]


# Random tables for both stages: the engines agree on all that an access does.

RESULT, BASE, VALUE = 10, 11, 12
ACCESSES = [
    f"{name} a0, 0(a1)" for name in ("lb", "lhu", "lw", "ld")
] + [f"{name} a2, 0(a1)" for name in ("sb", "sw", "sd")] + [
    "lr.d a0, (a1)", "sc.d a0, a2, (a1)", "amoadd.d a0, a2, (a1)", "jalr a0, 0(a1)",
]  # fmt: skip
CODE_INDEX = 300  # of the guest's root: in neither stage's random part
CODE_VA = CODE_INDEX << 30 | (1 << 64) - (1 << 39)


def prepare(hart, seed, mode, vsstatus, mstatus, stages):
    """Random tables, and ACCESSES mapped at CODE_VA."""
    hart.mode = M
    hart.set_csr(CSR_NUMBERS["mstatus"], 0)
    fill(hart, seed)
    if stages[1]:
        # Guest physical 5 GiB is RAM, by one large page.
        put(hart, RAM_AT + (HOST_ROOT << 12), 5, pte(RAM_AT, V | R | X | U_BIT | A))
        base = 5 << 30
        at = base | CODE & (1 << 30) - 1
    else:
        at = CODE
    low = V | X | A | (U_BIT if mode == VU else 0)
    root = RAM_AT + (GUEST_AT + GUEST_ROOT << 12)
    for page, entry in ((56, pte(at + (9 << 12), V)), (57, pte(at, low))):
        put(hart, RAM_AT + (page << 12), 0, entry)
    put(hart, root, CODE_INDEX, pte(at + (8 << 12), V))
    hart.ram.write(CODE, b"".join(program(text) for text in ACCESSES))
    values = {
        "vsatp": SV39 * stages[0] | (GUEST_ROOT if stages[1] else RAM_PPN + GUEST_AT),
        "hgatp": stages[1] and SV39 | RAM_PPN + HOST_ROOT,
        "vsstatus": vsstatus,
        "mstatus": mstatus,
    }
    for name, value in values.items():
        hart.set_csr(CSR_NUMBERS[name], value)
    hart.sfence_vma()
    hart.mode = mode
    hart.reservation = None


def access(engine, index, va, value, code):
    hart = engine.hart
    hart.x[RESULT], hart.x[BASE], hart.x[VALUE] = 77, va, value
    hart.pc = code + 4 * index
    fault = None
    try:
        engine.run(2 if "jalr" in ACCESSES[index] else 1)
    except Trap as trap:
        fault = int(trap.cause), trap.tval, trap.gpa, trap.tinst
    hart.collect()
    counts = {mode: dict(of) for mode, of in hart.counts.items()}
    memory = hart.ram.read(RAM_AT, RAM_PAGES << 12)
    return fault, list(hart.x[:32]), hart.pc, hart.reservation, counts, memory


@settings(derandomize=True, deadline=None, max_examples=120)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.tuples(st.sampled_from(range(len(ACCESSES))), addresses), min_size=16, max_size=16),
    st.sampled_from([VS, VU]),
    st.tuples(st.sampled_from([0, 0, 0, SUM, MXR]), st.sampled_from([0, 0, 0, MXR])),
    st.sampled_from([(1, 1)] * 6 + [(0, 1), (1, 0)]),
)
def test_engines_agree_on_a_guests_accesses(engines, seed, asked, mode, statuses, stages):
    for engine in engines:
        prepare(engine.hart, seed, mode, *statuses, stages)
    if stages == (0, 1):
        code = 5 << 30 | CODE & (1 << 30) - 1
    else:
        code = CODE_VA
    memory = engines[0].hart.ram.read(RAM_AT, RAM_PAGES << 12)
    for number, (index, va) in enumerate(asked):
        if stages == (0, 1):
            va &= (1 << 31) - 1
        reference, native = (access(e, index, va, number << 56 | 0x13, code) for e in engines)
        assert native == reference
        if reference[5] != memory:  # by a store: what was walked may be stale
            memory = reference[5]
            for engine in engines:
                engine.hart.sfence_vma()


def test_native_code_executes_guests(engines, monkeypatch):
    """Only what is Python's at home is Python's in a guest: here the last ecall."""
    engine = engines[1]
    hart, left = engine.hart, []
    run(engine, M, "nop")
    mapped(hart)
    hart.ram.write(CODE, program(GUEST.replace("csrw sscratch, a0", "nop"), CODE))
    for name, value in (("vsatp", SV39 | 8), ("hgatp", SV39 | RAM_PPN)):
        hart.set_csr(CSR_NUMBERS[name], value)
    hart.sfence_vma()
    step = engine.reader.step
    monkeypatch.setattr(engine.reader, "step", lambda: left.append(hart.pc) or step())
    hart.mode, hart.pc = VS, 0x4000_0000
    with pytest.raises(Trap):
        engine.run(10_000)
    assert len(left) == 1  # csrr a1, sscratch


@pytest.mark.parametrize(
    "gpa, result",
    [
        (5 << 30, 0x1234),
        (512 << 30, 0x1234),  # the root's index has 11 bits (8.5.1)
        (2047 << 30, 0x1234),
        (1 << 30, (21, 1 << 30)),
        (1 << 41 | 5 << 30, (21, 1 << 41 | 5 << 30)),  # bits 63:41 must be zero
        (1 << 63 | 5 << 30, (21, 1 << 63 | 5 << 30)),
    ],
)
def test_guest_physical_addresses_have_41_bits(engine, gpa, result):
    hart = engine.hart
    run(engine, M, "nop")
    hart.ram.zero(RAM_AT, 4 << 12)
    for index in (5, 512, 2047):
        put(hart, RAM_AT, index, pte(RAM_AT, V | R | W | X | U_BIT | A | D))
    hart.ram.write(CODE, program("ld a0, 0(a1)"))
    hart.ram.store(DATA, 8, 0x1234)
    hart.set_csr(CSR_NUMBERS["hgatp"], SV39 | RAM_PPN)
    hart.sfence_vma()
    hart.mode, hart.pc = VS, 5 << 30 | CODE & (1 << 30) - 1
    hart.x[11] = gpa | DATA & (1 << 30) - 1
    try:
        engine.run(1)
    except Trap as trap:
        assert (trap.cause, trap.gpa - (DATA & (1 << 30) - 1)) == result
    else:
        assert hart.x[10] == result


# 8.6.1: a virtual instruction is what HS-mode could execute, and nobody can write hgeip.
@pytest.mark.parametrize(
    "text, of_a_guest",
    [
        ("csrr a0, hgeip", VIRTUAL),
        ("csrrs a0, hgeip, a1", ILLEGAL),
        ("csrrci a0, hgeip, 1", ILLEGAL),
        ("csrrw a0, hgeip, x0", ILLEGAL),
        ("csrrs a0, hstatus, a1", VIRTUAL),
    ],
)
def test_the_whole_access_decides_what_it_raises(engine, text, of_a_guest):
    assert causes(engine, text)[3:] == [of_a_guest, of_a_guest]
