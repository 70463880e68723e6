"""Small bare-metal ELF files with tohost and fromhost."""

import struct

from isa.assembly import program
from tests.stack.elves import header, segment

BASE = 0x8000_0000
TOHOST, FROMHOST = BASE + 0x4000, BASE + 0x4008
# For a program to end itself by: t6 goes to tohost.
END = "end: sd t6, 0(t5)\n end_too: jal x0, end_too"


def symbols(at: int, **addresses: int) -> bytes:
    """Section headers, at an offset of the file, with a symbol table behind them."""
    names, entries = b"\0", bytes(24)
    for name, address in addresses.items():
        entries += struct.pack("<IBBHQQ", len(names), 0x10, 0, 0xFFF1, address, 0)
        names += name.encode() + b"\0"
    table = at + 3 * 64
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, table, len(entries), 2, 1, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, table + len(entries), len(names), 0, 0, 1, 0)
    return sections + entries + names


def bare(path, text, *, address=BASE, entry=None, htif=True, size=0x10000, **fields):
    """A program of one segment, from assembly; its t5 is the address of tohost."""
    code = program(f"li t5, {TOHOST}\n{text}\n{END}", address)
    one = segment(flags=7, offset=0x1000, address=address, file_size=len(code), size=size)
    at = 0x1000 + len(code)
    tail = symbols(at, tohost=TOHOST, fromhost=FROMHOST) if htif else b""
    head = header(**{"entry": address if entry is None else entry, "phnum": 1} | fields)
    if htif:  # e_shoff, and e_shentsize, e_shnum
        head = head[:40] + struct.pack("<Q", at) + head[48:58] + struct.pack("<HHH", 64, 3, 0)
    path.write_bytes((head + one).ljust(0x1000, b"\0") + code + tail)
    return str(path)
