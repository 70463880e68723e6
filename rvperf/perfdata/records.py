"""The records of perf.data, each declared once: encoded and decoded by the same declaration.

A record is a header (u32 type, u16 misc, u16 size) and a body. A body is declared as text:
`pid:i32 addr:u64` are numbers, `name:str` is a text that ends with NUL and is padded to eight
bytes, `ids:u64s` is all the words that are left, `data:bytes` all the bytes that are left.
Kernel records (below 64) end with a sample_id if the event has `sample_id_all`.
"""

import struct

from rvperf.perfdata.attr import READ, SAMPLE, Attr

HEADER = struct.Struct("<IHH")
HEADER_SIZE = HEADER.size
LARGEST = 0xFFFF
"""Bytes of the largest record; whole ones are multiples of eight."""
USER_TYPES = 64
"""Types from here on are perf's own; below, the kernel's."""

CODES = {"u8": "B", "u16": "H", "u32": "I", "i32": "i", "u64": "Q", "f64": "d", "id20": "20s"}

MISC_CPUMODE = 7
UNKNOWN, KERNEL, USER, HYPERVISOR, GUEST_KERNEL, GUEST_USER = range(6)
"""cpumodes: the low bits of misc."""
MISC_COMM_EXEC = MISC_MMAP_DATA = MISC_SWITCH_OUT = 0x2000
MISC_MMAP_BUILD_ID = MISC_EXACT_IP = MISC_SWITCH_OUT_PREEMPT = 0x4000
MISC_BUILD_ID_SIZE = 0x8000

CONTEXT_HV = 2**64 - 32
CONTEXT_KERNEL = 2**64 - 128
CONTEXT_USER = 2**64 - 512
CONTEXT_GUEST = 2**64 - 2048
CONTEXT_GUEST_KERNEL = 2**64 - 2176
CONTEXT_GUEST_USER = 2**64 - 2560
CONTEXT_MAX = 2**64 - 4095
"""Callchain entries from here on are markers: what follows was in that mode."""

EVENT_UPDATE_UNIT, EVENT_UPDATE_SCALE, EVENT_UPDATE_NAME, EVENT_UPDATE_CPUS = range(4)


class RecordError(ValueError):
    """Bytes that are not the record that their header says."""


class SampleId:
    """The trailer of a kernel record: who, when, on which CPU, by which event."""

    __slots__ = ("pid", "tid", "time", "id", "stream_id", "cpu")

    def __init__(self, pid=0, tid=0, time=0, id=0, stream_id=0, cpu=0):
        self.pid, self.tid, self.time = pid, tid, time
        self.id, self.stream_id, self.cpu = id, stream_id, cpu

    def __eq__(self, other):
        return type(other) is SampleId and all(
            getattr(self, name) == getattr(other, name) for name in SampleId.__slots__
        )

    def __repr__(self):
        return f"SampleId({', '.join(f'{n}={getattr(self, n)}' for n in SampleId.__slots__)})"


TRAILER = (
    (SAMPLE.TID, "II", ("pid", "tid")),
    (SAMPLE.TIME, "Q", ("time",)),
    (SAMPLE.ID, "Q", ("id",)),
    (SAMPLE.STREAM_ID, "Q", ("stream_id",)),
    (SAMPLE.CPU, "II", ("cpu", "")),
    (SAMPLE.IDENTIFIER, "Q", ("id",)),
)
_trailers: dict[int, tuple[struct.Struct, tuple[str, ...]]] = {}


def trailer(sample_type: int) -> tuple[struct.Struct, tuple[str, ...]]:
    """The layout of sample_id for a sample type, and the field of each number ("" is none)."""
    found = _trailers.get(sample_type)
    if found is None:
        parts = [(codes, names) for bit, codes, names in TRAILER if sample_type & bit]
        layout = struct.Struct("<" + "".join(codes for codes, _ in parts))
        found = layout, tuple(name for _, names in parts for name in names)
        _trailers[sample_type] = found
    return found


class PerfRecord:
    """A decoded record: the fields of its declaration, `misc`, and `sample_id` (None without)."""

    __slots__ = ("misc", "sample_id")
    type: int
    name: str
    _fields: tuple[str, ...] = ()
    _layout: struct.Struct
    _tail: str = ""
    _bytes: tuple[str, ...] = ("build_id",)
    """Fields that are bytes of a fixed number."""

    def __init__(self, *values, misc=0, sample_id=None, **named):
        self.misc, self.sample_id = misc, sample_id
        fields = dict(zip(self._fields, values, strict=False)) | named
        for name in self._fields:
            setattr(self, name, fields.pop(name, None))
            if getattr(self, name) is None:
                setattr(self, name, self._empty(name))
        if fields:
            raise TypeError(f"{self.name} has no field {', '.join(fields)}")

    def _empty(self, name):
        if self._tail and name == self._fields[-1]:
            return {"str": "", "u64s": (), "bytes": b""}[self._tail]
        return b"" if name in self._bytes else 0

    @property
    def cpumode(self) -> int:
        return self.misc & MISC_CPUMODE

    def encode(self, attr: Attr | None = None) -> bytes:
        """The whole record. With an attr that has sample_id_all, sample_id is appended."""
        body = self._body()
        if attr is not None and attr.sample_id_all and self.type < USER_TYPES:
            layout, names = trailer(attr.sample_type)
            values = self.sample_id or SampleId()
            body += layout.pack(*[getattr(values, name) if name else 0 for name in names])
        size = HEADER_SIZE + len(body)
        if size > LARGEST:
            raise RecordError(f"a {self.name} record of {size} bytes is too large")
        return HEADER.pack(self.type, self.misc, size) + body

    def _body(self) -> bytes:
        values = [getattr(self, name) for name in self._fields]
        if not self._tail:
            return self._layout.pack(*values)
        *values, last = values
        return self._layout.pack(*values) + TAILS[self._tail][0](last)

    @classmethod
    def decode(cls, data, misc: int = 0, attr: Attr | None = None) -> "PerfRecord":
        """From a body (the bytes after the header). Raises RecordError if it is too short."""
        record = cls.__new__(cls)
        record.misc, record.sample_id = misc, None
        end = len(data)
        if attr is not None and attr.sample_id_all and cls.type < USER_TYPES:
            layout, names = trailer(attr.sample_type)
            end -= layout.size
            if end < 0:
                raise RecordError(f"a {cls.name} record is too short for its sample_id")
            record.sample_id = found = SampleId()
            for name, value in zip(names, layout.unpack_from(data, end), strict=True):
                if name:
                    setattr(found, name, value)
        record._read(data, end)
        return record

    def _read(self, data, end) -> None:
        layout = self._layout
        if layout.size > end:
            data, end = bytes(data[:end]).ljust(layout.size, b"\0"), layout.size
            if end - len(data) > 0 or not self._may_be_short:
                raise RecordError(f"a {self.name} record is too short")
        values = layout.unpack_from(data, 0)
        if self._tail:
            values = (*values, TAILS[self._tail][1](data[layout.size : end]))
        for name, value in zip(self._fields, values, strict=True):
            setattr(self, name, value)

    _may_be_short = False

    def __eq__(self, other):
        names = (*self._fields, "misc", "sample_id")
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in names
        )

    __hash__ = None

    def __repr__(self):
        fields = [f"{name}={getattr(self, name)!r}" for name in self._fields]
        return f"{type(self).__name__}({', '.join(fields)}, misc={self.misc:#x})"


def padded(text: str, width: int = 8) -> bytes:
    """A text as bytes that end with NUL and fill whole words."""
    data = text.encode("utf-8", "surrogateescape") + b"\0"
    return data + bytes(-len(data) % width)


def text_of(data) -> str:
    """The text up to the first NUL. Bytes that are no UTF-8 survive as surrogates."""
    return bytes(data).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def words_of(data) -> tuple[int, ...]:
    return struct.unpack_from(f"<{len(data) // 8}Q", data)


TAILS = {
    "str": (padded, text_of),
    "u64s": (lambda values: struct.pack(f"<{len(values)}Q", *values), words_of),
    "bytes": (bytes, bytes),
}

RECORDS: dict[int, type[PerfRecord]] = {}
"""Every declared record by its type number."""


def declare(number: int, name: str, body: str, **extra) -> type[PerfRecord]:
    fields = [field.split(":") for field in body.split()]
    tail = fields[-1][1] if fields and fields[-1][1] in TAILS else ""
    codes = "".join(CODES[kind] for _, kind in (fields[:-1] if tail else fields))
    names = tuple(name for name, _ in fields)
    contents = {
        "__slots__": names,
        "type": number,
        "name": name,
        "_fields": names,
        "_layout": struct.Struct("<" + codes),
        "_tail": tail,
        "_bytes": tuple(name for name, kind in fields if kind == "id20"),
        "__doc__": f"PERF_RECORD_{name}: {body or 'nothing'}.",
        **extra,
    }
    title = "".join(word.capitalize() for word in name.split("_"))
    RECORDS[number] = record = type(title, (PerfRecord,), contents)
    return record


Mmap = declare(1, "MMAP", "pid:i32 tid:i32 addr:u64 len:u64 pgoff:u64 filename:str")
Lost = declare(2, "LOST", "id:u64 lost:u64")
Comm = declare(3, "COMM", "pid:i32 tid:i32 comm:str")
Exit = declare(4, "EXIT", "pid:i32 ppid:i32 tid:i32 ptid:i32 time:u64")
Throttle = declare(5, "THROTTLE", "time:u64 id:u64 stream_id:u64")
Unthrottle = declare(6, "UNTHROTTLE", "time:u64 id:u64 stream_id:u64")
Fork = declare(7, "FORK", "pid:i32 ppid:i32 tid:i32 ptid:i32 time:u64")
Read = declare(8, "READ", "pid:i32 tid:i32 values:u64s")
SAMPLE_RECORD = 9


class Mmap2(PerfRecord):
    """PERF_RECORD_MMAP2. With MISC_MMAP_BUILD_ID in misc it has `build_id`, else maj, min, ino."""

    __slots__ = _fields = (
        "pid", "tid", "addr", "len", "pgoff", "maj", "min", "ino", "ino_generation", "build_id",
        "prot", "flags", "filename",
    )  # fmt: skip
    type, name, _tail = 10, "MMAP2", "str"
    _head = struct.Struct("<iiQQQ")
    _file = struct.Struct("<IIQQ")
    _identity = struct.Struct("<BBH20s")
    _end = struct.Struct("<II")

    def _body(self) -> bytes:
        if self.misc & MISC_MMAP_BUILD_ID:
            file = self._identity.pack(len(self.build_id), 0, 0, self.build_id)
        else:
            file = self._file.pack(self.maj, self.min, self.ino, self.ino_generation)
        return (
            self._head.pack(self.pid, self.tid, self.addr, self.len, self.pgoff)
            + file
            + self._end.pack(self.prot, self.flags)
            + padded(self.filename)
        )

    def _read(self, data, end) -> None:
        if end < 64:
            raise RecordError("a MMAP2 record is too short")
        self.pid, self.tid, self.addr, self.len, self.pgoff = self._head.unpack_from(data, 0)
        self.maj = self.min = self.ino = self.ino_generation = 0
        self.build_id = b""
        if self.misc & MISC_MMAP_BUILD_ID:
            size, _, _, identity = self._identity.unpack_from(data, 32)
            self.build_id = identity[: min(size, 20)]
        else:
            file = self._file.unpack_from(data, 32)
            self.maj, self.min, self.ino, self.ino_generation = file
        self.prot, self.flags = self._end.unpack_from(data, 56)
        self.filename = text_of(data[64:end])


RECORDS[10] = Mmap2
Aux = declare(11, "AUX", "aux_offset:u64 aux_size:u64 flags:u64")
ItraceStart = declare(12, "ITRACE_START", "pid:i32 tid:i32")
LostSamples = declare(13, "LOST_SAMPLES", "lost:u64")
Switch = declare(14, "SWITCH", "")
SwitchCpuWide = declare(15, "SWITCH_CPU_WIDE", "next_prev_pid:i32 next_prev_tid:i32")
Namespaces = declare(16, "NAMESPACES", "pid:i32 tid:i32 nr_namespaces:u64 link_info:u64s")
Ksymbol = declare(17, "KSYMBOL", "addr:u64 len:u32 ksym_type:u16 flags:u16 symbol:str")
BpfEvent = declare(18, "BPF_EVENT", "kind:u16 flags:u16 id:u32 tag:u64")
Cgroup = declare(19, "CGROUP", "id:u64 path:str")
TextPoke = declare(20, "TEXT_POKE", "addr:u64 old_len:u16 new_len:u16 data:bytes")
AuxOutputHwId = declare(21, "AUX_OUTPUT_HW_ID", "hw_id:u64")
HeaderAttr = declare(64, "ATTR", "data:bytes")
EventType = declare(65, "EVENT_TYPE", "event_id:u64 event:str")
TracingData = declare(66, "TRACING_DATA", "size:u32")
BuildId = declare(67, "BUILD_ID", "pid:i32 data:id20 id_size:u8 pad0:u8 pad1:u16 filename:str")
FinishedRound = declare(68, "FINISHED_ROUND", "")
IdIndex = declare(69, "ID_INDEX", "nr:u64 entries:u64s")
AuxtraceInfo = declare(70, "AUXTRACE_INFO", "kind:u32 reserved:u32 priv:u64s")
Auxtrace = declare(
    71, "AUXTRACE", "size:u64 offset:u64 reference:u64 idx:u32 tid:u32 cpu:u32 reserved:u32"
)
AuxtraceError = declare(
    72, "AUXTRACE_ERROR", "kind:u32 code:u32 cpu:u32 pid:i32 tid:i32 fmt:u32 ip:u64 rest:bytes"
)
ThreadMap = declare(73, "THREAD_MAP", "nr:u64 entries:bytes")
CpuMap = declare(74, "CPU_MAP", "data:bytes")
StatConfig = declare(75, "STAT_CONFIG", "nr:u64 entries:u64s")
Stat = declare(76, "STAT", "id:u64 cpu:i32 thread:i32 val:u64 ena:u64 run:u64")
StatRound = declare(77, "STAT_ROUND", "kind:u64 time:u64")
EventUpdate = declare(78, "EVENT_UPDATE", "kind:u64 id:u64 data:bytes")
TimeConv = declare(79, "TIME_CONV", "time_shift:u64 time_mult:u64 time_zero:u64 rest:bytes")
HeaderFeature = declare(80, "FEATURE", "feat_id:u64 data:bytes")
Compressed = declare(81, "COMPRESSED", "data:bytes")
FinishedInit = declare(82, "FINISHED_INIT", "")
NAMES = {number: record.name for number, record in RECORDS.items()} | {SAMPLE_RECORD: "SAMPLE"}


def build_id_record(build_id: bytes, filename: str, cpumode: int, pid: int = -1) -> BuildId:
    """An entry of the build-id table, its name padded as perf pads it (to 64 bytes)."""
    record = BuildId(pid=pid, data=build_id, id_size=len(build_id), filename=filename)
    record.misc = cpumode | MISC_BUILD_ID_SIZE
    return record


# --- SAMPLE -----------------------------------------------------------------------------------

FIXED = (
    (SAMPLE.IDENTIFIER, "Q", ("id",)),
    (SAMPLE.IP, "Q", ("ip",)),
    (SAMPLE.TID, "ii", ("pid", "tid")),
    (SAMPLE.TIME, "Q", ("time",)),
    (SAMPLE.ADDR, "Q", ("addr",)),
    (SAMPLE.ID, "Q", ("id",)),
    (SAMPLE.STREAM_ID, "Q", ("stream_id",)),
    (SAMPLE.CPU, "II", ("cpu", "")),
    (SAMPLE.PERIOD, "Q", ("period",)),
)
"""The numbers that a sample begins with, in this order, if sample_type has the bit."""

LATE = (
    (SAMPLE.PHYS_ADDR, "phys_addr"),
    (SAMPLE.CGROUP, "cgroup"),
    (SAMPLE.DATA_PAGE_SIZE, "data_page_size"),
    (SAMPLE.CODE_PAGE_SIZE, "code_page_size"),
)
"""Words after REGS_INTR, in this order; AUX comes last of all."""


class ReadValue:
    """A counter's value in a sample: `value`, and `id` and `lost` if read_format has them."""

    __slots__ = ("value", "id", "lost")

    def __init__(self, value=0, id=0, lost=0):
        self.value, self.id, self.lost = value, id, lost

    def __eq__(self, other):
        return (self.value, self.id, self.lost) == (other.value, other.id, other.lost)

    def __repr__(self):
        return f"ReadValue({self.value}, id={self.id}, lost={self.lost})"


class Reading:
    """READ: the group's `values` (one without PERF_FORMAT_GROUP), and the two times in ns."""

    __slots__ = ("values", "enabled", "running")

    def __init__(self, values=(), enabled=0, running=0):
        self.values, self.enabled, self.running = list(values), enabled, running

    def __eq__(self, other):
        return type(other) is Reading and (self.values, self.enabled, self.running) == (
            other.values,
            other.enabled,
            other.running,
        )

    def __repr__(self):
        return f"Reading({self.values}, enabled={self.enabled}, running={self.running})"


class Branch:
    """One entry of a branch stack. `flags`: bit 0 mispredicted, 1 predicted, 2 in_tx, 3 abort,
    4-19 cycles, 20-23 type."""

    __slots__ = ("source", "target", "flags")

    def __init__(self, source, target, flags=0):
        self.source, self.target, self.flags = source, target, flags

    @property
    def mispredicted(self) -> bool:
        return bool(self.flags & 1)

    @property
    def predicted(self) -> bool:
        return bool(self.flags & 2)

    @property
    def cycles(self) -> int:
        return self.flags >> 4 & 0xFFFF

    @property
    def kind(self) -> int:
        """PERF_BR_*."""
        return self.flags >> 20 & 15

    def __eq__(self, other):
        return (self.source, self.target, self.flags) == (other.source, other.target, other.flags)

    def __repr__(self):
        return f"Branch({self.source:#x}, {self.target:#x}, {self.flags:#x})"


class Registers:
    """`abi` (0 none, 1 32-bit, 2 64-bit) and the values of the mask's registers, lowest first."""

    __slots__ = ("abi", "values")

    def __init__(self, abi=2, values=()):
        self.abi, self.values = abi, tuple(values)

    def by_number(self, mask: int) -> dict[int, int]:
        """Values by register number; `mask` is the attr's sample_regs_user or _intr."""
        numbers = [bit for bit in range(64) if mask >> bit & 1]
        return dict(zip(numbers, self.values, strict=False))

    def __eq__(self, other):
        return type(other) is Registers and (self.abi, self.values) == (other.abi, other.values)

    def __repr__(self):
        return f"Registers({self.abi}, {self.values})"


REGISTERS = (
    "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5",
    "t6",
)  # fmt: skip
"""riscv's registers by perf's numbers (arch/riscv/include/uapi/asm/perf_regs.h)."""


class Sample:
    """A SAMPLE record. What sample_type doesn't have is 0, None or empty.

    `callchain` is a tuple of addresses and markers, `branches` a list of Branch, latest first,
    `stack` the bytes that were copied and `stack_size` how many of them are valid.
    """

    __slots__ = (
        "misc", "id", "ip", "pid", "tid", "time", "addr", "stream_id", "cpu", "period", "read",
        "callchain", "raw", "branches", "hw_idx", "regs_user", "stack", "stack_size", "weight",
        "data_src", "transaction", "regs_intr", "phys_addr", "cgroup", "data_page_size",
        "code_page_size", "aux", "event", "position",
    )  # fmt: skip
    type, name = SAMPLE_RECORD, "SAMPLE"
    _defaults = {
        "read": None, "callchain": None, "raw": None, "branches": None, "hw_idx": None,
        "regs_user": None, "stack": None, "regs_intr": None, "aux": None, "event": None,
    }  # fmt: skip

    def __init__(self, **values):
        for name in Sample.__slots__:
            setattr(self, name, self._defaults.get(name, 0))
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def cpumode(self) -> int:
        return self.misc & MISC_CPUMODE

    def __eq__(self, other):
        return type(other) is Sample and all(
            getattr(self, name) == getattr(other, name) for name in Sample.__slots__
        )

    def __repr__(self):
        shown = [name for name in Sample.__slots__ if getattr(self, name) not in (0, None)]
        return f"Sample({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def fixed_layout(sample_type: int) -> tuple[struct.Struct, tuple[str, ...]]:
    """The layout of a sample's beginning, and the field of each number ("" is none)."""
    parts = [(codes, names) for bit, codes, names in FIXED if sample_type & bit]
    layout = struct.Struct("<" + "".join(codes for codes, _ in parts))
    return layout, tuple(name for _, names in parts for name in names)


def fixed_offsets(sample_type: int) -> dict[str, int]:
    """Where each number of a sample's beginning is, in bytes from the record's start.

    "end" is where what comes after them begins.
    """
    offsets, at = {}, HEADER_SIZE
    for bit, codes, names in FIXED:
        if sample_type & bit:
            width = struct.calcsize("<" + codes) // len(codes)
            for name in names:
                if name:
                    offsets.setdefault(name, at)
                at += width
    offsets["end"] = at
    return offsets


class Cursor:
    """Reads words off bytes, and raises RecordError past their end."""

    __slots__ = ("data", "at", "end")

    def __init__(self, data, at=0, end=None):
        self.data, self.at = data, at
        self.end = len(data) if end is None else end

    def words(self, count: int) -> tuple[int, ...]:
        at = self.at
        self.at = at + 8 * count
        if self.at > self.end:
            raise RecordError("a SAMPLE record is too short for what it should hold")
        return struct.unpack_from(f"<{count}Q", self.data, at)

    def word(self) -> int:
        return self.words(1)[0]

    def bytes(self, count: int) -> bytes:
        at = self.at
        self.at = at + count
        if self.at > self.end:
            raise RecordError("a SAMPLE record is too short for what it should hold")
        return bytes(self.data[at : self.at])


_decoders: dict[int, tuple] = {}


def decode_sample(data, misc: int, attr: Attr, at: int = 0, end: int | None = None) -> Sample:
    """A SAMPLE's body as this attr laid it out. Raises RecordError if it doesn't fit."""
    wanted = attr.sample_type
    if wanted not in _decoders:
        _decoders[wanted] = fixed_layout(wanted)
    layout, names = _decoders[wanted]
    end = len(data) if end is None else end
    if at + layout.size > end:
        raise RecordError("a SAMPLE record is too short for what it should hold")
    sample = Sample(misc=misc)
    for name, value in zip(names, layout.unpack_from(data, at), strict=True):
        if name:
            setattr(sample, name, value)
    if not wanted & SAMPLE.PERIOD:
        sample.period = attr.sample_period
    cursor = Cursor(data, at + layout.size, end)
    if wanted & ~_ONLY_FIXED:
        _decode_rest(sample, cursor, attr)
    return sample


_ONLY_FIXED = sum({bit for bit, _, _ in FIXED})


def _decode_rest(sample: Sample, cursor: Cursor, attr: Attr) -> None:
    wanted = attr.sample_type
    if wanted & SAMPLE.READ:
        sample.read = _decode_read(cursor, attr.read_format)
    if wanted & SAMPLE.CALLCHAIN:
        sample.callchain = cursor.words(cursor.word())
    if wanted & SAMPLE.RAW:
        size = int.from_bytes(cursor.bytes(4), "little")
        sample.raw = cursor.bytes(size)
        if (size + 4) % 8:  # the kernel chooses sizes so that none is needed
            cursor.at += -(size + 4) % 8
    if wanted & SAMPLE.BRANCH_STACK:
        count = cursor.word()
        if attr.branch_sample_type & 1 << 17:
            sample.hw_idx = cursor.word()
        words = cursor.words(3 * count)
        sample.branches = [Branch(*words[i : i + 3]) for i in range(0, len(words), 3)]
    if wanted & SAMPLE.REGS_USER:
        sample.regs_user = _decode_registers(cursor, attr.sample_regs_user)
    if wanted & SAMPLE.STACK_USER:
        size = cursor.word()
        sample.stack = cursor.bytes(size)
        sample.stack_size = min(cursor.word(), size) if size else 0
    if wanted & (SAMPLE.WEIGHT | SAMPLE.WEIGHT_STRUCT):
        sample.weight = cursor.word()
    if wanted & SAMPLE.DATA_SRC:
        sample.data_src = cursor.word()
    if wanted & SAMPLE.TRANSACTION:
        sample.transaction = cursor.word()
    if wanted & SAMPLE.REGS_INTR:
        sample.regs_intr = _decode_registers(cursor, attr.sample_regs_intr)
    for bit, name in LATE:
        if wanted & bit:
            setattr(sample, name, cursor.word())
    if wanted & SAMPLE.AUX:
        sample.aux = cursor.bytes(cursor.word())


def _decode_read(cursor: Cursor, read_format: int) -> Reading:
    reading = Reading()
    group = read_format & READ.GROUP
    count = cursor.word() if group else 1
    single = 0 if group else cursor.word()
    if read_format & READ.TOTAL_TIME_ENABLED:
        reading.enabled = cursor.word()
    if read_format & READ.TOTAL_TIME_RUNNING:
        reading.running = cursor.word()
    named, lost = read_format & READ.ID, read_format & READ.LOST
    if count > (cursor.end - cursor.at) // 8 and group:
        raise RecordError("a SAMPLE record is too short for its group")
    for _ in range(count):
        value = ReadValue(cursor.word() if group else single)
        if named:
            value.id = cursor.word()
        if lost:
            value.lost = cursor.word()
        reading.values.append(value)
    return reading


def _decode_registers(cursor: Cursor, mask: int) -> Registers:
    abi = cursor.word()
    return Registers(abi, cursor.words(mask.bit_count()) if abi else ())


def decode(data, attr: Attr | None):
    """A whole record, header included. Types that aren't known give None.

    Raises RecordError if the record is not what its header says.
    """
    number, misc, size = HEADER.unpack_from(data, 0)
    if number == SAMPLE_RECORD:
        if attr is None:
            raise RecordError("a SAMPLE of no event")
        return decode_sample(data, misc, attr, HEADER_SIZE, size)
    if number not in RECORDS:
        return None
    return RECORDS[number].decode(data[HEADER_SIZE:size], misc, attr)


def sample_encoder(attr: Attr):
    """A function that packs samples for this attr: encode(misc=USER, ip=…, pid=…, …) -> bytes.

    Its keywords are Sample's fields, those that sample_type has. `callchain`, `branches` (triples
    of source, target, flags), `regs_user` (Registers) and so on are as Sample has them. It
    raises TypeError for a field that the attr doesn't sample, and RecordError past 64 KiB.
    """
    wanted = attr.sample_type
    layout, names = fixed_layout(wanted)
    fixed = [name for name in dict.fromkeys(names) if name]
    numbers = "".join(f", {name}" if name else ", 0" for name in names)
    head = struct.Struct("<IHH" + layout.format.removeprefix("<"))
    late = [
        (name, make(attr)) for bits_, name, make in _ENCODERS if wanted & bits_
    ]  # in the order of the body
    parameters = "".join(f", {name}=0" for name in fixed)
    parameters += "".join(f", {name}={default}" for name, default in _parameters(late))
    scope = {"pack": head.pack, "join": b"".join, "RecordError": RecordError}
    if not late:
        source = f"lambda misc={USER}{parameters}: pack(9, misc, {head.size}{numbers})"
        return eval(source, scope)  # the text is made of names declared above
    pieces = []
    for name, make in late:
        scope[f"_{name}"] = make
        arguments = {"stack": "stack, stack_size", "branches": "branches, hw_idx"}.get(name, name)
        pieces.append(f"_{name}({arguments})")
    source = (
        f"def encode(misc={USER}{parameters}):\n"
        f"    rest = {' + '.join(pieces)}\n"
        f"    size = {head.size} + len(rest)\n"
        f"    if size > {LARGEST}:\n"
        "        raise RecordError(f'a SAMPLE record of {size} bytes is too large')\n"
        f"    return pack(9, misc, size{numbers}) + rest\n"
    )
    exec(source, scope)
    return scope["encode"]


def _parameters(late):
    for name, _ in late:
        yield name, {"callchain": "()", "branches": "()", "raw": "b''", "stack": "b''"}.get(name, 0)
        if name == "stack":
            yield "stack_size", None
        if name == "branches":
            yield "hw_idx", 0


_PACK_WORDS = [struct.Struct(f"<{count}Q").pack for count in range(260)]


def _words(count: int):
    return _PACK_WORDS[count] if count < len(_PACK_WORDS) else struct.Struct(f"<{count}Q").pack


def _encode_callchain(attr):
    def encode(callchain):
        count = len(callchain)
        return _words(count + 1)(count, *callchain)

    return encode


def _encode_raw(attr):
    def encode(raw):
        pad = bytes(-(len(raw) + 4) % 8)
        return (len(raw) + len(pad)).to_bytes(4, "little") + raw + pad

    return encode


def _encode_branches(attr):
    indexed = bool(attr.branch_sample_type & 1 << 17)

    def encode(branches, hw_idx):
        words = [len(branches), hw_idx or 0] if indexed else [len(branches)]
        for branch in branches:
            words += (
                (branch.source, branch.target, branch.flags) if type(branch) is Branch else branch
            )
        return _words(len(words))(*words)

    return encode


def _encode_registers(mask_name):
    def make(attr):
        count = getattr(attr, mask_name).bit_count()

        def encode(registers):
            if not registers or not registers.abi:
                return bytes(8)
            if len(registers.values) != count:
                raise RecordError(f"{len(registers.values)} registers given for {count}")
            return _words(count + 1)(registers.abi, *registers.values)

        return encode

    return make


def _encode_stack(attr):
    def encode(stack, stack_size):
        pad = bytes(-len(stack) % 8)
        if not stack:
            return bytes(8)
        size = len(stack) if stack_size is None else stack_size
        whole = len(stack) + len(pad)
        return whole.to_bytes(8, "little") + stack + pad + size.to_bytes(8, "little")

    return encode


def _encode_read(attr):
    form = attr.read_format

    def encode(reading):
        reading = reading or Reading([ReadValue()])
        words = [len(reading.values) if form & READ.GROUP else reading.values[0].value]
        if form & READ.TOTAL_TIME_ENABLED:
            words.append(reading.enabled)
        if form & READ.TOTAL_TIME_RUNNING:
            words.append(reading.running)
        for value in reading.values if form & READ.GROUP else reading.values[:1]:
            if form & READ.GROUP:
                words.append(value.value)
            if form & READ.ID:
                words.append(value.id)
            if form & READ.LOST:
                words.append(value.lost)
        return _words(len(words))(*words)

    return encode


def _encode_word(attr):
    return _words(1)


def _encode_aux(attr):
    def encode(aux):
        aux = aux or b""
        pad = bytes(-len(aux) % 8)
        return (len(aux) + len(pad)).to_bytes(8, "little") + aux + pad

    return encode


_ENCODERS = (
    (SAMPLE.READ, "read", _encode_read),
    (SAMPLE.CALLCHAIN, "callchain", _encode_callchain),
    (SAMPLE.RAW, "raw", _encode_raw),
    (SAMPLE.BRANCH_STACK, "branches", _encode_branches),
    (SAMPLE.REGS_USER, "regs_user", _encode_registers("sample_regs_user")),
    (SAMPLE.STACK_USER, "stack", _encode_stack),
    (SAMPLE.WEIGHT | SAMPLE.WEIGHT_STRUCT, "weight", _encode_word),
    (SAMPLE.DATA_SRC, "data_src", _encode_word),
    (SAMPLE.TRANSACTION, "transaction", _encode_word),
    (SAMPLE.REGS_INTR, "regs_intr", _encode_registers("sample_regs_intr")),
    *((bit, name, _encode_word) for bit, name in LATE),
    (SAMPLE.AUX, "aux", _encode_aux),
)
"""What follows the fixed numbers, in the order of the body."""
