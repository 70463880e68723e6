"""JSON with long arrays reads back as what it was made of."""

import json

import numpy as np
import pytest

from rvperf.render import long_json
from rvperf.render.long_json import Array, numbers, written


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_arrays_of_any_length(monkeypatch, count):
    monkeypatch.setattr(long_json, "PART", 4)
    column = np.arange(count) * 0.1
    content = {"a": numbers(column), "b": (Array(f"[{n}]" for n in range(count)), None)}
    assert json.loads(written(content)) == {
        "a": column.tolist(),
        "b": [[[n] for n in range(count)], None],
    }


@pytest.mark.parametrize("content", [{}, (), {"é": "\ud800", "x": [1, {"y": ()}]}, {"a": ({}, ())}])
def test_all_else_is_as_json_has_it(content):
    assert written(content).decode() == json.dumps(content, separators=(",", ":"))
