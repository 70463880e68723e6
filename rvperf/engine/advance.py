"""Running up to a stop: the native loop that ends on the exact instruction.

Compiled code retires exactly its budget, but knows nothing of the other counts. So `advance` gives
it budgets that can't reach any of the stops, each shorter than the last, and single instructions
at the end. No count goes on by more than one for each unit of the budget, which is why it has to
be one of cycles if cycles are what is waited for.
"""

from __future__ import annotations

from isa.words import select
from rvperf.engine import layout
from rvperf.engine.interpreter import Interpreted
from rvperf.engine.ssa import LIKELY, UNLIKELY, SsaBit
from rvperf.machine.hart import SOURCES
from rvperf.machine.timing import MISPREDICT_CYCLES, SLOWEST


def advance() -> Interpreted:
    """`i64 advance(state)`: as `run`, until `instructions` is `until` or a stop is reached.

    Adds to `instructions` what has retired, and layout.STOPPED to the reason if there was a stop.
    """
    m = Interpreted("advance")
    code = m.code

    def counts():
        """(the counts by SOURCES, the cycles beyond one for each instruction)."""
        instructions = m.read_field("instructions")
        beyond = m.read_field("extra_cycles") + m.read_field("branch_misses") * MISPREDICT_CYCLES
        others = [m.read_field(name) for name in ("branches", "branch_misses", "loads", "stores")]
        return [instructions, instructions + beyond, *others], beyond

    code.goto("loop")
    code.start("loop")
    before, beyond = counts()
    enough = m.read_field("until") - before[0]
    code.branch(enough.slt(1), "spent", "some", UNLIKELY)
    code.start("spent")
    code.put(f"ret i64 {layout.BUDGET}")
    code.start("some")
    for at in range(len(SOURCES)):
        more = code.load(m.field("stops", at)) - before[at]
        enough = select(more.slt(enough), more, enough)
    unit = m.read_field("unit")
    # One unit less than what could reach a stop; an instruction may take more than one of cycles.
    short = select(unit == 0, code.word(1), code.word(SLOWEST))
    far = short.slt(enough)
    code.branch(far, "go", "near", LIKELY)
    code.start("near")
    registers = code.value(f"load <32 x i64>, ptr {m.field('x')}, align 8")
    code.put(f"store <32 x i64> {registers}, ptr {m.field('before')}, align 8")
    code.store(m.field("before", 32), m.read_field("pc"))
    code.goto("go")
    code.start("go")
    budget = select(far, enough - short, code.word(1))
    code.store(m.field("budget"), budget)
    reason = code.word(code.value("call i64 @run(ptr %state)"))
    after, beyond_after = counts()
    retired = budget - m.read_field("budget") - ((beyond_after - beyond) & unit)
    code.store(m.field("instructions"), before[0] + retired)
    after, _ = counts()
    stopped = SsaBit(code, False)
    for at in range(len(SOURCES)):
        stopped = stopped | ~after[at].slt(code.load(m.field("stops", at)))
    code.branch(stopped, "stopped", "on", UNLIKELY)
    code.start("stopped")
    code.put(f"ret i64 {(reason | layout.STOPPED).text}")
    code.start("on")
    code.branch(reason == layout.BUDGET, "loop", "leave", LIKELY)
    code.start("leave")
    code.put(f"ret i64 {reason.text}")
    return m
