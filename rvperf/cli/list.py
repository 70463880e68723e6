"""`rvperf list`: the events that can be counted."""

import os
import sys

from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, tell
from rvperf.events import listed
from rvperf.render import list as page

SYNOPSIS = "rvperf list [<options>] [hw|sw|cache|tracepoint|pmu|sdt|event_glob]"
OPTIONS = (
    Option("d", "desc", "Accepted, as no event here has an extra description.", default=True),
    Option("v", "long-desc", "Print what each event counts."),
    Option("", "raw-dump", "Print the names alone, on one line."),
    Option("", "details", "", "missing"),
    Option("", "debug", "", "missing"),
    Option("", "deprecated", "Print deprecated events."),
    Option("", "cputype", "", "missing", "hybrid cpu type"),
    Option("j", "json", "", "missing"),
)
HEADER = "\nList of pre-defined events (to be used in -e or -M):\n\n"


def run(words: list[str]) -> int:
    try:
        options, patterns = parse(OPTIONS, words)
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    rows = listed(patterns)
    if options["raw_dump"]:
        say(page.names(rows))
        return 0
    if paged():
        say(HEADER)
    say(page.lines(rows, described=bool(options["long_desc"])))
    return 0


def paged() -> bool:
    """perf prints its header only where it would start a pager."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return terminal and os.environ.get("PAGER", "less") not in ("", "cat")


def manual() -> str:
    return "rvperf-list - List all symbolic event types\n\n" + usage(SYNOPSIS, OPTIONS)
