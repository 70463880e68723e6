"""The terminal view of `kvm run`, at two sizes."""

import asyncio

import pytest

from rvperf.render.joint_live import Live
from tests.render.test_joint import report


def screen(size, given, keys=()) -> list[str]:
    app = Live(lambda: given, lambda: True)

    async def drive():
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.2)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.2)
            strips = app.screen._compositor.render_strips()
            return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    return asyncio.run(drive())


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_host_is_left_guests_are_right_and_counters_below(size):
    lines = screen(size, report())
    width, height = size
    assert len(lines) == height and max(map(len, lines)) <= width
    assert lines[0].startswith(" rvperf kvm run: passthrough, lazy, 4.000 ms, has ended")
    middle = lines[1].index("│")
    assert lines[1][:middle].strip() == "Host" and lines[1][middle + 1 :].strip() == "Guests"
    assert "host record: 3 samples, 2 lost" in lines[2][:middle]
    assert "vm0 record: 21 samples" in lines[2][middle:]
    assert any(line.lstrip().startswith("to VS") and line.count("^") == 1 for line in lines)
    (first,) = [line for line in lines if line.split()[:1] in (["3"], ["3-4"])]
    had = first.split()[1]
    assert had.count("0") == pytest.approx(len(had) / 2, abs=1) and had.endswith("1")
    (host,) = [line for line in lines if line.split()[:1] == ["31"]]
    assert set(host.split()[1]) == {"H"}
    assert lines[-2].startswith(" exits 7  SBI calls guest 1 host 0  saves 1  restores 1")
    assert lines[-1].startswith(" q end")


def test_a_large_terminal_shows_each_counter():
    names = {line.split()[0] for line in screen((160, 50), report()) if line.strip()}
    assert {str(number) for number in range(3, 32)} <= names


def test_tab_shows_the_next_hart():
    lines = screen((80, 24), report(harts=2), ["tab"])
    assert "hart 1" in lines[0] and not any(line.split()[:1] == ["31"] for line in lines)
