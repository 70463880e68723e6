"""What differs between recordings, entry by entry (tools/perf/builtin-diff.c)."""

from rvperf.profile import hists as histograms
from rvperf.profile import sortkeys
from rvperf.profile.hists import Entry, Hists
from rvperf.profile.sortkeys import Column, Columns, View

COMPUTATIONS = ("delta", "delta-abs", "ratio", "wdiff")
TITLES = {
    "delta": ("Delta", 7), "delta-abs": ("Delta Abs", 7), "ratio": ("Ratio", 14),
    "wdiff": ("Weighted diff", 14),
}  # fmt: skip


class Computation:
    """How two recordings are compared: one of COMPUTATIONS, and wdiff's weights."""

    def __init__(self, name: str = "delta-abs", weights: tuple[int, int] = (0, 0)):
        self.name, self.weights = name, weights

    def value(self, entry: Entry, pair: Entry, base: Hists, other: Hists):
        """What the entry of the other recording is to that of the first."""
        if self.name == "ratio":
            return pair.period / (entry.period or 1)
        if self.name == "wdiff":
            first, second = self.weights
            return pair.period * second - entry.period * first
        return percent(pair.period, sampled(other)) - percent(entry.period, sampled(base))

    def formula(self, entry: Entry, pair: Entry, base: Hists, other: Hists) -> str:
        if self.name == "ratio":
            return f"{pair.period:.0f} / {entry.period:.0f}"
        if self.name == "wdiff":
            first, second = self.weights
            return f"({pair.period} * {second}) - ({entry.period} * {first})"
        return f"({pair.period} * 100 / {other.total}) - ({entry.period} * 100 / {base.total})"

    def rank(self, value):
        """Larger comes first."""
        return abs(value) if self.name == "delta-abs" else value


def percent(period: int, total: int) -> float:
    return period * 100.0 / total if total else float("nan")


def sampled(hists: Hists) -> int:
    """What shares are compared by: perf takes them before it puts entries in order."""
    return hists.sampled_shown if hists.view.relative else hists.sampled


class DiffColumn(Column):
    """A column of a comparison. `file` is the recording's number, 0 for the first."""

    number = True

    def __init__(self, kind, title, width, file, difference, many):
        name = f"{title}/{file}" if many and file else f"{title}/0" if many else title
        super().__init__(f"{kind}-{file}", name, None, None)
        self.kind, self.file, self.difference = kind, file, difference
        self.length = max(width, len(name))

    def width(self, hists) -> int:
        return self.length

    def title(self, hists) -> str:
        return self.header.rjust(self.length)

    def shower(self, hists):
        return lambda entry: self.show(entry, hists)

    def show(self, entry, hists) -> str:
        text = self.plain(entry, hists) if hists.view.separator else self.aligned(entry, hists)
        return text if hists.view.separator else text.rjust(self.length)

    def value(self, entry, hists):
        pair = entry.pairs.get(self.file)
        if pair is None:
            return None
        other = self.difference.others[self.file]
        return self.difference.computation.value(entry, pair, hists, other)

    def aligned(self, entry, hists) -> str:
        if self.kind == "baseline":
            if entry.dummy:
                return ""
            return f"{percent(entry.period, hists.total):{self.length - 1}.2f}%"
        if self.kind != "compute":
            return self.plain(entry, hists)
        value = self.value(entry, hists)
        if value is None:
            return ""
        name = self.difference.computation.name
        if name.startswith("delta"):
            return f"{value:+{self.length - 1}.2f}%"
        if entry.dummy:
            return "N/A"
        return f"{value:{self.length}.6f}" if name == "ratio" else f"{value:14d}"

    def plain(self, entry, hists) -> str:
        pair = entry.pairs.get(self.file)
        if self.kind == "baseline":
            return " " if entry.dummy else f"{percent(entry.period, hists.total):.2f}"
        if self.kind == "period":
            if not self.file:
                return str(entry.period)
            return str(pair.period) if pair is not None else " "
        if pair is None:
            return " "
        if self.kind == "formula":
            other = self.difference.others[self.file]
            return self.difference.computation.formula(entry, pair, hists, other)
        value, name = self.value(entry, hists), self.difference.computation.name
        if name.startswith("delta"):
            return f"{value:+4.2f}%"
        if entry.dummy:
            return "N/A"
        if name == "ratio":
            return f"{value:14.6f}" if value > 0.0 else " "
        return f"{value:14d}" if value else " "


class Difference:
    """An event of the first recording, and the same event in the others.

    `hists` are the first's entries with those of the others as pairs, by the number of their file.
    """

    def __init__(self, hists: Hists, others: dict[int, Hists], computation: Computation):
        self.hists, self.others, self.computation = hists, others, computation

    def join(self, baseline_only: bool) -> None:
        """Find each entry's like in the others; what only they have is added here."""
        base = self.hists
        for file, other in self.others.items():
            for key, pair in other.found.items():
                entry = base.found.get(key)
                if entry is None:
                    if baseline_only:
                        continue
                    entry = pair.copy()
                    entry.event = (base.event, None)
                    entry.dummy, entry.period, entry.count = True, 0, 0
                    base.found[key] = entry
                entry.pairs[file] = pair
        if baseline_only:
            base.found = {key: entry for key, entry in base.found.items() if entry.pairs}
        for one in (base, *self.others.values()):
            one.period = sum(entry.period for entry in one.found.values())
            one.period_shown = sum(e.period for e in one.found.values() if not e.filtered)

    def sort(self, order: int) -> None:
        """By the difference to file number `order` (0: not by it), then by the first's shares."""
        base = self.hists
        entries = [entry for _, entry in sorted(base.found.items(), key=lambda one: one[0])]
        for column in reversed(base.columns.keys):
            entries.sort(key=column.sort)
        for file in reversed(list(self.others)):
            entries.sort(key=lambda entry, file=file: self.place(entry, file, False))
        entries.sort(key=lambda entry: -entry.period)
        if order:
            entries.sort(key=lambda entry: self.place(entry, order, True))
        base.entries = entries
        base.measure()

    def place(self, entry: Entry, file: int, first: bool):
        pair = entry.pairs.get(file)
        if pair is None:
            return (1 if entry.pairs or first else 2, False, 0)
        value = self.computation.value(entry, pair, self.hists, self.others[file])
        late = first and not self.computation.name.startswith("delta") and entry.dummy
        return (0, late, 0 if late else -self.computation.rank(value))

    def growth(self, file: int = 1) -> list[tuple[Entry, float]]:
        """By how many percentage points each entry's share has grown, most first."""
        base, other = self.hists, self.others.get(file)
        if other is None or not other.total:
            return []
        found = []
        for entry in base.entries:
            pair = entry.pairs.get(file)
            if pair is not None and not entry.filtered:
                before = percent(entry.period, base.total) if base.total else 0.0
                found.append((entry, percent(pair.period, other.total) - before))
        return sorted(found, key=lambda one: -one[1])


def compare(profiles, view: View, computation: Computation, order=1, periods=False,
            formula=False, baseline_only=False) -> list[Difference]:  # fmt: skip
    """The differences of some profiles to the first of them, one for each of its events.

    Raises SortError.
    """
    filled = []
    for profile in profiles:
        columns = sortkeys.set_up(view)
        filler = histograms.fill(profile, view, columns)
        for one in filler.hists:
            if "symbol" in columns.has or "comm" in columns.has:
                one.collapse()
        filled.append(filler.hists)
    found = []
    many = len(profiles) > 2
    for base in filled[0]:
        others = {}
        for file, hists in enumerate(filled[1:], 1):
            match = next((one for one in hists if same_event(base.event, one.event)), None)
            if match is not None:
                others[file] = match
        one = Difference(base, others, computation)
        shown = [DiffColumn("baseline", "Baseline", 0, 0, one, many)]
        if periods:
            shown.append(DiffColumn("period", "Base period", 14, 0, one, many))
        for file in range(1, len(profiles)):
            title, width = TITLES[computation.name]
            shown.append(DiffColumn("compute", title, width, file, one, many))
            if formula:
                shown.append(DiffColumn("formula", "Formula", 70, file, one, many))
            if periods:
                shown.append(DiffColumn("period", "Period", 14, file, one, many))
        base.columns = Columns(shown + base.columns.keys, base.columns.keys, base.columns.has)
        one.join(baseline_only)
        one.sort(order)
        found.append(one)
    return found


def same_event(one, other) -> bool:
    return (one.attr.type, one.attr.config) == (other.attr.type, other.attr.config)
