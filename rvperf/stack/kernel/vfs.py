"""Opening: from a path and flags to an open file."""

import os
import stat
from errno import (
    EACCES,
    EBADF,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENXIO,
    EOPNOTSUPP,
)

from . import files, procfs
from .files import (
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_TMPFILE,
    O_TRUNC,
)

AT_FDCWD = -100


def directory_of(task, dirfd, path):
    """The Place that a path given to an *at call starts from. Raises OSError EBADF, ENOTDIR."""
    if path.startswith("/") or dirfd == AT_FDCWD:
        return task.where.cwd
    file = task.descriptors.get(dirfd)
    if file.place is None:
        raise OSError(ENOTDIR, "not a directory")
    return file.place


def resolve(task, dirfd, path, follow=True, missing=False):
    """The Place that a path names. Raises OSError."""
    paths = task.kernel.paths
    return paths.resolve(path, directory_of(task, dirfd, path), follow, missing)


def path_argument(task, address):
    """A path from the guest's memory. Raises OSError EFAULT, ENAMETOOLONG."""
    raw = task.memory.read_string(address, 4096)
    if raw is None:
        raise OSError(ENAMETOOLONG, "a path of more than 4095 bytes")
    return os.fsdecode(raw)


def open_path(task, dirfd, path, flags, mode):
    """open(2): an OpenFile. Raises OSError."""
    kernel = task.kernel
    if flags & O_TMPFILE == O_TMPFILE:
        raise OSError(EOPNOTSUPP, "no unnamed files")
    create = bool(flags & O_CREAT)
    if create and flags & O_EXCL:
        flags |= O_NOFOLLOW
    place = resolve(task, dirfd, path, not flags & O_NOFOLLOW, create)
    if place.synthetic:
        file = procfs.open_descriptor(kernel, place.synthetic)
        if file is not None:
            return reopen(task, file, flags)
        return procfs.open_synthetic(task, place, flags, mode & ~task.where.umask)
    name = kernel.paths.guest_name(place)
    if place.status is None:
        return create_file(task, place, flags, mode, name)
    if create and flags & O_EXCL:
        raise OSError(EEXIST, path)
    kind = place.status.st_mode
    if flags & O_PATH and not stat.S_ISDIR(kind):
        if flags & O_DIRECTORY:
            raise OSError(ENOTDIR, path)
        return files.PathOnly(place, flags, name)
    if stat.S_ISLNK(kind):
        raise OSError(ELOOP, path)
    writes = flags & O_ACCMODE or flags & O_TRUNC
    if stat.S_ISDIR(kind):
        if writes or create:
            raise OSError(EISDIR, path)
        os.close(os.open(place.host, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
        return files.HostDirectory(place, flags, name)
    if flags & O_DIRECTORY:
        raise OSError(ENOTDIR, path)
    if not stat.S_ISREG(kind):
        raise OSError(ENXIO, "the host's devices, pipes and sockets can't be opened")
    if writes:
        kernel.paths.check_write(place)
    access = flags & (O_ACCMODE | files.O_APPEND)
    if access & O_ACCMODE == O_ACCMODE:
        raise OSError(EINVAL, "no such access mode")
    host = os.open(place.host, access | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    file = files.HostFile(host, flags, place, name, kernel.cache)
    if flags & O_TRUNC:
        file.truncate(0)
    return file


def reopen(task, file, flags):
    """Opening /proc/self/fd/N: the same file again, with a position of its own where it has one."""
    if isinstance(file, files.HostFile) and file.place is not None:
        return open_path(task, AT_FDCWD, file.describe(), flags, 0)
    if isinstance(file, files.PipeEnd):
        wants = flags & O_ACCMODE
        incoming = file.incoming or file.outgoing if wants != files.O_WRONLY else None
        outgoing = file.outgoing or file.incoming if wants != 0 else None
        return files.PipeEnd(flags, incoming, outgoing)
    if isinstance(file, files.MemoryFile):
        return files.MemoryFile(flags, file.pages, file.name)
    if isinstance(file, files.PathOnly):
        raise OSError(EBADF, "opened with O_PATH")
    return file


def create_file(task, place, flags, mode, name):
    """Creates what open(2) didn't find. Raises OSError."""
    if place.slash:
        raise OSError(EISDIR, name)
    task.kernel.paths.check_write(place)
    access = flags & (O_ACCMODE | files.O_APPEND)
    host = os.open(
        place.host,
        access | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
    )
    os.fchmod(host, mode & ~task.where.umask & 0o1777)
    return files.HostFile(host, flags, place, name, task.kernel.cache)


def status_of(task, place):
    """What stat(2) tells of a Place. Raises OSError ENOENT."""
    if place.synthetic:
        return procfs.status(task, place)
    if place.status is None:
        raise OSError(ENOENT, place.host)
    file = task.kernel.cache.of(place.status) if task.kernel.cache.files else None
    if file is not None and file.dirty:
        file.write_back()
        return os.lstat(place.host)
    return place.status


def check_access(task, place, mode):
    """access(2). Raises OSError EACCES, ENOENT."""
    status = status_of(task, place)
    if place.synthetic:
        if mode & 2 and not place.synthetic.startswith("/dev/"):
            raise OSError(EACCES, place.synthetic)
        return
    if mode & 2 and not stat.S_ISLNK(status.st_mode):
        task.kernel.paths.check_write(place)
    if mode and not os.access(place.host, mode):
        raise OSError(EACCES, place.host)
