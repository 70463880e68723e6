"""`kvm run`'s report: the counters' strip."""

import json

import pytest

from rvperf.render import joint
from rvperf.results import CounterOwner
from tests.render.test_joint import START, report


def lines_of(made) -> dict[str, str]:
    """Counters, and their strips."""
    lines = [line.rsplit(maxsplit=1) for line in joint.strips(made)]
    return {line[0].strip(): line[1] for line in lines if len(line) == 2 and len(line[1]) == 63}


def test_all_32_counters_are_there_and_say_whose_they_are():
    half = "0" * 32 + "1" * 31
    assert lines_of(report()) == {
        "0, 2": "F" * 63,
        "1": "T" * 63,
        "3-4": half,
        "5-27": "." * 63,
        "28-30": "h" * 63,
        "31": "H" * 63,
    }


@pytest.mark.parametrize(
    "counter, name, used, unused", [(31, "31", "H", "h"), (4, "4", "0", "-"), (2, "2", "0", "F")]
)
def test_reserved_and_in_use_differ(counter, name, used, unused):
    """In use for the first half."""
    owner = "host" if used == "H" else "vm0"
    one = CounterOwner(0, counter, owner, START, START + 2 * 10**6)
    drawn = lines_of(report(owners=(one,)))[name]
    assert drawn == used * 32 + unused * 31


def test_the_legend_says_what_there_is_and_no_more():
    legend = " ".join(" ".join(joint.strips(report())[6:]).split())
    assert legend == (
        "H host, 0 vm0, 1 vm1, h reserved for the host, F firmware's to hand out, T the time, "
        ". free"
    )


def test_each_hart_has_its_counters():
    lines = joint.strips(report(harts=2))
    second = lines.index("  hart 1:")
    assert lines[0] == "  hart 0:" and any("H" * 63 in line for line in lines[:second])
    assert not any("H" * 63 in line for line in lines[second:])


def test_guests_letters_are_none_of_those_with_a_meaning():
    owners = [CounterOwner(0, 3, f"vm{n}", START + n, START + n + 1) for n in range(40)]
    letters = joint.letters_of(report(owners=tuple(owners)))
    assert letters.pop("host") == "H" and letters["vm9"] == "9" and letters["vm10"] == "a"
    assert not set(letters.values()) & {"H", *joint.UNUSED.values()}


def test_json_has_whose_unused_counters_are():
    found = json.loads(joint.json_text(report()))["unused"]
    assert found == ["firmware", "clock", "firmware", *["guests"] * 2, *["free"] * 23,
                     *["host"] * 4]  # fmt: skip
