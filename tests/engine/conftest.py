"""The engines that execute instruction cases, and the oracles that say what should come out."""

from __future__ import annotations

import os
from array import array
from functools import cache
from random import Random

import pytest

from isa.ext import RV64GC
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.hart import MSTATUS, Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from tests.engine import oracles
from tests.engine.cases import CODE_AT, MEMORY, STATES_AT, Case, Outcome, case_of, how_many

FS = 3 << 13
ENGINES = {
    "reference": lambda ram: Reference(Hart(ram)),
    "native": lambda ram: Native(Hart(ram, extra=EXTRA)),
}


class Machine:
    """A hart with RAM where the cases lie, and an engine that runs it."""

    def __init__(self, engine: str):
        self.ram = Ram(STATES_AT - CODE_AT + (64 << 20), CODE_AT)
        self.engine = ENGINES[engine](self.ram)
        self.hart = self.engine.hart

    def run(self, case: Case) -> Outcome:
        """What becomes of a case."""
        hart, ram = self.hart, self.ram
        ram.write(case.pc, case.code)
        ram.write(case.memory_at, case.memory)
        hart.set_csr(MSTATUS, FS)
        hart.x[:32] = array("Q", case.x)
        hart.f[:] = array("Q", case.f)
        hart.fcsr = case.fcsr
        hart.reservation = None
        hart.pc = case.pc
        cause = None
        try:
            self.engine.run(case.steps)
        except Trap as trap:
            cause = trap.cause
        memory = ram.read(case.memory_at, MEMORY)
        return Outcome(tuple(hart.x[:31]), tuple(hart.f), hart.fcsr, memory, hart.pc, cause)


def absent(reason: str) -> None:
    """An oracle is missing: a reason to skip, but not where all are expected to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def machine_of():
    """A hart and an engine, by the engine's name; one of each."""
    return cache(Machine)


@pytest.fixture(scope="session", params=list(ENGINES))
def machine(request, machine_of) -> Machine:
    """Each engine with a hart of its own."""
    return machine_of(request.param)


@pytest.fixture(scope="session")
def cases() -> dict[str, list[Case]]:
    """The cases of every instruction, by its name."""
    found: dict[str, list[Case]] = {}
    index = 0
    for insn in RV64GC.insns:
        random = Random(insn.name)
        found[insn.name] = []
        for _ in range(how_many(RV64GC[insn.expands] if insn.expands else insn)):
            found[insn.name].append(case_of(random, insn, index))
            index += 1
    return found


@pytest.fixture(scope="session")
def qemu(cases, tmp_path_factory) -> dict[int, Outcome]:
    """QEMU's outcome of every case that it can execute, by the case's index."""
    if reason := oracles.missing_for_qemu():
        absent(reason)
    able = [case for some in cases.values() for case in some if oracles.qemu_can(case)]
    return oracles.qemu(able, tmp_path_factory.mktemp("qemu"))


@pytest.fixture(scope="session")
def unicorn() -> oracles.Unicorn:
    """Unicorn, stepping cases one by one."""
    try:
        return oracles.Unicorn()
    except ImportError:
        absent("not installed: unicorn")
