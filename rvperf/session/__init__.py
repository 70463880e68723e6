"""Runs a program on a machine made for it and measures: the only place that puts them together."""

from __future__ import annotations

import os
import signal

from isa.record import Record
from rvperf.engine.reference import Reference
from rvperf.events import Event
from rvperf.machine.hart import Hart, M, S, U
from rvperf.machine.ram import Ram
from rvperf.machine.timing import HERTZ, TIMEBASE_HERTZ
from rvperf.machine.traps import Trap
from rvperf.results import Count, Exit, StatResult
from rvperf.stack.firmware import Firmware
from rvperf.stack.kernel import Kernel, LoadError, resolve_program

CYCLES_A_TICK = HERTZ // TIMEBASE_HERTZ
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


class StatRequest(Record):
    """One run of `perf stat`: the program with its arguments, and what to count.

    `timeout_ns` is emulated time after which the program gets SIGTERM. `descriptors` are ours that
    become its 0, 1 and 2; None for one that it finds closed.
    """

    argv: tuple[str, ...]
    events: tuple[Event, ...]
    sysroot: str | None
    allow_write: tuple[str, ...]
    env: dict[str, str]
    engine: str = "native"
    timeout_ns: int | None = None
    verbose: int = 0
    descriptors: tuple[int | None, ...] = (0, 1, 2)


def stat(request: StatRequest) -> StatResult:
    """Run the program to its end and count. SessionError if it can't be started."""
    machine = Machine(request)
    machine.run()
    counts = tuple(machine.count(event) for event in request.events)
    kernel = machine.kernel
    return StatResult(
        command=request.argv,
        counts=counts,
        elapsed=machine.hart.cycles,
        user=kernel.user_ns,
        system=kernel.system_ns,
        exit=_exit(kernel.exit),
        interrupted=machine.interrupts > 0,
    )


def check_directories(request: StatRequest) -> None:
    """Raises SessionError if the working directory is gone or the sysroot is no directory."""
    what = "the working directory"
    try:
        os.getcwd()
        if request.sysroot is not None:
            what = f"{request.sysroot}, the sysroot"
            os.listdir(request.sysroot)
    except OSError as error:
        why = f"Workload failed: {error.strerror}\n{what}: {error.strerror}"
        raise SessionError(why, FAILED) from None


def _exit(found) -> Exit:
    return Exit(signal=found.signal) if found.signal else Exit(code=found.code)


class Machine:
    """A hart with firmware, a kernel and one program, and the engine that runs it."""

    def __init__(self, request: StatRequest):
        self.request = request
        native = request.engine == "native"
        if native:
            from rvperf.engine.native import EXTRA, Native
        self.hart = hart = Hart(Ram(), EXTRA if native else 0)
        check_directories(request)
        try:
            program = resolve_program(
                request.argv[0], request.env.get("PATH"), request.sysroot, os.getcwd()
            )
            self.kernel = Kernel(
                hart,
                request.argv,
                request.env,
                sysroot=request.sysroot,
                allow_write=request.allow_write,
                descriptors=request.descriptors,
                verbose=bool(request.verbose),
                program=program,
            )
        except LoadError as error:
            reason = os.strerror(error.errno)
            raise SessionError(f"Workload failed: {reason}\n{error.message}", FAILED) from None
        if native:
            from rvperf.engine.hot import Regions

            live = {NATIVE_COUNTERS.get(event.source) for event in request.events} - {None}
            self.regions = Regions(frozenset(live), f"{request.sysroot}\0{program}")
            self.engine = Native(hart, self.regions)
        else:
            self.regions = None
            self.engine = Reference(hart)
        self.interrupts = 0

    def run(self) -> None:
        """Run until the program ends. ^C goes to the program, as it would from a terminal."""
        previous = signal.signal(signal.SIGINT, self._interrupted)
        try:
            Firmware(self.hart).boot(0)
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
        if self.request.timeout_ns is not None:
            kernel.interrupt_at(self.request.timeout_ns, signal.SIGTERM)
        words, look_up = hart.csrs.words, LOOK_UP[self.request.engine]
        while not kernel.finished:
            if not hart.interrupt():
                timer = words[STIMECMP]
                step = look_up
                if timer != NEVER:
                    step = self._instructions_until(timer * CYCLES_A_TICK)
                try:
                    # The clock is looked at after the whole step, whatever the engine; only ^C,
                    # which sets the timer, cuts it short.
                    while step and words[STIMECMP] == timer:
                        part = min(step, look_up)
                        engine.run(part)
                        step -= part
                except Trap as trap:
                    hart.trap(trap.cause, trap.tval)
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

    def count(self, event: Event) -> Count:
        """The count of an event over the whole run."""
        kernel = self.kernel
        ran = kernel.user_ns + kernel.system_ns
        value = self._value(event)
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

    def _value(self, event: Event) -> int:
        kernel, source = self.kernel, event.source
        if source in HARDWARE:
            modes = () if event.exclude_user else (U,)
            modes += () if event.exclude_kernel else (S, M)
            return sum(self.hart.counts[mode][HARDWARE[source]] for mode in modes)
        if source in ("task-clock", "cpu-clock"):
            return kernel.user_ns + kernel.system_ns
        if source == "duration_time":
            return self.hart.cycles
        if source == "user_time":
            return kernel.user_ns
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
