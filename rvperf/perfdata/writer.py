"""Writes perf.data, to a file or down a pipe.

A file is whole at every moment: its header says how much data there is, and is kept up to date, so
after a kill or on a full disk the file opens up to what was written. The features come at the end.
"""

import os

from isa.record import Record
from rvperf.perfdata import features, records
from rvperf.perfdata.attr import SIZE, Attr
from rvperf.perfdata.features import EventDesc, Group
from rvperf.perfdata.file_header import ATTR_SECTION, FILE_HEADER, MAGIC, SIZE_OF_DATA_AT

FLUSH = 1 << 18
"""Bytes that are kept back before they are written."""
LAST_FEATURE = 32
"""Ends the features in a pipe."""
NOT_IN_PIPES = {
    "TRACING_DATA", "BUILD_ID", "BRANCH_STACK", "AUXTRACE", "STAT", "CACHE", "DIR_FORMAT",
    "HYBRID_TOPOLOGY",
}  # fmt: skip
"""Features that perf sends as records of their own or not at all."""


class EventSpec(Record):
    """An event to be written. `leader` is the index of its group's leader; None if it is alone."""

    attr: Attr
    name: str
    ids: tuple[int, ...] = ()
    leader: int | None = None
    unit: str = ""
    scale: float = 1.0
    group: str = ""
    """For a leader: the group's name."""


class Writer:
    """A perf.data being written.

    with Writer("perf.data", [EventSpec(attr, "cycles", (1,))], {"ARCH": "riscv64"}) as file:
        file.write(record.encode(attr)); file.round()
        file.features["SAMPLE_TIME"] = SampleTime(first, last)

    `features` may be added to until the end (in a pipe only BUILD_ID: the others go first).
    EVENT_DESC, GROUP_DESC and COMPRESSED are made here. An existing file becomes FILE.old; the new
    one is readable by its owner alone. Errors of the system are OSError, as they are.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        events: list[EventSpec],
        known: dict[str, object] | None = None,
        *,
        pipe: bool = False,
        compress: int = 0,
        file: int | None = None,
    ):
        """`pipe` writes the pipe format, to `path` or to the descriptor `file` ("-": stdout).
        `compress` is zstd's level; 0 is none."""
        self.path = os.fspath(path)
        self.events = list(events)
        self.features = dict(known or {})
        self.pipe = pipe
        self.size = 0
        """Bytes of data so far, as they stand in the file."""
        self.original = 0
        """Bytes of the records before compression."""
        self._waiting: list[bytes] = []
        self._held = 0
        self._closed = False
        self._packer = Packer(compress) if compress else None
        self._own = file is None and self.path != "-"
        if self._own:
            self._file = create(self.path)
        else:
            self._file = 1 if file is None else file
        self._describe()
        if pipe:
            self._begin_pipe()
        else:
            self._begin_file()

    def _describe(self) -> None:
        self.features["EVENT_DESC"] = [
            EventDesc(event.attr, event.name, tuple(event.ids)) for event in self.events
        ]
        groups = []
        for index, event in enumerate(self.events):
            members = sum(other.leader == index for other in self.events)
            if members > 1 and event.leader == index:
                groups.append(Group(event.group or "{anon_group}", index, members))
        if groups:
            self.features["GROUP_DESC"] = groups
        if self._packer:
            self.features["COMPRESSED"] = features.Compression(level=self._packer.level)

    # --- records

    def write(self, record: bytes) -> None:
        """Append one or more whole, encoded records."""
        self._waiting.append(record)
        self._held += len(record)
        if self._held >= FLUSH:
            self.flush()

    def round(self) -> None:
        """Append FINISHED_ROUND: what comes from here on is no older than what came before the
        last one."""
        self.write(FINISHED_ROUND)

    def flush(self) -> None:
        """Write what was kept back, and say so in the header."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._held = 0
        self.original += len(data)
        if self._packer and data:
            data = self._packer.pack(data)
        self._append(data)

    def _append(self, data: bytes) -> None:
        if self.pipe:
            write_all(self._file, data)
            self.size += len(data)
            return
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self._data_at + self.size + done)
            self.size += len(data)
        except OSError:
            # What is whole of it counts; the rest goes.
            self.size += whole_records(data[:done])
            self._stop()
            raise
        self._say_size()

    def _stop(self) -> None:
        """End a file on which writing has failed, so that it opens."""
        self._closed = True
        try:
            os.ftruncate(self._file, self._data_at + self.size)
            self._say_size()
        except OSError:
            pass  # the header still says what was there before
        self._release()

    def _release(self) -> None:
        if self._own:
            os.close(self._file)

    def _say_size(self) -> None:
        os.pwrite(self._file, self.size.to_bytes(8, "little"), SIZE_OF_DATA_AT)

    # --- files

    def _begin_file(self) -> None:
        ids = b"".join(number.to_bytes(8, "little") for e in self.events for number in e.ids)
        at = FILE_HEADER.size
        attrs = []
        for event in self.events:
            attrs.append(event.attr.encode() + ATTR_SECTION.pack(at, 8 * len(event.ids)))
            at += 8 * len(event.ids)
        self._attrs_at = at
        self._data_at = at + sum(map(len, attrs))
        try:
            write_all(self._file, self._header(0, 0) + ids + b"".join(attrs))
        except OSError:
            self._closed = True
            self._release()
            raise
        # Who opens the file after a kill has no features, which have the names.
        for event in self.events:
            self._waiting += updates(event)

    def _header(self, size: int, present: int) -> bytes:
        entry = SIZE + ATTR_SECTION.size
        return FILE_HEADER.pack(
            MAGIC, FILE_HEADER.size, entry, self._attrs_at, entry * len(self.events),
            self._data_at, size, 0, 0, present.to_bytes(32, "little"),
        )  # fmt: skip

    def _end_file(self) -> None:
        """The features' table right after the data, and their sections."""
        if self._packer:
            ratio = self.original // max(1, self.size)
            self.features["COMPRESSED"] = features.Compression(
                level=self._packer.level, ratio=ratio
            )
        names = sorted(self.features, key=features.NAMES.index)
        sections = [features.encode(name, self.features[name]) for name in names]
        start = self._data_at + self.size
        at = start + ATTR_SECTION.size * len(sections)
        table = b""
        for section in sections:
            table += ATTR_SECTION.pack(at, len(section))
            at += len(section)
        present = sum(1 << features.NAMES.index(name) for name in names)
        data = table + b"".join(sections)
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._file, data[done:], start + done)
        except OSError:
            self._stop()
            raise
        os.pwrite(self._file, self._header(self.size, present), 0)

    # --- pipes

    def _begin_pipe(self) -> None:
        out = [MAGIC + (16).to_bytes(8, "little")]
        for event in self.events:
            ids = b"".join(number.to_bytes(8, "little") for number in event.ids)
            out.append(records.HeaderAttr(event.attr.encode() + ids).encode())
        for event in self.events:
            out += updates(event)
        for name in sorted(self.features, key=features.NAMES.index):
            if name not in NOT_IN_PIPES:
                number = features.NAMES.index(name)
                section = features.encode(name, self.features[name])
                out.append(records.HeaderFeature(number, section).encode())
        out.append(records.HeaderFeature(LAST_FEATURE, b"").encode())
        if "TRACING_DATA" in self.features:
            section = self.features["TRACING_DATA"]
            section += bytes(-len(section) % 8)
            out.append(records.TracingData(len(section)).encode())
            out.append(section)
        write_all(self._file, b"".join(out))

    def _end_pipe(self) -> None:
        entries = self.features.get("BUILD_ID", ())
        self._append(b"".join(entry.encode() for entry in entries))

    # --- the end

    def close(self) -> None:
        """Write what is left and the features. Once is enough; more does nothing."""
        if self._closed:
            return
        self.flush()
        if self.pipe:
            self._end_pipe()
        else:
            self._end_file()
        self._closed = True
        self._release()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    @property
    def written(self) -> int:
        """Bytes of data with those that are still kept back."""
        return self.size + self._held

    @property
    def file_size(self) -> int:
        """Bytes of the file so far, as perf says them: for a pipe only what records took."""
        return self.size if self.pipe else os.stat(self.path).st_size


FINISHED_ROUND = records.FinishedRound().encode()


def updates(event: EventSpec) -> list[bytes]:
    """The EVENT_UPDATE records of an event: its unit and scale, if they aren't trivial, and its
    name (perf writes that into pipes alone)."""
    number = event.ids[0] if event.ids else 0
    out = []
    if event.unit:
        data = records.padded(event.unit)
        out.append(records.EventUpdate(records.EVENT_UPDATE_UNIT, number, data).encode())
    if event.scale != 1.0:
        data = records.struct.pack("<d", event.scale)
        out.append(records.EventUpdate(records.EVENT_UPDATE_SCALE, number, data).encode())
    data = records.padded(event.name)
    out.append(records.EventUpdate(records.EVENT_UPDATE_NAME, number, data).encode())
    return out


def create(path: str) -> int:
    """A new file, open for reading and writing by its owner alone; an old one becomes PATH.old."""
    if os.path.isfile(path) and os.path.getsize(path):
        os.replace(path, f"{path}.old")
    flags = os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def whole_records(data: bytes) -> int:
    """How many of these bytes are whole records."""
    at = 0
    while at + records.HEADER_SIZE <= len(data):
        size = records.HEADER.unpack_from(data, at)[2]
        if size < records.HEADER_SIZE or at + size > len(data):
            break
        at += size
    return at


class Packer:
    """Makes COMPRESSED records: one zstd stream, flushed at the end of every record."""

    PIECE = 32 << 10
    """Bytes before compression in one record, few enough that they fit whatever they are."""

    def __init__(self, level: int):
        import zstandard

        self.level = level
        self.stream = zstandard.ZstdCompressor(level=level, write_content_size=False).compressobj()
        self.flush_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def pack(self, data: bytes) -> bytes:
        out = []
        for start in range(0, len(data), self.PIECE):
            packed = self.stream.compress(data[start : start + self.PIECE])
            packed += self.stream.flush(self.flush_block)
            out.append(records.Compressed(packed).encode())
        return b"".join(out)
