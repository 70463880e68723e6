"""Firmware in M-mode: hands the machine over to the kernel, as OpenSBI does at boot.

It keeps the first 2 MiB of RAM to itself, delegates to S-mode what S-mode handles, and opens the
counters. Nothing traps to it afterwards: what the kernel needs of the hart is delegated.
"""

from isa.csrs import CSR_NUMBERS

RESERVED = 2 << 20
MASK = (1 << 64) - 1

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

# Misaligned and faulting accesses, illegal instructions, breakpoints, calls from U, page faults.
DELEGATED_EXCEPTIONS = sum(1 << cause for cause in (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15))
DELEGATED_INTERRUPTS = 1 << 1 | 1 << 5 | 1 << 9 | 1 << 13  # SSI, STI, SEI, LCOFI
STCE, CBZE, CBCFE, CBIE_FLUSH = 1 << 63, 1 << 7, 1 << 6, 1 << 4
MPP_SUPERVISOR, MPP = 1 << 11, 3 << 11
NO_ACCESS_NAPOT, ALL_ACCESS_NAPOT = 0x18, 0x1F


class Firmware:
    """The M-mode model of one hart."""

    def __init__(self, hart):
        self.hart = hart

    def boot(self, entry):
        """Sets the hart up and enters S-mode at `entry`."""
        hart = self.hart
        exceptions = DELEGATED_EXCEPTIONS
        if hart.hypervisor:
            exceptions |= 1 << 10 | 15 << 20
            hart.write_csr(0x30C, MASK)
        hart.write_csr(MEDELEG, exceptions)
        hart.write_csr(MIDELEG, DELEGATED_INTERRUPTS)
        hart.write_csr(MCOUNTEREN, 0xFFFFFFFF)
        hart.write_csr(MENVCFG, STCE | CBZE | CBCFE | CBIE_FLUSH)
        hart.write_csr(PMPADDR0, hart.ram.base >> 2 | (RESERVED >> 3) - 1)
        hart.write_csr(PMPADDR1, (1 << 54) - 1)
        hart.write_csr(PMPCFG0, ALL_ACCESS_NAPOT << 8 | NO_ACCESS_NAPOT)
        hart.write_csr(MSTATUS, hart.read_csr(MSTATUS) & ~MPP | MPP_SUPERVISOR)
        hart.write_csr(MEPC, entry)
        hart.mret()
