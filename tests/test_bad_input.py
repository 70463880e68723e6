"""Whatever is run, and wherever: perf's message and status, the counts so far, no traceback."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.oracles.perf import perf
from tests.stack import elves
from tests.subject import command, counted, rvperf

SAMPLES = Path(__file__).parent.parent / "samples"
HELLO = SAMPLES / "hello"
EXIT = "li a7, 93\n li a0, 0\n ecall\n"


def stat(*words, **how):
    """Run it; whatever happens there is no traceback."""
    done = rvperf("stat", *words, **how)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


# What can't be started.


def refused(number, path, why):
    return f"Workload failed: {os.strerror(number)}\n{path}: {why}\n"


def test_truncated_at_any_boundary_of_its_headers(tmp_path):
    whole = HELLO.read_bytes()
    count = int.from_bytes(whole[56:58], "little")
    table_end = 64 + 56 * count
    boundaries = {
        0: "not an ELF file",
        3: "not an ELF file",
        4: "truncated within the ELF header",
        5: "truncated within the ELF header",
        16: "truncated within the ELF header",
        63: "truncated within the ELF header",
        64: "truncated within the program headers",
        64 + 56: "truncated within the program headers",
        table_end - 1: "truncated within the program headers",
        table_end: "truncated within a segment",
    }
    for length, why in boundaries.items():
        path = tmp_path / f"{length}"
        elves.write(path, whole[:length])
        done = stat("--", path)
        assert done.stderr.decode() == refused(errno.ENOEXEC, path, why), length
        assert (done.stdout, done.returncode) == (b"", 255)


SEGMENT = elves.segment()
REFUSED = {
    "text": (b"echo hello\n", errno.ENOEXEC, "not an ELF file"),
    "x86-64": (
        elves.program(machine=62),
        errno.ENOEXEC,
        "built for x86-64, not for riscv64",
    ),
    "32-bit": (
        elves.program(bits=1),
        errno.ENOEXEC,
        "a 32-bit ELF file; only 64-bit programs can be run",
    ),
    "overlapping": (
        elves.program([SEGMENT, SEGMENT]),
        errno.ENOEXEC,
        "overlapping segments",
    ),
    "absurd": (
        elves.program([elves.segment(address=1 << 63)]),
        errno.ENOMEM,
        "a segment outside the address space",
    ),
}


@pytest.mark.parametrize("data, number, why", REFUSED.values(), ids=REFUSED)
def test_what_is_no_riscv64_program(tmp_path, data, number, why):
    path = tmp_path / "it"
    elves.write(path, data)
    done = stat("--", path)
    assert done.stderr.decode() == refused(number, path, why)
    assert (done.stdout, done.returncode) == (b"", 255)


def test_a_missing_interpreter_is_named_and_the_sysroot_suggested(tmp_path):
    name = b"/lib/ld-nowhere.so\0"
    at = 64 + 2 * 56
    interpreter = elves.segment(kind=3, offset=at, file_size=len(name))
    loaded = elves.segment(file_size=at + len(name))
    path = tmp_path / "it"
    elves.write(path, elves.program([loaded, interpreter], name))
    done = stat("--", path)
    why = "its interpreter /lib/ld-nowhere.so does not exist; is --sysroot needed?"
    assert done.stderr.decode() == refused(errno.ENOENT, path, why)


@pytest.mark.parametrize("kind", ["missing", "directory", "not executable", "in no PATH"])
def test_perf_says_the_same_of_what_it_cannot_start(kind, tmp_path):
    path = tmp_path / "it"
    if kind == "directory":
        path.mkdir()
    elif kind == "not executable":
        path.touch(0o644)
    words = ["stat", "-e", "task-clock", "--", "no-such-name" if kind == "in no PATH" else path]
    ours, theirs = stat(*words[1:]), perf(*map(str, words))
    first, second, *more = ours.stderr.decode().splitlines()
    assert (ours.returncode, first) == (theirs.returncode, theirs.stderr.strip())
    assert second.startswith(str(words[-1])) and not more


def test_a_sysroot_that_is_none(tmp_path):
    plain = tmp_path / "file"
    plain.touch()
    for sysroot, why in ((plain, "Not a directory"), (tmp_path / "x", "No such file or directory")):
        env = {**os.environ, "RVPERF_SYSROOT": str(sysroot)}
        for done in (stat("--sysroot", sysroot, "--", "ls"), stat("--", "ls", env=env)):
            message = f"Workload failed: {why}\n{sysroot}, the sysroot: {why}\n"
            assert (done.returncode, done.stderr.decode()) == (255, message)


def test_a_working_directory_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
    words = ["sh", "-c", script, str(gone), *command(), "stat", "--", str(HELLO)]
    done = subprocess.run(words, capture_output=True)
    why = "No such file or directory"
    message = f"Workload failed: {why}\nthe working directory: {why}\n"
    assert (done.returncode, done.stderr.decode()) == (255, message)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
def test_a_working_directory_that_may_not_be_read(tmp_path):
    tmp_path.chmod(0o100)
    done = stat("-x,", "--", HELLO, cwd=tmp_path)
    assert (done.stdout, done.returncode) == (b"hello\n", 0)


# What goes wrong while it runs. Each prints "hi" and then fails: instructions up to there count.

HI = "la a1, text\n li a0, 1\n li a2, 3\n li a7, 64\n ecall\n"
TEXT = "\ntext: .word 0x0a6968\n"
WRONG = {
    "illegal instruction": ("SIGILL", ".word 0xffffffff"),
    "instruction of zeros": ("SIGILL", ".word 0"),
    "machine's CSR": ("SIGILL", "csrrw a0, mstatus, a1"),
    "sret": ("SIGILL", "sret"),
    "breakpoint": ("SIGTRAP", "ebreak"),
    "wild jump": ("SIGSEGV", "li t0, 0x7fff0000\n jr t0"),
    "jump past the user's half": ("SIGSEGV", "li t0, -4096\n jr t0"),
    "wild load": ("SIGSEGV", "li t0, 8\n ld t0, 0(t0)"),
    "wild store": ("SIGSEGV", "li t0, 0x3fffffffff000000\n sd t0, 0(t0)"),
    "store to the kernel": ("SIGSEGV", "li t0, -8\n sd t0, 0(t0)"),
    "atomic across words": ("SIGBUS", "addi t0, sp, 2\n amoadd.w t1, t1, (t0)"),
    "stack overflow": ("SIGSEGV", "deeper: addi sp, sp, -2032\n sd ra, 0(sp)\n j deeper"),
    "end of the code": ("SIGILL", "nop\n nop"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_program_that_goes_wrong_is_counted_up_to_there(name, tmp_path):
    ending, text = WRONG[name]
    path = elves.build(tmp_path / "it", f"{HI}{text}\n.word 0\n{TEXT}")
    counts = {}
    for engine in ("native", "reference") if name != "stack overflow" else ("native",):
        done = stat("--engine", engine, "-x,", "-e", "instructions:u", "--", path)
        first, csv = done.stderr.decode().split("\n", 1)
        assert first == f"{path}: {signal.strsignal(getattr(signal, ending))}"
        assert (done.stdout, done.returncode) == (b"hi\n", 0)
        counts[engine] = counted(csv)["instructions:u"]
    assert len(set(counts.values())) == 1 and counts["native"] >= 6


def test_unaligned_access_works(tmp_path):
    body = "la t0, text\n li t1, 0x30\n sb t1, 1(t0)\n lw t2, 1(t0)\n sd t2, 5(t0)\n" + EXIT
    done = stat("--", elves.build(tmp_path / "it", f"{HI}{body}{TEXT}.dword 0\n"))
    assert (done.stdout, done.returncode) == (b"hi\n", 0)


FOREVER = f"{HI}forever: j forever\n{TEXT}"


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_interrupt_ends_an_endless_loop_and_shows_the_counts(engine, tmp_path):
    path = elves.build(tmp_path / "it", FOREVER)
    words = [*command(), "stat", "--engine", engine, "-e", "instructions:u", "--", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, start_new_session=True) as running:
        guard = threading.Timer(60, running.kill)
        guard.start()
        assert running.stdout.read(3) == b"hi\n"
        time.sleep(0.3)
        os.killpg(running.pid, signal.SIGINT)
        _, text = running.communicate()
        guard.cancel()
    text = text.decode()
    assert text.startswith(f"{path}: Interrupt\n\n Performance counter stats for '{path}':\n")
    assert re.search(r"[1-9][\d,]* +instructions:u", text) and "Traceback" not in text
    assert running.returncode == -signal.SIGINT


def test_timeout_ends_an_endless_loop_at_its_time(tmp_path):
    path = elves.build(tmp_path / "it", FOREVER)
    words = ["--timeout", "10", "-x,", "-e", "duration_time,instructions:u", "--", path]
    first, second = stat(*words), stat(*words)
    message, csv = first.stderr.decode().split("\n", 1)
    counts = counted(csv)
    assert message == f"{path}: Terminated"
    assert 10_000_000 <= counts["duration_time"] < 10_100_000
    assert 9_000_000 < counts["instructions:u"] < 10_100_000
    assert (first.stdout, first.returncode) == (b"hi\n", 0)
    assert (first.stderr, first.stdout) == (second.stderr, second.stdout)


# Where things come from and go to.


def test_a_full_disk_for_the_counts():
    words = ["-e", "task-clock", "-o", "/dev/full", "--"]
    ours, theirs = stat(*words, HELLO), perf("stat", *words, "true")
    first, rest = ours.stderr.decode().split("\n", 1)
    assert first == "failed to write /dev/full: No space left on device"
    assert f"Performance counter stats for '{HELLO}'" in rest and "task-clock" in rest
    assert (ours.stdout, ours.returncode) == (b"hello\n", 255)
    assert theirs.returncode == 0  # perf loses the counts and says nothing


def test_a_full_disk_for_the_program(tmp_path):
    code = f"{HI} neg a0, a0\n li a7, 93\n ecall\n{TEXT}"
    path = elves.build(tmp_path / "it", code)
    with open("/dev/full", "wb") as full:
        words = [*command(), "stat", "-x,", "-e", "cs", "--", str(path)]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == errno.ENOSPC
    assert counted(done.stderr.decode()) == {"cs": 0}


def test_closed_descriptors_are_closed_for_the_program(tmp_path):
    # Writes to 0, 1 and 2; its status has a bit for each that failed.
    code = "li s0, 0\n li s1, 0\n la a1, text\nnext: mv a0, s1\n li a2, 3\n li a7, 64\n ecall\n"
    code += "srli a0, a0, 63\n sll a0, a0, s1\n or s0, s0, a0\n addi s1, s1, 1\n li t0, 3\n"
    code += f"bne s1, t0, next\n mv a0, s0\n li a7, 93\n ecall\n{TEXT}"
    path = elves.build(tmp_path / "it", code)
    words = [*command(), "stat", "-x,", "-e", "cs", "--", str(path)]
    for closed in range(8):
        redirections = " ".join(f"{n}>&-" if closed >> n & 1 else f"{n}>>out" for n in range(3))
        line = f'exec "$@" {redirections}'
        done = subprocess.run(["sh", "-c", line, "sh", *words], cwd=tmp_path)
        assert done.returncode == closed, redirections


# The cache.


@pytest.fixture(scope="module")
def tier0(tmp_path_factory):
    """A cache directory with what a first run leaves there."""
    path = tmp_path_factory.mktemp("cache")
    stat("--", HELLO, env={**os.environ, "XDG_CACHE_HOME": str(path)})
    assert list((path / "rvperf").iterdir())
    return path


def test_spoilt_cache_files_are_made_anew(tier0, tmp_path):
    loop = SAMPLES / "loop"
    words = ["-x,", "-e", "instructions:u,cycles", "--", loop]
    env = {**os.environ, "XDG_CACHE_HOME": str(tier0)}
    expected = stat(*words, env=env)
    deadline = time.monotonic() + 60
    while not list((tier0 / "rvperf").glob("regions-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    files = [path for path in (tier0 / "rvperf").iterdir() if "-" in path.name]
    whole = {path: path.read_bytes() for path in files}
    assert len(whole) == 2
    for spoil in (
        lambda data: b"",
        lambda data: b"[]\n",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"\0" * len(data),
    ):
        for path, data in whole.items():
            path.write_bytes(spoil(data))
        done = stat(*words, env=env)
        assert (done.stdout, done.stderr) == (expected.stdout, expected.stderr)


def test_a_cache_that_others_could_write_is_not_used(tmp_path):
    cache = tmp_path / "rvperf"
    cache.mkdir()
    cache.chmod(0o777)
    done = stat("-x,", "--", HELLO, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    assert (done.stdout, done.returncode) == (b"hello\n", 0)
    assert not list(cache.iterdir())


def test_two_at_once_share_an_empty_cache(tmp_path):
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    words = [*command(), "stat", "-x,", "--", str(SAMPLES / "sieve")]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe) for _ in range(2)]
    results = [(*process.communicate(), process.returncode) for process in both]
    assert results[0] == results[1] and results[0][2] == 0 and b"Trace" not in results[0][1]
    names = [path.name for path in (tmp_path / "rvperf").glob("tier0-*")]
    assert len(names) == 1


def test_what_lies_in_the_working_directory_is_not_imported(tmp_path):
    for module in ("pickle", "queue", "llvmlite", "rvperf", "json"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('imported')\n")
    words = [str(Path(sys.executable).with_name("rvperf"))]
    if not Path(words[0]).exists():
        pytest.skip("the rvperf command isn't installed")
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words += ["stat", "--", str(SAMPLES / "loop")]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0 and b"imported" not in done.stderr
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cache").glob("*/regions-*")):
        assert time.monotonic() < deadline, "the compiling process has kept nothing"
        time.sleep(0.1)
