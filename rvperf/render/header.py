"""What a perf.data says of itself: perf's `report --header`, `evlist` and `buildid-list`."""

import time

from rvperf.perfdata import features
from rvperf.perfdata.attr import BRANCH_SAMPLE_TYPE, FLAGS, READ_FORMAT, SAMPLE_TYPE, Attr
from rvperf.perfdata.features import FeatureError
from rvperf.perfdata.reader import Event, Reader

SAMPLE_ORDER = (
    "IP", "TID", "TIME", "ADDR", "READ", "CALLCHAIN", "ID", "CPU", "PERIOD", "STREAM_ID", "RAW",
    "BRANCH_STACK", "REGS_USER", "STACK_USER", "IDENTIFIER", "REGS_INTR", "DATA_SRC", "WEIGHT",
    "PHYS_ADDR", "AUX", "CGROUP", "DATA_PAGE_SIZE", "CODE_PAGE_SIZE", "WEIGHT_STRUCT",
)  # fmt: skip
"""The order in which perf 6.1 names the bits of sample_type (it has no word for TRANSACTION)."""
BRANCH_ORDER = (*BRANCH_SAMPLE_TYPE[:11], "CALL_STACK", *BRANCH_SAMPLE_TYPE[12:])
CLOCKS = {0: "realtime", 1: "monotonic", 4: "monotonic_raw", 7: "boottime", 11: "tai"}
FULL_ONLY = {"CPU_TOPOLOGY", "NUMA_TOPOLOGY", "CACHE", "MEM_TOPOLOGY", "HYBRID_TOPOLOGY"}


def named_bits(value: int, names: tuple[str, ...], order: tuple[str, ...]) -> str:
    return "|".join(name for name in order if value >> names.index(name) & 1)


def attr_fields(attr: Attr) -> list[tuple[str, str]]:
    """The attribute's fields that aren't zero, by perf's names and in perf's words."""
    rows = [
        ("type", str(attr.type)),
        ("size", str(attr.size)),
        ("config", f"{attr.config:#x}"),
        ("{ sample_period, sample_freq }", str(attr.sample_period)),
        ("sample_type", named_bits(attr.sample_type, SAMPLE_TYPE, SAMPLE_ORDER)),
        ("read_format", named_bits(attr.read_format, READ_FORMAT, READ_FORMAT)),
    ]
    rows += [(name, str(getattr(attr, name))) for name in FLAGS if name]
    branches = named_bits(attr.branch_sample_type, BRANCH_SAMPLE_TYPE, BRANCH_ORDER)
    rows += [
        ("{ wakeup_events, wakeup_watermark }", str(attr.wakeup_events)),
        ("bp_type", str(attr.bp_type)),
        ("{ bp_addr, config1 }", f"{attr.config1:#x}"),
        ("{ bp_len, config2 }", f"{attr.config2:#x}"),
        ("branch_sample_type", branches),
        ("sample_regs_user", f"{attr.sample_regs_user:#x}"),
        ("sample_stack_user", str(attr.sample_stack_user)),
        ("clockid", str(attr.clockid)),
        ("sample_regs_intr", f"{attr.sample_regs_intr:#x}"),
        ("aux_watermark", str(attr.aux_watermark)),
        ("sample_max_stack", str(attr.sample_max_stack)),
        ("aux_sample_size", str(attr.aux_sample_size)),
        ("sig_data", str(attr.sig_data)),
    ]
    return [(name, value) for name, value in rows if value not in ("0", "0x0", "")]


def evlist(reader: Reader, verbose=False, freq=False, groups=False, fields=None) -> str:
    """`perf evlist` with -v, -F, -g or --trace-fields.

    `fields(event)` gives the names of a tracepoint's fields (None: unknown).
    """
    if groups:
        return "".join(
            group_line(reader.events, event) + "\n"
            for event in reader.events
            if event.leader == event.index
        )
    lines = [event_line(event, verbose, freq, fields) for event in reader.events]
    if not fields and any(event.attr.type == 2 for event in reader.events):
        lines.append(
            "# Tip: use 'perf evlist --trace-fields' to show fields for tracepoint events\n"
        )
    return "".join(lines)


def event_line(event: Event, verbose, freq, fields) -> str:
    rows = []
    if verbose:
        rows = [f" {name}: {value}" for name, value in attr_fields(event.attr)]
    elif freq:
        term = "sample_freq" if event.attr.freq else "sample_period"
        rows = [f" {term}={event.attr.sample_period}"]
    if fields:
        if event.attr.type != 2:
            rows.append(" (not a tracepoint)")
        else:
            names = fields(event)
            rows += [f" trace_fields: {names[0]}", *names[1:]] if names else [" (no trace field)"]
    return f"{event.name}{':' if rows else ''}{','.join(rows)}\n"


def group_line(events: list[Event], leader: Event) -> str:
    """`{a,b}` for a group, the name for an event that is alone."""
    names = ",".join(event.name for event in events if event.leader == leader.index)
    return f"{leader.group}{{{names}}}" if leader.members > 1 else names


def header(reader: Reader, full: bool = False) -> str:
    """`perf report --header-only`; `full` is -I."""
    out = [
        "# ========\n",
        f"# captured on    : {time.ctime(reader.mtime)}\n",
        "# header version : 1\n",
        f"# data offset    : {reader.data_offset}\n",
        f"# data size      : {reader.data_size}\n",
        f"# feat offset    : {reader.feat_offset}\n",
    ]
    end = "# ========\n#\n"
    if reader.is_pipe:
        out.append(end)
    for number, name in enumerate(features.NAMES):
        if reader.present >> number & 1 and name in reader.features:
            if name in FULL_ONLY and not full:
                out.append(f"# {name} info available, use -I to display\n")
            elif name in LINES:
                out += [f"# {line}\n" for line in LINES[name](reader.features[name], reader)]
    if not reader.is_pipe:
        missing = [
            f"{name} "
            for number, name in enumerate(features.NAMES)
            if number and not reader.present >> number & 1
        ]
        out += ["# missing features: ", *missing, "\n", end]
    return "".join(out)


def _quoted(words: list[str]) -> str:
    return "".join(word.replace("'", "\\'") + " " for word in words)


def _event_desc(events, _):
    for event in events:
        line = f"event : name = {event.name}, "
        if event.ids:
            line += f", id = {{ {', '.join(map(str, event.ids))} }}"
        yield line + "".join(f", {name} = {value}" for name, value in attr_fields(event.attr))


def _cpu_topology(section, reader):
    try:
        topology = features.cpu_topology(section, reader.features["NRCPUS"].available)
    except (KeyError, FeatureError):
        return
    for siblings in topology.cores:
        yield f"sibling sockets : {siblings}"
    for siblings in topology.dies:
        yield f"sibling dies    : {siblings}"
    for siblings in topology.threads:
        yield f"sibling threads : {siblings}"
    if not topology.cpus:
        what = "Core ID, Die ID and Socket ID" if topology.dies else "Core ID and Socket ID"
        yield f"{what} information is not available"
    for cpu, (core, socket) in enumerate(topology.cpus):
        die = f"Die ID {_signed(topology.die_of[cpu])}, " if topology.dies else ""
        yield f"CPU {cpu}: Core ID {_signed(core)}, {die}Socket ID {_signed(socket)}"


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


def _numa(nodes, _):
    for node in nodes:
        yield (f"node{node.node} meminfo  : total = {node.total} kB, free = {node.free} kB")
        yield f"node{node.node} cpu list : {node.cpus}"


def _pmu_mappings(mappings, _):
    if not mappings:
        return ["pmu mappings: not available"]
    return ["pmu mappings: " + ", ".join(f"{name} = {number}" for number, name in mappings)]


def _groups(_, reader):
    for event in reader.events:
        if event.leader == event.index and event.members > 1:
            yield f"group: {group_line(reader.events, event)}"


def _caches(caches, _):
    yield "CPU cache info:"
    for cache in caches:
        yield f" L{cache.level} {cache.kind:<15} {cache.size:>8} [{cache.cpus}]"


def seconds(ns: int) -> str:
    """Nanoseconds as seconds with six digits, cut, as perf prints times."""
    return f"{ns // 10**9}.{ns % 10**9 // 1000:06}"


def _sample_time(value, _):
    yield f"time of first sample : {seconds(value.first)}"
    yield f"time of last sample : {seconds(value.last)}"
    yield f"sample duration : {(value.last - value.first) / 1e6:10.3f} ms"


def _memory(topology, _):
    nodes = topology.nodes
    yield f"memory nodes (nr {len(nodes)}, block size {topology.block_size:#x}):"
    for node in nodes:
        size = topology.block_size * node.blocks.bit_count()
        yield f" {node.node:>3} [{_amount(size)}]: {_ranges(node.blocks, node.bit_count)}"


def _amount(size: int) -> str:
    unit = 0
    while size // 1024 > 1 and unit < 3:
        size //= 1024
        unit += 1
    return f"{size}{'BKMG'[unit]}"


def _ranges(bits: int, count: int) -> str:
    """Set bits as `0-3,7`."""
    parts, at = [], 0
    digits = f"{bits:b}"[::-1][:count]
    while (start := digits.find("1", at)) >= 0:
        at = digits.find("0", start)
        at = len(digits) if at < 0 else at
        parts.append(str(start) if at - start == 1 else f"{start}-{at - 1}")
    return ",".join(parts)


def _capabilities(pmu: str, capabilities) -> str:
    if not capabilities:
        return f"{pmu} pmu capabilities: not available"
    named = ", ".join(f"{name}={value}" for name, value in capabilities)
    return f"{pmu} pmu capabilities: {named}"


def _clock_data(clock, _):
    name = CLOCKS.get(clock.clockid, "not found")
    wall, wall_us = clock.wall // 10**9, clock.wall % 10**9 // 1000
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(wall, 2**40)))
    yield f"clockid: {name} ({clock.clockid})"
    yield (
        f"reference time: {date}.{wall_us:06} = {wall}.{wall_us:06} (TOD) = "
        f"{clock.clock // 10**9}.{clock.clock % 10**9:09} ({name})"
    )


LINES = {
    "HOSTNAME": lambda value, _: [f"hostname : {value}"],
    "OSRELEASE": lambda value, _: [f"os release : {value}"],
    "VERSION": lambda value, _: [f"perf version : {value}"],
    "ARCH": lambda value, _: [f"arch : {value}"],
    "NRCPUS": lambda value, _: [
        f"nrcpus online : {value.online}",
        f"nrcpus avail : {value.available}",
    ],
    "CPUDESC": lambda value, _: [f"cpudesc : {value}"],
    "CPUID": lambda value, _: [f"cpuid : {value}"],
    "TOTAL_MEM": lambda value, _: [f"total memory : {value} kB"],
    "CMDLINE": lambda value, _: [f"cmdline : {_quoted(value)}"],
    "EVENT_DESC": _event_desc,
    "CPU_TOPOLOGY": _cpu_topology,
    "NUMA_TOPOLOGY": _numa,
    "BRANCH_STACK": lambda value, _: ["contains samples with branch stack"],
    "PMU_MAPPINGS": _pmu_mappings,
    "GROUP_DESC": _groups,
    "AUXTRACE": lambda value, _: ["contains AUX area data (e.g. instruction trace)"],
    "STAT": lambda value, _: ["contains stat data"],
    "CACHE": _caches,
    "SAMPLE_TIME": _sample_time,
    "MEM_TOPOLOGY": _memory,
    "CLOCKID": lambda value, _: [f"clockid frequency: {value * 1000} MHz"],
    "DIR_FORMAT": lambda value, _: [f"directory data version : {value}"],
    "COMPRESSED": lambda value, _: [
        f"compressed : {'Zstd' if value.kind == 1 else 'Unknown'}, "
        f"level = {_signed(value.level)}, ratio = {_signed(value.ratio)}"
    ],
    "CPU_PMU_CAPS": lambda value, _: [_capabilities("cpu", value)],
    "CLOCK_DATA": _clock_data,
    "HYBRID_TOPOLOGY": lambda value, _: [
        "hybrid cpu system:",
        *(f"{pmu} cpu list : {cpus}" for pmu, cpus in value),
    ],
    "PMU_CAPS": lambda value, _: [_capabilities(caps.pmu, caps.capabilities) for caps in value],
}
"""A feature's lines, given its value and the reader."""


def build_ids(dsos) -> str:
    """`perf buildid-list`: a line for each dso, with nothing for an unknown build-id."""
    return "".join(f"{dso.build_id.hex():<40} {dso.name}\n" for dso in dsos)
