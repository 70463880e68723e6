"""`report --stdio`: histograms as perf 6.1 prints them (tools/perf/ui/stdio/hist.c)."""

from rvperf.profile.hists import Entry, Hists
from rvperf.profile.sortkeys import View, disguise, name_of

HINT = "# To display the perf.data header info, please use --header/--header-only options.\n#\n"
TIPS = (
    "Callers first or callees first: rvperf report -g caller, rvperf report -g callee",
    "See one program's symbols alone with: rvperf report --comms PROGRAM --sort dso,symbol",
    "Compare two recordings with: rvperf diff OLD NEW",
    "Where in the source the time goes: rvperf report --sort srcline",
    "Exact shares beside the sampled ones: rvperf record --truth, then rvperf report --truth",
)
ELIDED = (("symbol", "symbols", "symbol"), ("dso", "dsos", "dso"), ("comm", "comms", "comm"))
COLOURS = (24 + 4) * 8
"""Bytes that perf has room for so that it might colour the numbers."""
MARGIN = " " * 12


def elide(columns, view: View) -> str:
    """Leave out columns that a filter gives one value, and say that value. (sort__setup_elide)"""
    out = []
    filters = {"symbol": view.symbols, "dso": view.dsos, "comm": view.comms}
    words = {"symbol": "symbol", "dso": "dso", "comm": "comm"}
    keys = [column for column in columns.fields if not column.number]
    for column in keys:
        values = filters.get(column.name)
        if values is not None and len(set(values)) == 1:
            out.append(f"# {words[column.name]}: {disguise(values[0])}\n")
            column.elided = True
    if keys and all(column.elided for column in keys):
        for column in keys:
            column.elided = False
    return "".join(out)


def scaled(count: int) -> str:
    """A number of samples as perf says it: 1K for 1118."""
    value, unit = float(count), " "
    for larger in "KMG":
        if value > 1000.0:
            value /= 1000.0
            unit = larger
        else:
            break
    return f"{int(value)}{unit}"


def group_name(hists: Hists) -> str:
    """A group's events: `anon group { cycles, instructions }`."""
    names = ", ".join([hists.event.name, *(one.event.name for one in hists.group)])
    if hists.forced:
        return names
    return f"{hists.event.group or 'anon group'} {{ {names} }}"


def summary(hists: Hists, view: View, slices: str | None = None, sort: str = "") -> str:
    """The comment above the histogram of an event."""
    parts = [hists, *hists.group]
    if view.relative:
        samples = sum(one.samples_shown for one in parts)
        period = sum(one.period_shown for one in parts)
    else:
        samples = sum(one.samples for one in parts)
        period = sum(one.period for one in parts)
    name = disguise(group_name(hists) if hists.group else hists.event.name)
    plural = "s" if hists.event.members > 1 else ""
    out = f"# Samples: {scaled(samples)} of event{plural} '{name}'"
    if slices:
        out += f" (time slices: {slices})"
    if view.mode == "memory":
        out += f"\n# Total weight : {period}\n# Sort order   : {sort}"
    else:
        out += f"\n# Event count (approx.): {period}"
    if view.socket >= 0:
        out += f"\n# Processor Socket: {view.socket}"
    return out + "\n#\n"


class Table:
    """The rows of one histogram."""

    def __init__(self, hists: Hists, least: float = 0.0):
        self.hists, self.view, self.least = hists, hists.view, least
        self.columns = [
            column for column in hists.columns.fields
            if not column.elided and column.only in (None, hists.event.index)
        ]  # fmt: skip
        self.last = hists.columns.fields[-1] if hists.columns.fields else None
        widths = [column.width(hists) for column in self.columns]
        # perf's line has room for this much, and cuts off the rest.
        self.room = sum(widths) + 2 * (len(widths) - 1) + 3
        if self.view.verbose > 0 and "symbol" in hists.columns.has:
            self.room += 3 + 16
        if not self.view.separator:
            self.room += COLOURS
        separator = self.view.separator
        self.cells = [
            (
                column.shower(hists),
                0 if column is self.last else width,
                bool(separator) and not column.number,
            )
            for column, width in zip(self.columns, widths, strict=True)
        ]
        """For each column: what shows an entry, how wide that is made, if separators go."""

    def headers(self) -> str:
        separator = self.view.separator or "  "
        out = "# " + separator.join(c.title(self.hists) for c in self.columns) + "\n"
        if not self.view.separator:
            dots = separator.join("." * c.width(self.hists) for c in self.columns)
            out += f"# {dots}\n#\n"
        return out

    def row(self, entry: Entry) -> str:
        separator = self.view.separator
        parts = []
        for show, width, replaces in self.cells:
            text = show(entry)
            if replaces:
                text = text.replace(separator, ".")
            parts.append(text.ljust(width))
        if separator:
            return separator.join(parts)[: self.room]
        return ("  " + "  ".join(parts))[: self.room]

    def shown(self):
        """The entries that neither filters nor the limit leave out."""
        hists, view, total = self.hists, self.view, self.hists.total
        for entry in hists.entries:
            if entry.filtered:
                continue
            period = entry.acc if view.children else entry.period
            if (period * 100.0 / total if total else 0.0) < self.least:
                continue
            yield entry

    def rows(self):
        for entry in self.shown():
            if self.view.exclude_other and entry.parent is None:
                yield "\n"
            else:
                yield self.row(entry) + "\n"
            if self.view.callchains:
                yield callchain(entry, self.hists)
                entry.chain = None


# --- callchains


def frame_name(place, view: View) -> str:
    if place.symbol is None:
        return f"{place.ip:#x}" if place.ip else "0"
    name = name_of(place.symbol)
    inlined = " (inlined)" if getattr(place.symbol, "inlined", False) else ""
    if view.chain_key != "function" and place.srcline:
        return f"{name} {place.srcline}{inlined}"
    return name + inlined


def node_value(node, total: int, view: View) -> str:
    period, count = node.cumulated, node.cumulated_count
    if view.chain_mode == "folded":
        period, count = node.hit, node.count
    if view.chain_value == "period":
        return str(period)
    if view.chain_value == "count":
        return str(count)
    return f"{period * 100.0 / total if total else 0.0:.2f}%"


def callchain(entry: Entry, hists: Hists) -> str:
    """The callchains of an entry, below its row."""
    view = hists.view
    nodes = hists.chains(entry)
    if not nodes and view.chain_mode != "fractal":
        return ""
    out: list[str] = []
    if view.chain_mode == "flat":
        flat(out, nodes, hists.period, view)
    elif view.chain_mode == "folded":
        folded(out, nodes, hists.period, view)
    elif view.chain_mode != "none":
        graph(out, nodes, entry, hists)
    return "".join(out)


def graph(out: list[str], nodes, entry: Entry, hists: Hists) -> None:
    view = hists.view
    parent = entry.acc if view.children else entry.period
    total = hists.period
    margin = MARGIN
    if len(nodes) == 1 and nodes[0].cumulated == parent:
        # A single chain from the root needs no percentage.
        printed = 0
        first = True
        skip = view.fields is None and view.sort is not None and view.sort.startswith("sym")
        for number, place in enumerate(nodes[0].places):
            if number == 0 and skip:
                continue
            if first:
                out.append(f"{margin}|\n{margin}---")
                margin += "   "
                first = False
            else:
                out.append(margin)
            out.append(frame_name(place, view) + "\n")
            printed += 1
            if printed == view.chain_limit:
                break
        nodes = nodes[0].children
    if view.chain_mode == "fractal":
        total = parent
    branches(out, nodes, total, 1, 1, margin, view, entry)
    if out:
        out.append("\n")


def bars(depth: int, mask: int) -> str:
    return "".join("|          " if mask >> level & 1 else "           " for level in range(depth))


def frame_line(out, node, text, depth, mask, first, total, margin, view) -> None:
    line = [margin]
    for level in range(depth):
        line.append("|" if mask >> level & 1 else " ")
        if first and level == depth - 1:
            line.append(f"--{node_value(node, total, view)}--")
        else:
            line.append("          ")
    out.append("".join(line) + text + "\n")


class Rest:
    """What is left of a node's weight when its children below the limit are left out."""

    def __init__(self, period, count):
        self.cumulated = self.hit = period
        self.cumulated_count = self.count = count


def branches(out, nodes, total, depth, mask, margin, view, parent) -> None:
    """Siblings and what is below them. perf numbers depths from 1 and keeps a bit for each bar."""
    fractal = view.chain_mode == "fractal"
    remaining, counted = total, 0
    new_mask = mask
    printed = 0
    child = None
    for number, child in enumerate(nodes):
        remaining -= child.cumulated
        counted += child.cumulated_count
        if number == len(nodes) - 1 and (not fractal or not remaining):
            new_mask &= ~(1 << (depth - 1))
        out.append(margin + bars(depth, mask) + "\n")
        for place_number, place in enumerate(child.places):
            frame_line(out, child, frame_name(place, view), depth, new_mask, place_number == 0,
                       total, margin, view)  # fmt: skip
        below = child.children_hit if fractal else total
        branches(out, child.children, below, depth + 1, new_mask | 1 << depth, margin, view, child)
        printed += 1
        if printed == view.chain_limit:
            break
    if fractal and remaining and remaining != total:
        rest = Rest(remaining, 0)
        if view.chain_value == "count" and child is not None and child.parent is not None:
            rest.count = rest.cumulated_count = child.parent.children_count - counted
            if rest.count <= 0:
                return
        new_mask &= ~(1 << (depth - 1))
        frame_line(out, rest, "[...]", depth, new_mask, True, total, margin, view)


def path(node) -> list:
    """The frames from the root to a node."""
    parts = []
    while node is not None:
        parts.append(node.places)
        node = node.parent
    return [place for places in reversed(parts) for place in places]


def flat(out: list[str], nodes, total: int, view: View) -> None:
    for number, node in enumerate(nodes, 1):
        out.append(f"           {node_value(node, total, view)}\n")
        out += [f"                {frame_name(place, view)}\n" for place in path(node)]
        out.append("\n")
        if number == view.chain_limit:
            break


def folded(out: list[str], nodes, total: int, view: View) -> None:
    separator = view.separator or ";"
    for number, node in enumerate(nodes, 1):
        names = separator.join(frame_name(place, view) for place in path(node))
        out.append(f"{node_value(node, total, view)} {names}\n")
        if number == view.chain_limit:
            break


# --- the whole report


def report(all_hists: list[Hists], view: View, lost: int = 0, least: float = 0.0,
           quiet: bool = False, slices: str | None = None, skip_empty: bool = True,
           tip: str | None = None, sort: str = ""):  # fmt: skip
    """All events' histograms, piece by piece."""
    if not quiet:
        yield f"#\n# Total Lost Samples: {lost}\n#\n"
    for hists in all_hists:
        if view.group and hists.event.leader != hists.event.index:
            continue
        if skip_empty and not hists.samples:
            continue
        if not quiet:
            yield summary(hists, view, slices, sort)
        table = Table(hists, least)
        if not quiet:
            yield table.headers()
        yield from table.rows()
        yield "\n\n"
    if not quiet:
        yield f"#\n# (Tip: {tip or TIPS[0]})\n#\n"


BRANCH_NAMES = (
    "N/A", "COND", "UNCOND", "IND", "CALL", "IND_CALL", "RET", "SYSCALL", "SYSRET", "COND_CALL",
    "COND_RET", "ERET", "IRQ", "SERROR", "NO_TX",
)  # fmt: skip
NEW_BRANCH_NAMES = (
    "FAULT_ALGN", "FAULT_DATA", "FAULT_INST", "ARCH_1", "ARCH_2", "ARCH_3", "ARCH_4", "ARCH_5",
)  # fmt: skip


def branch_statistics(kinds: dict[str, int]) -> str:
    """How often each kind of branch was met (branch_type_stat_display of util/branch.c)."""
    total = sum(count for name, count in kinds.items() if name.isdigit())
    if not total:
        return ""
    out = "\n#\n# Branch Statistics:\n#"
    names = [(name, name) for name in ("COND_FWD", "COND_BWD", "CROSS_4K", "CROSS_2M")]
    names += [(str(number), name) for number, name in enumerate(BRANCH_NAMES)]
    names += [(f"new {number}", name) for number, name in enumerate(NEW_BRANCH_NAMES)]
    for key, name in names:
        if kinds.get(key):
            out += f"\n{name:>8}: {100.0 * kinds[key] / total:5.1f}%"
    return out


# --- other reports

RECORD_NAMES = {
    1: "MMAP", 2: "LOST", 3: "COMM", 4: "EXIT", 5: "THROTTLE", 6: "UNTHROTTLE", 7: "FORK",
    8: "READ", 9: "SAMPLE", 10: "MMAP2", 11: "AUX", 12: "ITRACE_START", 13: "LOST_SAMPLES",
    14: "SWITCH", 15: "SWITCH_CPU_WIDE", 16: "NAMESPACES", 17: "KSYMBOL", 18: "BPF_EVENT",
    19: "CGROUP", 20: "TEXT_POKE", 21: "AUX_OUTPUT_HW_ID", 64: "ATTR", 65: "EVENT_TYPE",
    66: "TRACING_DATA", 67: "BUILD_ID", 68: "FINISHED_ROUND", 69: "ID_INDEX",
    70: "AUXTRACE_INFO", 71: "AUXTRACE", 72: "AUXTRACE_ERROR", 73: "THREAD_MAP", 74: "CPU_MAP",
    75: "STAT_CONFIG", 76: "STAT", 77: "STAT_ROUND", 78: "EVENT_UPDATE", 79: "TIME_CONV",
    80: "FEATURE", 81: "COMPRESSED", 82: "FINISHED_INIT",
}  # fmt: skip
"""perf's names of record types in --stats."""


def stats(reader, skip_empty: bool = True) -> str:
    """How many records of each type there are, and samples of each event."""
    kinds = reader.types.tolist()
    counts: dict[int, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    total = len(kinds)
    out = f"\nAggregated stats:\n{'TOTAL':>16} events: {total:10d}\n"
    for kind, name in RECORD_NAMES.items():
        count = counts.get(kind, 0)
        if not count and skip_empty:
            continue
        if total:
            out += f"{name:>16} events: {count:10d}  ({100.0 * count / total:4.1f}%)\n"
        else:
            out += f"{name:>16} events: {count:10d}\n"
    samples = reader.event_of[reader.types == 9].tolist()
    for event in reader.events:
        count = samples.count(event.index)
        if not count and skip_empty:
            continue
        out += f"{event.name} stats:\n"
        if count:
            out += f"{'SAMPLE':>16} events: {count:10d}\n"
    return out


def tasks(world, with_maps: bool = False) -> str:
    """The tasks of a file as a tree of who made whom, and perhaps what they had mapped."""
    threads = world.machines[0].threads
    # perf keeps threads in 256 buckets, and goes through those.
    ordered = sorted(threads.values(), key=lambda thread: (thread.tid % 256, thread.tid))
    children: dict[int, list] = {}
    roots, listed = [], set()
    for thread in ordered:
        while thread.tid not in listed:
            listed.add(thread.tid)
            if thread.ppid == -1:
                roots.append(thread)
                break
            if thread.ppid not in threads:
                return "Error: failed to process tasks\n"
            children.setdefault(thread.ppid, []).append(thread)
            thread = threads[thread.ppid]
    out = [f"# {'pid':>8} {'tid':>8} {'ppid':>8}  comm\n"]
    waiting = [(thread, 0) for thread in reversed(roots)]
    while waiting:
        thread, level = waiting.pop()
        head = f"  {thread.pid:8d} {thread.tid:8d} {thread.ppid:8d} |{'':{level}}"
        out.append(f"{head}{disguise(thread.comm)}\n")
        if with_maps:
            out += [map_line(one, len(head), world) for one in thread.maps.entries]
        waiting += [(child, level + 1) for child in reversed(children.get(thread.tid, ()))]
    return "".join(out)


def threads(reader) -> str:
    """What the counters of each thread said at its end (record -s): report -T."""
    from rvperf.perfdata.records import Read, RecordError

    counts: dict[tuple, dict[int, int]] = {}
    events: dict[int, str] = {}
    for number in (reader.types == Read.type).nonzero()[0].tolist():
        try:
            record = reader.record(number)
        except RecordError:
            continue
        event = int(reader.event_of[number])
        if event < 0 or not record.values:
            continue
        events.setdefault(event, reader.events[event].name)
        row = counts.setdefault((record.pid, record.tid), {})
        row[event] = row.get(event, 0) + record.values[0]
    rows = [["PID", "TID", *events.values()]]
    rows += [
        [str(pid), str(tid), *(str(row.get(event, 0)) for event in events)]
        for (pid, tid), row in counts.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    marks = ["#", *[" "] * (len(rows) - 1)]
    return "".join(
        f"{mark} {'  '.join(cell.rjust(w) for cell, w in zip(row, widths, strict=True))}\n"
        for mark, row in zip(marks, rows, strict=True)
    )


def inode_of(world, dso) -> int:
    return next((key[2][2] for key, one in world._dsos.items() if one is dso and key[2]), 0)


def map_line(one, indent: int, world) -> str:
    prot = "".join(c if one.prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
    return (
        f"{'':{indent}}  {one.start:x}-{one.end:x} {prot}{'s' if one.flags & 1 else 'p'} "
        f"{one.pgoff:08x} {inode_of(world, one.dso)} {disguise(one.dso.name)}\n"
    )
