"""Smcsrind and Sscsrind: registers that are reached by the value of a select register.

(Privileged manual, indirect CSR access.) What there is at which values belongs to other extensions;
where there is nothing, the indirect registers are illegal instructions, as is recommended.
"""

from isa.csr import bits
from isa.ext.smstateen import granted
from isa.spec import Extension

EXTENSION = Extension("Smcsrind", "Indirect CSR access")
csr = EXTENSION.csr

CSRIND = 60  # of mstateen0 and hstateen0
# What follows ireg in the names, and the address from the select register's on: 4 is miph's.
ALIASES = {"": 1, "2": 2, "3": 3, "4": 5, "5": 6, "6": 7}
MACHINE = tuple(f"mireg{suffix}" for suffix in ALIASES)
SUPERVISOR = tuple(f"sireg{suffix}" for suffix in ALIASES)
GUEST = tuple(f"vsireg{suffix}" for suffix in ALIASES)

for prefix, address, whose, needs in (
    ("m", 0x350, "M-mode", ()),
    ("s", 0x150, "S-mode", ()),
    ("vs", 0x250, "VS-mode", ("H",)),
):
    stands = f"{prefix[1:]}iselect" if needs else None
    csr(
        f"{prefix}iselect",
        address,
        f"Which registers {whose} reaches indirectly.",
        fields={"value": bits(63, 0)},
        needs=needs,
        stands_for=stands,
    )
    for suffix, offset in ALIASES.items():
        csr(
            f"{prefix}ireg{suffix}",
            address + offset,
            f"An indirect register of {whose}, which {prefix}iselect selects.",
            needs=needs,
            select=f"{prefix}iselect",
            stands_for=f"sireg{suffix}" if needs else None,
        )

for name in ("mstateen0", "hstateen0"):
    EXTENSION.extend(name, fields={"CSRIND": bits(CSRIND)})
for name in ("siselect", "vsiselect", *SUPERVISOR, *GUEST):
    EXTENSION.extend(name, needs=("Smstateen",), visible=granted(CSRIND))
