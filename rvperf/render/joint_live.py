"""`kvm run` on a terminal while it runs: host left, guests right, below who has the counters.

`lines_of` is what is shown, and knows nothing of terminals; `Live` shows what it is given.
"""

from collections.abc import Callable

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from rvperf.render.joint import (
    COUNTERS,
    FIXED,
    UNUSED,
    counted,
    drawn_strips,
    legend,
    letters_of,
    ranges,
    titled,
)
from rvperf.results import JointReport, JointSession

COLOURS = ("dark_orange", "magenta", "green", "cyan", "yellow", "red")
"""Guests', in turn."""
HOST = "dodger_blue1"
DIM = "grey50"
NAMES = 15  # columns
MODES = ("M", "HS", "VS")
LEAST = 6  # rows of sessions
SHORT = {UNUSED["host"]: "host's", UNUSED["guests"]: "guests'", UNUSED["firmware"]: "firmware's"}
"""What letters say on narrow screens."""


def sides(report: JointReport, width: int, height: int) -> list[Text]:
    """The host's sessions left, the guests' right."""
    half = (width - 3) // 2
    left, right = ["Host"], ["Guests"]
    for session in report.sessions:
        (left if session.name == "host" else right).extend(session_lines(session))
    rows = []
    for at in range(height):
        cells = [column[at] if at < len(column) else "" for column in (left, right)]
        for column, lines in enumerate((left, right)):
            if at == height - 1 and len(lines) > height:
                cells[column] = f" and {len(lines) - height + 1} more lines"
        row = " │ ".join(f"{clean(cell)[:half]:<{half}}" for cell in cells)
        rows.append(Text(row, style="bold" if at == 0 else ""))
    return rows


def session_lines(session: JointSession) -> list[str]:
    if session.samples is None:
        lines = [f" {session.name} {titled(session)}"]
        for count in session.counts:
            value, share = counted(count)
            lines.append(f"  {value:>15} {count.name} {share}")
        return lines
    lost = f", {session.lost} lost" if session.lost else ""
    command = " ".join(session.command)
    return [f" {session.name} record: {session.samples} samples{lost}: {command}"]


def clean(text: str) -> str:
    return "".join(c if c.isprintable() else "." for c in text)


def strip_lines(
    report: JointReport, drawn: list[str], width: int, height: int, hart: int
) -> list[Text]:
    """Overflow interrupts by mode, and a line for each counter; counters that are alike share one
    if there is no room for all."""
    styles = styles_of(letters_of(report))
    room = room_of(width)
    rows = [overflow_line(report, mode, room, hart) for mode in MODES]
    if height - len(rows) >= COUNTERS:
        groups = [([number], text) for number, text in enumerate(drawn)]
    else:
        alike: dict[str, list[int]] = {}
        for number, text in enumerate(drawn):
            alike.setdefault(text, []).append(number)
        groups = [(numbers, text) for text, numbers in alike.items()]
    for numbers, text in groups[: max(height - len(rows), 0)]:
        name = FIXED[numbers[0]] if numbers in ([0], [1], [2]) else ranges(numbers)
        rows.append(Text(f"{name[: NAMES - 1]:>{NAMES - 1}} ").append_text(painted(text, styles)))
    return rows


def room_of(width: int) -> int:
    """Columns of a counter's time."""
    return max(width - NAMES - 1, 8)


def legend_line(report: JointReport, drawn: list[str], width: int) -> Text:
    """What the letters there are say, in short words if there is no room for more."""
    letters = letters_of(report)
    styles = styles_of(letters)
    seen = set().union(*drawn)
    shown = [(letter, about) for letter, about in legend(letters) if letter in seen]
    if sum(len(about) + 4 for _, about in shown) + 1 > width:
        shown = [(letter, SHORT.get(letter, about)) for letter, about in shown]
    line = Text(" ")
    for letter, about in shown:
        line.append(letter, styles.get(letter, DIM)).append(f" {about}  ")
    return line


def painted(text: str, styles: dict[str, str]) -> Text:
    return Text.assemble(*((letter, styles.get(letter, DIM)) for letter in text))


def styles_of(letters: dict[str, str]) -> dict[str, str]:
    """A style for each letter: in use is filled, reserved isn't."""
    guests = [name for name in letters if name != "host"]
    found = {letters[name]: f"black on {COLOURS[at % len(COLOURS)]}"
             for at, name in enumerate(guests)}  # fmt: skip
    return found | {
        letters["host"]: f"black on {HOST}",
        UNUSED["host"]: HOST,
        UNUSED["guests"]: COLOURS[0],
        UNUSED["firmware"]: "bright_white",
    }


def overflow_line(report: JointReport, mode: str, room: int, hart: int) -> Text:
    """Where overflow interrupts went to a mode: `^`, or how many if several."""
    counts = [0] * room
    span = max(report.end - report.start, 1)
    for one in report.overflows:
        if one.hart == hart and one.mode == mode:
            counts[min((one.time - report.start) * room // span, room - 1)] += 1
    text = "".join(" " if not n else "^" if n == 1 else str(n) if n < 10 else "+" for n in counts)
    return Text(f"{'to ' + mode:>{NAMES - 1}} {text}")


def totals_line(report: JointReport) -> str:
    last = report.totals[-1] if report.totals else None
    figures = (
        (last.vm_exits, last.guest_sbi_calls, last.sbi_calls, last.saves, last.restores)
        if last
        else (0,) * 5
    )
    exits, calls, hosts, saves, restores = figures
    return (
        f" exits {exits}  SBI calls guest {calls} host {hosts}  saves {saves}"
        f"  restores {restores}  migrations {report.migrations}"
    )


def lines_of(report: JointReport, width: int, height: int, hart: int = 0) -> list[Text]:
    """The whole screen but for the last line."""
    spent = (report.end - report.start) / 1e6
    state = "runs" if report.running else "has ended"
    policy = f", {report.policy}" if report.policy else ""
    number = f", hart {hart}" if report.harts > 1 else ""
    title = f" rvperf kvm run: {report.vpmu}{policy}{number}, {spent:.3f} ms, {state}"
    lengths = [1 + sum(len(session_lines(one)) for one in report.sessions
                       if (one.name == "host") == host) for host in (True, False)]  # fmt: skip
    drawn = drawn_strips(report, hart, room_of(width))
    most = height - 4 - len(MODES) - COUNTERS
    if most < LEAST:  # there isn't room for a line for each counter
        most = max(height - 4 - len(MODES) - len(set(drawn)), height // 3, 3)
    above = min(max(*lengths, LEAST), most)
    known = legend_line(report, drawn, width)
    below = height - above - 4
    strips = strip_lines(report, drawn, width, below, hart)
    strips += [Text()] * (below - len(strips))
    return [
        Text(f"{title[:width]:<{width}}", style="reverse"),
        *sides(report, width, above),
        Text("─" * width, style=DIM),
        *strips,
        known,
        Text(totals_line(report), style="bold"),
    ]


class Live(App):
    """`newest()` gives the last report, None before the first. `q` ends it, and so does the end of
    a run that nobody wants to look at."""

    CSS = """
    #all { height: 1fr; }
    #keys { height: 1; color: $text-muted; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("q,ctrl+c,escape", "quit", "Quit"),
        Binding("tab,right", "hart(1)", show=False, priority=True),
        Binding("shift+tab,left", "hart(-1)", show=False, priority=True),
    ]

    def __init__(self, newest: Callable[[], JointReport | None], ended: Callable[[], bool]):
        super().__init__()
        self.newest, self.ended = newest, ended
        self.hart = 0
        self.shown: tuple | None = None

    def compose(self) -> ComposeResult:
        yield Static(" the guests boot", id="all", markup=False)
        yield Static(" q end and print the report   Tab next hart", id="keys", markup=False)

    def on_mount(self) -> None:
        self.set_interval(0.1, self.again)
        self.call_after_refresh(self.again)

    def on_resize(self) -> None:
        self.call_after_refresh(self.again)

    def again(self) -> None:
        """Show the newest report."""
        report = self.newest()
        if report is None:
            if self.ended():
                self.exit()
            return
        size = self.size
        now = (id(report), self.hart, size)
        if now != self.shown:
            self.shown = now
            lines = lines_of(report, size.width, size.height - 1, self.hart)
            self.query_one("#all", Static).update(Text("\n").join(lines))

    def action_hart(self, step: int) -> None:
        report = self.newest()
        if report is not None:
            self.hart = (self.hart + step) % report.harts
            self.again()
