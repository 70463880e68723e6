"""A flame graph as one SVG file: search, zoom and keyboard by a script of its own, nothing from
elsewhere.

Names come from files that nobody vouches for. They are only ever text: here through `escape`, in
the script through textContent.
"""

from pathlib import Path

import numpy as np

from isa.record import Record, values_of
from rvperf.perfdata.distinct import distinct
from rvperf.render.palette import STYLE, swatch, tone
from rvperf.render.stacks import Stacks, Tree, legible

SCRIPT = Path(__file__).with_name("flame.js")
WIDTH = 1200
"""px, before the script makes it fit the window."""
ROW = 18
TOP, BOTTOM, SIDE = 58, 44, 12
LETTER = 7.25
"""px that a letter of the monospaced 12 px font takes."""
HEADING_LETTER = 10.2
NARROWEST = 0.1
"""px below which a frame is left out."""
MOST = 15_000
"""Frames that are drawn; of more, the widest."""
DEEPEST = 500
"""Levels that are drawn."""


class Box(Record):
    """What a node of the tree shows: its label, its dso, and how it is coloured."""

    label: str
    dso: str
    look: str


def boxes_of(stacks: Stacks) -> list[Box]:
    """A box for each function."""
    return [
        Box(function.label, function.dso, look(function.kind, function.inlined, function.name))
        for function in stacks.functions
    ]


def look(kind: str, inlined: bool, name: str) -> str:
    """The class of colours of a function; see `palette.LOOKS`."""
    if inlined:
        return "inlined"
    if name == "[unknown]" and kind == "user":
        return "unknown"
    return {"hypervisor": "guest-kernel"}.get(kind, kind.replace(" ", "-"))


def tree_of(stacks: Stacks):
    """The tree of boxes, the comm outermost; and each sample's node in it.

    Without callchains the dso stands between comm and function.
    """
    # The tree is put together from numbers: they are quicker to look up than boxes.
    numbers: dict[Box, int] = {}
    functions = [numbers.setdefault(box, len(numbers)) for box in boxes_of(stacks)]
    tree = Tree()
    paths: dict[int, tuple[int, ...]] = {}
    first, group = distinct([stacks.comm, stacks.stack])
    counts = np.bincount(group, minlength=len(first))
    periods = np.zeros(len(first), np.int64)
    np.add.at(periods, group, stacks.period)
    nodes = np.zeros(len(first), np.int32)
    for n, (at, count, weight) in enumerate(
        zip(first.tolist(), counts.tolist(), periods.tolist(), strict=True)
    ):
        comm = Box(stacks.comm_name(int(stacks.comm[at])), "", "comm")
        stack = int(stacks.stack[at])
        if stack not in paths:
            path = stacks.path(stack)
            paths[stack] = tuple(functions[function] for function in path)
            if not stacks.chained:
                dso = Box(stacks.functions[path[-1]].dso, "", "dso")
                paths[stack] = (numbers.setdefault(dso, len(numbers)), *paths[stack])
        path = (numbers.setdefault(comm, len(numbers)), *paths[stack])
        nodes[n] = tree.add(path, count, weight)
    boxes = list(numbers)
    tree.frame[1:] = [boxes[number] for number in tree.frame[1:]]
    return tree, nodes[group] if len(stacks) else nodes


def flamegraph(stacks: Stacks, title: str = "") -> str:
    """The SVG of an event's stacks, widths by period."""
    tree, _ = tree_of(stacks)
    weights, counts = tree.totals(tree.weight), tree.totals(tree.count)
    total = weights[0]
    frames = laid_out(tree, weights)
    levels = max((depth for _, _, depth in frames), default=0) + 1
    height = TOP + levels * ROW + BOTTOM
    event = stacks.event.name
    title = legible(title or "Flame graph")
    drawn = [
        frame_text(tree, node, offset, depth, levels, weights, counts, total)
        for node, offset, depth in frames
    ]
    left_out = len(tree) - len(frames)
    heading = fitted(title, (WIDTH - 500) * LETTER / HEADING_LETTER)
    note = f"{left_out:,} frames are too narrow to be drawn" if left_out else ""
    subtitle = f"{event}: {counts[0]:,} samples, {total:,} events"
    looks = {tree.frame[node].look for node, _, _ in frames if node}
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" data-total="{total}" data-levels="{levels}" '
        f'data-row="{ROW}" data-top="{TOP}" data-bottom="{BOTTOM}" data-side="{SIDE}" '
        f'data-letter="{LETTER}">\n'
        f"<title>{escape(title)} – {escape(event)}</title>\n"
        f"<style>{STYLE}{OWN_STYLE}</style>\n"
        f'<rect class="ground" width="100%" height="100%"/>\n'
        f'<text id="heading" class="heading" x="{SIDE}" y="24" data-text="{escape(title)}">'
        f"{escape(heading)}</text>\n"
        f'<text class="small" x="{SIDE}" y="43">{escape(subtitle)}</text>\n'
        f"{controls()}"
        f'<g id="frames" role="tree" aria-label="Flame graph">\n'
        + "".join(drawn)
        + "</g>\n"
        + legend(looks, height, note)
        + f'<text id="details" class="small" x="{SIDE}" y="{height - 27}" aria-live="polite">'
        "</text>\n"
        f"<script><![CDATA[\n{SCRIPT.read_text()}]]></script>\n</svg>\n"
    )


def laid_out(tree: Tree, weights: list[int]) -> list[tuple[int, int, int]]:
    """The frames to draw, (node, offset in events, depth), parents first, siblings by name."""
    total = weights[0] or 1
    least = max(NARROWEST * total / (WIDTH - 2 * SIDE), 1e-9)
    if sum(weight >= least for weight in weights) > MOST:
        least = max(least, sorted(weights, reverse=True)[MOST - 1])
    children: dict[int, list[int]] = {}
    for node in range(1, len(tree)):
        if weights[node] >= least:
            children.setdefault(tree.parent[node], []).append(node)
    found, waiting = [], [(0, 0, 0)]
    while waiting and len(found) < MOST:
        node, offset, depth = waiting.pop()
        found.append((node, offset, depth))
        if depth + 1 >= DEEPEST:
            continue
        below = []
        order = children.get(node, ())
        for child in sorted(order, key=lambda one: values_of(tree.frame[one])):
            below.append((child, offset, depth + 1))
            offset += weights[child]
        waiting += reversed(below)
    return found


def frame_text(tree, node, offset, depth, levels, weights, counts, total) -> str:
    box = tree.frame[node] or Box("all", "", "comm")
    scale = (WIDTH - 2 * SIDE) / (total or 1)
    x, width = SIDE + offset * scale, weights[node] * scale
    y = TOP + (levels - 1 - depth) * ROW
    share = 100 * weights[node] / (total or 1)
    where = f"{box.dso}, " if box.dso else ""
    said = (
        f"{box.label}\n{where}{SAID[box.look]}\n"
        f"{share:.2f} %, {counts[node]:,} samples, {weights[node]:,} events"
    )
    shown = escape(fitted(box.label, width - 6))
    return (
        f'<g class="f {tone(box.look, box.label)}" data-o="{offset}" data-w="{weights[node]}" '
        f'data-d="{depth}"><title>{escape(said)}</title>'
        f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" rx="2"/>'
        f'<text x="{x + 4:.2f}" y="{y + 13}">{shown}</text></g>\n'
    )


SAID = {
    "user": "user", "kernel": "kernel", "inlined": "inlined", "unknown": "user, no symbol",
    "comm": "command", "dso": "object", "guest-user": "guest user",
    "guest-kernel": "guest kernel or hypervisor",
}  # fmt: skip
"""What a look means, in words."""

OWN_STYLE = """
svg { background: var(--ground); }
text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.heading { font: 600 17px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
.small { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--soft); }
.ground { fill: var(--ground); }
.f { cursor: pointer; outline: none; }
.f rect { fill: var(--tone); }
.f text { fill: #1a1a1a; pointer-events: none; }
.f:hover rect, .f:focus rect { stroke: var(--ink); stroke-width: 1.5; }
.f.past rect { opacity: .45; }
.f.past text { fill: var(--ink); }
.dim rect { fill: var(--dim); }
.dim text { fill: var(--soft); }
.off, #controls.off { display: none; }
#controls input, #controls button { font: 13px system-ui, "DejaVu Sans", sans-serif;
  box-sizing: border-box; height: 28px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--raised); color: var(--ink); padding: 0 9px; margin: 0; }
#controls input { flex: 1; min-width: 0; }
#controls button { cursor: pointer; }
#controls button[disabled] { opacity: .45; cursor: default; }
#controls :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
#bar { display: flex; gap: 6px; align-items: center; justify-content: flex-end; padding: 2px; }
#matched { font: 12px system-ui, "DejaVu Sans", sans-serif; color: var(--soft);
  white-space: nowrap; }
"""


def controls() -> str:
    """The search box and the buttons; the script shows them, since they need it."""
    return (
        f'<foreignObject id="controls" class="off" x="{WIDTH - SIDE - 460}" y="12" width="460" '
        'height="36"><div xmlns="http://www.w3.org/1999/xhtml" id="bar">'
        '<span id="matched" role="status"></span>'
        '<input id="search" type="search" placeholder="Search (regular expression)" '
        'aria-label="Search functions"/>'
        '<button id="reset" type="button" disabled="disabled">Reset zoom</button>'
        "</div></foreignObject>\n"
    )


def legend(looks: set[str], height: int, note: str) -> str:
    """What the colours mean, of those that are used."""
    out, x = [], SIDE
    for name in SAID:
        if name in looks and name not in ("comm", "dso"):
            out.append(
                f'<rect class="{swatch(name)}" style="fill:var(--tone)" x="{x}" y="{height - 18}" '
                f'width="11" height="11" rx="2"/>'
                f'<text class="small" x="{x + 16}" y="{height - 8}">{SAID[name]}</text>'
            )
            x += 16 + 7 * len(SAID[name]) + 18
    if note:
        out.append(f'<text class="small" x="{x}" y="{height - 8}">{escape(note)}</text>')
    return f'<g id="legend">{"".join(out)}</g>\n'


def fitted(text: str, width: float) -> str:
    """As much of a text as there is room for; nothing rather than less than two letters."""
    room = int(width / LETTER)
    if len(text) <= room:
        return text
    return text[: room - 1] + "…" if room >= 3 else ""


def escape(text: str) -> str:
    """Text as XML has it, in content and in attributes."""
    for letter, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "#39")):
        text = text.replace(letter, f"&{name};")
    return text
