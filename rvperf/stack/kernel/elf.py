"""Reading an ELF program: what execve needs of it, and why a file can't be run.

The format is the ELF specification's (System V gABI, chapters 4 and 5); what Linux makes of it is
in fs/binfmt_elf.c.
"""

import struct
from errno import ENOEXEC, ENOMEM

from isa.record import Record

from .frames import PAGE
from .memory import PROT_EXEC, PROT_READ, PROT_WRITE, USER_END

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_INTERP, PT_PHDR, PT_GNU_STACK = 1, 3, 6, 0x6474E551
PF_X, PF_W, PF_R = 1, 2, 4
EM_RISCV = 243

MACHINES = {
    2: "SPARC", 3: "i386", 4: "m68k", 8: "MIPS", 15: "PA-RISC", 20: "PowerPC", 21: "PowerPC64",
    22: "s390", 40: "ARM", 42: "SuperH", 43: "SPARC V9", 50: "IA-64", 62: "x86-64", 93: "ARC",
    164: "Hexagon", 183: "AArch64", 189: "MicroBlaze", 247: "BPF", 252: "C-SKY", 258: "LoongArch",
}  # fmt: skip
TYPES = {0: "of no type", 1: "an object file, not a program", 4: "a core dump"}


class LoadError(Exception):
    """A program can't be started: one line that says why, and the errno that execve gives."""

    def __init__(self, message, errno):
        super().__init__(message)
        self.message, self.errno = message, errno


class Segment(Record):
    """A PT_LOAD: `file_size` bytes of the file at `offset`, then zeros up to `size`."""

    address: int
    size: int
    offset: int
    file_size: int
    prot: int


class Elf(Record):
    """A program as its headers declare it."""

    relocatable: bool
    entry: int
    segments: tuple[Segment, ...]
    interpreter: bytes | None
    headers_address: int  # where the program headers lie in memory, for AT_PHDR
    headers_count: int
    executable_stack: bool

    @property
    def start(self):
        return self.segments[0].address // PAGE * PAGE

    @property
    def end(self):
        last = self.segments[-1]
        return last.address + last.size


def headers(name, read, size):
    """(the ELF header's fields, the bytes of the program headers), for a riscv64 ELF file.

    Raises LoadError, ENOEXEC.
    """

    def refuse(why):
        raise LoadError(f"{name}: {why}", ENOEXEC)

    ident = read(0, HEADER.size)
    if ident[:4] != b"\x7fELF":
        refuse("not an ELF file")
    if len(ident) >= 5 and ident[4] == 1:
        refuse("a 32-bit ELF file; only 64-bit programs can be run")
    if len(ident) >= 6 and ident[5] == 2:
        refuse("a big-endian ELF file; only little-endian programs can be run")
    if len(ident) < HEADER.size:
        refuse("truncated within the ELF header")
    if ident[4] != 2 or ident[5] != 1:
        refuse("an ELF file of unknown class or byte order")
    header = HEADER.unpack(ident)
    _, kind, machine, _, _, offset, _, _, _, entry_size, count, _, _, _ = header
    if machine != EM_RISCV:
        refuse(f"built for {MACHINES.get(machine, f'machine {machine}')}, not for riscv64")
    if kind not in (ET_EXEC, ET_DYN):
        refuse(f"an ELF file that is {TYPES.get(kind, f'of type {kind}')}")
    if entry_size != PROGRAM_HEADER.size:
        refuse(f"program headers of {entry_size} bytes, not {PROGRAM_HEADER.size}")
    if not 0 < count <= 65536 // PROGRAM_HEADER.size:
        refuse("no program headers" if not count else f"{count} program headers")
    table = read(offset, count * entry_size) if offset < size else b""
    if len(table) != count * entry_size:
        refuse("truncated within the program headers")
    return header, table


def parse(name, read, size):
    """The Elf in a file of `size` bytes; `read(offset, count)` gives its bytes.

    Raises LoadError, ENOEXEC for whatever isn't a riscv64 Linux program.
    """

    def refuse(why, errno=ENOEXEC):
        raise LoadError(f"{name}: {why}", errno)

    header, table = headers(name, read, size)
    _, kind, _, _, entry, offset, _, _, _, _, count, _, _, _ = header
    segments, interpreter, executable_stack, headers_address = [], None, True, 0
    for kind_of, flags, at, address, _, file_size, memory_size, _ in PROGRAM_HEADER.iter_unpack(
        table
    ):
        if kind_of == PT_INTERP:
            if not 2 <= file_size <= PAGE:
                refuse("a malformed interpreter name")
            raw = read(at, file_size) if at < size else b""
            if len(raw) != file_size:
                refuse("truncated within the interpreter's name")
            if raw[-1] or raw.find(0) < 1:
                refuse("a malformed interpreter name")
            interpreter = raw[: raw.find(0)]
        elif kind_of == PT_GNU_STACK:
            executable_stack = bool(flags & PF_X)
        elif kind_of == PT_LOAD:
            if file_size > memory_size:
                refuse("a segment that is larger in the file than in memory")
            if address >= USER_END or memory_size > USER_END - address:
                refuse("a segment outside the address space", ENOMEM)
            if at > size or file_size > size - at:
                refuse("truncated within a segment")
            if (address - at) % PAGE:
                refuse("a segment whose address and offset disagree within the page")
            if not memory_size:
                continue
            prot = (
                (PROT_READ if flags & PF_R else 0)
                | (PROT_WRITE if flags & PF_W else 0)
                | (PROT_EXEC if flags & PF_X else 0)
            )
            if at <= offset < at + file_size:
                headers_address = offset - at + address
            segments.append(Segment(address, memory_size, at, file_size, prot))
    if not segments:
        refuse("nothing to load")
    segments.sort(key=lambda segment: segment.address)
    for one, two in zip(segments, segments[1:], strict=False):
        if one.address + one.size > two.address:
            refuse("overlapping segments")
    return Elf(
        kind == ET_DYN,
        entry,
        tuple(segments),
        interpreter,
        headers_address,
        count,
        executable_stack,
    )


def load(space, elf, file, bias):
    """Maps a program's segments at their addresses plus `bias` and clears what follows the file's
    bytes. Returns the end of the last segment. Raises OSError EFAULT, ENOMEM."""
    for segment in elf.segments:
        start = (segment.address + bias) // PAGE * PAGE
        lead = segment.address + bias - start
        file_end = segment.address + bias + segment.file_size
        mapped_end = (file_end + PAGE - 1) // PAGE * PAGE
        end = (segment.address + bias + segment.size + PAGE - 1) // PAGE * PAGE
        if segment.file_size:
            space.map(
                start, mapped_end - start, segment.prot, file=file, offset=segment.offset - lead
            )
        else:
            mapped_end = start
        if mapped_end < end:
            space.map(mapped_end, end - mapped_end, segment.prot)
        if (
            segment.file_size
            and segment.size > segment.file_size
            and file_end % PAGE
            and segment.prot & PROT_WRITE
        ):
            space.write(file_end, bytes(min(mapped_end, end) - file_end))
    return elf.end + bias
