"""Physical memory protection (privileged manual 3.7): what its CSRs keep and show of what is
written, and what they say of memory. Pure functions over CSR values.

The granularity is a page (G = 10), so that what an entry says holds for whole pages: no aligned
access can be matched in part, and one that crosses into another page is two accesses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

ENTRIES = 16  # of a hart that has any
G = 10  # regions are 2**(G+2) bytes, or a multiple
R, W, X, LOCKED = 1, 2, 4, 1 << 7  # of an entry's configuration
OFF, TOR, NA4, NAPOT = range(4)  # its field A
# Of a byte that says what is denied: R, W and X to modes below M, and above them to M.
OF_M_AT = 4


def mode(configuration: int) -> int:
    """An entry's field A: how its address is meant."""
    return configuration >> 3 & 3


def kept(old: int, new: int) -> int:
    """What a pmpcfg holds after `new` is written over `old`."""
    pairs = zip(old.to_bytes(8, "little"), new.to_bytes(8, "little"), strict=True)
    return int.from_bytes(bytes(_kept_of_entry(*pair) for pair in pairs), "little")


def _kept_of_entry(old: int, new: int) -> int:
    if old & LOCKED:
        return old
    new &= LOCKED | 3 << 3 | X | W | R
    if new & (R | W) == W:  # reserved
        new = new & ~(R | W | X) | old & (R | W | X)
    if mode(new) == NA4:  # regions smaller than a page can't be selected
        new = new & ~(3 << 3) | old & 3 << 3
    return new


def locked(configurations: Sequence[int]) -> bool:
    """Whether any entry is locked, and so one that is for M-mode as well."""
    return any(configuration & LOCKED for configuration in configurations)


def address_held(n: int, configurations: Sequence[int]) -> bool:
    """Whether a write does not change pmpaddr n: its entry is locked, or the next one is, whose
    region begins there."""
    if configurations[n] & LOCKED:
        return True
    above = configurations[n + 1] if n + 1 < len(configurations) else 0
    return bool(above & LOCKED) and mode(above) == TOR


def shown(address: int, configuration: int) -> int:
    """What a read of a pmpaddr gives: below the granularity, not what it holds."""
    if mode(configuration) & 2:
        return address | (1 << G - 1) - 1
    return address & -1 << G


def region(n: int, configurations: Sequence[int], addresses: Sequence[int]) -> tuple[int, int]:
    """Where the bytes begin and end that entry n matches; no bytes if it is off."""
    how, address = mode(configurations[n]), shown(addresses[n], configurations[n])
    if how == TOR:
        return (addresses[n - 1] & -1 << G) << 2 if n else 0, address << 2
    if how == NAPOT:
        return (address & address + 1) << 2, ((address | address + 1) + 1) << 2
    return 0, 0


def denied(configuration: int) -> int:
    """What an entry denies where it matches: M-mode nothing, unless it is locked."""
    missing = ~configuration & (R | W | X)
    return missing | (missing << OF_M_AT if configuration & LOCKED else 0)


NO_MATCH = denied(0)  # to all but M-mode everything


def protected(
    configurations: Sequence[int], addresses: Sequence[int], begin: int, end: int
) -> Iterator[tuple[int, int, int]]:
    """(first byte, byte behind the last, what is denied) for all of begin..end, in order: by the
    entry of the lowest number that matches."""
    regions = []
    for n, configuration in enumerate(configurations):
        first, after = region(n, configurations, addresses) if mode(configuration) else (0, 0)
        if first < after:
            regions.append((first, after, denied(configuration)))
    edges = {begin, end, *(edge for first, after, _ in regions for edge in (first, after))}
    edges = sorted(edge for edge in edges if begin <= edge <= end)
    for at, next_edge in zip(edges, edges[1:], strict=False):
        found = (what for first, after, what in regions if first <= at < after)
        yield at, next_edge, next(found, NO_MATCH)
