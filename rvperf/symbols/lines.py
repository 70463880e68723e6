"""Source lines and inlined functions of addresses, as binutils' `addr2line -i -f` has them."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import numpy as np

from rvperf.symbols.demangle import demangle
from rvperf.symbols.dwarf import Dwarf, LineTable, Unit, owners
from rvperf.symbols.elf import SHF_ALLOC, SYM, Elf, cut
from rvperf.symbols.table import STB_LOCAL, STT_FILE, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE

STV_HIDDEN = 2


class Line(NamedTuple):
    """A place in the source: function (demangled), file, line; None and 0 for what is unknown.

    `linkage` is the function's name as it is in the file, `discriminator` tells blocks of code of
    one line apart.
    """

    function: str | None
    file: str | None
    line: int
    linkage: bytes | None = None
    discriminator: int = 0


class Nearest:
    """The function symbol before an address, by the rules of bfd (_bfd_elf_find_function)."""

    def __init__(self, elf: Elf):
        section = elf.section(b".symtab") or elf.section(b".dynsym")
        self._symbols: dict[int, tuple] = {}
        self._names = b""
        if section and 0 < section.sh_link < len(elf.sections):
            self._names = elf.contents(elf.sections[section.sh_link])
            data = elf.contents(section)
            self._read(np.frombuffer(data, SYM, len(data) // SYM.itemsize))
        self._sections = [
            (s.sh_addr, s.sh_addr + s.sh_size, s.index)
            for s in elf.sections
            if s.sh_flags & SHF_ALLOC and s.sh_size
        ]

    def _read(self, syms) -> None:
        kind, binding = syms["info"] & 15, syms["info"] >> 4
        local = binding == STB_LOCAL
        hidden = (syms["other"] & 3) == STV_HIDDEN
        unnamed = local & hidden & (kind == STT_NOTYPE) & (syms["size"] == 0)
        wanted = ((kind == STT_NOTYPE) | (kind == STT_FUNC) | (kind == STT_GNU_IFUNC)) & ~unnamed
        wanted[:1] = False
        files = np.flatnonzero(kind == STT_FILE)
        # A file's name is for the local symbols after it; for all if files come before any symbol.
        others = np.flatnonzero(kind != STT_FILE)
        first = others[1] if len(others) > 1 else 0
        late = files[files > first][0] if np.any(files > first) else len(syms)
        before = np.searchsorted(files, np.arange(len(syms))) - 1
        found: dict[int, list] = {}
        for at in np.flatnonzero(wanted).tolist():
            name = cut(self._names, int(syms["name"][at]))
            if name.startswith(b"$") and name[1:2] in (b"x", b"d"):
                continue
            file = None
            if before[at] >= 0 and (local[at] or at < late):
                file = cut(self._names, int(syms["name"][files[before[at]]]))
            size = int(syms["size"][at]) or 1
            row = int(syms["value"][at]), size, kind[at] != STT_NOTYPE, name, file
            found.setdefault(int(syms["shndx"][at]), []).append(row)
        for index, rows in found.items():
            rows.sort(key=lambda row: row[0])
            self._symbols[index] = [row[0] for row in rows], rows

    def at(self, address: int) -> tuple[bytes, str | None] | None:
        """The name (as in the file) and the source file of the function symbol."""
        inside = [index for low, high, index in self._sections if low <= address < high]
        starts, rows = self._symbols.get(inside[0], ([], [])) if inside else ([], [])
        last = bisect_right(starts, address)
        if not last:
            return None
        best = None
        for row in rows[bisect_left(starts, starts[last - 1]) : last]:
            if best is None or _fits_better(row, best, address):
                best = row
        name, file = best[3], best[4]
        return name, None if file is None else file.decode("utf-8", "surrogateescape")


def _fits_better(new, best, address: int) -> bool:
    start, size, function, _, _ = new
    if start + best[1] <= address:
        return size > best[1]
    if start + size <= address:
        return False
    if function != best[2]:
        return function
    return size < best[1]


class Lines:
    """The lines of a file, by virtual address. Each unit is read when an address is in it."""

    def __init__(self, elf: Elf):
        self._dwarf = Dwarf(elf)
        self._nearest = Nearest(elf)
        self._tables: dict[int, LineTable] = {}
        self._functions: dict[int, tuple] = {}
        self._found: dict[int, list[Line]] = {}

    @functools.cached_property
    def _extents(self) -> tuple[list[int], list[tuple[int, int, int]], list[int]]:
        """Where units have code: sorted (low, high, unit), and the highest end up to each."""
        found = []
        for index, unit in enumerate(self._dwarf.units):
            pieces = self._dwarf.ranges(unit, unit.attributes)
            if not pieces:
                pieces = self._table(index).extent
            found += [(low, high, index) for low, high in pieces]
        found.sort()
        highest, ends = 0, []
        for _, high, _ in found:
            highest = max(highest, high)
            ends.append(highest)
        return [low for low, _, _ in found], found, ends

    def _units_at(self, address: int) -> list[int]:
        lows, pieces, ends = self._extents
        at, found = bisect_right(lows, address) - 1, []
        while at >= 0 and ends[at] > address:
            if pieces[at][1] > address and pieces[at][2] not in found:
                found.append(pieces[at][2])
            at -= 1
        return sorted(found)

    def _table(self, index: int) -> LineTable:
        if index not in self._tables:
            self._tables[index] = LineTable(self._dwarf, self._unit(index))
        return self._tables[index]

    def _unit(self, index: int) -> Unit:
        return self._dwarf.units[index]

    def _functions_of(self, index: int):
        if index not in self._functions:
            functions, pieces = self._dwarf.functions(self._unit(index))
            self._functions[index] = functions, *owners(pieces)
        return self._functions[index]

    def at(self, address: int) -> list[Line]:
        """Innermost first; empty if no unit and no symbol knows the address."""
        found = self._found.get(address)
        if found is None:
            found = self._found[address] = self._look_up(address)
        return found

    def _look_up(self, address: int) -> list[Line]:
        for index in self._units_at(address):
            table = self._table(index)
            row = table.find(address)
            functions, edges, owner = self._functions_of(index)
            at = bisect_right(edges, address) - 1
            function = owner[at] if at >= 0 else -1
            if row is None and function < 0:
                continue
            file, line, block = row or (None, 0, 0)
            if function < 0:
                symbol = self._nearest.at(address)
                if symbol is None:
                    return [Line(None, file, line, None, block)]
                return [Line(demangle(symbol[0]), file, line, symbol[0], block)]
            chain = []
            while True:
                here = functions[function]
                name = demangle(here.name) if here.name else None
                chain.append(Line(name, file, line, here.name, block))
                block = 0
                if not here.inlined or here.caller < 0:
                    return chain
                file, line = table.file(here.call_file), here.call_line
                function = here.caller
        symbol = self._nearest.at(address)
        return [Line(demangle(symbol[0]), symbol[1], 0, symbol[0])] if symbol else []
