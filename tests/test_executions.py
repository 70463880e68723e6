"""Executions by address are exact: their sums are what the hart has counted, both engines find the
same, and the file has the instructions that they are said to be of."""

import os
import shlex
from collections import defaultdict
from pathlib import Path

import pytest

from isa.ext import RV64GC
from rvperf.engine import native
from rvperf.engine.hot import Regions
from rvperf.engine.native import EXTRA, Native
from rvperf.machine.executions import PageIdentity
from rvperf.machine.hart import SOURCES, Hart
from rvperf.machine.ram import Ram
from tests.oracles import debian, need
from tests.recorded import Run
from tests.stack import elves
from tests.test_changing_code import built, ways

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
FIRST = 60_000  # instructions of a program, which the reference engine can do in reasonable time
U = 0


@pytest.fixture(autouse=True)
def nowhere():
    """What the programs print isn't wanted."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def run(argv, cwd, nowhere, engine, upto=1 << 62, **how) -> Run:
    """A program executed so far, with its executions counted."""
    made = Run(
        argv, cwd, Hart.record_executions, engine, descriptors=(nowhere, nowhere, nowhere), **how
    )
    made.to(upto)
    made.end()
    made.hart.collect()
    return made


def by_address(hart) -> dict[tuple[PageIdentity, int], list[int]]:
    """The hart's counts by the page's identity and the offset there, in the order of SOURCES."""
    found = defaultdict(lambda: [0] * len(SOURCES))
    for identity, counts in hart.executed():
        for at, executions in enumerate(counts["instructions"]):
            if executions:
                there = found[identity, 2 * at]
                for n, source in enumerate(SOURCES):
                    there[n] += counts[source][at]
    return dict(found)


def sums(found) -> dict[str, int]:
    return {source: sum(counts[n] for counts in found.values()) for n, source in enumerate(SOURCES)}


@pytest.mark.parametrize("sample", ["selfmod", "printf", "branchsort", "fpround", "recurse"])
def test_engines_find_the_same_and_its_sum_is_what_the_hart_has_counted(sample, nowhere, tmp_path):
    one, other = (
        run([SAMPLES / sample], tmp_path, nowhere, engine, FIRST)
        for engine in ("reference", "tier 0")
    )
    found = by_address(one.hart)
    assert by_address(other.hart) == found
    assert sums(found) == one.hart.counts[U] == other.hart.counts[U]


@ways
def test_code_that_changes(way, nowhere, tmp_path):
    path = built(tmp_path, way, calls=20, rounds=5)
    one, other = (run([path], tmp_path, nowhere, engine) for engine in ("reference", "tier 0"))
    found = by_address(one.hart)
    assert by_address(other.hart) == found
    assert sums(found) == one.hart.counts[U] == other.hart.counts[U]


def test_code_that_becomes_of_another_kind(nowhere, tmp_path):
    """Each round turns an addi into a mul or back."""
    text = """
        li s0, 0
        la s4, slot
    again:
        li t1, 0x00090913       # addi s2, s2, 0
        andi t0, s0, 1
        beq t0, zero, write
        li t1, 0x03290933       # mul s2, s2, s2
    write:
        sw t1, 0(s4)
        fence.i
    slot:
        addi s2, s2, 0
        addi s0, s0, 1
        li t0, 10
        bne s0, t0, again
        li a0, 0
        li a7, 93
        ecall
    """
    path = elves.build(tmp_path / "it", text)
    one, other = (run([path], tmp_path, nowhere, engine) for engine in ("reference", "tier 0"))
    found = by_address(one.hart)
    assert by_address(other.hart) == found
    assert sums(found) == one.hart.counts[U] == other.hart.counts[U]
    assert [5 + 3 * 5] == [cycles for count, cycles, *_ in found.values() if cycles == 20]


def test_no_count_is_lost_when_there_are_too_many_pages(nowhere, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "POOL_PAGES", 2)
    one = run([SAMPLES / "printf"], tmp_path, nowhere, "tier 0")
    assert sums(by_address(one.hart)) == one.hart.counts[U]


def test_the_loop_that_can_be_counted_by_hand(nowhere, tmp_path):
    found = by_address(run([SAMPLES / "loop"], tmp_path, nowhere, "tier 0").hart)
    counts = [counts for _, counts in sorted(found.items(), key=lambda item: item[0][1])]
    names = {identity.file for identity, _ in found}
    assert names == {str(SAMPLES / "loop")}
    assert [n for n, *_ in counts] == [1] * 4 + [1000] * 7 + [1] * 3
    assert [loads for *_, loads, _ in counts][4:11] == [1000, 0, 1000, 0, 0, 0, 0]
    assert [stores for *_, stores in counts][4:11] == [0, 0, 0, 0, 1000, 0, 0]
    instructions, cycles, branches, misses, _, _ = counts[10]
    assert (instructions, branches) == (1000, 1000) and cycles == 1000 + 4 * misses


def test_the_file_has_the_instructions(nowhere, tmp_path):
    found = by_address(run([SAMPLES / "printf"], tmp_path, nowhere, "tier 0").hart)
    data = (SAMPLES / "printf").read_bytes()
    in_file = 0
    for (identity, at), (instructions, _, branches, _, _, _) in found.items():
        if identity.file == str(SAMPLES / "printf"):
            at += identity.offset
            decoded = RV64GC.decode(int.from_bytes(data[at : at + 4], "little"))
            assert branches == (instructions if decoded.insn.kind == "branch" else 0)
            in_file += 1
    assert in_file > 500


PROGRAMS = (
    "/usr/bin/busybox sha256sum text",
    "/usr/bin/python3.13 -S -c pass",
    "/usr/bin/bash -c '/usr/bin/ls | /usr/bin/sort'",
)


@pytest.mark.parametrize("words", PROGRAMS)
def test_real_programs(words, nowhere, tmp_path):
    """Several processes, libraries, and much code."""
    need(debian.missing())
    root = debian.sysroot()
    (tmp_path / "text").write_text("text\n" * 1000)
    one = run(shlex.split(words), tmp_path, nowhere, "tier 0", sysroot=str(root))
    assert one.kernel.exit.code == 0
    found = by_address(one.hart)
    assert one.hart.counts[U]["instructions"] > 100_000
    assert sums(found) == one.hart.counts[U]


def test_regions_do_not_count_executions():
    hart = Hart(Ram(1 << 20), EXTRA)
    hart.record_executions()
    with pytest.raises(ValueError, match="regions"):
        Native(hart, Regions(frozenset()))


def test_nothing_is_counted_unless_asked_for():
    assert Hart(Ram(1 << 20)).executed() == []
