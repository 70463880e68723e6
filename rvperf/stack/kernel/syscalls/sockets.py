"""System calls on sockets. There is no network, and nobody to connect to: a socket that talks is
one end of a socketpair(2)."""

import os
import struct
from errno import EINVAL

from ..files import O_CLOEXEC, O_NONBLOCK, O_RDWR, Pipe, PipeEnd
from ..vfs import AT_FDCWD, resolve
from . import Int, Uint, syscall
from .descriptors import add_pair, limit, start_read, start_write

ENOTSOCK, EOPNOTSUPP, EAFNOSUPPORT, EISCONN, ECONNREFUSED = 88, 95, 97, 106, 111
AF_UNIX, SOCK_TYPE = 1, 15
SHUT_RD, SHUT_WR, SHUT_RDWR = 0, 1, 2


def socket_at(task, fd):
    """The socket at a descriptor. Raises OSError EBADF, ENOTSOCK."""
    file = task.descriptors.get(fd)
    if not isinstance(file, PipeEnd) or not file.is_socket:
        raise OSError(ENOTSOCK, "not a socket")
    return file


@syscall(198)
def socket(task, domain: Int, type: Int, protocol: Int):
    """A local socket that nobody is at the other end of; there is no network."""
    if domain != AF_UNIX:
        raise OSError(EAFNOSUPPORT, "no network")
    check_type(type)
    kernel = task.kernel
    kernel.pipes += 2
    silent = Pipe(kernel.pipes - 1), Pipe(kernel.pipes)
    end = PipeEnd(type & O_NONBLOCK | O_RDWR, *silent)
    end.is_socket = True
    return task.descriptors.add(end, bool(type & O_CLOEXEC), limit=limit(task))


@syscall(203)
def connect(task, sockfd: Int, addr, addrlen: Uint):
    """Nobody listens: ENOENT, or ECONNREFUSED if there is something of that name."""
    socket_at(task, sockfd)
    if not 2 < addrlen <= 110:
        raise OSError(EINVAL, "not the length of a local address")
    raw = task.memory.read(addr, addrlen)
    path = raw[2:].split(b"\0", 1)[0]
    if raw[:2] == struct.pack("<H", AF_UNIX) and path:
        resolve(task, AT_FDCWD, os.fsdecode(path))
    raise OSError(ECONNREFUSED, "nobody listens")


@syscall(199)
def socketpair(task, domain: Int, type: Int, protocol: Int, sv):
    """Two connected sockets; only local ones, which are two pipes."""
    if domain != AF_UNIX:
        raise OSError(EAFNOSUPPORT, "no network")
    check_type(type)
    kernel = task.kernel
    kernel.pipes += 2
    there, back = Pipe(kernel.pipes - 1), Pipe(kernel.pipes)
    flags = type & O_NONBLOCK | O_RDWR
    first, second = PipeEnd(flags, back, there), PipeEnd(flags, there, back)
    first.is_socket = second.is_socket = True
    return add_pair(task, first, second, sv, bool(type & O_CLOEXEC))


def check_type(type):
    """Raises OSError EOPNOTSUPP."""
    if type & SOCK_TYPE != 1:
        raise OSError(EOPNOTSUPP, "streams only")


def unsupported(number, name, arity):
    """A call that a connected pair of local streams has no use for."""

    def refuse(task, fd):
        socket_at(task, fd)
        raise OSError(EOPNOTSUPP, "not for a socket pair")

    def three(task, fd: Int, a, b):
        return refuse(task, fd)

    def four(task, fd: Int, a, b, c):
        return refuse(task, fd)

    handler = three if arity == 3 else four
    handler.__doc__ = "Nothing to bind to, to listen for or to connect with."
    syscall(number, name)(handler)


for number, name, arity in (
    (200, "bind", 3),
    (201, "listen", 3),
    (202, "accept", 3),
    (242, "accept4", 4),
    (211, "sendmsg", 3),
    (212, "recvmsg", 3),
):
    unsupported(number, name, arity)


def store_name(task, fd, addr, addrlen):
    """The address of an unnamed local socket: its family alone."""
    socket_at(task, fd)
    room = task.memory.load(addrlen, 4)
    task.memory.write(addr, struct.pack("<H", AF_UNIX)[:room])
    task.memory.store(addrlen, 4, 2)
    return 0


@syscall(204)
def getsockname(task, sockfd: Int, addr, addrlen):
    """The socket's own address."""
    return store_name(task, sockfd, addr, addrlen)


@syscall(205)
def getpeername(task, sockfd: Int, addr, addrlen):
    """The address at the other end."""
    return store_name(task, sockfd, addr, addrlen)


@syscall(206)
def sendto(task, sockfd: Int, buf, len, flags: Int, dest_addr, addrlen: Int):
    """Writes to the other end."""
    file = socket_at(task, sockfd)
    if dest_addr:
        raise OSError(EISCONN, "connected already")
    return start_write(task, file, ((buf, len),))


@syscall(207)
def recvfrom(task, sockfd: Int, buf, len, flags: Int, src_addr, addrlen):
    """Reads from the other end."""
    file = socket_at(task, sockfd)
    if flags & ~0x4000:  # MSG_NOSIGNAL
        raise OSError(EOPNOTSUPP, "no such flags")
    return start_read(task, file, ((buf, len),))


@syscall(208)
def setsockopt(task, sockfd: Int, level: Int, optname: Int, optval, optlen: Uint):
    """Options change nothing."""
    socket_at(task, sockfd)
    return 0


@syscall(209)
def getsockopt(task, sockfd: Int, level: Int, optname: Int, optval, optlen):
    """SO_TYPE and SO_ERROR; the others are 0."""
    socket_at(task, sockfd)
    if task.memory.load(optlen, 4) < 4:
        raise OSError(EINVAL, "no room")
    task.memory.store(optval, 4, 1 if (level, optname) == (1, 3) else 0)
    task.memory.store(optlen, 4, 4)
    return 0


@syscall(210)
def shutdown(task, sockfd: Int, how: Int):
    """Closes one direction or both."""
    file = socket_at(task, sockfd)
    if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
        raise OSError(EINVAL, "no such direction")
    file.shut(how != SHUT_WR, how != SHUT_RD)
    return 0
