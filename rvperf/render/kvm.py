"""`perf kvm stat`'s report, as CSV and JSON too. Layout and words are perf's (builtin-kvm.c); the
names of exits are those of its tools/perf/arch/riscv. perf forgets that an exit was an interrupt,
and so calls a guest's SBI call IRQ_VS_EXT; here each has its own name."""

import json

from isa.causes import Cause, name_of_cause
from isa.record import Record
from rvperf.results import KvmStatResult, VmExitRow

FAULTS = (
    Cause.INSTRUCTION_GUEST_PAGE_FAULT,
    Cause.LOAD_GUEST_PAGE_FAULT,
    Cause.STORE_GUEST_PAGE_FAULT,
)
INSTRUCTIONS = Cause.ILLEGAL_INSTRUCTION, Cause.VIRTUAL_INSTRUCTION
WIDTH = 40

EVENTS = {
    "vmexit": ("VM-EXIT", None),
    "csr": ("CSR", INSTRUCTIONS),
    "sbi": ("SBI CALL", (Cause.ENVIRONMENT_CALL_FROM_VS,)),
    "fault": ("GUEST ADDRESS", FAULTS),
    "all": ("VM-EXIT", None),
}
"""What --event can ask for: the column's title, and the causes of the exits that are shown."""


class Line(Record):
    """A line of the report; times in ns."""

    name: str
    samples: int
    total: int
    least: int
    most: int
    squares: int

    @property
    def mean(self) -> float:
        return self.total / self.samples

    @property
    def deviation(self) -> float:
        """Standard deviation of the mean, in percent of it."""
        if self.samples < 2 or not self.total:
            return 0.0
        spread = max(0, self.squares - self.total * self.total / self.samples)
        return 100 * (spread / (self.samples - 1) / self.samples) ** 0.5 / self.mean


SORT_KEYS = {
    "sample": lambda line: line.samples,
    "percent_sample": lambda line: line.samples,
    "time": lambda line: line.mean,
    "percent_time": lambda line: line.total,
    "max_time": lambda line: line.most,
    "min_time": lambda line: line.least,
    "mean_time": lambda line: line.mean,
}
"""-k: the largest comes first."""


def lines(result: KvmStatResult, event: str = "vmexit", keys=("sample",)) -> list[Line]:
    """The rows of --event, added up by what they are called, in the order of the sort keys."""
    _, causes = EVENTS[event]
    added: dict[str, Line] = {}
    for row in result.rows:
        if row.samples and (causes is None or row.cause in causes):
            name = called(row, event)
            added[name] = plus(added.get(name), name, row)
    return sorted(
        added.values(), key=lambda line: (*(-SORT_KEYS[key](line) for key in keys), line.name)
    )


def called(row: VmExitRow, event: str) -> str:
    if event == "vmexit":
        return name_of_cause(row.cause)
    if event == "all":
        return f"{name_of_cause(row.cause)} {row.key}".rstrip()
    return row.key or name_of_cause(row.cause)


def plus(line: Line | None, name: str, row: VmExitRow) -> Line:
    if line is None:
        return Line(name, row.samples, row.total_ns, row.min_ns, row.max_ns, row.squares)
    return Line(
        name,
        line.samples + row.samples,
        line.total + row.total_ns,
        min(line.least, row.min_ns),
        max(line.most, row.max_ns),
        line.squares + row.squares,
    )


def text(result: KvmStatResult, event: str = "vmexit", keys=("sample",)) -> str:
    """perf kvm stat report's page."""
    shown = lines(result, event, keys)
    samples, time = sum(line.samples for line in shown), sum(line.total for line in shown)
    width = max([WIDTH, *(len(line.name) for line in shown)])
    page = "\n\nAnalyze events for all VMs, all VCPUs:\n\n"
    page += f"{EVENTS[event][0]:>{width}} {'Samples':>10} {'Samples%':>9} {'Time%':>9} "
    page += f"{'Min Time':>11} {'Max Time':>11} {'Avg time':>16} \n\n"
    for line in shown:
        page += (
            f"{line.name:>{width}} {line.samples:>10} {share(line.samples, samples):>8.2f}% "
            f"{share(line.total, time):>8.2f}% {line.least / 1000:>9.2f}us "
            f"{line.most / 1000:>9.2f}us {line.mean / 1000:>9.2f}us "
            f"( +-{line.deviation:>7.2f}% )\n"
        )
    return f"{page}\nTotal Samples:{samples}, Total events handled time:{time / 1000:.2f}us.\n\n"


def share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def csv(result: KvmStatResult, separator: str, event: str = "vmexit", keys=("sample",)) -> str:
    """A line each: name, samples, and total, shortest, longest and mean time in ns."""
    return "".join(
        separator.join(map(str, [*figures(line).values()])) + "\n"
        for line in lines(result, event, keys)
    )


def figures(line: Line) -> dict:
    return {
        "event": line.name,
        "samples": line.samples,
        "total-ns": line.total,
        "min-ns": line.least,
        "max-ns": line.most,
        "avg-ns": round(line.mean, 2),
    }


def json_lines(result: KvmStatResult, event: str = "vmexit", keys=("sample",)) -> str:
    """An object a line, as `stat -j` prints counts."""
    return "".join(json.dumps(figures(line)) + "\n" for line in lines(result, event, keys))
