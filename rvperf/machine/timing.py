"""The timing model: one simple in-order core, the same for every program and every event.

Every instruction takes one cycle; kinds in `CYCLES_OF` take the cycles given there, whatever their
operands (latencies of a SiFive 7-series core where its manual or LLVM's model gives them, an
average where they vary; all modelled, see docs/architecture.md). Memory always hits. A conditional
branch is predicted by a table of 2-bit counters indexed by its address; a wrong prediction costs
`MISPREDICT_CYCLES`. The clock runs at `HERTZ`.
"""

from __future__ import annotations

from isa.words import select

HERTZ = 1_000_000_000
TIMEBASE_HERTZ = 10_000_000  # of the `time` CSR
CYCLES_A_TICK = HERTZ // TIMEBASE_HERTZ  # and nanoseconds, at 1 GHz
MISPREDICT_CYCLES = 4
CYCLES_OF = {
    "multiply": 3,
    "divide": 16,
    "jump-register": 2,
    "amo": 3,
    "load-reserved": 3,
    "store-conditional": 3,
    "fp-add": 2,
    "fp-multiply": 2,
    "fp-fma": 2,
    "fp-divide": 28,
    "fp-convert": 2,
    "csr": 3,
    "system": 5,
}
SLOWEST = max(max(CYCLES_OF.values()), 1 + MISPREDICT_CYCLES)


def cycles_of(kind: str) -> int:
    """Cycles of one instruction of a kind, mispredictions aside."""
    return CYCLES_OF.get(kind, 1)


PREDICTOR_MASK = 4095


def predictor_index(pc: int) -> int:
    """Which 2-bit counter predicts the branch at pc."""
    return pc >> 1 & PREDICTOR_MASK


def predict(counter, taken):
    """(the 2-bit counter after a branch that was `taken`, a Bit: was it mispredicted).

    The counter is a Word of the algebra in 0..3, from strongly not taken to strongly taken.
    """
    predicted = counter.bit(1)
    up = select(counter == 3, counter, counter + 1)
    down = select(counter == 0, counter, counter - 1)
    missed = (predicted & ~taken) | (~predicted & taken)
    return select(taken, up, down), missed


def learn(counter, taken: bool):
    """As `predict` where the way is known, and that the counter is not saturated that way yet."""
    return (counter + 1, counter.ult(2)) if taken else (counter - 1, counter.uge(2))
