"""Samples become the stacks of named functions that they were taken in."""

import pytest

from rvperf.render.stacks import NoSuchEvent, Stacks, choose, legible
from tests.render.told import profile, stacks


def paths(made: Stacks):
    """The labels of each sample's stack, outermost first."""
    return [[made.functions[n].label for n in made.path(stack)] for stack in made.stack.tolist()]


def test_inlined_functions_are_frames_of_their_own(tmp_path):
    made = stacks(tmp_path / "a", ["prog main;outer>middle>inner", "prog main"])
    assert paths(made) == [["main", "outer", "middle", "inner"], ["main"]]
    marked = {function.name: function.inlined for function in made.functions}
    assert marked == {"main": False, "outer": False, "middle": True, "inner": True}


def test_kernel_frames_are_known_as_such(tmp_path):
    made = stacks(tmp_path / "a", ["prog main;k:entry;k:sys_read"])
    assert [(f.name, f.kind) for f in made.functions] == [
        ("sys_read", "kernel"), ("entry", "kernel"), ("main", "user"),
    ]  # fmt: skip


def test_a_caller_is_where_it_called(tmp_path):
    made = stacks(tmp_path / "a", ["prog main;leaf"])
    ends = {made.functions[one.frames[0][0]].name: one.address & 0xFF for one in made.locations}
    assert ends == {"leaf": 0x10, "main": 0x0F}


def test_a_function_without_symbol_is_called_by_its_dso(tmp_path):
    assert paths(stacks(tmp_path / "a", ["prog main;?"])) == [["main", "[prog]"]]


def test_without_callchains_a_stack_is_the_function(tmp_path):
    made = stacks(tmp_path / "a", ["prog main;leaf", "prog main"], chained=False)
    assert paths(made) == [["leaf"], ["main"]]


def test_samples_count_with_their_periods(tmp_path):
    made = stacks(tmp_path / "a", ["prog a", "prog b", "prog a"], period=7)
    sums = {}
    for (stack,), count, period in made.totals(made.stack):
        sums[made.functions[made.path(stack)[0]].name] = count, period
    assert sums == {"a": (2, 14), "b": (1, 7)}


@pytest.mark.parametrize(
    "wanted, found",
    [(None, 1), (0, 0), ("1", 1), ("faults", 1), ("cycles:u", 0), ("cycles", 0)],
)
def test_an_event_is_chosen_by_name_or_number(tmp_path, wanted, found):
    made = profile(tmp_path / "a", ["prog/10/0/1 main"], events=("cycles:u", "faults"))
    assert choose(made, wanted).index == found


def test_an_event_that_is_not_there_is_told(tmp_path):
    made = profile(tmp_path / "a", ["prog main"], events=("cycles:u", "faults"))
    with pytest.raises(NoSuchEvent) as told:
        choose(made, "branches")
    assert told.value.message == (
        "there is no event `branches' in the file, which has: cycles:u, faults"
    )


@pytest.mark.parametrize(
    "name, shown",
    [
        ("operator<<", "operator<<"),
        ("größe", "größe"),
        ("a\x1b[2Jb\n\0", "a\ufffd[2Jb\ufffd\ufffd"),
        ("bad\udcff", "bad\ufffd"),
        ("a\u202eb", "a\ufffdb"),
        ("x" * 2000, "x" * 1000 + "…"),
    ],
)
def test_names_are_made_legible(name, shown):
    assert legible(name) == shown
