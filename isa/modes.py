"""Privilege modes (privileged manual 1.2; with the hypervisor extension 8.1)."""

from enum import IntEnum

VIRTUAL = 4  # the bit of a mode that is V, the virtualization mode


class Mode(IntEnum):
    """A privilege mode. The two low bits are the level that mstatus.MPP holds, and bit 2 is V.

    With the hypervisor extension S is what the manual calls HS.
    """

    U = 0
    S = 1
    M = 3
    VU = 4
    VS = 5


U, S, M, VU, VS = Mode.U, Mode.S, Mode.M, Mode.VU, Mode.VS

# The level in CSR addresses that a mode reaches: 0 user, 1 supervisor, 2 hypervisor, 3 machine.
REACH = {U: 0, S: 2, M: 3, VU: 0, VS: 1}
# The modes that are less privileged than one that takes traps, as far as it takes theirs.
BELOW = {M: (U, S, VU, VS), S: (U, VU, VS), VS: (VU,)}


def virtual(mode: int) -> bool:
    """Whether it is VS or VU."""
    return mode >= VIRTUAL
