"""Which rows of some columns are alike, without sorting them."""

import numpy as np

SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Odd, and its bits as good as random."""
PART = 1 << 15
"""Rows at a time: what is made of them on the way stays in the processor's caches."""
BITS = (16, 20, 22)
"""Sizes of the tables that are tried one after the other; what fits in none is sorted."""


def distinct(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The index of the first row of each kind, ascending (intp), and the kind of each row (int32).

    Columns are integers or booleans, all of one length.
    """
    count = len(columns[0])
    columns = [column for column in columns if not constant(column)]
    if not columns:
        return np.zeros(min(count, 1), np.intp), np.zeros(count, np.int32)
    like = np.empty(count, np.intp)  # of each row the first one that is the same
    rows = None
    for bits in BITS:
        rows = seek(columns, rows, bits, like)
        if not len(rows):
            break
    else:
        like[rows] = rows[sort(columns, rows)]
    first = np.flatnonzero(like == np.arange(count))
    number = np.empty(count, np.int32)
    number[first] = np.arange(len(first))
    return first, number[like]


def constant(column: np.ndarray) -> bool:
    if not len(column):
        return True
    value = column[0]
    return all(bool((column[at : at + PART] == value).all()) for at in range(0, len(column), PART))


def seek(columns, rows, bits: int, like: np.ndarray) -> np.ndarray:
    """Put rows (None: all) into a table by a hash, and note in `like` who came first where they
    are. Gives the rows that somebody else's first row was in the way of."""
    table = np.full(1 << bits, -1, np.intp)
    shift = np.uint64(64 - bits)
    count = len(columns[0]) if rows is None else len(rows)
    left = []
    for at in range(0, count, PART):
        if rows is None:
            chosen = slice(at, min(at + PART, count))
            mine = np.arange(chosen.start, chosen.stop)
        else:
            chosen = mine = rows[at : at + PART]
        slot = (mixed([column[chosen] for column in columns]) >> shift).view(np.intp)
        leader = table[slot]
        fresh = np.flatnonzero(leader < 0)
        if len(fresh):
            # Backwards, so that the first of several has the last word.
            table[slot[fresh[::-1]]] = mine[fresh[::-1]]
            leader = table[slot]
        like[chosen] = leader
        wrong = np.zeros(len(mine), bool)
        for column in columns:
            wrong |= column[leader] != column[chosen]
        if wrong.any():
            left.append(mine[wrong])
    return np.concatenate(left) if left else np.zeros(0, np.intp)


def mixed(columns: list[np.ndarray]) -> np.ndarray:
    """A hash of each row. Its high bits are the better ones."""
    value = columns[0].astype(np.uint64)
    value *= SPREAD
    for column in columns[1:]:
        value ^= value >> np.uint64(29)
        value ^= column.astype(np.uint64)
        value *= SPREAD
    return value


def sort(columns, rows) -> np.ndarray:
    """For each of some rows the place (among them) of the first that is the same."""
    order = np.lexsort([column[rows] for column in columns])
    new = np.zeros(len(rows), bool)
    new[0] = True
    for column in columns:
        values = column[rows][order]
        new[1:] |= values[1:] != values[:-1]
    start = np.flatnonzero(new)
    like = np.empty(len(rows), np.intp)
    like[order] = np.repeat(order[start], np.diff(np.append(start, len(rows))))
    return like
