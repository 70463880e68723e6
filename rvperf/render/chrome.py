"""Chrome's trace event JSON with a CPU profile for each thread: Profile and ProfileChunk events.

The DevTools' performance panel, chrome://tracing, Perfetto and speedscope take it
(https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile has the meaning of
nodes, samples and deltas). Time is emulated time; the format knows no other weights.
"""

import numpy as np

from rvperf.perfdata.distinct import distinct
from rvperf.render.long_json import numbers, written
from rvperf.render.speedscope import first_seen, shown, source_files
from rvperf.render.stacks import Stacks, Tree

CATEGORY = "disabled-by-default-v8.cpu_profiler"


def chrome(stacks: Stacks) -> bytes:
    """The samples of an event."""
    files = source_files(stacks)
    events: list[dict] = []
    named = set()
    for number, thread in enumerate(first_seen(stacks.thread), 1):
        events += thread_events(stacks, thread, number, files, named)
    return written({"traceEvents": tuple(events), "displayTimeUnit": "ns"})


def thread_events(stacks: Stacks, thread: int, number: int, files: list[str], named: set):
    """The names of a thread and of its process, and its profile."""
    chosen = np.flatnonzero(stacks.thread == thread)
    chosen = chosen[np.argsort(stacks.time[chosen], kind="stable")]
    who = stacks.profile.threads[thread]
    comm = stacks.comm_name(int(stacks.comm[chosen[-1]]))
    place = {"pid": who.pid, "tid": who.tid}
    name = {"cat": "__metadata", "ph": "M", **place, "ts": 0, "args": {"name": comm}}
    if who.pid not in named:
        named.add(who.pid)
        yield {**name, "name": "process_name"}
    yield {**name, "name": "thread_name"}

    tree = Tree()
    mine = stacks.stack[chosen]
    first, which = distinct([mine])
    leaves = [tree.add(stacks.path(stack), 0, 0) + 1 for stack in mine[first].tolist()]
    samples = numbers(np.array(leaves, np.int64)[which])
    moments = stacks.time[chosen] // 1000
    begin = int(moments[0])
    head = {"cat": CATEGORY, "ph": "P", "id": f"{number:#x}", **place, "ts": begin}
    yield {**head, "name": "Profile", "args": {"data": {"startTime": begin}}}
    nodes = [node(stacks, tree, one, files) for one in range(len(tree))]
    profile = {"nodes": nodes, "samples": samples}
    deltas = numbers(np.diff(moments, prepend=moments[0]))
    data = {"cpuProfile": profile, "timeDeltas": deltas, "endTime": int(moments[-1])}
    yield {**head, "name": "ProfileChunk", "args": {"data": data}}


def node(stacks: Stacks, tree: Tree, number: int, files: list[str]) -> dict:
    """A node of the tree of calls; ids are from 1."""
    frame = tree.frame[number]
    if frame is None:
        name, url, source = "(root)", "", 0
    else:
        name, url, source = shown(stacks.functions[frame]), files[frame], frame + 1
    call = {
        "functionName": name,
        "url": url,
        "scriptId": source,
        "lineNumber": -1,
        "columnNumber": -1,
        "codeType": "other",
    }
    parent = {} if frame is None else {"parent": tree.parent[number] + 1}
    return {"id": number + 1, "callFrame": call, **parent}
