"""The same command prints the same, whenever and wherever it runs."""

import os
import shlex
from pathlib import Path

import pytest

from tests.oracles import debian, need
from tests.subject import counted, rvperf

SAMPLES = Path(__file__).parent.parent / "samples"
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/nowhere"}
PROGRAMS = {
    "static": f"{SAMPLES}/branchsort unsorted",
    "dynamic": "sort -r",
    "processes": "dash -c 'seq 1 300 | sort -r | (head -n 3; cat > /dev/null); echo $?; exit 3'",
}
programs = pytest.mark.parametrize("name", PROGRAMS)
TEXT = "".join(f"{n * 7919 % 1009}\n" for n in range(2000)).encode()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache directory for the runs of this file."""
    return tmp_path_factory.mktemp("cache")


def run(name, cache, *options):
    """(status, stdout, stderr) of one of the programs."""
    if name != "static":
        need(debian.missing())
        options = ("--sysroot", debian.sysroot(), *options)
    command = shlex.split(PROGRAMS[name])
    env = ENV | {"XDG_CACHE_HOME": str(cache)}
    done = rvperf("stat", *options, "--", *command, env=env, input=TEXT)
    assert done.stdout and b"instructions" in done.stderr
    return done.returncode, done.stdout, done.stderr


@programs
def test_ten_runs_are_the_same_bytes(name, cache):
    assert len({run(name, cache) for _ in range(10)}) == 1


@programs
def test_a_cold_a_warm_and_no_cache_give_the_same(name, tmp_path):
    # Paths of one length: the program sees them in its environment.
    (tmp_path / "file").touch()
    cold = run(name, tmp_path / "new-cache")
    warm = run(name, tmp_path / "new-cache")
    without = run(name, tmp_path / "file" / "none")
    assert cold == warm == without


@programs
def test_time_does_not_depend_on_what_is_counted(name, cache):
    def elapsed(events):
        status, _, text = run(name, cache, "-x,", "-e", f"{events},duration_time,user_time")
        counts = counted(text.decode())
        return status, counts["duration_time"], counts["user_time"]

    assert elapsed("instructions:u") == elapsed("instructions,branches,L1-dcache-stores,task-clock")


def test_the_directory_and_the_descriptors_do_not_matter(cache, tmp_path, monkeypatch):
    here = run("static", cache)
    monkeypatch.chdir(tmp_path)
    pipes = [os.pipe() for _ in range(20)]
    there = run("static", cache)
    for ends in pipes:
        for end in ends:
            os.close(end)
    assert here == there
