"""The performance counters: what each counts, in which modes, and when one overflows.

A counter is not stepped. What happens is in the hart's ledger, by mode and source, and in what
native code has not handed over yet; a counter that runs holds what to add to its part of that, and
one that stands still its value. So counting costs nothing, and whatever changes what is counted
(`reconsider`) takes the values of the counters concerned over to the new way.

Overflows are exact: `due` says how far each source may go in the mode in hand until some counter
wraps, and the hart has engines stop there.
"""

from __future__ import annotations

from collections.abc import Iterable

from isa.causes import Interrupt
from isa.counting import (
    CYCLE,
    FIRST,
    INSTRET,
    OF,
    PROGRAMMABLE,
    counting_modes,
)
from isa.csrs import CSR_NUMBERS
from isa.ext.smcdeleg import CDE
from isa.ext.xrvpt import FORCED, guest_counters
from isa.record import Record
from isa.routing import LCOFI, VSLCOFI
from rvperf.machine.state import NO_STOP

TYPE_CHECKING = False  # as `typing` has it, whose import isn't free
if TYPE_CHECKING:
    from rvperf.machine.hart import Hart

MASK = ALL = (1 << 64) - 1
MLCOFI = 1 << Interrupt.MACHINE_COUNTER_OVERFLOW
SOURCES = ("instructions", "cycles", "branches", "branch-misses", "loads", "stores")
"""What a hart counts, by mode."""
EVENTS = {
    1: "cycles",
    2: "instructions",
    5: "branches",
    6: "branch-misses",
    0x10000: "loads",
    0x10002: "stores",
}
"""What mhpmevent's event field selects: SBI's event_idx, as on QEMU's machines. Other numbers
count nothing."""
SELECTORS = {source: selector for selector, source in EVENTS.items()}
CYCLE_BUDGET = "cycle-budget"
"""Among what compiled code is made for (`live`): its budget is of cycles."""
# What compiled code must be told to count, by event; it always counts the others.
COMPILED_FOR = {5: "branches", 0x10000: "loads", 0x10002: "stores"}

COUNTER, EVENT = CSR_NUMBERS["mcycle"], CSR_NUMBERS["mhpmevent3"] - FIRST
INHIBIT, MIP, HVIP = (CSR_NUMBERS[name] for name in ("mcountinhibit", "mip", "hvip"))
CONFIGS = {CYCLE: CSR_NUMBERS["mcyclecfg"], INSTRET: CSR_NUMBERS["minstretcfg"]}
MENVCFG, MCOUNTEREN = CSR_NUMBERS["menvcfg"], CSR_NUMBERS["mcounteren"]
SELECTOR = (1 << 56) - 1  # of mhpmevent
# A counter that is further than this from overflowing will not get there.
FAR = 1 << 60


class Counting(Record):
    """What a counter that runs counts: a source (its place in SOURCES, and name) in some modes."""

    at: int
    source: str
    modes: frozenset[int]
    everywhere: bool


class Pmu:
    """The counters of `hart`, by number: 0 is mcycle, 2 minstret, and 3 to 31 are programmable.

    There are `counters` of the latter. Of EVENTS they count those in `selectors`, which the hart's
    owner says beforehand because compiled code has to be made for some; all of them if None.
    """

    def __init__(
        self,
        hart: Hart,
        counters: int = PROGRAMMABLE,
        selectors: Iterable[int] | None = None,
    ):
        self.hart = hart
        self.numbers = (CYCLE, INSTRET, *range(FIRST, FIRST + counters))
        self.selectors = frozenset(EVENTS if selectors is None else selectors)
        self.overflows = "Sscofpmf" in hart.extensions
        self._private = "Xrvpt" in hart.extensions
        self.delay = 0
        """Cycles from when OF is set until the interrupt is pending, at least: it comes when a
        model's work is over (`Hart.charge`), and engines don't stop for it."""
        self.arriving: list[tuple[int, int, int]] = []
        """Interrupts that are yet to be pending: (time, CSR, bit)."""
        self.guest = 0
        """The counters that are VS-mode's (Xrvpt), by their bits."""
        self.counting: dict[int, Counting] = {}
        """What the counters count that don't stand still."""
        self.live: list[tuple[int, Counting]] = []
        """Those whose overflow is an event, and within reach."""
        self._words = hart.csrs.words
        for number in self.numbers:
            self._decide(number)

    @property
    def compiled_for(self) -> frozenset[str]:
        """What compiled code must be made for, so that all of `selectors` are counted exactly."""
        found = {COMPILED_FOR[number] for number in self.selectors if number in COMPILED_FOR}
        if self.overflows and 1 in self.selectors:
            found.add(CYCLE_BUDGET)
        return frozenset(found)

    # Values.

    def value(self, number: int) -> int:
        """What the counter holds."""
        counting = self.counting.get(number)
        if counting is None:
            return self._words[COUNTER + number]
        return self._words[COUNTER + number] + self._count(number, counting) & MASK

    def put(self, number: int, value: int) -> None:
        """Write the counter. This is no overflow, whatever the value."""
        self._put(number, value)
        self._look_out()

    def _put(self, number: int, value: int) -> None:
        counting = self.counting.get(number)
        if counting is not None:
            value -= self._count(number, counting)
        self._words[COUNTER + number] = value & MASK

    def _count(self, number: int, counting: Counting) -> int:
        """What has happened since power-on of what the counter counts now."""
        hart = self.hart
        if number == CYCLE:  # the clock goes on while the hart waits, which belongs to a mode too
            count = hart.cycles
            for mode in hart.counts.keys() - counting.modes:
                count -= hart.counts[mode]["cycles"] + hart.idle[mode]
                if hart.mode == mode:
                    count -= hart.uncollected()[counting.at]
            return count
        if counting.everywhere and number == INSTRET:
            return hart.instructions
        count = 0
        for mode in counting.modes:
            count += hart.counts[mode][counting.source]
        if hart.mode in counting.modes:
            count += hart.uncollected()[counting.at]
        return count

    # What they count.

    def _decide(self, number: int) -> None:
        """Say in `counting` what the CSRs make of a counter."""
        self.counting.pop(number, None)
        words = self._words
        if words[INHIBIT] >> number & 1:
            return
        if number < FIRST:
            source = "cycles" if number == CYCLE else "instructions"
            config = words.get(CONFIGS[number], 0)
        else:
            config = words[EVENT + number]
            source = EVENTS.get(config & SELECTOR)
            if source is None or config & SELECTOR not in self.selectors:
                return
        if self.guest >> number & 1:
            config |= FORCED
        modes = counting_modes(config, self.hart.counts)
        everywhere = len(modes) == len(self.hart.counts)
        if modes:
            self.counting[number] = Counting(SOURCES.index(source), source, modes, everywhere)

    def reconsider(self, *numbers: int) -> None:
        """CSRs that decide what these counters count have changed: they keep their values."""
        for number in numbers:
            if number in self.numbers:
                value = self.value(number)
                self._decide(number)
                self._put(number, value)
        self._look_out()

    def delegate(self) -> None:
        """What decides about the guest's counters has changed (Xrvpt)."""
        changed, self.guest = self.guest, guest_counters(self.hart.csrs.named)
        changed ^= self.guest
        if changed:
            self.reconsider(*(number for number in self.numbers if changed >> number & 1))

    # Overflow.

    def _look_out(self) -> None:
        """Find anew whose overflow matters."""
        if not self.overflows:
            return
        words = self._words
        self.live[:] = [
            (number, counting)
            for number, counting in self.counting.items()
            if number >= FIRST
            and not words[EVENT + number] & OF
            and MASK - self.value(number) < FAR
        ]
        self.hart.stale = True

    def due(self) -> list[int]:
        """How far each of SOURCES may have gone on since the last collection when some counter
        overflows; NO_STOP where none does."""
        hart, words = self.hart, self._words
        mode, counts = hart.mode, hart.counts
        found = [NO_STOP] * len(SOURCES)
        for number, counting in self.live:
            if mode in counting.modes:
                collected = words[COUNTER + number]
                for each in counting.modes:
                    collected += counts[each][counting.source]
                left = -collected & MASK or NO_STOP
                if left < found[counting.at]:
                    found[counting.at] = left
        return found

    def moved(self, mode: int, counts: tuple[int, ...]) -> None:
        """The ledger of a mode has just gone on by these counts, by SOURCES: note overflows."""
        words, ledger = self._words, self.hart.counts
        over = []
        for number, counting in self.live:
            more = counts[counting.at]
            if more and mode in counting.modes:
                value = words[COUNTER + number]
                for each in counting.modes:
                    value += ledger[each][counting.source]
                if value & MASK < more:
                    over.append(number)
        if over:
            self._overflowed(over)

    def _overflowed(self, numbers: list[int]) -> None:
        words = self._words
        for number in numbers:
            words[EVENT + number] |= OF
            if self.guest >> number & 1:
                self._pend(HVIP, VSLCOFI)
            elif self._private and not self._delegated >> number & 1:
                self._pend(MIP, MLCOFI)
            else:
                self._pend(MIP, LCOFI)
        self._look_out()
        self.hart.overflowed = True

    def _pend(self, csr: int, bit: int) -> None:
        if self.delay:
            self.arriving.append((self.hart.cycles + self.delay, csr, bit))
        else:
            self._words[csr] |= bit

    def arrive(self) -> None:
        """Make pending what has been on its way for long enough."""
        now = self.hart.cycles
        for time, csr, bit in self.arriving:
            if time <= now:
                self._words[csr] |= bit
        self.arriving = [one for one in self.arriving if one[0] > now]

    @property
    def _delegated(self) -> int:
        """The counters whose overflow is not M-mode's alone (Xrvpt)."""
        return self._words[MCOUNTEREN] if self._words[MENVCFG] & CDE else ALL

    @property
    def overflow_bits(self) -> int:
        """The OF bits, by counter."""
        words = self._words
        return sum((words[EVENT + n] & OF) >> 63 << n for n in self.numbers if n >= FIRST)
