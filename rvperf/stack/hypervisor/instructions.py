"""The instructions that trap out of guests, as KVM decodes them."""

from __future__ import annotations

from isa.record import Record

SYSTEM = 0x73
WFI = 0x10500073
OPERATIONS = {1: "write", 2: "set", 3: "clear", 5: "write", 6: "set", 7: "clear"}


class Wfi(Record):
    """Wait for interrupt."""


class CsrAccess(Record):
    """A CSR instruction: what it does, to which register its old value goes, and whence its
    operand comes: a register's number, or the value of an immediate."""

    csr: int
    operation: str
    """"write", "set" or "clear"."""
    rd: int
    source: int
    immediate: bool

    @property
    def writes(self) -> bool:
        """Whether the CSR is written at all: not with set or clear of x0 or 0."""
        return self.operation == "write" or self.source != 0

    def operand(self, x) -> int:
        """The operand, with the guest's registers."""
        return self.source if self.immediate else x[self.source]

    def result(self, old: int, x) -> int:
        """What the CSR would hold then."""
        operand = self.operand(x)
        if self.operation == "write":
            return operand
        return old | operand if self.operation == "set" else old & ~operand


def decoded(word: int) -> Wfi | CsrAccess | None:
    """The instruction; None if KVM knows nothing of it."""
    if word == WFI:
        return Wfi()
    operation = OPERATIONS.get(word >> 12 & 7)
    if word & 0x7F != SYSTEM or operation is None:
        return None
    return CsrAccess(
        csr=word >> 20,
        operation=operation,
        rd=word >> 7 & 31,
        source=word >> 15 & 31,
        immediate=bool(word >> 14 & 1),
    )
