"""pprof's profile.proto, gzip'd (https://github.com/google/pprof/blob/main/proto/profile.proto).

Messages are dicts and are encoded by the tables below, which say of each field its number and type.
"""

import gzip
import os

from rvperf.render.speedscope import TIMES
from rvperf.render.stacks import Stacks

VALUE_TYPE = {"type": (1, "int"), "unit": (2, "int")}
LABEL = {"key": (1, "int"), "str": (2, "int"), "num": (3, "int"), "num_unit": (4, "int")}
SAMPLE = {"location_id": (1, "ints"), "value": (2, "ints"), "label": (3, LABEL)}
MAPPING = {
    "id": (1, "int"),
    "memory_start": (2, "int"),
    "memory_limit": (3, "int"),
    "file_offset": (4, "int"),
    "filename": (5, "int"),
    "build_id": (6, "int"),
    "has_functions": (7, "int"),
    "has_filenames": (8, "int"),
    "has_line_numbers": (9, "int"),
    "has_inline_frames": (10, "int"),
}
LINE = {"function_id": (1, "int"), "line": (2, "int")}
LOCATION = {"id": (1, "int"), "mapping_id": (2, "int"), "address": (3, "int"), "line": (4, LINE)}
FUNCTION = {
    "id": (1, "int"),
    "name": (2, "int"),
    "system_name": (3, "int"),
    "filename": (4, "int"),
}
PROFILE = {
    "sample_type": (1, VALUE_TYPE),
    "sample": (2, SAMPLE),
    "mapping": (3, MAPPING),
    "location": (4, LOCATION),
    "function": (5, FUNCTION),
    "string_table": (6, "text"),
    "duration_nanos": (10, "int"),
    "period_type": (11, VALUE_TYPE),
    "period": (12, "int"),
    "comment": (13, "ints"),
    "default_sample_type": (14, "int"),
}
VARINT, BYTES = 0, 2
"""Wire types."""


SHORT = [bytes([value]) for value in range(128)]


def varint(value: int) -> bytes:
    if 0 <= value < 128:
        return SHORT[value]
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, data: bytes) -> bytes:
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def encode(message: dict, fields: dict) -> bytes:
    """A message by its table, its fields in the order of their numbers; zeros are left out."""
    out = []
    for name, (number, kind) in fields.items():
        value = message.get(name)
        if not value:
            continue
        if kind == "int":
            out.append(varint(number << 3 | VARINT) + varint(value))
        elif kind == "ints":
            out.append(delimited(number, b"".join(map(varint, value))))
        elif kind == "text":
            out += [delimited(number, text.encode()) for text in value]
        else:
            several = value if isinstance(value, list) else [value]
            out += [delimited(number, encode(one, kind)) for one in several]
    return b"".join(out)


class Strings(dict):
    """The numbers of strings; what is new gets the next one. 0 is the empty string."""

    def __init__(self):
        super().__init__({"": 0})

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def pprof(stacks: Stacks) -> bytes:
    """An event's samples by stack and thread, with their number and their period."""
    return gzip.compress(encode(message(stacks), PROFILE), mtime=0)


def message(stacks: Stacks) -> dict:
    strings = Strings()
    event = stacks.event
    bare = event.name.partition(":")[0] or event.name
    value = {
        "type": strings[event.name],
        "unit": strings["nanoseconds" if bare in TIMES else "count"],
    }
    functions, function_ids = functions_of(stacks, strings)
    mappings, mapping_ids = mappings_of(stacks, strings)
    locations = [
        {
            "id": number,
            "mapping_id": mapping_ids.get(location.map, 0),
            "address": location.ip,
            "line": [
                {"function_id": function_ids[function, file], "line": line}
                for (function, line), file in zip(location.frames, location.files, strict=True)
            ],
        }
        for number, location in enumerate(stacks.locations, 1)
    ]
    command = stacks.profile.reader.features.get("CMDLINE", ())
    return {
        "sample_type": [{"type": strings["samples"], "unit": strings["count"]}, value],
        "sample": list(samples(stacks, strings)),
        "mapping": mappings,
        "location": locations,
        "function": functions,
        "duration_nanos": int(stacks.time.max() - stacks.time.min()) if len(stacks) else 0,
        "period_type": value,
        "period": 0 if event.attr.freq else event.attr.sample_period,
        "default_sample_type": strings[event.name],
        "comment": [strings[encodable(" ".join(command))]] if command else [],
        "string_table": list(strings),
    }


def samples(stacks: Stacks, strings: Strings):
    keys = [strings[key] for key in ("comm", "pid", "tid")]
    for (thread, comm, stack), count, period in stacks.totals(
        stacks.thread, stacks.comm, stacks.stack
    ):
        who = stacks.profile.threads[thread]
        yield {
            "location_id": [location + 1 for location in reversed(stacks.stacks[stack])],
            "value": [count, period],
            "label": [
                {"key": keys[0], "str": strings[stacks.comm_name(comm)]},
                {"key": keys[1], "num": who.pid},
                {"key": keys[2], "num": who.tid},
            ],
        }


def functions_of(stacks: Stacks, strings: Strings):
    """The functions, and their numbers by (function of the stacks, source file)."""
    numbers, known, found = {}, {}, []
    for location in stacks.locations:
        for (index, _), file in zip(location.frames, location.files, strict=True):
            if (index, file) in numbers:
                continue
            function = stacks.functions[index]
            # pprof says itself what is inlined: a function is the same either way.
            key = function.label, function.path, function.kind, file
            if key not in known:
                known[key] = len(known) + 1
                name = strings[function.label]
                found.append(
                    {"id": known[key], "name": name, "system_name": name, "filename": strings[file]}
                )
            numbers[index, file] = known[key]
    return found, numbers


def mappings_of(stacks: Stacks, strings: Strings):
    """The mappings, that of the program first as pprof wants it, and their numbers."""
    named, filed, lined, inlined = set(), set(), set(), set()
    used: dict = {}
    for location in stacks.locations:
        there = location.map
        if there is None:
            continue
        used.setdefault(there)
        if any(stacks.functions[function].name != "[unknown]" for function, _ in location.frames):
            named.add(there)
        if any(location.files):
            filed.add(there)
        if any(line for _, line in location.frames):
            lined.add(there)
        if len(location.frames) > 1:
            inlined.add(there)
    comms = {stacks.profile.comms[number] for number in set(stacks.comm.tolist())}

    def order(there) -> tuple:
        main = os.path.basename(there.dso.name)[:15] in comms
        return not main, there.start, there.dso.index

    found, numbers = [], {}
    for there in sorted(used, key=order):
        numbers[there] = len(numbers) + 1
        found.append(
            {
                "id": numbers[there],
                "memory_start": there.start,
                "memory_limit": there.end,
                "file_offset": there.pgoff,
                "filename": strings[encodable(there.dso.name)],
                "build_id": strings[(there.dso.build_id or b"").hex()],
                "has_functions": there in named,
                "has_filenames": there in filed,
                "has_line_numbers": there in lined,
                "has_inline_frames": there in inlined,
            }
        )
    return found, numbers


def encodable(text: str) -> str:
    """A path as UTF-8 can have it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
