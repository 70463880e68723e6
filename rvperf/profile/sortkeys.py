"""What samples are sorted by and what a report shows of them (tools/perf/util/sort.c, ui/hist.c).

A column has two orders, both ascending: `order` says which samples are one entry and how entries
lie before their periods count, `sort` how entries of equal period lie. Texts are bytes in disguise:
each character is one byte (latin-1), so that widths are perf's.
"""

import re

from isa.record import Record

STT_OBJECT = 1
UNRESOLVED = 16
"""Digits of an address."""
DEFAULT_PARENT = "^sys_|^do_page_fault"
MODES = ("normal", "branch", "memory", "diff", "tracepoint")
DEFAULTS = {
    "normal": "comm,dso,symbol",
    "branch": "comm,dso_from,symbol_from,symbol_to,cycles",
    "memory": "local_weight,mem,sym,dso,symbol_daddr,dso_daddr,snoop,tlb,locked,blocked,"
    "local_ins_lat,local_p_stage_cyc",
    "diff": "dso,symbol",
    "tracepoint": "trace",
}
"""Sort order by mode, without --sort."""


class SortError(Exception):
    """A key that can't be used. `option` is the one that named it, "sort" or "fields"."""

    def __init__(self, message: str, option: str):
        super().__init__(message)
        self.message, self.option = message, option


class View(Record, mutable=True):
    """What a report is asked for, as far as it decides what is counted and how."""

    sort: str | None = None
    fields: str | None = None
    mode: str = "normal"
    children: bool = True
    callchains: bool = False
    """Callchains are kept for entries."""
    caller_first: bool = True
    chain_key: str = "function"
    """What makes two frames one: function, address or srcline."""
    chain_mode: str = "graph"
    chain_value: str = "percent"
    chain_limit: int = 0
    """Callchains of an entry that are printed; 0 for all."""
    chain_percent: float = 0.5
    max_stack: int = 127
    separator: str = ""
    verbose: int = 0
    show_samples: bool = False
    show_period: bool = False
    show_utilization: bool = False
    guest: bool = False
    relative: bool = False
    """Percentages are of what the filters leave."""
    comms: tuple[str, ...] | None = None
    dsos: tuple[str, ...] | None = None
    symbols: tuple[str, ...] | None = None
    pids: tuple[int, ...] | None = None
    tids: tuple[int, ...] | None = None
    symbol_filter: str | None = None
    parent: str | None = None
    exclude_other: bool = False
    ignore_callees: str | None = None
    hide_unresolved: bool = False
    cpus: tuple[int, ...] | None = None
    times: tuple[tuple[int, int], ...] | None = None
    """Ranges of ns, both ends included, that samples are taken from."""
    time_quantum: int = 100_000_000
    nanoseconds: bool = False
    group: bool = True
    group_index: int = 0
    inline: bool = True
    full_path: bool = False
    raw_trace: bool = False
    widths: tuple[int, ...] = ()
    socket: int = -1
    ordered: bool = False
    """The order of callchains was asked for."""
    formats: dict = {}
    """The fields of tracepoints: {event's index: {field's name: Field}}."""
    chains_asked: bool = False
    has_dso: bool = False
    """The dso is a key: symbols need not compare it."""


def disguise(text: str) -> str:
    """A text as its bytes, one character each."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def reveal(text: str) -> str:
    """The text that `disguise` was given."""
    if text.isascii():
        return text
    return text.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


_NAMES: dict[str, str] = {}


def name_of(symbol) -> str:
    """A symbol's name, disguised."""
    name = symbol.name
    if name.isascii():
        return name
    found = _NAMES.get(name)
    if found is None:
        found = _NAMES[name] = disguise(name)
    return found


def hexadecimal(value: int) -> str:
    """printf's %-#.16llx."""
    return f"0x{value:016x}" if value else "0" * UNRESOLVED


def signed(value: int) -> int:
    """perf orders addresses by their difference as a signed number."""
    return value - (1 << 64) if value >> 63 else value


def backwards(text: str) -> bytes:
    """A key that sorts texts the other way round."""
    return bytes(255 - ord(c) for c in text) + b"\xff"


def clip(text: str, width: int) -> str:
    """printf's %-*.*s."""
    return text[:width].ljust(width)


class Column:
    """A sort key as a column.

    `needs` are the columns of samples, beside thread, comm and place, that it depends on.
    """

    number = False

    def __init__(self, name, header, order, text, width=None, sort=None, needs=(), id=None):
        self.name, self.header = name, header
        self.order, self.text, self.measure = order, text, width
        self.sort = sort or order
        self.needs = needs
        self.id = id or name
        """Keys with the same id are shown once."""
        self.elided = False
        self.user_width = 0
        self.only: int | None = None
        """The index of the only event that has this column."""

    accumulated = False

    def title(self, hists) -> str:
        return clip(self.header, self.width(hists))

    def width(self, hists) -> int:
        return self.user_width or hists.widths.get(self.id, 0)

    def shower(self, hists):
        """What makes the texts of a histogram's entries."""
        text, width = self.text, self.width(hists)
        return lambda entry: text(entry, width)

    def show(self, entry, hists) -> str:
        return self.shower(hists)(entry)


class FieldColumn(Column):
    """A field of a tracepoint, for the entries of that event alone.

    `field` says how it lies in the raw data (`bytes(raw)`, `shown(raw)`). Unless `raw`, its text is
    taken from what the tracepoint's print fmt makes of it, if that has `name=text`.
    """

    def __init__(self, event, field, raw: bool):
        super().__init__(f"{event.index}.{field.name}", field.name, self.place, self.clipped,
                         self.measured, needs=("raw",))  # fmt: skip
        self.only, self.field, self.raw = event.index, field, raw
        self.kind = "field"

    def place(self, entry):
        return bytes(255 - byte for byte in self.field.bytes(entry.raw or b""))

    def value(self, entry) -> str:
        if not self.raw:
            for word in entry.trace.split(" "):
                if word.startswith(self.header):
                    return word[len(self.header) + 1 :]
        return disguise(self.field.shown(entry.raw or b""))

    def clipped(self, entry, width: int) -> str:
        return self.value(entry)[:width].rjust(width)

    def measured(self, entry) -> int:
        field = self.field
        size = field.size if field.textual else field.size * 2 + 2
        if field.dynamic:
            return max(size, len(field.bytes(entry.raw or b"")))
        return size if self.raw else max(size, len(self.value(entry)))

    def title(self, hists) -> str:
        width = self.width(hists)
        return self.header[:width].rjust(width)


class Number(Column):
    """A column of a number of each entry, or of each of a group's events.

    `get` takes it of an entry; `percent` shows it as a share of all.
    """

    number = True

    def __init__(self, name, header, get, percent, length, accumulated=False):
        super().__init__(name, header, None, None)
        self.get, self.percent, self.length = get, percent, length
        self.accumulated = accumulated

    def width(self, hists) -> int:
        length = self.user_width or self.length
        if hists.view.group:
            length = max(length, hists.members * self.length)
        return max(length, len(self.header))

    def title(self, hists) -> str:
        return self.header.rjust(self.width(hists))

    def values(self, entry, hists) -> list[tuple[int, int]]:
        """(number, total) of the entry, and of its pairs in a group."""
        found = [(self.get(entry), hists.total)]
        if hists.group:
            for member in hists.group:
                pair = entry.pairs.get(member.event.index)
                value = self.get(pair) if pair is not None and member.total else 0
                found.append((value, member.total))
        return found

    def shower(self, hists):
        length = self.user_width or self.length
        if self.accumulated and not hists.view.children:
            nothing = " " + "N/A".rjust(length - 1)
            return lambda entry: nothing
        if hists.view.separator:
            length = 1
        else:
            length -= 2 if self.percent else 1
        form = f"{{:{length}.2f}}%" if self.percent else f"{{:{length}d}}"
        form = f" {form}".format
        get, total = self.get, hists.total
        if not self.percent:

            def show(entry):
                return "".join(form(value) for value, _ in self.values(entry, hists))

        elif hists.group:

            def show(entry):
                return "".join(
                    form(100.0 * value / total if total else 0.0)
                    for value, total in self.values(entry, hists)
                )

        else:

            def show(entry):
                return form(100.0 * get(entry) / total if total else 0.0)

        return show


def numbers(view: View) -> dict[str, Number]:
    """The number columns by name."""
    rows = (
        ("overhead", "Overhead", lambda e: e.period, True, 8),
        ("overhead_sys", "sys", lambda e: e.period_sys, True, 8),
        ("overhead_us", "usr", lambda e: e.period_us, True, 8),
        ("overhead_guest_sys", "guest sys", lambda e: e.period_guest_sys, True, 9),
        ("overhead_guest_us", "guest usr", lambda e: e.period_guest_us, True, 9),
        ("overhead_children", "Children", lambda e: e.acc, True, 8, True),
        ("sample", "Samples", lambda e: e.count, False, 12),
        ("period", "Period", lambda e: e.period, False, 12),
    )
    return {row[0]: Number(*row) for row in rows}


def keys(view: View) -> dict[str, Column]:
    """All sort keys by name, in the order in which abbreviations are tried."""
    verbose = view.verbose > 0
    alone = view.separator == "" and not view.dsos and not view.widths
    extra = UNRESOLVED + 2 + 3 if verbose else 0

    def dso_name(map_):
        return disguise(map_.dso.name if verbose else map_.dso.short_name)

    def dso_order(map_):
        return (1, "") if map_ is None else (0, dso_name(map_))

    def dso_backwards(map_):
        return (0, b"") if map_ is None else (1, backwards(dso_name(map_)))

    def dso_text(map_, width):
        return clip("[unknown]" if map_ is None else dso_name(map_), width)

    def dso_width(map_, symbol):
        width = len(dso_name(map_)) if map_ is not None else 0
        return max(width, UNRESOLVED) if symbol is None and alone else width

    def symbol_order(symbol, ip):
        if symbol is None:
            return (1, signed(ip), 0, "")
        return (
            0,
            symbol.start,
            symbol.end,
            symbol.name if getattr(symbol, "inlined", False) else "",
        )

    def symbol_name(symbol):
        return (1, "") if symbol is None else (0, name_of(symbol))

    def symbol_text(map_, symbol, ip, level, width, offset=False):
        text = ""
        if verbose:
            origin = origin_of(map_.dso) if map_ is not None else "!"
            number = f"{ip:#x}" if ip else "0"
            text = f"{number:<18} {origin} "
        text += f"[{level}] "
        if symbol is None or map_ is None:
            return text + hexadecimal(ip)
        if symbol.type == STT_OBJECT:
            return f"{text}{name_of(symbol)}+{(ip - map_.ip(symbol.start)) % 2**64:#x}"
        # A negative precision is none at all.
        room = width - len(text)
        name = name_of(symbol)
        text += name[:room] if room >= 0 else name
        if getattr(symbol, "inlined", False):
            text += " (inlined)"
        if offset and ip != symbol.start:
            text += f"+{(ip - symbol.start) % 2**64:#x}"
        return text

    def symbol_width(symbol):
        if symbol is None:
            return UNRESOLVED + 4 + 2
        return len(name_of(symbol)) + 4 + extra

    def symbol_key(entry):
        if entry.symbol is None:
            return (1, signed(entry.ip), 0, "")
        first = () if view.has_dso else dso_order(entry.map)
        return (*symbol_order(entry.symbol, entry.ip), *first)

    def symbol_key_alone(entry):
        if entry.symbol is None:
            return ((1, ""), (1, signed(entry.ip), 0, ""))
        return (dso_order(entry.map), symbol_order(entry.symbol, entry.ip))

    def pid_text(entry, width):
        room = max(7, width) - 8
        return f"{entry.thread.tid:7d}:{clip(disguise(entry.thread.comm), max(0, room))}"

    def time_text(entry, width):
        ns = entry.time
        if view.nanoseconds:
            return f"{ns // 10**9}.{ns % 10**9:09d}"[:width]
        return f"{ns // 10**9}.{ns % 10**9 // 1000:06d}"[:width]

    def size(symbol):
        return 0 if symbol is None else symbol.end - symbol.start

    def map_size(map_):
        return 0 if map_ is None else map_.end - map_.start

    def real_ip(entry):
        return entry.ip if entry.map is None else entry.map.ip(entry.ip) % 2**64

    def address_text(entry, width):
        ip = real_ip(entry)
        return (f"{ip:#x}" if ip else "0").ljust(width)

    def missing(entry, width):
        return clip("N/A", width)

    common = [
        Column("pid", "    Pid:Command", lambda e: e.thread.tid, pid_text,
               lambda e: len(disguise(e.thread.comm)) + 8),
        Column("comm", "Command", lambda e: disguise(e.comm),
               lambda e, w: clip(disguise(e.comm), w), lambda e: len(disguise(e.thread.comm))),
        Column("dso", "Shared Object", lambda e: dso_order(e.map),
               lambda e, w: dso_text(e.map, w), lambda e: dso_width(e.map, e.symbol)),
        Column("symbol", "Symbol", symbol_key if view.has_dso else symbol_key_alone,
               lambda e, w: symbol_text(e.map, e.symbol, e.ip, e.level, w),
               lambda e: symbol_width(e.symbol), lambda e: symbol_name(e.symbol)),
        Column("parent", "Parent symbol", lambda e: symbol_name(e.parent),
               lambda e, w: clip(name_of(e.parent) if e.parent else "[other]", w),
               lambda e: len(name_of(e.parent)) if e.parent else 0),
        Column("cpu", "CPU", lambda e: e.cpu,
               lambda e, w: f"{e.cpu:0{w}d}" if e.cpu >= 0 else f"-{-e.cpu:0{w}d}",
               lambda e: 3, needs=("cpu",)),
        Column("socket", "Socket", lambda e: e.socket,
               lambda e, w: (f"{e.socket:0{max(0, w - 3)}d}" if e.socket >= 0
                             else f"-{-e.socket:0{max(0, w - 3)}d}").rjust(w),
               lambda e: 6, needs=("cpu",)),
        Column("srcline", "Source:Line", lambda e: e.srcline, lambda e, w: e.srcline[:w],
               lambda e: max(len(e.srcline), 11), needs=("address",)),
        Column("srcfile", "Source File", lambda e: e.srcfile, lambda e, w: e.srcfile[:w],
               lambda e: len(e.srcfile), needs=("address",)),
        Column("local_weight", "Local Weight", lambda e: -e.weight,
               lambda e, w: f"{e.weight:<{w}d}", lambda e: 12, needs=("weight",)),
        Column("weight", "Weight", lambda e: -e.weight,
               lambda e, w: f"{e.weight * e.count:<{w}d}", lambda e: 12, needs=("weight",)),
        Column("transaction", "Transaction                ", lambda e: -e.transaction,
               lambda e, w: transaction_text(e.transaction).ljust(w), lambda e: 0,
               needs=("transaction",)),
        Column("trace", "Trace output", lambda e: e.trace, lambda e, w: e.trace[:w],
               lambda e: len(e.trace), needs=("raw",)),
        Column("symbol_size", "Symbol size", lambda e: size(e.symbol),
               lambda e, w: (str(size(e.symbol)) if e.symbol else "unknown").rjust(w), None),
        Column("dso_size", "DSO size", lambda e: map_size(e.map),
               lambda e, w: (str(map_size(e.map)) if e.map else "unknown").rjust(w), None),
        Column("cgroup", "Cgroup", lambda e: 0, lambda e, w: "N/A", lambda e: 6),
        Column("cgroup_id", "cgroup id (dev/inode)", lambda e: 0, lambda e, w: "0/0x0",
               lambda e: 20),
        Column("ipc_null", "IPC   [IPC Coverage]",
               symbol_key if view.has_dso else symbol_key_alone,
               lambda e, w: "-      -".ljust(w), None, id="ipc"),
        Column("time", "Time", lambda e: e.time, time_text,
               lambda e: 16 if view.nanoseconds else 12, needs=("time",)),
        Column("code_page_size", "Code Page Size", lambda e: e.code_page_size,
               lambda e, w: page_size(e.code_page_size).ljust(w), lambda e: 6,
               needs=("code_page_size",)),
        Column("local_ins_lat", "Local INSTR Latency", lambda e: -e.ins_lat,
               lambda e, w: f"{e.ins_lat:<{w}d}", lambda e: 13, needs=("weight",)),
        Column("ins_lat", "INSTR Latency", lambda e: -e.ins_lat,
               lambda e, w: f"{e.ins_lat * e.count:<{w}d}", lambda e: 13, needs=("weight",)),
        Column("local_p_stage_cyc", "Local Pipeline Stage Cycle", None, None),
        Column("p_stage_cyc", "Pipeline Stage Cycle", None, None),
        Column("addr", "Address", lambda e: signed(real_ip(e)), address_text,
               lambda e: UNRESOLVED + 2, needs=("address",)),
    ]  # fmt: skip

    def side(name, get_place, get):
        return lambda e: get(get_place(e)) if e.branch else name

    def branch_dso(place):
        return dso_backwards(place.map)

    def branch_symbol(place):
        if place.symbol is None:
            return (1, signed(place.raw), 0, "")
        return symbol_order(place.symbol, place.raw)

    def branch_width(place):
        # perf measures a name only if the symbol is known.
        if place.symbol is not None:
            return len(dso_name(place.map))
        return UNRESOLVED if alone else 0

    def flag(which):
        def order(entry):
            return entry.branch.flags & which if entry.branch else -1

        return order

    def mispredict(entry, width):
        out = "N/A"
        if entry.branch:
            out = "N" if entry.branch.flags & 2 else "Y" if entry.branch.flags & 1 else "N/A"
        return clip(out, width)

    def cycles(branch):
        return branch.flags >> 4 & 0xFFFF

    def cycles_text(entry, width):
        if not entry.branch:
            return "N/A"[:width]
        return (str(cycles(entry.branch)) if cycles(entry.branch) else "-").ljust(width)

    branch = []
    for end, title in (("from", "Source"), ("to", "Target")):

        def of(entry, end=end):
            return getattr(entry.branch, end)

        def place_text(entry, width, of=of, offset=False):
            if not entry.branch:
                return missing(entry, width)
            p = of(entry)
            level = entry.level if offset else p.level
            return symbol_text(p.map, p.symbol, p.address, level, width, offset)

        branch += [
            Column(f"dso_{end}", f"{title} Shared Object", lambda e, of=of: branch_dso(of(e)),
                   lambda e, w, of=of: dso_text(of(e).map, w),
                   lambda e, of=of: branch_width(of(e))),
            Column(f"symbol_{end}", f"{title} Symbol", lambda e, of=of: branch_symbol(of(e)),
                   place_text, lambda e, of=of: symbol_width(of(e).symbol)),
            Column(f"srcline_{end}", f"{'From' if end == 'from' else 'To'} Source:Line",
                   lambda e, of=of: of(e).srcline(view), lambda e, w, of=of: clip(
                       of(e).srcline(view), w), lambda e, of=of: len(of(e).srcline(view))),
            Column(f"addr_{end}", f"{title} Address",
                   lambda e, of=of: (branch_dso(of(e)), signed(of(e).raw)),
                   lambda e, w, f=place_text: f(e, w, offset=True),
                   lambda e, of=of: 0 if of(e).symbol else symbol_width(None)),
        ]  # fmt: skip
    branch += [
        Column("mispredict", "Branch Mispredicted", flag(3), mispredict, None),
        Column("in_tx", "Branch in transaction", flag(4),
               lambda e, w: ("T" if e.branch.flags & 4 else ".").ljust(w), None),
        Column("abort", "Transaction abort", flag(8),
               lambda e, w: ("A" if e.branch.flags & 8 else ".").ljust(w), None),
        Column("cycles", "Basic Block Cycles", lambda e: -cycles(e.branch), cycles_text, None),
        Column("ipc_lbr", "IPC   [IPC Coverage]",
               symbol_key if view.has_dso else symbol_key_alone,
               lambda e, w: ("-" if e.symbol is None else "0.00  [  0.0%]").ljust(w), None,
               id="ipc"),
    ]  # fmt: skip
    order = ("dso_from", "dso_to", "symbol_from", "symbol_to", "mispredict", "abort", "in_tx",
             "cycles", "srcline_from", "srcline_to", "ipc_lbr", "addr_from", "addr_to")  # fmt: skip
    by_name = {column.name: column for column in branch}
    branch = [by_name[name] for name in order]

    def data_text(get):
        def text(entry, width):
            place = get(entry)
            return symbol_text(place.map, place.symbol, place.raw, entry.level, width)

        return text

    def data_width(get):
        def width(entry):
            symbol = get(entry).symbol
            plain = UNRESOLVED + 4 + 2
            return plain if symbol is None else len(name_of(symbol)) + 4 + UNRESOLVED + 2

        return width

    def bits(name, low, count, title, width, text):
        # perf keeps these as fields of one word, and orders them as numbers.
        return Column(name, title, lambda e: e.mem.source >> low & (1 << count) - 1,
                      lambda e, w: text(e.mem.source).ljust(w), lambda e: width)  # fmt: skip

    def phys(entry, width):
        text = f"[{entry.level}] " + hexadecimal(entry.mem.physical)
        return text.ljust(width)[:width]

    def line_text(entry, width):
        place = entry.mem.data
        level = entry.level
        if place.map is None:
            level = "X"
        elif entry.cpumode != 1 and not place.map.prot & 4 and place.map.flags & 1:
            level = "s"
        return symbol_text(place.map, place.symbol, place.address & ~63, level, width)

    def line_order(entry):
        place = entry.mem.data
        return (entry.cpumode, place.map is not None, place.address & ~63)

    memory = [
        Column("symbol_daddr", "Data Symbol", lambda e: signed(e.mem.data.raw),
               data_text(lambda e: e.mem.data), data_width(lambda e: e.mem.data)),
        Column("dso_daddr", "Data Object", lambda e: dso_backwards(e.mem.data.map),
               lambda e, w: dso_text(e.mem.data.map, w),
               lambda e: len(dso_name(e.mem.data.map)) if e.mem.data.map
               else UNRESOLVED if alone else 0),
        bits("locked", 24, 2, "Locked", 6, lock_text),
        bits("tlb", 26, 7, "TLB access", 22, tlb_text),
        bits("mem", 5, 14, "Memory access", 24, level_text),
        bits("snoop", 19, 5, "Snoop", 12, snoop_text),
        Column("dcacheline", "Data Cacheline", line_order, line_text,
               lambda e: data_width(lambda e: e.mem.data)(e) + bool(e.mem.data.symbol)),
        Column("symbol_iaddr", "Code Symbol", lambda e: signed(e.mem.code.raw),
               data_text(lambda e: e.mem.code), data_width(lambda e: e.mem.code)),
        Column("phys_daddr", "Data Physical Address", lambda e: signed(e.mem.physical), phys,
               lambda e: UNRESOLVED + 4 + 2),
        Column("data_page_size", "Data Page Size", lambda e: e.mem.page_size,
               lambda e, w: page_size(e.mem.page_size).ljust(w), lambda e: UNRESOLVED + 4 + 2),
        bits("blocked", 40, 3, "Blocked", 10, blocked_text),
    ]  # fmt: skip
    found = {}
    for kind, columns in (("common", common), ("branch", branch), ("memory", memory)):
        for column in columns:
            column.kind = kind
            found[column.name] = column
    return found


def origin_of(dso) -> str:
    """perf's letter for where a dso's symbols are from (dso__symtab_origin)."""
    symbols = dso.symbols
    if symbols is None or not len(symbols.table):
        return "!"
    if dso.kind in ("kernel", "guest_kernel"):
        return "k" if dso.kind == "kernel" else "g"
    file = symbols.symbol_file or ""
    if file.endswith("/elf") or "/.debug/" in file:
        return "B"
    if "/.build-id/" in file:
        return "b"
    if file.endswith(".debug"):
        return "f" if file.startswith("/usr/lib/debug") else "l"
    return "d"


def page_size(size: int) -> str:
    """perf's name of a page size: 4K, 2M."""
    if not size:
        return "N/A"
    unit = 0
    while size >= 1024 and unit < 5:
        size //= 1024
        unit += 1
    return f"{size}{'BKMGTP'[unit]}" if unit else f"{size}B"


TRANSACTION_BITS = (
    (1, "EL "), (2, "TX "), (4, "SYNC "), (8, "ASYNC "), (16, "RETRY "), (32, "CON "),
    (64, "CAP-WRITE "), (128, "CAP-READ "),
)  # fmt: skip


def transaction_text(value: int) -> str:
    text = "".join(name for bit, name in TRANSACTION_BITS if value & bit)
    if value and not value & 12:
        text += "NEITHER "
    if value >> 32:
        text += f":{value >> 32:x}"
    return text


# perf_mem_data_src (include/uapi/linux/perf_event.h): op 5 bits, lvl 14, snoop 5, lock 2, dtlb 7,
# lvl_num 4, remote 1, snoopx 2, blk 3, hops 3.
LEVELS = (
    "N/A", "HIT", "MISS", "L1", "LFB/MAB", "L2", "L3", "Local RAM", "Remote RAM (1 hop)",
    "Remote RAM (2 hops)", "Remote Cache (1 hop)", "Remote Cache (2 hops)", "I/O", "Uncached",
)  # fmt: skip
LEVEL_NUMBERS = {
    9: "CXL", 10: "I/O", 11: "Any cache", 12: "LFB/MAB", 13: "RAM", 14: "PMEM", 15: "N/A",
}  # fmt: skip
SNOOPS = ("N/A", "None", "Hit", "Miss", "HitM")
SNOOPS_MORE = ("Fwd", "Peer")
TLBS = ("N/A", "HIT", "MISS", "L1", "L2", "Walker", "Fault")
HOPS = ("N/A", "core, same node", "node, same socket", "socket, same board", "board")


def named(value: int, names) -> str:
    return " or ".join(name for bit, name in enumerate(names) if value >> bit & 1)


def hit_or_miss(value: int) -> str:
    return (" hit" if value & 2 else "") + (" miss" if value & 4 else "")


def level_text(source: int) -> str:
    level = source >> 5 & 0x3FFF
    number, remote, hops = source >> 33 & 15, source >> 37 & 1, source >> 43 & 7
    text = "Remote " if remote else ""
    printed = ""
    if hops:
        text += HOPS[hops] + " " if hops < len(HOPS) else ""
    else:
        printed = named(level & ~6, LEVELS)
    if number:
        name = LEVEL_NUMBERS.get(number, f"L{number}")
        printed += (" or " if printed else "") + name
    text += printed
    return (text or "N/A") + hit_or_miss(level)


def snoop_text(source: int) -> str:
    names = [named(source >> 19 & 31, SNOOPS), named(source >> 38 & 3, SNOOPS_MORE)]
    return " or ".join(name for name in names if name) or "N/A"


def lock_text(source: int) -> str:
    lock = source >> 24 & 3
    return "N/A" if lock & 1 else "Yes" if lock & 2 else "No"


def tlb_text(source: int) -> str:
    tlb = source >> 26 & 127
    return (named(tlb & ~6, TLBS) or "N/A") + hit_or_miss(tlb)


def blocked_text(source: int) -> str:
    blocked = source >> 40 & 7
    if not blocked or blocked & 1:
        return " N/A"
    return (" Data" if blocked & 2 else "") + (" Addr" if blocked & 4 else "")


# --- setting up


class Columns(Record, mutable=True):
    """What is shown and what is sorted by, in their orders; and what that asks of samples."""

    fields: list
    sorts: list
    has: frozenset = frozenset()
    """Sort keys that decide how others work: comm, dso, symbol, parent, socket, pid."""

    @property
    def collapses(self) -> bool:
        return "comm" in self.has

    @property
    def needs(self) -> set[str]:
        return {need for column in self.sorts if not column.number for need in column.needs}

    @property
    def keys(self) -> list:
        """The sort keys among `sorts`."""
        return [column for column in self.sorts if not column.number]


def default_sort(view: View, events) -> str:
    """The sort order without --sort. Files of tracepoints alone have their own."""
    if events and all(event.attr.type == 2 for event in events):
        view.mode = "tracepoint"
        if view.raw_trace:
            return "trace_fields"
    return DEFAULTS[view.mode]


def find(token: str, view: View, table: dict, number: dict):
    """The column that a key or its beginning names. Raises KeyError or ValueError."""
    wanted = token.lower()
    for kind in ("common", "number", "branch", "memory"):
        if kind == "number":
            for name, column in number.items():
                if name.startswith(wanted):
                    return column
            continue
        for name, column in table.items():
            if column.kind != kind or not name.startswith(wanted):
                continue
            if kind != "common" and view.mode != kind:
                raise ValueError(token)
            return column
    raise KeyError(token)


ARCHITECTURES = ("local_p_stage_cyc", "p_stage_cyc")
"""Keys that perf leaves out but on other architectures."""


def set_up(view: View, events=()) -> Columns:
    """The columns of a view. Raises SortError. (setup_sorting of util/sort.c)"""
    order, fields = view.sort, view.fields
    strict = fields is not None and not fields.startswith("+")
    if order is not None and order.startswith("+"):
        if order == "+":
            raise SortError("Invalid --sort key: `+'", "sort")
        order = f"{default_sort(view, events)},{order[1:]}"
    if order is None:
        text = "" if strict else default_sort(view, events)
    else:
        text = order
    if not strict and view.mode != "diff":
        if "overhead" not in text:
            text = f"overhead,{text}"
        if view.children and "overhead_children" not in text:
            text = f"overhead_children,{text}"
    view.has_dso = False
    for _ in range(2):  # whether there is a dso key decides how symbols compare
        table, number = keys(view), numbers(view)
        sorts, has = [], set()
        for token in re.split("[{}, ]", text):
            if token:
                take(sorts, has, token, "sort", view, table, number, events)
        view.has_dso = "dso" in has
    if view.parent is not None:
        take(sorts, has, "parent", "sort", view, table, number)
    shown = []
    if view.mode != "diff" and not strict:
        shown = starting(view, number)
    if fields is not None:
        if not fields.removeprefix("+"):
            raise SortError("Invalid --fields key: `+'", "fields")
        for token in re.split("[, ]", fields.removeprefix("+")):
            if token:
                take(shown, set(), token, "fields", view, table, number)
    for column in sorts:
        if column not in shown:
            shown.append(column)
    for column in shown:
        if column not in sorts:
            sorts.append(column)
    return Columns(shown, sorts, frozenset(has))


def starting(view: View, number) -> list:
    """The numbers that every report begins with."""
    names = ["overhead"]
    if view.children:
        names = ["overhead_children", "overhead"]
        number["overhead"].header = "Self"
    if view.show_utilization:
        names += ["overhead_sys", "overhead_us"]
        if view.guest:
            names += ["overhead_guest_sys", "overhead_guest_us"]
    if view.show_samples:
        names.append("sample")
    if view.show_period:
        names.append("period")
    return [number[name] for name in names]


def fields_named(token: str, view: View, events) -> list[FieldColumn]:
    """The tracepoint fields that a key names: FIELD, EVENT.FIELD, EVENT.* or trace_fields, perhaps
    with /raw. (add_dynamic_entry of util/sort.c)"""
    token, _, option = token.partition("/")
    raw = view.raw_trace or option == "raw"
    if option not in ("", "raw"):
        return []
    wanted, dot, name = token.rpartition(".")
    chosen = [event for event in events if event.index in view.formats]
    if dot:
        chosen = [
            event for event in chosen
            if (event.name == wanted if ":" in wanted else wanted in event.name)
        ][:1]  # fmt: skip
    found = []
    for event in chosen:
        for field in view.formats[event.index].values():
            every = name in ("*", "trace_fields") and not field.name.startswith("common_")
            if every or field.name == name:
                found.append(FieldColumn(event, field, raw))
    return found


def take(columns: list, has: set, token: str, option: str, view, table, number, events=()):
    if option == "sort" and token in ARCHITECTURES:
        return
    try:
        column = find(token, view, table, number)
    except ValueError:
        raise SortError(f"Invalid --{option} key: `{token}'", option) from None
    except KeyError:
        named = fields_named(token, view, events) if option == "sort" else []
        if named:
            columns += named
            return
        raise SortError(f"Unknown --{option} key: `{token}'", option) from None
    if column.order is None and not column.number:
        raise SortError(f"Invalid --{option} key: `{token}'", option)
    if column in columns:
        return
    columns.append(column)
    if column.name in ("parent", "symbol", "dso", "socket", "pid", "comm"):
        has.add(column.name)
    elif column.name in ("symbol_from", "symbol_to", "symbol_daddr"):
        has.add("symbol")
