"""The options of `rvperf report` that write pictures and exports instead of a table."""

from rvperf.cli.options import INVALID_STATUS, Option, Usage
from rvperf.cli.streams import tell

EXPORTS = ("folded", "speedscope", "firefox", "pprof", "chrome")
"""What --format takes; rvperf.render.export has what they are."""
FAILED_STATUS = 255


def format_of(text: str) -> str:
    if text not in EXPORTS:
        message = f" Error: there is no format `{text}', only {', '.join(EXPORTS)}\n"
        raise Usage(message, ("format",))
    return text


OPTIONS = (
    Option("", "flamegraph", "write a flame graph to an SVG file", "text", "file"),
    Option(
        "",
        "html",
        "write a page with flame graph, table, timeline and annotated code to a file",
        "text",
        "file",
    ),
    Option(
        "",
        "format",
        f"export the samples: {', '.join(EXPORTS)}",
        "text",
        "format",
        convert=format_of,
    ),
    Option("o", "output", "where --format writes to (default: standard output)", "text", "file"),
    Option(
        "",
        "event",
        "the event of a picture or export, by name or number (default: the first; for html and "
        "speedscope all)",
        "text",
        "event",
    ),
)


def wanted(options: dict) -> list[tuple[str, str]]:
    """The pictures that the options ask for: (format, file) each. Raises Usage."""
    found = [(name, options[name]) for name in ("flamegraph", "html") if options[name] is not None]
    if options["format"] is not None:
        found.append((options["format"], options["output"] or "-"))
    elif options["output"] is not None:
        both = ("output", "format")
        raise Usage(" Error: option `output' is for --format\n", both)
    elif options["event"] is not None and not found:
        pictures = ("event", "flamegraph", "html", "format")
        raise Usage(" Error: option `event' is for pictures and exports\n", pictures)
    return found


def draw(options: dict, profile, chosen=None) -> int:
    """Write the pictures that the options ask for; the exit status.

    `profile` is a rvperf.profile.samples.Profile with symbols, `chosen` a mask over its samples.
    """
    from rvperf.render.export import export
    from rvperf.render.stacks import NoSuchEvent

    for format, path in wanted(options):
        try:
            export(profile, options["event"], format, path, chosen=chosen)
        except NoSuchEvent as error:
            tell(f"{error.message}\n")
            return INVALID_STATUS
        except BrokenPipeError:
            return 0
        except OSError as error:
            tell(f"failed to write {path}: {error.strerror}\n")
            return FAILED_STATUS
    return 0
