"""The native engine: runs a hart in tier 0 and in compiled regions, and does what is rare.

Native code returns when its budget is spent, an instruction is the Python reader's or a system
call, a load or store finds no translation, a page has no decoded entries yet, or an address became
hot. Everything else stays native.
"""

from __future__ import annotations

import ctypes
import mmap

from isa.ext import RV64GC
from rvperf.engine import layout
from rvperf.engine.codecache import tier0
from rvperf.engine.layout import (
    CALL,
    DECODED_PAGE,
    ENGINE,
    ENTRIES,
    ENTRY,
    FETCH,
    HOT,
    NO_LOAD,
    NO_STORE,
    READER,
)
from rvperf.engine.objects import Arena
from rvperf.engine.reference import Reference
from rvperf.machine.hart import Hart
from rvperf.machine.state import HART, Block

EXTRA = ENGINE.size - HART.size
SLICE = 2_000_000  # instructions between looks at the compiling process, while it has work
POOL_PAGES = 2048  # decoded pages kept; when they are used up, all are dropped
NOT_HOT = 0xFFFF


class Native:
    """Executes instructions of `hart`, which must have been made with `extra=EXTRA`.

    `regions`, if given, finds, compiles and keeps regions (rvperf.engine.regions).
    """

    def __init__(self, hart: Hart, regions=None):
        self.hart = hart
        self.reader = Reference(hart)
        self.arena = Arena()
        piece = tier0(RV64GC)
        base = self.arena.add(piece.code)
        self.functions = {name: base + offset for name, offset in piece.symbols.items()}
        self.handler_names = piece.handlers
        self.handlers = Block(8 * (len(piece.handlers) + 1))
        table = self.handlers.words(0, len(piece.handlers))
        for index, name in enumerate(piece.handlers):
            table[index] = self.functions[name]
        self._run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.functions["run"])
        self._state = hart.state.address
        ram = hart.ram
        self._decoded = Block(8 * (ram.size >> 12))
        self._pointers = self._decoded.words(0, ram.size >> 12)
        self._stored = Block(ram.size >> 12)
        self._pool = mmap.mmap(-1, POOL_PAGES * DECODED_PAGE)
        self._pool_address = ctypes.addressof(ctypes.c_char.from_buffer(self._pool))
        self._pool_used = 0
        self._pages: list[int] = []  # RAM page numbers with decoded entries
        self._blank = self._blank_page()
        words = {name: self.hart.state.words(at) for name, at in ENGINE.offsets.items()}
        self._budget, self._miss = words["budget"], words["miss"]
        self.threshold = words["threshold"]
        self.threshold[0] = NOT_HOT
        words["ram"][0] = ram.address
        words["ram_base"][0] = ram.base
        words["ram_size"][0] = ram.size
        words["code"][0] = ram.code.address
        words["stored"][0] = self._stored.address
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
        scratch = hart.state.words(ENGINE["scratch"], 6)
        scratch[2] = scratch[4] = self.functions["resync"]
        self._instructions = hart.state.words(HART["instructions"])
        self._context = None
        self._unpolled = 0
        self.forget_translations()
        self.regions = regions
        if regions:
            regions.attach(self)
        ram.on_code_write = self.forget_page
        hart.fences.append(self._fenced)

    def run(self, budget: int) -> None:
        """Execute until `budget` instructions have retired. Trap as the reference engine's."""
        hart = self.hart
        left, regions = self._budget, self.regions
        while True:
            busy = regions and regions.busy
            if busy and self._unpolled >= SLICE:
                self._unpolled = 0
                regions.poll()
            left[0] = start = min(budget, SLICE) if busy else budget
            context = hart.context
            if context != self._context:
                self._enter_context(context)
            reason = self._run(self._state)
            retired = start - left[0]
            self._instructions[0] += retired
            self._unpolled += retired
            budget -= retired
            if not budget:
                return
            if reason == CALL:
                self.reader.call()
            elif reason in (READER, NO_LOAD, NO_STORE):
                if reason != READER:
                    # This is where most of them end, in a Trap.
                    hart.translate(self._miss[0], "r" if reason == NO_LOAD else "w")
                self.reader.step()
                budget -= 1
                if not budget:
                    return
            elif reason == FETCH:
                self.decode_page(hart.translate(hart.pc, "x"))
            elif reason == HOT:
                regions.hot(hart.pc)

    def _enter_context(self, context) -> None:
        previous, self._context = self._context, context
        self.forget_translations()
        if self.regions and (previous is None or previous[1] != context[1]):
            self.regions.enter_space(context[1])

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

    def _blank_page(self) -> bytes:
        page = bytearray(DECODED_PAGE)
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
        at = self._pool_used * DECODED_PAGE
        self._pool_used += 1
        ctypes.memmove(self._pool_address + at, self._blank, DECODED_PAGE)
        self._pointers[index] = self._pool_address + at
        self._pages.append(index)
        self.hart.ram.code.view[index] = 1
        if self._stored.view[index]:
            self.forget_data_translations()  # a store to this page must be seen from now on

    def decoded_page(self, index: int) -> int:
        """Where the entries of a RAM page lie in this process, or 0."""
        return self._pointers[index]

    def forget_page(self, index: int) -> None:
        """Drop what was decoded and compiled of a RAM page, because it is written to."""
        self.hart.ram.code.view[index] = 0
        if at := self._pointers[index]:
            ctypes.memmove(at, self._blank, DECODED_PAGE)
            self._pointers[index] = 0
            self._pages.remove(index)
        self._forget_fetches()
        if self.regions:
            self.regions.written(index)

    def forget_code(self) -> None:
        """Drop all decoded pages."""
        for index in self._pages:
            self._pointers[index] = 0
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
