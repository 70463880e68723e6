"""What objdump writes in angle brackets behind an address: the symbol before it."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from rvperf.symbols.elf import SYM, Elf, cut
from rvperf.symbols.table import STB_GLOBAL, STT_FILE, STT_FUNC, STT_OBJECT, STT_SECTION

PLT_HEADER, PLT_ENTRY = 32, 16
VERSION_HIDDEN = 0x8000


class Names:
    """All symbols of a file (.symtab, else .dynsym) by virtual address; false if it has none."""

    def __init__(self, elf: Elf):
        self.gp: int | None = None
        self._addresses: list[int] = []
        self._names: list[bytes] = []
        section = elf.section(b".symtab")
        versions = None
        if section is None:
            section = elf.section(b".dynsym")
            versions = _versions(elf)
        if section is None or not 0 < section.sh_link < len(elf.sections):
            return
        strings = elf.contents(elf.sections[section.sh_link])
        data = elf.contents(section)
        syms = np.frombuffer(data, SYM, len(data) // SYM.itemsize)
        kind = syms["info"] & 15
        wanted = (syms["shndx"] != 0) & (syms["name"] < len(strings))
        wanted &= (kind != STT_FILE) & (kind != STT_SECTION)
        rows = []
        for at in np.flatnonzero(wanted).tolist():
            name = cut(strings, int(syms["name"][at]))
            address = int(syms["value"][at])
            if name == b"__global_pointer$":
                self.gp = address
            if not name or name.startswith((b"$x", b"$d")):
                continue
            version = versions(at) if versions else b""
            rows.append(
                (
                    address,
                    kind[at] != STT_FUNC,
                    kind[at] != STT_OBJECT,
                    syms["info"][at] >> 4 != STB_GLOBAL,
                    name.startswith(b"."),
                    name,
                    version,
                )
            )
        rows += [(at, False, True, True, False, name, b"") for at, name in _plt(elf)]
        rows.sort()  # of several at one address functions come first, then what is global
        for row in rows:
            if not self._addresses or self._addresses[-1] != row[0]:
                self._addresses.append(row[0])
                self._names.append(row[-2] + row[-1])

    def __bool__(self):
        return bool(self._addresses)

    def at(self, address: int) -> str:
        """`symbol` or `symbol+0x12`; before the first symbol how far before."""
        place = bisect_right(self._addresses, address) - 1
        if place < 0:
            first = self._names[0].decode("utf-8", "surrogateescape")
            return f"{first}-0x{self._addresses[0] - address:x}"
        name = self._names[place].decode("utf-8", "surrogateescape")
        past = address - self._addresses[place]
        return f"{name}+0x{past:x}" if past else name


def _plt(elf: Elf) -> list[tuple[int, bytes]]:
    """The entries of .plt, which have no symbols of their own, at their real addresses."""
    plt, relocations = elf.section(b".plt"), elf.section(b".rela.plt")
    dynsym = elf.section(b".dynsym")
    if not (plt and relocations and dynsym) or not 0 < dynsym.sh_link < len(elf.sections):
        return []
    strings, data = elf.contents(elf.sections[dynsym.sh_link]), elf.contents(dynsym)
    syms = np.frombuffer(data, SYM, len(data) // SYM.itemsize)
    data = elf.contents(relocations)
    words = np.frombuffer(data, "<u8", len(data) // 24 * 3).reshape(-1, 3)
    found = []
    for n, (_, info, addend) in enumerate(words.tolist()):
        index = info >> 32
        name = cut(strings, int(syms["name"][index])) if 0 < index < len(syms) else b"*ABS*"
        name += b"+0x%x" % addend if addend else b""
        found.append((plt.sh_addr + PLT_HEADER + PLT_ENTRY * n, name + b"@plt"))
    return found


def _versions(elf: Elf):
    """A function from a dynamic symbol's index to its `@VERSION` or `@@VERSION`."""
    section, definitions = elf.section(b".gnu.version"), elf.section(b".gnu.version_d")
    if section is None or definitions is None:
        return None
    if not 0 < definitions.sh_link < len(elf.sections):
        return None
    strings = elf.contents(elf.sections[definitions.sh_link])
    table = np.frombuffer(elf.contents(section)[: section.sh_size // 2 * 2], "<u2")
    data, names, at = elf.contents(definitions), {}, 0
    while at + 20 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "little")
        base = int.from_bytes(data[at + 2 : at + 4], "little") & 1
        auxiliary = at + int.from_bytes(data[at + 12 : at + 16], "little")
        name = int.from_bytes(data[auxiliary : auxiliary + 4], "little")
        names[number & 0x7FFF] = b"" if base else cut(strings, name)
        step = int.from_bytes(data[at + 16 : at + 20], "little")
        if step < 20:
            break
        at += step

    def suffix(index: int) -> bytes:
        if index >= len(table):
            return b""
        version = int(table[index])
        name = names.get(version & 0x7FFF)
        if not name or version & 0x7FFF < 2:
            return b""
        return (b"@" if version & VERSION_HIDDEN else b"@@") + name

    return suffix
