"""What `rvperf report` is asked for as pictures."""

import pytest

from rvperf.cli.options import Usage, parse
from rvperf.cli.pictures import EXPORTS, OPTIONS, draw, wanted
from rvperf.render.export import FORMATS
from tests.perfdata import files
from tests.render.told import profile
from tests.subject import rvperf


@pytest.mark.parametrize(
    "words, found",
    [
        ("", []),
        ("--flamegraph a.svg", [("flamegraph", "a.svg")]),
        ("--flamegraph a.svg --html=b", [("flamegraph", "a.svg"), ("html", "b")]),
        ("--format pprof -o a.pb.gz", [("pprof", "a.pb.gz")]),
        ("--format folded", [("folded", "-")]),
        ("--html b --event cycles", [("html", "b")]),
    ],
)
def test_options_ask_for_files(words, found):
    assert wanted(parse(OPTIONS, words.split())[0]) == found


@pytest.mark.parametrize(
    "words, message",
    [
        ("--format svg", f" Error: there is no format `svg', only {', '.join(EXPORTS)}\n"),
        ("-o file", " Error: option `output' is for --format\n"),
        ("--event cycles", " Error: option `event' is for pictures and exports\n"),
    ],
)
def test_what_makes_no_sense_is_told(words, message):
    with pytest.raises(Usage) as told:
        wanted(parse(OPTIONS, words.split())[0])
    assert told.value.message == message


def test_each_format_is_an_option():
    assert {*EXPORTS, "flamegraph", "html"} == set(FORMATS)


@pytest.mark.parametrize(
    "words, status, message",
    [
        ("--html {}/out.html", 0, ""),
        ("--html {}/none/out", 255, "failed to write {}/none/out: No such file or directory\n"),
        (
            "--html {}/out --event 7",
            234,
            "there is no event `7' in the file, which has: cycles\n",
        ),
    ],
)
def test_failures_are_one_line(tmp_path, capfd, words, status, message):
    made = profile(tmp_path / "a", ["prog main"])
    options, _ = parse(OPTIONS, words.format(tmp_path).split())
    assert draw(options, made) == status
    assert capfd.readouterr().err == message.format(tmp_path)


def test_report_draws():
    done = rvperf("report", "-i", files.REAL / "rec-lua-u.data", "--format", "folded")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1].startswith(b"lua5.4;")


def test_report_writes_pictures(tmp_path):
    done = rvperf(
        "report", "-i", files.REAL / "rec-sqlite-g.data",
        "--flamegraph", tmp_path / "a.svg", "--html", tmp_path / "a.html",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")


def test_report_tells_wrong_options():
    done = rvperf("report", "-i", files.REAL / "rec-lua-u.data", "--format", "svg")
    assert done.returncode == 129
    assert done.stderr.startswith(b" Error: there is no format `svg', only folded,")


@pytest.mark.parametrize(
    "words, total",
    [
        ("", 9000),
        ("--comms helper", 2000),
        ("--tid 10", 7000),
        ("-C 1", 3000),
        ("--time 0.001000,0.001003", 4000),
    ],
)
def test_what_report_leaves_out_is_not_drawn(tmp_path, words, total):
    samples = ["prog main"] * 4 + ["helper/11/1 run"] * 2 + ["prog main"] * 2 + ["prog/10/1 main"]
    profile(tmp_path / "a", samples)
    words = ["report", "-i", tmp_path / "a", "--format", "folded", *words.split()]
    found = rvperf(*words).stdout.decode().splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in found) == total
