"""The derived column of `perf stat`: one metric per count, from the other counts of the run.

As in perf 6.1: a rate divides by the mean of the clock events, whatever their modes; a ratio
relates counts of equal context only (instructions:u to cycles:u).
"""

from collections.abc import Callable

from isa.record import Record
from rvperf.results import Count, StatResult


class Metric(Record):
    """`text` is the number as perf shows it in text, None if it can't be computed (then only JSON
    names the unit); `grade` is 0 for good to 3 for alarming, and colours it on a terminal."""

    value: float
    unit: str
    text: str | None
    grade: int = 0


NOTHING = Metric(0.0, "(null)", None)
"""An event that has no metric; perf's JSON says this of it."""
UNKNOWN = Metric(0.0, "", None)
"""A row without a count."""

CLOCKS = ("task-clock", "cpu-clock")

# Event: what it is a share of, how that share is written, and what follows the number.
SHARES = {
    "branch-misses": ("branch-instructions", "%7.2f%%", "of all branches"),
    "L1-dcache-load-misses": ("L1-dcache-loads", "%7.2f%%", "of all L1-dcache accesses"),
    "L1-icache-load-misses": ("L1-icache-loads", "%7.2f%%", "of all L1-icache accesses"),
    "dTLB-load-misses": ("dTLB-loads", "%7.2f%%", "of all dTLB cache accesses"),
    "iTLB-load-misses": ("iTLB-loads", "%7.2f%%", "of all iTLB cache accesses"),
    "LLC-load-misses": ("LLC-loads", "%7.2f%%", "of all LL-cache accesses"),
    "cache-misses": ("cache-references", "%8.3f %%", "of all cache refs"),
}
ALARMING = (5.0, 10.0, 20.0)
"""Percentages of misses above which perf colours them yellow, magenta and red."""


def metrics(result: StatResult) -> tuple[Metric, ...]:
    """One metric per count, in the counts' order."""
    by_event: dict[tuple[str, str], list[float]] = {}
    clocks = []
    for count in result.counts:
        if count.counted:
            by_event.setdefault((count.event, count.context), []).append(count.value)
        if count.event in CLOCKS and count.supported:
            clocks.append(count.value if count.counted else 0)

    def mean(event: str, context: str) -> float:
        values = by_event.get((event, context), ())
        return sum(values) / len(values) if values else 0.0

    nanoseconds = sum(clocks) / len(clocks) if clocks else None
    return tuple(metric(count, mean, nanoseconds, result.elapsed) for count in result.counts)


def metric(
    count: Count,
    mean: Callable[[str, str], float],
    nanoseconds: float | None,
    elapsed: float,
) -> Metric:
    """One count's metric; `mean` finds another event's count in a context (0: not counted).
    `nanoseconds` are None if no clock was asked for."""
    if not count.counted:
        return UNKNOWN
    if count.event in CLOCKS:
        if not elapsed:
            return Metric(0.0, "CPUs utilized", None)
        return shown("%8.3f", count.value / elapsed, "CPUs utilized")
    if count.event == "instructions":
        cycles = mean("cpu-cycles", count.context)
        if not cycles:
            return Metric(0.0, "insn per cycle", None)
        return shown("%7.2f ", count.value / cycles, "insn per cycle")
    if count.event == "cpu-cycles":
        if not nanoseconds:
            return Metric(0.0, "Ghz", None)  # perf's spelling when there is no clock
        return shown("%8.3f", count.value / nanoseconds, "GHz")
    if count.event in SHARES:
        whole_event, form, unit = SHARES[count.event]
        whole = mean(whole_event, count.context)
        if not whole:
            return Metric(0.0, unit, None)
        percent = 100 * count.value / whole
        return shown(form, percent, unit, sum(percent > limit for limit in ALARMING))
    if nanoseconds is None:
        return NOTHING
    return rate(1e9 * count.value / nanoseconds if nanoseconds else 0.0)


def rate(per_second: float) -> Metric:
    for prefix in ("", "K", "M", "G"):
        if per_second <= 1000 or prefix == "G":
            break
        per_second /= 1000
    return shown("%8.3f", per_second, f"{prefix}/sec")


def shown(form: str, value: float, unit: str, grade: int = 0) -> Metric:
    return Metric(value, unit, form % value, grade)
