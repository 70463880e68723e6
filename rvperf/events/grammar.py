"""The grammar of -e, as perf-list(1) and perf-record(1) describe it.

    events := item (',' item)*
    item   := [NAME] '{' single (',' single)* '}' [':' MODIFIERS] | single
    single := SYMBOL [tail] | CACHE ['-' OP] ['-' RESULT] [tail] | 'r' HEX [tail]
            | SYS ':' TRACEPOINT [':' MODIFIERS] | PMU '/' [terms] '/' [MODIFIERS]
            | 'mem:' ADDR ['/' LEN] [':' ACCESS] [':' MODIFIERS]
    tail   := ':' [MODIFIERS] | '/' [terms] '/' [MODIFIERS]
    terms  := term (',' term)* ;   term := NAME ['=' VALUE]

Errors carry the column that perf 6.1 would point at. perf's parser points at the token before the
one that it could not use (at the end of the text: before the last), and it reads each event's text
once as a whole before it reads its parts; `Mark` tokens below stand for that first reading.
"""

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from isa.record import Record, replace
from rvperf.events import table
from rvperf.events.event import MODIFIERS, Event, ModifierError


class EventSyntaxError(ValueError):
    """Text that names no event. `column` is where perf points (-1: before the text)."""

    def __init__(self, text: str, column: int, message: str, detail: str = ""):
        super().__init__(message)
        self.text, self.column, self.message, self.detail = text, column, message, detail


class Token(Record):
    kind: str
    """symbol, cache, part, raw, modifiers, number, name, mem, mark, space, end, other, or, for
    punctuation, the character itself."""
    text: str
    start: int


CACHE_NAMES = {name: i for i, (names, _) in enumerate(table.CACHES) for name in names}
OPERATION_NAMES = {name: i for i, names in enumerate(table.OPERATIONS) for name in names}
RESULT_NAMES = {name: i for i, names in enumerate(table.RESULTS) for name in names}


def one_of(words) -> Callable[[str, int], int]:
    """A function that gives the length of the longest of `words` at a place of a text, or 0."""
    longest_first = sorted(words, key=len, reverse=True)
    return lambda text, at: next(
        (len(word) for word in longest_first if text.startswith(word, at)), 0
    )


def pattern(expression: str) -> Callable[[str, int], int]:
    """A function that gives the length of what a regular expression matches there, or 0."""
    match = re.compile(expression).match
    return lambda text, at: found.end() - at if (found := match(text, at)) else 0


# The longest match wins; of equal ones, the first.
WORDS = [
    ("symbol", one_of(table.SYMBOLS)),
    ("cache", one_of(CACHE_NAMES)),
    ("part", one_of({**OPERATION_NAMES, **RESULT_NAMES})),
    ("mem", one_of(("mem:",))),
    ("raw", pattern("r(0x)?[0-9a-fA-F]+")),
    ("modifiers", pattern(f"[{MODIFIERS}]+")),
    ("number", pattern("0x[0-9a-fA-F]+|[0-9]+")),
    ("name", pattern(r"[a-zA-Z_*?\[\]][a-zA-Z0-9_*?.\[\]!]*")),
    ("space", pattern(r"\s+")),
]
TERM_WORDS = [
    ("number", pattern("0x[0-9a-fA-F]+|[0-9]+")),
    ("name", pattern(r"[a-zA-Z_*?\[\]][a-zA-Z0-9_*?.\[\]!:-]*")),
    ("space", pattern(r"\s+")),
]
PUNCTUATION = "{}:,/=-"

ENTRY = re.compile(r"[^,{}/]+")
"""An event's text as perf reads it first."""


def longest(words, text, at) -> tuple[str, str]:
    """Kind and text of what begins at a place; punctuation is its own kind."""
    kind, found = "other", text[at]
    if found in PUNCTUATION:
        kind = found
    length = 0
    for candidate, length_of in words:
        reach = length_of(text, at)
        if reach > length:
            length = reach
            kind, found = candidate, text[at : at + reach]
    return kind, found


def tokens(text: str) -> Iterator[Token]:
    at, entering, in_terms, in_breakpoint = 0, True, False, False
    while at < len(text):
        if entering:
            if text[at] == "{" or ENTRY.match(text, at):
                yield Token("mark", "", at)
            entering = False
        kind, found = longest(TERM_WORDS if in_terms else WORDS, text, at)
        if kind == "/" and not in_breakpoint:
            in_terms = not in_terms
        elif kind == "mem":
            in_breakpoint = True
        elif kind in ",{" and not in_terms:
            entering, in_breakpoint = True, False
        elif kind == "other" and in_terms:
            kind = "space"  # perf passes over what it can't read there
        yield Token(kind, found, at)
        at += len(found)


class Tokens:
    """The tokens with one to look ahead, and the column that an error would point at."""

    def __init__(self, text: str):
        self.text = text
        self.stream = tokens(text)
        self.start, self.column = 1, 1  # perf's locations begin at 1
        self.advance()

    def advance(self) -> None:
        for token in self.stream:
            self.column, self.start = self.start, token.start
            if token.kind not in ("mark", "space"):
                self.next = token
                return
        self.next = Token("end", "", len(self.text))

    def take(self, *kinds: str) -> Token | None:
        """The next token if it is of one of these kinds."""
        token = self.next
        if token.kind not in kinds:
            return None
        self.advance()
        return token

    def expect(self, *kinds: str) -> Token:
        return self.take(*kinds) or self.fail("parser error")

    def fail(self, message, column=None, detail=""):
        column = self.column if column is None else column
        raise EventSyntaxError(self.text, column, message, detail)


def parse_events(text: str, sampling: bool = False) -> tuple[Event, ...]:
    """The events that a -e argument asks for, in its order. `sampling` allows the terms that say
    how events are sampled.

    Raises EventSyntaxError.
    """
    stream = Tokens(text)
    stream.sampling = sampling
    events, groups = [], 0
    while True:
        members = group(stream, groups)
        if members is None:
            members = single(stream)
        else:
            groups += 1
        events += members
        if stream.take("end"):
            return tuple(events)
        stream.expect(",")


def group(stream: Tokens, number: int) -> list[Event] | None:
    """A {group}, or None if none begins here."""
    if stream.next.kind != "{" and not named_group(stream):
        return None
    stream.take("name")
    stream.expect("{")
    members = single(stream)
    while stream.take(","):
        members += single(stream)
    stream.expect("}")
    if stream.take(":"):
        letters = stream.expect("modifiers")
        members = [modified(stream, event, letters) for event in members]
    return [replace(event, group=number) for event in members]


def named_group(stream) -> bool:
    after = stream.next.start + len(stream.next.text)
    return stream.next.kind == "name" and stream.text[after : after + 1] == "{"


def single(stream: Tokens) -> list[Event]:
    """One event; several if it is a tracepoint glob."""
    first = stream.next
    if first.kind == "symbol":
        return [symbol(stream)]
    if first.kind == "cache":
        return [cache(stream)]
    if first.kind == "raw" and stream.text[first.start + len(first.text) :][:1] != "/":
        return [raw(stream)]
    if first.kind == "mem":
        return [breakpoint_(stream)]
    if first.kind in ("name", "part", "modifiers"):
        return named(stream)
    return stream.fail("parser error")


def from_row(row: table.Row, name: str) -> Event:
    return Event(name, row.symbol, row.kind, row.type, row.config, row.source, row.unit, row.scale)


def symbol(stream) -> Event:
    first = stream.expect("symbol")
    row = table.SYMBOLS[first.text]
    event = from_row(row, first.text)
    if row.kind == "tool" and stream.take("/"):
        stream.expect("/")
        letters = stream.take("modifiers")
        event = modified(stream, event, letters) if letters else event
    else:
        event = tail(stream, event)
    return typed(stream, event, first)


def typed(stream, event, first) -> Event:
    """With the name as the user wrote it, unless a term named it."""
    if event.name != first.text:
        return event
    return replace(event, name=stream.text[first.start : stream.next.start].strip())


def cache(stream) -> Event:
    """A cache, an operation and a result, the last two in any order and both optional."""
    first = stream.expect("cache")
    name, operation, result = first.text, None, None
    while stream.next.kind == "-" and (operation is None or result is None):
        stream.expect("-")
        part = stream.expect("part")
        name += "-" + part.text
        if operation is None and part.text in OPERATION_NAMES:
            operation = OPERATION_NAMES[part.text]
        elif result is None and part.text in RESULT_NAMES:
            result = RESULT_NAMES[part.text]
    row = table.CACHE_EVENTS.get((CACHE_NAMES[first.text], operation or 0, result or 0))
    if row is None:
        stream.fail(f"{first.text} has no such operation", first.start)
    return tail(stream, from_row(row, name))


def raw(stream) -> Event:
    first = stream.expect("raw")
    config = int(first.text.removeprefix("r"), 16)
    event = Event(first.text, first.text, "raw", table.RAW, config, None)
    return typed(stream, tail(stream, event), first)


def breakpoint_(stream) -> Event:
    """`mem:0x1000/8:rw`: nothing counts it yet, so its parts are only checked."""
    first = stream.expect("mem")
    address = stream.expect("number")
    if stream.take("/"):
        stream.expect("number")
    end = stream.next.start
    config = int(address.text, 0)
    event = Event(first.text, first.text, "breakpoint", table.BREAKPOINT, config, None)
    while stream.take(":"):
        letters = stream.take("modifiers")
        if letters:
            event = modified(stream, event, letters)
        elif stream.next.kind in ("name", "raw") and set(stream.next.text) <= set("rwx"):
            stream.advance()
            end = stream.next.start
    text = stream.text[first.start : stream.next.start].strip()
    return replace(event, name=text, symbol=stream.text[first.start : end].strip())


def named(stream) -> list[Event]:
    """A tracepoint, or a PMU with terms."""
    first = stream.next
    stream.advance()
    if stream.next.kind == "/":
        return [pmu(stream, first)]
    system = first.text
    if stream.next.kind == "-":
        stream.expect("-")
        system += "-" + stream.expect("name", "part", "modifiers").text
    stream.expect(":")
    point = stream.expect("name", "part", "modifiers", "symbol", "cache", "raw").text
    letters = None
    if stream.next.kind == "/":
        stream.advance()
        unknown_term(stream, stream.expect("name"), "call-graph,stack-size", "\n")
    if stream.take(":"):
        letters = stream.take("modifiers")
    wanted = f"{system}:{point}"
    rows = [row for row in table.TRACEPOINT_EVENTS if fnmatchcase(row.symbol, wanted)]
    if not rows:
        stream.fail(
            "unknown tracepoint",
            0,
            f"\nError:\tFile /sys/kernel/tracing/events/{system}/{point} not found.\n"
            "Hint:\tPerhaps this kernel misses some CONFIG_ setting to enable this feature?.\n\n",
        )
    events = [from_row(row, row.symbol) for row in rows]
    return [modified(stream, event, letters) if letters else event for event in events]


PMU_TERMS = "event,firmware,config,config1,config2,name,period,percore,metric-id"
STAT_TERMS = "config,config1,config2,name,period,percore,metric-id"
RECORD_TERMS = (
    "freq branch_type time call-graph stack-size max-stack nr inherit no-inherit overwrite "
    "no-overwrite aux-output aux-sample-size"
).split()
SAMPLING_TERMS = "freq,time,call-graph,stack-size,max-stack,inherit,no-inherit"
"""Those of them that `record` knows."""
TEXT_TERMS = ("name", "metric-id", "call-graph")


def pmu(stream, first) -> Event:
    """The hart's own PMU, `cpu`: its raw events come later, so nothing counts them yet."""
    if first.text != "cpu":
        message = f"Cannot find PMU `{first.text}'. Missing kernel support?"
        stream.fail(message, first.start)
    event = Event(first.text, first.text, "pmu", table.RAW, 0, None)
    return typed(stream, tail(stream, event, PMU_TERMS, " for pmu 'cpu'"), first)


def tail(stream, event, valid=STAT_TERMS, whose="") -> Event:
    """What may follow an event: modifiers, or terms between slashes and then modifiers."""
    if stream.take("/"):
        event = terms(stream, event, valid, whose)
    elif not stream.take(":"):
        return event
    letters = stream.take("modifiers")
    return modified(stream, event, letters) if letters else event


def terms(stream, event, valid, whose) -> Event:
    if stream.take("/"):
        return event
    given = []
    while True:
        term = stream.expect("name")
        value = stream.expect("name", "number") if stream.take("=") else None
        given.append((term, value))
        if stream.take("/"):
            break
        stream.expect(",")
    for term, value in given:
        event = with_term(stream, event, term, value, valid, whose)
    return event


def with_term(stream, event, term, value, valid, whose) -> Event:
    if term.text in RECORD_TERMS and not stream.sampling:
        stream.fail(f"'{term.text}' is not usable in 'perf stat'", -1)
    if stream.sampling:
        valid = f"{valid},{SAMPLING_TERMS}"
    if term.text not in valid.split(","):
        unknown_term(stream, term, valid, whose=whose)
    if term.text in TEXT_TERMS:
        if value is None or value.kind != "name":
            stream.fail("expected string value", value.start if value else 0)
        if term.text == "name":
            return replace(event, name=value.text)
        return replace(event, terms=(*event.terms, (term.text, value.text)))
    if value is not None and value.kind != "number":
        stream.fail("expected numeric value", value.start)
    number = int(value.text, 16 if value.text.startswith("0x") else 10) if value else 1
    return replace(event, terms=(*event.terms, (term.text, number)))


def unknown_term(stream, term, valid, after="", whose=""):
    name = f"unknown term '{term.text}'" if whose else "unknown term"
    stream.fail(name + whose, term.start, f"\nvalid terms: {valid}\n{after}")


def modified(stream, event, letters: Token) -> Event:
    try:
        return event.modified(letters.text)
    except ModifierError:
        return stream.fail("Bad modifier", letters.start)
