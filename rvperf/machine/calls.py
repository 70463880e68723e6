"""The shadow call stack: which calls have not returned yet, as the instructions themselves say.

jal and jalr tell calls from returns and jumps by their registers (unprivileged manual 2.5.1,
"return-address stack"). A call pushes an entry, a return pops one, a tail call changes nothing. A
return to anywhere but the address on top is longjmp's or an unwinder's, and takes from the stack
what it has left behind. So no frame pointers are needed, and it is right where they would be wrong.

An entry is four words: RETURN, where the call returns to; SP, the stack pointer at the call; FROM,
the call's own address; TO, where it went, or 0 once a call stack in hardware would have lost the
entry (`Calls.kept`). Entries lie one behind the other in memory that native code reads and writes;
the state's word `calls` is where the next one goes, so the innermost lies just below. Going down,
the stack ends at the entry whose RETURN is `NOWHERE`. Two more kinds stand for a signal's handler:

    the frame       RETURN the interrupted pc, SP the frame's address,
                    FROM the lowest address of the handler's stack + 1, TO 0
    above it        RETURN the trampoline that the handler returns to, SP as before, FROM 0, TO 0
"""

from __future__ import annotations

import ctypes
import mmap

from rvperf.machine.state import HART

LINKS = (1, 5)  # registers that calls leave the return address in
RETURN, SP, FROM, TO = 0, 8, 16, 24
ENTRY = 32
NOWHERE = 1  # odd: no instruction lies there
MOST_ENTRIES = 1 << 20
DEPTHS = (16, 32, 64, 128, 256)  # of call stacks in hardware (Smctr, sctrdepth.DEPTH)
BOTTOM = DEPTHS[-1]  # index of the lowest entry, so that what `kept` marks lies in the memory
EVERYTHING = (1 << 64) - 1
TOP, BEFORE, END, KEPT = (
    HART[name] // 8 for name in ("calls", "calls_before", "calls_end", "calls_kept")
)


def hints(rd: int, rs1: int = 0) -> tuple[bool, bool]:
    """(pops, pushes) of a jalr with these registers, or of a jal, which has no rs1."""
    pushes = rd in LINKS
    return rs1 in LINKS and not (pushes and rd == rs1), pushes


class CallStack:
    """The memory of one task's entries."""

    def __init__(self):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
        self._map = mmap.mmap(-1, (BOTTOM + MOST_ENTRIES) * ENTRY, flags=flags)
        self.words = memoryview(self._map).cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.clear()

    def clear(self) -> None:
        """No call has been made."""
        self.top = BOTTOM + 1  # index of the next entry; while in use, the hart has it
        self.handlers: list[int] = []  # indices of signal frames
        self.words[4 * BOTTOM : 4 * BOTTOM + 4] = _entry(NOWHERE, EVERYTHING, 0, 0)


def _entry(*words: int) -> memoryview:
    return memoryview(b"".join(word.to_bytes(8, "little") for word in words)).cast("Q")


class Calls:
    """Keeps the call stack of whatever a hart executes. `words` are the hart's state.

    `kept` is how many entries a call stack in hardware has (Smctr with RASEMU): what a deeper call
    has overwritten there stays lost, which `records` tells. 0: it has all that is wanted.
    """

    def __init__(self, words, kept: int = 0):
        self._words = words
        self.keep(kept)
        self.stack = self.nobodys = CallStack()
        """The stack in use; and the one that is while nobody runs whose calls are recorded."""
        self._use(self.stack)

    def keep(self, entries: int) -> None:
        """How many are `kept` from now on."""
        self._words[KEPT] = entries * ENTRY

    @property
    def top(self) -> int:
        """The index of the next entry."""
        return (self._words[TOP] - self.stack.address) // ENTRY

    @property
    def top_before(self) -> int:
        """The same before the instruction that reached a stop. The entries are still there: a
        return leaves them where they are."""
        return (self._words[BEFORE] - self.stack.address) // ENTRY

    @top.setter
    def top(self, index: int) -> None:
        self._words[TOP] = self.stack.address + index * ENTRY

    def _use(self, stack: CallStack) -> None:
        self.stack = stack
        self.top = stack.top
        self._words[END] = stack.address + (BOTTOM + MOST_ENTRIES) * ENTRY

    # What instructions do.

    def jumped(self, rd: int, rs1: int, at: int, back: int, to: int, sp: int) -> None:
        """A jal or jalr at `at`, followed by `back`, goes to `to`; sp is as before it."""
        pops, pushes = hints(rd, rs1)
        if pops:
            self.returned(to, sp)
        if pushes:
            self.push(back, sp, at, to)

    def push(self, back: int, sp: int, at: int, to: int) -> None:
        """A call. The older half is forgotten when there is no more room."""
        if self._words[TOP] == self._words[END]:
            self._forget_half()
        top, words = self.top, self.stack.words
        words[4 * top - self._words[KEPT] // 8 + TO // 8] = 0
        words[4 * top : 4 * top + 4] = _entry(back, sp, at, to)
        self.top = top + 1

    def returned(self, to: int, sp: int) -> None:
        """A return to `to` with the stack pointer sp: of the innermost call; else of an outer one
        whose sp this is; else nobody returns, and all calls from as deep or deeper are over."""
        words = self.stack.words
        top = self.top
        if words[4 * top - 4] != to:
            top = self._match(to, sp)
        else:
            top -= 1
        self.top = top

    def _match(self, to: int, sp: int) -> int:
        """The index to pop to for a return that is not the innermost call's."""
        words, top, floor = self.stack.words, self.top, BOTTOM
        for frame in reversed(self._frames()):
            highest, lowest = words[4 * frame + 1], words[4 * frame + 2] - 1
            if lowest <= sp <= highest:
                floor = frame
                break
            top = frame  # sp is not on this handler's stack: it has been left
        below = top
        while below - 1 > floor and words[4 * below - 3] <= sp:
            below -= 1
            if words[4 * below] == to and words[4 * below + 1] == sp:
                break
        return below

    def _frames(self) -> list[int]:
        """The indices of the signal frames whose handlers have not returned, outermost first."""
        words, top, frames = self.stack.words, self.top, self.stack.handlers
        while frames and (frames[-1] >= top or not words[4 * frames[-1] + 2] & 1):
            frames.pop()
        return frames

    def _forget_half(self) -> None:
        words, half = self.stack.words, MOST_ENTRIES // 2
        first = 4 * (BOTTOM + 1)
        kept = bytes(words[first + 4 * half : 4 * self.top])
        words[first : first + len(kept) // 8] = memoryview(kept).cast("Q")
        self.top -= half
        self._words[BEFORE] = max(self._words[BEFORE] - half * ENTRY, self.stack.address)
        self.stack.handlers = [at - half for at in self._frames() if at - half > BOTTOM]

    # What a kernel does.

    def clear(self) -> None:
        """A new program begins."""
        self.stack.clear()
        self._use(self.stack)

    def exchange(self, stack: CallStack | None) -> CallStack:
        """Go on with another task's stack (None: a new task's); what was in use before."""
        before = self.stack
        before.top = self.top
        self._use(stack or CallStack())
        return before

    def copy(self) -> CallStack:
        """A copy of the stack in use, for a child that goes on from here."""
        made, top = CallStack(), self.top
        made.words[: 4 * top] = self.stack.words[: 4 * top]
        made.handlers = list(self._frames())
        made.top = top
        return made

    def enter_handler(self, pc: int, trampoline: int, frame: int, lowest: int) -> None:
        """A signal's handler is called at pc, on the stack from `lowest` to its frame."""
        self._frames()
        self.push(pc, frame, lowest + 1 & ~1 | 1, 0)
        self.stack.handlers.append(self.top - 1)
        self.push(trampoline, frame, 0, 0)

    def leave_handler(self, frame: int) -> None:
        """rt_sigreturn with this frame: of the innermost handler, unless others have been left."""
        words, frames = self.stack.words, self._frames()
        if not frames:
            return
        at = next((at for at in reversed(frames) if words[4 * at + 1] == frame), frames[-1])
        self.top = at
        self._frames()

    # What there is to see.

    def return_addresses(self, limit: int = 127, before: bool = False) -> list[int]:
        """Where the calls that have not returned return to, innermost first, at most `limit`.

        `before`: as it was before the instruction that reached a stop.
        """
        top = self.top_before if before else self.top
        low = max(BOTTOM + 1, top - limit)
        return self.stack.words[4 * low : 4 * top].tolist()[::4][::-1]

    def records(self, depth: int, before: bool = False) -> list[tuple[int, int]]:
        """(from, to) of the calls that a stack of `depth` entries in hardware still has, innermost
        first: `depth` must be `kept`. `before` as in `return_addresses`."""
        words = self.stack.words
        top = self.top_before if before else self.top
        found = []
        for at in range(top - 1, max(BOTTOM, top - 1 - depth), -1):
            source, to = words[4 * at + 2], words[4 * at + 3]
            if to:
                found.append((source, to))
        return found
