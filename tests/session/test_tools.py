"""Stock perf's tools take what record writes, without a warning, and show what is there."""

import json
import re
import shutil
import subprocess

import pytest

from tests.oracles.perf import absent, perf
from tests.session.recordings import recorded, samples_of

CALLED = {"period": 1009, "callchain": "fp"}
CASES = {
    "one event": ("instructions:u", "recurse", {"period": 10007}),
    "several": ("instructions,page-faults,branches:u", "recurse", {"period": 500}),
    "a group": ("{instructions,branches}", "recurse", {"period": 5000}),
    "fp": ("instructions", "recurse", CALLED),
    "dwarf": ("instructions:u", "recurse", {"period": 20011, "callchain": "dwarf"}),
    "tracepoints": ("raw_syscalls:sys_enter,sched:sched_process_exit", "files", {}),
    "addresses": ("page-faults", "matmul", {"period": 1, "data": True}),
    "system wide": ("instructions", "recurse", {"period": 10007, "system_wide": True}),
    "kernel": ("cycles:k", "files", {"period": 1009, "callchain": "fp"}),
    "branches": ("cycles:u", "recurse", {"period": 10007, "branches": 9}),
}
TOOLS = (
    "script -i",
    "script --header-only -i",
    "report --stdio -i",
    "report --stdio -t, --no-children -i",
    "report --header-only -i",
    "report -D -i",
    "evlist -v -i",
    "evlist -g -i",
)


@pytest.fixture(scope="module", params=CASES)
def recording(request, tmp_path_factory):
    """(name, path) of a recording."""
    events, program, how = CASES[request.param]
    path = tmp_path_factory.mktemp("recording") / "perf.data"
    kept(path, events, program, **how)
    return request.param, path


def kept(path, events, program, **how) -> None:
    """Record, with a build-id cache beside the file."""
    cache = str(path.parent / "cache")
    recorded(path, events, program, build_ids="cache", build_id_directory=cache, **how)


def quiet(*words, path, after=()) -> str:
    """What perf prints of a recording, if it prints no warning."""
    cache = str(path.parent / "cache")
    done = perf("--buildid-dir", cache, *words, str(path), *after)
    assert (done.returncode, done.stderr) == (0, ""), words
    return done.stdout


def test_every_tool_takes_it(recording):
    name, path = recording
    tools = (
        [*TOOLS, f"diff {path}", "report --stdio -g caller --no-children -i"]
        if name == "fp"
        else [*TOOLS, f"diff {path}"]
    )
    for tool in tools:
        assert quiet(*tool.split(), path=path)
    quiet("buildid-list", "-i", path=path)
    quiet("inject", "-b", "-o", str(path.parent / "injected"), "-i", path=path)
    assert quiet("script", "-i", path=path.parent / "injected")


def test_it_has_as_many_samples_for_perf(recording):
    _, path = recording
    shown = quiet("script", "-F", "event,ip", "-G", "-i", path=path)
    names = [name for name, _ in samples_of(path)]
    assert [line.split()[0] for line in shown.splitlines()] == [f"{name}:" for name in names]


def test_converted_to_json_it_has_all(recording, tmp_path):
    _, path = recording
    done = perf("data", "convert", "--to-json", str(tmp_path / "json"), "-i", str(path))
    found = json.loads((tmp_path / "json").read_text())
    assert done.returncode == 0
    assert found["headers"]["arch"] == "riscv64"
    assert len(found["samples"]) == len(samples_of(path))


def test_symbols_are_those_of_the_program(tmp_path):
    kept(tmp_path / "a", "instructions:u", "recurse", period=1009)
    shown = quiet("report", "--stdio", "-s", "sym", "-i", path=tmp_path / "a")
    assert "fib" in re.findall(r"\[\.\] (\w+)", shown)


def test_annotate_shows_the_code(tmp_path):
    kept(tmp_path / "a", "instructions:u", "recurse", period=1009)
    objdump = "--objdump=/usr/bin/riscv64-linux-gnu-objdump"
    shown = perf("annotate", "--stdio", objdump, "-i", str(tmp_path / "a"), "fib")
    assert shown.returncode == 0
    assert "Disassembly of recurse for instructions:u" in shown.stdout
    assert "jal" in shown.stdout


def test_leader_sampling_shows_both_columns(tmp_path):
    kept(tmp_path / "a", "{instructions,branches}:S", "recurse", period=5000)
    shown = quiet("report", "--stdio", "-i", path=tmp_path / "a")
    assert "of events 'anon group { instructions, branches }'" in shown


WORK = """
long work(long n) { volatile long x = 0; while (n--) x += n; return x; }
void _start(void) { work(100000); __asm__ volatile("li a7, 93; ecall"); }
"""


def test_a_program_that_has_moved_is_found_in_the_cache(tmp_path):
    compiler = shutil.which("riscv64-linux-gnu-gcc") or absent("there is no riscv64 compiler")
    program = tmp_path / "it"
    (tmp_path / "it.c").write_text(WORK)
    words = ["-O1", "-static", "-nostdlib", "-Wl,--build-id", tmp_path / "it.c", "-o", program]
    subprocess.run([compiler, *words], check=True, capture_output=True)
    kept(tmp_path / "a", "instructions:u", str(program), period=1009)
    listed = perf("--buildid-dir", str(tmp_path / "cache"), "buildid-cache", "-l").stdout
    assert str(program) in listed
    program.unlink()
    assert "work" in quiet("script", "-F", "ip,sym", "-i", path=tmp_path / "a")
