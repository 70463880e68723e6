"""Physical memory: one range of RAM, committed by the host as it is touched."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

from isa.record import Record
from rvperf.machine.state import Block

PAGE = 4096


class Ram:
    """`size` bytes of RAM at physical address `base`. Addresses are physical; values are ints.

    `view` is all of it, `words` the same as 64-bit words: for reading, as who writes has to say so.
    `code` has a byte for each page: not 0 while the engine keeps decoded or compiled instructions
    of that page. Whoever writes such a page must say so; the methods here do, by `on_code_write`.
    """

    def __init__(self, size: int = 8 << 30, base: int = 0x8000_0000):
        self.base = base
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
        self._map = mmap.mmap(-1, size, flags=flags)
        self.view = memoryview(self._map)
        self.words = self.view.cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.code = Block(size // PAGE)
        self._code = self.code.view
        self.on_code_write: Callable[[int], None] = lambda page: None

    def contains(self, pa: int, size: int = 1) -> bool:
        """Whether [pa, pa + size) is RAM."""
        return self.base <= pa and pa + size <= self.base + self.size

    def read(self, pa: int, size: int) -> bytes:
        """`size` bytes at pa."""
        at = pa - self.base
        return bytes(self.view[at : at + size])

    def write(self, pa: int, data) -> None:
        """Put bytes at pa."""
        at = pa - self.base
        size = len(data)
        self.view[at : at + size] = data
        if size:
            self._wrote(at, size)

    def zero(self, pa: int, size: int) -> None:
        """Clear [pa, pa + size)."""
        at = pa - self.base
        ctypes.memset(self.address + at, 0, size)
        self._wrote(at, size)

    def discard(self, pa: int, size: int) -> None:
        """Clear [pa, pa + size), whole pages, and give its memory back: it may be much."""
        import re

        at = pa - self.base
        self._map.madvise(mmap.MADV_DONTNEED, at, size)
        first = at // PAGE
        for found in re.finditer(rb"[^\0]", bytes(self._code[first : first + size // PAGE])):
            self.on_code_write(first + found.start())

    def load(self, pa: int, size: int) -> int:
        """The little-endian number of `size` bytes at pa."""
        at = pa - self.base
        return int.from_bytes(self.view[at : at + size], "little")

    def store(self, pa: int, size: int, value: int) -> None:
        """Put the low `size` bytes of value at pa."""
        at = pa - self.base
        self.view[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        if self._code[at >> 12]:
            self.on_code_write(at >> 12)

    def _wrote(self, at: int, size: int) -> None:
        for page in range(at >> 12, (at + size + 4095) >> 12):
            if self._code[page]:
                self.on_code_write(page)


class Part(Record):
    """Some bytes of a `Block`, by the same name."""

    view: memoryview


class Window:
    """The physical memory of a guest: `size` bytes of `ram` from `at`, that it sees at `base`.

    As `Ram` for the guest's kernel. `at` and `base` must be whole pages.
    """

    def __init__(self, ram: Ram, at: int, size: int, base: int = 0x8000_0000):
        if not ram.contains(at, size):
            raise ValueError(f"[{at:#x}, {at + size:#x}) is not in RAM")
        self.ram = ram
        self.base = base
        self.size = size
        self.offset = at - base
        start = at - ram.base
        self.view = ram.view[start : start + size]
        self.words = self.view.cast("Q")
        self._first = start // PAGE
        self.code = Part(ram.code.view[self._first : self._first + size // PAGE])

    contains = Ram.contains

    def on_code_write(self, page: int) -> None:
        """As `Ram` has it, of our n-th page."""
        self.ram.on_code_write(self._first + page)

    def read(self, pa: int, size: int) -> bytes:
        """`size` bytes at pa."""
        return self.ram.read(pa + self.offset, size)

    def write(self, pa: int, data) -> None:
        """Put bytes at pa."""
        self.ram.write(pa + self.offset, data)

    def zero(self, pa: int, size: int) -> None:
        """Clear [pa, pa + size)."""
        self.ram.zero(pa + self.offset, size)

    def discard(self, pa: int, size: int) -> None:
        """Clear [pa, pa + size), whole pages, and give its memory back."""
        self.ram.discard(pa + self.offset, size)

    def load(self, pa: int, size: int) -> int:
        """The little-endian number of `size` bytes at pa."""
        return self.ram.load(pa + self.offset, size)

    def store(self, pa: int, size: int, value: int) -> None:
        """Put the low `size` bytes of value at pa."""
        self.ram.store(pa + self.offset, size, value)
