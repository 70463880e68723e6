"""`kvm run` as one HTML page: the sessions, who owned which counter when, overflows, totals.

Like the page of a profile it needs nothing else, and its content security policy forbids it to ask
for anything.
"""

from rvperf.render.joint import counted, ranges
from rvperf.render.page import document
from rvperf.render.palette import swatch
from rvperf.render.stacks import legible
from rvperf.results import CounterOwner, JointReport, JointSession

FIXED = ("cycle", "time", "instret")
FIRMWARE = "firmware"
CLOCK = 1
"""The counter that firmware keeps: the clock."""
GUESTS = ("user", "guest-user", "inlined", "guest-kernel", "unknown")
"""The looks of guests, in turn."""


def page(report: JointReport) -> str:
    return document(content(report), "joint", "rvperf kvm run")


def content(report: JointReport) -> dict:
    """What the page's script takes."""
    names = owners_of(report)
    at = {name: number for number, name in enumerate(names)}
    policy = [["Counters saved", report.policy]] if report.policy else []
    facts = [
        ["Design", report.vpmu],
        *policy,
        ["Harts", str(report.harts)],
        ["Passed through", ranges(list(report.reserved)) or "none"],
        ["Time", f"{(report.end - report.start) / 1e6:.3f} ms"],
        ["Owner changes", str(report.owner_changes)],
        ["Migrations", str(report.migrations)],
    ]
    return {
        "facts": facts,
        "start": report.start,
        "end": report.end,
        "harts": report.harts,
        "fixed": FIXED,
        "owners": [[name, look_of(name, names)] for name in names],
        "reserved": report.reserved,
        "counters": report.counters,
        "intervals": [
            [hart, first, last, at[owner], start - report.start, end - report.start]
            for hart, first, last, owner, start, end in blocks(report)
        ],
        "overflows": [[one.time - report.start, one.hart, one.mode, one.owner]
                      for one in report.overflows],
        "totals": [
            [one.time - report.start, one.vm_exits, one.sbi_calls, one.guest_sbi_calls, one.saves,
             one.restores]
            for one in report.totals
        ],
        "sessions": [session_data(one) for one in report.sessions],
        "guests": [
            [one.name, one.hart, one.vm_exits, one.pmu_exits, one.guest_sbi_calls,
             one.overflow_irqs, one.saves, one.restores]
            for one in report.guests
        ],
    }  # fmt: skip


def owners_of(report: JointReport) -> list[str]:
    """All owners: the host, firmware, and guests in the order of their names."""
    guests = {one.name for one in report.guests} | {one.owner for one in report.owners}
    return ["host", FIRMWARE, *sorted(guests - {"host", FIRMWARE}, key=natural)]


def natural(name: str) -> list:
    """vm2 before vm10."""
    parts = name.removeprefix("vm").split("/")
    return [int(part) if part.isdecimal() else -1 for part in parts] + [name]


def look_of(name: str, names: list[str]) -> str:
    if name in ("host", FIRMWARE):
        return swatch("kernel" if name == "host" else "comm")
    return swatch(GUESTS[(names.index(name) - 2) % len(GUESTS)])


def blocks(report: JointReport) -> list[tuple]:
    """(hart, first counter, last counter, owner, start, end): counters beside each other that
    somebody had for the same time are one. The clock is firmware's."""
    found: list[list] = []
    clocks = [
        CounterOwner(hart, CLOCK, FIRMWARE, report.start, report.end)
        for hart in range(report.harts)
    ]
    by_time = sorted(
        (*report.owners, *clocks),
        key=lambda one: (one.hart, one.start, one.end, one.owner, one.counter),
    )
    for one in by_time:
        last = found[-1] if found else None
        rest = [one.owner, one.start, one.end]
        if last and last[0] == one.hart and last[3:] == rest and last[2] == one.counter - 1:
            last[2] = one.counter
        else:
            found.append([one.hart, one.counter, one.counter, *rest])
    return [tuple(block) for block in found]


def session_data(session: JointSession) -> dict:
    return {
        "name": session.name,
        "what": session.subcommand,
        "command": legible(" ".join(session.command)),
        "samples": session.samples,
        "lost": session.lost,
        "why": session.why,
        "output": legible(session.output or ""),
        "counts": [[legible(one.name), *counted(one)] for one in session.counts],
    }
