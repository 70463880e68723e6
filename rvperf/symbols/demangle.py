"""Names as compilers make them, turned back into what the programmer wrote.

perf shows C++ names without parameters and return types: libiberty's demangler without DMGL_PARAMS.
The C++ library's own demangler (through cxxfilt) always gives both, so it gets only the part of a
mangled name that comes before the parameters.
"""

from __future__ import annotations

import functools
import re

LONGEST = 4096  # bytes of a name that is looked into
QUALIFIERS = b"rVKRO"
AFTER_QUALIFIERS = (" const", " volatile", " &&", " &")
IDENTIFIER = re.compile(rb"[1-9]\d{0,3}")
RUST_HASH = re.compile(r"::h([0-9a-f]{16})$")
RUST_TEXT = re.compile(
    r"(?:[A-Za-z0-9_:]|\.(?!\.\.)|\$(?:C|SP|BP|RF|LT|GT|LP|RP|u20|u27|u5b|u5d|u7e)\$)*"
)
RUST_ESCAPES = {
    "C": ",", "SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")",
    "u20": " ", "u27": "'", "u5b": "[", "u5d": "]", "u7e": "~",
}  # fmt: skip


def undemangled(name: bytes) -> str:
    """The name as it is."""
    return name.decode("utf-8", "surrogateescape")


@functools.lru_cache(1 << 16)
def demangle(name: bytes) -> str:
    """The name as perf shows it; the same text if it is no mangled name."""
    if len(name) > LONGEST:
        found = None
    elif name.startswith((b"_Z", b"_GLOBAL_")):
        found = _cplusplus(name)
    elif name.startswith(b"caml") and name[4:5].isupper():
        found = _ocaml(name)
    elif b")" in name:
        found = _java(name.decode("utf-8", "surrogateescape"))
    else:
        found = None
    return found or undemangled(name)


@functools.lru_cache(1 << 12)
def demangle_in_full(name: bytes) -> str:
    """The name as objdump -C shows it: with parameters."""
    ask = _library()
    found = ask(name) if ask and name.startswith(b"_") and len(name) <= LONGEST else None
    return _rust(found) if found else undemangled(name)


@functools.cache
def _library():
    """The C++ library's demangler: a name if there is one, else None."""
    try:
        import cxxfilt
    except ImportError:
        return None

    def ask(name: bytes) -> str | None:
        try:
            found = cxxfilt.demangleb(name, external_only=False)
        except (cxxfilt.Error, OSError):
            return None
        return None if found == name else found.decode("utf-8", "surrogateescape")

    return ask


def _cplusplus(name: bytes) -> str | None:
    ask = _library()
    if ask is None:
        return None
    if name.startswith(b"_GLOBAL_"):
        # Others that look like it (`_GLOBAL__sub_I_main`) are no mangled names.
        return ask(name) if re.match(rb"_GLOBAL_[._$][DI]_", name) else None
    if name[2:3] in (b"T", b"G"):
        return ask(name)  # tables and thunks, whose parameters perf shows
    if name.startswith(b"_ZN"):
        name = b"_ZN" + name[3:].lstrip(QUALIFIERS)
    found = _without_parameters(name, ask)
    if found is None:
        return None
    if name.startswith(b"_ZZ"):
        for suffix in AFTER_QUALIFIERS:
            found = found.removesuffix(suffix)
    return _rust(found)


def _without_parameters(name: bytes, ask) -> str | None:
    """Demangle the shortest beginning that is a whole name by itself.

    After the name come the parameters, which begin with none of the letters that go on with a name:
    I (template arguments), B (an ABI tag), _ (which one of several local ones).
    """
    found = None
    nested = name.startswith(b"_ZN")  # ends with an E
    for end in range(_after_identifiers(name, 3 if nested else 2), len(name) + 1):
        if nested and name[end - 1] != ord("E"):
            continue
        whole = ask(name[:end])
        found = whole or found
        if whole and name[end : end + 1] not in (b"I", b"B", b"_"):
            break
    return found


def _after_identifiers(name: bytes, at: int) -> int:
    """Where identifiers end that follow each other from `at`: no name ends within one."""
    while found := IDENTIFIER.match(name, at):
        end = found.end() + int(found[0])
        if end > len(name):
            break
        at = end
        if name[:3] != b"_ZN":
            break
    return max(at, 3)


def _rust(name: str) -> str:
    """A Rust name out of the C++ name that it looks like."""
    found = RUST_HASH.search(name)
    if not found or not 5 <= len(set(found[1])) <= 15 or not found.start():
        return name
    path = name[: found.start()]
    if not RUST_TEXT.fullmatch(path):
        return name
    path = re.sub(r"(^|:)_(?=\$)", r"\1", path)
    path = path.replace("..", "::")
    return re.sub(r"\$(\w+)\$", lambda code: RUST_ESCAPES[code[1]], path)


def _ocaml(name: bytes) -> str:
    text = re.sub(
        rb"__|\$([0-9a-fA-F]{2})",
        lambda found: bytes([int(found[1], 16)]) if found[1] else b".",
        name[4:],
    )
    return text.split(b"\0")[0].decode("utf-8", "surrogateescape")


JAVA_TYPES = {
    "B": "byte", "C": "char", "D": "double", "F": "float", "I": "int", "J": "long", "S": "short",
    "Z": "boolean", "V": "void",
}  # fmt: skip


def _java(name: str) -> str | None:
    """`Lpackage/Class;method(I)V` without what it returns; None if it is no such name."""
    text = name[: name.rindex(")") + 1]
    found, mode, arrays, arguments = [], "prefix", 0, 0
    for at, letter in enumerate(text):
        if letter == "L" and mode in ("prefix", "type"):
            if mode == "type":
                found.append(", " if arguments else "")
                arguments += 1
            mode = "class" if mode == "prefix" else "argument"
        elif letter in JAVA_TYPES and mode == "type":
            if letter != "V":
                found.append(", " if arguments else "")
                arguments += 1
            found.append(JAVA_TYPES[letter] + "[]" * arrays)
            arrays = 0
        elif letter == "[":
            if mode != "type":
                return None
            arrays += 1
        elif letter == "(":
            if mode != "function":
                return None
            found.append(letter)
            mode = "type"
        elif letter == ")":
            if mode != "type":
                return None
            found.append(letter)
            arguments = 0
        elif letter == ";":
            if mode not in ("class", "argument"):
                return None
            if mode == "class" and text[at + 1 : at + 2].isalpha():
                found.append(".")
            mode = "function" if mode == "class" else "type"
        elif letter == "/":
            if mode not in ("class", "argument"):
                return None
            found.append(".")
        else:
            found.append(letter)
    return "".join(found)
