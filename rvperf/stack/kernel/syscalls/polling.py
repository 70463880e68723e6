"""System calls that wait for descriptors: poll, select, epoll, and timers that are descriptors."""

import struct
from errno import EBADF, EEXIST, EINVAL, ENOENT, EPERM

from ..files import IN, O_CLOEXEC, O_NONBLOCK, OUT, Epoll, TimerFile, poll_events
from ..signals import UNMASKABLE
from ..tasks import Wait
from . import Int, Uint, syscall
from .descriptors import limit
from .time import timespec

POLLNVAL = 0x20


def with_mask(task, address, size):
    """Makes a signal mask hold for this call, as ppoll and pselect6 do."""
    if address:
        if size != 8:
            raise OSError(EINVAL, "not the size of a signal set")
        task.saved_mask = task.mask
        task.mask = task.memory.load(address, 8) & ~UNMASKABLE
        task.notify = True


def restore_mask(task):
    """Ends with_mask when the call ends by itself."""
    if task.saved_mask is not None:
        task.mask, task.saved_mask = task.saved_mask, None


def deadline_of(task, address):
    """When a relative timespec in memory ends; None for no address. Raises OSError EINVAL."""
    return None if not address else task.kernel.now() + timespec(task, address)


def waits(files_and_events, ready, deadline):
    """A Wait on several files."""
    reads = tuple(
        file.host for file, events in files_and_events if file.waits_on_host and events & IN
    )
    writes = tuple(
        file.host for file, events in files_and_events if file.waits_on_host and events & OUT
    )
    return Wait(ready, deadline, reads, writes, restart=False)


@syscall(73)
def ppoll(task, fds, nfds: Uint, tmo_p, sigmask, sigsetsize):
    """Waits until one of several descriptors is ready."""
    if nfds > limit(task):
        raise OSError(EINVAL, "too many descriptors")
    deadline = deadline_of(task, tmo_p)
    raw = task.memory.read(fds, 8 * nfds)
    wanted = list(struct.iter_unpack("<ihh", raw))
    with_mask(task, sigmask, sigsetsize)
    files = [(task.descriptors.open.get(fd) if fd >= 0 else None) for fd, _, _ in wanted]

    def look():
        answers = []
        for (fd, events, _), file in zip(wanted, files, strict=True):
            if fd < 0:
                answers.append(0)
            elif file is None:
                answers.append(POLLNVAL)
            else:
                answers.append(poll_events(file, events))
        return answers

    answers = look()
    known = [
        (file, events)
        for (_, events, _), file in zip(wanted, files, strict=True)
        if file is not None
    ]
    while not any(answers):
        if deadline is not None and task.kernel.now() >= deadline:
            break
        yield waits(known, lambda: any(look()), deadline)
        answers = look()
    restore_mask(task)
    task.memory.write(
        fds,
        b"".join(
            struct.pack("<ihh", fd, events, answer)
            for (fd, events, _), answer in zip(wanted, answers, strict=True)
        ),
    )
    return sum(1 for answer in answers if answer)


@syscall(72)
def pselect6(task, nfds: Int, readfds, writefds, exceptfds, timeout, sigmask):
    """Waits until one of several descriptors is ready, told as sets of bits."""
    if nfds < 0:
        raise OSError(EINVAL, "a negative number")
    nfds = min(nfds, 65536)
    deadline = deadline_of(task, timeout)
    size = (nfds + 63) // 64 * 8
    sets = []
    for address in (readfds, writefds, exceptfds):
        bits = int.from_bytes(task.memory.read(address, size), "little") if address else 0
        sets.append(bits & (1 << nfds) - 1)
    if sigmask:
        address, length = struct.unpack("<QQ", task.memory.read(sigmask, 16))
        with_mask(task, address, length)
    wanted = []
    for fd in range(nfds):
        events = (IN if sets[0] >> fd & 1 else 0) | (OUT if sets[1] >> fd & 1 else 0)
        if events or sets[2] >> fd & 1:
            file = task.descriptors.open.get(fd)
            if file is None:
                restore_mask(task)
                raise OSError(EBADF, "no such descriptor")
            wanted.append((fd, file, events))

    def look():
        reads = writes = 0
        for fd, file, events in wanted:
            if events & IN and (file.ready_to_read() or file.hung_up()):
                reads |= 1 << fd
            if events & OUT and file.ready_to_write():
                writes |= 1 << fd
        return reads, writes

    answers = look()
    while not any(answers):
        if deadline is not None and task.kernel.now() >= deadline:
            break
        known = [(file, events) for _, file, events in wanted]
        yield waits(known, lambda: any(look()), deadline)
        answers = look()
    restore_mask(task)
    for address, bits in zip((readfds, writefds, exceptfds), (*answers, 0), strict=True):
        if address:
            task.memory.write(address, bits.to_bytes(size, "little"))
    return sum(bits.bit_count() for bits in answers)


@syscall(20)
def epoll_create1(task, flags: Int):
    """A set of descriptors to wait for."""
    if flags & ~O_CLOEXEC:
        raise OSError(EINVAL, "no such flags")
    return task.descriptors.add(Epoll(0), bool(flags), limit=limit(task))


def epoll_at(task, epfd):
    file = task.descriptors.get(epfd)
    if not isinstance(file, Epoll):
        raise OSError(EINVAL, "not an epoll")
    return file


@syscall(21)
def epoll_ctl(task, epfd: Int, op: Int, fd: Int, event):
    """Adds, removes or changes what an epoll waits for."""
    epoll, file = epoll_at(task, epfd), task.descriptors.get(fd)
    if file is epoll:
        raise OSError(EINVAL, "itself")
    if file.place is not None and not isinstance(file, Epoll):
        raise OSError(EPERM, "always ready")
    events, data = struct.unpack("<I4xQ", task.memory.read(event, 16)) if op != 2 else (0, 0)
    known = epoll.interest.get(fd)
    if known is not None and known[0] is not file:
        known = None
    if op == 1:
        if known:
            raise OSError(EEXIST, "there already")
        epoll.interest[fd] = [file, events, data, 0]
    elif op in (2, 3):
        if not known:
            raise OSError(ENOENT, "not there")
        if op == 2:
            del epoll.interest[fd]
        else:
            epoll.interest[fd] = [file, events, data, 0]
    else:
        raise OSError(EINVAL, "no such operation")
    return 0


@syscall(22)
def epoll_pwait(task, epfd: Int, events, maxevents: Int, timeout: Int, sigmask, sigsetsize):
    """Waits for an epoll; milliseconds."""
    deadline = None if timeout < 0 else task.kernel.now() + timeout * 10**6
    return wait_for_epoll(task, epfd, events, maxevents, deadline, sigmask)


@syscall(441)
def epoll_pwait2(task, epfd: Int, events, maxevents: Int, timeout, sigmask, sigsetsize):
    """Waits for an epoll; a timespec."""
    deadline = deadline_of(task, timeout)
    return wait_for_epoll(task, epfd, events, maxevents, deadline, sigmask)


def wait_for_epoll(task, epfd, events, maxevents, deadline, sigmask):
    epoll = epoll_at(task, epfd)
    if maxevents <= 0:
        raise OSError(EINVAL, "no room")
    with_mask(task, sigmask, 8)
    found = epoll.found(maxevents)
    while not found:
        if deadline is not None and task.kernel.now() >= deadline:
            break
        known = [(entry[0], entry[1]) for entry in epoll.interest.values()]
        yield waits(known, epoll.ready_to_read, deadline)
        found = epoll.found(maxevents)
    restore_mask(task)
    task.memory.write(events, b"".join(struct.pack("<I4xQ", *answer) for answer in found))
    return len(found)


@syscall(85)
def timerfd_create(task, clockid: Int, flags: Int):
    """A timer that is a descriptor."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise OSError(EINVAL, "no such flags")
    file = TimerFile(flags & O_NONBLOCK, task.kernel.now)
    file.realtime = clockid == 0
    return task.descriptors.add(file, bool(flags & O_CLOEXEC), limit=limit(task))


def timer_at(task, fd):
    file = task.descriptors.get(fd)
    if not isinstance(file, TimerFile):
        raise OSError(EINVAL, "not a timer")
    return file


def store_timer(task, file, address):
    left = max(0, file.deadline - task.kernel.now()) if file.deadline else 0
    fields = (*divmod(file.interval, 10**9), *divmod(left, 10**9))
    task.memory.write(address, struct.pack("<qqqq", *fields))


@syscall(86)
def timerfd_settime(task, fd: Int, flags: Int, new_value, old_value):
    """Starts or stops a timer."""
    file = timer_at(task, fd)
    interval, value = timespec(task, new_value), timespec(task, new_value + 16)
    if old_value:
        store_timer(task, file, old_value)
    file.interval = interval
    start = -task.kernel.epoch * 10**9 if file.realtime else 0
    file.deadline = value and (value + start if flags & 1 else task.kernel.now() + value)
    return 0


@syscall(87)
def timerfd_gettime(task, fd: Int, curr_value):
    """What is left of a timer."""
    store_timer(task, timer_at(task, fd), curr_value)
    return 0
