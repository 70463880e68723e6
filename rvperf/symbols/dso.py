"""One mapped object (a DSO) and what is known of its addresses."""

from __future__ import annotations

import functools
import os
from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from rvperf.symbols import search
from rvperf.symbols.demangle import demangle, demangle_in_full, undemangled
from rvperf.symbols.elf import (
    BUILD_ID_SIZE,
    EM_RISCV,
    PT_LOAD,
    SHF_ALLOC,
    SHN_ABS,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    SYM,
    Elf,
    ElfError,
    cut,
)
from rvperf.symbols.kallsyms import rows_of, rows_of_map
from rvperf.symbols.table import (
    STB_GLOBAL,
    STT_FUNC,
    STT_GNU_IFUNC,
    STT_NOTYPE,
    STT_OBJECT,
    Rows,
    Symbol,
    Table,
)

if TYPE_CHECKING:
    from rvperf.symbols.disassembly import Line as Instruction
    from rvperf.symbols.lines import Line
    from rvperf.symbols.names import Names
    from rvperf.symbols.unwind import Cfi

KINDS = ("user", "kernel", "guest-kernel")
STV_INTERNAL, STV_HIDDEN = 1, 2
LARGEST_CODE = 16 << 20
LARGEST_SOURCE = 64 << 20
LONGEST_PLT_NAME = 1023  # sympltname[1024] of util/symbol-elf.c


class Dso:
    """A program, a library, or the kernel, by the path that it was mapped from.

    An `address` is what perf's map_ip makes of an instruction pointer: `ip - map.start +
    map.pgoff`, so an offset into the file, for files; for the kernel (`kind` "kernel",
    "guest-kernel") and for memory without a file (heap, stack, anonymous) it is the ip itself:
    `identity` is true for these.

    Everything is looked up on first use. Nothing here raises for a bad file: it has fewer symbols,
    and `why` says why it has none.
    """

    def __init__(
        self,
        path,
        build_id=None,
        kind="user",
        *,
        symfs=None,
        buildid_dir=None,
        kallsyms=None,
        demangled=True,
    ):
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
        self.path: str = path
        self.kind: str = kind
        self.wanted: bytes | None = build_id
        self.symfs = symfs
        self.buildid_dir = buildid_dir
        self.demangled = demangled
        self._kallsyms = kallsyms
        self.identity = kind != "user" or path.startswith(search.NO_FILE)
        self._tried: list[tuple[str, str]] = []
        self._opened: dict[str, Elf | None] = {}
        self._sources: dict[str, list[str] | None] = {}

    def __repr__(self):
        return f"<Dso {self.path}>"

    # Files.

    @functools.cached_property
    def build_id(self) -> bytes | None:
        """The build-id that the file must have: the one given, else that of the file there."""
        if self.wanted or self.identity:
            return self.wanted
        elf = self._open(search.under(self.symfs, self.path))
        return elf.build_id if elf else None

    def _open(self, path: str) -> Elf | None:
        if path not in self._opened:
            self._opened[path] = None
            try:
                self._opened[path] = Elf.open(path)
            except ElfError as error:
                if os.path.lexists(path):
                    self._tried.append((path, str(error)))
        return self._opened[path]

    def _accepted(self, path: str) -> Elf | None:
        """A file, if its build-id is right."""
        elf = self._open(path)
        if elf is None or not self.build_id:
            return elf
        found = elf.build_id
        if found is not None and same_build_id(self.build_id, found):
            return elf
        has = f"has the build-id {found.hex()}" if found else "has no build-id"
        self._tried.append((path, f"{has}, not {self.build_id.hex()}"))
        return None

    @functools.cached_property
    def _files(self) -> tuple[Elf | None, Elf | None]:
        """The files that symbols, and that addresses and bytes, are taken from."""
        symbols = runtime = None
        for path in search.candidates(
            self.path, self.build_id, self.symfs, self.buildid_dir, self._debuglink
        ):
            elf = self._accepted(path)
            if elf is None:
                continue
            if symbols is None and typed(elf, b".symtab", SHT_SYMTAB):
                symbols = elf
            if runtime is None and typed(elf, b".dynsym", SHT_DYNSYM):
                runtime = elf
            if symbols and runtime:
                break
        return symbols or runtime, runtime or symbols

    def _debuglink(self, path: str) -> str | None:
        elf = self._open(path)
        return elf.debuglink if elf else None

    @functools.cached_property
    def elf(self) -> Elf | None:
        """The file as it was mapped: bytes, unwinding tables. Not one with debugging data alone."""
        if self.identity:
            return None
        if self.build_id and self.buildid_dir:
            name = "vdso" if self.path == "[vdso]" else "elf"
            elf = self._accepted(search.in_cache(self.buildid_dir, self.build_id, name))
            if elf:
                return elf
        return self._accepted(search.under(self.symfs, self.path)) or self._files[1]

    @property
    def symbol_file(self) -> str | None:
        """The file that the symbols are from; None without symbols or for the kernel."""
        elf = None if self.identity else self._files[0]
        return elf.name if elf else None

    # Symbols.

    @functools.cached_property
    def table(self) -> Table:
        """The symbols by address."""
        is_elf = not self.identity and not self.path.startswith("/tmp/perf-")
        table = Table(demangle if is_elf and self.demangled else undemangled)
        if self.kind != "user":
            text = self._kallsyms_text()
            if text:
                table.add(rows_of(text))
                table.mend(kallsyms=True)
        elif self.path.startswith("/tmp/perf-"):
            text = _text(search.under(self.symfs, self.path)) or b""
            table.add(rows_of_map(text))
        elif not self.identity:
            symbols, runtime = self._files
            if symbols:
                load(table, symbols, runtime)
        return table

    def _kallsyms_text(self) -> bytes | None:
        text = self._kallsyms
        if isinstance(text, str):
            text = text.encode("utf-8", "surrogateescape")
        if not text and self.wanted and self.buildid_dir:
            text = _text(search.in_cache(self.buildid_dir, self.wanted, "kallsyms"))
        return text

    def symbol(self, address: int) -> Symbol | None:
        """The symbol at an address."""
        index = int(self.table.find(np.array([address % (1 << 64)], np.uint64))[0])
        return None if index < 0 else self.table.symbol(index)

    def symbols_of(self, addresses) -> np.ndarray:
        """For an array of addresses the indexes of their symbols; -1 for none."""
        return self.table.find(addresses)

    def symbol_at(self, index: int) -> Symbol:
        """The symbol with an index from `symbols_of`."""
        return self.table.symbol(int(index))

    @property
    def symbols(self) -> list[Symbol]:
        """All symbols, by address."""
        return [self.table.symbol(index) for index in range(len(self.table))]

    def named(self, name: str) -> list[Symbol]:
        """The symbols of a name, demangled or as in the file, by address."""
        return [s for s in self.symbols if name in (s.name, s.linkage_name)]

    @property
    def why(self) -> str | None:
        """In one sentence why there are no symbols; None if there are some."""
        if len(self.table):
            return None
        if self.kind != "user":
            return f"{self.path}: there is no kallsyms with the kernel's symbols"
        if self.path.startswith("/tmp/perf-"):
            return f"{self.path}: there is no such map of compiled code, or it is empty"
        if self.identity:
            return f"{self.path}: this memory is not mapped from a file"
        elf = self._open(search.under(self.symfs, self.path))
        if self._files[0]:
            return f"{self._files[0].name}: its symbol tables are empty or damaged"
        if self._tried:
            path, reason = self._tried[-1]
            return f"{path}: {reason}"
        if elf:
            return f"{elf.name}: it is stripped of its symbols"
        return f"{search.under(self.symfs, self.path)}: No such file or directory"

    @property
    def foreign(self) -> str | None:
        """In one sentence that its code is another machine's; None if it isn't, or not known."""
        if self.elf is None or self.elf.e_machine == EM_RISCV:
            return None
        return f"{self.elf.name}: its code is not riscv64's"

    # Addresses and bytes.

    @functools.cached_property
    def text_offset(self) -> int:
        """What objdump's addresses of .text are more than offsets into the file."""
        if self.identity:
            return 0
        elf = self._files[1]
        text = elf.section(b".text") if elf else None
        return text.sh_addr - text.sh_offset if text else 0

    def objdump_address(self, address: int) -> int:
        """The address that objdump and addr2line know this one by (map__rip_2objdump)."""
        return (address + self.text_offset) % (1 << 64)

    @functools.cached_property
    def _loads(self) -> list[tuple[int, int, int]]:
        """(file offset, size, virtual address) of what is mapped from the file, by offset."""
        elf = self.elf
        found = elf.segments if elf else []
        return sorted((s.p_offset, s.p_filesz, s.p_vaddr) for s in found if s.p_type == PT_LOAD)

    def virtual_address(self, address: int) -> int:
        """The ELF file's virtual address of an address."""
        if self.identity:
            return address
        at = bisect_right(self._loads, (address, 1 << 64, 0)) - 1
        for offset, size, vaddr in reversed(self._loads[: at + 1]):
            if address - offset < size:
                return (address - offset + vaddr) % (1 << 64)
        return self.objdump_address(address)

    def code(self, address: int, size: int) -> bytes:
        """The bytes at an address; fewer where the file has no more."""
        if self.elf is None or address < 0 or size < 0:
            return b""
        return bytes(self.elf.data[address : address + size])

    @functools.cached_property
    def cfi(self) -> Cfi:
        """How to unwind the stack from this file's code, by `virtual_address`."""
        from rvperf.symbols.unwind import Cfi

        if self.identity or self.foreign:
            return Cfi()
        debug = self._files[0]
        return Cfi(self.elf, debug if debug is not self.elf else None)

    def disassemble(self, start: int, end: int, demangled: bool = False) -> list[Instruction]:
        """The code from `start` to `end`, as objdump prints it; the lines have its addresses.
        Nothing if it is `foreign`.

        `demangled` is objdump's -C.
        """
        from rvperf.symbols.disassembly import disassemble

        code = self.code(start, min(end - start, LARGEST_CODE))
        if not code or self.foreign:
            return []
        name = self.name_at if demangled else self.names.at
        name = name if self.names else None
        return list(disassemble(code, self.virtual_address(start), name, self.names.gp))

    @functools.cached_property
    def names(self) -> Names:
        """What objdump calls virtual addresses."""
        from rvperf.symbols.names import Names

        return Names(self._files[0] or self.elf)

    def name_at(self, vaddr: int) -> str | None:
        """`symbol+0x12`, as objdump -C has it."""
        name = self.names.at(vaddr)
        if name is None or not self.demangled or not name.startswith("_"):
            return name
        name, plus, offset = name.partition("+")
        return demangle_in_full(name.encode("utf-8", "surrogateescape")) + plus + offset

    @property
    def stripped(self) -> bool:
        """Has it no symbols but those for dynamic linking?"""
        elf = self._files[0]
        return elf is None or elf.section(b".symtab") is None

    # Source.

    @functools.cached_property
    def _lines(self):
        from rvperf.symbols.lines import Lines

        if self.identity:
            return None
        with_symbols = self._files[0]
        places = [with_symbols, self.elf]
        places += search.candidates(
            self.path, self.build_id, self.symfs, self.buildid_dir, self._debuglink
        )
        for place in places:
            elf = self._accepted(place) if isinstance(place, str) else place
            if elf and (elf.section(b".debug_info") or elf.section(b".zdebug_info")):
                return Lines(elf)
        elf = with_symbols or self.elf
        return Lines(elf) if elf else None

    def lines(self, address: int) -> list[Line]:
        """Where in the source an address is: function, file and line, and callers it is inlined in.

        Innermost first. Without debugging data for the address it is the function symbol before
        the address, with its file if the symbol table names one, and line 0; or empty.
        """
        return self._lines.at(self.objdump_address(address)) if self._lines else []

    def source(self, file: str, first: int, last: int) -> list[str] | None:
        """Lines `first` to `last`, from 1, of a source file; None if there is no such text file."""
        text = self._source(file)
        return None if text is None else text[max(first, 1) - 1 : max(last, 0)]

    def _source(self, file: str) -> list[str] | None:
        if file not in self._sources:
            self._sources[file] = self._read_source(file)
        return self._sources[file]

    def _read_source(self, file: str) -> list[str] | None:
        for path in dict.fromkeys((search.under(self.symfs, file), file)):
            try:
                if os.path.isfile(path) and os.path.getsize(path) <= LARGEST_SOURCE:
                    with open(path, encoding="utf-8", errors="replace") as source:
                        return source.read().removesuffix("\n").split("\n")
            except (OSError, ValueError):
                continue
        return None


def same_build_id(wanted: bytes, found: bytes) -> bool:
    """dso__build_id_equal: a long one may end in zeros that a short one has not."""
    if len(wanted) > len(found) and len(wanted) == BUILD_ID_SIZE:
        return wanted.rstrip(b"\0") == found.rstrip(b"\0") and wanted.startswith(found)
    return wanted == found


def typed(elf: Elf, name: bytes, kind: int):
    """The section of a name, if it has the right type."""
    section = elf.section(name)
    return section if section and section.sh_type == kind else None


def _text(path: str) -> bytes | None:
    try:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read()
    except OSError:
        pass
    return None


# Loading, as dso__load_sym and dso__synthesize_plt_symbols do it.


def load(table: Table, symbols: Elf, runtime: Elf) -> None:
    """Fill the table from a file with symbols and, for .plt, the file that was mapped."""
    for name, kind in ((b".symtab", SHT_SYMTAB), (b".dynsym", SHT_DYNSYM)):
        section = typed(symbols, name, kind)
        if section:
            rows = elf_rows(symbols, runtime, section)
            if len(rows):
                table.add(rows)
                table.mend()
    plt = plt_rows(runtime, table.demangle)
    if len(table) and len(plt):
        table.add(plt)


def elf_rows(symbols: Elf, runtime: Elf, section) -> Rows:
    """The functions, objects and labels of a symbol table, at their offsets into the file."""
    nothing = Rows([], [], [], [], [])
    data = symbols.contents(section)
    if not 0 < section.sh_link < len(symbols.sections):
        return nothing
    names = symbols.contents(symbols.sections[section.sh_link])
    syms = np.frombuffer(data, SYM, len(data) // SYM.itemsize)

    kind, binding = syms["info"] & 15, syms["info"] >> 4
    defined = (syms["name"] != 0) & (syms["shndx"] != 0)
    defined &= (syms["shndx"] != SHN_ABS) & (syms["name"] < len(names))
    visible = ~np.isin(syms["other"] & 3, (STV_HIDDEN, STV_INTERNAL))
    label = (kind == STT_NOTYPE) & visible
    kept = defined & (np.isin(kind, (STT_FUNC, STT_GNU_IFUNC, STT_OBJECT)) | label)
    kept = np.flatnonzero(kept)
    # perf stops at a symbol of a section that does not exist.
    wrong = np.flatnonzero(syms["shndx"][kept] >= len(symbols.sections))
    if len(wrong):
        kept = kept[: wrong[0]]

    # What each section says of its symbols.
    count = len(symbols.sections)
    loaded, code = np.zeros(count, bool), np.zeros(count, bool)
    shift = np.zeros(count, np.uint64)
    for at, header in enumerate(symbols.sections):
        loaded[at] = bool(header.sh_flags & SHF_ALLOC)
        if header.sh_type == SHT_NOBITS and at < len(runtime.sections):
            header = runtime.sections[at]
        code[at] = b"text" in header.name or b"data" in header.name
        shift[at] = (header.sh_addr - header.sh_offset) % (1 << 64)
    of = syms["shndx"][kept]
    kept = kept[loaded[of] & (~label[kept] | code[of])]

    value, size = syms["value"][kept], syms["size"][kept]
    delta, pending = shift[syms["shndx"][kept]], np.ones(len(kept), bool)
    for segment in runtime.segments:
        length = max(segment.p_memsz, segment.p_filesz)
        last = segment.p_vaddr + length - 1
        if segment.p_type != PT_LOAD or not 0 < last < 1 << 64:
            continue
        here = pending & (value >= np.uint64(segment.p_vaddr)) & (value <= np.uint64(last))
        delta[here] = (segment.p_vaddr - segment.p_offset) % (1 << 64)
        pending &= ~here
    start = value - delta
    found = [cut(names, at) for at in syms["name"][kept].tolist()]
    return Rows(start, start + size, binding[kept], kind[kept], found)


def plt_rows(elf: Elf, demangle) -> Rows:
    """NAME@plt for the entries of .plt.

    perf 6.1 takes the size of an entry for the size of the header, too. On RISC-V, where the header
    is as long as two entries, its names are one entry too early. Ours have to be where perf's are.
    """
    dynsym = typed(elf, b".dynsym", SHT_DYNSYM)
    relocations = elf.section(b".rela.plt") or elf.section(b".rel.plt")
    plt = elf.section(b".plt")
    nothing = Rows([], [], [], [], [])
    if not (dynsym and relocations and plt) or relocations.sh_link != dynsym.index:
        return nothing
    if not 0 < dynsym.sh_link < len(elf.sections):
        return nothing
    width = {SHT_RELA: 24, SHT_REL: 16}.get(relocations.sh_type)
    if not width:
        return nothing
    names = elf.contents(elf.sections[dynsym.sh_link])
    data = elf.contents(dynsym)
    syms = np.frombuffer(data, SYM, len(data) // SYM.itemsize)
    data = elf.contents(relocations)
    info = np.frombuffer(data, "<u8", len(data) // width * (width // 8))[1 :: width // 8]
    found = []
    for index in (info >> np.uint64(32)).tolist():
        name = cut(names, int(syms["name"][index])) if index < len(syms) else b""
        name = demangle(name).encode("utf-8", "surrogateescape") + b"@plt"
        found.append(name[:LONGEST_PLT_NAME])
    entry = plt.sh_entsize
    start = np.arange(1, len(found) + 1, dtype=np.uint64) * np.uint64(entry)
    start += np.uint64(plt.sh_offset)
    count = len(found)
    return Rows(start, start + np.uint64(entry), [STB_GLOBAL] * count, [STT_FUNC] * count, found)
