"""Both engines record the same control transfers, at whatever instruction they are stopped; and
what they record is what a walk through the program, instruction by instruction, sees."""

from pathlib import Path
from random import Random

import pytest

from isa.ext import RV64GC
from rvperf.engine.layout import CYCLE_BUDGET
from rvperf.machine.transfers import TYPES
from tests.recorded import Run

ROOT = Path(__file__).parent.parent
PROGRAMS = {
    "branchsort": [ROOT / "samples/branchsort", "unsorted"],
    "quicksort": [ROOT / "bench/quicksort", "1"],
    "bytecode": [ROOT / "bench/bytecode", "1"],
    "recurse": [ROOT / "samples/recurse"],
    "printf": [ROOT / "samples/printf"],
}
LENGTH, STOPS = 40_000, 60
FILTERS = {
    "any": tuple(TYPES),
    "calls": ("direct-call", "indirect-call"),
    "returns and branches": ("return", "taken-branch"),
}


CASES = [(program, "any") for program in PROGRAMS] + [("quicksort", which) for which in FILTERS]


@pytest.mark.parametrize("program, which", dict.fromkeys(CASES))
def test_engines_record_the_same(program, which):
    def prepare(hart):
        hart.record_transfers(FILTERS[which], depth=256)
        hart.record_calls()  # both at once must work too

    runs = oracle, tier0, native = [
        Run(PROGRAMS[program], ROOT, prepare, engine, live=("branches", "loads", "stores"))
        for engine in ("reference", "tier 0", "native")
    ]
    native.engine.threshold[0] = 100
    # The same with a budget of cycles, and so with many budgets between two looks.
    limited = Run(PROGRAMS[program], ROOT, prepare, "native", live=(CYCLE_BUDGET,))
    limited.hart.stop_after({"cycles": 10**9})
    limited.engine.threshold[0] = 100
    runs.append(limited)
    random = Random(f"{program} {which}")
    stops = sorted(random.randrange(LENGTH) for _ in range(STOPS))
    for n, stop in enumerate(stops):
        for run in runs:
            run.to(stop)
        found = oracle.hart.branch_records()
        assert tier0.hart.branch_records() == found, f"after {stop}"
        assert native.hart.branch_records() == found, f"after {stop}"
        assert native.hart.counts == tier0.hart.counts == oracle.hart.counts
        assert limited.hart.branch_records() == found, f"after {stop}"
        if n == STOPS // 3:
            native.compile()
            limited.compile()
    assert native.regions.known and limited.regions.known, "nothing was compiled"
    for run in runs:
        run.end()


def test_records_are_what_a_walk_sees():
    run = Run(PROGRAMS["printf"], ROOT, lambda hart: hart.record_transfers(), "reference")
    hart, walked, last = run.hart, [], 0
    for _ in range(5000):
        pc, misses = hart.pc, run.hart.counts[0]["branch-misses"]
        word = run.kernel.current.memory.read(pc, 4)
        decoded = RV64GC.decode(int.from_bytes(word, "little"))
        run.to(run.user_instructions() + 1)
        if decoded.insn.kind in ("branch", "jump", "jump-register"):
            if hart.pc != pc + decoded.length:
                now = hart.counts[0]["cycles"]
                missed = hart.counts[0]["branch-misses"] != misses
                walked.append((pc, hart.pc, missed, now - last if last else 0))
                last = now
    found = [(r.source, r.to, r.mispredicted, r.cycles) for r in hart.branch_records()]
    assert found == walked[:-33:-1]
    run.end()
