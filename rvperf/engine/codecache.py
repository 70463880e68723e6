"""Compiled code on disk: tier 0, and each program's regions.

Cached code is code, so the directory is private (mode 0700) and ours, files appear by an atomic
rename, and a key over everything that decides what the code does names each of them: the
instruction table, this engine, the timing model, LLVM's version and the processor.

A file is its hash (the one by which Python knows its own compiled files' sources, PEP 552) and a
marshalled object, so that a short run reads it without importing a library for either.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
from functools import cache
from importlib.util import find_spec, source_hash

from isa.record import Record


class Tier0(Record):
    """Tier 0 as a piece, and its functions in the order of their indices."""

    code: bytes
    symbols: dict[str, int]
    handlers: list[str]


class Region(Record):
    """A compiled region: its code, and the guest code that it was made from.

    It was made for the guest address `head`, and can be entered at all of `entries`. Without
    `ranges` there was nothing to compile.
    """

    head: int
    entries: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    guest_code: bytes = b""  # all that is in the ranges
    code: bytes = b""
    function: int = 0  # where in the code its function starts


MOST_REGION_BYTES = 64 << 20  # of one program


@cache
def directory() -> str | None:
    """The cache directory, made if need be, or None if there is none that only we can write."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.path.join(base, "rvperf")
    try:
        if not os.path.isdir(path):
            os.makedirs(base, exist_ok=True)
            os.mkdir(path, mode=0o700)
    except FileExistsError:
        pass  # somebody else made it in the meantime
    except OSError:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return None
    return None if stat.S_IMODE(status.st_mode) & 0o077 else path


@cache
def key() -> str:
    """What names code that this engine on this processor may run."""
    import isa

    here = os.path.dirname(__file__)
    machine = os.path.join(os.path.dirname(here), "machine")
    sources = [
        path for root in (os.path.dirname(isa.__file__), here, machine) for path in _in(root)
    ]
    llvm = find_spec("llvmlite")
    if llvm and llvm.origin:
        sources.append(os.path.join(os.path.dirname(llvm.origin), "_version.py"))
    found = [f"{processor()}\0{sys.implementation.cache_tag}".encode()]
    for path in sources:
        try:
            with open(path, "rb", buffering=0) as file:
                found += os.path.basename(path).encode(), file.read()
        except OSError:
            found.append(b"missing")
    return hash_of(b"\0".join(found)).hex()


def _in(root: str) -> list[str]:
    """The Python files below a directory, in an order of their own."""
    found = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.name.endswith(".py"):
            found.append(entry.path)
        elif entry.name != "__pycache__" and entry.is_dir():
            found += _in(entry.path)
    return found


def processor() -> str:
    """This processor's model and features, as the operating system tells them."""
    wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer")
    found = []
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in wanted:
                    found.append(value.strip())
                if not line.strip():
                    break
    except OSError:
        pass
    return "|".join(found) or "unknown"


def hash_of(data: bytes) -> bytes:
    """Eight bytes that tell data from other data that chance, not malice, brings about."""
    return source_hash(data)


def read(name: str):
    """The object in the cached file; None if there is no sound one."""
    path = directory()
    if path is None:
        return None
    try:
        with open(os.path.join(path, name), "rb", buffering=0) as file:
            data = file.read() if os.fstat(file.fileno()).st_uid == os.getuid() else b""
    except OSError:
        return None
    body = memoryview(data)[8:]
    return marshal.loads(body) if body and hash_of(body) == data[:8] else None


def write(name: str, contents) -> None:
    """Put an object into the cache, all at once; a cache that can't be written is no error."""
    path = directory()
    if path is None:
        return
    data = marshal.dumps(contents)
    temporary = os.path.join(path, f"{name}.{os.getpid()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(hash_of(data))
                file.write(data)
            os.replace(temporary, os.path.join(path, name))
        except OSError:
            os.unlink(temporary)
    except OSError:
        pass


def claim(name: str) -> bool:
    """Whether this process is now the only one, until it ends, that has claimed `name`."""
    import fcntl

    path = directory()
    if path is None:
        return False
    try:
        handle = os.open(os.path.join(path, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


BUILT_AHEAD = os.path.join(os.path.dirname(__file__), "tier0.bin")
"""Tier 0 as installing rvperf leaves it, so that the first run need not compile it."""


def tier0(table, counting: bool = False) -> Tier0:
    """Tier 0 for the table: from the cache, else as built ahead, else compiled; then cached.

    The one that is `counting` executions is compiled when it is first asked for.
    """
    name = f"tier0-{key()}{'-counting' if counting else ''}"
    found = read(name)
    if not found:
        found = None if counting else read_built_ahead()
        found = found or compile_tier0(table, counting)
        write(name, found)
    return Tier0(*found)


def read_built_ahead():
    """The fields of `Tier0` as installing left them; None unless they are for this engine."""
    try:
        with open(BUILT_AHEAD, "rb", buffering=0) as file:
            built_for, *found = marshal.loads(file.read())
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return tuple(found) if built_for == key() else None


def compile_tier0(table, counting: bool = False) -> tuple[bytes, dict[str, int], list[str]]:
    """The fields of `Tier0`, compiled for this processor."""
    from rvperf.engine import interpreter
    from rvperf.engine.objects import compile_module

    piece = compile_module(interpreter.module(table, counting))
    handlers = [handler.name for handler in interpreter.handlers(table)]
    return piece.code, piece.symbols, handlers


def build_ahead() -> None:
    """Compile tier 0 into this package, when rvperf is being installed."""
    from isa.ext import RV64GC

    data = marshal.dumps((key(), *compile_tier0(RV64GC)))
    with open(BUILT_AHEAD, "wb") as file:
        file.write(data)


def regions_name(program: str) -> str:
    """The file for a program's regions."""
    return f"regions-{key()}-{hash_of(program.encode(errors='surrogateescape')).hex()}"


def add_regions(name: str, regions: list[Region]) -> None:
    """Add regions to a program's file, in place of older ones with the same head."""
    _, kept = read_regions(name)
    merged = {region.head: region for region in (*kept, *regions)}
    packed = bytearray()
    records = []
    for region in merged.values():
        packed += bytes(-len(packed) % 64)
        if len(packed) + len(region.code) > MOST_REGION_BYTES:
            break
        at = len(packed)
        records.append(
            (region.head, region.entries, region.ranges, region.guest_code, at, region.function)
        )
        packed += region.code
    write(name, (bytes(packed), records))


def read_regions(name: str) -> tuple[bytes, list[Region]]:
    """(one piece of code, the regions in it) of a program: none if there is no sound file.

    Regions lie in the piece in order, each at a multiple of 64 bytes.
    """
    found = read(name)
    if not found:
        return b"", []
    body, records = found
    ends = [record[4] for record in records[1:]] + [len(body)]
    regions = [
        Region(head, entries, ranges, guest_code, body[at:end], function)
        for (head, entries, ranges, guest_code, at, function), end in zip(
            records, ends, strict=True
        )
    ]
    return body, regions
