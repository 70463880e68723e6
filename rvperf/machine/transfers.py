"""Control transfer records: where taken jumps and branches came from and went to (Smctr).

A ring in the hart's state, which native code writes too. A record is four words: FROM and TO, the
addresses; INFO, its type and whether it was mispredicted; CYCLE, the cycles of the hart's mode when
it was complete. The word `transfers` has a bit for each type that is recorded, `transfers_at` is
the offset in the ring of the next record. The ring holds more than any depth asks for, so that the
record before the oldest is still there to count cycles from. A record without a type is empty.

Traps and trap returns are not recorded: what is recorded is a program, in user mode.
"""

from __future__ import annotations

from collections.abc import Iterable

from isa.record import Record
from rvperf.machine.calls import DEPTHS, LINKS, hints
from rvperf.machine.state import HART, TRANSFER_RING

# Types as Smctr numbers them in ctrdata.TYPE.
TAKEN_BRANCH = 5
INDIRECT_CALL, DIRECT_CALL, INDIRECT_JUMP, DIRECT_JUMP = 8, 9, 10, 11
COROUTINE_SWAP, RETURN, OTHER_INDIRECT_JUMP, OTHER_DIRECT_JUMP = 12, 13, 14, 15
TYPES = {
    "taken-branch": TAKEN_BRANCH,
    "indirect-call": INDIRECT_CALL,
    "direct-call": DIRECT_CALL,
    "indirect-jump": INDIRECT_JUMP,
    "direct-jump": DIRECT_JUMP,
    "coroutine-swap": COROUTINE_SWAP,
    "return": RETURN,
    "other-indirect-jump": OTHER_INDIRECT_JUMP,  # it links, but not in x1 or x5
    "other-direct-jump": OTHER_DIRECT_JUMP,
}
FROM, TO, INFO, CYCLE = 0, 8, 16, 24
TRANSFER = 32
MISPREDICTED = 1 << 8  # in INFO, above the type
MOST_CYCLES, MASK = (1 << 16) - 1, (1 << 64) - 1
RECORDED, AT = HART["transfers"] // 8, HART["transfers_at"] // 8
assert TRANSFER_RING >= (DEPTHS[-1] + 1) * TRANSFER and not TRANSFER_RING & TRANSFER_RING - 1


class Transfer(Record):
    """A transfer as it is reported.

    `cycles` since the record before, at most 65535, and 0 if there is none; `type` is one of TYPES.
    """

    source: int
    to: int
    mispredicted: bool
    cycles: int
    type: int


def type_of(kind: str, rd: int = 0, rs1: int = 0) -> int | None:
    """The type of an instruction of a kind with these registers, when it is taken."""
    if kind == "branch":
        return TAKEN_BRANCH
    if kind == "jump":
        return DIRECT_CALL if rd in LINKS else OTHER_DIRECT_JUMP if rd else DIRECT_JUMP
    if kind != "jump-register":
        return None
    pops, pushes = hints(rd, rs1)
    if pushes:
        return COROUTINE_SWAP if pops else INDIRECT_CALL
    return RETURN if pops else OTHER_INDIRECT_JUMP if rd else INDIRECT_JUMP


class Transfers:
    """Records the transfers of the given types (names of TYPES) for a stack of `depth`."""

    def __init__(self, state, words, types: Iterable[str], depth: int):
        if depth not in DEPTHS:
            raise ValueError(f"no such depth: {depth}")
        self.types = frozenset(types)
        """What may ever be recorded."""
        self.varies = False
        """Whether compiled code must look which of these are, as `want` says."""
        self.depth = depth
        self._words = words
        self._ring = state.words(HART["transfer_ring"], TRANSFER_RING // 8)
        self.want(self.types, depth)
        self.clear()

    def want(self, types: Iterable[str], depth: int) -> None:
        """Record these types, and tell of as many as a depth."""
        self._words[RECORDED] = sum(1 << TYPES[name] for name in types)
        self.depth = depth

    def clear(self) -> None:
        """Forget all records, as kernels do when another task goes on."""
        self._words[AT] = 0
        self._ring[:] = memoryview(bytes(TRANSFER_RING)).cast("Q")

    def take(self) -> tuple[bytes, int]:
        """All records, which are forgotten, for `put_back`."""
        taken = self._ring.tobytes(), self._words[AT]
        self.clear()
        return taken

    def put_back(self, records: bytes, at: int, later: int) -> None:
        """Go on with records that were taken, their cycles so much later."""
        self._words[AT] = at
        self._ring[:] = memoryview(records).cast("Q")
        for word in range(0, len(self._ring), TRANSFER // 8):
            if self._ring[word + INFO // 8]:
                cycle = self._ring[word + CYCLE // 8]
                self._ring[word + CYCLE // 8] = cycle + later & MASK

    def record(self, source: int, to: int, type: int, mispredicted: bool, cycle: int) -> None:
        """A transfer was taken, and complete at a cycle."""
        if not self._words[RECORDED] >> type & 1:
            return
        at = self._words[AT]
        word = at // 8
        self._ring[word], self._ring[word + 1] = source, to
        self._ring[word + 2], self._ring[word + 3] = type | MISPREDICTED * mispredicted, cycle
        self._words[AT] = at + TRANSFER & TRANSFER_RING - 1

    def newest_first(self) -> list[Transfer]:
        """The records there are, at most `depth`."""
        at, size = self._words[AT] // 8, 4 * (self.depth + 1)
        words = self._ring[max(at - size, 0) : at].tolist()
        if at < size:
            words = self._ring[at - size :].tolist() + words
        found = []
        for at in range(size - 4, 0, -4):
            source, to, info, cycle = words[at : at + 4]
            if not info:
                break
            _, _, before, cycle_before = words[at - 4 : at]
            cycles = min(cycle - cycle_before & MASK, MOST_CYCLES) if before else 0
            mispredicted = bool(info & MISPREDICTED)
            found.append(Transfer(source, to, mispredicted, cycles, info & MISPREDICTED - 1))
        return found
