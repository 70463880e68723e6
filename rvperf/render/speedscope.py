"""speedscope's file format (https://www.speedscope.app/file-format-schema.json).

One profile for each thread of each event, its samples in the order of time, weighted by period.
"""

from collections.abc import Sequence

import numpy as np

from rvperf.perfdata.distinct import distinct
from rvperf.render.long_json import Array, numbers, written
from rvperf.render.stacks import Function, Stacks

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
TIMES = ("cpu-clock", "task-clock")
"""Events whose periods are ns."""


def speedscope(events: Sequence[Stacks], name: str = "perf.data") -> bytes:
    """A file with all these events. `name` is what the viewer calls it."""
    frames: dict[tuple, int] = {}
    profiles = []
    for stacks in events:
        files = source_files(stacks)
        own = [
            frames.setdefault((shown(function), file), len(frames))
            for function, file in zip(stacks.functions, files, strict=True)
        ]
        for thread in first_seen(stacks.thread):
            profiles.append(profile(stacks, thread, own))
    return written(
        {
            "$schema": SCHEMA,
            "name": name,
            "exporter": "rvperf",
            "activeProfileIndex": 0,
            "shared": {"frames": [{"name": name, "file": file} for name, file in frames]},
            "profiles": tuple(profiles),
        }
    )


def profile(stacks: Stacks, thread: int, frames: list[int]) -> dict:
    """The samples of a thread; those after each other with one stack together."""
    chosen = np.flatnonzero(stacks.thread == thread)
    chosen = chosen[np.argsort(stacks.time[chosen], kind="stable")]
    runs = np.flatnonzero(np.diff(stacks.stack[chosen], prepend=-1))
    weights = np.add.reduceat(stacks.period[chosen], runs)
    mine = stacks.stack[chosen][runs]
    first, which = distinct([mine])
    texts = [
        f"[{','.join(str(frames[function]) for function in stacks.path(stack))}]"
        for stack in mine[first].tolist()
    ]
    who = stacks.profile.threads[thread]
    comm = stacks.comm_name(int(stacks.comm[chosen[-1]]))
    clock = stacks.event.name.partition(":")[0] in TIMES
    return {
        "type": "sampled",
        "name": f"{stacks.event.name} {comm} {who.pid}/{who.tid}",
        "unit": "nanoseconds" if clock else "none",
        "startValue": 0,
        "endValue": int(weights.sum()),
        "samples": Array(texts[number] for number in which),
        "weights": numbers(weights),
    }


def shown(function: Function) -> str:
    """The name with a mark for what has no frame or no user mode of its own."""
    mark = f" [{function.kind}]" if function.kind != "user" else ""
    return function.label + mark + (" [inlined]" if function.inlined else "")


def source_files(stacks: Stacks) -> list[str]:
    """For each function its source file, or the path of its dso if that isn't known."""
    files = [function.path for function in stacks.functions]
    for location in stacks.locations:
        for (function, _), file in zip(location.frames, location.files, strict=True):
            if file and files[function] == stacks.functions[function].path:
                files[function] = file
    return files


def first_seen(column: np.ndarray) -> list[int]:
    """The different values of a column in the order in which they first come."""
    first, _ = distinct([column])
    return column[first].tolist()
