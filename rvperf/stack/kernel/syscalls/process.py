"""System calls on tasks: making, replacing, ending and awaiting them, and who they are."""

import struct
from array import array
from errno import EACCES, EAGAIN, ECHILD, EINVAL, EPERM, ESRCH
from os import fsencode

from .. import execution, signals
from ..elf import LoadError
from ..tasks import DEAD, Action, Process, Task, Wait
from ..vfs import path_argument
from . import Int, Uint, syscall

CSIGNAL = 0xFF
CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_VFORK, CLONE_PARENT, CLONE_THREAD = (
    0x100, 0x200, 0x400, 0x800, 0x4000, 0x8000, 0x10000,
)  # fmt: skip
CLONE_SETTLS, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = (
    0x80000, 0x100000, 0x200000, 0x1000000,
)  # fmt: skip
CLONE_CLEAR_SIGHAND, CLONE_PIDFD, CLONE_NEW = 1 << 32, 0x1000, 0x7E020000
HIGHEST_TASKS = 4096
RLIMIT_STACK = 3


@syscall(220)
def clone(task, flags, stack, parent_tid, tls, child_tid):
    """A new thread or process."""
    return start_task(task, flags & ~CSIGNAL, stack, parent_tid, tls, child_tid, flags & CSIGNAL)


@syscall(435)
def clone3(task, cl_args, size):
    """clone with its arguments in memory."""
    if size < 64 or size > 4096:
        raise OSError(EINVAL, "not the size of a clone_args")
    raw = task.memory.read(cl_args, 64)
    flags, _, child_tid, parent_tid, exit_signal, stack, stack_size, tls = struct.unpack("<8Q", raw)
    if size > 64 and any(task.memory.read(cl_args + 64, size - 64)):
        raise OSError(EINVAL, "pids can't be chosen")
    if exit_signal > 64 or flags & CSIGNAL:
        raise OSError(EINVAL, "no such signal")
    sp = stack + stack_size if stack else 0
    return start_task(task, flags, sp, parent_tid, tls, child_tid, exit_signal)


def start_task(task, flags, stack, parent_tid, tls, child_tid, exit_signal):
    """Makes a task that shares with its maker what the flags say; both return from the call."""
    kernel = task.kernel
    if flags & (CLONE_NEW | CLONE_PIDFD):
        raise OSError(EINVAL, "no namespaces and no pidfds")
    if flags & CLONE_THREAD and not flags & CLONE_SIGHAND:
        raise OSError(EINVAL, "threads share their handlers")
    if flags & CLONE_SIGHAND and not flags & CLONE_VM:
        raise OSError(EINVAL, "handlers need the same memory")
    if sum(len(process.threads) for process in kernel.processes.values()) >= HIGHEST_TASKS:
        raise OSError(EAGAIN, "too many tasks")
    tid = kernel.allocate_pid()
    if flags & CLONE_THREAD:
        process = task.process
    else:
        parent = task.process.parent if flags & CLONE_PARENT else task.process
        process = Process(tid, parent or task.process)
        process.exit_signal = exit_signal if exit_signal <= 64 else 0
        process.group, process.session = task.process.group, task.process.session
        if flags & CLONE_SIGHAND:
            process.actions = task.process.actions
        else:
            process.actions = [Action(a.handler, a.flags, a.mask) for a in task.process.actions]
            if flags & CLONE_CLEAR_SIGHAND:
                for action in process.actions:
                    if action.handler != signals.SIG_IGN:
                        action.handler = signals.SIG_DFL
        process.parent.children.append(process)
        kernel.processes[tid] = process
    if flags & CLONE_VM:
        memory = task.memory
        memory.users += 1
    else:
        memory = task.memory.fork()
    if flags & CLONE_FILES:
        descriptors = task.descriptors
        descriptors.users += 1
    else:
        descriptors = task.descriptors.copy()
    where = task.where if flags & CLONE_FS else task.where.copy()
    child = Task(kernel, tid, process, memory, descriptors, where, name=task.name)
    hart = kernel.hart
    child.x = array("Q", hart.x[0:32].tobytes())
    child.f = array("Q", hart.f[0:32].tobytes())
    child.fcsr, child.pc, child.mask = hart.fcsr, task.pc, task.mask
    child.x[10] = 0
    if stack:
        child.x[2] = stack
    elif hart.calls:
        child.calls = hart.calls.copy()  # it returns from the same calls as its maker
    if flags & CLONE_SETTLS:
        child.x[4] = tls
    if not flags & CLONE_VM or flags & CLONE_VFORK:
        child.alt_stack = task.alt_stack
    if flags & CLONE_CHILD_CLEARTID:
        child.clear_child_tid = child_tid
    if flags & CLONE_CHILD_SETTID:
        memory.store(child_tid, 4, tid)
    if flags & CLONE_PARENT_SETTID:
        task.memory.store(parent_tid, 4, tid)
    process.threads.append(child)
    kernel.ready.append(child)
    if kernel.perf:
        kernel.perf.forked(task, child)
    if flags & CLONE_VFORK:
        child.vfork_done = False
        return wait_for_vfork(child)
    return tid


def wait_for_vfork(child):
    """vfork: the maker sleeps until the child has memory of its own, or is gone."""
    while not child.vfork_done:
        yield Wait(lambda: child.vfork_done, killable=True)
    return child.tid


@syscall(221)
def execve(task, pathname, argv, envp):
    """Replaces the program."""
    name = path_argument(task, pathname)
    return replace_program(task, name, argv, envp)


@syscall(281)
def execveat(task, dirfd: Int, pathname, argv, envp, flags: Int):
    """Replaces the program by one named as for openat."""
    name = path_argument(task, pathname)
    if not name:
        name = task.descriptors.get(dirfd).describe()
    elif not name.startswith("/") and dirfd != -100:
        file = task.descriptors.get(dirfd)
        if file.place is None:
            raise OSError(20, "not a directory")
        name = f"{task.kernel.paths.guest_name(file.place)}/{name}"
    return replace_program(task, name, argv, envp)


def replace_program(task, name, argv, envp):
    """execve: the new program begins, or nothing has changed and an OSError tells why."""
    kernel = task.kernel
    arguments = execution.read_vector(task.memory, argv)
    environment = execution.read_vector(task.memory, envp)
    try:
        space, entry, pointer, comm = execution.build(
            kernel, name, arguments, environment, task.where.cwd
        )
    except LoadError as error:
        raise OSError(error.errno, error.message) from None
    for other in list(task.process.threads):
        if other is not task:
            kernel.end_thread(other)
    task.process.threads[:] = [task]
    task.tid = task.process.pid
    old, task.memory = task.memory, space
    space.limit_stack(kernel.limit(task.process, RLIMIT_STACK)[0])
    kernel.use(space)
    old.release()
    if task.descriptors.users > 1:
        task.descriptors.users -= 1
        task.descriptors = task.descriptors.copy()
    table = task.descriptors
    for number in sorted(table.cloexec):
        if number in table.open:
            table.close(number)
    table.cloexec.clear()
    process = task.process
    process.actions = [
        Action(signals.SIG_IGN if action.handler == signals.SIG_IGN else signals.SIG_DFL)
        for action in process.actions
    ]
    process.posix_timers.clear()
    process.executed = True
    task.name = comm
    task.alt_stack = (0, 0, signals.SS_DISABLE)
    task.clear_child_tid = task.robust_list = 0
    task.vfork_done = True
    hart = kernel.hart
    hart.x[0:32] = array("Q", bytes(256))
    hart.f[0:32] = array("Q", bytes(256))
    hart.fcsr = 0
    hart.reservation = None
    if hart.calls:
        hart.calls.clear()
    hart.x[2] = pointer
    task.pc = entry
    if kernel.perf:
        kernel.perf.executed(task)
    kernel.trace_exec(task, fsencode(name))
    return 0


@syscall(93)
def exit(task, status: Int):
    """Ends the thread; the process with it if it is the last."""
    process = task.process
    living = [thread for thread in process.threads if thread.state != DEAD]
    if len(living) == 1:
        task.kernel.exit_process(process, status & 0xFF, 0)
    else:
        task.kernel.end_thread(task)
    return None


@syscall(94)
def exit_group(task, status: Int):
    """Ends the process."""
    task.kernel.exit_process(task.process, status & 0xFF, 0)
    return None


WNOHANG, WUNTRACED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 4, 8, 0x1000000


def chosen(process, pid):
    """The children that wait4 means."""
    return [
        child
        for child in process.children
        if pid == -1
        or child.pid == pid
        or (pid == 0 and child.group == process.group)
        or (pid < -1 and child.group == -pid)
    ]


def reportable(child, options):
    """(kind, status word) that there is to tell of a child: "exit", "stop", "go on"; or None."""
    if child.exit is not None:
        code, signal = child.exit
        return ("exit", code << 8 | signal) if options & WEXITED else None
    if not child.reported:
        if child.stopped_by > 0 and options & WUNTRACED:
            return "stop", child.stopped_by << 8 | 0x7F
        if child.stopped_by < 0 and options & WCONTINUED:
            return "go on", 0xFFFF
    return None


def wait_for_child(task, pid, options):
    """A generator: (child, kind, status) of what there is to tell, or None under WNOHANG.

    Raises OSError ECHILD.
    """

    def found():
        for child in chosen(task.process, pid):
            told = reportable(child, options)
            if told:
                return child, *told
        return None

    while True:
        if not chosen(task.process, pid):
            raise OSError(ECHILD, "no such child")
        answer = found()
        if answer or options & WNOHANG:
            break
        yield Wait(lambda: found() or not chosen(task.process, pid))
    return answer


def tell(task, answer, options):
    """A child that has been told of isn't told of again."""
    child, kind, _ = answer
    if options & WNOWAIT:
        return
    if kind == "exit":
        task.kernel.reap(task.process, child)
    else:
        child.reported = True


def usage_of(user_ns, system_ns, faults, switches):
    """struct rusage."""
    return struct.pack(
        "<4q14q",
        user_ns // 10**9, user_ns % 10**9 // 1000, system_ns // 10**9, system_ns % 10**9 // 1000,
        0, 0, 0, 0, faults, 0, 0, 0, 0, 0, 0, 0, switches, 0,
    )  # fmt: skip


@syscall(260)
def wait4(task, pid: Int, wstatus, options: Int, rusage):
    """Waits for a child."""
    if options & ~(WNOHANG | WUNTRACED | WCONTINUED | 0xE0000000) and options >= 0:
        raise OSError(EINVAL, "no such options")
    options |= WEXITED
    answer = yield from wait_for_child(task, pid, options)
    if answer is None:
        return 0
    child, _, status = answer
    if wstatus:
        task.memory.store(wstatus, 4, status)
    if rusage:
        usage = usage_of(child.user_ns, child.system_ns, child.faults, child.switches)
        task.memory.write(rusage, usage)
    tell(task, answer, options)
    return child.pid


@syscall(95)
def waitid(task, idtype: Int, id: Int, infop, options: Int, rusage):
    """Waits for a child, told as a siginfo."""
    if not options & (WEXITED | WUNTRACED | WCONTINUED):
        raise OSError(EINVAL, "nothing to wait for")
    if idtype not in (0, 1, 2):
        raise OSError(EINVAL, "no such kind of id")
    pid = -1 if idtype == 0 else id if idtype == 1 else -id
    answer = yield from wait_for_child(task, pid, options)
    if answer is None:
        if infop:
            task.memory.write(infop, bytes(128))
        return 0
    child, kind, status = answer
    if kind == "exit":
        code, value = (2, status & 0x7F) if status & 0x7F else (1, status >> 8)
    else:
        code, value = (5, status >> 8) if kind == "stop" else (6, signals.SIGCONT)
    if infop:
        info = struct.pack(
            "<iiiiiIi", signals.SIGCHLD, 0, code, 0, child.pid, task.kernel.uid, value
        )
        task.memory.write(infop, info.ljust(128, b"\0"))
    if rusage:
        usage = usage_of(child.user_ns, child.system_ns, child.faults, child.switches)
        task.memory.write(rusage, usage)
    tell(task, answer, options)
    return 0


@syscall(165)
def getrusage(task, who: Int, usage):
    """What has been used."""
    process = task.process
    if who == -1:
        fields = (process.children_user_ns, process.children_system_ns, process.children_faults, 0)
    elif who in (0, 1):
        threads = process.threads if who == 0 else [task]
        base = (process.user_ns, process.system_ns) if who == 0 else (0, 0)
        fields = (
            base[0] + sum(thread.user_ns for thread in threads),
            base[1] + sum(thread.system_ns for thread in threads),
            process.faults,
            process.switches,
        )
    else:
        raise OSError(EINVAL, "nobody")
    task.memory.write(usage, usage_of(*fields))
    return 0


@syscall(172)
def getpid(task):
    """The process's number."""
    return task.process.pid


@syscall(173)
def getppid(task):
    """The parent's number."""
    return task.process.parent.pid if task.process.parent else 999


@syscall(178)
def gettid(task):
    """The thread's number."""
    return task.tid


@syscall(174)
def getuid(task):
    """The user."""
    return task.kernel.uid


@syscall(175)
def geteuid(task):
    """The user."""
    return task.kernel.uid


@syscall(176)
def getgid(task):
    """The group."""
    return task.kernel.gid


@syscall(177)
def getegid(task):
    """The group."""
    return task.kernel.gid


def same_ids(number, name, own, count):
    """A set*id call: it may set what is set already."""

    def check(task, ids):
        if any(value not in (0xFFFFFFFF, getattr(task.kernel, own)) for value in ids):
            raise OSError(EPERM, "not permitted")
        return 0

    def one(task, a: Uint):
        return check(task, (a,))

    def two(task, a: Uint, b: Uint):
        return check(task, (a, b))

    def three(task, a: Uint, b: Uint, c: Uint):
        return check(task, (a, b, c))

    handler = (one, two, three)[count - 1]
    handler.__doc__ = "Nobody can become somebody else."
    syscall(number, name)(handler)


for number, name, own, count in (
    (143, "setregid", "gid", 2), (144, "setgid", "gid", 1), (145, "setreuid", "uid", 2),
    (146, "setuid", "uid", 1), (147, "setresuid", "uid", 3), (149, "setresgid", "gid", 3),
):  # fmt: skip
    same_ids(number, name, own, count)


def store_ids(task, value, addresses):
    for address in addresses:
        task.memory.store(address, 4, value)
    return 0


@syscall(148)
def getresuid(task, ruid, euid, suid):
    """The user, three times."""
    return store_ids(task, task.kernel.uid, (ruid, euid, suid))


@syscall(150)
def getresgid(task, rgid, egid, sgid):
    """The group, three times."""
    return store_ids(task, task.kernel.gid, (rgid, egid, sgid))


@syscall(151)
def setfsuid(task, uid: Uint):
    """Nobody can become somebody else."""
    return task.kernel.uid


@syscall(152)
def setfsgid(task, gid: Uint):
    """Nobody can become somebody else."""
    return task.kernel.gid


@syscall(158)
def getgroups(task, size: Int, list):
    """Further groups: the main one."""
    if size:
        task.memory.store(list, 4, task.kernel.gid)
    return 1


@syscall(159)
def setgroups(task, size, list):
    """Nobody here may."""
    raise OSError(EPERM, "not permitted")


@syscall(154)
def setpgid(task, pid: Int, pgid: Int):
    """Moves a process to a process group."""
    if pgid < 0:
        raise OSError(EINVAL, "a negative number")
    process = task.kernel.processes.get(pid or task.process.pid)
    if process is None or process not in (task.process, *task.process.children):
        raise OSError(ESRCH, "no such process")
    if process is not task.process and process.executed:
        raise OSError(EACCES, "has called execve")
    if process.session == process.pid:
        raise OSError(EPERM, "leads a session")
    group = pgid or process.pid
    groups = {
        other.group
        for other in task.kernel.processes.values()
        if other.session == task.process.session
    }
    if group != process.pid and group not in groups:
        raise OSError(EPERM, "no such group in the session")
    process.group = group
    return 0


def process_of(task, pid):
    process = task.kernel.processes.get(pid or task.process.pid)
    if process is None:
        raise OSError(ESRCH, "no such process")
    return process


@syscall(155)
def getpgid(task, pid: Int):
    """The process group."""
    return process_of(task, pid).group


@syscall(156)
def getsid(task, pid: Int):
    """The session."""
    return process_of(task, pid).session


@syscall(157)
def setsid(task):
    """Begins a session."""
    process = task.process
    if any(other.group == process.pid for other in task.kernel.processes.values()):
        raise OSError(EPERM, "leads a group")
    process.session = process.group = process.pid
    return process.pid


@syscall(96)
def set_tid_address(task, tidptr):
    """Which word to clear when the thread ends."""
    task.clear_child_tid = tidptr
    return task.tid


@syscall(92)
def personality(task, persona: Uint):
    """Plain Linux."""
    return 0


PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME, PR_GET_NAME = 1, 3, 4, 15, 16
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER, PR_SET_VMA = (
    38, 39, 36, 0x53564D41,
)  # fmt: skip


@syscall(167)
def prctl(task, option: Int, arg2, arg3, arg4, arg5):
    """Odds and ends of a task."""
    if option == PR_SET_NAME:
        raw = task.memory.read_string(arg2, 16)
        task.name = (raw if raw is not None else task.memory.read(arg2, 15))[:15].decode(
            "utf-8", "replace"
        )
        if task.kernel.perf:
            task.kernel.perf.renamed(task)
        return 0
    if option == PR_GET_NAME:
        task.memory.write(arg2, task.name.encode()[:15].ljust(16, b"\0"))
        return 0
    if option in (PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER):
        return 0
    if option == PR_GET_DUMPABLE:
        return 1
    if option == PR_GET_NO_NEW_PRIVS:
        return 0
    raise OSError(EINVAL, "no such option")
