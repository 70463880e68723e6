"""What a trap can be caused by, with the manual's names (privileged manual 3.1.15)."""

from enum import IntEnum


class Cause(IntEnum):
    """Synchronous exceptions."""

    INSTRUCTION_ADDRESS_MISALIGNED = 0
    INSTRUCTION_ACCESS_FAULT = 1
    ILLEGAL_INSTRUCTION = 2
    BREAKPOINT = 3
    LOAD_ADDRESS_MISALIGNED = 4
    LOAD_ACCESS_FAULT = 5
    STORE_ADDRESS_MISALIGNED = 6  # stores and AMOs, here and below
    STORE_ACCESS_FAULT = 7
    ENVIRONMENT_CALL_FROM_U = 8
    ENVIRONMENT_CALL_FROM_S = 9  # HS, with the hypervisor extension
    ENVIRONMENT_CALL_FROM_VS = 10
    ENVIRONMENT_CALL_FROM_M = 11
    INSTRUCTION_PAGE_FAULT = 12
    LOAD_PAGE_FAULT = 13
    STORE_PAGE_FAULT = 15
    # With the hypervisor extension (8.6.1):
    INSTRUCTION_GUEST_PAGE_FAULT = 20
    LOAD_GUEST_PAGE_FAULT = 21
    VIRTUAL_INSTRUCTION = 22
    STORE_GUEST_PAGE_FAULT = 23


class Interrupt(IntEnum):
    """Interrupts, by their bit in mip and mie."""

    SUPERVISOR_SOFTWARE = 1
    VIRTUAL_SUPERVISOR_SOFTWARE = 2
    MACHINE_SOFTWARE = 3
    SUPERVISOR_TIMER = 5
    VIRTUAL_SUPERVISOR_TIMER = 6
    MACHINE_TIMER = 7
    SUPERVISOR_EXTERNAL = 9
    VIRTUAL_SUPERVISOR_EXTERNAL = 10
    MACHINE_EXTERNAL = 11
    SUPERVISOR_GUEST_EXTERNAL = 12
    COUNTER_OVERFLOW = 13  # local counter overflow, LCOFI (Sscofpmf)
    # Of the private extension Xrvpt:
    VIRTUAL_SUPERVISOR_COUNTER_OVERFLOW = 14
    MACHINE_COUNTER_OVERFLOW = 15


# Which goes first when several are pending for one mode (privileged manual 3.1.9; with the
# hypervisor extension 8.2.3; Sscofpmf 17.3).
PRIORITY = (
    Interrupt.MACHINE_EXTERNAL,
    Interrupt.MACHINE_SOFTWARE,
    Interrupt.MACHINE_TIMER,
    Interrupt.SUPERVISOR_EXTERNAL,
    Interrupt.SUPERVISOR_SOFTWARE,
    Interrupt.SUPERVISOR_TIMER,
    Interrupt.SUPERVISOR_GUEST_EXTERNAL,
    Interrupt.VIRTUAL_SUPERVISOR_EXTERNAL,
    Interrupt.VIRTUAL_SUPERVISOR_SOFTWARE,
    Interrupt.VIRTUAL_SUPERVISOR_TIMER,
    Interrupt.MACHINE_COUNTER_OVERFLOW,
    Interrupt.COUNTER_OVERFLOW,
    Interrupt.VIRTUAL_SUPERVISOR_COUNTER_OVERFLOW,
)
