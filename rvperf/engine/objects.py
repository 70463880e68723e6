"""From LLVM text to bytes that run wherever they are put.

What native code needs from outside it finds through the state pointer, so an object file has no
external symbols and becomes one flat, position-independent piece: its sections one after the
other, their references to each other resolved. Only compiling needs LLVM; running a piece from
the cache does not even load it.
"""

from __future__ import annotations

import io
import mmap
from ctypes import addressof, c_char
from functools import cache

from isa.record import Record

R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_PC64 = 2, 4, 24


class Piece(Record):
    """Position-independent machine code, and where in it the functions start."""

    code: bytes
    symbols: dict[str, int]


@cache
def _target_machine():
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # for what is written as assembly
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="small",
    )


PASSES = ("sroa", "instruction_combine", "simplify_cfg", "aggressive_dce")


def compile_module(text: str) -> Piece:
    """Optimise and translate an LLVM module for this processor.

    The passes are those that pay for themselves: more of them give hardly better code here.
    """
    import llvmlite.binding as llvm

    machine = _target_machine()
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    manager = llvm.create_new_function_pass_manager()
    for name in PASSES:
        getattr(manager, f"add_{name}_pass")()
    for function in module.functions:
        if not function.is_declaration:
            manager.run(function, builder)
    return flatten(machine.emit_object(module))


def flatten(image: bytes) -> Piece:
    """Lay an x86-64 ELF object out as one piece. ValueError if it refers to anything outside."""
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(image))
    placed: dict[int, int] = {}
    code = bytearray()
    for index, section in enumerate(elf.iter_sections()):
        if section["sh_flags"] & 2 and section["sh_size"] and ".eh_frame" not in section.name:
            align = max(section["sh_addralign"], 1)
            code.extend(b"\0" * (-len(code) % align))
            placed[index] = len(code)
            code.extend(section.data())
    symbol_table = elf.get_section_by_name(".symtab")
    symbols = {}
    for symbol in symbol_table.iter_symbols():
        if symbol["st_shndx"] in placed and symbol.name and symbol["st_info"]["type"] == "STT_FUNC":
            symbols[symbol.name] = placed[symbol["st_shndx"]] + symbol["st_value"]
    for section in elf.iter_sections():
        if section["sh_type"] != "SHT_RELA" or section["sh_info"] not in placed:
            continue
        base = placed[section["sh_info"]]
        for relocation in section.iter_relocations():
            symbol = symbol_table.get_symbol(relocation["r_info_sym"])
            if symbol["st_shndx"] not in placed:
                raise ValueError(f"compiled code refers to {symbol.name!r}, which is outside it")
            at = base + relocation["r_offset"]
            target = placed[symbol["st_shndx"]] + symbol["st_value"] + relocation["r_addend"]
            kind = relocation["r_info_type"]
            if kind in (R_X86_64_PC32, R_X86_64_PLT32):
                code[at : at + 4] = (target - at).to_bytes(4, "little", signed=True)
            elif kind == R_X86_64_PC64:
                code[at : at + 8] = (target - at).to_bytes(8, "little", signed=True)
            else:
                raise ValueError(f"relocation type {kind} is not position-independent")
    return Piece(bytes(code), symbols)


class Arena:
    """Executable memory that pieces are put into; it only grows."""

    CHUNK = 1 << 20

    def __init__(self):
        self._maps: list[mmap.mmap] = []
        self._address = self._used = self._size = 0

    def add(self, code: bytes) -> int:
        """Put a piece's code there; its address."""
        self._used = -(-self._used // 64) * 64
        if self._used + len(code) > self._size:
            self._size = max(self.CHUNK, -(-len(code) // 4096) * 4096)
            prot = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            self._maps.append(mmap.mmap(-1, self._size, prot=prot))
            self._address = addressof(c_char.from_buffer(self._maps[-1]))
            self._used = 0
        at = self._used
        self._maps[-1][at : at + len(code)] = code
        self._used += len(code)
        return self._address + at
