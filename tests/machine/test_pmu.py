"""Counters that count by mode and event, and interrupt when they overflow, in both engines.

Tests are named by the manual's normative rules where it has one (privileged manual, Sscofpmf).
"""

from __future__ import annotations

import pytest

from isa.counting import INHIBITS, OF
from isa.csrs import CSR_NUMBERS
from isa.ext import RV64GC
from isa.modes import VS, VU, M, S, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.pmu import EVENTS
from rvperf.machine.traps import Trap
from tests.machine.harts import RAM_AT, hart_in, value

ONES = (1 << 64) - 1
LCOFI = 1 << 13
EXTENSIONS = ("H", "Sscofpmf")
CYCLES, INSTRUCTIONS, BRANCHES, MISSES, LOADS, STORES = EVENTS
DATA = RAM_AT + 0x8000
MODES = (M, S, U, VS, VU)


def csr(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


def word(name, **operands):
    insn = RV64GC[name]
    return insn.encode(**operands).to_bytes(insn.length, "little")


def nops(count):
    return word("addi", rd=1, rs1=1, imm=1) * count


PLAIN = nops(64)


# x5 counts down from x6: five instructions, a load, a store and a branch each time round.
LOOP = b"".join(
    [
        word("ld", rd=7, rs1=8, imm=0),
        word("addi", rd=7, rs1=7, imm=1),
        word("sd", rs1=8, rs2=7, imm=0),
        word("addi", rd=5, rs1=5, imm=-1),
        word("bne", rs1=5, rs2=0, imm=-16),
    ]
)


@pytest.fixture(params=["reference", "native"])
def machine(request):
    """A new engine and its hart, which has a program and is in a mode."""

    def make(mode, program=PLAIN, extensions=EXTENSIONS, **csrs):
        native = request.param == "native"
        hart = hart_in(mode, extra=EXTRA if native else 0, extensions=extensions, **csrs)
        hart.ram.write(RAM_AT, program)
        hart.pc, hart.x[8] = RAM_AT, DATA
        return (Native if native else Reference)(hart), hart

    return make


# What counts.


@pytest.mark.parametrize("selector, count", [(CYCLES, 0), (INSTRUCTIONS, 50), (BRANCHES, 10),
                                             (LOADS, 10), (STORES, 10), (0, 0), (77, 0),
                                             (3, 0)])  # fmt: skip
def test_what_a_selector_counts(machine, selector, count):
    engine, hart = machine(M, LOOP, mhpmevent5=selector, mhpmcounter5=100)
    hart.x[5] = 10
    engine.run(50)
    if selector == CYCLES:
        count = hart.cycles
        assert count > 50
    assert value(hart, "mhpmcounter5") == 100 + count
    assert value(hart, "mhpmcounter4") == 0


def test_branch_misses_are_those_of_the_ledger(machine):
    engine, hart = machine(M, LOOP, mhpmevent3=MISSES)
    hart.x[5] = 10
    engine.run(50)
    pending = value(hart, "mhpmcounter3")
    hart.collect()
    assert pending == value(hart, "mhpmcounter3") == hart.counts[M]["branch-misses"] > 0


def test_a_counter_goes_on_from_what_is_written(machine):
    engine, hart = machine(S, mhpmevent31=INSTRUCTIONS)
    engine.run(3)
    csr(hart, "mhpmcounter31", 1_000)
    assert value(hart, "mhpmcounter31") == 1_000
    engine.run(4)
    assert value(hart, "mhpmcounter31") == 1_004


def test_a_csr_instruction_counts_before_what_it_writes(machine):
    """Unprivileged manual 6.1: what was written to a counter is what is read next."""
    program = word("csrrw", rd=0, csr=CSR_NUMBERS["mhpmcounter3"], rs1=9) + word(
        "csrrs", rd=10, csr=CSR_NUMBERS["mhpmcounter3"], rs1=0
    )
    engine, hart = machine(M, program, mhpmevent3=INSTRUCTIONS)
    hart.x[9] = 500
    engine.run(2)
    assert hart.x[10] == 500
    assert value(hart, "mhpmcounter3") == 501


@pytest.mark.parametrize("change", ["event", "inhibit", "filter"])
def test_a_value_outlives_every_change_of_what_is_counted(machine, change):
    engine, hart = machine(U, mhpmevent3=INSTRUCTIONS, mhpmcounter3=10)
    engine.run(5)
    if change == "event":
        csr(hart, "mhpmevent3", CYCLES)
    elif change == "inhibit":
        csr(hart, "mcountinhibit", 8)
    else:
        csr(hart, "mhpmevent3", INSTRUCTIONS | 1 << INHIBITS[U])
    assert value(hart, "mhpmcounter3") == 15
    engine.run(5)
    assert value(hart, "mhpmcounter3") == (20 if change == "event" else 15)
    csr(hart, "mhpmevent3", INSTRUCTIONS)
    csr(hart, "mcountinhibit", 0)
    engine.run(5)
    assert value(hart, "mhpmcounter3") == (25 if change == "event" else 20)


@pytest.mark.parametrize("mode", MODES)
def test_norm_mhpmevent_inh_op(machine, mode):
    """An xINH bit stops counting in mode x and in no other; all-zeroes counts everywhere."""
    engine, hart = machine(mode)
    for inhibited in range(32):
        csr(hart, "mhpmevent3", INSTRUCTIONS | inhibited << 58)
        csr(hart, "mhpmcounter3", 0)
        hart.pc = RAM_AT
        engine.run(4)
        hart.charge(6, 9)
        stops = inhibited << 58 >> INHIBITS[mode] & 1
        assert value(hart, "mhpmcounter3") == (0 if stops else 10), inhibited


# Overflow.


@pytest.mark.parametrize("selector, after", [(INSTRUCTIONS, 7), (BRANCHES, 10), (LOADS, 6),
                                             (STORES, 8)])  # fmt: skip
def test_norm_count_overflow_interrupt(machine, selector, after):
    """The engine returns right after the instruction that makes the counter wrap."""
    engine, hart = machine(S, LOOP, mhpmevent3=selector)
    hart.x[5] = 10
    distance = 7 if selector == INSTRUCTIONS else 2
    csr(hart, "mhpmcounter3", -distance)
    engine.run(1_000)
    assert hart.instructions == after
    assert value(hart, "mhpmcounter3") == 0
    assert value(hart, "mhpmevent3") == selector | OF
    assert value(hart, "mip") == LCOFI
    assert value(hart, "scountovf") == 8


def test_overflow_of_cycles_is_right_after_the_instruction(machine):
    engine, hart = machine(S, LOOP, mhpmevent3=CYCLES, mhpmcounter3=-40)
    hart.x[5] = 100
    engine.run(1_000)
    over = value(hart, "mhpmcounter3")
    assert hart.cycles == 40 + over and over < 5
    assert value(hart, "mip") == LCOFI


def test_norm_hpmcounter_overflow(machine):
    """The counter goes on behind zero, OF stays, and nothing more is requested."""
    engine, hart = machine(M, LOOP, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-1)
    hart.x[5] = 100
    engine.run(10)
    assert hart.instructions == 1
    csr(hart, "mip", 0)
    engine.run(10)
    assert hart.instructions == 11
    assert value(hart, "mhpmcounter3") == 10
    csr(hart, "mhpmcounter3", ONES)
    engine.run(10)
    assert (hart.instructions, value(hart, "mhpmcounter3"), value(hart, "mip")) == (21, 9, 0)
    assert value(hart, "mhpmevent3") & OF


def test_norm_count_overflow_trigger(machine):
    """Writes to counter and event never make an overflow, nor does setting OF make LCOFIP."""
    engine, hart = machine(M, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-5)
    csr(hart, "mhpmcounter3", 3)
    csr(hart, "mhpmevent3", INSTRUCTIONS | OF)
    assert value(hart, "mip") == 0
    csr(hart, "mhpmevent3", INSTRUCTIONS)
    engine.run(10)
    assert (value(hart, "mip"), value(hart, "scountovf")) == (0, 0)
    assert value(hart, "mhpmcounter3") == 13


def test_two_counters_that_wrap_at_once_make_two_ofs_and_one_request(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmevent9=INSTRUCTIONS)
    csr(hart, "mhpmcounter3", -4)
    csr(hart, "mhpmcounter9", -4)
    engine.run(50)
    assert (hart.instructions, value(hart, "scountovf")) == (4, 1 << 3 | 1 << 9)
    assert value(hart, "mip") == LCOFI


def test_clearing_lcofip_leaves_of_and_makes_no_new_request(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-2)
    engine.run(50)
    csr(hart, "mip", 0)
    engine.run(5)
    assert (value(hart, "mip"), value(hart, "scountovf")) == (0, 8)


def test_an_of_that_is_cleared_lets_the_next_wrap_interrupt(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-2)
    engine.run(50)
    csr(hart, "mip", 0)
    csr(hart, "mhpmevent3", INSTRUCTIONS)
    csr(hart, "mhpmcounter3", -6)
    engine.run(50)
    assert (hart.instructions, value(hart, "mip"), value(hart, "scountovf")) == (8, LCOFI, 8)


def test_the_nearest_of_several_counters_comes_first(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmevent4=INSTRUCTIONS)
    csr(hart, "mhpmcounter3", -20)
    csr(hart, "mhpmcounter4", -5)
    engine.run(50)
    assert (hart.instructions, value(hart, "scountovf")) == (5, 16)
    engine.run(50)
    assert (hart.instructions, value(hart, "scountovf")) == (20, 24)


def test_an_overflow_that_csr_instructions_arm(machine):
    """Nothing is armed when the engine starts: a program does that, and is stopped by it."""
    program = b"".join(
        [
            word("csrrw", rd=0, csr=CSR_NUMBERS["mhpmcounter3"], rs1=9),
            word("csrrw", rd=0, csr=CSR_NUMBERS["mhpmevent3"], rs1=11),
            nops(40),
        ]
    )
    engine, hart = machine(M, program)
    hart.x[9], hart.x[11] = ONES - 9, INSTRUCTIONS
    engine.run(40)
    assert (hart.instructions, value(hart, "scountovf")) == (12, 8)


@pytest.mark.parametrize("name", ["mret", "sret"])
def test_an_instruction_that_leaves_its_mode_counts_there_and_may_overflow(machine, name):
    """Smcntrpmf: xRET retires in the mode that it comes from."""
    program = word(name) + nops(9)
    mode = M if name == "mret" else S
    event = INSTRUCTIONS | sum(1 << INHIBITS[other] for other in MODES if other != mode)
    engine, hart = machine(mode, program, mhpmevent3=event, mhpmcounter3=-1)
    csr(hart, "mepc", RAM_AT + 4)
    csr(hart, "sepc", RAM_AT + 4)
    engine.run(5)
    assert (hart.mode, hart.instructions, value(hart, "scountovf")) == (U, 1, 8)
    engine.run(5)
    assert value(hart, "mhpmcounter3") == 0


def test_an_ecall_may_overflow(machine):
    """It counts where it is executed (docs/architecture.md); its own trap is taken first."""
    engine, hart = machine(U, word("ecall"), mhpmevent3=INSTRUCTIONS, mhpmcounter3=-1)
    with pytest.raises(Trap) as trap:
        engine.run(5)
    hart.take(trap.value)
    assert (value(hart, "mcause"), value(hart, "scountovf"), value(hart, "mip")) == (8, 8, LCOFI)


def test_a_mode_that_is_not_counted_brings_no_overflow(machine):
    program = b"".join([word("mret"), nops(20)])
    event = INSTRUCTIONS | 1 << INHIBITS[U]
    engine, hart = machine(M, program, mhpmevent3=event, mhpmcounter3=-6, mepc=RAM_AT + 4)
    engine.run(20)
    assert (hart.instructions, value(hart, "scountovf")) == (20, 0)
    hart.trap(8)
    hart.pc = RAM_AT + 8
    engine.run(20)
    assert (hart.instructions, value(hart, "scountovf")) == (25, 8)


def test_charged_work_overflows_in_the_middle(machine):
    _, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmevent4=CYCLES)
    csr(hart, "mhpmcounter3", -100)
    csr(hart, "mhpmcounter4", -1_000)
    hart.charge(99, 200)
    assert value(hart, "mip") == 0
    hart.charge(50, 100)
    assert (value(hart, "mhpmcounter3"), value(hart, "scountovf")) == (49, 8)
    assert value(hart, "mip") == LCOFI
    csr(hart, "mip", 0)
    hart.charge(1, 700)
    assert (value(hart, "mhpmcounter4"), value(hart, "scountovf")) == (0, 24)


def test_charged_work_brings_an_overflow_nearer(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-30)
    engine.run(5)
    hart.charge(15, 15)
    engine.run(50)
    assert (hart.instructions, value(hart, "mip")) == (30, LCOFI)


def test_stops_that_were_asked_for_hold_beside_overflows(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-10)
    hart.stop_after({"instructions": 4})
    engine.run(50)
    assert hart.instructions == 4 and hart.stopped and not hart.overflowed
    hart.stop_after({"instructions": 20})
    engine.run(50)
    assert hart.instructions == 10 and not hart.stopped and hart.overflowed
    engine.run(50)
    assert hart.instructions == 24 and hart.stopped
    hart.stop_after({})
    csr(hart, "mhpmevent3", 0)
    engine.run(5)
    assert hart.instructions == 29 and not hart.stopped


def test_a_stop_and_an_overflow_of_the_same_instruction(machine):
    engine, hart = machine(S, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-10)
    hart.stop_after({"instructions": 10})
    engine.run(50)
    assert hart.instructions == 10 and hart.stopped and hart.overflowed
    assert hart.before[32] == RAM_AT + 36


def test_the_interrupt_is_delivered_where_it_is_routed(machine):
    engine, hart = machine(VU, mhpmevent3=INSTRUCTIONS, mhpmcounter3=-3, mideleg=LCOFI, mie=LCOFI)
    csr(hart, "stvec", RAM_AT + 0x1000)
    engine.run(50)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "scause"), value(hart, "sepc")) == (S, 1 << 63 | 13, RAM_AT + 12)


# What there is.


def test_without_sscofpmf_counters_count_and_never_overflow(machine):
    engine, hart = machine(M, extensions=(), mhpmevent3=INSTRUCTIONS | OF, mhpmcounter3=-3)
    engine.run(10)
    assert value(hart, "mhpmcounter3") == 7
    assert value(hart, "mhpmevent3") == INSTRUCTIONS
    for name in ("mip", "mie", "mideleg"):
        csr(hart, name, ONES)
        assert not value(hart, name) & LCOFI
    with pytest.raises(Trap):
        hart.read_csr(CSR_NUMBERS["scountovf"])


def test_xinh_bits_of_modes_that_there_are_not_read_zero():
    hart = hart_in(M, extensions=["Sscofpmf"], mhpmevent3=ONES)
    assert value(hart, "mhpmevent3") == ONES & ~(15 << 56)
    hart = hart_in(M, extensions=EXTENSIONS, mhpmevent3=ONES)
    assert value(hart, "mhpmevent3") == ONES & ~(3 << 56)


# A run through modes, as public tests of Smcntrpmf with H do it.


@pytest.mark.parametrize("mode", [S, U, VS, VU])
@pytest.mark.parametrize("inhibited", [0, *(1 << INHIBITS[each] for each in MODES), 31 << 58])
def test_norm_instret_xret(machine, mode, inhibited):
    """And instret_exception, transition_counting_defined: an mret into the mode, four instructions
    and an ecall there, and one instruction of the handler. The mret is M-mode's. The ecall counts
    in its mode: this hart has it so (docs/architecture.md), where the manual would not."""
    body = nops(4) + word("ecall")
    extensions = (*EXTENSIONS, "Smcntrpmf")
    engine, hart = machine(M, word("mret") + body, extensions, mtvec=RAM_AT + 0x100)
    hart.ram.write(RAM_AT + 0x100, nops(1))
    previous = (mode & 3) << 11 | (1 << 39 if mode in (VS, VU) else 0)
    csr(hart, "mepc", RAM_AT + 4)
    csr(hart, "mstatus", previous)
    csr(hart, "minstretcfg", inhibited)
    csr(hart, "mhpmevent3", INSTRUCTIONS | inhibited)
    csr(hart, "minstret", 0)
    with pytest.raises(Trap) as trap:
        engine.run(10)
    assert hart.mode == mode
    hart.take(trap.value)
    engine.run(1)
    executed = {M: 2, mode: 5}
    counted = sum(count for each, count in executed.items() if not inhibited >> INHIBITS[each] & 1)
    assert value(hart, "minstret") == value(hart, "mhpmcounter3") == counted
