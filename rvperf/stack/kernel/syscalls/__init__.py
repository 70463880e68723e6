"""The system calls: one declaration each, gathered from the files beside this one.

    @syscall(63)
    def read(task, fd: Int, buf, count): ...

The number is asm-generic/unistd.h's, the name and the arguments are the manual page's. Arguments
are unsigned 64-bit registers unless annotated with the C type that the kernel truncates them to.
The result goes to a0; an OSError becomes its negated number. A handler that may sleep is a
generator: see tasks.Wait.
"""

from dataclasses import dataclass

from .. import costs


class Int(int):
    """A C int: the low 32 bits, signed."""


class Uint(int):
    """A C unsigned int: the low 32 bits."""


class Long(int):
    """A C long: all 64 bits, signed."""


@dataclass(frozen=True)
class SystemCall:
    """One row of the table."""

    number: int
    name: str
    handler: object
    arguments: tuple[str, ...]
    truncated: tuple[tuple[int, type], ...]  # (position, C type) of arguments not taken whole
    cost: costs.Cost


TABLE: dict[int, SystemCall] = {}


def syscall(number, name=None):
    """Registers a handler under a number; its name is the call's unless one is given."""

    def register(handler):
        called = name or handler.__name__
        code = handler.__code__
        names = code.co_varnames[1 : code.co_argcount]
        types = handler.__annotations__
        truncated = tuple((at, types[word]) for at, word in enumerate(names) if word in types)
        TABLE[number] = SystemCall(number, called, handler, names, truncated, costs.of(called))
        return handler

    return register


def arguments_of(call, registers):
    """A call's arguments from a0 to a5, truncated as its declaration says."""
    arguments = registers[: len(call.arguments)]
    for position, kind in call.truncated:
        value = arguments[position]
        if kind is Long:
            arguments[position] = value - (1 << 64) if value >> 63 else value
        else:
            value &= 0xFFFFFFFF
            if kind is Int and value >> 31:
                value -= 1 << 32
            arguments[position] = value
    return arguments


from . import (  # noqa: E402  (the table must exist before the files that fill it)
    descriptors,
    filesystem,
    memory,
    polling,
    process,
    signals,
    sockets,
    synchronisation,
    system,
    time,
)

__all__ = [
    "TABLE",
    "Int",
    "Long",
    "SystemCall",
    "Uint",
    "arguments_of",
    "descriptors",
    "filesystem",
    "memory",
    "polling",
    "process",
    "signals",
    "sockets",
    "synchronisation",
    "syscall",
    "system",
    "time",
]
