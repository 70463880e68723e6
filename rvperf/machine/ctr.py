"""Control transfer records as software has them (Smctr), over the ring that engines write.

Engines record jumps and taken branches in the ring of rvperf.machine.transfers, of the types that
its word names: this sets that word for the mode in hand, and takes over what is new whenever
somebody looks or the mode changes. Traps and their returns are recorded here.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.causes import Cause, Interrupt
from isa.csrs import CSR_NUMBERS
from isa.ext.smctr import FILTERS
from isa.modes import VS, M, S, U, virtual
from rvperf.machine.state import HART, TRANSFER_RING
from rvperf.machine.transfers import AT, MISPREDICTED, RECORDED, TRANSFER, TYPES, Transfers

TYPE_CHECKING = False  # as `typing` has it, whose import isn't free
if TYPE_CHECKING:
    from rvperf.machine.hart import Hart

MASK = (1 << 64) - 1
EXCEPTION, INTERRUPT, TRAP_RETURN = 1, 2, 3  # further types
MCTRCTL, VSCTRCTL = CSR_NUMBERS["mctrctl"], CSR_NUMBERS["vsctrctl"]
SCTRDEPTH, SCTRSTATUS = CSR_NUMBERS["sctrdepth"], CSR_NUMBERS["sctrstatus"]
ENABLES = {U: 1 << 0, S: 1 << 1, M: 1 << 2, VS: 1 << 1, U | 4: 1 << 0}
BPFRZ, LCOFIFRZ, FROZEN = 1 << 11, 1 << 12, 1 << 31
FIRST_FILTER = 32  # the filter of type n is bit 32 + n
KNOWN = sum(1 << at - FIRST_FILTER for at in FILTERS.values())  # types that can be recorded
BY_ENGINES = sum(1 << type for type in TYPES.values())
OVERFLOWS = {
    Interrupt.COUNTER_OVERFLOW,
    Interrupt.VIRTUAL_SUPERVISOR_COUNTER_OVERFLOW,
    Interrupt.MACHINE_COUNTER_OVERFLOW,
}
MOST_ENTRIES = 256
VALID, MISP, CCV = 1, 1, 1 << 15
WRITABLE = {"ctrsource": MASK, "ctrtarget": MASK, "ctrdata": 0xFFFF << 16 | CCV | 15}
PLACES = {"ctrsource": 0, "ctrtarget": 1, "ctrdata": 2}
DYNAMIC = "transfer-filter"
"""Among what compiled code is made for (`live`): which types are recorded changes."""


def cycle_count(cycles: int) -> int:
    """ctrdata.CC of a number of cycles: a mantissa of 12 bits and an exponent of 4."""
    if cycles < 4096:
        return cycles
    exponent = cycles.bit_length() - 12
    if exponent > 15:
        return 0xFFFF
    return exponent << 12 | cycles >> exponent - 1 & 0xFFF


class ControlTransferRecords:
    """The records of `hart`, which has Smctr."""

    def __init__(self, hart: Hart):
        self.hart = hart
        self._words = hart._words
        self._csrs = hart.csrs.words
        self._ring = hart.state.words(HART["transfer_ring"], TRANSFER_RING // 8)
        hart.transfers = Transfers(hart.state, hart._words, TYPES, MOST_ENTRIES)
        self._entries = [[0, 0, 0] for _ in range(MOST_ENTRIES)]
        self._next = 0  # WRPTR
        self._carried = 0  # cycles of the counter when the mode in hand was entered
        self._entered = 0  # the mode's cycles then
        self._counted = False  # whether the counter holds all cycles since the last record
        self._mark = 0
        self.begun = False
        """Whether anything has ever been recorded: compiled code need not, before."""
        self.on_begin: list[Callable[[], None]] = []
        self._resume()

    # What is recorded.

    def _control(self, *modes: int) -> int:
        """The control register of a transfer between these modes."""
        return self._csrs[VSCTRCTL if any(map(virtual, modes)) else MCTRCTL]

    def _enabled(self, mode: int) -> bool:
        return bool(self._control(mode) & ENABLES[mode])

    @property
    def _frozen(self) -> bool:
        return bool(self._csrs[SCTRSTATUS] & FROZEN)

    @property
    def _active(self) -> bool:
        return not self._frozen and self._enabled(self.hart.mode)

    def _resume(self) -> None:
        """Have engines record what this mode's control register says, from here on."""
        words = self._words
        wanted = 0
        if self._active:
            wanted = ~(self._control(self.hart.mode) >> FIRST_FILTER) & BY_ENGINES
        words[RECORDED] = wanted
        if wanted and not self.begun:
            self.begun = True
            for tell in self.on_begin:
                tell()
        self._start()

    def _start(self) -> None:
        """What is recorded, and the cycles, are known up to here. The slot of the ring that is
        written last before it is full tells whether it ever was."""
        self._mark = self._words[AT]
        self._ring[self._last_slot] = 0
        self._entered = self.hart.cycles_in_mode

    @property
    def _last_slot(self) -> int:
        return (self._mark - TRANSFER) % TRANSFER_RING // 8 + 2

    def pause(self) -> None:
        """Take over what has been recorded: before the mode, or what is recorded, changes."""
        if self._active:
            at, full = self._words[AT], bool(self._ring[self._last_slot])
            new = (at - self._mark) % TRANSFER_RING // TRANSFER
            if new or full:
                self._take_over(at, new, full)
            self._carried += self.hart.cycles_in_mode - self._entered
        self._start()

    def _take_over(self, at: int, new: int, full: bool) -> None:
        """Make entries of `new` records before `at`, or if the ring is `full` of as many as count.

        WRPTR has to be right too: depths divide the ring's size, so full turns change nothing."""
        depth = self.depth
        taken = depth if full else min(new, depth)
        self._next = (self._next + new - taken) % depth
        first = at // 8 - 4 * taken
        if taken < new or full:  # the count of the oldest that is left is from the one before it
            before = self._ring[(first - 4) % len(self._ring) + 3]
            self._counted, self._carried, self._entered = True, 0, before
        for word in range(first, first + 4 * taken, 4):
            word %= len(self._ring)
            source, to, info, cycle = self._ring[word : word + 4].tolist()
            self._carried += cycle - self._entered
            self._entered = cycle
            self._put(source, to, info & MISPREDICTED - 1, bool(info & MISPREDICTED))

    def _put(self, source: int, to: int, type: int, mispredicted: bool = False) -> None:
        """The next entry, with the cycles counted so far."""
        data = type
        if self._counted:
            data |= CCV | cycle_count(self._carried) << 16
        self._entries[self._next] = [source & ~1 | VALID, to & ~1 | mispredicted * MISP, data]
        self._next = (self._next + 1) % self.depth
        self._carried, self._counted = 0, True

    # The hart's changes of mode.

    def leave(self) -> None:
        """The hart is about to change its mode."""
        self.pause()

    def enter(self) -> None:
        """It has."""
        self._resume()

    def trapped(self, mode: int, to: int, epc: int, cause: int, interrupt: bool) -> None:
        """A trap is taken from a mode to another, at its handler: record it, or freeze."""
        self.pause()
        freezes = self._control(to)
        overflow = interrupt and cause in OVERFLOWS
        breakpoint_ = not interrupt and cause == Cause.BREAKPOINT
        if (overflow and freezes & LCOFIFRZ) or (breakpoint_ and freezes & BPFRZ):
            self._csrs[SCTRSTATUS] |= FROZEN
            return
        type = INTERRUPT if interrupt else EXCEPTION
        if self._records(type, mode, to) and self._enabled(to):
            self._put(epc if self._enabled(mode) else 0, self.hart.pc, type)

    def returned(self, mode: int, to: int, source: int) -> None:
        """A trap return from a mode to another, at its target."""
        self.pause()
        if self._records(TRAP_RETURN, mode, to) and self._enabled(mode):
            self._put(source, self.hart.pc if self._enabled(to) else 0, TRAP_RETURN)

    def _records(self, type: int, mode: int, to: int) -> bool:
        return not (self._frozen or self._control(mode, to) >> FIRST_FILTER + type & 1)

    # What software sees.

    @property
    def depth(self) -> int:
        """How many entries there are."""
        return 16 << self._csrs[SCTRDEPTH]

    @property
    def status(self) -> int:
        """sctrstatus."""
        self.look()
        return self._csrs[SCTRSTATUS] & FROZEN | self._next

    def look(self) -> None:
        """Know what has been recorded so far."""
        self.pause()
        self._resume()

    def write(self, number: int, value: int) -> None:
        """Write mctrctl, vsctrctl, sctrdepth or sctrstatus."""
        self.pause()
        if number == SCTRSTATUS:
            self._next = value & self.depth - 1
        self._csrs[number] = value
        if number == SCTRDEPTH:
            self._next %= self.depth
        elif number != SCTRSTATUS:
            self._restart()
        self._resume()

    def _restart(self) -> None:
        """The cycle counter begins anew: the next record has no count."""
        self._carried, self._counted = 0, False

    def clear(self) -> None:
        """What sctrclr does."""
        self.pause()
        for entry in self._entries:
            entry[:] = 0, 0, 0
        self._restart()
        self._resume()

    def entry(self, part: str, index: int) -> int:
        """A part of a logical entry; 0 is the youngest."""
        self.look()
        if index >= self.depth:
            return 0
        return self._entries[(self._next - index - 1) % self.depth][PLACES[part]]

    def put_entry(self, part: str, index: int, value: int) -> None:
        """Write a part of a logical entry."""
        self.look()
        if index < self.depth:
            entry = self._entries[(self._next - index - 1) % self.depth]
            entry[PLACES[part]] = value & WRITABLE[part]
