"""Every instruction of the table does what machines that we did not write do with it."""

from __future__ import annotations

import pytest

from isa.ext import RV64GC
from tests.engine import oracles

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
