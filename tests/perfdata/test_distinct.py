"""Which rows are alike: against a dict of tuples."""

import numpy as np
import pytest

from rvperf.perfdata import distinct as module
from rvperf.perfdata.distinct import distinct


def by_dict(columns):
    kinds: dict[tuple, int] = {}
    first, kind = [], []
    for place, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        if row not in kinds:
            kinds[row] = len(kinds)
            first.append(place)
        kind.append(kinds[row])
    return first, kind


def found(columns):
    first, kind = distinct(columns)
    return first.tolist(), kind.tolist()


@pytest.mark.parametrize(
    "columns, first, kind",
    [
        ([[]], [], []),
        ([[7]], [0], [0]),
        ([[5, 5, 5]], [0], [0, 0, 0]),
        ([[9, 3, 9, 1]], [0, 1, 3], [0, 1, 0, 2]),
        ([[1, 1, 2, 1], [4, 5, 4, 4]], [0, 1, 2], [0, 1, 2, 0]),
        ([[2**64 - 1, 0, 2**64 - 1]], [0, 1], [0, 1, 0]),
    ],
)
def test_kinds_are_numbered_by_their_first_rows(columns, first, kind):
    assert found([np.array(column, np.uint64) for column in columns]) == (first, kind)


@pytest.mark.parametrize("values", [3, 700, 10**6])
def test_many_rows_over_several_parts(values):
    random = np.random.default_rng(values)
    count = 3 * module.PART + 17
    columns = [
        random.integers(0, values, count).astype(np.uint64) << np.uint64(40),
        random.integers(-2, 2, count).astype(np.int16),
        np.zeros(count, np.int32),
        random.integers(0, 2, count).astype(bool),
    ]
    assert found(columns) == by_dict(columns)


def test_rows_that_share_all_hashes_are_told_apart(monkeypatch):
    def same(columns):
        return np.zeros(len(columns[0]), np.uint64)

    monkeypatch.setattr(module, "mixed", same)
    columns = [np.array([3, 1, 2, 3, 1, 1, 0], np.int64), np.array([0, 1, 0, 0, 1, 2, 9], np.int8)]
    assert found(columns) == by_dict(columns)
