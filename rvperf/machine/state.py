"""The hart's state as it lies in memory: declared once, read by Python and by native code.

All fields are little-endian 64-bit words unless they say otherwise. Python sees a field as a
memoryview, native code as an offset from the state pointer.
"""

from __future__ import annotations

import ctypes
import mmap


class Layout:
    """Named fields with offsets, in the order of declaration."""

    def __init__(self, start: int = 0):
        self.offsets: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.size = start

    def words(self, name: str, count: int = 1) -> None:
        """`count` 64-bit words called `name`."""
        self.bytes(name, 8 * count)

    def bytes(self, name: str, count: int, align: int = 8) -> None:
        """`count` bytes called `name`, at a multiple of `align`."""
        self.size = -(-self.size // align) * align
        self.offsets[name] = self.size
        self.counts[name] = count
        self.size += count

    def __getitem__(self, name: str) -> int:
        """The offset of a field in bytes."""
        return self.offsets[name]


NO_STOP = 1 << 62
SINK = 32  # x[SINK] takes what is written to x0, so that native code need not ask

HART = Layout()
HART.words("x", 33)
HART.words("f", 32)
HART.words("pc")
HART.words("mode")  # 0 U, 1 S, 3 M, 4 VU, 5 VS
HART.words("satp")
HART.words("vsatp")  # those of guests: copies for native code
HART.words("hgatp")
HART.words("access")  # how S-mode may reach U pages: SUM, MXR and MPRV as native code needs them
HART.words("frm")
HART.words("fflags")
HART.words("fp_slow")  # not 0: the Python reader must execute floating point (FS off, frm RMM)
HART.words("reservation")  # address of a load-reserved that still holds, or all ones
# What happened since the machine last collected it (rvperf.machine.counts names them).
HART.words("instructions")
HART.words("extra_cycles")  # beyond one for each instruction
HART.words("branches")
HART.words("branch_misses")
HART.words("loads")
HART.words("stores")
# Where counting is to stop: for each of hart.SOURCES, the value that what has happened since the
# last collection may reach, or NO_STOP.
HART.words("stops", 6)
# The registers as they were before the instruction that reached a stop: x, pc.
HART.words("before", 33)
# The shadow call stack (rvperf.machine.calls): addresses in this process.
HART.words("calls")  # where the next entry goes; 0 while none is kept
HART.words("calls_before")  # the same before the instruction that reached a stop
HART.words("calls_end")  # where there is no more room
HART.words("calls_kept")  # how many bytes below an entry one is lost to a stack in hardware
# Control transfer records (rvperf.machine.transfers).
HART.words("transfers")  # a bit for each type that is recorded; 0 while none is
HART.words("transfers_at")  # the offset in the ring of the next record
HART.words("mode_cycles")  # the cycles collected in the current mode, and these
HART.words("cycle_base")  # together with what native code's budget has been when it began
# The direction predictor: 2-bit counters, one a byte, indexed by (pc >> 1).
PREDICTOR_ENTRIES = 4096
HART.bytes("predictor", PREDICTOR_ENTRIES)
TRANSFER_RING = 512 * 32
HART.bytes("transfer_ring", TRANSFER_RING, 64)


class Block:
    """A block of memory that Python and native code share; its address does not change."""

    def __init__(self, size: int):
        self._map = mmap.mmap(-1, size)
        self.view = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.size = size

    def words(self, offset: int, count: int = 1) -> memoryview:
        """`count` 64-bit words at a byte offset, as a writable memoryview of ints."""
        return self.view[offset : offset + 8 * count].cast("Q")
