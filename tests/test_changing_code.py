"""Programs that write the code that they execute, as JIT compilers do, in every way that Linux has.

Each round writes a function that adds the round's number, and calls it often enough to be compiled;
a stale call would make the sum wrong, which the exit status tells.
"""

import os
import time

import pytest

from tests.stack import elves
from tests.subject import counted, rvperf

PROGRAM = """
    {setup}
    li s0, 0                    # the round
    li s1, 0                    # what the sum should be
    li s2, 0                    # the sum
round:
    {before}
    slli t0, s0, 20
    li t1, 0x00050513           # addi a0, a0, 0
    or t0, t0, t1
    sw t0, 0(s4)
    li t1, 0x00008067           # ret
    sw t1, 4(s4)
    {after}
    li s3, {calls}
    addi a0, s2, 0
again:
    jalr ra, 0(s5)
    addi s3, s3, -1
    bne s3, zero, again
    addi s2, a0, 0
    li t0, {calls}
    mul t0, t0, s0
    add s1, s1, t0
    addi s0, s0, 1
    li t0, {rounds}
    bne s0, t0, round
    sub a0, s2, s1
    sltu a0, zero, a0
    li a7, 93
    ecall
    {data}
"""


def call(name: str, *arguments) -> str:
    """A system call, its arguments numbers or registers."""
    numbers = {"mmap": 222, "munmap": 215, "mprotect": 226, "memfd_create": 279, "ftruncate": 46}
    numbers |= {"riscv_flush_icache": 259, "mremap": 216}
    lines = []
    for n, argument in enumerate(arguments):
        load = f"li a{n}, {argument}" if isinstance(argument, int) else f"addi a{n}, {argument}, 0"
        lines.append(load)
    return "\n".join([*lines, f"li a7, {numbers[name]}", "ecall", ""])


READ, WRITE, EXEC = 1, 2, 4
ANONYMOUS = 0x22  # and private
FIXED = 0x10
AT = 0x2000000
BOTH = f"li s4, {AT}\n addi s5, s4, 0\n"
MAPPED = call("mmap", AT, 8192, READ | WRITE | EXEC, ANONYMOUS | FIXED, -1, 0) + BOTH
MEMFD = (
    "la s6, name\n"
    + call("memfd_create", "s6", 0)
    + "addi s6, a0, 0\n"
    + call("ftruncate", "s6", 8192)
)
SHARED = 1
WRITTEN = call("mmap", 0, 8192, READ | WRITE, SHARED, "s6", 0) + "addi s4, a0, 0\n"
EXECUTED = call("mmap", 0, 8192, READ | EXEC, SHARED, "s6", 0) + "addi s5, a0, 0\n"
NAME = "name: .dword 0x74696a"

WAYS = {
    "in place": {"setup": "la s4, code\n la s5, code\n", "data": "code: .zero 8"},
    "in the program itself, across a page": {
        "setup": f"li s4, {elves.BASE + 0x1FFE}\n addi s5, s4, 0\n"
    },
    "mapped, across a page": {"setup": f"{MAPPED} li s4, {AT + 4094}\n"
                                                 f" addi s5, s4, 0\n"},
    "two mappings": {"setup": MEMFD + WRITTEN + EXECUTED, "data": NAME},
    "two mappings, flushed by the kernel": {
        "setup": MEMFD + WRITTEN + EXECUTED,
        "data": NAME,
        "after": call("riscv_flush_icache", "s5", "s5", 0),
    },
    "unmapped and mapped again": {
        "before": call("munmap", AT, 8192) + MAPPED,
    },
    "mapped over": {"before": MAPPED},
    "either writable or executable": {
        "setup": MAPPED,
        "before": call("mprotect", AT, 8192, READ | WRITE),
        "after": call("mprotect", AT, 8192, READ | EXEC) + "fence.i\n",
    },
    "written elsewhere and moved": {
        "before": f"{MAPPED} {call('mmap', AT + 0x10000, 8192, 7, ANONYMOUS | FIXED, -1, 0)}"
        f" li s4, {AT + 0x10000}\n",
        "after": call("mremap", AT + 0x10000, 8192, 8192, 3, AT) + "fence.i\n",
    },
    "two places in turn": {
        "setup": f"{MAPPED} li s6, {AT}\n",
        "before": "andi t0, s0, 1\n slli t0, t0, 12\n add s4, s6, t0\n addi s5, s4, 0\n",
    },
}  # fmt: skip
ways = pytest.mark.parametrize("way", WAYS)


def count(path, engine="native", **env):
    """(exit status, counts) of a program."""
    events = "instructions:u,cycles:u,branches:u,branch-misses:u,page-faults,duration_time"
    words = ["--engine", engine, "-x,", "-e", events, "--", path]
    done = rvperf("stat", *words, env={**os.environ, **env})
    return done.returncode, counted(done.stderr.decode())


def built(tmp_path, way, calls, rounds):
    parts = {"setup": "", "before": "", "after": "fence.i\n", "data": ""} | WAYS[way]
    return elves.build(tmp_path / "it", PROGRAM.format(calls=calls, rounds=rounds, **parts))


@ways
def test_the_engines_agree(way, tmp_path):
    path = built(tmp_path, way, calls=20, rounds=5)
    native, reference = count(path), count(path, "reference")
    assert native == reference
    assert native[0] == 0 and native[1]["instructions:u"] > 20 * 5 * 5


@ways
def test_compiled_code_is_dropped_when_it_changes(way, tmp_path):
    """Long enough to be compiled; then with what has been compiled at hand from the start."""
    path = built(tmp_path, way, calls=300_000, rounds=25)
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    cold = count(path, **env)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "rvperf").glob("regions-*")):
        assert time.monotonic() < deadline, "nothing has been compiled"
        time.sleep(0.05)
    warm = count(path, **env)
    assert cold == warm
    assert cold[0] == 0 and cold[1]["instructions:u"] > 25 * 300_000 * 5


@ways
@pytest.mark.parametrize("where", ["from hart to hart", "beside one that moves"])
def test_code_that_changes_in_vms_on_several_harts(way, where, tmp_path):
    """Each hart keeps what it has decoded and compiled, also of vCPUs that have gone elsewhere."""
    path = built(tmp_path, way, calls=1_000, rounds=40)
    guest = f"stat -o /dev/null -- {path}"
    moves = ["--migrate-every", "70us"]
    if where != "from hart to hart":
        # vm0 leaves hart 0, where its pages were decoded, and stays on hart 1; vm1 goes round.
        (tmp_path / "script").write_text(
            "900us vm0 1\n" + "".join(f"{1000 + 50 * n}us vm1 {n % 2}\n" for n in range(40))
        )
        moves = ["--migrate", str(tmp_path / "script"), "--pin", "vm0=0"]
    words = ["kvm", "run", "--harts", "2", "--slice", "40us", "-o", str(tmp_path / "report")]
    done = rvperf(*words, *moves, "--guest", guest, "--guest", guest, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_instruction_that_the_next_round_of_its_own_loop_replaces(tmp_path):
    text = """
        li s0, 0
        li s1, 0
        li s2, 0
        la s4, slot
    again:
        andi t0, s0, 1023
        add s1, s1, t0
        slli t0, t0, 20
        li t1, 0x00090913       # addi s2, s2, 0
        or t0, t0, t1
        sw t0, 0(s4)
        fence.i
    slot:
        addi s2, s2, 0
        addi s0, s0, 1
        li t0, 5000
        bne s0, t0, again
        sub a0, s1, s2
        sltu a0, zero, a0
        li a7, 93
        ecall
    """
    path = elves.build(tmp_path / "it", text)
    native, reference = count(path), count(path, "reference")
    assert native == reference and native[0] == 0
