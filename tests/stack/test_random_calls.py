"""Random system calls: whatever a program asks, the kernel answers or ends the program."""

import random
import struct

import pytest

from rvperf.stack.kernel.syscalls import TABLE

from .calling import NUMBERS, SCRATCH, Caller


class Sleeping(Exception):
    """Nobody can run: the kernel would wait for the host."""


def words(choose):
    """An argument of the kind that programs give, or that they shouldn't."""
    return choose.choice(
        (
            lambda: choose.randrange(16),
            lambda: choose.randrange(-3, 1100),
            lambda: 1 << choose.randrange(64),
            lambda: (1 << choose.randrange(65)) - 1,
            lambda: -choose.randrange(1 << 40),
            lambda: SCRATCH + choose.randrange(1 << 20),
            lambda: SCRATCH + 4096 * choose.randrange(300),
            lambda: SCRATCH + (1 << 20) - choose.randrange(64),
            lambda: choose.getrandbits(64),
            lambda: 4096 * choose.randrange(64),
            lambda: -100,
            lambda: 0,
        )
    )()


def contents(choose):
    """Memory that pointers find: numbers, times, names, pointers."""
    return choose.choice(
        (
            lambda: choose.randbytes(64),
            lambda: struct.pack("<8q", *(choose.randrange(-2, 3000) for _ in range(8))),
            lambda: struct.pack("<8Q", *(words(choose) & (1 << 64) - 1 for _ in range(8))),
            lambda: (
                choose.choice((b".", b"..", b"name", b"/proc/self/maps", b"/dev/full", b"x" * 40))
                + b"\0"
            ),
            lambda: bytes(64),
        )
    )()


@pytest.mark.parametrize("seed", range(6))
def test_random_calls_are_answered(tmp_path, monkeypatch, seed):
    def nobody(self):
        if (deadline := self.next_deadline()) is None:
            raise Sleeping
        self.hart.idle_until(deadline)

    monkeypatch.setattr("rvperf.stack.kernel.Kernel.idle", nobody)
    monkeypatch.setattr("os.posix_fallocate", lambda *_: None)  # the disk may well have the room
    monkeypatch.chdir(tmp_path)
    choose = random.Random(seed)
    names = sorted(call.name for call in TABLE.values())
    call = None
    for step in range(1500):
        if call is None or call.kernel.finished or step % 150 == 0:
            if call:
                call.kernel.close()
            (tmp_path / f"{seed}-{step}").mkdir()
            call = Caller(tmp_path / f"{seed}-{step}", descriptors=())
            for name in ("a", "b"):
                call("openat", -100, name, 0o102, 0o644)
            call("pipe2", call.room(8), 0o4000)
        try:
            for _ in range(3):
                call.memory.write(SCRATCH + 64 * choose.randrange(64), contents(choose))
            x = call.hart.x
            for i in range(10, 16):
                x[i] = words(choose) & (1 << 64) - 1
            name = choose.choice(names)
            x[17] = NUMBERS[name]
            call.trap(8)
        except Sleeping:
            call.kernel.close()
        except OSError:
            call.kernel.close()  # the program has unmapped what this test writes to
