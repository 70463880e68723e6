"""JSON with long arrays in it, made piece by piece: json.dumps keeps a string for each number."""

import json
from collections.abc import Iterable, Iterator

import numpy as np

PART = 1 << 14
"""Elements of an array at a time."""


class Array:
    """An array, given as the JSON texts of its elements."""

    def __init__(self, texts: Iterable[str]):
        self.texts = texts

    def pieces(self) -> Iterator[str]:
        yield "["
        held: list[str] = []
        first = True
        for text in self.texts:
            held.append(text)
            if len(held) == PART:
                yield ("" if first else ",") + ",".join(held)
                held, first = [], False
        if held:
            yield ("" if first else ",") + ",".join(held)
        yield "]"


def numbers(column: np.ndarray) -> Array:
    """A column of finite numbers."""
    parts = (column[at : at + PART].tolist() for at in range(0, len(column), PART))
    return Array(repr(value) for part in parts for value in part)


def pieces(content) -> Iterator[str]:
    """The text of dicts, tuples and Arrays within each other; all else as json.dumps has it."""
    if isinstance(content, Array):
        yield from content.pieces()
    elif isinstance(content, dict):
        before = "{"
        for key, value in content.items():
            yield f"{before}{json.dumps(key)}:"
            yield from pieces(value)
            before = ","
        yield "}" if content else "{}"
    elif isinstance(content, tuple):
        before = "["
        for value in content:
            yield before
            yield from pieces(value)
            before = ","
        yield "]" if content else "[]"
    else:
        yield json.dumps(content, separators=(",", ":"))


def written(content) -> bytes:
    out = bytearray()
    for piece in pieces(content):
        out += piece.encode()
    return bytes(out)
