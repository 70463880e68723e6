"""What no user-mode oracle can tell: traps, privilege, CSRs, reservations, faults, cache blocks.

Expectations are the manuals', beside each case. Every engine executes them.
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.assembly import assemble, program
from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.ext import RV64GC
from isa.modes import M, S, U
from rvperf.machine.traps import Trap
from tests.engine import oracles
from tests.engine.cases import CODE_AT, STATES_AT, integer
from tests.engine.conftest import Machine

CODE, DATA = CODE_AT + (32 << 20), STATES_AT + (32 << 20)  # beyond the cases
END = STATES_AT + (64 << 20)  # of RAM
MASK = (1 << 64) - 1
FS, TVM, TW, TSR, MPP, SPP = 1 << 13, 1 << 20, 1 << 21, 1 << 22, 3 << 11, 1 << 8
X = {name: n for n, name in enumerate("zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3".split())}


class Run:
    """A hart that is about to execute a program, and does."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.hart = machine.hart
        for name in ("mstatus", "mcounteren", "scounteren", "menvcfg", "senvcfg", "mcountinhibit"):
            self.hart.set_csr(CSR_NUMBERS[name], 0)
        self.hart.set_csr(CSR_NUMBERS["mstatus"], FS)
        self.hart.fcsr = 0
        self.hart.mode = M
        self.hart.reservation = None

    def __call__(self, text: str, steps: int = 1, at: int = CODE, **registers: int) -> None:
        """Execute `steps` instructions of a program with these registers."""
        hart = self.hart
        hart.ram.write(at, program(text, at))
        for name, value in registers.items():
            hart.x[X[name]] = value & MASK
        hart.pc = at
        self.machine.engine.run(steps)

    def traps(self, text: str, steps: int = 1, at: int = CODE, **registers: int) -> Trap:
        """The trap that the last of the steps raises, having changed no register nor pc."""
        if steps > 1:
            self(text, steps - 1, at, **registers)
        else:
            self("nop", 0, at, **registers)
            self.hart.ram.write(at, program(text, at))
        before = self.state()
        with pytest.raises(Trap) as raised:
            self.machine.engine.run(1)
        assert self.state() == before
        return raised.value

    def state(self) -> tuple:
        hart = self.hart
        return hart.pc, hart.mode, hart.fcsr, tuple(hart.x[:32]), tuple(hart.f)

    def x(self, name: str) -> int:
        return self.hart.x[X[name]]

    def csr(self, name: str, value: int | None = None) -> int:
        """A CSR's value, set before if one is given."""
        if value is not None:
            self.hart.set_csr(CSR_NUMBERS[name], value)
        return self.hart.csr_value(CSR_NUMBERS[name])


@pytest.fixture
def run(machine) -> Run:
    return Run(machine)


def illegal(trap: Trap, text: str) -> bool:
    """Whether it is an illegal instruction exception that tells the instruction."""
    return (trap.cause, trap.tval) == (Cause.ILLEGAL_INSTRUCTION, assemble(text))


def test_every_instruction_has_an_oracle_or_stands_in_this_file():
    here = set(
        "ecall ebreak c.ebreak mret sret wfi sfence.vma cbo.inval cbo.clean cbo.flush cbo.zero "
        "wrs.nto wrs.sto czero.eqz czero.nez".split()
    )
    assert oracles.NOT_FOR_QEMU - oracles.OF_GUESTS == here


@pytest.mark.parametrize("mode, cause", [(U, 8), (S, 9), (M, 11)])
def test_ecall_tells_the_mode(run, mode, cause):
    run.hart.mode = mode
    trap = run.traps("ecall")
    assert (trap.cause, trap.tval) == (cause, 0)


@pytest.mark.parametrize("text", ["ebreak", "c.ebreak"])
def test_ebreak_tells_its_address(run, text):
    trap = run.traps(text)
    assert (trap.cause, trap.tval) == (Cause.BREAKPOINT, CODE)


@pytest.mark.parametrize("word, tval", [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x0000_8002, 0x8002)])
def test_what_is_no_instruction_traps_with_its_bits(run, word, tval):
    trap = run.traps(f".word {word}")
    assert (trap.cause, trap.tval) == (Cause.ILLEGAL_INSTRUCTION, tval)


def test_czero(run):
    from random import Random

    random = Random("czero")
    for _ in range(100):
        value, condition = integer(random), random.choice((0, integer(random)))
        run("czero.eqz a0, a1, a2\nczero.nez a3, a1, a2", 2, a1=value, a2=condition)
        assert (run.x("a0"), run.x("a3")) == ((0, value) if condition == 0 else (value, 0))


def test_waiting_on_a_reservation_may_end_at_once(run):
    run("wrs.nto\nwrs.sto", 2)
    assert run.hart.pc == CODE + 8


# CSR instructions.


@pytest.mark.parametrize(
    "text, old, new",
    [
        ("csrrw a0, mscratch, a1", 0b1100, 0b1010),
        ("csrrs a0, mscratch, a1", 0b1100, 0b1110),
        ("csrrc a0, mscratch, a1", 0b1100, 0b0100),
        ("csrrwi a0, mscratch, 17", 0b1100, 17),
        ("csrrsi a0, mscratch, 17", 0b1100, 0b11101),
        ("csrrci a0, mscratch, 5", 0b1100, 0b1000),
        ("csrrs a0, mscratch, zero", 0b1100, 0b1100),
        ("csrrci a0, mscratch, 0", 0b1100, 0b1100),
    ],
)
def test_csr_instructions_give_the_old_value_and_put_the_new(run, text, old, new):
    run.csr("mscratch", 0b1100)
    run(text, a0=99, a1=0b1010)
    assert (run.x("a0"), run.csr("mscratch")) == (old, new)


def test_the_register_that_is_read_may_be_the_one_written(run):
    run.csr("mscratch", 5)
    run("csrrw a1, mscratch, a1", a1=7)
    assert (run.x("a1"), run.csr("mscratch")) == (5, 7)


@pytest.mark.parametrize("text", ["csrrs a0, mhartid, zero", "csrrci a0, mhartid, 0"])
def test_a_read_only_csr_can_be_read_by_setting_nothing(run, text):
    run(text, a0=99)
    assert run.x("a0") == 0


@pytest.mark.parametrize("text", ["csrrw zero, mhartid, a1", "csrrs a0, mhartid, a1",
                                  "csrrci a0, mhartid, 1", "csrrs a0, mhartid, a2"])  # fmt: skip
def test_a_write_of_a_read_only_csr_is_illegal_even_of_nothing(run, text):
    assert illegal(run.traps(text, a1=1, a2=0), text)


@pytest.mark.parametrize("mode, name", [(U, "sstatus"), (U, "mstatus"), (S, "mstatus"),
                                        (S, "mepc"), (U, "cycle"), (S, "time")])  # fmt: skip
def test_a_csr_of_more_privilege_is_illegal(run, mode, name):
    run.hart.mode = mode
    text = f"csrr a0, {name}"
    assert illegal(run.traps(text), text)


def test_a_csr_that_is_none_is_illegal(run):
    assert illegal(run.traps("csrr a0, 0x5c0"), "csrr a0, 0x5c0")


def test_user_mode_reads_the_counters_that_it_is_given(run):
    run.csr("mcounteren", 7)
    run.csr("scounteren", 7)
    run.hart.mode = U
    run("rdinstret a0\nrdinstret a1\nrdcycle a2\nrdcycle a3", 4)
    assert run.x("a1") == run.x("a0") + 1
    assert run.x("a3") > run.x("a2")


def test_a_written_counter_is_read_as_it_was_written(run):
    run("csrrw zero, minstret, a1\ncsrr a0, minstret\ncsrr a1, minstret", 3, a1=1000)
    assert (run.x("a0"), run.x("a1")) == (1000, 1001)


# Privileged instructions.


@pytest.mark.parametrize(
    "text, mode, mstatus, legal",
    [
        ("mret", M, 0, True),
        ("mret", S, 0, False),
        ("mret", U, 0, False),
        ("sret", M, TSR, True),
        ("sret", S, 0, True),
        ("sret", S, TSR, False),
        ("sret", U, 0, False),
        ("wfi", M, TW, True),
        ("wfi", S, 0, True),
        ("wfi", S, TW, False),
        ("wfi", U, 0, False),
        ("sfence.vma zero, zero", M, TVM, True),
        ("sfence.vma a0, a1", S, 0, True),
        ("sfence.vma zero, zero", S, TVM, False),
        ("sfence.vma zero, zero", U, 0, False),
        ("csrr a0, satp", S, 0, True),
        ("csrr a0, satp", S, TVM, False),
    ],
)
def test_what_privileged_instructions_need(run, text, mode, mstatus, legal):
    run.csr("mstatus", mstatus)
    run.hart.mode = mode
    if legal:
        run(text)
    else:
        assert illegal(run.traps(text), text)


@pytest.mark.parametrize("mode", (U, S, M))
def test_mret_goes_where_mepc_says(run, mode):
    run.csr("mepc", DATA)
    run.csr("mstatus", mode << 11)
    run("mret")
    assert (run.hart.pc, run.hart.mode) == (DATA, mode)


@pytest.mark.parametrize("mode", (U, S))
def test_sret_goes_where_sepc_says(run, mode):
    run.csr("sepc", DATA)
    run.csr("mstatus", SPP if mode == S else 0)
    run("sret")
    assert (run.hart.pc, run.hart.mode) == (DATA, mode)


def test_a_return_is_counted_in_the_mode_that_it_leaves(run):
    run.hart.collect()
    before = {mode: run.hart.counts[mode]["instructions"] for mode in (U, M)}
    run.csr("mepc", CODE + 4)
    run("mret\nnop", 2)
    run.hart.collect()
    after = {mode: run.hart.counts[mode]["instructions"] for mode in (U, M)}
    assert {mode: after[mode] - before[mode] for mode in (U, M)} == {U: 1, M: 1}


# Floating point that is off, or rounds in no way.


@pytest.mark.parametrize("text", ["fadd.d fa0, fa1, fa2", "flw fa0, 0(a0)", "fmv.x.d a0, fa0",
                                  "csrr a0, fflags", "fsgnj.s fa0, fa0, fa0"])  # fmt: skip
def test_floating_point_is_illegal_while_it_is_off(run, text):
    run.csr("mstatus", 0)
    assert illegal(run.traps(text, a0=DATA), text)


def test_compressed_floating_point_is_illegal_while_it_is_off(run):
    run.csr("mstatus", 0)
    trap = run.traps("c.fld fa0, 0(a0)", a0=DATA)
    assert (trap.cause, trap.tval) == (Cause.ILLEGAL_INSTRUCTION, assemble("c.fld fa0, 0(a0)"))


@pytest.mark.parametrize("frm", (5, 6, 7))
@pytest.mark.parametrize("text", ["fadd.d fa0, fa1, fa2", "fcvt.w.s a0, fa0", "fsqrt.s fa0, fa0",
                                  "fmadd.d fa0, fa0, fa0, fa0"])  # fmt: skip
def test_a_dynamic_rounding_mode_that_is_none_is_illegal(run, text, frm):
    run.csr("frm", frm)
    assert illegal(run.traps(text), text)


@pytest.mark.parametrize("frm", (5, 6, 7))
def test_what_does_not_round_ignores_the_rounding_mode(run, frm):
    run.csr("frm", frm)
    run("fadd.d fa0, fa1, fa2, rne\nfmax.d fa0, fa1, fa2\nfeq.s a0, fa0, fa1", 3)
    assert run.hart.pc == CODE + 12


# Memory.


@pytest.mark.parametrize("text", ["ld a0, 0(a1)", "lb a0, 0(a1)", "fld fa0, 0(a1)",
                                  "lr.w a0, (a1)"])  # fmt: skip
def test_a_load_from_nowhere_is_an_access_fault(run, text):
    trap = run.traps(text, a1=0x1000)
    assert (trap.cause, trap.tval) == (Cause.LOAD_ACCESS_FAULT, 0x1000)


@pytest.mark.parametrize("text", ["sd a0, 0(a1)", "sb a0, 0(a1)", "fsw fa0, 0(a1)",
                                  "amoadd.w a0, a0, (a1)", "cbo.zero (a1)"])  # fmt: skip
def test_a_store_to_nowhere_is_an_access_fault(run, text):
    trap = run.traps(text, a1=0x1000)
    assert (trap.cause, trap.tval) == (Cause.STORE_ACCESS_FAULT, 0x1000)


def test_a_store_that_half_faults_writes_nothing(run):
    run.hart.ram.store(END - 4, 4, 0x12345678)
    trap = run.traps("sd a0, 0(a1)", a1=END - 4, a0=-1)
    assert (trap.cause, trap.tval) == (Cause.STORE_ACCESS_FAULT, END)
    assert run.hart.ram.load(END - 4, 4) == 0x12345678


@pytest.mark.parametrize("size, offset", [*product((2, 4, 8), (1, 3, 4095))])
def test_ordinary_accesses_may_be_misaligned(run, size, offset):
    letter = {2: "h", 4: "w", 8: "d"}[size]
    extend = "" if size == 8 else "u"
    run(
        f"s{letter} a0, 0(a1)\nl{letter}{extend} a2, 0(a1)",
        2,
        a0=0x8877665544332211,
        a1=DATA + offset,
    )
    assert run.x("a2") == 0x8877665544332211 & (1 << 8 * size) - 1
    assert run.hart.ram.load(DATA + offset, size) == run.x("a2")


@pytest.mark.parametrize("name, cause", [("lr", 4), ("sc", 6), ("amoadd", 6), ("amomaxu", 6)])
@pytest.mark.parametrize("letter, offset", [("w", 1), ("w", 2), ("d", 4)])
def test_atomic_accesses_may_not_be_misaligned(run, name, cause, letter, offset):
    operands = "a0, (a1)" if name == "lr" else "a0, a2, (a1)"
    trap = run.traps(f"{name}.{letter} {operands}", a1=DATA + offset)
    assert (trap.cause, trap.tval) == (cause, DATA + offset)


def test_a_store_conditional_succeeds_once(run):
    run("lr.d a0, (a1)\nsc.d a2, a3, (a1)\nsc.d a0, a3, (a1)", 3, a1=DATA, a3=77)
    assert (run.x("a2"), run.x("a0"), run.hart.ram.load(DATA, 8)) == (0, 1, 77)


def test_a_store_conditional_elsewhere_fails_and_ends_the_reservation(run):
    run.hart.ram.store(DATA, 8, 1)
    text = "lr.d a0, (a1)\nsc.d a2, a3, (t0)\nsc.d a0, a3, (a1)"
    run(text, 3, a1=DATA, t0=DATA + 4096, a3=77)
    assert (run.x("a2"), run.x("a0"), run.hart.ram.load(DATA, 8)) == (1, 1, 1)


# Fetches.


def test_an_instruction_may_cross_a_page(run):
    run("addi a0, zero, 7", at=CODE + 4094)
    assert (run.x("a0"), run.hart.pc) == (7, CODE + 4098)


def test_a_short_instruction_at_the_end_of_memory_runs(run):
    run("c.li a0, 3", at=END - 2)
    assert (run.x("a0"), run.hart.pc) == (3, END)


def test_a_fetch_faults_where_the_missing_half_would_be(run):
    run.hart.ram.write(END - 2, assemble("addi a0, zero, 7").to_bytes(4, "little")[:2])
    run.hart.pc = END - 2
    with pytest.raises(Trap) as raised:
        run.machine.engine.run(1)
    assert (raised.value.cause, raised.value.tval) == (Cause.INSTRUCTION_ACCESS_FAULT, END)
    assert run.hart.pc == END - 2


def test_what_was_stored_is_executed_after_a_fence(run):
    new = assemble("addi a0, zero, 2")
    text = "sw a1, 8(a2)\nfence.i\naddi a0, zero, 1"
    run(text, 3, a1=new, a2=CODE)
    assert run.x("a0") == 2


# Cache blocks.


def test_a_cache_block_is_64_zeros(run):
    run.hart.ram.write(DATA, b"\xff" * 256)
    run("cbo.zero (a0)", a0=DATA + 64 + 17)
    assert run.hart.ram.read(DATA, 256) == b"\xff" * 64 + bytes(64) + b"\xff" * 128


@pytest.mark.parametrize("text, field", [("cbo.zero (a0)", 1 << 7), ("cbo.clean (a0)", 1 << 6),
                                         ("cbo.flush (a0)", 1 << 6),
                                         ("cbo.inval (a0)", 1 << 4)])  # fmt: skip
@pytest.mark.parametrize("mode, menvcfg, senvcfg", [*product((U, S, M), (0, 1), (0, 1))])
def test_cache_block_operations_need_an_enable_for_each_mode_below(
    run, text, field, mode, menvcfg, senvcfg
):
    run.csr("menvcfg", field * menvcfg)
    run.csr("senvcfg", field * senvcfg)
    run.hart.mode = mode
    if mode == M or menvcfg and (mode == S or senvcfg):
        run(text, a0=DATA)
    else:
        assert illegal(run.traps(text, a0=DATA), text)


# Counting.


@pytest.mark.parametrize(
    "text, counted",
    [
        ("add a0, a1, a2", {}),
        ("ld a0, 0(a3)", {"loads": 1}),
        ("c.sw a0, 0(a3)", {"stores": 1}),
        ("fld fa0, 0(a3)", {"loads": 1}),
        ("amoswap.d a0, a1, (a3)", {"loads": 1, "stores": 1}),
        ("lr.d a0, (a3)", {"loads": 1}),
        ("sc.d a0, a1, (a3)", {"stores": 1}),
        ("fence", {}),
    ],
)
def test_what_is_counted_of_an_instruction(run, text, counted):
    hart = run.hart
    hart.collect()
    before = dict(hart.counts[M])
    run(text, a3=DATA)
    hart.collect()
    found = {name: hart.counts[M][name] - before[name] for name in before}
    assert found.pop("cycles") >= 1
    assert found == dict.fromkeys(found, 0) | {"instructions": 1} | counted


def test_an_instruction_that_traps_is_not_counted(run):
    run.hart.collect()
    before = run.hart.instructions
    run.traps("ld a0, 0(zero)")
    assert run.hart.instructions == before


def test_all_instructions_that_only_the_machine_can_do_are_left_to_the_reader():
    not_native = {insn.name for insn in RV64GC.insns if not insn.native}
    assert not_native - oracles.OF_GUESTS == set(
        "ecall ebreak csrrw csrrs csrrc csrrwi csrrsi csrrci mret sret wfi sfence.vma fence.i "
        "cbo.inval cbo.clean cbo.flush cbo.zero wrs.nto wrs.sto".split()
    )
