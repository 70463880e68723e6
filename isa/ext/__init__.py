"""The extensions that a hart may have. Being listed here is an extension's registration."""

from isa.ext import (
    a,
    c,
    d,
    f,
    i,
    m,
    machine,
    sstc,
    supervisor,
    zawrs,
    zba,
    zbb,
    zbs,
    zicbo,
    zicntr,
    zicond,
    zicsr,
    zifencei,
    zihintpause,
    zihpm,
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
    machine.EXTENSION,
    supervisor.EXTENSION,
    zicntr.EXTENSION,
    zihpm.EXTENSION,
    sstc.EXTENSION,
)

RV64GC = Table(EXTENSIONS)
