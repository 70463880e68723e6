"""`rvperf evlist`: the events in a perf.data."""

from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, tell

SYNOPSIS = "rvperf evlist [<options>]"
OPTIONS = (
    Option("i", "input", "Input file name", "text", "file", default="perf.data"),
    Option("F", "freq", "Show the sample frequency"),
    Option("v", "verbose", "Show all event attr details"),
    Option("g", "group", "Show event group information"),
    Option("f", "force", "don't complain, do it"),
    Option("", "trace-fields", "Show tracepoint fields"),
)


def run(words: list[str]) -> int:
    from rvperf.perfdata.reader import PerfDataError, Reader
    from rvperf.render import header

    try:
        options, rest = parse(OPTIONS, words)
        if rest:
            raise Usage("", None)
        if options["group"] and (options["verbose"] or options["freq"]):
            message = " Error: --group option is not compatible with other options\n"
            raise Usage(message, None)
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    try:
        reader = Reader(options["input"])
    except PerfDataError as error:
        tell(f"{error.message}\n")
        return error.status
    for warning in reader.warnings:
        tell(f"{warning}\n")
    say(
        header.evlist(
            reader,
            bool(options["verbose"]),
            bool(options["freq"]),
            bool(options["group"]),
            fields(reader) if options["trace_fields"] else None,
        )
    )
    return 0


def fields(reader):
    """A function from an event to the names of its tracepoint's fields."""
    from rvperf.perfdata import tracing

    formats = tracing.formats_by_id(reader.features.get("TRACING_DATA", b""))

    def names(event):
        return tracing.field_names(formats.get(event.attr.config, ""))

    return names


def manual() -> str:
    return "rvperf-evlist - List the event names in a perf.data file\n\n" + usage(SYNOPSIS, OPTIONS)
