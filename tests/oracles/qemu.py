"""QEMU's user-mode emulator as oracle: what a program prints, how it ends, and what it executes.

Two ways in which QEMU's counts differ from a hart's `instret`, both by design: an instruction is
counted before it executes, so one that faults counts (once more if its handler returns to it), and
so does each ecall. A system call that restarts executes its ecall again and counts again. Children
made by fork count into the same file; programs they exec don't.
"""

import functools
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.oracles import CACHE

QEMU = "qemu-riscv64"
SOURCE = Path(__file__).with_name("count.c")
FIELDS = "all branch jump load store amo lr sc ecall unprobed unrobust".split()


@dataclass(frozen=True)
class Run:
    """How a program ended: `exit` is its status, or minus the number of a signal."""

    stdout: bytes
    stderr: bytes
    exit: int


@dataclass(frozen=True)
class Counts(Run):
    """How a program ended and what it executed. An AMO loads and stores; lr loads, sc stores.

    `unprobed` and `unrobust` are the calls of riscv_hwprobe and set_robust_list that this QEMU did
    not know.
    """

    instructions: int
    branches: int = 0
    jumps: int = 0
    loads: int = 0
    stores: int = 0
    atomics: int = 0
    ecalls: int = 0
    unprobed: int = 0
    unrobust: int = 0


def missing() -> str | None:
    """Why QEMU can't run programs here, or None when it can."""
    return None if shutil.which(QEMU) else f"{QEMU} isn't installed (package qemu-user)"


def cannot_count() -> str | None:
    """Why QEMU can't count here, or None when it can."""
    if reason := missing():
        return reason
    try:
        plugin()
    except FileNotFoundError as error:
        return f"the counting plugin needs a C compiler: {error.filename} isn't installed"
    except subprocess.CalledProcessError as error:
        return f"the counting plugin doesn't compile: {error.stderr}"
    return None


def available() -> bool:
    """Whether QEMU can run and count here."""
    return cannot_count() is None


@functools.cache
def plugin() -> Path:
    """The counting plugin, compiled unless a run before this one has done it."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    built = CACHE / f"libcount-{digest}.so"
    if not built.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            new = Path(scratch) / built.name
            compile_command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC"]
            subprocess.run(
                [*compile_command, SOURCE, "-o", new], check=True, capture_output=True, text=True
            )
            new.rename(built)
    return built


def located(program: str, sysroot: str | Path | None) -> str:
    """The file of a program: as named, or found in the sysroot."""
    if sysroot is None or program.startswith(f"{sysroot}/"):
        return program
    if program.startswith("/"):
        return f"{sysroot}{program}"
    if "/" in program:
        return program
    for directory in ("usr/bin", "bin", "usr/sbin", "sbin"):
        if (path := Path(sysroot, directory, program)).exists():
            return str(path)
    raise FileNotFoundError(f"{program}: not in the PATH of {sysroot}")


def run(
    argv: Sequence[str],
    *,
    sysroot: str | Path | None = None,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = 120,
    options: Sequence[str] = (),
) -> Run:
    """Run a program; `options` are QEMU's. The guest's argv[0] is the name as given.

    QEMU turns the order of the environment round, so it gets that turned round already.
    """
    command = [QEMU, "-R", "0x4000000000", *options, "-0", argv[0]]
    if sysroot is not None:
        command += ["-L", str(sysroot)]
    command += [located(argv[0], sysroot), *argv[1:]]
    given = os.environ if env is None else env
    env = {name: given[name] for name in reversed(given)}
    done = subprocess.run(
        command, cwd=cwd, env=env, input=stdin, capture_output=True, timeout=timeout
    )
    return Run(done.stdout, done.stderr, done.returncode)


def count(argv: Sequence[str], *, classes: bool = True, **how) -> Counts:
    """Run a program and count; `how` is as for `run`. Without `classes`, instructions alone."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "counts"
        options = [
            "-plugin",
            f"{plugin()},out={out}" + ("" if classes else ",classes=off"),
            "-d",
            "plugin",
        ]
        done = run(argv, options=options, **how)
        if not out.exists():
            raise RuntimeError(f"QEMU didn't run {argv[0]}: {done.stderr.decode(errors='replace')}")
        n = dict(zip(FIELDS, struct.unpack(f"={len(FIELDS)}Q", out.read_bytes()), strict=True))
    return Counts(
        done.stdout,
        done.stderr,
        done.exit,
        instructions=n["all"],
        branches=n["branch"],
        jumps=n["jump"],
        loads=n["load"] + n["lr"] + n["amo"],
        stores=n["store"] + n["sc"] + n["amo"],
        atomics=n["amo"] + n["lr"] + n["sc"],
        ecalls=n["ecall"],
        unprobed=n["unprobed"],
        unrobust=n["unrobust"],
    )
