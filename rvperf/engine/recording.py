"""What native code adds to record control flow, for both tiers (rvperf.machine.calls)."""

from __future__ import annotations

from rvperf.engine.ssa import LIKELY, UNLIKELY, Ssa
from rvperf.machine.calls import ENTRY, FROM, RETURN, SP, TO


def push_call(m, at, back, to, sp) -> None:
    """Push an entry of the shadow call stack; when it is full, that is the Python reader's."""
    code = m.code
    top = m.read_field("calls")
    full, on = code.fresh("full"), code.fresh("on")
    code.branch(top == m.read_field("calls_end"), full, on, UNLIKELY)
    code.start(full)
    m.give_up()
    code.start(on)
    code.store(_pointer(m, top - m.read_field("calls_kept"), TO), 0)
    for place, word in ((RETURN, back), (SP, sp), (FROM, at), (TO, to)):
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
