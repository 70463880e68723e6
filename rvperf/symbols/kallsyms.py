"""The kernel's symbols from the text of /proc/kallsyms."""

from __future__ import annotations

from rvperf.symbols.table import STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_OBJECT, Rows

KEPT = b"TWDBtwdb"


def rows_of(text: bytes) -> Rows:
    """Its code and data symbols, without an end; those of modules are left out."""
    start, binding, kind, names = [], [], [], []
    for line in text.splitlines():
        address, _, rest = line.partition(b" ")
        letter, space, name = rest[:1], rest[1:2], rest[2:]
        if space != b" " or letter not in KEPT or not name or name.startswith(b"$"):
            continue
        if b"\t" in name:
            continue
        try:
            value = int(address, 16)
        except ValueError:
            continue
        if not 0 <= value < 1 << 64:
            continue
        start.append(value)
        names.append(name)
        weak = letter == b"W"
        binding.append(STB_WEAK if weak else STB_GLOBAL if letter.isupper() else STB_LOCAL)
        kind.append(STT_FUNC if letter in b"TtWw" else STT_OBJECT)
    return Rows(start, start, binding, kind, names)


def rows_of_map(text: bytes) -> Rows:
    """The symbols of a /tmp/perf-PID.map, which a JIT compiler writes: start, size, name."""
    start, end, names = [], [], []
    for line in text.splitlines():
        words = line.split(b" ", 2)
        try:
            first, size = int(words[0], 16), int(words[1], 16)
            name = words[2]
        except (ValueError, IndexError):
            continue
        if 0 <= first < 1 << 64 and 0 <= size < 1 << 64 and len(name) > 1:
            start.append(first)
            end.append((first + size) % (1 << 64))
            names.append(name)
    count = len(names)
    return Rows(start, end, [STB_GLOBAL] * count, [STT_FUNC] * count, names)
