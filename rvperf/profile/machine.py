"""Who ran and what was mapped, as records tell it: threads, their names, their maps.

The rules are perf's (tools/perf/util/machine.c, thread.c, maps.c), since the same file has to give
the same rows: threads are known by tid alone, a process's threads share its maps, a fork copies
them, a new map cuts holes into those below it. An exec drops no map: perf lets the new ones cover
the old.
"""

from bisect import bisect_left, bisect_right

import numpy as np

from rvperf.perfdata import records

PROT_EXEC = 4
MAP_HUGETLB = 0x40000
FORK_EXEC = 0x2000
"""misc of a FORK that perf made up for a task that ran already: copies no maps."""
HOST_KERNEL, GUEST_KERNEL = "[kernel.kallsyms]", "[guest.kernel.kallsyms]"


class Dso:
    """A file (or what stands for one) that maps come from.

    `name` is its path or `[vdso]` and the like; `short_name` what perf shows; `kind` is "user",
    "vdso", "kernel", "module", "guest_kernel" or "guest_module"; `build_id` may be empty.
    """

    __slots__ = ("index", "name", "short_name", "kind", "build_id", "symbols")

    def __init__(self, index: int, name: str, kind: str, build_id: bytes):
        self.index, self.name, self.kind, self.build_id = index, name, kind, build_id
        self.short_name = short_name(name, kind)
        self.symbols = None

    def __repr__(self):
        return f"Dso({self.name!r}, {self.kind})"


def kind_of(name: str, cpumode: int) -> str:
    """The kind of a dso in the build-id table."""
    if cpumode in (records.KERNEL, records.GUEST_KERNEL):
        guest = "guest_" if cpumode == records.GUEST_KERNEL else ""
        return guest + ("kernel" if "kernel.kallsyms" in name else "module")
    return "vdso" if name == "[vdso]" else "user"


def short_name(name: str, kind: str) -> str:
    """perf's short name of a dso: the last part of its path, `[JIT] tid N` for a perf map."""
    base = name.rsplit("/", 1)[-1]
    if base.startswith("perf-") and base.endswith(".map") and base[5:-4].isdigit():
        return f"[JIT] tid {base[5:-4]}"
    if kind.endswith("module") and not base.startswith("["):
        stem = base.split(".ko")[0].replace("-", "_")
        return f"[{stem}]"
    return base or name


class Map:
    """A range [start, end) of addresses that shows a dso from `pgoff` on."""

    __slots__ = ("index", "start", "end", "pgoff", "dso", "identity", "prot", "flags")

    def __init__(self, start, end, pgoff, dso, identity=False, prot=0, flags=0):
        self.start, self.end, self.pgoff, self.dso = start, end, pgoff, dso
        self.identity, self.prot, self.flags = identity, prot, flags
        self.index = -1

    def address(self, ip: int) -> int:
        """The address in the dso of an address in this map (perf's map_ip)."""
        return ip if self.identity else ip - self.start + self.pgoff

    def ip(self, address: int) -> int:
        """The other way round (perf's unmap_ip)."""
        return address if self.identity else address + self.start - self.pgoff

    def part(self, start: int, end: int) -> "Map":
        """A piece of this map."""
        pgoff = self.pgoff + start - self.start
        return Map(start, end, pgoff, self.dso, self.identity, self.prot, self.flags)

    def __repr__(self):
        return f"Map({self.start:#x}, {self.end:#x}, {self.pgoff:#x}, {self.dso.name!r})"


class Maps:
    """The maps of one address space, disjoint and sorted."""

    __slots__ = ("starts", "entries", "users", "snapshot")

    def __init__(self):
        self.starts: list[int] = []
        self.entries: list[Map] = []
        self.users: set[tuple] = set()
        """Keys of the threads that have it."""
        self.snapshot = -1
        """The number of its present state among the states that samples saw; -1 if none did."""

    def insert(self, new: Map) -> None:
        """Add a map; what it covers of others goes."""
        first = bisect_right(self.starts, new.start)
        if first and self.entries[first - 1].end > new.start:
            first -= 1
        last = bisect_left(self.starts, new.end)
        pieces = []
        for old in self.entries[first:last]:
            if old.start < new.start:
                pieces.append(old.part(old.start, new.start))
            if old.end > new.end:
                pieces.append(old.part(new.end, old.end))
        pieces.append(new)
        pieces.sort(key=lambda one: one.start)
        self.entries[first:last] = pieces
        self.starts[first:last] = [one.start for one in pieces]
        self.snapshot = -1

    def copy_from(self, other: "Maps") -> None:
        """What a fork does: the other's maps on top of those that are here."""
        if not self.entries:
            self.starts, self.entries = list(other.starts), list(other.entries)
            self.snapshot = -1
            return
        for one in other.entries:
            self.insert(one.part(one.start, one.end))

    def find(self, address: int) -> Map | None:
        place = bisect_right(self.starts, address) - 1
        if place >= 0 and address < self.entries[place].end:
            return self.entries[place]
        return None


class Thread:
    """A task. `comm` is its name now; `comms` all that it had, oldest first.

    Samples refer to a thread and to the comm that it had then.
    """

    __slots__ = ("index", "pid", "tid", "ppid", "comm", "comm_set", "first_comm", "maps",
                 "machine")  # fmt: skip

    def __init__(self, index, machine, pid, tid):
        self.index, self.machine, self.pid, self.tid = index, machine, pid, tid
        self.ppid = -1
        self.comm = f":{tid}"
        self.comm_set = False
        self.first_comm = None
        """The first name that it was given. perf's report gives it to earlier samples too."""
        self.maps: Maps = None

    def __repr__(self):
        return f"Thread({self.pid}/{self.tid} {self.comm!r})"


class Machine:
    """The host or the guest: its threads by tid, and its kernel's maps."""

    def __init__(self, world: "World", guest: bool):
        self.world, self.guest = world, guest
        self.threads: dict[int, Thread] = {}
        self.kernel = Maps()

    def thread(self, pid: int, tid: int) -> Thread:
        """The thread of this tid; a new one if there is none."""
        found = self.threads.get(tid)
        if found is not None:
            if found.pid == -1 and pid != -1:
                found.pid = pid
                if pid != tid:
                    self._bind(found, self.thread(pid, pid).maps)
            return found
        found = Thread(len(self.world.threads), self, pid, tid)
        self.world.threads.append(found)
        self.threads[tid] = found
        shared = pid != tid and pid != -1
        self._bind(found, self.thread(pid, pid).maps if shared else Maps())
        return found

    def _bind(self, thread: Thread, maps: Maps) -> None:
        if thread.maps is not None:
            thread.maps.users.discard((self.guest, thread.tid))
        thread.maps = maps
        maps.users.add((self.guest, thread.tid))


class World:
    """All machines of a file, changed record by record.

    `flush(keys)` is called before anything changes for the threads with these keys (guest, tid);
    `flush(None)` before anything changes for all.
    """

    def __init__(self, build_ids=(), guest: bool = False, flush=lambda keys: None):
        self.guest = guest
        self.flush = flush
        self.threads: list[Thread] = []
        self.dsos: list[Dso] = []
        self.maps: list[Map] = []
        """Maps that samples saw, by index."""
        self._dsos: dict[tuple, Dso] = {}
        self._build_ids = {}
        self._unclaimed: dict[tuple[str, str], Dso] = {}
        for entry in build_ids:
            kind = kind_of(entry.filename, entry.cpumode)
            cut = entry.data[: entry.id_size]
            self._build_ids.setdefault(entry.filename, cut)
            if (entry.filename, kind) not in self._unclaimed:
                self._unclaimed[entry.filename, kind] = self._new_dso(entry.filename, kind, cut)
        self.listed = len(self.dsos)
        """How many of `dsos` the header's build-id table has."""
        self.machines = [Machine(self, False), Machine(self, True)]
        idle = self.machines[0].thread(0, 0)
        idle.comm, idle.comm_set = "swapper", True

    def machine(self, cpumode: int) -> Machine:
        return self.machines[self.guest and cpumode in (records.GUEST_KERNEL, records.GUEST_USER)]

    def dso(self, name: str, kind: str, build_id: bytes = b"", file: tuple = ()) -> Dso:
        """The dso of this name and file identity (maj, min, ino, generation)."""
        key = name, kind, file
        found = self._dsos.get(key)
        if found is None:
            # The first file of a name in the header's table is that entry, whatever its inode.
            found = self._unclaimed.pop((name, kind), None)
            if found is None:
                found = self._new_dso(name, kind, self._build_ids.get(name, b""))
            self._dsos[key] = found
        if build_id:
            found.build_id = build_id
        return found

    def _new_dso(self, name: str, kind: str, build_id: bytes) -> Dso:
        new = Dso(len(self.dsos), name, kind, build_id)
        self.dsos.append(new)
        return new

    # --- records

    def apply(self, record) -> None:
        """Let a record take effect. Those that change nothing here are ignored."""
        kind = record.type
        if kind == records.Comm.type:
            self._comm(record)
        elif kind in (records.Mmap.type, records.Mmap2.type):
            if record.cpumode in (records.KERNEL, records.GUEST_KERNEL):
                self._kernel_map(record)
            else:
                self._map(record)
        elif kind == records.Fork.type:
            self._fork(record)
        elif kind == records.Ksymbol.type:
            self._ksymbol(record)

    def _comm(self, record) -> None:
        machine = self.machine(record.cpumode)
        self.flush({(machine.guest, record.tid)})
        thread = machine.thread(record.pid, record.tid)
        if not thread.comm_set:
            thread.first_comm = record.comm
        thread.comm, thread.comm_set = record.comm, True

    def _fork(self, record) -> None:
        machine = self.machine(record.cpumode)
        self.flush({(machine.guest, record.tid), (machine.guest, record.ptid)})
        parent = machine.thread(record.ppid, record.ptid)
        if parent.pid != record.ppid:
            machine.threads.pop(record.ptid, None)
            parent = machine.thread(record.ppid, record.ptid)
        machine.threads.pop(record.tid, None)
        child = machine.thread(record.pid, record.tid)
        child.ppid = parent.tid
        if parent.comm_set:
            child.comm, child.comm_set = parent.comm, True
            child.first_comm = parent.comm
        if child.pid != parent.pid and child.maps is not parent.maps:
            if not record.misc & FORK_EXEC:
                self.flush(child.maps.users)
                child.maps.copy_from(parent.maps)

    def _map(self, record) -> None:
        machine = self.machine(record.cpumode)
        mapped = record.type == records.Mmap2.type
        prot = record.prot if mapped else 0
        if not mapped and not record.misc & records.MISC_MMAP_DATA:
            prot = PROT_EXEC
        flags = record.flags if mapped else 0
        build_id = record.build_id if mapped else b""
        file = ()
        if mapped and not build_id:
            file = record.maj, record.min, record.ino, record.ino_generation
        thread = machine.thread(record.pid, record.tid)
        self.flush(thread.maps.users)
        name, pgoff, kind = record.filename, record.pgoff, "user"
        anonymous = name.startswith(("//anon", "/dev/zero", "/anon_hugepage"))
        identity = (
            anonymous
            or bool(flags & MAP_HUGETLB)
            or name.startswith(("[stack", "/SYSV"))
            or name == "[heap]"
        )
        if identity and prot & PROT_EXEC:
            name = f"/tmp/perf-{thread.pid}.map"
        elif name.startswith("[vdso]"):
            name, pgoff, kind, file = "[vdso]", 0, "vdso", ()
        dso = self.dso(name, kind, build_id, file)
        end = min(record.addr + record.len, 2**64 - 1)
        if end > record.addr:
            thread.maps.insert(Map(record.addr, end, pgoff, dso, identity, prot, flags))

    def _kernel_map(self, record) -> None:
        machine = self.machine(record.cpumode)
        guest = record.cpumode == records.GUEST_KERNEL and self.guest
        name = record.filename
        prefixes = (GUEST_KERNEL[:-1], HOST_KERNEL[:-1]) if guest else (HOST_KERNEL[:-1],)
        if record.cpumode == records.GUEST_KERNEL and not self.guest:
            return  # perf has it behind the host's map of these addresses, where nothing finds it
        start, end = record.addr, min(record.addr + record.len, 2**64 - 1)
        build_id = getattr(record, "build_id", b"")
        if name.startswith(prefixes):
            if start == 0 and end == 0:
                end = 2**64 - 1
            dso = self.dso(
                GUEST_KERNEL if guest else HOST_KERNEL,
                "guest_kernel" if guest else "kernel",
                build_id,
            )
            new = Map(start, end, record.pgoff, dso, identity=True)
        elif name.startswith(("/", "[")):
            dso = self.dso(name, "guest_module" if guest else "module", build_id)
            new = Map(start, end, 0, dso)
        else:
            return
        if end > start:
            self.flush(None)
            machine.kernel.insert(new)

    def _ksymbol(self, record) -> None:
        """A piece of code that the kernel made (a BPF program): a dso by its own name."""
        machine = self.machine(record.cpumode)
        if record.flags & 1 or not record.len or machine.kernel.find(record.addr):
            return
        self.flush(None)
        dso = self.dso(record.symbol, "module")
        end = min(record.addr + record.len, 2**64 - 1)
        machine.kernel.insert(Map(record.addr, end, 0, dso))

    # --- states that samples saw

    def snapshot(self, maps: Maps, kept: list[np.ndarray]) -> int:
        """The number of the present state of some maps in `kept`, an array of map indices."""
        if maps.snapshot < 0:
            for one in maps.entries:
                if one.index < 0:
                    one.index = len(self.maps)
                    self.maps.append(one)
            maps.snapshot = len(kept)
            kept.append(np.array([one.index for one in maps.entries], np.int32))
        return maps.snapshot
