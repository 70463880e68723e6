"""Where perf looks for the file with a DSO's symbols, in its order (util/dso.c, util/symbol.c)."""

from __future__ import annotations

import os
from collections.abc import Iterator

DEBUG = "/usr/lib/debug"
NO_FILE = ("[heap", "[stack", "/SYSV", "//anon", "/dev/zero", "/anon_hugepage", "anon_inode:")


def under(symfs: str | None, path: str) -> str:
    """A path below the directory that stands for the root of what was profiled."""
    return f"{symfs.rstrip('/')}/{path.lstrip('/')}" if symfs else path


def in_cache(buildid_dir: str, build_id: bytes, name: str) -> str:
    """The file of a build-id in perf's cache; `name` is elf, debug, vdso or kallsyms."""
    link = f"{buildid_dir}/.build-id/{build_id.hex()[:2]}/{build_id.hex()[2:]}"
    return link if os.path.isfile(link) else f"{link}/{name}"


def candidates(
    path: str, build_id: bytes | None, symfs: str | None, buildid_dir: str | None, debuglink
) -> Iterator[str]:
    """The files to try for a program or library at `path`.

    `debuglink(path)` is the name in a file's .gnu_debuglink, None without.
    """
    whole = under(symfs, path)
    yield from _linked(whole, debuglink)
    if build_id and buildid_dir:
        name = "vdso" if path == "[vdso]" else "elf"
        yield in_cache(buildid_dir, build_id, name)
        yield in_cache(buildid_dir, build_id, "vdso" if path == "[vdso]" else "debug")
    yield under(symfs, DEBUG) + path + ".debug"
    yield under(symfs, DEBUG) + path
    if build_id:
        name = build_id.hex()
        yield under(symfs, f"{DEBUG}/.build-id/{name[:2]}/{name[2:]}.debug")
    yield whole
    directory, slash, name = path.rpartition("/")
    yield under(symfs, f"{directory}{slash}.debug/{name}")
    if path.startswith("/usr/lib/"):
        yield under(symfs, DEBUG) + path[4:]


def _linked(path: str, debuglink) -> Iterator[str]:
    """The file that .gnu_debuglink names: the first that exists, if one does."""
    if not os.path.isfile(path):
        return
    name = debuglink(path)
    if not name:
        return
    directory = os.path.dirname(path)
    for place in (
        name,
        f"{directory}/{name}",
        f"{directory}/.debug/{name}",
        f"{DEBUG}{directory}/{name}",
    ):
        if os.path.isfile(place):
            yield place
            return
