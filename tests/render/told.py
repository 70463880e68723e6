"""Profiles that are told in a few words: who ran what when. Symbols are made up along the way."""

from types import SimpleNamespace

from rvperf.perfdata import records
from rvperf.perfdata.features import NrCpus
from rvperf.perfdata.reader import Reader
from rvperf.perfdata.records import SampleId, sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer
from rvperf.profile.samples import Profile
from rvperf.render.stacks import Stacks, choose
from rvperf.symbols.lines import Line
from tests.perfdata import files

PROGRAM, KERNEL = 0x10000, 0xFFFFFFFF80000000
SLOT = 0x100
"""Bytes of each made-up function."""
MARKERS = {"user": records.CONTEXT_USER, "kernel": records.CONTEXT_KERNEL}
PERIOD = 1000


class MadeUp:
    """Stands for rvperf.symbols.Symbols and for its dsos: function n is at n * SLOT.

    A function `a>b` is `a` with `b` inlined where it is sampled; `?` has no symbol.
    """

    def __init__(self, base: int = 0):
        self.base = base
        self.names: list[str] = []
        self.slots: dict[str, int] = {}
        self.kernel = self if base else MadeUp(KERNEL)

    def dso(self, path, build_id, kind):
        return self.kernel if kind == "kernel" else self

    def slot(self, name: str) -> int:
        if name not in self.slots:
            self.slots[name] = len(self.names)
            self.names.append(name)
        return self.base + self.slots[name] * SLOT

    def symbols_of(self, addresses):
        import numpy as np

        found = (addresses - np.uint64(self.base)).astype(np.int64) // SLOT
        known = [0 <= n < len(self.names) and self.names[n] != "?" for n in found.tolist()]
        return np.where(known, found, -1)

    def symbol_at(self, index):
        start = self.base + int(index) * SLOT
        return SimpleNamespace(
            name=self.names[index].split(">")[0], start=start, end=start + SLOT, index=index
        )

    def disassemble(self, start, end, demangled=False):
        return []

    why = "there is no code"
    foreign = None

    def lines(self, address):
        n = (address - self.base) // SLOT
        if not 0 <= n < len(self.names) or ">" not in self.names[n]:
            return []
        inner = self.names[n].split(">")[::-1]
        return [Line(name, f"/src/{name[0]}.c", 10 + k) for k, name in enumerate(inner)]


def profile(path, samples, events=("cycles",), chained=True, period=PERIOD, command=("prog",)):
    """A profile of samples "comm[/tid[/cpu[/event]]] outer;…;inner", a microsecond apart.

    A function `k:name` is in the kernel. Without `chained` only the innermost is recorded.
    """
    symbols = MadeUp()
    extra = "CPU|CALLCHAIN" if chained else "CPU"
    attrs = [files.cycles(extra, config=n, sample_period=period) for n in range(len(events))]
    specs = [
        EventSpec(attr, name, (n,))
        for n, (attr, name) in enumerate(zip(attrs, events, strict=True), 1)
    ]
    encode = sample_encoder(attrs[0])
    known = files.KNOWN | {"CMDLINE": list(command), "NRCPUS": NrCpus(2, 2)}
    with Writer(path, specs, known) as file:
        for record in start():
            file.write(record.encode(attrs[0]))
        comms = {}
        for n, text in enumerate(samples):
            who, _, stack = text.partition(" ")
            comm, tid, cpu, event = (*who.split("/"), *("10", "0", "0")[who.count("/") :])
            time = 1_000_000 + 1000 * n
            if comms.get(tid) != comm:
                comms[tid] = comm
                named = records.Comm(10, int(tid), comm, sample_id=SampleId(10, int(tid), time, 1))
                file.write(named.encode(attrs[0]))
            chain, mode = callchain(stack.split(";"), symbols)
            told = {"callchain": chain} if chained else {}
            file.write(
                encode(
                    mode, id=1 + int(event), pid=10, tid=int(tid), time=time, cpu=int(cpu),
                    ip=chain[1], period=period, **told,
                )
            )  # fmt: skip
    return Profile(Reader(path), symbols)


def start():
    """The records before the samples."""
    yield records.Mmap(
        -1, 0, KERNEL, 1 << 24, KERNEL, "[kernel.kallsyms]_text", misc=records.KERNEL,
        sample_id=SampleId(),
    )  # fmt: skip
    yield records.Mmap2(
        10, 10, PROGRAM, 1 << 24, 0, build_id=files.BUILD_ID, prot=5, flags=2,
        filename="/bin/prog", misc=records.USER | records.MISC_MMAP_BUILD_ID,
        sample_id=SampleId(10, 10, 101, 1),
    )  # fmt: skip


def callchain(names, symbols: MadeUp):
    """The chain of functions, outermost first, as the kernel writes it, and the leaf's mode."""
    chain, last = [], None
    for name in reversed(names):
        kind = "kernel" if name.startswith("k:") else "user"
        if kind != last:
            chain.append(MARKERS[kind])
            last = kind
        place = symbols.kernel if kind == "kernel" else symbols
        base = 0 if kind == "kernel" else PROGRAM
        chain.append(base + place.slot(name.removeprefix("k:")) + 0x10)
    leaf = records.KERNEL if names[-1].startswith("k:") else records.USER
    return tuple(chain), leaf


def stacks(path, samples, event=None, **how) -> Stacks:
    """The stacks of one event of such a profile."""
    made = profile(path, samples, **how)
    return Stacks(made, choose(made, event))
