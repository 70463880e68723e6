"""Pictures of what rvperf recorded itself: they say what stock perf says."""

import re

import pytest

from rvperf.perfdata.reader import Reader
from rvperf.profile.samples import Profile
from rvperf.render.folded import folded
from rvperf.render.listings import listings
from rvperf.render.stacks import Stacks, choose
from rvperf.symbols import Symbols
from tests.oracles.perf import perf
from tests.subject import rvperf


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "perf.data"
    done = rvperf(
        "record", "-e", "instructions:u", "-c", "1009", "--call-graph", "exact", "-o", path,
        "samples/printf",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def made(recorded):
    profile = Profile(Reader(recorded), Symbols())
    return Stacks(profile, choose(profile))


def test_folded_stacks_are_those_that_perf_collapses(recorded, made):
    done = perf("script", "report", "stackcollapse", "-i", str(recorded))
    theirs = {}
    for line in done.stdout.splitlines():
        stack, _, count = line.rpartition(" ")
        theirs[stack] = theirs.get(stack, 0) + int(count)
    ours = {}
    for line in folded(without_inlines(made)).splitlines():
        stack, _, period = line.rpartition(" ")
        ours[stack] = ours.get(stack, 0) + int(period) // 1009
    assert len(theirs) > 10 and ours == theirs


def without_inlines(made: Stacks) -> Stacks:
    return Stacks(made.profile, made.event, inlines=False)


def test_listings_have_all_samples_of_the_hottest_functions(recorded, made):
    done = perf(
        "report", "--stdio", "--no-children", "-g", "none", "-F", "overhead,sym",
        "-i", str(recorded),
    )  # fmt: skip
    rows = re.findall(r"^ +([\d.]+)%  \[\.\] (\S+)", done.stdout, re.MULTILINE)
    found = listings(made, 5)
    assert [f"{one.percent:.2f}" for one in found] == [percent for percent, _ in rows[:5]]
    for listing in found:
        assert sum(line.percent for line in listing.lines) == pytest.approx(100)
        assert listing.lines[0].address is not None or listing.lines[0].text
