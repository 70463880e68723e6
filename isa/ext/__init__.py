"""The extensions that a hart may have. Being listed here is an extension's registration."""

from isa.ext import i, m, zicond
from isa.spec import Table

EXTENSIONS = (
    i.EXTENSION,
    m.EXTENSION,
    zicond.EXTENSION,
)

RV64GC = Table(EXTENSIONS)
