"""`rvperf report`: what a perf.data says, as histograms."""

import os
import stat
import sys

from rvperf.cli import pictures, virtual_options
from rvperf.cli.options import INVALID_STATUS, Option, Usage, parse, usage
from rvperf.cli.streams import say, tell

SYNOPSIS = "rvperf report [<options>]"
CALL_GRAPH = "graph,0.5,caller,function,percent"
SORT_HELP = "sort by key(s): pid, comm, dso, symbol, parent, cpu, srcline, ..."
OPTIONS = (
    Option("i", "input", "input file name", "text", "file"),
    Option("v", "verbose", "be more verbose (show symbol address, etc)", "count"),
    Option("q", "quiet", "Do not show any warnings or messages"),
    Option("D", "dump-raw-trace", "", "missing"),
    Option("", "stats", "Display event stats"),
    Option("", "tasks", "Display recorded tasks"),
    Option("", "mmaps", "Display recorded tasks memory maps"),
    Option("k", "vmlinux", "", "missing", "file"),
    Option("", "kallsyms", "kallsyms pathname", "text", "file"),
    Option("f", "force", "don't complain, do it"),
    Option("n", "show-nr-samples", "Show a column with the number of samples"),
    Option("T", "threads", "Show per-thread event counters"),
    Option("", "tui", "Use the TUI interface"),
    Option("", "stdio", "Use the stdio interface"),
    Option("", "header", "Show data header."),
    Option("", "header-only", "Show only data header."),
    Option("s", "sort", SORT_HELP, "text", "key[,key2...]"),
    Option("F", "fields", "output field(s): overhead period sample ...", "text", "key[,keys...]"),
    Option("", "show-cpu-utilization", "Show sample percentage for different cpu modes"),
    Option("", "showcpuutilization", "Show sample percentage for different cpu modes"),
    Option("p", "parent", "regex filter to identify parent, see: '--sort parent'", "text",
           "regex"),
    Option("x", "exclude-other", "Only display entries with parent-match"),
    Option("g", "call-graph", "Display call graph (stack chain/backtrace): "
           f"print_type,threshold[,print_limit],order,sort_key[,branch],value; {CALL_GRAPH}",
           "text", "print_type,threshold[,print_limit],order,sort_key[,branch],value",
           default="", otherwise=CALL_GRAPH),
    Option("", "children", "Accumulate callchains of children and show total overhead as well. "
           "Enabled by default, use --no-children to disable.", default=True),
    Option("", "max-stack", "Set the maximum stack depth when parsing the callchain, anything "
           "beyond the specified depth will be ignored. Default: 127", "number", "n", default=127),
    Option("G", "inverted", "alias for inverted call graph"),
    Option("", "ignore-callees", "ignore callees of these functions in call graphs", "text",
           "regex"),
    Option("d", "dsos", "only consider symbols in these dsos", "text", "dso[,dso...]"),
    Option("c", "comms", "only consider symbols in these comms", "text", "comm[,comm...]"),
    Option("", "pid", "only consider symbols in these pids", "text", "pid[,pid...]"),
    Option("", "tid", "only consider symbols in these tids", "text", "tid[,tid...]"),
    Option("S", "symbols", "only consider these symbols", "text", "symbol[,symbol...]"),
    Option("", "symbol-filter", "only show symbols that (partially) match with this filter",
           "text", "filter"),
    Option("w", "column-widths", "don't try to adjust column width, use these fixed values",
           "text", "width[,width...]"),
    Option("t", "field-separator", "separator for columns, no spaces will be added between "
           "columns '.' is reserved.", "text", "separator"),
    Option("U", "hide-unresolved", "Only display entries resolved to a symbol"),
    Option("", "symfs", "Look for files with symbols relative to this directory", "text",
           "directory"),
    Option("C", "cpu", "list of cpus to profile", "text", "cpu"),
    Option("I", "show-info", "Display extended information about perf.data file"),
    Option("", "show-total-period", "Show a column with the sum of periods"),
    Option("", "group", "Show event group information together"),
    Option("", "group-sort-idx", "Sort the output by the event at the index n in group. If n is "
           "invalid, sort by the first event. WARNING: should be used on grouped events.",
           "number", "n", default=0),
    Option("b", "branch-stack", "use branch records for per branch histogram filling"),
    Option("", "branch-history", "", "missing"),
    Option("", "demangle", "Disable symbol demangling", default=True),
    Option("", "demangle-kernel", "Enable kernel symbol demangling"),
    Option("", "mem-mode", "mem access profile"),
    Option("", "percent-limit", "Don't show entries under that percent", "text", "percent"),
    Option("", "percentage", "how to display percentage of filtered entries", "text",
           "relative|absolute"),
    Option("", "full-source-path", "Show full source file name path for source lines"),
    Option("", "socket-filter", "only show processor socket that match with this filter",
           "number", "n", default=-1),
    Option("", "raw-trace",
           "Show raw trace event output (do not use print fmt or plugins)"),
    Option("", "hierarchy", "", "missing"),
    Option("", "stdio-color", "Accepted; nothing is coloured.", "text", "mode",
           otherwise="always"),
    Option("", "time", "Time span of interest (start,stop)", "text", "str"),
    Option("", "inline", "Show inline function", default=True),
    Option("", "ns", "Show times in nanosecs"),
    Option("", "time-quantum", "Set time quantum for time sort key (default 100ms)", "text",
           "time (ms|us|ns|s)"),
    Option("", "skip-empty", "Do not display empty (or dummy) events in the output",
           default=True),
    Option("", "truth", "Show the exact shares beside the sampled ones (record --truth)"),
    *pictures.OPTIONS,
)  # fmt: skip


class Failure(Exception):
    """An end with a message and an exit status."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.message, self.status = message, status


KVM_OPTIONS = (*OPTIONS, *virtual_options.SIDES, *virtual_options.GUEST_SYMBOLS)


def run(words: list[str], whose: virtual_options.Sides | None = None, outer=None) -> int:
    """`report`, or `kvm report` of the host, the guest or both.

    `outer` has the options that stood between `kvm` and `report`.
    """
    table = OPTIONS if whose is None else KVM_OPTIONS
    try:
        options, rest = parse(table, words, anywhere=True)
        options["whose"] = None
        if whose is not None:
            options["whose"] = whose = virtual_options.sides(whose, options)
            options["input"] = options["input"] or whose.path
            for option in virtual_options.GUEST_SYMBOLS:
                options[option.key] = options[option.key] or outer[option.key]
        if len(rest) > 1:
            raise Usage("", None)
        if rest:
            options["symbol_filter"] = rest[0]
        return report(options)
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, table, mistake.about))
        return mistake.status
    except Failure as failure:
        tell(failure.message)
        return failure.status


def report(options: dict) -> int:
    from rvperf.cli.memory import keep_freed
    from rvperf.perfdata.reader import PerfDataError, Reader

    keep_freed()
    view = view_of(options)
    path = options["input"] or default_input()
    if not options["force"]:
        check_owner(path)
    try:
        reader = Reader(path)
    except PerfDataError as error:
        raise Failure(f"{error.message}\n", error.status) from None
    return Report(reader, view, options).run()


def default_input() -> str:
    """perf reads its standard input if that is a pipe."""
    try:
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            return "-"
    except OSError:
        pass
    return "perf.data"


def check_owner(path: str) -> None:
    """perf doesn't trust a file of somebody else's."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return
    if path != "-" and status.st_uid and status.st_uid != os.geteuid():
        raise Failure(f"File {path} not owned by current user or root (use -f to override)\n", 255)


# --- options to a view


def view_of(options: dict):
    """The view that the options ask for. Raises Usage."""
    from rvperf.profile.sortkeys import View

    view = View(sort=options["sort"], fields=options["fields"])
    whose = options.get("whose")  # only `rvperf kvm report` says
    view.guest = bool(whose and whose.guest)
    view.children = bool(options["children"])
    call_graph(options["call_graph"], view)
    ordered = view.ordered
    if options["inverted"] or (view.children and not ordered):
        view.caller_first = True
    elif not ordered:
        view.caller_first = False
    view.max_stack = options["max_stack"]
    view.separator = separator(options["field_separator"])
    view.verbose = -1 if options["quiet"] else options["verbose"] or 0
    view.show_samples = bool(options["show_nr_samples"])
    view.show_period = bool(options["show_total_period"])
    view.show_utilization = bool(options["show_cpu_utilization"] or options["showcpuutilization"])
    for name in ("comms", "dsos", "symbols"):
        if options[name] is not None:
            setattr(view, name, names_of(options[name]))
    view.pids, view.tids = integers(options, "pid"), integers(options, "tid")
    view.symbol_filter = options["symbol_filter"]
    for name in ("parent", "ignore_callees"):
        setattr(view, name, pattern(options[name]))
    view.exclude_other = bool(options["exclude_other"])
    view.hide_unresolved = bool(options["hide_unresolved"])
    if options["percentage"] is not None:
        if options["percentage"] not in ("relative", "absolute"):
            raise Usage("\n", ("percentage",))
        view.relative = options["percentage"] == "relative"
    if options["percent_limit"] is not None:
        view.chain_percent = options["percent_limit"] = leading_float(options["percent_limit"])
    if options["time_quantum"] is not None:
        view.time_quantum = quantum(options["time_quantum"])
    view.nanoseconds = bool(options["ns"])
    view.group_index = options["group_sort_idx"]
    view.inline = bool(options["inline"])
    view.full_path = bool(options["full_source_path"])
    view.raw_trace = bool(options["raw_trace"])
    view.socket = options["socket_filter"]
    if options["column_widths"]:
        view.widths = tuple(int(leading_float(w)) for w in options["column_widths"].split(","))
    return view


def call_graph(text: str | None, view) -> None:
    """-g's value (parse_callchain_report_opt of util/callchain.c). Raises Usage."""
    view.ordered = view.chains_asked = False
    if text is None:
        view.chain_mode = "none"
        return
    if not text:
        return
    view.chains_asked = True
    numbers = 0
    for word in filter(None, text.split(",")):
        if "none".startswith(word):
            view.chain_mode, view.chains_asked = "none", False
            return
        if one := starting(word, ("graph", "flat", "fractal", "folded")):
            view.chain_mode = one
        elif one := starting(word, ("caller", "callee")):
            view.caller_first, view.ordered = one == "caller", True
        elif one := starting(word, ("function", "address", "srcline", "branch")):
            view.chain_key = one if one != "branch" else view.chain_key
        elif one := starting(word, ("percent", "period", "count")):
            view.chain_value = one
        elif not numbers:
            view.chain_percent, numbers = number_of(word), 1
        else:
            view.chain_limit = int(number_of(word))


def starting(word: str, names) -> str | None:
    return next((name for name in names if name.startswith(word)), None)


def number_of(word: str) -> float:
    value = leading_float(word, None)
    if value is None:
        raise Usage("", ("call-graph",))
    return value


def leading_float(text: str, default=0.0):
    """strtod: the number that a text begins with."""
    import re

    found = re.match(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text)
    return float(found[0]) if found else default


def separator(text: str | None) -> str:
    r"""-t's value; perf takes `\t` for a tab."""
    if text is None:
        return ""
    if not text:
        raise Usage(" Error: switch `t' requires a value\n", ("field-separator",))
    return "\t" if text == "\\t" else text


def names_of(text: str) -> tuple[str, ...]:
    """A list of names, or of those in a file: `a,b` or `file:///PATH`."""
    found = []
    for word in filter(None, text.split(",")):
        if word.startswith("file://"):
            try:
                with open(word[7:], encoding="utf-8", errors="surrogateescape") as file:
                    found += [line.strip() for line in file if line.strip()]
            except OSError as error:
                raise Failure(f"{word[7:]}: {error.strerror}\n", 255) from None
        else:
            found.append(word)
    return tuple(found)


def integers(options: dict, name: str) -> tuple[int, ...] | None:
    text = options[name]
    if text is None:
        return None
    try:
        return tuple(int(word, 0) for word in text.split(",") if word)
    except ValueError:
        raise Usage(f" Error: option `{name}' expects numbers\n", (name,)) from None


def pattern(text: str | None) -> str | None:
    import re

    if text is not None:
        try:
            re.compile(text)
        except re.error as error:
            raise Failure(f"Invalid regex: {text}\n{error}\n", INVALID_STATUS) from None
    return text


def quantum(text: str) -> int:
    import re

    found = re.fullmatch(r"(\d+)\s*(s|ms|us|ns)?", text)
    if not found:
        raise Usage(f"Cannot parse time quantum `{text}'\n", ("time-quantum",))
    value = int(found[1]) * {"s": 10**9, "ms": 10**6, "us": 1000}.get(found[2], 1)
    if not value:
        raise Usage("time quantum cannot be 0", ("time-quantum",))
    return value


# --- the report


class Report:
    """One report on one file."""

    def __init__(self, reader, view, options):
        self.reader, self.view, self.options = reader, view, options
        self.quiet = bool(options["quiet"])

    def run(self) -> int:
        options, reader = self.options, self.reader
        if (options["stats"]) and (options["tasks"] or options["mmaps"]):
            tell("Error: --tasks and --mmaps can't be used together with --stats\n")
            return 0
        for warning in reader.warnings:
            tell(f"{warning}\n")
        self.choose_mode()
        if options["header"] or options["header_only"]:
            if not self.quiet:
                from rvperf.render import header

                say(header.header(reader, bool(options["show_info"])))
            if options["header_only"]:
                return 0
        if pictures.wanted(options):
            return self.pictures()
        if options["stats"]:
            return self.stats()
        if options["tasks"] or options["mmaps"]:
            return self.tasks()
        if pictures.wanted(options):
            self.read()
            return pictures.draw(options, self.profile)
        return self.truth() if options["truth"] else self.histograms()

    def pictures(self) -> int:
        """Pictures of the samples that the options leave: by time, CPU, thread and comm."""
        self.read()
        self.choose_times()
        if not self.choose_samples():
            return 0
        return pictures.draw(self.options, self.profile, self.chosen())

    def chosen(self):
        """The samples that the view is of, as a mask."""
        import numpy as np

        from rvperf.profile import selection

        view, profile = self.view, self.profile
        mask = np.ones(len(profile), bool)
        if view.times is not None:
            mask &= selection.in_time(profile, view.times)
        if view.cpus is not None:
            mask &= np.isin(profile.cpu, view.cpus)
        if view.comms is not None:
            kept = [n for n, comm in enumerate(profile.comms) if comm in view.comms]
            mask &= np.isin(profile.comm, kept)
        for name, values in (("pid", view.pids), ("tid", view.tids)):
            if values is not None:
                threads = profile.threads
                kept = [n for n, one in enumerate(threads) if getattr(one, name) in values]
                mask &= np.isin(profile.thread, kept)
        return mask

    def stats(self) -> int:
        from rvperf.render import report as page

        put(page.stats(self.reader, bool(self.options["skip_empty"])))
        return 0

    def tasks(self) -> int:
        from rvperf.perfdata import records
        from rvperf.profile.machine import World
        from rvperf.render import report as page

        world = World(self.reader.features.get("BUILD_ID", ()))
        maps = bool(self.options["mmaps"])
        kinds = {records.Comm.type, records.Fork.type}
        if maps:
            kinds |= {records.Mmap.type, records.Mmap2.type}
        for _, record in self.reader.records():
            if record.type in kinds:
                world.apply(record)
        put(page.tasks(world, maps))
        return 0

    # --- what kind of report

    @property
    def sample_type(self) -> int:
        """What all samples together have. perf doesn't know when it sets up a pipe's report."""
        combined = 0
        if not self.reader.is_pipe:
            for event in self.reader.events:
                combined |= event.attr.sample_type
        return combined

    def choose_mode(self) -> None:
        """Branches, memory accesses or samples; with callchains or without."""
        from rvperf.perfdata.attr import SAMPLE

        view, options = self.view, self.options
        stacks = not self.reader.is_pipe and self.reader.present >> 15 & 1  # HEADER_BRANCH_STACK
        if self.sample_type & SAMPLE.STACK_USER:
            stacks = False
        asked = options["branch_stack"]
        if asked or (asked is None and stacks):
            view.mode, view.children = "branch", False
        if options["mem_mode"]:
            if view.mode == "branch":
                raise Failure("branch and mem mode incompatible\n", 0)
            view.mode, view.children = "memory", False

    def choose_samples(self) -> bool:
        """-C and --time. False: end here."""
        from rvperf.profile import selection

        view, options = self.view, self.options
        if options["cpu"] is not None and view.cpus is None:
            try:
                view.cpus = tuple(selection.cpus(self.profile, options["cpu"]))
            except selection.SelectionError as error:
                tell(f"{error}\nError:\nfailed to set cpu bitmap\n")
                return False
        return True

    def choose_times(self) -> None:
        from rvperf.profile import selection

        if self.options["time"] is not None:
            try:
                ranges = selection.time_ranges(self.options["time"], self.profile)
            except selection.SelectionError as error:
                raise Failure(f"{error}\n", 234) from None
            self.view.times = tuple(ranges)

    def choose_chains(self) -> bool:
        """What of callchains there is to show (report__setup_sample_type). False: end here."""
        from rvperf.perfdata.attr import SAMPLE

        view, kind = self.view, self.sample_type
        if not kind & SAMPLE.CALLCHAIN and not self.reader.is_pipe:
            if "parent" in self.columns.has:
                tell("Error:\nSelected --sort parent, but no callchain data. Did you call "
                     "'perf record' without -g?\n")  # fmt: skip
                return False
            if view.chains_asked:
                tell("Error:\nSelected -g or --branch-history.\nBut no callchain or branch data.\n"
                     "Did you call 'perf record' without -g or -b?\n")  # fmt: skip
                return False
            view.callchains = False
        else:
            view.callchains = view.chain_mode != "none"
        if view.children and not kind & SAMPLE.CALLCHAIN:
            view.children = False
            self.cancel_children()
        if view.mode == "branch" and not self.reader.is_pipe and not kind & SAMPLE.BRANCH_STACK:
            tell("Error:\nSelected -b but no branch data. Did you call perf record without -b?\n")
            return False
        if view.mode == "memory" and not self.reader.is_pipe and not kind & SAMPLE.DATA_SRC:
            tell("Error:\nSelected --mem-mode but no mem data. "
                 "Did you call perf record without -d?\n")  # fmt: skip
            return False
        return True

    def cancel_children(self) -> None:
        """Without callchains there is nothing to accumulate (perf_hpp__cancel_cumulate)."""
        if self.view.fields is not None and not self.view.fields.startswith("+"):
            return
        columns = self.columns
        columns.fields = [c for c in columns.fields if not getattr(c, "accumulated", False)]
        for column in columns.fields:
            if column.name == "overhead":
                column.header = "Overhead"

    def set_up(self) -> None:
        from rvperf.profile import sortkeys

        view = self.view
        if view.sort and "ipc" in view.sort:
            raise Usage("", ("sort",))
        if view.sort and "symbol" in view.sort:
            view.sort += ",ipc_lbr" if view.mode == "branch" else ",ipc_null"
        formats = self.formats()
        if formats:
            from rvperf.perfdata.trace_format import fields_of

            view.formats = {index: fields_of(text) for index, text in formats.items()}
        try:
            events = () if self.reader.is_pipe else self.reader.events
            self.columns = sortkeys.set_up(view, events)
        except sortkeys.SortError as error:
            about = tuple(name for name in ("sort", "fields") if getattr(view, name))
            raise Usage(f"Error:\n{error.message}\n", about, 0) from None

    # --- histograms

    def histograms(self) -> int:
        from rvperf.profile import hists as histograms
        from rvperf.render import report as page

        view, options = self.view, self.options
        self.force_group()
        self.set_up()
        terminal = not options["stdio"] and not options["header"] and is_terminal()
        browsing = terminal and self.reader.path != "-" and not options["threads"]
        browsing = browsing and has_browser()
        if not (options["header"] or self.quiet or browsing):
            say(page.HINT)
        if view.separator == ".":
            raise Failure("'.' is the only non valid --field-separator argument\n", 0)
        self.read()
        self.choose_times()
        elided = page.elide(self.columns, view)
        if not browsing:
            put(elided)
        if not self.choose_samples() or not self.choose_chains():
            return 0
        for column, width in zip(self.columns.fields, view.widths, strict=False):
            column.user_width = width
        filler = histograms.fill(self.profile, view, self.columns, self.formatters())
        histograms.settle(filler.hists, view)
        for one in filler.hists:
            one.forced = self.forced
        self.warn()
        if not any(one.found for one in filler.hists):
            tell(f"Error:\nThe {self.reader.path} data has no samples!\n")
            return 0
        if browsing:
            return self.browse(filler)
        self.print(filler)
        return 0

    def truth(self) -> int:
        """--truth: sampled shares beside exact ones."""
        from rvperf.profile import hists as histograms
        from rvperf.profile import truth
        from rvperf.render import truth as page

        view, options = self.view, self.options
        try:
            exact = truth.of(self.reader.path)
        except truth.TruthError as error:
            raise Failure(f"{self.reader.path}: {error}\n", 255) from None
        if exact is None:
            raise Failure(
                f"{self.reader.path}: no exact counts in this file "
                "(try 'rvperf record --truth' first)\n", 255,
            )  # fmt: skip
        view.sort = view.sort or "dso,sym"
        view.mode, view.children, view.group, view.fields = "normal", False, False, None
        view.chain_mode = "none"
        self.forced = False
        self.set_up()
        self.columns.sorts = [c for c in self.columns.sorts if c.name != "ipc_null"]
        for column in self.columns.keys:
            if column.name not in truth.KEYS:
                raise Usage(
                    f" Error: exact counts can't be sorted by `{column.name}', only by "
                    f"{', '.join(truth.KEYS)}\n", ("sort",),
                )  # fmt: skip
        self.read()
        self.choose_times()
        if not self.choose_samples():
            return 0
        filler = histograms.fill(self.profile, view, self.columns)
        counts = truth.join(filler, exact)
        histograms.settle(filler.hists, view)
        self.warn()
        least = options["percent_limit"] or 0.0
        put("".join(page.truth(filler.hists, counts, view.separator, least)))
        return 0

    def force_group(self) -> None:
        """--group makes one group of all events if there is none."""
        events = self.reader.events
        self.forced = False
        if self.options["group"] is False:
            self.view.group = False
        if self.options["group"] is not None and all(event.members <= 1 for event in events):
            for event in events:
                event.leader = 0
            events[0].members = len(events)
            self.forced = len(events) > 1
        if self.view.group_index and all(event.members <= 1 for event in events):
            raise Usage("", ("group-sort-idx",), INVALID_STATUS)

    def read(self) -> None:
        """Resolve the samples."""
        from rvperf.profile.samples import Profile
        from rvperf.profile.unwinding import Unwinder
        from rvperf.symbols import Symbols

        whose = self.options.get("whose")
        symbols = Symbols(
            symfs=self.options["symfs"], kallsyms=contents(self.options["kallsyms"]),
            guest_kallsyms=guest_kallsyms(self.options) if whose else None,
            demangled=bool(self.options["demangle"]),
        )  # fmt: skip
        unwinder = Unwinder(max(1, self.view.max_stack)) if self.view.max_stack else None
        guest, host = (whose.guest, whose.host) if whose else (False, True)
        self.profile = Profile(self.reader, symbols, guest, unwinder, host)

    def formats(self) -> dict[int, str]:
        """The formats of tracepoints, by the event's index."""
        if all(event.attr.type != 2 for event in self.reader.events):
            return {}
        from rvperf.perfdata import tracing

        known = tracing.formats_by_id(self.reader.features.get("TRACING_DATA", b""))
        return {
            event.index: known[event.attr.config]
            for event in self.reader.events
            if event.attr.type == 2 and event.attr.config in known
        }

    def formatters(self) -> dict:
        """For tracepoints: functions from raw data to text."""
        from rvperf.perfdata import trace_format

        return {index: trace_format.Printer(text) for index, text in self.formats().items()}

    def warn(self) -> None:
        """What perf says on standard error of what went wrong while recording."""
        from rvperf.perfdata import records

        if self.quiet:
            return
        types = self.reader.types
        lost = int((types == records.Lost.type).sum())
        if lost:
            tell(f"Warning:\nProcessed {len(types)} events and lost {lost} chunks!\n\n"
                 "Check IO/CPU overload!\n\n")  # fmt: skip

    def lost(self) -> int:
        from rvperf.perfdata import records
        from rvperf.perfdata.records import RecordError

        total = 0
        for number in (self.reader.types == records.LostSamples.type).nonzero()[0].tolist():
            try:
                total += self.reader.record(number).lost
            except RecordError:
                continue
        return total

    def print(self, filler) -> None:
        from rvperf.profile.sortkeys import DEFAULTS
        from rvperf.render import report as page

        view, options = self.view, self.options
        pieces = page.report(
            filler.hists, view, self.lost(), options["percent_limit"] or 0.0, self.quiet,
            options["time"], bool(options["skip_empty"]), sort=view.sort or DEFAULTS["memory"],
        )  # fmt: skip
        held, size = [], 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > 1 << 16:
                put("".join(held))
                held, size = [], 0
        put("".join(held))
        if options["threads"]:
            put(page.threads(self.reader))
        if view.mode == "branch":
            put(page.branch_statistics(filler.branch_kinds))

    def browse(self, filler) -> int:
        import gc

        from rvperf.render import browser

        gc.enable()
        browser.browser(filler, self.options["percent_limit"] or 0.0).run()
        return 0


def contents(path: str | None) -> bytes | None:
    """What is in a file of symbols. Raises Failure."""
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}\n", 255) from None


def guest_kallsyms(options: dict) -> bytes | None:
    """The symbols of the guest's kernel, in the form of /proc/kallsyms. Raises Failure.

    Without an option they are those that `kvm record` has left beside the recording, if it has.
    """
    from rvperf.symbols.elf import ElfError
    from rvperf.symbols.kallsyms import text_of_vmlinux

    vmlinux = options["guestvmlinux"]
    if not vmlinux:
        beside = f"{options['input']}.kallsyms"
        return contents(options["guestkallsyms"] or (beside if os.path.isfile(beside) else None))
    try:
        return text_of_vmlinux(contents(vmlinux))
    except ElfError as error:
        raise Failure(f"{vmlinux}: {error}\n", 255) from None


def is_terminal() -> bool:
    """Whether there is somebody to look at a browser and to press keys."""
    try:
        on_both = sys.stdout is not None and sys.stdout.isatty() and os.isatty(0)
    except (OSError, ValueError):
        return False
    return on_both and os.environ.get("TERM", "dumb") != "dumb"


def has_browser() -> bool:
    from importlib.util import find_spec

    return find_spec("textual") is not None


def put(text: str) -> None:
    """Print a text whose characters are bytes."""
    from rvperf.profile.sortkeys import reveal

    if text:
        say(reveal(text))


def manual() -> str:
    return (
        "rvperf-report - Read perf.data (created by perf record) and display the profile\n\n"
        + usage(SYNOPSIS, OPTIONS)
    )
