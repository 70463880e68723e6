"""Signals: who gets one, what happens then, and the frame that a handler runs on.

signal(7) gives the rules; the frame is arch/riscv/kernel/signal.c's, whose handlers return through
the two instructions that the kernel maps for them, as it does in the vDSO.
"""

import struct
from errno import EINTR

from isa.record import Record

from . import costs
from .tasks import DEAD, RUNNABLE, STOPPED

SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV = 4, 5, 6, 7, 8, 9, 11
SIGPIPE, SIGALRM, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU = (
    13, 14, 17, 18, 19, 20, 21, 22,
)  # fmt: skip
SIGURG, SIGVTALRM, SIGPROF, SIGWINCH, SIGSYS = 23, 26, 27, 28, 31
SYNCHRONOUS = (SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS)
IGNORED_BY_DEFAULT = (SIGCHLD, SIGCONT, SIGURG, SIGWINCH)
STOPPING = (SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)
UNMASKABLE = 1 << SIGKILL - 1 | 1 << SIGSTOP - 1

SIG_DFL, SIG_IGN = 0, 1
SA_NOCLDSTOP, SA_NOCLDWAIT, SA_SIGINFO, SA_ONSTACK = 1, 2, 4, 0x08000000
SA_RESTART, SA_NODEFER, SA_RESETHAND = 0x10000000, 0x40000000, 0x80000000
SI_USER, SI_KERNEL, SI_TIMER, SI_TKILL = 0, 0x80, -2, -6
SS_ONSTACK, SS_DISABLE = 1, 2
MASK64 = (1 << 64) - 1

# struct rt_sigframe: siginfo 128, ucontext with its registers at 176 and floating point after them.
UCONTEXT = 128
UC_STACK, UC_SIGMASK, UC_REGISTERS, UC_FLOATING = 16, 40, 176, 432
FRAME_SIZE = UCONTEXT + 960
SIGRETURN_CODE = struct.pack("<II", 0x08B00893, 0x00000073)  # li a7, 139; ecall


class SigInfo(Record):
    """A signal on its way, with what siginfo_t tells about it."""

    signal: int
    code: int = SI_USER
    payload: bytes = b""  # from offset 16 of siginfo_t
    raw: bytes | None = None  # all of it, from rt_sigqueueinfo

    def encode(self):
        """The 128 bytes of siginfo_t."""
        if self.raw is not None:
            return self.raw
        return struct.pack("<iiii", self.signal, 0, self.code, 0) + self.payload.ljust(112, b"\0")


def from_user(signal, task, code=SI_USER):
    """The SigInfo of kill(2) by a task."""
    return SigInfo(signal, code, struct.pack("<iI", task.process.pid, task.kernel.uid))


def fault(signal, code, address):
    """The SigInfo of an exception at an address."""
    return SigInfo(signal, code, struct.pack("<Q", address & MASK64))


def ignored(process, signal):
    """True if the signal would have no effect."""
    handler = process.actions[signal].handler
    return handler == SIG_IGN or (handler == SIG_DFL and signal in IGNORED_BY_DEFAULT)


def post(process, info, task=None):
    """Makes a signal pending for a process, or for one of its threads."""
    signal = info.signal
    if process.exit is not None:
        return
    threads = [task] if task else process.threads
    if signal == SIGKILL:
        process.killed_by = process.killed_by or (0, SIGKILL)
        resume(process)
    elif signal == SIGCONT:
        resume(process)
    elif signal in STOPPING:
        queues = [process.pending, *(thread.pending for thread in process.threads)]
        for queue in queues:
            for other in [other for other in queue if other.signal == SIGCONT]:
                queue.remove(other)
    bit = 1 << signal - 1
    if signal != SIGKILL and ignored(process, signal):
        if all(not thread.mask & bit for thread in threads):
            return
    queue = task.pending if task else process.pending
    if signal < 32 and any(other.signal == signal for other in queue):
        return
    if len(queue) < 4096:
        queue.append(info)
    for thread in process.threads:
        thread.notify = True


def force(task, info):
    """Posts a signal that can't be ignored or blocked: what an exception does."""
    action = task.process.actions[info.signal]
    bit = 1 << info.signal - 1
    if task.mask & bit or action.handler == SIG_IGN:
        action.handler = SIG_DFL
        task.mask &= ~bit
    task.pending.appendleft(info)
    task.notify = True


def resume(process):
    """SIGCONT and SIGKILL: a stopped process goes on."""
    for queue in [process.pending, *(thread.pending for thread in process.threads)]:
        for info in [info for info in queue if info.signal in STOPPING]:
            queue.remove(info)
    for task in process.threads:
        if task.state == STOPPED:
            task.state = RUNNABLE
            task.kernel.wake(task)
            process.stopped_by = -1
            process.reported = False


def pending_set(task):
    """The signals that wait for a task, as a mask."""
    bits = 0
    for info in (*task.pending, *task.process.pending):
        bits |= 1 << info.signal - 1
    return bits


def deliverable(task):
    """True if a signal would end the system call that the task sleeps in."""
    if task.process.killed_by:
        return True
    if task.wait is not None and task.wait.killable:
        return False
    for info in (*task.pending, *task.process.pending):
        if not task.mask >> info.signal - 1 & 1 and not ignored(task.process, info.signal):
            return True
    return False


def take(task, wanted):
    """Removes the next pending signal in a mask and returns it; None if there is none."""
    for queue in (task.pending, task.process.pending):
        best = None
        for info in queue:
            if wanted >> info.signal - 1 & 1 and (
                best is None
                or (info.signal not in SYNCHRONOUS, info.signal)
                < (best.signal not in SYNCHRONOUS, best.signal)
            ):
                best = info
        if best is not None:
            queue.remove(best)
            return best
    return None


def deliver(task, restart=None):
    """Acts on the current task's pending signals before it goes back to user mode.

    `restart` is not None if a signal ended its system call: whether SA_RESTART may begin it again.
    """
    kernel, process = task.kernel, task.process
    while True:
        if process.killed_by:
            kernel.exit_task(task)
            return
        info = take(task, ~task.mask & MASK64)
        if info is None:
            break
        signal = info.signal
        action = process.actions[signal]
        if action.handler == SIG_IGN:
            continue
        if action.handler == SIG_DFL:
            if signal in IGNORED_BY_DEFAULT:
                continue
            if signal in STOPPING:
                stop(task, signal)
                if restart is not None:
                    task.pc -= 4
                return
            process.killed_by = (0, signal)
            continue
        if restart is not None:
            if restart and action.flags & SA_RESTART:
                task.pc -= 4
            else:
                kernel.hart.x[10] = -EINTR & MASK64
            restart = None
        push_frame(task, info, action)
        if task.state == DEAD:
            return
    if restart is not None:
        task.pc -= 4
    if task.saved_mask is not None:
        task.mask, task.saved_mask = task.saved_mask, None
    task.notify = False


def stop(task, signal):
    """Stops every thread of the process; its parent can wait for that."""
    process = task.process
    process.stopped_by, process.reported = signal, False
    for thread in process.threads:
        if thread.state != DEAD:
            thread.state = STOPPED
    parent = process.parent
    if parent and not parent.actions[SIGCHLD].flags & SA_NOCLDSTOP:
        post(parent, SigInfo(SIGCHLD, 5, struct.pack("<iIi", process.pid, 0, signal)))


def push_frame(task, info, action):
    """Makes the current task run a handler: setup_rt_frame()."""
    kernel, memory = task.kernel, task.memory
    x = kernel.hart.x
    address, size, flags = task.alt_stack
    sp = x[2]
    on_stack = address <= sp < address + size
    if action.flags & SA_ONSTACK and size and not on_stack:
        sp = address + size
    at = (sp - FRAME_SIZE) & ~15
    mask = task.mask if task.saved_mask is None else task.saved_mask
    task.saved_mask = None
    stack_flags = SS_DISABLE if not size else SS_ONSTACK if on_stack else 0
    uc = bytearray(960)
    struct.pack_into("<QiiQ", uc, UC_STACK, address, stack_flags, 0, size)
    struct.pack_into("<Q", uc, UC_SIGMASK, mask)
    struct.pack_into("<Q", uc, UC_REGISTERS, task.pc & MASK64)
    uc[UC_REGISTERS + 8 : UC_FLOATING] = bytes(x[1:32])
    uc[UC_FLOATING : UC_FLOATING + 256] = bytes(kernel.hart.f)
    struct.pack_into("<I", uc, UC_FLOATING + 256, kernel.hart.fcsr)
    kernel.charge(costs.SIGNAL)
    try:
        memory.write(at, info.encode() + bytes(uc))
    except OSError:
        task.process.actions[SIGSEGV].handler = SIG_DFL
        task.mask &= ~(1 << SIGSEGV - 1)
        task.pending.appendleft(SigInfo(SIGSEGV, SI_KERNEL))
        return
    if kernel.hart.calls:
        lowest = address if address <= at < address + size else 0
        kernel.hart.calls.enter_handler(task.pc, memory.sigreturn_address, at, lowest)
    x = kernel.hart.x  # a vCPU may have gone to another hart
    x[1] = memory.sigreturn_address
    x[2] = at
    x[10], x[11], x[12] = info.signal, at, at + UCONTEXT
    task.pc = action.handler
    if action.flags & SA_RESETHAND:
        action.handler = SIG_DFL
    task.mask |= action.mask
    if not action.flags & SA_NODEFER:
        task.mask |= 1 << info.signal - 1
    task.mask &= ~UNMASKABLE


def pop_frame(task):
    """rt_sigreturn: puts back what push_frame saved. A bad frame is SIGSEGV."""
    kernel, x = task.kernel, task.kernel.hart.x
    try:
        uc = task.memory.read(x[2] + UCONTEXT, 960)
    except OSError:
        force(task, SigInfo(SIGSEGV, SI_KERNEL))
        return
    if kernel.hart.calls:
        kernel.hart.calls.leave_handler(x[2])
    address, flags, _, size = struct.unpack_from("<QiiQ", uc, UC_STACK)
    if not flags & SS_ONSTACK:
        task.alt_stack = (0, 0, SS_DISABLE) if flags & SS_DISABLE else (address, size, 0)
    task.mask = struct.unpack_from("<Q", uc, UC_SIGMASK)[0] & ~UNMASKABLE
    task.pc = struct.unpack_from("<Q", uc, UC_REGISTERS)[0]
    words = struct.unpack_from("<31Q", uc, UC_REGISTERS + 8)
    for i, word in enumerate(words):
        x[i + 1] = word
    for i, word in enumerate(struct.unpack_from("<32Q", uc, UC_FLOATING)):
        kernel.hart.f[i] = word
    kernel.hart.fcsr = struct.unpack_from("<I", uc, UC_FLOATING + 256)[0] & 0xFF
    task.notify = True
