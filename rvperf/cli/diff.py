"""`rvperf diff`: what has changed between recordings."""

from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.report import (
    Failure,
    check_owner,
    names_of,
    put,
    separator,
)
from rvperf.cli.streams import tell

SYNOPSIS = "rvperf diff [<options>] [old_file] [new_file]"
OPTIONS = (
    Option("v", "verbose", "be more verbose (show symbol address, etc)", "count"),
    Option("q", "quiet", "Do not show any warnings or messages"),
    Option("b", "baseline-only", "Show only items with match in baseline"),
    Option("c", "compute", "Entries differential computation selection", "text",
           "delta,delta-abs,ratio,wdiff:w1,w2 (default delta-abs),cycles", default="delta-abs"),
    Option("p", "period", "Show period values."),
    Option("F", "formula", "Show formula."),
    Option("D", "dump-raw-trace", "", "missing"),
    Option("f", "force", "don't complain, do it"),
    Option("", "kallsyms", "kallsyms pathname", "text", "file"),
    Option("d", "dsos", "only consider symbols in these dsos", "text", "dso[,dso...]"),
    Option("C", "comms", "only consider symbols in these comms", "text", "comm[,comm...]"),
    Option("S", "symbols", "only consider these symbols", "text", "symbol[,symbol...]"),
    Option("s", "sort", "sort by key(s): pid, comm, dso, symbol, parent, cpu, srcline, ... "
           "Please refer the man page for the complete list.", "text", "key[,key2...]"),
    Option("t", "field-separator", "separator for columns, no spaces will be added between "
           "columns '.' is reserved.", "text", "separator"),
    Option("", "symfs", "Look for files with symbols relative to this directory", "text",
           "directory"),
    Option("o", "order", "Specify compute sorting.", "number", "n", default=1),
    Option("", "percentage", "How to display percentage of filtered entries", "text",
           "relative|absolute"),
    Option("", "time", "Time span (time percent or absolute timestamp)", "text", "str"),
    Option("", "cpu", "list of cpus to profile", "text", "cpu"),
    Option("", "pid", "only consider symbols in these pids", "text", "pid[,pid...]"),
    Option("", "tid", "only consider symbols in these tids", "text", "tid[,tid...]"),
    Option("", "stream", "", "missing"),
    Option("", "fail-above", "End with status 1 if the share of any entry has grown by more than "
           "this many percentage points, and name those entries", "text", "points"),
)  # fmt: skip


def run(words: list[str]) -> int:
    try:
        options, files = parse(OPTIONS, words, anywhere=True)
        return diff(options, files)
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    except Failure as failure:
        tell(failure.message)
        return failure.status


def diff(options: dict, files: list[str]) -> int:
    from rvperf.profile import diff as differences
    from rvperf.profile.sortkeys import SortError
    from rvperf.render import diff as page
    from rvperf.render.report import elide

    files = ["perf.data.old", *(files or ["perf.data"])] if len(files) < 2 else files
    limit = points_of(options["fail_above"])
    view, computation = view_of(options), computation_of(options["compute"])
    if not 0 <= options["order"] < len(files):
        raise Failure("Order option out of limit.\n", 255)
    profiles = [profile_of(file, options, view) for file in files]
    try:
        found = differences.compare(
            profiles, view, computation, options["order"], bool(options["period"]),
            bool(options["formula"]), bool(options["baseline_only"]),
        )  # fmt: skip
    except SortError as error:
        raise Usage(f"Error:\n{error.message}\n", None) from None
    for one in found:
        elide(one.hists.columns, view)
    quiet = bool(options["quiet"])
    put("".join(page.diff(found, files, quiet, bool(options["verbose"]))))
    if limit is None:
        return 0
    grown = [line for one in found for line in page.grown(one, limit)]
    for line in grown:
        tell(f"{line}\n")
    return 1 if grown else 0


def points_of(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text.removesuffix("%"))
    except ValueError:
        raise Usage(" Error: option `fail-above' expects a number\n", ("fail-above",)) from None


def computation_of(text: str):
    """-c's value. Raises Usage."""
    from rvperf.profile.diff import COMPUTATIONS, Computation

    text = text.removeprefix("+")
    name, colon, rest = text.partition(":")
    if name == "wdiff":
        first, _, second = rest.partition(",")
        try:
            weights = int(first), int(second)
        except ValueError:
            weights = 0, 0
        if not all(weights):
            raise Failure("Failed: wrong weight data, use 'wdiff:w1,w2'\n", 129)
        return Computation(name, weights)
    if name not in COMPUTATIONS or colon:
        if colon:
            raise Failure(f"Failed: extra option specified '{rest}'", 129)
        raise Failure(
            f"Failed: '{name}' is not computation method (use 'delta','ratio' or 'wdiff')\n", 129
        )
    return Computation(name)


def view_of(options: dict):
    from rvperf.cli.report import integers
    from rvperf.profile.sortkeys import View

    view = View(sort=options["sort"], mode="diff", children=False, max_stack=0)
    view.verbose = options["verbose"] or 0
    view.separator = separator(options["field_separator"])
    for name in ("comms", "dsos", "symbols"):
        if options[name] is not None:
            setattr(view, name, names_of(options[name]))
    view.pids, view.tids = integers(options, "pid"), integers(options, "tid")
    view.relative = options["percentage"] == "relative"
    return view


def profile_of(path: str, options: dict, view):
    from rvperf.perfdata.reader import PerfDataError, Reader
    from rvperf.profile import selection
    from rvperf.profile.samples import Profile
    from rvperf.symbols import Symbols

    try:
        if not options["force"]:
            check_owner(path)
        reader = Reader(path)
    except PerfDataError as error:
        raise Failure(f"{error.message}\nFailed to open {path}\n", 255) from None
    except Failure as failure:
        raise Failure(f"{failure.message}Failed to open {path}\n", 255) from None
    for warning in reader.warnings:
        tell(f"{warning}\n")
    kallsyms = None
    if options["kallsyms"]:
        try:
            with open(options["kallsyms"], "rb") as file:
                kallsyms = file.read()
        except OSError as error:
            raise Failure(f"{options['kallsyms']}: {error.strerror}\n", 255) from None
    profile = Profile(reader, Symbols(symfs=options["symfs"], kallsyms=kallsyms))
    try:
        if options["cpu"] is not None:
            view.cpus = tuple(selection.cpus(profile, options["cpu"]))
        if options["time"] is not None:
            view.times = tuple(selection.time_ranges(options["time"], profile))
    except selection.SelectionError as error:
        raise Failure(f"{error}\n", 234) from None
    return profile


def manual() -> str:
    return "rvperf-diff - Read perf.data files and display the differential profile\n\n" + usage(
        SYNOPSIS, OPTIONS
    )
