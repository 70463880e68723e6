"""The print fmt of tracepoints; tests/cli/test_script.py compares whole ones with perf's."""

import pytest

from rvperf.perfdata.trace_format import Printer
from tests.render.scripted import tracepoint

DATA = bytes(8) + (7).to_bytes(4, "little") + b"name\0\0\0\0" + (2**64 - 1).to_bytes(8, "little")


def printed(fmt: str, resolve=None) -> str:
    fields = "int a @8+4s\nchar b[8] @12+8\nunsigned long l @20+8"
    return Printer(tracepoint("x", 1, fields, fmt), resolve)(DATA)


@pytest.mark.parametrize(
    "fmt, text",
    [
        ('"a=%d", REC->a', "a=7"),
        ('"%04x|%-6s|%.2s"  "%u", REC->a, REC->b, REC->b, 3', "0007|name  |na3"),
        ('"%d", REC->a << 2 | 1', "29"),
        ('"%lld %d", REC->l, REC->l', "-1 -1"),
        ('"%d", REC->a == 7 && !(REC->a > 8) ? 1 + 2 * 3 : 0', "7"),
        ('"%s", __print_symbolic(REC->a, { 6, "six" }, { 7, "seven" })', "seven"),
        ('"%s", __print_symbolic(REC->a, { 6, "six" })', "0x7"),
        ('"%s", __print_flags(REC->a, "+", { 1, "A" }, { 2, "B" })', "A+B+0x4"),
        ('"%*d", 5, REC->a', "    7"),
        ('"%pS", REC->a', "f+0x2"),
        ('"%d%%", REC->a', "7%"),
        ('"%#x %#x", REC->a, 0', "0x7 0"),
        ('"%d", f(REC->a)', "[FAILED TO PARSE] a=7 b=name l=0xffffffffffffffff"),
        ('"%d"', "[FAILED TO PARSE] a=7 b=name l=0xffffffffffffffff"),
        ('"%d", ' + "(" * 5000, "[FAILED TO PARSE] a=7 b=name l=0xffffffffffffffff"),
    ],
)
def test_a_print_fmt_prints(fmt, text):
    assert printed(fmt, lambda address: ("f", 5)) == text


def test_data_that_ends_too_early_print_as_zeros():
    assert Printer(tracepoint("x", 1, "int a @8+4s", '"%d", REC->a'))(bytes(9)) == "0"
