"""Measures what sampling costs, and how long reports take: `make bench-sampling`.

`rvperf record` beside `rvperf stat` of the same event, warm, and `rvperf report` beside stock perf
on a file of a million samples. Whole processes, alternating; medians; nothing is asserted.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from run import HERE, PROGRAMS, rvperf, timed

CASES = (
    ("instructions:u", "-c", "1000000"),
    ("cycles:u", "-c", "1000000"),
    ("branch-misses:u", "-c", "1000000"),
    ("cycles:u", "-c", "10000", "-g"),  # 100,000 samples a second of emulated time
    ("cycles:u", "-c", "10000", "--call-graph", "exact"),
    ("instructions:u", "-c", "10000", "-g"),
)
SAMPLES = 1_000_000
# (what the file has, options of record that give about SAMPLES of quicksort)
FILES = (
    ("no callchains", ("-e", "cycles:u", "-c", "1180")),
    ("callchains", ("-e", "cycles:u", "-c", "1180", "-g")),
    ("deep callchains", ("-e", "cycles:u", "-c", "1180", "--call-graph", "exact")),
    ("three events", ("-e", "cycles:u,instructions:u,branches:u", "-c", "2600")),
)


def paired(first: list[str], second: list[str], runs: int) -> tuple[float, float, float]:
    """Median seconds of both, and the first one's peak memory in MiB."""
    timed(first), timed(second)
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(timed(first))
        theirs.append(timed(second))
    memory = max(run.mebibytes for run in ours)
    return median(r.seconds for r in ours), median(r.seconds for r in theirs), memory


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=3, metavar="N", help="runs to take medians of")
    options.add_argument("--only", default="quicksort", metavar="NAME", help="this bench program")
    args = options.parse_args()
    program = next((one for one in PROGRAMS if one.name == args.only), None)
    if program is None:
        sys.exit(f"no such program: {args.only}")
    command = ["--", str(HERE / program.name), str(program.rounds)]
    with tempfile.TemporaryDirectory() as scratch:
        file = str(Path(scratch) / "perf.data")
        print(f"{'record ' + program.name:48} {'record':>9} {'stat':>9} {'ratio':>6}")
        for event, *how in CASES:
            record = [*rvperf(), "record", "-q", "-N", "-o", file, "-e", event, *how, *command]
            stat = [*rvperf(), "stat", "-o", "/dev/null", "-e", event, *command]
            a, b, _ = paired(record, stat, args.runs)
            print(
                f"  {event + ' ' + ' '.join(how):46} {a:7.3f} s {b:7.3f} s {a / b:6.2f}", flush=True
            )
        if not shutil.which("perf"):
            sys.exit("perf isn't installed (package linux-perf)")
        print(
            f"{'report, a million samples':48} {'rvperf':>9} {'perf':>9} {'ratio':>6} {'memory':>9}"
        )
        for what, how in FILES:
            timed([*rvperf(), "record", "-q", "-N", "-o", file, *how, *command])
            ours = [*rvperf(), "report", "--stdio", "-i", file]
            theirs = ["perf", "report", "--stdio", "-i", file]
            a, b, memory = paired(ours, theirs, args.runs)
            print(f"  {what:46} {a:7.3f} s {b:7.3f} s {a / b:6.2f} {memory:5.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
