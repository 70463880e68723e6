"""Exact counts in a perf.data, and beside the samples."""

import pytest

from rvperf.profile import truth
from rvperf.profile.truth import Truth, TruthError
from tests.oracles.perf import perf
from tests.render.profiles import SAMPLES, recording
from tests.render.test_report import ours, without_tip

EXACT = Truth(
    {
        "cycles": {
            str(SAMPLES / "sort"): {0x124: 3, 0x126: 2**40},
            "[kernel.kallsyms]": {2**63: 1},
        },
        "instructions:u": {"/bin/é": {}},
    }
)


def test_what_is_encoded_is_decoded():
    assert truth.decode(truth.encode(EXACT)) == EXACT


def test_a_file_without_exact_counts_has_none(tmp_path):
    assert truth.of(recording(tmp_path / "one", "one", 10)) is None


@pytest.mark.parametrize("damage", [lambda b: b[20:], lambda b: b[:9] + b"x" + b[10:],
                                    lambda b: truth.MAGIC])  # fmt: skip
def test_damaged_counts_are_an_error(damage):
    with pytest.raises(TruthError):
        truth.decode(damage(truth.encode(EXACT)))


@pytest.mark.parametrize("command", ["report --stdio", "script", "evlist -v", "buildid-list"])
def test_stock_perf_does_not_see_them(command, tmp_path):
    path = recording(tmp_path / "one", "one", 50)
    before = perf(*command.split(), "-i", str(path))
    truth.append(path, EXACT)
    after = perf(*command.split(), "-i", str(path))
    assert without_tip(after.stdout) == without_tip(before.stdout)
    assert after.stderr == before.stderr and after.returncode == 0


def test_report_shows_both_shares(tmp_path):
    path = recording(tmp_path / "one", "one", 200)
    sort, hello = str(SAMPLES / "sort"), str(SAMPLES / "hello-pie")
    # main of sort is at 0x120, its _start at 0x1da; nothing happened in hello-pie but once.
    counts = {sort: {0x124: 75, 0x1DC: 24}, hello: {0x19E: 1}}
    truth.append(path, Truth({"cycles": counts}))
    status, out, said = ours(["report", "--truth", "--stdio", "-t,", "-i", str(path)])
    assert (status, said) == (0, "")
    rows = [line.split(",") for line in out.splitlines() if not line.startswith("#") and line]
    exact = {(row[3], row[4][4:]): row[1] for row in rows}
    assert exact["sort", "main"] == "75.00%"
    assert exact["sort", "_start"] == "24.00%"
    assert sum(float(row[0][:-1]) for row in rows) == pytest.approx(100, abs=0.05)
    assert "# Expected error of 200 samples" in out


def test_report_says_if_there_are_none(tmp_path):
    path = recording(tmp_path / "one", "one", 10)
    status, out, said = ours(["report", "--truth", "-i", str(path)])
    assert (status, out) == (255, "")
    assert "no exact counts" in said
