"""Symbols by address, against stock perf."""

import os

import numpy as np
import pytest

from rvperf.symbols import Symbols
from tests.oracles import perfdata

SAMPLES = ("samples/hello", "samples/hello-pie", "samples/sort", "samples/recurse")


def same_as_perf(path: str):
    """Every boundary of a symbol and a thousand other offsets have perf's name and distance."""
    dso = Symbols(buildid_dir="/nonexistent").dso(os.path.abspath(path))
    table = dso.table
    dso.symbols_of([0])
    edges = np.concatenate([table.start, table.end, table.end - np.uint64(1)]) if table else []
    spread = np.linspace(0, os.path.getsize(path), 1000)
    offsets = np.unique(np.concatenate([edges, spread]).astype(np.uint64))
    offsets = offsets[offsets < 1 << 32]
    found = [dso.symbol_at(n) if n >= 0 else None for n in dso.symbols_of(offsets)]
    ours = [s and (s.name, o - s.start) for s, o in zip(found, offsets.tolist(), strict=True)]
    theirs = perfdata.symbols(dso.path, offsets.tolist())
    assert [*zip(offsets.tolist(), ours, strict=True)] == [
        *zip(offsets.tolist(), theirs, strict=True)
    ]


@pytest.mark.parametrize("path", SAMPLES)
def test_samples_have_the_symbols_that_perf_finds(path):
    same_as_perf(path)
