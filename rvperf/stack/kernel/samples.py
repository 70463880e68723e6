"""What samples are made of: where, whose, and what of registers, stack and callers goes along.

Both of a kernel's ways to sample use this: perf_events.py, which takes samples by itself, exactly,
and driven_perf.py, in which a PMU's interrupts do.
"""

from __future__ import annotations

import struct

from isa.record import Record
from rvperf.events import Event
from rvperf.machine.timing import cycles_of

from . import kallsyms

MASK = (1 << 64) - 1
CONTEXT_KERNEL, CONTEXT_USER = -128 & MASK, -512 & MASK  # perf_callchain_context
SP, FP, RA, PC = 2, 8, 1, 32
MOST_STACK = 127  # sysctl kernel.perf_event_max_stack


class Sampling(Record):
    """How an event is to be sampled."""

    event: Event
    source: str
    """What counts it: one of hart.SOURCES, a clock, a software event or a tracepoint."""
    kind: str
    """"hardware", "clock", "software", "tracepoint"; "none" counts nothing, ever."""
    period: int = 0
    """0 for a group's member that is only read when its leader overflows."""
    freq: int = 0
    """Samples a second that the period is adjusted to; 0 for a fixed period."""
    skid: int = 0
    """How many instructions after the one that overflowed the sample falls on."""
    leader: int | None = None
    """The place of the group's leader among the events, if this one is read with it."""


class Details(Record):
    """What a sample has besides where and when."""

    callchain: str | None = None
    """"fp", "exact", "lbr" or "dwarf". dwarf leaves the user's part to who reads; lbr has a frame
    pointers' chain as well as branch records, as perf does."""
    branch_depth: int = 0
    """How many control transfers a sample has with it; 0 for none."""
    max_stack: int = MOST_STACK
    user_registers: bool = False
    user_stack: int = 0
    """Bytes of stack to copy."""
    addresses: bool = False
    """Say what memory the sampled instruction accesses."""
    weights: bool = False
    """Say how many cycles it takes."""
    kernel_chain: bool = True
    user_chain: bool = True
    """Which parts of call chains are wanted."""
    counts_by_task: bool = False
    """Tell at a task's end what each event has counted in it (inherit_stat)."""
    truth: bool = False
    """Keep what the kernel's own work and software events count by place: see `exact`."""
    switches: bool = False
    """Tell when tasks are switched."""
    inherit: bool = True
    """Count in tasks that the first one makes, too."""
    enable_at: int = 0
    """ns since boot before which nothing is sampled; -1 never ends."""
    all_tasks: bool = False
    """One countdown for the CPU rather than one for each task."""


class Sample:
    """One sample, of a guest's code if a host took it and `guest` says so. Registers are in perf's
    order for riscv: pc, then x1 to x31. `opening` is which of those that the event was opened for
    it is of, if they are several tasks or CPUs."""

    __slots__ = (
        "event", "ip", "user", "guest", "pid", "tid", "time", "period", "addr", "callchain", "raw",
        "values", "registers", "stack", "branches", "access", "exact", "weight", "physical",
        "opening",
    )  # fmt: skip

    def __init__(self, event: int, ip: int, user: bool, guest: bool = False):
        self.event, self.ip, self.user, self.guest = event, ip, user, guest
        self.addr, self.weight, self.physical = 0, 0, 0
        self.callchain = self.raw = self.values = None
        self.registers = self.stack = self.branches = self.access = None
        self.exact = False
        self.opening = 0


class Sampler:
    """Takes samples for one kernel, and hands them to `sink`.

    An event `one` has what was asked for in `spec` (a `Sampling`) and its place in `number`. Taking
    a sample takes no emulated time here.
    """

    exact = True
    """Whether a sample of user code is of the very instruction that ended the period."""

    def __init__(self, kernel, details: Details, sink, symbols=None):
        self.kernel, self.hart = kernel, kernel.hart
        self.details, self.sink = details, sink
        self.symbols = symbols or kallsyms.symbols()

    def group_values(self, one) -> list[tuple[int, int]]:
        """PERF_SAMPLE_READ: (count, event's place) of all in the event's group."""
        raise NotImplementedError

    def kernel_sample(self, one, period, cost, place, later, raw=None, addr=0) -> None:
        """A sample in a function of the kernel's, `place` instructions into work and `later` cycles
        from now."""
        ip = self.symbols.place(cost.symbol, place)
        sample = self._sample(one, ip, False, period, self.hart.cycles + later)
        sample.addr, sample.raw = addr, raw
        chain = [] if self.details.callchain else None
        if self.details.callchain and self.details.kernel_chain:
            chain = [CONTEXT_KERNEL, ip, *map(self.symbols.call, cost.callers)]
        self._finish(one, sample, chain, self.registers())

    def registers(self) -> list[int]:
        """What the current task has in x0 to x31, and its pc."""
        return [*self.hart.x[0:32], self.kernel.current.pc]

    def user_sample(self, one, period, registers, addr=0, raw=None) -> None:
        """A sample of the current task; `registers` are x0 to x31 and pc."""
        sample = self._sample(one, registers[PC], True, period, self.hart.cycles)
        sample.addr, sample.raw = addr, raw
        self._finish(one, sample, [] if self.details.callchain else None, registers)

    def _sample(self, one, ip, user, period, time) -> Sample:
        task = self.kernel.current
        sample = Sample(one.number, ip, user)
        sample.pid, sample.tid = task.process.pid, task.tid
        sample.time, sample.period = time, period
        sample.exact = user and self.exact and not one.spec.skid
        sample.values = self.group_values(one) if one.spec.leader is not None else None
        return sample

    def _finish(self, one, sample, chain, registers) -> None:
        details = self.details
        excluded = one.spec.event.exclude_user
        if chain is not None and details.user_chain and not (excluded and not sample.user):
            chain += self._user_chain(registers, details.max_stack - len(chain))
        sample.callchain = chain
        if details.user_registers:
            sample.registers = [registers[PC], *registers[1:32]]
        if details.branch_depth:
            sample.branches = self._branches(registers is self.hart.before)
        if details.user_stack:
            sample.stack = self._copied_stack(registers[SP])
        if sample.user and (details.addresses or details.weights):
            self._look_at_instruction(sample, registers)
        self.sink.sample(sample)

    def _user_chain(self, registers, most: int) -> list[int]:
        """The user's part of a call chain, its marker first."""
        kind = self.details.callchain
        if kind in ("fp", "lbr"):
            return [CONTEXT_USER, *self._frames(registers, most - 1)]
        if kind == "exact":
            before = registers is self.hart.before
            return [CONTEXT_USER, registers[PC], *self.hart.call_stack(most - 2, before)]
        return []

    def _branches(self, before: bool) -> list:
        """What is in the branch records: transfers.Transfer, newest first; with lbr the calls that
        have not returned, as (from, to)."""
        if self.details.callchain == "lbr":
            return self.hart.call_records(self.details.branch_depth, before)
        return self.hart.branch_records()

    def _frames(self, registers, most: int) -> list[int]:
        """perf_callchain_user() of arch/riscv: the chain of frame pointers.

        As the kernel does it: for the innermost frame ra is taken to be the return address, which
        is right in a leaf function and wrong in one that has called another.
        """
        found = [registers[PC]]
        fp, ra = registers[FP], registers[RA]
        memory = self.kernel.current.memory
        while fp and not fp & 3 and len(found) < most:
            record = memory.peek(fp - 16 & MASK, 16)
            if record is None:
                break
            fp, saved = struct.unpack("<QQ", record)
            ra = ra or saved
            if not ra:
                break
            found.append(ra)
            ra = 0
        return found

    def _copied_stack(self, sp: int) -> bytes:
        """The user's stack from sp upwards, as far as it is mapped."""
        memory, parts, at = self.kernel.current.memory, [], sp
        end = sp + self.details.user_stack
        while at < end:
            size = min(end - at, 4096 - (at & 4095))
            part = memory.peek(at, size)
            if part is None:
                break
            parts.append(part)
            at += size
        return b"".join(parts)

    def _look_at_instruction(self, sample, registers) -> None:
        """What memory the sampled instruction accesses, and how long it takes."""
        from .memory_access import access_of, instruction_at

        memory = self.kernel.current.memory
        if self.details.weights:
            decoded = instruction_at(memory, registers[PC])
            sample.weight = cycles_of(decoded.insn.kind) if decoded else 0
        if self.details.addresses and not sample.addr:
            sample.access = access_of(memory, registers)
            sample.addr = sample.access[1] if sample.access else 0
            sample.physical = memory.physical(sample.addr)
