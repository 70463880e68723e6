"""babeltrace2 as the oracle for traces in the Common Trace Format."""

import re
import shutil
import subprocess

from tests.oracles.perf import absent

LINE = re.compile(r"\[(\d+)\] (\S+): (?:\{ cpu_id = (\d+) \}, )?\{ (.*) \}")


def babeltrace(directory) -> tuple[list[tuple[int, str, str, str]], str]:
    """What it reads, as (time, event, CPU's number or "", fields as text), and its complaints.
    Without one the test is skipped; in CI it fails."""
    if shutil.which("babeltrace2") is None:
        absent("there is no babeltrace2")
    words = ["babeltrace2", "--clock-cycles", "--no-delta", str(directory)]
    done = subprocess.run(words, capture_output=True, text=True)
    events = []
    for line in done.stdout.splitlines():
        time, name, hart, fields = LINE.fullmatch(line).groups()
        events.append((int(time), name, hart or "", fields))
    return events, done.stderr
