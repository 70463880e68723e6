"""Header, evlist and buildid-list are perf's, byte for byte on the same file."""

import contextlib
import io
import re

import pytest

from rvperf.cli import main
from rvperf.perfdata.reader import Reader
from rvperf.render.header import header
from tests.oracles.perf import perf
from tests.perfdata import files

VARIANTS = {
    "plain": {},
    "group": {"leader": 0},
    "callchains": {"extra": "CALLCHAIN|CPU|ADDR", "chain": (2**64 - 512, 0x10000, 0x10010)},
    "compressed": {"compress": 3},
}


def rvperf(*words) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(list(words)) == 0
    return out.getvalue()


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize(
    "command",
    [
        "evlist", "evlist -v", "evlist -F", "evlist -g", "evlist --trace-fields",
        "buildid-list", "buildid-list -H",
    ],
)  # fmt: skip
def test_lists_are_perfs(tmp_path, variant, command):
    path = str(tmp_path / "a")
    files.write(path, **variant)
    words = [*command.split(), "-i", path]
    assert rvperf(*words) == perf(*words).stdout


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("full", [False, True])
def test_the_header_is_perfs(tmp_path, variant, full):
    path = str(tmp_path / "a")
    files.write(path, **variant)
    theirs = perf("report", "--header-only", *(["-I"] if full else []), "-i", path)
    assert header(Reader(path), full) == theirs.stdout


@pytest.mark.parametrize("name", ["rec-lua-u", "rec-sqlite-g"])
def test_the_header_of_a_real_file_is_what_its_perf_said(name):
    """That perf was 6.12, which has words for more; without those the lines are the same."""
    theirs = (files.REAL / f"{name}.header.txt").read_text()
    for words in (r" \(PERF_\w+\)", r"type = 0, ", r"captured on .*"):
        theirs = re.sub(words, "", theirs)
    theirs = theirs.replace("config = 0x1", "config = 0x1").replace(", type = 0", "")
    ours = re.sub(r"captured on .*", "", header(Reader(files.REAL / f"{name}.data")))
    assert ours == theirs
