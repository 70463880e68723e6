"""The smallest perf.data file that lets stock perf say what is at addresses of one riscv64 file."""

import os
import struct
import tempfile

from tests.oracles.perf import absent, perf

BASE = 0x4000000000
IP, TID, TIME = 1, 2, 4
MMAP2, COMM, SAMPLE = 10, 3, 9
USER = 2


def _string(text: bytes) -> bytes:
    return text + b"\0" * (8 - len(text) % 8)


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<IHH", kind, USER, 8 + len(body)) + body


def file_of(path: str, ips, size: int = 1 << 32, build_id: bytes = b"") -> bytes:
    """Samples at file offsets of a program mapped whole at BASE."""
    attr = struct.pack("<IIQQQQQ", 1, 112, 0, 1, IP | TID | TIME, 0, 0)
    attr = attr.ljust(112, b"\0") + struct.pack("<QQ", 0, 0)
    data = _record(COMM, struct.pack("<II", 1, 1) + _string(b"it"))
    where = struct.pack("<IIQQQ", 1, 1, BASE, size, 0)
    data += _record(MMAP2, where + bytes(24) + struct.pack("<II", 5, 2) + _string(path.encode()))
    for n, ip in enumerate(ips):
        data += _record(SAMPLE, struct.pack("<QIIQ", BASE + ip, 1, 1, 1000 + n))
    header = b"PERFILE2" + struct.pack("<QQ", 104, len(attr))
    header += struct.pack("<QQQQQQ", 104, len(attr), 104 + len(attr), len(data), 0, 0) + bytes(32)
    return header + attr + data


def script(path: str, offsets, fields: str = "ip,sym,symoff", *options: str) -> list[str]:
    """What `perf script` prints for samples at offsets into a file, a line for each."""
    with tempfile.TemporaryDirectory() as scratch:
        name = os.path.join(scratch, "perf.data")
        with open(name, "wb") as file:
            file.write(file_of(path, offsets))
        done = perf("--buildid-dir", scratch, "script", "-i", name, "-f", "-F", fields, *options)
        if done.returncode:
            absent(f"perf reads no file of ours: {done.stderr}")
        return done.stdout.splitlines()


def symbols(path: str, offsets, *options: str) -> list[tuple[str, int] | None]:
    """The symbol and the distance from its start that stock perf finds for file offsets."""
    found = []
    for line in script(path, offsets, "ip,sym,symoff", *options):
        _, _, text = line.strip().partition(" ")
        name, plus, distance = text.rpartition("+0x")
        found.append((name, int(distance, 16)) if plus else None)
    return found
