"""System calls on names: opening, looking up, creating, removing, and what stat tells."""

import os
import stat
import struct
import time
from errno import (
    EACCES,
    EEXIST,
    EINVAL,
    EISDIR,
    ENODATA,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)

from .. import files, procfs, shm
from ..files import O_CLOEXEC
from ..vfs import (
    AT_FDCWD,
    check_access,
    open_path,
    path_argument,
    resolve,
    status_of,
)
from . import Int, Long, Uint, syscall
from .descriptors import limit, readable, writable

AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = 0x100, 0x200, 0x400, 0x1000
UTIME_NOW, UTIME_OMIT = 0x3FFFFFFF, 0x3FFFFFFE
STAT = struct.Struct("<QQIIIIQQqiiqqQqQqQII")
STATX = struct.Struct("<IIQIIIHHQQQQqIiqIiqIiqIiIIIIQQ96x")


@syscall(56)
def openat(task, dirfd: Int, pathname, flags: Uint, mode: Uint):
    """Opens a file, and creates it if asked to."""
    file = open_path(task, dirfd, path_argument(task, pathname), flags, mode)
    return task.descriptors.add(file, bool(flags & O_CLOEXEC), limit=limit(task))


@syscall(437)
def openat2(task, dirfd: Int, pathname, how, size):
    """openat with restrictions; those on resolution aren't known here."""
    if size < 24:
        raise OSError(EINVAL, "a short struct open_how")
    flags, mode, restrictions = struct.unpack("<QQQ", task.memory.read(how, 24))
    if restrictions:
        raise OSError(EINVAL, "no such restriction")
    return openat(task, dirfd, pathname, flags & 0xFFFFFFFF, mode & 0o7777)


def encode_stat(status):
    """struct stat of asm-generic/stat.h."""
    times = []
    for ns in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns):
        times += divmod(ns, 10**9)
    return STAT.pack(
        status.st_dev, status.st_ino, status.st_mode, status.st_nlink, status.st_uid,
        status.st_gid, status.st_rdev, 0, status.st_size, status.st_blksize, 0,
        status.st_blocks, *times, 0, 0,
    )  # fmt: skip


def status_at(task, dirfd, path, flags):
    """The status that a path given to an *at call names, or the descriptor's for an empty path."""
    if not path:
        if not flags & AT_EMPTY_PATH:
            raise OSError(ENOENT, "an empty path")
        if dirfd == AT_FDCWD:
            return status_of(task, task.where.cwd)
        return task.descriptors.get(dirfd).status()
    return status_of(task, resolve(task, dirfd, path, not flags & AT_SYMLINK_NOFOLLOW))


@syscall(79)
def newfstatat(task, dirfd: Int, pathname, statbuf, flags: Int):
    """What a name leads to."""
    path = path_argument(task, pathname) if pathname or not flags & AT_EMPTY_PATH else ""
    status = status_at(task, dirfd, path, flags)
    task.memory.write(statbuf, encode_stat(status))
    return 0


@syscall(80)
def fstat(task, fd: Int, statbuf):
    """What a descriptor refers to."""
    task.memory.write(statbuf, encode_stat(task.descriptors.get(fd).status()))
    return 0


@syscall(291)
def statx(task, dirfd: Int, pathname, flags: Int, mask: Uint, statxbuf):
    """stat with room for more; see statx(2)."""
    if mask >> 31:
        raise OSError(EINVAL, "a reserved bit")
    path = path_argument(task, pathname) if pathname or not flags & AT_EMPTY_PATH else ""
    status = status_at(task, dirfd, path, flags)
    seconds = [divmod(ns, 10**9) for ns in
               (status.st_atime_ns, status.st_ctime_ns, status.st_mtime_ns)]  # fmt: skip
    (a, an), (c, cn), (m, mn) = seconds
    task.memory.write(
        statxbuf,
        STATX.pack(
            0x7FF, status.st_blksize, 0, status.st_nlink, status.st_uid, status.st_gid,
            status.st_mode, 0, status.st_ino, status.st_size, status.st_blocks, 0,
            a, an, 0, 0, 0, 0, c, cn, 0, m, mn, 0,
            os.major(status.st_rdev), os.minor(status.st_rdev),
            os.major(status.st_dev), os.minor(status.st_dev), 0, 0,
        ),
    )  # fmt: skip
    return 0


@syscall(78)
def readlinkat(task, dirfd: Int, pathname, buf, bufsiz: Int):
    """Where a symbolic link leads."""
    if bufsiz <= 0:
        raise OSError(EINVAL, "no room")
    path = path_argument(task, pathname)
    if not path:
        place = task.descriptors.get(dirfd).place
        if place is None:
            raise OSError(ENOENT, "not a link")
    else:
        place = resolve(task, dirfd, path, follow=False)
    if place.synthetic:
        target = procfs.read_link(task, place.synthetic)
    else:
        target = os.readlink(place.host)
    raw = os.fsencode(target)[:bufsiz]
    task.memory.write(buf, raw)
    return len(raw)


@syscall(48)
def faccessat(task, dirfd: Int, pathname, mode: Int):
    """Whether a file may be used so."""
    return faccessat2(task, dirfd, pathname, mode, 0)


@syscall(439)
def faccessat2(task, dirfd: Int, pathname, mode: Int, flags: Int):
    """Whether a file may be used so."""
    if mode & ~7:
        raise OSError(EINVAL, "no such mode")
    path = path_argument(task, pathname)
    if not path and flags & AT_EMPTY_PATH:
        task.descriptors.get(dirfd)
        return 0
    place = resolve(task, dirfd, path, not flags & AT_SYMLINK_NOFOLLOW)
    check_access(task, place, mode)
    return 0


@syscall(61)
def getdents64(task, fd: Int, dirp, count: Uint):
    """Entries of a directory, as many as fit."""
    file = task.descriptors.get(fd)
    entries = file.entries()
    records, size = [], 0
    while file.position < len(entries):
        inode, kind, name = entries[file.position]
        length = (19 + len(name) + 1 + 7) & ~7
        if size + length > count:
            if not records:
                raise OSError(EINVAL, "no room for an entry")
            break
        head = struct.pack("<QqHB", inode, file.position + 1, length, kind)
        records.append((head + name).ljust(length, b"\0"))
        size += length
        file.position += 1
    task.memory.write(dirp, b"".join(records))
    return size


@syscall(17)
def getcwd(task, buf, size):
    """The working directory."""
    raw = os.fsencode(task.kernel.paths.guest_name(task.where.cwd)) + b"\0"
    if len(raw) > size:
        raise OSError(ERANGE, "no room")
    task.memory.write(buf, raw)
    return len(raw)


def change_directory(task, place):
    """Makes a Place the working directory. Raises OSError ENOTDIR, EACCES."""
    if not stat.S_ISDIR(status_of(task, place).st_mode):
        raise OSError(ENOTDIR, "not a directory")
    if not place.synthetic and not os.access(place.host, os.X_OK):
        raise OSError(EACCES, place.host)
    task.where.cwd = place
    return 0


@syscall(49)
def chdir(task, path):
    """Changes the working directory."""
    return change_directory(task, resolve(task, AT_FDCWD, path_argument(task, path)))


@syscall(50)
def fchdir(task, fd: Int):
    """Changes the working directory to an open one."""
    file = task.descriptors.get(fd)
    if file.place is None:
        raise OSError(ENOTDIR, "not a directory")
    return change_directory(task, file.place)


@syscall(166)
def umask(task, mask: Uint):
    """Which permissions new files don't get."""
    before, task.where.umask = task.where.umask, mask & 0o777
    return before


def new_entry(task, dirfd, pathname):
    """The writable Place of a name that must not exist yet. Raises OSError EEXIST, EACCES."""
    place = resolve(task, dirfd, path_argument(task, pathname), follow=False, missing=True)
    if place.synthetic or place.status is not None:
        raise OSError(EEXIST, "exists")
    task.kernel.paths.check_write(place)
    return place


def old_entry(task, dirfd, pathname):
    """The writable Place of a name that exists, a link not followed. Raises OSError."""
    path = path_argument(task, pathname)
    last = path.rstrip("/").rsplit("/", 1)[-1]
    if last in (".", ".."):
        raise OSError(EINVAL if last == "." else ENOTEMPTY, path)
    place = resolve(task, dirfd, path.rstrip("/") or "/", follow=False)
    check_entry(task, place)
    if path.endswith("/") and not stat.S_ISDIR(place.status.st_mode):
        raise OSError(ENOTDIR, path)
    return place


def check_entry(task, place):
    """The entry itself may go: it lies below, not at, a writable directory."""
    task.kernel.paths.check_write(place)
    if place.host in task.kernel.paths.writable:
        raise OSError(EACCES, place.host)


@syscall(34)
def mkdirat(task, dirfd: Int, pathname, mode: Uint):
    """Makes a directory."""
    place = new_entry(task, dirfd, pathname)
    os.mkdir(place.host, mode & ~task.where.umask & 0o1777)
    return 0


@syscall(33)
def mknodat(task, dirfd: Int, pathname, mode: Uint, dev):
    """Only regular files can be made so."""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise OSError(EPERM, "no devices and no named pipes")
    place = new_entry(task, dirfd, pathname)
    permissions = mode & ~task.where.umask & 0o777
    os.close(os.open(place.host, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, permissions))
    return 0


@syscall(35)
def unlinkat(task, dirfd: Int, pathname, flags: Int):
    """Removes a name."""
    if flags & ~AT_REMOVEDIR:
        raise OSError(EINVAL, "no such flags")
    place = resolve(task, dirfd, path_argument(task, pathname), follow=False, missing=True)
    if shm.within(place):
        task.kernel.shm.remove(place)
        return 0
    place = old_entry(task, dirfd, pathname)
    if flags & AT_REMOVEDIR:
        os.rmdir(place.host)
    elif stat.S_ISDIR(place.status.st_mode):
        raise OSError(EISDIR, place.host)
    else:
        os.unlink(place.host)
    return 0


@syscall(276)
def renameat2(task, olddirfd: Int, oldpath, newdirfd: Int, newpath, flags: Uint):
    """Gives a file another name."""
    path = path_argument(task, newpath)
    target = resolve(task, newdirfd, path.rstrip("/") or "/", follow=False, missing=True)
    if shm.within(target):
        source = resolve(task, olddirfd, path_argument(task, oldpath), follow=False)
        task.kernel.shm.rename(source, target)
        return 0
    source = old_entry(task, olddirfd, oldpath)
    check_entry(task, target)
    if flags & ~1:
        raise OSError(EINVAL, "exchange is not there")
    if flags & 1 and target.status is not None:
        raise OSError(EEXIST, path)
    os.rename(source.host, target.host)
    return 0


@syscall(37)
def linkat(task, olddirfd: Int, oldpath, newdirfd: Int, newpath, flags: Int):
    """A second name. The file must be writable: a name for it would be a way to write to it."""
    path = path_argument(task, oldpath)
    if not path and flags & AT_EMPTY_PATH:
        raise OSError(ENOENT, "an empty path")
    source = resolve(task, olddirfd, path, bool(flags & AT_SYMLINK_FOLLOW))
    if source.synthetic:
        path = path_argument(task, newpath)
        target = resolve(task, newdirfd, path, follow=False, missing=True)
        task.kernel.shm.link(source, target)
        return 0
    task.kernel.paths.check_write(source)
    target = new_entry(task, newdirfd, newpath)
    os.link(source.host, target.host, follow_symlinks=False)
    return 0


@syscall(36)
def symlinkat(task, target, newdirfd: Int, linkpath):
    """A name that leads to another."""
    text = path_argument(task, target)
    if not text:
        raise OSError(ENOENT, "an empty path")
    place = new_entry(task, newdirfd, linkpath)
    os.symlink(text, place.host)
    return 0


@syscall(46)
def ftruncate(task, fd: Int, length: Long):
    """Sets a file's size."""
    file = task.descriptors.get(fd)
    if length < 0 or not file.writable:
        raise OSError(EINVAL, "a negative size, or not open for writing")
    file.truncate(length)
    return 0


@syscall(45)
def truncate(task, path, length: Long):
    """Sets a file's size."""
    if length < 0:
        raise OSError(EINVAL, "a negative size")
    file = open_path(task, AT_FDCWD, path_argument(task, path), 1, 0)
    try:
        file.truncate(length)
    finally:
        file.release_if_unused()
    return 0


@syscall(47)
def fallocate(task, fd: Int, mode: Int, offset: Long, len: Long):
    """Makes room in a file."""
    file = writable(task, fd)
    if offset < 0 or len <= 0:
        raise OSError(EINVAL, "no such range")
    if mode:
        raise OSError(EOPNOTSUPP, "no such mode")
    if isinstance(file, files.HostFile):
        os.posix_fallocate(file.host, offset, len)
        if (cached := task.kernel.cache.of(os.fstat(file.host))) is not None:
            cached.size = max(cached.size, offset + len)
    elif isinstance(file, files.MemoryFile):
        file.pages.resize(max(file.pages.size, offset + len))
    else:
        raise OSError(EOPNOTSUPP, "not a regular file")
    return 0


@syscall(223)
def fadvise64(task, fd: Int, offset: Long, len: Long, advice: Int):
    """Advice that changes nothing."""
    file = task.descriptors.get(fd)
    if isinstance(file, files.PipeEnd):
        raise OSError(29, "a pipe")  # ESPIPE
    return 0


@syscall(213)
def readahead(task, fd: Int, offset: Long, count):
    """The page cache is warm already."""
    readable(task, fd)
    return 0


@syscall(82)
def fsync(task, fd: Int):
    """Writes what mappings have changed to the host's file."""
    file = task.descriptors.get(fd)
    if isinstance(file, files.HostFile):
        file.settle()
    elif not isinstance(file, files.HostDirectory):
        raise OSError(EINVAL, "can't be synchronised")
    return 0


@syscall(83)
def fdatasync(task, fd: Int):
    """As fsync."""
    return fsync(task, fd)


@syscall(81)
def sync(task):
    """Writes what mappings have changed to the host's files."""
    task.kernel.cache.write_back()
    return 0


@syscall(84)
def sync_file_range(task, fd: Int, offset: Long, nbytes: Long, flags: Uint):
    """As fsync."""
    return fsync(task, fd)


@syscall(88)
def utimensat(task, dirfd: Int, pathname, times, flags: Int):
    """Sets a file's times. "Now" is the host's now, as for files that are written."""
    if pathname:
        path = path_argument(task, pathname)
        place = resolve(task, dirfd, path, not flags & AT_SYMLINK_NOFOLLOW)
        if place.synthetic:
            raise OSError(EPERM, place.synthetic)
        task.kernel.paths.check_write(place)
        target, status = place.host, place.status
    else:
        file = task.descriptors.get(dirfd)
        if not isinstance(file, files.HostFile):
            return 0
        if not file.writable and not (file.place and task.kernel.paths.may_write(file.place)):
            raise OSError(EACCES, "outside what may be written")
        target, status = file.host, os.fstat(file.host)
    if not times:
        os.utime(target, follow_symlinks=False) if pathname else os.utime(target)
        return 0
    fields = struct.unpack("<qqqq", task.memory.read(times, 32))
    ns = []
    for seconds, part, before in (
        (*fields[:2], status.st_atime_ns),
        (*fields[2:], status.st_mtime_ns),
    ):
        if part == UTIME_NOW:
            ns.append(time.time_ns())
        elif part == UTIME_OMIT:
            ns.append(before)
        elif 0 <= part < 10**9 and abs(seconds) < 1 << 33:
            ns.append(seconds * 10**9 + part)
        else:
            raise OSError(EINVAL, "not a time")
    if pathname:
        os.utime(target, ns=tuple(ns), follow_symlinks=False)
    else:
        os.utime(target, ns=tuple(ns))
    return 0


def change_mode(task, place, mode):
    """chmod, without the bits that would lend somebody's rights."""
    if place.synthetic:
        raise OSError(EPERM, place.synthetic)
    task.kernel.paths.check_write(place)
    if stat.S_ISLNK(place.status.st_mode):
        raise OSError(EOPNOTSUPP, "a link")
    os.chmod(place.host, mode & 0o1777)
    return 0


@syscall(53)
def fchmodat(task, dirfd: Int, pathname, mode: Uint):
    """Sets permissions."""
    return change_mode(task, resolve(task, dirfd, path_argument(task, pathname)), mode)


@syscall(452)
def fchmodat2(task, dirfd: Int, pathname, mode: Uint, flags: Uint):
    """Sets permissions."""
    path = path_argument(task, pathname)
    return change_mode(task, resolve(task, dirfd, path, not flags & AT_SYMLINK_NOFOLLOW), mode)


@syscall(52)
def fchmod(task, fd: Int, mode: Uint):
    """Sets permissions."""
    file = task.descriptors.get(fd)
    if not isinstance(file, files.HostFile | files.HostDirectory) or file.place is None:
        raise OSError(EPERM, "not a file of the host's")
    task.kernel.paths.check_write(file.place)
    os.chmod(file.host if file.host is not None else file.place.host, mode & 0o1777)
    return 0


def change_owner(task, place, owner, group):
    """chown to who it belongs to already; nothing else."""
    status = status_of(task, place)
    for wanted, have in ((owner, status.st_uid), (group, status.st_gid)):
        if wanted not in (0xFFFFFFFF, have):
            raise OSError(EPERM, "owners can't be changed")
    return 0


@syscall(54)
def fchownat(task, dirfd: Int, pathname, owner: Uint, group: Uint, flags: Int):
    """Sets the owner."""
    path = path_argument(task, pathname)
    if not path and flags & AT_EMPTY_PATH:
        return fchown(task, dirfd, owner, group)
    place = resolve(task, dirfd, path, not flags & AT_SYMLINK_NOFOLLOW)
    return change_owner(task, place, owner, group)


@syscall(55)
def fchown(task, fd: Int, owner: Uint, group: Uint):
    """Sets the owner."""
    status = task.descriptors.get(fd).status()
    for wanted, have in ((owner, status.st_uid), (group, status.st_gid)):
        if wanted not in (0xFFFFFFFF, have):
            raise OSError(EPERM, "owners can't be changed")
    return 0


STATFS = struct.Struct("<qqQQQQQiiqqq32x")


def encode_statfs(found):
    """struct statfs, told as an ext4."""
    return STATFS.pack(
        0xEF53, found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files,
        found.f_ffree, 0, 0, found.f_namemax, found.f_frsize, 0x20,
    )  # fmt: skip


PROC_STATFS = STATFS.pack(0x9FA0, 4096, 0, 0, 0, 0, 0, 0, 0, 255, 4096, 0x20)


@syscall(43)
def statfs(task, path, buf):
    """The filesystem under a name."""
    place = resolve(task, AT_FDCWD, path_argument(task, path))
    if place.synthetic:
        status_of(task, place)
        task.memory.write(buf, PROC_STATFS)
    else:
        task.memory.write(buf, encode_statfs(os.statvfs(place.host)))
    return 0


@syscall(44)
def fstatfs(task, fd: Int, buf):
    """The filesystem under a descriptor."""
    file = task.descriptors.get(fd)
    host = file.host if file.host is not None else getattr(file.place, "host", "")
    task.memory.write(buf, encode_statfs(os.fstatvfs(host)) if isinstance(host, int)
                      else encode_statfs(os.statvfs(host)) if host else PROC_STATFS)  # fmt: skip
    return 0


@syscall(32)
def flock(task, fd: Int, op: Int):
    """Locks that nobody else can hold."""
    task.descriptors.get(fd)
    return 0


def no_attribute(name):
    """Extended attributes: no file has any."""

    def handler(task, path, name, value, size):
        raise OSError(ENODATA if value or size else EOPNOTSUPP, "no attributes")

    handler.__name__ = name
    handler.__doc__ = "No file has extended attributes."
    return handler


def no_attributes(name):
    def handler(task, path, list, size):
        return 0

    handler.__name__ = name
    handler.__doc__ = "No file has extended attributes."
    return handler


for number, name in ((8, "getxattr"), (9, "lgetxattr"), (10, "fgetxattr")):
    syscall(number)(no_attribute(name))
for number, name in ((11, "listxattr"), (12, "llistxattr"), (13, "flistxattr")):
    syscall(number)(no_attributes(name))


@syscall(51)
def chroot(task, path):
    """Nobody here may."""
    raise OSError(EPERM, "not permitted")
