"""`perf list`: the events that can be counted, in perf's order and layout."""

from collections.abc import Iterable

from rvperf.events import LISTED, Row

TAGS = {
    "hw": "Hardware event",
    "sw": "Software event",
    "tool": "Tool event",
    "cache": "Hardware cache event",
    "tracepoint": "Tracepoint event",
}
# What a word selects; any other word is a pattern.
KINDS = {
    "hw": ("hw",),
    "hardware": ("hw",),
    "sw": ("sw", "tool"),
    "software": ("sw", "tool"),
    "cache": ("cache",),
    "hwcache": ("cache",),
    "tracepoint": ("tracepoint",),
    "pmu": (),
    "sdt": (),
    "metric": (),
    "metrics": (),
    "metricgroup": (),
    "metricgroups": (),
}
HEADER = "\nList of pre-defined events (to be used in -e or -M):\n\n"


def selected(words: Iterable[str]) -> list[Row]:
    """The rows that the words select, each word in turn; every row if there are none."""
    words = list(words)
    if not words:
        return list(LISTED)
    return [row for word in words for row in LISTED if matches(row, word)]


def matches(row: Row, word: str) -> bool:
    if word in KINDS:
        return row.kind in KINDS[word]
    from fnmatch import fnmatchcase

    if ":" in word:
        return row.kind == "tracepoint" and fnmatchcase(row.symbol, word)
    return any(fnmatchcase(name, f"*{word}*") for name in row.names)


def lines(rows: Iterable[Row]) -> str:
    return "".join(f"  {' OR '.join(row.names):<50} [{TAGS[row.kind]}]\n" for row in rows)


def names(rows: Iterable[Row]) -> str:
    """--raw-dump: the names alone on one line, aliases dropped, for shell completion."""
    return "".join(f"{row.symbol} " for row in rows)
