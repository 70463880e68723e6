"""Compiled code on disk: tier 0, and each program's regions.

Cached code is code, so the directory is private (mode 0700) and ours, files appear by an atomic
rename, and a key over everything that decides what the code does names each of them: the
instruction table, this engine, the timing model, LLVM's version and the processor.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from rvperf.engine import interpreter
from rvperf.engine.objects import Piece, compile_module


@dataclass(frozen=True)
class Tier0:
    """Tier 0 as a piece, and its functions in the order of their indices."""

    code: bytes
    symbols: dict[str, int]
    handlers: list[str]


@dataclass(frozen=True)
class Region:
    """A compiled region: its code, where it enters, and the guest code that it was made from."""

    head: int
    ranges: tuple[tuple[int, int], ...] = ()
    digest: str = ""  # of the guest code in the ranges
    code: bytes = b""
    entry: int = 0


MOST_REGION_BYTES = 64 << 20  # of one program


@cache
def directory() -> Path | None:
    """The cache directory, made if need be, or None if there is none that only we can write."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(base) / "rvperf"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError:
        return None
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        return None
    return path


@cache
def key() -> str:
    """What names code that this engine on this processor may run."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    import isa

    roots = (Path(isa.__file__).parent, here, here.parent / "machine")
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    digest.update(version("llvmlite").encode())
    digest.update(processor().encode())
    digest.update(sys.implementation.cache_tag.encode())
    return digest.hexdigest()[:32]


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


def read(name: str) -> bytes | None:
    """The cached file, or None if there is none that is ours and whole."""
    path = directory()
    if path is None:
        return None
    try:
        with open(path / name, "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            data = file.read()
    except OSError:
        return None
    found, _, data = data.partition(b"\n")
    return data if found == digest(data).encode() else None


def write(name: str, data: bytes) -> None:
    """Put a file into the cache, all at once; a cache that can't be written is no error."""
    path = directory()
    if path is None:
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(digest(data).encode() + b"\n")
                file.write(data)
            os.replace(temporary, path / name)
        except OSError:
            os.unlink(temporary)
    except OSError:
        pass


def tier0(table) -> Tier0:
    """Tier 0 for the table: from the cache, or compiled now and kept there."""
    name = f"tier0-{key()}"
    if data := read(name):
        header, _, code = data.partition(b"\n")
        found = json.loads(header)
        return Tier0(code, found["symbols"], found["handlers"])
    piece: Piece = compile_module(interpreter.module(table))
    handlers = [handler.name for handler in interpreter.handlers(table)]
    header = {"symbols": piece.symbols, "handlers": handlers}
    write(name, json.dumps(header).encode() + b"\n" + piece.code)
    return Tier0(piece.code, piece.symbols, handlers)


def digest(data) -> str:
    """What tells guest code or a file's body from another."""
    return hashlib.sha256(data).hexdigest()


def add_regions(name: str, regions: list[Region]) -> None:
    """Add regions to a program's file, in place of older ones with the same head."""
    body, kept = read_regions(name)
    merged = {region.head: region for region in (*kept, *regions)}
    packed = bytearray()
    records = []
    for region in merged.values():
        packed += bytes(-len(packed) % 64)
        if len(packed) + len(region.code) > MOST_REGION_BYTES:
            break
        at = len(packed)
        records.append((region.head, region.ranges, region.digest, at, region.entry))
        packed += region.code
    header = json.dumps(records).encode()
    write(name, header + b"\n" + packed)


def read_regions(name: str) -> tuple[bytes, list[Region]]:
    """(one piece of code, the regions in it) of a program: none if there is no file.

    Regions lie in the piece in order, each at a multiple of 64 bytes.
    """
    data = read(name)
    if data is None:
        return b"", []
    header, _, body = data.partition(b"\n")
    records = json.loads(header)
    starts = [record[3] for record in records] + [len(body)]
    regions = [
        Region(head, tuple(map(tuple, ranges)), of, body[at:end], entry)
        for (head, ranges, of, at, entry), end in zip(records, starts[1:], strict=True)
    ]
    return body, regions
