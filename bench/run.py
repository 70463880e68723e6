"""Measures rvperf beside qemu-riscv64 on the bench programs, and prints times, ratios and means.

Whole processes are timed, alternating A B A B, and medians compared: `rvperf stat -e
instructions:u` counts, plain qemu-riscv64 doesn't. A warm-up run fills rvperf's cache first;
with --cold each run starts with an empty one. Nothing is asserted about time.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
QEMU = "qemu-riscv64"


@dataclass(frozen=True)
class Program:
    """A bench program: rounds for about 1 G instructions, and for 5 G or more (`steady`)."""

    name: str
    kind: str
    rounds: int
    steady: int


PROGRAMS = (
    Program("mix", "integer", 960, 4800),
    Program("sieve", "integer", 76, 385),
    Program("quicksort", "integer", 74, 370),
    Program("sha256", "integer", 183, 920),
    Program("bytecode", "integer", 70, 350),
    Program("chase", "integer", 40800, 204000),
    Program("matmul", "floating point", 78, 395),
    Program("nbody", "floating point", 1034, 5200),
)


@dataclass(frozen=True)
class Timed:
    """One process: its wall time in seconds, peak memory in MiB, and what it printed."""

    seconds: float
    mebibytes: float
    stdout: bytes


def rvperf() -> list[str]:
    """The console script beside this Python, as a user would start it."""
    script = Path(sys.executable).with_name("rvperf")
    return [str(script)] if script.exists() else [sys.executable, "-m", "rvperf"]


def timed(command: list[str], cache: str | None = None) -> Timed:
    """Run a command to its end. wait4 gives this child's own peak memory."""
    env = os.environ | ({"XDG_CACHE_HOME": cache} if cache else {})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if child.returncode:
            last = err.read().decode(errors="replace").strip().splitlines()[-1:]
            sys.exit(f"{' '.join(command)}: exit {child.returncode} {' '.join(last)}")
        return Timed(seconds, usage.ru_maxrss / 1024, out.read())


def stat(elf: Path, *args: str) -> list[str]:
    """The rvperf command that is measured."""
    return [*rvperf(), "stat", "-e", "instructions:u", "-o", "/dev/null", "--", str(elf), *args]


def measure(program: Program, *, steady: bool, cold: bool, runs: int) -> dict:
    """Time one program under both, alternating; refuse to compare if their output differs."""
    elf = HERE / program.name
    rounds = str(program.steady if steady else program.rounds)
    ours, theirs = [], []
    if not cold:
        timed(stat(elf, rounds))
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as empty:
            ours.append(timed(stat(elf, rounds), empty if cold else None))
        theirs.append(timed([QEMU, str(elf), rounds]))
    if {run.stdout for run in ours} != {run.stdout for run in theirs}:
        sys.exit(f"{program.name}: rvperf and QEMU print different results")
    a, b = median(run.seconds for run in ours), median(run.seconds for run in theirs)
    return {
        "program": program.name,
        "kind": program.kind,
        "rounds": int(rounds),
        "rvperf": a,
        "qemu": b,
        "ratio": a / b,
        "rvperf_mebibytes": max(run.mebibytes for run in ours),
        "qemu_mebibytes": max(run.mebibytes for run in theirs),
    }


def geometric(ratios: list[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main() -> None:
    """Measure what is asked for, print the table, and write it as JSON on request."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=3, metavar="N", help="runs to take medians of")
    options.add_argument("--cold", action="store_true", help="an empty cache for each run")
    options.add_argument("--steady", action="store_true", help="5 G instructions instead of 1 G")
    options.add_argument("--only", action="append", metavar="NAME", help="only this program")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    args = options.parse_args()
    if not shutil.which(QEMU):
        sys.exit(f"{QEMU} isn't installed (package qemu-user)")
    names = {program.name for program in PROGRAMS}
    if unknown := set(args.only or ()) - names:
        sys.exit(f"no such program: {', '.join(unknown)}; there are {', '.join(sorted(names))}")

    print(f"{'':10} {'kind':14} {'rvperf':>9} {'QEMU':>9} {'ratio':>6} {'memory':>10}")
    rows = []
    for program in PROGRAMS:
        if args.only and program.name not in args.only:
            continue
        row = measure(program, steady=args.steady, cold=args.cold, runs=args.runs)
        rows.append(row)
        print(
            f"{row['program']:10} {row['kind']:14} {row['rvperf']:7.3f} s {row['qemu']:7.3f} s"
            f" {row['ratio']:6.2f} {row['rvperf_mebibytes']:6.0f} MiB",
            flush=True,
        )
    means = {}
    for title, kinds in (
        ("all", ("integer", "floating point")),
        ("integer", ("integer",)),
        ("floating point", ("floating point",)),
    ):
        if ratios := [row["ratio"] for row in rows if row["kind"] in kinds]:
            means[title] = geometric(ratios)
            print(f"{'geometric mean, ' + title:45} {means[title]:6.2f}")
    means["highest"] = max(row["ratio"] for row in rows)
    print(f"{'highest':45} {means['highest']:6.2f}")

    hello = HERE.parent / "samples/hello"
    small = {}
    for title, command in (
        ("trivial program", stat(hello)),
        ("rvperf --help", [*rvperf(), "--help"]),
        ("rvperf list", [*rvperf(), "list"]),
    ):
        timed(command)
        all_runs = [timed(command) for _ in range(max(args.runs, 5))]
        small[title] = median(run.seconds for run in all_runs)
        print(f"{title:25} {small[title]:7.3f} s {'':19}{all_runs[0].mebibytes:6.0f} MiB")
    if args.json:
        options_used = {"runs": args.runs, "cold": args.cold, "steady": args.steady}
        report = {"options": options_used, "programs": rows, "means": means, "seconds": small}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
