"""System calls on open descriptors: reading, writing, positions, duplicates, pipes."""

import fcntl as host_fcntl
import os
import struct
from errno import EAGAIN, EBADF, EINVAL, EISDIR, EPERM, EPIPE

from .. import files, signals
from ..files import O_APPEND, O_CLOEXEC, O_NONBLOCK, PIPE_BUF, EventCounter, Pipe, PipeEnd
from ..tasks import Interrupted, Wait
from . import Int, Long, Uint, syscall

MAX_RW = 0x7FFFF000
CHUNK = 1 << 20
IOV_MAX = 1024


def limit(task):
    """How many descriptors the task may have."""
    return task.kernel.limit(task.process, 7)[0]


def readable(task, fd):
    """The file at `fd`, open for reading. Raises OSError EBADF."""
    file = task.descriptors.get(fd)
    if not file.readable:
        raise OSError(EBADF, "not open for reading")
    return file


def writable(task, fd):
    """The file at `fd`, open for writing. Raises OSError EBADF."""
    file = task.descriptors.get(fd)
    if not file.writable:
        raise OSError(EBADF, "not open for writing")
    return file


def wait_to_read(file):
    reads = (file.host,) if file.waits_on_host else ()
    return Wait(file.ready_to_read, reads=reads)


def wait_to_write(file):
    writes = (file.host,) if file.waits_on_host else ()
    return Wait(file.ready_to_write, writes=writes)


def store_read(task, file, buf, count):
    """Reads once and stores what came. Raises BlockingIOError, OSError."""
    data = file.read(min(count, MAX_RW))
    task.memory.write(buf, data)
    return len(data)


def read_later(task, file, spans):
    """Sleeps until there is something to read."""
    file.users += 1
    try:
        while True:
            yield wait_to_read(file)
            try:
                return read_into(task, file, spans)
            except BlockingIOError:
                pass
    finally:
        file.drop()


def read_into(task, file, spans):
    """Reads into the (address, length) pairs until one isn't filled."""
    done = 0
    for address, count in spans:
        if not count:
            continue
        try:
            got = store_read(task, file, address, count)
        except OSError:
            if done:
                return done
            raise
        done += got
        if got < count:
            break
    return done


def start_read(task, file, spans):
    try:
        return read_into(task, file, spans)
    except BlockingIOError:
        if file.flags & O_NONBLOCK:
            return -EAGAIN
        return read_later(task, file, spans)


@syscall(63)
def read(task, fd: Int, buf, count):
    """Reads from the current position."""
    file = readable(task, fd)
    if not count:
        return len(file.read(0)) if not file.waits_on_host else 0
    return start_read(task, file, ((buf, count),))


def write_all(task, file, spans, done=0):
    """Writes the (address, length) pairs; a generator that sleeps while there is no room.

    What is written already is the result if an error or a signal ends it.
    """
    written = [done]
    try:
        yield from write_rest(task, file, spans, written)
    except OSError as error:
        if error.errno == EPIPE:
            signals.post(task.process, signals.from_user(signals.SIGPIPE, task), task)
        if not written[0]:
            raise
    except Interrupted:
        if not written[0]:
            raise
    return written[0]


def write_rest(task, file, spans, written):
    """The loop of write_all; `written` holds one number, how much is done."""
    skip = written[0]
    for address, count in spans:
        if skip >= count:
            skip -= count
            continue
        address, count, skip = address + skip, count - skip, 0
        while count:
            data = task.memory.read(address, min(count, CHUNK))
            while data:
                try:
                    n = file.write(data)
                except BlockingIOError:
                    if file.flags & O_NONBLOCK:
                        raise OSError(EAGAIN, "no room") from None
                    yield room_for(file, len(data))
                    continue
                data = data[n:]
                address, count = address + n, count - n
                written[0] += n


def room_for(file, size):
    """The Wait for room: a small write to a pipe is not torn apart, so it needs all of it."""
    if isinstance(file, PipeEnd) and size <= PIPE_BUF:
        pipe = file.outgoing
        return Wait(lambda: not pipe.readers or pipe.capacity - pipe.size >= size)
    return wait_to_write(file)


def write_now(task, file, data):
    """How much of data the file takes without waiting; a broken pipe signals the task, too."""
    try:
        return file.write(data)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno == EPIPE:
            signals.post(task.process, signals.from_user(signals.SIGPIPE, task), task)
        raise


def start_write(task, file, spans):
    """Writes at once what can be; the rest is left to a generator."""
    if len(spans) == 1 and spans[0][1] <= CHUNK:
        address, count = spans[0]
        data = task.memory.read(address, count)
        done = write_now(task, file, data)
        if done == count:
            return done
        return hold(file, write_all(task, file, spans, done))
    return hold(file, write_all(task, file, spans))


def hold(file, writing):
    """Keeps a file open while a call that sleeps on it runs."""
    file.users += 1
    try:
        return (yield from writing)
    finally:
        file.drop()


@syscall(64)
def write(task, fd: Int, buf, count):
    """Writes at the current position."""
    file = writable(task, fd)
    return start_write(task, file, ((buf, min(count, MAX_RW)),))


def vector(task, iov, count):
    """The (address, length) pairs of an iovec array. Raises OSError EINVAL, EFAULT."""
    if not 0 <= count <= IOV_MAX:
        raise OSError(EINVAL, "too many parts")
    raw = task.memory.read(iov, 16 * count)
    spans = list(struct.iter_unpack("<QQ", raw))
    if sum(length for _, length in spans) > 1 << 63:
        raise OSError(EINVAL, "too long")
    return spans


@syscall(65)
def readv(task, fd: Int, iov, iovcnt: Int):
    """Reads into several buffers."""
    file = readable(task, fd)
    return start_read(task, file, vector(task, iov, iovcnt))


@syscall(66)
def writev(task, fd: Int, iov, iovcnt: Int):
    """Writes several buffers, at once if they are small: they must not be torn apart in a pipe."""
    file = writable(task, fd)
    spans = vector(task, iov, iovcnt)
    total = sum(length for _, length in spans)
    if total > CHUNK:
        return start_write(task, file, spans)
    data = b"".join(task.memory.read(address, length) for address, length in spans)
    done = write_now(task, file, data) if data else 0
    if done == total:
        return done
    return hold(file, write_all(task, file, spans, done))


def positions(offset):
    if offset < 0:
        raise OSError(EINVAL, "a negative position")


@syscall(67)
def pread64(task, fd: Int, buf, count, offset: Long):
    """Reads at a position."""
    file = readable(task, fd)
    positions(offset)
    data = file.pread(min(count, MAX_RW), offset)
    task.memory.write(buf, data)
    return len(data)


@syscall(68)
def pwrite64(task, fd: Int, buf, count, offset: Long):
    """Writes at a position."""
    file = writable(task, fd)
    positions(offset)
    return file.pwrite(task.memory.read(buf, min(count, 64 * CHUNK)), offset)


@syscall(69)
def preadv(task, fd: Int, iov, iovcnt: Int, offset: Long):
    """Reads into several buffers at a position."""
    file = readable(task, fd)
    positions(offset)
    done = 0
    for address, length in vector(task, iov, iovcnt):
        data = file.pread(min(length, MAX_RW), offset + done)
        task.memory.write(address, data)
        done += len(data)
        if len(data) < length:
            break
    return done


@syscall(70)
def pwritev(task, fd: Int, iov, iovcnt: Int, offset: Long):
    """Writes several buffers at a position."""
    file = writable(task, fd)
    positions(offset)
    done = 0
    for address, length in vector(task, iov, iovcnt):
        if length:
            done += file.pwrite(task.memory.read(address, min(length, 64 * CHUNK)), offset + done)
    return done


@syscall(286)
def preadv2(task, fd: Int, iov, iovcnt: Int, offset: Long, unused, flags: Int):
    """preadv or, at position -1, readv."""
    return readv(task, fd, iov, iovcnt) if offset == -1 else preadv(task, fd, iov, iovcnt, offset)


@syscall(287)
def pwritev2(task, fd: Int, iov, iovcnt: Int, offset: Long, unused, flags: Int):
    """pwritev or, at position -1, writev."""
    return writev(task, fd, iov, iovcnt) if offset == -1 else pwritev(task, fd, iov, iovcnt, offset)


@syscall(62)
def lseek(task, fd: Int, offset: Long, whence: Uint):
    """Moves the position."""
    file = task.descriptors.get(fd)
    if whence > 4:
        raise OSError(EINVAL, "no such whence")
    return file.seek(offset, whence)


@syscall(57)
def close(task, fd: Int):
    """Closes a descriptor."""
    task.descriptors.close(fd)
    return 0


@syscall(436)
def close_range(task, first: Uint, last: Uint, flags: Uint):
    """Closes a range of descriptors, or has execve close it."""
    if first > last or flags & ~6:
        raise OSError(EINVAL, "no such range or flags")
    table = task.descriptors
    if flags & 2 and table.users > 1:
        table.users -= 1
        table = task.descriptors = table.copy()
    for number in [number for number in table.open if first <= number <= last]:
        if flags & 4:
            table.cloexec.add(number)
        else:
            table.close(number)
    return 0


@syscall(23)
def dup(task, oldfd: Int):
    """Another number for an open file."""
    return task.descriptors.add(task.descriptors.get(oldfd), limit=limit(task))


@syscall(24)
def dup3(task, oldfd: Int, newfd: Int, flags: Int):
    """A chosen number for an open file."""
    file = task.descriptors.get(oldfd)
    if oldfd == newfd or flags & ~O_CLOEXEC:
        raise OSError(EINVAL, "the same number, or no such flags")
    if not 0 <= newfd < limit(task):
        raise OSError(EBADF, "beyond the limit")
    task.descriptors.put(newfd, file, bool(flags & O_CLOEXEC))
    return newfd


F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW = range(8)
F_SETOWN, F_GETOWN, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ = 8, 9, 1030, 1031, 1032
F_ADD_SEALS, F_GET_SEALS = 1033, 1034


@syscall(25)
def fcntl(task, fd: Int, cmd: Uint, arg):
    """Flags, duplicates, and locks that nobody else can hold."""
    table = task.descriptors
    file = table.get(fd)
    if cmd in (F_DUPFD, F_DUPFD_CLOEXEC):
        if arg >= limit(task):
            raise OSError(EINVAL, "beyond the limit")
        return table.add(file, cmd == F_DUPFD_CLOEXEC, arg, limit(task))
    if cmd == F_GETFD:
        return int(fd in table.cloexec)
    if cmd == F_SETFD:
        (table.cloexec.add if arg & 1 else table.cloexec.discard)(fd)
        return 0
    if cmd == F_GETFL:
        return file.flags | 0o100000
    if cmd == F_SETFL:
        settable = O_APPEND | O_NONBLOCK | 0o40000
        file.flags = file.flags & ~settable | arg & settable
        if isinstance(file, files.HostFile):
            flags = host_fcntl.fcntl(file.host, host_fcntl.F_GETFL) & ~os.O_APPEND
            host_fcntl.fcntl(file.host, host_fcntl.F_SETFL, flags | arg & O_APPEND)
        return 0
    if cmd in (F_GETLK, 36):
        task.memory.store(arg, 2, 2)  # F_UNLCK: nobody holds it
        return 0
    if cmd in (F_SETLK, F_SETLKW, 37, 38, F_SETOWN):
        return 0
    if cmd == F_GETOWN:
        return 0
    if cmd in (F_SETPIPE_SZ, F_GETPIPE_SZ) and isinstance(file, PipeEnd):
        pipe = file.incoming or file.outgoing
        if cmd == F_SETPIPE_SZ:
            if arg > 1 << 20:
                raise OSError(EPERM, "larger than pipe-max-size")
            pipe.capacity = max(4096, 1 << max(0, arg - 1).bit_length(), pipe.size)
        return pipe.capacity
    if cmd in (F_ADD_SEALS, F_GET_SEALS) and isinstance(file, files.MemoryFile):
        return 0
    raise OSError(EINVAL, "no such command")


FIONCLEX, FIOCLEX, FIONBIO = 0x5450, 0x5451, 0x5421


@syscall(29)
def ioctl(task, fd: Int, op: Uint, argp):
    """Requests to a terminal or a file."""
    file = task.descriptors.get(fd)
    if file.flags & files.O_PATH:
        raise OSError(EBADF, "opened with O_PATH")
    if op == FIOCLEX:
        task.descriptors.cloexec.add(fd)
        return 0
    if op == FIONCLEX:
        task.descriptors.cloexec.discard(fd)
        return 0
    if op == FIONBIO:
        on = task.memory.load(argp, 4)
        file.flags = file.flags | O_NONBLOCK if on else file.flags & ~O_NONBLOCK
        return 0
    return file.ioctl(task, op, argp)


@syscall(59)
def pipe2(task, pipefd, flags: Int):
    """A pipe: the reading end, then the writing end."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK | 0o40000):
        raise OSError(EINVAL, "no such flags")
    task.kernel.pipes += 1
    pipe = Pipe(task.kernel.pipes)
    first = PipeEnd(flags & O_NONBLOCK, incoming=pipe)
    second = PipeEnd(flags & O_NONBLOCK | 1, outgoing=pipe)
    return add_pair(task, first, second, pipefd, bool(flags & O_CLOEXEC))


def add_pair(task, first, second, address, cloexec):
    """Gives two new files numbers and stores those. Raises OSError EMFILE, EFAULT."""
    table = task.descriptors
    one = table.add(first, cloexec, limit=limit(task))
    try:
        two = table.add(second, cloexec, limit=limit(task))
    except OSError:
        table.close(one)
        raise
    try:
        task.memory.write(address, struct.pack("<ii", one, two))
    except OSError:
        table.close(one)
        table.close(two)
        raise
    return 0


@syscall(19)
def eventfd2(task, initval: Uint, flags: Int):
    """A counter to wait for."""
    if flags & ~(1 | O_CLOEXEC | O_NONBLOCK):
        raise OSError(EINVAL, "no such flags")
    file = EventCounter(flags & O_NONBLOCK, initval, bool(flags & 1))
    return task.descriptors.add(file, bool(flags & O_CLOEXEC), limit=limit(task))


def copy_chunk(source, count, offset):
    """(bytes, position after them) at an offset, or at the current position if that is None."""
    if offset is None:
        return source.read(count), None
    data = source.pread(count, offset)
    return data, offset + len(data)


@syscall(71)
def sendfile(task, out_fd: Int, in_fd: Int, offset, count):
    """Copies from a file to a descriptor without the program seeing the bytes."""
    source, target = readable(task, in_fd), writable(task, out_fd)
    if target.flags & O_APPEND or isinstance(source, PipeEnd | EventCounter):
        raise OSError(EINVAL, "can't be copied from or to")
    at = task.memory.load(offset, 8) if offset else None
    return copy(task, source, target, min(count, MAX_RW), offset, at)


def copy(task, source, target, count, offset, at):
    """The body of sendfile: a generator, since the target may have to wait."""
    done = 0
    try:
        while done < count:
            data, at = copy_chunk(source, min(count - done, 65536), at)
            if not data:
                break
            while data:
                try:
                    n = target.write(data)
                except BlockingIOError:
                    yield wait_to_write(target)
                    continue
                data = data[n:]
                done += n
    except OSError as error:
        if error.errno == EPIPE:
            signals.post(task.process, signals.from_user(signals.SIGPIPE, task), task)
        if not done:
            raise
    if offset:
        task.memory.store(offset, 8, at)
    return done


@syscall(285)
def copy_file_range(task, fd_in: Int, off_in, fd_out: Int, off_out, size, flags: Uint):
    """Copies between two regular files."""
    source, target = readable(task, fd_in), writable(task, fd_out)
    if flags:
        raise OSError(EINVAL, "no such flags")
    if isinstance(source, files.HostDirectory) or isinstance(target, files.HostDirectory):
        raise OSError(EISDIR, "a directory")
    regular = files.HostFile | files.MemoryFile
    if not isinstance(source, regular) or not isinstance(target, regular):
        raise OSError(EINVAL, "not regular files")
    if target.flags & O_APPEND:
        raise OSError(EBADF, "opened for appending")
    at = task.memory.load(off_in, 8) if off_in else None
    to = task.memory.load(off_out, 8) if off_out else None
    done, count = 0, min(size, 64 * CHUNK)
    while done < count:
        data, at = copy_chunk(source, min(count - done, CHUNK), at)
        if not data:
            break
        if to is None:
            target.write(data)
        else:
            to += target.pwrite(data, to)
        done += len(data)
    if off_in:
        task.memory.store(off_in, 8, at)
    if off_out:
        task.memory.store(off_out, 8, to)
    return done


@syscall(76)
def splice(task, fd_in: Int, off_in, fd_out: Int, off_out, size, flags: Uint):
    """Not there: programs fall back to read and write, as for EINVAL."""
    raise OSError(EINVAL, "not between these")
