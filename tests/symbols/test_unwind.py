"""Unwinding at every instruction of a program, against the calls and returns that it executed."""

import pytest

from rvperf.symbols.unwind import DEEPEST, evaluate, unwind
from tests.symbols.programs import compiled
from tests.symbols.stepping import Stepper

BARE = ("-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector")


@pytest.mark.parametrize(
    "options",
    [
        ("-O2", "-fasynchronous-unwind-tables"),
        ("-O2", "-g", "-fno-asynchronous-unwind-tables"),  # .debug_frame
        ("-O0", "-g"),
        ("-Os", "-g", "-mno-relax"),
        ("-O3", "-fasynchronous-unwind-tables", "-march=rv64g"),
    ],
    ids=" ".join,
)
def test_callers_are_known_at_every_instruction(options):
    stepper = Stepper([compiled("deep.c", *BARE, *options)])
    deepest = 0
    for _ in stepper.steps():
        found = unwind(stepper.registers, stepper.read, stepper.find_dso)
        assert found == stepper.expected(), hex(stepper.hart.pc)
        deepest = max(deepest, len(found))
    assert stepper.kernel.exit.code == 0
    assert deepest > 8


def test_it_ends_at_the_depth_asked_for():
    stepper = Stepper([compiled("deep.c", *BARE, "-O2", "-g")])
    for _ in stepper.steps():
        found = unwind(stepper.registers, stepper.read, stepper.find_dso, depth=3)
        assert found == stepper.expected()[:3]
        if len(stepper.calls) > 4:
            break
    assert DEEPEST == 127


def test_without_a_stack_there_is_only_where_the_program_is():
    stepper = Stepper([compiled("deep.c", *BARE, "-O0", "-g")])
    for _ in stepper.steps():
        if len(stepper.calls) > 3:
            break
    pc = stepper.hart.pc
    assert unwind(stepper.registers, lambda address, size: None, stepper.find_dso)[0] == pc
    assert unwind(stepper.registers, stepper.read, lambda ip: None) == [pc]


@pytest.mark.parametrize(
    "expression, value",
    [
        ("35 33 22", 8),  # lit5 lit3 plus
        ("35 33 1c", 2),
        ("09 ff 1f", 1),  # const1s -1, neg
        ("72 10", 0x1010),  # breg2 16, sp being 0x1000
        ("35 12 1e", 25),  # dup mul
        ("31 28 01 00 96 37", 7),  # lit1 bra +1, nop, lit7
        ("08 40 06", 0x40),  # deref of what says its own address
    ],
)
def test_expressions_have_the_values_that_dwarf_gives_them(expression, value):
    registers = [0, 0, 0x1000, *[0] * 29]
    read = lambda address, size: address.to_bytes(size, "little")  # noqa: E731
    assert evaluate(bytes.fromhex(expression), registers, read, []) == value
