"""What native code adds to record control flow, for both tiers: rvperf.machine.calls says what the
call stack is, rvperf.machine.transfers what the records are."""

from __future__ import annotations

from rvperf.engine.ssa import LIKELY, UNLIKELY, Ssa
from rvperf.machine import calls, transfers
from rvperf.machine.calls import ENTRY, RETURN
from rvperf.machine.state import TRANSFER_RING
from rvperf.machine.timing import MISPREDICT_CYCLES


def push_call(m, at, back, to, sp) -> None:
    """Push an entry of the shadow call stack; when it is full, that is the Python reader's."""
    code = m.code
    top = m.read_field("calls")
    full, on = code.fresh("full"), code.fresh("on")
    code.branch(top == m.read_field("calls_end"), full, on, UNLIKELY)
    code.start(full)
    m.give_up()
    code.start(on)
    code.store(_pointer(m, top - m.read_field("calls_kept"), calls.TO), 0)
    words = ((RETURN, back), (calls.SP, sp), (calls.FROM, at), (calls.TO, to))
    for place, word in words:
        code.store(_pointer(m, top, place), word)
    code.store(m.field("calls"), top + ENTRY)


def pop_call(m, to) -> None:
    """Pop an entry for a return to `to`. Any but the innermost call's is the Python reader's."""
    code = m.code
    top = m.read_field("calls")
    other, on = code.fresh("other"), code.fresh("on")
    code.branch(code.load(_pointer(m, top, RETURN - ENTRY)) == to, on, other, LIKELY)
    code.start(other)
    m.give_up()
    code.start(on)
    code.store(m.field("calls"), top - ENTRY)


def _pointer(m, address: Ssa, offset: int) -> str:
    """A pointer to `offset` bytes behind an address in this process."""
    base = m.code.value(f"inttoptr i64 {address.text} to ptr")
    return m.code.address(base, offset)


def record_transfer(m, type, at, to, mispredicted, cycle: Ssa, asks: bool = False) -> None:
    """Put a control transfer into the ring; `mispredicted` is a word or 0 or 1. `asks`: if its type
    is recorded now."""
    code = m.code
    if asks:
        wanted, done = code.fresh("wanted"), code.fresh("done")
        code.branch(m.read_field("transfers").shr(type) & 1 == 0, done, wanted)
        code.start(wanted)
    place = m.read_field("transfers_at")
    record = code.address(m.field("transfer_ring"), place)
    info = Ssa(code, 0) + type + mispredicted * transfers.MISPREDICTED
    words = (
        (transfers.FROM, at),
        (transfers.TO, to),
        (transfers.INFO, info),
        (transfers.CYCLE, cycle),
    )
    for offset, word in words:
        code.store(code.address(record, offset), word)
    code.store(m.field("transfers_at"), place + transfers.TRANSFER & TRANSFER_RING - 1)
    if asks:
        code.goto(done)
        code.start(done)


def beyond(m) -> Ssa:
    """The cycles in the state beyond one for each instruction."""
    return m.read_field("extra_cycles") + m.read_field("branch_misses") * MISPREDICT_CYCLES


def start_clock(m, budget: Ssa) -> None:
    """Native code begins with a budget: from now on that is what the cycles are known by."""
    now = m.read_field("mode_cycles") + m.read_field("instructions")
    base = now + budget + (beyond(m) & m.read_field("unit"))
    m.code.store(m.field("cycle_base"), base)


def cycle_now(m, budget, unit) -> Ssa:
    """The mode's cycles when `budget` is left: of cycles if unit is all ones, else of instructions,
    and the state has what there is beyond."""
    return m.read_field("cycle_base") - budget + (beyond(m) & ~unit)
