"""`perf script -D`: every record as bytes and as numbers, and samples as perf script shows them."""

import struct
from collections.abc import Iterator

from rvperf.perfdata import records
from rvperf.perfdata.attr import BRANCH, READ, SAMPLE
from rvperf.perfdata.records import NAMES, REGISTERS, RecordError, Sample
from rvperf.profile.samples import Profile
from rvperf.render import record_text
from rvperf.render.script import BRANCH_TYPES, Script, amount

WIDTH = 16
"""Bytes in a line."""
SHOWN = tuple(bytes((code,)).decode("latin-1") if 32 <= code < 127 else "." for code in range(256))
ABIS = ("none", "32-bit", "64-bit")
SILENT = {records.FinishedRound.type, records.TracingData.type, records.Auxtrace.type}
"""perf's own records of which only the name is printed."""
THREAD = struct.Struct("<Q8s")
GUEST_MODES = (records.GUEST_KERNEL, records.GUEST_USER)


class RawTrace:
    """Prints the records of a profile in the order of processing: `for text in RawTrace(…)`."""

    def __init__(self, profile: Profile, script: Script):
        self.profile, self.script = profile, script
        reader = self.reader = profile.reader
        self._chosen = set(script.chosen.tolist())
        self._indices: dict[int, list[int]] = {}
        for index, number in enumerate(profile.record.tolist()):
            self._indices.setdefault(number, []).append(index)
        self._path = "pipe" if reader.is_pipe else reader.path
        self._base = 0 if reader.is_pipe else reader.data_offset
        self._kinds = 0
        for event in reader.events:
            self._kinds |= event.attr.sample_type
        self._trailers = all(event.attr.sample_id_all for event in reader.events)

    def __iter__(self) -> Iterator[str]:
        for number in self.reader.order().tolist():
            yield self._record(number)

    def _record(self, number: int) -> str:
        reader = self.reader
        start, size = 8 * int(reader.starts[number]), int(reader.sizes[number])
        kind = int(reader.types[number])
        at = record_text.alternate(self._base + start)
        name = NAMES.get(kind, "(null)")
        out = [f"\n{at}@{self._path} [{size:#x}]: event: {kind}\n"]
        out.append(dump(bytes(reader.data[start : start + size])))
        try:
            record = reader.record(number)
        except RecordError:
            record = None
        out.append(f"{self._stamp(record, kind)}{at} [{size:#x}]: PERF_RECORD_{name}")
        if kind == records.SAMPLE_RECORD:
            out.append(self._sample(number, record) if record else "\n")
        else:
            out.append(body(record, kind))
        return "".join(out)

    def _stamp(self, record, kind: int) -> str:
        """The CPU and the time."""
        if kind != records.SAMPLE_RECORD and not self._trailers:
            return "-1 -1 "
        when = record if kind == records.SAMPLE_RECORD else getattr(record, "sample_id", None)
        cpu, time = (when.cpu, when.time) if when else (0, 0)
        stamp = f"{cpu} " if self._kinds & SAMPLE.CPU else ""
        return stamp + (f"{time} " if self._kinds & SAMPLE.TIME else "")

    def _sample(self, number: int, sample: Sample) -> str:
        attr = sample.event.attr
        pid, tid = (sample.pid, sample.tid) if attr.sample_type & SAMPLE.TID else (-1, -1)
        out = [
            f"(IP, 0x{sample.misc:x}): {pid}/{tid}: {record_text.alternate(sample.ip)} "
            f"period: {sample.period} addr: {record_text.alternate(sample.addr)}\n"
        ]
        out += details(sample, attr, int(self.reader.sizes[number]))
        for index in self._indices.get(number, ()):
            thread = self.profile.threads[self.profile.thread[index]]
            comm = self.profile.comms[self.profile.comm[index]]
            found = int(self.profile.map[index])
            if found >= 0:
                dso = self.profile.maps[found].dso.name
            else:
                known = (records.USER, records.KERNEL)
                known += GUEST_MODES if self.profile.world.guest else ()
                dso = "<not found>" if sample.cpumode in known else "[hypervisor]"
            out.append(f" ... thread: {comm}:{thread.tid}\n ...... dso: {dso}\n")
            if index in self._chosen:
                out.append(self.script.sample(index))
        return "".join(out)


def dump(data: bytes) -> str:
    """A record's bytes, sixteen a line, as numbers and as characters."""
    out = [f".\n. ... raw event: size {len(data)} bytes\n"]
    for at in range(0, len(data), WIDTH):
        line = data[at : at + WIDTH]
        numbers = "".join(f" {byte:02x}" for byte in line)
        characters = "".join(SHOWN[byte] for byte in line)
        out.append(f".  {at:04x}: {numbers:<{3 * WIDTH}}  {characters:<{WIDTH}}\n")
    out.append("\n")
    return "".join(out)


def body(record, kind: int) -> str:
    """What follows the name of a record that is no sample."""
    if record is None or kind in SILENT:
        return "\n"
    if kind == records.Lost.type:
        return f": id:{record.id}: lost:{record.lost}\n"
    if kind == records.LostSamples.type:
        return f": id:0: lost samples :{record.lost}\n"
    if kind == records.IdIndex.type:
        return id_index(record)
    if kind == records.ThreadMap.type:
        tids = [str(tid) for tid, _ in THREAD.iter_unpack(record.entries[: 16 * record.nr])]
        return f" nr: {len(tids)} thread{'s' if len(tids) > 1 else ''}: {', '.join(tids)}\n"
    if kind == records.TimeConv.type:
        return time_conversion(record)
    if kind == records.CpuMap.type:
        return f": {cpus(record.data)}\n"
    if kind == records.EventUpdate.type:
        return event_update(record)
    if kind in record_text.TEXTS:
        return record_text.body(record)
    return ": unhandled!\n"


def event_update(record) -> str:
    """What a file says of an event besides its attributes (perf_event__fprintf_event_update)."""
    text = record.data.split(b"\0")[0].decode("utf-8", "surrogateescape")
    if record.kind == records.EVENT_UPDATE_UNIT:
        said = f"... unit:  {text}\n"
    elif record.kind == records.EVENT_UPDATE_SCALE:
        (scale,) = struct.unpack("<d", record.data[:8].ljust(8, b"\0"))
        said = f"... scale: {scale:f}\n"
    elif record.kind == records.EVENT_UPDATE_NAME:
        said = f"... name:  {text}\n"
    elif record.kind == records.EVENT_UPDATE_CPUS:
        said = f"... : {cpus(record.data)}\n"
    else:
        said = "... unknown type\n"
    return f"\n... id:    {record.id}\n{said}"


def time_conversion(record) -> str:
    """How the kernel makes times of cycles; later kernels say more of it."""
    out = [
        f"\n... Time Shift      {record.time_shift}\n"
        f"... Time Muliplier  {record.time_mult}\n"
        f"... Time Zero       {record.time_zero}\n"
    ]
    if len(record.rest) >= 18:
        cycles, mask, zero, short = struct.unpack_from("<QQ??", record.rest)
        out.append(
            f"... Time Cycles     {cycles}\n... Time Mask       {record_text.alternate(mask)}\n"
            f"... Cap Time Zero   {zero:d}\n... Cap Time Short  {short:d}\n"
        )
    return "".join([*out, ": unhandled!\n"])


def cpus(data: bytes) -> str:
    """The CPUs of a CPU_MAP record (perf_record_cpu_map_data) as ranges."""
    kind, count = struct.unpack_from("<HH", data.ljust(8, b"\0"))
    if kind == 0:
        numbers = struct.unpack_from(f"<{min(count, len(data) // 2 - 2)}H", data, 4)
    elif kind == 2:
        _, first, last = struct.unpack_from("<HHH", data.ljust(8, b"\0"), 2)
        numbers = range(first, min(last, first + 4096) + 1)
    else:
        wide = int.from_bytes(data[4:6], "little") == 8
        size, at = (8, 8) if wide else (4, 6)
        mask = int.from_bytes(data[at : at + size * count], "little")
        numbers = [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
    shown, run = [], []
    for number in [*numbers, None]:
        if run and number != run[-1] + 1:
            shown.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
            run = []
        run.append(number)
    return ",".join(shown)


def id_index(record) -> str:
    def signed(word: int) -> int:
        return word - (1 << 64) if word >> 63 else word

    words = record.entries
    out = [f" nr: {record.nr}\n"]
    for at in range(0, min(4 * record.nr, len(words) // 4 * 4), 4):
        number, index, cpu, tid = words[at : at + 4]
        out.append(f" ... id: {number}  idx: {index}  cpu: {signed(cpu)}  tid: {signed(tid)}\n")
    return "".join(out)


def details(sample: Sample, attr, size: int) -> list[str]:
    """The lines about what else a sample has; `size` is its record's."""
    kind, out = attr.sample_type, []
    stack = bool(attr.branch_sample_type & BRANCH.CALL_STACK)
    if kind & SAMPLE.CALLCHAIN:
        chain = sample.callchain or ()
        out.append(f"... FP chain: nr:{len(chain)}\n")
        out += [f"..... {i:2d}: {ip:016x}\n" for i, ip in enumerate(chain)]
    if kind & SAMPLE.BRANCH_STACK:
        out += branches(sample, stack)
    if kind & SAMPLE.REGS_USER and sample.regs_user and sample.regs_user.abi:
        out += registers("user", sample.regs_user, attr.sample_regs_user)
    if kind & SAMPLE.REGS_INTR and sample.regs_intr and sample.regs_intr.abi:
        out += registers("intr", sample.regs_intr, attr.sample_regs_intr)
    if kind & SAMPLE.STACK_USER:
        at = size + stack_offset(sample, attr)
        out.append(f"... ustack: size {sample.stack_size}, offset 0x{at:x}\n")
    if kind & SAMPLE.WEIGHT:
        out.append(f"... weight: {sample.weight}\n")
    if kind & SAMPLE.WEIGHT_STRUCT:
        latency, stage = sample.weight >> 32 & 0xFFFF, sample.weight >> 48
        out.append(f"... weight: {sample.weight & 0xFFFFFFFF},0x{latency:x},0x{stage:x}\n")
    if kind & SAMPLE.DATA_SRC:
        out.append(f" . data_src: 0x{sample.data_src:x}\n")
    if kind & SAMPLE.PHYS_ADDR:
        out.append(f" .. phys_addr: 0x{sample.phys_addr:x}\n")
    if kind & SAMPLE.DATA_PAGE_SIZE:
        out.append(f" .. data page size: {amount(sample.data_page_size)}\n")
    if kind & SAMPLE.CODE_PAGE_SIZE:
        out.append(f" .. code page size: {amount(sample.code_page_size)}\n")
    if kind & SAMPLE.TRANSACTION:
        out.append(f"... transaction: {sample.transaction:x}\n")
    if kind & SAMPLE.READ and sample.read:
        out.append(reading(sample.read, attr.read_format))
    return out


def stack_offset(sample: Sample, attr) -> int:
    """Where in the record the copy of the stack begins, with its size."""
    kind = attr.sample_type
    after = SAMPLE.DATA_SRC, SAMPLE.TRANSACTION, SAMPLE.PHYS_ADDR, SAMPLE.CGROUP
    after += SAMPLE.DATA_PAGE_SIZE, SAMPLE.CODE_PAGE_SIZE
    words = sum(bool(kind & bit) for bit in after)
    words += bool(kind & (SAMPLE.WEIGHT | SAMPLE.WEIGHT_STRUCT))
    if kind & SAMPLE.REGS_INTR:
        words += 1 + (len(sample.regs_intr.values) if sample.regs_intr else 0)
    if kind & SAMPLE.AUX:
        words += 1 + len(sample.aux or b"") // 8
    words += 2 if sample.stack else 1  # its sizes
    return -8 * words - len(sample.stack or b"")


def branches(sample: Sample, stack: bool) -> list[str]:
    found = sample.branches or []
    if stack:
        out = [f"... branch callstack: nr:{len(found) + 1}\n"]
        for i, branch in enumerate(found):
            if i == 0:
                out.append(f"..... {0:2d}: {branch.target:016x}\n")
            out.append(f"..... {i + 1:2d}: {branch.source:016x}\n")
        return out
    out = [f"... branch stack: nr:{len(found)}\n"]
    for i, branch in enumerate(found):
        flags = branch.flags
        letters = "M" if flags & 1 else " "
        letters += "P" if flags & 2 else " "
        letters += "A" if flags & 8 else " "
        letters += "T" if flags & 4 else " "
        kind = BRANCH_TYPES[flags >> 20 & 15] if flags >> 20 & 15 < 15 else ""
        out.append(
            f"..... {i:2d}: {branch.source:016x} -> {branch.target:016x} {branch.cycles} cycles "
            f"{letters} {flags >> 33:x} {kind}\n"
        )
    return out


def registers(which: str, saved, mask: int) -> list[str]:
    abi = ABIS[saved.abi] if saved.abi < len(ABIS) else "unknown"
    out = [f"... {which} regs: mask 0x{mask:x} ABI {abi}\n"]
    numbers = [number for number in range(64) if mask >> number & 1]
    for number, value in zip(numbers, saved.values, strict=False):
        name = REGISTERS[number] if number < len(REGISTERS) else "unknown"
        out.append(f".... {name:<5} 0x{value:016x}\n")
    return out


def reading(read, form: int) -> str:
    out = ["... sample_read:\n"]
    if form & READ.TOTAL_TIME_ENABLED:
        out.append(f"...... time enabled {read.enabled:016x}\n")
    if form & READ.TOTAL_TIME_RUNNING:
        out.append(f"...... time running {read.running:016x}\n")
    if form & READ.GROUP:
        out.append(f".... group nr {len(read.values)}\n")
    for value in read.values:
        lost = f", lost {value.lost}" if form & READ.LOST else ""
        out.append(f"..... id {value.id:016x}, value {value.value:016x}{lost}\n")
    return "".join(out)
