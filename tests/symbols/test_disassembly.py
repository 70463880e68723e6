"""Disassembly, against GNU objdump."""

import re

import pytest

from rvperf.symbols import Symbols
from rvperf.symbols.disassembly import disassemble
from tests.symbols.programs import compiled, output, tool


@pytest.mark.parametrize(
    "source, options",
    [
        ("deep.c", "-O2 -nostdlib -static -ffreestanding"),
        ("deep.c", "-O0 -nostdlib -static -ffreestanding -march=rv64g"),
        ("../../samples/fpround.c", "-O2 -c"),
        ("words.cc", "-O2"),
    ],
)
def test_every_line_is_objdumps(source, options):
    compiler = "g++" if source.endswith(".cc") else "gcc"
    path = compiled(source, *options.split(), compiler=compiler)
    dso = Symbols(buildid_dir="/nonexistent").dso(path)
    text = dso.elf.section(b".text")
    printed = output(tool("objdump"), "-d", "-z", "--no-show-raw-insn", "-j", ".text", path)
    theirs = dict(re.findall(r"^ *([0-9a-f]+):\t(.*?) *$", printed, re.MULTILINE))
    code = dso.disassemble(text.sh_offset, text.sh_offset + text.sh_size)
    relocated = "-c" in options  # where addresses are not known yet
    ours = {f"{line.address:x}": line.text for line in code}
    if relocated:
        theirs, ours = ({n: t.split("\t")[0] for n, t in d.items()} for d in (theirs, ours))
    # objdump knows what dynamic relocations put into slots of the GOT.
    wrong = {n: (ours.get(n), t) for n, t in theirs.items() if ours.get(n) != t}
    assert not {n: pair for n, pair in wrong.items() if "@" not in pair[1]}
    assert theirs.keys() == ours.keys()


@pytest.mark.parametrize(
    "code, text",
    [
        ("0000", "unimp"),
        ("731000c0", "unimp"),
        ("ffffffff", ".4byte\t0xffffffff"),
        ("8280", "ret"),
        ("13050000", "li\ta0,0"),
        ("0f00f00f", "fence"),
        ("0f000001", "fence\tw,unknown"),
        ("01", ".byte\t0x1"),
    ],
)
def test_single_words(code, text):
    assert [line.text for line in disassemble(bytes.fromhex(code), 0)] == [text]
