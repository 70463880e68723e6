"""`rvperf annotate` prints what stock perf prints through riscv64's objdump."""

import shutil
import subprocess

import pytest

from rvperf.perfdata.reader import Reader
from rvperf.profile.samples import Profile
from rvperf.render import annotate
from rvperf.symbols import Symbols
from tests.oracles import need
from tests.oracles.perf import perf
from tests.render import scripted

OBJDUMP = "riscv64-linux-gnu-objdump"
CPLUSPLUS = """
namespace ns { template<class T> struct S { T v; __attribute__((noinline)) T get(T x) const {
  T s = 0;
  for (int i=0; i<10; i++) {
    s += v*x*i; // a comment: with a colon

  }
  return s; } }; }
extern "C" __attribute__((noinline)) int plain(int x) {
  ns::S<long> s{x}; return s.get(x) + ns::S<int>{3}.get(x); }
extern "C" __attribute__((noreturn)) void _start() { for (;;) plain(3); }
"""
OPTIONS = (
    "", "-l", "-P", "--no-source", "-n", "--show-total-period", "--percent-type global-period",
    "--percent-type hits-local", "--group", "--group -l", "--percent-limit 20", "fib", "nosuch",
    "-s fib", "-d recurse", "fib -l",
)  # fmt: skip
KINDS = ("one-event", "several-events", "group", "callchains", "faults")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    need(None if shutil.which(OBJDUMP) else f"there is no {OBJDUMP}")
    directory = tmp_path_factory.mktemp("annotate")
    for name in KINDS:
        scripted.make(name, directory / name)
    return directory


def both(rvperf, path, *words):
    theirs = perf("annotate", "--stdio", f"--objdump={OBJDUMP}", "-i", str(path), *words)
    ours = rvperf("annotate", "--stdio", "-i", str(path), *words)
    return (theirs.returncode, theirs.stdout), (ours.status, ours.out)


# Of a group's other events perf knows no total before it has shown the leader.
PAIRS = [("one-event", text) for text in OPTIONS]
PAIRS += [("group", text) for text in OPTIONS if "global" not in text]


@pytest.mark.parametrize("kind, text", PAIRS)
def test_it_prints_what_perf_prints(rvperf, made, kind, text):
    theirs, ours = both(rvperf, made / kind, *text.split())
    assert ours == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_what_perf_gives(rvperf, made, kind):
    theirs, ours = both(rvperf, made / kind)
    assert ours == theirs
    assert "Source code & Disassembly of recurse" in ours[1]


def test_global_hits_are_of_all_samples(rvperf, made):
    """perf 6.1 forgets to count all samples and prints 0.00 everywhere."""
    done = rvperf("annotate", "-i", str(made / "one-event"), "--percent-type", "global-hits")
    assert [line.split()[0] for line in done.out.splitlines() if ":   101e6:" in line] == ["12.50"]


@pytest.mark.parametrize("text", ["", "-l", "--no-source", "ns::S<int>::get"])
def test_source_and_cplusplus_names_are_as_perf_has_them(rvperf, tmp_path, monkeypatch, text):
    compiler = "riscv64-linux-gnu-g++"
    need(None if shutil.which(compiler) else f"there is no {compiler}")
    source, program = tmp_path / "a.cc", tmp_path / "program"
    source.write_text(CPLUSPLUS)
    flags = ["-O2", "-g", "-nostdlib", "-static", "-Wl,--build-id=none"]
    subprocess.run([compiler, *flags, "-o", program, source], check=True)
    monkeypatch.setattr(scripted, "PROGRAM", program)
    places = tuple(range(0x100E0, 0x10180, 2))
    monkeypatch.setattr(scripted, "PLACES", places)
    scripted.write(tmp_path / "perf.data", scripted.PLAIN, count=len(places))
    theirs, ours = both(rvperf, tmp_path / "perf.data", *text.split())
    assert ours == theirs
    assert "ns::S<int>::get(int) const" in ours[1]


def test_rows_are_data_too(made):
    profile = Profile(Reader(made / "several-events"), Symbols())
    first = profile.events[0]
    spots = annotate.hottest(profile, first)
    found = annotate.annotate(profile, spots[0].dso, spots[0].symbol, profile.events[:2])
    code = [row for row in found.rows if row.address is not None]
    assert sum(row.percents[0] for row in code) == pytest.approx(100)
    assert [row.address for row in code] == sorted(row.address for row in code)
    assert sum(row.hits[0] for row in code) == spots[0].samples == found.samples[0]
    assert all(row.file for row in code)


def test_code_that_is_not_there_is_an_error(rvperf, tmp_path):
    scripted.make("modes", tmp_path / "modes")
    (tmp_path / "kallsyms").write_text(scripted.KALLSYMS)
    kallsyms = str(tmp_path / "kallsyms")
    done = rvperf("annotate", "-i", str(tmp_path / "modes"), "--kallsyms", kallsyms, "_text")
    assert done.out == ""
    assert done.err.startswith("Error:\nCouldn't annotate _text:\n")
    assert done.status == 0
