"""`kvm run` as a trace in the Common Trace Format 1.8, for babeltrace2, Trace Compass and others.

A stream for each hart, and one for the totals of all. Times are ns of the emulated clock. What an
event is made of is declared once, in `STREAMS`: the metadata (TSDL) and the bytes both follow it.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isa.causes import name_of_cause
from isa.record import Record
from rvperf.results import HartEvent, HartEvents, JointReport

MAGIC = 0xC1FC1FC1
VERSION = "/* CTF 1.8 */\n"
TRACER = 'tracer_name = "rvperf kvm run"'
"""In the metadata of ours: what has it may be replaced."""
METADATA, MACHINE, HART = "metadata", "machine", "hart_"
"""Names of files."""
MODES = ("M", "HS", "VS", "VU")


def packed(code: str) -> Callable[[object], bytes]:
    return struct.Struct(f"<{code}").pack


def text(value: str) -> bytes:
    return value.encode("utf-8", "replace").replace(b"\0", b".") + b"\0"


class Type(Record):
    """A type of fields: its TSDL, and how a value is written."""

    tsdl: str
    bytes_of: Callable[[object], bytes]


def unsigned(size: int, code: str, more: str = "") -> Type:
    return Type(f"integer {{ size = {size}; align = 8; signed = false; {more}}}", packed(code))


TYPES = {
    "uint8": unsigned(8, "B"),
    "uint16": unsigned(16, "H"),
    "uint32": unsigned(32, "I"),
    "uint64": unsigned(64, "Q"),
    "hex64": unsigned(64, "Q", "base = 16; "),
    "clock_ns": unsigned(64, "Q", "map = clock.emulated.value; "),
    "text": Type("string { encoding = UTF8; }", text),
    "mode": Type(
        "enum : integer { size = 8; align = 8; signed = false; } "
        f"{{ {', '.join(f'{name} = {at}' for at, name in enumerate(MODES))} }}",
        lambda mode: bytes([MODES.index(mode)]),
    ),
}

Fields = dict[str, str]
"""Names of fields, and of their types."""

TRACE_HEADER: Fields = {"magic": "uint32", "stream_id": "uint32"}
PACKET: Fields = {
    "timestamp_begin": "clock_ns",
    "timestamp_end": "clock_ns",
    "content_size": "uint64",
    "packet_size": "uint64",
    "events_discarded": "uint64",
}
EVENT_HEADER: Fields = {"id": "uint16", "timestamp": "clock_ns"}

TOTALS = ("vm_exits", "sbi_calls", "guest_sbi_calls", "saves", "restores")


class Stream(Record):
    """A class of streams: what a packet has beside `PACKET`, and the events there are."""

    packet: Fields
    events: dict[str, Fields]


STREAMS = (
    Stream(
        {"cpu_id": "uint32"},
        {
            # Whose a counter is while nobody uses it.
            "counter_kept": {"counter": "uint8", "kept_for": "text"},
            # A counter is somebody's: from here to there.
            "counter_begin": {"counter": "uint8", "owner": "text"},
            "counter_end": {"counter": "uint8", "owner": "text"},
            "overflow_interrupt": {"mode": "mode", "owner": "text"},
            "vm_exit": {"vcpu": "text", "mode": "mode", "scause": "hex64", "reason": "text"},
            "vm_entry": {"vcpu": "text", "mode": "mode"},
            "vcpu_load": {"vcpu": "text"},
            "vcpu_put": {"vcpu": "text"},
            "vcpu_migrate": {"vcpu": "text", "hart": "uint32"},
            "counters_save": {"vcpu": "text", "registers": "uint32"},
            "counters_restore": {"vcpu": "text", "registers": "uint32"},
            "script": {"vcpu": "text", "what": "text", "about": "text"},
            "sbi_call": {
                "caller": "text",
                "mode": "mode",
                "extension": "hex64",
                "function": "hex64",
                "name": "text",
            },
        },
    ),
    Stream({}, {"totals": dict.fromkeys(TOTALS, "uint64")}),
)
HARTS, ALL = range(len(STREAMS))


# The metadata.


def metadata(report: JointReport) -> str:
    """The description of the trace, in TSDL."""
    environment = [
        TRACER,
        f'design = "{report.vpmu}"',
        f'policy = "{report.policy}"',
        f"harts = {report.harts}",
    ]
    parts = [VERSION]
    parts += [f"typealias {one.tsdl} := {name};\n" for name, one in TYPES.items() if name != "mode"]
    clock = ["name = emulated", 'description = "ns since power-on"', "freq = 1000000000"]
    at = next(n for n, part in enumerate(parts) if ":= clock_ns" in part)
    parts.insert(at, block("clock", clock))
    head = ["major = 1", "minor = 8", "byte_order = le"]
    parts.append(block("trace", [*head, f"packet.header := {struct_of(TRACE_HEADER)}"]))
    parts.append(block("env", environment))
    for number, stream in enumerate(STREAMS):
        parts.append(
            block(
                "stream",
                [
                    f"id = {number}",
                    f"packet.context := {struct_of(PACKET | stream.packet)}",
                    f"event.header := {struct_of(EVENT_HEADER)}",
                ],
            )
        )
        for at, (name, fields) in enumerate(stream.events.items()):
            about = [f'name = "{name}"', f"id = {at}", f"stream_id = {number}"]
            parts.append(block("event", [*about, f"fields := {struct_of(fields)}"]))
    return "\n".join(parts)


def block(name: str, lines: Iterable[str]) -> str:
    return f"{name} {{\n" + "".join(f"\t{line};\n" for line in lines) + "};\n"


def struct_of(fields: Fields) -> str:
    inner = "".join(f"\t\t{type_of(kind)} {name};\n" for name, kind in fields.items())
    return f"struct {{\n{inner}\t}}"


def type_of(kind: str) -> str:
    return TYPES[kind].tsdl if kind == "mode" else kind


# The streams.


def bytes_of(fields: Fields, values: Iterable) -> bytes:
    return b"".join(
        TYPES[kind].bytes_of(value) for kind, value in zip(fields.values(), values, strict=True)
    )


def stream(number: int, about: tuple, events: list[tuple], start: int, end: int, lost: int = 0):
    """A stream's file. `about` is what its packets have beside `PACKET`, `events` are (time, name,
    values). What was lost came last: that is a packet without events."""
    start = min([start, *(time for time, *_ in events[:1])])
    end = max([end, *(time for time, *_ in events[-1:])])
    if not lost:
        return packet(number, about, events, start, end, 0)
    until = max(events[-1][0], start) if events else start
    first = packet(number, about, events, start, until, 0)
    return first + packet(number, about, [], until, end, lost)


def packet(number: int, about: tuple, events: list[tuple], begin: int, end: int, lost: int):
    """A packet. `lost` is how many events there were until its end that aren't in the stream."""
    kind = STREAMS[number]
    ids = {name: at for at, name in enumerate(kind.events)}
    content = b"".join(
        bytes_of(EVENT_HEADER, (ids[name], time)) + bytes_of(kind.events[name], values)
        for time, name, values in events
    )
    header = bytes_of(TRACE_HEADER, (MAGIC, number))
    fields = PACKET | kind.packet

    def context(size: int) -> bytes:
        return bytes_of(fields, (begin, end, 8 * size, 8 * size, lost, *about))

    size = len(header) + len(context(0)) + len(content)
    return header + context(size) + content


def hart_events(report: JointReport, happened: Iterable[HartEvent], hart: int) -> list[tuple]:
    """What there was on a hart, in the order of time; what ends goes before what begins."""
    found = [
        (report.start, "counter_kept", (counter, kept))
        for counter, kept in enumerate(report.unused)
    ]
    owned = [one for one in report.owners if one.hart == hart]
    found += [(one.end, "counter_end", (one.counter, one.owner)) for one in owned]
    found += [(one.start, "counter_begin", (one.counter, one.owner)) for one in owned]
    found += [(one.time, "overflow_interrupt", (one.mode, one.owner))
              for one in report.overflows if one.hart == hart]  # fmt: skip
    found += [(one.time, "script", (one.name, one.what, one.about or "done"))
              for one in report.happened if one.hart == hart]  # fmt: skip
    found += [(one.time, one.kind, values_of(one)) for one in happened if one.hart == hart]
    return sorted(found, key=lambda one: one[0])


def values_of(one: HartEvent) -> tuple:
    """The values of its event's fields."""
    if one.kind == "vm_exit":
        return one.who, *one.about, name_of_cause(one.about[1])
    return one.who, *one.about


def files(report: JointReport, happened: HartEvents) -> Iterator[tuple[str, bytes]]:
    """The trace's files: names and contents."""
    yield METADATA, metadata(report).encode()
    start, end = report.start, report.end
    for hart in range(report.harts):
        events = hart_events(report, happened.kept, hart)
        lost = happened.dropped[hart] if happened.dropped else 0
        yield f"{HART}{hart}", stream(HARTS, (hart,), events, start, end, lost)
    totals = [
        (one.time, "totals", tuple(getattr(one, name) for name in TOTALS)) for one in report.totals
    ]
    yield MACHINE, stream(ALL, (), totals, start, end)


# The directory.


def refused(directory: str) -> str:
    """Why a trace can't be written there; empty if it can. It is made if there is none, and an
    empty one or an earlier trace of ours is used."""
    path = Path(directory)
    try:
        with os.scandir(path) as entries:
            there = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        if there and not (all(is_ours(name, file) for name, file in there.items())
                          and ours(path / METADATA)):  # fmt: skip
            return "There is something else in it"
        if not os.access(path, os.W_OK | os.X_OK):
            return os.strerror(13)
    except FileNotFoundError:
        return "" if path.parent.is_dir() and os.access(path.parent, os.W_OK) else os.strerror(2)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def is_ours(name: str, file: bool) -> bool:
    known = name in (METADATA, MACHINE) or name.removeprefix(HART).isdecimal()
    return file and known


def ours(path: Path) -> bool:
    try:
        content = path.read_text("utf-8", "replace")
    except OSError:
        return False
    return content.startswith(VERSION) and TRACER in content


def write(directory: str, report: JointReport, happened: HartEvents) -> None:
    """Write the trace, in place of an earlier one. OSError."""
    path = Path(directory)
    if why := refused(directory):
        raise OSError(why)
    path.mkdir(exist_ok=True)
    for entry in sorted(path.iterdir()):
        entry.unlink()
    for name, content in files(report, happened):
        (path / name).write_bytes(content)
