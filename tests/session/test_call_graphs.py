"""Call graphs in files: `exact` is what the program did, `dwarf` agrees with it, and `fp` is wrong
where the kernel's way of following frame pointers has to be."""

import bisect
import shutil
import subprocess
from pathlib import Path

import pytest

from rvperf.perfdata.reader import Reader
from rvperf.perfdata.records import CONTEXT_USER
from rvperf.profile.samples import Profile
from rvperf.profile.unwinding import Unwinder
from rvperf.symbols import Symbols
from tests.oracles import need
from tests.session.recordings import recorded, samples_of

HERE = Path(__file__).parents[1]
# What each program's functions are; the C library's own have no frame information to unwind by.
PROGRAMS = ("recursion", "mutual", "tail", "longjumps", "signals", "jump_out", "exceptions")
PERIODS = {"exceptions": 31}  # shorter, where little time is spent in its own functions
PERIOD = 101


class Binary:
    """A program and the functions of its own source."""

    def __init__(self, path: Path, source: Path):
        self.path = path
        lines = subprocess.run(
            ["riscv64-linux-gnu-nm", "-nl", path], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        rows = [line.split() for line in lines if len(line.split()) >= 3]
        text = sorted(
            (int(row[0], 16), row[2], line)
            for row, line in ((line.split(), line) for line in lines if len(line.split()) >= 3)
            if row[1] in "tTwW"
        )
        self.starts = [start for start, _, _ in text]
        self.names = [name for _, name, _ in text]
        self.own = {name for _, name, line in text if source.name in line}
        assert rows and self.own

    def name(self, pc: int) -> str | None:
        """The function at pc, if it is the program's own."""
        at = bisect.bisect_right(self.starts, pc) - 1
        name = self.names[at] if at >= 0 else ""
        return name if name in self.own else None


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    made = tmp_path_factory.mktemp("graphs")

    def build(program: str, *flags: str) -> Binary:
        source = HERE / ("exceptions.cc" if program == "exceptions" else "calls.c")
        compiler = f"riscv64-linux-gnu-{'g++' if program == 'exceptions' else 'gcc'}"
        need(None if shutil.which(compiler) else f"not installed: {compiler}")
        path = made / "-".join((source.stem, *flags))
        if not path.exists():
            subprocess.run(
                [compiler, "-O2", "-g", "-static", "-pthread",
                 "-fasynchronous-unwind-tables", *flags, source, "-o", path],
                check=True,
            )  # fmt: skip
        return Binary(path, source)

    return build


def exact_chains(path) -> list[tuple[int, ...]]:
    """The user's part of each callchain, without its mark."""
    return [sample.callchain[1:] for _, sample in samples_of(path)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_dwarf_agrees_with_exact(program, build, tmp_path):
    binary = build(program)
    argv = (str(binary.path), program)
    exact, dwarf = tmp_path / "exact", tmp_path / "dwarf"
    period = PERIODS.get(program, PERIOD)
    recorded(exact, "instructions:u", argv, period=period, callchain="exact")
    recorded(dwarf, "instructions:u", argv, period=period, callchain="dwarf")
    profile = Profile(Reader(str(dwarf)), Symbols(), unwinder=Unwinder())
    unwound = [[frame.ip for frame in sample.chain or ()] for sample in profile.samples()]
    chains = exact_chains(exact)
    assert len(chains) == len(unwound) > 10
    compared = 0
    for chain, other in zip(chains, unwound, strict=True):
        if binary.name(chain[0]) is None:
            continue
        names = [binary.name(chain[0]), *(binary.name(ip - 1) for ip in chain[1:])]
        found = [binary.name(ip) for ip in other]
        assert [n for n in names if n] == [n for n in found if n], hex(chain[0])
        compared += 1
    assert compared > 10


def both(build, tmp_path, program, *flags):
    """(what `fp` found, the truth) at each sample in the functions of a program."""
    binary = build(program, *flags)
    argv = (str(binary.path), program)
    for kind in ("fp", "exact"):
        recorded(tmp_path / kind, "instructions:u", argv, period=3, callchain=kind)
    pairs = zip(exact_chains(tmp_path / "fp"), exact_chains(tmp_path / "exact"), strict=True)
    return binary, [(fp, truth) for fp, truth in pairs if binary.name(truth[0])]


def test_fp_is_right_while_ra_is_still_the_return_address(build, tmp_path):
    binary, pairs = both(build, tmp_path, "mutual", "-fno-omit-frame-pointer")
    right = [fp for fp, truth in pairs if len(truth) > 5 and fp[:5] == truth[:5]]
    assert len(right) > 10


def test_fp_skips_the_caller_of_a_function_that_has_called_another(build, tmp_path):
    """The kernel takes ra for the innermost return address (arch/riscv/kernel/perf_callchain.c).
    After a call that has returned, ra still points behind that call, into the function itself,
    which appears twice, and its caller is missing."""
    binary, pairs = both(build, tmp_path, "mutual", "-fno-omit-frame-pointer")
    wrong = [
        (fp, truth)
        for fp, truth in pairs
        if binary.name(truth[0]) == "even" and len(truth) > 5 and fp[1] != truth[1]
    ]
    assert wrong
    for fp, truth in wrong:
        assert binary.name(fp[1] - 1) == "even" and binary.name(truth[1] - 1) == "odd"
        assert fp[2:5] == truth[2:5]


def test_fp_finds_no_caller_where_no_frame_pointers_are_kept(build, tmp_path):
    """-O2 uses s0 for something else; `exact` still has every caller."""
    binary, pairs = both(build, tmp_path, "mutual", "-fomit-frame-pointer")
    inside = [(fp, truth) for fp, truth in pairs if binary.name(truth[0]) in ("odd", "even")]
    assert inside
    for fp, truth in inside:
        assert "mutual" in [binary.name(ip - 1) for ip in truth[1:]]
        assert "mutual" not in [binary.name(ip - 1) for ip in fp[2:]]


def test_the_chain_begins_with_its_context(build, tmp_path):
    path = tmp_path / "perf.data"
    recorded(path, "instructions:u", "recurse", period=10007, callchain="exact")
    assert {sample.callchain[0] for _, sample in samples_of(path)} == {CONTEXT_USER}
    assert all(sample.callchain[1] == sample.ip for _, sample in samples_of(path))
