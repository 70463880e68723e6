"""What happens, step by step, in lanes for the modes: as text, and as an SVG that needs nothing
else. Steps are as far apart as each other, whatever time they take; the time stands beside them.
"""

from textwrap import wrap
from xml.sax.saxutils import escape

from isa.record import Record, replace
from rvperf.render.palette import STYLE
from rvperf.results import DesignResult, Operation

LANES = ("VU", "VS", "HS", "M")
APART = 5
IDLE = "".join(f"{'|':<{APART}}" for _ in LANES)
ROOM = 80 - 14 - len(IDLE) - 1
CROSSINGS = ("trap", "interrupt", "exit")
LOOKS = {
    "csr": "user-3",
    "sbi": "kernel-3",
    "trap": "unknown-3",
    "interrupt": "guest-user-3",
    "exit": "unknown-3",
    "return": "inlined-3",
    "work": "dso-3",
}


def folded(steps: tuple[Operation, ...]) -> list[Operation]:
    """The steps, with CSR accesses in a row put together to one."""
    found: list[list[Operation]] = []
    for step in steps:
        last = found[-1] if found else None
        if last and step.kind == "csr" == last[0].kind and step.lane == last[0].lane:
            last.append(step)
        else:
            found.append([step])
    return [replace(steps[0], text=accesses(steps)) for steps in found]


def accesses(steps: list[Operation]) -> str:
    """`csrr mepc mstatus, csrw mip`: an instruction is named once for several CSRs."""
    words, before = [], ""
    for step in steps:
        instruction, _, csr = step.text.partition(" ")
        if instruction == before:
            words[-1] += f" {csr}"
        else:
            words.append(step.text)
        before = instruction
    return ", ".join(words)


def text(results: tuple[DesignResult, ...], fold: bool = True) -> str:
    """A diagram for each design; with `fold` CSR accesses in a row take one step."""
    return "".join(diagram(result, fold) for result in results)


def diagram(result: DesignResult, fold: bool) -> str:
    """One overflow under one design: time, lanes, and what was done in the lane with a mark."""
    steps = folded(result.operations) if fold else result.operations
    page = f" {result.vpmu}: one overflow\n\n"
    return page + (lines(steps) if steps else " there was none\n\n")


def lines(steps) -> str:
    """Steps, of which there is one at least."""
    header = "".join(f"{lane:<{APART}}" for lane in LANES)
    page = f" {'us':>10}   {header}\n"
    before, start = steps[0].lane, steps[0].time_ns
    for step in steps:
        time = (step.time_ns - start) / 1000
        first, *more = wrap(step.text, ROOM) or [""]
        page += f" {time:>10.3f}   {track(before, step)} {first}\n"
        page += "".join(f" {'':>10}   {IDLE} {line}\n" for line in more)
        before = step.lane
    return page + "\n"


def track(before: str, step: Operation) -> str:
    """The lanes at one step: an arrow from the lane of the step before, and a mark."""
    cells = list(IDLE)
    here, there = LANES.index(step.lane) * APART, LANES.index(before) * APART
    for place in range(min(here, there), max(here, there)):
        cells[place] = "-"
    if here != there:
        cells[there] = "+"
        cells[here - 1 if here > there else here + 1] = ">" if here > there else "<"
    cells[here] = "!" if step.kind in CROSSINGS else "o"
    return "".join(cells)


# --- SVG

PANEL, ROW, TOP, LEFT, LANE, ACROSS = 470, 18, 74, 64, 26, 3
TEXT = LEFT + len(LANES) * LANE + 4
COLUMNS = (PANEL - TEXT - 20) // 8  # of the text


class Row(Record):
    """A step, how far down it stands, and the lines of its text."""

    step: Operation
    y: int
    lines: tuple[str, ...]


def rows(result: DesignResult) -> list[Row]:
    found, y = [], TOP
    for step in folded(result.operations):
        lines = tuple(wrap(step.text, COLUMNS)) or ("",)
        found.append(Row(step, y, lines))
        y += ROW + (len(lines) - 1) * (ROW - 4)
    return found


def height_of(found: list[Row]) -> int:
    return found[-1].y + len(found[-1].lines) * ROW if found else TOP + ROW


def svg(results: tuple[DesignResult, ...]) -> str:
    """All designs' diagrams on one page, three beside each other, CSR accesses in a row as one."""
    panels = [(result.vpmu, rows(result)) for result in results]
    heights = [
        20 + max(height_of(found) for _, found in panels[n : n + ACROSS])
        for n in range(0, len(panels), ACROSS)
    ]
    width, height = PANEL * min(ACROSS, len(results)), sum(heights) + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">\n'
        "<title>One counter overflow under each design of PMU virtualisation</title>\n"
        f"<style>{STYLE}{RULES}</style>\n"
        f'<rect class="ground" width="{width}" height="{height}"/>\n'
    ]
    top = 0
    for row, height in enumerate(heights):
        for column, (name, found) in enumerate(panels[row * ACROSS : (row + 1) * ACROSS]):
            drawn = panel(name, found)
            out.append(f'<g transform="translate({column * PANEL},{top})">\n{drawn}</g>\n')
        top += height
    return "".join(out) + legend(top + 20) + "</svg>\n"


def panel(name: str, found: list[Row]) -> str:
    out = [f'<text class="title" x="16" y="28">{escape(name)}</text>\n']
    if not found:
        return out[0] + '<text class="soft" x="16" y="56">no overflow</text>\n'
    for number, lane in enumerate(LANES):
        x = LEFT + number * LANE
        out.append(f'<text class="lane" x="{x}" y="52">{lane}</text>\n')
        out.append(f'<line class="life" x1="{x}" x2="{x}" y1="58" y2="{found[-1].y + 6}"/>\n')
    points = " ".join(f"{x_of(row.step)},{row.y}" for row in found)
    out.append(f'<polyline class="path" points="{points}"/>\n')
    start = found[0].step.time_ns
    for row in found:
        look = LOOKS.get(row.step.kind, LOOKS["work"])
        time = f"{(row.step.time_ns - start) / 1000:.3f}"
        out.append(
            f'<circle class="{look} step" cx="{x_of(row.step)}" cy="{row.y}" r="5"/>'
            f'<text class="time" x="{LEFT - 14}" y="{row.y + 4}">{time}</text>\n'
        )
        for number, line in enumerate(row.lines):
            y = row.y + 4 + number * (ROW - 4)
            out.append(f'<text x="{TEXT}" y="{y}">{escape(line)}</text>\n')
    return "".join(out)


def x_of(step: Operation) -> int:
    return LEFT + LANES.index(step.lane) * LANE


def legend(y: int) -> str:
    out, x = [], 20
    for kind, look in LOOKS.items():
        out.append(f'<circle class="{look} step" cx="{x}" cy="{y - 4}" r="5"/>')
        out.append(f'<text class="soft" x="{x + 10}" y="{y}">{kind}</text>\n')
        x += 36 + 7 * len(kind)
    return "".join(out) + f'<text class="soft" x="{x}" y="{y}">times in us</text>\n'


RULES = """
svg { background: var(--ground); font: 12px ui-monospace, Menlo, Consolas, monospace; }
.ground { fill: var(--ground); }
text { fill: var(--ink); }
.title { font-size: 16px; font-weight: 600; }
.lane { text-anchor: middle; font-weight: 600; }
.time { text-anchor: end; fill: var(--soft); font-size: 10px; }
.soft { fill: var(--soft); }
.life { stroke: var(--line); }
.path { fill: none; stroke: var(--soft); }
.step { fill: var(--tone); stroke: var(--ink); stroke-width: .75; }
"""
