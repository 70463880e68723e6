"""`rvperf script`: the samples of a perf.data, one by one, as text."""

import os
import stat
import sys
from contextlib import ExitStack

from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, tell

SYNOPSIS = "rvperf script [<options>]"
FAILED = 255
BLOCK = 4096
FIELDS = (
    "comma separated output fields prepend with 'type:'. +field to add and -field to remove."
    "Valid types: hw,sw,trace,raw,synth. Fields: comm,tid,pid,time,cpu,event,trace,ip,sym,dso,addr,"
    "symoff,srcline,period,iregs,uregs,brstack,brstacksym,flags,data_src,weight,bpf-output,"
    "brstackinsn,brstackinsnlen,brstackoff,insn,insnlen,phys_addr,misc,srccode,data_page_size,"
    "code_page_size,ins_lat"
)
SHOWN = ("task", "mmap", "switch", "namespace", "cgroup", "lost", "bpf", "text-poke")
OPTIONS = (
    Option("D", "dump-raw-trace", "dump raw trace in ASCII"),
    Option("v", "verbose", "be more verbose (show symbol address, etc)", "count"),
    Option("q", "quiet", "do not show any message"),
    Option("L", "Latency", "narrower columns for comm and cpu"),
    Option("l", "list", "", "missing"),
    Option("s", "script", "", "missing", "name"),
    Option("g", "gen-script", "", "missing", "lang"),
    Option("", "dlfilter", "", "missing", "file"),
    Option("i", "input", "input file name", "text", "file"),
    Option("d", "debug-mode", "", "missing"),
    Option("", "header", "Show data header."),
    Option("", "header-only", "Show only data header."),
    Option("I", "show-info", "display extended information from perf.data file"),
    Option("k", "vmlinux", "", "missing", "file"),
    Option("", "kallsyms", "kallsyms pathname", "text", "file"),
    Option("G", "hide-call-graph", "When printing symbols do not display call chain"),
    Option("", "symfs", "Look for files with symbols relative to this directory", "text",
           "directory"),
    Option("F", "fields", FIELDS, "several", "str", default=()),
    Option("a", "all-cpus", "system-wide collection from all CPUs"),
    Option("", "dsos", "only consider symbols in these DSOs", "text", "dso[,dso...]"),
    Option("S", "symbols", "only consider these symbols", "text", "symbol[,symbol...]"),
    Option("", "stop-bt", "Stop display of callgraph at these symbols", "text",
           "symbol[,symbol...]"),
    Option("C", "cpu", "list of cpus to profile", "text", "cpu"),
    Option("c", "comms", "only display events for these comms", "text", "comm[,comm...]"),
    Option("", "pid", "only consider symbols in these pids", "text", "pid[,pid...]"),
    Option("", "tid", "only consider symbols in these tids", "text", "tid[,tid...]"),
    Option("", "max-stack", "Set the maximum stack depth when parsing the callchain, anything "
           "beyond the specified depth will be ignored. Default: 127", "number", "n"),
    Option("", "reltime", "Show time stamps relative to start"),
    Option("", "deltatime", "Show time stamps relative to previous event"),
    Option("", "show-task-events", "Show the fork/comm/exit events"),
    Option("", "show-mmap-events", "Show the mmap events"),
    Option("", "show-switch-events", "Show context switch events (if recorded)"),
    Option("", "show-namespace-events", "Show namespace events (if recorded)"),
    Option("", "show-cgroup-events", "Show cgroup events (if recorded)"),
    Option("", "show-lost-events", "Show lost events (if recorded)"),
    Option("", "show-round-events", "", "missing"),
    Option("", "show-bpf-events", "Show bpf related events (if recorded)"),
    Option("", "show-text-poke-events", "Show text poke related events (if recorded)"),
    Option("", "per-event-dump", "Dump trace output to files named by the monitored events"),
    Option("f", "force", "don't complain, do it"),
    Option("", "max-blocks", "Maximum number of code blocks to dump with brstackinsn", "number",
           "n", default=0),
    Option("", "ns", "Use 9 decimal places when displaying time"),
    Option("", "itrace", "", "missing", "opts"),
    Option("", "full-source-path", "Show full source file name path for source lines"),
    Option("", "demangle", "Enable symbol demangling", default=True),
    Option("", "time", "Time span of interest (start,stop)", "text", "str"),
    Option("", "inline", "Show inline function", default=True),
    Option("", "guestmount", "guest mount directory under which every guest os instance has a "
           "subdir", "text", "directory"),
    Option("", "guestkallsyms", "file saving guest os /proc/kallsyms", "text", "file"),
    Option("", "guestmodules", "file saving guest os /proc/modules", "text", "file"),
    Option("", "stitch-lbr", "", "missing"),
)  # fmt: skip


def run(words: list[str]) -> int:
    from rvperf.render.script_fields import FieldError, Fields

    try:
        options, rest = parse(OPTIONS, words)
        if rest:
            message = (
                f"Couldn't find script `{rest[0]}'\n\n See perf script -l for available scripts.\n"
            )
            raise Usage(message, None)
        if options["reltime"] and options["deltatime"]:
            tell(
                "reltime and deltatime - the two don't get along well. "
                "Please limit to --reltime or --deltatime.\n"
            )
            return FAILED
        fields = Fields()
        for text in options["fields"]:
            try:
                fields.choose(text)
            except FieldError as error:
                raise Usage(f"{error}\n", ("fields",)) from None
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    if not options["quiet"]:
        tell("".join(f"{warning}\n" for warning in fields.warnings))
    return show(options, fields)


def show(options, fields) -> int:
    from rvperf.perfdata.reader import PerfDataError, Reader
    from rvperf.render import header

    try:
        reader = Reader(options["input"] or default_input())
    except PerfDataError as error:
        tell(f"{error.message}\n")
        return error.status
    if not options["quiet"]:
        tell("".join(f"{warning}\n" for warning in reader.warnings))
    if options["header"] or options["header_only"]:
        say(header.header(reader, bool(options["show_info"])))
        if options["header_only"]:
            return 0
    return samples(options, fields, reader)


def default_input() -> str:
    """perf.data, or what is piped to us."""
    try:
        piped = sys.stdin is not None and stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (OSError, ValueError):
        piped = False
    return "-" if piped else "perf.data"


def samples(options, fields, reader) -> int:
    import numpy as np

    from rvperf.profile import selection
    from rvperf.profile.samples import Profile
    from rvperf.profile.selection import SelectionError
    from rvperf.profile.unwinding import Unwinder
    from rvperf.render.script import LONGEST_CHAIN, Script, Style
    from rvperf.render.script_fields import FieldError
    from rvperf.symbols import Symbols

    try:
        symbols = Symbols(
            symfs=options["symfs"],
            kallsyms=contents(options["kallsyms"]),
            guest_kallsyms=contents(options["guestkallsyms"]),
        )
    except OSError as error:
        tell(f"{error.filename}: {error.strerror}\n")
        return FAILED
    guest = any(options[name] for name in ("guestmount", "guestkallsyms", "guestmodules"))
    deepest = LONGEST_CHAIN if options["max_stack"] is None else max(options["max_stack"], 0)
    profile = Profile(reader, symbols, guest=guest, unwinder=Unwinder(deepest or 1))
    cpus = None
    try:
        if options["cpu"]:
            cpus = selection.cpus(profile, options["cpu"])
        chained = fields.check(reader, not options["hide_call_graph"])
        chosen = selection.not_guests(profile)
        if options["time"]:
            ranges = selection.time_ranges(options["time"], profile, bool(options["reltime"]))
            chosen &= selection.in_time(profile, ranges)
        chosen &= selected(profile, options, selection)
    except (FieldError, SelectionError) as error:
        tell(f"{error}\n")
        return getattr(error, "status", FAILED)
    if cpus is not None:
        chosen &= selection.on_cpus(profile, cpus)
    style = Style(
        ns=options["ns"] or False,
        callchains=chained,
        max_stack=deepest,
        inline=options["inline"],
        demangle=options["demangle"],
        full_source_path=options["full_source_path"] or False,
        latency=options["Latency"] or False,
        reltime=options["reltime"] or False,
        deltatime=options["deltatime"] or False,
        max_blocks=options["max_blocks"],
        stop_bt=names(options["stop_bt"]) or frozenset(),
        show=tuple(name for name in SHOWN if options[f"show_{name.replace('-', '_')}_events"]),
        cpus=cpus,
    )
    if options["dump_raw_trace"]:
        from rvperf.render.raw_trace import RawTrace

        together(RawTrace(profile, Script(profile, fields, style, np.flatnonzero(chosen))))
        return 0
    script = Script(profile, fields, style, np.flatnonzero(chosen))
    if options["per_event_dump"]:
        return dump(script, reader)
    together(script)
    return 0


def dump(script, reader) -> int:
    """Print each event's samples to a file of its own; all else as usual."""
    names = [f"{reader.path}.{event.name}.dump" for event in reader.events]
    counts = [0] * len(names)
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(open_dump(name)) for name in names]
        except OSError:
            tell("Couldn't create the per event dump files\n")
            return FAILED
        for owner, text in script.by_event():
            if owner < 0:
                say(text)
                continue
            counts[owner] += 1
            files[owner].write(text)
    for name, count in zip(names, counts, strict=True):
        # perf asks for the size while the last block is still in its own buffer.
        size = max(os.stat(name).st_size - 1, 0) // BLOCK * BLOCK / 1024 / 1024
        say(f"[ perf script: Wrote {size:.3f} MB {name} ({count} samples) ]\n")
    return 0


def open_dump(name: str):
    return open(name, "w", encoding="utf-8", errors="surrogateescape", newline="")


def selected(profile, options, selection):
    """The samples that the options about threads and symbols choose."""
    chosen = selection.by_thread(
        profile, names(options["comms"]), ids(options["pid"]), ids(options["tid"])
    )
    if options["dsos"]:
        chosen &= selection.in_dsos(profile, names(options["dsos"]))
    if options["symbols"]:
        chosen &= selection.in_symbols(profile, names(options["symbols"]))
    return chosen


def names(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(text.split(","))


def ids(text: str | None) -> frozenset[int] | None:
    from rvperf.profile.selection import SelectionError

    if text is None:
        return None
    try:
        return frozenset(int(word) for word in text.split(","))
    except ValueError:
        raise SelectionError("problems parsing pid list") from None


def contents(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def together(texts) -> None:
    """Print pieces of text, many at once."""
    waiting, size = [], 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size > 1 << 16:
            say("".join(waiting))
            waiting, size = [], 0
    if waiting:
        say("".join(waiting))


def manual() -> str:
    return (
        "rvperf-script - Read perf.data (created by perf record) and display trace output\n\n"
        + usage(SYNOPSIS, OPTIONS)
    )
