"""`kvm compare`: designs of PMU virtualisation side by side."""

import json

from isa.record import values_of
from rvperf.results import DesignResult

ROWS = (
    ("Overflow interrupts", "overflow_irqs", "taken in"),
    ("VM exits", "vm_exits", ""),
    ("", "vm_exits_by_cause", ""),
    ("VM exits of the PMU", "pmu_exits", ""),
    ("SBI calls of the guest", "guest_sbi_calls", ""),
    ("SBI calls of the host", "sbi_calls", ""),
    ("", "sbi_calls_by_function", ""),
    ("by origin", "sbi_calls_by_origin", ""),
    ("CSR accesses", "csr_accesses", "in"),
    ("Trapped CSR accesses", "trapped_csrs", ""),
    ("Registers saved", "saves", ""),
    ("Registers restored", "restores", ""),
    ("Samples taken", "samples", ""),
    ("Samples lost", "lost", ""),
    ("Added cycles", "cycles", ""),
    ("Overhead", "overhead_percent", ""),
    ("Host can profile", "host_can_profile", ""),
)
"""Title, field, and what stands before the keys of a field that is a dict."""
NOT_ADDED = ("sbi_calls_by_origin", "overflow_irqs")
"""Fields without a sum: it stands above already, or would count an interrupt once where it came and
once where it was passed on to."""
WIDTH = 80
SHOWN_ALWAYS = ("M", "HS", "VS")


def text(results: tuple[DesignResult, ...]) -> str:
    """The table: designs are columns. It is 80 wide unless its words need more."""
    table = [("", [result.vpmu for result in results])]
    for title, field, before in ROWS:
        values = [getattr(result, field) for result in results]
        if isinstance(values[0], dict):
            keys = keys_of(values)
            if title:
                totals = [str(sum(value.values())) for value in values]
                table.append((title, [""] * len(values) if field in NOT_ADDED else totals))
            for key in keys:
                name = f"  {before} {key}" if before else f"  {key}"
                table.append((name, [str(value.get(key, 0)) for value in values]))
        else:
            table.append((title, [shown(field, value) for value in values]))
    columns = list(zip(*(cells for _, cells in table), strict=True))
    widths = [max(map(len, column)) + 1 for column in columns]
    first = max(len(title) for title, _ in table)
    spare = WIDTH - 1 - first - sum(widths)
    widths = [width + max(0, min(4, spare // len(widths))) for width in widths]
    page = ""
    for title, cells in table:
        line = f" {title:<{first}}" + "".join(
            f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)
        )
        page += line.rstrip() + "\n"
        if not title:
            page += "\n"
    return "\n" + page + "\n" + notes(results)


def keys_of(values: list[dict]) -> list[str]:
    """All keys in the order in which designs have them; counts of nothing only for modes."""
    known = dict.fromkeys(key for value in values for key in value)
    return [
        key for key in known if key in SHOWN_ALWAYS or any(value.get(key, 0) for value in values)
    ]


def shown(field: str, value) -> str:
    if field == "overhead_percent":
        return f"{value:.2f}%"
    if field == "host_can_profile":
        return "yes" if value else "no"
    return str(value)


def notes(results) -> str:
    from textwrap import fill

    whose: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            whose.setdefault(note, []).append(result.vpmu)
    found = [f"{', '.join(names)}: {note}" for note, names in whose.items()]
    lines = [fill(note, WIDTH, initial_indent=" ", subsequent_indent="   ") for note in found]
    return "".join(f"{line}\n" for line in lines) + ("\n" if lines else "")


def csv(results: tuple[DesignResult, ...], separator: str) -> str:
    """A line a figure: design, figure, its key where there are several, value."""
    lines = []
    for result in results:
        for name, value in figures(result, False).items():
            if isinstance(value, dict):
                lines += [(result.vpmu, name, key, value[key]) for key in value]
            elif name not in ("vpmu", "notes"):
                lines.append(
                    (result.vpmu, name, "", int(value) if isinstance(value, bool) else value)
                )
    return "".join(separator.join(map(str, line)) + "\n" for line in lines)


def json_text(results: tuple[DesignResult, ...], operations: bool = False) -> str:
    """An array with an object for each design."""
    objects = (json.dumps(figures(result, operations)) for result in results)
    return "[\n" + ",\n".join(objects) + "\n]\n"


def figures(result: DesignResult, operations: bool) -> dict:
    found = dict(zip(result.__match_args__, values_of(result), strict=True))
    found["notes"] = list(result.notes)
    del found["exit"], found["operations"]
    if operations:
        found["operations"] = [
            dict(zip(one.__match_args__, values_of(one), strict=True)) for one in result.operations
        ]
    return found
