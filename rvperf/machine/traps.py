"""A synchronous exception on its way to the mode that takes it."""

from __future__ import annotations


class Trap(Exception):
    """The instruction at pc did not complete: `cause` as in mcause/scause, `tval` as in mtval."""

    def __init__(self, cause: int, tval: int = 0):
        self.cause = cause
        self.tval = tval

    def __str__(self):
        return f"cause {self.cause}, tval {self.tval:#x}"
