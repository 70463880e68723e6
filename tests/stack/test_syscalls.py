"""The table of system calls, and what some of them answer."""

import errno
import re
import shutil
import struct
import subprocess

import pytest

from rvperf.stack.kernel import costs
from rvperf.stack.kernel.names import NAMES
from rvperf.stack.kernel.syscalls import TABLE

from .calling import Caller

COMPILER = shutil.which("riscv64-linux-gnu-gcc")


@pytest.fixture
def call(tmp_path):
    return Caller(tmp_path)


@pytest.mark.skipif(not COMPILER, reason="no cross compiler, whose header is the oracle")
def test_numbers_are_those_of_unistd_h():
    source = "#include <asm/unistd.h>\n"
    command = [COMPILER, "-E", "-dM", "-"]
    macros = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    defined = dict(re.findall(r"#define (__NR\w*) (.+)", macros.stdout))

    def value(text):
        while text in defined:
            text = defined[text]
        text = re.sub(r"__NR\w+", lambda name: str(value(name[0])), text.strip("()"))
        return sum(int(part) for part in text.split("+"))

    known = 0
    for number, name in NAMES.items():
        text = defined.get(f"__NR_{name}")
        if text is not None:
            assert value(text) == number, name
            known += 1
    assert known >= 290


def test_every_call_has_its_real_name():
    for number, call in TABLE.items():
        assert NAMES[number] == call.name


def test_every_call_says_what_it_does():
    for call in TABLE.values():
        assert call.handler.__doc__, call.name
        assert len(call.arguments) <= 6


def test_every_cost_belongs_to_a_call():
    assert set(costs.MODELLED) <= {call.name for call in TABLE.values()}


def test_unknown_call_is_enosys_and_named_once(tmp_path, capfd):
    call = Caller(tmp_path, verbose=True)
    for _ in range(2):
        assert call("io_setup", 1, 0) == -errno.ENOSYS
    assert capfd.readouterr().err.count("io_setup") == 1
    quiet = Caller(tmp_path)
    assert quiet("io_setup", 1, 0) == -errno.ENOSYS
    assert capfd.readouterr().err == ""


def test_arguments_are_truncated_as_their_types_say(call):
    assert call("close", (1 << 32) + 77) == -errno.EBADF
    fd = call("openat", 0xFFFFFF9C, ".", 0, 0)  # AT_FDCWD without its upper half
    assert call("close", fd + (7 << 32)) == 0


def test_uname_tells_riscv64(call):
    at = call.room(390)
    assert call("uname", at) == 0
    fields = [call.memory.read(at + 65 * i, 65).rstrip(b"\0") for i in range(6)]
    assert fields[0] == b"Linux" and fields[4] == b"riscv64"


def test_hwprobe_tells_the_extensions_and_no_other(call):
    at = call.put(struct.pack("<qQqQqQ", 4, 0, 99, 5, 6, 0))
    assert call("riscv_hwprobe", at, 3, 0, 0, 0) == 0
    key, value, unknown, nothing, _, block = struct.unpack("<qQqQqQ", call.memory.read(at, 48))
    assert key == 4 and value & 0b111011 == 0b111011 and not value >> 2 & 1  # no V
    assert (unknown, nothing, block) == (-1, 0, 64)


def test_time_is_the_harts(call):
    at = call.room(16)
    assert call("clock_gettime", 1, at) == 0
    before = struct.unpack("<qq", call.memory.read(at, 16))
    assert call("nanosleep", call.put(struct.pack("<qq", 5, 250)), 0) == 0
    at = call.room(16)
    assert call("clock_gettime", 1, at) == 0
    after = struct.unpack("<qq", call.memory.read(at, 16))
    assert after[0] - before[0] == 5
    assert call("clock_gettime", 0, at) == 0
    epoch = struct.unpack("<qq", call.memory.read(at, 16))[0]
    assert epoch == call.kernel.epoch + after[0]


def test_the_same_on_every_run(tmp_path):
    def run():
        call = Caller(tmp_path)
        at = call.room(64)
        call("getrandom", at, 64, 0)
        return call("getpid"), call.memory.read(at, 64), call.hart.cycles, call.memory.auxv

    assert run() == run()


def test_pipe_gives_back_what_was_put_in(call):
    at = call.room(8)
    assert call("pipe2", at, 0o4000) == 0
    reader, writer = struct.unpack("<ii", call.memory.read(at, 8))
    out = call.room(100)
    assert call("read", reader, out, 10) == -errno.EAGAIN
    assert call("write", writer, b"hello", 5) == 5
    out = call.room(100)
    assert call("read", reader, out, 3) == 3
    assert call.memory.read(out, 3) == b"hel"
    assert call("write", writer, call.put(bytes(70000)), 70000) == 65536 - 2
    assert call("write", writer, b"x", 1) == -errno.EAGAIN
    assert call("close", reader) == 0
    call("rt_sigaction", 13, call.put(struct.pack("<QQQ", 1, 0, 0)), 0, 8)
    assert call("write", writer, b"x", 1) == -errno.EPIPE


def test_descriptors_run_out(call):
    at = call.put(struct.pack("<QQ", 10, 20))
    assert call("prlimit64", 0, 7, at, 0) == 0
    numbers = []
    while (fd := call("openat", -100, "/dev/null", 0, 0)) >= 0:
        numbers.append(fd)
    assert fd == -errno.EMFILE and max(numbers) == 9


def test_no_network(call):
    assert call("socket", 2, 1, 0) == -97
    assert call("getpeername", 1, 0, 0) in (-88, -errno.EBADF)


def test_nobody_becomes_somebody_else(call):
    assert call("setuid", call.kernel.uid) == 0
    assert call("setuid", call.kernel.uid + 1) == -errno.EPERM


def test_exit_code_is_eight_bits(call):
    call("exit_group", 0x1FF)
    assert call.kernel.finished and call.kernel.exit.code == 0xFF


def test_statx_and_stat_agree(call):
    at, other = call.room(128), call.room(512) + 128
    call("newfstatat", -100, "program", at, 0)
    raw = call.memory.read(at, 128)
    call.memory.write(other, bytes(256))
    name = call.put("program")
    assert call("statx", -100, name, 0, 0x7FF, other) == 0
    statx = call.memory.read(other, 256)
    assert struct.unpack_from("<Q", raw, 48) == struct.unpack_from("<Q", statx, 40)  # size
    assert struct.unpack_from("<Q", raw, 8) == struct.unpack_from("<Q", statx, 32)  # inode
    assert struct.unpack_from("<I", raw, 16)[0] == struct.unpack_from("<H", statx, 28)[0]  # mode
    assert struct.unpack_from("<QQ", raw, 88) == struct.unpack_from("<qI", statx, 112)  # mtime
