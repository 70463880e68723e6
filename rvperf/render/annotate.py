"""The code of hot functions beside where in it the samples were.

    for spot in hottest(profile, event):
        found = annotate(profile, spot.dso, spot.symbol, (event,))
        for row in found.rows: row.address, row.percents, row.text, row.file, row.line

`hottest(profile, event, chosen=None, only=None) -> list[Spot]` has the symbols with samples, most
first; `annotate(profile, dso, symbol, events, chosen=None, percent="local-period", source=True) ->
Annotation` has the rows: those of instructions have an `address` and, for each event, `percents`,
`hits` and `periods`; those of source lines, function names and other text have none. `file` and
`line` say for both where in the source they are. `chosen` (indices or a mask) limits the samples.
AnnotateError says why there is no code. `text(annotation, …)` is what `rvperf annotate` prints.

The rows are those of `perf annotate --stdio --objdump=riscv64-linux-gnu-objdump`: the output of
`objdump -l -d -S --no-show-raw-insn -C` as tools/perf/util/annotate.c (6.1) reads it.
"""

import re

import numpy as np

from isa.record import Record
from rvperf.perfdata.reader import Event
from rvperf.profile.machine import Dso
from rvperf.profile.samples import Profile
from rvperf.symbols.demangle import demangle_in_full

PERCENTS = {
    "local-period": "local period", "global-period": "global period", "local-hits": "local hits",
    "global-hits": "global hits",
}  # fmt: skip
"""What percentages are of: the symbol or all, periods or samples; and perf's words for it."""
CONTEXT = 5
"""Lines before a function's first that objdump -S shows."""
FILE_LINE = re.compile(r"/[^:]+:(\d+)")
LEAST = 0.5
"""Percent that a line must have to be in the summary."""
DASHES = 255


class AnnotateError(Exception):
    """There is no code to show. The message says why."""


class Spot(Record):
    """A symbol with samples of an event."""

    dso: Dso
    symbol: object
    samples: int
    period: int


class Row(Record):
    """A row of the disassembly; `number` is what perf shows for rows without address."""

    address: int | None
    text: str
    file: str | None
    line: int
    number: int
    percents: tuple[float, ...] = ()
    hits: tuple[int, ...] = ()
    periods: tuple[int, ...] = ()


class Annotation(Record):
    """A symbol's code. `samples` and `periods` are the symbol's, for each event."""

    dso: Dso
    symbol: object
    events: tuple[Event, ...]
    rows: tuple[Row, ...]
    samples: tuple[int, ...]
    periods: tuple[int, ...]
    percent: str


def hottest(profile: Profile, event: Event, chosen=None, only: str | None = None) -> list[Spot]:
    """The symbols that an event's samples were in, by period. `only` is a symbol's name."""
    rows = profile.aggregate(("dso", "address"), _of_event(profile, event, chosen))
    dsos = np.asarray(rows.columns["dso"])
    addresses = np.asarray(rows.columns["address"], np.uint64)
    found = []
    for number in np.unique(dsos[dsos >= 0]).tolist():
        dso = profile.dsos[number]
        if dso.symbols is None:
            continue
        mine = np.flatnonzero(dsos == number)
        indices = np.asarray(dso.symbols.symbols_of(addresses[mine]))
        for index in np.unique(indices[indices >= 0]).tolist():
            symbol = dso.symbols.symbol_at(index)
            here = mine[indices == index]
            if only is None or symbol.name == only:
                count = int(rows.count[here].sum())
                found.append(Spot(dso, symbol, count, int(rows.period[here].sum())))
    found.sort(key=lambda spot: (-spot.period, spot.dso.short_name, spot.symbol.name))
    return found


def _of_event(profile: Profile, event: Event, chosen) -> np.ndarray:
    mine = profile.event == event.index
    if chosen is not None:
        chosen = np.asarray(chosen)
        mask = chosen if chosen.dtype == bool else np.isin(np.arange(len(profile)), chosen)
        mine = mine & mask
    return np.flatnonzero(mine)


def annotate(
    profile: Profile,
    dso: Dso,
    symbol,
    events: tuple[Event, ...],
    chosen=None,
    percent: str = "local-period",
    source: bool = True,
    only: str | None = None,
) -> Annotation:
    """The rows of a symbol's code with the shares of some events. Raises AnnotateError.

    `only` is the name of the symbol that alone counts for global percentages.
    """
    lines = list(listing(dso, symbol, source))
    size = max(symbol.end - symbol.start, 1)
    counted = []
    for event in events:
        where = _of_event(profile, event, chosen)
        if only is not None:
            spots = hottest(profile, event, where, only)
            whole = sum(s.samples for s in spots), sum(s.period for s in spots)
        else:
            whole = len(where), int(profile.period[where].sum())
        inside = where[profile.dso[where] == dso.index]
        offsets = profile.address[inside].astype(np.uint64) - np.uint64(symbol.start)
        inside, offsets = inside[offsets < size], offsets[offsets < size].astype(np.int64)
        hits = np.bincount(offsets, minlength=size)
        periods = np.zeros(size, np.uint64)
        np.add.at(periods, offsets, profile.period[inside])
        counted.append((hits, periods, whole))
    start = dso.symbols.virtual_address(symbol.start)
    places = [row.address - start for row in lines if row.address is not None]
    ends = iter([*places[1:], size])
    rows = []
    for row in lines:
        if row.address is None:
            rows.append(row)
            continue
        part = slice(row.address - start, next(ends))
        hits = tuple(int(h[part].sum()) for h, _, _ in counted)
        periods = tuple(int(p[part].sum()) for _, p, _ in counted)
        shares = tuple(
            _share(percent, hit, period, h, p, whole)
            for hit, period, (h, p, whole) in zip(hits, periods, counted, strict=True)
        )
        fields = row.address, row.text, row.file, row.line, row.number
        rows.append(Row(*fields, shares, hits, periods))
    samples = tuple(int(h.sum()) for h, _, _ in counted)
    sums = tuple(int(p.sum()) for _, p, _ in counted)
    return Annotation(dso, symbol, tuple(events), tuple(rows), samples, sums, percent)


def _share(percent: str, hit: int, period: int, hits, periods, whole) -> float:
    part = period if percent.endswith("period") else hit
    if percent.startswith("global"):
        total = whole[1] if percent.endswith("period") else whole[0]
    else:
        total = int((periods if percent.endswith("period") else hits).sum())
    return 100.0 * part / total if total else 0.0


# --- what objdump prints


def listing(dso: Dso, symbol, source: bool = True):
    """The rows of a symbol's code, without shares. Raises AnnotateError."""
    code = dso.symbols
    instructions = code.disassemble(symbol.start, symbol.end, demangled=True)
    if not instructions:
        raise AnnotateError(code.foreign or code.why or f"{dso.name}: its code can't be read")
    start = instructions[0].address
    counter = Counter()
    for _ in range(3):
        yield counter.text("")
    section = section_at(code, start)
    yield counter.text(f"Disassembly of section {section}:")
    yield counter.text("")
    yield counter.text(f"{start:016x} <{code.name_at(start) or symbol.name}>:")
    function = file = None
    line = last_line = block = 0
    printed: dict[str, list[int]] = {}  # by file: the last line shown, the last but skipped
    for instruction in instructions:
        address = symbol.start + instruction.address - start
        places = code.lines(address)
        place = places[0] if places else None
        if place is not None:
            file, line = place.file, place.line
            # objdump knows no function by the symbols for dynamic linking alone.
            known = place.linkage and not (code.stripped and file is None)
            if known and place.linkage != function:
                function, last_line = place.linkage, -1
                yield counter.text(f"{titled(function, code.demangled)}:", file, line)
            if line > 0 and (line != last_line or place.discriminator != block):
                mark = f" (discriminator {place.discriminator})" if place.discriminator else ""
                named = f"{file or '???'}:{line}{mark}"
                if not counter.at(named):
                    yield counter.text(named, file, line)
            block = place.discriminator
            if source and file and line > 0:
                yield from _source(code, file, line, printed, counter)
            if line > 0:
                last_line = line
        text = f"{instruction.address:x}:\t{instruction.text}".rstrip().expandtabs(8)
        _, _, text = text.partition(":")
        yield counter.text(text, file, line, instruction.address)


def titled(linkage: bytes, demangled: bool) -> str:
    """A function's name as objdump -l shows it."""
    name = linkage.decode("utf-8", "surrogateescape")
    if demangled:
        full = demangle_in_full(linkage)
        if full != name:
            return full
    return f"{name}()"


def section_at(code, address: int) -> str:
    """The name of the section of an address."""
    for section in code.elf.sections if code.elf else ():
        if section.sh_flags & 2 and 0 <= address - section.sh_addr < section.sh_size:
            return section.name.decode("utf-8", "replace")
    return "?"


def _source(code, file: str, line: int, printed: dict, counter: "Counter"):
    """The source lines that objdump -S shows before an instruction of a line."""
    state = printed.get(file)
    if state is None:
        if code.source(file, 1, 1) is None:
            return
        state = printed[file] = [0, 0]
    most, last = state
    if line == last:
        return
    first = max(line - CONTEXT, 1) if line > CONTEXT else 1
    if most >= first:
        first = most + 1 if most < line else line
    for number, text in enumerate(code.source(file, first, line) or (), first):
        text = text.strip().expandtabs(8)
        if not counter.at(text):
            yield counter.text(text, file, number)
    state[:] = max(most, line), line


class Counter:
    """Numbers rows as perf does: from the line that objdump named last, one more for each row."""

    def __init__(self):
        self.number = 0

    def at(self, text: str) -> bool:
        """Whether this is a file's whole path and a line, which perf doesn't show."""
        match = FILE_LINE.match(text)
        if match:
            self.number = int(match[1])
        return bool(match)

    def text(self, text: str, file=None, line: int = 0, address: int | None = None) -> Row:
        row = Row(address, text, file, line, self.number)
        self.number += 1
        return row


# --- text


class Look(Record):
    """How the text looks; the names are those of the options."""

    print_line: bool = False
    full_paths: bool = False
    total_period: bool = False
    samples: bool = False


def text(annotation: Annotation, look: Look | None = None, forced: bool = False) -> str:
    """What `perf annotate --stdio` prints for a symbol. `forced`: the group is --group's."""
    look = look or Look()
    out, paths = [], {}
    if look.print_line:
        paths = _paths(annotation, look)
        out.append(_summary(annotation, paths))
    name = annotation.dso.name
    file = name if look.full_paths else name.rsplit("/", 1)[-1]
    width = (12 if look.total_period else 8) * max(len(annotation.events), 1)
    what = "Period" if look.total_period else "Samples" if look.samples else "Percent"
    head = (
        f" {what:<{width}.{width}}|\tSource code & Disassembly of {file} for "
        f"{events_name(annotation.events, forced)} ({annotation.samples[0]} samples, "
        f"percent: {PERCENTS[annotation.percent]})\n"
    )
    size = len(head.encode("utf-8", "surrogateescape"))
    out += [head, f"{'-' * min(size, DASHES):<{size}}----\n"]
    addresses = [row.address for row in annotation.rows if row.address is not None]
    digits = len(f"{addresses[-1]:x}") if addresses else 0
    last_path = None
    for row in annotation.rows:
        if row.address is None:
            rest = f" {row.number:<{digits}d} {row.text}" if row.text else ""
            out.append(f" {'':>{width}}:{rest}\n")
            continue
        if look.total_period:
            shares = "".join(f" {period:11d}" for period in row.periods)
        elif look.samples:
            shares = "".join(f" {hits:7d}" for hits in row.hits)
        else:
            shares = "".join(f" {share:7.2f}" for share in row.percents)
        path = paths.get(row.address)
        comment = f" // {path}" if path and path != last_path else ""
        last_path = path or last_path
        out.append(f"{shares} :   {row.address:{digits}x}:{row.text}{comment}\n")
    return "".join(out)


def events_name(events: tuple[Event, ...], forced: bool = False) -> str:
    names = ", ".join(event.name for event in events)
    if len(events) == 1 or forced:
        return names
    return f"{events[0].group or 'anon group'} {{ {names} }}"


def _paths(annotation: Annotation, look: Look) -> dict[int, str]:
    """file:line of the instructions that are hot."""
    code, paths = annotation.dso.symbols, {}
    start = code.virtual_address(annotation.symbol.start)
    for row in annotation.rows:
        if row.address is None or max(row.percents) <= LEAST:
            continue
        found = code.lines(annotation.symbol.start + row.address - start)
        if found and found[0].file:
            file = found[0].file if look.full_paths else found[0].file.rsplit("/", 1)[-1]
            paths[row.address] = f"{file}:{found[0].line}"
        elif found:
            paths[row.address] = "??:0"
        else:
            paths[row.address] = f"{annotation.dso.short_name}[{row.address:x}]"
    return paths


def _summary(annotation: Annotation, paths: dict[int, str]) -> str:
    out = [f"\nSorted summary for file {annotation.dso.name}\n", "-" * 46, "\n\n"]
    if not paths:
        return "".join([*out, f" Nothing higher than {LEAST:.1f}%\n"])
    sums: dict[str, list[float]] = {}
    for row in annotation.rows:
        path = paths.get(row.address) if row.address is not None else None
        if path:
            before = sums.get(path, [0.0] * len(row.percents))
            sums[path] = [a + b for a, b in zip(before, row.percents, strict=True)]
    ordered = sorted(sums, reverse=True)
    ordered.sort(key=lambda path: sums[path], reverse=True)
    for path in ordered:
        out.append("".join(f" {share:7.2f}" for share in sums[path]) + f" {path}\n")
    return "".join(out)
