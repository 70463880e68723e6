"""`rvperf record` ends, and says so, as perf does."""

import os
import re
import signal
import subprocess
import time

import pytest

from rvperf.perfdata.reader import Reader
from tests.session.recordings import SAMPLES
from tests.stack import elves
from tests.subject import command

WROTE = r"\[ perf record: Woken up 1 times to write data \]\n\[ perf record: Captured and wrote "


def start(directory, *words, stdout=subprocess.DEVNULL, **more) -> subprocess.Popen:
    """Begin to record; with a pipe as stdout that is where the file would go."""
    return subprocess.Popen(
        [*command(), "record", *map(str, words)],
        cwd=directory,
        env={**os.environ, "HOME": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **more,
    )


def record(directory, *words) -> tuple[int, str]:
    """(exit status, what it said)."""
    process = start(directory, *words)
    said = process.communicate(timeout=120)[1].decode()
    return process.returncode, said


def until_it_runs(path, process):
    """Wait until a recording that goes on has written something."""
    for _ in range(600):
        if path.exists() and path.stat().st_size > 100_000:
            return
        time.sleep(0.1)
    process.kill()
    pytest.fail("nothing was recorded")


ENDLESS = ("-e", "branches:u", "-c", "101")


@pytest.fixture
def endless(tmp_path_factory):
    """A program that goes on for ever."""
    return elves.build(tmp_path_factory.mktemp("program") / "endless", "again: beq x0, x0, again")


def test_it_says_what_it_wrote_and_ends_as_the_program(tmp_path):
    (tmp_path / "perf.data").write_text("old")
    status, said = record(tmp_path, SAMPLES / "hello")
    assert status == 0
    assert re.fullmatch(WROTE + r"0\.\d{3} MB perf.data \(\d+ samples\) \]\n", said)
    assert (tmp_path / "perf.data").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "perf.data.old").read_text() == "old"


@pytest.mark.parametrize(
    "options, after",
    [
        ("-B", r"0\.\d{3} MB perf.data \]\n"),
        (
            "-z",
            r"0\.\d{3} MB perf.data, compressed \(original 0.\d{3} MB, ratio is \d\.\d{3}\) \]\n",
        ),
        ("-o -", r"0\.\d{3} MB - \]\n"),
    ],
)
def test_what_it_says_of_other_files(tmp_path, options, after):
    said = record(tmp_path, *options.split(), SAMPLES / "loop")[1]
    assert re.fullmatch(WROTE + after, said)


def test_quiet_says_nothing(tmp_path):
    assert record(tmp_path, "-q", SAMPLES / "hello") == (0, "")


@pytest.mark.parametrize(
    "words, status, said",
    [
        ("./none", 255, "Failed to collect 'cycles' for the './none' workload: No such file or"),
        ("-c 1 -F 1 ./p", 234, "cannot set frequency and period at the same time\n"),
        ("-F 0 ./p", 234, "frequency and count are zero, aborting\n"),
        ("-F 100001 --strict-freq ./p", 234, "error: Maximum frequency rate (100000 Hz) exceeded"),
        ("--call-graph foo ./p", 129, "callchain: Unknown --call-graph option value: foo\n"),
        ("-j foo ./p", 129, "unknown branch filter foo, check man page\n"),
        ("-b -j any ./p", 129, "Error: Can't use --branch-any (-b) with --branch-filter (-j).\n"),
        ("-e nosuch ./p", 129, "event syntax error: 'nosuch'\n"),
        ("--switch-output=100ms ./p", 234, "\n Usage: rvperf record"),
        ("--synth=x ./p", 129, "Invalid synth option: x\n"),
    ],
)
def test_mistakes_are_told_as_perf_tells_them(tmp_path, words, status, said):
    found, text = record(tmp_path, *words.split())
    assert (found, text[: len(said)]) == (status, said)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["nodir/x", "/dev/full"])
def test_where_nothing_can_be_written(tmp_path, where):
    status, said = record(tmp_path, "-o", where, SAMPLES / "hello")
    assert status == 255
    assert said.startswith(f"failed to open {where} : ") and "Traceback" not in said


def test_a_file_that_fills_the_disk_is_whole_up_to_there(tmp_path, endless):
    def limit():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    process = start(tmp_path, *ENDLESS, endless, preexec_fn=limit)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 255
    assert said.endswith("failed to write perf data, error: File too large\n")
    reader = Reader(tmp_path / "perf.data")
    assert len(reader.columns()) > 1000 and reader.warnings == []


def test_interrupted_it_ends_by_the_signal_with_a_whole_file(tmp_path, endless):
    process = start(tmp_path, *ENDLESS, endless)
    until_it_runs(tmp_path / "perf.data", process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == -signal.SIGINT
    assert "Captured and wrote" in said and "Traceback" not in said
    assert Reader(tmp_path / "perf.data").features["ARCH"] == "riscv64"


def test_killed_it_leaves_a_file_that_opens_and_knows_its_events(tmp_path, endless):
    process = start(tmp_path, *ENDLESS, endless)
    until_it_runs(tmp_path / "perf.data", process)
    process.kill()
    process.communicate(timeout=120)
    reader = Reader(tmp_path / "perf.data")
    assert reader.events[0].name == "branches:u"
    assert len(reader.columns()) > 1000 and reader.warnings == []


def test_a_signal_switches_to_another_file(tmp_path, endless):
    process = start(tmp_path, "--switch-output", *ENDLESS, endless)
    until_it_runs(tmp_path / "perf.data", process)
    process.send_signal(signal.SIGUSR2)
    for _ in range(100):
        if any(name.startswith("perf.data.2") for name in os.listdir(tmp_path)):
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1].decode()
    dumps = re.findall(r"\[ perf record: Dump (.*) \]", said)
    assert sorted(dumps) == [name for name in sorted(os.listdir(tmp_path)) if name[0] != "."]
    assert len(dumps) == 2
    assert all(Reader(tmp_path / name).warnings == [] for name in dumps)


def test_at_its_largest_size_it_stops(tmp_path, endless):
    status, said = record(tmp_path, "--max-size=100K", *ENDLESS, endless)
    assert status == -signal.SIGTERM
    assert "perf size limit reached" in said
    assert 100_000 < (tmp_path / "perf.data").stat().st_size < 1_000_000


def test_a_reader_that_goes_away_ends_it_as_a_closed_pipe_does(tmp_path, endless):
    process = start(tmp_path, "-o", "-", *ENDLESS, endless, stdout=subprocess.PIPE)
    process.stdout.read(1000)
    process.stdout.close()
    assert process.wait(120) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()
