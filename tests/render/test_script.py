"""The text of perf script: what comparing with perf (tests/cli/test_script.py) doesn't show."""

from random import Random

import numpy as np
import pytest

from rvperf.perfdata.reader import PerfDataError, Reader
from rvperf.profile.samples import Profile
from rvperf.profile.unwinding import Unwinder
from rvperf.render.raw_trace import RawTrace
from rvperf.render.script import Script, Style
from rvperf.render.script_fields import FIELDS, FieldError, Fields
from rvperf.symbols import Symbols
from tests.perfdata.mutants import damaged
from tests.render import scripted

EVERYTHING = set(FIELDS) - {"synth", "metric", "callindent"}
TOLD = ("task", "mmap", "switch", "namespace", "cgroup", "lost", "bpf")


@pytest.mark.parametrize("kind", [*scripted.KINDS, "dwarf"])
def test_damaged_files_are_shown_as_far_as_they_can_be(tmp_path, kind):
    (scripted.dwarf if kind == "dwarf" else scripted.KINDS[kind])(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for seed in range(5):
        (tmp_path / "damaged").write_bytes(damaged(whole, Random(seed)))
        try:
            reader = Reader(tmp_path / "damaged")
        except PerfDataError:
            continue
        profile = Profile(reader, Symbols(), unwinder=Unwinder())
        fields = Fields()
        try:
            chains = fields.check(reader, True)
        except FieldError:
            chains = False
        for output in fields.outputs:
            output.fields |= EVERYTHING
        style = Style(callchains=chains, show=TOLD)
        assert all(type(text) is str for text in Script(profile, fields, style))
        assert all(type(text) is str for text in RawTrace(profile, Script(profile, fields, style)))


def test_chosen_samples_alone_are_shown(tmp_path):
    scripted.make("one-event", tmp_path / "file")
    profile = Profile(Reader(tmp_path / "file"), Symbols())
    fields = Fields()
    fields.choose("period")
    shown = list(Script(profile, fields, Style(), np.array([1, 3])))
    assert shown == ["      1001 \n", "      1003 \n"]
