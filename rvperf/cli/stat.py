"""`rvperf stat`: run a program and count events over its whole life."""

import gc
import math
import os
import signal

from isa.record import replace
from rvperf.cli import virtual_options
from rvperf.cli.options import INVALID_STATUS, Option, Usage, parse, usage
from rvperf.cli.streams import say, standard, tell
from rvperf.cli.syntax import syntax_error
from rvperf.events import DEFAULT, Event, EventSyntaxError, detailed, parse_events
from rvperf.render import stat as render
from rvperf.render.signals import INTERRUPT, signal_name
from rvperf.results import Count, StatResult

SYNOPSIS = "rvperf stat [<options>] [<command>]"
FAILED_STATUS = 255
"""Exit status when the program or a file can't be opened: -1 as a byte."""


def missing(short, long, value=""):
    return Option(short, long, "", "missing", value)


def events_of(text: str, sampling: bool = False) -> tuple[Event, ...]:
    try:
        return parse_events(text, sampling)
    except EventSyntaxError as error:
        raise Usage(syntax_error(error) + "\n", ("event",)) from None


EVENTS = Option(
    "e",
    "event",
    "event selector. use 'rvperf list' to list available events",
    "several",
    "event",
    (),
    events_of,
)
SANDBOX = (
    Option(
        "",
        "sysroot",
        "directory with the program's own libraries and files (default: $RVPERF_SYSROOT)",
        "text",
        "dir",
    ),
    Option("", "allow-write", "let the program write below this directory", "several", "dir", ()),
)
ENGINE = Option(
    "",
    "engine",
    "what executes the program: native (default), or reference, slow and for checking",
    "text",
    "native|reference",
    "native",
)
OPTIONS = (
    missing("T", "transaction"),
    EVENTS,
    missing("", "filter", "filter"),
    Option("i", "no-inherit", "child tasks do not inherit counters", default=True),
    missing("p", "pid", "pid"),
    missing("t", "tid", "tid"),
    missing("a", "all-cpus"),
    missing("g", "group"),
    Option("", "scale", "Use --no-scale to disable counter scaling for multiplexing", default=True),
    Option("v", "verbose", "be more verbose (show counter open errors, etc)", "count", default=0),
    Option(
        "r",
        "repeat",
        "repeat command and print average + stddev (max: 100, forever: 0)",
        "number",
        "n",
        1,
    ),
    missing("", "table"),
    Option("n", "null", "null run - dont start any counters"),
    Option("d", "detailed", "detailed run - start a lot of events", "count", default=0),
    missing("S", "sync"),
    Option("B", "big-num", "print large numbers with thousands' separators", default=True),
    missing("C", "cpu", "cpu"),
    missing("A", "no-aggr"),
    missing("", "no-merge"),
    missing("", "hybrid-merge"),
    Option("x", "field-separator", "print counts with custom separator", "text", value="separator"),
    Option("j", "json-output", "print counts in JSON format"),
    missing("G", "cgroup", "name"),
    missing("", "for-each-cgroup", "name"),
    Option("o", "output", "output file name", "text", "file"),
    Option("", "append", "append to the output file"),
    Option("", "log-fd", "log output to fd, instead of stderr", "number", "n"),
    missing("", "pre", "command"),
    missing("", "post", "command"),
    Option(
        "I",
        "interval-print",
        "print counts at regular interval in ms (overhead is possible for values <= 100ms)",
        "unsigned",
        "n",
    ),
    Option("", "interval-count", "print counts for fixed number of times", "number", "n"),
    Option("", "interval-clear", "clear screen in between new interval"),
    Option(
        "",
        "timeout",
        "stop workload and print counts after a timeout period in ms (>= 10ms)",
        "unsigned",
        "n",
    ),
    missing("", "per-socket"),
    missing("", "per-die"),
    missing("", "per-core"),
    missing("", "per-thread"),
    missing("", "per-node"),
    missing("D", "delay", "n"),
    missing("", "metric-only"),
    missing("", "metric-no-group"),
    missing("", "metric-no-merge"),
    missing("", "topdown"),
    missing("", "td-level", "n"),
    missing("", "smi-cost"),
    missing("M", "metrics", "metric/metric group list"),
    Option("", "all-kernel", "Configure all used events to run in kernel space."),
    Option("", "all-user", "Configure all used events to run in user space."),
    missing("", "percore-show-thread"),
    Option("", "summary", "print summary for interval mode"),
    Option("", "no-csv-summary", "don't print 'summary' for CSV summary output", default=True),
    Option("", "quiet", "don't print any output, messages or warnings"),
    missing("", "cputype", "hybrid cpu type"),
    missing("", "control", "fd:ctl-fd[,ack-fd] or fifo:ctl-fifo[,ack-fifo]"),
    missing("", "iostat"),
    *SANDBOX,
    ENGINE,
    *virtual_options.OPTIONS,
)


def run(words: list[str]) -> int:
    descriptors = standard()
    try:
        options, command = parse(OPTIONS, words)
        if explained := virtual_options.explained(options):
            say(explained)
            return 0
        check(options, command)
    except Usage as mistake:
        return refuse(mistake)
    events = wanted(options)
    try:
        output = open_output(options)
    except OSError as error:
        if options["output"] is not None:
            tell(f"failed to create output file: {error.strerror}\n")
            return FAILED_STATUS
        tell(f"Failed opening logfd: {error.strerror}\n")
        return INVALID_STATUS
    with output:
        if options["interval_clear"]:
            from rvperf.cli import intervals

            try:
                intervals.check_output(options, output)
            except Usage as mistake:
                return refuse(mistake)
        return measure_and_show(options, tuple(command), events, output, descriptors)


def refuse(mistake: Usage) -> int:
    plain = isinstance(mistake, virtual_options.Mistake)
    page = "" if plain else usage(SYNOPSIS, OPTIONS, mistake.about)
    tell(mistake.message + page)
    return mistake.status


def measure_and_show(options, command, events, output, descriptors) -> int:
    if options["verbose"]:
        for event in events:
            if not event.countable:
                tell(f"Warning:\n{event.name} event is not supported by the kernel.\n")
    rows = None
    if options["interval_print"]:
        from rvperf.cli.intervals import Rows

        rows = Rows(options, events, output)
    summary = not rows or options["summary"]
    results = []
    while not options["repeat"] or len(results) < options["repeat"]:
        if options["repeat"] != 1 and options["verbose"]:
            tell(f"[ perf stat: executing run #{len(results) + 1} ... ]\n")
        # perf prints the intervals of the first run only.
        told = rows.print if rows and not results else None
        result = measure(options, command, events, descriptors, told)
        if result.exit.signal is not None:
            tell(f"{command[0]}: {signal_name(result.exit.signal)}\n")
        if options["verbose"] and summary:
            tell(render.raw(result))
        results.append(result)
        if not options["repeat"] and not rows:  # forever: each run shows itself
            show(options, result, output)
        if options["repeat"] != 1 and result.exit.signal == INTERRUPT:
            break
    status = result.exit.code or 0
    if options["repeat"] and summary and not show(options, mean(results), output):
        status = FAILED_STATUS
    if rows and not rows.arrived:
        status = FAILED_STATUS
    if any(result.interrupted for result in results):
        die_of_interrupt()
    return status


def die_of_interrupt() -> None:
    """End as ^C ends a program, which is how a shell knows to stop too; perf does so as well."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def check(options, command) -> None:
    """What the option table alone can't say. Raises Usage."""
    if options["all_kernel"] and options["all_user"]:
        both = ("all-kernel", "all-user")
        raise Usage(" Error: option `all-kernel' cannot be used with all-user\n", both)
    if options["output"] is not None and options["log_fd"] is not None:
        both = ("output", "log-fd")
        raise Usage("cannot use both --output and --log-fd\n\n", both, INVALID_STATUS)
    if (options["log_fd"] or 0) < 0:
        raise Usage("argument to --log-fd must be a > 0\n\n", ("log-fd",), INVALID_STATUS)
    if options["repeat"] < 0:
        raise Usage("Run count must be a positive number\n\n", ("repeat",), INVALID_STATUS)
    if options["timeout"] is not None and options["timeout"] < 10:
        raise Usage("timeout must be >= 10ms.\n\n", ("timeout",), INVALID_STATUS)
    if options["interval_count"] and not options["interval_print"]:
        message = "interval-count option should be used together with interval-print.\n\n"
        raise Usage(message, (("interval-count",), ("interval-print",)), INVALID_STATUS)
    if options["timeout"] and options["interval_print"]:
        message = "timeout option is not supported with interval-print.\n\n"
        raise Usage(message, (("timeout",), ("interval-print",)), INVALID_STATUS)
    if options["engine"] not in ("native", "reference"):
        message = f" Error: there is no engine `{options['engine']}', only native and reference\n"
        raise Usage(message, ("engine",))
    virtual_options.check(options)
    if not command:
        raise Usage("\n", None)
    if command[0] in ("record", "report"):
        message = f" Error: rvperf doesn't have perf's `stat {command[0]}' yet"
        raise Usage(f"{message} (./{command[0]} runs a program of that name)\n\n")


def wanted(options) -> tuple[Event, ...]:
    """The events that the options ask for; -n means no more than -e names."""
    events = [event for several in options["event"] for event in several]
    if not options["null"]:
        if not events:
            events += parse_events(DEFAULT)
        if options["detailed"]:
            events += parse_events(detailed(options["detailed"]))
    if options["all_user"] or options["all_kernel"]:
        events = [event.only(user=bool(options["all_user"])) for event in events]
    return tuple(events)


def measure(options, command, events, descriptors, told=None) -> StatResult:
    """One run. What nothing can count gets its row here, so the session only sees the rest. `told`
    hears of intervals."""
    request = request_of(options, command, events, descriptors, told)
    machine = virtual_options.machine(options)
    if machine is None:
        from rvperf.session import stat

        result = stat(request)
    else:
        from rvperf.session import virtual

        result = virtual.stat(request, machine)
    counted = iter(result.counts)
    return replace(result, counts=tuple(shown(options, event, counted) for event in events))


def shown(options, event: Event, counted) -> Count:
    """The row of an event: the next of those that were counted, or that it can't be."""
    if event.countable:
        count = replace(next(counted), context=event.context)
        return count.extrapolated() if options["scale"] else count
    return Count(event.name, event.symbol, None, supported=False)


def request_of(options, command, events, descriptors, told=None):
    """What the session is asked to count. `told` hears of intervals; without it there are none."""
    from rvperf.session import StatRequest, Workload

    gc.freeze()  # what is imported by now is no garbage
    gc.enable()
    timeout = options["timeout"]
    workload = Workload(
        argv=command,
        sysroot=options["sysroot"] or os.environ.get("RVPERF_SYSROOT") or None,
        allow_write=options["allow_write"],
        env=dict(os.environ),
        engine=options["engine"],
        timeout_ns=None if timeout is None else timeout * 1_000_000,
        verbose=options["verbose"],
        descriptors=descriptors,
    )
    countable = tuple(event for event in events if event.countable)
    if told is None or not options["interval_print"]:
        return StatRequest(workload, countable)
    from rvperf.cli import intervals

    return StatRequest(workload, countable, intervals.every(options, told))


def mean(results: list[StatResult]) -> StatResult:
    """Several runs as one: the mean of every count, with the deviation of that mean."""
    last = results[-1]
    if len(results) == 1:
        return last
    counts = []
    for same in zip(*(result.counts for result in results), strict=True):
        counted = [count for count in same if count.counted]
        if not counted:
            counts.append(same[-1])
            continue
        value, deviation = mean_and_deviation([count.value for count in counted])
        counts.append(
            replace(
                same[-1],
                value=value,
                noise=100 * deviation / value if value else 0.0,
                enabled=round(sum(count.enabled for count in counted) / len(counted)),
                running=round(sum(count.running for count in counted) / len(counted)),
            )
        )
    elapsed, deviation = mean_and_deviation([result.elapsed for result in results])
    return replace(
        last,
        counts=tuple(counts),
        elapsed=elapsed,
        runs=len(results),
        elapsed_deviation=deviation,
    )


def mean_and_deviation(values) -> tuple[float, float]:
    """The mean and its standard deviation (not the values'), as perf's stddev_stats() gives it."""
    n = len(values)
    if all(value == values[0] for value in values):
        return values[0], 0.0
    average = sum(values) / n
    variance = sum((value - average) ** 2 for value in values) / (n - 1)
    return average, math.sqrt(variance / n)


class Output:
    """Where the counts go. Nothing is written before there are counts, and nothing that goes wrong
    here hides how the program ended."""

    def __init__(self, stream, header: str = "", name: str | None = None):
        self.stream, self.header, self.name = stream, header, name
        self.written = False
        """Whether there was something already."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stream.close()
        except OSError:
            pass  # write() has already told

    def write(self, block: str) -> bool:
        """Whether the block has arrived. If its file can't take it, stderr gets it, and why."""
        self.written = True
        try:
            self.stream.write(self.header + block)
            self.stream.flush()
            self.header = ""
            return True
        except OSError as error:
            if self.name is None:
                return True  # it was stderr: perf, too, says nothing and goes on
            tell(f"failed to write {self.name}: {error.strerror}\n{block}")
            return False


def open_output(options) -> Output:
    """Raises OSError."""
    mode = "a" if options["append"] else "w"
    if options["output"] is not None:
        from time import ctime

        stream = open(options["output"], mode)
        return Output(stream, f"# started on {ctime()}\n\n", options["output"])
    if options["log_fd"]:
        descriptor = os.dup(options["log_fd"])
        return Output(os.fdopen(descriptor, mode), name=f"log-fd {options['log_fd']}")
    try:
        return Output(os.fdopen(os.dup(2), "w"))
    except OSError:
        return Output(open(os.devnull, "w"))  # started with stderr closed


def show(options, result, output) -> bool:
    """Print the counts; whether they have arrived."""
    if options["quiet"]:
        return True
    return output.write(formatted(options, result, output.stream.isatty()))


def formatted(options, result, terminal: bool) -> str:
    if options["json_output"]:
        return render.json_lines(result)
    between = separator(options)
    if between is not None:
        prefixed = options["summary"] and options["csv_summary"]
        return (render.summary_csv if prefixed else render.csv)(result, between)
    return render.text(
        result,
        group=by_locale() if options["big_num"] else render.ungrouped,
        colour=terminal,
        null_run=bool(options["null"]),
    )


def separator(options) -> str | None:
    """What -x puts between cells."""
    given = options["field_separator"]
    return "\t" if given == "\\t" else given


def by_locale() -> render.Group:
    """Numbers as the user's LC_NUMERIC groups them; the C locale doesn't."""
    names = map(os.environ.get, ("LC_ALL", "LC_NUMERIC", "LANG"))
    if next(filter(None, names), "C").partition(".")[0] in ("C", "POSIX"):
        return render.ungrouped
    import locale

    try:
        locale.setlocale(locale.LC_NUMERIC, "")
    except locale.Error:
        return render.ungrouped
    return lambda form, value: locale.format_string(form, value, grouping=True)


def manual() -> str:
    return (
        "rvperf-stat - Run a command and gather performance counter statistics\n\n"
        + usage(SYNOPSIS, OPTIONS)
        + MANUAL
    )


MANUAL = """\
 The command is a riscv64 Linux program, with its arguments; options after it are its own. Counts
 go to stderr. The exit status is the program's; 0 if a signal ended it, 255 if it can't be started,
 129 if the command line can't be understood. Times are the emulated machine's.

 Events: names that `rvperf list` prints, separated by commas; {a,b} groups them; `:u` counts in
 user mode only and `:k` in the kernel only; event/name=NAME/ shows NAME.

 -I is in emulated milliseconds. On a bare host looking changes no count; with --vm perf is in the
 guest, where waking up and reading takes time.

    rvperf stat ./program
    rvperf stat -e instructions:u,cycles:u -x, ./program
    rvperf stat -I 10 --summary ./program
    rvperf stat --sysroot /usr/riscv64-linux-gnu ls -l
"""
