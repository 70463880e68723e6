"""What a hart counts: cycles by the timing model, events by mode, and the counter CSRs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.csrs import CSR_NUMBERS
from isa.ext import RV64GC
from isa.modes import M, S, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.traps import Trap
from tests.machine.harts import FS, RAM_AT, hart_in, read, value, write

DATA = RAM_AT + 0x8000
ENGINES = {
    "reference": lambda: Reference(hart_in()),
    "native": lambda: Native(hart_in(extra=EXTRA)),
}


@pytest.fixture(scope="module")
def engines():
    return {name: make() for name, make in ENGINES.items()}


def load_program(engine, program, mode=M) -> None:
    """Put instructions at the start of RAM, and the hart before them as if it were new."""
    hart = engine.hart
    hart.mode = M
    hart.set_csr(CSR_NUMBERS["mstatus"], FS)
    hart.ram.write(RAM_AT, b"".join(word.to_bytes(size, "little") for word, size in program))
    hart.ram.write(DATA, bytes(4096))
    hart.collect()
    for counts in hart.counts.values():
        counts.update(dict.fromkeys(counts, 0))
    hart.clock = 0
    hart.predictor[:] = bytes(4096)
    for n in range(1, 32):
        hart.x[n] = DATA + 8 * n
        hart.f[n] = n
    hart.fcsr = 0
    hart.reservation = None
    hart.pc = RAM_AT
    hart.mode = mode


def word(name: str, **operands) -> tuple[int, int]:
    """An instruction and its length."""
    insn = RV64GC[name]
    return insn.encode(**operands), insn.length


def li(rd, imm):
    return word("addi", rd=rd, rs1=0, imm=imm)


LOOP = [
    li(5, 10),
    word("addi", rd=5, rs1=5, imm=-1),
    word("bne", rs1=5, rs2=0, imm=-4),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "program, steps, counted",
    [
        pytest.param(
            # The branch's counter starts at 0: it mispredicts the first two jumps and the last.
            LOOP, 21, {"instructions": 21, "cycles": 21 + 3 * 4, "branches": 10,
                       "branch-misses": 3}, id="loop of ten",
        ),
        pytest.param(
            [li(5, 1), *LOOP[1:]], 3, {"instructions": 3, "cycles": 3, "branches": 1},
            id="a branch not taken is predicted at first",
        ),
        pytest.param(
            [word("mul", rd=5, rs1=6, rs2=7), word("div", rd=5, rs1=6, rs2=7)], 2,
            {"instructions": 2, "cycles": 3 + 16}, id="multiply and divide",
        ),
        pytest.param(
            [word("ld", rd=5, rs1=10, imm=0), word("sd", rs1=10, rs2=5, imm=8),
             word("c.ld", **{"rd'": 8, "rs1'": 10, "uimm": 0})], 3,
            {"instructions": 3, "cycles": 3, "loads": 2, "stores": 1}, id="memory",
        ),
        pytest.param(
            [word("lr.d", rd=5, rs1=10, aq=0, rl=0),
             word("sc.d", rd=6, rs1=10, rs2=5, aq=0, rl=0),
             word("amoadd.w", rd=6, rs1=10, rs2=5, aq=1, rl=1)], 3,
            {"instructions": 3, "cycles": 9, "loads": 2, "stores": 2}, id="atomics",
        ),
        pytest.param(
            [word("auipc", rd=5, imm=0), word("jalr", rd=1, rs1=5, imm=12), li(6, 1),
             word("jal", rd=0, imm=4), li(6, 2)], 4,
            {"instructions": 4, "cycles": 1 + 2 + 1 + 1}, id="jumps",
        ),
        pytest.param(
            [word("fadd.d", fd=1, fs1=2, fs2=3, rm=7), word("fdiv.d", fd=1, fs1=2, fs2=3, rm=7),
             word("fld", fd=1, rs1=10, imm=0), word("fsw", fs2=1, rs1=10, imm=0)], 4,
            {"instructions": 4, "cycles": 2 + 28 + 1 + 1, "loads": 1, "stores": 1},
            id="floating point",
        ),
        pytest.param(
            [word("csrrs", rd=5, csr=0xB02, rs1=0), li(6, 1)], 2,
            {"instructions": 2, "cycles": 4}, id="a CSR",
        ),
    ],
)  # fmt: skip
def test_cycles_are_the_sum_by_hand(engines, engine, program, steps, counted):
    engine = engines[engine]
    load_program(engine, program)
    engine.run(steps)
    engine.hart.collect()
    zero = dict.fromkeys(engine.hart.counts[M], 0)
    assert engine.hart.counts == {U: zero, S: zero, M: zero | counted}
    assert engine.hart.cycles == counted["cycles"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "instruction, cause, counted",
    [
        pytest.param((0, 2), 2, 1, id="illegal"),
        pytest.param(word("ld", rd=5, rs1=0, imm=0), 5, 1, id="access fault"),
        pytest.param(word("ecall"), 8, 2, id="call"),  # as QEMU counts it
    ],
)
def test_an_instruction_that_traps_is_not_counted_but_a_call_is(
    engines, engine, instruction, cause, counted
):
    engine = engines[engine]
    load_program(engine, [li(5, 1), instruction, li(5, 2)], mode=U)
    with pytest.raises(Trap) as trap:
        engine.run(3)
    assert trap.value.cause == cause
    engine.hart.trap(trap.value.cause)
    assert engine.hart.counts[U]["instructions"] == counted
    assert engine.hart.counts[M]["instructions"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_return_is_counted_in_the_mode_that_it_leaves(engines, engine):
    engine = engines[engine]
    load_program(engine, [word("mret"), li(5, 1), li(5, 2)])
    engine.hart.set_csr(CSR_NUMBERS["mepc"], RAM_AT + 4)
    engine.run(3)
    engine.hart.collect()
    counted = {mode: counts["instructions"] for mode, counts in engine.hart.counts.items()}
    assert (engine.hart.mode, counted) == (U, {U: 2, S: 0, M: 1})
    assert engine.hart.counts[M]["cycles"] == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_instret_is_read_exactly_in_the_middle_of_code(engines, engine):
    engine = engines[engine]
    hart = engine.hart
    read_instret = word("csrrs", rd=5, csr=0xC02, rs1=0)
    load_program(engine, [li(6, 1), li(6, 2), read_instret, read_instret])
    write(hart, "minstret", 0)
    engine.run(3)
    assert hart.x[5] == 2
    engine.run(1)
    assert hart.x[5] == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_next_instruction_reads_what_was_written_to_instret(engines, engine):
    engine = engines[engine]
    put, get = word("csrrw", rd=0, csr=0xB02, rs1=6), word("csrrs", rd=5, csr=0xB02, rs1=0)
    load_program(engine, [li(6, 100), put, get])
    engine.run(3)
    assert engine.hart.x[5] == 100


def test_charged_work_counts_in_the_current_mode_and_takes_time():
    hart = hart_in(S)
    hart.charge(100, 150, loads=7, branch_misses=2)
    assert hart.counts[S] == {
        "instructions": 100,
        "cycles": 150,
        "branches": 0,
        "branch-misses": 2,
        "loads": 7,
        "stores": 0,
    }
    assert (hart.cycles, hart.instructions) == (150, 100)
    hart.idle_until(1_000)
    assert (hart.cycles, hart.counts[S]["cycles"]) == (1_000, 150)
    hart.idle_until(10)  # time doesn't go back
    assert hart.cycles == 1_000


def test_the_time_csr_ticks_ten_million_times_a_second():
    hart = hart_in(M)
    hart.idle_until(1_000_000_000)
    assert read(hart, "time") == 10_000_000
    hart.idle_until(1_000_000_199)
    assert read(hart, "time") == 10_000_001


def test_counter_csrs_show_the_clock_and_what_retired():
    hart = hart_in(M)
    hart.charge(10, 25)
    hart.mode = U
    hart.charge(1, 1)
    hart.mode = M
    assert [read(hart, name) for name in ("mcycle", "cycle", "minstret", "instret")] == [
        26, 26, 11, 11,
    ]  # fmt: skip


def test_a_counter_that_is_written_goes_on_from_there():
    hart = hart_in(M)
    hart.charge(10, 20)
    write(hart, "mcycle", 1000)
    write(hart, "minstret", (1 << 64) - 2)
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (1000, (1 << 64) - 2)
    hart.charge(3, 5)
    assert (read(hart, "cycle"), read(hart, "instret")) == (1005, 1)  # it wraps
    assert (hart.cycles, hart.instructions) == (25, 13)  # the clock is nobody's to write


@pytest.mark.parametrize(
    "inhibit, cycle, instret",
    [(0, 105, 53), (1, 100, 53), (4, 105, 50), (5, 100, 50), (0xFFFFFFF8, 105, 53)],
)
def test_mcountinhibit_stops_cycle_and_instret(inhibit, cycle, instret):
    hart = hart_in(M, mcycle=100, minstret=50, mcountinhibit=inhibit)
    hart.charge(3, 5)
    assert (read(hart, "mcycle"), read(hart, "minstret")) == (cycle, instret)
    assert hart.cycles == 5  # the time does not stand still
    write(hart, "mcountinhibit", 0)  # nothing is caught up
    assert (read(hart, "cycle"), read(hart, "instret")) == (cycle, instret)
    hart.charge(1, 1)
    assert (read(hart, "cycle"), read(hart, "instret")) == (cycle + 1, instret + 1)


def test_a_counter_is_written_while_it_stands_still():
    hart = hart_in(M, mcountinhibit=1)
    hart.charge(3, 5)
    write(hart, "mcycle", 7)
    hart.charge(3, 5)
    assert read(hart, "mcycle") == 7


def test_programmable_counters_stand_still_without_an_event():
    hart = hart_in(M, mhpmcounter3=9)
    hart.charge(3, 5)
    assert (value(hart, "mhpmcounter3"), read(hart, "hpmcounter3")) == (9, 9)


# Random code counts the same in both engines.

registers = st.integers(5, 9)
floats = st.integers(1, 4)
offsets = st.integers(0, 200).map(lambda n: 8 * n)


def plain(name, **operands):
    return st.builds(lambda **found: word(name, **found), **operands)


THREE = {"rd": registers, "rs1": registers, "rs2": registers}
ATOMIC = {"rd": registers, "rs1": st.just(10), "rs2": registers, "aq": st.just(0), "rl": st.just(0)}
FLOATS = {"fd": floats, "fs1": floats, "fs2": floats, "rm": st.sampled_from([0, 4, 7])}
instructions = st.one_of(
    *(plain(name, **THREE) for name in ("add", "sub", "mul", "divu", "remw", "sltu", "sh3add")),
    plain("addi", rd=registers, rs1=registers, imm=st.integers(-64, 64)),
    *(plain(name, rd=registers, rs1=st.just(10), imm=offsets) for name in ("ld", "lbu", "lh")),
    *(plain(name, rs2=registers, rs1=st.just(10), imm=offsets) for name in ("sd", "sb")),
    plain("lw", rd=registers, rs1=st.just(10), imm=st.integers(0, 99)),  # may be misaligned
    *(plain(name, **ATOMIC) for name in ("sc.d", "amoadd.d", "amomaxu.w")),
    plain("lr.d", **{name: of for name, of in ATOMIC.items() if name != "rs2"}),
    *(plain(name, **FLOATS) for name in ("fadd.d", "fmul.s", "fdiv.d")),
    plain("fld", fd=floats, rs1=st.just(10), imm=offsets),
    plain("fsd", fs2=floats, rs1=st.just(10), imm=offsets),
    plain("c.addi", **{"rd": registers, "imm": st.integers(1, 31)}),
    # Forward over the next one or two words, which the ends below keep inside of the program.
    *(
        plain(name, rs1=registers, rs2=registers, imm=st.sampled_from([4, 8, 12]))
        for name in ("beq", "bne", "blt", "bgeu")
    ),
    plain("jal", rd=st.sampled_from([0, 1]), imm=st.sampled_from([4, 8, 12])),
    plain("ld", rd=registers, rs1=registers, imm=offsets),  # may be no memory
    plain("ecall"),
    plain("csrrs", rd=registers, csr=st.sampled_from([0xC00, 0xC01, 0xC02]), rs1=st.just(0)),
)
NOP = li(0, 0)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    body=st.lists(instructions, min_size=1, max_size=30),
    modes=st.lists(st.sampled_from([U, S, M]), min_size=1, max_size=4),
    budget=st.integers(1, 400),
    loops=st.integers(1, 20),
)
def test_engines_count_the_same(engines, body, modes, budget, loops):
    padded = []
    for one in body:  # a compressed one is followed by c.nop, so that branches hit instructions
        padded += [one, (1, 2)] if one[1] == 2 else [one]
    size = sum(length for _, length in padded)
    back = word("bne", rs1=11, rs2=0, imm=-(size + 16))
    program = [li(11, loops), *padded, NOP, NOP, NOP, word("addi", rd=11, rs1=11, imm=-1)]
    program += [back, word("jal", rd=0, imm=-(size + 20 + 4))]
    reference, native = (
        all_that_happens(engine, program, modes, budget) for engine in engines.values()
    )
    assert native == reference


def all_that_happens(engine, program, modes, budget):
    """The traps and the state after a budget in each of the modes, anew after a trap."""
    load_program(engine, program)
    hart, traps = engine.hart, []
    for name in ("mcounteren", "scounteren"):
        hart.set_csr(CSR_NUMBERS[name], 7)
    for mode in modes:
        hart.collect()
        hart.mode = mode
        try:
            engine.run(budget)
        except Trap as trap:
            traps.append((int(trap.cause), trap.tval, hart.pc))
            hart.pc = RAM_AT
    hart.collect()
    counted = {mode: dict(counts) for mode, counts in hart.counts.items()}
    registers = list(hart.x[:32]), list(hart.f), hart.fcsr, hart.pc, hart.reservation
    return traps, counted, hart.cycles, registers, bytes(hart.predictor), hart.ram.read(DATA, 4096)
