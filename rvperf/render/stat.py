"""`perf stat`'s three forms: the block of text, CSV (-x), JSON lines (-j), as perf 6.1 writes them.

Widths and words are perf's; tests compare them with perf's own output.
"""

import math
from collections.abc import Callable

from rvperf.render.metrics import Metric, metrics
from rvperf.results import Count, StatResult

NO_COUNT, NO_EVENT = "<not counted>", "<not supported>"
METRIC_WIDTH = 35

Group = Callable[[str, float], str]
"""Formats a number by a printf format, with or without the locale's separators."""

COLOURS = ("", "\033[33m", "\033[35m", "\033[31m")  # by Metric.grade: yellow, magenta, red
PLAIN = "\033[m"


def ungrouped(form: str, value: float) -> str:
    return form % value


def text(
    result: StatResult,
    *,
    group: Group = ungrouped,
    colour: bool = False,
    null_run: bool = False,
) -> str:
    """The block that `perf stat` prints, blank lines around it included.

    `null_run` is -n: rows only if there are counts, and no blank line before the elapsed time.
    """
    command = " ".join(result.command)
    runs = f" ({result.runs} runs)" if result.runs > 1 else ""
    lines = ["", f" Performance counter stats for '{command}'{runs}:", ""]
    lines += rows(result, group, colour)
    if not null_run:
        lines.append("")
    return "\n".join(lines) + "\n" + footer(result)


def unit_width(result: StatResult) -> int:
    return max([4, *(len(count.unit) for count in result.counts)])


def rows(result: StatResult, group: Group, colour: bool) -> list[str]:
    width = unit_width(result)
    return [
        row(count, its_metric, width, group, colour)
        for count, its_metric in zip(result.counts, metrics(result), strict=True)
    ]


def row(count: Count, metric: Metric, width: int, group: Group, colour: bool) -> str:
    unit = f"{count.unit:<{width}}"
    after = noise(count.noise) + share_of_time(count)
    if not count.counted:
        missing = NO_COUNT if count.supported else NO_EVENT
        return f"{missing:>18} {unit} {count.name:<25}{'':{METRIC_WIDTH}}{after}"
    form = "%18.0f" if whole(count.scale) else "%18.2f"
    value = group(form, count.value * count.scale)
    return f"{value} {unit} {count.name:<32}{metric_column(metric, colour)}{after}"


def metric_column(metric: Metric, colour: bool) -> str:
    if metric.text is None:
        return " " * METRIC_WIDTH
    number = f" # {metric.text}"
    unit = f" {metric.unit:<{METRIC_WIDTH - len(number) - 1}}"
    if colour and metric.grade:
        number = f" # {COLOURS[metric.grade]}{metric.text}{PLAIN}"
    return number + unit


def noise(percent: float) -> str:
    return f"  ( +-{percent:6.2f}% )" if percent else ""


def share_of_time(count: Count) -> str:
    if count.running == count.enabled:
        return ""
    return f"  ({percent_running(count):.2f}%)"


def percent_running(count: Count) -> float:
    return 100 * count.running / count.enabled if count.enabled else 100.0


def whole(scale: float) -> bool:
    return scale == math.floor(scale)


def footer(result: StatResult) -> str:
    elapsed = result.elapsed / 1e9
    if result.runs > 1:
        deviation = result.elapsed_deviation / 1e9
        digits = deviation_digits(deviation)
        percent = 100 * deviation / elapsed if elapsed else 0.0
        return (
            f" {elapsed:17.{digits}f} +- {deviation:.{digits}f} seconds time elapsed"
            f"{noise(percent)}\n\n"
        )
    if result.user is None:
        return f" {elapsed:17.9f} seconds time elapsed\n\n"
    return (
        f" {elapsed:17.9f} seconds time elapsed\n\n"
        f" {result.user / 1e9:17.9f} seconds user\n"
        f" {result.system / 1e9:17.9f} seconds sys\n\n\n"
    )


def deviation_digits(deviation: float) -> int:
    """perf shows two digits more than the deviation's first. Equal runs, which perf never sees,
    deviate by nothing: they get all nine."""
    if deviation <= 0:
        return 9
    if deviation > 1:
        return 2
    return math.ceil(-math.log10(deviation)) + 2


def csv(result: StatResult, separator: str) -> str:
    """A line per count: value, unit, event, [noise,] time running in ns, its percentage, metric,
    the metric's unit. No header, never grouped."""
    lines = []
    for count, metric in zip(result.counts, metrics(result), strict=True):
        cells = [csv_value(count), count.unit, count.name]
        if result.runs > 1:
            cells.append(f"{count.noise:.2f}%")
        cells += [str(count.running), f"{percent_running(count):.2f}"]
        if metric.text is None:
            cells += ["", ""]
        else:
            cells += [metric.text.strip(" %"), metric.unit]
        lines.append(separator.join(cells) + "\n")
    return "".join(lines)


CLEAR = "\033[H\033[2J\n"


def heading(result: StatResult) -> str:
    """What stands above -I's rows."""
    return f"#{'time':>15} {'counts':>18} {'unit':>{unit_width(result)}} events\n"


def interval_text(
    time: int, result: StatResult, *, group: Group = ungrouped, colour: bool = False
) -> str:
    """-I's rows for what was counted up to a time in ns since the beginning."""
    return "".join(f"{stamp(time)} {line}\n" for line in rows(result, group, colour))


def interval_csv(time: int, result: StatResult, separator: str) -> str:
    """The same with -x."""
    before = f"{stamp(time)}{separator}"
    return "".join(before + line for line in csv(result, separator).splitlines(True))


def summary_csv(result: StatResult, separator: str) -> str:
    """The lines of --summary with -x."""
    before = f"{'summary':>16}{separator}"
    return "".join(before + line for line in csv(result, separator).splitlines(True))


def interval_json(time: int, result: StatResult) -> str:
    """The same with -j."""
    seconds = f"{time // 10**9}.{time % 10**9:09d}"
    lines = json_lines(result).splitlines(True)
    return "".join(f'{{"interval" : {seconds}, {line[1:]}' for line in lines)


def stamp(time: int) -> str:
    return f"{time // 10**9:6d}.{time % 10**9:09d}"


def csv_value(count: Count) -> str:
    if not count.supported:
        return NO_EVENT
    if not count.counted:
        return NO_COUNT
    return ("%.0f" if whole(count.scale) else "%.2f") % (count.value * count.scale)


def json_lines(result: StatResult) -> str:
    """An object per line and count. perf writes the value as text, with six decimals."""
    import json

    lines = []
    for count, metric in zip(result.counts, metrics(result), strict=True):
        value = f"{count.value * count.scale:f}" if count.counted else csv_value(count)
        members = [
            ("counter-value", f'"{value}"'),
            ("unit", json.dumps(count.unit)),
            ("event", json.dumps(count.name)),
        ]
        if result.runs > 1:
            members.append(("variance", f"{count.noise:.2f}"))
        members += [
            ("event-runtime", str(count.running)),
            ("pcnt-running", f"{percent_running(count):.2f}"),
            ("metric-value", f"{metric.value:f}"),
            ("metric-unit", json.dumps(metric.unit)),
        ]
        lines.append("{" + ", ".join(f'"{key}" : {member}' for key, member in members) + "}\n")
    return "".join(lines)


def raw(result: StatResult) -> str:
    """What -v prints before the block: each count as a whole number."""
    return "".join(
        f"{count.name}: {count.value or 0} {count.enabled} {count.running}\n"
        if count.supported
        else f"failed to read counter {count.name}\n"
        for count in result.counts
    )
