"""Running up to a stop: the native loop that ends on the exact instruction.

Compiled code retires exactly its budget, but knows nothing of the other counts. So `advance` gives
it budgets that can't reach any of the stops, each shorter than the last, and single instructions
at the end. No count goes on by more than one for each unit of the budget, which is why it has to
be one of cycles if cycles are what is waited for.
"""

from __future__ import annotations

import struct

from isa.words import select
from rvperf.engine import layout
from rvperf.engine.interpreter import LOAD_NEEDS, Interpreted, walk
from rvperf.engine.layout import ENGINE
from rvperf.engine.ssa import LIKELY, UNLIKELY, Ssa, SsaBit
from rvperf.machine.calls import ENTRY, NOWHERE, RETURN
from rvperf.machine.hart import SOURCES
from rvperf.machine.state import Block
from rvperf.machine.timing import MISPREDICT_CYCLES, SLOWEST


def approach() -> Interpreted:
    """`i64 approach(state)`: as `enter`, until `instructions` is `until` or a stop is reached.

    Adds to `instructions` what has retired, and layout.STOPPED to the reason if there was a stop.
    """
    m = Interpreted("approach")
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
    code.store(m.field("calls_before"), m.read_field("calls"))
    code.goto("go")
    code.start("go")
    budget = select(far, enough - short, code.word(1))
    code.store(m.field("budget"), budget)
    reason = code.word(code.value("call i64 @enter(ptr %state)"))
    after, beyond_after = counts()
    retired = budget - m.read_field("budget") - ((beyond_after - beyond) & unit)
    code.store(m.field("instructions"), before[0] + retired)
    after, _ = counts()
    stopped = SsaBit(code, False)
    for at in range(len(SOURCES)):
        stopped = stopped | ~after[at].slt(code.load(m.field("stops", at)))
    code.branch(stopped, "take0", "on", UNLIKELY)
    clock = after[1]
    for at in range(len(SOURCES)):
        code.start(f"take{at}")
        stop = code.load(m.field("stops", at))
        code.branch(after[at].slt(stop), f"take{at + 1}", f"due{at}")
        code.start(f"due{at}")
        period = code.load(m.field("periods", at))
        code.branch(period == 0, "stopped", f"own{at}", UNLIKELY)
        code.start(f"own{at}")
        taken = code.value(f"call i64 @capture(ptr %state, i64 {at}, i64 {clock.text})")
        code.branch(Ssa(code, taken) == 0, "stopped", f"next{at}", UNLIKELY)
        code.start(f"next{at}")
        code.store(m.field("stops", at), stop + period)
        code.goto(f"take{at}")
    code.start(f"take{len(SOURCES)}")
    code.goto("on")
    code.start("stopped")
    code.put(f"ret i64 {(reason | layout.STOPPED).text}")
    code.start("on")
    code.branch(reason == layout.BUDGET, "loop", "leave", LIKELY)
    code.start("leave")
    code.put(f"ret i64 {reason.text}")
    return m


CAPTURE = "internal i64 @capture(ptr %state, i64 %source, i64 %clock)"
PC, FP, RA = 32, 8, 1


def capture() -> Interpreted:
    """`i64 capture(state, source, clock)`: put a sample of `before` where Python collects them.

    0 if it can't: there is no room, or memory has to be read in a way that only Python can.
    The chain of frame pointers is followed as the kernel model does it (perf_events); that of
    calls is what the shadow call stack has (rvperf.machine.calls).
    """
    m = Interpreted("capture")
    code = m.code

    def before(register: int) -> Ssa:
        return code.load(m.field("before", register))

    code.put("%fp = alloca i64, align 8")
    code.put("%ra = alloca i64, align 8")
    code.put("%count = alloca i64, align 8")
    code.put("%call = alloca i64, align 8")
    at = m.read_field("samples")
    sample = code.value(f"inttoptr i64 {at.text} to ptr")
    most = m.read_field("chain_most")
    end = at + layout.SAMPLE_CHAIN + most.shl(3)
    code.branch(m.read_field("samples_end").ult(end), "refuse", "room", UNLIKELY)
    code.start("refuse")
    code.put("ret i64 0")
    code.start("room")
    code.store(code.address(sample, layout.SAMPLE_SOURCE), Ssa(code, "%source"))
    code.store(code.address(sample, layout.SAMPLE_CLOCK), Ssa(code, "%clock"))
    code.store(code.address(sample, layout.SAMPLE_CHAIN), before(PC))
    code.store("%count", 1)
    code.store("%fp", before(FP))
    code.store("%ra", before(RA))
    code.branch(m.read_field("chain") == layout.NO_CHAIN, "finish", "some")
    code.start("some")
    code.store("%call", m.read_field("calls_before"))
    code.branch(m.read_field("chain") == layout.CALLS_CHAIN, "kept", "frame")
    code.start("kept")
    call, count = code.load("%call") - ENTRY, code.load("%count")
    entry = code.value(f"inttoptr i64 {call.text} to ptr")
    back = code.load(code.address(entry, RETURN))
    code.branch((back != NOWHERE) & count.ult(most), "caller", "finish", LIKELY)
    code.start("caller")
    code.store(code.address(sample, count.shl(3) + layout.SAMPLE_CHAIN), back)
    code.store("%count", count + 1)
    code.store("%call", call)
    code.goto("kept")
    code.start("frame")
    fp, count = code.load("%fp"), code.load("%count")
    followed = (fp != 0) & ((fp & 3) == 0) & count.ult(most)
    code.branch(followed, "follow", "finish")
    code.start("follow")
    code.branch((fp & 7) == 0, "aligned", "refuse", LIKELY)
    code.start("aligned")
    record = fp - 16
    ok, page = walk(m, record, LOAD_NEEDS)
    code.branch(ok != 0, "mapped", "finish", LIKELY)
    code.start("mapped")
    code.branch((record & 0xFFF) == 0xFF8, "refuse", "whole", UNLIKELY)
    code.start("whole")
    ram = code.value(f"load ptr, ptr {m.field('ram')}, align 8")
    host = code.address(ram, page - m.read_field("ram_base") + (record & 0xFFF))
    code.store("%fp", code.load(host))
    known = code.load("%ra")
    ra = select(known != 0, known, code.load(code.address(host, 8)))
    code.branch(ra != 0, "more", "finish", LIKELY)
    code.start("more")
    code.store(code.address(sample, count.shl(3) + layout.SAMPLE_CHAIN), ra)
    code.store("%count", count + 1)
    code.store("%ra", 0)
    code.goto("frame")
    code.start("finish")
    count = code.load("%count")
    code.store(code.address(sample, layout.SAMPLE_COUNT), count)
    code.store(m.field("samples"), at + layout.SAMPLE_CHAIN + count.shl(3))
    code.put("ret i64 1")
    return m


# Which chains native code can follow, by perf's names for them.
CHAINS = {None: layout.NO_CHAIN, "fp": layout.FRAME_CHAIN, "exact": layout.CALLS_CHAIN}


class Capture:
    """The samples that native code takes by itself, and what it is to take."""

    SIZE = 1 << 18

    def __init__(self, hart):
        self._buffer = Block(self.SIZE)
        words = hart.state.words
        self._periods = words(ENGINE["periods"], len(SOURCES))
        self._next, self._end = words(ENGINE["samples"]), words(ENGINE["samples_end"])
        self._chain, self._most = words(ENGINE["chain"]), words(ENGINE["chain_most"])
        self._next[0] = self._buffer.address
        self._end[0] = self._buffer.address + self.SIZE

    def configure(self, periods: dict[str, int], chain: str | None, most: int) -> None:
        """Take a sample each time that a source, by SOURCES, has gone on by its period.

        With `chain`, one of CHAINS, a sample has a call chain of at most `most` addresses.
        """
        for at, source in enumerate(SOURCES):
            self._periods[at] = periods.get(source, 0)
        self._chain[0] = CHAINS[chain]
        self._most[0] = most if chain else 1

    def drain(self):
        """The samples since the last time: (source's place in SOURCES, clock, addresses)."""
        size = self._next[0] - self._buffer.address
        if not size:
            return ()
        self._next[0] = self._buffer.address
        return self._samples(bytes(self._buffer.view[:size]))

    @staticmethod
    def _samples(data: bytes):
        words = struct.unpack(f"<{len(data) // 8}Q", data)
        at = 0
        while at < len(words):
            source, clock, count = words[at : at + 3]
            at += 3 + count
            yield source, clock, words[at - count : at]
