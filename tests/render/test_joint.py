"""The pictures of `kvm run`: the page, the trace."""

import json

import pytest

from rvperf.render import joint_page, joint_trace
from rvperf.results import (
    Count,
    CounterOwner,
    GuestFigures,
    Happening,
    JointReport,
    JointSession,
    OverflowInterrupt,
    Totals,
)
from tests.render.browser import chromium, complaints

START = 5_000_000
COUNT = Count("cycles", "cycles", 1234, True, 4, 4)
HURTS = "</script><script>window.hurt=1</script>"


def report(**changes) -> JointReport:
    """4 ms: vm0 and vm1 have counters 3 and 4 for 2 ms each, the host has 31."""

    def had(counter, owner, start, end):
        return CounterOwner(0, counter, owner, START + start * 10**6, START + end * 10**6)

    owners = [had(31, "host", 0, 4)]
    owners += [had(n, "vm0", 0, 2) for n in (3, 4)] + [had(n, "vm1", 2, 4) for n in (3, 4)]
    figures = GuestFigures("vm0", 0, 7, {"IRQ_S_TIMER": 7}, 0, 1, 1, 1, 4, 4, 2)
    values = dict(
        vpmu="passthrough", policy="lazy", start=START, end=START + 4 * 10**6, harts=1,
        reserved=(3, 4), counters=tuple(range(3, 32)),
        sessions=(
            JointSession("vm0", ("./sort", HURTS), 21, 0, "", "g.data"),
            JointSession("host", ("rvperf", "record"), 3, 2, "they were late", "h.data"),
            JointSession("vm1", ("./sieve",), counts=(COUNT,)),
        ),
        guests=(figures,), owners=tuple(owners), owner_changes=1, switches=1, migrations=0,
        sbi_calls=0, sbi_calls_by_function={}, sbi_calls_by_origin={},
        overflow_irqs={"VS": 1, "HS": 1},
        overflows=(
            OverflowInterrupt(START + 10**6, 0, "VS", "vm0"),
            OverflowInterrupt(START + 3 * 10**6, 0, "HS", "host"),
        ),
        totals=(
            Totals(START + 10**6, 2, 0, 1, 0, 0), Totals(START + 4 * 10**6, 7, 0, 1, 1, 1),
        ),
        unused=("firmware", "clock", "firmware", "guests", "guests", *["free"] * 23, *["host"] * 4),
    )  # fmt: skip
    return JointReport(**(values | changes))


@pytest.fixture(scope="module")
def browser():
    with chromium(1280, 1300) as driver:
        yield driver


@pytest.fixture
def opened(browser, tmp_path):
    path = tmp_path / "k.html"
    path.write_text(joint_page.page(report()))
    browser.get(path.as_uri())
    yield browser
    assert complaints(browser) == []
    assert browser.execute_script("return window.hurt") is None


def by_id(browser, name):
    return browser.find_element("id", name)


def at(browser, part: float, row: int):
    """Move to a part of the time, on a counter's row."""
    from selenium.webdriver import ActionChains

    width, height = browser.execute_script(
        "const a = document.getElementById('strip-area'); return [a.clientWidth, a.clientHeight]"
    )
    x = 74 + part * (width - 74) - width / 2
    y = 3 * 16 + 6 + 13 * row + 6 - height / 2
    return ActionChains(browser).move_to_element_with_offset(
        by_id(browser, "strip-area"), int(x), int(y)
    )


def total(browser, name) -> str:
    for pair in browser.find_elements("css selector", "#totals div"):
        if pair.text.startswith(name):
            return pair.text.split()[-1]
    raise AssertionError(f"no total {name}")


def test_the_host_is_left_and_guests_are_right(opened):
    host, guests = by_id(opened, "host"), by_id(opened, "guest")
    assert host.location["x"] < guests.location["x"]
    assert "3 samples in h.data" in host.text and "2 lost because they were late" in host.text
    assert HURTS in guests.text and "1,234 cycles" in guests.text


@pytest.mark.parametrize(
    "part, row, owner",
    [
        (0.25, 3, "vm0"),
        (0.75, 4, "vm1"),
        (0.5, 31, "host"),
        (0.5, 20, "free"),
        (0.5, 30, "reserved for the host"),
        (0.5, 2, "firmware's to hand out"),
        (0.5, 1, "the time"),
    ],
)
def test_hovering_tells_who_owns_a_counter(opened, part, row, owner):
    at(opened, part, row).perform()
    assert f": {owner}" in by_id(opened, "details").text


def test_totals_are_those_at_the_cursor(opened):
    assert total(opened, "VM exits") == "7"
    at(opened, 0.5, 5).perform()
    assert (total(opened, "VM exits"), total(opened, "Saves")) == ("2", "0")
    assert (total(opened, "Overflows to VS"), total(opened, "Overflows to HS")) == ("1", "0")


def test_dragging_zooms_and_whole_run_goes_back(opened):
    at(opened, 0.25, 5).click_and_hold().perform()
    at(opened, 0.5, 5).release().perform()
    everything = by_id(opened, "everything")
    assert everything.is_enabled()
    at(opened, 0.5, 3).perform()
    found = by_id(opened, "details").text.split()  # at 1.5 ms
    assert float(found[1]) == pytest.approx(1.5, abs=0.02)
    everything.click()
    assert not everything.is_enabled()


def test_exits_have_their_causes_and_a_script_its_lines(browser, tmp_path):
    done = Happening(START + 1_500_000, "vm0", "restore", 0, f"refused: {HURTS}")
    path = tmp_path / "k.html"
    for happened, shown in (((), False), ((done,), True)):
        path.write_text(joint_page.page(report(happened=happened)))
        browser.get(path.as_uri())
        assert "IRQ_S_TIMER 7" in by_id(browser, "rows").text
        assert by_id(browser, "script").is_displayed() is shown
    assert by_id(browser, "happened").text == f"1.5 ms 0 vm0 restore refused: {HURTS}"
    assert complaints(browser) == [] and browser.execute_script("return window.hurt") is None


def test_unused_counters_look_lighter_than_used_ones(opened):
    """Those that are reserved for the host (30) beside one that it uses (31)."""
    ink = opened.execute_script(
        """const canvas = document.getElementById("canvas"), area = canvas.getContext("2d");
        const scale = canvas.width / canvas.clientWidth;
        const all = area.getImageData(0, 0, canvas.width, canvas.height);
        return [30, 31, 20].map((row) => {
          const y = Math.round((3 * 16 + 6 + 13 * row + 4) * scale) * all.width;
          const line = all.data.slice(4 * (y + 300), 4 * (y + 500));
          return new Set(line.filter((_, at) => at % 4 === 0)).size;
        });"""
    )
    hatched, filled, free = ink
    assert hatched > 2 and filled == free == 1


def test_a_trace_has_what_a_script_did():
    done = Happening(START + 1_500_000, "vm0", "snapshot", 0, "3 0x1")
    events = json.loads(joint_trace.trace(report(happened=(done,))))["traceEvents"]
    (found,) = [e for e in events if e.get("cat") == "script"]
    assert (found["name"], found["ts"], found["args"]["about"]) == ("vm0 snapshot", 1500, "3 0x1")


def test_a_trace_has_owners_interrupts_and_totals():
    events = json.loads(joint_trace.trace(report()))["traceEvents"]
    slices = [(e["tid"] - 1, e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    assert (3, "vm0", 0, 2000) in slices and (4, "vm1", 2000, 2000) in slices
    assert [(e["name"], e["ts"]) for e in events if e["ph"] == "i"] == [
        ("overflow interrupt, vm0", 1000), ("overflow interrupt, host", 3000),
    ]  # fmt: skip
    last = {e["name"]: e["args"]["n"] for e in events if e["ph"] == "C" and e["ts"] == 4000}
    assert last["VM exits"] == 7 and last["saves"] == 1
