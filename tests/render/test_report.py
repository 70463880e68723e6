"""`report --stdio` and `diff` give stock perf's bytes on the same files."""

import contextlib
import io
import shlex

import pytest

from rvperf.cli import main
from rvperf.perfdata.reader import Reader
from rvperf.perfdata.writer import EventSpec, Writer
from tests.oracles.perf import perf
from tests.perfdata.files import REAL
from tests.render.profiles import KERNEL, KINDS, recording

KERNEL_NAMES = ("_text", "_start_kernel", "do_idle", "sys_read", "do_page_fault", "schedule")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Files of all kinds, two of each, and symbols for their kernel."""
    path = tmp_path_factory.mktemp("recordings")
    for kind in KINDS:
        recording(path / kind, kind, 400, 1, path)
        recording(path / f"{kind}-2", kind, 250, 9, path)
    lines = [f"{KERNEL + 512 * i:016x} T {name}\n" for i, name in enumerate(KERNEL_NAMES)]
    (path / "kallsyms").write_text("".join(lines) + f"{KERNEL + 4096:016x} D _etext\n")
    for name in ("rec-lua-u", "rec-sqlite-g"):
        older(REAL / f"{name}.data", path / name)
    (path / "empty").write_bytes(b"")
    (path / "text").write_text("this is no perf.data at all\n" * 4)
    return path


def older(source, target) -> None:
    """The same recording, with attributes that perf 6.1 knows."""
    reader = Reader(source)
    events = [EventSpec(event.attr, event.name, event.ids) for event in reader.events]
    known = {name: reader.features[name] for name in ("ARCH", "BUILD_ID", "SAMPLE_TIME")}
    with Writer(target, events, known) as file:
        file.write(bytes(reader.data))


def ours(words: list[str]):
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main(words)
    return status, out.getvalue(), errors.getvalue()


def without_tip(text: str) -> list[str]:
    return [line for line in text.split("\n") if not line.startswith(("# (Tip: ", "# (Cannot"))]


def compare(words: str, directory, monkeypatch) -> str:
    """Both print the same for the same words; perf's standard error."""
    monkeypatch.chdir(directory)
    words = shlex.split(words)
    theirs = perf(*words)
    status, out, _ = ours(words)
    assert without_tip(out) == without_tip(theirs.stdout)
    assert status == theirs.returncode
    return theirs.stderr


KALLSYMS = "--kallsyms kallsyms"


@pytest.mark.parametrize("kind", [*KINDS, "rec-lua-u", "rec-sqlite-g"])
def test_default_report(kind, directory, monkeypatch):
    compare(f"report --stdio {KALLSYMS} -i {kind}", directory, monkeypatch)


@pytest.mark.parametrize(
    "options",
    [
        "--no-children", "-g caller", "-g callee", "-G", "-g fractal", "-g flat", "-g folded",
        "-g none", "--no-call-graph", "-g graph,0.1,3,callee", "-g fractal,1,count",
        "-g folded,period,0", "-g address", "-g srcline", "--sort sym", "--sort symbol",
        "-s dso,sym -t,", "--percent-limit 3", "-n", "--show-total-period", "--max-stack 2",
        "-F overhead,sym,period,sample", "-F overhead_children,sym", "-F comm,dso", "-F +period",
        "-U", "-p main", "-p main -x", "-s parent", "--ignore-callees main", "-s addr",
        "--show-cpu-utilization", "-q", "--header", "-U --no-children", "-s time,sym",
        "--no-demangle",
    ],
)  # fmt: skip
def test_callchains(options, directory, monkeypatch):
    compare(f"report --stdio {KALLSYMS} -i mixed-chains {options}", directory, monkeypatch)


@pytest.mark.parametrize(
    "options",
    [
        "-s comm", "-s pid", "-s cpu,dso", "-s srcline", "-s srcfile", "-s socket", "-s time --ns",
        "-s +cpu", "-s trace", "-s weight,local_weight", "-s nosuch", "-s mem", "-F nosuch",
        "-s dso_from", "-c sort", "-d sort", "-d sort,shop -s comm", "-S main", "main",
        "-S main,_start --percentage relative", "--percentage relative -c sort -s dso",
        "--tid 101", "--pid 100", "--time 10%/2", "--time 1.01,1.02", "-C 0", "-C 1",
        "-w 10,20,7", "--stats", "--header-only", "-t ';' -s sym", "-g", "-b", "--mem-mode",
    ],
)  # fmt: skip
def test_keys_and_filters(options, directory, monkeypatch):
    compare(f"report --stdio {KALLSYMS} -i mixed {options}", directory, monkeypatch)


@pytest.mark.parametrize(
    "options",
    [
        "-s sym", "-s dso_from,dso_to,cycles,sym", "-s addr_from,addr_to", "-s in_tx,abort",
        "-s srcline_from", "--no-branch-stack", "-U", "-c hello", "-n", "-t,",
    ],
)  # fmt: skip
def test_branches(options, directory, monkeypatch):
    compare(f"report --stdio -i branches {options}", directory, monkeypatch)


@pytest.mark.parametrize("kind", ["several", "group", "group-chains"])
@pytest.mark.parametrize("options", ["--no-group", "--group", "-t,", "--group-sort-idx 1", "-n"])
def test_groups(kind, options, directory, monkeypatch):
    if kind == "several" and "idx" in options:
        pytest.skip("its usage page names the program")
    compare(f"report --stdio -i {kind} {options}", directory, monkeypatch)


@pytest.mark.parametrize("kind", ["one", "mixed", "several", "group", "chains"])
@pytest.mark.parametrize(
    "options",
    [
        "", "-c delta", "-c ratio", "-c wdiff:1,2", "-o 0", "-s comm,dso,sym", "-s pid", "-t,",
        "-p -F", "-b", "-q", "-S main", "-C sort --percentage relative", "-c ratio -t, -p",
    ],
)  # fmt: skip
def test_diff(kind, options, directory, monkeypatch):
    compare(f"diff {KALLSYMS} {options} {kind} {kind}-2", directory, monkeypatch)


def test_diff_of_three_files(directory, monkeypatch):
    compare(f"diff {KALLSYMS} mixed one mixed-2 -o 2", directory, monkeypatch)


@pytest.mark.parametrize("path", ["nosuch", "empty", "text"])
def test_what_is_no_recording(path, directory, monkeypatch):
    said = compare(f"report --stdio -i {path}", directory, monkeypatch)
    assert ours(["report", "--stdio", "-i", path])[2] == said


def test_missing_default_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ours(["report", "--stdio"]) == (
        255, "", "failed to open perf.data: No such file or directory  (try 'perf record' first)\n"
    )  # fmt: skip


def test_truncated_file_shows_what_is_there(directory, tmp_path):
    whole = (directory / "one").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    status, out, said = ours(["report", "--stdio", "-i", str(tmp_path / "half")])
    assert status == 0 and "truncated" in said
    assert "[.] _start" in out


def test_fail_above_names_what_has_grown(directory, monkeypatch):
    monkeypatch.chdir(directory)
    status, _, said = ours(["diff", "--fail-above", "0.1", "one", "one-2"])
    assert status == 1
    assert "points of cycles" in said
    assert ours(["diff", "--fail-above", "99", "one", "one-2"])[::2] == (0, "")
