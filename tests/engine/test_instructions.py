"""Every instruction of the table does what machines that we did not write do with it."""

from __future__ import annotations

from random import Random

import pytest

from isa.ext import RV64GC
from tests.engine import oracles
from tests.engine.cases import MEMORY, STATES_AT, Case, f_register, integer
from tests.engine.conftest import ENGINES

DATA = STATES_AT + (48 << 20)  # beyond the cases

NAMES = [insn.name for insn in RV64GC.insns]
FOR_QEMU = [
    insn.name
    for insn in RV64GC.insns
    if insn.name not in oracles.NOT_FOR_QEMU
    and RV64GC.by_name[insn.expands or insn.name].kind not in ("branch", "jump", "jump-register")
]
FOR_UNICORN = [
    insn.name
    for insn in RV64GC.insns
    if insn.extension in oracles.UNICORN_EXTENSIONS and insn.name not in oracles.NOT_FOR_QEMU
]


def differences(case, got, expected) -> str:
    """What is not as expected, in words; empty if all is."""
    found = []
    for n, (ours, theirs) in enumerate(zip(got.x, expected.x, strict=True)):
        if ours != theirs:
            found.append(f"x{n} {ours:#x}, not {theirs:#x}")
    for n, (ours, theirs) in enumerate(zip(got.f, expected.f, strict=True)):
        if ours != theirs:
            found.append(f"f{n} {ours:#x}, not {theirs:#x}")
    for name in ("fcsr", "memory", "pc", "cause"):
        ours, theirs = getattr(got, name), getattr(expected, name)
        if ours != theirs and theirs is not None:
            found.append(f"{name} {ours!r}, not {theirs!r}")
    if not found:
        return ""
    return f"{case}: {'; '.join(found)}"


@pytest.mark.parametrize("name", FOR_QEMU)
def test_is_what_qemu_makes_of_it(machine, cases, qemu, name):
    wrong = []
    for case in cases[name]:
        got = machine.run(case)
        assert got.cause is None, str(case)
        assert got.pc == case.pc + len(case.code)
        if difference := differences(case, got, qemu[case.index]):
            wrong.append(difference)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", FOR_UNICORN)
def test_is_what_unicorn_makes_of_it(machine, cases, unicorn, name):
    wrong = []
    for case in cases[name][:60]:
        if not oracles.unicorn_knows(case):
            continue
        if difference := differences(case, machine.run(case), unicorn.run(case)):
            wrong.append(difference)
    assert not wrong, "\n".join(wrong)


def test_engines_agree_on_any_word(machine_of):
    random = Random("any word")
    machines = [machine_of(name) for name in ENGINES]
    wrong = []
    for index in range(4000):
        insn = random.choice(RV64GC.insns)
        word = random.getrandbits(8 * insn.length)
        if index % 4:
            word = insn.match | word & ~insn.mask
        decoded = RV64GC.decode(word)
        if decoded and not decoded.insn.native:
            continue  # executed by the same code, and may leave the mode
        code = word.to_bytes(4, "little")
        x = [random.choice((integer(random), DATA + random.randrange(4096))) for _ in range(32)]
        x[0] = 0
        f = [f_register(random, random.choice((32, 64))) for _ in range(32)]
        case = Case(index, code, 1, x, f, random.getrandbits(8), bytes(MEMORY))
        first, *others = [machine.run(case) for machine in machines]
        for other in others:
            if difference := differences(case, other, first):
                wrong.append(difference)
    assert not wrong, "\n".join(wrong)
