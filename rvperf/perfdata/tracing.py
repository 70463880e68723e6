"""TRACING_DATA: what is needed to print a tracepoint's fields (tools/perf/util/trace-event-info.c).

That is the texts of the kernel's tracefs: how the ring buffer's pages and events look, and a
format for each tracepoint.
"""

import re
import struct

from isa.record import Record

MAGIC = b"\x17\x08\x44tracing"
VERSION = "0.6"

HEADER_PAGE = (
    "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
    "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
    "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
    "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n"
)
HEADER_EVENT = (
    "# compressed entry header\n"
    "\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\tarray       :   32 bits\n\n"
    "\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n"
    "\tdata max type_len  == 28\n"
)


FIELD = re.compile(r"^\s*field:(.*?);", re.MULTILINE)
NAME = re.compile(r"(\w+)\s*(?:\[[^]]*\])?\s*$")
ID = re.compile(r"^ID:\s*(\d+)", re.MULTILINE)


class TracingError(ValueError):
    """A TRACING_DATA section that ends too early or isn't one."""


class Tracing(Record):
    """The section's parts. `formats` has the format texts by system: {"sched": ["name: …", …]}."""

    formats: dict[str, list[str]]
    header_page: str = HEADER_PAGE
    header_event: str = HEADER_EVENT
    ftrace: list[str] = []
    kallsyms: str = ""
    printk: str = ""
    cmdlines: str = ""
    page_size: int = 4096
    long_size: int = 8


def encode(tracing: Tracing) -> bytes:
    """The section's bytes."""

    def sized(text: str, width: int = 8) -> bytes:
        data = text.encode("utf-8", "surrogateescape")
        return len(data).to_bytes(width, "little") + data

    def counted(items) -> bytes:
        return len(items).to_bytes(4, "little")

    out = [MAGIC, VERSION.encode() + b"\0"]
    out.append(struct.pack("<BBI", 0, tracing.long_size, tracing.page_size))
    out += [b"header_page\0", sized(tracing.header_page)]
    out += [b"header_event\0", sized(tracing.header_event)]
    out += [counted(tracing.ftrace), *map(sized, tracing.ftrace)]
    out.append(counted(tracing.formats))
    for system, formats in tracing.formats.items():
        out += [system.encode() + b"\0", counted(formats), *map(sized, formats)]
    out += [sized(tracing.kallsyms, 4), sized(tracing.printk, 4), sized(tracing.cmdlines)]
    return b"".join(out)


def decode(data: bytes) -> Tracing:
    """The parts of a little-endian section. Raises TracingError."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        if count > len(data) - at:
            raise TracingError("the trace data ends too early")
        at += count
        return data[at - count : at]

    def number(width: int) -> int:
        return int.from_bytes(take(width), "little")

    def sized(width: int = 8) -> str:
        return take(number(width)).decode("utf-8", "surrogateescape")

    def name() -> str:
        end = data.find(b"\0", at)
        if end < 0:
            raise TracingError("the trace data ends too early")
        return take(end + 1 - at)[:-1].decode("utf-8", "surrogateescape")

    if take(len(MAGIC)) != MAGIC:
        raise TracingError("this is no trace data")
    version = name()
    big_endian, long_size, page_size = struct.unpack("<BBI", take(6))
    if big_endian:
        raise TracingError("the trace data is big-endian")
    name()
    header_page = sized()
    name()
    header_event = sized()
    ftrace = [sized() for _ in range(number(4))]
    formats: dict[str, list[str]] = {}
    for _ in range(number(4)):
        system = name()
        formats.setdefault(system, []).extend(sized() for _ in range(number(4)))
    kallsyms, printk = sized(4), sized(4)
    cmdlines = sized() if version >= "0.6" else ""
    return Tracing(
        formats, header_page, header_event, ftrace, kallsyms, printk, cmdlines, page_size, long_size
    )


def formats_by_id(section: bytes) -> dict[int, str]:
    """The format text of each tracepoint by its id; none if the section can't be read."""
    try:
        tracing = decode(section)
    except TracingError:
        return {}
    texts = [text for system in tracing.formats.values() for text in system]
    return {int(found[1]): text for text in texts if (found := ID.search(text))}


def field_names(text: str) -> list[str]:
    """The names of a format's own fields, without those that all tracepoints have."""
    _, _, own = text.partition("\n\n")
    return [found[1] for field in FIELD.findall(own) if (found := NAME.search(field))]
