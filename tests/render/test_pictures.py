"""The flame graph and the page work in a browser, and nothing in a file can make them do harm."""

import re
import time
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pytest

from rvperf.perfdata.reader import Reader
from rvperf.profile.samples import Profile
from rvperf.render.export import export, exported
from rvperf.render.page import Line, Listing, page
from rvperf.render.stacks import Stacks
from tests.perfdata import files
from tests.render import speedscope
from tests.render.browser import chromium, complaints
from tests.render.told import profile, stacks

SAMPLES = (
    *["prog main;work>hash"] * 5, *["prog main;read;k:entry;k:sys_read"] * 3,
    *["helper/11/1 run;work"] * 2, "prog/10/0/1 main", "prog/10/0/1 fault",
)  # fmt: skip
EVENTS = ("cycles", "page-faults")
HOSTILE = (
    "</title><script>window.hurt=1</script>",
    "<img src=x onerror=window.hurt=1>",
    "]]></script><script>window.hurt=1</script>",
    "\"'><svg onload=window.hurt=1>",
    "javascript:window.hurt=1",
    "</script><script>window.hurt=1</script>",
    "<!--<script>window.hurt=1",
    "${window.hurt=1}{{window.hurt=1}}",
    "\x00\x1b[31m\udcff\u202e\ufffe",
)


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


def by_id(browser, name):
    return browser.find_element("id", name)


def opened(browser, path, made, format, **how):
    export(made, None, format, str(path), **how)
    browser.get(path.as_uri())


def typed(browser, name, text):
    from selenium.webdriver import ActionChains

    ActionChains(browser).click(by_id(browser, name)).send_keys(text).perform()


# --- the flame graph


def frame(browser, name):
    """The element of the only frame of this name in the SVG."""
    for element in browser.find_elements("css selector", "g.f"):
        title = element.find_element("css selector", "title").get_attribute("textContent")
        if title.split("\n")[0] == name:
            return element
    raise AssertionError(f"no frame {name}")


def width(element):
    return float(element.find_element("css selector", "rect").get_attribute("width"))


@pytest.fixture
def graph(browser, tmp_path):
    opened(
        browser, tmp_path / "a.svg", profile(tmp_path / "a", SAMPLES, events=EVENTS), "flamegraph"
    )
    yield browser
    assert complaints(browser) == []


def test_a_flame_graph_fits_the_window(graph):
    assert width(frame(graph, "all")) == pytest.approx(1280 - 24, abs=20)
    assert width(frame(graph, "prog")) == pytest.approx(0.8 * width(frame(graph, "all")))


def test_a_click_zooms_and_reset_goes_back(graph):
    everything = width(frame(graph, "all"))
    assert not by_id(graph, "reset").is_enabled()
    frame(graph, "read").click()
    assert width(frame(graph, "read")) == pytest.approx(everything)
    assert width(frame(graph, "sys_read")) == pytest.approx(everything)
    assert not frame(graph, "hash").is_displayed()
    by_id(graph, "reset").click()
    assert frame(graph, "hash").is_displayed()
    assert width(frame(graph, "read")) == pytest.approx(0.3 * everything)


def test_search_says_what_part_matches(graph):
    typed(graph, "search", "^work|hash$")
    # work in prog (5, with hash on top) and in helper (2), of 10 samples
    assert by_id(graph, "matched").text == "matched 70.00 %"
    assert "dim" in frame(graph, "main").get_attribute("class")
    assert "dim" not in frame(graph, "hash").get_attribute("class")
    typed(graph, "search", "(")
    assert by_id(graph, "matched").text == "not a pattern"


def test_the_keyboard_is_enough(graph):
    from selenium.webdriver.common.keys import Keys

    graph.execute_script("document.querySelector('g.f').focus()")
    for key in (Keys.ARROW_UP, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT):
        graph.switch_to.active_element.send_keys(key)
    assert by_id(graph, "details").text.startswith("prog")
    graph.switch_to.active_element.send_keys(Keys.ENTER)
    assert width(frame(graph, "prog")) == width(frame(graph, "all"))
    assert not frame(graph, "helper").is_displayed()
    graph.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert frame(graph, "helper").is_displayed()
    from selenium.webdriver import ActionChains

    ActionChains(graph).send_keys("/work").perform()
    assert graph.switch_to.active_element == by_id(graph, "search")
    assert by_id(graph, "matched").text == "matched 70.00 %"


def test_hovering_tells_what_a_frame_is(graph):
    from selenium.webdriver import ActionChains

    ActionChains(graph).move_to_element(frame(graph, "sys_read")).perform()
    assert by_id(graph, "details").text == (
        "sys_read · [kernel.kallsyms], kernel · 30.00 %, 3 samples, 3,000 events"
    )


def test_without_callchains_objects_hold_their_functions(tmp_path):
    made = profile(tmp_path / "a", ["prog main;leaf", "prog main;k:sys"], chained=False)
    found = re.findall(r'data-d="(\d)"><title>(.*)\n', exported(made, "flamegraph").decode())
    assert found == [
        ("0", "all"), ("1", "prog"), ("2", "[kernel.kallsyms]"), ("3", "sys"), ("2", "prog"),
        ("3", "leaf"),
    ]  # fmt: skip


def test_frames_too_narrow_to_see_are_left_out(tmp_path):
    samples = ["prog main"] * 50 + [f"prog main;f{n};g{n}" for n in range(50)]
    made = stacks(tmp_path / "a", samples)
    made.period[:50] = 10**6  # each of the others is a thousandth of a px wide
    made.period[50:] = 1
    from rvperf.render.flame import flamegraph

    text = flamegraph(made)
    assert text.count('class="f ') == 3
    assert "100 frames are too narrow to be drawn" in text


def test_a_flame_graph_is_xml_and_names_nothing_outside(tmp_path):
    text = exported(profile(tmp_path / "a", SAMPLES, events=EVENTS), "flamegraph").decode()
    ElementTree.fromstring(text)
    addresses = set(re.findall(r"https?://[^\"' <]*", text))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
    assert not re.search(r"@import|url\(|xlink|<use|<image|<iframe", text)


# --- the page


@pytest.fixture
def report(browser, tmp_path):
    made = profile(tmp_path / "a", SAMPLES, events=EVENTS, command=("rvperf", "record", "./prog"))
    opened(browser, tmp_path / "a.html", made, "html", annotate=some_code)
    yield browser
    assert complaints(browser) == []


def some_code(stacks: Stacks, most: int):
    lines = (Line("int x = 1;"), Line("add a0,a0,a1", 0x1000, 75.0), Line("ret", 0x1004, 25.0))
    return [Listing("main", "prog", 30.0, lines)]


def table(browser):
    rows = browser.find_elements("css selector", "#rows tr")
    return [[cell.text for cell in row.find_elements("css selector", "td")] for row in rows]


def names(browser):
    return [row[3] for row in table(browser)]


def bar(browser, name):
    """A frame of the page's flame graph."""
    for element in browser.find_elements("css selector", "#flame .frame"):
        if element.get_attribute("title").split(" · ")[0].split(" in ")[0] == name:
            return element
    raise AssertionError(f"no frame {name}")


def part(browser, name):
    """The width of a frame, as a part of the whole."""
    return bar(browser, name).size["width"] / by_id(browser, "flame").size["width"]


def test_the_page_says_what_was_measured(report):
    assert by_id(report, "command").text == "rvperf record ./prog"
    assert "riscv64" in by_id(report, "facts").text
    assert by_id(report, "selection").text == "10 samples"


def test_the_table_has_self_and_total(report):
    assert table(report) == [
        ["50.00 %", "50.00 %", "5", "hash", "prog", "inlined"],
        ["30.00 %", "30.00 %", "3", "sys_read", "[kernel.kallsyms]", "kernel"],
        ["20.00 %", "70.00 %", "2", "work", "prog", "user"],
        ["0.00 %", "30.00 %", "0", "entry", "[kernel.kallsyms]", "kernel"],
        ["0.00 %", "80.00 %", "0", "main", "prog", "user"],
        ["0.00 %", "30.00 %", "0", "read", "prog", "user"],
        ["0.00 %", "20.00 %", "0", "run", "prog", "user"],
    ]


def test_a_recursive_function_counts_once(browser, tmp_path):
    made = profile(tmp_path / "a", ["prog main;f;g;f;f", "prog main"])
    opened(browser, tmp_path / "a.html", made, "html")
    totals = {row[3]: (row[0], row[1]) for row in table(browser)}
    assert totals == {
        "f": ("50.00 %", "50.00 %"), "g": ("0.00 %", "50.00 %"), "main": ("50.00 %", "100.00 %"),
    }  # fmt: skip


def test_the_table_sorts_and_filters(report):
    report.find_element("css selector", "th[data-sort=total] button").click()
    assert names(report)[:2] == ["main", "work"]
    report.find_element("css selector", "th[data-sort=name] button").click()
    assert names(report) == ["entry", "hash", "main", "read", "run", "sys_read", "work"]
    by_id(report, "filter").send_keys("kernel")
    assert names(report) == ["entry", "sys_read"]
    assert by_id(report, "symbols-hint").text == "2 symbols"


def test_the_flame_graph_of_the_page_zooms(report):
    assert part(report, "read") == pytest.approx(0.3, abs=0.01)
    bar(report, "read").click()
    assert part(report, "read") == pytest.approx(1, abs=0.01)
    by_id(report, "reset").click()
    assert part(report, "read") == pytest.approx(0.3, abs=0.01)


def test_the_page_searches(report):
    by_id(report, "search").send_keys("work")
    assert by_id(report, "matched").text == "matched 70.00 %"
    assert "dim" in bar(report, "sys_read").get_attribute("class")


def test_a_row_of_the_table_is_found_in_the_graph(report):
    report.find_element("xpath", "//td[@class='name'][.='sys_read']").click()
    assert by_id(report, "matched").text == "matched 30.00 %"


def test_the_graph_turns_over(report):
    def at(name):
        return bar(report, name).location["y"]

    assert at("main") > at("hash")
    report.find_element("css selector", "[data-shape=icicle]").click()
    assert at("main") < at("hash")
    report.find_element("css selector", "[data-shape=inverted]").click()
    # Innermost first: hash is where work was, and work's own two samples are beside it.
    assert at("hash") == at("sys_read") < at("entry")
    assert part(report, "hash") == pytest.approx(0.5, abs=0.01)


def test_a_range_of_time_filters_graph_and_table(report):
    from selenium.webdriver import ActionChains

    area = by_id(report, "lane-area")
    wide = area.size["width"]
    # The samples are 1 µs apart, twelve of them; the first five are hash's.
    drag = ActionChains(report).move_to_element_with_offset(area, -wide // 2 + 2, 5)
    drag.click_and_hold().move_by_offset(int(wide * 0.4), 0).release().perform()
    assert by_id(report, "selection").text.endswith("5 of 10 samples")
    assert names(report) == ["hash", "main", "work"]
    assert part(report, "hash") == pytest.approx(1, abs=0.01)
    by_id(report, "everything").click()
    assert by_id(report, "selection").text == "10 samples"
    assert part(report, "hash") == pytest.approx(0.5, abs=0.01)


def test_a_thread_or_a_cpu_is_picked(report):
    report.find_element("xpath", "//div[@id='lane-names']/button[.='helper 11']").click()
    assert names(report) == ["work", "run"]
    report.find_element("css selector", "[data-by=cpu]").click()
    assert by_id(report, "selection").text == "10 samples"
    report.find_element("xpath", "//div[@id='lane-names']/button[.='CPU 1']").click()
    assert by_id(report, "selection").text == "CPU 1 · 2 of 10 samples"


def test_another_event_is_chosen(report):
    from selenium.webdriver.support.ui import Select

    Select(by_id(report, "event")).select_by_visible_text("page-faults (2 samples)")
    assert names(report) == ["fault", "main"]
    assert part(report, "fault") == pytest.approx(0.5, abs=0.01)


def test_code_is_shown_with_its_share(report):
    listing = by_id(report, "listings")
    rows = listing.find_elements("css selector", "tr")
    assert [row.text.split() for row in rows] == [
        ["int", "x", "=", "1;"], ["75.00", "1000", "add", "a0,a0,a1"], ["25.00", "1004", "ret"],
    ]  # fmt: skip


def test_the_page_names_nothing_outside(tmp_path):
    text = exported(profile(tmp_path / "a", SAMPLES, events=EVENTS), "html").decode()
    assert re.findall(r"https?://", text) == []
    assert "default-src 'none'" in text and "unsafe" not in text


# --- whatever a file says


@pytest.mark.parametrize("format, suffix", [("flamegraph", "svg"), ("html", "html")])
def test_names_from_a_file_are_only_text(browser, tmp_path, format, suffix):
    # `>` stands for inlining in this notation; the other half of the names is in comm and command.
    quiet = [name.replace(">", "\N{FULLWIDTH GREATER-THAN SIGN}") for name in HOSTILE]
    samples = [f"prog main;{name.replace(';', ':')}" for name in quiet]
    made = profile(tmp_path / "a", samples, command=HOSTILE[:-1])
    for dso in made.dsos:
        dso.short_name = dso.name = HOSTILE[0]
    made.comms[:] = [HOSTILE[5]]
    symbols = made.symbols
    symbols.names[:] = [
        HOSTILE[quiet.index(name)] if name in quiet else name for name in symbols.names
    ]
    symbols.lines = lambda address: []
    at = symbols.symbol_at
    symbols.symbol_at = lambda index: SimpleNamespace(
        **vars(at(index)) | {"name": symbols.names[index]}
    )
    opened(browser, tmp_path / f"a.{suffix}", made, format)
    assert browser.execute_script("return window.hurt") is None
    assert complaints(browser) == []
    shown = browser.execute_script("return document.documentElement.textContent")
    assert HOSTILE[1] in shown
    assert len(browser.find_elements("css selector", "img, iframe, object, embed, a")) == 0


# --- as they are


@pytest.mark.parametrize("name", ["rec-lua-u.data", "rec-sqlite-g.data"])
@pytest.mark.parametrize("format, suffix", [("flamegraph", "svg"), ("html", "html")])
def test_real_recordings_open_without_an_error(browser, tmp_path, name, format, suffix):
    made = Profile(Reader(files.REAL / name))
    opened(browser, tmp_path / f"a.{suffix}", made, format)
    assert complaints(browser) == []
    frames = browser.find_elements("css selector", "g.f, .frame")
    assert len(frames) > 4


@pytest.mark.parametrize("samples", [[], ["prog main"]], ids=["nothing", "one sample"])
@pytest.mark.parametrize("format, suffix", [("flamegraph", "svg"), ("html", "html")])
def test_little_opens_without_an_error(browser, tmp_path, samples, format, suffix):
    opened(browser, tmp_path / f"a.{suffix}", profile(tmp_path / "a", samples), format)
    assert complaints(browser) == []


def test_a_page_of_many_stacks_stays_small(tmp_path):
    samples = [f"prog main;f{n % 7};g{n % 1009};h{n % 3001}" for n in range(6000)]
    made = stacks(tmp_path / "a", samples)
    few, many = page([made]), len(page([made, made, made]))
    assert len(few) < 500_000 and many < 3 * len(few)


# --- speedscope


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    return speedscope.application(tmp_path_factory.mktemp("speedscope"))


@pytest.mark.parametrize(
    "format, name",
    [
        ("folded", "a.txt"), ("speedscope", "a.speedscope.json"), ("chrome", "a.json"),
        ("pprof", "a.pb.gz"),
    ],
)  # fmt: skip
def test_speedscope_shows_the_exports(browser, viewer, tmp_path, format, name):
    made = profile(tmp_path / "a", SAMPLES, events=EVENTS)
    script = tmp_path / "load.js"
    script.write_text(speedscope.loading(name, exported(made, format)))
    browser.get("about:blank")
    browser.get(f"{viewer.as_uri()}#localProfilePath={script}")
    end = time.monotonic() + 20
    text = ""
    while "sys_read" not in text and time.monotonic() < end:
        browser.switch_to.active_element.send_keys("3")  # the view with a table of functions
        time.sleep(0.1)
        text = browser.find_element("css selector", "body").text
    for function in ("main", "work", "hash", "sys_read", "read"):
        # Of pprof's inlined functions speedscope shows none.
        assert function in text or (format, function) == ("pprof", "hash")
