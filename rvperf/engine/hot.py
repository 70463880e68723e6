"""Hot addresses become regions: compiled in a process of their own, installed when native code
next returns, kept on disk for the next run of the same program.

A region may be entered where its code is what it was compiled from. That is checked when it is
installed into the jump cache of an address space, and it is removed again when one of its pages
is unmapped there or written to.
"""

from __future__ import annotations

import ctypes

from rvperf.engine import codecache, layout
from rvperf.engine.codecache import Region
from rvperf.engine.layout import ENTRY
from rvperf.machine.state import Block
from rvperf.machine.traps import Trap

COLD_THRESHOLD = 300  # jumps to an address before it is compiled
WARM_THRESHOLD = 30  # where a compiled program is at hand
AHEAD = 2  # regions under way in the compiling process
AT_THE_END = 50  # and how many more it is asked for when the program ends


class Space:
    """An address space: its jump cache, and which regions are in it."""

    def __init__(self):
        self.jumps = Block(layout.JUMP_ENTRIES * layout.JUMP_ENTRY)
        self.heads: set[int] = set()
        self.by_page: dict[int, set[int]] = {}  # heads by virtual page
        self.by_frame: dict[int, set[int]] = {}  # heads by RAM page


class Regions:
    """The regions of a run, compiled for the events in `live`.

    `program` names what they are kept under on disk; None keeps nothing.
    """

    def __init__(self, live: frozenset[str], program: str | None = None):
        self.program = program
        self._name(live)
        self.known: dict[int, Region] = {}
        self.functions: dict[int, tuple[int, Region]] = {}  # by id: its address, once in the arena
        # Hot addresses not yet asked for, and the RAM pages behind the virtual ones around them.
        self.wanted: dict[int, dict[int, int]] = {}
        self.outstanding: set[int] = set()  # those that are being compiled
        self.hopeless: set[int] = set()
        # By mode and satp; of guests, both roots. What one mode may execute another may not.
        self.spaces: dict[tuple[int, int | tuple[int, int]], Space] = {}
        self.space = Space()
        self.worker = None  # the compiling process, once something is hot

    def _name(self, live: frozenset[str]) -> None:
        self.live = live
        self.file = ""
        if self.program:
            self.file = codecache.regions_name("\0".join((self.program, *sorted(live))))

    def remake(self, live: frozenset[str]) -> None:
        """From now on regions have to be compiled for other events: those there are go."""
        if live == self.live:
            return
        if self.worker:
            self.worker.dismiss()
            self.worker = None
        self.forget()
        for kept in (self.known, self.functions, self.wanted, self.outstanding, self.hopeless):
            kept.clear()
        self._name(live)
        self._read()

    def attach(self, engine) -> None:
        """Serve an engine; called by it once."""
        self.engine = engine
        self._read()
        engine.threshold[0] = WARM_THRESHOLD if self.known else COLD_THRESHOLD

    @property
    def busy(self) -> bool:
        """Whether the compiling process has work, so that `poll` is worth while."""
        return bool(self.wanted or self.outstanding)

    def enter_space(self, key: tuple[int, int | tuple[int, int]]) -> None:
        """Native code will run in this mode and address space, the first two of hart.context."""
        self.space = self.spaces.setdefault(key, Space())
        self.engine.jumps[0] = self.space.jumps.address

    # From hot address to region.

    def hot(self, pc: int) -> None:
        """An address was jumped to often, or has a region that is not in this space's cache."""
        known = self.known.get(pc)
        if known and self._install(known):
            return
        self._interpret(pc)
        if pc in self.outstanding or pc in self.hopeless:
            return
        if self._frame(pc >> 12) is not None:
            self.wanted[pc] = self._around(pc >> 12)
        if self.worker is None:
            from rvperf.engine.worker import Worker  # dear, and most short runs need none

            self.worker = Worker(self.file, self.live)

    def poll(self) -> None:
        """Install what has been compiled."""
        if not self.worker:
            return
        for region in self.worker.receive():
            self.outstanding.discard(region.head)
            if not region.ranges:
                self.hopeless.add(region.head)
                continue
            self._know(region)
            self._install(region)
        if not self.worker.alive:
            self._restart()
        else:
            self._feed(AHEAD)

    def _know(self, region: Region) -> None:
        """Take a region in, for its head and for those of its entries that have none yet."""
        self.known[region.head] = region
        for pc in region.entries:
            self.known.setdefault(pc, region)
            self.wanted.pop(pc, None)

    def _feed(self, ahead: int) -> None:
        """Ask for the hottest regions that are wanted, so that `ahead` of them are under way."""
        if not self.wanted or len(self.outstanding) >= ahead:
            return
        by_heat = sorted(self.wanted, key=self._heat, reverse=True)
        for head in by_heat:
            pages = self._snapshot(self.wanted.pop(head))
            if not pages:
                continue
            self.outstanding.add(head)
            also = tuple(pc for pc in by_heat if pc >> 12 in pages and pc in self.wanted)
            self.worker.send(head, pages, also)
            if len(self.outstanding) >= ahead:
                return

    def _heat(self, head: int) -> int:
        """How often an address has been jumped to."""
        decoded = self.engine.decoded_page(self.wanted[head][head >> 12])
        at = decoded + layout.PAGE_JUMPS + (head & 0xFFE)
        return ctypes.c_uint16.from_address(at).value if decoded else 0

    def _restart(self) -> None:
        """The compiling process died of a region: without that one, go on."""
        self.worker.dismiss()
        self.worker = None
        self.hopeless |= self.outstanding
        self.outstanding.clear()

    def _around(self, page: int) -> dict[int, int]:
        """The RAM pages behind a virtual page and its neighbours.

        Asked for while the program runs: at its end it has no translations any more.
        """
        frames = {near: self._frame(near) for near in range(max(page - 3, 0), page + 4)}
        return {near: frame for near, frame in frames.items() if frame is not None}

    def _snapshot(self, frames: dict[int, int]) -> dict[int, tuple[bytes, bytes]]:
        """The code in these pages that has been executed, as `regions.Snapshot` takes it."""
        pages = {}
        ram = self.engine.hart.ram
        for page, frame in frames.items():
            if not (decoded := self.engine.decoded_page(frame)):
                continue
            executed = ctypes.string_at(decoded + layout.PAGE_HANDLERS, 4096)
            pages[page] = ram.read(ram.base + (frame << 12), 4096), executed
        return pages

    def _frame(self, page: int) -> int | None:
        """The RAM page behind a virtual page that may be executed."""
        hart = self.engine.hart
        try:
            return (hart.translate(page << 12, "x") - hart.ram.base) >> 12
        except Trap:
            return None

    # Into and out of the jump cache.

    def _install(self, region: Region) -> bool:
        """Let the region be entered in this space, if its code is the same here."""
        hart, space = self.engine.hart, self.space
        frames = {}
        guest_code = bytearray()
        for start, end in region.ranges:
            while start < end:
                page = start >> 12
                if page not in frames and (frame := self._frame(page)) is None:
                    return False
                frame = frames.setdefault(page, frame)
                stop = min((start | 0xFFF) + 1, end)
                pa = hart.ram.base + (frame << 12 | start & 0xFFF)
                guest_code += hart.ram.read(pa, stop - start)
                start = stop
        if guest_code != region.guest_code:
            return False
        for frame in frames.values():
            self.engine.decode_page(hart.ram.base + (frame << 12))  # so that writes are noticed
        if not all(self.engine.decoded_page(frame) for frame in frames.values()):
            return False  # there were too many decoded pages, and they had to go
        if id(region) not in self.functions:
            address = self.engine.arena.add(region.code) + region.function
            self.functions[id(region)] = address, region
        for pc in region.entries:
            if self.known[pc] is not region:
                continue
            slot = self._slot(pc)
            if slot[1] and slot[0] != pc:
                space.heads.discard(slot[0])
            slot[1] = self.functions[id(region)][0]
            slot[0] = pc
            space.heads.add(pc)
            for page, frame in frames.items():
                space.by_page.setdefault(page, set()).add(pc)
                space.by_frame.setdefault(frame, set()).add(pc)
            self._set_entry(pc, frames[pc >> 12], self.engine.functions["enter_region"])
        return True

    def _slot(self, head: int, space: Space | None = None) -> memoryview:
        """The jump cache's two words for an address: tag, function."""
        at = (head >> 1) % layout.JUMP_ENTRIES * layout.JUMP_ENTRY
        return (space or self.space).jumps.words(at, 2)

    def _set_entry(self, pc: int, frame: int, function: int) -> None:
        decoded = self.engine.decoded_page(frame)
        ctypes.c_uint64.from_address(decoded + (pc & 0xFFE) * (ENTRY // 2)).value = function

    def _interpret(self, pc: int) -> None:
        """Let the entry at pc be interpreted, and its heat count anew."""
        frame = self._frame(pc >> 12)
        if frame is None or not (decoded := self.engine.decoded_page(frame)):
            return
        at = decoded + layout.PAGE_HANDLERS + (pc & 0xFFE)
        handler = ctypes.c_uint16.from_address(at).value
        self._set_entry(pc, frame, self.engine.functions[self.engine.handler_names[handler]])

    def _remove(self, space: Space, heads: set[int]) -> None:
        for head in list(heads):
            slot = self._slot(head, space)
            if slot[0] == head:
                slot[0] = slot[1] = 0
            space.heads.discard(head)
        heads.clear()

    def unmapped(self, va: int | None) -> None:
        """Translations of the hart's space changed: at one page, or anywhere.

        A hypervisor's fence may be about any of its guests.
        """
        hart = self.engine.hart
        for (_, translated_by), space in self.spaces.items():
            if not hart.hypervisor and translated_by != hart.satp:
                continue
            if va is None:
                self._remove(space, set(space.heads))
            elif heads := space.by_page.get(va >> 12):
                self._remove(space, heads)

    def written(self, frame: int) -> None:
        """Code in a RAM page was written to."""
        for space in self.spaces.values():
            if heads := space.by_frame.get(frame):
                self._remove(space, heads)

    def forget(self) -> None:
        """All decoded pages were dropped, so writes to code are not noticed any more."""
        for space in self.spaces.values():
            self._remove(space, set(space.heads))

    # On disk.

    def _read(self) -> None:
        if not self.file:
            return
        body, regions = codecache.read_regions(self.file)
        if not regions:
            return
        at = self.engine.arena.add(body)
        for region in regions:
            self._know(region)
            self.functions[id(region)] = at + region.function, region
            at += -(-len(region.code) // 64) * 64

    def finish(self) -> None:
        """The run is over: let the compiling process keep what it makes, for the next run."""
        if self.worker:
            self.poll()
        if self.worker:
            self._feed(AT_THE_END)
            self.worker.dismiss()
            self.worker = None
