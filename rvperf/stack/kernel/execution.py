"""execve: finding a program, loading it or the interpreter that its first line names."""

import os
import stat
from errno import E2BIG, EACCES, ELOOP, ENOENT, ENOEXEC, ENOMEM

from . import auxv, elf
from .elf import LoadError
from .frames import PAGE, OutOfMemory
from .memory import PROT_EXEC, PROT_READ, USER_END, AddressSpace
from .paths import Paths, Place

ELF_BASE = (USER_END // 3 * 2) // PAGE * PAGE  # arch/riscv/include/asm/elf.h, ELF_ET_DYN_BASE
SCRIPT_DEPTH, SCRIPT_LINE = 4, 256
ARGUMENTS_LIMIT = 2 << 20  # a quarter of the stack's limit: execve(2)


def resolve_program(name, path, sysroot, cwd="/"):
    """The path of a program, as the shell finds it: a name without a slash is looked up in the
    directories of `path`, in the sysroot first if there is one.

    Raises LoadError ENOENT, or EACCES if it was found only where it can't be executed.
    """
    if "/" in name:
        return name
    paths = Paths(sysroot, ())
    if sysroot:
        paths = SysrootOnly(paths)
    here = Place(cwd)
    refused = None
    for directory in (path or "/usr/local/bin:/usr/bin:/bin").split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            found = paths.resolve(candidate, here)
        except OSError:
            continue
        if found.status is None or not stat.S_ISREG(found.status.st_mode):
            continue
        if found.status.st_mode & 0o111:
            return candidate
        refused = candidate
    if refused:
        raise LoadError(f"{refused}: not executable", EACCES)
    where = f"the PATH of {sysroot}" if sysroot else "PATH"
    raise LoadError(f"{name}: not found in {where}", ENOENT)


class SysrootOnly:
    """Looks names up in the sysroot alone: the host's programs are another machine's."""

    def __init__(self, paths):
        self.paths = paths

    def resolve(self, path, cwd):
        parts = [part for part in path.split("/") if part not in ("", ".")]
        return self.paths.walk(self.paths.sysroot, True, parts, True, False, 0, False)


def open_program(kernel, name, cwd):
    """(host descriptor, Place, size) of a program. Raises LoadError."""
    try:
        place = kernel.paths.resolve(name, cwd)
        if place.synthetic:
            raise LoadError(f"{name}: not a program", EACCES)
        mode = place.status.st_mode
        if stat.S_ISDIR(mode):
            raise LoadError(f"{name}: a directory", EACCES)
        if not stat.S_ISREG(mode):
            raise LoadError(f"{name}: not a regular file", EACCES)
        if not mode & 0o111:
            raise LoadError(f"{name}: not executable (no execute bit)", EACCES)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        host = os.open(place.host, flags)
    except OSError as error:
        raise LoadError(f"{name}: {os.strerror(error.errno)}", error.errno) from None
    return host, place, os.fstat(host).st_size


def read_elf(kernel, name, cwd):
    """(Elf, host descriptor, Place). Raises LoadError."""
    host, place, size = open_program(kernel, name, cwd)
    try:
        parsed = elf.parse(name, lambda offset, count: pread(host, count, offset), size)
    except BaseException:
        os.close(host)
        raise
    return parsed, host, place


def pread(host, count, offset):
    """Bytes of a file; none where the offset is absurd."""
    return os.pread(host, count, offset) if offset < 1 << 62 else b""


def script_line(name, host):
    """(interpreter, argument or None) if the file begins with `#!`; None if it doesn't.

    Raises LoadError ENOEXEC for a line without a name.
    """
    head = os.pread(host, SCRIPT_LINE, 0)
    if not head.startswith(b"#!"):
        return None
    line = head[2:].split(b"\n", 1)[0].strip(b" \t")
    words = line.split(None, 1)
    if not words:
        raise LoadError(f"{name}: no interpreter after #!", ENOEXEC)
    return words[0], words[1] if len(words) > 1 else None


def build(kernel, name, argv, env, cwd):
    """A new address space with the program in it.

    Returns (space, entry, stack pointer, comm). Raises LoadError; the caller's own memory is as it
    was.
    """
    argv = list(argv) or [b""]
    if sum(map(len, argv)) + sum(map(len, env)) + 9 * (len(argv) + len(env)) > ARGUMENTS_LIMIT:
        raise LoadError(f"{name}: argument list too long", E2BIG)
    called = name
    for _ in range(SCRIPT_DEPTH + 1):
        host, place, size = open_program(kernel, name, cwd)
        try:
            script = script_line(name, host)
            if script is None:
                break
        except BaseException:
            os.close(host)
            raise
        os.close(host)
        interpreter, argument = script
        argv[:1] = [interpreter, *([argument] if argument else []), os.fsencode(name)]
        name = os.fsdecode(interpreter)
    else:
        raise LoadError(f"{called}: too many interpreters", ELOOP)
    opened = [host]
    space = None
    try:
        program = elf.parse(name, lambda offset, count: pread(host, count, offset), size)
        interpreter = None
        if program.interpreter:
            where = os.fsdecode(program.interpreter)
            try:
                interpreter, second, second_place = read_elf(kernel, where, cwd)
            except LoadError as error:
                if error.errno != ENOENT:
                    raise
                hint = "" if kernel.paths.sysroot else "; is --sysroot needed?"
                why = f"{name}: its interpreter {where} does not exist{hint}"
                raise LoadError(why, ENOENT) from None
            opened.append(second)
        space = AddressSpace(kernel.frames, kernel.counts, kernel.changed)
        guest = kernel.paths.guest_name(place)
        file = kernel.cache.open(host, guest)
        bias = base = 0
        if program.relocatable:
            span = (program.end - program.start + PAGE - 1) // PAGE * PAGE
            if span > ELF_BASE // 2:
                raise LoadError(f"{name}: segments that span {span:#x} bytes", ENOEXEC)
            bias = (ELF_BASE if interpreter else space.gap(span)) - program.start
        end = elf.load(space, program, file, bias)
        entry = program.entry + bias
        if interpreter:
            cached = kernel.cache.open(second, kernel.paths.guest_name(second_place))
            span = (interpreter.end - interpreter.start + PAGE - 1) // PAGE * PAGE
            base = space.gap(span) - interpreter.start if interpreter.relocatable else 0
            elf.load(space, interpreter, cached, base)
            entry = interpreter.entry + base
        space.brk_start = space.brk_end = (
            ELF_BASE if program.relocatable and not interpreter else (end + PAGE - 1) // PAGE * PAGE
        )
        space.sigreturn_address = space.gap(PAGE)
        space.map(
            space.sigreturn_address,
            PAGE,
            PROT_READ | PROT_EXEC,
            file=kernel.sigreturn_page,
            name="[sigreturn]",
        )
        space.executable = guest
        headers = program.headers_address + bias if program.headers_address else 0
        entries = [
            (auxv.AT_PHDR, headers),
            (auxv.AT_PHENT, elf.PROGRAM_HEADER.size),
            (auxv.AT_PHNUM, program.headers_count),
            (auxv.AT_BASE, base),
            (auxv.AT_FLAGS, 0),
            (auxv.AT_ENTRY, program.entry + bias),
            (auxv.AT_UID, kernel.uid),
            (auxv.AT_EUID, kernel.uid),
            (auxv.AT_GID, kernel.gid),
            (auxv.AT_EGID, kernel.gid),
        ]
        random = kernel.random(16)
        pointer = auxv.build_stack(
            space, argv, env, os.fsencode(called), entries, random, program.executable_stack
        )
    except OutOfMemory:
        if space:
            space.release()
        raise LoadError(f"{name}: {os.strerror(ENOMEM)}", ENOMEM) from None
    except OSError as error:
        if space:
            space.release()
        raise LoadError(f"{name}: {os.strerror(error.errno)}", error.errno) from None
    except BaseException:
        if space:
            space.release()
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return space, entry, pointer, os.path.basename(called)[:15]


def read_vector(memory, address):
    """argv or envp: the strings that a zero-terminated array of pointers names.

    Raises OSError EFAULT, E2BIG.
    """
    strings, total = [], 0
    while address:
        pointer = memory.load(address, 8)
        if not pointer:
            break
        text = memory.read_string(pointer, 128 * 1024)
        total += len(text or b"") + 9
        if text is None or total > ARGUMENTS_LIMIT:
            raise OSError(E2BIG, "argument list too long")
        strings.append(text)
        address += 8
    return strings
