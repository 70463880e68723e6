"""`perf list` in perf's layout: a line an event, or their bare names."""

from collections.abc import Iterable
from typing import Protocol

TAGS = {
    "hw": "Hardware event",
    "sw": "Software event",
    "tool": "Tool event",
    "cache": "Hardware cache event",
    "tracepoint": "Tracepoint event",
}


class Listed(Protocol):
    """An event as this page needs it; `names` begins with perf's own symbol."""

    kind: str
    symbol: str
    names: tuple[str, ...]
    doc: str


def lines(rows: Iterable[Listed], described: bool = False) -> str:
    """perf's line for each event; with its description below, where perf puts one."""
    return "".join(
        f"  {' OR '.join(row.names):<50} [{TAGS[row.kind]}]\n"
        + (f"       [{row.doc}]\n" if described else "")
        for row in rows
    )


def names(rows: Iterable[Listed]) -> str:
    """--raw-dump: the names alone on one line, aliases dropped, for shell completion."""
    return "".join(f"{row.symbol} " for row in rows)
