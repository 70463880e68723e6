"""System calls on the machine: its name, its resources, its hart."""

import struct
from errno import EINVAL, EPERM, ESRCH

from ..frames import PAGE
from ..memory import USER_END
from ..procfs import RELEASE, VERSION
from . import Int, Uint, syscall

GRND_KNOWN = 7

# riscv_hwprobe(2): Documentation/arch/riscv/hwprobe.rst. What is not named has the value 0.
IMA_FD, C, ZBA, ZBB, ZBS, ZICBOZ = 1 << 0, 1 << 1, 1 << 3, 1 << 4, 1 << 5, 1 << 6
ZICOND, ZIHINTPAUSE, ZCA, ZCD, ZAWRS, ZICNTR, ZIHPM, ZICBOM = (
    1 << 35, 1 << 36, 1 << 43, 1 << 45, 1 << 48, 1 << 50, 1 << 51, 1 << 55,
)  # fmt: skip
MISALIGNED_SLOW, UNSUPPORTED = 2, 4
BLOCK = 64
HWPROBE = {
    0: 0,  # MVENDORID: non-commercial
    1: 0,  # MARCHID
    2: 0,  # MIMPID
    3: 1,  # BASE_BEHAVIOR: IMA
    4: IMA_FD
    | C
    | ZBA
    | ZBB
    | ZBS
    | ZICBOZ
    | ZICOND
    | ZIHINTPAUSE
    | ZCA
    | ZCD
    | ZAWRS
    | ZICNTR
    | ZIHPM
    | ZICBOM,
    5: MISALIGNED_SLOW,  # CPUPERF_0
    6: BLOCK,  # ZICBOZ_BLOCK_SIZE
    7: USER_END - 1,  # HIGHEST_VIRT_ADDRESS
    8: 10_000_000,  # TIME_CSR_FREQ
    9: MISALIGNED_SLOW,  # MISALIGNED_SCALAR_PERF
    10: UNSUPPORTED,  # MISALIGNED_VECTOR_PERF
    12: BLOCK,  # ZICBOM_BLOCK_SIZE
}


@syscall(258)
def riscv_hwprobe(task, pairs, pair_count, cpusetsize, cpus, flags: Uint):
    """What the hart can do."""
    if flags:
        raise OSError(EINVAL, "no such flags")
    if pair_count > 4096:
        raise OSError(EINVAL, "too many pairs")
    for i in range(pair_count):
        at = pairs + 16 * i
        key = struct.unpack("<q", task.memory.read(at, 8))[0]
        value = HWPROBE.get(key)
        task.memory.write(at, struct.pack("<qQ", -1 if value is None else key, value or 0))
    return 0


@syscall(259)
def riscv_flush_icache(task, start, end, flags):
    """Makes stores visible to instruction fetches."""
    if flags & ~1:
        raise OSError(EINVAL, "no such flags")
    task.kernel.hart.fence_i()
    return 0


UTSNAME = {
    "sysname": "Linux",
    "nodename": "rvperf",
    "release": RELEASE,
    "version": VERSION,
    "machine": "riscv64",
    "domainname": "(none)",
}


@syscall(160)
def uname(task, buf):
    """The system's name."""
    task.memory.write(buf, b"".join(text.encode().ljust(65, b"\0") for text in UTSNAME.values()))
    return 0


@syscall(179)
def sysinfo(task, info):
    """Memory and load."""
    kernel = task.kernel
    task.memory.write(
        info,
        struct.pack(
            "<qQQQQQQQQQHHIQQI4x",
            kernel.now() // 10**9, 0, 0, 0, kernel.frames.total * PAGE, kernel.frames.available(),
            0, 0, 0, 0, len(kernel.processes), 0, 0, 0, 0, 1,
        ),
    )  # fmt: skip
    return 0


@syscall(278)
def getrandom(task, buf, buflen, flags: Uint):
    """Random bytes: the same on every run."""
    if flags & ~GRND_KNOWN or flags & 6 == 6:
        raise OSError(EINVAL, "no such flags")
    data = task.kernel.random(min(buflen, 1 << 20))
    task.memory.write(buf, data)
    return len(data)


def limits_of(task, pid):
    if pid in (0, task.process.pid):
        return task.process
    process = task.kernel.processes.get(pid)
    if process is None:
        raise OSError(ESRCH, "no such process")
    return process


@syscall(261)
def prlimit64(task, pid: Int, resource: Uint, new_limit, old_limit):
    """Gets and sets resource limits."""
    if resource > 15:
        raise OSError(EINVAL, "no such resource")
    process, kernel = limits_of(task, pid), task.kernel
    before = kernel.limit(process, resource)
    if new_limit:
        soft, hard = struct.unpack("<QQ", task.memory.read(new_limit, 16))
        if soft > hard:
            raise OSError(EINVAL, "the soft limit is above the hard one")
        if hard > before[1]:
            raise OSError(EPERM, "hard limits can only fall")
        process.limits[resource] = (soft, hard)
        if resource == 3:
            process.leader.memory.limit_stack(soft)
    if old_limit:
        task.memory.write(old_limit, struct.pack("<QQ", *before))
    return 0


@syscall(163)
def getrlimit(task, resource: Uint, rlim):
    """Gets a resource limit."""
    return prlimit64(task, 0, resource, 0, rlim)


@syscall(164)
def setrlimit(task, resource: Uint, rlim):
    """Sets a resource limit."""
    return prlimit64(task, 0, resource, rlim, 0)


@syscall(124)
def sched_yield(task):
    """Lets another task run."""
    kernel = task.kernel
    if kernel.ready:
        kernel.slice_end = 0
        kernel.resched = True
    return 0


@syscall(123)
def sched_getaffinity(task, pid: Int, cpusetsize, mask):
    """The one hart."""
    if cpusetsize < 8 or cpusetsize % 8:
        raise OSError(EINVAL, "no room for a set")
    task.memory.store(mask, 8, 1)
    return 8


@syscall(122)
def sched_setaffinity(task, pid: Int, cpusetsize, mask):
    """The one hart."""
    raw = task.memory.read(mask, min(cpusetsize, 128))
    if not raw or not raw[0] & 1:
        raise OSError(EINVAL, "no hart in the set")
    return 0


@syscall(168)
def getcpu(task, cpu, node, tcache):
    """The one hart."""
    for address in (cpu, node):
        if address:
            task.memory.store(address, 4, 0)
    return 0


@syscall(118)
def sched_setparam(task, pid: Int, param):
    """Only priority 0, that of normal scheduling."""
    if task.memory.load(param, 4):
        raise OSError(EINVAL, "not a priority of SCHED_OTHER")
    return 0


@syscall(119)
def sched_setscheduler(task, pid: Int, policy: Int, param):
    """Only normal scheduling and its kin."""
    if policy & ~0x40000000 not in (0, 3, 5):
        raise OSError(EPERM, "not permitted")
    return 0


@syscall(120)
def sched_getscheduler(task, pid: Int):
    """SCHED_OTHER."""
    return 0


@syscall(121)
def sched_getparam(task, pid: Int, param):
    """Priority 0."""
    task.memory.store(param, 4, 0)
    return 0


@syscall(125)
def sched_get_priority_max(task, policy: Int):
    """The highest priority of a policy."""
    return 99 if policy in (1, 2) else 0


@syscall(126)
def sched_get_priority_min(task, policy: Int):
    """The lowest priority of a policy."""
    return 1 if policy in (1, 2) else 0


@syscall(140)
def setpriority(task, which: Int, who: Int, prio: Int):
    """Every task is as nice as any other."""
    return 0


@syscall(141)
def getpriority(task, which: Int, who: Int):
    """Nice 0, as the kernel tells it: 20 - 0."""
    return 20


@syscall(90)
def capget(task, hdrp, datap):
    """No capabilities."""
    if datap:
        task.memory.write(datap, bytes(24))
    return 0


@syscall(283)
def membarrier(task, cmd: Int, flags: Uint, cpu_id: Int):
    """One hart sees its own stores in order."""
    if cmd == 0:
        return 0x1FF
    return 0


@syscall(116)
def syslog(task, type: Int, bufp, len: Int):
    """Nobody here may."""
    raise OSError(EPERM, "not permitted")


@syscall(236)
def get_mempolicy(task, mode, nodemask, maxnode, addr, flags):
    """The default policy, on the one node."""
    if mode:
        task.memory.store(mode, 4, 0)
    if nodemask and maxnode >= 64:
        task.memory.store(nodemask, 8, 1)
    return 0
