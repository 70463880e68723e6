"""The samples of one event as weighted stacks of named functions: what every picture is made from.

Every different address is named once, every different stack is put together once; per sample there
are only numpy columns. So a million samples cost about what their different stacks cost.
"""

from functools import cached_property

import numpy as np

from isa.record import Record
from rvperf.perfdata import records
from rvperf.perfdata.attr import SAMPLE
from rvperf.perfdata.distinct import distinct
from rvperf.perfdata.reader import Event
from rvperf.profile.machine import Map
from rvperf.profile.samples import Profile

UNKNOWN = "[unknown]"
LONGEST = 1000
"""Characters of a name that are kept."""
LARGEST = 1 << 62
"""Time in ns, or sum of periods."""
KINDS = {
    records.KERNEL: "kernel",
    records.USER: "user",
    records.HYPERVISOR: "hypervisor",
    records.GUEST_KERNEL: "guest kernel",
    records.GUEST_USER: "guest user",
}
"""What privilege a frame ran with, by a sample's cpumode."""


class Function(Record):
    """A function in a stack, alike for all its addresses.

    `dso` is the short name and `path` the full one of the file that it is in, both UNKNOWN if it is
    in none; `name` is UNKNOWN if no symbol covers the address. `kind` is one of KINDS. An `inlined`
    function has no frame of its own in the machine.
    """

    name: str
    dso: str
    path: str
    kind: str
    inlined: bool = False

    @property
    def label(self) -> str:
        """What to call it where its dso isn't shown beside it: `[libc.so.6]` if it has no name."""
        if self.name != UNKNOWN or self.dso == UNKNOWN:
            return self.name
        return self.dso if self.dso.startswith("[") else f"[{self.dso}]"


class Location(Record):
    """An instruction in a stack: `address` in the dso, and `ip` where that was mapped. For a caller
    both are within the call instruction, since the return address may be in something else.

    `frames` are (index of the function, source line or 0), innermost first: more than one if
    functions are inlined there. `files` has the source file of each, "" if it isn't known.
    """

    map: Map | None
    ip: int
    address: int
    frames: tuple[tuple[int, int], ...]
    files: tuple[str, ...]


def legible(text: str) -> str:
    """Text from a file as text for a picture: no control characters, nothing that changes the
    direction of writing, no bytes that are no UTF-8; of a monstrous name only the beginning."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


class NoSuchEvent(Exception):
    """The file has no event of this name or number. `message` says which it has."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


def choose(profile: Profile, wanted: str | int | None = None) -> Event:
    """The event of a name, with modifiers or without, or of a number from 0.

    The first one that was sampled if none is wanted. Raises NoSuchEvent.
    """
    events = profile.events
    if wanted is None:
        sampled = set(profile.event[distinct([profile.event])[0]].tolist())
        return next((event for event in events if event.index in sampled), events[0])
    for event in events:
        if wanted in (event.name, event.index, str(event.index)):
            return event
    for event in events:
        if str(wanted) == event.name.rpartition(":")[0]:
            return event
    names = ", ".join(event.name for event in events)
    raise NoSuchEvent(f"there is no event `{wanted}' in the file, which has: {names}")


class Stacks:
    """The samples of `event`, resolved; with `chosen`, a mask over all samples, only those.

    `functions` and `locations` are tables; `stacks` are tuples of locations, outermost first.
    Columns over the samples, in the order in which perf processes them: `stack` (index into
    `stacks`), `period`, `time` (ns), `thread` and `comm` (as in the profile), `cpu`, and `sample`,
    the index in the profile. `chained` says whether the event has callchains at all.
    """

    def __init__(self, profile: Profile, event: Event, chosen=None, inlines: bool = True):
        self.profile, self.event = profile, event
        self.functions: list[Function] = []
        self.locations: list[Location] = []
        self.stacks: list[tuple[int, ...]] = []
        self._functions: dict[tuple, int] = {}
        self._inlines = inlines
        mine = profile.event == event.index
        self.sample = np.flatnonzero(mine if chosen is None else mine & chosen)
        # What a damaged file says may be anything, but sums have to fit.
        most = np.uint64(LARGEST // max(1, len(self.sample)))
        self.period = np.minimum(self._of(profile.period), most).view(np.int64)
        self.stack = np.zeros(len(self.sample), np.int32)
        self.chained = bool(event.attr.sample_type & SAMPLE.CALLCHAIN)
        if self.chained and len(self.sample):
            chains = profile.chain[self.sample]
            starts = profile.chain_start
            empty = np.append(starts[1:] == starts[:-1], True)  # -1 is the last one
            chains[empty[chains]] = -1
        else:
            chains = np.full(len(self.sample), -1, np.int32)
        self._resolve(chains)
        # That was most of the file. Pictures have big tables of their own.
        profile.reader.release()

    def _of(self, column: np.ndarray) -> np.ndarray:
        whole = len(self.sample) == len(self.profile)
        return column if whole else column[self.sample]

    @cached_property
    def time(self) -> np.ndarray:
        times = np.minimum(self._of(self.profile.time), np.uint64(LARGEST)).view(np.int64)
        self.profile.reader.release()
        return times

    @cached_property
    def cpu(self) -> np.ndarray:
        return self._of(self.profile.cpu)

    @cached_property
    def thread(self) -> np.ndarray:
        return self._of(self.profile.thread)

    @cached_property
    def comm(self) -> np.ndarray:
        return self._of(self.profile.comm)

    def __len__(self) -> int:
        return len(self.sample)

    # --- addresses and stacks

    def _resolve(self, chains) -> None:
        """Number the different places, name each, and put the stacks together from them."""
        profile = self.profile
        alone = np.flatnonzero(chains < 0)
        has = slice(None) if not len(alone) else np.flatnonzero(chains >= 0)
        first, which = distinct([chains[has]])
        used = chains[has][first]
        if len(used):
            first, last = profile.chain_start[used], profile.chain_start[used + 1]
            counts = last - first
            ends = np.cumsum(counts)
            entry = np.arange(ends[-1]) - np.repeat(ends - counts - first, counts)
            leaf = np.zeros(len(entry), bool)
            leaf[ends - counts] = True
            maps, modes = profile.chain_map[entry], profile.chain_mode[entry]
            ips, addresses = profile.chain_ip[entry], profile.chain_address[entry]
        else:
            ends = counts = np.zeros(0, np.int64)
            leaf = np.zeros(0, bool)
            maps = modes = ips = addresses = np.zeros(0, np.int64)
        mine = self.sample[alone]
        maps = np.concatenate((maps, profile.map[mine])).astype(np.int64)
        modes = np.concatenate((modes, profile.cpumode[mine])).astype(np.int64)
        ips = np.concatenate((ips.astype(np.uint64), profile.ip[mine].astype(np.uint64)))
        addresses = np.concatenate(
            (addresses.astype(np.uint64), profile.address[mine].astype(np.uint64))
        )
        leaf = np.concatenate((leaf, np.ones(len(mine), bool)))

        first, place = distinct([maps, modes, leaf, addresses])
        self._name(maps[first], modes[first], ips[first], addresses[first], leaf[first])

        numbers = place.tolist()
        known: dict[tuple[int, ...], int] = {}
        of_chain = np.empty(len(used), np.int64)
        for n, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
            stack = tuple(numbers[end - count : end][::-1])
            of_chain[n] = known.setdefault(stack, len(known))
        self.stack[has] = of_chain[which]
        single = place[len(place) - len(alone) :]
        first, which = distinct([single])
        of_place = [known.setdefault((one,), len(known)) for one in single[first].tolist()]
        self.stack[alone] = np.array(of_place, np.int64)[which]
        self.stacks = list(known)

    def _name(self, maps, modes, ips, addresses, leaf) -> None:
        """Locations for places that are all different."""
        profile = self.profile
        # What a return address belongs to is the call before it.
        asked = np.where(leaf, addresses, addresses - np.uint64(1))
        symbols: list = [None] * len(maps)
        if len(profile.maps):
            dsos = np.array([one.dso.index for one in profile.maps], np.int64)[maps]
            dsos = np.where(maps >= 0, dsos, -1)
            for number in np.unique(dsos[dsos >= 0]).tolist():
                table = profile.dsos[number].symbols
                if table is None:
                    continue
                these = np.flatnonzero(dsos == number)
                found = table.symbols_of(addresses[these])
                named = {n: table.symbol_at(n).name for n in np.unique(found).tolist() if n >= 0}
                for where, n in zip(these.tolist(), found.tolist(), strict=True):
                    symbols[where] = named.get(n)
        ips = np.where(leaf, ips, ips - np.uint64(1))
        rows = zip(
            maps.tolist(), modes.tolist(), ips.tolist(), asked.tolist(), symbols, strict=True
        )
        for number, mode, ip, address, symbol in rows:
            there = profile.maps[number] if number >= 0 else None
            self.locations.append(self._location(there, mode, ip, address, symbol))

    def _location(self, there, mode, ip, address, symbol) -> Location:
        dso = there.dso if there else None
        lines = ()
        if self._inlines and dso is not None and dso.symbols is not None:
            lines = dso.symbols.lines(address)
        short, path = (dso.short_name, dso.name) if dso else (UNKNOWN, UNKNOWN)
        kind = KINDS.get(mode, "user")
        frames, files = [], []
        for line in lines[:-1]:
            name = line.function or UNKNOWN
            frames.append((self._function(name, short, path, kind, True), line.line or 0))
            files.append(line.file or "")
        last = lines[-1] if lines else None
        frames.append(
            (self._function(symbol or UNKNOWN, short, path, kind), last.line or 0 if last else 0)
        )
        files.append(last.file or "" if last else "")
        return Location(there, ip, address, tuple(frames), tuple(map(legible, files)))

    def _function(self, *fields) -> int:
        number = self._functions.get(fields)
        if number is None:
            number = self._functions[fields] = len(self.functions)
            texts, *inlined = map(legible, fields[:4]), *fields[4:]
            self.functions.append(Function(*texts, *inlined))
        return number

    # --- what users take

    def path(self, stack: int) -> tuple[int, ...]:
        """The functions of a stack, outermost first, inlined ones after those that they are in."""
        return tuple(
            function
            for location in self.stacks[stack]
            for function, _ in reversed(self.locations[location].frames)
        )

    def comm_name(self, number: int) -> str:
        return legible(self.profile.comms[number])

    def totals(self, *columns: np.ndarray):
        """Samples that agree in these columns together: (values, samples, period) of each group,
        in the order of their first samples."""
        first, group = distinct(list(columns))
        counts = np.bincount(group, minlength=len(first))
        periods = np.zeros(len(first), np.int64)
        np.add.at(periods, group, self.period)
        values = zip(*(column[first].tolist() for column in columns), strict=True)
        return zip(values, counts.tolist(), periods.tolist(), strict=True)

    @property
    def total(self) -> int:
        """The sum of all periods."""
        return int(self.period.sum())


class Tree:
    """Stacks as a tree of calls. Node 0 is the root; a node comes after its parent.

    Columns over the nodes, as lists: `parent` (-1 for the root), `frame` (what the caller gave),
    `count` and `weight` of the samples that ended just there.
    """

    def __init__(self):
        self.parent, self.frame = [-1], [None]
        self.count, self.weight = [0], [0]
        self._children: dict[tuple, int] = {}

    def __len__(self) -> int:
        return len(self.parent)

    def child(self, parent: int, frame) -> int:
        """The node for `frame` called from `parent`; a new one if there is none yet."""
        key = parent, frame
        node = self._children.get(key)
        if node is None:
            node = self._children[key] = len(self.parent)
            self.parent.append(parent)
            self.frame.append(frame)
            self.count.append(0)
            self.weight.append(0)
        return node

    def add(self, path, count: int, weight: int) -> int:
        """Count samples that ended at the end of `path`; its node."""
        node = 0
        for frame in path:
            node = self.child(node, frame)
        self.count[node] += count
        self.weight[node] += weight
        return node

    def totals(self, own: list[int]) -> list[int]:
        """For each node the sum of a column over it and all below it."""
        whole = list(own)
        for node in range(len(whole) - 1, 0, -1):
            whole[self.parent[node]] += whole[node]
        return whole

    def depths(self) -> list[int]:
        """How far each node is from the root, 0 for that itself."""
        depth = [0] * len(self.parent)
        for node in range(1, len(depth)):
            depth[node] = depth[self.parent[node]] + 1
        return depth
