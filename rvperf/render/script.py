"""The text of `rvperf script`: a line (or, with callers, a paragraph) for each sample.

What is printed for which event is in script_fields.py. The layout is that of perf 6.1
(tools/perf/builtin-script.c, util/evsel_fprintf.c). It goes over the profile's columns and decodes
a record only if a field needs more than those; names and lines are found once per address.
"""

from collections.abc import Iterator
from time import localtime, strftime

import numpy as np

from isa.record import Record
from rvperf.perfdata import records, tracing
from rvperf.perfdata.attr import SAMPLE
from rvperf.perfdata.reader import Event
from rvperf.perfdata.records import REGISTERS, RecordError, Sample
from rvperf.perfdata.trace_format import Printer
from rvperf.profile.machine import World
from rvperf.profile.samples import Profile
from rvperf.render import record_text
from rvperf.render.memory_text import data_src
from rvperf.render.script_fields import Fields

BRANCH_TYPES = (
    "", "COND", "UNCOND", "IND", "CALL", "IND_CALL", "RET", "SYSCALL", "SYSRET", "COND_CALL",
    "COND_RET", "ERET", "IRQ", "SERROR", "NO_TX",
)  # fmt: skip
NEW_BRANCH_TYPES = (
    "FAULT_ALGN", "FAULT_DATA", "FAULT_INST", "ARCH_1", "ARCH_2", "ARCH_3", "ARCH_4", "ARCH_5"
)  # fmt: skip
PAGE_FAULTS = (2, 5, 6)
"""Software events whose samples' addresses perf shows with symbols."""
LONGEST_BLOCK = 16384 - 16
"""Bytes of code between two branches that brstackinsn goes through."""
LONGEST_CHAIN = 127
MODES = ("K", "U", "H", "G", "g")
NOBODY = ":-1"
TOLD = {
    "task": (records.Comm, records.Fork, records.Exit),
    "mmap": (records.Mmap, records.Mmap2),
    "switch": (records.Switch, records.SwitchCpuWide),
    "namespace": (records.Namespaces,),
    "cgroup": (records.Cgroup,),
    "lost": (records.Lost,),
    "bpf": (records.Ksymbol, records.BpfEvent),
    "text-poke": (records.Ksymbol, records.TextPoke),
}
"""The records that --show-…-events prints."""


class Style(Record):
    """How samples are printed; the names are those of the options."""

    ns: bool = False
    callchains: bool = True
    max_stack: int = LONGEST_CHAIN
    inline: bool = True
    demangle: bool = True
    full_source_path: bool = False
    latency: bool = False
    reltime: bool = False
    deltatime: bool = False
    max_blocks: int = 0
    stop_bt: frozenset = frozenset()
    show: tuple[str, ...] = ()
    """Which records are printed too (names of TOLD)."""
    cpus: frozenset | None = None
    """Only samples and records of these CPUs."""


class Script:
    """Prints the samples of a profile: `for text in Script(profile, fields, style): …`.

    `chosen` are the indices of the samples (all without it).
    """

    def __init__(self, profile: Profile, fields: Fields, style: Style, chosen=None):
        self.profile, self.fields, self.style = profile, fields, style
        self.chosen = np.arange(len(profile)) if chosen is None else np.asarray(chosen)
        self.names = Names(profile, style)
        self.width = max((length(event.name) for event in profile.events), default=0)
        self._decoded = (-1, None)
        self._clock = Clock(style)
        self._longest = 0
        """Width of the column of data_src so far."""
        self._chains: dict[tuple, str] = {}
        self._places: dict[tuple, str] = {}
        self._instructions: dict[tuple, tuple] = {}
        self._lists: dict[str, list] = {}
        self._plans: dict[int, list] = {}
        self._owners = profile.event.tolist()

    def __iter__(self) -> Iterator[str]:
        if not self.style.show:
            return map(self.sample, self.chosen.tolist())
        return (text for _, text in self.by_event())

    def by_event(self) -> Iterator[tuple[int, str]]:
        """Each text and the index of the event that it is a sample of; -1 for other records."""
        if not self.style.show:
            for index in self.chosen.tolist():
                yield int(self._owners[index]), self.sample(index)
            return
        for index, number in self._with_records():
            if index is None:
                for text in self._record(number):
                    yield -1, text
            else:
                yield int(self._owners[index]), self.sample(index)

    def sample(self, index: int) -> str:
        """The text of one sample; empty if nothing of it is shown."""
        owner = self._owners[index]
        plan = self._plans.get(owner)
        if plan is None:
            plan = self._plans[owner] = self._plan(self.profile.events[owner])
        return "".join([part(index) for part in plan])

    # --- what a line is made of

    def _column(self, name: str) -> list:
        if name not in self._lists:
            self._lists[name] = getattr(self.profile, name).tolist()
        return self._lists[name]

    def _sample(self, index: int) -> Sample | None:
        """The decoded record; None if it is damaged."""
        if self._decoded[0] != index:
            try:
                sample = self.profile.reader.record(int(self.profile.record[index]))
            except RecordError:
                sample = None
            self._decoded = index, sample
        return self._decoded[1]

    def _plan(self, event: Event) -> list:
        """Functions from a sample's index to the pieces of its text; empty if nothing is shown."""
        shown = self.fields[event.attr]
        if not shown:
            return []
        kind = event.attr.sample_type
        plan = [self._start(event, shown)]
        if "period" in shown:
            periods = self._column("period")
            plan.append(lambda i: f"{periods[i]:10d} ")
        if "event" in shown:
            title = f"{right(event.name, self.width)}: "
            plan.append(lambda i: title)
        if self.fields.flags:
            plan.append(lambda i: f"  {'':<21} ")
        if "trace" in shown and kind & SAMPLE.RAW:
            plan.append(self._trace(event))
        if "addr" in shown:
            plan.append(self._addr(event, shown))
        if "data_src" in shown:
            plan.append(self._data_src)
        if "weight" in shown:
            bits = 32 if kind & SAMPLE.WEIGHT_STRUCT else 64
            plan.append(self._of_sample(lambda s: f"{s.weight & (1 << bits) - 1:16d}"))
        if "ins_lat" in shown:
            plan.append(self._of_sample(lambda s: f"{s.weight >> 32 & 0xFFFF:16d}"))
        if "ip" in shown:
            plan.append(self._where(event, shown))
        for name, field, mask in (
            ("iregs", "regs_intr", event.attr.sample_regs_intr),
            ("uregs", "regs_user", event.attr.sample_regs_user),
        ):
            if name in shown:
                plan.append(self._registers(field, mask))
        for name in ("brstack", "brstacksym", "brstackoff"):
            if name in shown and kind & SAMPLE.BRANCH_STACK:
                plan.append(self._branches(name, "dso" in shown))
                break
        if "bpf-output" in shown and event.attr.type == 1 and event.attr.config == 10:
            plan.append(self._of_sample(bpf_output))
        plan += self._code(shown, kind)
        if "phys_addr" in shown:
            plan.append(self._of_sample(lambda s: f"{s.phys_addr:16x}"))
        if "data_page_size" in shown:
            plan.append(self._of_sample(lambda s: f" {amount(s.data_page_size)}"))
        if "code_page_size" in shown:
            plan.append(self._of_sample(lambda s: f" {amount(s.code_page_size)}"))
        plan.append(lambda i: "\n")
        if "srccode" in shown:
            plan.append(self._source)
        return plan

    def _of_sample(self, text):
        def part(index: int) -> str:
            sample = self._sample(index)
            return text(sample) if sample else ""

        return part

    def _start(self, event: Event, shown: set[str]):
        """perf_sample__fprintf_start, from the columns."""
        style, kind = self.style, event.attr.sample_type
        tasks = bool(kind & SAMPLE.TID)
        pids, tids, cpus, times, modes = map(self._column, ("pid", "tid", "cpu", "time", "cpumode"))
        chained = "ip" in shown and bool(kind & SAMPLE.CALLCHAIN) and style.callchains
        comm_of, comms = self._column("comm"), self.profile.comms
        comms = [self._comm(comm, chained) for comm in comms]
        parts = []
        if "comm" in shown:
            parts.append(lambda i: comms[comm_of[i]])
        if shown >= {"pid", "tid"}:
            parts.append(lambda i: f"{pids[i]:5d}/{tids[i]:<5d} " if tasks else "   -1/-1    ")
        elif "pid" in shown:
            parts.append(lambda i: f"{pids[i]:5d} " if tasks else "   -1 ")
        elif "tid" in shown:
            parts.append(lambda i: f"{tids[i]:5d} " if tasks else "   -1 ")
        if "cpu" in shown:
            form = "{:3d} " if style.latency else "[{:03d}] "
            known = bool(kind & SAMPLE.CPU)
            parts.append(lambda i: form.format(cpus[i] if known else -1))
        if "misc" in shown:
            parts.append(lambda i: misc(modes[i]))
        if "tod" in shown:
            data = self.profile.reader.features.get("CLOCK_DATA")
            parts.append(lambda i: time_of_day(data, times[i], style.ns))
        if "time" in shown:
            clock, known = self._clock, bool(kind & SAMPLE.TIME)
            parts.append(lambda i: clock(times[i] if known else 2**64 - 1))
        if len(parts) == 1:
            return parts[0]
        return lambda i: "".join([part(i) for part in parts])

    def _comm(self, comm: str, chained) -> str:
        if self.style.latency:
            return f"{right(comm[:8], 8)} "
        return f"{comm} " if chained else f"{right(comm, 16)} "

    # --- tracepoints, data

    def _trace(self, event: Event):
        formats = tracing.formats_by_id(self.profile.reader.features.get("TRACING_DATA", b""))
        text = formats.get(event.attr.config)
        if text is None:
            # perf refuses the whole file
            return self._of_sample(lambda s: " ".join(f"{byte:02x}" for byte in s.raw or b""))
        printer = Printer(text, self.names.kernel_function)
        return self._of_sample(lambda s: printer(s.raw or b""))

    def _addr(self, event: Event, shown):
        addresses = self._column("addr")
        correlates = event.attr.type == 1 and event.attr.config in PAGE_FAULTS
        if not correlates or not shown & {"sym", "dso"}:
            return lambda i: f"{addresses[i]:16x}"

        def part(index: int) -> str:
            place = self._place(index, addresses[index])
            shown_as = f"{addresses[index]:16x}"
            if "sym" in shown:
                shown_as += f" {self.names.symbol(*place, 'symoff' in shown)}"
            if "dso" in shown:
                shown_as += f" ({self.names.dso(place[0])})"
            return shown_as

        return part

    def _data_src(self, index: int) -> str:
        sample = self._sample(index)
        shown = data_src(sample.data_src if sample else 0)
        self._longest = max(self._longest, len(shown))
        return f"{shown:<{self._longest}}"

    def _registers(self, field: str, mask: int):
        numbers = [number for number in range(64) if mask >> number & 1]
        known = [REGISTERS[n] if n < len(REGISTERS) else "unknown" for n in numbers]

        def part(index: int) -> str:
            sample = self._sample(index)
            registers = getattr(sample, field) if sample else None
            if not registers or not registers.abi:
                return ""
            values = zip(known, registers.values, strict=False)
            shown = "".join(f"{name:>5}:0x{value:x} " for name, value in values)
            return f" ABI:{registers.abi} {shown}"

        return part

    # --- where

    def _where(self, event: Event, shown: set[str]):
        """The instruction pointer, or the callchain."""
        alone = self._alone(shown)
        if not event.attr.sample_type & SAMPLE.CALLCHAIN or not self.style.callchains:
            return alone
        chains = self.profile.chain.tolist()
        dwarf = SAMPLE.REGS_USER | SAMPLE.STACK_USER
        unwound = event.attr.sample_type & dwarf == dwarf and self.profile.unwinder is not None
        form = frozenset(shown & {"sym", "symoff", "dso", "srcline"})
        cache = self._chains

        def part(index: int) -> str:
            chain = chains[index]
            if chain < 0:
                return alone(index)
            text = cache.get((chain, unwound, form))
            if text is None:
                text = cache[chain, unwound, form] = self._chain(chain, unwound, form)
            return text

        return part

    def _alone(self, shown):
        ips, maps, addresses = map(self._column, ("ip", "map", "address"))
        cache: dict[tuple, str] = {}

        def part(index: int) -> str:
            key = maps[index], ips[index]
            text = cache.get(key)
            if text is None:
                found = self.profile.maps[key[0]] if key[0] >= 0 else None
                rest = self._frame(found, addresses[index], shown, None)
                text = cache[key] = f" {key[1]:16x}{rest}"
            return text

        return part

    def _frame(self, found, address: int, shown, line) -> str:
        """What follows an address: symbol, dso, line. `line` is of an inlined function or None."""
        text = ""
        inlined = line is not None
        if "sym" in shown:
            name = line.function if inlined else None
            text += f" {self.names.symbol(found, address, 'symoff' in shown, name)}"
        if "dso" in shown and not inlined:
            text += f" ({self.names.dso(found)})"
        if "srcline" in shown:
            source = self.names.line_text(line) if inlined else self.names.line(found, address)
            text += f"\n  {source}" if source else ""
        return text + (" (inlined)" if inlined else "")

    def _chain(self, chain: int, unwound: bool, shown) -> str:
        profile, lines = self.profile, ["\n"]
        part = slice(int(profile.chain_start[chain]), int(profile.chain_start[chain + 1]))
        left = self.style.max_stack
        for ip, number, address, mode in zip(
            profile.chain_ip[part].tolist(),
            profile.chain_map[part].tolist(),
            profile.chain_address[part].tolist(),
            profile.chain_mode[part].tolist(),
            strict=True,
        ):
            if not left:
                break
            left -= 1
            found = profile.maps[number] if number >= 0 else None
            # User addresses are the file's, and those in no map what they are.
            offset = address if found and found.dso.kind in ("user", "vdso") else ip
            inlined = ()
            if unwound and self.style.inline and mode == records.USER:
                inlined = self.names.inlined(found, address)
            for line in inlined:
                lines.append(f"\t{offset:16x}{self._frame(found, address, shown, line)}\n")
            lines.append(f"\t{offset:16x}{self._frame(found, address, shown, None)}\n")
            if self.style.stop_bt and self.names.name(found, address) in self.style.stop_bt:
                break
        return "".join(lines)

    def _place(self, index: int, address: int):
        """(map, address in its dso) of an address that a sample mentions."""
        mode = int(self.profile.cpumode[index])
        key = self.profile.space(index), mode, address
        found = self._places.get(key)
        if found is None:
            frame = self.profile.locate(index, address, mode)
            if frame.map is None:
                other = self.names.mode_of(address, mode)
                if other != mode:
                    frame = self.profile.locate(index, address, other)
            found = self._places[key] = frame.map, frame.address
        return found

    # --- branches

    def _branches(self, how: str, with_dso: bool):
        names = self.names

        def end(index: int, address: int) -> str:
            if how == "brstack":
                if not with_dso:
                    return f"0x{address:x}"
                return f"0x{address:x}({names.dso(self._place(index, address)[0])})"
            found, offset = self._place(index, address)
            if how == "brstacksym":
                shown = names.symbol(found, offset, True)
            else:
                known = found and found.dso.symbols and found.dso.symbols.elf
                shown = f"0x{address if known or not found else offset:x}"
            return f"{shown}({names.dso(found)})" if with_dso else shown

        before = "" if how == "brstacksym" else " "
        texts: dict[tuple, str] = {}

        def part(index: int) -> str:
            sample = self._sample(index)
            if not sample or not sample.branches:
                return ""
            shown, space = [], (self.profile.space(index), sample.cpumode)
            for branch in sample.branches:
                key = space, branch.source, branch.target
                text = texts.get(key)
                if text is None:
                    text = f"{end(index, branch.source)}/{end(index, branch.target)}"
                    texts[key] = text
                shown.append(f"{before}{text}{branch_flags(branch)}")
            return "".join(shown)

        return part

    # --- code

    def _code(self, shown: set[str], kind: int) -> list:
        plan = []
        if shown & {"insn", "insnlen"}:
            plan.append(lambda i: self._instruction(i, shown))
        if shown & {"brstackinsn", "brstackinsnlen"} and kind & SAMPLE.BRANCH_STACK:
            plan.append(lambda i: self._blocks(i, shown))
        return plan

    def _instruction(self, index: int, shown) -> str:
        """perf knows the instructions of its own machine alone; these are RISC-V's."""
        code = self._bytes(index, int(self.profile.ip[index]))
        text = f" ilen: {len(code)}" if "insnlen" in shown else ""
        if "insn" in shown and code:
            text += f" insn: {code.hex(' ')}"
        return text

    def _bytes(self, index: int, address: int) -> bytes:
        """The instruction at an address; empty if that can't be read."""
        found, offset = self._place(index, address)
        key = found.dso.index if found else -1, offset
        code = self._instructions.get(key)
        if code is None:
            symbols = found.dso.symbols if found else None
            code = symbols.code(offset, 4) if symbols and not symbols.foreign else b""
            size = 4 if code[:1] and code[0] & 3 == 3 else 2
            code = self._instructions[key] = code[:size] if len(code) >= size else b""
        return code

    def _blocks(self, index: int, shown) -> str:
        """brstackinsn: the code that ran between the branches, oldest first."""
        sample = self._sample(index)
        if not sample or not sample.branches:
            return ""
        branches = sample.branches
        if self.style.max_blocks:
            branches = branches[: self.style.max_blocks + 1]
        out, state = ["\n"], {"symbol": None, "cycles": 0}

        def head(address: int) -> None:
            found, offset = self._place(index, address)
            symbols = found.dso.symbols if found else None
            symbol = symbols.symbol(offset) if symbols else None
            if symbol is None or symbol == state["symbol"]:
                return
            state["symbol"] = symbol
            line = self.names.line(found, offset) if "srcline" in shown else ""
            distance = f"+{offset - symbol.start}" if offset != symbol.start else ""
            line = f"\t{line}" if line else ""
            out.append(f"\t{self.names.shown_name(symbol)}{distance}:{line}\n")

        def row(address: int, branch=None, count: int = 0) -> int:
            code = self._bytes(index, address)
            length = f"ilen: {len(code)}" if "brstackinsnlen" in shown else ""
            text = f"insn: {code.hex(' ')}" if code else "?"
            if branch is None:
                length = f"\t{length}" if length else ""
                out.append(f"\t{address:016x}\t{text}{length}\n")
                return len(code)
            length = f"{length}\t" if length else ""
            flags = " PRED" if branch.flags & 2 else ""
            flags += " MISPRED" if branch.flags & 1 else ""
            flags += " INTX" if branch.flags & 4 else ""
            flags += " ABORT" if branch.flags & 8 else ""
            if branch.cycles:
                state["cycles"] += branch.cycles
                flags += f" {branch.cycles} cycles [{state['cycles']}]"
                flags += f" {count / branch.cycles:.2f} IPC" if count else ""
            out.append(f"\t{address:016x}\t{text:<30}\t{length}#{flags}\n")
            return len(code)

        def mapped(address: int) -> bool:
            return bool(address) and bool(self._bytes(index, address))

        oldest = branches[-1]
        if mapped(oldest.source):
            head(oldest.source)
            row(oldest.source, oldest)
        for at in range(len(branches) - 2, -1, -1):
            start, end = branches[at + 1].target, branches[at].source
            if not mapped(start) or not 0 <= end - start <= LONGEST_BLOCK:
                continue
            address, count = start, 0
            while address <= end:
                head(address)
                count += 1
                if address == end:
                    row(address, branches[at], count)
                    break
                size = row(address)
                if not size:
                    break
                address += size
            if address != end:
                out.append("\tmismatch of LBR data and executable\n")
        newest = branches[0]
        if newest.source == sample.ip or newest.flags & 8:
            return "".join(out)
        start, end = newest.target, sample.ip
        if end < start:
            end = start + 128
        head(start)
        if not mapped(start) or end - start > LONGEST_BLOCK:
            if mapped(sample.ip):
                row(sample.ip)
            return "".join(out)
        address = start
        while address <= end:
            size = row(address)
            if not size:
                break
            if address != sample.ip and is_branch(self._bytes(index, address)):
                out.append("\t... not reaching sample ...\n")
                break
            address += size
        return "".join(out)

    def _source(self, index: int) -> str:
        """srccode: the source line, if it isn't that of the thread's last sample."""
        found = int(self.profile.map[index])
        found = self.profile.maps[found] if found >= 0 else None
        where = self.names.source_line(found, int(self.profile.address[index]))
        thread = int(self.profile.thread[index])
        last = self._lists.setdefault("source lines", {})
        if not where or last.get(thread) == where[:2]:
            return ""
        last[thread] = where[:2]
        return f"|{where[1]:<8d} {where[2]}\n"

    # --- other records

    def _with_records(self):
        """(sample index, None) and (None, record number), in the order of processing."""
        reader = self.profile.reader
        order = reader.order()
        place = np.zeros(len(reader.types), np.int64)
        place[order] = np.arange(len(order))
        wanted = {kind.type for name in self.style.show for kind in TOLD[name]}
        from rvperf.profile.samples import CHANGES

        told = order[np.isin(reader.types[order], [*wanted, *CHANGES])]
        self._told = wanted
        self._changes = set(CHANGES)
        self._world = World(reader.features.get("BUILD_ID", ()), self.profile.world.guest)
        mine = self.profile.record[self.chosen]
        keys = np.concatenate((place[told], place[mine]))
        both = [(None, int(number)) for number in told]
        both += [(int(index), None) for index in self.chosen]
        for at in np.argsort(keys, kind="stable").tolist():
            yield both[at]

    def _record(self, number: int) -> Iterator[str]:
        reader, world = self.profile.reader, self._world
        try:
            record = reader.record(number)
        except RecordError:
            return
        if record.type in self._changes:
            world.apply(record)
        if record.type not in self._told:
            return
        sample = record.sample_id
        index = int(reader.event_of[number])
        event = reader.events[index] if index >= 0 else None
        pid, tid = getattr(record, "pid", None), getattr(record, "tid", None)
        if event is not None and not event.attr.sample_id_all:
            sample = records.SampleId(pid or 0, tid or 0, getattr(record, "time", 0), cpu=0)
        kind = event.attr.sample_type if event is not None else 0
        if event is not None and event.attr.sample_id_all:
            pid, tid = (sample.pid, sample.tid) if pid is None else (pid, tid)
        cpu = sample.cpu if sample and kind & SAMPLE.CPU else None
        if self.style.cpus is not None and cpu is not None and cpu not in self.style.cpus:
            return
        text = record_text.line(record)
        if event is not None and sample is not None:
            comm = None
            if tid is not None and tid != -1:
                comm = world.machine(record.cpumode).thread(pid, tid).comm
            text = self._record_start(record, event, sample, comm) + text
        yield text

    def _record_start(self, record, event: Event, sample, comm) -> str:
        shown, kind = self.fields[event.attr], event.attr.sample_type
        plain = not event.attr.sample_id_all
        pid, tid = (sample.pid, sample.tid) if kind & SAMPLE.TID or plain else (-1, -1)
        text = ""
        if "comm" in shown:
            comm = NOBODY if comm is None else comm
            chained = "ip" in shown and kind & SAMPLE.CALLCHAIN and self.style.callchains
            text += self._comm(comm, chained)
        if shown >= {"pid", "tid"}:
            text += f"{pid:5d}/{tid:<5d} "
        elif shown & {"pid", "tid"}:
            text += f"{pid if 'pid' in shown else tid:5d} "
        if "cpu" in shown:
            cpu = sample.cpu if kind & SAMPLE.CPU or plain else -1
            text += f"{cpu:3d} " if self.style.latency else f"[{cpu:03d}] "
        if "misc" in shown:
            text += misc(record.misc, record.type)
        if "time" in shown:
            text += self._clock(sample.time if kind & SAMPLE.TIME or plain else 2**64 - 1)
        return text


class Clock:
    """The field time."""

    def __init__(self, style: Style):
        self.style = style
        self.first = self.last = 0

    def __call__(self, time: int) -> str:
        if self.style.reltime:
            self.first = self.first or time
            time -= self.first
        elif self.style.deltatime:
            time, self.last = time - self.last if self.last else 0, time
        time %= 2**64
        seconds, ns = divmod(time, 10**9)
        if self.style.ns:
            return f"{seconds:5d}.{ns:09d}: "
        return f"{f'{seconds}.{ns // 1000:06d}':>12}: "


class Names:
    """Names and source lines of addresses in maps, found once."""

    def __init__(self, profile: Profile, style: Style):
        self.profile, self.style = profile, style
        kernel = [m for m in profile.world.machines[0].kernel.entries if m.dso.kind == "kernel"]
        self.kernel_start = kernel[0].start if kernel else 1 << 63
        self._kernel = kernel[0].dso.symbols if kernel else None
        self._lines: dict[tuple, str] = {}

    def mode_of(self, address: int, mode: int) -> int:
        """The mode that an address belongs to, by where the kernel begins."""
        kernel = address >= self.kernel_start
        if mode in (records.KERNEL, records.USER):
            return records.KERNEL if kernel else records.USER
        if mode in (records.GUEST_KERNEL, records.GUEST_USER):
            return records.GUEST_KERNEL if kernel else records.GUEST_USER
        return mode

    def shown_name(self, symbol) -> str:
        return symbol.name if self.style.demangle else symbol.linkage_name

    def name(self, found, address: int) -> str | None:
        symbols = found.dso.symbols if found else None
        symbol = symbols.symbol(address) if symbols else None
        return self.shown_name(symbol) if symbol else None

    def symbol(self, found, address: int, offset: bool, inlined: str | None = None) -> str:
        """`name+0x10`, or [unknown]."""
        symbols = found.dso.symbols if found else None
        symbol = symbols.symbol(address) if symbols else None
        if symbol is None:
            return inlined or "[unknown]"
        name = inlined or self.shown_name(symbol)
        if not offset:
            return name
        distance = address - symbol.start
        if address >= symbol.end:
            distance -= found.start
        return f"{name}+0x{distance % 2**64:x}"

    def dso(self, found) -> str:
        if found is None:
            return "[unknown]"
        dso = found.dso
        return dso.short_name if dso.kind.endswith("module") else dso.name

    def kernel_function(self, address: int):
        """(name, start) of a function of the kernel."""
        symbol = self._kernel.symbol(address) if self._kernel else None
        return (symbol.name, symbol.start) if symbol else None

    def _found(self, found, address: int) -> list:
        symbols = found.dso.symbols if found else None
        if not symbols or found.dso.name.startswith(("[", "/tmp/perf-")):
            return []
        return symbols.lines(address)

    def inlined(self, found, address: int) -> list:
        """The functions that are inlined at an address, innermost first."""
        return self._found(found, address)[:-1]

    def line_text(self, line) -> str:
        if line.file is None:
            return ""
        file = line.file if self.style.full_source_path else line.file.rsplit("/", 1)[-1]
        return f"{file}:{line.line}"

    def line(self, found, address: int) -> str:
        """The field srcline: `file.c:12`; `dso[address]` if nothing is known, "" without a map."""
        if found is None:
            return ""
        key = found.dso.index, address
        if key not in self._lines:
            lines = self._found(found, address)
            if lines:
                text = self.line_text(lines[0])
            else:
                symbols = found.dso.symbols
                shown = symbols.objdump_address(address) if symbols else address
                text = f"{found.dso.short_name}[{shown:x}]"
            self._lines[key] = text
        return self._lines[key]

    def source_line(self, found, address: int):
        """(file, line, its text), or None."""
        lines = self._found(found, address)
        if not lines or lines[0].file is None or not lines[0].line:
            return None
        source = found.dso.symbols.source(lines[0].file, lines[0].line, lines[0].line)
        return (lines[0].file, lines[0].line, source[0]) if source else None


def length(text: str) -> int:
    """Bytes of a text, which is what perf aligns by."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def right(text: str, width: int) -> str:
    return " " * (width - length(text)) + text


def misc(value: int, kind: int = records.SAMPLE_RECORD) -> str:
    """The field misc: letters for the mode, and for what else the record's misc has."""
    shown = ""
    for bits, letter in enumerate(MODES, 1):
        if value & bits == bits:
            shown += letter
    if kind in (records.Mmap.type, records.Mmap2.type) and value & records.MISC_MMAP_DATA:
        shown += "M"
    if kind == records.Comm.type and value & records.MISC_COMM_EXEC:
        shown += "E"
    if kind in (records.Switch.type, records.SwitchCpuWide.type):
        if value & records.MISC_SWITCH_OUT:
            shown += "Sp" if value & records.MISC_SWITCH_OUT_PREEMPT else "S"
    return shown + " " * max(1, 6 - len(shown))


def time_of_day(data, time: int, ns: bool) -> str:
    """The field tod: the wall clock's time, from the CLOCK_DATA of the file."""
    if data is None:
        return "disabled "
    wall = (data.wall + time - data.clock) % 2**64
    seconds, rest = divmod(wall, 10**9)
    date = strftime("%Y-%m-%d %H:%M:%S", localtime(min(seconds, 2**40)))
    return f"{date}.{rest:09d} " if ns else f"{date}.{rest // 1000:06d} "


def branch_flags(branch) -> str:
    flags = branch.flags
    predicted = "P" if flags & 2 else "M" if flags & 1 else "-"
    kind = flags >> 20 & 15
    if kind == 15:
        new = flags >> 26 & 15
        word = NEW_BRANCH_TYPES[new] if new < len(NEW_BRANCH_TYPES) else "(null)"
    else:
        word = BRANCH_TYPES[kind]
    transaction, abort = "X" if flags & 4 else "-", "A" if flags & 8 else "-"
    return f"/{predicted}/{transaction}/{abort}/{flags >> 4 & 0xFFFF}/{word} "


def is_branch(code: bytes) -> bool:
    """Is this RISC-V instruction a jump or a branch?"""
    word = int.from_bytes(code, "little")
    if len(code) == 4:
        return word & 0x7F in (0x63, 0x67, 0x6F)
    low, high = word & 3, word >> 13
    if low == 1:
        return high in (5, 6, 7)
    # c.jr and c.jalr, but not c.mv, c.add and c.ebreak
    return low == 2 and high == 4 and not word >> 2 & 31 and bool(word >> 7 & 31)


def amount(size: int) -> str:
    """A size of pages: 4K, 2M."""
    if not size:
        return "N/A"
    units = "BKMG"
    while size // 1024 > 1 and len(units) > 1:
        size, units = size // 1024, units[1:]
    return f"{size}{units[0]}"


def bpf_output(sample: Sample) -> str:
    """The data of a bpf-output event, as a dump and, if it is text, as text."""
    data = sample.raw or b""
    out = ["\n"]
    for at in range(0, len(data), 8):
        piece = data[at : at + 8]
        out.append(f"{'BPF output:' if not at else '':>17}")
        out.append(f" {at:04x}:")
        out.append("".join(f" {byte:02x}" for byte in piece))
        out.append("   " * (8 - len(piece)) + "  ")
        out.append("".join(chr(b) if 32 <= b < 127 else "." for b in piece))
        out.append(" " * (8 - len(piece)) + "\n")
    shown, nul, rest = data.partition(b"\0")
    if nul and not rest.strip(b"\0") and all(32 <= byte < 127 for byte in shown):
        out.append(f'{"BPF string:":>17} "{shown.decode()}"\n')
    return "".join(out)
