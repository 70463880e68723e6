"""Every CSR, by number and by name. They are declared by the extensions."""

from functools import cache

from isa.csr import Csr
from isa.ext import EXTENSIONS, STANDARD


@cache
def registers(extensions: frozenset[str] = STANDARD) -> dict[int, Csr]:
    """The CSRs of a hart with these extensions, by number, each with what they add to it."""
    present = [extension for extension in EXTENSIONS if extension.name in extensions]
    found = {
        csr.name: csr
        for extension in present
        for csr in extension.csrs
        if extensions.issuperset(csr.needs)
    }
    for extension in present:
        for name, extend in extension.extended:
            if name in found:
                found[name] = extend(found[name])
    return {csr.address: csr for csr in found.values()}


CSR_NUMBERS = {csr.name: csr.address for extension in EXTENSIONS for csr in extension.csrs}
CSR_NAMES = {number: name for name, number in CSR_NUMBERS.items()}
CSRS = registers()
