"""Two-stage translation in native code: what misses the software TLB in VS and VU.

The same as `Hart._walk_guest`, but that it refuses, and so leaves to Python, what depends on how
pages of the other level may be accessed. Both functions preserve all registers, because regions
call them in mid-instruction, and give a page, plus 1, or 0.
"""

from __future__ import annotations

from isa import pmp
from isa.modes import VS
from rvperf.engine.interpreter import (
    LOAD_NEEDS,
    PTE_POINTER,
    PTE_R,
    PTE_W,
    Interpreted,
    physical,
)
from rvperf.engine.ssa import LIKELY, UNLIKELY, Ssa, SsaBit

ARGUMENTS = "(ptr %state, i64 %address, i64 %needed)"
HOST_WALK = f"internal preserve_allcc i64 @host_walk{ARGUMENTS}"
GUEST_WALK = f"internal preserve_allcc i64 @guest_walk{ARGUMENTS}"
PTE_U, PTE_VALID_ACCESSED = 1 << 4, 0x41
MXR_AT = 20  # in the hart's `access` while V=1: mstatus.MXR
BARE, MODE_AT = 0, 60


def descend(m: Interpreted, table, address, needed, user, refused: str, top=511, place=None):
    """Go down the tables from `table`: the page behind the address; goes to `refused` otherwise.

    `user` is the bit U that the page must have, `top` the index's bits at the root. `place` gives
    the physical address of an entry in tables that are translated themselves. `needed` may be
    wider by `readable`, as `host_walk` has it.
    """
    code = m.code
    done = code.fresh("leaves")
    wanted = needed | PTE_VALID_ACCESSED
    leaves = []
    for level in (2, 1, 0):
        at = table + (address.shr(12 + 9 * level) & (top if level == 2 else 511)).shl(3)
        pte = code.load(physical(m, place(at) if place else at, refused, pmp.R))
        leaf, inner, valid = code.fresh("leaf"), code.fresh("inner"), code.fresh("valid")
        code.branch((pte & 0b1010) != 0, leaf, inner, LIKELY if level == 0 else "")
        code.start(leaf)
        # In a leaf X may stand for R, if mstatus.MXR says so.
        flags = pte | pte.shr(2) & m.read_field("access").shr(MXR_AT - 1) & PTE_R
        ppn = pte.shl(10).shr(20)
        low = (1 << 9 * level) - 1
        good = (
            ((flags & (wanted | PTE_U)) == (user | wanted))
            & ((ppn & low) == 0)
            & (pte.shr(54) == 0)
            & ((pte & (PTE_R | PTE_W)) != PTE_W)  # reserved
        )
        page = (ppn | address.shr(12) & low).shl(12)
        leaves.append((page, good, code.block))
        code.goto(done)
        code.start(inner)
        code.branch((pte & PTE_POINTER) == 1, valid, refused, LIKELY)
        code.start(valid)
        table = pte.shl(10).shr(20).shl(12)
    code.goto(refused)
    code.start(done)
    pages = ", ".join(f"[ {page.text}, %{block} ]" for page, _, block in leaves)
    goods = ", ".join(f"[ {good.ref}, %{block} ]" for _, good, block in leaves)
    page, good = code.value(f"phi i64 {pages}"), code.value(f"phi i1 {goods}")
    allowed = code.fresh("allowed")
    code.branch(SsaBit(code, good), allowed, refused, LIKELY)
    code.start(allowed)
    return Ssa(code, page)


def host_walk() -> Interpreted:
    """`i64 host_walk(state, gpa, needed)`: hgatp's stage, Sv39x4, always as U-mode."""
    m = Interpreted("host_walk")
    code = m.code
    gpa, needed, hgatp = Ssa(code, "%address"), Ssa(code, "%needed"), m.read_field("hgatp")
    code.branch(hgatp.shr(MODE_AT) == BARE, "bare", "paged", UNLIKELY)
    code.start("bare")
    code.put(f"ret i64 {(gpa & ~0xFFF | 1).text}")
    code.start("refused")
    code.put("ret i64 0")
    code.start("paged")
    code.branch(gpa.shr(41) == 0, "small", "refused", LIKELY)
    code.start("small")
    root = hgatp.shl(20).shr(8)
    page = descend(m, root, gpa, needed, code.word(PTE_U), "refused", top=2047)
    code.put(f"ret i64 {(page | 1).text}")
    return m


def guest_walk() -> Interpreted:
    """`i64 guest_walk(state, va, needed)`: both stages, in the current mode, VS or VU."""
    m = Interpreted("guest_walk")
    code = m.code
    va, needed, vsatp = Ssa(code, "%address"), Ssa(code, "%needed"), m.read_field("vsatp")

    def by_host(gpa, needed) -> Ssa:
        """The physical page behind a guest physical address, plus 1, or 0."""
        arguments = f"(ptr %state, i64 {gpa.text}, i64 {needed})"
        return Ssa(code, code.value(f"call preserve_allcc i64 @host_walk{arguments}"))

    def place(gpa) -> Ssa:
        """Where an entry of the guest's tables lies."""
        page, known = by_host(gpa, LOAD_NEEDS), code.fresh("known")
        code.branch(page != 0, known, "refused", LIKELY)
        code.start(known)
        return (page & ~1) | (gpa & 0xFFF)

    code.branch(vsatp.shr(MODE_AT) == BARE, "bare", "paged", UNLIKELY)
    code.start("bare")
    code.put(f"ret i64 {by_host(va, '%needed').text}")
    code.start("refused")
    code.put("ret i64 0")
    code.start("paged")
    code.branch(va.sext(39) == va, "canonical", "refused", LIKELY)
    code.start("canonical")
    user = (m.read_field("mode") != VS).word().shl(4)
    root = vsatp.shl(20).shr(8)
    page = descend(m, root, va, needed, user, "refused", place=place)
    code.put(f"ret i64 {by_host(page, '%needed').text}")
    return m
