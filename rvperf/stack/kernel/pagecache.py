"""The page cache: the pages of files that are mapped, in guest RAM, each file's pages once.

It is warm: a page that is not in RAM yet is read from the host without a major fault being counted.
"""

import os

from .frames import PAGE, WINDOW


class CachedFile:
    """The pages of one file (or of shared anonymous memory, with no host file behind it)."""

    def __init__(self, frames, name="", identity=(0, 0)):
        self.frames = frames
        self.name = name  # what /proc/self/maps prints
        self.identity = identity  # device and inode
        self.host = None  # host descriptor to read from
        self.writer = None  # host descriptor to write back to
        self.size = 0
        self.stamp = None
        self.windows = {}  # page index / 16 -> first frame
        self.dirty = set()  # page indices that a shared mapping has written
        self.users = 0  # areas that map it, and descriptors of memory files

    def pages(self):
        """How many pages lie within the file's size; beyond them a touch is SIGBUS."""
        return (self.size + PAGE - 1) // PAGE

    def frame(self, index):
        """The frame of page `index`, read from the host if it isn't in RAM yet."""
        window = self.windows.get(index >> 4)
        if window is None:
            window = self.load(index >> 4)
        return window + (index & 15)

    def load(self, number):
        """Reads one window of the file."""
        first = self.frames.allocate_window()
        self.windows[number] = first
        if self.host is not None:
            at, offset = self.frames.at(first), number * WINDOW * PAGE
            want = min(WINDOW * PAGE, max(0, self.size - offset))
            while want > 0:
                got = os.preadv(self.host, [self.frames.view[at : at + want]], offset)
                if got <= 0:
                    break
                at, offset, want = at + got, offset + got, want - got
        return first

    def read(self, offset, count):
        """Bytes at an offset, cut at the file's size."""
        count = max(0, min(count, self.size - offset))
        parts = []
        while count > 0:
            at = self.frames.at(self.frame(offset >> 12)) + (offset & 4095)
            part = min(count, PAGE - (offset & 4095))
            parts.append(bytes(self.frames.view[at : at + part]))
            offset, count = offset + part, count - part
        return b"".join(parts)

    def write(self, offset, data):
        """Writes into the pages, growing the size."""
        self.size = max(self.size, offset + len(data))
        done = 0
        while done < len(data):
            at = self.frames.at(self.frame((offset + done) >> 12)) + ((offset + done) & 4095)
            part = min(len(data) - done, PAGE - ((offset + done) & 4095))
            self.frames.view[at : at + part] = data[done : done + part]
            self.frames.wrote(at)
            done += part

    def refresh(self, offset, data):
        """Tells the pages in RAM what write(2) has put into the host's file."""
        self.size = max(self.size, offset + len(data))
        done = 0
        while done < len(data):
            part = min(len(data) - done, PAGE - ((offset + done) & 4095))
            window = self.windows.get((offset + done) >> 16)
            if window is not None:
                index = (offset + done) >> 12
                at = self.frames.at(window + (index & 15)) + ((offset + done) & 4095)
                self.frames.view[at : at + part] = data[done : done + part]
                self.frames.wrote(at)
            done += part

    def resize(self, size):
        """Sets the size; what a shorter file loses reads as zeros if it grows again."""
        if size < self.size:
            end = min(self.size, (size + PAGE - 1) // PAGE * PAGE)
            for number, first in self.windows.items():
                start = number * WINDOW * PAGE
                low, high = max(start, size), min(start + WINDOW * PAGE, max(end, self.size))
                if low < high:
                    at = self.frames.at(first) + low - start
                    self.frames.view[at : at + high - low] = bytes(high - low)
                    for page in range(at, at + high - low, PAGE):
                        self.frames.wrote(page)
        self.size = size

    def write_back(self):
        """Puts what shared mappings have written into the host's file."""
        if not self.dirty or self.writer is None:
            return
        for index in sorted(self.dirty):
            at = self.frames.at(self.frame(index))
            count = min(PAGE, self.size - index * PAGE)
            if count > 0:
                os.pwrite(self.writer, self.frames.view[at : at + count], index * PAGE)

    def forget(self):
        """Gives its frames back, once nothing maps it."""
        for first in self.windows.values():
            self.frames.release_window(first)
        self.windows = {}
        for descriptor in {self.host, self.writer} - {None}:
            os.close(descriptor)
        self.host = self.writer = None


class PageCache:
    """The files that are, or were, mapped: by device and inode."""

    def __init__(self, frames):
        self.frames = frames
        self.files = {}
        self.anonymous_made = 0

    def open(self, descriptor, name, writable=False):
        """The cached file behind a host descriptor, current with the host's size and time."""
        now = os.fstat(descriptor)
        key = (now.st_dev, now.st_ino)
        stamp = (now.st_size, now.st_mtime_ns)
        file = self.files.get(key)
        if file is not None and file.stamp != stamp and file.users == 0:
            file.forget()
            file = None
        if file is None:
            file = self.files[key] = CachedFile(self.frames, name, key)
            file.host = os.dup(descriptor)
        file.size, file.stamp = max(now.st_size, file.size if file.dirty else 0), stamp
        if writable and file.writer is None:
            file.writer = os.dup(descriptor)
        return file

    def of(self, status):
        """The cached file with this host status, or None."""
        return self.files.get((status.st_dev, status.st_ino))

    def anonymous(self, size, name="/dev/zero (deleted)"):
        """Memory that mappings share, with no file behind it."""
        self.anonymous_made += 1
        file = CachedFile(self.frames, name, (1, self.anonymous_made))
        file.size = size
        return file

    def close(self):
        """At the end: writes back, and forgets every file."""
        for file in self.files.values():
            file.write_back()
            file.forget()
        self.files = {}

    def write_back(self):
        """Writes every dirty page back, for sync(2)."""
        for file in self.files.values():
            file.write_back()
