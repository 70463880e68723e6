"""What physical memory protection denies: a byte for each page of RAM, that native code looks at.

It has a bit for each of R, W and X that modes below M may not do there, and above them the same of
M-mode (`isa.pmp`). A hart without PMP has all zeros, and it stays untouched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from isa import pmp
from isa.modes import M
from rvperf.machine.ram import PAGE, Ram
from rvperf.machine.state import Block

BITS = {"r": pmp.R, "w": pmp.W, "x": pmp.X}


class Protection:
    """The PMP of a hart with so many entries (0 or 16) over `ram`; none denies nothing."""

    def __init__(self, ram: Ram, entries: int):
        if entries not in (0, pmp.ENTRIES):
            raise ValueError(f"PMP with {entries} entries: there are 0 or {pmp.ENTRIES}")
        self.entries = entries
        self._ram = ram
        self._pages = Block(ram.size // PAGE)
        self.address = self._pages.address
        self.denied = self._pages.view
        self._now = [(ram.base, ram.base + ram.size // PAGE * PAGE, 0)]
        self.stale = bool(entries)
        """Whether the pages don't say what the entries do. Software sets one CSR after the other,
        and all before it leaves M-mode: that shouldn't change all pages each time."""

    def apply(self, configurations: Sequence[int], addresses: Sequence[int]) -> bool:
        """Have the pages say what these entries do; has that changed for any?"""
        self.stale = False
        begin, end = self._now[0][0], self._now[-1][1]
        entries = list(pmp.protected(configurations, addresses, begin, end))
        before, after, changed = iter(self._now), iter(entries), False
        old_end = new_end = at = begin
        old = new = 0
        while at < end:
            if at == old_end:
                _, old_end, old = next(before)
            if at == new_end:
                _, new_end, new = next(after)
            upto = min(old_end, new_end)
            if old != new:
                page = (at - begin) // PAGE
                ctypes.memset(self.address + page, new, (upto - at) // PAGE)
                changed = True
            at = upto
        self._now = entries
        return changed

    def denies(self, pa: int, access: str, mode: int) -> bool:
        """Whether a mode may not make an access 'r', 'w' or 'x' at pa, which is RAM."""
        denied = self.denied[(pa - self._ram.base) // PAGE]
        return bool(denied >> (pmp.OF_M_AT if mode == M else 0) & BITS[access])
