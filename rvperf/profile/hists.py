"""Histograms of samples: entries by sort keys, with callers' shares and callchains.

The steps and their oddities are those of tools/perf/util/hist.c, since the same file has to give
the same rows: an entry is what its first sample was, and later ones only add to it. Samples that
are alike in all that matters are taken together, so the work depends on how many kinds there are.
"""

import re
from functools import cmp_to_key

import numpy as np

from rvperf.perfdata import records
from rvperf.perfdata.attr import SAMPLE
from rvperf.perfdata.distinct import distinct
from rvperf.perfdata.records import RecordError
from rvperf.profile import callchains, selection
from rvperf.profile.callchains import Place, Runs
from rvperf.profile.machine import Map
from rvperf.profile.samples import sums
from rvperf.profile.sortkeys import Columns, View, disguise, name_of

(
    FILTER_DSO, FILTER_THREAD, FILTER_PARENT, FILTER_SYMBOL, FILTER_GUEST, FILTER_HOST,
    FILTER_SOCKET,
) = (1 << n for n in range(7))  # fmt: skip
LEVELS = {records.KERNEL: "k", records.USER: "."}
GUEST_LEVELS = {records.GUEST_KERNEL: "g", records.GUEST_USER: "u"}


class Side:
    """One end of a branch, or the data or code of a memory access."""

    __slots__ = ("raw", "address", "map", "symbol", "level", "_srcline")

    def __init__(self, raw, address, map, symbol, level):
        self.raw, self.address, self.map, self.symbol = raw, address, map, symbol
        self.level = level
        self._srcline = None

    def srcline(self, view) -> str:
        if self._srcline is None:
            self._srcline = srcline_of(self.map, self.address, self.symbol, view)
        return self._srcline


class BranchInfo:
    """A branch taken: `origin` and `to`, and the record's flags."""

    __slots__ = ("origin", "to", "flags")

    def __init__(self, origin, to, flags):
        self.origin, self.to, self.flags = origin, to, flags


setattr(BranchInfo, "from", property(lambda self: self.origin))


class MemoryInfo:
    """A memory access: where its code and its data are, and perf_mem_data_src."""

    __slots__ = ("code", "data", "source", "physical", "page_size")

    def __init__(self, code, data, source, physical, page_size):
        self.code, self.data, self.source = code, data, source
        self.physical, self.page_size = physical, page_size


class Entry:
    """A row. `period` and `count` are its own samples', `acc` and `acc_count` also those of what
    it calls. `map`, `symbol`, `ip` (the address in the dso) and the rest are its first sample's."""

    __slots__ = (
        "event", "thread", "comm", "map", "symbol", "ip", "level", "cpumode", "cpu", "socket",
        "time", "weight", "ins_lat", "transaction", "code_page_size", "branch", "mem", "raw",
        "parent", "filtered", "period", "period_sys", "period_us", "period_guest_sys",
        "period_guest_us", "count", "acc", "acc_count", "runs", "depth", "pairs", "dummy", "view",
        "_srcline", "_srcfile", "_trace", "chain", "address",
    )  # fmt: skip

    def __init__(self, view, event, thread, comm, map, symbol, ip, level, cpumode):
        self.view, self.event, self.thread, self.comm = view, event, thread, comm
        self.map, self.symbol, self.ip = map, symbol, ip
        self.level, self.cpumode = level, cpumode
        self.cpu = self.socket = -1
        self.time = self.weight = self.ins_lat = self.transaction = self.code_page_size = 0
        self.branch = self.mem = self.raw = self.parent = None
        self.filtered = 0
        self.period = self.period_sys = self.period_us = 0
        self.period_guest_sys = self.period_guest_us = 0
        self.count = self.acc = self.acc_count = 0
        self.runs: Runs | None = None
        self.depth = 0
        self.pairs: dict[int, Entry] = {}
        self.dummy = False
        self._srcline = self._srcfile = self._trace = None
        self.chain: list | None = None
        self.address = ip
        """In the dso. perf keeps a caller's ip as it is, which no source line belongs to."""

    @property
    def srcline(self) -> str:
        if self._srcline is None:
            self._srcline = srcline_of(self.map, self.address, self.symbol, self.view)
        return self._srcline

    @property
    def srcfile(self) -> str:
        if self._srcfile is None:
            self._srcfile = srcfile_of(self.map, self.address, self.view)
        return self._srcfile

    @property
    def trace(self) -> str:
        if self._trace is None:
            self._trace = trace_of(self)
        return self._trace

    def copy(self) -> "Entry":
        other = Entry.__new__(Entry)
        for name in Entry.__slots__:
            setattr(other, name, getattr(self, name))
        other.pairs = {}
        return other


def srcline_of(map_: Map | None, address: int, symbol, view) -> str:
    """perf's text for a source line: file:line, or symbol+offset where there is none."""
    if map_ is None:
        return "??:0"
    symbols = map_.dso.symbols
    if symbols is not None and not map_.dso.name.startswith(("[", "/tmp/perf-")):
        found = symbols.lines(address)
        if found:
            file = found[0].file or "??"
            name = file if view.full_path else file.rsplit("/", 1)[-1]
            return f"{disguise(name)}:{found[0].line}"
    if symbol is not None:
        return f"{name_of(symbol)}+{address - symbol.start}"
    found = symbols.objdump_address(address) if symbols is not None else address
    return f"{disguise(map_.dso.short_name)}[{found:x}]"


def srcfile_of(map_: Map | None, address: int, view) -> str:
    """The file of a source line; empty if it isn't known."""
    if map_ is None:
        return ""
    text = srcline_of(map_, address, None, view)
    return "" if text == "??:0" else text.partition(":")[0] if ":" in text else ""


def trace_of(entry: Entry) -> str:
    """What a tracepoint says, as its print fmt has it."""
    event, formatter = entry.event
    if event.attr.type != 2:
        return "N/A"
    if entry.raw is None or formatter is None:
        return ""
    return disguise(formatter(entry.raw))


class Hists:
    """The entries of one event.

    `entries` are those to be shown, in their order; `total` is what a share is a share of.
    """

    def __init__(self, event, view: View, columns: Columns):
        self.event, self.view, self.columns = event, view, columns
        self.keys = [c for c in columns.keys if c.only in (None, event.index)]
        self.found: dict[tuple, Entry] = {}
        self.entries: list[Entry] = []
        self.samples = self.samples_shown = 0
        self.sampled = self.sampled_shown = 0
        """Periods of all samples, and of those that no filter of their own leaves out."""
        self.period = self.period_shown = 0
        self.chain_period = self.chain_period_shown = 0
        self.least: int | None = None
        """Callchains of less than this are left out; None for all."""
        self.members = 1
        self.forced = False
        self.group: list[Hists] = []
        """For a group's leader: its other members."""
        self.widths: dict[str, int] = {}

    @property
    def total(self) -> int:
        return self.period_shown if self.view.relative else self.period

    def key(self, entry: Entry) -> tuple:
        return tuple([column.order(entry) for column in self.keys])

    # --- collapse and sort

    def filter_late(self, text: str) -> None:
        """--symbol-filter: applied when entries are collapsed."""
        for entry in self.found.values():
            if entry.symbol is None or text not in entry.symbol.name:
                entry.filtered |= FILTER_SYMBOL

    def filter_socket(self, socket: int) -> None:
        for entry in self.found.values():
            if entry.socket != socket:
                entry.filtered |= FILTER_SOCKET

    def collapse(self) -> None:
        """Join entries whose keys are the same by name, as for files of different programs."""
        found: dict[tuple, Entry] = {}
        for _, entry in sorted(self.found.items(), key=lambda one: one[0]):
            key = tuple([column.sort(entry) for column in self.columns.keys])
            first = found.setdefault(key, entry)
            if first is not entry:
                first.period += entry.period
                first.count += entry.count
        self.found = found

    def link(self, member: "Hists") -> None:
        """Join the entries of a group's member to those here."""
        for key, pair in member.found.items():
            entry = self.found.get(key)
            if entry is None:
                entry = pair.copy()
                entry.event = (self.event, entry.event[1])
                entry.dummy = True
                entry.period = entry.count = entry.acc = entry.acc_count = 0
                entry.period_sys = entry.period_us = 0
                entry.period_guest_sys = entry.period_guest_us = 0
                entry.depth = 0
                entry.runs = Runs() if pair.runs is not None else None
                self.found[key] = entry
            entry.pairs[member.event.index] = pair

    def settle(self, chains: bool) -> None:
        """Sort the entries, add them up, and measure the columns."""
        for entry in self.found.values():
            self.period += entry.period
            if not entry.filtered:
                self.period_shown += entry.period
        self.entries = [entry for _, entry in sorted(self.found.items(), key=lambda one: one[0])]
        for column in reversed(self.columns.sorts):
            if column.elided or column.only not in (None, self.event.index):
                continue
            if not column.number:
                self.entries.sort(key=column.sort)
            elif column.accumulated:
                self.sort_accumulated(column)
            else:
                self.sort_number(column)
        self.measure()
        if chains:
            base = self.chain_period_shown if self.view.relative else self.chain_period
            self.least = int(base * (self.view.chain_percent / 100))

    def sort_number(self, column) -> None:
        get = column.get
        if not self.group:
            self.entries.sort(key=lambda entry: -get(entry))
            return
        indices = [member.event.index for member in self.group]

        def values(entry):
            found = [-get(entry)]
            for index in indices:
                pair = entry.pairs.get(index)
                found.append(-get(pair) if pair is not None else 0)
            chosen = self.view.group_index
            if 1 <= chosen < len(found):
                found = [found[chosen], *found[1:]]
            return found

        self.entries.sort(key=values)

    def sort_accumulated(self, column) -> None:
        """By what entries and those below them have; of equals a caller comes first."""
        if not self.view.children:
            return
        if not self.view.callchains or len({id(e.thread) for e in self.entries}) > 1:
            sign = 1 if self.view.caller_first else -1

            def compare(a, b):
                if a.acc != b.acc:
                    return 1 if a.acc < b.acc else -1
                if a.thread is not b.thread or not self.view.callchains:
                    return 0
                return (b.depth - a.depth) * sign

            self.entries.sort(key=cmp_to_key(compare))
            return
        sign = -1 if self.view.caller_first else 1
        self.entries.sort(key=lambda entry: (-entry.acc, sign * entry.depth))

    def measure(self) -> None:
        shown = [entry for entry in self.entries if not entry.filtered]
        for column in self.columns.fields:
            if column.number or column.only not in (None, self.event.index):
                continue
            width = self.widths.get(column.id, 0)
            if column.measure is not None and shown:
                width = max(width, max(map(column.measure, shown)))
            self.widths[column.id] = max(width, len(column.header))

    def chains(self, entry: Entry) -> list:
        """The callchains of an entry, as nodes in the order in which they are printed."""
        if entry.chain is None:
            if entry.runs is None or self.least is None:
                entry.chain = []
                return entry.chain
            mode = self.view.chain_mode
            if mode != "fractal" and max(entry.acc, entry.period) < self.least:
                entry.chain = []
                return entry.chain
            least = callchains.absolute(self.least)
            if mode == "fractal":
                least = callchains.relative(self.view.chain_percent / 100.0)
            flat = mode in ("flat", "folded")
            root = callchains.nodes(entry.runs, least, not flat)
            found = callchains.flat(root, self.least) if flat else root.children
            entry.chain = found
        return entry.chain


# --- filling


class Samples:
    """Columns of a profile's samples that histograms need, made when they are asked for."""

    def __init__(self, profile):
        self.profile = profile
        self._rest: dict[str, np.ndarray] = {}

    def symbols(self, maps, addresses) -> np.ndarray:
        """The index (in its dso) of the symbol at each address of each map; -1 for none."""
        profile = self.profile
        found = np.full(len(maps), -1, np.int64)
        if not len(profile.maps):
            return found
        dso_of = np.array([one.dso.index for one in profile.maps] + [-1], np.int64)
        dsos = dso_of[maps]
        present = np.unique(dsos)
        for index in present.tolist():
            symbols = profile.dsos[index].symbols if index >= 0 else None
            if symbols is None:
                continue
            mine = slice(None) if len(present) == 1 else np.flatnonzero(dsos == index)
            found[mine] = symbols.symbols_of(addresses[mine])
        return found

    def decoded(self, name: str) -> np.ndarray:
        """A field that is not at a fixed place in samples."""
        if name not in self._rest:
            values = []
            for number in self.profile.record.tolist():
                try:
                    value = getattr(self.profile.reader.record(number), name) or 0
                except RecordError:
                    value = 0
                values.append(value)
            self._rest[name] = np.array(values, np.uint64)
        return self._rest[name]


class Filler:
    """Puts samples into histograms."""

    def __init__(self, profile, view: View, columns: Columns, formatters=None):
        self.profile, self.view, self.columns = profile, view, columns
        self.samples = Samples(profile)
        self.hists = [Hists(event, view, columns) for event in profile.events]
        self.formatters = formatters or {}
        self.raw_of: np.ndarray | None = None
        self.parent_pattern = None
        if "parent" in columns.has:
            from rvperf.profile.sortkeys import DEFAULT_PARENT

            self.parent_pattern = re.compile(view.parent or DEFAULT_PARENT)
        self.odd = bool(columns.needs & {"time", "weight", "transaction", "code_page_size"}) or any(
            column.name == "socket" for column in columns.sorts
        )
        self.follows = "symbol" in columns.has
        """A row's map is that of its last sample."""
        self.callers: dict[tuple, dict] = {}
        self.callees = re.compile(view.ignore_callees) if view.ignore_callees else None
        combined = 0
        for event in profile.events:
            combined |= event.attr.sample_type
        self.with_chains = bool(combined & SAMPLE.CALLCHAIN) and (
            view.callchains or view.children or self.parent_pattern is not None
        )
        self.sockets = sockets_of(profile.reader)

    # --- choosing and grouping samples

    def chosen(self) -> np.ndarray | None:
        """Which samples are looked at; None for all."""
        profile, view = self.profile, self.view
        mask = None
        if view.times is not None:
            mask = selection.in_time(profile, view.times)
        if view.cpus is not None:
            inside = np.isin(profile.cpu, np.array(view.cpus, np.uint32))
            mask = inside if mask is None else mask & inside
        return mask

    def fill(self) -> list[Hists]:
        """The histograms of all events, in their order."""
        profile, view = self.profile, self.view
        if not len(profile):
            return self.hists
        self.spot_symbol = self.samples.symbols(profile.spot_map, profile.spot_address)
        mask = self.chosen()
        if view.hide_unresolved:
            resolved = (self.spot_symbol >= 0)[profile.spot]
            mask = resolved if mask is None else mask & resolved
        self.modes, self.ips = profile.cpumode, profile.ip
        self.picked = None if mask is None else np.flatnonzero(mask)
        if view.mode == "branch":
            self.fill_branches()
        else:
            self.fill_samples()
        return self.hists

    def pick(self, column: np.ndarray) -> np.ndarray:
        return column if self.picked is None else column[self.picked]

    def group_columns(self) -> list[np.ndarray]:
        """What samples must agree in to be taken together."""
        profile, view, needs = self.profile, self.view, self.columns.needs
        symbol, address = self.spot_symbol, profile.spot_address
        exact = "address" in needs or view.mode == "memory"
        modes = self.modes[profile.spots]
        if exact:
            _, place = distinct([modes, profile.spot_map, address])
        else:
            named = symbol >= 0
            where = np.where(named, symbol.astype(np.uint64), address)
            _, place = distinct([modes, profile.spot_map, where, named])
        columns = [profile.event, profile.thread, profile.comm, place[profile.spot]]
        if "cpu" in needs or view.socket >= 0:
            columns.append(profile.cpu)
        if "time" in needs:
            columns.append(profile.time // np.uint64(max(1, view.time_quantum)))
        for name in ("weight", "transaction", "code_page_size"):
            if name in needs:
                columns.append(self.samples.decoded(name))
        if view.mode == "memory":
            columns.append(profile.addr)
            columns += [self.samples.decoded(name) for name in ("data_src", "weight")]
        if "raw" in needs:
            columns.append(self.raw_column())
        columns = [self.pick(column) for column in columns]
        if self.with_chains:
            columns.append(self.chain_column())
        return columns

    def raw_column(self) -> np.ndarray:
        """Numbers of the different raw data of samples."""
        seen: dict[bytes, int] = {}
        self.raws: list[bytes | None] = []
        out = np.zeros(len(self.profile), np.int64)
        for place, number in enumerate(self.profile.record.tolist()):
            try:
                raw = self.profile.reader.record(number).raw or b""
            except RecordError:
                raw = b""
            known = seen.get(raw)
            if known is None:
                known = seen[raw] = len(self.raws)
                self.raws.append(raw)
            out[place] = known
        self.raw_of = out
        return out

    def chain_column(self) -> np.ndarray:
        self.chains = Chains(self)
        return self.pick(self.chains.number)

    def fill_samples(self) -> None:
        profile, view = self.profile, self.view
        first, kind = distinct(self.group_columns())
        counts = np.bincount(kind, minlength=len(first))
        period = profile.fixed_period
        if period is not None:
            periods = counts.astype(np.uint64) * np.uint64(period)
        else:
            periods = sums(kind, self.pick(profile.period), len(first))
        samples = first if self.picked is None else self.picked[first]
        cumulative = view.children and view.mode != "memory"
        for index, count, period in zip(
            samples.tolist(), counts.tolist(), periods.tolist(), strict=True
        ):
            template = self.template(index)
            chain, parent = (), None
            if self.with_chains:
                number = int(self.chains.number[index])
                if number >= 0:
                    chain, parent, root = self.chains.places(number)
                    if root is not None:
                        template.map, template.symbol = root.map, root.symbol
                        template.ip = self.chains.addresses[root.index]
                        template.level, template.cpumode = root.level, root.cpumode
            template.parent = parent
            if view.exclude_other and parent is None:
                template.filtered |= FILTER_PARENT
            if view.mode == "memory":
                period = count * (template.weight or 1)
            self.add(template, chain, count, period, cumulative, self.with_chain(index))

    def with_chain(self, index: int) -> bool:
        return self.with_chains and int(self.chains.number[index]) >= 0

    def template(self, index: int) -> Entry:
        """An entry for a sample."""
        profile, view = self.profile, self.view
        thread, comm = profile.who(index)
        if thread.first_comm is not None and comm == f":{thread.tid}":
            comm = thread.first_comm
        spot = int(profile.spot[index])
        number = int(profile.spot_map[spot])
        map_ = profile.maps[number] if number >= 0 else None
        symbol_number = int(self.spot_symbol[spot])
        symbol = map_.dso.symbols.symbol_at(symbol_number) if symbol_number >= 0 else None
        mode = int(self.modes[index])
        event = profile.events[profile.event[index]]
        entry = Entry(
            view, (event, self.formatters.get(event.index)), thread, comm, map_, symbol,
            int(profile.spot_address[spot]), self.level(mode), mode,
        )  # fmt: skip
        entry.filtered = self.filters(entry)
        needs = self.columns.needs
        if "cpu" in needs or view.socket >= 0:
            has_cpu = event.attr.sample_type & SAMPLE.CPU
            entry.cpu = int(profile.cpu[index]) if has_cpu else -1
            entry.socket = self.sockets.get(entry.cpu, -1)
        if "time" in needs:
            entry.time = int(profile.time[index])
            if view.time_quantum:
                entry.time -= entry.time % view.time_quantum
        if "weight" in needs or view.mode == "memory":
            weight = int(self.samples.decoded("weight")[index])
            if event.attr.sample_type & SAMPLE.WEIGHT_STRUCT:
                entry.weight, entry.ins_lat = weight & 0xFFFFFFFF, weight >> 32 & 0xFFFF
            else:
                entry.weight = weight
        for name in ("transaction", "code_page_size"):
            if name in needs:
                setattr(entry, name, int(self.samples.decoded(name)[index]))
        if "raw" in needs:
            if self.raw_of is None:
                self.raw_column()
            entry.raw = self.raws[self.raw_of[index]]
        if view.mode == "memory":
            entry.mem = self.memory(index, entry)
        return entry

    def level(self, mode: int) -> str:
        if self.profile.world.guest and mode in GUEST_LEVELS:
            return GUEST_LEVELS[mode]
        return LEVELS.get(mode, "H") if self.profile.host else "H"

    def filters(self, entry: Entry) -> int:
        """The reasons not to show a sample (machine__resolve of util/event.c)."""
        view, found = self.view, 0
        if entry.level == "H" and entry.cpumode in GUEST_LEVELS:
            found |= FILTER_GUEST
        if entry.level == "H" and entry.cpumode in LEVELS and not self.profile.host:
            found |= FILTER_HOST
        if view.comms is not None and entry.comm not in view.comms:
            found |= FILTER_THREAD
        if view.pids is not None and entry.thread.pid not in view.pids:
            found |= FILTER_THREAD
        if view.tids is not None and entry.thread.tid not in view.tids:
            found |= FILTER_THREAD
        if view.dsos is not None:
            dso = entry.map.dso if entry.map is not None else None
            if dso is None or not (dso.short_name in view.dsos or dso.name in view.dsos):
                found |= FILTER_DSO
        if view.symbols is not None and not self.named(entry, view.symbols):
            found |= FILTER_SYMBOL
        return found

    @staticmethod
    def named(entry: Entry, names) -> bool:
        symbol = entry.symbol
        if symbol is None:
            return False
        return symbol.name in names or f"{entry.map.ip(symbol.start):#x}" in names

    def memory(self, index: int, entry: Entry) -> MemoryInfo:
        profile = self.profile
        try:
            sample = profile.reader.record(int(profile.record[index]))
        except RecordError:
            sample = records.Sample()
        code = self.side(index, int(self.ips[index]))
        data = self.side(index, sample.addr, entry.cpumode)
        return MemoryInfo(code, data, sample.data_src, sample.phys_addr, sample.data_page_size)

    def side(self, index: int, ip: int, mode: int | None = None) -> Side:
        """Where an address is for the thread of a sample."""
        frame = self.profile.locate(index, ip, mode)
        level = self.level(frame.cpumode)
        if frame.map is None:
            if mode is None:
                level = self.level(records.GUEST_KERNEL)
            return Side(ip, ip, None, None, level)
        symbols = frame.map.dso.symbols
        symbol = symbols.symbol(frame.address) if symbols is not None else None
        return Side(ip, frame.address, frame.map, symbol, level)

    # --- adding

    def add(self, entry, chain, count, period, cumulative, has_chain) -> Entry:
        """Count a kind of samples, for itself and, if asked, for its callers."""
        view = self.view
        hists = self.hists[entry.event[0].index]
        key = hists.key(entry)
        found = hists.found.get(key)
        filtered = entry.filtered
        if found is None:
            found = hists.found[key] = entry
            if view.callchains:
                found.runs = Runs()
        elif self.follows and found.map is not entry.map:
            found.map = entry.map
        found.period += period
        found.count += count
        if entry.cpumode == records.KERNEL:
            found.period_sys += period
        elif entry.cpumode == records.USER:
            found.period_us += period
        elif entry.cpumode == records.GUEST_KERNEL:
            found.period_guest_sys += period
        elif entry.cpumode == records.GUEST_USER:
            found.period_guest_us += period
        hists.samples += count
        hists.sampled += period
        if not filtered:
            hists.sampled_shown += period
        if not found.filtered:
            hists.samples_shown += count
        if view.callchains:
            hists.chain_period += period
            if not found.filtered:
                hists.chain_period_shown += period
            if has_chain and chain:
                found.runs.add(chain, 0, period, count)
                found.depth = max(found.depth, len(chain))
        if cumulative:
            found.acc += period
            found.acc_count += count
            self.add_callers(hists, entry, found, key, chain, count, period)
        return found

    def add_callers(self, hists, entry, own, key, chain, count, period) -> None:
        """Count samples for those that called `entry`, which counts in the row `own`."""
        view = self.view
        seen = {own}
        keys = {key}
        # Unless they are odd, callers of entries like this one are found by their places.
        known = None if self.odd else self.callers.setdefault(self.shared(entry), {})
        level, mode = entry.level, entry.cpumode
        for at, place in enumerate(chain):
            if place.symbol is None and view.hide_unresolved:
                break
            if place.map is not None:
                level, mode = place.level, place.cpumode
            if known is None:
                found = self.odd_caller(hists, entry, place, level, mode, keys)
            else:
                there = place if place.map is not None else (place, mode)
                found = known.get(there)
                if found is None:
                    found = known[there] = self.caller(hists, entry, place, level, mode)
            if found is None or (known is not None and found in seen):
                continue
            seen.add(found)
            if self.follows and found.map is not place.map:
                found.map = place.map
            found.acc += period
            found.acc_count += count
            if view.callchains:
                found.runs.add(chain, at, period, count)
                if found.depth < len(chain) - at:
                    found.depth = len(chain) - at

    def shared(self, entry: Entry) -> tuple:
        """What an entry's callers have from it, besides the mode of those that are in no map."""
        return (
            entry.event[0].index, entry.thread, entry.comm, entry.cpu, entry.socket, entry.time,
            entry.weight, entry.ins_lat, entry.transaction, entry.code_page_size, entry.raw,
            id(entry.parent), entry.filtered,
        )  # fmt: skip

    def caller(self, hists, entry, place, level, mode) -> Entry:
        """The row of a caller; a new one if there is none yet."""
        caller = self.entry_of_caller(entry, place, level, mode)
        return self.row_of(hists, caller, hists.key(caller), entry)

    def odd_caller(self, hists, entry, place, level, mode, keys: set) -> Entry | None:
        """As `caller`, but None for one that perf takes for one seen before: it looks for a frame's
        own like as if some columns were 0 (which is why they are odd)."""
        caller = self.entry_of_caller(entry, place, level, mode)
        key = hists.key(caller)
        caller.time = caller.socket = caller.weight = caller.ins_lat = 0
        caller.transaction = caller.code_page_size = 0
        if hists.key(caller) in keys:
            return None
        caller.time, caller.socket = entry.time, entry.socket
        caller.weight, caller.ins_lat = entry.weight, entry.ins_lat
        caller.transaction, caller.code_page_size = entry.transaction, entry.code_page_size
        keys.add(key)
        return self.row_of(hists, caller, key, entry)

    def entry_of_caller(self, entry, place, level, mode) -> Entry:
        caller = Entry(
            self.view, entry.event, entry.thread, entry.comm, place.map, place.symbol, place.ip,
            level, mode,
        )  # fmt: skip
        caller.address = self.chains.addresses[place.index]
        caller.cpu, caller.socket, caller.time = entry.cpu, entry.socket, entry.time
        caller.weight, caller.ins_lat = entry.weight, entry.ins_lat
        caller.transaction, caller.code_page_size = entry.transaction, entry.code_page_size
        caller.raw, caller.parent = entry.raw, entry.parent
        return caller

    def row_of(self, hists, caller: Entry, key: tuple, entry: Entry) -> Entry:
        found = hists.found.get(key)
        if found is None:
            found = hists.found[key] = caller
            found.filtered = entry.filtered
            if self.view.callchains:
                found.runs = Runs()
        return found

    # --- branches

    def fill_branches(self) -> None:
        """Every branch of a sample's branch stack counts as one."""
        profile, view = self.profile, self.view
        indices = range(len(profile)) if self.picked is None else self.picked.tolist()
        places: dict[tuple, Side] = {}
        groups: dict[tuple, list] = {}
        modes = self.modes
        for index in indices:
            try:
                sample = profile.reader.record(int(profile.record[index]))
            except RecordError:
                continue
            if not sample.branches:
                continue
            space = profile.space(index)
            mine = (
                int(profile.event[index]), int(profile.thread[index]), int(profile.comm[index]),
                int(modes[index]), int(profile.cpu[index]) if "cpu" in self.columns.needs else 0,
            )  # fmt: skip
            weight = sample.branches[0].cycles or 1
            for branch in sample.branches:
                group = (mine, space, branch.source, branch.target, branch.flags, weight)
                known = groups.get(group)
                if known is None:
                    groups[group] = [index, 1]
                else:
                    known[1] += 1
        self.branch_kinds: dict[str, int] = {}
        for (_, space, source, target, flags, weight), (index, count) in groups.items():
            ends = []
            for ip in (source, target):
                place = places.get((space, ip))
                if place is None:
                    place = places[space, ip] = self.side(index, ip)
                ends.append(place)
            if view.hide_unresolved and not (ends[0].symbol and ends[1].symbol):
                continue
            entry = self.template(index)
            entry.branch = BranchInfo(ends[0], ends[1], flags)
            entry.map, entry.symbol, entry.ip = ends[1].map, ends[1].symbol, ends[1].raw
            entry.weight = weight
            found = self.add(entry, (), count, count, False, False)
            # perf looks at the entry's first branch, whichever it counts.
            first = found.branch
            self.count_kind(first.flags, first.origin.raw, first.to.raw, count)

    def count_kind(self, flags: int, source: int, target: int, count: int) -> None:
        """Statistics of branch types (branch_type_count of util/branch.c)."""
        kind = flags >> 20 & 15
        if not kind or not source:
            return
        kinds = self.branch_kinds
        name = f"new {flags >> 24 & 15}" if kind == 15 else str(kind)
        kinds[name] = kinds.get(name, 0) + count
        if kind == 1:
            way = "COND_FWD" if target > source else "COND_BWD"
            kinds[way] = kinds.get(way, 0) + count
        if source >> 21 != target >> 21:
            kinds["CROSS_2M"] = kinds.get("CROSS_2M", 0) + count
        elif source >> 12 != target >> 12:
            kinds["CROSS_4K"] = kinds.get("CROSS_4K", 0) + count


class Chains:
    """The different callchains of a profile as places. `number` is each sample's; -1 for none."""

    def __init__(self, filler: Filler):
        self.filler = filler
        profile, view = filler.profile, filler.view
        raw = profile.chain
        self.start = profile.chain_start
        maps, ips, addresses = profile.chain_map, profile.chain_ip, profile.chain_address
        modes = profile.chain_mode
        symbols = filler.samples.symbols(maps, addresses)
        exact = view.chain_key != "function" or "address" in filler.columns.needs
        where = ips if exact else np.where(symbols >= 0, symbols.astype(np.uint64), ips)
        count = len(ips)
        if count:
            first, self.place_of = distinct([maps, where, symbols >= 0, modes])
        else:
            first, self.place_of = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._places: list[Place] = []
        self.addresses = addresses[first].tolist()
        known: dict[tuple, Place] = {}
        for number, at in enumerate(first.tolist()):
            self._places.append(self.place(known, number, at, maps, ips, addresses, symbols, modes))
        # Chains that are the same in places are one from here on.
        bad = ~np.isin(modes, (records.KERNEL, records.USER, records.HYPERVISOR))
        ends = self.start[1:]
        merged: dict[bytes, int] = {}
        self.kept: list[tuple] = []
        new = np.full(len(ends), -1, np.int64)
        unknown = np.flatnonzero(bad)
        broken = set(np.searchsorted(ends, unknown, side="right").tolist()) if len(unknown) else ()
        codes = self.place_of.astype(np.int64)
        for chain, (start, end) in enumerate(
            zip(self.start[:-1].tolist(), ends.tolist(), strict=True)
        ):
            text = b"" if chain in broken else codes[start:end].tobytes()
            found = merged.get(text)
            if found is None:
                found = merged[text] = len(self.kept)
                self.kept.append((start, start if chain in broken else end))
            new[chain] = found
        self.number = np.where(raw >= 0, new[raw], -1) if len(new) else np.full(len(raw), -1)
        self._made: dict[int, tuple] = {}

    def place(self, known, number, at, maps, ips, addresses, symbols, modes) -> Place:
        profile, view = self.filler.profile, self.filler.view
        index = int(maps[at])
        map_ = profile.maps[index] if index >= 0 else None
        symbol = None
        if symbols[at] >= 0:
            symbol = map_.dso.symbols.symbol_at(int(symbols[at]))
        ip, mode = int(ips[at]), int(modes[at])
        dso = map_.dso.index if map_ is not None else -1
        if view.chain_key != "address" and symbol is not None:
            order = (1, dso, symbol.start, "")
        else:
            order = (1, dso, ip, "")
        same = (order, symbol is None)
        line = ""
        if view.chain_key != "function" and map_ is not None:
            line = chain_line(map_, int(addresses[at]), symbol, view)
            if view.chain_key == "srcline" and line:
                same, order = line, (0, 0, 0, line)
        first = known.setdefault(same, None)
        place = Place(number, map_, symbol, ip, self.filler.level(mode), mode, order, line)
        if first is None:
            known[same] = place
        else:
            place.index = first.index
        return place

    def places(self, number: int) -> tuple[tuple[Place, ...], object, Place | None]:
        """A chain's frames in the order in which they are gone through, the symbol that --parent
        finds in it, and where the sample is taken to be if callees are ignored."""
        found = self._made.get(number)
        if found is None:
            found = self._made[number] = self._walk(*self.kept[number])
        return found

    def _walk(self, start: int, end: int):
        view, filler = self.filler.view, self.filler
        chosen = self.place_of[start:end].tolist()
        chosen = [self._places[index] for index in chosen]
        if view.caller_first:
            chosen.reverse()
        chosen = chosen[: view.max_stack]
        parent = root = None
        out = []
        for place in chosen:
            symbol = place.symbol
            if symbol is not None:
                if filler.parent_pattern is not None and parent is None:
                    if filler.parent_pattern.search(symbol.name):
                        parent = symbol
                        out.append(place)
                        continue
                if filler.callees is not None and filler.callees.search(symbol.name):
                    root = place
                    out.clear()
            elif view.hide_unresolved:
                continue
            out.append(place)
        return tuple(out), parent, root


def chain_line(map_, address, symbol, view) -> str:
    text = srcline_of(map_, address, symbol, view)
    if ":" not in text and view.chain_key == "srcline":
        return ""
    return text


def sockets_of(reader) -> dict[int, int]:
    """The socket of each cpu, where the file says so."""
    topology = reader.features.get("CPU_TOPOLOGY")
    return dict(getattr(topology, "sockets", None) or {})


def fill(profile, view: View, columns: Columns, formatters=None) -> Filler:
    """All histograms of a profile, not yet collapsed or sorted; the Filler has them as `hists`."""
    filler = Filler(profile, view, columns, formatters)
    filler.fill()
    return filler


def settle(hists: list[Hists], view: View) -> None:
    """Join groups, sort, and add up (report__collapse_hists, report__output_resort)."""
    for one in hists:
        if one.columns.collapses:
            if view.symbol_filter is not None and one.event.index == 0:
                one.filter_late(view.symbol_filter)
            if view.socket >= 0:
                one.filter_socket(view.socket)
        leader = hists[one.event.leader]
        if view.group and leader is not one:
            leader.link(one)
            leader.group.append(one)
    for one in hists:
        one.members = len(one.group) + 1
        has = bool(one.event.attr.sample_type & SAMPLE.CALLCHAIN)
        one.settle(view.callchains and has)
