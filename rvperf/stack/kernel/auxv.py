"""The initial stack: argument and environment strings, pointers to them, and the auxiliary vector.

Laid out as fs/exec.c and create_elf_tables() in fs/binfmt_elf.c do; getauxval(3) tells what the
entries mean.
"""

import struct

from .frames import PAGE
from .memory import PROT_EXEC, PROT_READ, PROT_WRITE, USER_END

AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS, AT_ENTRY = 3, 4, 5, 6, 7, 8, 9
AT_UID, AT_EUID, AT_GID, AT_EGID, AT_HWCAP, AT_CLKTCK, AT_SECURE = 11, 12, 13, 14, 16, 17, 23
AT_RANDOM, AT_EXECFN = 25, 31

HWCAP = sum(1 << ord(letter) - ord("a") for letter in "imafdc")
STACK_FIRST_SIZE = 33 * PAGE  # 128 KiB beyond what the strings need: setup_arg_pages()


def build_stack(space, argv, env, name, entries, random_bytes, executable):
    """Maps the stack of a new program and fills it. `entries` are the (key, value) pairs that come
    from the ELF. Returns the stack pointer. Raises OSError EFAULT, ENOMEM."""
    strings = bytearray()
    places = []
    for text in [*argv, *env, name]:
        places.append(len(strings))
        strings += text + b"\0"
    top = USER_END - 8
    at = top - len(strings)
    random_at = (at - 16) & ~15
    vector = [
        (AT_HWCAP, HWCAP),
        (AT_PAGESZ, PAGE),
        (AT_CLKTCK, 100),
        *entries,
        (AT_SECURE, 0),
        (AT_RANDOM, random_at),
        (AT_EXECFN, at + places[-1]),
        (0, 0),
    ]
    words = [len(argv), *(at + place for place in places[: len(argv)]), 0]
    words += [*(at + place for place in places[len(argv) : -1]), 0]
    arguments_end = at + (places[len(argv)] if argv else 0)
    auxv = struct.pack(f"<{2 * len(vector)}Q", *(word for pair in vector for word in pair))
    pointer = (random_at - 8 * len(words) - len(auxv)) & ~15
    start = (pointer - STACK_FIRST_SIZE) // PAGE * PAGE
    prot = PROT_READ | PROT_WRITE | (PROT_EXEC if executable else 0)
    space.map(start, USER_END - start, prot, name="[stack]", grows=True)
    with space.uncounted():
        space.write(at, bytes(strings) + bytes(8))
    space.write(random_at, random_bytes)
    space.write(pointer, struct.pack(f"<{len(words)}Q", *words) + auxv)
    space.arguments = (at, arguments_end)
    space.environment = (arguments_end, at + places[-1])
    space.auxv = auxv
    return pointer
