"""`rvperf annotate`: the code of the symbols that samples were in, with their shares."""

from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.script import contents, default_input
from rvperf.cli.streams import say, tell

SYNOPSIS = "rvperf annotate [<options>] [<symbol>]"
FAILED = 255
OPTIONS = (
    Option("i", "input", "input file name", "text", "file"),
    Option("d", "dsos", "only consider symbols in these dsos", "text", "dso[,dso...]"),
    Option("s", "symbol", "symbol to annotate", "text", "symbol"),
    Option("f", "force", "don't complain, do it"),
    Option("v", "verbose", "be more verbose (show symbol address, etc)", "count"),
    Option("q", "quiet", "do now show any warnings or messages"),
    Option("D", "dump-raw-trace", "", "missing"),
    Option("", "gtk", "", "missing"),
    Option("", "tui", "", "missing"),
    Option("", "stdio", "Use the stdio interface"),
    Option("", "stdio2", "", "missing"),
    Option("", "ignore-vmlinux", "don't load vmlinux even if found"),
    Option("k", "vmlinux", "", "missing", "file"),
    Option("", "kallsyms", "kallsyms pathname", "text", "file"),
    Option("m", "modules", "load module symbols - WARNING: use only with -k and LIVE kernel"),
    Option("l", "print-line", "print matching source lines (may be slow)"),
    Option("P", "full-paths", "Don't shorten the displayed pathnames"),
    Option("", "skip-missing", "Skip symbols that cannot be annotated"),
    Option("", "group", "Show event group information together"),
    Option("C", "cpu", "list of cpus to profile", "text", "cpu"),
    Option("", "symfs", "Look for files with symbols relative to this directory", "text",
           "directory"),
    Option("", "source", "Interleave source code with assembly code (default)", default=True),
    Option("", "asm-raw", "", "missing"),
    Option("M", "disassembler-style", "accepted: there is one style", "text",
           "disassembler style"),
    Option("", "prefix", "", "missing", "prefix"),
    Option("", "prefix-strip", "", "missing", "N"),
    Option("", "objdump", "accepted: no objdump is needed", "text", "path"),
    Option("", "demangle", "Enable symbol demangling", default=True),
    Option("", "show-total-period", "Show a column with the sum of periods"),
    Option("n", "show-nr-samples", "Show a column with the number of samples"),
    Option("", "stdio-color", "'always' (default), 'never' or 'auto' only applicable to --stdio "
           "mode", "text", "mode"),
    Option("", "percent-type", "Set percent type local/global-period/hits", "text",
           "local-period"),
    Option("", "percent-limit", "Don't show entries under that percent", "text", "percent"),
)  # fmt: skip


def run(words: list[str]) -> int:
    try:
        options, rest = parse_all(words)
        if len(rest) > 1:
            raise Usage("", None)
        if rest:
            options["symbol"] = rest[0]
        options["percent_type"] = percent_type(options["percent_type"])
        options["percent_limit"] = percent_limit(options["percent_limit"])
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    return show(options)


def parse_all(words: list[str]) -> tuple[dict[str, object], list[str]]:
    """Options may stand behind the symbol, too."""
    options, rest = parse(OPTIONS, words)
    symbols = []
    while rest:
        symbols.append(rest[0])
        more, rest = parse(OPTIONS, rest[1:])
        defaults, _ = parse(OPTIONS, [])
        options.update((k, v) for k, v in more.items() if v != defaults[k])
    return options, symbols


def percent_type(text: str | None) -> str:
    """perf takes the two words in any order."""
    words = (text or "local-period").split("-")
    for scope in ("local", "global"):
        for unit in ("period", "hits"):
            if sorted(words) == sorted((scope, unit)):
                return f"{scope}-{unit}"
    raise Usage("Error: Invalid percent type\n", ("percent-type",))


def percent_limit(text: str | None) -> float:
    try:
        return float((text or "0").rstrip("%"))
    except ValueError:
        return 0.0


def show(options) -> int:
    import numpy as np

    from rvperf.perfdata.reader import PerfDataError, Reader
    from rvperf.profile import selection
    from rvperf.profile.samples import Profile
    from rvperf.symbols import Symbols

    try:
        reader = Reader(options["input"] or default_input())
        symbols = Symbols(symfs=options["symfs"], kallsyms=contents(options["kallsyms"]))
    except PerfDataError as error:
        tell(f"{error.message}\n")
        return error.status
    except OSError as error:
        tell(f"{error.filename}: {error.strerror}\n")
        return FAILED
    if not options["quiet"]:
        tell("".join(f"{warning}\n" for warning in reader.warnings))
    profile = Profile(reader, symbols)
    chosen = selection.not_guests(profile)
    try:
        if options["cpu"]:
            chosen &= selection.on_cpus(profile, selection.cpus(profile, options["cpu"]))
    except selection.SelectionError as error:
        tell(f"{error}\n")
        return FAILED
    if options["dsos"]:
        chosen &= selection.in_dsos(profile, frozenset(options["dsos"].split(",")))
    chosen = np.flatnonzero(chosen)
    if not len(chosen):
        tell(f"Error:\nThe {reader.path} data has no samples!\n")
        return 0
    shown = [
        of_events(profile, events, forced, chosen, options)
        for events, forced in groups(reader.events, options["group"])
    ]
    if options["symbol"] and not any(shown):
        tell(f"Error:\nThe {reader.path} data has no samples!\n")
    return 0


def groups(events, together: bool):
    """The events that are shown together, and whether --group did that."""
    if together and all(event.members == 1 for event in events):
        yield tuple(events), len(events) > 1
        return
    for event in events:
        if event.leader == event.index:
            yield tuple(events[event.index : event.index + event.members]), False


def of_events(profile, events, forced: bool, chosen, options) -> bool:
    """Show some events' symbols; whether there are any."""
    from rvperf.render import annotate
    from rvperf.render.annotate import AnnotateError, Look

    look = Look(
        print_line=bool(options["print_line"]),
        full_paths=bool(options["full_paths"]),
        total_period=bool(options["show_total_period"]),
        samples=bool(options["show_nr_samples"]),
    )
    only = options["symbol"]
    spots = annotate.hottest(profile, events[0], chosen, only)
    whole = sum(spot.period for spot in spots) if only else None
    if whole is None:
        whole = int(profile.period[chosen][profile.event[chosen] == events[0].index].sum())
    refused = set()
    for spot in spots:
        if spot.dso.index in refused:
            continue
        if whole and 100 * spot.period / whole < options["percent_limit"]:
            continue
        try:
            found = annotate.annotate(
                profile, spot.dso, spot.symbol, events, chosen, options["percent_type"],
                bool(options["source"]), only,
            )  # fmt: skip
        except AnnotateError as error:
            refused.add(spot.dso.index)
            tell(f"Error:\nCouldn't annotate {spot.symbol.name}:\n{error}\n")
            continue
        say(annotate.text(found, look, forced))
    return bool(spots)


def manual() -> str:
    return (
        "rvperf-annotate - Read perf.data (created by perf record) and display annotated code\n\n"
        + usage(SYNOPSIS, OPTIONS)
    )
