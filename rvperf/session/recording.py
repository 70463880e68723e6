"""What perf_events finds, as the records of a perf.data."""

from __future__ import annotations

import os

from isa.record import Record
from rvperf.machine import transfers
from rvperf.perfdata import records
from rvperf.perfdata.attr import BRANCH, READ, SAMPLE
from rvperf.perfdata.features import NrCpus, SampleTime
from rvperf.perfdata.writer import EventSpec
from rvperf.stack.kernel.kallsyms import TEXT, KernelSymbols

BUFFER = 528384
"""Bytes of the ring buffer that perf maps for a CPU by default: 512 KiB and a page."""
KERNEL_MAP = "[kernel.kallsyms]_text"
KERNEL_DSO = "[kernel.kallsyms]"
GUEST_KERNEL_MAP = "[guest.kernel.kallsyms]_text"
GUEST_KERNEL_DSO = "[guest.kernel.kallsyms]"
MAP_SHARED, MAP_PRIVATE = 1, 2
OP_LOAD, OP_STORE, OP_NA = 2, 4, 1  # PERF_MEM_OP_*
NOT_AVAILABLE = OP_NA | 1 << 5 | 1 << 19 | 1 << 24 | 1 << 26  # PERF_MEM_NA
LEVEL_HIT_L1 = (0x02 | 0x08) << 5  # PERF_MEM_LVL_HIT | LVL_L1
PAGE_SIZE = 4096
LIST_OF_CPUS, RANGE_OF_CPUS = 0, 2  # PERF_CPU_MAP__*
# PERF_BR_* for each of Smctr's types.
BRANCH_TYPES = {
    transfers.TAKEN_BRANCH: 1,
    transfers.DIRECT_JUMP: 2,
    transfers.OTHER_DIRECT_JUMP: 2,
    transfers.INDIRECT_JUMP: 3,
    transfers.OTHER_INDIRECT_JUMP: 3,
    transfers.DIRECT_CALL: 4,
    transfers.INDIRECT_CALL: 5,
    transfers.COROUTINE_SWAP: 5,
    transfers.RETURN: 6,
}


class Machine(Record):
    """What the header says of the emulated machine."""

    hostname: str
    release: str
    cpuid: str
    cpudesc: str
    memory_kb: int
    perf_version: str
    cpus: int = 1


class KernelImage(Record):
    """A kernel that samples may fall in. `mode` is the cpumode that says so, `dso` and `map` perf's
    names of it and of its place, `machine` the pid that perf knows its machine by."""

    symbols: KernelSymbols
    mode: int = records.KERNEL
    dso: str = KERNEL_DSO
    map: str = KERNEL_MAP
    machine: int = -1


class OutputFull(Exception):
    """The recording is to end before the program does. Says what the system said, if it did."""


class Recording:
    """The sink of perf_events: encodes and writes, in rounds, and keeps what the end needs.

    `open_file(name)` gives the next Writer; `rotate_at` is (bytes, ns) after which a new file is
    begun, either of them 0 for never. `symbols` are those of the kernel that perf is in.
    """

    program_mode = records.USER
    """The cpumode of the programs whose maps are told."""
    cpus: tuple[int, ...] = (0,)
    """The CPUs that are recorded."""

    def __init__(self, specs: list[EventSpec], open_file, symbols: KernelSymbols, rotate_at=(0, 0)):
        self.specs = specs
        self.symbols = symbols
        self.kernels = (KernelImage(symbols),)
        self.encoders = [records.sample_encoder(spec.attr) for spec in specs]
        self.plain_encoders = [self._plain_encoder(number) for number in range(len(specs))]
        self.tracking = next(spec for spec in reversed(specs) if spec.attr.task)
        self.open_file, self.rotate_at = open_file, rotate_at
        self.samples = 0
        self.rounds = 0
        self.first = self.last = 0
        self.hit: dict[str, bytes] = {}
        """Build-ids of what was mapped, by path; empty where there is none."""
        self.paths: dict[str, str] = {}
        """What was mapped: the guest's name of a file, and where it is on this host."""
        self.hit_kernels: set[int] = set()
        """The modes of the kernels that samples fell in."""
        self.lost = 0
        self.closed = False

    def begin(self, system) -> None:
        """The first file, before anything runs. The tasks are those of `system`, which has a hart,
        `processes` and a `first` task, as a Kernel has."""
        self.system = system
        self.writer = self.open_file()
        self._open_round = 0
        self._began = self.now
        self._describe()

    def _describe(self) -> None:
        """What every file begins with: the kernel, the events' names, who is there."""
        write = self.writer.write
        for one in self.kernels:
            length = one.symbols.end - TEXT
            place = records.Mmap(one.machine, 0, TEXT, length, TEXT, one.map, misc=one.mode)
            write(self._side(place))
        thread = records.struct.pack("<Q16s", self.system.first.process.pid, b"")
        write(records.ThreadMap(1, thread).encode())
        write(records.CpuMap(cpu_map(self.cpus)).encode())

    # Where and when it is recorded.

    @property
    def now(self) -> int:
        """The time of what is told, in ns."""
        return self.system.hart.cycles

    @property
    def cpu(self) -> int:
        """The CPU that it is told on."""
        return 0

    def opening(self, task) -> int:
        """Which of those that events were opened for (tasks or CPUs) a record of the task's is by:
        each has an id of its own."""
        return 0

    def _side(self, record, task=None, spec=None) -> bytes:
        """A side-band record of the task's, now; of nobody's and at no time without one. `spec` is
        the event that it belongs to, if it isn't the one that tracks."""
        spec = spec or self.tracking
        if task is None:
            record.sample_id = records.SampleId(0, 0, 0, 0, 0, 0)
        else:
            number = spec.ids[self.opening(task)]
            record.sample_id = records.SampleId(
                task.process.pid, task.tid, self.now, number, number, self.cpu
            )
        return record.encode(spec.attr)

    def synthesize(self) -> None:
        """Tell of the tasks that are there already: before exec there is perf's own child."""
        first = self.system.first
        name = records.Comm(first.process.pid, first.tid, "perf-exec", misc=records.USER)
        self.writer.write(self._side(name))
        self.writer.write(records.FinishedInit().encode())

    def _resynthesize(self) -> None:
        for process in self.system.processes.values():
            for task in process.threads:
                comm = records.Comm(process.pid, task.tid, task.name, misc=records.USER)
                self.writer.write(self._side(comm))
            if process.leader:
                for area in process.leader.memory.areas:
                    if area.prot & 4:
                        self.writer.write(self._side(self._map_record(process.leader, area)))

    # --- perf_events' sink

    def comm(self, task, executed: bool) -> None:
        misc = records.USER | (records.MISC_COMM_EXEC if executed else 0)
        self._write(
            self._side(records.Comm(task.process.pid, task.tid, task.name, misc=misc), task)
        )

    def mmap(self, task, area, executable: bool) -> None:
        record = self._map_record(task, area)
        if not executable:
            record.misc |= records.MISC_MMAP_DATA
        self._write(self._side(record, task))

    def _map_record(self, task, area):
        name, offset, identity = area.name or "//anon", 0, (0, 0)
        if area.file is not None and area.file.host is not None:
            name, offset, identity = path_of(area.file), area.offset, area.file.identity
            self.paths[area.file.name] = name
        record = records.Mmap2(
            pid=task.process.pid, tid=task.tid, addr=area.start, len=area.end - area.start,
            pgoff=offset, prot=area.prot,
            flags=MAP_SHARED if area.shared else MAP_PRIVATE, filename=name, misc=records.USER,
        )  # fmt: skip
        build_id = self._build_id(name) if identity != (0, 0) else b""
        if build_id:
            record.build_id = build_id
            record.misc |= records.MISC_MMAP_BUILD_ID
        else:
            device, record.ino = identity
            record.maj, record.min = os.major(device), os.minor(device)
        return record

    def _build_id(self, path: str) -> bytes:
        if path not in self.hit:
            from rvperf.perfdata.buildid import of_elf

            self.hit[path] = of_elf(path)
        return self.hit[path]

    def fork(self, parent, child) -> None:
        record = records.Fork(
            child.process.pid, parent.process.pid, child.tid, parent.tid, self.now
        )
        self._write(self._side(record, child))

    def exit(self, task) -> None:
        if self.closed:
            return
        parent = task.process.parent
        ppid = parent.pid if parent else task.process.pid
        record = records.Exit(task.process.pid, ppid, task.tid, ppid, self.now)
        self._write(self._side(record, task))

    def read(self, task, number: int, count: int) -> None:
        """-s: what an event counted in a task that has ended."""
        if self.closed:
            return
        spec, ran = self.specs[number], task.user_ns + task.system_ns
        shown = (
            (READ.TOTAL_TIME_ENABLED, ran),
            (READ.TOTAL_TIME_RUNNING, ran),
            (READ.ID, spec.ids[0]),
            (READ.LOST, 0),
        )
        values = (count, *(value for bit, value in shown if spec.attr.read_format & bit))
        record = records.Read(task.process.pid, task.tid, values)
        self._write(self._side(record, task, spec))

    def switch(self, task, out: bool) -> None:
        record = records.Switch(misc=records.MISC_SWITCH_OUT if out else 0)
        self._write(self._side(record, task))

    def throttle(self, task, number: int, on: bool) -> None:
        """An event interrupts too often and stands still, or goes on."""
        spec = self.specs[number]
        kind = records.Throttle if on else records.Unthrottle
        identity = spec.ids[self.opening(task)]
        record = kind(self.now, identity, identity)
        self._write(self._side(record, task, spec))

    def lost_samples(self, number: int, count: int) -> None:
        self.lost += count

    def sample(self, sample) -> None:
        spec = self.specs[sample.event]
        kind = spec.attr.sample_type
        number = spec.ids[sample.opening]
        given = {"ip": sample.ip, "pid": sample.pid, "tid": sample.tid}
        if kind & SAMPLE.TIME:
            given["time"] = sample.time
        if kind & (SAMPLE.ID | SAMPLE.IDENTIFIER):
            given["id"] = number
        if kind & SAMPLE.ADDR:
            given["addr"] = sample.addr
        if kind & SAMPLE.PERIOD:
            given["period"] = sample.period
        if kind & SAMPLE.CPU:
            given["cpu"] = self.cpu
        if kind & SAMPLE.READ:
            given["read"] = self._reading(spec, sample)
        if kind & SAMPLE.CALLCHAIN:
            given["callchain"] = sample.callchain[: spec.attr.sample_max_stack or None]
        if kind & SAMPLE.RAW:
            given["raw"] = sample.raw or b""
        if kind & SAMPLE.BRANCH_STACK:
            kinds = spec.attr.branch_sample_type
            given["branches"] = [branch(entry, kinds) for entry in sample.branches or ()]
        if kind & SAMPLE.REGS_USER:
            mask = spec.attr.sample_regs_user
            values = [v for n, v in enumerate(sample.registers) if mask >> n & 1]
            given["regs_user"] = records.Registers(2, values)
        if kind & SAMPLE.STACK_USER:
            size = spec.attr.sample_stack_user
            stack = sample.stack[:size]
            given["stack"] = stack.ljust(size, b"\0")
            given["stack_size"] = len(stack)
        if kind & SAMPLE.WEIGHT:
            given["weight"] = sample.weight
        if kind & SAMPLE.DATA_SRC:
            given["data_src"] = data_source(sample.access)
        if kind & SAMPLE.PHYS_ADDR:
            given["phys_addr"] = sample.physical
        for bit, name in (
            (SAMPLE.DATA_PAGE_SIZE, "data_page_size"),
            (SAMPLE.CODE_PAGE_SIZE, "code_page_size"),
        ):
            if kind & bit:
                given[name] = PAGE_SIZE
        if sample.guest:
            misc = records.GUEST_USER if sample.user else records.GUEST_KERNEL
        else:
            misc = records.USER if sample.user else records.KERNEL
        if not sample.user:
            self.hit_kernels.add(misc)
        if spec.attr.precise_ip and sample.exact:
            misc |= records.MISC_EXACT_IP
        self.samples += 1
        if not self.first:
            self.first = sample.time
        self.last = max(self.last, sample.time)
        self._write(self.encoders[sample.event](misc, **given))

    def plain_sample(self, number, ip, pid, tid, time, period, chain) -> None:
        """A sample of user code that the engine has taken by itself: there may be very many."""
        self.samples += 1
        if not self.first:
            self.first = time
        self.last = time
        self._write(self.plain_encoders[number](ip, pid, tid, time, period, chain))

    def _plain_encoder(self, number: int):
        """A quick way to encode what plain_sample gets, for one event."""
        spec, encode = self.specs[number], self.encoders[number]
        kind, identity = spec.attr.sample_type, spec.ids[0]
        misc = records.USER | (records.MISC_EXACT_IP if spec.attr.precise_ip else 0)
        given = ["ip=ip, pid=pid, tid=tid"]
        for bits, text in (
            (SAMPLE.TIME, "time=time"),
            (SAMPLE.ID | SAMPLE.IDENTIFIER, f"id={identity}"),
            (SAMPLE.PERIOD, "period=period"),
            (SAMPLE.CALLCHAIN, f"callchain=chain[:{spec.attr.sample_max_stack or None}]"),
        ):
            if kind & bits:
                given.append(text)
        # Only names from above are in the text.
        source = f"lambda ip, pid, tid, time, period, chain: encode({misc}, {', '.join(given)})"
        return eval(source, {"encode": encode})

    def _reading(self, spec, sample):
        shown = spec.attr.read_format
        values = [
            records.ReadValue(value, self.specs[number].ids[sample.opening], 0)
            for value, number in sample.values or ()
        ]
        time = self.now
        both = READ.TOTAL_TIME_ENABLED | READ.TOTAL_TIME_RUNNING
        return records.Reading(values, *((time, time) if shown & both else (0, 0)))

    # --- writing

    def _write(self, data: bytes) -> None:
        if self.closed:
            return
        try:
            self.writer.write(data)
        except OSError as error:
            self.closed = True
            raise OutputFull(error.strerror) from None
        self._open_round += len(data)
        if self._open_round >= BUFFER // 2 and self.settled():
            self._round()

    def settled(self) -> bool:
        """Whether all that will come is no older than what came before the last round."""
        return True

    def _round(self) -> None:
        self.writer.round()
        self.rounds += 1
        self._open_round = 0

    def due(self) -> bool:
        """Whether a new file is to be begun."""
        size, time = self.rotate_at
        now = self.now - self._began
        return bool(size and self.writer.written >= size or time and now >= time)

    def rotate(self, finish) -> None:
        """End this file by `finish(writer)` and begin another, which knows all that is there."""
        self._end_file(finish)
        self.writer = self.open_file()
        self._began = self.now
        self._describe()
        self._resynthesize()
        self.writer.write(records.FinishedInit().encode())
        self.first = self.last = 0

    def end(self, finish) -> None:
        """The program has ended, and so does the last file."""
        if not self.closed:
            self.closed = True
            self._end_file(finish)

    def _end_file(self, finish) -> None:
        self._round()
        features = self.writer.features
        features["SAMPLE_TIME"] = SampleTime(self.first, self.last)
        finish(self.writer)
        self.writer.close()


def branch(entry, asked: int) -> tuple[int, int, int]:
    """(from, to, flags) of a perf_branch_entry; `asked` is the attr's branch_sample_type."""
    if isinstance(entry, tuple):
        return (*entry, 0)
    flags = 0
    if not asked & BRANCH.NO_FLAGS:
        flags = 1 if entry.mispredicted else 2
    if not asked & BRANCH.NO_CYCLES:
        flags |= entry.cycles << 4
    if asked & BRANCH.TYPE_SAVE:
        flags |= BRANCH_TYPES[entry.type] << 20
    return entry.source, entry.to, flags


def data_source(access) -> int:
    """PERF_SAMPLE_DATA_SRC: every access of this machine's model hits the first cache."""
    if access is None:
        return NOT_AVAILABLE
    operation = OP_STORE if access[0] == "store" else OP_LOAD
    return operation | LEVEL_HIT_L1 | NOT_AVAILABLE & ~(OP_NA | 1 << 5)


def cpu_map(cpus: tuple[int, ...]) -> bytes:
    """The data of a CPU_MAP: a range if they are in a row, as perf has it, or a list."""
    if len(cpus) > 1 and cpus[-1] - cpus[0] == len(cpus) - 1:
        return records.struct.pack("<HBBHH", RANGE_OF_CPUS, 0, 0, cpus[0], cpus[-1])
    data = records.struct.pack(f"<HH{len(cpus)}H", LIST_OF_CPUS, len(cpus), *cpus)
    return data + bytes(-len(data) % 8)


def path_of(file) -> str:
    """Where on this host a mapped file is, so that perf finds it."""
    try:
        return os.readlink(f"/proc/self/fd/{file.host}")
    except OSError:
        return file.name


def header(machine: Machine, command: list[str]) -> dict[str, object]:
    """The features that say where and how it was recorded."""
    return {
        "HOSTNAME": machine.hostname,
        "OSRELEASE": machine.release,
        "VERSION": machine.perf_version,
        "ARCH": "riscv64",
        "NRCPUS": NrCpus(machine.cpus, machine.cpus),
        "CPUDESC": machine.cpudesc,
        "CPUID": machine.cpuid,
        "TOTAL_MEM": machine.memory_kb,
        "CMDLINE": command,
        "PMU_MAPPINGS": [(4, "cpu"), (1, "software"), (2, "tracepoint")],
    }
