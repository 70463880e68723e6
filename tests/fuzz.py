"""Random instructions and mutated programs: nothing crashes, nothing hangs, the engines agree.

    python -m tests.fuzz [--words N] [--programs N] [--files N] [--seed N]

The test suite does a slice of this (tests/test_fuzz.py), `make fuzz` all of it. What fails is named
by its seed, so that it can be done again alone.
"""

import argparse
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from random import Random

from isa.ext import RV64GC
from isa.modes import U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.traps import Trap
from tests.machine.harts import FS, RAM_AT, RAM_SIZE, hart_in
from tests.perfdata.mutants import fuzz_files

SAMPLES = Path(__file__).parent.parent / "samples"
WORDS, PROGRAMS, FILES = 100_000, 2_000, 2_000

# Random instructions, each executed alone, then strings of them.

CODE_AT, CODE_SIZE = RAM_AT + 0x4000, 0x4000
WORDS_A_BATCH = (CODE_SIZE - 2) // 4
STRINGS_A_BATCH, STRING = 200, 60


class Pair:
    """Two harts in U-mode over the same bytes, one for each engine."""

    def __init__(self):
        self.engines = [
            Native(hart_in(extra=EXTRA, mstatus=FS)),
            Reference(hart_in(mstatus=FS)),
        ]
        for engine in self.engines:
            engine.hart.record_calls()
            engine.hart.record_transfers(depth=64)

    def refill(self, random: Random) -> None:
        """New bytes everywhere; the code begins in mid-word, so that some of it crosses a page."""
        words = b"".join(word(random).to_bytes(4, "little") for _ in range(WORDS_A_BATCH))
        data = random.randbytes(RAM_SIZE)
        for engine in self.engines:
            hart = engine.hart
            hart.mode = U
            hart.ram.write(RAM_AT, data)
            hart.ram.write(CODE_AT + 2, words)

    def execute(self, pc: int, steps: int, random: Random):
        """Run both engines from the same state; what each came to."""
        x = array("Q", [0, *(register(random) for _ in range(31))])
        f = array("Q", random.randbytes(256))
        fcsr = random.randrange(256)
        found = []
        for engine in self.engines:
            hart = engine.hart
            hart.x[:32], hart.f[:] = x, f
            hart.fcsr, hart.reservation, hart.pc = fcsr, None, pc
            hart.calls.clear()
            hart.calls.push(RAM_AT + 0x2000, x[2], pc, pc)
            trap = None
            try:
                engine.run(steps)
            except Trap as raised:
                trap = raised.cause, raised.tval
            recorded = tuple(hart.call_stack()), tuple(hart.branch_records())
            found.append((trap, hart.pc, hart.fcsr, recorded, tuple(hart.x[:32]), tuple(hart.f)))
        return found

    def memory(self) -> list[bytes]:
        """What is in each hart's RAM."""
        return [engine.hart.ram.read(RAM_AT, RAM_SIZE) for engine in self.engines]

    def counts(self) -> list[dict]:
        """What each hart has counted."""
        for engine in self.engines:
            engine.hart.collect()
        return [engine.hart.counts[U] for engine in self.engines]


def word(random: Random) -> int:
    """32 bits: as they come, an instruction with any operands, or one with a bit turned over."""
    kind = random.random()
    if kind < 0.25:
        return random.getrandbits(32)
    insn = random.choice(RV64GC.insns)
    word = insn.match | random.getrandbits(8 * insn.length) & ~insn.mask
    if insn.length == 2:
        word |= random.getrandbits(16) << 16
    return word ^ (1 << random.randrange(32)) if kind > 0.85 else word


def register(random: Random) -> int:
    """A value that matters: an address, a small number, an edge, or anything."""
    kind = random.random()
    if kind < 0.5:
        return RAM_AT + random.randrange(RAM_SIZE)
    if kind < 0.65:
        return RAM_AT + random.randrange(0x1000, RAM_SIZE, 0x1000) - random.randrange(9)
    if kind < 0.8:
        return random.choice((0, 1, 2, 63, (1 << 64) - 1, 1 << 63, (1 << 63) - 1, 1 << 31))
    return random.getrandbits(64)


def fuzz_words(count: int, seed: int = 0) -> int:
    """Execute `count` random words; AssertionError where the engines differ."""
    pair = Pair()
    done = 0
    while done < count:
        random = Random(f"words {seed} {done}")
        pair.refill(random)
        for n in range(min(WORDS_A_BATCH, count - done)):
            pc = CODE_AT + 2 + 4 * n
            native, reference = pair.execute(pc, 1, random)
            said = f"seed {seed}, batch from {done}, word {n} at {pc:#x}"
            assert native == reference, f"{said}: native {native}, reference {reference}"
        for n in range(STRINGS_A_BATCH):
            pc = CODE_AT + 2 * random.randrange(CODE_SIZE // 2)
            native, reference = pair.execute(pc, STRING, random)
            said = f"seed {seed}, batch from {done}, string {n} at {pc:#x}"
            assert native == reference, f"{said}: native {native}, reference {reference}"
        one, two = pair.memory()
        assert one == two, f"seed {seed}, batch from {done}: memory differs"
        one, two = pair.counts()
        assert one == two, f"seed {seed}, batch from {done}: counts {one}, {two}"
        done += WORDS_A_BATCH
    return min(done, count)


# Mutated programs.

MUTATED = ("hello", "hello-pie", "args", "fpround", "sort", "loop", "selfmod")
EMULATED_NS = 3_000_000
SECONDS = 60  # of real time for a program; more is a hang
FILE_SIZE = 16 << 20  # no file that a mutant writes gets longer


def mutant(seed: int) -> bytes:
    """A sample with something changed: a field of its headers, or some of its code."""
    random = Random(f"program {seed}")
    data = bytearray((SAMPLES / random.choice(MUTATED)).read_bytes())
    headers = 64 + 56 * int.from_bytes(data[56:58], "little")
    in_headers = random.random() < 0.4
    for _ in range(random.choice((1, 1, 2, 4, 30))):
        at = random.randrange(headers) if in_headers else random.randrange(headers, len(data))
        kind = random.random()
        if kind < 0.4:
            data[at] ^= 1 << random.randrange(8)
        elif kind < 0.7:
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        else:
            size = random.choice((2, 4, 8))
            at = min(at // size * size, len(data) - size)
            value = random.getrandbits(8 * size) >> random.randrange(8 * size)
            data[at : at + size] = value.to_bytes(size, "little")
    if random.random() < 0.1:
        del data[random.randrange(len(data)) :]
    return bytes(data)


def run_mutants(first: int, count: int) -> None:
    """Run mutants in this process, each one's seed on stdout before it starts."""
    from rvperf.events import DEFAULT, parse_events
    from rvperf.session import SessionError, StatRequest, Workload, stat

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for seed in range(first, first + count):
        print(seed, flush=True)
        signal.alarm(SECONDS)
        Path("it").write_bytes(mutant(seed))
        Path("it").chmod(0o755)
        workload = Workload(
            argv=("./it", "a", "b"),
            sysroot=None,
            allow_write=(),
            env={"A": "b"},
            timeout_ns=EMULATED_NS,
            descriptors=(nowhere, nowhere, nowhere),
        )
        try:
            result = stat(StatRequest(workload, parse_events(DEFAULT)))
        except SessionError as error:
            assert error.exit_code == 255 and error.message.startswith("Workload failed: ")
        else:
            assert (result.exit.code is None) != (result.exit.signal is None)


def fuzz_programs(count: int, seed: int = 0, each: int = 100) -> int:
    """Run `count` mutants in processes of `each`; AssertionError if one crashes us or hangs."""
    with tempfile.TemporaryDirectory() as scratch:
        for first in range(seed, seed + count, each):
            number = min(each, seed + count - first)
            done = subprocess.run(
                [sys.executable, "-m", "tests.fuzz", "--run", str(first), str(number)],
                cwd=scratch,
                env={**os.environ, "PYTHONPATH": str(SAMPLES.parent)},
                capture_output=True,
                text=True,
            )
            last = (done.stdout.split() or ["none"])[-1]
            assert done.returncode == 0, f"mutant {last}: {done.returncode}\n{done.stderr[-2000:]}"
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=WORDS, metavar="N")
    parser.add_argument("--programs", type=int, default=PROGRAMS, metavar="N")
    parser.add_argument("--files", type=int, default=FILES, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--run", type=int, nargs=2, metavar=("SEED", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return run_mutants(*options.run)
    with tempfile.TemporaryDirectory() as directory:
        read = fuzz_files(Path(directory), options.files, options.seed)
        print(f"{options.files} damaged perf.data files: {read} read, the others refused, no crash")
    for what, fuzz in (("words", fuzz_words), ("programs", fuzz_programs)):
        began = time.monotonic()
        done = fuzz(getattr(options, what), options.seed)
        print(f"{done} {what} in {time.monotonic() - began:.0f} s: the engines agree, no crash")


if __name__ == "__main__":
    main()
