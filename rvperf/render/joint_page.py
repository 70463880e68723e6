"""`kvm run` as one HTML page: the sessions, who owned which counter when, overflows, totals.

Like the page of a profile it needs nothing else, and its content security policy forbids it to ask
for anything.
"""

from rvperf.render.joint import FIXED, UNUSED_ARE, counted, named, natural, ranges, unused_of
from rvperf.render.page import document
from rvperf.render.palette import swatch
from rvperf.render.stacks import legible
from rvperf.results import JointReport, JointSession

GUESTS = ("user", "guest-user", "inlined", "guest-kernel", "unknown")
"""The looks of guests, in turn."""
KEPT = {"host": "kernel", "guests": "user", "firmware": "comm", "clock": "dso"}
"""The looks of counters that nobody uses, by whose they are."""


def page(report: JointReport) -> str:
    return document(content(report), "joint", "rvperf kvm run")


def content(report: JointReport) -> dict:
    """What the page's script takes."""
    names, unused = owners_of(report), unused_of(report)
    at = {name: number for number, name in enumerate(names)}
    policy = [["Counters saved", report.policy]] if report.policy else []
    facts = [
        ["Design", report.vpmu],
        *policy,
        ["Harts", str(report.harts)],
        ["Passed through", ranges(list(report.reserved)) or "none"],
        ["Time", f"{(report.end - report.start) / 1e6:.3f} ms"],
        ["Owner changes", str(report.owner_changes)],
        ["vCPUs left a hart", str(report.switches)],
        ["Migrations", str(report.migrations)],
        ["SBI calls of the host", f"{report.sbi_calls}{named(report.sbi_calls_by_origin)}"],
    ]
    return {
        "facts": facts,
        "start": report.start,
        "end": report.end,
        "harts": report.harts,
        "fixed": FIXED,
        "owners": [[name, look_of(name, names)] for name in names],
        "reserved": report.reserved,
        "unused": unused,
        "kept": [[kept, swatch(look), UNUSED_ARE[kept]] for kept, look in KEPT.items()
                 if kept in unused],
        "whose": {kept: about or "there is none" for kept, about in UNUSED_ARE.items()},
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
             one.overflow_irqs, one.saves, one.restores, named(one.vm_exits_by_cause).strip(" ()")]
            for one in report.guests
        ],
        "happened": [
            [one.time - report.start, one.hart, one.name, one.what, one.about]
            for one in report.happened
        ],
    }  # fmt: skip


def owners_of(report: JointReport) -> list[str]:
    """All owners: the host, and guests in the order of their names."""
    guests = {one.name for one in report.guests} | {one.owner for one in report.owners}
    return ["host", *sorted(guests - {"host"}, key=natural)]


def look_of(name: str, names: list[str]) -> str:
    if name == "host":
        return swatch("kernel")
    return swatch(GUESTS[(names.index(name) - 1) % len(GUESTS)])


def blocks(report: JointReport) -> list[tuple]:
    """(hart, first counter, last counter, owner, start, end): counters beside each other that
    somebody had for the same time are one."""
    found: list[list] = []
    by_time = sorted(
        report.owners,
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
