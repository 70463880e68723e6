"""From a guest's path to a file of the host, and whether the guest may change it.

An absolute path is looked up in the sysroot first and on the host after that; a symbolic link to an
absolute path begins again with both. The walk is ours, one component at a time, so that `..` and
links never leave the sysroot while inside it, and what is opened in the end has no link left in it.
/proc, /dev and /sys are the emulated Linux's own, and /tmp is always the host's.
"""

import os
import stat
from errno import EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR

from isa.record import Record

SYNTHETIC = ("proc", "dev", "sys")
MAX_LINKS = 40  # include/linux/namei.h, MAXSYMLINKS


class Place(Record):
    """A resolved path."""

    host: str  # absolute and free of links; "" if synthetic
    inside: bool = False  # reached as a path in the sysroot
    synthetic: str = ""  # a path below /proc, /dev or /sys
    status: object = None  # lstat of it, or None if it doesn't exist yet
    slash: bool = False  # written with a trailing slash: it must be a directory


class Paths:
    """Resolution and policy for one run."""

    def __init__(self, sysroot, writable):
        self.sysroot = os.path.realpath(sysroot) if sysroot else None
        self.writable = tuple(os.path.realpath(directory) for directory in writable)
        self.synthetic_link = lambda path: None  # procfs tells where its links lead

    def guest_name(self, place):
        """The path by which the guest knows a place."""
        if place.synthetic:
            return place.synthetic
        if place.inside:
            return place.host[len(self.sysroot) :] or "/"
        return place.host

    def may_write(self, place):
        """True if the guest may change what is at a place."""
        if place.synthetic:
            return False
        host = place.host
        return any(
            host == root or host.startswith(root if root == "/" else root + "/")
            for root in self.writable
        )

    def check_write(self, place):
        """Raises OSError EACCES where the guest may not write."""
        if not self.may_write(place):
            raise OSError(EACCES, f"{place.host or place.synthetic}: outside what may be written")

    def resolve(self, path, cwd, follow=True, missing=False, links=0):
        """The Place that a path names, seen from the directory `cwd`.

        With `missing`, the last component need not exist, only its directory. Raises OSError
        ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, and EACCES from the host.
        """
        if not path:
            raise OSError(ENOENT, "an empty path")
        if len(path) > 4095:
            raise OSError(ENAMETOOLONG, "a path of more than 4095 bytes")
        if links > MAX_LINKS:
            raise OSError(ELOOP, "too many links")
        parts = path.split("/")
        slash = parts[-1] in ("", ".") and len(parts) > 1
        parts = [part for part in parts if part not in ("", ".")]
        if path[0] != "/":
            if cwd.synthetic:
                return self.resolve(cwd.synthetic + "/" + path, cwd, follow, missing, links + 1)
            return self.walk(cwd.host, cwd.inside, parts, follow, missing, links, slash)
        if not self.sysroot or (parts and parts[0] in (*SYNTHETIC, "tmp")):
            return self.walk("/", False, parts, follow, missing, links, slash)
        places, error = [], None
        for start, inside in ((self.sysroot, True), ("/", False)):
            try:
                place = self.walk(start, inside, parts, follow, missing, links, slash)
                if place.status or place.synthetic:
                    return place
                places.append(place)
            except OSError as failed:
                if failed.errno not in (ENOENT, ENOTDIR):
                    raise
                error = error or failed
        for place in places:
            if self.may_write(place):
                return place
        if places:
            return places[0]
        raise error

    def walk(self, at, inside, parts, follow, missing, links, slash):
        """Follows `parts` from a host directory without links in its path."""
        root = self.sysroot if inside else "/"
        parts = list(parts)
        status = None
        i = 0
        while i < len(parts):
            part = parts[i]
            i += 1
            last = i == len(parts)
            if part == "..":
                if status is not None and not stat.S_ISDIR(status.st_mode):
                    raise OSError(ENOTDIR, at)
                at = at if at == root else os.path.dirname(at)
                status = None
                continue
            if at == root and part in SYNTHETIC:
                return self.walk_synthetic(part, parts[i:], follow, missing, links, slash)
            if at == root and inside and part == "tmp":
                return self.walk("/", False, parts[i - 1 :], follow, missing, links, slash)
            below = at + part if at == "/" else at + "/" + part
            try:
                status = os.lstat(below)
            except FileNotFoundError:
                if last and missing:
                    return Place(below, inside, slash=slash)
                raise
            if stat.S_ISLNK(status.st_mode) and (not last or follow or slash):
                target = os.readlink(below)
                rest = parts[i:]
                links += 1
                if links > MAX_LINKS:
                    raise OSError(ELOOP, below)
                if target.startswith("/"):
                    whole = target + "/" + "/".join(rest) if rest or slash else target
                    return self.resolve(whole, None, follow, missing, links)
                parts = [part for part in target.split("/") if part not in ("", ".")] + rest
                i, status = 0, None
                continue
            at = below
        if status is None:
            status = os.lstat(at)
        if slash and not stat.S_ISDIR(status.st_mode):
            raise OSError(ENOTDIR, at)
        return Place(at, inside, status=status, slash=slash)

    def walk_synthetic(self, top, parts, follow, missing, links, slash):
        """The Place of a path below /proc, /dev or /sys; `..` out of it begins again."""
        if links > MAX_LINKS:
            raise OSError(ELOOP, "too many links")
        at = "/" + top
        for i, part in enumerate(parts):
            rest = parts[i + 1 :]
            if part == "..":
                at = os.path.dirname(at)
                if at == "/":
                    again = "/" + "/".join(rest)
                    return self.resolve(again, None, follow, missing, links + 1)
                continue
            at += "/" + part
            target = self.synthetic_link(at) if rest or follow or slash else None
            if target is not None:
                if not target.startswith("/"):
                    target = os.path.dirname(at) + "/" + target
                whole = target + "/" + "/".join(rest) if rest else target
                return self.resolve(whole, None, follow, missing, links + 1)
        return Place("", synthetic=at, slash=slash)
