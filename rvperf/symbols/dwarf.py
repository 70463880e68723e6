"""DWARF 2 to 5 as far as lines and functions need it (DWARF 5, sections 6.2, 7.5).

pyelftools makes objects of everything that it reads, which takes seconds for a megabyte; this reads
line programs and the few entries that are about code, and skips the rest. Split DWARF (.dwo) and
the shared strings of dwz are not followed. What is damaged ends early.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from isa.record import Record
from rvperf.symbols.elf import Elf

# What reading past an end, or nonsense, raises.
DAMAGE = (IndexError, ValueError, KeyError, OverflowError, TypeError)

TAG_INLINED, TAG_UNIT, TAG_SUBPROGRAM, TAG_ENTRY = 0x1D, 0x11, 0x2E, 0x03
TAG_PARTIAL, TAG_SKELETON = 0x3C, 0x4A
FUNCTIONS = (TAG_INLINED, TAG_SUBPROGRAM, TAG_ENTRY)
# Entries that have no code in them: their children are stepped over where it says how.
NO_CODE = frozenset((0x01, 0x02, 0x04, 0x13, 0x15, 0x17, 0x38))
(AT_SIBLING, AT_NAME, AT_STMT_LIST, AT_LOW, AT_HIGH, AT_COMP_DIR, AT_ORIGIN, AT_SPECIFICATION) = (
    0x01, 0x03, 0x10, 0x11, 0x12, 0x1B, 0x31, 0x47,
)  # fmt: skip
AT_RANGES, AT_CALL_FILE, AT_CALL_LINE, AT_LINKAGE = 0x55, 0x58, 0x59, 0x6E
AT_MIPS_LINKAGE, AT_STR_OFFSETS, AT_ADDR_BASE, AT_RNGLISTS_BASE = 0x2007, 0x72, 0x73, 0x74
FIXED = {0x0B: 1, 0x0C: 1, 0x11: 1, 0x25: 1, 0x29: 1, 0x05: 2, 0x12: 2, 0x26: 2, 0x2A: 2,
         0x27: 3, 0x2B: 3, 0x06: 4, 0x13: 4, 0x28: 4, 0x2C: 4, 0x1C: 4, 0x07: 8, 0x14: 8, 0x20: 8,
         0x24: 8, 0x1E: 16, 0x19: 0, 0x21: 0}  # fmt: skip
OFFSETS = (0x0E, 0x17, 0x1F, 0x1D, 0x1F20, 0x1F21)  # as wide as the unit's offsets
LEBS = (0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23, 0x1F01, 0x1F02)
DEEPEST = 16  # abstract origins of abstract origins
MOST = 1 << 22  # rows of one line program


class Unit(Record, mutable=True):
    """A compilation unit: where its entries are, and what its first one says."""

    offset: int
    end: int
    entries: int
    version: int
    wide: int  # bytes of an offset
    abbrevs: dict
    attributes: dict
    comp_dir: bytes | None
    low: int


class Function(Record):
    """A subprogram or an inlined one. `caller` is the index of the one that it is inlined into."""

    name: bytes | None
    inlined: bool
    caller: int
    call_file: int
    call_line: int


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and where it ends."""
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    value, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & MASK, at
        shift += 7
        if shift > 128:
            raise ValueError("an endless number")


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value - (1 << shift) if byte & 64 else value, at
        if shift > 128:
            raise ValueError("an endless number")


MASK = (1 << 64) - 1


def number(data: bytes, at: int, size: int) -> int:
    if not 0 <= at <= len(data) - size:
        raise IndexError
    return int.from_bytes(data[at : at + size], "little")


def string(data: bytes, at: int) -> bytes:
    end = data.index(b"\0", at)
    return data[at:end]


class Dwarf:
    """The debugging sections of a file."""

    def __init__(self, elf: Elf):
        self._elf = elf
        self._sections: dict[str, bytes] = {}
        self._abbrevs: dict[int, dict] = {}
        self.units: list[Unit] = []
        self._read_units()
        self._starts = [unit.offset for unit in self.units]

    def section(self, name: str) -> bytes:
        """A section without its .debug_, uncompressed."""
        if name not in self._sections:
            elf = self._elf
            found = elf.section(f".debug_{name}".encode()) or elf.section(
                f".zdebug_{name}".encode()
            )
            self._sections[name] = bytes(elf.uncompressed(found))
        return self._sections[name]

    # Units.

    def _read_units(self) -> None:
        info, at = self.section("info"), 0
        try:
            while at + 11 < len(info):
                at = self._read_unit(info, at)
        except DAMAGE:
            pass

    def _read_unit(self, info: bytes, start: int) -> int:
        length, at, wide = number(info, start, 4), start + 4, 4
        if length == 0xFFFFFFFF:
            length, at, wide = number(info, at, 8), at + 8, 8
        end = min(at + length, len(info))
        version = number(info, at, 2)
        at += 2
        kind = 1
        if version >= 5:
            kind = info[at]
            abbrevs = number(info, at + 2, wide)
            at += 2 + wide
        else:
            abbrevs = number(info, at, wide)
            at += wide + 1
        # Types have no code; partial units are for others to refer to.
        if kind in (1, 3) and 2 <= version <= 5:
            try:
                unit = Unit(start, end, at, version, wide, {}, {}, None, 0)
                unit.abbrevs = self._abbrevs_at(abbrevs)
                self._read_first(unit)
                self.units.append(unit)
            except DAMAGE:
                pass
        return end

    def _read_first(self, unit: Unit) -> None:
        info = self.section("info")
        code, at = uleb(info, unit.entries)
        if not code:
            return
        unit.attributes = {}
        raw, _ = self._attributes(unit, unit.abbrevs[code], at)
        unit.attributes = raw
        unit.comp_dir = self.text(unit, raw.get(AT_COMP_DIR))
        unit.low = self.address(unit, raw.get(AT_LOW)) or 0

    def _abbrevs_at(self, offset: int) -> dict:
        if offset in self._abbrevs:
            return self._abbrevs[offset]
        data, at, found = self.section("abbrev"), offset, {}
        self._abbrevs[offset] = found
        while at < len(data):
            code, at = uleb(data, at)
            if not code:
                break
            tag, at = uleb(data, at)
            children = data[at]
            at += 1
            attributes = []
            while True:
                name, at = uleb(data, at)
                form, at = uleb(data, at)
                value = None
                if form == 0x21:
                    value, at = sleb(data, at)
                if not name and not form:
                    break
                attributes.append((name, form, value))
            found[code] = (tag, bool(children), attributes, {})
        return found

    # Entries.

    def _attributes(self, unit: Unit, abbrev, at: int) -> tuple[dict, int]:
        found = {}
        for name, form, constant in abbrev[2]:
            value, at = self._value(unit, form, constant, at)
            found[name] = (form, value)
        return found, at

    def _value(self, unit: Unit, form: int, constant, at: int):
        info = self.section("info")
        if form == 0x01:
            return number(info, at, 8), at + 8
        if form == 0x21:
            return constant, at
        size = FIXED.get(form)
        if size is None and form in OFFSETS or form == 0x10:
            size = 8 if form == 0x10 and unit.version == 2 else unit.wide
        if size is not None:
            return number(info, at, size) if size else 1, at + size
        if form == 0x0D:
            return sleb(info, at)
        if form in LEBS:
            return uleb(info, at)
        if form == 0x08:
            text = string(info, at)
            return text, at + len(text) + 1
        if form in (0x09, 0x18):
            size, at = uleb(info, at)
        elif form in (0x0A, 0x03, 0x04):
            width = {0x0A: 1, 0x03: 2, 0x04: 4}[form]
            size, at = number(info, at, width), at + width
        elif form == 0x16:
            form, at = uleb(info, at)
            if form in (0x16, 0x21):
                raise ValueError("a form of a form")
            return self._value(unit, form, None, at)
        else:
            raise ValueError(f"form {form:#x}")
        if at + size > len(info):
            raise IndexError
        return info[at : at + size], at + size

    def _steps(self, unit: Unit, abbrev) -> list:
        """How to get over an entry: bytes to go on by, or a form to look at."""
        key = unit.wide, unit.version
        if key in abbrev[3]:
            return abbrev[3][key]
        steps: list = []
        for _, form, _ in abbrev[2]:
            size = FIXED.get(form)
            if form == 0x01:
                size = 8
            elif form in OFFSETS or form == 0x10:
                size = 8 if form == 0x10 and unit.version == 2 else unit.wide
            if size is None:
                steps.append((form,))
            elif steps and isinstance(steps[-1], int):
                steps[-1] += size
            else:
                steps.append(size)
        abbrev[3][key] = steps
        return steps

    def text(self, unit: Unit, value) -> bytes | None:
        """The string that an attribute is, in whatever form."""
        if value is None:
            return None
        form, value = value
        try:
            if form == 0x08:
                return value
            if form == 0x0E:
                return string(self.section("str"), value)
            if form == 0x1F:
                return string(self.section("line_str"), value)
            if form in (0x1A, 0x25, 0x26, 0x27, 0x28):
                base = unit.attributes.get(AT_STR_OFFSETS, (0, 2 * unit.wide))[1]
                at = base + value * unit.wide
                return string(
                    self.section("str"), number(self.section("str_offsets"), at, unit.wide)
                )
        except DAMAGE:
            pass
        return None

    def address(self, unit: Unit, value) -> int | None:
        """The address that an attribute is."""
        if value is None:
            return None
        form, value = value
        if form == 0x01:
            return value
        if form in (0x1B, 0x29, 0x2A, 0x2B, 0x2C):
            return self._indexed_address(unit, value)
        return None

    def _indexed_address(self, unit: Unit, index: int) -> int:
        base = unit.attributes.get(AT_ADDR_BASE, (0, 8))[1]
        return number(self.section("addr"), base + 8 * index, 8)

    def ranges(self, unit: Unit, attributes: dict) -> list[tuple[int, int]]:
        """Where an entry's code is: [low, high) of each piece."""
        try:
            if AT_RANGES in attributes:
                form, value = attributes[AT_RANGES]
                if unit.version >= 5:
                    return self._range_list(unit, form, value)
                return self._old_ranges(unit, value)
            low = self.address(unit, attributes.get(AT_LOW))
            high = attributes.get(AT_HIGH)
            if low is None or high is None:
                return []
            form = high[0]
            end = self.address(unit, high)
            end = low + high[1] if end is None else end
            return [(low, end)] if low < end <= MASK else []
        except DAMAGE:
            return []

    def _old_ranges(self, unit: Unit, at: int) -> list[tuple[int, int]]:
        data, base, found = self.section("ranges"), unit.low, []
        while True:
            low, high = number(data, at, 8), number(data, at + 8, 8)
            at += 16
            if low == MASK:
                base = high
            elif not low and not high:
                return found
            elif low < high and base + high <= MASK:
                found.append((base + low, base + high))

    def _range_list(self, unit: Unit, form: int, value: int) -> list[tuple[int, int]]:
        data, base, found = self.section("rnglists"), unit.low, []
        at = value
        if form == 0x23:
            start = unit.attributes.get(AT_RNGLISTS_BASE, (0, 12 if unit.wide == 4 else 20))[1]
            at = start + number(data, start + value * unit.wide, unit.wide)
        while True:
            kind = data[at]
            at += 1
            if kind == 0:
                return found
            if kind in (1, 2, 3):
                first, at = uleb(data, at)
                low = self._indexed_address(unit, first)
                if kind == 1:
                    base = low
                    continue
                high, at = uleb(data, at)
                high = self._indexed_address(unit, high) if kind == 2 else low + high
            elif kind == 4:
                low, at = uleb(data, at)
                high, at = uleb(data, at)
                low, high = base + low, base + high
            elif kind == 5:
                base, at = number(data, at, 8), at + 8
                continue
            elif kind == 6:
                low, high, at = number(data, at, 8), number(data, at + 8, 8), at + 16
            elif kind == 7:
                low, at = number(data, at, 8), at + 8
                high, at = uleb(data, at)
                high += low
            else:
                raise ValueError(f"range entry {kind}")
            if low < high <= MASK:
                found.append((low, high))

    def functions(self, unit: Unit) -> tuple[list[Function], list[tuple[int, int, int]]]:
        """A unit's functions with code, and their pieces: low, high, index of the function."""
        functions: list[Function] = []
        pieces: list[tuple[int, int, int]] = []
        try:
            self._walk(unit, functions, pieces)
        except DAMAGE:
            pass
        return functions, pieces

    def _walk(self, unit: Unit, functions: list, pieces: list) -> None:
        info, abbrevs = self.section("info"), unit.abbrevs
        at, end = unit.entries, unit.end
        inside = [-1]  # the function that each open entry is in
        while at < end:
            start = at
            code, at = uleb(info, at)
            if not code:
                if len(inside) > 1:
                    inside.pop()
                continue
            abbrev = abbrevs[code]
            tag, children = abbrev[0], abbrev[1]
            here = inside[-1]
            if tag in FUNCTIONS:
                attributes, at = self._attributes(unit, abbrev, at)
                found = self.ranges(unit, attributes)
                if found:
                    here = len(functions)
                    pieces += [(low, high, here) for low, high in found]
                inlined = tag == TAG_INLINED
                if found or inlined:
                    if not found:
                        here = len(functions)
                    functions.append(
                        Function(
                            self._name(unit, attributes, start),
                            inlined,
                            inside[-1],
                            attributes.get(AT_CALL_FILE, (0, 0))[1],
                            attributes.get(AT_CALL_LINE, (0, 0))[1],
                        )
                    )
            elif tag in NO_CODE and children and abbrev[2] and abbrev[2][0][0] == AT_SIBLING:
                form, sibling = abbrev[2][0][1], None
                sibling, _ = self._value(unit, form, None, at)
                target = unit.offset + sibling if form != 0x10 else sibling
                if at < target <= end:
                    at = target
                    continue
                at = self._over(unit, abbrev, at)
            else:
                at = self._over(unit, abbrev, at)
            if children:
                inside.append(here)

    def _over(self, unit: Unit, abbrev, at: int) -> int:
        info = self.section("info")
        for step in self._steps(unit, abbrev):
            if isinstance(step, int):
                at += step
                continue
            form = step[0]
            if form in LEBS:
                while info[at] >= 128:
                    at += 1
                at += 1
            elif form == 0x18 and info[at] < 128:
                at += 1 + info[at]
            elif form == 0x08:
                at = info.index(b"\0", at) + 1
            else:
                _, at = self._value(unit, form, None, at)
        return at

    def _name(self, unit: Unit, attributes: dict, offset: int) -> bytes | None:
        """The linkage name, else the name, of an entry or of what it is an instance of."""
        plain = None
        for _ in range(DEEPEST):
            for key in (AT_LINKAGE, AT_MIPS_LINKAGE):
                found = self.text(unit, attributes.get(key))
                if found:
                    return found
            plain = plain or self.text(unit, attributes.get(AT_NAME))
            origin = attributes.get(AT_ORIGIN) or attributes.get(AT_SPECIFICATION)
            if origin is None or origin[0] in (0x20, 0x1F20, 0x1C, 0x24):
                break
            target = origin[1]
            if origin[0] == 0x10:
                place = bisect_right(self._starts, target) - 1
                if place < 0:
                    break
                unit = self.units[place]
            else:
                target += unit.offset
            if not unit.entries <= target < unit.end:
                break
            try:
                code, at = uleb(self.section("info"), target)
                attributes, _ = self._attributes(unit, unit.abbrevs[code], at)
            except DAMAGE:
                break
        return plain


class LineTable:
    """The rows of one line program: address -> file, line; and the names of its files."""

    def __init__(self, dwarf: Dwarf, unit: Unit):
        self.comp_dir = unit.comp_dir
        self.directories: list[bytes] = []
        self.files: list[tuple[bytes, int]] = []
        self.version = 4
        self._sequences: list[list] = []
        stmt = unit.attributes.get(AT_STMT_LIST)
        if stmt is not None:
            try:
                self._run(dwarf, unit, stmt[1])
            except DAMAGE:
                pass
        self._join()

    def _run(self, dwarf: Dwarf, unit: Unit, at: int) -> None:
        data = dwarf.section("line")
        length, at, wide = number(data, at, 4), at + 4, 4
        if length == 0xFFFFFFFF:
            length, at, wide = number(data, at, 8), at + 8, 8
        end = min(at + length, len(data))
        self.version = version = number(data, at, 2)
        at += 2
        if not 2 <= version <= 5:
            return
        if version >= 5:
            at += 2
        program = number(data, at, wide) + at + wide
        at += wide
        shortest, at = data[at], at + 1
        if version >= 4:
            at += 1  # operations of one instruction: 1 but for VLIW
        at += 1
        base = data[at] - 256 if data[at] > 127 else data[at]
        width, opcode_base = data[at + 1], data[at + 2]
        operands = data[at + 3 : at + 2 + opcode_base]
        at += 2 + opcode_base
        if version >= 5:
            fake = Unit(0, 0, 0, 5, wide, {}, unit.attributes, None, 0)
            names, at = self._entries(dwarf, fake, data, at)
            self.directories = [name for name, _ in names]
            self.files, at = self._entries(dwarf, fake, data, at)
        else:
            at = self._old_names(data, at)
        self._execute(data, program, end, shortest, base, width, opcode_base, operands)

    def _old_names(self, data: bytes, at: int) -> int:
        while data[at]:
            name = string(data, at)
            self.directories.append(name)
            at += len(name) + 1
        at += 1
        while data[at]:
            name = string(data, at)
            directory, at = uleb(data, at + len(name) + 1)
            _, at = uleb(data, at)
            _, at = uleb(data, at)
            self.files.append((name, directory))
        return at + 1

    def _entries(self, dwarf: Dwarf, unit: Unit, data: bytes, at: int):
        formats = []
        count, at = data[at], at + 1
        for _ in range(count):
            kind, at = uleb(data, at)
            form, at = uleb(data, at)
            formats.append((kind, form))
        count, at = uleb(data, at)
        if not formats or count > len(data):
            return [], at
        # The forms are those of .debug_info, the bytes are here.
        reader = Dwarf.__new__(Dwarf)
        reader._sections = {**dwarf._sections, "info": data}
        reader._elf = dwarf._elf
        found = []
        for _ in range(count):
            name, directory = b"", 0
            before = at
            for kind, form in formats:
                value, at = reader._value(unit, form, None, at)
                if kind == 1:
                    name = reader.text(unit, (form, value)) or b""
                elif kind == 2:
                    directory = value
            if at == before:
                break
            found.append((name, directory))
        return found, at

    def _execute(self, data, at, end, shortest, base, width, opcode_base, operands) -> None:
        # DWARF 5 says that it is 1 in any version; bfd, and so addr2line and perf, begin with 0.
        begin = 0 if self.version >= 5 else 1
        address, file, line, block = 0, begin, 1, 0
        rows: list[tuple[int, int, int, int]] = []
        total = 0
        advance = (255 - opcode_base) // width * shortest if width else 0
        while at < end and total < MOST:
            opcode = data[at]
            at += 1
            if opcode >= opcode_base:
                opcode -= opcode_base
                address += opcode // width * shortest
                line += base + opcode % width
                rows.append((address, file, line, block))
                block = 0
                total += 1
            elif opcode == 0:
                size, at = uleb(data, at)
                following = at + size
                kind = data[at] if size else 0
                if kind == 1:
                    rows.append((address, 0, -1, 0))
                    self._sequences.append(rows)
                    rows, address, file, line, block = [], 0, begin, 1, 0
                elif kind == 2:
                    address = number(data, at + 1, min(size - 1, 8))
                elif kind == 3:
                    name = string(data, at + 1)
                    directory, _ = uleb(data, at + 2 + len(name))
                    self.files.append((name, directory))
                elif kind == 4:
                    block, _ = uleb(data, at + 1)
                at = following
            elif opcode == 1:
                rows.append((address, file, line, block))
                block = 0
                total += 1
            elif opcode == 2:
                step, at = uleb(data, at)
                address += step * shortest
            elif opcode == 3:
                step, at = sleb(data, at)
                line += step
            elif opcode == 4:
                file, at = uleb(data, at)
            elif opcode == 8:
                address += advance
            elif opcode == 9:
                address += number(data, at, 2)
                at += 2
            else:
                for _ in range(operands[opcode - 1]):
                    _, at = uleb(data, at)
            address &= MASK

    def _join(self) -> None:
        """All sequences by address; of rows for one address the last one counts."""
        ordered = []
        for rows in self._sequences:
            rows = sorted(rows, key=lambda row: row[0])
            if rows[0][0] < rows[-1][0]:
                ordered.append(rows)
        ordered.sort(key=lambda rows: (rows[0][0], -rows[-1][0]))
        addresses, files, lines, blocks, last = [], [], [], [], 0
        for rows in ordered:
            first, end = rows[0][0], rows[-1][0]
            if addresses and end <= last:
                continue
            for n, (address, file, line, block) in enumerate(rows):
                if addresses and address < last and first < last:
                    # Begins in the sequence before: what lies in it is that one's.
                    if n + 1 == len(rows) or rows[n + 1][0] <= last:
                        continue
                    address = last
                if addresses and addresses[-1] == address:
                    files[-1], lines[-1], blocks[-1] = file, line, block
                else:
                    addresses.append(address)
                    files.append(file)
                    lines.append(line)
                    blocks.append(block)
            last = end
        self.addresses, self._row_files, self._row_lines = addresses, files, lines
        self._row_blocks = blocks

    @property
    def extent(self) -> list[tuple[int, int]]:
        """The addresses that have a row: [low, high) of each sequence."""
        found = [(min(rows)[0], max(rows)[0]) for rows in self._sequences if rows]
        return [(low, high) for low, high in found if low < high]

    def find(self, address: int) -> tuple[str | None, int, int] | None:
        """File, line and discriminator; None where the table has nothing."""
        at = bisect_right(self.addresses, address) - 1
        if at < 0 or self._row_lines[at] < 0:
            return None
        line = self._row_lines[at] & 0xFFFFFFFF
        return self.file(self._row_files[at]), line, self._row_blocks[at]

    def file(self, index: int) -> str:
        """The whole name of a file, as bfd's concat_filename puts it together."""
        if self.version < 5:
            index -= 1
        if not 0 <= index < len(self.files):
            return "<unknown>"
        name, directory = self.files[index]
        if name.startswith(b"/"):
            return _text(name)
        if self.version < 5:
            directory -= 1
        parts = [name]
        inside = None
        if 0 <= directory < len(self.directories):
            inside = self.directories[directory]
            parts.insert(0, inside)
        if (inside is None or not inside.startswith(b"/")) and self.comp_dir:
            parts.insert(0, self.comp_dir)
        return _text(b"/".join(parts))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def owners(pieces: list[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """From pieces to (addresses, index of the function from there on): the smallest piece wins."""
    edges = sorted({edge for low, high, _ in pieces for edge in (low, high)})
    owner = np.full(len(edges), -1)
    place = {edge: n for n, edge in enumerate(edges)}
    for low, high, index in sorted(pieces, key=lambda p: (p[0] - p[1], p[2])):
        owner[place[low] : place[high]] = index
    return edges, owner.tolist()
