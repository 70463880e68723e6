"""/dev/shm: the names that shm_open(3) and sem_open(3) give to memory that processes share.

It is one flat directory, whose files live in guest RAM and are gone when the run ends.
"""

import stat
from errno import EEXIST, EISDIR, ENOENT, ENOTDIR, EXDEV

from .files import O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, MemoryFile, Status

ROOT = "/dev/shm"


def within(place):
    """True for the directory and what is in it."""
    return place.synthetic == ROOT or place.synthetic.startswith(ROOT + "/")


class SharedMemory:
    """The directory."""

    def __init__(self, cache):
        self.cache = cache
        self.files = {}  # name -> CachedFile
        self.modes = {}  # the same CachedFile's identity -> permissions

    def find(self, place):
        """The CachedFile at a place. Raises OSError ENOENT."""
        name = place.synthetic[len(ROOT) + 1 :]
        if name not in self.files:
            raise OSError(ENOENT, place.synthetic)
        return name, self.files[name]

    def add(self, name, pages):
        """One more name for a file."""
        if "/" in name:
            raise OSError(ENOENT, name)
        self.files[name] = pages
        pages.users += 1

    def remove(self, place):
        """unlink(2). The memory stays while it is open or mapped."""
        if place.synthetic == ROOT:
            raise OSError(EISDIR, ROOT)
        name, pages = self.find(place)
        del self.files[name]
        pages.users -= 1
        if not pages.users:
            pages.forget()

    def link(self, source, target):
        """link(2). Raises OSError ENOENT, EEXIST, EXDEV."""
        if not within(source) or not within(target):
            raise OSError(EXDEV, target.synthetic or target.host)
        _, pages = self.find(source)
        name = target.synthetic[len(ROOT) + 1 :]
        if not name or name in self.files:
            raise OSError(EEXIST, target.synthetic)
        self.add(name, pages)

    def rename(self, source, target):
        """rename(2). Raises OSError ENOENT, EXDEV."""
        if not within(source) or not within(target):
            raise OSError(EXDEV, target.synthetic or target.host)
        self.find(source)
        if source.synthetic == target.synthetic:
            return
        if target.synthetic[len(ROOT) + 1 :] in self.files:
            self.remove(target)
        self.link(source, target)
        self.remove(source)

    def open(self, place, flags, mode):
        """open(2) of a file in the directory. Raises OSError ENOENT, EEXIST, ENOTDIR."""
        name = place.synthetic[len(ROOT) + 1 :]
        pages = self.files.get(name)
        if pages is None:
            if not flags & O_CREAT:
                raise OSError(ENOENT, place.synthetic)
            pages = self.cache.anonymous(0, place.synthetic)
            self.add(name, pages)
            self.modes[pages.identity] = mode & 0o777
        elif flags & O_CREAT and flags & O_EXCL:
            raise OSError(EEXIST, place.synthetic)
        if flags & O_DIRECTORY:
            raise OSError(ENOTDIR, place.synthetic)
        if flags & O_TRUNC:
            pages.resize(0)
        return SharedFile(flags, pages, self)

    def status(self, pages):
        """stat(2)."""
        names = sum(1 for other in self.files.values() if other is pages)
        return Status(
            stat.S_IFREG | self.modes.get(pages.identity, 0o600),
            pages.identity[1],
            2,
            names,
            st_size=pages.size,
        )


class SharedFile(MemoryFile):
    """An open file of the directory."""

    def __init__(self, flags, pages, directory):
        super().__init__(flags, pages, pages.name)
        self.directory = directory

    def status(self):
        return self.directory.status(self.pages)

    def describe(self):
        return self.name
