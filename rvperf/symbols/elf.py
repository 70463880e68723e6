"""An ELF file as its headers declare it. Files are not trusted: what lies outside is cut off."""

from __future__ import annotations

import lzma
import mmap
import os
import stat
import struct
import zlib

import numpy as np

from isa.record import Record

# Names and numbers are elf.h's.
EM_RISCV = 243
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
PT_LOAD = 1
SHT_SYMTAB, SHT_STRTAB, SHT_NOTE, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 2, 3, 7, 8, 9, 11
SHT_RELA = 4
SHF_ALLOC, SHF_COMPRESSED = 2, 0x800
ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD = 1, 2
NT_GNU_BUILD_ID = 3
BUILD_ID_SIZE = 20
SHN_ABS = 0xFFF1

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
SYM = np.dtype(
    [
        ("name", "<u4"),
        ("info", "u1"),
        ("other", "u1"),
        ("shndx", "<u2"),
        ("value", "<u8"),
        ("size", "<u8"),
    ]
)
MOST_SECTIONS = 0xFF00  # SHN_LORESERVE
LARGEST_SECTION = 1 << 28  # bytes that a compressed section may say it has


class ElfError(Exception):
    """The file is no little-endian 64-bit ELF file, or can't be read; the message says which."""


class Section(Record):
    """A section header. `index` is its place in the table; the other names are elf.h's."""

    index: int
    name: bytes
    sh_type: int
    sh_flags: int
    sh_addr: int
    sh_offset: int
    sh_size: int
    sh_link: int
    sh_info: int
    sh_entsize: int


class Segment(Record):
    """A program header; the names are elf.h's."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_filesz: int
    p_memsz: int


class Elf:
    """The headers of an ELF file over its bytes (anything that slices to bytes)."""

    def __init__(self, data, name: str = ""):
        self.data = data
        self.name = name
        if data[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if data[4:6] != b"\x02\x01" or len(data) < EHDR.size:
            raise ElfError("not a little-endian 64-bit ELF file")
        (
            _,
            self.e_type,
            self.e_machine,
            _,
            self.e_entry,
            phoff,
            shoff,
            self.e_flags,
            _,
            phentsize,
            phnum,
            shentsize,
            shnum,
            self.shstrndx,
        ) = EHDR.unpack(data[: EHDR.size])
        self.segments = self._segments(phoff, phentsize, phnum)
        self.sections = self._sections(shoff, shentsize, shnum)
        self._by_name: dict[bytes, Section] = {}
        for section in self.sections[1:]:
            self._by_name.setdefault(section.name, section)

    @classmethod
    def open(cls, path: str) -> Elf:
        """Map a regular file. ElfError if it can't be read or is no ELF file."""
        try:
            # Opening a FIFO would wait for who writes it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ElfError(error.strerror) from None
        except ValueError:
            raise ElfError("no such file") from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ElfError("not a regular file")
            data = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
        except OSError as error:
            raise ElfError(error.strerror) from None
        except ValueError:
            raise ElfError("the file is empty") from None
        finally:
            os.close(descriptor)
        return cls(data, path)

    def _segments(self, offset: int, size: int, count: int) -> list[Segment]:
        if size != PHDR.size:
            return []
        table = self.data[offset : offset + size * count]
        found = PHDR.iter_unpack(table[: len(table) // size * size])
        return [Segment(t, f, o, v, fs, ms) for t, f, o, v, _, fs, ms, _ in found]

    def _sections(self, offset: int, size: int, count: int) -> list[Section]:
        if not offset or size != SHDR.size or offset + size > len(self.data):
            return []
        # With too many for the header's fields, the first entry has the numbers.
        first = SHDR.unpack(self.data[offset : offset + size])
        if count == 0:
            count = first[5]
        if self.shstrndx == 0xFFFF:
            self.shstrndx = first[6]
        count = min(count, (len(self.data) - offset) // size, MOST_SECTIONS)
        table = list(SHDR.iter_unpack(self.data[offset : offset + size * count]))
        names = b""
        if self.shstrndx < count:
            at, length = table[self.shstrndx][4:6]
            names = self.data[at : at + length]
        found = []
        for index, (name, kind, flags, addr, at, length, link, info, _, entsize) in enumerate(
            table
        ):
            end = names.find(b"\0", name)
            text = names[name:end] if name < len(names) and end >= 0 else b""
            found.append(Section(index, text, kind, flags, addr, at, length, link, info, entsize))
        return found

    def section(self, name: bytes) -> Section | None:
        """The first section of this name."""
        return self._by_name.get(name)

    def contents(self, section: Section | None) -> bytes:
        """A section's bytes as they are in the file, as far as the file has them."""
        if section is None or section.sh_type == SHT_NOBITS:
            return b""
        return self.data[section.sh_offset : section.sh_offset + section.sh_size]

    def uncompressed(self, section: Section | None) -> bytes:
        """A section's bytes, uncompressed if they are compressed; b"" if that can't be done."""
        data = self.contents(section)
        if section is None or not data:
            return b""
        if section.name.startswith(b".zdebug") and data[:4] == b"ZLIB":
            return _inflate(data[12:], int.from_bytes(data[4:12], "big"))
        if not section.sh_flags & SHF_COMPRESSED:
            return data
        if len(data) < 24:
            return b""
        kind, _, size, _ = struct.unpack("<IIQQ", data[:24])
        return _inflate(data[24:], size) if kind == ELFCOMPRESS_ZLIB else b""

    def read(self, vaddr: int, size: int) -> bytes:
        """The file's bytes for `size` bytes at a virtual address; fewer where it has no more."""
        for segment in self.segments:
            if segment.p_type == PT_LOAD and 0 <= vaddr - segment.p_vaddr < segment.p_filesz:
                skip = vaddr - segment.p_vaddr
                at = segment.p_offset + skip
                return self.data[at : at + min(size, segment.p_filesz - skip)]
        return b""

    @property
    def build_id(self) -> bytes | None:
        """The build-id, where perf looks for it: a section of notes with one of three names."""
        for name in (b".note.gnu.build-id", b".notes", b".note"):
            section = self.section(name)
            if section is not None:
                return _build_id_in(self.contents(section))
        return None

    @property
    def debuglink(self) -> str | None:
        """The file name in .gnu_debuglink."""
        data = self.contents(self.section(b".gnu_debuglink"))
        name = data.split(b"\0", 1)[0]
        return os.fsdecode(name) if name else None


def _build_id_in(notes: bytes) -> bytes | None:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name_at = at + 12
        at = name_at + (name_size + 3 & ~3)
        if kind == NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[at : at + min(size + 3 & ~3, BUILD_ID_SIZE)] or None
        at += size + 3 & ~3
    return None


def cut(names: bytes, at: int) -> bytes:
    """The zero-terminated string at an offset."""
    end = names.find(b"\0", at)
    return names[at : end if end >= 0 else len(names)]


def _inflate(data: bytes, size: int) -> bytes:
    if size > LARGEST_SECTION:
        return b""
    try:
        return zlib.decompressobj().decompress(data, size) if size else b""
    except zlib.error:
        return b""


def unpack_xz(data: bytes) -> bytes:
    """What .gnu_debugdata has packed, b"" if it is damaged or far too long."""
    try:
        return lzma.LZMADecompressor().decompress(data, LARGEST_SECTION)
    except (lzma.LZMAError, EOFError):
        return b""
