"""A synchronous exception on its way to the mode that takes it."""

from __future__ import annotations


class Trap(Exception):
    """The instruction at pc did not complete: `cause` as in mcause/scause, `tval` as in mtval.

    Of a guest page fault `gpa` is the guest physical address that faulted, and `tinst` what mtinst
    or htinst gets. `guest`: tval is an address of a guest though it need not be one that executed
    the instruction; None if that depends on the mode.
    """

    def __init__(
        self,
        cause: int,
        tval: int = 0,
        gpa: int = 0,
        tinst: int = 0,
        guest: bool | None = None,
    ):
        self.cause = cause
        self.tval = tval
        self.gpa = gpa
        self.tinst = tinst
        self.guest = guest

    def __str__(self):
        return f"cause {self.cause}, tval {self.tval:#x}"
