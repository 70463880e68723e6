"""The extensions that a hart may have. Being listed here is an extension's registration."""

from isa.ext import (
    a,
    c,
    d,
    f,
    hypervisor,
    i,
    m,
    machine,
    shlcofideleg,
    smstateen,
    ssaia,
    sscofpmf,
    sstc,
    supervisor,
    svinval,
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
    hypervisor.EXTENSION,
    zicntr.EXTENSION,
    zihpm.EXTENSION,
    sscofpmf.EXTENSION,
    sstc.EXTENSION,
    svinval.EXTENSION,
    smstateen.EXTENSION,
    ssaia.EXTENSION,
    shlcofideleg.EXTENSION,
)

# Those that a hart has only if it is told, and what that needs of the others.
OPTIONAL = {
    "H": (),
    "Svinval": (),
    "Smstateen": (),
    "Ssaia": (),
    "Sscofpmf": (),
    "Shlcofideleg": ("H", "Sscofpmf"),
}
EVERY = frozenset(extension.name for extension in EXTENSIONS)
STANDARD = frozenset(EVERY - OPTIONAL.keys())

RV64GC = Table(EXTENSIONS)
