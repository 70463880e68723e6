"""The tables that turn a guest's physical addresses into the host's: Sv39x4, filled on demand.

A guest's memory is one range of the host's, so a table entry maps as much of it as it can: 2 MiB,
as a host with transparent huge pages does (KVM's user_mem_abort).
"""

from __future__ import annotations

PAGE, TABLE = 4096, 512 * 8
ROOT = 4 * TABLE  # Sv39x4: the root is four times as long, and aligned to its size
HUGE = 2 << 20
V, R, W, X, U, A, D = 1, 2, 4, 8, 16, 64, 128
LEAF = V | R | W | X | U | A | D
SV39X4 = 8 << 60
VMID_AT = 44


class OutOfTables(Exception):
    """The host has no memory left for tables."""


class Stage2:
    """The tables of one VM, in [start, end) of the host's `ram`.

    Guest physical [base, base + size) is at `offset` from there in the host's. `base`, `size` and
    `offset` are multiples of 2 MiB, `start` of 16 KiB.
    """

    def __init__(self, ram, start: int, end: int, base: int, size: int, offset: int):
        self.ram, self.base, self.size, self.offset = ram, base, size, offset
        self.root, self._next, self._end = start, start + ROOT, end
        ram.zero(start, ROOT)

    def hgatp(self, vmid: int) -> int:
        """What hgatp has to be."""
        return SV39X4 | vmid << VMID_AT | self.root >> 12

    def map(self, gpa: int) -> int | None:
        """Map the 2 MiB around an address of the guest's memory; the host address, or None if the
        guest has no memory there. OutOfTables."""
        page = gpa & -HUGE
        if not self.base <= page < self.base + self.size:
            return None
        table = self._below(self.root + (gpa >> 30 & 2047) * 8)
        self.ram.store(table + (gpa >> 21 & 511) * 8, 8, page + self.offset >> 12 << 10 | LEAF)
        return page + self.offset

    def _below(self, entry: int) -> int:
        """The table that an entry points to, made if it isn't there."""
        pte = self.ram.load(entry, 8)
        if not pte:
            if self._next + TABLE > self._end:
                raise OutOfTables
            self.ram.zero(self._next, TABLE)
            pte = self._next >> 12 << 10 | V
            self.ram.store(entry, 8, pte)
            self._next += TABLE
        return pte >> 10 << 12
