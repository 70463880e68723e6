"""`rvperf stat`'s command line, in front of a session that counts 1000 of everything."""

import locale
import os
import re

import pytest

from rvperf.cli import virtual_options
from rvperf.results import Exit
from tests.cli.conftest import SessionError
from tests.oracles import perf

CS = "1000,,cs,1000000,100.00,,\n"


def test_the_default_events(rvperf, session):
    run = rvperf("stat", "./program", "-e", "its own")
    (request,) = session.requests
    assert (run.status, run.out) == (0, "")
    assert request.workload.argv == ("./program", "-e", "its own")
    assert " ".join(event.name for event in request.events) == (
        "task-clock context-switches cpu-migrations page-faults "
        "cycles instructions branches branch-misses"
    )
    assert "\n Performance counter stats for './program -e its own':\n" in run.err


def test_what_the_session_is_asked_by_default(rvperf, session):
    rvperf("stat", "./program")
    (request,) = session.requests
    assert (request.workload.sysroot, request.workload.allow_write, request.workload.engine) == (
        None,
        (),
        "native",
    )
    assert (request.workload.timeout_ns, request.workload.verbose) == (None, 0)
    assert request.workload.env == dict(os.environ)


def test_what_the_session_can_be_asked(rvperf, session, monkeypatch):
    monkeypatch.setenv("RVPERF_SYSROOT", "/elsewhere")
    rvperf("stat", "./program")
    more = ["--allow-write", "/a", "--allow-write=/b", "--engine", "reference", "-vv"]
    rvperf("stat", "--sysroot", "/root", "--timeout", "50", *more, "--", "./program")
    assert session.requests[0].workload.sysroot == "/elsewhere"
    request = session.requests[1]
    assert (request.workload.sysroot, request.workload.allow_write) == ("/root", ("/a", "/b"))
    assert (request.workload.engine, request.workload.timeout_ns, request.workload.verbose) == (
        "reference",
        50_000_000,
        2,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["-x,", "-e", "cs"],
        ["-x", ",", "-ecs"],
        ["--field-separator=,", "--event=cs"],
        ["--field-sep", ",", "--ev", "cs"],
        ["-x,", "-ecs", "--"],
        ["-Bix,", "-ecs"],
        ["-x,", "--no-big", "--inherit", "--no-scale", "-ecs"],
    ],
)
def test_spellings_of_options(rvperf, words):
    run = rvperf("stat", *words, "./program")
    assert (run.status, run.err) == (0, CS)


@pytest.mark.parametrize("separator, seen", [(r"\t", "\t"), ("\t", "\t"), ("; ", "; "), ("", "")])
def test_separators(rvperf, separator, seen):
    assert rvperf("stat", "-x", separator, "-ecs", "./p").err == CS.replace(",", seen)


def test_events_may_be_given_twice_and_twice_over(rvperf):
    run = rvperf("stat", "-x,", "-e", "cs,{faults,cs}", "-e", "instructions", "./p")
    assert [line.split(",")[2] for line in run.err.splitlines()] == [
        *"cs faults cs instructions".split()
    ]


def test_events_that_nothing_counts_have_their_row(rvperf, session):
    run = rvperf("stat", "-x,", "-e", "LLC-loads,cs,dummy", "./p")
    assert run.err == (
        "<not supported>,,LLC-loads,0,100.00,,\n" + CS + "<not supported>,,dummy,0,100.00,,\n"
    )
    assert [event.name for event in session.requests[0].events] == ["cs"]


def test_modes_relate_counts(rvperf):
    run = rvperf("stat", "-x,", "-e", "cycles:u,instructions:u,instructions:k", "./p")
    assert [line.split(",", 5)[5] for line in run.err.splitlines()] == [
        ",",
        "1.00,insn per cycle",
        ",",
    ]


@pytest.mark.parametrize("option, context", [("--all-user", "k"), ("--all-kernel", "u")])
def test_all_events_in_one_mode(rvperf, session, option, context):
    rvperf("stat", option, "./p")
    assert {event.context for event in session.requests[0].events} == {context}


@pytest.mark.parametrize(
    "words, rows",
    [
        (["-n"], 0),
        (["-n", "-d"], 0),
        (["-n", "-ecs"], 1),
        (["-d"], 12),
        (["-d", "-ecs"], 5),
        (["-dd"], 18),
        (["-ddd"], 20),
    ],
)
def test_sets_of_events(rvperf, words, rows):
    assert len(rvperf("stat", "-x,", *words, "./p").err.splitlines()) == rows


def test_the_locale_groups_text_and_nothing_else(rvperf, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setattr(locale, "setlocale", lambda category, name: None)  # it may not be there
    conventions = {**locale.localeconv(), "thousands_sep": ",", "grouping": [3, 0]}
    monkeypatch.setattr(locale, "localeconv", lambda: conventions)
    text = "\n             1,000      cs "
    assert text in rvperf("stat", "-ecs", "./p").err
    assert text.replace("1,000", " 1000") in rvperf("stat", "--no-big-num", "-ecs", "./p").err
    assert text in rvperf("stat", "--no-big-num", "-B", "-ecs", "./p").err
    assert rvperf("stat", "-x,", "-ecs", "./p").err == CS


def test_null_run(rvperf):
    assert rvperf("stat", "-n", "./p").err.startswith(
        "\n Performance counter stats for './p':\n\n       0.002000000 seconds time elapsed\n"
    )


def test_json(rvperf):
    assert rvperf("stat", "-j", "-e", "cs", "./p").err.startswith(
        '{"counter-value" : "1000.000000", "unit" : "", "event" : "cs", '
    )


def test_quiet(rvperf):
    assert rvperf("stat", "--quiet", "./p").err == ""


def test_verbose(rvperf):
    run = rvperf("stat", "-v", "-x,", "-e", "cs:u,LLC-loads", "./p")
    assert run.err == (
        "Warning:\nLLC-loads event is not supported by the kernel.\n"
        "cs:u: 1000 1000000 1000000\n"
        "failed to read counter LLC-loads\n"
        "1000,,cs:u,1000000,100.00,,\n<not supported>,,LLC-loads,0,100.00,,\n"
    )


def test_repeat(rvperf, session):
    run = rvperf("stat", "-r3", "-e", "cs", "./p")
    assert len(session.requests) == 3
    assert "for './p' (3 runs):\n" in run.err
    assert "+-  " not in run.err  # every run is the same


def test_repeat_shows_what_differs(rvperf, session):
    session.values = [900, 1000, 1100]
    run = rvperf("stat", "-r3", "-x,", "-e", "cs", "./p")
    assert run.err == "1000,,cs,5.77%,1000000,100.00,,\n"  # 100 / sqrt(3), of 1000


def test_repeat_for_ever_ends_with_an_interrupt(rvperf, session):
    session.exits = [Exit(code=0), Exit(code=0), Exit(signal=2)]
    run = rvperf("stat", "-r0", "-x,", "-e", "cs", "./p")
    assert run.err == CS + CS + "./p: Interrupt\n" + CS


@pytest.mark.parametrize(
    "end, status, said",
    [
        (Exit(code=0), 0, ""),
        (Exit(code=7), 7, ""),
        (Exit(code=255), 255, ""),
        (Exit(signal=11), 0, "./p: Segmentation fault\n"),
        (Exit(signal=4), 0, "./p: Illegal instruction\n"),
        (Exit(signal=6), 0, "./p: Aborted\n"),
        (Exit(signal=9), 0, "./p: Killed\n"),
        (Exit(signal=15), 0, "./p: Terminated\n"),
        (Exit(signal=40), 0, "./p: Unknown signal 40\n"),
    ],
)
def test_how_the_program_ended(rvperf, session, end, status, said):
    session.exits = [end]
    run = rvperf("stat", "-x,", "-ecs", "./p")
    assert (run.status, run.err) == (status, said + CS)


@pytest.mark.parametrize("number", [*range(1, 17), *range(24, 32), 34, 40, 64])
def test_signals_are_named_as_perf_names_them(rvperf, session, number):
    session.exits = [Exit(signal=number)]
    script = f"kill -{number} $$"
    for _ in range(10):  # perf itself forgets to say it once in a hundred times
        theirs = perf.perf("stat", "-x,", "-e", "dummy", "sh", "-c", script)
        if theirs.stderr.startswith("sh: "):
            break
    ours = rvperf("stat", "-x,", "-e", "cs", "sh", "-c", script)
    if number == 28:  # window changed: ignored unless handled
        assert theirs.returncode == 0
    else:
        assert ours.err.splitlines()[0] == theirs.stderr.splitlines()[0]
        assert ours.status == theirs.returncode


ONE_OPTION = """\
-e
-o
--out
-x
-r x true
-r -1 true
--log-fd x true
--log-fd -3 true
--timeout 5 true
--timeout -5 true
-I
-I x true
-I -1 true
-I 50 --interval-count x true
--interval-count 3 true
-I 50 --timeout 100 true
--interval-clear true
--output f --log-fd 2 true
--all-user --all-kernel true
--big-num=3 true
"""


@pytest.mark.parametrize("line", ONE_OPTION.splitlines())
def test_mistakes_with_an_option_are_perfs(rvperf, line):
    theirs = perf.perf("stat", *line.split())
    ours = rvperf("stat", *line.split())
    assert ours.err == theirs.stderr.replace("perf", "rvperf")
    assert ours.status == theirs.returncode


@pytest.mark.parametrize(
    "line, first",
    [
        ("--bogus ./p", "  Error: unknown option `bogus'"),
        ("-Z ./p", "  Error: unknown switch `Z'"),
        ("-nZ ./p", "  Error: unknown switch `Z'"),
        ("-h", ""),
        ("", ""),
        ("-e cs", ""),
        ("--no ./p", " Error: Ambiguous option: no (could be --no-inherit or --no-aggr)"),
        ("-a", " Error: rvperf doesn't have perf's switch `a' yet"),
        ("--per-core ./p", " Error: rvperf doesn't have perf's option `per-core' yet"),
        ("--metric-o ./p", " Error: rvperf doesn't have perf's option `metric-only' yet"),
        ("--engine qemu ./p", " Error: there is no engine `qemu', only native and reference"),
        (
            "record ./p",
            " Error: rvperf doesn't have perf's `stat record' yet (./record runs a program of that "
            "name)",
        ),
    ],
)
def test_command_lines_that_cannot_be_followed(rvperf, session, line, first):
    run = rvperf("stat", *line.split())
    assert run.status == 129
    assert run.err.splitlines()[0] == first
    assert " Usage: rvperf stat [<options>] [<command>]\n\n" in run.err
    assert session.requests == []


def test_usage_names_perfs_options_in_perfs_order(rvperf):
    theirs = perf.perf("stat", "-h").stderr.splitlines()
    ours = rvperf("stat", "-h").err.replace("rvperf", "perf").splitlines()
    option = re.compile(r" +(?:-\w, )?--([\w-]+)")
    names = [option.match(line).group(1) for line in ours if option.match(line)]
    own = {"sysroot", "allow-write", "engine"} | {one.long for one in virtual_options.OPTIONS}
    shared = [
        line for line in theirs if option.match(line) and option.match(line).group(1) in names
    ]
    mine = [line for line in ours if option.match(line) and option.match(line).group(1) not in own]
    assert [line for line in mine if "--quiet" not in line] == [
        line for line in shared if "--quiet" not in line
    ]


def test_a_mistake_in_an_event(rvperf):
    run = rvperf("stat", "-e", "cs:q", "./p")
    assert run.status == 129
    assert run.err == (
        "event syntax error: 'cs:q'\n"
        "                       \\___ parser error\n"
        "Run 'rvperf list' for a list of valid events\n"
        "\n"
        " Usage: rvperf stat [<options>] [<command>]\n"
        "\n"
        "    -e, --event <event>   event selector. use 'rvperf list' to list available events\n"
    )


STARTED = re.compile(r"# started on \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n\n")


def test_output_goes_to_a_file_and_again_to_its_end(rvperf, tmp_path):
    file = tmp_path / "counts"
    file.write_text("old")
    run = rvperf("stat", "-o", str(file), "-x,", "-ecs", "./p")
    assert (run.status, run.err) == (0, "")
    rvperf("stat", "--append", "-o", str(file), "-x,", "-ecs", "./p")
    assert STARTED.sub("@", file.read_text()) == f"@{CS}@{CS}"


def test_output_goes_to_a_descriptor(rvperf, tmp_path):
    with open(tmp_path / "counts", "w") as file:
        run = rvperf("stat", "--log-fd", str(file.fileno()), "-x,", "-ecs", "./p")
    assert (run.status, run.err) == (0, "")
    assert (tmp_path / "counts").read_text() == CS


@pytest.mark.parametrize(
    "words",
    [["-o", "/nonexistent/file"], ["-o", "/"], ["-o", ""], ["--log-fd", "9999"]],
)
def test_output_that_cannot_be_opened(rvperf, session, words):
    theirs = perf.perf("stat", *words, "true")
    ours = rvperf("stat", *words, "./p")
    assert (ours.status, ours.err) == (theirs.returncode, theirs.stderr)
    assert session.requests == []


def test_counts_are_not_lost_on_a_full_disk(rvperf):
    run = rvperf("stat", "-o", "/dev/full", "-x,", "-ecs", "./p")
    assert run.status == 255
    assert run.err == f"failed to write /dev/full: No space left on device\n{CS}"


def test_a_program_that_cannot_start_on_a_full_disk(rvperf, session):
    session.error = SessionError("Workload failed: Permission denied", 255)
    run = rvperf("stat", "-o", "/dev/full", "./p")
    assert (run.status, run.err) == (255, "Workload failed: Permission denied\n")
