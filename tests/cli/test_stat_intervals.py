"""The rows of `rvperf stat -I`, in front of a session that tells of two intervals."""

import os
import re

import pytest

from rvperf.events import parse_events
from rvperf.render import stat as render
from rvperf.results import Count, Exit, StatResult
from tests.oracles import perf

HEADING = "#           time             counts unit events\n"
ROWS = "     0.050000000,500,,cs,500000,100.00,,\n     0.100000000,500,,cs,500000,100.00,,\n"
EVENTS = "duration_time,task-clock,context-switches,page-faults"
FORMS = {
    "-B": lambda time, result: render.interval_text(time, result),
    "-x,": lambda time, result: render.interval_csv(time, result, ","),
    "-j": render.interval_json,
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_perfs(form):
    """A sleeping program has an interval without counts."""
    words = ["-v", "-I", "40", form, "-e", EVENTS, "sleep", "0.1"]
    done = perf.perf("stat", *words)
    block = re.compile(
        rf"(?:^\S+: \d+ \d+ \d+\n){{4}}(?:{HEADING})?((?:^.*\d\.\d{{9}}.*\n){{4}})", re.M
    )
    blocks = list(block.finditer(done.stderr))
    if not blocks:
        perf.absent(f"perf counts nothing here: {done.stderr}")
    assert len(blocks) >= 2
    for one in blocks:
        found = re.findall(r"^\S+: (\d+) (\d+) (\d+)$", one[0], re.M)
        counts = tuple(
            Count(event.name, event.symbol, value, True, enabled, running, event.unit, event.scale)
            for event, (value, enabled, running) in zip(
                parse_events(EVENTS), (map(int, numbers) for numbers in found), strict=True
            )
        )
        seconds, nanoseconds = re.search(r"(\d+)\.(\d{9})", one[1]).groups()
        result = StatResult((), counts, 40_000_000, 0, 0, Exit(code=0))
        assert FORMS[form](int(seconds + nanoseconds), result) == one[1]


def test_the_heading_is_perfs():
    assert perf.perf("stat", "-I", "50", "-e", "dummy", "true").stderr.startswith(HEADING)


def test_the_heading_stands_over_each_25_rows(rvperf, session):
    session.intervals = 60
    lines = rvperf("stat", "-I", "1", "-ecs", "./p").err.splitlines(True)
    assert [at for at, line in enumerate(lines) if line == HEADING] == [0, 26, 52]
    assert len(lines) == 63


@pytest.mark.parametrize(
    "words, ns, times",
    [
        (["-I", "50"], 50_000_000, 0),
        (["-I1", "--interval-count", "3"], 1_000_000, 3),
        (["--interval-print=7", "--interval-count=-1"], 7_000_000, -1),
    ],
)
def test_what_the_session_is_asked(rvperf, session, words, ns, times):
    rvperf("stat", *words, "./p")
    every = session.requests[0].every
    assert (every.ns, every.times) == (ns, times)


@pytest.mark.parametrize("words", [["-I", "0"], ["-I", "5", "--no-interval-print"], ["--summary"]])
def test_without_an_interval_there_are_no_rows(rvperf, session, words):
    run = rvperf("stat", *words, "./p")
    assert session.requests[0].every is None
    assert "Performance counter stats for './p':" in run.err


def test_there_is_no_block_after_the_rows(rvperf):
    assert rvperf("stat", "-I", "50", "-x,", "-ecs", "./p").err == ROWS


def test_rates_are_those_of_a_whole_interval(rvperf):
    """The clock counts 500 ns of 50 ms."""
    run = rvperf("stat", "-I", "50", "-x,", "-etask-clock", "./p")
    assert run.err.splitlines()[0].endswith(",0.000,CPUs utilized")
    run = rvperf("stat", "-I", "50", "-j", "-etask-clock", "./p")
    assert '"metric-value" : 0.000010, "metric-unit" : "CPUs utilized"' in run.err.splitlines()[0]


@pytest.mark.parametrize(
    "words, after",
    [
        (["-x,"], "         summary,1000,,cs,1000000,100.00,,\n"),
        (["-x,", "--no-csv-summary"], "1000,,cs,1000000,100.00,,\n"),
    ],
)
def test_the_summary_of_csv(rvperf, words, after):
    assert rvperf("stat", "-I", "50", "--summary", *words, "-ecs", "./p").err == ROWS + after


def test_a_summary_of_csv_without_intervals_says_so_too(rvperf):
    run = rvperf("stat", "--summary", "-x,", "-ecs", "./p")
    assert run.err == "         summary,1000,,cs,1000000,100.00,,\n"


def test_the_summary_in_text_is_the_block(rvperf):
    whole = rvperf("stat", "-I", "50", "--summary", "-ecs", "./p").err
    rows = rvperf("stat", "-I", "50", "-ecs", "./p").err
    assert whole == rows + rvperf("stat", "-ecs", "./p").err


def test_intervals_of_repeats_are_the_first_runs(rvperf, session):
    run = rvperf("stat", "-I", "50", "-r", "2", "-x,", "--summary", "-ecs", "./p")
    assert run.err == (
        "     0.050000000,500,,cs,0.00%,500000,100.00,,\n"
        "     0.100000000,500,,cs,0.00%,500000,100.00,,\n"
        "         summary,1000,,cs,0.00%,1000000,100.00,,\n"
    )
    assert [bool(request.every) for request in session.requests] == [True, False]


def test_events_that_nothing_counts_have_their_row(rvperf, session):
    session.intervals = 1
    run = rvperf("stat", "-I", "50", "-x,", "-eLLC-loads,cs", "./p")
    assert run.err == "     0.050000000,<not supported>,,LLC-loads,0,100.00,,\n" + ROWS[:41]


def test_rows_are_written_as_they_come(rvperf, session, tmp_path):
    file, seen = tmp_path / "counts", []
    session.meanwhile = lambda: seen.append(file.read_text())
    rvperf("stat", "-I", "50", "-x,", "-ecs", "-o", str(file), "./p")
    assert [text.count(",cs,") for text in seen] == [1, 2]


def test_rows_go_to_a_file_and_again_to_its_end(rvperf, tmp_path):
    file = tmp_path / "counts"
    for more in [], ["--append"]:
        run = rvperf("stat", "-I", "50", "-x,", "-ecs", "-o", str(file), *more, "./p")
        assert (run.status, run.err) == (0, "")
    started = r"# started on .*\n\n"
    assert re.fullmatch(f"{started}{re.escape(ROWS)}{started}{re.escape(ROWS)}", file.read_text())


def test_rows_are_not_lost_on_a_full_disk(rvperf):
    run = rvperf("stat", "-I", "50", "-x,", "-ecs", "-o", "/dev/full", "./p")
    assert run.status == 255
    assert all(row in run.err for row in ROWS.splitlines())


def test_quiet_prints_none(rvperf):
    assert rvperf("stat", "-I", "50", "--quiet", "-ecs", "./p").err == ""


def test_a_screen_is_cleared_before_each_row(rvperf):
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "w") as terminal:
        words = ["--interval-clear", "-ecs", "--log-fd", str(terminal.fileno())]
        rvperf("stat", "-I", "50", *words, "./p")
        shown = os.read(screen.fileno(), 1 << 16).decode()
    assert shown.count("\033[H\033[2J\r\n" + HEADING.replace("\n", "\r\n")) == 2


def test_v_tells_the_raw_counts_of_each(rvperf):
    run = rvperf("stat", "-v", "-I", "50", "-x,", "-ecs", "./p")
    assert run.err.splitlines()[0::2] == ["cs: 500 500000 500000"] * 2
