"""Runs a program on a machine made for it and measures: the only place that puts them together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from isa.pmp import ENTRIES
from isa.record import Record
from rvperf.engine.reference import Reference
from rvperf.events import Event
from rvperf.machine.hart import Hart, M, S, U
from rvperf.machine.ram import Ram
from rvperf.machine.timing import CYCLES_A_TICK
from rvperf.machine.traps import Trap
from rvperf.results import Count, Exit, Interval, StatResult
from rvperf.stack.handover import hand_over
from rvperf.stack.kernel import Kernel, LoadError, resolve_program

# After how many instructions a ^C is noticed at the latest: about a tenth of a second.
LOOK_UP = {"native": 100_000_000, "reference": 10_000}
FAILED = 255  # perf's exit status when the workload could not be started
# Events that native code counts only where they are asked for, by its counters' names.
NATIVE_COUNTERS = {
    "branches": "branches",
    "L1-dcache-loads": "loads",
    "L1-dcache-stores": "stores",
}
HARDWARE = {
    "instructions": "instructions",
    "cycles": "cycles",
    "branch-misses": "branch-misses",
    **NATIVE_COUNTERS,
}
IN_KERNEL = ("context-switches", "cpu-migrations")  # software events that only happen there


class SessionError(Exception):
    """What was asked for can't be measured: the message for the user, and the exit status."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class Workload(Record):
    """The program with its arguments, and what it runs in.

    `timeout_ns` is emulated time after which the program gets SIGTERM. `descriptors` are ours that
    become its 0, 1 and 2; None for one that it finds closed.
    """

    argv: tuple[str, ...]
    sysroot: str | None
    allow_write: tuple[str, ...]
    env: dict[str, str]
    engine: str = "native"
    timeout_ns: int | None = None
    verbose: int = 0
    descriptors: tuple[int | None, ...] = (0, 1, 2)


class Every(Record):
    """perf stat -I: each `ns` of emulated time `told` hears what was counted since the last time,
    and once more at the end; `times` at most if that is more than 0."""

    ns: int
    times: int = 0
    told: Callable[[Interval], None] = lambda interval: None


class StatRequest(Record):
    """One run of `perf stat`: the program, and what to count. With `every`, the result has what
    was counted when it was told last."""

    workload: Workload
    events: tuple[Event, ...]
    every: Every | None = None


def stat(request: StatRequest) -> StatResult:
    """Run the program to its end and count. SessionError if it can't be started."""
    live = {NATIVE_COUNTERS.get(event.source) for event in request.events} - {None}
    if request.every is None:
        machine = Machine(request.workload, frozenset(live))
    else:
        from rvperf.session.intervals import WatchedMachine

        machine = WatchedMachine(request.workload, frozenset(live), request)
    machine.run()
    counts = machine.counts(request.events)
    if request.every is not None:
        counts = machine.watch.intervals.end(machine.hart.cycles, counts)
    kernel = machine.kernel
    return StatResult(
        command=request.workload.argv,
        counts=counts,
        elapsed=machine.hart.cycles,
        user=kernel.user_ns,
        system=kernel.system_ns,
        exit=_exit(kernel.exit),
        interrupted=machine.interrupts > 0,
    )


def check_directories(workload: Workload) -> None:
    """Raises SessionError if the working directory is gone or the sysroot is no directory."""
    what = "the working directory"
    try:
        os.getcwd()
        if workload.sysroot is not None:
            what = f"{workload.sysroot}, the sysroot"
            os.listdir(workload.sysroot)
    except OSError as error:
        why = f"Workload failed: {error.strerror}\n{what}: {error.strerror}"
        raise SessionError(why, FAILED) from None


def kernel_for(
    hart: Hart, workload: Workload, kind: type[Kernel] = Kernel, **more
) -> tuple[Kernel, str]:
    """A kernel with the program in it, and the program's path; `more` is Kernel's. SessionError if
    the program can't be started."""
    try:
        program = resolve_program(
            workload.argv[0], workload.env.get("PATH"), workload.sysroot, os.getcwd()
        )
        kernel = kind(
            hart,
            workload.argv,
            workload.env,
            sysroot=workload.sysroot,
            allow_write=workload.allow_write,
            descriptors=workload.descriptors,
            verbose=bool(workload.verbose),
            program=program,
            **more,
        )
    except LoadError as error:
        reason = os.strerror(error.errno)
        raise SessionError(f"Workload failed: {reason}\n{error.message}", FAILED) from None
    return kernel, program


def _exit(found) -> Exit:
    """How a program ended; who hasn't is ended as the session is."""
    if found is None:
        return Exit(code=None, signal=signal.SIGTERM)
    return Exit(signal=found.signal) if found.signal else Exit(code=found.code)


class Machine:
    """A hart with firmware, a kernel and one program, and the engine that runs it.

    Native code counts what `live` names (engine.regions). `prepare` is given the hart before
    anything else is made, to switch its recorders on.
    """

    kernel_type = Kernel

    def __init__(self, workload: Workload, live: frozenset[str], prepare=None):
        self.workload = workload
        native = workload.engine == "native"
        if native:
            from rvperf.engine.native import EXTRA, Native
        self.hart = hart = Hart(Ram(), EXTRA if native else 0, pmp_entries=ENTRIES)
        if prepare:
            prepare(hart)
        check_directories(workload)
        self.kernel, program = kernel_for(hart, workload, self.kernel_type)
        self.regions = None
        if native and not hart.executions:  # which only tier 0 counts
            from rvperf.engine.hot import Regions

            self.regions = Regions(live | hart.recorded, f"{workload.sysroot}\0{program}")
        self.engine = Native(hart, self.regions) if native else Reference(hart)
        self.interrupts = 0
        self.while_running = None
        """Called now and then while the program runs, if set."""

    def run(self) -> None:
        """Run until the program ends. ^C goes to the program, as it would from a terminal."""
        previous = signal.signal(signal.SIGINT, self._interrupted)
        try:
            hand_over(self.hart, 0)
            self.kernel.boot()
            self._loop()
        finally:
            signal.signal(signal.SIGINT, previous)
            self.hart.collect()
            if self.regions:
                self.regions.finish()

    def _interrupted(self, number, frame) -> None:
        self.interrupts += 1
        self.kernel.interrupt(signal.SIGINT if self.interrupts == 1 else signal.SIGKILL)

    def _loop(self) -> None:
        hart, kernel, engine = self.hart, self.kernel, self.engine
        if self.workload.timeout_ns is not None:
            kernel.interrupt_at(self.workload.timeout_ns, signal.SIGTERM)
        words, look_up, perf = hart.csrs.words, LOOK_UP[self.workload.engine], kernel.perf
        while not kernel.finished:
            if self.while_running:
                self.while_running()
            if not hart.interrupt():
                timer = words[STIMECMP]
                step = look_up
                if timer != NEVER:
                    step = self._instructions_until(timer * CYCLES_A_TICK)
                try:
                    # The clock is looked at after the whole step, whatever the engine; only ^C,
                    # which sets the timer, cuts it short.
                    while step > 0 and words[STIMECMP] == timer:
                        part = min(step, look_up)
                        if perf is None:
                            engine.run(part)
                            step -= part
                            continue
                        before = hart.instructions
                        engine.run(part)
                        step -= hart.instructions - before
                        perf.stopped()
                        if self.while_running:
                            self.while_running()
                except Trap as trap:
                    if perf:
                        perf.stopped()
                    hart.take(trap)
            if hart.mode == S:
                kernel.trap()

    def _instructions_until(self, cycle: int) -> int:
        """How many instructions to run before the clock is looked at again.

        Interrupts come between two of these steps. They get shorter as the deadline comes nearer,
        by a rule that knows nothing but the emulated time, so that they come at the same
        instruction in every run; they are at most `LATE` instructions late unless code takes more
        than eight cycles an instruction.
        """
        return max((cycle - self.hart.cycles) // 8, LATE)

    # What was counted.

    def executed(self) -> list:
        """As `Hart.executed`."""
        return self.hart.executed()

    def counts(self, events: tuple[Event, ...]) -> tuple[Count, ...]:
        """The counts of events over the whole run until now."""
        return tuple(map(self.count, events))

    def count(self, event: Event) -> Count:
        """The count of an event over the whole run until now."""
        kernel = self.kernel
        running = self.hart.cycles - kernel.entered if self.hart.mode == U else 0
        ran = kernel.user_ns + kernel.system_ns + running
        value = self._value(event, running)
        times = value if event.kind == "tool" else ran
        return Count(
            event.name,
            event.symbol,
            value,
            enabled=times,
            running=times,
            unit=event.unit,
            scale=event.scale,
            context=event.context,
        )

    def _value(self, event: Event, running: int) -> int:
        kernel, source = self.kernel, event.source
        if source in HARDWARE:
            modes = () if event.exclude_user else (U,)
            modes += () if event.exclude_kernel else (S, M)
            return sum(self.hart.counts[mode][HARDWARE[source]] for mode in modes)
        return software_value(kernel, event, self.hart.cycles, running)


def software_value(kernel: Kernel, event: Event, elapsed: int, running: int = 0) -> int:
    """The count of an event that a kernel counts, `elapsed` ns after perf began. A program has been
    in user mode for `running` ns that the kernel doesn't know of yet."""
    source = event.source
    if source in ("task-clock", "cpu-clock"):
        return kernel.user_ns + kernel.system_ns + running
    if source == "duration_time":
        return elapsed
    if source == "user_time":
        return kernel.user_ns + running
    if source == "system_time":
        return kernel.system_ns
    if source in kernel.tracepoints:
        return 0 if event.exclude_kernel else kernel.tracepoints[source]
    if source in IN_KERNEL and event.exclude_kernel:
        return 0
    return kernel.counts[source]


STIMECMP = 0x14D
NEVER = (1 << 64) - 1
LATE = 1000
