"""`kvm run` in Chrome's trace event format, for Perfetto, chrome://tracing and others.

A hart is a process and a counter a thread of it, on which each owner is a slice; overflow
interrupts are instants on threads of their own, one for each mode; totals are counters. Times are
in us (the format's unit), of the emulated clock from the start.
"""

from collections.abc import Iterator

from rvperf.render.joint import FIXED, UNUSED_ARE, unused_of
from rvperf.render.long_json import written
from rvperf.results import JointReport

OVERFLOWS = {"M": 100, "HS": 101, "VS": 102}
"""Threads of overflow interrupts."""
SCRIPT = 103
"""The thread of what a script does."""
FIGURES = ("vm_exits", "sbi_calls", "guest_sbi_calls", "saves", "restores")


def trace(report: JointReport) -> bytes:
    return written({"traceEvents": tuple(events(report)), "displayTimeUnit": "ns"})


def events(report: JointReport) -> Iterator[dict]:
    def us(time: int) -> float:
        return (time - report.start) / 1000

    for hart in range(report.harts):
        yield from names(hart, unused_of(report))
    for one in report.owners:
        yield slice_of(one.hart, one.counter, one.owner, us(one.start), us(one.end) - us(one.start))
    for one in report.overflows:
        name, thread = f"overflow interrupt, {one.owner}", OVERFLOWS[one.mode]
        yield instant(name, "overflow", "t", us(one.time), one.hart, thread)
    for one in report.happened:
        name, about = f"{one.name} {one.what}", {"about": one.about}
        yield instant(name, "script", "p", us(one.time), one.hart, SCRIPT, args=about)
    everything = report.harts + 1
    yield named("process_name", everything, 0, "totals")
    for one in report.totals:
        for name in FIGURES:
            yield {
                "name": name.replace("_", " ").replace("sbi", "SBI").replace("vm", "VM"),
                "cat": "totals",
                "ph": "C",
                "ts": us(one.time),
                "pid": everything,
                "args": {"n": getattr(one, name)},
            }


def instant(
    name: str, category: str, scope: str, time: float, hart: int, thread: int, **more
) -> dict:
    """`scope` is "t" for a mark on the thread alone, "p" for one on the whole hart."""
    return {
        "name": name,
        "cat": category,
        "ph": "i",
        "s": scope,
        "ts": time,
        "pid": hart_id(hart),
        "tid": thread,
        **more,
    }


def names(hart: int, unused: tuple[str, ...]) -> Iterator[dict]:
    pid = hart_id(hart)
    yield named("process_name", pid, 0, f"hart {hart}")
    for counter, kept in enumerate(unused):
        text = FIXED[counter] if counter < len(FIXED) else f"hpmcounter{counter}"
        if UNUSED_ARE[kept]:
            text += f" ({UNUSED_ARE[kept].split(',')[0]})"
        yield named("thread_name", pid, counter + 1, text)
    for mode, tid in OVERFLOWS.items():
        yield named("thread_name", pid, tid, f"overflow interrupts to {mode}")
    yield named("thread_name", pid, SCRIPT, "script")


def hart_id(hart: int) -> int:
    """Ids are from 1: viewers take 0 for nobody's."""
    return hart + 1


def named(what: str, pid: int, tid: int, text: str) -> dict:
    return {"name": what, "cat": "__metadata", "ph": "M", "ts": 0, "pid": pid, "tid": tid,
            "args": {"name": text}}  # fmt: skip


def slice_of(hart: int, counter: int, owner: str, start: float, length: float) -> dict:
    return {
        "name": owner,
        "cat": "owner",
        "ph": "X",
        "ts": start,
        "dur": length,
        "pid": hart_id(hart),
        "tid": counter + 1,
    }
