"""`report --truth`: sampled shares beside the exact ones."""

from math import sqrt

from rvperf.profile.hists import Hists
from rvperf.profile.sortkeys import disguise
from rvperf.render.report import scaled

WIDTH = 10
SHARES = (0.5, 0.1, 0.01)
"""For which the expected error is printed."""


def expected(share: float, samples: int) -> float:
    """One standard deviation of a sampled share, were the samples taken at random."""
    return sqrt(share * (1.0 - share) / samples) if samples else 0.0


def difference_text(difference: float) -> str:
    text = f"{100 * difference:+.2f}%"
    return "0.00%" if text in ("+0.00%", "-0.00%") else text


class Rows:
    """An event's entries with both shares, largest exact share first."""

    def __init__(self, hists: Hists, exact: dict[tuple, int]):
        self.hists = hists
        self.total = sum(exact.values())
        rows = []
        for key, entry in hists.found.items():
            if entry.filtered:
                continue
            sampled = entry.period / hists.period if hists.period else 0.0
            real = exact.get(key, 0) / self.total if self.total else 0.0
            rows.append((-real, -sampled, key, entry))
        self.rows = [(entry, -sampled, -real) for real, sampled, _, entry in sorted(
            rows, key=lambda row: row[:3])]  # fmt: skip

    def errors(self) -> list[float]:
        return [sampled - real for _, sampled, real in self.rows]


def truth(all_hists: list[Hists], exact: dict[int, dict[tuple, int]], separator: str = "",
          least: float = 0.0):  # fmt: skip
    """All events' tables, piece by piece."""
    for hists in all_hists:
        counts = exact.get(hists.event.index, {})
        if not hists.samples and not counts:
            continue
        rows = Rows(hists, counts)
        name = disguise(hists.event.name)
        yield (
            f"# Samples: {scaled(hists.samples)} of event '{name}'\n"
            f"# Event count (approx.): {hists.period}\n# Event count (exact): {rows.total}\n#\n"
        )
        keys = hists.columns.keys
        titles = ["Sampled", "Exact", "Difference"]
        if separator:
            yield "# " + separator.join([*titles, *(key.header for key in keys)]) + "\n"
        else:
            widths = [key.width(hists) for key in keys]
            heads = [title.rjust(WIDTH) for title in titles]
            heads += [key.title(hists) for key in keys]
            dots = ["." * width for width in [WIDTH] * 3 + widths]
            yield f"# {'  '.join(heads).rstrip()}\n# {'  '.join(dots)}\n#\n"
        for entry, sampled, real in rows.rows:
            if max(sampled, real) * 100 < least:
                continue
            numbers = [f"{100 * sampled:.2f}%", f"{100 * real:.2f}%",
                       difference_text(sampled - real)]  # fmt: skip
            if separator:
                texts = [key.show(entry, hists).strip().replace(separator, ".") for key in keys]
                yield separator.join([*numbers, *texts]) + "\n"
            else:
                numbers = [number.rjust(WIDTH) for number in numbers]
                texts = [key.show(entry, hists).ljust(key.width(hists)) for key in keys]
                yield ("  " + "  ".join([*numbers, *texts])).rstrip() + "\n"
        yield footer(rows)


def footer(rows: Rows) -> str:
    """How far off samples are expected to be, and how far these are."""
    samples = rows.hists.samples
    errors = rows.errors()
    out = "#\n"
    if samples:
        spread = ", ".join(
            f"{100 * expected(share, samples):.2f} points at {100 * share:g}%" for share in SHARES
        )
        out += (
            f"# Expected error of {samples} samples taken at random (one standard deviation): "
            f"{spread}.\n"
        )
    if errors:
        worst = max(range(len(errors)), key=lambda place: abs(errors[place]))
        entry, _, real = rows.rows[worst]
        names = "  ".join(key.text(entry, 1 << 12).strip() for key in rows.hists.columns.keys)
        mean = sqrt(sum(error * error for error in errors) / len(errors))
        out += f"# Largest error: {100 * errors[worst]:+.2f} points, {names}"
        if expected(real, samples):
            out += f" ({abs(errors[worst]) / expected(real, samples):.1f} standard deviations)"
        out += f". Root mean square: {100 * mean:.2f} points.\n"
    return out + "#\n\n"
