"""The fields of tracepoints: what a sample's raw data holds, and how perf prints it.

Names, types and print formats are those of the kernel's TRACE_EVENTs (include/trace/events/
syscalls.h, sched.h, exceptions.h). `pack` makes the raw data of one occurrence, `format_text` what
/sys/kernel/tracing/events/*/*/format would show, which perf.data files carry for perf's printing.
"""

from __future__ import annotations

import struct

from isa.record import Record
from rvperf.events.table import TRACEPOINT_EVENTS


class Field(Record):
    """A field in C: `type` and `name` as declared, its size in bytes; `code` is struct's letter."""

    type: str
    name: str
    code: str
    count: int = 1
    dynamic: bool = False
    """A __data_loc: a string that lies behind the fixed fields."""

    @property
    def size(self) -> int:
        return struct.calcsize(self.code) * (1 if self.code.endswith("s") else self.count)

    @property
    def declared(self) -> str:
        array = f"[{self.count}]" if self.count > 1 else ""
        if self.code.endswith("s"):
            array = f"[{self.size}]"
        return f"{self.type} {self.name}{array}"

    @property
    def is_signed(self) -> bool:
        return self.code.islower() and not self.dynamic


COMMON = (
    Field("unsigned short", "common_type", "H"),
    Field("unsigned char", "common_flags", "B"),
    Field("unsigned char", "common_preempt_count", "B"),
    Field("int", "common_pid", "i"),
)


class Tracepoint(Record):
    """A tracepoint's own fields and the print format that it declares."""

    fields: tuple[Field, ...]
    print_fmt: str


TRACEPOINTS = {
    "exceptions:page_fault_user": Tracepoint(
        (
            Field("unsigned long", "address", "Q"),
            Field("unsigned long", "ip", "Q"),
            Field("unsigned long", "error_code", "Q"),
        ),
        '"address=%p ip=%p error_code=0x%lx", (void *)REC->address, (void *)REC->ip, '
        "REC->error_code",
    ),
    "raw_syscalls:sys_enter": Tracepoint(
        (Field("long", "id", "q"), Field("unsigned long", "args", "Q", 6)),
        '"NR %ld (%lx, %lx, %lx, %lx, %lx, %lx)", REC->id, '
        + ", ".join(f"REC->args[{n}]" for n in range(6)),
    ),
    "raw_syscalls:sys_exit": Tracepoint(
        (Field("long", "id", "q"), Field("long", "ret", "q")),
        '"NR %ld = %ld", REC->id, REC->ret',
    ),
    "sched:sched_process_exec": Tracepoint(
        (
            Field("__data_loc char[]", "filename", "I", dynamic=True),
            Field("pid_t", "pid", "i"),
            Field("pid_t", "old_pid", "i"),
        ),
        '"filename=%s pid=%d old_pid=%d", __get_str(filename), REC->pid, REC->old_pid',
    ),
    "sched:sched_process_exit": Tracepoint(
        (Field("char", "comm", "16s"), Field("pid_t", "pid", "i"), Field("int", "prio", "i")),
        '"comm=%s pid=%d prio=%d", REC->comm, REC->pid, REC->prio',
    ),
}
NUMBERS = {row.symbol: row.config for row in TRACEPOINT_EVENTS}


def _placed(fields, start: int) -> list[tuple[Field, int]]:
    """Each field with its offset, aligned as C would."""
    found, at = [], start
    for field in fields:
        align = 1 if field.code.endswith("s") else struct.calcsize(field.code)
        at = -(-at // align) * align
        found.append((field, at))
        at += field.size
    return found


def _layout(name: str) -> tuple[list[tuple[Field, int]], int]:
    """(own fields with their offsets, the size of the fixed part)."""
    placed = _placed(TRACEPOINTS[name].fields, 8)
    last, at = placed[-1]
    return placed, -(-(at + last.size) // 4) * 4


def pack(name: str, pid: int, values: dict[str, object]) -> bytes:
    """The raw data of one occurrence; `values` by field name, strings as bytes."""
    placed, size = _layout(name)
    data = bytearray(size)
    struct.pack_into("<HBBi", data, 0, NUMBERS[name], 0, 0, pid)
    for field, at in placed:
        value = values[field.name]
        if field.dynamic:
            text = value + b"\0"
            struct.pack_into("<I", data, at, len(text) << 16 | len(data))
            data += text
        elif field.count > 1:
            struct.pack_into(f"<{field.count}{field.code}", data, at, *value)
        else:
            struct.pack_into(f"<{field.code}", data, at, value)
    return bytes(data)


def format_text(name: str) -> str:
    """The tracepoint's `format` file."""

    def line(field: Field, at: int) -> str:
        size = field.size
        return (
            f"\tfield:{field.declared};\toffset:{at};\tsize:{size};\tsigned:{int(field.is_signed)};"
        )

    common = [line(field, at) for field, at in _placed(COMMON, 0)]
    own = [line(field, at) for field, at in _layout(name)[0]]
    return "\n".join(
        [
            f"name: {name.partition(':')[2]}",
            f"ID: {NUMBERS[name]}",
            "format:",
            *common,
            "",
            *own,
            "",
            f"print fmt: {TRACEPOINTS[name].print_fmt}",
            "",
        ]
    )
