"""perf.data files with every kind of sample that perf script can print, made by our own writer.

`KINDS` has a function for each; `make(kind, path)` writes the file. The program in them is
samples/recurse, mapped as it was linked.
"""

from pathlib import Path

from rvperf.perfdata import records as R
from rvperf.perfdata import tracing
from rvperf.perfdata.attr import BRANCH, SAMPLE, SAMPLE_TYPE, Attr, bits
from rvperf.perfdata.features import NrCpus, SampleTime
from rvperf.perfdata.records import Reading, ReadValue, Registers, SampleId, sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer

PROGRAM = Path(__file__).parents[2] / "samples" / "recurse"
BASE = 0x10000
FIB, PUT = BASE + 0x1E6, BASE + 0x21E
KERNEL = 0xFFFFFFFF80000000
KALLSYMS = (
    "ffffffff80000000 T _text\nffffffff80000004 T start_kernel\n"
    "ffffffff80000100 t do_it\nffffffff80000200 T _etext\n"
)
KNOWN = {
    "HOSTNAME": "rv", "OSRELEASE": "6.1", "VERSION": "6.1.0", "ARCH": "riscv64",
    "NRCPUS": NrCpus(4, 4), "CPUDESC": "a core", "CPUID": "0x0-0x0-0x0", "TOTAL_MEM": 1024,
    "CMDLINE": ["rvperf", "record"],
}  # fmt: skip
PLAIN = "IP|TID|TIME|PERIOD"
PLACES = (FIB, FIB + 10, FIB + 0x20, PUT, PUT + 12, BASE + 0x120, BASE + 0x1C2, BASE + 0x900)
FIELDS = {
    "ip": SAMPLE.IP, "pid": SAMPLE.TID, "tid": SAMPLE.TID, "time": SAMPLE.TIME,
    "period": SAMPLE.PERIOD, "id": SAMPLE.IDENTIFIER | SAMPLE.ID, "cpu": SAMPLE.CPU,
    "addr": SAMPLE.ADDR, "phys_addr": SAMPLE.PHYS_ADDR, "data_src": SAMPLE.DATA_SRC,
    "weight": SAMPLE.WEIGHT | SAMPLE.WEIGHT_STRUCT,
}  # fmt: skip
KINDS = {}


def kind(function):
    KINDS[function.__name__.replace("_", "-")] = function
    return function


def make(name: str, path) -> None:
    KINDS[name](path)


def attr(kinds: str, **more) -> Attr:
    values = {
        "sample_period": 1000, "sample_type": bits(SAMPLE_TYPE, kinds), "read_format": 4,
        "mmap": 1, "comm": 1, "task": 1, "mmap2": 1, "comm_exec": 1, "sample_id_all": 1,
        "exclude_guest": 1,
    }  # fmt: skip
    return Attr(**(values | more))


def nothing(number: int) -> dict:
    return {}


def write(path, kinds, events=None, extra=nothing, between=None, count=40, misc=R.USER, **more):
    """`events` are (name, attr changes); samples take turns. `extra(i)` has more of sample i;
    `between(file, attr, i)` may write records before it; `misc` may be a function of i."""
    events = events or [("cycles", {})]
    specs = [
        EventSpec(attr(kinds, **changes), name, (number,), more.get("leader"))
        for number, (name, changes) in enumerate(events, 1)
    ]
    known = KNOWN | more.get("features", {})
    with Writer(path, specs, known, pipe=more.get("pipe", False)) as file:
        first = specs[0].attr
        for record in beginning():
            file.write(record.encode(first))
        encoders = [sample_encoder(spec.attr) for spec in specs]
        for i in range(count):
            spec, encode = specs[i % len(specs)], encoders[i % len(specs)]
            tids = more.get("tids", (10,))
            values = {
                "ip": PLACES[i % len(PLACES)], "pid": 10, "tid": tids[i % len(tids)],
                "time": 200 + 1111 * i, "period": 1000 + i, "id": spec.ids[0], "cpu": i % 4,
                "addr": 0x7FFF0100 + i, "phys_addr": 0x80000000 + i, "data_src": 0x68100142 + i,
                "weight": 7 + i + (3 * i << 32),
            }  # fmt: skip
            sampled = spec.attr.sample_type
            values = {name: v for name, v in values.items() if sampled & FIELDS[name]}
            if between:
                between(file, first, i)
            mode = misc(i) if callable(misc) else misc
            file.write(encode(misc=mode, **(values | extra(i))))
            if i % 10 == 9:
                file.round()
        file.features["SAMPLE_TIME"] = SampleTime(200, 200 + 1111 * count)


def beginning():
    def trailer(time):
        return SampleId(10, 10, time, 1)

    yield R.Mmap(
        -1, 0, KERNEL, 1 << 24, KERNEL, "[kernel.kallsyms]_text", misc=R.KERNEL,
        sample_id=SampleId(),
    )  # fmt: skip
    yield R.Comm(10, 10, "prog", misc=R.MISC_COMM_EXEC, sample_id=trailer(100))
    for start, name, protection in (
        (BASE, str(PROGRAM), 5), (0x7FFFF000, "[vdso]", 5), (0x7FFF0000, "[stack]", 3)
    ):  # fmt: skip
        yield R.Mmap2(
            10, 10, start, 0x1000, 0, 1, 2, 345, 1, prot=protection, flags=2, filename=name,
            misc=R.USER, sample_id=trailer(101),
        )  # fmt: skip


@kind
def one_event(path):
    write(path, PLAIN)


@kind
def cpus(path):
    write(path, PLAIN + "|CPU")


@kind
def no_tid(path):
    write(path, "IP|TIME|PERIOD")


@kind
def several_events(path):
    events = [
        ("cycles:u", {}), ("instructions", {"config": 1}),
        ("page-faults", {"type": 1, "config": 2}),
        ("L1-dcache-load-misses", {"type": 3, "config": 65536}),
        ("r8000", {"type": 4, "config": 0x8000}), ("other/event/", {"type": 8}),
    ]  # fmt: skip
    write(path, PLAIN + "|IDENTIFIER", events)


def chain(i: int) -> dict:
    user = (R.CONTEXT_USER, PLACES[i % 8], FIB + 0x20, PUT + 12, 0x1234)
    if i % 5 == 0:
        return {"callchain": (R.CONTEXT_KERNEL, KERNEL + 0x100, *user)}
    return {"callchain": user if i % 5 < 4 else ()}


@kind
def callchains(path):
    events = [("cycles", {}), ("instructions:u", {"config": 1})]
    write(path, PLAIN + "|CALLCHAIN|CPU|IDENTIFIER", events, chain)


@kind
def group(path):
    def read(i):
        return {"id": 1, "read": Reading([ReadValue(1000 * (i + 1), 1), ReadValue(300 * i, 2)])}

    events = [
        ("cycles", {"read_format": 12}),
        ("instructions", {"read_format": 12, "config": 1, "sample_period": 0}),
    ]
    write(path, PLAIN + "|IDENTIFIER|READ", events, read, leader=0)


@kind
def branches(path):
    def taken(i):
        every = [
            (FIB + 0x28, FIB, 1 | i << 4), (PUT + 20, FIB, 2 | 5 << 4 | 4 << 20),
            (FIB + 0x36, PUT + 24, 12 | 6 << 20), (KERNEL + 5, FIB, 0),
        ]  # fmt: skip
        return {"branches": every[: i % 5]}

    changes = {"branch_sample_type": BRANCH.ANY | BRANCH.USER | BRANCH.TYPE_SAVE}
    features = {"BRANCH_STACK": True}
    write(path, PLAIN + "|BRANCH_STACK", [("branches", changes)], taken, features=features)


@kind
def memory(path):
    def data(i):
        source = i * 0x9E3779B97F4A7C15 & (1 << 43) - 1
        return {
            "data_src": source,
            "data_page_size": 4096 << i % 20,
            "code_page_size": i % 3 and 2 << 20,
        }

    kinds = PLAIN + "|ADDR|WEIGHT_STRUCT|DATA_SRC|PHYS_ADDR|DATA_PAGE_SIZE|CODE_PAGE_SIZE"
    write(path, kinds, [("r10", {"type": 4, "config": 16})], data)


@kind
def weights(path):
    write(path, PLAIN + "|ADDR|WEIGHT|DATA_SRC|PHYS_ADDR")


@kind
def faults(path):
    def address(i):
        return {"addr": PLACES[i % 8] if i % 3 else KERNEL + 8 if i % 2 else 0x7FFF0010}

    write(path, PLAIN + "|ADDR", [("page-faults", {"type": 1, "config": 2})], address)


@kind
def modes(path):
    def place(i):
        return {"ip": FIB if i % 6 in (0, 2, 4) else KERNEL + i}

    write(path, PLAIN, extra=place, misc=lambda i: (2, 1, 3, 4, 5, 0)[i % 6])


@kind
def bpf_output(path):
    def data(i):
        return {"raw": (b"hello" * (i % 4) + b"\0\x01" * (i % 3)).ljust(20, b"\0")}

    write(path, PLAIN + "|RAW", [("bpf-output", {"type": 1, "config": 10})], data)


@kind
def registers(path):
    def values(i):
        user = Registers(2, range(i, i + 32)) if i % 3 else Registers(0, ())
        return {"regs_user": user, "regs_intr": Registers(2, (1, 2, i))}

    changes = {"sample_regs_user": (1 << 32) - 1, "sample_regs_intr": 7}
    write(path, PLAIN + "|REGS_USER|REGS_INTR", [("cycles", changes)], values)


@kind
def tasks(path):
    write(path, PLAIN + "|CPU", between=_changes, tids=(10, 11, 12, 13))


def _changes(file, first, i) -> None:
    time = 197 + 1111 * i
    mine = SampleId(10, 10, time, 1, 0, i % 4)
    places = {"misc": R.USER, "sample_id": mine}
    by_sample = {
        3: R.Lost(1, 5, sample_id=mine),
        5: R.Fork(11, 10, 11, 10, time, sample_id=mine),
        12: R.Comm(11, 11, "kid \u00e9", sample_id=SampleId(11, 11, time, 1, 0, 1)),
        14: R.Switch(misc=R.MISC_SWITCH_OUT, sample_id=mine),
        15: R.Fork(10, 10, 12, 10, time, sample_id=mine),
        16: R.SwitchCpuWide(
            0, 7, misc=R.MISC_SWITCH_OUT | R.MISC_SWITCH_OUT_PREEMPT, sample_id=mine
        ),
        17: R.Switch(sample_id=mine),
        20: R.Comm(
            10, 12, "thr", misc=R.MISC_COMM_EXEC, sample_id=SampleId(10, 12, time, 1, 0, 1)
        ),
        22: R.Mmap(10, 10, 0x700000, 0x1000, 0x3000, "/lib/x.so", **places),
        23: R.Mmap(
            10, 10, 0x800000, 0x1000, 0, "/lib/data", misc=R.USER | R.MISC_MMAP_DATA, sample_id=mine
        ),
        24: R.Mmap2(
            10, 10, 0x900000, 0x1000, 0, build_id=bytes(range(20)), prot=7, flags=1,
            filename="/lib/b", misc=R.USER | R.MISC_MMAP_BUILD_ID, sample_id=mine,
        ),
        25: R.Namespaces(10, 10, 7, tuple(range(14)), sample_id=mine),
        26: R.Cgroup(77, "/a/b", sample_id=mine),
        30: R.Exit(11, 10, 11, 10, time, sample_id=mine),
        31: R.Ksymbol(KERNEL + (2 << 24), 64, 1, 0, "bpf_prog_1_foo", sample_id=mine),
        32: R.BpfEvent(1, 0, 5, 99, sample_id=mine),
    }  # fmt: skip
    if i in by_sample:
        file.write(by_sample[i].encode(first))


# --- tracepoints

COMMON = (
    "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
    "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
)


def tracepoint(name: str, number: int, fields: str, fmt: str) -> str:
    """A format. A field is `declaration @offset+size`, with `s` behind it if it is signed."""
    out = f"name: {name}\nID: {number}\nformat:\n{COMMON}"
    for field in fields.strip().splitlines():
        declaration, _, place = field.strip().rpartition(" @")
        offset, _, size = place.removesuffix("s").partition("+")
        signed = int(place.endswith("s"))
        out += f"\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n"
    return f"{out}\nprint fmt: {fmt}\n"


STATES = "0x00000000 | 0x00000001 | 0x00000002 | 0x00000004"
SCHED_SWITCH = tracepoint(
    "sched_switch", 316,
    """char prev_comm[16] @8+16
    pid_t prev_pid @24+4s
    long prev_state @32+8s
    char next_comm[16] @40+16
    pid_t next_pid @56+4s""",
    '"prev_comm=%s prev_pid=%d prev_state=%s%s ==> next_comm=%s next_pid=%d", REC->prev_comm, '
    f"REC->prev_pid, (REC->prev_state & (((({STATES}) + 1) << 1) - 1)) ? "
    f'__print_flags(REC->prev_state & (((({STATES}) + 1) << 1) - 1), "|", '
    '{ 0x00000001, "S" }, { 0x00000002, "D" }, { 0x00000004, "T" }, { 0x00000008, "t" }) : "R", '
    f'REC->prev_state & ((({STATES}) + 1) << 1) ? "+" : "", REC->next_comm, REC->next_pid',
)  # fmt: skip
SYS_ENTER = tracepoint(
    "sys_enter_write", 400,
    """int __syscall_nr @8+4s
    unsigned int fd @16+8
    const char * buf @24+8
    size_t count @32+8""",
    '"fd: 0x%08lx, buf: 0x%08lx, count: 0x%08lx", ((unsigned long)(REC->fd)), '
    "((unsigned long)(REC->buf)), ((unsigned long)(REC->count))",
)  # fmt: skip
EVERYTHING = tracepoint(
    "everything", 401,
    """__data_loc char[] path @8+4s
    u8 mac[6] @12+6
    short less @18+2s
    s64 big @24+8s
    void * ptr @32+8
    u32 list[4] @40+16
    unsigned char c @56+1
    __data_loc unsigned long[] mask @60+4""",
    '"%s %-10s| %10.3s| %pM %d %hd %lld %llu %p %pS %s [%s] %s %s %d %u %5d %-5d| %05x %#x %o '
    '%% c=%c m=%s %s op=%d %s", __get_str(path), __get_str(path), __get_str(path), REC->mac, '
    "REC->less, REC->less, REC->big, REC->big, REC->ptr, REC->ptr, __print_hex(REC->mac, 6), "
    '__print_array(REC->list, 4, 4), __print_symbolic(REC->c, { 0, "ZERO" }, { 1, "ONE" }), '
    '__print_flags(REC->c, "|", { 1, "A" }, { 2, "B" }, { 4, "C" }), '
    "__get_dynamic_array_len(path), REC->list[1], REC->c, REC->c, REC->c, REC->c, REC->c, "
    "__get_bitmask(mask), __print_hex_str(REC->mac, 3), (int)(REC->c * 3 - 7) / 2 + !REC->c, "
    'REC->c > 3 ? "big" : "small"',
)  # fmt: skip
UNKNOWN = tracepoint(
    "unknown", 402,
    """int a @8+4s
    char b[8] @12+8
    unsigned long l @24+8
    __data_loc char[] s @32+4s
    void * p @40+8
    short h @48+2s
    u8 raw[4] @50+4""",
    '"%d", no_such_function(REC->a)',
)  # fmt: skip
FORMATS = {"sched": [SCHED_SWITCH], "syscalls": [SYS_ENTER], "test": [EVERYTHING, UNKNOWN]}
TRACEPOINTS = (
    (316, "sched_switch"),
    (400, "sys_enter_write"),
    (401, "everything"),
    (402, "unknown"),
)


def raw(i: int, number: int) -> bytes:
    """The data of sample i of a tracepoint."""

    def word(value: int, size: int = 8) -> bytes:
        return (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    head = word(number, 2) + bytes(2) + word(10, 4)
    if number == 316:
        body = b"prog".ljust(16, b"\0") + word(10) + word(13 * i % 30)
        body += b"next/0".ljust(16, b"\0") + word(-1 - i, 4) + bytes(4)
    elif number == 400:
        body = word(64) + word(i) + word(0x1234567890 + i) + word(i * i)
    elif number == 401:
        path = b"/usr/lib/x%d\0" % i
        body = word(len(path) << 16 | 72, 4) + bytes(range(6)) + word(-i, 2) + bytes(4) + word(-i)
        body += word(KERNEL + i if i % 2 else 0) + b"".join(word(j * i, 4) for j in range(4))
        body += bytes((i, 0, 0, 0)) + word(16 << 16 | 96, 4)
        body = body.ljust(64, b"\0") + path.ljust(24, b"\0") + bytes(range(i, i + 16))
    else:
        body = word(i, 4) + b"hey".ljust(12, b"\0") + word(i + 5) + word(5 << 16 | 56)
        body += word(i) + word(-6 + i % 5, 2) + bytes((1, 2, 3, i, 0, 0)) + b"text\0"
    data = head + body
    return data + bytes(-(len(data) + 4) % 8)


def _traced(path, extra="", **more):
    def data(i):
        return {"raw": raw(i, TRACEPOINTS[i % 4][0])} | (chain(i) if extra else {})

    events = [
        (f"x:{name}", {"type": 2, "config": number, "sample_period": 1})
        for number, name in TRACEPOINTS
    ]
    features = {"TRACING_DATA": tracing.encode(tracing.Tracing(FORMATS))}
    kinds = PLAIN + "|RAW|CPU|IDENTIFIER" + extra
    write(path, kinds, events, data, features=features, **more)


@kind
def tracepoints(path):
    _traced(path)


@kind
def traced_chains(path):
    _traced(path, "|CALLCHAIN")


PIPES = {
    "one-event": lambda path: write(path, PLAIN, pipe=True),
    "callchains": lambda path: write(
        path, PLAIN + "|CALLCHAIN|IDENTIFIER", [("a", {}), ("b", {})], chain, pipe=True
    ),
    "tracepoints": lambda path: _traced(path, pipe=True),
}


def dwarf(path):
    """FIB called from FIB from PUT, in registers and stack (which PUT never did)."""

    def stack(i):
        values = [FIB, FIB + 0x2C, 0x7FFF0100] + [0] * 29
        frames = [(0, PUT + 0x20), (0, 0)]
        words = b"".join(word.to_bytes(8, "little") for frame in frames for word in frame)
        return {
            "callchain": (), "regs_user": Registers(2, values), "stack": words.ljust(256, b"\0"),
            "stack_size": 256,
        }  # fmt: skip

    changes = {"sample_regs_user": (1 << 32) - 1, "sample_stack_user": 256}
    kinds = PLAIN + "|CALLCHAIN|REGS_USER|STACK_USER"
    write(path, kinds, [("cycles", changes)], stack, count=3)
