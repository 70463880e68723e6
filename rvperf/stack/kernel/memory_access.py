"""What memory an instruction accesses, told from the registers before it: for samples' addresses.

The instruction's own meaning says so: it is run on a machine that stops at the first access.
"""

from __future__ import annotations

from isa.ext import RV64GC
from isa.num import Num, number

PC = 32
MEMORY_KINDS = ("load", "store", "amo", "load-reserved", "store-conditional")


class Accessed(Exception):
    """The access that was caught: (kind, address, size)."""


class Catch:
    """A machine (isa.protocol.Machine) that has nothing but memory, and stops there."""

    def load(self, addr, size):
        raise Accessed("load", number(addr), size)

    def store(self, addr, size, value):
        raise Accessed("store", number(addr), size)

    def load_reserved(self, addr, size):
        raise Accessed("load", number(addr), size)

    def store_conditional(self, addr, size, value):
        raise Accessed("store", number(addr), size)

    def amo(self, addr, size, change):
        raise Accessed("load", number(addr), size)


def instruction_at(memory, pc: int):
    """The instruction at pc (isa.spec.Decoded); None if there is none."""
    code = memory.peek(pc, 4) or memory.peek(pc, 2)
    return RV64GC.decode(int.from_bytes(code, "little")) if code else None


def access_of(memory, registers) -> tuple[str, int, int] | None:
    """(kind, address, size) of the access that the instruction at pc makes; None if it has none.

    `registers` are x0 to x31 and pc; floating-point values don't matter here.
    """
    decoded = instruction_at(memory, registers[PC])
    if decoded is None or decoded.insn.kind.removeprefix("fp-") not in MEMORY_KINDS:
        return None
    given = {}
    for name in decoded.insn.parameters:
        value = decoded.operands.get(name.removesuffix("_n"), 0)
        if name == "m":
            given[name] = Catch()
        elif name.endswith("_n"):
            given[name] = value
        elif name.startswith("rs"):
            given[name] = Num(registers[value])
        elif name.startswith("fs"):
            given[name] = Num(0)
        else:
            given[name] = Num(value)
    try:
        decoded.insn.body(**given)
    except Accessed as access:
        return access.args
    return None
