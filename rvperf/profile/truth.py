"""The exact counts of a run, kept in its perf.data beside the samples, and set against them.

They are at the file's very end, after everything that perf reads of it: a compressed body, its size
and MAGIC. The body is a line of JSON that names events and dsos, then for each dso as little-endian
u64 the differences between its addresses, and its counts.
"""

import json
import os
import zlib

from isa.record import Record

MAGIC = b"RVPTRUTH"
TAIL = 8 + len(MAGIC)
VERSION = 1
LARGEST = 1 << 30
"""Bytes that a body may expand to."""


class TruthError(ValueError):
    """What should be exact counts is damaged, or a newer rvperf's."""


class Truth(Record):
    """Exact counts: {event's name: {dso's path: {address in the dso: count}}}.

    Addresses are perf's: ip - map's start + map's offset into the file; for the kernel
    ("[kernel.kallsyms]") and anonymous memory the ip itself.
    """

    events: dict[str, dict[str, dict[int, int]]]

    def total(self, event: str) -> int:
        """How often an event happened."""
        return sum(sum(counts.values()) for counts in self.events.get(event, {}).values())


def encode(truth: Truth) -> bytes:
    """What is to be appended to a finished perf.data. See `append`."""
    import numpy as np

    names, arrays = [], []
    for event, dsos in truth.events.items():
        rows = []
        for path, counts in dsos.items():
            addresses = np.array(sorted(counts), np.uint64)
            values = np.array([counts[address] for address in sorted(counts)], np.uint64)
            rows.append([path, len(addresses)])
            arrays.append(np.diff(addresses, prepend=np.uint64(0)).astype("<u8").tobytes())
            arrays.append(values.astype("<u8").tobytes())
        names.append([event, rows])
    head = json.dumps({"version": VERSION, "events": names}, separators=(",", ":"))
    body = zlib.compress(head.encode() + b"\n" + b"".join(arrays), 6)
    return body + len(body).to_bytes(8, "little") + MAGIC


def decode(data: bytes) -> Truth:
    """From bytes that `encode` made. Raises TruthError."""
    import numpy as np

    if len(data) < TAIL or data[-len(MAGIC) :] != MAGIC:
        raise TruthError("there are no exact counts")
    size = int.from_bytes(data[-TAIL : -len(MAGIC)], "little")
    if size > len(data) - TAIL:
        raise TruthError("the exact counts are cut off")
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data[len(data) - TAIL - size : len(data) - TAIL], LARGEST)
        head, newline, rest = text.partition(b"\n")
        found = json.loads(head)
        if not newline or not unpacker.eof or found["version"] != VERSION:
            raise TruthError("the exact counts are not of this rvperf")
        events, at = {}, 0
        for event, rows in found["events"]:
            dsos = events[str(event)] = {}
            for path, count in rows:
                if not isinstance(count, int) or count < 0 or at + 16 * count > len(rest):
                    raise TruthError("the exact counts are cut off")
                differences = np.frombuffer(rest, "<u8", count, at)
                values = np.frombuffer(rest, "<u8", count, at + 8 * count)
                at += 16 * count
                addresses = np.cumsum(differences, dtype=np.uint64)
                dsos[str(path)] = dict(zip(addresses.tolist(), values.tolist(), strict=True))
    except (zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, TruthError):
            raise
        raise TruthError(f"the exact counts can't be read: {error}") from error
    return Truth(events)


def append(path: str | os.PathLike, truth: Truth) -> None:
    """Put exact counts at the end of a perf.data that is otherwise finished. Raises OSError."""
    with open(path, "ab") as file:
        file.write(encode(truth))


def of(path: str | os.PathLike) -> Truth | None:
    """The exact counts in a perf.data; None if it has none. Raises TruthError."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            if end < TAIL:
                return None
            file.seek(end - TAIL)
            tail = file.read(TAIL)
            if tail[-len(MAGIC) :] != MAGIC:
                return None
            size = min(int.from_bytes(tail[:8], "little"), end - TAIL)
            file.seek(end - TAIL - size)
            return decode(file.read())
    except OSError:
        return None


# --- beside the samples

KEYS = ("dso", "symbol", "srcline", "srcfile", "addr")
"""Sort keys that say where something happened, which is all that exact counts know."""


def join(filler, truth: Truth) -> dict[int, dict[tuple, int]]:
    """The exact count of each entry, by event and key.

    Entries that no sample fell on are added to the filler's histograms.
    """
    found = {}
    for hists in filler.hists:
        exact = found[hists.event.index] = {}
        for path, counts in dsos_of(truth, hists.event.name).items():
            for entry, count in entries(filler, hists, path, counts):
                key = hists.key(entry)
                exact[key] = exact.get(key, 0) + count
                if key not in hists.found:
                    hists.found[key] = entry
    return found


def dsos_of(truth: Truth, event: str) -> dict[str, dict[int, int]]:
    """An event's counts, whatever modifiers were added to its name."""
    if event in truth.events:
        return truth.events[event]
    plain = event.partition(":")[0]
    return next((dsos for name, dsos in truth.events.items() if name.partition(":")[0] == plain),
                {})  # fmt: skip


def entries(filler, hists, path: str, counts: dict[int, int]):
    """An empty entry for each place in a dso, and its count."""
    import numpy as np

    from rvperf.profile.hists import Entry
    from rvperf.profile.machine import Map

    profile, view = filler.profile, filler.view
    kernel = path.startswith("[kernel.kallsyms]")
    dso = next((one for one in profile.dsos if one.name == path), None)
    if dso is None:
        dso = profile.world.dso(path, "kernel" if kernel else "user")
    maps = [one for one in profile.maps if one.dso is dso] or [Map(0, 1 << 63, 0, dso)]
    addresses = np.array(list(counts), np.uint64)
    symbols = dso.symbols.symbols_of(addresses) if dso.symbols is not None else None
    exact = "address" in filler.columns.needs
    taken: dict[int, list] = {}
    numbers = symbols.tolist() if symbols is not None else [-1] * len(addresses)
    for address, number in zip(addresses.tolist(), numbers, strict=True):
        if number >= 0 and not exact:
            known = taken.setdefault(number, [address, 0])
            known[1] += counts[address]
        else:
            taken[-1 - len(taken)] = [address, counts[address], number]
    idle = profile.threads[0]
    for place, (address, count, *rest) in taken.items():
        number = rest[0] if rest else place
        symbol = dso.symbols.symbol_at(number) if number >= 0 else None
        map_ = next((m for m in maps if m.identity or 0 <= address - m.pgoff < m.end - m.start),
                    maps[0])  # fmt: skip
        entry = Entry(
            view, (hists.event, None), idle, "", map_, symbol, address, "k" if kernel else ".",
            1 if kernel else 2,
        )  # fmt: skip
        entry.filtered = filler.filters(entry) & ~2
        entry.dummy = True
        yield entry, count
