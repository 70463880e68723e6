"""The command under test, started as a user starts it."""

import subprocess
import sys
from pathlib import Path


def command() -> list[str]:
    """The console script that is installed beside this Python, or the module."""
    script = Path(sys.executable).with_name("rvperf")
    return [str(script)] if script.exists() else [sys.executable, "-m", "rvperf"]


def rvperf(*args, timeout: float = 300, **how) -> subprocess.CompletedProcess:
    """Run rvperf and capture what it prints."""
    if "input" not in how:
        how["stdin"] = subprocess.DEVNULL
    return subprocess.run(
        [*command(), *map(str, args)], capture_output=True, timeout=timeout, **how
    )


def counted(csv: str) -> dict[str, float]:
    """The counts in the output of `stat -x,`, by event."""
    rows = [line.split(",") for line in csv.splitlines() if line and not line.startswith("#")]
    return {row[2]: float(row[0]) for row in rows}
