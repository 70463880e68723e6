"""The report on a terminal: rows to walk through, callchains to unfold, code to look at.

`Rows` is what is shown, and knows nothing of terminals; `Browser` shows it and takes keys.
"""

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from rvperf.profile.hists import Hists
from rvperf.profile.sortkeys import reveal
from rvperf.render.report import Table, frame_name, node_value, scaled

HELP = """\
 Up Down PgUp PgDn Home End   move
 Enter, e, +                  unfold or fold the callchains of a row
 E, C                         unfold all, fold all
 a                            annotate: the code of the symbol, with its samples
 d                            only this row's dso; again: all
 t                            only this row's thread; again: all
 /                            only symbols with some text; Enter keeps it, Esc drops it
 Tab, Shift-Tab               next, previous event
 Left, Esc                    undo the last of d, t and /
 h, ?                         this help
 q, Ctrl-C                    end

 Enter, Esc or q closes this window.
"""
HOT, WARM = 5.0, 0.5
"""Percent from which perf shows rows in red, in green."""


class Row:
    """A line of the report: an entry, or a frame in an entry's callchains."""

    __slots__ = ("entry", "node", "place", "depth", "foldable")

    def __init__(self, entry, node=None, place=0, depth=0, foldable=False):
        self.entry, self.node, self.place = entry, node, place
        self.depth, self.foldable = depth, foldable


class Rows:
    """The lines of one event's histogram, with what is unfolded and what is filtered."""

    def __init__(self, hists: Hists, least: float = 0.0):
        self.hists = hists
        self.table = Table(hists, least)
        self.unfolded: set[int] = set()
        self.dso = self.thread = None
        self.text = ""
        self.history: list[str] = []
        self.rows: list[Row] = []
        self.rebuild()

    @property
    def title(self) -> str:
        hists = self.hists
        text = (
            f"Samples: {scaled(hists.samples)} of event '{hists.event.name}', "
            f"Event count (approx.): {hists.period}"
        )
        if self.thread is not None:
            text += f", Thread: {self.thread.comm}({self.thread.tid})"
        if self.dso is not None:
            text += f", DSO: {self.dso.short_name}"
        if self.text:
            text += f", Symbol: *{self.text}*"
        return text

    @property
    def header(self) -> str:
        parts = [column.title(self.hists) for column in self.table.columns]
        return reveal("    " + "  ".join(parts))

    def entries(self):
        for entry in self.table.shown():
            if self.dso is not None and (entry.map is None or entry.map.dso is not self.dso):
                continue
            if self.thread is not None and entry.thread is not self.thread:
                continue
            if self.text and (entry.symbol is None or self.text not in entry.symbol.name):
                continue
            yield entry

    def rebuild(self) -> None:
        chains = self.hists.view.callchains
        self.rows = []
        for entry in self.entries():
            nodes = self.hists.chains(entry) if chains else []
            self.rows.append(Row(entry, foldable=bool(nodes)))
            if nodes and id(entry) in self.unfolded:
                self.add(entry, nodes)

    def add(self, entry, nodes) -> None:
        """Lines for callchains; those below a node only if it is unfolded."""
        waiting = [(node, 1) for node in reversed(nodes)]
        while waiting:
            node, depth = waiting.pop()
            below = bool(node.children)
            for place in range(len(node.places)):
                last = place == len(node.places) - 1
                self.rows.append(Row(entry, node, place, depth, below and last))
            if below and id(node) in self.unfolded:
                waiting += [(child, depth + 1) for child in reversed(node.children)]

    def line(self, number: int) -> str:
        row = self.rows[number]
        sign = " "
        if row.foldable:
            thing = row.entry if row.node is None else row.node
            sign = "-" if id(thing) in self.unfolded else "+"
        if row.node is None:
            return reveal(f"{sign} {self.table.row(row.entry)}")
        view = self.hists.view
        name = frame_name(row.node.places[row.place], view)
        value = node_value(row.node, self.hists.period, view) if row.place == 0 else ""
        return reveal(f"{'':{4 * row.depth}}{sign} {value:>8} {name}")

    def share(self, number: int) -> float:
        """Percent, for the row's colour."""
        row, total = self.rows[number], self.hists.total
        if not total:
            return 0.0
        if row.node is not None:
            return row.node.cumulated * 100.0 / total
        period = row.entry.acc if self.hists.view.children else row.entry.period
        return period * 100.0 / total

    # --- what keys do

    def fold(self, number: int) -> None:
        if not 0 <= number < len(self.rows):
            return
        row = self.rows[number]
        if row.foldable:
            self.unfolded ^= {id(row.entry if row.node is None else row.node)}
            self.rebuild()

    def fold_all(self, unfold: bool) -> None:
        self.unfolded = set()
        if unfold and self.hists.view.callchains:
            for entry in self.entries():
                self.unfolded.add(id(entry))
                waiting = list(self.hists.chains(entry))
                while waiting:
                    node = waiting.pop()
                    self.unfolded.add(id(node))
                    waiting += node.children
        self.rebuild()

    def zoom(self, what: str, number: int) -> None:
        """Show only what has the dso or the thread of a row; all again if that was so."""
        if getattr(self, what) is not None:
            self.drop(what)
            return
        if not 0 <= number < len(self.rows):
            return
        entry = self.rows[number].entry
        value = entry.thread
        if what == "dso":
            value = entry.map.dso if entry.map is not None else None
        if value is not None:
            setattr(self, what, value)
            self.history.append(what)
            self.rebuild()

    def search(self, text: str) -> None:
        """Show only symbols with this text in their names."""
        self.text = text
        if "text" in self.history:
            self.history.remove("text")
        if text:
            self.history.append("text")
        self.rebuild()

    def drop(self, what: str) -> None:
        setattr(self, what, "" if what == "text" else None)
        if what in self.history:
            self.history.remove(what)
        self.rebuild()

    def back(self) -> bool:
        """Undo the last filter; False if there is none."""
        if not self.history:
            return False
        self.drop(self.history[-1])
        return True

    def place(self, number: int):
        """(dso, symbol) of a row; None where there is no symbol."""
        if not 0 <= number < len(self.rows):
            return None
        row = self.rows[number]
        where = row.entry if row.node is None else row.node.places[row.place]
        if where.symbol is None or where.map is None:
            return None
        return where.map.dso, where.symbol


class Lines(ScrollView, can_focus=True):
    """Lines of text with a cursor. `source` has __len__, line(number) and share(number)."""

    BINDINGS = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home", "jump(0)", show=False),
        Binding("end", "jump(1)", show=False),
    ]

    class Moved(Message):
        pass

    def __init__(self, count, line, share, **more):
        super().__init__(**more)
        self.count, self.line_of, self.share_of = count, line, share
        self.cursor = 0

    def on_mount(self) -> None:
        self.again()

    def again(self) -> None:
        """The lines have changed."""
        count = self.count()
        self.cursor = max(0, min(self.cursor, count - 1))
        shown = range(min(count, 500))
        width = max([len(self.line_of(number)) for number in shown], default=1)
        self.virtual_size = Size(width + 1, max(1, count))
        self.follow()
        self.refresh()

    def follow(self) -> None:
        """Scroll so that the cursor is seen."""
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)

    def action_move(self, step: int) -> None:
        self.go(self.cursor + step)

    def action_page(self, step: int) -> None:
        self.go(self.cursor + step * max(1, self.size.height - 1))

    def action_jump(self, end: int) -> None:
        self.go(self.count() if end else 0)

    def go(self, number: int) -> None:
        self.cursor = max(0, min(number, self.count() - 1))
        self.follow()
        self.refresh()
        self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        number, width = top + y, self.size.width
        if number >= self.count():
            return Strip.blank(width)
        share = self.share_of(number)
        colour = "red" if share >= HOT else "green" if share >= WARM else None
        style = Style(color=colour, reverse=number == self.cursor and self.has_focus or None)
        text = "".join(c if c.isprintable() else "." for c in self.line_of(number))
        strip = Strip([Segment(text, style)])
        return strip.crop_extend(left, left + width, style)


class Help(ModalScreen):
    BINDINGS = [Binding("escape,enter,q,h,question_mark", "app.pop_screen", show=False)]
    DEFAULT_CSS = """
    Help { align: center middle; }
    Help Static { width: auto; height: auto; border: solid $accent; padding: 1 2; }
    """

    def compose(self) -> ComposeResult:
        yield Static(HELP, markup=False)


class Code(Screen):
    """The code of a symbol with its samples."""

    BINDINGS = [
        Binding("escape,left,q", "app.pop_screen", "Back"),
        Binding("h,question_mark", "app.help", "Help"),
        Binding("H", "hottest", "Hottest"),
    ]
    DEFAULT_CSS = "Code > Static { height: 1; background: $primary; color: $text; }"

    def __init__(self, title: str, lines: list[tuple[float, str]]):
        super().__init__()
        self.heading, self.lines = title, lines

    def compose(self) -> ComposeResult:
        yield Static(self.heading, markup=False)
        yield Lines(
            lambda: len(self.lines), lambda n: self.lines[n][1], lambda n: self.lines[n][0],
            id="code",
        )  # fmt: skip
        yield Static(" Esc back   H hottest line   h help", markup=False)

    def on_mount(self) -> None:
        self.query_one(Lines).focus()
        self.call_after_refresh(self.action_hottest)

    def action_hottest(self) -> None:
        if self.lines:
            best = max(range(len(self.lines)), key=lambda n: self.lines[n][0])
            self.query_one(Lines).go(best)


class Browser(App):
    """The report. `annotate(dso, symbol, event)` gives (percent, text) for each line of code; what
    it raises as ValueError or LookupError is shown."""

    CSS = """
    Screen { layout: vertical; }
    #title { height: 1; background: $primary; color: $text; }
    #header { height: 1; text-style: bold; }
    #rows { height: 1fr; }
    #message { height: 1; color: $text-muted; }
    #search { display: none; height: 1; border: none; padding: 0; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("q,ctrl+c", "quit", "Quit"),
        Binding("enter,e,plus", "fold", "Unfold"),
        Binding("E", "fold_all(True)", show=False),
        Binding("C", "fold_all(False)", show=False),
        Binding("a", "annotate", "Annotate"),
        Binding("d", "zoom('dso')", "Zoom into dso"),
        Binding("t", "zoom('thread')", "Zoom into thread"),
        Binding("slash", "search", "Search"),
        Binding("escape,left", "back", show=False),
        Binding("tab", "event(1)", show=False, priority=True),
        Binding("shift+tab", "event(-1)", show=False, priority=True),
        Binding("h,question_mark,f1", "help", "Help"),
    ]
    HINT = " Enter unfold   a annotate   d dso   t thread   / search   Tab event   h help   q quit"

    def __init__(self, all_hists: list[Hists], least: float = 0.0, annotate=None):
        super().__init__()
        self.tables = [Rows(hists, least) for hists in all_hists]
        self.current = 0
        self.annotator = annotate

    @property
    def table(self) -> Rows:
        return self.tables[self.current]

    @property
    def lines(self) -> Lines:
        return self.screen_stack[0].query_one("#rows", Lines)

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="header", markup=False)
        yield Lines(
            lambda: len(self.table.rows), lambda n: self.table.line(n),
            lambda n: self.table.share(n), id="rows",
        )  # fmt: skip
        yield Input(placeholder="part of a symbol's name", id="search")
        yield Static(self.HINT, id="message", markup=False)

    def on_mount(self) -> None:
        self.lines.focus()
        self.show()

    def show(self, message: str | None = None) -> None:
        """Bring the screen up to date."""
        table, first = self.table, self.screen_stack[0]
        number = f"[{self.current + 1}/{len(self.tables)}] " if len(self.tables) > 1 else ""
        first.query_one("#title", Static).update(" " + number + table.title)
        first.query_one("#header", Static).update(table.header)
        first.query_one("#message", Static).update(f" {message}" if message else self.HINT)
        self.lines.again()

    @property
    def busy(self) -> bool:
        """Another window is open, or a text is being typed."""
        return len(self.screen_stack) > 1 or self.screen.query_one("#search").has_focus

    def action_fold(self) -> None:
        if not self.busy:
            self.table.fold(self.lines.cursor)
            self.show()

    def action_fold_all(self, unfold: bool) -> None:
        if not self.busy:
            self.table.fold_all(unfold)
            self.show()

    def action_zoom(self, what: str) -> None:
        if not self.busy:
            self.table.zoom(what, self.lines.cursor)
            self.show()

    def action_event(self, step: int) -> None:
        if not self.busy:
            self.current = (self.current + step) % len(self.tables)
            self.lines.cursor = 0
            self.show()

    def action_back(self) -> None:
        if len(self.screen_stack) > 1:
            return
        search = self.screen.query_one("#search", Input)
        if search.has_focus:
            self.table.search("")
            self.close_search()
            return
        if not self.table.back():
            self.show("Press q to end")
            return
        self.show()

    def action_help(self) -> None:
        if not isinstance(self.screen, Help):
            self.push_screen(Help())

    def action_search(self) -> None:
        if not self.busy:
            search = self.screen.query_one("#search", Input)
            search.value = self.table.text
            search.display = True
            search.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.has_focus:
            self.table.search(event.value)
            self.show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.close_search()

    def close_search(self) -> None:
        self.screen.query_one("#search", Input).display = False
        self.lines.focus()
        self.show()

    def action_annotate(self) -> None:
        if self.busy:
            return
        found = self.table.place(self.lines.cursor)
        if found is None:
            self.show("There is no symbol here")
            return
        dso, symbol = found
        if self.annotator is None:
            self.show("There is no annotation")
            return
        try:
            lines = self.annotator(dso, symbol, self.table.hists.event)
        except (ValueError, LookupError) as error:
            self.show(str(error))
            return
        self.push_screen(Code(f" {symbol.name}  {dso.name}", lines))


def annotator(profile):
    """A function from (dso, symbol, event) to the lines of its code with their percents."""

    def lines(dso, symbol, event) -> list[tuple[float, str]]:
        try:
            from rvperf.render import annotate
        except ImportError:
            raise ValueError("There is no annotation") from None
        try:
            found = annotate.annotate(profile, dso, symbol, (event,))
        except annotate.AnnotateError as error:
            raise ValueError(str(error)) from error
        out = []
        for row in found.rows:
            percent = row.percents[0] if row.percents else 0.0
            number = f"{percent:8.2f}" if percent else " " * 8
            where = f"{row.address:8x}: " if row.address is not None else ""
            out.append((percent, f"{number} | {where}{row.text}"))
        return out

    return lines


def browser(filler, least: float = 0.0) -> Browser:
    """The browser of a report's histograms."""
    view = filler.view
    shown = [
        one for one in filler.hists
        if one.found and not (view.group and one.event.leader != one.event.index)
    ]  # fmt: skip
    return Browser(shown, least, annotator(filler.profile))
