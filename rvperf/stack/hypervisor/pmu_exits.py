"""Which VM exits are the PMU's."""

from __future__ import annotations

from isa.causes import Cause, Interrupt
from isa.routing import INTERRUPT

CSRS = ("cycle", "instret", "hpmcounter", "scountovf", "scountinhibit", "sireg", "siselect")


def is_of_pmu(scause: int, key: str) -> bool:
    """Whether an exit is the PMU's: its interrupt, one of its CSRs, or a call of its extension."""
    if scause == INTERRUPT | Interrupt.COUNTER_OVERFLOW:
        return True
    if scause == Cause.VIRTUAL_INSTRUCTION:
        return key.startswith(CSRS)
    return scause == Cause.ENVIRONMENT_CALL_FROM_VS and key.startswith("PMU.")
