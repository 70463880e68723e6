"""Samples fall on the exact instruction: the native engine finds what plain Python finds."""

import os

import pytest

from rvperf.events import parse_events
from rvperf.session import StatRequest, Workload, stat
from tests.session.recordings import ENV, SAMPLES, recorded, samples_of

EVENTS = (
    "instructions:u",
    "cycles:u",
    "branches:u",
    "branch-misses:u",
    "L1-dcache-loads:u",
    "L1-dcache-stores:u",
    "page-faults:u",
)
# Programs short enough for plain Python, and long enough for the period.
CASES = {1: "args", 7: "selfmod", 997: "printf", 10007: "recurse", 1000000: "sieve"}


def positions(path) -> dict[str, list[tuple[int, int]]]:
    """(time, ip) of the samples, by event."""
    found = {event.name: [] for event in parse_events(",".join(EVENTS))}
    for name, sample in samples_of(path):
        found[name].append((sample.time, sample.ip))
    return found


@pytest.fixture(scope="module", params=CASES)
def reference(request, tmp_path_factory):
    """(period, program, what plain Python finds, all events at once)."""
    period = request.param
    path = tmp_path_factory.mktemp("reference") / "perf.data"
    recorded(path, ",".join(EVENTS), CASES[period], "reference", period=period)
    return period, CASES[period], positions(path)


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_alone_is_sampled_where_the_reference_says(reference, event, tmp_path):
    period, program, expected = reference
    path = tmp_path / "perf.data"
    recorded(path, event, program, period=period)
    name = parse_events(event)[0].name
    assert positions(path)[name] == expected[name]


def test_all_events_at_once_are_sampled_where_the_reference_says(reference, tmp_path):
    period, program, expected = reference
    path = tmp_path / "perf.data"
    recorded(path, ",".join(EVENTS), program, period=period)
    assert positions(path) == expected


def test_there_are_as_many_samples_as_whole_periods_in_the_count(reference):
    period, program, found = reference
    with open(os.devnull, "r+b") as nowhere:  # as `recorded` has it: programs ask what it is
        descriptors = (nowhere.fileno(),) * 3
        workload = Workload((str(SAMPLES / program),), None, (), ENV, descriptors=descriptors)
        events = parse_events(",".join(EVENTS))
        counts = {c.name: c.value for c in stat(StatRequest(workload, events)).counts}
    assert {name: len(samples) for name, samples in found.items()} == {
        name: count // period for name, count in counts.items()
    }


@pytest.mark.parametrize(
    "how",
    [
        {"period": 1009, "callchain": "fp"},
        {"period": 1009, "skid": 3},
        {"freq": 4000},
        {"period": 1009, "callchain": "dwarf", "stack_size": 256},
        {"period": 1009, "data": True, "weight": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("event", ["instructions", "cycles:u", "branch-misses:u"])
def test_both_engines_write_the_same_file(event, how, tmp_path):
    files = []
    for engine in ("native", "reference"):
        path = tmp_path / "perf.data"
        recorded(path, event, "printf", engine, **how)
        files.append(path.read_bytes())
        path.unlink()
    assert files[0] == files[1]


@pytest.mark.parametrize("how", [{"period": 997, "callchain": "fp"}, {"freq": 10000}], ids=str)
def test_two_runs_write_the_same_bytes(how, tmp_path):
    files = []
    for _ in range(2):
        path = tmp_path / "perf.data"
        recorded(path, "cycles,page-faults", "recurse", **how)
        files.append(path.read_bytes())
        path.unlink()
    assert files[0] == files[1]


def test_skid_moves_a_sample_by_that_many_instructions(tmp_path):
    """Every instruction of `args` in order, and every seventh with a skid of 3."""
    paths = [tmp_path / name for name in ("all", "exact", "late")]
    recorded(paths[0], "instructions:u", "args", period=1)
    recorded(paths[1], "instructions:u", "args", period=7)
    recorded(paths[2], "instructions:u", "args", period=7, skid=3)
    everything, exact, late = ([s.ip for _, s in samples_of(path)] for path in paths)
    assert exact == everything[6::7]
    # A system call lets the interrupt in early: it falls on the ecall then.
    moved = [everything[at] for at in range(9, len(everything), 7)]
    same = sum(a == b for a, b in zip(late, moved, strict=False))
    assert len(late) == len(exact) and same > 0.9 * len(moved)


def test_precise_events_do_not_skid(tmp_path):
    paths = [tmp_path / name for name in ("exact", "precise")]
    recorded(paths[0], "instructions:u", "args", period=7)
    recorded(paths[1], "instructions:upp", "args", period=7, skid=3)
    exact, precise = ([s.ip for _, s in samples_of(path)] for path in paths)
    assert precise == exact
