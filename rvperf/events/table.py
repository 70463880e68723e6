"""Every event that perf names, a row each, and which of them this machine can count.

Names, aliases, types and configuration numbers are perf's ABI: include/uapi/linux/perf_event.h
(perf_type_id, perf_hw_id, perf_sw_ids, perf_hw_cache_id) and perf-list(1). `source` is ours: the
key by which a session finds what to count. A row without a source is an event that perf knows and
that nothing counts yet; perf calls such an event `<not supported>`.
"""

from isa.record import Record

HARDWARE, SOFTWARE, TRACEPOINT, HW_CACHE, RAW, BREAKPOINT = range(6)  # perf_type_id


class Row(Record):
    """An event. `doc` is a sentence on what it counts here; perf shows value * scale in `unit`."""

    symbol: str
    kind: str
    type: int
    config: int
    aliases: tuple[str, ...] = ()
    source: str | None = None
    doc: str = ""
    unit: str = ""
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        return (self.symbol, *self.aliases)


def hw(config, symbol, *aliases, source=None, doc=""):
    return Row(symbol, "hw", HARDWARE, config, aliases, source, doc)


def sw(config, symbol, *aliases, source=None, doc="", unit="", scale=1.0):
    return Row(symbol, "sw", SOFTWARE, config, aliases, source, doc, unit, scale)


def tool(number, symbol, doc):
    """perf's own pseudo events; perf encodes them as the software event `dummy`."""
    return Row(symbol, "tool", SOFTWARE, DUMMY | number << 32, (), symbol, doc, "ns")


def tracepoint(number, symbol, doc):
    """The kernel numbers tracepoints as it likes (/sys/kernel/tracing/events/*/*/id); so do we."""
    return Row(symbol, "tracepoint", TRACEPOINT, number, (), symbol, doc)


DUMMY = 9

HARDWARE_EVENTS = (
    hw(0, "cpu-cycles", "cycles", source="cycles", doc="Clock cycles of the modelled pipeline."),
    hw(1, "instructions", source="instructions", doc="Instructions retired."),
    hw(2, "cache-references"),
    hw(3, "cache-misses"),
    hw(
        4,
        "branch-instructions",
        "branches",
        source="branches",
        doc="Branches and jumps retired, taken or not.",
    ),
    hw(
        5,
        "branch-misses",
        source="branch-misses",
        doc="Branches and jumps that the modelled predictor got wrong.",
    ),
    hw(6, "bus-cycles"),
    hw(7, "stalled-cycles-frontend", "idle-cycles-frontend"),
    hw(8, "stalled-cycles-backend", "idle-cycles-backend"),
    hw(9, "ref-cycles"),
)

SOFTWARE_EVENTS = (
    sw(
        0,
        "cpu-clock",
        source="cpu-clock",
        unit="msec",
        scale=1e-6,
        doc="Time that the program had a hart, by the hart's clock.",
    ),
    sw(
        1,
        "task-clock",
        source="task-clock",
        unit="msec",
        scale=1e-6,
        doc="Time that the program ran.",
    ),
    sw(
        2,
        "page-faults",
        "faults",
        source="page-faults",
        doc="Page faults that the kernel resolved, minor and major.",
    ),
    sw(
        3,
        "context-switches",
        "cs",
        source="context-switches",
        doc="Switches from one task to another.",
    ),
    sw(
        4,
        "cpu-migrations",
        "migrations",
        source="cpu-migrations",
        doc="Moves of a task from one hart to another.",
    ),
    sw(
        5,
        "minor-faults",
        source="minor-faults",
        doc="Page faults resolved without reading a file.",
    ),
    sw(
        6,
        "major-faults",
        source="major-faults",
        doc="Page faults that had to read a file.",
    ),
    sw(7, "alignment-faults"),
    sw(8, "emulation-faults"),
    sw(DUMMY, "dummy"),
    sw(10, "bpf-output"),
    sw(11, "cgroup-switches"),
)

TOOL_EVENTS = (
    tool(1, "duration_time", "Time from the program's start to its end."),
    tool(2, "user_time", "Time that the program spent in user mode."),
    tool(3, "system_time", "Time that the kernel worked for the program."),
)

TRACEPOINT_EVENTS = (
    tracepoint(1, "exceptions:page_fault_user", "Page faults taken from user mode."),
    tracepoint(2, "raw_syscalls:sys_enter", "System calls entered."),
    tracepoint(3, "raw_syscalls:sys_exit", "System calls left."),
    tracepoint(4, "sched:sched_process_exec", "Programs started by execve."),
    tracepoint(5, "sched:sched_process_exit", "Tasks that ended."),
)

# perf_hw_cache_id: spellings, the canonical one first, and the operations that the cache has
CACHES = (
    (("L1-dcache", "l1-d", "l1d", "L1-data"), (0, 1, 2)),
    (("L1-icache", "l1-i", "l1i", "L1-instruction"), (0, 2)),
    (("LLC", "L2"), (0, 1, 2)),
    (("dTLB", "d-tlb", "Data-TLB"), (0, 1, 2)),
    (("iTLB", "i-tlb", "Instruction-TLB"), (0,)),
    (("branch", "branches", "bpu", "btb", "bpc"), (0,)),
    (("node",), (0, 1, 2)),
)
# perf_hw_cache_op_id: singular, plural, other spellings
OPERATIONS = (
    ("load", "loads", "read"),
    ("store", "stores", "write"),
    ("prefetch", "prefetches", "speculative-read", "speculative-load"),
)
# perf_hw_cache_op_result_id
ACCESS, MISS = 0, 1
RESULTS = (("refs", "Reference", "ops", "access"), ("misses", "miss"))

COUNTED_CACHE_EVENTS = {
    "L1-dcache-loads": "Loads that the first data cache was asked for.",
    "L1-dcache-stores": "Stores that the first data cache was asked for.",
}


def cache_symbol(cache: int, operation: int, result: int) -> str:
    """perf's canonical name: `L1-dcache-loads`, `L1-dcache-load-misses`."""
    name, (singular, plural, *_) = CACHES[cache][0][0], OPERATIONS[operation]
    return f"{name}-{plural}" if result == ACCESS else f"{name}-{singular}-misses"


def cache_row(cache, operation, result):
    symbol = cache_symbol(cache, operation, result)
    counted = symbol in COUNTED_CACHE_EVENTS
    return Row(
        symbol,
        "cache",
        HW_CACHE,
        cache | operation << 8 | result << 16,
        source=symbol if counted else None,
        doc=COUNTED_CACHE_EVENTS.get(symbol, ""),
    )


CACHE_EVENTS = {
    (cache, operation, result): cache_row(cache, operation, result)
    for cache, (_, operations) in enumerate(CACHES)
    for operation in operations
    for result in (ACCESS, MISS)
}


def by_symbol(rows):
    return tuple(sorted(rows, key=lambda row: row.symbol))


# `perf list`'s order: by kind, then by symbol; the tool events stay as they are.
LISTED = tuple(
    row
    for row in (
        *by_symbol(HARDWARE_EVENTS),
        *by_symbol(SOFTWARE_EVENTS),
        *TOOL_EVENTS,
        *by_symbol(CACHE_EVENTS.values()),
        *TRACEPOINT_EVENTS,
    )
    if row.source
)

SYMBOLS = {
    name: row for row in (*HARDWARE_EVENTS, *SOFTWARE_EVENTS, *TOOL_EVENTS) for name in row.names
}
