"""`rvperf list`: the events that can be counted."""

import os
import sys

from isa.record import replace
from rvperf.cli import virtual_options
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
    replace(virtual_options.VM, help="list what perf has in a virtual machine"),
    *virtual_options.OPTIONS[1:],
)
HEADER = "\nList of pre-defined events (to be used in -e or -M):\n\n"


def run(words: list[str]) -> int:
    try:
        options, patterns = parse(OPTIONS, words)
        if explained := virtual_options.explained(options):
            say(explained)
            return 0
        check(options, patterns)
    except Usage as mistake:
        plain = isinstance(mistake, virtual_options.Mistake)
        tell(mistake.message + ("" if plain else usage(SYNOPSIS, OPTIONS, mistake.about)))
        return mistake.status
    rows = listed(patterns)
    if machine := virtual_options.machine(options):
        from rvperf.session.listing import list_events

        rows = list_events(request_of(patterns), machine)
    show(options, rows)
    return 0


def check(options, patterns) -> None:
    """What the option table alone can't say. Raises Usage."""
    virtual_options.check(options)


def request_of(patterns):
    """What a kernel is asked for."""
    from rvperf.session.listing import ListRequest

    return ListRequest(tuple(listed(patterns)), tuple(patterns))


def show(options, rows) -> None:
    """Print these events."""
    if options["raw_dump"]:
        say(page.names(rows))
        return
    if paged():
        say(HEADER)
    say(page.lines(rows, described=bool(options["long_desc"])))


def paged() -> bool:
    """perf prints its header only where it would start a pager."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return terminal and os.environ.get("PAGER", "less") not in ("", "cat")


def manual() -> str:
    return "rvperf-list - List all symbolic event types\n\n" + usage(SYNOPSIS, OPTIONS)
