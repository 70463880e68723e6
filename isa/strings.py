"""ISA strings: `rv64gch_svinval`, as device trees, compilers and simulators write them.

(Unprivileged manual, chapter "ISA Extension Naming Conventions".)
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from isa.ext import EVERY, OPTIONAL

# What `g` stands for, and other single letters that every hart has.
GENERAL = "imafd"
ALWAYS = frozenset(GENERAL + "cbsu")
# Parts and sums of what every hart has, that are no extensions of `isa.ext` by themselves.
PARTS = frozenset(("zaamo", "zalrsc", "zca", "zcd", "zmmul"))
PARTS |= {"svade", "svbare", "sscounterenw", "shcounterenw"}  # which say how it has what it has
# The supervisor's part of an extension has a name of its own; here neither comes alone.
SUPERVISOR_PARTS = {
    "ssstateen": "Smstateen",
    "sscsrind": "Smcsrind",
    "ssccfg": "Smcdeleg",
    "ssctr": "Smctr",
}
BY_NAME = {name.lower(): name for name in EVERY} | SUPERVISOR_PARTS


class IsaStringError(Exception):
    """An ISA string that names nothing there is: one line that says what."""


def extensions_of(text: str) -> frozenset[str]:
    """Which of `isa.ext.OPTIONAL` a hart has by an ISA string: those that it names.

    What a hart always has may be named or not. Case and version numbers do not matter. Raises
    IsaStringError for what there isn't, also if what an extension needs isn't named.
    """
    lowered = text.lower()
    if not lowered.startswith("rv64"):
        raise IsaStringError(f"ISA string '{text}': it has to begin with rv64")
    singles, *names = lowered.removeprefix("rv64").split("_")
    # After the single letters, names of several letters may follow without an underscore.
    if found := re.search(r"[zsx](?=[a-z])", singles):
        at = found.start()
        singles, names = singles[:at], [singles[at:], *names]
    singles = re.sub(r"\d+(p\d+)?", "", singles)
    named = set()
    for letter in singles:
        if letter == "h":
            named.add("H")
        elif letter != "g" and letter not in ALWAYS:
            raise IsaStringError(f"ISA string '{text}': there is no extension {letter.upper()}")
    for name in names:
        name = re.sub(r"\d+p\d+$", "", name)
        if name in BY_NAME:
            named.add(BY_NAME[name])
        elif name not in PARTS and not (len(name) == 1 and name in ALWAYS):
            near = get_close_matches(name, BY_NAME, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise IsaStringError(f"ISA string '{text}': there is no extension {name!r}{hint}")
    named &= OPTIONAL.keys()
    for name in sorted(named):
        for other in OPTIONAL[name]:
            if other not in named:
                raise IsaStringError(f"ISA string '{text}': {name} needs {other}")
    return frozenset(named)


def ratified() -> frozenset[str]:
    """All of `isa.ext.OPTIONAL` but private extensions, whose names begin with X."""
    return frozenset(name for name in OPTIONAL if not name.startswith("X"))
