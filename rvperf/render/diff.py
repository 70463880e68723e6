"""`diff`: the differences between recordings as perf 6.1 prints them."""

from rvperf.profile.diff import Difference
from rvperf.profile.sortkeys import disguise
from rvperf.render.report import Table


def diff(differences: list[Difference], files: list[str], quiet=False, verbose=False):
    """All events' tables, piece by piece."""
    for number, difference in enumerate(differences):
        if not quiet:
            name = disguise(difference.hists.event.name)
            yield ("\n" if number else "") + f"# Event '{name}'\n#\n"
        if verbose or (len(files) > 2 and not quiet):
            yield "# Data files:\n"
            for place, file in enumerate(files):
                yield f"#  [{place}] {disguise(file)} {'' if place else '(Baseline)'}\n"
            yield "#\n"
        table = Table(difference.hists)
        if not quiet:
            yield table.headers()
        yield from table.rows()


def grown(difference: Difference, limit: float) -> list[str]:
    """A line for each entry whose share has grown by more than `limit` points."""
    lines = []
    for entry, points in difference.growth():
        if points <= limit:
            break
        names = [column.text(entry, 1 << 16).strip() for column in difference.hists.columns.keys]
        lines.append(f"{'  '.join(names)}: {points:+.2f} points of {difference.hists.event.name}")
    return lines
