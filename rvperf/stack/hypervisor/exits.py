"""VM exits by their causes: names, and which are the PMU's."""

from __future__ import annotations

from isa.causes import Cause, Interrupt
from isa.routing import INTERRUPT

PMU_CSRS = ("cycle", "instret", "hpmcounter", "scountovf", "scountinhibit", "sireg", "siselect")
EXCEPTIONS = {
    Cause.INSTRUCTION_ADDRESS_MISALIGNED: "EXC_INST_MISALIGNED",
    Cause.INSTRUCTION_ACCESS_FAULT: "EXC_INST_ACCESS",
    Cause.ILLEGAL_INSTRUCTION: "EXC_INST_ILLEGAL",
    Cause.BREAKPOINT: "EXC_BREAKPOINT",
    Cause.LOAD_ADDRESS_MISALIGNED: "EXC_LOAD_MISALIGNED",
    Cause.LOAD_ACCESS_FAULT: "EXC_LOAD_ACCESS",
    Cause.STORE_ADDRESS_MISALIGNED: "EXC_STORE_MISALIGNED",
    Cause.STORE_ACCESS_FAULT: "EXC_STORE_ACCESS",
    Cause.ENVIRONMENT_CALL_FROM_U: "EXC_SYSCALL",
    Cause.ENVIRONMENT_CALL_FROM_S: "EXC_HYPERVISOR_SYSCALL",
    Cause.ENVIRONMENT_CALL_FROM_VS: "EXC_SUPERVISOR_SYSCALL",
    Cause.INSTRUCTION_PAGE_FAULT: "EXC_INST_PAGE_FAULT",
    Cause.LOAD_PAGE_FAULT: "EXC_LOAD_PAGE_FAULT",
    Cause.STORE_PAGE_FAULT: "EXC_STORE_PAGE_FAULT",
    Cause.INSTRUCTION_GUEST_PAGE_FAULT: "EXC_INST_GUEST_PAGE_FAULT",
    Cause.LOAD_GUEST_PAGE_FAULT: "EXC_LOAD_GUEST_PAGE_FAULT",
    Cause.VIRTUAL_INSTRUCTION: "EXC_VIRTUAL_INST_FAULT",
    Cause.STORE_GUEST_PAGE_FAULT: "EXC_STORE_GUEST_PAGE_FAULT",
}
"""Linux' names of exceptions (arch/riscv/include/asm/csr.h)."""
INTERRUPTS = {
    Interrupt.SUPERVISOR_SOFTWARE: "IRQ_S_SOFT",
    Interrupt.SUPERVISOR_TIMER: "IRQ_S_TIMER",
    Interrupt.SUPERVISOR_EXTERNAL: "IRQ_S_EXT",
    Interrupt.SUPERVISOR_GUEST_EXTERNAL: "IRQ_S_GEXT",
    Interrupt.COUNTER_OVERFLOW: "IRQ_PMU_OVF",
}
"""Linux' names of the interrupts that leave a guest."""


def name_of_cause(scause: int) -> str:
    """Linux' name of what scause says, or its number."""
    names = INTERRUPTS if scause & INTERRUPT else EXCEPTIONS
    return names.get(scause & ~INTERRUPT, f"{scause:#x}")


def is_of_pmu(scause: int, key: str) -> bool:
    """Whether an exit is the PMU's: its interrupt, one of its CSRs, or a call of its extension."""
    if scause == INTERRUPT | Interrupt.COUNTER_OVERFLOW:
        return True
    if scause == Cause.VIRTUAL_INSTRUCTION:
        return key.startswith(PMU_CSRS)
    return scause == Cause.ENVIRONMENT_CALL_FROM_VS and key.startswith("PMU.")
