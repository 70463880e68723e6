"""Privilege modes (privileged manual 1.2)."""

from enum import IntEnum


class Mode(IntEnum):
    """A privilege mode. The two low bits are the level that CSR addresses and mstatus.MPP hold.

    With the hypervisor extension V becomes bit 2, so that VS is 5 and VU is 4, and S means HS.
    """

    U = 0
    S = 1
    M = 3


U, S, M = Mode.U, Mode.S, Mode.M
