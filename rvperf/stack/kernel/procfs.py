"""/proc, /dev and /sys: what programs look for there, from the kernel's own state. See proc(5)."""

import os
import stat
from errno import EACCES, EINVAL, EISDIR, ENOENT, ENOTDIR, ENXIO

from . import files, shm
from .files import O_ACCMODE, O_DIRECTORY, Status, SyntheticDirectory, TextFile, nlink_inode
from .frames import PAGE
from .memory import PROT_EXEC, PROT_READ, PROT_WRITE
from .paths import Place
from .signals import SIG_DFL, SIG_IGN, pending_set
from .tasks import DEAD

RELEASE, VERSION = "6.12.0-rvperf", "#1 SMP"
ISA = (
    "rv64imafdc_zicbom_zicboz_zicbop_zicntr_zicond_zicsr_zifencei_zihintpause_zihpm_zawrs"
    "_zba_zbb_zbs"
)
DIRECTORY, FILE, LINK, CHARACTER = 4, 8, 10, 2

FIXED = {
    "/proc/version": f"Linux version {RELEASE} (rvperf) {VERSION}\n",
    "/proc/filesystems": "nodev\tproc\nnodev\ttmpfs\n\text4\n",
    "/proc/loadavg": "0.00 0.00 0.00 1/1 1000\n",
    "/proc/cmdline": "\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    "/proc/sys/kernel/osrelease": f"{RELEASE}\n",
    "/proc/sys/kernel/ostype": "Linux\n",
    "/proc/sys/kernel/version": f"{VERSION}\n",
    "/proc/sys/kernel/hostname": "rvperf\n",
    "/proc/sys/kernel/domainname": "(none)\n",
    "/proc/sys/kernel/pid_max": "4194304\n",
    "/proc/sys/kernel/threads-max": "65536\n",
    "/proc/sys/kernel/ngroups_max": "65536\n",
    "/proc/sys/kernel/cap_last_cap": "40\n",
    "/proc/sys/kernel/randomize_va_space": "0\n",
    "/proc/sys/kernel/perf_event_paranoid": "2\n",
    "/proc/sys/kernel/random/boot_id": "00000000-0000-4000-8000-000000000000\n",
    "/proc/sys/vm/overcommit_memory": "1\n",
    "/proc/sys/vm/max_map_count": "65530\n",
    "/proc/sys/vm/mmap_min_addr": "65536\n",
    "/proc/sys/fs/file-max": "1048576\n",
    "/proc/sys/fs/nr_open": "1048576\n",
    "/proc/sys/fs/pipe-max-size": "1048576\n",
    "/proc/sys/net/core/somaxconn": "4096\n",
    "/sys/devices/system/cpu/online": "0\n",
    "/sys/devices/system/cpu/possible": "0\n",
    "/sys/devices/system/cpu/present": "0\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
}
DEVICES = ("fd", "full", "null", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero")
STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def link(kernel, path):
    """Where a symbolic link leads; None for what isn't one, or names no path (an open pipe)."""
    if path in STANDARD:
        return f"/proc/self/fd/{STANDARD[path]}"
    if path == "/dev/fd":
        return "/proc/self/fd"
    if path == "/proc/self":
        return str(kernel.current.process.pid)
    if path == "/proc/thread-self":
        return f"{kernel.current.process.pid}/task/{kernel.current.tid}"
    if path == "/proc/mounts":
        return "self/mounts"
    task, rest = task_of(kernel, path)
    if task is None:
        return None
    if rest == "exe":
        return task.memory.executable
    if rest == "cwd":
        return kernel.paths.guest_name(task.where.cwd)
    if rest == "root":
        return "/"
    return None


def read_link(task, path):
    """readlink(2). Raises OSError EINVAL, ENOENT."""
    target = link(task.kernel, path)
    if target is None:
        file = open_descriptor(task.kernel, path)
        if file is None:
            status(task, Place("", synthetic=path))
            raise OSError(EINVAL, "not a link")
        target = file.describe()
    return target


def task_of(kernel, path):
    """(task, what follows) for a path below /proc/PID or /proc/PID/task/TID; (None, "") else."""
    parts = path.split("/")
    if len(parts) < 3 or parts[1] != "proc":
        return None, ""
    if parts[2] == "self":
        parts[2] = str(kernel.current.process.pid)
    if not parts[2].isdecimal():
        return None, ""
    process = kernel.processes.get(int(parts[2]))
    if process is None or process.leader is None:
        return None, ""
    if len(parts) >= 5 and parts[3] == "task" and parts[4].isdecimal():
        for task in process.threads:
            if task.tid == int(parts[4]) and task.state != DEAD:
                return task, "/".join(parts[5:])
        return None, ""
    task = next((thread for thread in process.threads if thread.state != DEAD), process.leader)
    return task, "/".join(parts[3:])


def open_descriptor(kernel, path):
    """The open file that /proc/PID/fd/N is, or None."""
    task, rest = task_of(kernel, path)
    if task is None or not rest.startswith("fd/"):
        return None
    number = rest[3:]
    return task.descriptors.open.get(int(number)) if number.isdecimal() else None


def listing(kernel, path):
    """The (name, type) pairs of a directory, or None if it isn't one."""
    if path == "/dev":
        kinds = dict.fromkeys(DEVICES, CHARACTER) | dict.fromkeys(("fd", *STANDARD), LINK)
        return sorted((kinds | {"shm": DIRECTORY}).items())
    if path == shm.ROOT:
        return [(name, FILE) for name in sorted(kernel.shm.files)]
    names = {}
    prefix = path + "/"
    for known in FIXED:
        if known.startswith(prefix):
            below = known[len(prefix) :].split("/")
            names[below[0]] = DIRECTORY if len(below) > 1 else FILE
    if path == "/proc":
        names |= {name: FILE for name in WHOLE} | {"self": LINK, "mounts": LINK}
        names |= {str(pid): DIRECTORY for pid in kernel.processes}
    task, rest = task_of(kernel, path)
    if task is not None:
        if rest == "":
            names |= {name: FILE for name in OF_TASK}
            names |= {"exe": LINK, "cwd": LINK, "root": LINK, "fd": DIRECTORY, "task": DIRECTORY}
        elif rest == "fd":
            names |= {str(number): LINK for number in task.descriptors.open}
            return sorted(names.items(), key=lambda entry: int(entry[0]))
        elif rest == "task":
            names |= {str(thread.tid): DIRECTORY for thread in task.process.threads}
        else:
            return None
    return sorted(names.items()) if names else None


def contents(kernel, path):
    """The bytes of a file, or None if there is no such file."""
    if path in FIXED:
        return FIXED[path].encode()
    if path.startswith("/proc/") and path[6:] in WHOLE:
        return WHOLE[path[6:]](kernel).encode()
    task, rest = task_of(kernel, path)
    if task is not None and rest in OF_TASK:
        made = OF_TASK[rest](task)
        return made if isinstance(made, bytes) else made.encode("utf-8", "surrogateescape")
    return None


def open_synthetic(task, place, flags, mode):
    """open(2) below /proc, /dev and /sys. Raises OSError."""
    kernel, path = task.kernel, place.synthetic
    if place.slash or flags & O_DIRECTORY:
        if (names := listing(kernel, path)) is not None:
            return SyntheticDirectory(place, flags, names)
    if shm.within(place) and path != shm.ROOT:
        return kernel.shm.open(place, flags, mode)
    name = path[5:] if path.startswith("/dev/") else ""
    if name in files.Device.NUMBERS:
        return files.Device(name, flags, kernel.random)
    if name == "tty":
        for file in kernel.standard:
            if getattr(file, "terminal", False):
                return files.HostStream(os.dup(file.host), flags, owned=True)
        raise OSError(ENXIO, "no terminal")
    text = contents(kernel, path)
    if text is not None:
        if flags & O_DIRECTORY:
            raise OSError(ENOTDIR, path)
        if flags & O_ACCMODE and not path.endswith(("/comm", "/oom_score_adj")):
            raise OSError(EACCES, path)
        return TextFile(place, flags, text)
    if (names := listing(kernel, path)) is not None:
        if flags & O_ACCMODE:
            raise OSError(EISDIR, path)
        return SyntheticDirectory(place, flags, names)
    raise OSError(ENOENT, path)


def status(task, place):
    """stat(2) below /proc, /dev and /sys. Raises OSError ENOENT."""
    kernel, path = task.kernel, place.synthetic
    if shm.within(place) and path != shm.ROOT:
        return kernel.shm.status(kernel.shm.find(place)[1])
    if path == shm.ROOT:
        return Status(stat.S_IFDIR | 0o1777, nlink_inode(path), st_nlink=2)
    if path in ("/proc", "/dev", "/sys"):
        return Status(stat.S_IFDIR | 0o555, nlink_inode(path), st_nlink=2)
    name = path[5:] if path.startswith("/dev/") else ""
    if name in files.Device.NUMBERS:
        return files.Device(name, 0, kernel.random).status()
    if name == "tty":
        return Status(stat.S_IFCHR | 0o666, 10, st_rdev=5 << 8)
    file = open_descriptor(kernel, path)
    if file is not None:
        return file.status()
    if link(kernel, path) is not None:
        return Status(stat.S_IFLNK | 0o777, nlink_inode(path))
    if contents(kernel, path) is not None:
        return Status(stat.S_IFREG | 0o444, nlink_inode(path))
    if listing(kernel, path) is not None:
        return Status(stat.S_IFDIR | 0o555, nlink_inode(path), st_nlink=2)
    raise OSError(ENOENT, path)


# The files of /proc


def cpuinfo(kernel):
    return (
        f"processor\t: 0\nhart\t\t: 0\nisa\t\t: {ISA}\nmmu\t\t: sv39\nuarch\t\t: rvperf,generic\n\n"
    )


def meminfo(kernel):
    total, free = kernel.frames.total * PAGE >> 10, kernel.frames.available() >> 10
    lines = {
        "MemTotal": total, "MemFree": free, "MemAvailable": free, "Buffers": 0, "Cached": 0,
        "SwapCached": 0, "SwapTotal": 0, "SwapFree": 0, "Shmem": 0, "Committed_AS": 0,
    }  # fmt: skip
    return "".join(f"{name + ':':15} {kib:8} kB\n" for name, kib in lines.items())


def system_stat(kernel):
    user, system = kernel.user_ns // 10**7, kernel.system_ns // 10**7
    idle = max(0, kernel.now() // 10**7 - user - system)
    row = f"{user} 0 {system} {idle} 0 0 0 0 0 0\n"
    return (
        f"cpu  {row}cpu0 {row}intr 0\nctxt {kernel.counts['context-switches']}\n"
        f"btime {kernel.epoch}\nprocesses {len(kernel.processes)}\nprocs_running 1\n"
        "procs_blocked 0\n"
    )


def uptime(kernel):
    seconds = kernel.now() / 1e9
    return f"{seconds:.2f} 0.00\n"


WHOLE = {"cpuinfo": cpuinfo, "meminfo": meminfo, "stat": system_stat, "uptime": uptime}


def maps(task):
    lines = []
    for area in task.memory.areas:
        prot = "".join(
            letter if area.prot & bit else "-"
            for letter, bit in (("r", PROT_READ), ("w", PROT_WRITE), ("x", PROT_EXEC))
        )
        device, inode = area.file.identity if area.file else (0, 0)
        name = area.name or (area.file.name if area.file else "")
        line = (
            f"{area.start:08x}-{area.end:08x} {prot}{'s' if area.shared else 'p'} "
            f"{area.offset if area.file else 0:08x} {os.major(device):02x}:{os.minor(device):02x} "
            f"{inode} "
        )
        lines.append(f"{line:72} {name}".rstrip() if name else line)
    return "".join(line + "\n" for line in lines)


def strings(task, where):
    start, end = where
    try:
        return task.memory.read(start, end - start)
    except OSError:
        return b""


def signal_sets(task):
    ignores = catches = 0
    for signal, action in enumerate(task.process.actions):
        if action.handler == SIG_IGN:
            ignores |= 1 << signal - 1
        elif action.handler != SIG_DFL:
            catches |= 1 << signal - 1
    return ignores, catches


def task_stat(task):
    process, memory = task.process, task.memory
    parent = process.parent.pid if process.parent else 999
    ignores, catches = signal_sets(task)
    stack = memory.arguments[0]
    fields = [
        task.tid, f"({task.name})", task.state, parent, process.group, process.session, 0, -1, 0,
        process.faults, process.children_faults, 0, 0, task.user_ns // 10**7,
        task.system_ns // 10**7, process.children_user_ns // 10**7,
        process.children_system_ns // 10**7, 20, 0, len(process.threads), 0, 0,
        memory.mapped_bytes(), memory.resident_pages(), (1 << 64) - 1, 0, 0, stack, 0, 0,
        pending_set(task), task.mask, ignores, catches, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0,
        memory.brk_start, *memory.arguments, *memory.environment, 0,
    ]  # fmt: skip
    return " ".join(map(str, fields)) + "\n"


def statm(task):
    size, resident = task.memory.mapped_bytes() // PAGE, task.memory.resident_pages()
    return f"{size} {resident} 0 0 0 {size} 0\n"


def task_status(task):
    process, memory = task.process, task.memory
    parent = process.parent.pid if process.parent else 999
    states = {"R": "R (running)", "S": "S (sleeping)", "T": "T (stopped)", "Z": "Z (zombie)"}
    ignores, catches = signal_sets(task)
    uid, gid = task.kernel.uid, task.kernel.gid
    size, resident = memory.mapped_bytes() >> 10, memory.resident_pages() * 4
    rows = [
        ("Name", task.name), ("Umask", f"{task.where.umask:04o}"), ("State", states[task.state]),
        ("Tgid", process.pid), ("Ngid", 0), ("Pid", task.tid), ("PPid", parent), ("TracerPid", 0),
        ("Uid", "\t".join([str(uid)] * 4)), ("Gid", "\t".join([str(gid)] * 4)), ("FDSize", 64),
        ("Groups", gid), ("VmPeak", f"{size:8} kB"), ("VmSize", f"{size:8} kB"),
        ("VmHWM", f"{resident:8} kB"), ("VmRSS", f"{resident:8} kB"), ("VmSwap", f"{0:8} kB"),
        ("Threads", len(process.threads)), ("SigPnd", f"{pending_set(task):016x}"),
        ("SigBlk", f"{task.mask:016x}"), ("SigIgn", f"{ignores:016x}"),
        ("SigCgt", f"{catches:016x}"), ("CapInh", "0" * 16), ("CapPrm", "0" * 16),
        ("CapEff", "0" * 16), ("CapBnd", "0" * 16), ("NoNewPrivs", 0), ("Seccomp", 0),
        ("Cpus_allowed", 1), ("Cpus_allowed_list", 0), ("Mems_allowed_list", 0),
        ("voluntary_ctxt_switches", process.switches), ("nonvoluntary_ctxt_switches", 0),
    ]  # fmt: skip
    return "".join(f"{name}:\t{value}\n" for name, value in rows)


def limits(task):
    names = {
        0: ("Max cpu time", "seconds"), 1: ("Max file size", "bytes"),
        2: ("Max data size", "bytes"), 3: ("Max stack size", "bytes"),
        4: ("Max core file size", "bytes"), 6: ("Max processes", "processes"),
        7: ("Max open files", "files"), 9: ("Max address space", "bytes"),
    }  # fmt: skip
    lines = ["Limit                     Soft Limit           Hard Limit           Units     "]
    for number, (name, unit) in names.items():
        soft, hard = task.kernel.limit(task.process, number)
        shown = ["unlimited" if value == (1 << 64) - 1 else value for value in (soft, hard)]
        lines.append(f"{name:25} {shown[0]:<20} {shown[1]:<20} {unit:<10}")
    return "\n".join(lines) + "\n"


def mounts(task):
    return "/dev/root / ext4 rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\n"


def mountinfo(task):
    return (
        "1 1 8:1 / / rw,relatime - ext4 /dev/root rw\n2 1 0:5 / /proc rw,relatime - proc proc rw\n"
    )


OF_TASK = {
    "maps": maps,
    "cmdline": lambda task: strings(task, task.memory.arguments),
    "environ": lambda task: strings(task, task.memory.environment),
    "auxv": lambda task: task.memory.auxv,
    "comm": lambda task: task.name + "\n",
    "stat": task_stat,
    "statm": statm,
    "status": task_status,
    "limits": limits,
    "mounts": mounts,
    "mountinfo": mountinfo,
    "cgroup": lambda task: "0::/\n",
    "oom_score_adj": lambda task: "0\n",
    "oom_score": lambda task: "0\n",
    "personality": lambda task: "00000000\n",
    "wchan": lambda task: "0",
}
