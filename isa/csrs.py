"""Every CSR, by number and by name. They are declared by the extensions."""

from functools import cache

from isa.counting import FIRST, LAST, PROGRAMMABLE
from isa.csr import Csr
from isa.ext import EXTENSIONS, STANDARD
from isa.record import replace

# Those with a bit for each counter, which is zero where there is none (privileged manual 3.1.11).
BY_COUNTER = ("mcounteren", "mcountinhibit", "scounteren", "hcounteren", "scountovf")


@cache
def registers(
    extensions: frozenset[str] = STANDARD, counters: int = PROGRAMMABLE
) -> dict[int, Csr]:
    """The CSRs of a hart with these extensions, by number, each with what they add to it.

    Of the programmable counters there are the first `counters`; others are read-only zero.
    """
    present = [extension for extension in EXTENSIONS if extension.name in extensions]
    found = {
        csr.name: csr
        for extension in present
        for csr in extension.csrs
        if extensions.issuperset(csr.needs)
    }
    for extension in present:
        for name, needs, extend in extension.extended:
            if name in found and extensions.issuperset(needs):
                found[name] = extend(found[name])
    for n in range(FIRST + counters, LAST + 1):
        for name in (f"mhpmcounter{n}", f"mhpmevent{n}"):
            found[name] = replace(found[name], fields={})
    if counters < PROGRAMMABLE:
        for name in BY_COUNTER:
            if name in found:
                found[name] = _without_counters(found[name], FIRST + counters)
    return {csr.address: csr for csr in found.values()}


def _without_counters(csr: Csr, first: int) -> Csr:
    """A CSR with a bit for each counter below `first` alone."""
    fields = {
        name: replace(field, high=min(field.high, first - 1))
        for name, field in csr.fields.items()
        if field.low < first
    }
    return replace(csr, fields=fields)


CSR_NUMBERS = {csr.name: csr.address for extension in EXTENSIONS for csr in extension.csrs}
CSR_NAMES = {number: name for name, number in CSR_NUMBERS.items()}
CSRS = registers()
