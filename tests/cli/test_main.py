"""`rvperf` itself: its commands, its help, and how fast it starts."""

import os
import subprocess
import sys
import time

import pytest

from rvperf import __version__
from tests.cli.conftest import SessionError

RVPERF = [sys.executable, "-m", "rvperf.cli"]


@pytest.mark.parametrize("words", [["--version"], ["-v"], ["version"]])
def test_version(rvperf, words):
    run = rvperf(*words)
    assert (run.status, run.out, run.err) == (0, f"rvperf version {__version__}\n", "")


def test_without_a_command_the_commands_are_shown(rvperf):
    run = rvperf()
    assert run.status == 1
    assert run.out == rvperf("--help").out == rvperf("-h").out == rvperf("help").out
    assert (
        "\n   stat            Run a command and gather performance counter statistics\n" in run.out
    )


def test_help_is_no_failure(rvperf):
    assert rvperf("--help").status == 0


@pytest.mark.parametrize("words", [["help", "stat"], ["stat", "--help"]])
def test_help_on_a_command(rvperf, words):
    run = rvperf(*words)
    assert (run.status, run.err) == (0, "")
    assert run.out.startswith("rvperf-stat - Run a command and gather performance counter")
    assert "    -e, --event <event>   event selector. use 'rvperf list'" in run.out


def test_unknown_command(rvperf):
    run = rvperf("nosuch")
    expected = "rvperf: 'nosuch' is not a rvperf-command. See 'rvperf --help'.\n"
    assert (run.status, run.out, run.err) == (1, "", expected)


def test_unknown_command_close_to_a_known_one(rvperf):
    assert rvperf("stta").err.endswith("\n\nDid you mean this?\n\tstat\n")


def test_unknown_option(rvperf):
    run = rvperf("--bogus")
    assert run.status == 129
    assert run.err.startswith("Unknown option: --bogus\n\n Usage: rvperf [--version] [--help] ")


def test_session_error_is_printed_once_with_its_status(rvperf, session):
    session.error = SessionError("Workload failed: No such file or directory", 255)
    run = rvperf("stat", "./nosuch")
    assert (run.status, run.err) == (255, "Workload failed: No such file or directory\n")


def test_interrupt_before_the_program_ran(rvperf, session):
    session.error = KeyboardInterrupt()
    run = rvperf("stat", "./program")
    assert (run.status, run.err) == (130, "")


def test_reader_that_went_away():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*RVPERF, "list"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


HEAVY = "rich typer llvmlite capstone elftools rvperf.session"


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list"], ["--version"], ["help", "stat"], ["stat", "-e", "nosuch", "x"]],
)
def test_nothing_heavy_is_imported(words):
    script = (
        f"import sys; from rvperf.cli import main; main({words!r});"
        f"print([m for m in {HEAVY.split()} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [["--help"], ["list"]])
def test_starts_in_a_fifth_of_a_second(words):
    def seconds():
        start = time.perf_counter()
        subprocess.run([*RVPERF, *words], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.2


@pytest.mark.parametrize("words", ["--help", "--version", "list", "help stat"])
def test_standard_output_on_a_full_disk(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*RVPERF, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True
        )
    expected = "write failure on standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    "words, status", [("list", 0), ("stat -e nosuch x", 129), ("nosuch", 1), ("stat", 129)]
)
def test_closed_and_full_streams_change_no_exit_status(redirection, words, status):
    if words == "list" and redirection.startswith(">"):
        status = 1
    line = f"exec {RVPERF[0]} -m rvperf.cli {words} {redirection}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True)
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
