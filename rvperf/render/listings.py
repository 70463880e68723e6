"""The code of an event's hottest functions, as the page shows it."""

from collections.abc import Iterator

from rvperf.render.annotate import AnnotateError, Row, annotate, hottest
from rvperf.render.page import Line, Listing
from rvperf.render.stacks import Stacks

LONGEST = 1500
"""Rows of a function that is shown whole; of a longer one, those near samples."""
NEAR = 20
MOST = 4 * LONGEST
"""Rows that are shown of any function."""


def listings(stacks: Stacks, most: int) -> list[Listing]:
    """At most so many functions, hottest first; those whose code can't be had are left out."""
    found = []
    total = stacks.total or 1
    for spot in hottest(stacks.profile, stacks.event, stacks.sample):
        if len(found) == most:
            break
        try:
            code = annotate(stacks.profile, spot.dso, spot.symbol, (stacks.event,), stacks.sample)
        except AnnotateError:
            continue
        lines = tuple(lines_of(code.rows))
        share = 100 * spot.period / total
        found.append(Listing(spot.symbol.name, spot.dso.short_name, share, lines))
    return found


def lines_of(rows: tuple[Row, ...]) -> Iterator[Line]:
    """The rows after objdump's heading; source lines that are said again are left out."""
    start = next((n for n, row in enumerate(rows) if row.address is not None), len(rows))
    while start and rows[start - 1].file:
        start -= 1
    rows = rows[start:]
    last = -1
    for shown, number in enumerate(near(rows)):
        if shown == MOST:
            break
        if number != last + 1:
            yield Line("…")
        last = number
        row = rows[number]
        if row.address is None:
            yield Line(row.text)
        else:
            yield Line(row.text.strip(), row.address, row.percents[0])


def near(rows: tuple[Row, ...]) -> list[int]:
    """The rows to show: all if they aren't too many, else those near rows with samples."""
    if len(rows) <= LONGEST:
        return list(range(len(rows)))
    kept = bytearray(len(rows))
    for number, row in enumerate(rows):
        if row.percents and row.percents[0]:
            first, end = max(0, number - NEAR), min(len(rows), number + NEAR + 1)
            kept[first:end] = bytes([1]) * (end - first)
    return [number for number, keep in enumerate(kept) if keep]
