"""System calls on signals."""

import struct
from errno import EAGAIN, EINVAL, ENOMEM, EPERM, ESRCH

from .. import signals
from ..signals import SI_TKILL, SS_DISABLE, SS_ONSTACK, UNMASKABLE, SigInfo, from_user
from ..tasks import Wait
from . import Int, syscall
from .time import timespec

SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2
MASK64 = (1 << 64) - 1


def check_size(size):
    if size != 8:
        raise OSError(EINVAL, "not the size of a signal set")


def check_signal(signal):
    if not 0 <= signal <= 64:
        raise OSError(EINVAL, "no such signal")


@syscall(134)
def rt_sigaction(task, signum: Int, act, oldact, sigsetsize):
    """What to do about a signal. riscv's struct has no restorer."""
    check_size(sigsetsize)
    if not 1 <= signum <= 64 or (act and signum in (signals.SIGKILL, signals.SIGSTOP)):
        raise OSError(EINVAL, "no such signal, or not to be changed")
    action = task.process.actions[signum]
    before = struct.pack("<QQQ", action.handler, action.flags, action.mask)
    if act:
        fields = struct.unpack("<QQQ", task.memory.read(act, 24))
        action.handler, action.flags, action.mask = fields[0], fields[1], fields[2] & ~UNMASKABLE
        if signals.ignored(task.process, signum):
            queues = [task.process.pending, *(thread.pending for thread in task.process.threads)]
            for queue in queues:
                for info in [info for info in queue if info.signal == signum]:
                    queue.remove(info)
    if oldact:
        task.memory.write(oldact, before)
    return 0


@syscall(135)
def rt_sigprocmask(task, how: Int, set, oldset, sigsetsize):
    """Which signals are blocked."""
    check_size(sigsetsize)
    before = task.mask
    if set:
        bits = task.memory.load(set, 8)
        if how == SIG_BLOCK:
            mask = before | bits
        elif how == SIG_UNBLOCK:
            mask = before & ~bits
        elif how == SIG_SETMASK:
            mask = bits
        else:
            raise OSError(EINVAL, "no such way")
        task.mask = mask & ~UNMASKABLE
        if task.pending or task.process.pending:
            task.notify = True
    if oldset:
        task.memory.store(oldset, 8, before)
    return 0


@syscall(136)
def rt_sigpending(task, set, sigsetsize):
    """Which blocked signals wait."""
    check_size(sigsetsize)
    task.memory.store(set, 8, signals.pending_set(task) & task.mask)
    return 0


@syscall(133)
def rt_sigsuspend(task, mask, sigsetsize):
    """Waits for a signal under another mask."""
    check_size(sigsetsize)
    bits = task.memory.load(mask, 8) & ~UNMASKABLE
    task.saved_mask = task.mask
    task.mask = bits
    while True:
        yield Wait(restart=False)


@syscall(137)
def rt_sigtimedwait(task, set, info, timeout, sigsetsize):
    """Takes a pending signal, or waits for one."""
    check_size(sigsetsize)
    wanted = task.memory.load(set, 8) & ~UNMASKABLE
    deadline = task.kernel.now() + timespec(task, timeout) if timeout else None
    while True:
        found = signals.take(task, wanted)
        if found is not None:
            break
        if deadline is not None and task.kernel.now() >= deadline:
            return -EAGAIN
        yield Wait(lambda: signals.pending_set(task) & wanted, deadline, restart=False)
    if info:
        task.memory.write(info, found.encode())
    return found.signal


@syscall(132)
def sigaltstack(task, ss, old_ss):
    """A stack for handlers."""
    address, size, _ = task.alt_stack
    sp = task.kernel.hart.x[2]
    on_stack = address <= sp < address + size
    if old_ss:
        flags = SS_ONSTACK if on_stack else 0 if size else SS_DISABLE
        task.memory.write(old_ss, struct.pack("<QiiQ", address, flags, 0, size))
    if ss:
        new, flags, _, length = struct.unpack("<QiiQ", task.memory.read(ss, 24))
        if on_stack:
            raise OSError(EPERM, "in use")
        if flags & ~(SS_ONSTACK | SS_DISABLE | 1 << 31):
            raise OSError(EINVAL, "no such flags")
        if flags & SS_DISABLE:
            task.alt_stack = (0, 0, SS_DISABLE)
        elif length < 2048:
            raise OSError(ENOMEM, "too small")
        else:
            task.alt_stack = (new, length, 0)
    return 0


@syscall(139)
def rt_sigreturn(task):
    """Returns from a handler."""
    signals.pop_frame(task)
    return None


def targets(task, pid):
    """The processes that kill(2) means. Raises OSError ESRCH."""
    kernel = task.kernel
    if pid > 0:
        found = [kernel.processes[pid]] if pid in kernel.processes else []
    elif pid == -1:
        found = [process for process in kernel.processes.values() if process is not task.process]
    else:
        group = -pid if pid else task.process.group
        found = [process for process in kernel.processes.values() if process.group == group]
    if not found:
        raise OSError(ESRCH, "no such process")
    return found


@syscall(129)
def kill(task, pid: Int, sig: Int):
    """Sends a signal to processes."""
    check_signal(sig)
    found = targets(task, pid)
    if sig:
        for process in found:
            signals.post(process, from_user(sig, task))
    return 0


def send_to_thread(task, group, tid, info):
    check_signal(info.signal)
    for process in task.kernel.processes.values():
        for thread in process.threads:
            if thread.tid == tid and (group is None or process.pid == group):
                if info.signal and process.exit is None:
                    signals.post(process, info, thread)
                return 0
    raise OSError(ESRCH, "no such thread")


@syscall(131)
def tgkill(task, tgid: Int, tid: Int, sig: Int):
    """Sends a signal to a thread."""
    if tgid <= 0 or tid <= 0:
        raise OSError(EINVAL, "no such thread")
    return send_to_thread(task, tgid, tid, from_user(sig, task, SI_TKILL))


@syscall(130)
def tkill(task, tid: Int, sig: Int):
    """Sends a signal to a thread."""
    if tid <= 0:
        raise OSError(EINVAL, "no such thread")
    return send_to_thread(task, None, tid, from_user(sig, task, SI_TKILL))


def given_info(task, sig, address, own):
    raw = bytearray(task.memory.read(address, 128))
    struct.pack_into("<i", raw, 0, sig)
    code = struct.unpack_from("<i", raw, 8)[0]
    if (code >= 0 or code == SI_TKILL) and not own:
        raise OSError(EPERM, "a code that only the kernel gives")
    return SigInfo(sig, code, raw=bytes(raw))


@syscall(138)
def rt_sigqueueinfo(task, pid: Int, sig: Int, info):
    """Sends a signal with what it tells."""
    check_signal(sig)
    found = targets(task, pid)
    for process in found:
        told = given_info(task, sig, info, process is task.process)
        if sig:
            signals.post(process, told)
    return 0


@syscall(240)
def rt_tgsigqueueinfo(task, tgid: Int, tid: Int, sig: Int, info):
    """Sends a thread a signal with what it tells."""
    return send_to_thread(task, tgid, tid, given_info(task, sig, info, tgid == task.process.pid))


@syscall(128)
def restart_syscall(task):
    """Calls are begun again by repeating the ecall; this has nothing to continue."""
    return -4
