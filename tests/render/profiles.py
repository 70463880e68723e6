"""perf.data files with samples all over real programs, for reports to be compared on.

What is in a file depends on its arguments alone.
"""

import random
import struct
import subprocess
from pathlib import Path

from rvperf.perfdata import records, tracing
from rvperf.perfdata.attr import SAMPLE_TYPE, Attr, bits
from rvperf.perfdata.features import SampleTime
from rvperf.perfdata.records import Branch, Reading, ReadValue, SampleId, sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer
from rvperf.symbols.elf import PT_LOAD, Elf
from tests.perfdata.files import KNOWN

SAMPLES = Path(__file__).parent.parent.parent / "samples"
KERNEL = 0xFFFFFFFF80000000


class Program:
    """A program in a process's memory: its path, its maps and the addresses of its functions."""

    def __init__(self, path, base: int = 0):
        from rvperf.symbols import Symbols

        self.path = str(path)
        elf = Elf.open(self.path)
        dso = Symbols(buildid_dir="/nonexistent").dso(self.path)
        self.maps, self.functions = [], []
        for segment in elf.segments:
            if segment.p_type == PT_LOAD:
                start = base + segment.p_vaddr & ~0xFFF
                offset = segment.p_offset & ~0xFFF
                end = base + segment.p_vaddr + segment.p_memsz + 0xFFF & ~0xFFF
                prot = 5 if segment.p_flags & 1 else 3
                self.maps.append((start, end - start, offset, prot))
        for symbol in dso.symbols:
            for start, size, offset, prot in self.maps:
                inside = offset <= symbol.start < offset + size
                if symbol.type == 2 and inside and prot & 4 and symbol.end > symbol.start:
                    at = symbol.start - offset + start
                    self.functions.append((at, symbol.end - symbol.start))


def attr_of(extra: str = "", **more) -> Attr:
    kinds = bits(SAMPLE_TYPE, f"IP|TID|TIME|PERIOD|IDENTIFIER|{extra}".rstrip("|"))
    values = {
        "sample_period": 1000, "sample_type": kinds, "read_format": 4, "mmap": 1, "comm": 1,
        "task": 1, "mmap2": 1, "comm_exec": 1, "sample_id_all": 1, "exclude_guest": 1,
    }  # fmt: skip
    if "BRANCH_STACK" in extra:
        values["branch_sample_type"] = 8
    return Attr(**(values | more))


class Recording:
    """A file in the making: processes that run programs, and samples of them."""

    def __init__(self, path, attrs, seed=1, leaders=None, known=None, **options):
        self.random = random.Random(seed)
        names = ("cycles", "instructions", "branches", "cache-misses")
        self.events = [
            EventSpec(attr, name if isinstance(attr, Attr) else "", (10 + number,),
                      leader=leaders[number] if leaders else None)
            for number, (attr, name) in enumerate(zip(attrs, names, strict=False))
        ]  # fmt: skip
        self.attrs = attrs
        self.encoders = [sample_encoder(attr) for attr in attrs]
        self.file = Writer(path, self.events, {**KNOWN, **(known or {})}, **options)
        self.time = 1_000_000_000
        self.programs = {}
        self.write(
            records.Mmap(-1, 0, KERNEL, 1 << 24, KERNEL, "[kernel.kallsyms]_text",
                         misc=records.KERNEL, sample_id=SampleId())
        )  # fmt: skip

    def write(self, record) -> None:
        self.file.write(record.encode(self.attrs[0]))

    def tick(self) -> int:
        self.time += self.random.randrange(1, 300_000)
        return self.time

    def run(self, pid: int, comm: str, program: Program, tid: int | None = None) -> None:
        """A process has begun to run a program."""
        tid = tid or pid

        def ids():
            return SampleId(pid, tid, self.tick(), 10)

        self.write(records.Comm(pid, tid, comm, misc=records.MISC_COMM_EXEC, sample_id=ids()))
        for start, size, offset, prot in program.maps:
            if prot & 4:
                self.write(
                    records.Mmap2(pid, tid, start, size, offset, maj=8, min=1, ino=hash_of(
                        program.path), prot=prot, flags=2, filename=program.path,
                        misc=records.USER, sample_id=ids())
                )  # fmt: skip
        self.programs[pid] = program

    def rename(self, pid: int, tid: int, comm: str) -> None:
        self.write(records.Comm(pid, tid, comm, sample_id=SampleId(pid, tid, self.tick(), 10)))

    def fork(self, pid: int, tid: int, ppid: int, ptid: int) -> None:
        now = self.tick()
        self.write(records.Fork(pid, ppid, tid, ptid, now, sample_id=SampleId(ppid, ptid, now, 10)))
        self.programs[pid] = self.programs[ppid]

    def address(self, pid: int) -> int:
        """Somewhere in the program, more often in few functions."""
        functions = self.programs[pid].functions
        number = min(int(self.random.expovariate(0.25)), len(functions) - 1)
        start, size = functions[number * 7 % len(functions)]
        return start + self.random.randrange(0, size, 2)

    def sample(self, pid: int, tid: int | None = None, event: int = 0, **more) -> None:
        attr = self.attrs[event]
        kinds = attr.sample_type
        ip = more.pop("ip", None) or self.address(pid)
        values = {"misc": records.USER, "ip": ip, "pid": pid, "tid": tid or pid,
                  "time": self.tick(), "period": 1000, "id": 10 + event, **more}  # fmt: skip
        if kinds & bits(SAMPLE_TYPE, "CALLCHAIN") and "callchain" not in values:
            values["callchain"] = self.chain(pid, ip, values["misc"])
        if kinds & bits(SAMPLE_TYPE, "BRANCH_STACK") and "branches" not in values:
            values["branches"] = self.branches(pid)
        self.file.write(self.encoders[event](**values))

    def chain(self, pid: int, ip: int, misc: int) -> tuple[int, ...]:
        frames = [records.CONTEXT_USER, ip]
        if misc == records.KERNEL:
            frames = [records.CONTEXT_KERNEL, ip, ip + 64, records.CONTEXT_USER]
            frames.append(self.address(pid))
        for _ in range(self.random.randrange(0, 6)):
            frames.append(self.address(pid))
        if not self.random.randrange(8):
            frames.append(self.random.randrange(1, 1 << 38))
        frames.append(self.programs[pid].functions[0][0] + 4)
        return tuple(frames)

    def branches(self, pid: int):
        def one():
            flags = self.random.choice((1, 2, 2, 2)) | self.random.randrange(4) << 4
            flags |= self.random.choice((0, 1, 1, 2, 4, 6)) << 20
            return Branch(self.address(pid), self.address(pid), flags)

        return [one() for _ in range(self.random.randrange(0, 5))]

    def round(self) -> None:
        self.file.round()

    def close(self) -> None:
        self.file.features["SAMPLE_TIME"] = SampleTime(1_000_000_000, self.time)
        self.file.close()


def hash_of(path: str) -> int:
    return sum(path.encode()) + 7


CPLUSPLUS = """
namespace shop { template <class T> struct Cart {
  T sum; __attribute__((noinline)) void add(const T& x) { sum += x; for (int i = 0; i < 9; i++)
  asm volatile(""); } __attribute__((noinline)) T total() const { return sum; } }; }
struct Base { virtual ~Base() {} virtual int price(int, const char*) { return 1; } };
struct Apple : Base { int price(int n, const char*) override { return n; } };
static int hidden(Base& b) { return b.price(3, "x"); }
extern "C" int main() { shop::Cart<unsigned long> c{}; Apple a; c.add(hidden(a));
  return (int)c.total(); }
extern "C" void __cxa_pure_virtual() {}
void operator delete(void*, unsigned long) {}
"""


def cplusplus(directory: Path) -> Path | None:
    """A program with C++ names; None without a cross compiler."""
    source, program = directory / "shop.cc", directory / "shop"
    source.write_text(CPLUSPLUS)
    try:
        subprocess.run(
            ["riscv64-linux-gnu-g++", "-O1", "-g", "-nostdlib", "-static", "-fno-exceptions",
             "-fno-rtti", "-Wl,-emain", "-o", program, source],
            check=True, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return program


def recording(path, kind: str, samples: int = 400, seed: int = 1, directory=None) -> Path:
    """A file of one of KINDS."""
    return KINDS[kind](Path(path), samples, seed, directory)


def _one(path, samples, seed, directory, extra="", **options):
    file = Recording(path, [attr_of(extra)], seed, **options)
    sort, pie = Program(SAMPLES / "sort"), Program(SAMPLES / "hello-pie", 0x2AAA000000)
    file.run(100, "sort", sort)
    file.run(200, "hello", pie)
    for number in range(samples):
        file.sample(file.random.choice((100, 100, 100, 200)), period=file.random.randrange(1, 3000))
        if number % 50 == 49:
            file.round()
    file.close()
    return path


def _mixed(path, samples, seed, directory, extra="CPU"):
    """Several CPUs, forks, threads, names that change, kernel samples, unknown addresses."""
    file = Recording(path, [attr_of(extra)], seed)
    sort = Program(SAMPLES / "sort")
    names = cplusplus(directory) if directory else None
    shop = Program(names) if names else Program(SAMPLES / "recurse")
    file.run(100, "sort", sort)
    file.run(300, "shop-with-a-long", shop)
    file.fork(100, 101, 100, 100)
    file.fork(150, 150, 100, 100)
    threads = [(100, 100), (100, 101), (150, 150), (300, 300), (777, 777)]
    file.programs[777] = sort
    for number in range(samples):
        pid, tid = file.random.choice(threads)
        more = {"cpu": file.random.randrange(4)} if "CPU" in extra else {}
        if not file.random.randrange(5):
            more |= {"misc": records.KERNEL, "ip": KERNEL + file.random.randrange(0, 4000, 2)}
        elif not file.random.randrange(9):
            more["ip"] = file.random.randrange(0x7000000, 0x7000040, 2)
        elif not file.random.randrange(40):
            more["misc"] = file.random.choice((0, 3, 4, 5))
        file.sample(pid, tid, period=file.random.randrange(1, 5000), **more)
        if number == samples // 2:
            file.rename(100, 101, "worker")
            file.rename(150, 150, "a-child-with-nam")
        if number % 40 == 39:
            file.round()
    file.close()
    return path


def _several(path, samples, seed, directory, leaders=None, extra=""):
    attrs = [attr_of(extra), attr_of(extra, config=1, mmap=0, comm=0, task=0, mmap2=0),
             attr_of(extra, config=4, mmap=0, comm=0, task=0, mmap2=0)]  # fmt: skip
    file = Recording(path, attrs, seed, leaders)
    file.run(100, "sort", Program(SAMPLES / "sort"))
    file.run(200, "recurse", Program(SAMPLES / "recurse"))
    for _ in range(samples):
        file.sample(file.random.choice((100, 200)), event=file.random.choice((0, 0, 1)),
                    period=file.random.randrange(1, 3000))  # fmt: skip
    file.close()
    return path


def _leader(path, samples, seed, directory):
    """Leader sampling: the leader's samples carry the counts of all members."""
    attrs = [attr_of("READ", read_format=4 | 8, inherit=0),
             attr_of("READ", read_format=4 | 8, config=1, sample_period=0, mmap=0, comm=0, task=0,
                     mmap2=0)]  # fmt: skip
    file = Recording(path, attrs, seed, (0, 0))
    file.run(100, "sort", Program(SAMPLES / "sort"))
    first = second = 0
    for _ in range(samples):
        first += 1000
        second += file.random.choice((0, 0, 17, 300, 900))
        file.sample(100, read=Reading([ReadValue(first, 10), ReadValue(second, 11)]))
    file.close()
    return path


FORMAT = """name: shop
ID: 77
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int price;\toffset:8;\tsize:4;\tsigned:1;
\tfield:unsigned long number;\toffset:16;\tsize:8;\tsigned:0;

print fmt: "price=%d number=%lu", REC->price, REC->number
"""


def _tracepoints(path, samples, seed, directory):
    section = tracing.encode(tracing.Tracing({"town": [FORMAT]}))
    attr = attr_of("RAW|CPU", type=2, config=77)
    file = Recording(path, [attr], seed, known={"TRACING_DATA": section})
    file.run(100, "sort", Program(SAMPLES / "sort"))
    for _ in range(samples):
        price, number = file.random.randrange(-2, 3), file.random.randrange(2)
        raw = struct.pack("<HBBiixxxxQ", 77, 0, 0, 100, price, number) + bytes(4)
        file.sample(100, raw=raw, period=1)
    file.close()
    return path


def _memory(path, samples, seed, directory):
    """Loads and stores with their addresses, data sources and latencies."""
    file = Recording(path, [attr_of("ADDR|DATA_SRC|WEIGHT|PHYS_ADDR")], seed)
    sort = Program(SAMPLES / "sort")
    file.run(100, "sort", sort)
    for _ in range(samples):
        op, level = file.random.choice((2, 4)), file.random.choice((0x0A, 0x0C, 0x22, 0x82))
        source = op | level << 5 | file.random.choice((1, 2, 4)) << 19
        source |= file.random.choice((1, 2)) << 24 | file.random.choice((0x0A, 0x0C)) << 26
        addr = file.random.choice((sort.functions[0][0], 0x3FFFFFF000)) + 8
        file.sample(100, addr=addr + 64 * file.random.randrange(4), data_src=source,
                    weight=file.random.randrange(1, 6), phys_addr=addr & 0xFFFFFF)  # fmt: skip
    file.close()
    return path


KINDS = {
    "one": _one,
    "chains": lambda *a: _one(*a, extra="CALLCHAIN"),
    "branches": lambda *a: _one(*a, extra="BRANCH_STACK", known={"BRANCH_STACK": True}),
    "mixed": _mixed,
    "mixed-chains": lambda *a: _mixed(*a, extra="CPU|CALLCHAIN"),
    "several": _several,
    "group": lambda *a: _several(*a, leaders=(0, 0, 0)),
    "group-chains": lambda *a: _several(*a, leaders=(0, 0, None), extra="CALLCHAIN"),
    "leader": _leader,
    "tracepoints": _tracepoints,
    "memory": _memory,
}
