"""The native engine: runs a hart in tier 0 and in compiled regions, and does what is rare.

Native code returns when its budget is spent, an instruction is the Python reader's or a system
call, a load or store finds no translation, a page has no decoded entries yet, or an address became
hot. Everything else stays native.
"""

from __future__ import annotations

import ctypes
import mmap
from array import array

from isa.ext import RV64GC
from rvperf.engine import layout
from rvperf.engine.advance import Capture
from rvperf.engine.codecache import tier0
from rvperf.engine.layout import (
    CALL,
    COUNTING_PAGE,
    DECODED_PAGE,
    ENGINE,
    ENTRIES,
    ENTRY,
    FETCH,
    HOT,
    NO_LOAD,
    NO_STORE,
    READER,
    STOPPED,
)
from rvperf.engine.objects import Arena
from rvperf.engine.reference import Reference
from rvperf.machine.executions import HALFWORDS, PageIdentity
from rvperf.machine.hart import Hart
from rvperf.machine.state import HART, Block

EXTRA = ENGINE.size - HART.size
SLICE = 2_000_000  # instructions between looks at the compiling process, while it has work
POOL_PAGES = 2048  # decoded pages kept; when they are used up, all are dropped
NOT_HOT = 0  # a number of jumps that never comes


class Native:
    """Executes instructions of `hart`, which must have been made with `extra=EXTRA`.

    `regions`, if given, finds, compiles and keeps regions (rvperf.engine.regions).
    """

    def __init__(self, hart: Hart, regions=None):
        self.hart = hart
        self.reader = Reference(hart)
        self.arena = Arena()
        self.counting = hart.executions is not None
        if self.counting and regions:
            raise ValueError("regions don't count executions")
        piece = tier0(RV64GC, self.counting)
        base = self.arena.add(piece.code)
        self.functions = {name: base + offset for name, offset in piece.symbols.items()}
        self.handler_names = piece.handlers
        self.handlers = Block(8 * (len(piece.handlers) + 1))
        table = self.handlers.words(0, len(piece.handlers))
        for index, name in enumerate(piece.handlers):
            table[index] = self.functions[name]
        entered = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
        self._run = entered(self.functions["run"])
        self._advance = entered(self.functions["advance"])
        self._state = hart.state.address
        ram = hart.ram
        self._decoded = Block(8 * (ram.size >> 12))
        self._pointers = self._decoded.words(0, ram.size >> 12)
        self._stored = Block(ram.size >> 12)
        self._page_size = COUNTING_PAGE if self.counting else DECODED_PAGE
        self._pool = mmap.mmap(-1, POOL_PAGES * self._page_size)
        self._pool_address = ctypes.addressof(ctypes.c_char.from_buffer(self._pool))
        self._pool_used = 0
        self._pages: list[int] = []  # RAM page numbers with decoded entries
        self.others: list[Native] = []
        """The engines of other harts that have the same RAM; who writes to RAM tells all."""
        self._blank = self._blank_page()
        words = {name: self.hart.state.words(at) for name, at in ENGINE.offsets.items()}
        self._budget, self._until = words["budget"], words["until"]
        self._miss, self._unit = words["miss"], words["unit"]
        self.threshold = words["threshold"]
        self.threshold[0] = NOT_HOT
        words["ram"][0] = ram.address
        words["ram_base"][0] = ram.base
        words["ram_size"][0] = ram.size
        words["code"][0] = ram.code.address
        words["stored"][0] = self._stored.address
        words["denied"][0] = hart.protection.address
        words["decoded"][0] = self._decoded.address
        words["handlers"][0] = self.handlers.address
        words["resync"][0] = self.functions["resync"]
        words["resume"][0] = self.functions["resume"]
        words["self"][0] = self._state
        for name in ("refill_load", "refill_store"):
            words[name][0] = self.functions[name]
        self.jumps = words["jumps"]
        self._no_jumps = Block(layout.JUMP_ENTRIES * layout.JUMP_ENTRY)
        self.jumps[0] = self._no_jumps.address
        self._instructions = hart.state.words(HART["instructions"])
        hart.capture = Capture(hart)
        self._mode_cycles = hart.state.words(HART["mode_cycles"])
        self._context = None
        self._unpolled = 0
        self.forget_translations()
        self.regions = regions
        if regions:
            regions.attach(self)
            if layout.CYCLE_BUDGET in regions.live:
                self._unit[0] = layout.CYCLES
            if hart.ctr:
                hart.ctr.on_begin.append(lambda: regions.remake(regions.live | hart.recorded))
        ram.on_code_write = self.forget_page
        hart.fences.append(self._fenced)
        hart.protection_fences.append(self._protection_changed)
        if self.counting:
            # Whose decoded pages are and what they hold, by RAM page.
            self._places: dict[int, tuple[object, PageIdentity]] = {}
            self._kinds = list(map(kind_of, piece.handlers))
            hart.executions.collectors.append(self._collect_executions)

    def run(self, budget: int) -> None:
        """Execute until `budget` instructions have retired, a stop has been reached, or as an
        attentive hart wants it.

        Trap as the reference engine's.
        """
        hart, regions = self.hart, self.regions
        hart.overflowed = hart.attention = False
        enter = self._way_in()
        while True:
            if hart.stale:
                hart.arm()
                enter = self._way_in()
            busy = regions and regions.busy
            if busy and self._unpolled >= SLICE:
                self._unpolled = 0
                regions.poll()
            context = hart.context
            if context != self._context:
                self._enter_context(context)
            if hart.transfers:
                self._mode_cycles[0] = hart.counts[context[0]]["cycles"]
            reason, retired = enter(min(budget, SLICE) if busy else budget)
            self._unpolled += retired
            budget -= retired
            if reason & STOPPED:
                if reason == HOT | STOPPED:
                    regions.hot(hart.pc)
                hart.settle()
                return
            if not budget:
                return
            if reason == CALL:
                if hart.limited:
                    hart.note_before()
                self.reader.call()
            elif reason in (READER, NO_LOAD, NO_STORE):
                if reason != READER:
                    # This is where most of them end, in a Trap.
                    hart.translate(self._miss[0], "r" if reason == NO_LOAD else "w")
                if hart.limited:
                    hart.note_before()
                self.reader.step()
                budget -= 1
                if hart.limited and hart.stopped:
                    hart.settle()
                    return
                if not budget or hart.overflowed:
                    return
                if hart.attentive and hart.attention:
                    return
            elif reason == FETCH:
                self.decode_page(hart.translate(hart.pc, "x"))
            elif reason == HOT:
                regions.hot(hart.pc)

    def _way_in(self):
        """How to run native code: with stops, or without."""
        hart = self.hart
        if hart.limited and not self._unit[0] and hart.waits_for_cycles:
            if self.regions:
                raise ValueError(f"a stop in cycles, but regions without {layout.CYCLE_BUDGET}")
            self._unit[0] = layout.CYCLES
        return self._enter_limited if hart.limited or self._unit[0] else self._enter

    def _enter(self, budget: int) -> tuple[int, int]:
        """Run native code: (why it returned, how many instructions have retired)."""
        left = self._budget
        left[0] = budget
        reason = self._run(self._state)
        retired = budget - left[0]
        self._instructions[0] += retired
        return reason, retired

    def _enter_limited(self, budget: int) -> tuple[int, int]:
        """As `_enter`, up to the next stop."""
        start = self._instructions[0]
        self._until[0] = start + budget
        reason = self._advance(self._state)
        return reason, self._instructions[0] - start

    def _enter_context(self, context) -> None:
        previous, self._context = self._context, context
        self.forget_translations()
        if self.regions and (previous is None or previous[:2] != context[:2]):
            self.regions.enter_space(context[:2])

    # What native code remembers of memory.

    def forget_translations(self) -> None:
        """Empty the software TLBs."""
        fetch = self._state + ENGINE["fetch"]
        ctypes.memset(fetch, 0xFF, layout.FETCH_ENTRIES * layout.FETCH_ENTRY)
        self.forget_data_translations()

    def forget_data_translations(self) -> None:
        """Empty the TLB of loads and stores."""
        ctypes.memset(self._state + ENGINE["tlb"], 0xFF, layout.TLB_ENTRIES * layout.TLB_ENTRY)
        self._forget_windows()

    def _forget_windows(self) -> None:
        """Forget which translations lie side by side."""
        ctypes.memset(self._state + ENGINE["extents"], 0, layout.TLB_ENTRIES * layout.EXTENT)
        ctypes.memset(self._state + ENGINE["windows"], 0, layout.WINDOWS * layout.WINDOW)

    def _fenced(self, va: int | None, asid: int | None) -> None:
        if va is None:
            self.forget_translations()
        else:
            tlb = ENGINE["tlb"] + (va >> 12) % layout.TLB_ENTRIES * layout.TLB_ENTRY
            fetch = ENGINE["fetch"] + (va >> 12) % layout.FETCH_ENTRIES * layout.FETCH_ENTRY
            for at in (tlb, tlb + 8, fetch):
                self.hart.state.words(at)[0] = layout.NO_TAG
            self._forget_windows()
        if self.regions:
            self.regions.unmapped(va)

    def _protection_changed(self) -> None:
        """What may be executed may have changed as well, and in any address space."""
        self.forget_translations()
        if self.regions:
            self.regions.forget()

    def _blank_page(self) -> bytes:
        page = bytearray(self._page_size)
        first = self.functions["undecoded"].to_bytes(8, "little") + bytes(8)
        page[: ENTRIES * ENTRY] = first * ENTRIES
        end = self.functions["resync"].to_bytes(8, "little") + bytes(8)
        page[2048 * ENTRY : ENTRIES * ENTRY] = end * 2
        assert self.handler_names[0] == "undecoded"  # what a blank page says it has
        return bytes(page)

    def decode_page(self, pa: int) -> None:
        """Give the page at pa entries to decode into."""
        index = (pa - self.hart.ram.base) >> 12
        if self._pointers[index]:
            return
        if self._pool_used == POOL_PAGES:
            self.forget_code()
        if self.counting:
            self._places[index] = self.hart.executions.place(self.hart.pc)
        at = self._pool_used * self._page_size
        self._pool_used += 1
        ctypes.memmove(self._pool_address + at, self._blank, self._page_size)
        self._pointers[index] = self._pool_address + at
        self._pages.append(index)
        self.hart.ram.code.view[index] = 1
        for engine in (self, *self.others):
            if engine._stored.view[index]:
                engine.forget_data_translations()  # a store here must be seen from now on

    def decoded_page(self, index: int) -> int:
        """Where the entries of a RAM page lie in this process, or 0."""
        return self._pointers[index]

    def forget_page(self, index: int) -> None:
        """Drop what was decoded and compiled of a RAM page, because it is written to."""
        self.hart.ram.code.view[index] = 0
        if at := self._pointers[index]:
            if self.counting:
                self._collect_page(index)
            ctypes.memmove(at, self._blank, self._page_size)
            self._pointers[index] = 0
            self._pages.remove(index)
        self._forget_fetches()
        if self.regions:
            self.regions.written(index)

    def forget_code(self) -> None:
        """Drop all decoded pages."""
        if self.counting:
            self._collect_executions()
        for index in self._pages:
            self._pointers[index] = 0
            if not any(engine.decoded_page(index) for engine in self.others):
                self.hart.ram.code.view[index] = 0
        self._pages.clear()
        self._pool_used = 0
        self._forget_fetches()
        if self.regions:
            self.regions.forget()

    def _forget_fetches(self) -> None:
        ctypes.memset(
            self._state + ENGINE["fetch"], 0xFF, layout.FETCH_ENTRIES * layout.FETCH_ENTRY
        )

    # Executions.

    def _collect_executions(self) -> None:
        for index in self._pages:
            self._collect_page(index)

    def _collect_page(self, index: int) -> None:
        """Give away what was counted in a page."""
        at = self._pointers[index]
        size = 8 * HALFWORDS
        executions = ctypes.string_at(at + layout.PAGE_EXECUTIONS, size)
        if executions == bytes(size):
            return
        misses = ctypes.string_at(at + layout.PAGE_MISSES, size)
        handlers = array("H", ctypes.string_at(at + layout.PAGE_HANDLERS, 2 * HALFWORDS + 2))
        if self.handler_names[handlers[-2]] == "crossing":
            handlers[-2] = handlers[-1]
        kinds = [self._kinds[handler] for handler in handlers[:-1]]
        self.hart.executions.add(
            self._places[index], array("Q", executions), array("Q", misses), kinds
        )
        ctypes.memset(at + layout.PAGE_EXECUTIONS, 0, layout.COUNTING_PAGE - layout.PAGE_EXECUTIONS)


def kind_of(handler: str) -> str:
    """The kind of the instructions that a function of tier 0 executes, "" if it executes none."""
    name, is_instruction, _ = handler.partition("/")
    return RV64GC[name].kind if is_instruction else ""
