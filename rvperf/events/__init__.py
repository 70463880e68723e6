"""Event names, aliases, modifiers and the grammar of -e."""

from rvperf.events.event import Event, format_event
from rvperf.events.grammar import EventSyntaxError, parse_events
from rvperf.events.selection import listed
from rvperf.events.sets import DEFAULT, detailed
from rvperf.events.table import Row

__all__ = [
    "DEFAULT",
    "Event",
    "EventSyntaxError",
    "Row",
    "detailed",
    "format_event",
    "listed",
    "parse_events",
]
