"""Runs a bare-metal program: a hart in M-mode, RAM, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.modes import M
from isa.pmp import ENTRIES
from isa.record import Record
from rvperf.engine.reference import Reference
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.timing import CYCLES_A_TICK, HERTZ
from rvperf.machine.traps import Trap
from rvperf.session import FAILED, LOOK_UP, SessionError
from rvperf.stack.bare import Ended, HostInterface, load, shut_down
from rvperf.stack.kernel.elf import LoadError

# Instructions until tohost is looked at again: few at first after something was asked for there,
# later as many as have been executed since.
SOONEST, LATEST = 1000, 1_000_000
MENVCFG, STIMECMP, MTVEC = (CSR_NUMBERS[name] for name in ("menvcfg", "stimecmp", "mtvec"))
MIE, MIP = CSR_NUMBERS["mie"], CSR_NUMBERS["mip"]
HENVCFG, VSTIMECMP = CSR_NUMBERS["henvcfg"], CSR_NUMBERS["vstimecmp"]
HTIMEDELTA = CSR_NUMBERS["htimedelta"]
STCE, WORD = 1 << 63, 1 << 64


class BareWorkload(Record):
    """A bare-metal program and its machine.

    `extensions` are of `isa.ext.OPTIONAL`; `timeout_ns` is emulated time, after which TimedOut is
    raised. `write(descriptor, data)` gets what it prints by tohost.
    """

    path: str
    extensions: frozenset[str]
    write: Callable[[int, bytes], None]
    engine: str = "native"
    timeout_ns: int | None = None


class TimedOut(Exception):
    """The program had not ended in time; the message says where it was."""


def run(workload: BareWorkload) -> Ended:
    """Run the program to its end. SessionError if it can't be started, or will never end;
    TimedOut."""
    native = workload.engine == "native"
    if native:
        from rvperf.engine.native import EXTRA, Native
    hart = Hart(Ram(), EXTRA if native else 0, workload.extensions, pmp_entries=ENTRIES)
    try:
        program = _load(workload.path, hart.ram)
    except LoadError as error:
        raise SessionError(error.message, FAILED) from None
    regions = None
    if native:
        from rvperf.engine.hot import Regions

        isa = " ".join(sorted(workload.extensions))
        kept = f"bare\0{isa}\0{os.path.abspath(workload.path)}"
        # Nobody knows beforehand which events its counters will be set to.
        regions = Regions(hart.pmu.compiled_for, kept)
    engine = Native(hart, regions) if native else Reference(hart)
    hart.pc = program.entry
    hart.attentive = True
    host = HostInterface(hart.ram, program, workload.write)
    try:
        return _loop(hart, engine, host, workload)
    except LoadError as error:
        raise SessionError(f"{workload.path}: {error.message}", FAILED) from None
    finally:
        if regions:
            regions.finish()


def _load(path: str, ram: Ram):
    try:
        # Not to wait for who may write to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise LoadError(f"{path}: not a regular file", 0)

            def read(at: int, count: int) -> bytes:
                return os.pread(descriptor, count, at)

            return load(path, read, status.st_size, ram)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise LoadError(f"{path}: {getattr(error, 'strerror', error)}", 0) from None


def _loop(hart: Hart, engine, host: HostInterface, workload: BareWorkload) -> Ended:
    last, asked = None, 0
    latest = min(LATEST, LOOK_UP[workload.engine])
    end = None
    if workload.timeout_ns is not None:
        end = workload.timeout_ns * HERTZ // 1_000_000_000
    while True:
        if not hart.interrupt():
            step = min(max(hart.instructions - asked, SOONEST), latest)
            try:
                engine.run(min(step, _instructions_until(hart, end)))
                last = None
            except Trap as trap:
                if hart.mode == M and trap.cause == Cause.ENVIRONMENT_CALL_FROM_M:
                    if ended := shut_down(hart.x, bool(hart.csr_value(MTVEC))):
                        return ended
                where = hart.pc, hart.mode, trap.cause, trap.tval, hart.instructions
                if where == last:
                    raise SessionError(
                        f"{workload.path}: traps for ever at {hart.pc:#x}: {trap}", FAILED
                    ) from None
                last = where
                hart.take(trap)
        done = host.serve()
        if isinstance(done, Ended):
            return done
        if done:
            asked = hart.instructions
        if hart.waiting:
            hart.waiting = False
            _wait(hart, end)
        if end is not None and hart.cycles >= end:
            raise TimedOut(f"{workload.path}: still running at {hart.pc:#x}")


def _timers(hart: Hart) -> list[int]:
    """The cycles at which the timers of Sstc are due, those that are on."""
    words, due = hart.csrs.words, []
    if words[MENVCFG] & STCE:
        due.append(words[STIMECMP] * CYCLES_A_TICK)
        if hart.hypervisor and words[HENVCFG] & STCE:
            due.append((words[VSTIMECMP] - words[HTIMEDELTA]) % WORD * CYCLES_A_TICK)
    return due


def _instructions_until(hart: Hart, end: int | None) -> int:
    """How many instructions to run at most so that a timer's interrupt isn't late.

    An instruction takes at least a cycle, and seldom more than eight.
    """
    now = hart.cycles
    due = [cycle for cycle in _timers(hart) if cycle > now]
    if end is not None:
        due.append(end)
    return max((min(due) - now) // 8, 1) if due else LOOK_UP["native"]


def _wait(hart: Hart, end: int | None) -> None:
    """Wait for an interrupt that is enabled for the hart: until the next timer.

    A wait for what can't come is over at once: the instruction is a hint.
    """
    if hart.csr_value(MIP) & hart.csr_value(MIE):
        return
    now = hart.cycles
    due = [cycle for cycle in _timers(hart) if cycle > now and cycle < WORD]
    if due:
        hart.idle_until(min(due) if end is None else min(end, *due))
