"""Runs a program and samples it into a perf.data: `perf record`."""

from __future__ import annotations

import os
import signal
import sys

from isa.record import Record, replace
from rvperf.events import Event
from rvperf.machine.transfers import TYPES
from rvperf.perfdata import records, tracing
from rvperf.perfdata.attr import BRANCH
from rvperf.perfdata.buildid import Cache
from rvperf.perfdata.writer import Writer
from rvperf.results import Exit
from rvperf.session import HARDWARE, NATIVE_COUNTERS, SessionError, Workload, _exit
from rvperf.session import Machine as Emulated
from rvperf.session.attributes import (
    MACHINE_SKID,
    ConflictError,
    How,
    joined,
    leaders_of,
    period_of,
    specs,
)
from rvperf.session.recording import KERNEL_DSO, Machine, OutputFull, Recording, header
from rvperf.stack.kernel import kallsyms
from rvperf.stack.kernel.perf_events import CLOCKS, Details, PerfEvents, Sampling

NS_PER_MS = 1_000_000
ANONYMOUS = "//anon"
PERF_VERSION = "6.1.0-rvperf"  # the perf whose formats are written


class RecordRequest(Record):
    """One `perf record`: the program, the events, and how and where to write.

    `output` is a path, or None for a pipe to `pipe_to`. `build_ids` are "cache" (the files go into
    perf's build-id cache), "table" (their ids into the file alone) or "" for neither.
    """

    workload: Workload
    events: tuple[Event, ...]
    how: How
    command: tuple[str, ...]
    """What the header says was typed."""
    output: str | None = "perf.data"
    pipe_to: int = 1
    compress: int = 0
    build_ids: str = "cache"
    all_build_ids: bool = False
    build_id_directory: str | None = None
    switch_bytes: int = 0
    switch_ns: int = 0
    switch_signal: bool = False
    """Begin another file at SIGUSR2."""
    switch_files: int = 0
    """The most files that are kept of those that were switched away from; 0 for all."""
    timestamp_filename: bool = False
    max_bytes: int = 0
    truth: bool = False
    """Count exactly by address as well, for RecordResult.truth."""
    vm: int | None = None
    """Of the host's perf beside guests': whose vCPUs' threads it samples, None for all VMs'."""
    cpus: tuple[int, ...] | None = None
    """With How.system_wide, which CPUs; None for all."""


class RecordResult(Record):
    """What became of it. `size` is the file's bytes, `original` and `packed` those of its records
    before and after compression."""

    exit: Exit
    samples: int
    woken: int
    path: str
    size: int
    original: int
    packed: int
    interrupted: bool
    lost: int
    dumps: tuple[str, ...] = ()
    truth: dict | None = None
    """{event's name: {dso's path: {address in the dso: count}}}, if it was asked for; addresses as
    perf has them, and all of a kernel function's at its first."""
    full: str = ""
    """What the system said when the output could not be written to its end."""


def record(request: RecordRequest, told=lambda text: None) -> RecordResult:
    """Run the program to its end. SessionError if it can't be started, or nothing be written.

    `told` gets lines for the user while it runs.
    """
    return Session(request, told).run()


class Session:
    """One recording."""

    def __init__(self, request: RecordRequest, told):
        self.request, self.told = request, told
        try:
            how = self.how = joined(request.events, request.how)
        except ConflictError as error:
            raise SessionError(str(error), 255) from None
        self.specs = specs(request.events, request.how)
        try:
            self.machine = self.make_machine(live_for(request))
        except SessionError as error:
            names = ",".join(spec.name for spec in self.specs)
            what = f"Failed to collect '{names}' for the '{request.workload.argv[0]}' workload:"
            message = error.message.replace("Workload failed:", what, 1)
            raise SessionError(message, error.exit_code) from None
        self.kernel = self.machine.kernel
        self.recording = self.make_recording((request.switch_bytes, request.switch_ns))
        self.dumps: list[str] = []
        self.woken = 0
        """Rounds in the files that were switched away from."""
        asked = replace(details(how), truth=request.truth)
        self.perf = self.make_perf(asked)
        self.full = ""
        self.switch_now = False

    def make_machine(self, live: frozenset[str]) -> Emulated:
        """The machine to record on."""
        return Emulated(self.request.workload, live, self.prepare)

    def make_recording(self, rotate_at: tuple[int, int]) -> Recording:
        """What writes."""
        return Recording(self.specs, self.open, kallsyms.symbols(), rotate_at)

    def make_perf(self, asked: Details) -> PerfEvents:
        """What samples in the kernel."""
        asked_of = samplings(self.request.events, self.request.how)
        return PerfEvents(self.kernel, asked_of, asked, self.recording)

    def prepare(self, hart) -> None:
        """Switch on the recorders that the samples need."""
        how = self.how
        if self.request.truth:
            hart.record_executions()
        if how.callchain == "exact":
            hart.record_calls()
        elif how.callchain == "lbr":
            hart.record_calls(how.branch_depth)
        if how.branches:
            hart.record_transfers(transfer_types(how.branches), how.branch_depth)

    @property
    def cpus(self) -> int:
        """How many CPUs the machine has."""
        return 1

    def open(self) -> Writer:
        """The next file (or the pipe)."""
        request = self.request
        known = header(described(self.kernel, self.cpus), list(request.command))
        if request.how.branches or self.how.callchain == "lbr":
            known["BRANCH_STACK"] = True
        if any(event.kind == "tracepoint" for event in request.events):
            known["TRACING_DATA"] = tracing_data(request.events)
        if request.output is None:
            return Writer(
                "-", self.specs, known, pipe=True, compress=request.compress, file=request.pipe_to
            )
        return Writer(request.output, self.specs, known, compress=request.compress)

    def opened(self) -> None:
        """Have perf begin. SessionError if its file can't be written."""
        try:
            self.begin()
        except OSError as error:
            raise SessionError(
                f"failed to open {self.request.output} : {error.strerror}\n"
                "Perf session creation failed.",
                255,
            ) from None
        self.machine.while_running = self.look
        self.announce_delay()

    def run(self) -> RecordResult:
        self.opened()
        machine = self.machine
        previous = None
        if self.request.switch_signal:
            previous = signal.signal(signal.SIGUSR2, self._switch)
        try:
            machine.run()
        except OutputFull as end:
            self.full = str(end)
        finally:
            if self.request.switch_signal:
                signal.signal(signal.SIGUSR2, previous)
        return self.finish()

    def begin(self) -> None:
        """perf is there, and writes what comes before the program."""
        self.kernel.perf = self.perf
        self.recording.begin(self.kernel)
        self.recording.synthesize()

    def announce_delay(self) -> None:
        """Tell of -D: when events are off, and when they go on."""
        if self.request.how.delay_ms:
            self.told("Events disabled\n")
            self.perf.on_enable = lambda: self.told("Events enabled\n")

    def _switch(self, number, frame) -> None:
        self.switch_now = True

    def look(self) -> None:
        """Between steps of the machine: begin another file if it is time for one."""
        recording, request = self.recording, self.request
        if self.switch_now or recording.due():
            self.switch_now = False
            woken = recording.rounds - self.woken
            self.woken = recording.rounds
            try:
                recording.rotate(self.finish_file)
            except OSError as error:
                recording.closed = True
                raise OutputFull(error.strerror) from None
            self.told(f"[ perf record: dump data: Woken up {woken} times ]\n")
            self.told(f"[ perf record: Dump {self.dump()} ]\n")
        elif request.max_bytes and recording.writer.written >= request.max_bytes:
            self.told(
                f"[ perf record: perf size limit reached ({recording.writer.written // 1024} KB), "
                "stopping session ]\n"
            )
            raise OutputFull

    def finish(self) -> RecordResult:
        machine, recording = self.machine, self.recording
        path = self.request.output or "-"
        try:
            recording.end(self.finish_file)
        except OSError as error:
            self.full = error.strerror
        request = self.request
        switching = request.switch_bytes or request.switch_ns or request.switch_signal
        if (switching or request.timestamp_filename) and not self.full:
            self.dump()
        return RecordResult(
            exit=_exit(self.kernel.exit),
            samples=recording.samples,
            woken=recording.rounds - self.woken,
            path=f"{path}.<timestamp>" if self.dumps else path,
            size=self.size(),
            original=recording.writer.original,
            packed=recording.writer.size,
            interrupted=machine.interrupts > 0,
            lost=recording.lost,
            dumps=tuple(self.dumps),
            truth=self.truth() if self.request.truth else None,
            full=self.full,
        )

    def truth(self) -> dict[str, dict[str, dict[int, int]]]:
        """What each event counted at each address, in user mode from the hart."""
        found = {spec.name: {} for spec in self.specs[: len(self.request.events)]}
        paths, symbols = self.recording.paths, self.recording.symbols

        def add(name: str, dso: str | None, address: int, count: int) -> None:
            path = paths.get(dso, dso) if dso else ANONYMOUS
            counts = found[name].setdefault(path, {})
            counts[address] = counts.get(address, 0) + count

        executed = self.machine.executed()
        for one in self.perf.open:
            name = self.specs[one.number].name
            source = "cycles" if one.spec.kind == "clock" else one.spec.source
            if not one.user or one.spec.kind not in ("hardware", "clock"):
                continue
            for page, counts in executed:
                for at, count in enumerate(counts[source]):
                    if count:
                        add(name, page.file, page.offset + 2 * at, count)
        for (number, where), count in self.perf.exact.items():
            name = self.specs[number].name
            if isinstance(where, tuple):
                add(name, *where, count)
            else:
                add(name, KERNEL_DSO, symbols.addresses[where], count)
        return found

    def size(self) -> int:
        try:
            path = self.dumps[-1] if self.dumps else None
            return os.stat(path).st_size if path else self.recording.writer.file_size
        except OSError:
            return self.recording.writer.size

    def dump(self) -> str:
        """Give the file that was just ended a name with the emulated time in it."""
        from time import gmtime, strftime

        now = self.kernel.hart.cycles
        seconds = self.kernel.epoch + now // 10**9
        path = ""
        hundredths = seconds * 100 + now % 10**9 // 10**7
        while not path or path in self.dumps:  # a file may well take less than that to fill
            stamp = strftime("%Y%m%d%H%M%S", gmtime(hundredths // 100)) + f"{hundredths % 100:02d}"
            path = f"{self.request.output}.{stamp}"
            hundredths += 1
        source = self.request.output
        if self.recording.closed or self.recording.writer.path != source:
            os.replace(source, path)
        else:
            # The next file is open already; the one that has ended is its .old.
            os.replace(f"{source}.old", path)
        self.dumps.append(path)
        keep = self.request.switch_files
        while keep and len(self.dumps) > keep:
            os.unlink(self.dumps.pop(0))
        return path

    def finish_file(self, writer: Writer) -> None:
        """What is known at a file's end: the build-ids of what was mapped."""
        request, recording = self.request, self.recording
        if not request.build_ids:
            return
        entries = []
        cache = Cache(request.build_id_directory) if request.build_ids == "cache" else None
        for kernel in recording.kernels:
            if kernel.mode in recording.hit_kernels or request.all_build_ids:
                text = kernel.symbols.text()
                identity = kernel_identity(text)
                entries.append(
                    records.build_id_record(identity, kernel.dso, kernel.mode, kernel.machine)
                )
                if cache:
                    keep_kernel(cache, identity, text, kernel.dso)
        mode = recording.program_mode
        machine = recording.kernels[-1].machine
        for path, identity in recording.hit.items():
            if identity:
                entries.append(records.build_id_record(identity, path, mode, machine))
                if cache:
                    try:
                        cache.add(path, identity)
                    except OSError:
                        pass  # perf, too, goes on without
        writer.features["BUILD_ID"] = entries


def live_for(request: RecordRequest) -> frozenset[str]:
    """What native code has to count and keep for these events."""
    from rvperf.engine.layout import CYCLE_BUDGET

    live = {NATIVE_COUNTERS.get(event.source) for event in request.events} - {None}
    how = request.how
    timed = any(
        event.source in ("cycles", *CLOCKS)
        or (event.source in HARDWARE and period_of(event, how)[1])
        for event in request.events
    )
    if timed or how.delay_ms > 0:
        live.add(CYCLE_BUDGET)
    return frozenset(live)


def kind_of(event: Event) -> str:
    """What a Sampling calls the event's kind."""
    if event.source in HARDWARE:
        return "hardware"
    if event.source in CLOCKS:
        return "clock"
    if event.kind in ("tool",) or event.source is None:
        return "none"
    return "tracepoint" if event.kind == "tracepoint" else "software"


def samplings(events: tuple[Event, ...], how: How) -> tuple[Sampling, ...]:
    """The events as perf_events samples them."""
    found = []
    leaders = leaders_of(events)
    for number, event in enumerate(events):
        period, freq = period_of(event, how)
        leader = leaders[number]
        reads = events[leader].sample_read
        if how.no_samples or reads and leader != number:
            period = freq = 0
        skid = MACHINE_SKID if how.skid is None else how.skid
        if event.precise >= 2 or event.precise_max:
            skid = 0
        found.append(
            Sampling(
                event, HARDWARE.get(event.source, event.source or ""), kind_of(event), period, freq,
                skid, leader if reads else None,
            )
        )  # fmt: skip
    return tuple(found)


def details(how: How) -> Details:
    """What samples carry, as perf_events needs to know it."""
    dwarf = how.callchain == "dwarf"
    return Details(
        callchain=how.callchain,
        max_stack=how.max_stack,
        branch_depth=how.branch_depth if how.branches or how.callchain == "lbr" else 0,
        user_registers=dwarf or bool(how.user_registers),
        user_stack=how.stack_size if dwarf else 0,
        addresses=how.data or how.phys_data or dwarf,
        weights=how.weight,
        all_tasks=how.system_wide,
        kernel_chain=how.kernel_callchains,
        user_chain=how.user_callchains,
        counts_by_task=how.inherit_stat,
        switches=how.switch_events,
        inherit=how.inherit,
        enable_at=how.delay_ms * NS_PER_MS if how.delay_ms > 0 else how.delay_ms,
    )


CALLS = ("direct-call", "indirect-call", "coroutine-swap")
INDIRECT_JUMPS = ("indirect-jump", "other-indirect-jump")
FILTERS = {
    BRANCH.ANY: tuple(TYPES),
    BRANCH.ANY_CALL: CALLS,
    BRANCH.ANY_RETURN: ("return", "coroutine-swap"),
    BRANCH.IND_CALL: ("indirect-call", "coroutine-swap"),
    BRANCH.COND: ("taken-branch",),
    BRANCH.IND_JUMP: INDIRECT_JUMPS,
    BRANCH.CALL: ("direct-call",),
    BRANCH.CALL_STACK: (*CALLS, "return"),
}
"""Which control transfers each of -j's filters lets through."""


def transfer_types(mask: int) -> frozenset[str]:
    """The control transfers that a branch_sample_type asks for."""
    return frozenset(name for bit, names in FILTERS.items() if mask & bit for name in names)


def described(kernel, cpus: int = 1) -> Machine:
    """The emulated machine, as its own uname(2) and /proc/cpuinfo have it."""
    from rvperf.stack.kernel.syscalls.system import UTSNAME

    return Machine(
        hostname=UTSNAME["nodename"],
        release=UTSNAME["release"],
        cpuid="0x0-0x0-0x0",
        cpudesc="rvperf generic",
        memory_kb=kernel.hart.ram.size // 1024,
        perf_version=PERF_VERSION,
        cpus=cpus,
    )


def tracing_data(events: tuple[Event, ...]) -> bytes:
    """The formats of the tracepoints among the events."""
    from rvperf.events.tracepoints import TRACEPOINTS, format_text

    formats: dict[str, list[str]] = {}
    for name in sorted({event.symbol for event in events if event.symbol in TRACEPOINTS}):
        formats.setdefault(name.partition(":")[0], []).append(format_text(name))
    return tracing.encode(tracing.Tracing(formats))


def kernel_identity(text: str) -> bytes:
    """The model kernel's build-id: a hash of its symbols."""
    from hashlib import sha1

    return sha1(text.encode()).digest()


def keep_kernel(cache: Cache, identity: bytes, text: str, dso: str) -> None:
    """Put a kernel's symbols into the build-id cache, where every perf looks for them."""
    import tempfile

    if cache.find(identity):
        return
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".kallsyms") as file:
            file.write(text)
            file.flush()
            cache.add(file.name, identity, dso)
    except OSError:
        print("rvperf: the kernel's symbols could not be cached", file=sys.stderr)
