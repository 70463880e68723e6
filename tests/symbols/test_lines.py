"""Source lines and inlined functions, against addr2line of binutils."""

import pytest

from rvperf.symbols import Symbols
from rvperf.symbols.demangle import demangle
from tests.symbols.programs import HERE, compiled, output, tool

BARE = ("-nostdlib", "-static", "-ffreestanding")


def addr2line(path: str, addresses) -> list[list[tuple[str, str, str]]]:
    """What it says of each address: (function, file, line) innermost first."""
    asked = "".join(f"{address:#x}\n" for address in addresses)
    found = []
    lines = iter(output(tool("addr2line"), "-a", "-i", "-f", "-e", path, text=asked).splitlines())
    for line in lines:
        if line.startswith("0x"):
            found.append([])
            continue
        place = next(lines).split(" (discriminator")[0]
        file, _, number = place.rpartition(":")
        found[-1].append((demangle(line.encode()), file, number))
    return found


def same_as_addr2line(path: str):
    dso = Symbols(buildid_dir="/nonexistent").dso(path)
    text = dso.elf.section(b".text")
    addresses = range(text.sh_addr, text.sh_addr + text.sh_size, 2)
    ours = []
    for address in addresses:
        lines = dso.lines(address - dso.text_offset)
        ours.append(
            [
                (at.function or "??", "??" if at.file is None else at.file, str(at.line or "?"))
                for at in lines
            ]
        )
    theirs = addr2line(path, addresses)
    assert list(zip(addresses, ours, strict=True)) == list(zip(addresses, theirs, strict=True))
    return ours


@pytest.mark.parametrize(
    "options",
    [
        "-O2 -gdwarf-2",
        "-O2 -gdwarf-4",
        "-O2 -gdwarf-5",
        "-O2 -gdwarf-5 -gz",
        "-O3 -gdwarf-4 -gz=zlib-gnu -ffunction-sections",
        "-O0 -g -march=rv64g -mno-relax",
        "-O2 -g -flto",
        "-Os -g3 -ffunction-sections -Wl,--gc-sections",
        "-O2 -gdwarf-4 -fdebug-types-section",
    ],
)
def test_c_lines_are_those_of_addr2line(options):
    found = same_as_addr2line(compiled("deep.c", *BARE, *options.split()))
    assert any(function == "leaf" for [*_, (function, _, _)] in found)


def test_cplusplus_lines_and_inlined_functions_are_those_of_addr2line():
    found = same_as_addr2line(compiled("words.cc", "-O2", "-g", compiler="g++"))
    assert max(map(len, found)) > 3


def test_without_debugging_data_there_is_the_symbol():
    dso = Symbols(buildid_dir="/nonexistent").dso(compiled("deep.c", *BARE, "-O2"))
    [fib] = dso.named("fib")
    [line] = dso.lines(fib.start + 2)
    assert (line.function, line.file, line.line) == ("fib", "deep.c", 0)


def test_source_lines_come_from_the_file():
    dso = Symbols(buildid_dir="/nonexistent").dso(compiled("deep.c", *BARE, "-O2", "-g"))
    line = dso.lines(dso.named("leaf")[0].start)[0]
    first = dso.source(line.file, 1, 1)
    assert first == (HERE / "deep.c").read_text().split("\n")[:1]
    assert dso.source("/nonexistent.c", 1, 2) is None
