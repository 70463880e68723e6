"""The header's features: what a perf.data says of the machine and of how it was recorded.

Each is declared once, as the coder of its section; `encode` and `decode` go by it. Values are
plain: texts, numbers, lists, and Records where a section has named parts. The layouts are those of
tools/perf/Documentation/perf.data-file-format.txt and tools/perf/util/header.c.
"""

import struct

from isa.record import Record
from rvperf.perfdata import records
from rvperf.perfdata.attr import LARGEST, SMALLEST, Attr

NAMES = (
    "RESERVED", "TRACING_DATA", "BUILD_ID", "HOSTNAME", "OSRELEASE", "VERSION", "ARCH", "NRCPUS",
    "CPUDESC", "CPUID", "TOTAL_MEM", "CMDLINE", "EVENT_DESC", "CPU_TOPOLOGY", "NUMA_TOPOLOGY",
    "BRANCH_STACK", "PMU_MAPPINGS", "GROUP_DESC", "AUXTRACE", "STAT", "CACHE", "SAMPLE_TIME",
    "MEM_TOPOLOGY", "CLOCKID", "DIR_FORMAT", "BPF_PROG_INFO", "BPF_BTF", "COMPRESSED",
    "CPU_PMU_CAPS", "CLOCK_DATA", "HYBRID_TOPOLOGY", "PMU_CAPS",
)  # fmt: skip
"""By number."""
NAME_ALIGN = 64


class FeatureError(ValueError):
    """A section that is not what its feature should be."""


class Input:
    """A section's bytes and how far they have been read."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise FeatureError(f"{count} bytes expected, {self.left} left")
        self.at += count
        return self.data[self.at - count : self.at]


class Coder:
    """encode(value) gives bytes; decode(input) the value, and moves the input on."""

    def __init__(self, encode, decode):
        self.encode, self.decode = encode, decode


def number(code: str) -> Coder:
    layout = struct.Struct("<" + code)
    return Coder(layout.pack, lambda data: layout.unpack(data.take(layout.size))[0])


u32, u64 = number("I"), number("Q")


def _encode_text(text: str) -> bytes:
    data = records.padded(text, NAME_ALIGN)
    return u32.encode(len(data)) + data


text = Coder(_encode_text, lambda data: records.text_of(data.take(u32.decode(data))))


def listing(item: Coder, count: Coder = u32) -> Coder:
    """A count and that many of one kind. Each takes bytes, so a count can't promise too many."""

    def encode(values):
        return count.encode(len(values)) + b"".join(item.encode(value) for value in values)

    def decode(data):
        promised = count.decode(data)
        values = []
        for _ in range(promised):
            before = data.at
            values.append(item.decode(data))
            if data.at == before:
                raise FeatureError("a list of nothing")
        return values

    return Coder(encode, decode)


def together(kind, *coders: Coder) -> Coder:
    """Several values after each other, as a Record (or a tuple)."""

    def encode(value):
        values = value if isinstance(value, tuple) else [value.__dict__[n] for n in names]
        return b"".join(c.encode(v) for c, v in zip(coders, values, strict=True))

    def decode(data):
        values = [coder.decode(data) for coder in coders]
        return tuple(values) if kind is tuple else kind(*values)

    names = getattr(kind, "__match_args__", ())
    return Coder(encode, decode)


def constant(coder: Coder, value) -> Coder:
    """A number that is always the same (a version). It is no part of the value."""

    def decode(data):
        found = coder.decode(data)
        if found != value:
            raise FeatureError(f"version {found} is not known")
        return None

    return Coder(lambda _: coder.encode(value), decode)


def after(first: Coder, second: Coder) -> Coder:
    """A constant, then a value."""

    def decode(data):
        first.decode(data)
        return second.decode(data)

    return Coder(lambda value: first.encode(None) + second.encode(value), decode)


nothing = Coder(lambda _: b"", lambda data: True)
raw = Coder(bytes, lambda data: data.take(data.left))


class NrCpus(Record):
    available: int
    online: int


class SampleTime(Record):
    """ns of the first and the last sample."""

    first: int
    last: int


class EventDesc(Record):
    """An event as the header describes it."""

    attr: Attr
    name: str
    ids: tuple[int, ...] = ()


class Group(Record):
    """A group of events: name ("" is none), index of the leader, number of members."""

    name: str
    leader: int
    members: int


class ClockData(Record):
    """A moment on two clocks, in ns: the wall clock and `clockid`."""

    clockid: int
    wall: int
    clock: int


class Compression(Record):
    """How records are compressed (kind 1 is zstd), and the size of the buffer before that."""

    version: int = 1
    kind: int = 1
    level: int = 1
    ratio: int = 1
    mmap_len: int = 528384


class NumaNode(Record):
    """A memory node, its sizes in kB and its CPUs as a list such as "0-3"."""

    node: int
    total: int
    free: int
    cpus: str


class Cache(Record):
    level: int
    line_size: int
    sets: int
    ways: int
    kind: str
    size: str
    cpus: str


class MemoryNode(Record):
    """A node and its blocks, as the bits of a number."""

    node: int
    size: int
    bit_count: int
    blocks: int


class MemTopology(Record):
    block_size: int
    nodes: list


class PmuCaps(Record):
    capabilities: list
    pmu: str


class CpuTopology(Record):
    """Sibling lists, and for each CPU its (core, socket) and die; empty where not recorded."""

    cores: list
    threads: list
    cpus: list = ()
    dies: list = ()
    die_of: list = ()


def _encode_event_desc(events) -> bytes:
    out = [u32.encode(len(events)), u32.encode(len(Attr().encode()))]
    for event in events:
        out += (event.attr.encode(), u32.encode(len(event.ids)), text.encode(event.name))
        out += map(u64.encode, event.ids)
    return b"".join(out)


def _decode_event_desc(data: Input) -> list[EventDesc]:
    count, size = u32.decode(data), u32.decode(data)
    if not SMALLEST <= size <= LARGEST or count > data.left // size:
        raise FeatureError(f"{count} attributes of {size} bytes")
    events = []
    for _ in range(count):
        attr = Attr.decode(data.take(size))
        ids = u32.decode(data)
        name = text.decode(data)
        if ids > data.left // 8:
            raise FeatureError(f"{ids} ids")
        events.append(EventDesc(attr, name, tuple(u64.decode(data) for _ in range(ids))))
    return events


def _encode_build_ids(entries) -> bytes:
    out = []
    for entry in entries:
        name = records.padded(entry.filename, NAME_ALIGN)
        body = struct.pack("<i20sBBH", entry.pid, entry.data, entry.id_size, 0, 0) + name
        # The header's type field is 0 in this table.
        out.append(records.HEADER.pack(0, entry.misc, 8 + len(body)) + body)
    return b"".join(out)


def _decode_build_ids(data: Input) -> list:
    entries = []
    while data.left >= records.HEADER_SIZE:
        _, misc, size = records.HEADER.unpack(data.take(records.HEADER_SIZE))
        if size < records.HEADER_SIZE + 28:
            break
        try:
            body = data.take(size - records.HEADER_SIZE)
        except FeatureError:
            break  # what is whole counts
        entry = records.BuildId.decode(body, misc)
        if not misc & records.MISC_BUILD_ID_SIZE:
            entry.id_size = 20
        entry.id_size = min(entry.id_size, 20)
        entries.append(entry)
    return entries


def _encode_cpu_topology(topology) -> bytes:
    texts = listing(text)
    out = texts.encode(topology.cores) + texts.encode(topology.threads)
    out += b"".join(u32.encode(n) for pair in topology.cpus for n in pair)
    if topology.dies:
        out += texts.encode(topology.dies) + b"".join(map(u32.encode, topology.die_of))
    return out


def _decode_cpu_topology(data: Input) -> tuple:
    """The sibling lists; the rest needs the number of CPUs, see `cpu_topology`."""
    texts = listing(text)
    return texts.decode(data), texts.decode(data), data.take(data.left)


def cpu_topology(section: tuple, cpus: int) -> CpuTopology:
    """The whole of CPU_TOPOLOGY on a machine with so many CPUs (NRCPUS's `available`).

    The section doesn't say how many CPUs it describes. Raises FeatureError.
    """
    cores, threads, rest = section
    data = Input(rest)
    if not data.left:
        return CpuTopology(cores, threads)
    if cpus * 8 > data.left:
        raise FeatureError("a topology of fewer CPUs than there are")
    pairs = [(u32.decode(data), u32.decode(data)) for _ in range(cpus)]
    if not data.left:
        return CpuTopology(cores, threads, pairs)
    dies = listing(text).decode(data)
    if cpus * 4 > data.left:
        raise FeatureError("dies of fewer CPUs than there are")
    return CpuTopology(cores, threads, pairs, dies, [u32.decode(data) for _ in range(cpus)])


def _encode_memory_node(node) -> bytes:
    count = -(-node.bit_count // 64)
    return struct.pack("<QQQ", node.node, node.size, node.bit_count) + node.blocks.to_bytes(
        8 * count, "little"
    )


def _decode_memory_node(data: Input) -> MemoryNode:
    node, size, count = u64.decode(data), u64.decode(data), u64.decode(data)
    blocks = int.from_bytes(data.take(8 * -(-count // 64)), "little")
    return MemoryNode(node, size, count, blocks)


pair = together(tuple, text, text)

SECTIONS: dict[str, Coder] = {
    "TRACING_DATA": raw,
    "BUILD_ID": Coder(_encode_build_ids, _decode_build_ids),
    "HOSTNAME": text,
    "OSRELEASE": text,
    "VERSION": text,
    "ARCH": text,
    "NRCPUS": together(NrCpus, u32, u32),
    "CPUDESC": text,
    "CPUID": text,
    "TOTAL_MEM": u64,  # kB
    "CMDLINE": listing(text),
    "EVENT_DESC": Coder(_encode_event_desc, _decode_event_desc),
    "CPU_TOPOLOGY": Coder(_encode_cpu_topology, _decode_cpu_topology),
    "NUMA_TOPOLOGY": listing(together(NumaNode, u32, u64, u64, text)),
    "BRANCH_STACK": nothing,
    "PMU_MAPPINGS": listing(together(tuple, u32, text)),
    "GROUP_DESC": listing(together(Group, text, u32, u32)),
    "AUXTRACE": raw,
    "STAT": nothing,
    "CACHE": after(
        constant(u32, 1), listing(together(Cache, u32, u32, u32, u32, text, text, text))
    ),
    "SAMPLE_TIME": together(SampleTime, u64, u64),
    "MEM_TOPOLOGY": after(
        constant(u64, 1),
        together(MemTopology, u64, listing(Coder(_encode_memory_node, _decode_memory_node), u64)),
    ),
    "CLOCKID": u64,  # resolution in ns
    "DIR_FORMAT": u64,
    "BPF_PROG_INFO": raw,
    "BPF_BTF": raw,
    "COMPRESSED": together(Compression, u32, u32, u32, u32, u32),
    "CPU_PMU_CAPS": listing(pair),
    "CLOCK_DATA": after(constant(u32, 1), together(ClockData, u32, u64, u64)),
    "HYBRID_TOPOLOGY": listing(pair),
    "PMU_CAPS": listing(together(PmuCaps, listing(pair), text)),
}


def encode(name: str, value) -> bytes:
    """The section of a feature."""
    return SECTIONS[name].encode(value)


def decode(name: str, data: bytes):
    """A section's value. Raises FeatureError if it is not this feature's."""
    try:
        return SECTIONS[name].decode(Input(data))
    except (struct.error, records.RecordError, UnicodeError) as error:
        raise FeatureError(str(error)) from error
