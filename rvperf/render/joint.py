"""`kvm run`: what guests and host did together, in words and as JSON."""

import json
from textwrap import fill

from isa.record import Record
from rvperf.render.stat import NO_COUNT, NO_EVENT, percent_running
from rvperf.results import Count, GuestFigures, Happening, JointReport, JointSession

STRIP = 63  # columns of a counter's time
COUNTERS = 32
FIXED = ("cycle", "time", "instret")
GUESTS = "0123456789abcdegijklmnopqrsuvwxyz"
"""Letters of guests, in turn; others have a meaning."""
UNUSED = {
    "host": "h",
    "guests": "-",
    "firmware": "F",
    "clock": "T",
    "free": ".",
    "absent": " ",
}
"""Letters of counters that nobody uses, by whose they are."""
UNUSED_ARE = {
    "host": "reserved for the host",
    "guests": "passed through, held by no vCPU",
    "firmware": "firmware's to hand out",
    "clock": "the time",
    "free": "free",
    "absent": "",
}


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
    """The counters, those that are alike in one line, with their time from left to right: each
    column has who had it for longest then."""
    lines, found = [], set()
    for hart in range(report.harts):
        same: dict[str, list[int]] = {}
        for counter, drawn in enumerate(drawn_strips(report, hart)):
            same.setdefault(drawn, []).append(counter)
        found.update(*same)
        for at, (drawn, counters) in enumerate(same.items()):
            where = f"hart {hart}:" if report.harts > 1 and not at else ""
            lines += [f"  {where}"] if where else []
            first, *more = fill(
                ranges(counters).replace(",", ", "), 13, break_on_hyphens=False
            ).split("\n")
            lines.append(f"  {first:<13}  {drawn}".rstrip())
            lines += [f"  {each}" for each in more]
    known = [f"{letter} {about}" for letter, about in legend(letters_of(report)) if letter in found]
    return [*lines, *fill(", ".join(known), 78, initial_indent="  ",
                          subsequent_indent="  ").split("\n")]  # fmt: skip


def drawn_strips(report: JointReport, hart: int, width: int = STRIP) -> list[str]:
    """A hart's 32 counters, as letters."""
    letters, by = letters_of(report), [[] for _ in range(COUNTERS)]
    for one in report.owners:
        if one.hart == hart:
            by[one.counter].append(one)
    return [
        strip(report, intervals, letters, width, UNUSED[unused])
        for intervals, unused in zip(by, unused_of(report), strict=True)
    ]


def unused_of(report: JointReport) -> tuple[str, ...]:
    return report.unused or ("free",) * COUNTERS


def letters_of(report: JointReport) -> dict[str, str]:
    """A letter for each owner: vm1 has the same whether vm0 ever had a counter or not."""
    names = {one.owner for one in report.owners} - {"host"}
    guests = sorted({one.name for one in report.guests} | names, key=natural)
    letters = {name: GUESTS[at % len(GUESTS)] for at, name in enumerate(guests)}
    return {"host": "H"} | {name: letters[name] for name in guests if name in names}


def legend(letters: dict[str, str]) -> list[tuple[str, str]]:
    """Letters, and what they say."""
    return [(letter, name) for name, letter in letters.items()] + [
        (letter, UNUSED_ARE[name]) for name, letter in UNUSED.items() if UNUSED_ARE[name]
    ]


def natural(name: str) -> list:
    """vm2 before vm10."""
    parts = name.removeprefix("vm").split("/")
    return [int(part) if part.isdecimal() else -1 for part in parts] + [name]


def strip(
    report: JointReport,
    intervals: list,
    letters: dict[str, str],
    width: int = STRIP,
    unused: str = ".",
) -> str:
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
        rest = max(room - sum(column.values()), 0)
        most = max(column, key=column.get, default=None)
        drawn += unused if most is None or rest > column[most] else letters[most]
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
