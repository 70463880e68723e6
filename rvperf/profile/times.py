"""Spans of time that samples are taken from: --time (tools/perf/util/time-utils.c)."""

import re
from math import floor

FOREVER = 2**64 - 1


def nanoseconds(text: str) -> int | None:
    """`12.5` s as ns; None if it is no such number."""
    found = re.fullmatch(r"\s*(\d*)(?:\.(\d{0,9}))?", text)
    if found is None:
        return None
    return int(found[1] or 0) * 10**9 + int((found[2] or "").ljust(9, "0"))


def share(text: str) -> float | None:
    """`10%` as 0.1."""
    try:
        return float(text[: text.index("%")]) / 100.0
    except ValueError:
        return None


def span(start_share: float, end_share: float, start: int, end: int) -> tuple[int, int] | None:
    if not (0.0 <= start_share <= 1.0 and 0.0 <= end_share <= 1.0):
        return None
    first = start + floor(start_share * (end - start) + 0.5)
    last = start + floor(end_share * (end - start) + 0.5)
    return first, last - 1 if last > first and last != end else last


def slice_of(text: str, start: int, end: int) -> tuple[int, int] | None:
    """`10%/2`: the second tenth."""
    part, _, number = text.partition("/")
    size = share(part)
    if size is None or size <= 0.0 or not re.fullmatch(r"\s*[+-]?\d*", number):
        return None
    at = int(number or 0)
    return span(size * (at - 1), size * at, start, end)


def stretch_of(text: str, start: int, end: int) -> tuple[int, int] | None:
    """`0%-10%`."""
    first, _, last = text.partition("-")
    shares = share(first), share(last)
    if None in shares:
        return None
    return span(*shares, start, end)


def ranges(text: str, start: int, end: int) -> tuple[tuple[int, int], ...] | None:
    """The spans that --time names, in ns, both ends included; None if the text names none.

    `start` and `end` are the times of the first and of the last sample.
    """
    if "%" in text:
        if "/" in text:
            found = [slice_of(part, start, end) for part in text.split(",") if part]
        elif "-" in text:
            found = [stretch_of(part, start, end) for part in text.split(",") if part]
        else:
            found = [slice_of(f"{text}/1", start, end)] if text.endswith("%") else [None]
        return None if None in found or not found else tuple(found)
    pieces = text.split()
    if "," not in text or not pieces:
        return None
    found = []
    for piece in pieces:
        first, comma, last = piece.partition(",")
        if not comma or "," in last:
            return None
        span_start = nanoseconds(first) if first else 0
        span_end = nanoseconds(last) if last else 0
        if span_start is None or span_end is None or (span_end and span_end < span_start):
            return None
        found.append((span_start, span_end or FOREVER))
    if any(found[i][1] >= found[i + 1][0] for i in range(len(found) - 1)):
        return None
    return tuple(found)
