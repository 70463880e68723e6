"""Where a DSO's symbols come from, and what is said when there are none."""

import shutil
import subprocess

import numpy as np
import pytest

from rvperf.symbols import Symbols
from tests.oracles import perfdata
from tests.symbols import fuzz
from tests.symbols.programs import compiled, tool
from tests.symbols.test_table import same_as_perf

BARE = ("-nostdlib", "-static", "-ffreestanding", "-O2", "-Wl,--build-id=sha1")
NONE = "/nonexistent"


def split(tmp_path, *, link=True):
    """A program that was stripped, and the file with its symbols, in a directory of their own."""
    whole = compiled("deep.c", *BARE, "-g")
    debug, program = tmp_path / "it.debug", tmp_path / "it"
    subprocess.run([tool("objcopy"), "--only-keep-debug", whole, debug], check=True)
    subprocess.run([tool("objcopy"), "--strip-all", whole, program], check=True)
    if link:
        subprocess.run([tool("objcopy"), f"--add-gnu-debuglink={debug}", program], check=True)
    return program, debug


def test_a_missing_file_is_said_to_be_missing():
    dso = Symbols(buildid_dir=NONE).dso("/nonexistent/file")
    assert dso.why == "/nonexistent/file: No such file or directory"
    assert dso.symbol(0) is None and dso.lines(0) == [] and dso.disassemble(0, 8) == []


def test_a_stripped_file_is_said_to_be_stripped(tmp_path):
    program, debug = split(tmp_path, link=False)
    assert Symbols(buildid_dir=NONE).dso(str(program)).why == (
        f"{program}: it is stripped of its symbols"
    )


def test_what_is_no_elf_file_is_said_to_be_none(tmp_path):
    (tmp_path / "it").write_text("#!/bin/sh\n")
    assert Symbols(buildid_dir=NONE).dso(str(tmp_path / "it")).why == (
        f"{tmp_path}/it: not an ELF file"
    )


def test_a_file_with_another_build_id_is_refused_and_both_are_named():
    path = compiled("deep.c", *BARE)
    real = Symbols(buildid_dir=NONE).dso(path).build_id
    dso = Symbols(buildid_dir=NONE).dso(path, bytes(20))
    assert dso.why == f"{path}: has the build-id {real.hex()}, not {bytes(20).hex()}"
    assert Symbols(buildid_dir=NONE).dso(path, real).why is None


def test_a_debuglink_is_followed_and_lines_come_from_there(tmp_path):
    program, debug = split(tmp_path)
    dso = Symbols(buildid_dir=NONE).dso(str(program))
    assert dso.symbol_file == str(debug)
    [fib] = dso.named("fib")
    assert dso.lines(fib.start)[0].file.endswith("deep.c")
    assert dso.disassemble(fib.start, fib.end)
    same_as_perf(str(program))


def test_the_build_id_cache_has_symbols_of_a_file_that_is_gone(tmp_path):
    path = compiled("deep.c", *BARE)
    build_id = Symbols(buildid_dir=NONE).dso(path).build_id
    place = tmp_path / ".build-id" / build_id.hex()[:2] / build_id.hex()[2:]
    place.mkdir(parents=True)
    shutil.copy(path, place / "elf")
    dso = Symbols(buildid_dir=str(tmp_path)).dso("/gone", build_id)
    assert dso.named("fib") and dso.why is None


def test_debugging_files_are_found_by_build_id_below_the_sysroot(tmp_path):
    program, debug = split(tmp_path, link=False)
    name = Symbols(buildid_dir=NONE).dso(str(program)).build_id.hex()
    place = tmp_path / "root/usr/lib/debug/.build-id" / name[:2]
    place.mkdir(parents=True)
    debug.rename(place / f"{name[2:]}.debug")
    program.rename(tmp_path / "root/it")
    dso = Symbols(symfs=str(tmp_path / "root"), buildid_dir=NONE).dso("/it")
    assert dso.named("fib")
    assert dso.symbol_file == str(place / f"{name[2:]}.debug")


def test_kernel_symbols_come_from_kallsyms():
    text = "ffffffff80000000 T _text\nffffffff80001000 t do_trap\nffffffff80001000 T handle_it\n"
    text += "ffffffff80002000 a nothing\nffffffff80003000 T last\nffffffff90000000 t m\t[mod]\n"
    dso = Symbols(buildid_dir=NONE, kallsyms=text).dso("[kernel.kallsyms]", kind="kernel")
    assert dso.symbol(0xFFFFFFFF80000FFF).name == "_text"
    assert dso.symbol(0xFFFFFFFF80001001).name == "handle_it"  # global before local
    assert dso.symbol(0xFFFFFFFF80003FFF).name == "last"
    assert dso.symbol(0x10) is None
    assert dso.identity and dso.why is None
    nothing = Symbols(buildid_dir=NONE).dso("[kernel.kallsyms]", kind="kernel")
    assert nothing.why == "[kernel.kallsyms]: there is no kallsyms with the kernel's symbols"


@pytest.mark.parametrize("name", ["[heap]", "[stack]", "//anon"])
def test_memory_without_a_file_has_no_symbols(name):
    dso = Symbols(buildid_dir=NONE).dso(name)
    assert dso.identity and dso.why == f"{name}: this memory is not mapped from a file"


def test_many_addresses_at_once_are_what_they_are_one_by_one():
    dso = Symbols(buildid_dir=NONE).dso(compiled("deep.c", *BARE))
    addresses = np.arange(0, 0x3000, 7)
    found = [dso.symbol_at(n) if n >= 0 else None for n in dso.symbols_of(addresses)]
    assert found == [dso.symbol(int(address)) for address in addresses]


@pytest.mark.parametrize("options", ["-O2 -g", "-O0 -static", "-O2 -no-pie"])
def test_cplusplus_symbols_are_those_that_perf_finds(options):
    same_as_perf(compiled("words.cc", *options.split(), compiler="g++"))


def test_names_in_the_plt_are_where_perf_has_them():
    path = compiled("words.cc", "-O2", "-g", compiler="g++")
    dso = Symbols(buildid_dir=NONE).dso(path)
    stubs = [symbol for symbol in dso.symbols if symbol.name.endswith("@plt")]
    assert stubs
    theirs = perfdata.symbols(path, [symbol.start for symbol in stubs])
    assert theirs == [(symbol.name, 0) for symbol in stubs]


def test_names_stay_as_they_are_where_that_is_wished():
    path = compiled("words.cc", "-O2", "-g", compiler="g++")
    dso = Symbols(buildid_dir=NONE, demangled=False).dso(path)
    assert [s.name for s in dso.symbols if "named" in s.name] == [s.linkage_name for s in
        dso.symbols if "named" in s.name] != []  # fmt: skip


def test_mutated_files_neither_crash_nor_hang():
    files = [
        compiled("deep.c", *BARE, "-gdwarf-5", "-gz"),
        compiled("deep.c", *BARE, "-gdwarf-4"),
        compiled("words.cc", "-O2", "-g", compiler="g++"),
    ]
    assert fuzz.fuzz_elves(240, files, seed=10_000) == 240
