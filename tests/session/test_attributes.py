"""Options of record become the attributes that perf 6.1 opens for them."""

import re
from pathlib import Path

import pytest

from rvperf.cli.options import parse
from rvperf.cli.record import OPTIONS, check, how_of
from rvperf.perfdata.reader import Reader
from rvperf.perfdata.writer import Writer
from rvperf.render.header import evlist
from rvperf.session.attributes import specs

ATTRIBUTES = Path(__file__).parents[1] / "data" / "perfdata" / "attributes.txt"
"""Options, and below them what `perf record OPTIONS true; perf evlist -v` printed, but for ids,
numbers of tracepoints, masks of registers, and a frequency that a slow host had lowered."""
CASES = dict(
    case.split("\n  ", 1) for case in ATTRIBUTES.read_text(encoding="ascii").strip().split("\n\n")
)
UNLIKE = re.compile(
    r", id = \{[^}]*\}|, sample_regs_user: \w+|(?<=type: 2, size: 128), config: \w+"
    r"|, build_id: 1"  # which is always asked for here
)


@pytest.mark.parametrize("options", CASES)
def test_attributes_are_those_of_perf(options, tmp_path):
    values, _ = parse(OPTIONS, [*options.split(), "./program"])
    Writer(tmp_path / "a", specs(check(values, ["./program"]), how_of(values))).close()
    ours = evlist(Reader(tmp_path / "a"), verbose=True).splitlines()
    assert [UNLIKE.sub("", line) for line in ours if line[0] != "#"] == CASES[options].split("\n  ")
