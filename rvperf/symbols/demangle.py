"""Names as the compiler made them, turned back into what the programmer wrote."""

from __future__ import annotations

import functools


def demangle(name: bytes) -> str:
    """The name as perf shows it; the same text if it is no mangled name."""
    return _demangled(name) or name.decode("utf-8", "surrogateescape")


def _demangled(name: bytes) -> str | None:
    if name[:2] not in (b"_Z", b"_R"):
        return None
    cxx = _cxx()
    if cxx is None:
        return None
    try:
        return cxx(name).decode("utf-8", "surrogateescape")
    except Exception:
        return None


@functools.cache
def _cxx():
    try:
        from cxxfilt import demangleb
    except ImportError:
        return None
    return demangleb
