"""`kvm run`: what guests and host did together, in words and as JSON."""

import json

from isa.record import Record
from rvperf.render.stat import NO_COUNT, NO_EVENT, percent_running
from rvperf.results import Count, GuestFigures, Happening, JointReport, JointSession

STRIP = 63  # columns of a counter's time


def text(report: JointReport) -> str:
    """The report at the end of a run."""
    spent = (report.end - report.start) / 1e9
    harts = f"{report.harts} hart{'s' if report.harts > 1 else ''}"
    policy = f", {report.policy}" if report.policy else ""
    lines = [f"\n {report.vpmu}{policy}, {harts}, {spent:.9f} seconds\n"]
    lines += ["", " Sessions"]
    lines += [line for session in report.sessions for line in session_lines(session)]
    lines += ["", " Guests", *guest_table(report.guests)]
    lines += ["", " Host"]
    lines += [
        f"  vCPUs that left a hart {report.switches}, of these to another {report.migrations}; "
        f"owner changes {report.owner_changes}",
        f"  SBI calls {report.sbi_calls}{named(report.sbi_calls_by_origin)}",
        f"  overflow interrupts{named(report.overflow_irqs, zeros=True)}",
    ]
    if report.happened:
        lines += ["", " Script"]
        lines += [happening_line(one, report.start) for one in report.happened]
    lines += ["", " Counters", *strips(report)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n\n"


def titled(session: JointSession) -> str:
    """What perf did, and with what."""
    return ": ".join(filter(None, (session.subcommand, " ".join(session.command))))


def session_lines(session: JointSession) -> list[str]:
    if session.samples is None:
        return [f"  {session.name:<8} {titled(session)}"]
    where = f" in {session.output}" if session.output else ""
    counts = f"{session.samples} samples{where}, {session.lost} lost"
    command = " ".join(session.command)
    lines = [f"  {session.name:<8} record: {counts}: {command}"]
    if session.why:
        lines.append(f"  {'':<8} lost because {session.why}")
    return lines


def happening_line(one: Happening, start: int) -> str:
    about = f": {one.about}" if one.about else ""
    return f"  {(one.time - start) / 1e6:10.6f} ms  hart {one.hart}  {one.name} {one.what}{about}"


def guest_table(guests: tuple[GuestFigures, ...]) -> list[str]:
    heads = ("", "hart", "exits", "of PMU", "SBI calls", "overflows", "saves", "restores")
    rows = [heads]
    for one in guests:
        rows.append(
            (one.name, one.hart, one.vm_exits, one.pmu_exits, one.guest_sbi_calls,
             one.overflow_irqs, one.saves, one.restores)
        )  # fmt: skip
    widths = [max(len(str(row[at])) for row in rows) for at in range(len(heads))]
    lines = []
    for row in rows:
        first, *others = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(f"  {str(row[0]):<{widths[0]}}  " + "  ".join(others))
    causes = [f"  {one.name}: exits{named(one.vm_exits_by_cause)}" for one in guests]
    return lines + causes


def named(counts: dict[str, int], zeros: bool = False) -> str:
    shown = [f"{name} {count}" for name, count in counts.items() if count or zeros]
    return f" ({', '.join(shown)})" if shown else ""


def strips(report: JointReport) -> list[str]:
    """A line for each counter that somebody had, its time from left to right: each column has who
    had it for longest then."""
    letters = letters_of(report)
    lines = []
    by: dict[tuple[int, int], list] = {}
    for one in report.owners:
        by.setdefault((one.hart, one.counter), []).append(one)
    same: dict[tuple[int, str], list[int]] = {}
    for (hart, counter), intervals in sorted(by.items()):
        same.setdefault((hart, strip(report, intervals, letters)), []).append(counter)
    for (hart, drawn), counters in same.items():
        lines.append(f"  {f'hart {hart}: {ranges(counters)}':<14} {drawn}")
    free = sorted(set(report.counters) - {counter for _, counter in by})
    if free:
        lines.append(f"  free: {ranges(free)}")
    lines.append("  " + ", ".join(f"{letter} {name}" for name, letter in letters.items()))
    return lines


def letters_of(report: JointReport) -> dict[str, str]:
    """A letter for each owner."""
    names = list(dict.fromkeys(one.owner for one in report.owners))
    guests = sorted(name for name in names if name != "host")
    found = {"host": "H"} if "host" in names else {}
    for at, name in enumerate(guests):
        found[name] = "0123456789abcdefghijklmnopqrstuvwxyz"[at % 36]
    return found | {"nobody": "."}


def strip(report: JointReport, intervals: list, letters: dict[str, str], width: int = STRIP) -> str:
    span = max(report.end - report.start, 1)
    columns = [dict() for _ in range(width)]
    for one in intervals:
        first = max((one.start - report.start) * width // span, 0)
        last = min((one.end - report.start) * width // span, width - 1)
        for at in range(first, last + 1):
            start, end = report.start + span * at // width, report.start + span * (at + 1) // width
            covered = min(end, one.end) - max(start, one.start)
            columns[at][one.owner] = columns[at].get(one.owner, 0) + max(covered, 0)
    room = span // width
    drawn = ""
    for column in columns:
        column["nobody"] = max(room - sum(column.values()), 0)
        drawn += letters[max(column, key=column.get)]
    return drawn


def ranges(numbers: list[int]) -> str:
    """3-5,7"""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def json_text(report: JointReport) -> str:
    """All of it, as one object."""
    return json.dumps(plain(report), indent=1) + "\n"


def plain(value):
    """Records as dicts."""
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in value.__match_args__}
    return value


def counted(count: Count) -> tuple[str, str]:
    """What a counter has counted, as perf estimates it, and the share of the time that it has,
    if not all."""
    if not count.counted:
        return (NO_COUNT if count.supported else NO_EVENT), ""
    share = "" if count.running == count.enabled else f"{percent_running(count):.2f}%"
    value = count.extrapolated().value * count.scale
    shown = f"{value:,.2f} {count.unit}" if count.unit else f"{value:,.0f}"
    return shown.rstrip(), share
