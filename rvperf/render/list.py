"""`perf list` in perf's layout: a line an event, or their bare names."""

from collections.abc import Iterable

TAGS = {
    "hw": "Hardware event",
    "sw": "Software event",
    "tool": "Tool event",
    "cache": "Hardware cache event",
    "tracepoint": "Tracepoint event",
}


def lines(rows: Iterable, described: bool = False) -> str:
    """perf's line for each event; with its description below, where perf puts one.

    A row is any object with `kind`, `names` (perf's own symbol first), `symbol` and `doc`.
    """
    return "".join(
        f"  {' OR '.join(row.names):<50} [{TAGS[row.kind]}]\n"
        + (f"       [{row.doc}]\n" if described else "")
        for row in rows
    )


def names(rows: Iterable) -> str:
    """--raw-dump: the names alone on one line, aliases dropped, for shell completion."""
    return "".join(f"{row.symbol} " for row in rows)
