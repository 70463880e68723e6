"""What is at an address of a riscv64 ELF file: symbol, source line, code, frames.

    symbols = Symbols(symfs="/opt/sysroot")
    libc = symbols.dso("/lib/riscv64-linux-gnu/libc.so.6")
    libc.symbol(0x6a3f0).name

An address is perf's: an instruction pointer less the start of its map plus the map's offset into
the file. See `rvperf.symbols.dso.Dso`.
"""

from __future__ import annotations

import os

from rvperf.symbols.dso import KINDS, Dso
from rvperf.symbols.table import Symbol

__all__ = ["KINDS", "Dso", "Symbol", "Symbols"]


class Symbols:
    """The DSOs of a profile.

    `symfs` is a directory that stands for the root of the machine that was profiled. `buildid_dir`
    is perf's cache of files by build-id; the default is perf's, ~/.debug. `kallsyms` and
    `guest_kallsyms` are the texts of /proc/kallsyms of the kernel and of the guest's. Without
    `demangled` names stay as they are in the file (perf's --no-demangle).
    """

    def __init__(
        self,
        symfs: str | None = None,
        buildid_dir: str | None = None,
        kallsyms: str | bytes | None = None,
        guest_kallsyms: str | bytes | None = None,
        demangled: bool = True,
    ):
        self.symfs = symfs
        self.buildid_dir = buildid_dir or os.path.expanduser("~/.debug")
        self._kallsyms = {"kernel": kallsyms, "guest-kernel": guest_kallsyms}
        self._demangled = demangled
        self._dsos: dict[tuple, Dso] = {}

    def dso(self, path: str, build_id: bytes | None = None, kind: str = "user") -> Dso:
        """The DSO that was mapped from a path; the same object for the same question.

        With a build-id only files that have it are used. `kind` is one of KINDS.
        """
        key = path, build_id, kind
        if key not in self._dsos:
            self._dsos[key] = Dso(
                path,
                build_id,
                kind,
                symfs=self.symfs,
                buildid_dir=self.buildid_dir,
                kallsyms=self._kallsyms.get(kind),
                demangled=self._demangled,
            )
        return self._dsos[key]
