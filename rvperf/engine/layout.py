"""What native code keeps beside the hart's state, and where.

One block holds it all, so that one register reaches everything: the hart's fields (machine.state),
then the engine's. Decoded pages lie in a pool of their own.
"""

from __future__ import annotations

from rvperf.machine.pmu import CYCLE_BUDGET  # noqa: F401
from rvperf.machine.state import HART, Layout

# The software TLB of data accesses: tag for loads, tag for stores, what to add to an address to
# reach it in this process. A tag is the page's address, or NO_TAG.
TLB_ENTRIES = 4096
TLB_ENTRY = 32
TLB_LOAD, TLB_STORE, TLB_ADDEND = 0, 8, 16
NO_TAG = (1 << 64) - 1

# Extents: of a page in the TLB, how many pages before it and behind it are known to be mapped to
# consecutive addresses of this process as well; two 16-bit numbers for loads, two for stores.
EXTENT = 8
EXTENT_LOAD, EXTENT_STORE = 0, 4
# Windows: what accesses of compiled regions last used of an extent. Where it begins; how far the
# first byte of an access of 8 bytes may lie behind that, plus one, or of NEAR bytes; what to add
# to reach it in this process. All zeros is a window on nothing. Those at odd places are for stores.
WINDOWS = 1024
WINDOW = 32
WINDOW_LOW, WINDOW_ROOM, WINDOW_NEAR, WINDOW_ADDEND = 0, 8, 16, 24
NEAR = 64

# The fetch TLB: tag, decoded entries of the page, and the page's bytes in this process.
FETCH_ENTRIES = 4096
FETCH_ENTRY = 32
FETCH_TAG, FETCH_DECODED, FETCH_BYTES = 0, 8, 16

# The jump cache: pc of a compiled region, and its function.
JUMP_ENTRIES = 1 << 16
JUMP_ENTRY = 16

# A decoded instruction, one for each halfword of a page, and two that lead out at its end.
ENTRY = 16
ENTRY_FUNCTION, ENTRY_IMM, ENTRY_D, ENTRY_1, ENTRY_2, ENTRY_3 = 0, 8, 12, 13, 14, 15
ENTRIES = 2048 + 2
# A decoded page: its entries; which handler each one has (0: none yet); how often it was jumped to.
PAGE_HANDLERS = ENTRIES * ENTRY
PAGE_JUMPS = PAGE_HANDLERS + 2 * 2052
DECODED_PAGE = -(-(PAGE_JUMPS + 2 * 2052) // 64) * 64
# Where executions are counted, behind it: how often each halfword's instruction was executed, and
# how often it was mispredicted.
PAGE_EXECUTIONS = DECODED_PAGE
PAGE_MISSES = PAGE_EXECUTIONS + 8 * 2048
COUNTING_PAGE = PAGE_MISSES + 8 * 2048
PAGE_CROSSING = PAGE_HANDLERS + 2 * 2048  # the handler of what begins in the last halfword

ENGINE = Layout(HART.size)
ENGINE.words("budget")  # instructions that may still retire; see `unit`
ENGINE.words("unit")  # all ones if the budget is of cycles rather than instructions, else 0
ENGINE.words("until")  # `advance` returns when this many instructions have been counted
ENGINE.words("threshold")  # jumps to an address until it is reported hot
ENGINE.words("miss")  # the address of the access that missed the TLB
ENGINE.words("wanted")  # for `refill`: which window (its offset), and how many bytes << 32
ENGINE.words("mxcsr")  # on its way to or from the host's floating-point unit
ENGINE.words("ram")  # where RAM lies in this process, its physical address, its size
ENGINE.words("ram_base")
ENGINE.words("ram_size")
ENGINE.words("code")  # a byte for each page of RAM: has decoded instructions
ENGINE.words("stored")  # a byte for each page of RAM: the TLB may have had it for stores
ENGINE.words("denied")  # a byte for each page of RAM: what PMP denies (machine.protection)
ENGINE.words("decoded")  # a pointer for each page of RAM: its decoded page, or null
ENGINE.words("handlers")  # the table of tier 0's functions
ENGINE.words("jumps")  # the jump cache
ENGINE.words("resync")  # tier 0: go on at pc, in a region if there is one
ENGINE.words("resume")  # tier 0: execute one instruction at pc, then go on
# Samples that native code takes by itself: see rvperf.engine.advance.
ENGINE.words("periods", 6)  # by hart.SOURCES; 0 where a stop is Python's
ENGINE.words("samples")  # where the next sample goes in this process
ENGINE.words("samples_end")
ENGINE.words("chain")  # what of the call chain a sample has: see below
ENGINE.words("chain_most")  # entries, the sample's own address among them
ENGINE.words("refills")  # how many there were
ENGINE.words("self")  # where the state lies
ENGINE.words("refill_load")  # tier 0: open a window for what is wanted
ENGINE.words("refill_store")
ENGINE.bytes("fetch", FETCH_ENTRIES * FETCH_ENTRY, 64)
ENGINE.bytes("windows", WINDOWS * WINDOW, 64)
ENGINE.bytes("extents", TLB_ENTRIES * EXTENT, 64)
ENGINE.bytes("tlb", TLB_ENTRIES * TLB_ENTRY, 64)

NO_CHAIN, FRAME_CHAIN, CALLS_CHAIN = range(3)
# A sample: its source's place in hart.SOURCES, the clock as far as it is uncollected, how many
# addresses follow, and those, the sample's own first.
SAMPLE_SOURCE, SAMPLE_CLOCK, SAMPLE_COUNT, SAMPLE_CHAIN = 0, 8, 16, 24

CYCLES = (1 << 64) - 1  # in `unit`

# Why native code returned: see `native`.
BUDGET, READER, FETCH, HOT, CALL, NO_LOAD, NO_STORE = range(7)
STOPPED = 8  # added by `advance` if a stop was reached as well
