"""A profile as one HTML page: what was measured, a timeline, a flame graph, a table, hot functions.

The page needs nothing else and asks the network for nothing; its content security policy forbids
it to. It holds the stacks as a tree, and the samples counted by slice of time, thread, CPU and node
of that tree, so its size follows what differs, not how many samples there are.

All that comes from the profiled files is in one JSON element, and gets on the page as textContent.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isa.record import Record
from rvperf.perfdata.attr import SAMPLE
from rvperf.perfdata.distinct import distinct
from rvperf.render.flame import SAID, Box, tree_of
from rvperf.render.palette import STYLE, TONES, tone
from rvperf.render.speedscope import TIMES
from rvperf.render.stacks import Stacks, Tree, legible

HERE = Path(__file__)
MOST_ENTRIES = 350_000
"""Counts of all events together, of about eight bytes each. For more, detail is given up."""
SLICES = 480
DETAIL = ((40_000, 60), (12_000, 60), (4_000, 30))
"""How many nodes all trees together may have, and slices of time at least, from finest on. What
doesn't fit after the last stays as it is."""
HOT = 10
"""Functions that are shown instruction by instruction."""
SMALLER = Box("(smaller frames)", "", "unknown")


class Line(Record):
    """A line of a listing: an instruction (with its address and share in percent) or source."""

    text: str
    address: int | None = None
    percent: float = 0.0


class Listing(Record):
    """A function's instructions in the order of their addresses, source lines among them.

    `percent` is its share of the event.
    """

    name: str
    dso: str
    percent: float
    lines: tuple[Line, ...]


Annotate = Callable[[Stacks, int], Sequence[Listing]]
"""Listings of the hottest functions of an event, at most so many."""


def page(
    events: Sequence[Stacks], facts: Sequence[tuple[str, str]] = (), annotate: Annotate = None
) -> str:
    """The page with these events of one profile. `facts` are names and values for its head."""
    times = [stacks.time for stacks in events if len(stacks)]
    start = min((int(time.min()) for time in times), default=0)
    end = max((int(time.max()) for time in times), default=0)
    boxes: dict[Box, int] = {}
    content = {
        "facts": [[legible(name), legible(value)] for name, value in facts],
        "start": start,
        "end": end,
        "said": SAID,
        "tones": TONES,
        "events": [
            event_data(stacks, boxes, start, end, len(events), annotate) for stacks in events
        ],
    }
    content["boxes"] = [[box.label, box.dso, box.look, tone(box.look, box.label)] for box in boxes]
    return document(content)


def document(content: dict, name: str = "page", title: str = "rvperf report") -> str:
    """The page of NAME.js and NAME.body.html, with NAME.css after page.css if that is another."""
    script = HERE.with_name(f"{name}.js").read_text()
    style = STYLE + HERE.with_name("page.css").read_text()
    if name != "page":
        style += HERE.with_name(f"{name}.css").read_text()
    body = HERE.with_name(f"{name}.body.html").read_text()
    policy = (
        f"default-src 'none'; img-src data:; script-src {digest(script)}; "
        f"style-src {digest(style)}; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n{body}"
        f'<script type="application/json" id="data">{embedded(content)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def digest(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(content) -> str:
    """JSON that can't end the element that it is in."""
    text = json.dumps(content, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def event_data(stacks: Stacks, boxes, start: int, end: int, share: int, annotate) -> dict:
    """An event as the page's script takes it."""
    lanes, lane = lanes_of(stacks)
    whole, ends = tree_of(stacks)
    for most, fewest in DETAIL:
        tree, nodes, left_out = pruned(whole, ends, most // share)
        slices, columns = entries(stacks, nodes, lane, start, end, MOST_ENTRIES // share, fewest)
        if len(columns[0]) <= MOST_ENTRIES // share:
            break
    period = fixed_period(stacks)
    clock = stacks.event.name.partition(":")[0] in TIMES
    listings = annotate(stacks, HOT) if annotate and len(stacks) else ()
    return {
        "name": legible(stacks.event.name),
        "unit": "ns" if clock else "events",
        "samples": len(stacks),
        "total": stacks.total,
        "chained": stacks.chained,
        "leftOut": left_out,
        "parent": tree.parent,
        "box": [-1] + [boxes.setdefault(box, len(boxes)) for box in tree.frame[1:]],
        "lanes": lanes,
        "hasCpu": bool(stacks.event.attr.sample_type & SAMPLE.CPU),
        "slices": slices,
        "period": period,
        "entries": packed(columns, period),
        "listings": [listing_data(listing) for listing in listings],
    }


def listing_data(listing: Listing) -> dict:
    lines = [
        [round(line.percent, 2), "" if line.address is None else f"{line.address:x}"]
        + [legible(line.text.expandtabs(8))]
        for line in listing.lines
    ]
    return {
        "name": legible(listing.name),
        "dso": legible(listing.dso),
        "percent": round(listing.percent, 2),
        "lines": lines,
    }


def pruned(tree: Tree, nodes: np.ndarray, most: int):
    """A tree of at most about so many nodes, the heaviest; each sample's node in it; and how many
    nodes went. What goes is one frame SMALLER on top of what stays."""
    if len(tree) <= most:
        return tree, nodes, 0
    weights = tree.totals(tree.weight)
    least = sorted(weights, reverse=True)[most // 2]
    small = Tree()
    moved = [0] * len(tree)
    stays = [True] * len(tree)
    for node in range(1, len(tree)):
        parent = tree.parent[node]
        stays[node] = stays[parent] and weights[node] > least
        if stays[node]:
            moved[node] = small.child(moved[parent], tree.frame[node])
        elif stays[parent]:
            moved[node] = small.child(moved[parent], SMALLER)
        else:
            moved[node] = moved[parent]
        small.count[moved[node]] += tree.count[node]
        small.weight[moved[node]] += tree.weight[node]
    return small, np.array(moved, np.int32)[nodes], stays.count(False)


def lanes_of(stacks: Stacks):
    """The different (thread, comm, CPU), and each sample's one."""
    first, lane = distinct([stacks.thread, stacks.comm, stacks.cpu])
    found = []
    for at in first.tolist():
        who = stacks.profile.threads[int(stacks.thread[at])]
        comm = stacks.comm_name(int(stacks.comm[at]))
        found.append([comm, who.pid, who.tid, int(stacks.cpu[at])])
    return found, lane


def entries(stacks: Stacks, nodes, lane, start: int, end: int, most: int, fewest: int):
    """Samples counted by slice of time, lane and node: the number of slices, and the columns slice,
    lane, node, count and period, sorted by the first three."""
    slices = SLICES if end > start else 1
    while True:
        width = max(1, -(-(end - start + 1) // slices))
        part = ((stacks.time - start) // width).astype(np.int32)
        first, group = distinct([part, lane, nodes])
        if len(first) <= most or slices <= fewest:
            break
        slices //= 2
    counts = np.bincount(group, minlength=len(first))
    periods = np.zeros(len(first), np.int64)
    np.add.at(periods, group, stacks.period)
    columns = part[first], lane[first], nodes[first], counts, periods
    order = np.lexsort((columns[2], columns[1], columns[0]))
    return slices, [column[order].astype(np.int64) for column in columns]


def fixed_period(stacks: Stacks) -> int:
    """The period of all samples; 0 if they differ."""
    if not len(stacks) or stacks.period.min() != stacks.period.max():
        return 0
    return int(stacks.period[0])


def packed(columns, period: int) -> str:
    """The entries as LEB128 numbers in base64: slice (from the last one's), lane, node (from the
    last one's if slice and lane are the same), count, and the sum of periods unless they are all
    `period`."""
    part, lane, node, count, weight = columns
    if not len(part):
        return ""
    step = np.diff(part, prepend=0)
    same = (step == 0) & (np.diff(lane, prepend=0) == 0)
    jump = np.where(same, np.diff(node, prepend=0), node)
    table = [step, lane, jump, count] + [weight] * (not period)
    return base64.b64encode(varints(np.stack(table, axis=1).ravel())).decode()


def varints(values: np.ndarray) -> bytes:
    """Numbers from 0 on, each seven bits a byte from the lowest on; all but the last have bit 7."""
    sizes = np.ones(len(values), np.int64)
    for bits in range(7, 63, 7):
        sizes += values >> bits > 0
    ends = np.cumsum(sizes)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for k in range(int(sizes.max(initial=0))):
        here = np.flatnonzero(sizes > k)
        byte = values[here] >> 7 * k & 0x7F | np.where(sizes[here] > k + 1, 0x80, 0)
        out[ends[here] - sizes[here] + k] = byte
    return out.tobytes()
