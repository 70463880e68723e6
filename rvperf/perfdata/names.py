"""What perf calls an event of which only the attribute is known (tools/perf/util/evsel.c)."""

from rvperf.perfdata.attr import Attr

HARDWARE = (
    "cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses",
    "bus-cycles", "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles",
)  # fmt: skip
SOFTWARE = (
    "cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults",
    "major-faults", "alignment-faults", "emulation-faults", "dummy", "bpf-output",
    "cgroup-switches",
)  # fmt: skip
CACHES = ("L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node")
OPERATIONS = (("load", "loads"), ("store", "stores"), ("prefetch", "prefetches"))


def event_name(attr: Attr) -> str:
    """perf's name for an event without a recorded one, with its modifiers."""
    config = attr.config
    if attr.type == 0:
        name = HARDWARE[config] if config < len(HARDWARE) else "unknown-hardware"
    elif attr.type == 1:
        return SOFTWARE[config] + modifiers(attr) if config < len(SOFTWARE) else "unknown-software"
    elif attr.type == 2:
        return "unknown tracepoint"
    elif attr.type == 3:
        name = cache_name(config)
    elif attr.type == 4:
        name = f"raw {config:#x}"
    elif attr.type == 5:
        access = ("r" if attr.bp_type & 1 else "") + ("w" if attr.bp_type & 2 else "")
        access += "x" if attr.bp_type & 4 else ""
        name = f"mem:{attr.config1:#x}{':' + access if access else ''}"
    else:
        return f"unknown attr type: {attr.type}"
    return name + modifiers(attr)


def cache_name(config: int) -> str:
    kind, operation, result = config & 0xFF, config >> 8 & 0xFF, config >> 16 & 0xFF
    if kind >= len(CACHES):
        return "unknown-ext-hardware-cache-type"
    if operation >= len(OPERATIONS):
        return "unknown-ext-hardware-cache-op"
    if result > 1:
        return "unknown-ext-hardware-cache-result"
    one, many = OPERATIONS[operation]
    return f"{CACHES[kind]}-{one}-misses" if result else f"{CACHES[kind]}-{many}"


def modifiers(attr: Attr) -> str:
    """`:u` and the like; empty for an event that counts everywhere on the host."""
    shown = ""
    narrowed = attr.exclude_kernel or attr.exclude_user or attr.exclude_hv
    if narrowed:
        shown += "" if attr.exclude_kernel else "k"
        shown += "" if attr.exclude_user else "u"
        shown += "" if attr.exclude_hv else "h"
    shown += "p" * attr.precise_ip
    guest_default = bool(narrowed or attr.precise_ip)
    if attr.exclude_host or bool(attr.exclude_guest) == guest_default:
        shown += "" if attr.exclude_host else "H"
        shown += "" if attr.exclude_guest else "G"
    return f":{shown}" if shown else ""
