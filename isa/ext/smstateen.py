"""Smstateen and Ssstateen: what less privileged modes may see of state that was added late.

(Privileged manual, chapter 7.) A bit of mstateen0 gates a CSR for all modes below M, one of
hstateen0 for VS and VU. What they gate otherwise belongs to extensions that this hart has not.
"""

from isa.csr import bits
from isa.modes import M, virtual
from isa.spec import Extension

EXTENSION = Extension("Smstateen", "State enable")
csr = EXTENSION.csr

SE0, ENVCFG, AIA = 63, 62, 59


def granted(bit: int, number: int = 0):
    """Whether bit `bit` of mstateen and, for a guest, of hstateen lets a mode see a CSR."""

    def visible(mode, read):
        if mode == M:
            return True
        word = read(f"mstateen{number}")
        if virtual(mode):
            word &= read(f"hstateen{number}")
        return bool(word >> bit & 1)

    return visible


for n in range(4):
    fields = {"SE": bits(63)} | ({"ENVCFG": bits(ENVCFG)} if n == 0 else {})
    csr(f"mstateen{n}", 0x30C + n, "Which state modes below M may see.", fields=fields)
    csr(
        f"hstateen{n}",
        0x60C + n,
        "Which state a guest may see: nothing that mstateen hides.",
        fields=fields,
        visible=granted(SE0, n),
        needs=("H",),
        open=lambda read, n=n: read(f"mstateen{n}"),
    )
    csr(
        f"sstateen{n}",
        0x10C + n,
        "Which state U-mode may see: none is gated here.",
        visible=granted(SE0, n),
    )
EXTENSION.extend("senvcfg", visible=granted(ENVCFG))
EXTENSION.extend("henvcfg", visible=granted(ENVCFG))
for name in ("hvien", "hvictl"):
    EXTENSION.extend(name, visible=granted(AIA))
