"""The perf of this machine as the oracle, for what software events alone can show."""

import os
import re
import shutil
import subprocess

import pytest

from rvperf.events import parse_events
from rvperf.results import Count, Exit, StatResult


def perf(*words: str) -> subprocess.CompletedProcess:
    """Run it. Without one that works the test is skipped; in CI it fails."""
    if shutil.which("perf") is None:
        absent("there is no perf")
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        ["perf", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def absent(why: str):
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def stat(events: str, *options: str, command=("true",)) -> tuple[StatResult, str]:
    """What perf counted, as data (from -v's raw lines), and what it printed of that.

    The events must begin with duration_time, which is the elapsed time.
    """
    done = perf("stat", "-v", "-e", events, *options, *command)
    raw = re.compile(r"^(\S+): (\d+) (\d+) (\d+)\n", re.MULTILINE)
    readings = {name: map(int, numbers) for name, *numbers in raw.findall(done.stderr)}
    counts = []
    for event in parse_events(events):
        if event.name in readings:
            value, enabled, running = readings[event.name]
            supported = True
        else:
            value, enabled, running, supported = None, 0, 0, False
        counts.append(
            Count(
                event.name,
                event.symbol,
                value,
                supported,
                enabled,
                running,
                event.unit,
                event.scale,
                event.context,
            )
        )
    if not counts[0].counted:
        absent(f"perf counts nothing here: {done.stderr}")
    printed = raw.split(done.stderr)[-1]
    printed = printed.removeprefix("failed to read counter bus-cycles\n")
    times = {
        word: round(float(seconds) * 1e9)
        for seconds, word in re.findall(r"([\d.]+) seconds (user|sys)", printed)
    }
    result = StatResult(
        command,
        tuple(counts),
        counts[0].value,
        times.get("user", 0),
        times.get("sys", 0),
        Exit(done.returncode),
    )
    return result, printed
