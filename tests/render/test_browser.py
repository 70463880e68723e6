"""The browser of `report`, driven by keys."""

import asyncio

import pytest

from rvperf.cli.options import parse
from tests.render.profiles import recording


@pytest.fixture
def browse(tmp_path):
    """Run keys in the browser on a recording of some kind; look at it in between."""
    from rvperf.cli import report
    from rvperf.perfdata.reader import Reader
    from rvperf.profile import hists
    from rvperf.render.browser import browser

    def run(kind: str, steps, size=(100, 20)):
        path = recording(tmp_path / kind, kind, 200)
        options, _ = parse(report.OPTIONS, ["-i", str(path)])
        view = report.view_of(options)
        one = report.Report(Reader(path), view, options)
        one.choose_mode()
        one.force_group()
        one.set_up()
        one.choose_chains()
        one.read()
        filler = hists.fill(one.profile, view, one.columns)
        hists.settle(filler.hists, view)
        app = browser(filler)

        async def drive():
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                for keys, look in steps:
                    await pilot.press(*keys)
                    await pilot.pause()
                    look(app)

        asyncio.run(drive())

    return run


def shown(app) -> list[str]:
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def test_first_screen_has_title_header_and_rows(browse):
    def look(app):
        lines = shown(app)
        assert lines[0].startswith(" Samples: 200  of event 'cycles', Event count")
        assert lines[1].split() == ["Overhead", "Command", "Shared", "Object", "Symbol"]
        assert "%  sort     sort           [.] main" in lines[2]

    browse("one", [((), look)])


def test_enter_unfolds_callchains_and_folds_them_again(browse):
    counts = []

    def look(app):
        counts.append(len(app.table.rows))

    browse("chains", [((), look), (("enter",), look), (("enter",), look)])
    assert counts[0] < counts[1] and counts[2] == counts[0]


def test_all_can_be_unfolded(browse):
    def look(app):
        assert any(row.depth > 2 for row in app.table.rows)

    browse("chains", [(("E",), look), (("C",), lambda app: None)])


def test_zoom_into_a_dso_and_back(browse):
    def inside(app):
        assert {row.entry.map.dso.name for row in app.table.rows} == {app.table.dso.name}
        assert app.table.dso.short_name in shown(app)[0]

    def outside(app):
        assert len({row.entry.map.dso.name for row in app.table.rows}) == 2

    browse("one", [((), outside), (("d",), inside), (("escape",), outside)])


def test_zoom_into_a_thread(browse):
    def look(app):
        assert len({row.entry.thread for row in app.table.rows}) == 1

    browse("one", [(("t",), look)])


def test_search_filters_while_typing(browse):
    def look(app):
        assert {row.entry.symbol.name for row in app.table.rows} == {"main"}

    def nothing(app):
        assert not app.table.rows

    browse("one", [
        (("slash", *"mai"), look), (("enter", "a"), lambda app: None),
        (("escape", "slash", *"nosuch"), nothing), (("escape",), lambda app: None),
    ])  # fmt: skip


def test_tab_goes_to_the_next_event(browse):
    names = []

    def look(app):
        names.append(app.table.hists.event.name)

    browse("several", [((), look), (("tab",), look), (("tab",), look)])
    assert names == ["cycles", "instructions", "cycles"]


def test_help_opens_and_closes(browse):
    def look(app):
        assert any("unfold all, fold all" in line for line in shown(app))

    def gone(app):
        assert len(app.screen_stack) == 1

    browse("one", [(("h",), look), (("escape",), gone)])


def test_annotate_shows_code_or_says_why_not(browse):
    def look(app):
        assert len(app.screen_stack) == 2 or shown(app)[-1].strip()

    browse("one", [(("a",), look)])


def test_a_tiny_terminal_does_no_harm(browse):
    keys = ("end", "pageup", "home", "pagedown", "E", "end", "a", "escape", "h", "escape", "d", "t")
    browse("mixed-chains", [(keys, lambda app: None)], size=(12, 4))
