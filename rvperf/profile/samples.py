"""The samples of a perf.data, each with its thread, the thread's name then, its map and address.

All of it is arrays over the samples, in the order in which perf processes them; what changes over
time (names, maps) is followed record by record, and only between those records looked up in bulk.
"""

from array import array

import numpy as np

from isa.record import Record
from rvperf.perfdata import records
from rvperf.perfdata.attr import READ, SAMPLE
from rvperf.perfdata.distinct import PART, SPREAD, distinct
from rvperf.perfdata.reader import Event, Reader, fixed_at
from rvperf.perfdata.records import RecordError
from rvperf.profile.machine import Dso, Map, Thread, World

CHANGES = (
    records.Comm.type,
    records.Fork.type,
    records.Mmap.type,
    records.Mmap2.type,
    records.Ksymbol.type,
)
"""Records that change who is who or what is where."""
CONTEXT_MODES = {
    records.CONTEXT_HV: records.HYPERVISOR,
    records.CONTEXT_KERNEL: records.KERNEL,
    records.CONTEXT_USER: records.USER,
    records.CONTEXT_GUEST_KERNEL: records.GUEST_KERNEL,
    records.CONTEXT_GUEST_USER: records.GUEST_USER,
}
SYMBOL_KINDS = {"kernel": "kernel", "guest_kernel": "guest-kernel"}
"""What rvperf.symbols calls a dso's kind; all others are files."""
NOWHERE = -1
STATE = ("thread", "comm", "_space", "_kernel_space")
MADE = (*STATE, "map", "address", "dso", "chain", "spot", "spots", "spot_map", "spot_address")
"""Columns of a profile that are made when they are first asked for."""


def sums(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The sums of the values of each group (bincount's floats hold 53 bits, these 64)."""
    found = np.zeros(count, np.uint64)
    np.add.at(found, groups, values)
    return found


def same_runs(words: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Equal numbers, from 0, for equal runs of words: `length` of them from `start` on."""
    hashes = np.empty(len(start), np.uint64)
    for part in parts(len(start)):
        hashes[part] = hashes_of(words, start[part], length[part])
    first, number = distinct([hashes])
    del hashes
    for part in parts(len(start)):
        like = first[number[part]]
        if not same(words, length[part], length[like], start[part], start[like]):
            # Two runs with one hash: somebody has made an effort.
            raw: dict[bytes, int] = {}
            runs = zip(start.tolist(), (start + length).tolist(), strict=True)
            return np.array([raw.setdefault(words[a:b].tobytes(), len(raw)) for a, b in runs])
    return number


def parts(count: int):
    """Slices of so many rows. What is made of a part stays in the processor's caches."""
    return (slice(at, min(at + PART, count)) for at in range(0, count, PART))


def by_length(length: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Runs, the longest first; and how many have a word at 0, at 1, ..."""
    order = np.argsort(-length, kind="stable")
    whole = np.bincount(length)
    return order, (len(length) - np.cumsum(whole))[:-1].tolist()


def hashes_of(words, start, length) -> np.ndarray:
    order, longer = by_length(length)
    start = start[order]
    hashes = length[order].astype(np.uint64)
    for at, count in enumerate(longer):
        mine = hashes[:count]
        mine ^= words[start[:count] + at]
        mine *= SPREAD
        mine ^= mine >> np.uint64(29)
    found = np.empty(len(order), np.uint64)
    found[order] = hashes
    return found


def same(words, length, other_length, start, other_start) -> bool:
    """Whether runs are the same, one by one."""
    if (length != other_length).any():
        return False
    order, longer = by_length(length)
    start, other_start = start[order], other_start[order]
    return all(
        (words[start[:count] + at] == words[other_start[:count] + at]).all()
        for at, count in enumerate(longer)
    )


class Frame(Record):
    """An address in a callchain (or of a branch). `map` is None if it is in no map; `address` then
    is `ip` itself."""

    ip: int
    map: Map | None
    address: int
    cpumode: int

    @property
    def dso(self) -> Dso | None:
        return self.map.dso if self.map else None

    @property
    def symbol(self):
        """The symbol there (of rvperf.symbols); None if there is none or no symbols were given."""
        symbols = self.map.dso.symbols if self.map else None
        return symbols.symbol(self.address) if symbols else None


class ResolvedSample(Record):
    """A sample and where it was. `sample` is the record as decoded, `period` what it counts for
    (with leader sampling not the record's), `chain` its callchain without markers."""

    index: int
    sample: records.Sample
    event: Event
    period: int
    thread: Thread
    comm: str
    frame: Frame
    chain: tuple[Frame, ...] | None


class Rows(Record):
    """What `Profile.aggregate` gives: arrays of one length, by the names of the keys, and `count`
    (samples) and `period` (their sum) as int64 arrays, `first` the index of each row's first
    sample."""

    columns: dict
    count: np.ndarray
    period: np.ndarray
    first: np.ndarray

    def __len__(self):
        return len(self.count)


class Profile:
    """The samples of a reader, resolved.

    Columns over samples (numpy): `record`, `event`, `period`, `ip`, `pid`, `tid`, `time`, `cpu`,
    `addr`, `cpumode`; `thread` and `comm` (indices into `threads`, `comms`), `map` (into `maps`,
    -1 if none), `dso` (into `dsos`, -1), `address` (in the dso; the ip where there is no map),
    `chain` (for `frames`; -1 if there is no callchain).

    Many samples are alike. `state` numbers what held for a sample (thread, comm, maps), and `spot`
    where it was (maps, mode, ip); `spots` has the index of each spot's first sample, and the
    columns `spot_map` and `spot_address` what is there.

    `symbols` is a rvperf.symbols.Symbols or None. With `guest`, guest modes have threads and maps
    of their own, and without they are the host's, as for perf without --guest; without `host`
    addresses of the host mean nothing, as for `perf kvm` without --host. `unwinder` (see
    profile/unwinding.py) appends callers to the callchains of samples that have registers and a
    piece of the stack for that.
    """

    def __init__(
        self, reader: Reader, symbols=None, guest: bool = False, unwinder=None, host: bool = True
    ):
        self.reader, self.symbols = reader, symbols
        self.unwinder, self.host = unwinder, host
        self.events = reader.events
        columns = reader.columns()
        known = columns.event >= 0
        self._columns = columns
        self._chosen = None if known.all() else np.flatnonzero(known)
        self.record = self._of("record")
        self.event = self._of("event")
        self._period = None
        self._expand_readings()
        self._cache: dict[str, np.ndarray] = {}
        self.comms: list[str] = []
        self._walk(guest)
        if symbols is not None:
            for dso in self.dsos:
                kind = SYMBOL_KINDS.get(dso.kind, "user")
                dso.symbols = symbols.dso(dso.name, dso.build_id or None, kind)

    def __len__(self) -> int:
        return len(self.record)

    def _of(self, name: str) -> np.ndarray:
        whole = getattr(self._columns, name)
        return whole if self._chosen is None else whole[self._chosen]

    def __getattr__(self, name: str):
        if name in ("ip", "pid", "tid", "time", "cpu", "addr", "cpumode", "id"):
            return self._of(name)
        if name == "period":
            return self._of("period") if self._period is None else self._period
        if "_cache" not in self.__dict__ or name not in MADE:
            raise AttributeError(name)
        if name not in self._cache:
            if name == "chain":
                self._chains()
            elif name.startswith("spot"):
                self._find_spots()
            elif name in STATE:
                self._cache[name] = self._states[STATE.index(name)][self.state]
            elif name == "dso":
                dsos = np.append(self._map_dso, np.int32(NOWHERE))
                self._cache[name] = dsos[self.spot_map][self.spot]
            else:
                self._cache[name] = getattr(self, f"spot_{name}")[self.spot]
        return self._cache[name]

    @property
    def fixed_period(self) -> int | None:
        """The period of all samples, if that is known without looking at each."""
        periods = {event.attr.sample_period for event in self.events}
        sampled = any(event.attr.sample_type & SAMPLE.PERIOD for event in self.events)
        if self._period is not None or sampled or len(periods) != 1:
            return None
        return periods.pop()

    def who(self, index: int) -> tuple[Thread, str]:
        """The thread of a sample, and what it was called then."""
        thread, comm, _, _ = self._states[:, self.state[index]].tolist()
        return self.threads[thread], self.comms[comm]

    # --- leader sampling

    def _expand_readings(self) -> None:
        """Samples with READ count for what their counters went on, each member for itself."""
        if not any(event.attr.sample_type & SAMPLE.READ for event in self.events):
            return
        by_id = {number: event.index for event in self.events for number in event.ids}
        places, events, periods = [], [], []
        before: dict[int, int] = {}
        plain = self._of("period")
        for place, (number, index) in enumerate(
            zip(self.record.tolist(), self.event.tolist(), strict=True)
        ):
            if not self.events[index].attr.sample_type & SAMPLE.READ:
                places.append(place)
                events.append(index)
                periods.append(int(plain[place]))
                continue
            try:
                values = self.reader.record(number).read.values
            except RecordError:
                continue
            for value in values:
                member = by_id.get(value.id)
                period = (value.value - before.get(value.id, 0)) % 2**64
                before[value.id] = value.value
                if member is not None and period:
                    places.append(place)
                    events.append(member)
                    periods.append(period)
        places = np.array(places, np.int64)
        self._chosen = places if self._chosen is None else self._chosen[places]
        self.record = self.record[places]
        self.event = np.array(events, np.int32)
        self._period = np.array(periods, np.uint64)

    # --- who and where, over time

    def _walk(self, guest: bool) -> None:
        """Follow the records that change things, and note for each sample what held then."""
        count = len(self.record)
        self.state = np.zeros(count, np.int32)
        self._spaces: list[np.ndarray] = []
        reader = self.reader
        order = reader.order()
        when = self.record
        if not reader.is_ordered:
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order))
            when = place[self.record]
        tids, pids = self.tid, self.pid
        columns = [tids]
        if guest:
            modes = self.cpumode
            columns.append(np.isin(modes, (records.GUEST_KERNEL, records.GUEST_USER)))
        first, part = distinct(columns)
        waiting = {}
        if len(first) > 1:
            by_key = np.argsort(part.astype(np.uint16) if len(first) < 1 << 16 else part,
                                kind="stable")  # fmt: skip
            each = np.split(by_key, np.cumsum(np.bincount(part))[:-1])
        else:
            each = [None] * len(first)
        for at, mine in zip(first.tolist(), each, strict=True):
            moments = when if mine is None else when[mine]
            in_guest = guest and bool(columns[1][at])
            waiting[in_guest, int(tids[at])] = [0, moments, mine]
        comms: dict[str, int] = {}
        states: dict[tuple, int] = {}
        now = 0

        def settle(key) -> None:
            """Samples of this thread before now see what holds now."""
            state = waiting.get(key)
            if state is None:
                return
            start, moments, mine = state
            if start == len(moments) or moments[start] >= now:
                return
            end = int(np.searchsorted(moments, now))
            state[0] = end
            chosen = slice(start, end) if mine is None else mine[start:end]
            guest_key, tid = key
            machine = world.machines[guest_key]
            thread = machine.thread(int(pids[start if mine is None else mine[start]]), tid)
            seen = (
                thread.index,
                comms.setdefault(thread.comm, len(comms)),
                world.snapshot(thread.maps, self._spaces),
                world.snapshot(machine.kernel, self._spaces),
            )
            self.state[chosen] = states.setdefault(seen, len(states))

        def flush(some) -> None:
            for key in list(waiting) if some is None else some:
                settle(key)

        world = World(reader.features.get("BUILD_ID", ()), guest, flush)
        changes = np.flatnonzero(np.isin(reader.types, CHANGES))
        if not reader.is_ordered:
            changes = changes[np.argsort(place[changes])]
        for number in changes.tolist():
            now = number if reader.is_ordered else int(place[number])
            try:
                record = reader.record(number)
            except RecordError:
                continue
            world.apply(record)
        now = len(order) + 1
        flush(None)
        self.world = world
        self.threads, self.dsos, self.maps = world.threads, world.dsos, world.maps
        self.comms = list(comms)
        self._states = np.array(list(states) or [(0, 0, 0, 0)], np.int32).T
        self._map_start = np.array([one.start for one in self.maps], np.uint64)
        self._map_end = np.array([one.end for one in self.maps], np.uint64)
        deltas = [0 if m.identity else (m.pgoff - m.start) % 2**64 for m in self.maps]
        self._map_delta = np.array(deltas, np.uint64)
        self._map_dso = np.array([one.dso.index for one in self.maps], np.int32)

    def _locate(self, ips, modes, spaces, kernel_spaces) -> np.ndarray:
        """The map of each address (-1: none), in the mode and the spaces given for it."""
        kernel = np.isin(modes, (records.KERNEL, records.GUEST_KERNEL))
        user = np.isin(modes, (records.USER, records.GUEST_USER))
        if not self.world.guest:
            kernel &= modes != records.GUEST_KERNEL
            user &= modes != records.GUEST_USER
        if not self.host:
            kernel &= modes != records.KERNEL
            user &= modes != records.USER
        where = np.where(kernel, kernel_spaces, np.where(user, spaces, -1))
        found = np.full(len(ips), NOWHERE, np.int32)
        unique = np.unique(where)
        if len(unique) == 1:
            groups = [(int(unique[0]), slice(None))]
        else:
            by_space = np.argsort(where, kind="stable")
            parts = np.split(by_space, np.flatnonzero(np.diff(where[by_space])) + 1)
            groups = [(int(where[part[0]]), part) for part in parts if len(part)]
        for space, chosen in groups:
            if space < 0 or not len(self._spaces[space]):
                continue
            maps = self._spaces[space]
            mine = ips[chosen]
            k = np.searchsorted(self._map_start[maps], mine, side="right") - 1
            inside = (k >= 0) & (mine < self._map_end[maps][k])
            found[chosen] = np.where(inside, maps[k], NOWHERE)
        return found

    def _addresses(self, ips, maps) -> np.ndarray:
        if not len(self.maps):
            return ips
        return np.where(maps >= 0, ips + self._map_delta[maps], ips)

    def _find_spots(self) -> None:
        ips, modes = self.ip, self.cpumode
        _, pairs = distinct(list(self._states[2:]))
        columns = [ips, modes]
        if pairs.any():
            columns.append(pairs[self.state])
        first, self._cache["spot"] = distinct(columns)
        self._cache["spots"] = first
        _, _, space, kernel_space = self._states[:, self.state[first]]
        ips = ips[first]
        maps = self._locate(ips, modes[first], space, kernel_space)
        self._cache["spot_map"] = maps
        self._cache["spot_address"] = self._addresses(ips, maps)

    # --- callchains

    def _chain_places(self):
        """Where each sample's callchain begins (in words of the data) and how many entries it has;
        0 and -1 for those without."""
        reader = self.reader
        start = np.zeros(len(self.record), np.int64)
        length = np.full(len(self.record), -1, np.int32)
        chained = {e.index: e for e in self.events if e.attr.sample_type & SAMPLE.CALLCHAIN}
        for part in parts(len(self.record)):
            numbers = self.record[part]
            owners = reader.event_of[numbers]
            base = reader.starts[numbers]
            room = reader.sizes[numbers].astype(np.int64) >> 3
            for index, event in chained.items():
                mine = slice(None) if len(self.events) == 1 else np.flatnonzero(owners == index)
                at, entries = self._chain_place(event, base[mine], room[mine])
                start[part][mine], length[part][mine] = at, entries
        return start, length

    def _chain_place(self, event, base, room):
        """That of samples of an event which are so many words from these words on."""
        words, kind = self.reader.words, event.attr.sample_type
        skip = np.full(len(base), fixed_at(kind)["end"] >> 3, np.int64)
        if kind & SAMPLE.READ:
            form = event.attr.read_format
            times = (form & (READ.TOTAL_TIME_ENABLED | READ.TOTAL_TIME_RUNNING)).bit_count()
            each = 1 + (form & (READ.ID | READ.LOST)).bit_count()
            if form & READ.GROUP:
                fits = skip < room
                members = words[np.where(fits, base + skip, 0)].astype(np.int64)
                members = np.where(fits, np.clip(members, 0, 1 << 16), 0)
                skip = skip + 1 + times + members * each
            else:
                skip = skip + times + each
        fits = skip < room
        at = np.where(fits, base + skip, 0)
        entries = words[at].astype(np.int64)
        fits &= (entries >= 0) & (entries <= room - skip - 1)
        return np.where(fits, at + 1, 0), np.where(fits, entries, -1)

    @property
    def unwound(self) -> np.ndarray:
        """The samples whose callers are in the registers and the stack that they have."""
        wanted = SAMPLE.CALLCHAIN | SAMPLE.REGS_USER | SAMPLE.STACK_USER
        events = [e.index for e in self.events if e.attr.sample_type & wanted == wanted]
        return np.flatnonzero(np.isin(self.reader.event_of[self.record], events))

    def _chains(self) -> None:
        """Number the different callchains (with the maps that they were in), and resolve each."""
        start, length = self._chain_places()
        words = self.reader.words
        has = length >= 0
        has = slice(None) if has.all() else np.flatnonzero(has)
        if self.unwinder is not None and len(self.unwound):
            words, start, length = self._unwind(start, length)
        number = same_runs(words, start[has], length[has])
        # A chain means something else in another address space.
        _, pairs = distinct(list(self._states[2:]))
        chain = np.full(len(start), NOWHERE, np.int32)
        first, chain[has] = distinct([number, pairs[self.state[has]]] if pairs.any() else [number])
        self._cache["chain"] = chain
        if not isinstance(has, slice):
            first = has[first]
        self._resolve_chains(words, start[first], length[first], first)

    def _unwind(self, start, length):
        """The callchains with what the unwinder finds behind them: (words, starts, lengths)."""
        recorded = self.reader.words
        out, unwound = array("Q"), set(self.unwound.tolist())
        start, length = start.copy(), length.copy()
        for index in np.flatnonzero(length >= 0).tolist():
            begin, size = int(start[index]), int(length[index])
            start[index] = len(out)
            out.frombytes(recorded[begin : begin + size].tobytes())
            frames = self.unwinder(self, index) if index in unwound else ()
            if frames:
                out.append(records.CONTEXT_USER)
                out.extend(frames)
            length[index] = len(out) - int(start[index])
        return np.frombuffer(out, np.uint64), start, length

    def _resolve_chains(self, words, start, counts, first) -> None:
        """The frames of chains with so many words from `start` on, of the samples `first`."""
        whole_end = np.cumsum(counts)
        owner = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(owner)) - np.repeat(whole_end - counts, counts)
        ips = words[start[owner] + within]
        marker = ips >= np.uint64(records.CONTEXT_MAX)
        # The last marker before an entry, of the same chain, says its mode; user without one.
        last = np.maximum.accumulate(np.where(marker, np.arange(len(ips)), -1))
        last = np.where(last >= np.repeat(whole_end - counts, counts), last, -1)
        codes = np.zeros(len(ips), np.uint16)
        for context, mode in CONTEXT_MODES.items():
            codes[ips == np.uint64(context)] = mode
        modes = np.where(last >= 0, codes[last], records.USER) if len(ips) else codes
        keep = ~marker
        owner, ips, modes = owner[keep], ips[keep], modes[keep]
        _, _, space, kernel_space = self._states[:, self.state[first]]
        maps = self._locate(ips, modes, space[owner], kernel_space[owner])
        self.chain_ip, self.chain_map, self.chain_mode = ips, maps, modes
        self.chain_address = self._addresses(ips, maps)
        self.chain_start = np.concatenate(
            ([0], np.cumsum(np.bincount(owner, minlength=len(counts))))
        ).astype(np.int64)

    def frames(self, chain: int) -> tuple[Frame, ...]:
        """The frames of callchain number `chain` (a value of the column), innermost first."""
        if chain < 0:
            return ()
        self.chain  # noqa: B018  made when first asked for
        part = slice(int(self.chain_start[chain]), int(self.chain_start[chain + 1]))
        return tuple(
            Frame(ip, self.maps[m] if m >= 0 else None, address, mode)
            for ip, m, address, mode in zip(
                self.chain_ip[part].tolist(),
                self.chain_map[part].tolist(),
                self.chain_address[part].tolist(),
                self.chain_mode[part].tolist(),
                strict=True,
            )
        )

    # --- what users take

    def known_dsos(self) -> list[Dso]:
        """The dsos of the header's build-id table."""
        return self.dsos[: self.world.listed]

    def hit_dsos(self) -> list[Dso]:
        """The dsos in which samples (not their callers) were."""
        hit = {self.maps[number].dso.index for number in set(self.spot_map.tolist()) - {NOWHERE}}
        return [dso for dso in self.dsos if dso.index in hit]

    def space(self, index: int) -> tuple[int, int]:
        """A name for the maps that sample `index` saw: samples with the same saw the same."""
        return tuple(self._states[2:, self.state[index]].tolist())

    def locate(self, index: int, ip: int, cpumode: int | None = None) -> Frame:
        """Where an address is in the address space of sample `index` (for branches, data).

        Without a mode all are tried, as perf does: user, kernel, guest user, guest kernel.
        """
        modes = [cpumode] if cpumode is not None else [2, 1, 5, 4]
        space, kernel = self._states[2:, self.state[index : index + 1]]
        for mode in modes:
            one = np.array([ip], np.uint64)
            found = int(self._locate(one, np.array([mode], np.uint16), space, kernel)[0])
            if found >= 0:
                return Frame(ip, self.maps[found], self.maps[found].address(ip), mode)
        return Frame(ip, None, ip, modes[0])

    def frame(self, index: int) -> Frame:
        """Where sample `index` itself was."""
        found = int(self.map[index])
        address = int(self.address[index])
        there = self.maps[found] if found >= 0 else None
        return Frame(int(self.ip[index]), there, address, int(self.cpumode[index]))

    def samples(self):
        """All samples as ResolvedSample, in the order in which perf processes them."""
        has_chains = any(event.attr.sample_type & SAMPLE.CALLCHAIN for event in self.events)
        chains = self.chain if has_chains else None
        made: dict[int, tuple[Frame, ...]] = {}
        periods = self.period
        for index, number in enumerate(self.record.tolist()):
            try:
                sample = self.reader.record(number)
            except RecordError:
                continue
            chain = None
            if chains is not None and chains[index] >= 0:
                key = int(chains[index])
                chain = made.get(key)
                if chain is None:
                    chain = made[key] = self.frames(key)
            yield ResolvedSample(
                index,
                sample,
                self.events[self.event[index]],
                int(periods[index]),
                self.threads[self.thread[index]],
                self.comms[self.comm[index]],
                self.frame(index),
                chain,
            )

    def aggregate(
        self,
        keys: tuple[str, ...] = ("event", "comm", "pid", "tid", "dso", "address", "cpumode"),
        where: np.ndarray | None = None,
    ) -> Rows:
        """Samples that agree in all `keys` (names of columns) as one row each.

        `where` limits it to some samples (a boolean array or indices). Rows are in the order of
        their first samples.
        """
        columns = [getattr(self, key) for key in keys]
        periods = self.period
        if where is not None:
            chosen = np.arange(len(self))[where]
            columns = [column[chosen] for column in columns]
            periods = periods[chosen]
        first, kind = distinct(columns)
        columns = {key: column[first] for key, column in zip(keys, columns, strict=True)}
        counts = np.bincount(kind, minlength=len(first))
        periods = sums(kind, periods, len(first)).astype(np.int64)
        return Rows(columns, counts, periods, first if where is None else chosen[first])
