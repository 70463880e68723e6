"""How firmware leaves a hart at the end of boot: what OpenSBI sets up before it enters S-mode.

(lib/sbi/sbi_hart.c, lib/sbi/sbi_pmu.c.) The first 2 MiB of RAM stay the firmware's, and counters
are open. On a hart with the hypervisor extension it delegates what OpenSBI does; a hart without is
given all exceptions, so that there nothing traps to M-mode but SBI calls.
"""

from __future__ import annotations

from isa.counting import FIRST, INHIBITS, LAST, OF
from isa.csrs import CSR_NUMBERS
from isa.modes import M

RESERVED = 2 << 20

MSTATUS, MEDELEG, MIDELEG, MCOUNTEREN, MENVCFG, MEPC, PMPCFG0, PMPADDR0, PMPADDR1 = (
    CSR_NUMBERS[name]
    for name in (
        "mstatus",
        "medeleg",
        "mideleg",
        "mcounteren",
        "menvcfg",
        "mepc",
        "pmpcfg0",
        "pmpaddr0",
        "pmpaddr1",
    )
)
MCOUNTINHIBIT, SCOUNTEREN, MSTATEEN0 = (
    CSR_NUMBERS[name] for name in ("mcountinhibit", "scounteren", "mstateen0")
)
MHPMEVENT = CSR_NUMBERS["mhpmevent3"] - FIRST

# Misaligned and faulting accesses, illegal instructions, breakpoints, calls from U, page faults.
DELEGATED_EXCEPTIONS = sum(1 << cause for cause in (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15))
# With the hypervisor extension: misaligned fetches, breakpoints, calls from U and VS, page faults,
# guest page faults, virtual instructions.
DELEGATED_TO_HS = sum(1 << cause for cause in (0, 3, 8, 10, 12, 13, 15, 20, 21, 22, 23))
DELEGATED_INTERRUPTS = 1 << 1 | 1 << 5 | 1 << 9 | 1 << 13  # SSI, STI, SEI, LCOFI
STCE, CDE, CBZE, CBCFE, CBIE_FLUSH = 1 << 63, 1 << 60, 1 << 7, 1 << 6, 1 << 4
# Of mstateen0: SE0, ENVCFG, CSRIND, AIA, IMSIC, CONTEXT, CTR.
LET_STATE = sum(1 << bit for bit in (63, 62, 60, 59, 58, 57, 54))
MPP_SUPERVISOR, MPP = 1 << 11, 3 << 11
NO_ACCESS_NAPOT, ALL_ACCESS_NAPOT = 0x18, 0x1F
ALL_BUT_FIXED = 0xFFFF_FFF8  # in mcountinhibit


def hand_over(hart, entry: int) -> None:
    """Set the hart up and enter S-mode at `entry`. None of it is counted, or takes time."""
    optional = hart.extensions
    hart.write_csr(MEDELEG, DELEGATED_TO_HS if hart.hypervisor else DELEGATED_EXCEPTIONS)
    hart.write_csr(MIDELEG, DELEGATED_INTERRUPTS)
    hart.write_csr(MCOUNTEREN, 0xFFFFFFFF)
    delegates = CDE if "Smcdeleg" in optional else 0
    hart.write_csr(MENVCFG, STCE | delegates | CBZE | CBCFE | CBIE_FLUSH)
    if "Smstateen" in optional:
        hart.write_csr(MSTATEEN0, LET_STATE)
    if "Sscofpmf" in optional:
        hart.write_csr(SCOUNTEREN, 1 << 1)
        hart.write_csr(MCOUNTINHIBIT, ALL_BUT_FIXED)
        for number in range(FIRST, LAST + 1):
            hart.write_csr(MHPMEVENT + number, OF | 1 << INHIBITS[M])
    hart.write_csr(PMPADDR0, hart.ram.base >> 2 | (RESERVED >> 3) - 1)
    hart.write_csr(PMPADDR1, (1 << 54) - 1)
    hart.write_csr(PMPCFG0, ALL_ACCESS_NAPOT << 8 | NO_ACCESS_NAPOT)
    hart.write_csr(MSTATUS, hart.read_csr(MSTATUS) & ~MPP | MPP_SUPERVISOR)
    hart.write_csr(MEPC, entry)
    hart.mret()
