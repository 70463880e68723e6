"""Build-ids: of ELF files, and perf's cache of the files by them (`~/.debug`).

The cache has a copy of each file at PATH/ID/elf, found by the link `.build-id/xx/yyyy…`; the
kernel's symbols are PATH `[kernel.kallsyms]` and file `kallsyms` (tools/perf/util/build-id.c).
"""

import os
import shutil
import struct

ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
NOTE = struct.Struct("<III")
PT_NOTE, SHT_NOTE, NT_GNU_BUILD_ID = 4, 7, 3
KINDS = {
    "[kernel.kallsyms]": "kallsyms",
    "[guest.kernel.kallsyms]": "kallsyms",
    "[vdso]": "vdso",
}
"""What the cache calls the file of something that is no file."""
LARGEST = 20
"""Bytes of the longest build-id that perf.data can hold."""


def of_elf(path: str | os.PathLike) -> bytes:
    """The GNU build-id of a 64-bit little-endian ELF; empty if it has none or is no such file."""
    try:
        with open(path, "rb") as file:
            return _of_open(file)
    except (OSError, struct.error):
        return b""


def _of_open(file) -> bytes:
    head = file.read(ELF_HEADER.size)
    if len(head) < ELF_HEADER.size or not head.startswith(b"\x7fELF\x02\x01"):
        return b""
    fields = ELF_HEADER.unpack(head)
    programs_at, sections_at = fields[5], fields[6]
    program_size, programs, section_size, sections = fields[9:13]
    ranges = []
    if program_size == PROGRAM_HEADER.size:
        for entry in _table(file, programs_at, PROGRAM_HEADER, programs):
            if entry[0] == PT_NOTE:
                ranges.append((entry[2], entry[5]))
    if section_size == SECTION_HEADER.size:
        for entry in _table(file, sections_at, SECTION_HEADER, sections):
            if entry[1] == SHT_NOTE:
                ranges.append((entry[4], entry[5]))
    for at, size in ranges:
        file.seek(at)
        found = in_notes(file.read(min(size, 1 << 16)))
        if found:
            return found
    return b""


def _table(file, at: int, layout: struct.Struct, count: int):
    file.seek(at)
    data = file.read(layout.size * count)
    return [layout.unpack_from(data, i) for i in range(0, len(data) - layout.size + 1, layout.size)]


def in_notes(data: bytes) -> bytes:
    """The build-id among ELF notes; empty if there is none."""
    at = 0
    while at + NOTE.size <= len(data):
        name_size, size, kind = NOTE.unpack_from(data, at)
        name_at = at + NOTE.size
        value_at = name_at + (name_size + 3 & ~3)
        if kind == NT_GNU_BUILD_ID and data[name_at : name_at + name_size] == b"GNU\0":
            return data[value_at : value_at + min(size, LARGEST)]
        at = value_at + (size + 3 & ~3)
    return b""


class Cache:
    """A build-id cache in a directory; perf's own is `~/.debug`."""

    def __init__(self, directory: str | os.PathLike | None = None):
        self.directory = os.fspath(directory or os.path.expanduser("~/.debug"))

    def link(self, build_id: bytes) -> str:
        """Where the link to a build-id's directory is (or would be)."""
        digits = build_id.hex()
        return os.path.join(self.directory, ".build-id", digits[:2], digits[2:])

    def find(self, build_id: bytes) -> str | None:
        """The cached file of this build-id: an ELF, a kallsyms or a vdso. None if there is none."""
        if not build_id:
            return None
        for name in ("elf", "kallsyms", "vdso"):
            path = os.path.join(self.link(build_id), name)
            if os.path.isfile(path):
                return path
        return None

    def add(self, path: str, build_id: bytes, name: str | None = None) -> str:
        """Put a file in, if its build-id is new, and give the path that it has there.

        `name` is what it is known by if that isn't its path: `[kernel.kallsyms]`, `[vdso]`,
        `[guest.kernel.kallsyms]`.
        Raises OSError.
        """
        found = self.find(build_id)
        if found:
            return found
        known = name or os.path.realpath(path)
        inside = KINDS.get(known, "elf")
        place = os.path.join(self.directory, known.lstrip("/"), build_id.hex())
        os.makedirs(place, exist_ok=True)
        target = os.path.join(place, inside)
        if not os.path.exists(target):
            temporary = f"{target}.{os.getpid()}"
            try:
                try:
                    if name:
                        raise OSError  # what is no program may be gone tomorrow
                    os.link(os.path.realpath(path), temporary)
                except OSError:
                    shutil.copyfile(path, temporary)
                os.replace(temporary, target)
            finally:
                if os.path.lexists(temporary):
                    os.unlink(temporary)
        link = self.link(build_id)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if os.path.lexists(link) and not os.path.exists(link):
            os.unlink(link)
        if not os.path.lexists(link):
            os.symlink(os.path.relpath(place, os.path.dirname(link)), link)
        return target
