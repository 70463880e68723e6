"""Which modes a counter counts in, and who may see it: pure functions over CSR values."""

from __future__ import annotations

from collections.abc import Iterable

from isa.modes import VS, VU, M, Mode, S, U, virtual

# The bit that keeps a counter still in a mode: of mhpmevent (Sscofpmf), mcyclecfg and minstretcfg
# (Smcntrpmf).
INHIBITS = {M: 62, S: 61, U: 60, VS: 59, VU: 58}
INHIBIT_NAMES = {M: "MINH", S: "SINH", U: "UINH", VS: "VSINH", VU: "VUINH"}
OF = 1 << 63  # of mhpmevent: the counter has overflowed, and will not interrupt again
CYCLE, TIME, INSTRET = 0, 1, 2  # the counters that have a number but no mhpmevent
FIRST, LAST = 3, 31  # those that have one
PROGRAMMABLE = LAST - FIRST + 1


def counting_modes(config: int, modes: Iterable[Mode]) -> frozenset[Mode]:
    """Those of `modes` in which a counter with this configuration counts."""
    return frozenset(mode for mode in modes if not config >> INHIBITS[mode] & 1)


def counter_visible(
    number: int, mode: int, mcounteren: int, scounteren: int, hcounteren: int = 0
) -> bool:
    """Whether a mode may read unprivileged counter `number` (0 cycle, 1 time, 2 instret, 3...)."""
    visible = ~0
    if mode != M:
        visible &= mcounteren
    if virtual(mode):
        visible &= hcounteren
    if mode in (U, VU):
        visible &= scounteren
    return bool(visible >> number & 1)


def overflows_seen(mode: int, overflowed: int, mcounteren: int, hcounteren: int = 0) -> int:
    """scountovf as a mode reads it, of the OF bits by counter (Sscofpmf)."""
    if mode != M:
        overflowed &= mcounteren
    if virtual(mode):
        overflowed &= hcounteren
    return overflowed
