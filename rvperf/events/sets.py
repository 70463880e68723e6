"""The events that `perf stat` counts unasked: perf-stat(1), and -d, -dd, -ddd there."""

DEFAULT = (
    "task-clock,context-switches,cpu-migrations,page-faults,"
    "cycles,instructions,branches,branch-misses"
)

DETAILS = (
    "L1-dcache-loads,L1-dcache-load-misses,LLC-loads,LLC-load-misses",
    "L1-icache-loads,L1-icache-load-misses,dTLB-loads,dTLB-load-misses,iTLB-loads,iTLB-load-misses",
    "L1-dcache-prefetches,L1-dcache-prefetch-misses",
)


def detailed(level: int) -> str:
    """What `-d` given `level` times adds, as text for -e; empty for none."""
    return ",".join(DETAILS[: max(level, 0)])
