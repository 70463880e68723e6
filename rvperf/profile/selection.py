"""Which samples an option chooses: times, CPUs, names, symbols. Indices and masks of a Profile."""

import numpy as np

from rvperf.perfdata.attr import SAMPLE

INVALID = 234
"""perf's exit status for -EINVAL."""


class SelectionError(Exception):
    """An option that can't be followed. The message and the exit status are perf's."""

    def __init__(self, message: str, status: int = 255):
        super().__init__(message)
        self.status = status


def numbers(text: str, what: str = "cpu") -> frozenset[int]:
    """A list like 0-2,5. Raises SelectionError."""
    found = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or len(first + last) > 12:
            raise SelectionError(f"Invalid {what}_list")
        low, high = int(first), int(last or first)
        if high < low or high - low > 1 << 16:
            raise SelectionError(f"Invalid {what}_list")
        found.update(range(low, high + 1))
    return frozenset(found)


def cpus(profile, text: str) -> frozenset[int]:
    """The CPUs of -C, checked against the file as perf does. Raises SelectionError."""
    seen = set()
    for event in profile.events:
        if event.attr.type < 6 and event.attr.type not in seen:
            seen.add(event.attr.type)
            if not event.attr.sample_type & SAMPLE.CPU:
                raise SelectionError(
                    "File does not contain CPU events. Remove -C option to proceed."
                )
    wanted = numbers(text)
    known = profile.reader.features.get("NRCPUS")
    for number in sorted(wanted):
        if known and number >= known.available:
            raise SelectionError(f"Requested CPU {number} too large. Consider raising MAX_NR_CPUS")
    return wanted


def on_cpus(profile, wanted: frozenset[int]) -> np.ndarray:
    sampled = [bool(event.attr.sample_type & SAMPLE.CPU) for event in profile.events]
    has = np.array(sampled, bool)[profile.event]
    return np.isin(profile.cpu, sorted(wanted)) | ~has


# --- --time


def nanoseconds(text: str) -> int:
    """Seconds with up to nine decimals. Raises ValueError."""
    whole, dot, part = text.partition(".")
    if not (whole.isdigit() or (not whole and dot)) or (part and not part.isdigit()):
        raise ValueError(text)
    if len(part) > 9 or len(whole) > 20:
        raise ValueError(text)
    return int(whole or 0) * 10**9 + int(part.ljust(9, "0") if part else 0)


def time_ranges(text: str, profile, relative: bool = False) -> list[tuple[int, int]]:
    """The intervals of --time, in ns, both ends included; an end of 0 is open.

    `start,stop` in seconds, several of them separated by blanks, `10%/2` (the second tenth),
    `0%-10%,30%-40%`, `50%`. Raises SelectionError.
    """
    known = profile.reader.features.get("SAMPLE_TIME")
    if ("%" in text or relative) and (known is None or not (known.first or known.last)):
        raise SelectionError(
            "HINT: no first/last sample time found in perf data.\n"
            "Please use latest perf binary to execute 'perf record'\n"
            "(if '--buildid-all' is enabled, please set '--timestamp-boundary').",
            INVALID,
        )
    try:
        if "%" in text:
            ranges = percentages(text, known.first, known.last)
        else:
            ranges = intervals(text)
    except ValueError:
        raise SelectionError("Invalid time string", INVALID) from None
    if relative:
        ranges = [(start + known.first, end + known.first) for start, end in ranges]
    return ranges


def intervals(text: str) -> list[tuple[int, int]]:
    if "," not in text:
        raise ValueError(text)
    ranges = []
    for word in text.split():
        start, _, end = word.partition(",")
        low = nanoseconds(start) if start else 0
        high = nanoseconds(end) if end else 0
        if high and high < low:
            raise ValueError(text)
        ranges.append((low, high))
    for (_, end), (start, _) in zip(ranges, ranges[1:], strict=False):
        if end >= start:
            raise ValueError(text)
    return ranges or [(0, 0)]


def percentages(text: str, first: int, last: int) -> list[tuple[int, int]]:
    def percent(word: str) -> float:
        if not word.endswith("%"):
            raise ValueError(word)
        return float(word[:-1]) / 100

    def between(start: float, end: float) -> tuple[int, int]:
        if not (0 <= start <= 1 and 0 <= end <= 1):
            raise ValueError(text)
        low = first + int(start * (last - first) + 0.5)
        high = first + int(end * (last - first) + 0.5)
        return low, high - 1 if high > low and high != last else high

    ranges = []
    for word in text.split(",") if "/" in text or "-" in text else [text]:
        if "/" in text:
            part, _, number = word.partition("/")
            size = percent(part)
            if size <= 0:
                raise ValueError(text)
            ranges.append(between(size * (int(number) - 1), size * int(number)))
        elif "-" in text:
            start, _, end = word.partition("-")
            ranges.append(between(percent(start), percent(end)))
        else:
            ranges.append(between(0.0, percent(word)))
    return ranges


def in_time(profile, ranges: list[tuple[int, int]]) -> np.ndarray:
    times = profile.time
    chosen = times == 0
    for start, end in ranges:
        chosen |= (times >= np.uint64(start)) & (
            (times <= np.uint64(end)) if end else np.ones(len(times), bool)
        )
    return chosen


# --- who, where


def by_thread(profile, comms=None, pids=None, tids=None) -> np.ndarray:
    """Samples of threads with these names, process ids and thread ids (None: any)."""
    chosen = np.ones(len(profile), bool)
    if comms is not None:
        known = np.array([comm in comms for comm in profile.comms], bool)
        chosen &= known[profile.comm] if len(known) else chosen
    for wanted, ids in (
        (pids, [thread.pid for thread in profile.threads]),
        (tids, [thread.tid for thread in profile.threads]),
    ):
        if wanted is not None:
            known = np.isin(np.array(ids, np.int64), sorted(wanted))
            chosen &= known[profile.thread] if len(known) else chosen
    return chosen


def in_dsos(profile, names: frozenset[str]) -> np.ndarray:
    known = [dso.name in names or dso.short_name in names for dso in profile.dsos]
    return np.array([*known, False], bool)[profile.dso]


def in_symbols(profile, names: frozenset[str]) -> np.ndarray:
    """Samples in symbols of these names, or that begin or are at these addresses (0x…)."""
    addresses = {int(name, 16) for name in names if _is_hex(name)}
    known: dict[tuple, bool] = {}
    chosen = np.zeros(len(profile), bool)
    rows = zip(profile.map.tolist(), profile.address.tolist(), profile.ip.tolist(), strict=True)
    for index, key in enumerate(rows):
        found = known.get(key)
        if found is None:
            found = known[key] = _matches(profile, key, names, addresses)
        chosen[index] = found
    return chosen


def _is_hex(name: str) -> bool:
    digits = name.removeprefix("0x")
    return bool(digits) and all(c in "0123456789abcdefABCDEF" for c in digits)


def _matches(profile, key, names, addresses) -> bool:
    number, address, ip = key
    if number < 0:
        return False
    there = profile.maps[number]
    symbol = there.dso.symbols.symbol(address) if there.dso.symbols else None
    if symbol and (symbol.name in names or there.ip(symbol.start) in addresses):
        return True
    return ip in addresses


def not_guests(profile) -> np.ndarray:
    """Samples that perf shows: those of guests only if the profile was made with them."""
    from rvperf.perfdata import records

    if profile.world.guest:
        return np.ones(len(profile), bool)
    return ~np.isin(profile.cpumode, (records.GUEST_KERNEL, records.GUEST_USER))
