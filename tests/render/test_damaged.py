"""Damaged recordings: a report of what can be read, or one clear line; never a traceback."""

from random import Random

import pytest

from tests.perfdata.mutants import damaged
from tests.render.profiles import recording
from tests.render.test_report import ours

OPTIONS = (
    (), ("--no-children", "-g", "caller"), ("-s", "srcline,sym"), ("--mem-mode",), ("--truth",),
    ("--stats",), ("--tasks",), ("-T",), ("-s", "trace"), ("--raw-trace",), ("-g", "folded"),
    ("-s", "parent,cpu,time"),
)  # fmt: skip


@pytest.mark.parametrize("kind", ["mixed-chains", "branches", "leader", "tracepoints", "memory"])
def test_reports_of_damaged_files(kind, tmp_path):
    whole = recording(tmp_path / "whole", kind, 60).read_bytes()
    random = Random(kind)
    for options in OPTIONS:
        (tmp_path / "damaged").write_bytes(damaged(whole, random))
        status, out, said = ours(["report", "--stdio", "-i", str(tmp_path / "damaged"), *options])
        assert status in (0, 129, 255) and (out or said)
