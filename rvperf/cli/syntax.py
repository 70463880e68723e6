"""How a mistake in -e is shown: the text, a caret below the mistake, and what is wrong there."""

import os

from rvperf.events import EventSyntaxError

INTRODUCTION = "event syntax error: "
FURTHEST = 13
"""perf cuts the text's beginning so that the caret never stands further right than this."""


def syntax_error(error: EventSyntaxError, width: int | None = None) -> str:
    """perf's lines for an event that can't be parsed, in a terminal of this width."""
    room = (width or terminal_width()) - 2 - len(INTRODUCTION)
    cut = max(0, error.column - FURTHEST)
    shown = error.text[cut:]
    if cut:
        shown = ".." + shown[2:]
    if len(shown) > room:
        shown = shown[: room - 2] + ".."
    indent = " " * (len(INTRODUCTION) + error.column - cut + 1)
    return (
        f"{INTRODUCTION}'{shown}'\n{indent}\\___ {error.message}\n{error.detail}"
        "Run 'rvperf list' for a list of valid events\n"
    )


def terminal_width() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except (OSError, ValueError):
        return 80
