"""ISA strings (ISA naming conventions): `rv64gc_h_sscofpmf_smcsrind_smcdeleg`, as which extensions.

Every hart here has RV64GC and what else is always there, which a string may name or leave out;
what it names of `isa.ext.OPTIONAL` is what the hart has besides.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from isa.ext import OPTIONAL, STANDARD

ALWAYS = tuple("imafdc")
SHORT = {
    "g": "imafd",
    "b": "",
}  # letters for several: b is Zba, Zbb and Zbs, which are always there
# The parts of an extension that supervisors see have names of their own.
SUPERVISORS = {
    "ssstateen": "smstateen",
    "sscsrind": "smcsrind",
    "ssccfg": "smcdeleg",
    "ssctr": "smctr",
}
# What holds of every hart here and declares nothing.
HOLDS = frozenset({"svade", "svbare", "sv39", "sscounterenw", "shcounterenw", "zicbop", "zicboz"})
HOLDS |= {"zicbom", "zihintpause", "zifencei", "zicsr", "sstc"}
LETTERS = re.compile(r"([a-z])((?:\d+p\d+|\d+)?)")
VERSION = re.compile(r"\d+p\d+$")


class IsaError(ValueError):
    """What is wrong with an ISA string, in a line."""


def parse(text: str) -> frozenset[str]:
    """The names of `isa.ext.OPTIONAL` that a string asks for. IsaError says what can't be."""
    text = repr(text)[1:-1]  # one line, whatever is in it
    words = text.lower().split("_")
    if not words[0].startswith("rv64"):
        raise IsaError(f"{text}: only rv64 is known, as in rv64gc_h_sscofpmf")
    known = {name.lower(): name for name in OPTIONAL}
    known |= {short: known[name] for short, name in SUPERVISORS.items() if name in known}
    always = {name.lower() for name in STANDARD} | HOLDS
    letters = _letters(text, words[0].removeprefix("rv64"))
    if missing := [letter for letter in ALWAYS if letter not in letters]:
        raise IsaError(f"{text}: a hart always has rv64gc, and this lacks {', '.join(missing)}")
    found = {"H"} if "h" in letters else set()
    for word in words[1:]:
        name = word if word in known else VERSION.sub("", word)
        if name in known:
            found.add(known[name])
        elif name not in always and name not in ALWAYS and name not in SHORT:
            close = get_close_matches(name, [*known, *always], 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise IsaError(f"{text}: there is no extension {word or 'without a name'}{hint}")
    for name in sorted(found):
        for needed in OPTIONAL[name]:
            if needed not in found:
                raise IsaError(f"{text}: {name.lower()} needs {needed.lower()}")
    return frozenset(found)


def _letters(text: str, base: str) -> set[str]:
    """The single-letter extensions at the front of a string, those for several as what they are."""
    found: set[str] = set()
    at = 0
    while at < len(base):
        one = LETTERS.match(base, at)
        if not one or one[1] not in {*ALWAYS, *SHORT, "h"}:
            raise IsaError(f"{text}: there is no extension {base[at]}")
        found.update(SHORT.get(one[1], one[1]))
        at = one.end()
    return found


def spell(extensions: frozenset[str]) -> str:
    """The string of a hart that has these of `isa.ext.OPTIONAL`."""
    others = sorted(name.lower() for name in extensions if name != "H")
    return "_".join(["rv64gch" if "H" in extensions else "rv64gc", *others])
