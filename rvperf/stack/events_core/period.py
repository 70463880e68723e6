"""How long a sampling event's period is: the arithmetic of kernel/events/core.c."""

from __future__ import annotations

NSEC = 1_000_000_000
TICK_NS = 4_000_000
"""CONFIG_HZ is 250. So often frequencies are adjusted and, by default, counters handed around."""
MOST_SAMPLES_A_TICK = 100_000 // 250
"""sysctl kernel.perf_event_max_sample_rate, for each tick: more are throttled."""
ALLOWED_NS = TICK_NS // 4 // MOST_SAMPLES_A_TICK
"""How long an interrupt may take on average, at that rate: a quarter of the time."""
AVERAGED = 128
"""Over how many interrupts that is looked at."""
BITS = 64


def calculated(count: int, nsec: int, frequency: int) -> int:
    """The period at which `count` in `nsec` gives `frequency` samples a second.

    perf_calculate_period(): count * 10^9 / (nsec * frequency), with bits dropped from the longer
    factor until the products fit 64 bits.
    """
    parts = {"count": count, "second": NSEC, "nsec": nsec, "frequency": frequency}
    width = {name: value.bit_length() for name, value in parts.items()}

    def reduce(a: str, b: str) -> None:
        longer = a if width[a] > width[b] else b
        parts[longer] >>= 1
        width[longer] -= 1

    while width["count"] + width["second"] > BITS and width["nsec"] + width["frequency"] > BITS:
        reduce("nsec", "frequency")
        reduce("second", "count")
    if width["count"] + width["second"] > BITS:
        divisor = parts["nsec"] * parts["frequency"]
        while width["count"] + width["second"] > BITS:
            reduce("count", "second")
            divisor >>= 1
        dividend = parts["count"] * parts["second"]
    else:
        dividend = parts["count"] * parts["second"]
        while width["nsec"] + width["frequency"] > BITS:
            reduce("nsec", "frequency")
            dividend >>= 1
        divisor = parts["nsec"] * parts["frequency"]
    return dividend // divisor if divisor else dividend


def adjusted(period: int, wanted: int) -> int:
    """A low-pass filter from a period towards the wanted one: an eighth of the way, at least 1
    (perf_adjust_period() of 6.12)."""
    change = wanted - period
    change = (change + 7) // 8 if change >= 0 else -((7 - change) // 8)
    return period + change or 1


def scaled(count: int, enabled: int, running: int) -> int:
    """What an event would have counted if it had run all the time: perf's extrapolation."""
    return count * enabled // running if running else 0
