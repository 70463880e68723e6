"""What can't be run is refused with one line that says why."""

import errno
import random

import pytest

from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.stack.kernel import Kernel, LoadError, resolve_program

from .elves import BASE, CODE, header, program, segment, write


def start(name, sysroot=None, cwd=None):
    return Kernel(Hart(Ram(64 << 20)), [name], {}, cwd=cwd, sysroot=sysroot)


def test_minimal_program_is_accepted(tmp_path):
    kernel = start(write(tmp_path / "a", program()))
    assert kernel.entry == BASE + 120
    assert kernel.current.memory.read(kernel.entry, 8) == CODE


GOOD = program()
HUGE = 1 << 63
BAD = {
    "empty": (b"", "not an ELF file"),
    "text": (b"hello\n", "not an ELF file"),
    "magic only": (GOOD[:4], "truncated within the ELF header"),
    "half a header": (GOOD[:40], "truncated within the ELF header"),
    "32-bit": (program(bits=1), "32-bit"),
    "big-endian": (program(order=2), "big-endian"),
    "no class": (program(bits=0), "unknown class"),
    "x86-64": (program(machine=62), "built for x86-64"),
    "aarch64": (program(machine=183), "built for AArch64"),
    "unknown machine": (program(machine=999), "built for machine 999"),
    "object file": (program(type=1), "object file"),
    "core dump": (program(type=4), "core dump"),
    "no type": (program(type=0), "of no type"),
    "no program headers": (program(phnum=0), "no program headers"),
    "too many program headers": (program(phnum=65535), "65535 program headers"),
    "odd program headers": (program(phentsize=32), "program headers of 32 bytes"),
    "program headers past the end": (program(phoff=1 << 40), "truncated within the program"),
    "program headers at the last address": (program(phoff=(1 << 64) - 1), "truncated within"),
    "half a program header": (GOOD[:100], "truncated within the program headers"),
    "half a segment": (GOOD[:124], "truncated within a segment"),
    "segment past the end": (program([segment(offset=1 << 20)]), "truncated within a segment"),
    "segment at the last offset": (
        program([segment(offset=HUGE, address=0, file_size=HUGE)]),
        "outside the address space",
    ),
    "larger in the file": (program([segment(file_size=128, size=64)]), "larger in the file"),
    "outside the address space": (program([segment(address=1 << 38)]), "outside the address"),
    "larger than the address space": (program([segment(size=1 << 39)]), "outside the address"),
    "wraps around": (program([segment(address=(1 << 64) - 4096)]), "outside the address"),
    "crooked": (program([segment(address=BASE + 4)]), "disagree within the page"),
    "overlapping": (
        program([segment(), segment(address=BASE, file_size=64)]),
        "overlapping segments",
    ),
    "nothing to load": (program([segment(kind=4)]), "nothing to load"),
    "all of size 0": (program([segment(file_size=0)]), "nothing to load"),
    "interpreter without a name": (program([segment(kind=3, file_size=0)]), "malformed"),
    "interpreter without an end": (
        program([segment(kind=3, offset=64, file_size=61)]),
        "malformed",
    ),
    "interpreter past the end": (program([segment(kind=3, offset=999999, file_size=9)]), "trunc"),
    "script without an interpreter": (b"#! \n", "no interpreter after #!"),
}


@pytest.mark.parametrize("data, why", BAD.values(), ids=BAD)
def test_bad_program_is_refused(tmp_path, data, why):
    name = write(tmp_path / "a", data)
    with pytest.raises(LoadError) as caught:
        start(name)
    assert why in caught.value.message
    assert caught.value.message.startswith(name)
    assert "\n" not in caught.value.message
    assert caught.value.errno in (errno.ENOEXEC, errno.ENOMEM)


def test_truncated_anywhere_it_is_refused(tmp_path):
    for length in range(len(GOOD)):
        with pytest.raises(LoadError) as caught:
            start(write(tmp_path / "a", GOOD[:length]))
        assert caught.value.errno == errno.ENOEXEC


def test_missing_interpreter_is_named(tmp_path):
    text = b"/lib/ld-nowhere.so\0"
    data = program(
        [segment(), segment(kind=3, offset=64 + 112 + len(CODE), file_size=len(text))],
        tail=CODE + text,
    )
    data = data.replace(segment(), segment(file_size=len(data)))
    with pytest.raises(LoadError, match="/lib/ld-nowhere.so does not exist") as caught:
        start(write(tmp_path / "a", data))
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    "make, number",
    [
        (lambda path: path.mkdir(), errno.EACCES),
        (lambda path: write(path, GOOD, mode=0o644), errno.EACCES),
        (lambda path: None, errno.ENOENT),
        (lambda path: path.symlink_to(path), errno.ELOOP),
    ],
    ids=["a directory", "no execute bit", "missing", "a link to itself"],
)
def test_what_is_no_program_is_refused(tmp_path, make, number):
    make(tmp_path / "a")
    with pytest.raises(LoadError) as caught:
        start(str(tmp_path / "a"))
    assert caught.value.errno == number


def test_scripts_nest_four_deep_at_most(tmp_path):
    write(tmp_path / "0", GOOD)
    for depth in range(1, 6):
        write(tmp_path / str(depth), f"#!{tmp_path}/{depth - 1} x\n".encode())
    assert start(str(tmp_path / "4")).entry == BASE + 120
    with pytest.raises(LoadError, match="too many interpreters") as caught:
        start(str(tmp_path / "5"))
    assert caught.value.errno == errno.ELOOP


def test_script_passes_its_argument_and_itself(tmp_path):
    write(tmp_path / "program", GOOD)
    script = write(tmp_path / "script", f"#! {tmp_path}/program  -a b \n".encode())
    kernel = start(script)
    low, high = kernel.current.memory.arguments
    words = kernel.current.memory.read(low, high - low).split(b"\0")
    assert words == [f"{tmp_path}/program".encode(), b"-a b", script.encode(), b""]


def test_a_name_is_looked_up_in_the_path_of_the_sysroot(tmp_path):
    (tmp_path / "usr/bin").mkdir(parents=True)
    write(tmp_path / "usr/bin/there", GOOD)
    write(tmp_path / "usr/bin/data", GOOD, mode=0o644)
    assert resolve_program("there", "/bin:/usr/bin", str(tmp_path)) == "/usr/bin/there"
    assert resolve_program("./there", "/usr/bin", str(tmp_path)) == "./there"
    with pytest.raises(LoadError, match="not found in the PATH of"):
        resolve_program("sh", "/bin:/usr/bin", str(tmp_path))
    with pytest.raises(LoadError, match="not executable"):
        resolve_program("data", "/usr/bin", str(tmp_path))


def test_zeros_follow_what_the_file_gives(tmp_path):
    data = program([segment(flags=6, file_size=128, size=3 * 4096)], tail=CODE + b"\xff" * 8000)
    kernel = start(write(tmp_path / "a", data))
    memory = kernel.current.memory
    assert memory.read(BASE + 120, 8) == CODE
    assert memory.read(BASE + 128, 3 * 4096 - 128) == bytes(3 * 4096 - 128)


def test_headers_alone_are_no_program(tmp_path):
    with pytest.raises(LoadError, match="truncated within the program headers"):
        start(write(tmp_path / "a", header()))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_programs_are_loaded_or_refused(tmp_path, seed):
    choose = random.Random(seed)
    text = b"/lib/ld-nowhere.so\0"
    good = program(
        [
            segment(file_size=400),
            segment(flags=6, offset=400, address=BASE + 4096 + 400, file_size=100, size=9000),
            segment(kind=3, offset=64 + 3 * 56, file_size=len(text))
            if seed % 2
            else segment(kind=4),
        ],
        tail=text + bytes(400),
    )
    hart = Hart(Ram(64 << 20))
    loaded = 0
    for step in range(250):
        data = bytearray(good)
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(64 + 3 * 56)
            if choose.random() < 0.5:
                data[at] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
            else:
                at &= ~7
                data[at : at + 8] = (choose.getrandbits(64) >> choose.randrange(64)).to_bytes(
                    8, "little"
                )
        if choose.random() < 0.2:
            del data[choose.randrange(len(data)) :]
        name = write(tmp_path / f"{step}", bytes(data))
        try:
            kernel = Kernel(hart, [name], {}, cwd=str(tmp_path))
        except LoadError as error:
            assert "\n" not in error.message and error.errno > 0
            continue
        loaded += 1
        kernel.close()
    assert loaded > 5 or seed % 2
