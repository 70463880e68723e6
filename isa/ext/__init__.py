"""The extensions that a hart may have. Being listed here is an extension's registration."""

from isa.ext import (
    a,
    c,
    d,
    f,
    i,
    m,
    priv,
    zawrs,
    zba,
    zbb,
    zbs,
    zicbo,
    zicond,
    zicsr,
    zifencei,
    zihintpause,
)
from isa.spec import Table

EXTENSIONS = (
    i.EXTENSION,
    m.EXTENSION,
    a.EXTENSION,
    f.EXTENSION,
    d.EXTENSION,
    c.EXTENSION,
    zicsr.EXTENSION,
    zifencei.EXTENSION,
    zihintpause.EXTENSION,
    zicond.EXTENSION,
    zawrs.EXTENSION,
    zicbo.EXTENSION,
    zba.EXTENSION,
    zbb.EXTENSION,
    zbs.EXTENSION,
    priv.EXTENSION,
)

RV64GC = Table(EXTENSIONS)
