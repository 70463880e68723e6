"""Event names, aliases, modifiers and the grammar of -e."""

from rvperf.events.event import Event, format_event
from rvperf.events.grammar import EventSyntaxError, parse_events
from rvperf.events.sets import DEFAULT, detailed
from rvperf.events.table import LISTED, Row

__all__ = [
    "DEFAULT",
    "LISTED",
    "Event",
    "EventSyntaxError",
    "Row",
    "detailed",
    "format_event",
    "parse_events",
]
