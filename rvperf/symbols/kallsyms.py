"""The kernel's symbols from the text of /proc/kallsyms."""

from __future__ import annotations

import struct

from rvperf.symbols.table import STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_OBJECT, Rows

KEPT = b"TWDBtwdb"
ELF_SYM = struct.Struct("<IBBHQQ")


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


def text_of_vmlinux(data: bytes) -> bytes:
    """What /proc/kallsyms of a kernel would say, from its ELF file. Raises ElfError."""
    from rvperf.symbols.elf import Elf, cut

    elf = Elf(data, "vmlinux")
    section = elf.section(b".symtab")
    if section is None or not 0 < section.sh_link < len(elf.sections):
        return b""
    strings, table = elf.contents(elf.sections[section.sh_link]), elf.contents(section)
    lines = []
    whole = len(table) // ELF_SYM.size * ELF_SYM.size
    for name, info, _, shndx, value, _ in ELF_SYM.iter_unpack(table[:whole]):
        letter = {STT_FUNC: b"t", STT_OBJECT: b"d", 0: b"t"}.get(info & 15)
        if letter and shndx and name < len(strings):
            letter = letter if info >> 4 == STB_LOCAL else letter.upper()
            lines.append((value, b"%016x %s %s\n" % (value, letter, cut(strings, name))))
    return b"".join(line for _, line in sorted(lines))
