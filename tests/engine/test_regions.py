"""Compiled regions in situations that random programs seldom come into."""

from random import Random

from isa.assembly import program as assembled
from rvperf.engine import layout
from tests.fuzz import CODE_FRAME, DATA, RAM_AT, READ_ONLY, Paged

CODE = RAM_AT + (CODE_FRAME << 12)


def test_a_window_for_loads_lets_no_store_through():
    """Two loops in regions of their own, whose accesses share a pair of windows by where they lie:
    one loads from a page that must not be written to, the other stores, at last to that page."""
    apart = layout.WINDOWS  # bytes from one instruction to the next that has the same windows
    loop = "addi x0, x0, 0\nagain: {}\naddi x11, x11, -1\nbne x11, x0, again\njalr x0, 0(x1)"
    loads, stores = loop.format("lw x10, 0(x8)"), loop.format("sw x10, 0(x9)")
    pair = Paged()
    pair.begin(Random(0))
    stop = CODE + 512
    for engine in pair.engines:
        hart = engine.hart
        hart.ram.write(CODE, assembled(loads, CODE))
        hart.ram.write(CODE + apart, assembled(stores, CODE + apart))
        hart.x[1], hart.x[8] = stop, DATA + (READ_ONLY[0] << 12)

    def run(at: int, x9: int):
        for engine in pair.engines:
            hart = engine.hart
            hart.pc, hart.x[9], hart.x[11] = at, x9, 40
        found = pair.slice(4 * 30 - 2)
        for _ in range(3):
            pair.engines[0].regions.poll()
        return found

    for _ in range(3):
        run(CODE + apart, DATA)
        run(CODE, DATA)
    regions = pair.engines[0].regions
    assert {CODE + 4, CODE + 4 + apart} <= regions.known.keys()
    native, reference = run(CODE + apart, DATA + (READ_ONLY[0] << 12))
    assert native == reference
    assert native[0] == (15, DATA + (READ_ONLY[0] << 12))  # store page fault
