"""Open files: what a descriptor refers to, one class for each kind of thing.

Every kind answers the same few calls. read() and write() raise BlockingIOError when they would have
to wait; ready_to_read and ready_to_write tell when they wouldn't; a kind that can't do something
leaves the method that says so with Linux's errno.
"""

import fcntl
import os
import select
import stat
import struct
from collections import deque
from errno import (
    EBADF,
    EINVAL,
    EISDIR,
    ENODEV,
    ENOSPC,
    ENOTDIR,
    ENOTTY,
    EPIPE,
    ESPIPE,
)

from isa.record import Record

O_ACCMODE, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND = (
    3, 1, 2, 0o100, 0o200, 0o400, 0o1000, 0o2000,
)  # fmt: skip
O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC, O_PATH = (
    0o4000, 0o200000, 0o400000, 0o2000000, 0o10000000,
)  # fmt: skip
O_TMPFILE = 0o20000000 | O_DIRECTORY
KEPT_FLAGS = ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)
PIPE_SIZE, PIPE_BUF = 65536, 4096
CHUNK = 1 << 20

TCGETS, TIOCGWINSZ, FIONREAD = 0x5401, 0x5413, 0x541B
IN, OUT, ERR, HUP = 1, 4, 8, 16


class Status(Record, mutable=True):
    """What stat(2) tells of a file that isn't the host's; times are emulated nanoseconds."""

    st_mode: int
    st_ino: int = 1
    st_dev: int = 5
    st_nlink: int = 1
    st_uid: int = 0
    st_gid: int = 0
    st_rdev: int = 0
    st_size: int = 0
    st_blksize: int = 4096
    st_blocks: int = 0
    st_atime_ns: int = 0
    st_mtime_ns: int = 0
    st_ctime_ns: int = 0


class OpenFile:
    """An open file description. `users` counts the descriptors that refer to it."""

    place = None
    host = None  # the host's descriptor, if there is one
    waits_on_host = False  # whether it becomes ready by the host's doing

    def __init__(self, flags=0):
        self.flags = flags & KEPT_FLAGS
        self.users = 0

    @property
    def readable(self):
        return self.flags & O_ACCMODE != O_WRONLY and not self.flags & O_PATH

    @property
    def writable(self):
        return self.flags & O_ACCMODE in (O_WRONLY, O_RDWR) and not self.flags & O_PATH

    def drop(self):
        """One descriptor less; the last one closes."""
        self.users -= 1
        if self.users == 0:
            self.close()

    def release_if_unused(self):
        if self.users == 0:
            self.close()

    def close(self):
        pass

    def read(self, count):
        raise OSError(EINVAL, "can't be read")

    def write(self, data):
        raise OSError(EINVAL, "can't be written")

    def pread(self, count, offset):
        raise OSError(ESPIPE, "has no position")

    def pwrite(self, data, offset):
        raise OSError(ESPIPE, "has no position")

    def seek(self, offset, whence):
        raise OSError(ESPIPE, "has no position")

    def ready_to_read(self):
        return True

    def ready_to_write(self):
        return True

    def hung_up(self):
        return False

    def truncate(self, size):
        raise OSError(EINVAL, "has no size")

    def entries(self):
        raise OSError(ENOTDIR, "not a directory")

    def mapping(self, cache, writable):
        """The CachedFile behind mmap. Raises OSError ENODEV."""
        raise OSError(ENODEV, "can't be mapped")

    def ioctl(self, task, request, argument):
        raise OSError(ENOTTY, "no such request")

    def status(self):
        return Status(stat.S_IFREG | 0o600)

    def describe(self):
        """What /proc/self/fd shows."""
        return "anon_inode:[file]"


class HostFile(OpenFile):
    """A regular file of the host."""

    def __init__(self, host, flags, place, name, cache):
        super().__init__(flags)
        self.host, self.place, self.name, self.cache = host, place, name, cache

    def close(self):
        os.close(self.host)

    def settle(self):
        """Puts shared mappings' writes in the host's file, so that reads see them."""
        if self.cache.files:
            file = self.cache.of(os.fstat(self.host))
            if file is not None:
                file.write_back()
            return file
        return None

    def read(self, count):
        self.settle()
        if count > CHUNK:
            left = os.fstat(self.host).st_size - os.lseek(self.host, 0, os.SEEK_CUR)
            count = max(0, min(count, left))
        return os.read(self.host, count)

    def pread(self, count, offset):
        self.settle()
        if count > CHUNK:
            count = max(0, min(count, os.fstat(self.host).st_size - offset))
        return os.pread(self.host, count, offset)

    def write(self, data):
        file = self.settle()
        done = os.write(self.host, data)
        if file is not None:
            file.refresh(os.lseek(self.host, 0, os.SEEK_CUR) - done, data[:done])
        return done

    def pwrite(self, data, offset):
        file = self.settle()
        done = os.pwrite(self.host, data, offset)
        if file is not None:
            file.refresh(offset, data[:done])
        return done

    def seek(self, offset, whence):
        return os.lseek(self.host, offset, whence)

    def truncate(self, size):
        file = self.settle()
        os.ftruncate(self.host, size)
        if file is not None:
            file.resize(size)

    def mapping(self, cache, writable):
        return cache.open(self.host, self.name, writable)

    def status(self):
        self.settle()
        return os.fstat(self.host)

    def ioctl(self, task, request, argument):
        if request == FIONREAD:
            left = os.fstat(self.host).st_size - os.lseek(self.host, 0, os.SEEK_CUR)
            task.memory.store(argument, 4, max(0, left))
            return 0
        raise OSError(ENOTTY, "not a terminal")

    def describe(self):
        return self.name


class HostStream(OpenFile):
    """A terminal, pipe, socket or device that the command was started with."""

    waits_on_host = True

    def __init__(self, host, flags, owned=False):
        super().__init__(flags)
        self.host, self.owned = host, owned
        self.terminal = os.isatty(host)
        self.input, self.output = select.poll(), select.poll()
        self.input.register(host, select.POLLIN)
        self.output.register(host, select.POLLOUT)

    def close(self):
        if self.owned:
            os.close(self.host)

    def ready_to_read(self):
        return bool(self.input.poll(0))

    def ready_to_write(self):
        return bool(self.output.poll(0))

    def hung_up(self):
        found = self.input.poll(0)
        return bool(found and found[0][1] & select.POLLHUP)

    def read(self, count):
        if not self.ready_to_read():
            raise BlockingIOError
        return os.read(self.host, min(count, CHUNK))

    def write(self, data):
        # Never more than surely fits: a write that waits here could not be interrupted by ^C.
        if not self.ready_to_write():
            raise BlockingIOError
        return os.write(self.host, data[:PIPE_BUF])

    def status(self):
        return os.fstat(self.host)

    def ioctl(self, task, request, argument):
        if not self.terminal:
            raise OSError(ENOTTY, "not a terminal")
        size = {TCGETS: 36, TIOCGWINSZ: 8, FIONREAD: 4}.get(request)
        if size:
            answer = fcntl.ioctl(self.host, request, bytes(size))
            task.memory.write(argument, answer)
            return 0
        if request in (0x5402, 0x5403, 0x5404):  # TCSETS, TCSETSW, TCSETSF
            fcntl.ioctl(self.host, request, task.memory.read(argument, 36))
            return 0
        return terminal_group(task, request, argument)

    def describe(self):
        return os.ttyname(self.host) if self.terminal else f"pipe:[{self.host}]"


def terminal_group(task, request, argument):
    """The job control requests of a terminal: TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSCTTY."""
    kernel = task.kernel
    if request == 0x540F:
        task.memory.store(argument, 4, kernel.foreground)
    elif request == 0x5410:
        kernel.foreground = task.memory.load(argument, 4)
    elif request == 0x5429:
        task.memory.store(argument, 4, task.process.session)
    elif request != 0x540E:
        raise OSError(ENOTTY, "no such request")
    return 0


class HostDirectory(OpenFile):
    """A directory of the host; its entries are read once, in the order of their names."""

    def __init__(self, place, flags, name):
        super().__init__(flags)
        self.place, self.name = place, name
        self.position = 0
        self.listing = None

    def read(self, count):
        raise OSError(EISDIR, "a directory")

    def write(self, data):
        raise OSError(EBADF, "a directory")

    def seek(self, offset, whence):
        if whence == 1:
            offset += self.position
        if whence > 1 or offset < 0:
            raise OSError(EINVAL, "no such position")
        if offset == 0:
            self.listing = None
        self.position = offset
        return offset

    def entries(self):
        """(inode, type, name) of each entry."""
        if self.listing is None:
            here = os.stat(self.place.host)
            above = os.stat(os.path.dirname(self.place.host))
            self.listing = [(here.st_ino, 4, b"."), (above.st_ino, 4, b"..")]
            with os.scandir(self.place.host) as found:
                for entry in sorted(found, key=lambda entry: entry.name):
                    kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) >> 12
                    self.listing.append((entry.inode(), kind, os.fsencode(entry.name)))
        return self.listing

    def status(self):
        return os.lstat(self.place.host)

    def describe(self):
        return self.name


class PathOnly(OpenFile):
    """A file opened with O_PATH: a name that can be held."""

    def __init__(self, place, flags, name):
        super().__init__(flags | O_PATH)
        self.place, self.name = place, name

    def read(self, count):
        raise OSError(EBADF, "opened with O_PATH")

    write = read

    def status(self):
        return os.lstat(self.place.host)

    def describe(self):
        return self.name


class SyntheticDirectory(OpenFile):
    """A directory of /proc, /dev or /sys."""

    def __init__(self, place, flags, names):
        super().__init__(flags)
        self.place = place
        self.position = 0
        self.names = names  # (name, type) pairs

    def read(self, count):
        raise OSError(EISDIR, "a directory")

    def seek(self, offset, whence):
        self.position = offset
        return offset

    def entries(self):
        dots = [(1, 4, b"."), (1, 4, b"..")]
        return dots + [(i + 2, kind, name.encode()) for i, (name, kind) in enumerate(self.names)]

    def status(self):
        return Status(stat.S_IFDIR | 0o555, nlink_inode(self.place.synthetic), st_nlink=2)

    def describe(self):
        return self.place.synthetic


def nlink_inode(path):
    """A stable inode number for a synthetic path."""
    number = 5381
    for byte in path.encode():
        number = (number * 33 ^ byte) & 0x7FFFFFFF
    return number


class TextFile(OpenFile):
    """A file of /proc or /sys: its text is made when it is opened."""

    def __init__(self, place, flags, text):
        super().__init__(flags)
        self.place, self.text = place, text
        self.position = 0

    def read(self, count):
        data = self.text[self.position : self.position + count]
        self.position += len(data)
        return data

    def pread(self, count, offset):
        return self.text[offset : offset + count]

    def write(self, data):
        return len(data)

    def seek(self, offset, whence):
        self.position = max(0, offset + (0, self.position, len(self.text))[whence])
        return self.position

    def status(self):
        return Status(stat.S_IFREG | 0o444, nlink_inode(self.place.synthetic))

    def describe(self):
        return self.place.synthetic


class Device(OpenFile):
    """/dev/null, zero, full, random and urandom."""

    NUMBERS = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}

    def __init__(self, name, flags, random):
        super().__init__(flags)
        self.name, self.random = name, random

    def read(self, count):
        if self.name == "null":
            return b""
        count = min(count, CHUNK)
        return self.random(count) if self.name.endswith("random") else bytes(count)

    def write(self, data):
        if self.name == "full":
            raise OSError(ENOSPC, "always full")
        return len(data)

    def pread(self, count, offset):
        return self.read(count)

    def pwrite(self, data, offset):
        return self.write(data)

    def seek(self, offset, whence):
        return 0

    def truncate(self, size):
        raise OSError(EINVAL, "a device")

    def mapping(self, cache, writable):
        if self.name == "zero":
            return None
        raise OSError(ENODEV, "can't be mapped")

    def status(self):
        number = self.NUMBERS[self.name]
        return Status(stat.S_IFCHR | 0o666, number, st_rdev=1 << 8 | number)

    def describe(self):
        return f"/dev/{self.name}"


class Pipe:
    """The bytes between the two ends of a pipe."""

    made = 0

    def __init__(self, number):
        self.number = number
        self.parts = deque()
        self.size = 0
        self.capacity = PIPE_SIZE
        self.readers = self.writers = 0

    def take(self, count):
        parts = []
        while self.parts and count > 0:
            part = self.parts.popleft()
            if len(part) > count:
                self.parts.appendleft(part[count:])
                part = part[:count]
            parts.append(part)
            count -= len(part)
            self.size -= len(part)
        return b"".join(parts)

    def add(self, data):
        room = self.capacity - self.size
        if room < len(data):
            if room <= 0 or len(data) <= PIPE_BUF:
                raise BlockingIOError
            data = data[:room]
        self.parts.append(bytes(data))
        self.size += len(data)
        return len(data)


class PipeEnd(OpenFile):
    """One end of a pipe, or both ends of two (a socket pair)."""

    is_socket = False

    def __init__(self, flags, incoming=None, outgoing=None):
        super().__init__(flags)
        self.incoming, self.outgoing = incoming, outgoing
        self.reads, self.writes = incoming is not None, outgoing is not None
        if incoming:
            incoming.readers += 1
        if outgoing:
            outgoing.writers += 1

    def close(self):
        self.shut(True, True)

    def shut(self, reading, writing):
        """Ends one direction or both: what the other end sees when this one is closed."""
        if reading and self.reads:
            self.incoming.readers -= 1
            self.reads = False
        if writing and self.writes:
            self.outgoing.writers -= 1
            self.writes = False

    def read(self, count):
        if self.incoming is None:
            raise OSError(EBADF, "the writing end")
        if not self.reads:
            return b""
        if self.incoming.size:
            return self.incoming.take(count)
        if self.incoming.writers and count:
            raise BlockingIOError
        return b""

    def write(self, data):
        if self.outgoing is None:
            raise OSError(EBADF, "the reading end")
        if not self.outgoing.readers or not self.writes:
            raise OSError(EPIPE, "nobody reads")
        return self.outgoing.add(data) if data else 0

    def ready_to_read(self):
        return self.incoming is not None and (self.incoming.size > 0 or not self.incoming.writers)

    def ready_to_write(self):
        pipe = self.outgoing
        return pipe is not None and (not pipe.readers or pipe.capacity - pipe.size >= PIPE_BUF)

    def hung_up(self):
        if self.incoming:
            return not self.incoming.writers
        return not self.outgoing.readers

    def ioctl(self, task, request, argument):
        if request == FIONREAD:
            task.memory.store(argument, 4, self.incoming.size if self.incoming else 0)
            return 0
        raise OSError(ENOTTY, "not a terminal")

    def status(self):
        number = (self.incoming or self.outgoing).number
        kind = stat.S_IFSOCK if self.is_socket else stat.S_IFIFO
        return Status(kind | 0o600, number, 13)

    def describe(self):
        kind = "socket" if self.is_socket else "pipe"
        return f"{kind}:[{(self.incoming or self.outgoing).number}]"


class MemoryFile(OpenFile):
    """memfd_create(2): a file that lives in the page cache only."""

    def __init__(self, flags, pages, name):
        super().__init__(flags)
        self.pages, self.name = pages, name
        self.position = 0
        pages.users += 1

    def close(self):
        self.pages.users -= 1
        if not self.pages.users:
            self.pages.forget()

    def read(self, count):
        data = self.pages.read(self.position, count)
        self.position += len(data)
        return data

    def pread(self, count, offset):
        return self.pages.read(offset, count)

    def write(self, data):
        if self.flags & O_APPEND:
            self.position = self.pages.size
        self.pages.write(self.position, data)
        self.position += len(data)
        return len(data)

    def pwrite(self, data, offset):
        self.pages.write(offset, data)
        return len(data)

    def seek(self, offset, whence):
        if whence > 2:
            raise OSError(EINVAL, "no such whence")
        position = offset + (0, self.position, self.pages.size)[whence]
        if position < 0:
            raise OSError(EINVAL, "a negative position")
        self.position = position
        return position

    def truncate(self, size):
        self.pages.resize(size)

    def mapping(self, cache, writable):
        return self.pages

    def status(self):
        return Status(stat.S_IFREG | 0o777, self.pages.identity[1], 1, st_size=self.pages.size)

    def describe(self):
        return f"/memfd:{self.name} (deleted)"


class EventCounter(OpenFile):
    """eventfd(2)."""

    def __init__(self, flags, value, semaphore):
        super().__init__(flags | O_RDWR)
        self.value, self.semaphore = value, semaphore

    def read(self, count):
        if count < 8:
            raise OSError(EINVAL, "less than eight bytes")
        if not self.value:
            raise BlockingIOError
        taken = 1 if self.semaphore else self.value
        self.value -= taken
        return struct.pack("<Q", taken)

    def write(self, data):
        if len(data) < 8:
            raise OSError(EINVAL, "less than eight bytes")
        added = int.from_bytes(data[:8], "little")
        if added == 0xFFFFFFFFFFFFFFFF:
            raise OSError(EINVAL, "too large")
        if self.value + added > 0xFFFFFFFFFFFFFFFE:
            raise BlockingIOError
        self.value += added
        return 8

    def ready_to_read(self):
        return self.value > 0

    def ready_to_write(self):
        return self.value < 0xFFFFFFFFFFFFFFFE

    def describe(self):
        return "anon_inode:[eventfd]"


class TimerFile(OpenFile):
    """timerfd_create(2), on emulated time."""

    def __init__(self, flags, now):
        super().__init__(flags)
        self.now = now  # a function
        self.deadline = self.interval = 0

    def expirations(self):
        if not self.deadline or self.now() < self.deadline:
            return 0
        return 1 + ((self.now() - self.deadline) // self.interval if self.interval else 0)

    def read(self, count):
        if count < 8:
            raise OSError(EINVAL, "less than eight bytes")
        expired = self.expirations()
        if not expired:
            raise BlockingIOError
        self.deadline = self.deadline + expired * self.interval if self.interval else 0
        return struct.pack("<Q", expired)

    def ready_to_read(self):
        return self.expirations() > 0

    def describe(self):
        return "anon_inode:[timerfd]"


class Epoll(OpenFile):
    """epoll(7)."""

    def __init__(self, flags):
        super().__init__(flags)
        self.interest = {}  # descriptor number -> [file, events, data, what was reported]

    def found(self, limit):
        """(events, data) of what is ready now."""
        answers = []
        for number, entry in list(self.interest.items()):
            file, events, data, reported = entry
            if not file.users:
                del self.interest[number]
                continue
            now = poll_events(file, events & 0xFFFF | ERR | HUP)
            if events & 1 << 31:  # EPOLLET: only what is new
                fresh = now & ~reported
                entry[3] = now
                now = now if fresh else 0
            if now and len(answers) < limit:
                answers.append((now, data))
                if events & 1 << 30:  # EPOLLONESHOT
                    entry[1] = events & 3 << 30
        return answers

    def ready_to_read(self):
        return any(
            poll_events(file, events & 0xFFFF)
            for file, events, _, _ in self.interest.values()
            if file.users
        )

    def describe(self):
        return "anon_inode:[eventpoll]"


def poll_events(file, wanted):
    """Which of poll(2)'s events hold for a file."""
    events = 0
    if wanted & (IN | 0x40) and file.ready_to_read():
        events |= wanted & (IN | 0x40)
    if wanted & (OUT | 0x100) and file.ready_to_write():
        events |= wanted & (OUT | 0x100)
    if file.hung_up():
        writes_only = isinstance(file, PipeEnd) and file.incoming is None
        events |= ERR if writes_only else HUP
    return events
