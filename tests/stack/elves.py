"""Small ELF files, made from their fields so that a test can spoil one of them."""

import struct

from isa.assembly import program as assembled

CODE = struct.pack("<II", 0x05D00893, 0x00000073)  # li a7, 93; ecall: exit(a0)
BASE = 0x10000


def header(**fields):
    """The ELF header of a riscv64 program with one program header."""
    values = {
        "magic": b"\x7fELF",
        "bits": 2,
        "order": 1,
        "type": 2,
        "machine": 243,
        "entry": BASE + 120,
        "phoff": 64,
        "phentsize": 56,
        "phnum": 1,
    } | fields
    ident = values["magic"] + bytes([values["bits"], values["order"], 1]) + bytes(9)
    return ident + struct.pack(
        "<HHIQQQIHHHHHH",
        values["type"],
        values["machine"],
        1,
        values["entry"],
        values["phoff"],
        0,
        5,
        64,
        values["phentsize"],
        values["phnum"],
        0,
        0,
        0,
    )


def segment(kind=1, flags=5, offset=0, address=BASE, file_size=128, size=None):
    """A program header."""
    size = file_size if size is None else size
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, file_size, size, 4096)


def program(segments=None, tail=CODE, **fields):
    """A whole file: header, program headers, code."""
    segments = [segment()] if segments is None else segments
    return header(**{"phnum": len(segments)} | fields) + b"".join(segments) + tail


def write(path, data, mode=0o755):
    """Puts a program into the filesystem."""
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def build(path, text, size=0x4000):
    """A program of one writable and executable segment, from assembly."""
    code = assembled(text, BASE + 120)
    whole = segment(flags=7, file_size=120 + len(code), size=size)
    write(path, program([whole], code))
    return path
