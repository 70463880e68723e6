"""Records that are no samples, in perf's words (tools/perf/util/event.c)."""

from rvperf.perfdata import records

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED = 1
NAMESPACES = ("net", "uts", "ipc", "pid", "user", "mnt", "cgroup")


def alternate(value: int) -> str:
    """C's %#x."""
    return f"{value:#x}" if value else "0"


def _comm(record) -> str:
    executed = " exec" if record.misc & records.MISC_COMM_EXEC else ""
    return f"{executed}: {record.comm}:{record.pid}/{record.tid}\n"


def _task(record) -> str:
    return f"({record.pid}:{record.tid}):({record.ppid}:{record.ptid})\n"


def _place(record) -> str:
    numbers = f"{alternate(record.addr)}({alternate(record.len)}) @ {alternate(record.pgoff)}"
    return f" {record.pid}/{record.tid}: [{numbers}"


def _mmap(record) -> str:
    kind = "r" if record.misc & records.MISC_MMAP_DATA else "x"
    return f"{_place(record)}]: {kind} {record.filename}\n"


def _mmap2(record) -> str:
    if record.misc & records.MISC_MMAP_BUILD_ID:
        file = f"<{record.build_id.hex()}>"
    else:
        file = f"{record.maj:02x}:{record.min:02x} {record.ino} {record.ino_generation}"
    kind = "r" if record.prot & PROT_READ else "-"
    kind += "w" if record.prot & PROT_WRITE else "-"
    kind += "x" if record.prot & PROT_EXEC else "-"
    kind += "s" if record.flags & MAP_SHARED else "p"
    return f"{_place(record)} {file}]: {kind} {record.filename}\n"


def _switch(record) -> str:
    out = record.misc & records.MISC_SWITCH_OUT
    preempted = out and record.misc & records.MISC_SWITCH_OUT_PREEMPT
    word = "OUT preempt" if preempted else "OUT        " if out else "IN         "
    if record.type == records.Switch.type:
        return f" {word}\n"
    other = "next" if out else "prev"
    task = f"{record.next_prev_pid:5d}/{record.next_prev_tid:<5d}"
    return f" {word}  {other} pid/tid: {task}\n"


def _namespaces(record) -> str:
    shown = f" {record.pid}/{record.tid} - nr_namespaces: {record.nr_namespaces}\n\t\t["
    links = list(zip(record.link_info[::2], record.link_info[1::2], strict=False))
    links = links[: record.nr_namespaces]
    for index, (dev, ino) in enumerate(links):
        name = NAMESPACES[index] if index < len(NAMESPACES) else "?"
        shown += "\n\t\t " if index and index % 4 == 0 else ""
        shown += f"{index}/{name}: {dev}/{alternate(ino)}"
        shown += ", " if index + 1 < len(links) else "]\n"
    return shown


def _aux(record) -> str:
    letters = "".join(
        letter for bit, letter in ((1, "T"), (2, "O"), (4, "P")) if record.flags & bit
    )
    return (
        f" offset: {alternate(record.aux_offset)} size: {alternate(record.aux_size)} "
        f"flags: {alternate(record.flags)} [{letters}]\n"
    )


def _ksymbol(record) -> str:
    return (
        f" addr {record.addr:x} len {record.len} type {record.ksym_type} "
        f"flags 0x{record.flags:x} name {record.symbol}\n"
    )


def _bytes(which: str, data: bytes) -> str:
    lines = [data[at : at + 16] for at in range(0, len(data), 16)]
    return "".join(
        f"            {which} bytes:{''.join(f' {byte:02x}' for byte in line)}\n" for line in lines
    )


def _text_poke(record) -> str:
    old = record.data[: record.old_len]
    new = record.data[record.old_len :][: record.new_len]
    return (
        f" {record.addr:x}  old len {record.old_len} new len {record.new_len}\n"
        + _bytes("Old", old)
        + _bytes("New", new)
    )


TEXTS = {
    records.Comm.type: _comm,
    records.Fork.type: _task,
    records.Exit.type: _task,
    records.Mmap.type: _mmap,
    records.Mmap2.type: _mmap2,
    records.Switch.type: _switch,
    records.SwitchCpuWide.type: _switch,
    records.Namespaces.type: _namespaces,
    records.Aux.type: _aux,
    records.ItraceStart.type: lambda r: f" pid: {r.pid} tid: {r.tid}\n",
    records.AuxOutputHwId.type: lambda r: f" hw_id: {alternate(r.hw_id)}\n",
    records.Lost.type: lambda r: f" lost {r.lost}\n",
    records.Ksymbol.type: _ksymbol,
    records.BpfEvent.type: lambda r: f" type {r.kind}, flags {r.flags}, id {r.id}\n",
    records.Cgroup.type: lambda r: f" cgroup: {r.id} {r.path}\n",
    records.TextPoke.type: _text_poke,
}


def body(record) -> str:
    """What follows the name of a record; it ends the line."""
    text = TEXTS.get(record.type)
    return text(record) if text else "\n"


def line(record) -> str:
    """`PERF_RECORD_` and all of it."""
    return f"PERF_RECORD_{record.name}{body(record)}"
