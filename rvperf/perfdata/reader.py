"""Reads perf.data: files and pipes, compressed ones too.

Nothing in a file is trusted. What is not perf.data at all is a PerfDataError; of what is damaged,
all that can be read is given, and `warnings` says what is missing.
"""

import mmap
import os
import struct
import sys
from array import array

import numpy as np

from isa.record import Record
from rvperf.perfdata import features, records
from rvperf.perfdata.attr import LARGEST, SAMPLE, SMALLEST, Attr
from rvperf.perfdata.distinct import distinct
from rvperf.perfdata.file_header import (
    ATTR_SECTION,
    FILE_HEADER,
    MAGIC,
    MAGIC_BIG_ENDIAN,
    MAGIC_OLD,
)
from rvperf.perfdata.names import event_name
from rvperf.perfdata.records import RecordError, decode_sample

MOST_EVENTS = 1 << 16
MOST_UNPACKED = 2 << 30
"""Bytes that a compressed file may expand to."""


class PerfDataError(Exception):
    """A file that can't be read as perf.data. `message` is one line for the user, `status` the
    exit status that perf ends with."""

    status = 255

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class Event(Record, mutable=True):
    """One event of a file. `leader` is the index of its group's leader (its own if alone)."""

    index: int
    attr: Attr
    name: str
    ids: tuple[int, ...] = ()
    unit: str = ""
    scale: float = 1.0
    leader: int = 0
    members: int = 1
    """How many events its group has, for a leader."""
    group: str = ""
    """The group's name, for a leader; empty if it has none."""


class Columns:
    """The samples of a file in the order in which perf processes them, as numpy arrays.

    Each is made when it is first asked for. What an event doesn't sample is 0, pid and tid -1, the
    period the attr's. `record` is the index of the record, `event` of the event (-1: of none).
    """

    def __init__(self, reader: "Reader"):
        self._reader = reader
        if reader.is_ordered:
            self.record = reader.samples
        else:
            order = reader.order()
            self.record = order[reader.types[order] == records.SAMPLE_RECORD]
        self.event = reader.event_of[self.record]
        self._kept: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.record)

    def __getattr__(self, name: str) -> np.ndarray:
        if name not in NUMBERS:
            raise AttributeError(name)
        if name not in self._kept:
            self._kept[name] = self._reader.numbers(name, self.record, self.event)
        return self._kept[name]

    @property
    def cpumode(self) -> np.ndarray:
        return self._reader.miscs[self.record] & records.MISC_CPUMODE


NUMBERS = {
    "ip": np.uint64, "pid": np.int32, "tid": np.int32, "time": np.uint64, "addr": np.uint64,
    "id": np.uint64, "stream_id": np.uint64, "cpu": np.uint32, "period": np.uint64,
}  # fmt: skip
"""The columns that a sample's fixed beginning has, and their types."""


class Reader:
    """A perf.data, opened. `path` "-" is the standard input.

    `events`, `features` (by name, those that could be read), `warnings`, `is_pipe`; for files also
    `data_offset`, `data_size`, `feat_offset` and `version` as the header has them, and `mtime`.
    Records are numbered in file order: `starts` (in words of `data`), `types`, `miscs`, `sizes`.
    Raises PerfDataError.
    """

    def __init__(self, path: str | os.PathLike = "perf.data"):
        self.path = os.fspath(path)
        self.events: list[Event] = []
        self.features: dict[str, object] = {}
        self.warnings: list[str] = []
        self.present = 0
        """The header's feature bits."""
        self.is_pipe = False
        self.version = 2
        self.mtime = 0.0
        self.data_offset = self.data_size = self.feat_offset = 0
        self._by_id: dict[int, int] = {}
        self._events_by_trailer: dict[int, tuple] = {}
        self._order = None
        self._in_order: bool | None = None
        self._columns = None
        self._mapping: mmap.mmap | None = None
        whole = self._contents()
        if not len(whole):
            raise PerfDataError(f"zero-sized data ({self.path}), nothing to do!")
        if len(whole) < 16:
            raise self._incompatible()
        magic, size = struct.unpack_from("<8sQ", whole)
        if magic == MAGIC_BIG_ENDIAN:
            raise PerfDataError(f"{self.path}: big-endian perf.data files can't be read")
        if magic == MAGIC_OLD:
            raise PerfDataError(f"{self.path}: perf.data files of before 2012 can't be read")
        if magic != MAGIC:
            raise self._incompatible()
        if size == 16:
            self.is_pipe = True
            region = whole[16:]
        else:
            region = self._file(whole, size)
        self._scan(region)
        self._apply_user_records()
        self._name_events()
        self._assign_events()

    def _incompatible(self) -> PerfDataError:
        return PerfDataError("incompatible file format (rerun with -v to learn more)")

    def _contents(self):
        """The whole file as a memoryview, mapped where that is possible."""
        if self.path == "-":
            return memoryview(sys.stdin.buffer.read())
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                self.mtime = status.st_mtime
                try:
                    self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    return memoryview(self._mapping)
                except (ValueError, OSError):  # empty, a pipe, a device
                    return memoryview(file.read())
        except OSError as error:
            hint = (
                "  (try 'perf record' first)"
                if isinstance(error, FileNotFoundError) and self.path == "perf.data"
                else ""
            )
            message = f"failed to open {self.path}: {error.strerror}{hint}"
            raise PerfDataError(message) from error

    def release(self) -> None:
        """Give the file's pages back to the system; they come again when they are looked at."""
        if self._mapping is not None:
            self._mapping.madvise(mmap.MADV_DONTNEED)

    # --- file header

    def _file(self, whole, size) -> memoryview:
        if size != FILE_HEADER.size or len(whole) < size:
            raise self._incompatible()
        found = FILE_HEADER.unpack_from(whole)
        _, _, entry, attrs_at, attrs_size, data_at, data_size, _, _, bits = found
        self.present = int.from_bytes(bits, "little")
        self.data_offset, self.data_size = data_at, data_size
        self.feat_offset = (data_at + data_size) & (2**64 - 1)
        if entry == 0:
            raise PerfDataError(
                f"ERROR: The {self.path} file's attr size field is 0 which is unexpected.\n"
                "Was the 'perf record' command properly terminated?"
            )
        self._attributes(whole, entry, attrs_at, attrs_size)
        end = data_at + data_size
        if data_size == 0:
            self.warnings.append(
                f"WARNING: The {self.path} file's data size field is 0 which is unexpected.\n"
                "Was the 'perf record' command properly terminated?"
            )
            if self.present:
                self._sections(whole, end)
            else:  # its writer has not come to its end
                end = len(whole)
        elif end > len(whole):
            self.warnings.append(f"{self.path}: truncated: {len(whole)} of {end} bytes are there")
            end = len(whole)
        elif self.present:
            self._sections(whole, end)
        return whole[min(data_at, len(whole)) : end]

    def _attributes(self, whole, entry, at, size) -> None:
        """The attrs section. perf steps by each attribute's own size, and so do we."""
        count = size // entry
        if count > MOST_EVENTS:
            raise self._incompatible()
        for _ in range(count):
            if at + SMALLEST > len(whole):
                self.warnings.append(f"{self.path}: truncated within the attributes")
                break
            own = struct.unpack_from("<I", whole, at + 4)[0] or SMALLEST
            if not SMALLEST <= own <= LARGEST or at + own + ATTR_SECTION.size > len(whole):
                raise self._incompatible()
            attr = Attr.decode(whole[at : at + own])
            ids_at, ids_size = ATTR_SECTION.unpack_from(whole, at + own)
            at += own + ATTR_SECTION.size
            if ids_at + ids_size > len(whole):
                self.warnings.append(f"{self.path}: an event's ids are not in the file")
                ids_size = 0
            ids = struct.unpack_from(f"<{ids_size // 8}Q", whole, ids_at) if ids_size else ()
            self._add_event(attr, ids)
        if not self.events:
            raise self._incompatible()

    def _add_event(self, attr: Attr, ids) -> None:
        event = Event(len(self.events), attr, "", tuple(ids), leader=len(self.events))
        for number in event.ids:
            self._by_id.setdefault(number, event.index)
        self.events.append(event)

    def _sections(self, whole, at) -> None:
        """The feature sections: a table at `at`, an entry for each feature that is present."""
        for number in range(256):
            if not self.present >> number & 1:
                continue
            if at + 16 > len(whole):
                self.warnings.append(f"{self.path}: truncated within the header's features")
                return
            offset, size = ATTR_SECTION.unpack_from(whole, at)
            at += 16
            name = features.NAMES[number] if number < len(features.NAMES) else ""
            if name in features.SECTIONS:
                if offset + size > len(whole):
                    self.warnings.append(f"{self.path}: {name} is not in the file")
                else:
                    self._feature(name, bytes(whole[offset : offset + size]))

    def _feature(self, name: str, data: bytes) -> None:
        try:
            self.features[name] = features.decode(name, data)
        except features.FeatureError as error:
            self.warnings.append(f"{self.path}: {name} can't be read: {error}")

    # --- records

    def _scan(self, region) -> None:
        """Find the records. Odd sizes and compression are rare, and are copied away first."""
        starts = self._whole_records(region)
        if starts is None:
            region = memoryview(self._repacked(region))
            starts = self._whole_records(region)
        self.data = region
        self.words, self.starts = words_in(region), starts
        heads = self.words[starts].view(HEADS)
        self.types = heads["type"].copy()
        self.miscs = heads["misc"].copy()
        self.sizes = heads["size"].astype(np.uint32)
        is_sample = self.types == records.SAMPLE_RECORD
        self.samples = np.flatnonzero(is_sample)
        self.others = np.flatnonzero(~is_sample & (self.types < records.USER_TYPES))
        self._smallest = int(self.sizes[self.samples].min(initial=0xFFFF))

    def _whole_records(self, region) -> np.ndarray | None:
        """The words that records begin at; None if some aren't aligned or are compressed."""
        count = len(region) // 8
        words = region[: count * 8].cast("Q")
        array_of_words = words_in(region)
        pieces: list[np.ndarray] = []
        walked = array("q")
        append = walked.append
        at = 0
        leap_at, patience = LANES, LANES
        while at < count:
            if at >= leap_at:
                found, at = leap(array_of_words, at)
                # Where leaps don't come far, they are worth trying less often.
                patience = LANES if len(found) > patience else 2 * patience
                leap_at = at + patience
                if len(found):
                    pieces += [np.array(walked, np.int64), found]
                    walked = array("q")
                    append = walked.append
                continue
            head = words[at]
            size = head >> 48
            if size & 7:
                return None
            kind = head & 0xFFFFFFFF
            if kind >= records.USER_TYPES:
                if kind == records.Compressed.type:
                    return None
                size += trailing(region, at * 8, kind, size)
            following = at + (size >> 3)
            if size < 8 or following > count:
                break
            append(at)
            at = following
        if at < count or count * 8 != len(region):
            self.warnings.append(f"{self.path}: no whole record after {at * 8} bytes of data")
        return np.concatenate([*pieces, np.array(walked, np.int64)])

    def _repacked(self, region) -> bytearray:
        """The records, decompressed, each padded to whole words."""
        out = bytearray()
        unpacker = None
        for kind, start, end in self._pieces(region):
            if kind != records.Compressed.type:
                append_record(out, region, start, end)
                continue
            if unpacker is None:
                unpacker = Unpacker()
            try:
                unpacker.feed(bytes(region[start + records.HEADER_SIZE : end]), out)
            except PerfDataError as error:
                self.warnings.append(f"{self.path}: {error.message}")
                break
        return out

    def _pieces(self, region):
        at = 0
        while at + records.HEADER_SIZE <= len(region):
            kind, _, size = records.HEADER.unpack_from(region, at)
            if size < records.HEADER_SIZE:
                break
            end = at + size + trailing(region, at, kind, size)
            if end > len(region):
                break
            yield kind, at, end
            at = end
        if at < len(region):
            self.warnings.append(f"{self.path}: no whole record after {at} bytes of data")

    def _apply_user_records(self) -> None:
        """What perf's own records say of events and header."""
        wanted = (
            records.HeaderAttr.type,
            records.EventUpdate.type,
            records.HeaderFeature.type,
            records.BuildId.type,
            records.TracingData.type,
        )
        updates = []
        for number in np.flatnonzero(np.isin(self.types, wanted)):
            try:
                record = self.record(int(number))
            except RecordError:
                continue
            kind = record.type
            if kind == records.HeaderAttr.type:
                self._attribute_record(record.data)
            elif kind == records.EventUpdate.type:
                updates.append(record)
            elif kind == records.HeaderFeature.type:
                name = features.NAMES[record.feat_id] if record.feat_id < 32 else ""
                if name in features.SECTIONS:
                    self.present |= 1 << record.feat_id
                    self._feature(name, record.data)
            elif kind == records.BuildId.type:
                self.features.setdefault("BUILD_ID", []).append(record)
            elif kind == records.TracingData.type:
                at = 8 * int(self.starts[number]) + int(self.sizes[number])
                data = self.data[at : at + record.size]
                self.features.setdefault("TRACING_DATA", bytes(data))
        if not self.events:
            raise PerfDataError(f"{self.path}: no event is described in it")
        self._describe()
        for record in updates:
            self._update(record)

    def _attribute_record(self, data: bytes) -> None:
        if len(data) < SMALLEST or len(self.events) >= MOST_EVENTS:
            return
        own = struct.unpack_from("<I", data, 4)[0] or SMALLEST
        if SMALLEST <= own <= len(data):
            self._add_event(Attr.decode(data[:own]), records.words_of(data[own:]))

    def _update(self, record) -> None:
        index = self._by_id.get(record.id)
        if index is None:
            return
        event = self.events[index]
        if record.kind == records.EVENT_UPDATE_UNIT:
            event.unit = records.text_of(record.data)
        elif record.kind == records.EVENT_UPDATE_NAME:
            event.name = records.text_of(record.data)
        elif record.kind == records.EVENT_UPDATE_SCALE and len(record.data) >= 8:
            event.scale = struct.unpack_from("<d", record.data)[0]

    def _describe(self) -> None:
        """Names and ids from EVENT_DESC, groups from GROUP_DESC."""
        for described in self.features.get("EVENT_DESC", ()):
            for event in self.events:
                known = described.attr.type, described.attr.config
                if set(described.ids) & set(event.ids) or (
                    not described.ids
                    and not event.name
                    and (event.attr.type, event.attr.config) == known
                ):
                    event.name = event.name or described.name
                    break
        for group in self.features.get("GROUP_DESC", ()):
            first, last = group.leader, group.leader + group.members
            if group.members > 1 and last <= len(self.events):
                name = "" if group.name == "{anon_group}" else group.name
                self.events[first].members, self.events[first].group = group.members, name
                for event in self.events[first:last]:
                    event.leader = first

    def _name_events(self) -> None:
        for event in self.events:
            event.name = event.name or event_name(event.attr)

    # --- which event, when

    def _assign_events(self) -> None:
        """`event_of`: for each record the index of its event, -1 if it has an id of none.

        As perf does: one event gets all; otherwise by the id, which stands at one place in all
        samples and at one place before the end of all other records (of the first event's attr).
        """
        first = self.events[0].attr
        self.event_of = np.zeros(len(self.types), np.int32)
        self.event_of[self.types >= records.USER_TYPES] = -1
        if len(self.events) == 1:
            return
        self._assign(self.samples, *self._id_in_sample(first.sample_type))
        if first.sample_id_all:
            self._assign(self.others, *self._id_in_trailer(first.sample_type))

    def _id_in_sample(self, sample_type):
        return fixed_at(sample_type).get("id"), False

    def _id_in_trailer(self, sample_type):
        layout, names = records.trailer(sample_type)
        if sample_type & SAMPLE.IDENTIFIER:
            return 8, True
        if sample_type & SAMPLE.ID:
            after = 8 * (1 + bool(sample_type & SAMPLE.STREAM_ID) + bool(sample_type & SAMPLE.CPU))
            return after, True
        return None, True

    def _assign(self, chosen, at, from_end) -> None:
        if at is None or not len(chosen):
            if len(chosen) and len(self.events) > 1:
                self.event_of[chosen] = 0
            return
        ids = self._words_at(chosen, at, from_end)
        first, kind = distinct([ids])
        found = [0 if not number else self._by_id.get(number, -1) for number in ids[first].tolist()]
        self.event_of[chosen] = np.array(found, np.int32)[kind]

    def _words_at(self, chosen, at: int, from_end: bool, default: int = 0) -> np.ndarray:
        """The word at a place in some records, of samples if it is from their beginning; `default`
        in records that are too short."""
        if not from_end and at + 8 <= self._smallest:
            places = self.starts[chosen]
            places += at >> 3
            return self.words[places]
        sizes = self.sizes[chosen]
        places = self.starts[chosen]
        if from_end:
            places += sizes >> np.uint32(3)
            at, least = -at, at + 8
        else:
            least = at + 8
        places += at >> 3
        if not len(sizes) or int(sizes.min()) >= least:
            return self.words[places]
        fits = sizes >= least
        return np.where(fits, self.words[np.where(fits, places, 0)], np.uint64(default))

    def times(self) -> np.ndarray:
        """The time of each record in ns; 0 for records that have none."""
        times = np.zeros(len(self.types), np.uint64)
        samples, others = self.samples, self.others
        # Events that have the time at one place go together.
        kinds: dict[tuple[int, int], list[int]] = {}
        for event in self.events:
            kind = event.attr.sample_type
            if kind & SAMPLE.TIME:
                places = fixed_at(kind)["time"], -1
                if event.attr.sample_id_all:
                    layout, _ = records.trailer(kind)
                    places = places[0], layout.size - (8 if kind & SAMPLE.TID else 0)
                kinds.setdefault(places, []).append(event.index)
        for (at, before), indices in kinds.items():
            mine = self._of_events(samples, indices)
            times[mine] = self._words_at(mine, at, False)
            if before >= 0:
                mine = self._of_events(others, indices)
                times[mine] = self._words_at(mine, before, True)
        return times

    def _of_events(self, chosen: np.ndarray, indices: list[int]) -> np.ndarray:
        """Those of some records that are of these events."""
        owners = self.event_of[chosen]
        if len(indices) == len(self.events):
            return chosen if not len(owners) or owners.min() >= 0 else chosen[owners >= 0]
        return chosen[np.isin(owners, indices)]

    @property
    def is_ordered(self) -> bool:
        """Whether perf processes the records as they are in the file."""
        if self._in_order is None:
            self._order = self._ordered()
            self._in_order = self._order is None
        return self._in_order

    def order(self) -> np.ndarray:
        """Record numbers in the order in which perf processes the records.

        Those with a time are sorted, stably, within rounds: at a FINISHED_ROUND all go that are no
        younger than the youngest was at the round before. Those without go at once.
        (tools/perf/util/ordered-events.c)
        """
        return np.arange(len(self.types)) if self.is_ordered else self._order

    def _ordered(self) -> np.ndarray | None:
        """What `order` gives; None for all as they are."""
        times = self.times()
        queued = (times != 0) & (times != np.uint64(2**64 - 1))
        rounds = np.flatnonzero(self.types == records.FinishedRound.type).tolist()
        # What has no time goes at once: so all are in order if only the beginning has none.
        begin = int(queued.argmax()) if len(queued) else 0
        if queued[begin:].all() and not rounds and not (times[begin + 1 :] < times[begin:-1]).any():
            return None
        out, pending = [], np.zeros(0, np.int64)
        start, limit, youngest = 0, 0, 0
        for end in [*rounds, len(times)]:
            part = np.arange(start, min(end + 1, len(times)))
            timed = queued[part]
            out.append(part[~timed])
            fresh = part[timed]
            start = end + 1
            last = end == len(times)
            if len(fresh):
                pending = np.concatenate((pending, fresh))
                youngest = max(youngest, int(times[fresh].max()))
            if not len(pending):
                continue
            if last:
                limit = 2**64 - 1
            moments = times[pending]
            if (moments[1:] < moments[:-1]).any():
                pending = pending[np.argsort(moments, kind="stable")]
                moments = times[pending]
            going = int(np.searchsorted(moments, np.uint64(limit), side="right"))
            if limit:
                out.append(pending[:going])
                pending = pending[going:]
            limit = youngest
        return np.concatenate(out) if out else np.zeros(0, np.int64)

    # --- what users take

    def record(self, number: int):
        """Record `number`, decoded; a Sample or one of records.py; None if its type is unknown.

        `event` of a Sample is its Event. Raises RecordError if it is damaged or of no event.
        """
        start = 8 * int(self.starts[number])
        end = start + int(self.sizes[number])
        index = int(self.event_of[number]) if hasattr(self, "event_of") else -1
        event = self.events[index] if index >= 0 else None
        kind = int(self.types[number])
        if kind == records.SAMPLE_RECORD:
            if event is None:
                raise RecordError("a SAMPLE of no event")
            misc = int(self.miscs[number])
            at = start + records.HEADER_SIZE
            sample = decode_sample(self.data, misc, event.attr, at, end)
            sample.event, sample.position = event, number
            return sample
        return records.decode(self.data[start:end], event.attr if event else None)

    def records(self):
        """(number, record) in the order in which perf processes them; damaged ones are left out."""
        for number in self.order().tolist():
            try:
                record = self.record(number)
            except RecordError:
                continue
            if record is not None:
                yield number, record

    def columns(self) -> Columns:
        """The samples as numpy arrays, in the order in which perf processes them."""
        if self._columns is None:
            self._columns = Columns(self)
        return self._columns

    def numbers(self, name: str, chosen: np.ndarray, events: np.ndarray) -> np.ndarray:
        """One field of the fixed beginning of some samples, given their events."""
        kind = NUMBERS[name]
        whole = np.zeros(len(chosen), kind)
        places = [fixed_at(event.attr.sample_type).get(name) for event in self.events]
        alike = len(set(places)) == 1 and (places[0] is not None or name != "period")
        for event, at in zip(self.events[:1] if alike else self.events, places, strict=False):
            mine = slice(None) if alike else np.flatnonzero(events == event.index)
            if at is None:
                if name == "period":
                    whole[mine] = np.uint64(event.attr.sample_period)
                elif name in ("pid", "tid"):
                    whole[mine] = -1
                continue
            values = self._words_at(chosen[mine], at & ~7, False)
            if np.dtype(kind).itemsize == 4:
                values = (values >> np.uint64(8 * (at & 7))).astype(np.uint32).view(kind)
            whole[mine] = values
        return whole


def fixed_at(sample_type: int) -> dict[str, int]:
    if sample_type not in _fixed:
        _fixed[sample_type] = records.fixed_offsets(sample_type)
    return _fixed[sample_type]


_fixed: dict[int, dict[str, int]] = {}


LANES = 2048
LANE = 2048
"""Words of data that one lane of a leap looks through."""
SYNCHRONISE = 256
"""Words at a lane's beginning in which a record has to begin."""
SIZE_SHIFT = np.uint64(48)
RUN = 1024
"""Records of one size that are a run; LONGEST_RUN are looked at at once."""
LONGEST_RUN = 1 << 14
BUT_MISC = 0xFFFF_0000_FFFF_FFFF
"""What is not perf_event_header.misc in a record's first word."""
HEADS = np.dtype([("type", "<u4"), ("misc", "<u2"), ("size", "<u2")])
"""perf_event_header of include/uapi/linux/perf_event.h."""


def words_in(region) -> np.ndarray:
    """The whole words of some data."""
    count = len(region) // 8
    return np.frombuffer(region, "<u8", count) if count else np.zeros(0, "<u8")


def run(words: np.ndarray, at: int) -> tuple[np.ndarray, int]:
    """Where samples of one size begin that follow each other, the first one at word `at`; and
    where the next record does."""
    head = int(words[at])
    size = head >> 51
    if head & 0xFFFFFFFF != records.SAMPLE_RECORD or head >> 48 & 7 or size < 2:
        return np.zeros(0, np.int64), at
    head &= BUT_MISC
    most = (len(words) - at) // size
    found, part = 0, RUN
    while found < most:
        part = min(part, most - found)
        begin = at + found * size
        other = (words[begin : begin + part * size : size] & np.uint64(BUT_MISC)) != np.uint64(head)
        if other.any():
            found += int(other.argmax())
            break
        found += part
        part = min(2 * part, LONGEST_RUN)
    end = at + found * size
    return np.arange(at, end, size, dtype=np.int64), end


def leap(words: np.ndarray, at: int) -> tuple[np.ndarray, int]:
    """Where records begin, from the one at word `at` on, many at a time; and where the next does.

    Each record says only where the next one is. Where all have one size that is no problem.
    Otherwise all lanes of a stretch of data start where a
    sample seems to begin, and go from record to record side by side; they are believed as far as
    each ends where the next one started. Nothing odd (sizes, kinds with data behind them) is among
    what is found.
    """
    found, end = run(words, at)
    if len(found) >= RUN:
        return found, end
    lanes = min(LANES, (len(words) - at) // LANE)
    if lanes < 2:
        return np.zeros(0, np.int64), at
    bounds = at + LANE * np.arange(lanes, dtype=np.int64)
    begin = words[at : at + lanes * LANE].reshape(lanes, LANE)[:, :SYNCHRONISE]
    sizes = begin >> SIZE_SHIFT
    seems = (begin & np.uint64(0xFFFFFFFF)) == np.uint64(records.SAMPLE_RECORD)
    seems &= (sizes >= np.uint64(16)) & (sizes & np.uint64(7) == 0)
    place = bounds + seems.argmax(axis=1)
    place[0] = at
    ends = bounds + LANE
    starts = place.copy()
    steps = []
    last = len(words) - 1
    while True:
        going = place < ends
        if not going.any():
            break
        steps.append(place)
        size = (words[np.minimum(place, last)] >> np.uint64(51)).astype(np.int64)
        place = np.where(going, place + np.maximum(size, 1), place)
    broken = np.flatnonzero(place[:-1] != starts[1:])
    good = int(broken[0]) + 1 if len(broken) else lanes
    # A lane that has come to its end stands still there, outside of itself: that is cut off.
    paths = np.array(steps)[:, :good].T
    found = paths[paths < ends[:good, None]]
    heads = words[found]
    kinds, sizes = heads & np.uint64(0xFFFFFFFF), heads >> SIZE_SHIFT
    odd = (sizes < 8) | (sizes & np.uint64(7) != 0) | np.isin(kinds, ODD_KINDS)
    beyond = found + (sizes >> np.uint64(3)).astype(np.int64) > len(words)
    odd = np.flatnonzero(odd | beyond)
    if len(odd):
        return found[: odd[0]], int(found[odd[0]])
    return found, int(place[good - 1])


ODD_KINDS = np.array(
    [records.TracingData.type, records.Auxtrace.type, records.Compressed.type], np.uint64
)


def trailing(region, at: int, kind: int, size: int) -> int:
    """Bytes that follow a record without being in its size: trace data, AUX data."""
    if kind == records.TracingData.type and size >= 12:
        length = struct.unpack_from("<I", region, at + 8)[0] if at + 12 <= len(region) else 0
        return (length + 7) & ~7
    if kind == records.Auxtrace.type and size >= 16:
        return struct.unpack_from("<Q", region, at + 8)[0] if at + 16 <= len(region) else 0
    return 0


def append_record(out: bytearray, region, start: int, end: int) -> None:
    """Copy a record, and round its size up to whole words."""
    kind, misc, size = records.HEADER.unpack_from(region, start)
    whole = min((size + 7) & ~7, 0xFFF8)
    out += records.HEADER.pack(kind, misc, whole)
    out += region[start + records.HEADER_SIZE : start + min(size, whole)]
    out += bytes(max(0, whole - size))
    rest = region[start + size : end]
    out += rest
    out += bytes(-len(rest) % 8)


class Unpacker:
    """Decompresses COMPRESSED records, one zstd stream over all of them."""

    def __init__(self):
        try:
            import zstandard
        except ImportError as error:
            raise PerfDataError("it is compressed, and zstandard is not installed") from error
        self.failure = zstandard.ZstdError
        self.pending = bytearray()
        self.total = 0
        self.stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_writer(
            self, closefd=False
        )

    def write(self, data) -> int:
        self.total += len(data)
        if self.total > MOST_UNPACKED:
            raise PerfDataError(f"it decompresses to more than {MOST_UNPACKED} bytes")
        self.pending += data
        return len(data)

    def feed(self, data: bytes, out: bytearray) -> None:
        """Append the records that are whole by now. Raises PerfDataError."""
        try:
            self.stream.write(data)
        except self.failure as error:
            raise PerfDataError(f"a compressed record can't be read: {error}") from error
        at, pending = 0, self.pending
        while at + records.HEADER_SIZE <= len(pending):
            kind, _, size = records.HEADER.unpack_from(pending, at)
            if size < records.HEADER_SIZE or kind == records.Compressed.type:
                raise PerfDataError("what a compressed record holds is no record")
            if at + size > len(pending):
                break
            append_record(out, pending, at, at + size)
            at += size
        del pending[:at]
