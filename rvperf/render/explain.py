"""`kvm explain`: a run in lanes, as a strip, and in two sentences."""

from textwrap import fill

from rvperf.render import lanes
from rvperf.render.joint import strips
from rvperf.results import JointReport, Operation

WIDTH = 78


def text(
    name: str,
    about: str,
    words: list[str],
    what: str,
    report: JointReport,
    steps: tuple[Operation, ...],
    fold: bool,
) -> str:
    """`words` are the arguments of `kvm run` that do the same, and `steps` what happened once."""
    command = fill(" ".join(["rvperf kvm run", *words]), WIDTH, initial_indent="   ",
                   subsequent_indent="     ", break_long_words=False,
                   break_on_hyphens=False).replace("\n", " \\\n")  # fmt: skip
    page = fill(f" {name}: {about}", WIDTH) + f"\n\n{command}\n\n {what}, step by step\n\n"
    steps = lanes.folded(steps) if fold else list(steps)
    page += lanes.lines(steps) if steps else " there was none\n\n"
    page += " Who has the counters\n\n" + "\n".join(strips(report)) + "\n\n"
    sentences = " ".join(SENTENCES[name](report))
    return page + fill(sentences, WIDTH, initial_indent=" ", subsequent_indent=" ") + "\n"


def sampled(report: JointReport, side: str):
    """A side's session that records."""
    recorded = (one for one in report.sessions if one.samples is not None)
    return next(one for one in recorded if (one.name == "host") == (side == "host"))


def many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def sums(report: JointReport) -> tuple[int, int]:
    """Saves and restores of all vCPUs."""
    last = report.totals[-1] if report.totals else None
    return (last.saves, last.restores) if last else (0, 0)


def single(report: JointReport):
    guest, session = report.guests[0], sampled(report, "guest")
    saves, restores = sums(report)
    yield (
        f"The guest took {many(session.samples, 'sample')} and served "
        f"{many(guest.overflow_irqs, 'overflow interrupt')} itself: of its "
        f"{many(guest.vm_exits, 'exit')} the PMU caused {guest.pmu_exits}."
    )
    yield (
        f"Nobody else wants the counters that it has, so there were {many(saves, 'save')} and "
        f"{many(restores, 'restore')}, however often it stopped."
    )


def two(report: JointReport):
    saves, restores = sums(report)
    yield (
        f"The vCPUs left the hart {many(report.switches, 'time')}, and the counters changed owner "
        f"{many(report.owner_changes, 'time')}: {many(saves, 'save')}, {many(restores, 'restore')}."
    )
    yield (
        "Only when the other vCPU really comes are registers moved, once out and once in; "
        "what the exits in between cost doesn't grow with the number of counters."
    )


def migration(report: JointReport):
    saves, restores = sums(report)
    guest = sampled(report, "guest")
    yield (
        f"The vCPU changed harts {many(report.migrations, 'time')}, with {many(saves, 'save')} and "
        f"{many(restores, 'restore')}; its perf took {many(guest.samples, 'sample')} "
        f"and lost {guest.lost}."
    )
    yield (
        "What it counted is in the old hart's registers, which the new one can't read: the old "
        "hart saves them before the vCPU may run on the new."
    )


def together(report: JointReport):
    guest, host = sampled(report, "guest"), sampled(report, "host")
    irqs = report.overflow_irqs
    yield (
        f"The host took {many(host.samples, 'sample')} and lost {host.lost}, the guest took "
        f"{many(guest.samples, 'sample')} and lost {guest.lost}, on one hart at the same time."
    )
    yield (
        f"Each has counters and an interrupt of its own: {irqs.get('HS', 0)} overflow interrupts "
        f"went to the host, {irqs.get('VS', 0)} straight to the guest."
    )


def shlcofideleg(report: JointReport):
    host, irqs = sampled(report, "host"), report.overflow_irqs
    due = host.samples + host.lost
    yield (
        f"Of the {many(due, 'sample')} that the host was due it got {host.samples} and lost "
        f"{host.lost}: {irqs.get('VS', 0)} overflow interrupts went to the guest, "
        f"{irqs.get('HS', 0)} to the host."
    )
    yield (
        "A hart has one overflow interrupt for all its counters, and Shlcofideleg delegates all of "
        "it: the guest's handler finds none of its own counters overflown, and drops it."
    )


SENTENCES = {
    "single": single,
    "two": two,
    "migration": migration,
    "together": together,
    "shlcofideleg": shlcofideleg,
}
