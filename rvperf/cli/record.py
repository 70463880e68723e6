"""`rvperf record`: run a program and sample it into a perf.data."""

import errno
import gc
import os
import signal
import sys

from isa.record import replace
from rvperf.cli import virtual_options
from rvperf.cli.options import INVALID_STATUS, Option, Usage, parse, usage
from rvperf.cli.stat import ENGINE, EVENTS, FAILED_STATUS, SANDBOX, events_of, missing
from rvperf.cli.streams import say, standard, tell
from rvperf.events import Event, parse_events

SYNOPSIS = "rvperf record [<options>] [<command>]"
ALSO = "   or: rvperf record [<options>] -- <command> [<options>]\n"
MAX_FREQ_TEXT = """\
warning: Maximum frequency rate ({most} Hz) exceeded, throttling from {asked} Hz to {most} Hz.
         The limit can be raised via /proc/sys/kernel/perf_event_max_sample_rate.
         The kernel will lower it when perf's interrupts take too long.
         Use --strict-freq to disable this throttling, refusing to record.
"""
BRANCH_FILTERS = {
    "u": "USER", "k": "KERNEL", "hv": "HV", "any": "ANY", "any_call": "ANY_CALL",
    "any_ret": "ANY_RETURN", "ind_call": "IND_CALL", "abort_tx": "ABORT_TX", "in_tx": "IN_TX",
    "no_tx": "NO_TX", "cond": "COND", "ind_jmp": "IND_JUMP", "call": "CALL",
    "no_flags": "NO_FLAGS", "no_cycles": "NO_CYCLES", "save_type": "TYPE_SAVE",
    "stack": "CALL_STACK", "hw_index": "HW_INDEX", "priv": "PRIV_SAVE",
}  # fmt: skip
PRIVILEGES = ("u", "k", "hv")
CALLCHAINS = ("fp", "dwarf", "lbr", "exact")
CALL_GRAPH_HELP = """setup and enables call-graph (stack chain/backtrace):

				record_mode:	call graph recording mode (fp|dwarf|lbr|exact)
				record_size:	if record_mode is 'dwarf', max size of stack recording (<bytes>)
						default: 8192 (bytes)

				Default: fp"""
LARGEST_STACK = 65528
HIGHEST_LEVEL = 22
SIZES = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def call_graph(text: str) -> tuple[str, int]:
    """(mode, bytes of stack) of --call-graph."""
    mode, _, size = text.partition(",")
    if mode not in CALLCHAINS:
        raise Usage(f"callchain: Unknown --call-graph option value: {text}\n\n", ("call-graph",))
    if mode != "dwarf":
        return mode, 0
    if not size:
        return mode, 8192
    try:
        number = -(-int(size, 0) // 8) * 8
    except ValueError:
        number = 0
    if not 0 < number <= LARGEST_STACK:
        message = f"callchain: Incorrect stack dump size (max {LARGEST_STACK}): {size}\n\n"
        raise Usage(message, ("call-graph",))
    return mode, number


def branch_filter(text: str) -> tuple[str, ...]:
    """The names of -j."""
    names = tuple(text.split(","))
    for name in names:
        if name not in BRANCH_FILTERS:
            raise Usage(f"unknown branch filter {name}, check man page\n\n", ("branch-filter",))
    return names


def frequency(text: str) -> int:
    """-F: a number, or max."""
    from rvperf.session.attributes import MAX_FREQ

    if text == "max":
        tell(f"info: Using a maximum frequency rate of {MAX_FREQ} Hz\n")
        return MAX_FREQ
    if not text.isdecimal():
        raise Usage(f" Error: switch `F' expects a frequency, not `{text}'\n\n", ("freq",))
    return int(text)


def switch_output(text: str) -> tuple[int, int]:
    """(bytes, ns) of --switch-output; both 0 for a signal."""
    number, unit = text[:-1], text[-1:]
    if text in ("", "signal"):
        return 0, 0
    if number.isdecimal() and unit in SIZES:
        return int(number) * SIZES[unit], 0
    if number.isdecimal() and unit in SECONDS:
        return 0, int(number) * SECONDS[unit] * 10**9
    raise Usage("\n", ("switch-output",), INVALID_STATUS)


def level(text: str) -> int:
    """-z: zstd's level."""
    if text and not text.isdecimal():
        raise Usage("\n", ("compression-level",))
    return min(int(text or 1) or 1, HIGHEST_LEVEL)


def synthesized(text: str) -> str:
    """--synth: there is nothing to choose from, but mistakes are told."""
    for word in text.split(","):
        if word not in ("no", "all", "task", "mmap", "cgroup"):
            raise Usage(f"Invalid synth option: {text}\n\n", ("synth",))
    return text


def size(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if text.isdecimal():
        return int(text)
    if number.isdecimal() and unit in SIZES:
        return int(number) * SIZES[unit]
    raise Usage("\n", None)


OPTIONS = (
    replace(EVENTS, convert=lambda text: events_of(text, sampling=True)),
    missing("", "filter", "filter"),
    missing("p", "pid", "pid"),
    missing("t", "tid", "tid"),
    Option("r", "realtime", "collect data with this RT SCHED_FIFO priority", "number", "n"),
    Option("", "no-buffering", "collect data without buffering", default=True),
    Option("R", "raw-samples", "collect raw sample records from all opened counters"),
    Option("a", "all-cpus", "system-wide collection from all CPUs"),
    Option("C", "cpu", "list of cpus to monitor", "text", "cpu"),
    Option("c", "count", "event period to sample", "number", "n"),
    Option("o", "output", "output file name", "text", "file"),
    Option("i", "no-inherit", "child tasks do not inherit counters", default=True),
    Option("", "tail-synthesize", "synthesize non-sample events at the end of output"),
    Option("", "overwrite", "use overwrite mode"),
    Option("F", "freq", "profile at this frequency", "text", "freq or 'max'", convert=frequency),
    Option("m", "mmap-pages", "number of mmap data pages and AUX area tracing mmap pages", "text",
           "pages[,pages]"),
    Option("", "mmap-flush", "Minimal number of bytes that is extracted from mmap data pages",
           "text", "number"),
    Option("g", "call-graph-fp", "enables call-graph recording by frame pointers"),
    Option("", "call-graph", CALL_GRAPH_HELP, "text", "record_mode[,record_size]",
           convert=call_graph),
    Option("v", "verbose", "be more verbose (show counter open errors, etc)", "count", default=0),
    Option("q", "quiet", "don't print any message"),
    Option("s", "stat", "per thread counts"),
    Option("d", "data", "Record the sample addresses"),
    Option("", "phys-data", "Record the sample physical addresses"),
    Option("", "data-page-size", "Record the sampled data address data page size"),
    Option("", "code-page-size", "Record the sampled code address (ip) page size"),
    Option("", "sample-cpu", "Record the sample cpu"),
    Option("", "sample-identifier", "Record the sample identifier"),
    Option("T", "timestamp", "Record the sample timestamps", default=None),
    Option("P", "period", "Record the sample period", default=None),
    Option("n", "no-samples", "don't sample", default=True),
    Option("N", "no-buildid-cache", "do not update the buildid cache", default=True),
    Option("B", "no-buildid", "do not collect buildids in perf.data", default=True),
    missing("G", "cgroup", "name"),
    Option("D", "delay", "ms to wait before starting measurement after program start (-1: start "
           "with events disabled)", "number", "n", 0),
    Option("", "kcore", "copy /proc/kcore"),
    missing("u", "uid", "user"),
    Option("b", "branch-any", "sample any taken branches"),
    Option("j", "branch-filter", "branch stack filter modes", "text", "branch filter mask",
           convert=branch_filter),
    Option("", "branch-depth", "branch records that the hart keeps: 16, 32, 64, 128 or 256 "
           "(default: 32)", "number", "n", 32),
    Option("W", "weight", "sample by weight (on special events only)"),
    Option("", "transaction", "sample transaction flags (special events only)"),
    Option("", "per-thread", "use per-thread mmaps"),
    missing("I", "intr-regs", "any register"),
    Option("", "user-regs", "sample selected machine registers in user space, use '--user-regs=?' "
           "to list register names", "optional", "any register", convert=str),
    Option("", "running-time", "Record running/enabled time of read (:S) events"),
    missing("k", "clockid", "clockid"),
    missing("S", "snapshot", "opts"),
    Option("", "all-kernel", "Configure all used events to run in kernel space."),
    Option("", "all-user", "Configure all used events to run in user space."),
    Option("", "kernel-callchains", "collect kernel callchains"),
    Option("", "user-callchains", "collect user callchains"),
    Option("", "buildid-all", "Record build-id of all DSOs regardless of hits"),
    Option("", "buildid-mmap", "Record build-id in map events"),
    Option("", "timestamp-filename", "append timestamp to output filename"),
    Option("", "timestamp-boundary", "Record timestamp boundary (time of first/last samples)"),
    Option("", "switch-output", "Switch output when receiving SIGUSR2 (signal) or cross a size or "
           "time threshold", "optional", "signal or size[BKMG] or time[smhd]",
           convert=switch_output),
    Option("", "switch-max-files", "Limit number of switch output generated files", "number", "n",
           0),
    Option("", "dry-run", "Parse options then exit"),
    Option("z", "compression-level", "Compress records using specified level (default: 1 - fastest "
           "compression, 22 - greatest compression)", "optional", "n", convert=level),
    Option("", "max-size", "Limit the maximum size of the output file", "text", "size",
           convert=size),
    Option("", "strict-freq", "Fail if the specified frequency can't be used"),
    Option("", "switch-events", "Record context switch events"),
    Option("", "namespaces", "Record namespaces events"),
    Option("", "synth", "Fine-tune event synthesis: default=all", "text", "no|all|task|mmap",
           convert=synthesized),
    Option("", "max-stack", "Set the maximum stack depth of call chains (default: 127)", "number",
           "n", 127),
    Option("", "buildid-dir", "where perf's build-id cache is (default: ~/.debug)", "text", "dir"),
    Option("", "truth", "keep exact counts by address too, for `rvperf report --truth`; much slower"
           ),
    Option("", "skid", "samples fall so many instructions after the one that overflowed (default: "
           "the machine's, 0; :pp is exact whatever is given)", "number", "n"),
    *SANDBOX,
    ENGINE,
    *virtual_options.OPTIONS,
)  # fmt: skip

KVM_OPTIONS = (
    *(option for option in OPTIONS if option is not virtual_options.VM),
    *virtual_options.SIDES,
)


def run(words: list[str], whose: virtual_options.Sides | None = None) -> int:
    """`record`, or `kvm record` of the host's samples, the guest's or both."""
    descriptors = standard()
    try:
        options, command = parse(OPTIONS if whose is None else KVM_OPTIONS, words)
        if explained := virtual_options.explained(options):
            say(explained)
            return 0
        options["output"] = None if options["output"] == "" else options["output"]
        if whose is not None:
            whose = virtual_options.sides(whose, options)
            options["vm"], options["output"] = True, options["output"] or whose.path
        events = check(options, command)
    except Usage as mistake:
        page = usage(SYNOPSIS, OPTIONS, mistake.about).replace("\n\n", f"\n{ALSO}\n", 1)
        tell(mistake.message + (page if mistake.about != () else ""))
        return mistake.status
    if options["dry_run"]:
        return 0
    return sample(options, tuple(command), events, descriptors, words, whose)


def check(options, command) -> tuple[Event, ...]:
    """The events, and what the option table alone can't say. Raises Usage."""
    from rvperf.session.attributes import MAX_FREQ

    if options["all_kernel"] and options["all_user"]:
        both = ("all-kernel", "all-user")
        raise Usage(" Error: option `all-kernel' cannot be used with all-user\n", both)
    virtual_options.check(options)
    if not command:
        raise Usage("\n", None)
    if options["count"] is not None and options["freq"] is not None:
        raise Usage("cannot set frequency and period at the same time\n", (), INVALID_STATUS)
    if (options["count"] or 0) < 0:
        raise Usage(" Error: switch `c' expects a period of 1 or more\n\n", ("count",))
    if options["freq"] == 0:
        raise Usage("frequency and count are zero, aborting\n", (), INVALID_STATUS)
    if options["engine"] not in ("native", "reference"):
        message = f" Error: there is no engine `{options['engine']}', only native and reference\n"
        raise Usage(message, ("engine",))
    if options["cpu"] is not None and options["cpu"] not in ("0", "0-0"):
        raise Usage(f" Error: there is no CPU {options['cpu']}, only 0\n\n", ("cpu",))
    if (options["skid"] or 0) < 0:
        raise Usage(" Error: option `skid' expects 0 or more instructions\n\n", ("skid",))
    if options["branch_depth"] not in (16, 32, 64, 128, 256):
        message = " Error: option `branch-depth' expects 16, 32, 64, 128 or 256\n\n"
        raise Usage(message, ("branch-depth",))
    if options["delay"] < -1:
        raise Usage(" Error: switch `D' expects milliseconds, or -1\n\n", ("delay",))
    if options["truth"] and (options["output"] == "-" or options["switch_output"]):
        raise Usage(" Error: option `truth' needs one file to write to\n\n", ("truth",))
    if options["branch_any"] and options["branch_filter"]:
        message = "Error: Can't use --branch-any (-b) with --branch-filter (-j).\n\n"
        raise Usage(message, ("branch-any", "branch-filter"))
    if (options["freq"] or 0) > MAX_FREQ:
        if options["strict_freq"]:
            message = (
                f"error: Maximum frequency rate ({MAX_FREQ} Hz) exceeded.\n"
                "       Please use -F freq option with a lower value or consider\n"
                "       tweaking /proc/sys/kernel/perf_event_max_sample_rate.\n"
            )
            raise Usage(message, (), INVALID_STATUS)
        tell(MAX_FREQ_TEXT.format(most=MAX_FREQ, asked=options["freq"]))
        options["freq"] = MAX_FREQ
    registers = options["user_regs"]
    if registers is not None and register_mask(registers) is None:
        from rvperf.perfdata.records import REGISTERS

        known = " ".join(REGISTERS)
        raise Usage(f"available registers: {known}\n\n", ("user-regs",))
    events = [event for several in options["event"] for event in several]
    if not events:
        events = list(parse_events("cycles"))
    if options["all_user"] or options["all_kernel"]:
        events = [event.only(user=bool(options["all_user"])) for event in events]
    if branches_of(options):
        for event in events:
            if event.kind not in ("hw", "cache"):
                name = event.name
                message = (
                    f"Error:\n{name}: PMU Hardware or event type doesn't support branch stack "
                    "sampling.\n"
                )
                raise Refused(message)
    for event in events:
        if event.source is None:
            if event.symbol in ("dummy", "bpf-output"):
                continue
            raise Refused(f"Error:\nThe {event.name} event is not supported.\n", FAILED_STATUS)
    return tuple(events)


class Refused(Usage):
    """Something that the machine can't do: a message without a usage page."""

    def __init__(self, message: str, status: int = FAILED_STATUS):
        super().__init__(message, (), status)


def register_mask(text: str) -> int | None:
    """The mask of --user-regs; None if a name is wrong, or `?`."""
    from rvperf.perfdata.records import REGISTERS

    if not text:
        return (1 << 32) - 1
    mask = 0
    for name in text.lower().split(","):
        if name not in REGISTERS:
            return None
        mask |= 1 << REGISTERS.index(name)
    return mask


def branches_of(options) -> int:
    """branch_sample_type of -b and -j."""
    from rvperf.perfdata.attr import BRANCH

    names = options["branch_filter"] or (("any",) if options["branch_any"] else ())
    mask = sum({getattr(BRANCH, BRANCH_FILTERS[name]) for name in names})
    kinds = mask & ~(BRANCH.USER | BRANCH.KERNEL | BRANCH.HV)
    if mask and not kinds & ~(BRANCH.NO_FLAGS | BRANCH.NO_CYCLES | BRANCH.TYPE_SAVE):
        mask |= BRANCH.ANY
    if mask and not mask & (BRANCH.USER | BRANCH.KERNEL | BRANCH.HV):
        mask |= BRANCH.USER
    return mask


def how_of(options):
    """What the options say of all events."""
    from rvperf.session.attributes import How

    mode, stack_size = options["call_graph"] or (None, 0)
    if mode is None and options["call_graph_fp"]:
        mode = "fp"
    registers = options["user_regs"]
    return How(
        period=options["count"] or None,
        freq=options["freq"],
        callchain=mode,
        stack_size=stack_size or 8192,
        max_stack=options["max_stack"],
        branches=branches_of(options),
        branch_depth=options["branch_depth"],
        system_wide=bool(options["all_cpus"] or options["cpu"]),
        data=bool(options["data"]),
        phys_data=bool(options["phys_data"]),
        weight=bool(options["weight"]),
        inherit_stat=bool(options["stat"]),
        period_field=options["period"],
        timestamps=not options["per_thread"]
        if options["timestamp"] is None
        else options["timestamp"],
        sample_cpu=bool(options["sample_cpu"]),
        sample_identifier=bool(options["sample_identifier"]),
        raw=bool(options["raw_samples"]),
        running_time=bool(options["running_time"]),
        user_registers=register_mask(registers) or 0 if registers is not None else 0,
        data_page_size=bool(options["data_page_size"]),
        code_page_size=bool(options["code_page_size"]),
        no_samples=not options["samples"],
        inherit=bool(options["inherit"] and not options["per_thread"]),
        delay_ms=options["delay"],
        switch_events=bool(options["switch_events"]),
        namespaces=bool(options["namespaces"]),
        no_buffering=not options["buffering"],
        overwrite=bool(options["overwrite"]),
        kernel_callchains=not options["user_callchains"],
        user_callchains=not options["kernel_callchains"],
        skid=options["skid"],
    )


def request_of(options, command, events, descriptors, words):
    """What the session is asked to record."""
    from rvperf.session import Workload
    from rvperf.session.record import RecordRequest

    gc.freeze()
    gc.enable()
    output, pipe_to = destination(options)
    if output is None:
        descriptors = (descriptors[0], descriptors[2], descriptors[2])
        pipe_to = os.dup(1)
    workload = Workload(
        argv=command,
        sysroot=options["sysroot"] or os.environ.get("RVPERF_SYSROOT") or None,
        allow_write=options["allow_write"],
        env=dict(os.environ),
        engine=options["engine"],
        verbose=options["verbose"],
        descriptors=descriptors,
    )
    switching = options["switch_output"]
    build_ids = "cache" if options["buildid_cache"] else "table"
    return RecordRequest(
        workload=workload,
        events=events,
        how=how_of(options),
        command=(sys.argv[0], "record", *words),
        output=output,
        pipe_to=pipe_to,
        compress=options["compression_level"] or 0,
        build_ids=build_ids if options["buildid"] else "",
        all_build_ids=bool(options["buildid_all"]),
        build_id_directory=options["buildid_dir"],
        switch_bytes=switching[0] if switching else 0,
        switch_ns=switching[1] if switching else 0,
        switch_signal=switching == (0, 0),
        switch_files=options["switch_max_files"],
        timestamp_filename=bool(options["timestamp_filename"]),
        max_bytes=options["max_size"] or 0,
        truth=bool(options["truth"]),
    )


def sample(options, command, events, descriptors, words, whose=None) -> int:
    """Run and record, and say what was written."""
    quiet = options["quiet"]
    request = request_of(options, command, events, descriptors, words)
    output, switching = request.output, options["switch_output"]
    told = (lambda text: None) if quiet else tell
    result = measure(options, request, told, whose)
    keep_truth(result, output)
    if output is None and result.full == os.strerror(errno.EPIPE):
        end_by(signal.SIGPIPE)
    if not quiet:
        # perf counts samples where it looks for build-ids, which it does at the end of one file.
        counted = options["buildid"] and not switching
        tell(summary(result, bool(request.compress), counted))
    if result.full:
        tell(f"failed to write perf data, error: {result.full}\n")
        return FAILED_STATUS
    if result.interrupted or result.exit.signal is not None:
        end_by(signal.SIGINT if result.interrupted else result.exit.signal)
    return result.exit.code or 0


def keep_truth(result, output: str) -> None:
    """Put the exact counts into the file, if they were asked for."""
    if result.truth is not None and not result.full:
        from rvperf.profile.truth import Truth, append

        append(output, Truth(result.truth))


def measure(options, request, told, whose):
    machine = virtual_options.machine(options)
    if machine is None:
        from rvperf.session.record import record

        return record(request, told)
    from rvperf.session import virtual

    if whose is None:
        return virtual.record(request, machine, told)
    return virtual.record(request, machine, told, host=whose.host, guest=whose.guest)


def destination(options) -> tuple[str | None, int]:
    """(path, or None for a pipe; the pipe's descriptor)."""
    import stat

    output = options["output"]
    if output == "-":
        return None, 1
    if output is None:
        try:
            if stat.S_ISFIFO(os.fstat(1).st_mode):
                return None, 1
        except OSError:
            pass
    return output or "perf.data", 1


def summary(result, compressed: bool, counted: bool) -> str:
    """perf's two lines."""
    lines = [f"[ perf record: Woken up {result.woken} times to write data ]\n"]
    if result.dumps:
        lines.append(f"[ perf record: Dump {result.dumps[-1]} ]\n")
    after = f" ({result.samples} samples)" if result.samples and counted else ""
    size = f"{result.size / (1 << 20):.3f} MB"
    if compressed:
        ratio = result.original / result.packed if result.packed else 0
        after = f", compressed (original {result.original / (1 << 20):.3f} MB, "
        after += f"ratio is {ratio:.3f})"
    if result.path == "-":
        after = ""
    lines.append(f"[ perf record: Captured and wrote {size} {result.path}{after} ]\n")
    return "".join(lines)


def end_by(number: int) -> None:
    """End as the signal ends a program, as perf does after its last line."""
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else 0
    sys.stdout.flush()
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)


def manual() -> str:
    return (
        "rvperf-record - Run a command and record its profile into perf.data\n\n"
        + usage(SYNOPSIS, OPTIONS)
        + MANUAL
    )


MANUAL = """\
 The command is a riscv64 Linux program, with its arguments; options after it are its own. Samples
 go to perf.data, which stock perf and `rvperf report` open. Overflow falls on the exact
 instruction: a sample shows it, unless --skid says otherwise. Times are the emulated machine's,
 and a sample takes none of it. The exit status is the program's.

    rvperf record ./program
    rvperf record -e instructions:u -c 100003 -g ./program
    rvperf record -e branch-misses --call-graph exact -- ./program --its-option
"""
