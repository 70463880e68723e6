"""Which events `perf list`'s words select (perf-list(1)): kinds of event, or patterns."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from rvperf.events.table import LISTED, Row

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
}


def listed(words: Iterable[str]) -> list[Row]:
    """The countable events that the words select, each word in turn; all if there are none."""
    words = list(words)
    if not words:
        return list(LISTED)
    return [row for word in words for row in LISTED if matches(row, word)]


def matches(row: Row, word: str) -> bool:
    """`foo` means `*foo*`; a colon keeps to tracepoints."""
    if word in KINDS:
        return row.kind in KINDS[word]
    if ":" in word:
        return row.kind == "tracepoint" and fnmatchcase(row.symbol, word)
    return any(fnmatchcase(name, f"*{word}*") for name in row.names)
