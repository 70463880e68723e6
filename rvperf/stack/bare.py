"""Bare-metal programs: how they get into memory, and how they talk to their host.

Loading is by physical addresses, as a boot loader does it. The host interface is HTIF, of the
RISC-V simulators' front-end server: the program stores a word to the symbol `tohost`, and finds
answers at `fromhost`. A shutdown by SBI ends it as well, for a program that is its own payload.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from errno import EBADF, ENOEXEC, ENOSYS

from isa.record import Record
from rvperf.machine.ram import Ram
from rvperf.stack.kernel.elf import PROGRAM_HEADER, PT_LOAD, LoadError, headers

SECTION_HEADER, SYMBOL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ")
SHT_SYMTAB = 2
CHUNK = 1 << 20
# Of a word in tohost: the device, the command, and the rest.
DEVICE, COMMAND, PAYLOAD = 56, 48, (1 << 48) - 1
SYSTEM_CALLS, TERMINAL = 0, 1  # devices
TERMINAL_READ, TERMINAL_WRITE = 0, 1
SYS_WRITE, SYS_EXIT = 64, 93
# SBI: the system reset extension and its function, and the legacy call that does the same.
SRST, RESET, LEGACY_SHUTDOWN = 0x53525354, 0, 8
A0, A1, A6, A7 = 10, 11, 16, 17


class Ended(Record):
    """How a program ended: `code` is 0 if it said that all is well. `word` was in tohost, if it
    was that."""

    code: int
    word: int | None = None


class Program(Record):
    """What is known of a program once it is in memory. Addresses are physical."""

    entry: int
    tohost: int | None
    fromhost: int | None


def load(name: str, read: Callable[[int, int], bytes], size: int, ram: Ram) -> Program:
    """Put an ELF file of `size` bytes, `read(offset, count)`, into RAM.

    Raises LoadError if it isn't a riscv64 one, or has no place there.
    """

    def refuse(why: str):
        raise LoadError(f"{name}: {why}", ENOEXEC)

    header, table = headers(name, read, size)
    loaded = False
    for kind, _, at, _, address, file_size, memory_size, _ in PROGRAM_HEADER.iter_unpack(table):
        if kind != PT_LOAD or not memory_size:
            continue
        if file_size > memory_size:
            refuse("a segment that is larger in the file than in memory")
        if not ram.contains(address, memory_size):
            end = ram.base + ram.size
            refuse(f"a segment at {address:#x}, outside of RAM ({ram.base:#x} to {end:#x})")
        if at > size or file_size > size - at:
            refuse("truncated within a segment")
        for start in range(0, file_size, CHUNK):
            ram.write(address + start, read(at + start, min(CHUNK, file_size - start)))
        loaded = True
    if not loaded:
        refuse("nothing to load")
    found = _symbols(header, read, size)
    for symbol, address in found.items():
        if not ram.contains(address, 8):
            refuse(f"{symbol} at {address:#x}, outside of RAM")
    return Program(header[4], found.get("tohost"), found.get("fromhost"))


def _symbols(header, read: Callable[[int, int], bytes], size: int) -> dict[str, int]:
    """The addresses of tohost and fromhost, as far as the file says."""
    offset, entry_size, count = header[6], header[11], header[12]
    if entry_size != SECTION_HEADER.size or not 0 < offset < size:
        return {}
    data = read(offset, min(entry_size * count, size - offset))
    data = data[: len(data) // entry_size * entry_size]
    sections = list(SECTION_HEADER.iter_unpack(data))
    names = {b"tohost\0": "tohost", b"fromhost\0": "fromhost"}
    found: dict[str, int] = {}
    for _, kind, _, _, at, length, link, _, _, _ in sections:
        if kind != SHT_SYMTAB or link >= len(sections):
            continue
        strings = _part(read, size, *sections[link][4:6])
        symbols = _part(read, size, at, length)
        symbols = symbols[: len(symbols) // SYMBOL.size * SYMBOL.size]
        for string, _, _, section, value, _ in SYMBOL.iter_unpack(symbols):
            if section:  # it is defined
                for text, symbol in names.items():
                    if strings.startswith(text, string):
                        found.setdefault(symbol, value)
    return found


def _part(read: Callable[[int, int], bytes], size: int, at: int, length: int) -> bytes:
    return read(at, min(length, size - at)) if at < size else b""


class HostInterface:
    """The host's end of tohost and fromhost. `write(descriptor, data)` prints."""

    def __init__(self, ram: Ram, program: Program, write: Callable[[int, bytes], None]):
        self.ram = ram
        self.program = program
        self.write = write

    def serve(self) -> Ended | bool:
        """Do what tohost asks for: how the program ended, or whether it asked for anything.

        Raises LoadError for a request that makes no sense.
        """
        tohost = self.program.tohost
        if tohost is None or not (word := self.ram.load(tohost, 8)):
            return False
        device, command, payload = word >> DEVICE, word >> COMMAND & 0xFF, word & PAYLOAD
        if device == SYSTEM_CALLS and payload & 1:
            return Ended(payload >> 1, word)
        self.ram.store(tohost, 8, 0)
        if device == SYSTEM_CALLS:
            if (ended := self._system_call(payload)) is not None:
                return ended
            self._answer(device, command, 1)
        elif device == TERMINAL and command == TERMINAL_WRITE:
            self.write(1, bytes([payload & 0xFF]))
            self._answer(device, command, 0)
        elif device != TERMINAL or command != TERMINAL_READ:  # nobody ever types
            raise LoadError(f"tohost has {word:#x}, device {device}, which there isn't", ENOSYS)
        return True

    def _system_call(self, at: int) -> Ended | None:
        """Eight words in memory: the number, arguments; the result goes where the number was."""
        ram = self.ram
        if not ram.contains(at, 64):
            raise LoadError(f"tohost has {at:#x}, neither an exit nor an address in RAM", ENOSYS)
        number, first, second, third = (ram.load(at + 8 * n, 8) for n in range(4))
        result = -ENOSYS
        if number == SYS_EXIT:
            return Ended(first & 0xFFFFFFFF)
        if number == SYS_WRITE:
            result = -EBADF
            if first in (1, 2) and ram.contains(second, third):
                for start in range(0, third, CHUNK):
                    self.write(first, ram.read(second + start, min(CHUNK, third - start)))
                result = third
        ram.store(at, 8, result)
        return None

    def _answer(self, device: int, command: int, value: int) -> None:
        if self.program.fromhost is not None:
            word = device << DEVICE | command << COMMAND | value
            self.ram.store(self.program.fromhost, 8, word)


def shut_down(x, handled: bool) -> Ended | None:
    """How an ecall of M-mode ends the program, if it is a shutdown by SBI. `x` are its registers.

    The legacy call's number is a small one, so it counts only if nobody else takes (`handled`)
    such calls.
    """
    if x[A7] == SRST and x[A6] == RESET:
        return Ended(int(x[A1] != 0))  # a reason other than none is a failure
    if x[A7] == LEGACY_SHUTDOWN and not handled:
        return Ended(0)
    return None
