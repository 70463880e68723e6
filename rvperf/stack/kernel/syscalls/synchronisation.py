"""futex(2) and what threads leave behind when they end."""

from errno import EAGAIN, EINVAL, ENOSYS, ETIMEDOUT

from ..memory import PROT_READ
from ..tasks import Wait
from . import Int, Uint, syscall
from .time import clock, timespec

WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP = 0, 1, 3, 4, 5
WAIT_BITSET, WAKE_BITSET = 9, 10
PRIVATE, CLOCK_REALTIME = 128, 256
ANY = 0xFFFFFFFF
FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_TID_MASK = 1 << 31, 1 << 30, (1 << 30) - 1
ROBUST_LIMIT = 2048


class Waiter:
    """A task that waits on a futex."""

    def __init__(self, task, key, bits):
        self.task, self.key, self.bits = task, key, bits
        self.woken = False


def key_of(task, address, private):
    """What names a futex: the address space and address, or for shared ones the physical place.

    Raises OSError EINVAL, EFAULT.
    """
    if address % 4:
        raise OSError(EINVAL, "not aligned")
    at = task.memory.locate(address, PROT_READ)
    if private:
        return task.memory.root, address
    area = task.memory.find(address)
    return ("shared", at) if area is not None and area.shared else (task.memory.root, address)


def wake(kernel, key, count, bits=ANY):
    """Wakes up to `count` waiters, those that came first first."""
    woken = 0
    queue = kernel.futexes.get(key)
    if not queue:
        return 0
    for waiter in list(queue):
        if woken >= count:
            break
        if waiter.bits & bits:
            waiter.woken = True
            queue.remove(waiter)
            woken += 1
    if not queue:
        del kernel.futexes[key]
    return woken


def requeue(kernel, source, target, count):
    """Lets up to `count` waiters wait for another futex instead."""
    moved = 0
    queue = kernel.futexes.get(source, [])
    while queue and moved < count:
        waiter = queue.pop(0)
        waiter.key = target
        kernel.futexes.setdefault(target, []).append(waiter)
        moved += 1
    if not queue:
        kernel.futexes.pop(source, None)
    return moved


def wait(task, key, bits, deadline):
    """A generator that ends when the futex is woken, or at the deadline."""
    kernel = task.kernel
    waiter = Waiter(task, key, bits)
    kernel.futexes.setdefault(key, []).append(waiter)
    try:
        while not waiter.woken:
            if deadline is not None and kernel.now() >= deadline:
                return -ETIMEDOUT
            yield Wait(lambda: waiter.woken, deadline)
        return 0
    finally:
        queue = kernel.futexes.get(waiter.key)
        if queue and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del kernel.futexes[waiter.key]


def wake_operation(task, address, operation):
    """FUTEX_WAKE_OP: changes the second word and tells whether its old value compares so."""
    old = task.memory.load(address, 4)
    kind, compare = operation >> 28 & 15, operation >> 24 & 15
    value, against = operation >> 12 & 0xFFF, operation & 0xFFF
    value -= (value & 0x800) << 1
    against -= (against & 0x800) << 1
    if kind & 8:
        value = 1 << (value & 31)
    kind &= 7
    if kind > 4 or compare > 5:
        raise OSError(ENOSYS, "no such operation")
    new = (value, old + value, old | value, old & ~value, old ^ value)[kind]
    task.memory.store(address, 4, new)
    signed = old - (1 << 32) if old >> 31 else old
    return (
        signed == against, signed != against, signed < against,
        signed <= against, signed > against, signed >= against,
    )[compare]  # fmt: skip


@syscall(98)
def futex(task, uaddr, futex_op: Int, val: Uint, timeout, uaddr2, val3: Uint):
    """Waits for, or wakes those who wait for, a word in memory."""
    kernel = task.kernel
    private = bool(futex_op & PRIVATE)
    operation = futex_op & ~(PRIVATE | CLOCK_REALTIME)
    if operation in (WAIT, WAIT_BITSET):
        deadline = None
        if timeout:
            ns = timespec(task, timeout)
            if operation == WAIT:
                deadline = kernel.now() + ns
            else:
                deadline = kernel.now() + ns - clock(task, 0 if futex_op & CLOCK_REALTIME else 1)
        bits = val3 if operation == WAIT_BITSET else ANY
        if not bits:
            raise OSError(EINVAL, "no bits")
        key = key_of(task, uaddr, private)
        if task.memory.load(uaddr, 4) != val:
            raise OSError(EAGAIN, "changed already")
        return wait(task, key, bits, deadline)
    if operation in (WAKE, WAKE_BITSET):
        bits = val3 if operation == WAKE_BITSET else ANY
        if not bits:
            raise OSError(EINVAL, "no bits")
        return wake(kernel, key_of(task, uaddr, private), signed(val), bits)
    if operation in (REQUEUE, CMP_REQUEUE):
        source, target = key_of(task, uaddr, private), key_of(task, uaddr2, private)
        if operation == CMP_REQUEUE and task.memory.load(uaddr, 4) != val3:
            raise OSError(EAGAIN, "changed already")
        woken = wake(kernel, source, signed(val))
        return woken + requeue(kernel, source, target, timeout & 0x7FFFFFFF)
    if operation == WAKE_OP:
        first, second = key_of(task, uaddr, private), key_of(task, uaddr2, private)
        also = wake_operation(task, uaddr2, val3)
        woken = wake(kernel, first, signed(val))
        return woken + (wake(kernel, second, timeout & 0x7FFFFFFF) if also else 0)
    raise OSError(ENOSYS, "no such operation")


def signed(count):
    """How many to wake: a C int, of which one at least is woken."""
    return max(1, count - (1 << 32) if count >> 31 else count)


@syscall(99)
def set_robust_list(task, head, len):
    """Where a thread lists the locks that it holds."""
    if len != 24:
        raise OSError(EINVAL, "not the size of a robust_list_head")
    task.robust_list = head
    return 0


@syscall(100)
def get_robust_list(task, pid: Int, head_ptr, len_ptr):
    """Where a thread lists the locks that it holds."""
    if pid not in (0, task.tid):
        raise OSError(3, "no such thread")
    task.memory.store(head_ptr, 8, task.robust_list)
    task.memory.store(len_ptr, 8, 24)
    return 0


def release_robust_list(task):
    """At a thread's end: marks the locks that it still holds and wakes who waits for them."""
    if not task.robust_list:
        return
    memory = task.memory
    try:
        entry = memory.load(task.robust_list, 8)
        offset = memory.load(task.robust_list + 8, 8)
        offset -= (offset >> 63) << 64
        for _ in range(ROBUST_LIMIT):
            if entry == task.robust_list:
                return
            word = (entry & ~1) + offset
            following = memory.load(entry & ~1, 8)
            value = memory.load(word, 4)
            if value & FUTEX_TID_MASK == task.tid:
                memory.store(word, 4, value & FUTEX_WAITERS | FUTEX_OWNER_DIED)
                if value & FUTEX_WAITERS:
                    wake(task.kernel, key_of(task, word, False), 1)
            entry = following
    except OSError:
        return


def clear_and_wake(task):
    """At a thread's end: clears the word that set_tid_address named and wakes who waits for it."""
    try:
        task.memory.store(task.clear_child_tid, 4, 0)
        wake(task.kernel, key_of(task, task.clear_child_tid, False), 1)
        wake(task.kernel, key_of(task, task.clear_child_tid, True), 1)
    except OSError:
        pass
