"""The sample programs do what their first lines say, and count what QEMU counts.

A sample's first comment holds its cases. `args:` begins a case with arguments; each `expect:` adds
to the case before it: `exit STATUS`, `signal NAME`, `stdout LINE`, or an event and its count.
"""

import os
import shlex
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rvperf.events import parse_events
from rvperf.session import StatRequest, Workload, stat
from tests.oracles import need, qemu
from tests.subject import counted, rvperf

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
VARIANTS = {"hello": ("hello", "hello-pie")}
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | {
    name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME") if name in os.environ
}

# With how many instructions the C library in `printf` (glibc 2.36) notes that set_robust_list has
# worked, which it doesn't under QEMU.
ROBUST = 1


@dataclass
class Case:
    """One way to run a sample, and what is expected of it."""

    program: str
    args: list[str]
    exit: int = 0
    signal: str | None = None
    stdout: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)

    @property
    def argv(self) -> list[str]:
        return [f"samples/{self.program}", *self.args]

    def __str__(self) -> str:
        return " ".join([self.program, *self.args])


def cases_of(source: Path) -> list[Case]:
    """The cases that a sample's comments hold."""
    cases = []
    for program in VARIANTS.get(source.stem, (source.stem,)):
        case = None
        for line in source.read_text().splitlines():
            if line[:1] not in ("/", "#") or line.startswith("#include"):
                break
            key, _, value = line.lstrip("/# ").partition(": ")
            if key == "args" or (key == "expect" and case is None):
                case = Case(program, shlex.split(value) if key == "args" else [])
                cases.append(case)
            if key == "expect":
                what, _, text = value.partition(" ")
                if what == "exit":
                    case.exit = int(text)
                elif what == "signal":
                    case.signal = text
                elif what == "stdout":
                    case.stdout.append(text)
                else:
                    case.events[what] = int(text)
    return cases


SOURCES = sorted(p for p in SAMPLES.iterdir() if p.suffix in (".c", ".S") and p.stem != "start")
CASES = [case for source in SOURCES for case in cases_of(source)]
cases = pytest.mark.parametrize("case", CASES, ids=str)


def printed(case: Case) -> bytes:
    return "".join(f"{line}\n" for line in case.stdout).encode()


def test_every_sample_states_what_to_expect_and_is_built():
    for source in SOURCES:
        assert cases_of(source), f"{source.name} has no expect: line"
    for case in CASES:
        assert os.access(SAMPLES / case.program, os.X_OK), case.program


def test_samples_are_short():
    for source in SOURCES:
        assert len(source.read_text().splitlines()) <= 100, source.name


@cases
def test_qemu_agrees_with_what_the_sample_says(case, tmp_path):
    need(qemu.cannot_count())
    done = qemu.count([str(ROOT / case.argv[0]), *case.args], cwd=tmp_path, env=ENV)
    counts = {
        "instructions:u": done.instructions,
        "branches:u": done.branches + done.jumps,
        "L1-dcache-loads:u": done.loads,
        "L1-dcache-stores:u": done.stores,
    }
    assert done.stdout == printed(case)
    assert done.exit == (-getattr(signal, case.signal) if case.signal else case.exit)
    assert {name: counts.get(name, n) for name, n in case.events.items()} == case.events


@cases
def test_does_what_the_sample_says(case, tmp_path):
    events = ",".join(case.events) or "instructions:u"
    done = rvperf(
        "stat",
        "-x,",
        "-e",
        events,
        "-o",
        tmp_path / "counts",
        "--",
        ROOT / case.argv[0],
        *case.args,
        cwd=tmp_path,
        env=ENV,
    )
    assert done.stdout == printed(case)
    if case.signal:  # as perf does it: a message, and status 0
        message = signal.strsignal(getattr(signal, case.signal))
        assert done.stderr.decode() == f"{ROOT / case.argv[0]}: {message}\n"
        assert done.returncode == 0
    else:
        assert done.stderr == b""
        assert done.returncode == case.exit
    # In the order asked for: perf drops the modifier from a cache event's name.
    counts = counted((tmp_path / "counts").read_text()).values()
    if case.events:
        assert dict(zip(case.events, counts, strict=True)) == case.events


@cases
def test_counts_the_instructions_that_qemu_counts(case, tmp_path):
    need(qemu.cannot_count())
    if case.args == ["stack"]:
        pytest.skip("how deep the stack gets depends on the limit, not on the program")
    argv = [str(ROOT / case.argv[0]), *case.args]
    oracle = qemu.count(argv, cwd=tmp_path, env=ENV)
    expected = oracle.instructions + ROBUST * oracle.unrobust
    rvperf(
        "stat",
        "-x,",
        "-e",
        "instructions:u",
        "-o",
        tmp_path / "counts",
        "--",
        *argv,
        cwd=tmp_path,
        env=ENV,
    )
    count = counted((tmp_path / "counts").read_text())["instructions:u"]
    # QEMU's plugin counts an instruction before it faults; a hart doesn't retire it.
    assert count in ((expected, expected - 1) if case.signal else (expected,))


COUNTABLE = (
    "instructions:u,cycles:u,branches:u,branch-misses:u,L1-dcache-loads:u,L1-dcache-stores:u,"
    "instructions:k,cycles:k,page-faults,minor-faults,major-faults,context-switches,task-clock"
)
FIRST_NS = 350_000  # of emulated time; a longer sample gets SIGTERM then, which must not show


@cases
def test_both_engines_count_and_print_the_same(case, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    results = []
    for engine in ("reference", "native"):
        workload = Workload(
            argv=(str(ROOT / case.argv[0]), *case.args),
            sysroot=None,
            allow_write=(),
            env=ENV,
            engine=engine,
            timeout_ns=FIRST_NS,
        )
        done = stat(StatRequest(workload, parse_events(COUNTABLE)))
        results.append((done, capfd.readouterr()))
    assert results[0] == results[1]


def counts_of(tmp_path, events, *argv):
    """The counts of a sample that is expected to end well."""
    done = rvperf(
        "stat",
        "-x,",
        "-e",
        events,
        "-o",
        tmp_path / "counts",
        "--",
        SAMPLES / argv[0],
        *argv[1:],
        env=ENV,
    )
    assert done.returncode == 0, done.stderr
    return counted((tmp_path / "counts").read_text())


def test_page_faults_grow_by_the_pages_touched(tmp_path):
    few, many = (
        counts_of(tmp_path, "page-faults", "fault", "pages", n)["page-faults"]
        for n in ("100", "400")
    )
    assert many - few == 300


def test_sorted_data_are_easier_to_predict(tmp_path):
    unsorted, in_order = (
        counts_of(tmp_path, "branch-misses:u", "branchsort", order)["branch-misses:u"]
        for order in ("unsorted", "sorted")
    )
    assert in_order < unsorted / 5


@pytest.mark.parametrize("directory", ["samples", "bench"])
def test_rebuilt_programs_are_the_same_bytes(directory, tmp_path):
    toolchain = subprocess.run(
        ["make", "-s", "-C", ROOT / directory, "pinned"], capture_output=True, text=True
    )
    need(toolchain.stderr.splitlines()[0] if toolchain.returncode else None)
    subprocess.run(
        ["make", "-s", "-B", "-C", ROOT / directory, f"OUT={tmp_path}"],
        check=True,
        capture_output=True,
    )
    for built in tmp_path.iterdir():
        assert built.read_bytes() == (ROOT / directory / built.name).read_bytes(), built.name
