"""Random instructions and mutated programs: nothing crashes, nothing hangs, the engines agree.

    python -m tests.fuzz [--words N] [--regions N] [--programs N] [--files N] [--seed N]

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

from isa.csrs import CSR_NUMBERS
from isa.ext import RV64GC
from isa.modes import VU, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.ctr import DYNAMIC, WRITABLE
from rvperf.machine.pmu import CYCLE_BUDGET
from rvperf.machine.pmu import EVENTS as COUNTED
from rvperf.machine.transfers import TYPES
from rvperf.machine.traps import Trap
from tests.machine.harts import (
    FS,
    RAM_AT,
    RAM_SIZE,
    SV39,
    U_BIT,
    A,
    D,
    R,
    V,
    W,
    X,
    hart_in,
    pte,
    put_entry,
)
from tests.perfdata.mutants import fuzz_files

SAMPLES = Path(__file__).parent.parent / "samples"
WORDS, REGIONS, PROGRAMS, FILES = 100_000, 3_000, 2_000, 2_000

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


# Random programs, run in slices of random length, compiled as soon as something is executed twice.

BLOCK = 128  # bytes from one of a program's blocks to the next
DATA, DATA_PAGES = RAM_AT + 0x18_000, 32  # where their data is mapped, to pages in another order
READ_ONLY, UNMAPPED = (3, 9, 10, 20, 26), (6, 27)  # of these pages
LEAF, CODE_FRAME, FRAMES = 3, 4, 20  # pages of RAM: the last table, the program's, the data's
VALUES = range(10, 16)  # integer registers that programs calculate with; x5 and x6 are temporary
POINTERS = (2, 8, 9)
DATA_REGISTER, BLOCKS_REGISTER = 16, 17


class AtOnce:
    """A compiling process that isn't one."""

    alive = True

    def __init__(self, live):
        self.live = live
        self.done = []

    def send(self, head, pages, also=()):
        from rvperf.engine.worker import Job, compile_region

        self.done.append(compile_region(Job(head, self.live, pages, also))[0])

    def receive(self):
        done, self.done = self.done, []
        return done

    def dismiss(self):
        """There is no process."""


class Paged(Pair):
    """Two harts in U-mode under Sv39, the native one with regions."""

    mode, root = U, "satp"
    hart_of = {"ram_size": 64 << 12, "mstatus": FS}
    live = frozenset({"branches", "loads", "stores"})

    def __init__(self):
        from rvperf.engine.hot import Regions

        regions = Regions(self.live)
        regions.worker = AtOnce(self.live)
        self.engines = [
            Native(hart_in(extra=EXTRA, **self.hart_of), regions),
            Reference(hart_in(**self.hart_of)),
        ]
        self.engines[0].threshold[0] = 2

    def begin(self, random: Random) -> None:
        """Map the data anew, some of it in order, and put a new program and new data there."""
        frames = list(range(FRAMES, FRAMES + DATA_PAGES))
        pieces = []
        while frames:
            size = random.choice((1, 1, 2, 3, 6))
            pieces.append(frames[:size])
            del frames[:size]
        random.shuffle(pieces)
        frames = [frame for piece in pieces for frame in piece]
        first = (DATA - RAM_AT) >> 12
        code = [RAM_AT + (CODE_FRAME + n << 12) for n in range(4)]
        table = {n: pte(page, V | R | X | U_BIT | A) for n, page in enumerate(code, CODE_FRAME)}
        for n, frame in enumerate(frames):
            flags = V | R | U_BIT | A | (0 if n in READ_ONLY else W | D)
            table[first + n] = pte(RAM_AT + (frame << 12), flags) if n not in UNMAPPED else 0
        text = program(random)
        data = random.randbytes(DATA_PAGES << 12)
        x = [0, *(random.getrandbits(random.choice((6, 12, 64))) for _ in range(31))]
        x[1] = code[0] + BLOCK * random.randrange(4)
        x[DATA_REGISTER], x[BLOCKS_REGISTER] = DATA, code[0]
        for pointer in POINTERS:
            x[pointer] = DATA + random.randrange(0x400, 0x1C000)
        f = array("Q", random.randbytes(256))
        for engine in self.engines:
            hart = engine.hart
            hart.ram.write(RAM_AT + 0x1000, bytes(0x3000))
            put_entry(hart, RAM_AT + 0x1000, 2, pte(RAM_AT + 0x2000, V))
            put_entry(hart, RAM_AT + 0x2000, 0, pte(RAM_AT + (LEAF << 12), V))
            for n, entry in table.items():
                put_entry(hart, RAM_AT + (LEAF << 12), n, entry)
            hart.ram.write(RAM_AT + (FRAMES << 12), data)
            hart.ram.write(code[0], text)
            hart.set_csr(CSR_NUMBERS[self.root], SV39 | (RAM_AT + 0x1000) >> 12)
            for fenced in hart.fences:
                fenced(None, None)
            hart.mode = self.mode
            hart.x[:32], hart.f[:] = array("Q", x), f
            hart.fcsr, hart.reservation, hart.pc = 0, None, code[0]

    def slice(self, budget: int) -> list:
        """Run both for so many instructions; what each came to."""
        found = []
        for engine in self.engines:
            hart, trap = engine.hart, None
            try:
                engine.run(budget)
            except Trap as raised:
                trap = raised.cause, raised.tval
            hart.collect()
            counts = hart.counts[self.mode]
            found.append((trap, hart.pc, hart.fcsr, tuple(hart.x[:32]), tuple(hart.f), counts))
        return found


HOST_ROOT, HOST_MIDDLE, HOST_LAST = 8, 12, 13  # pages of RAM; the root is four
GUEST_READ_ONLY, GUEST_UNMAPPED = (25, 37, 38, 50), (30, 44)  # of guest physical memory


class PagedGuest(Paged):
    """Two harts in VU-mode under both stages: guest physical pages are pages of RAM, but not all
    can be written or are there."""

    mode, root = VU, "vsatp"
    hart_of = {**Paged.hart_of, "extensions": ("H",), "vsstatus": FS}

    def begin(self, random: Random) -> None:
        root, middle, last = (RAM_AT + (n << 12) for n in (HOST_ROOT, HOST_MIDDLE, HOST_LAST))
        for engine in self.engines:
            hart = engine.hart
            put_entry(hart, root, RAM_AT >> 30, pte(middle, V))
            put_entry(hart, middle, 0, pte(last, V))
            for n in range(64):
                flags = V | R | X | U_BIT | A | (0 if n in GUEST_READ_ONLY else W | D)
                entry = 0 if n in GUEST_UNMAPPED else pte(RAM_AT + (n << 12), flags)
                put_entry(hart, last, n, entry)
            hart.set_csr(CSR_NUMBERS["hgatp"], SV39 | root >> 12)
        super().begin(random)


class PagedCounters(PagedGuest):
    """As `PagedGuest`, with counters that overflow every now and then: of each event, in some
    modes."""

    hart_of = {**PagedGuest.hart_of, "extensions": ("H", "Sscofpmf")}
    live = PagedGuest.live | {CYCLE_BUDGET}

    def begin(self, random: Random) -> None:
        super().begin(random)
        self.random = random
        for n in range(3, 12):
            event = random.choice(list(COUNTED)) | random.getrandbits(5) << 58
            for engine in self.engines:
                engine.hart.set_csr(CSR_NUMBERS[f"mhpmevent{n}"], event | 1 << 63)

    def slice(self, budget: int) -> list:
        """As above, up to the first overflow; what counters there came to is part of it."""
        n, left = self.random.randrange(3, 12), self.random.choice((1, 2, 9, 60, 300))
        for engine in self.engines:
            hart = engine.hart
            hart.set_csr(CSR_NUMBERS["mip"], 0)
            event = hart.csr_value(CSR_NUMBERS[f"mhpmevent{n}"])
            hart.set_csr(CSR_NUMBERS[f"mhpmevent{n}"], event & ~(1 << 63))
            hart.set_csr(CSR_NUMBERS[f"mhpmcounter{n}"], -left)
        found = super().slice(budget)
        names = ["mip", "scountovf", *(f"mhpmcounter{n}" for n in range(3, 12))]
        return [
            (*each, [engine.hart.csr_value(CSR_NUMBERS[name]) for name in names])
            for each, engine in zip(found, self.engines, strict=True)
        ]


class PagedRecords(PagedGuest):
    """As `PagedGuest`, with control transfer records whose filters change."""

    hart_of = {**PagedGuest.hart_of, "extensions": ("H", "Smcsrind", "Smctr")}

    def begin(self, random: Random) -> None:
        super().begin(random)
        self.random = random

    def slice(self, budget: int) -> list:
        """As above; the records are part of what each came to."""
        control = self.random.choice((0, 1, 1, 1)) | self.random.getrandbits(16) << 32
        if self.random.random() < 0.3:
            control = 1
        if self.random.random() < 0.5:
            for engine in self.engines:
                engine.hart.set_csr(CSR_NUMBERS["vsctrctl"], control)
                engine.hart.set_csr(CSR_NUMBERS["sctrdepth"], control >> 32 & 3)
        regions = self.engines[0].regions
        if not regions.worker:  # recording has begun, for which regions are made anew
            assert regions.live == self.live | TYPES.keys() | {DYNAMIC}
            regions.worker = AtOnce(regions.live)
        found = super().slice(budget)
        records = []
        for engine in self.engines:
            ctr = engine.hart.ctr
            each = [[ctr.entry(part, n) for part in WRITABLE] for n in range(ctr.depth)]
            records.append((ctr.status, each))
        return [(*each, record) for each, record in zip(found, records, strict=True)]


def program(random: Random) -> bytes:
    """Blocks of random instructions that go to each other in every way."""
    blocks = random.choice((2, 3, 5, 8, 13))
    forward = random.random() < 0.5  # mostly
    code = bytearray()

    def put(name: str, **operands: int) -> None:
        nonlocal code
        code += RV64GC[name].encode(**operands).to_bytes(4, "little")

    def to(block: int) -> int:
        return BLOCK * block - len(code)

    def straight() -> None:
        kind = random.random()
        rd, rs1, rs2 = (random.choice(VALUES) for _ in range(3))
        if kind < 0.35:
            name = random.choice(COMPUTED)
            fields = {"rd": rd, "rs1": rs1, "rs2": rs2}
            put(name, **{field: fields[field] for field in RV64GC[name].fields})
        elif kind < 0.45:
            put("addi", rd=rd, rs1=random.choice((0, rs1)), imm=random.randrange(-64, 64))
        elif kind < 0.55:
            step = random.choice((-64, -16, -8, 1, 8, 8, 16, 48))
            pointer = random.choice(POINTERS)
            put("addi", rd=pointer, rs1=random.choice((pointer, *POINTERS)), imm=step)
        elif kind < 0.62:
            pointer = random.choice(POINTERS)
            if random.random() < 0.5:
                put("andi", rd=5, rs1=rs1, imm=random.choice((0x7F8, 0x7F8, 0x7FF)))
                put("slli", rd=5, rs1=5, shamt=random.choice((0, 3, 6)))
            else:
                put("andi", rd=5, rs1=rs1, imm=DATA_PAGES - 1)
                put("slli", rd=5, rs1=5, shamt=12)
                put("addi", rd=5, rs1=5, imm=random.randrange(-300, 300))
            put("add", rd=pointer, rs1=DATA_REGISTER, rs2=5)
        elif kind < 0.9:
            base = random.choice(POINTERS)
            imm = random.choice((0, 8, 16, 24, 8 * random.randrange(-30, 30)))
            imm += random.choice((0,) * 12 + (1, 2, 4, 2000 - imm))
            name = random.choice(ACCESSES)
            given = {"rd": rd, "rs2": rs2, "fd": rd, "fs2": rs2, "rs1": base, "imm": imm}
            put(name, **{field: given[field] for field in RV64GC[name].fields})
        else:
            name = random.choice(FLOATS)
            given = {"fd": rd, "rd": rd, "fs1": rs1, "fs2": rs2, "fs3": rd, "rs1": rs1, "rm": 7}
            put(name, **{field: given[field] for field in RV64GC[name].fields})

    for block in range(blocks):
        for _ in range(random.choice((0, 1, 2, 4, 7))):
            straight()
        kind, target = random.random(), random.randrange(blocks)
        if forward and random.random() < 0.8:
            target = random.randrange(block, blocks)
        if kind < 0.5:
            rs1, rs2 = random.choice(VALUES), random.choice((0, *VALUES))
            name = random.choice(("beq", "bne", "blt", "bge", "bltu", "bgeu"))
            put(name, rs1=rs1, rs2=rs2, imm=to(target))
        elif kind < 0.6:
            put("jal", rd=0, imm=to(target))
        elif kind < 0.75:
            put("jal", rd=1, imm=to(target))
        elif kind < 0.85:
            put("jalr", rd=0, rs1=1, imm=0)
        else:
            most = max(n for n in (1, 2, 4, 8) if n <= blocks)
            put("andi", rd=5, rs1=random.choice(VALUES), imm=most - 1)
            put("slli", rd=5, rs1=5, shamt=BLOCK.bit_length() - 1)
            put("add", rd=6, rs1=5, rs2=BLOCKS_REGISTER)
            put("jalr", rd=random.choice((0, 0, 1)), rs1=6, imm=0)
        while len(code) < BLOCK * (block + 1) - 8 and random.random() < 0.5:
            straight()
        del code[BLOCK * (block + 1) - 4 :]
        if forward and block == blocks - 1:
            put("jalr", rd=0, rs1=BLOCKS_REGISTER, imm=0)
        else:
            put("jal", rd=0, imm=to(random.choice((block + 1, target)) % blocks))
        code += bytes(BLOCK * (block + 1) - len(code))
    return bytes(code)


COMPUTED = ("add", "sub", "xor", "or", "and", "sll", "srl", "sra", "slt", "sltu", "mul", "mulhu")
COMPUTED += ("addw", "subw", "sllw", "sraw", "div", "remuw", "sh1add", "rolw", "clz", "max")
ACCESSES = ("lb", "lbu", "lh", "lhu", "lw", "lwu", "ld", "ld", "ld", "sb", "sh", "sw", "sd", "sd")
ACCESSES += ("fld", "fsd", "flw", "fsw")
FLOATS = ("fadd.d", "fsub.d", "fmul.d", "fmadd.d", "fmv.d.x", "fmv.x.d", "feq.d", "flt.d")
FLOATS += ("fcvt.d.l", "fcvt.l.d", "fadd.s", "fcvt.s.d")


def fuzz_regions(count: int, seed: int = 0, each: int = 20, pairs: type[Paged] = Paged) -> int:
    """Run `count` random programs, compiled; AssertionError where the engines differ.

    `each` of them share a pair of harts, so that code changes as well.
    """
    entered = overflows = 0
    for n in range(count):
        random = Random(f"regions {seed} {n}")
        if n % each == 0:
            pair = pairs()
        pair.begin(random)
        native = pair.engines[0]
        for budget in [100, *(random.choice((1, 7, 50, 300, 700)) for _ in range(8))]:
            one, two = pair.slice(budget)
            said = f"seed {seed}, program {n} (those from {n - n % each} on share harts)"
            assert one == two, f"{said}: native {one}, reference {two}"
            if one[0]:
                for engine in pair.engines:
                    engine.hart.pc += 4
            for _ in range(3):
                native.regions.poll()
            overflows += native.hart.overflowed
        entered += bool(native.regions.known)
        memories = [engine.hart.ram.read(RAM_AT, RAM_SIZE) for engine in pair.engines]
        assert memories[0] == memories[1], f"{said}: memory differs"
    assert entered > count // 2, "hardly anything has been compiled"
    assert pairs is not PagedCounters or overflows > count, "hardly anything has overflowed"
    return count


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
    parser.add_argument("--regions", type=int, default=REGIONS, metavar="N")
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
    fuzzes = {"words": fuzz_words, "regions": fuzz_regions, "programs": fuzz_programs}
    for what, fuzz in fuzzes.items():
        began = time.monotonic()
        done = fuzz(getattr(options, what), options.seed)
        print(f"{done} {what} in {time.monotonic() - began:.0f} s: the engines agree, no crash")


if __name__ == "__main__":
    main()
