"""Hot addresses become regions: compiled in a process of their own, installed when native code
next returns, kept on disk for the next run of the same program."""

from __future__ import annotations

import ctypes

from rvperf.engine import layout, objects, regions
from rvperf.engine.layout import DECODED_PAGE, ENTRY
from rvperf.machine.state import Block
from rvperf.machine.traps import Trap


class Regions:
    """The regions of a run."""

    def __init__(self, live: frozenset[str]):
        self.live = live
        self.spaces: dict[int, Block] = {}
        self.known = {}
        self.by_page = {}

    def attach(self, engine) -> None:
        self.engine = engine
        engine.threshold[0] = 200

    def enter_space(self, satp):
        if satp not in self.spaces:
            self.spaces[satp] = Block(layout.JUMP_ENTRIES * layout.JUMP_ENTRY)
        self.engine.jumps[0] = self.spaces[satp].address

    def snapshot(self, pc):
        pages = {}
        hart = self.engine.hart
        for page in range((pc >> 12) - 2, (pc >> 12) + 3):
            try:
                pa = hart.translate(page << 12, "x")
            except Trap:
                continue
            decoded = self.engine.decoded_page((pa - hart.ram.base) >> 12)
            if not decoded:
                continue
            at = decoded + layout.PAGE_HANDLERS
            handlers = memoryview(ctypes.string_at(at, 4096)).cast("H")
            pages[page] = hart.ram.read(pa, 4096), bytes(h != 0 for h in handlers)
        return pages

    def hot(self, pc):
        import time
        t=time.time()
        blocks = regions.explore(regions.Snapshot(self.snapshot(pc)), pc)
        t1=time.time()
        if not blocks:
            return
        name = f"r{pc:x}"
        text = regions.region_module(name, blocks, self.live)
        t2=time.time()
        import os
        if os.environ.get("DUMP"): open(f"/tmp/dump/{name}.ll","w").write(text)
        piece = objects.compile_module(text, passes="light")
        t3=time.time()
        n=sum(len(b.steps) for b in blocks)
        print(f"{pc:x}: {n} insns {len(blocks)} blocks explore {t1-t:.4f} text {t2-t1:.4f} compile {t3-t2:.4f} {len(piece.code)} bytes")
        address = self.engine.arena.add(piece.code) + piece.symbols[name]
        self.install(pc, address)

    def install(self, pc, address):
        space = self.spaces[self.engine.hart.satp]
        slot = (pc >> 1) % layout.JUMP_ENTRIES
        words = space.words(slot * layout.JUMP_ENTRY, 2)
        words[1] = address
        words[0] = pc
        pa = self.engine.hart.translate(pc, "x")
        decoded = self.engine.decoded_page((pa - self.engine.hart.ram.base) >> 12)
        entry = decoded + (pc & 0xFFE) * (ENTRY // 2)
        enter = self.engine.functions["enter_region"]
        ctypes.memmove(entry, enter.to_bytes(8, "little"), 8)

    def unmapped(self, va): pass
    def written(self, index): pass
    def forget(self): pass
