"""A perf.data of another machine: what can be shown is, and for the rest there is one line."""

import re
import sys
from pathlib import Path

import pytest

from rvperf.cli import main
from rvperf.perfdata import records
from rvperf.perfdata.records import Registers, SampleId, sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer
from tests.oracles.perf import perf
from tests.perfdata import files


def write(path, extra="", **fields):
    """Samples in this Python's own program, as an x86-64 would have them."""
    attr = files.cycles(extra, sample_regs_user=(1 << 17) - 1 if "REGS" in extra else 0)
    encode = sample_encoder(attr)
    program = str(Path(sys.executable).resolve())
    with Writer(path, [EventSpec(attr, "cycles:u", (1,))], files.KNOWN | {"ARCH": "x86_64"}) as out:
        who = SampleId(10, 10, 100, 1)
        mapped = records.Mmap2(
            10, 10, 0x400000, 1 << 30, 0, prot=5, flags=2, filename=program,
            misc=records.USER, sample_id=who,
        )  # fmt: skip
        comm = records.Comm(10, 10, "py", misc=records.MISC_COMM_EXEC, sample_id=who)
        out.write(comm.encode(attr))
        out.write(mapped.encode(attr))
        for n in range(64):
            out.write(encode(id=1, pid=10, tid=10, time=200 + n, ip=0x401000 + 0x40 * n, period=1,
                             **fields))  # fmt: skip
    return str(path)


@pytest.mark.parametrize("words", [["report", "--stdio"], ["script"], ["report", "--header-only"]])
def test_what_needs_no_code_is_as_perf_has_it(tmp_path, capsys, words):
    file = write(tmp_path / "a")
    assert main([*words, "-i", file]) == 0
    tip = re.compile(r"# \(Tip: .*\)\n")
    ours, theirs = capsys.readouterr().out, perf(*words, "-i", file).stdout
    assert tip.sub("", ours) == tip.sub("", theirs)


def test_foreign_code_is_not_disassembled(tmp_path, capsys):
    file = write(tmp_path / "a")
    main(["annotate", "--stdio", "-i", file])
    said = capsys.readouterr()
    assert said.out == ""
    reasons = {line for line in said.err.splitlines() if line.startswith("/")}
    if "Couldn't annotate" in said.err:  # the program has symbols
        assert reasons and all(line.endswith("its code is not riscv64's") for line in reasons)
    assert "Traceback" not in said.err


def test_foreign_registers_are_not_unwound(tmp_path, capsys):
    stack = {"stack": bytes(64), "regs_user": Registers(2, [0x401000] * 17), "callchain": ()}
    file = write(tmp_path / "a", "CALLCHAIN|REGS_USER|STACK_USER", **stack)
    assert main(["script", "-F", "ip", "-i", file]) == 0
    assert capsys.readouterr().out.split() == []
