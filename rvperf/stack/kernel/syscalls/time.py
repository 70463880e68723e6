"""System calls on time, all of it emulated: it passes as the hart's cycles do."""

import struct
from errno import EFAULT, EINVAL

from ..signals import SI_TIMER, SIGALRM, SigInfo, post
from ..tasks import Interrupted, Wait
from . import Int, syscall

TIMER_ABSTIME = 1
BILLION = 10**9


def timespec(task, address):
    """Nanoseconds of a timespec in memory. Raises OSError EINVAL, EFAULT."""
    seconds, ns = struct.unpack("<qq", task.memory.read(address, 16))
    if seconds < 0 or not 0 <= ns < BILLION:
        raise OSError(EINVAL, "not a time")
    return seconds * BILLION + ns


def store_timespec(task, address, ns):
    task.memory.write(address, struct.pack("<qq", *divmod(ns, BILLION)))


def clock(task, clockid):
    """Nanoseconds of a clock. Raises OSError EINVAL."""
    kernel = task.kernel
    if clockid in (0, 5, 8, 11):  # REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI
        return kernel.epoch * BILLION + kernel.now()
    if clockid in (1, 4, 6, 7, 9):  # MONOTONIC, RAW, COARSE, BOOTTIME, BOOTTIME_ALARM
        return kernel.now()
    if clockid == 3 or clockid < 0 and clockid & 4:  # THREAD_CPUTIME_ID
        return task.user_ns + task.system_ns
    if clockid == 2 or clockid < 0:  # PROCESS_CPUTIME_ID, or a process's
        process = task.process
        living = sum(thread.user_ns + thread.system_ns for thread in process.threads
                     if thread.state != "Z")  # fmt: skip
        return process.user_ns + process.system_ns + living
    raise OSError(EINVAL, "no such clock")


@syscall(113)
def clock_gettime(task, clockid: Int, tp):
    """What a clock shows."""
    store_timespec(task, tp, clock(task, clockid))
    return 0


@syscall(114)
def clock_getres(task, clockid: Int, res):
    """A clock's resolution."""
    clock(task, clockid)
    if res:
        store_timespec(task, res, 4_000_000 if clockid in (5, 6) else 1)
    return 0


@syscall(112)
def clock_settime(task, clockid: Int, tp):
    """Nobody here may."""
    raise OSError(1, "not permitted")


@syscall(169)
def gettimeofday(task, tv, tz):
    """The time of day."""
    now = clock(task, 0)
    if tv:
        task.memory.write(tv, struct.pack("<qq", now // BILLION, now % BILLION // 1000))
    if tz:
        task.memory.write(tz, bytes(8))
    return 0


@syscall(115)
def clock_nanosleep(task, clockid: Int, flags: Int, request, remain):
    """Sleeps, by a clock."""
    ns = timespec(task, request)
    now = clock(task, clockid)
    kernel = task.kernel
    deadline = kernel.now() + (ns - now if flags & TIMER_ABSTIME else ns)
    return sleep_until(task, deadline, 0 if flags & TIMER_ABSTIME else remain)


@syscall(101)
def nanosleep(task, rqtp, rmtp):
    """Sleeps."""
    return sleep_until(task, task.kernel.now() + timespec(task, rqtp), rmtp)


def sleep_until(task, deadline, remain):
    """A generator that ends at a time, or by a signal with the rest told."""
    while task.kernel.now() < deadline:
        try:
            yield Wait(deadline=deadline, restart=False)
        except Interrupted:
            if remain:
                try:
                    store_timespec(task, remain, max(0, deadline - task.kernel.now()))
                except OSError:
                    return -EFAULT
            raise
    return 0


def timer_left(process, which, now):
    due, interval = process.timers.get(which, (None, 0))
    return (interval, max(1000, due - now)) if due is not None else (0, 0)


def encode_itimer(interval, left):
    return struct.pack(
        "<qqqq",
        interval // BILLION, interval % BILLION // 1000, left // BILLION, left % BILLION // 1000,
    )  # fmt: skip


@syscall(102)
def getitimer(task, which: Int, curr_value):
    """What is left of an interval timer."""
    if not 0 <= which <= 2:
        raise OSError(EINVAL, "no such timer")
    answer = timer_left(task.process, which, task.kernel.now())
    task.memory.write(curr_value, encode_itimer(*answer))
    return 0


@syscall(103)
def setitimer(task, which: Int, new_value, old_value):
    """Starts or stops an interval timer. The CPU timers run on as the real one does: there is one
    hart, and a process that waits for its own CPU time is running."""
    if not 0 <= which <= 2:
        raise OSError(EINVAL, "no such timer")
    fields = struct.unpack("<qqqq", task.memory.read(new_value, 32)) if new_value else (0,) * 4
    if any(not 0 <= part < 10**6 for part in fields[1::2]) or min(fields) < 0:
        raise OSError(EINVAL, "not a time")
    process, now = task.process, task.kernel.now()
    before = timer_left(process, which, now)
    interval, value = (fields[i] * BILLION + fields[i + 1] * 1000 for i in (0, 2))
    if value:
        process.timers[which] = (now + value, interval)
        task.kernel.timers_changed = True
    else:
        process.timers.pop(which, None)
    if old_value:
        task.memory.write(old_value, encode_itimer(*before))
    return 0


class PosixTimer:
    """timer_create(2)."""

    def __init__(self, number, clockid, signal, value, task):
        self.number, self.clockid, self.signal, self.value = number, clockid, signal, value
        self.task = task
        self.deadline = self.interval = self.overrun = 0

    def fire(self, now, process):
        """Sends the signal if the time has come."""
        if not self.deadline or now < self.deadline:
            return
        missed = (now - self.deadline) // self.interval if self.interval else 0
        self.overrun = missed
        self.deadline = self.deadline + (missed + 1) * self.interval if self.interval else 0
        if self.signal:
            payload = struct.pack("<iiQ", self.number, missed, self.value)
            post(process, SigInfo(self.signal, SI_TIMER, payload), self.task)


@syscall(107)
def timer_create(task, clockid: Int, sevp, timerid):
    """Makes a timer."""
    clock(task, clockid)
    signal, value, to = SIGALRM, 0, None
    timers = task.process.posix_timers
    number = max(timers, default=-1) + 1
    if sevp:
        value, signal, notify, thread = struct.unpack("<Qiii", task.memory.read(sevp, 20))
        if notify == 1:
            signal = 0
        elif not 1 <= signal <= 64:
            raise OSError(EINVAL, "no such signal")
        if notify == 4:
            to = next((t for t in task.process.threads if t.tid == thread), None)
            if to is None:
                raise OSError(EINVAL, "no such thread")
    else:
        value = number
    timers[number] = PosixTimer(number, clockid, signal, value, to)
    task.memory.store(timerid, 4, number)
    return 0


def timer_of(task, number):
    timer = task.process.posix_timers.get(number)
    if timer is None:
        raise OSError(EINVAL, "no such timer")
    return timer


def store_posix(task, timer, address):
    left = max(1, timer.deadline - task.kernel.now()) if timer.deadline else 0
    fields = (*divmod(timer.interval, BILLION), *divmod(left, BILLION))
    task.memory.write(address, struct.pack("<qqqq", *fields))


@syscall(110)
def timer_settime(task, timerid: Int, flags: Int, new_value, old_value):
    """Starts or stops a timer."""
    timer = timer_of(task, timerid)
    interval, value = timespec(task, new_value), timespec(task, new_value + 16)
    if old_value:
        store_posix(task, timer, old_value)
    now = task.kernel.now()
    if value and flags & TIMER_ABSTIME:
        value = max(1, value - clock(task, timer.clockid))
    timer.interval, timer.deadline = interval, now + value if value else 0
    task.kernel.timers_changed = True
    return 0


@syscall(108)
def timer_gettime(task, timerid: Int, curr_value):
    """What is left of a timer."""
    store_posix(task, timer_of(task, timerid), curr_value)
    return 0


@syscall(109)
def timer_getoverrun(task, timerid: Int):
    """How many expirations the last signal stood for."""
    return timer_of(task, timerid).overrun


@syscall(111)
def timer_delete(task, timerid: Int):
    """Removes a timer."""
    timer_of(task, timerid)
    del task.process.posix_timers[timerid]
    return 0


@syscall(153)
def times(task, buf):
    """CPU times in clock ticks, and the clock."""
    process, kernel = task.process, task.kernel
    user = process.user_ns + sum(thread.user_ns for thread in process.threads)
    system = process.system_ns + sum(thread.system_ns for thread in process.threads)
    ticks = [
        ns // 10**7 for ns in (user, system, process.children_user_ns, process.children_system_ns)
    ]
    if buf:
        task.memory.write(buf, struct.pack("<4q", *ticks))
    return kernel.now() // 10**7
