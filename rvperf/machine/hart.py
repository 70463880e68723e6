"""A hart: registers, privilege mode, CSRs, translation, traps, and what it has counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from isa.num import Num, Truth, number
from rvperf.machine.ram import Ram
from rvperf.machine.state import HART, Block
from rvperf.machine.timing import (
    HERTZ,
    MISPREDICT_CYCLES,
    TIMEBASE_HERTZ,
    cycles_of,
    predict,
    predictor_index,
)
from rvperf.machine.traps import Trap

MASK = (1 << 64) - 1
NO_RESERVATION = MASK
FRM_RMM = 4
FCSR, FRM, FFLAGS = 0x003, 0x002, 0x001
SSTATUS, SIE, STVEC, SEPC, SCAUSE, STVAL, SIP, SATP = (
    0x100,
    0x104,
    0x105,
    0x141,
    0x142,
    0x143,
    0x144,
    0x180,
)
STIMECMP = 0x14D
MSTATUS, MEDELEG, MIDELEG, MIE, MTVEC, MEPC, MCAUSE, MTVAL, MIP = (
    0x300,
    0x302,
    0x303,
    0x304,
    0x305,
    0x341,
    0x342,
    0x343,
    0x344,
)
CYCLE, TIME, INSTRET, MCYCLE, MINSTRET = 0xC00, 0xC01, 0xC02, 0xB00, 0xB02
SSTATUS_MASK = 0x8000_0003_000D_E162
STIP = 1 << 5
PAGE_FAULT = {"x": 12, "r": 13, "w": 15}
ACCESS_FAULT = {"x": 1, "r": 5, "w": 7}
MISALIGNED = {"x": 0, "r": 4, "w": 6}
PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << n for n in range(8))
NEEDS = {"r": PTE_R, "w": PTE_W, "x": PTE_X}
U, S, M = 0, 1, 3
SOURCES = ("instructions", "cycles", "branches", "branch-misses", "loads", "stores")

RESERVATION, MODE = HART["reservation"] // 8, HART["mode"] // 8
INSTRUCTIONS, EXTRA_CYCLES, BRANCHES, BRANCH_MISSES, LOADS, STORES = PENDING = tuple(
    HART[name] // 8
    for name in ("instructions", "extra_cycles", "branches", "branch_misses", "loads", "stores")
)
# What an instruction of a kind adds one to, besides `instructions`.
COUNTED_BY_KIND_NAMES = {
    "branch": ("branches",),
    "load": ("loads",),
    "fp-load": ("loads",),
    "load-reserved": ("loads",),
    "store": ("stores",),
    "fp-store": ("stores",),
    "store-conditional": ("stores",),
    "amo": ("loads", "stores"),
}
COUNTED_BY_KIND = {
    kind: tuple(HART[name] // 8 for name in names) for kind, names in COUNTED_BY_KIND_NAMES.items()
}

MSTATUS_SIE, MSTATUS_MIE, MSTATUS_SPIE, MSTATUS_MPIE = 1 << 1, 1 << 3, 1 << 5, 1 << 7
MSTATUS_SPP, MSTATUS_FS = 1 << 8, 3 << 13
MSTATUS_MPRV, MSTATUS_SUM, MSTATUS_MXR = 1 << 17, 1 << 18, 1 << 19
# What `predict` gives for each state of a counter, and a branch that is taken or not.
PREDICTIONS = [
    [tuple(map(number, predict(Num(counter), Truth(taken)))) for taken in (False, True)]
    for counter in range(4)
]


@cache
def _counted(kind: str) -> tuple[tuple[int, int], ...]:
    """(field of the state, what to add to it) for an instruction of a kind."""
    counted = {INSTRUCTIONS: 1, EXTRA_CYCLES: cycles_of(kind) - 1}
    counted |= dict.fromkeys(COUNTED_BY_KIND.get(kind, ()), 1)
    return tuple((field, count) for field, count in counted.items() if count)


def _word(name: str):
    """A word of the shared state as an attribute."""
    at = HART[name] // 8

    def get(self):
        return self._words[at]

    def put(self, value):
        self._words[at] = value & MASK

    return property(get, put)


class Hart:
    """One RV64GC hart with M, S and U modes over `ram`.

    `extra` bytes of shared state are kept for the engine, behind the architectural fields.
    Synchronous exceptions leave as `Trap`; `trap()` delivers one to the mode that takes it.
    """

    def __init__(self, ram: Ram, extra: int = 0):
        self.ram = ram
        self.state = Block(-(-(HART.size + extra) // 4096) * 4096)
        self.x = self.state.words(HART["x"], 33)
        self.f = self.state.words(HART["f"], 32)
        self._words = self.state.words(0, HART["predictor"] // 8)
        self.predictor = self.state.view[HART["predictor"] : HART["predictor"] + 4096]
        self.reservation = None
        self.mode = M
        self._mstatus = 0
        self.csrs: dict[int, int] = {}
        self.clock = 0  # cycles collected so far; `cycles` adds what is still in the state
        self.counts = {mode: dict.fromkeys(SOURCES, 0) for mode in (U, S, M)}
        self.fences: list[Callable[[int | None, int | None], None]] = []
        self.code_fences: list[Callable[[], None]] = []
        self._translations: dict[tuple[int, str], int] = {}

    pc = _word("pc")
    satp = _word("satp")
    access = _word("access")
    fp_slow = _word("fp_slow")
    mode = _word("mode")
    frm = _word("frm")
    fflags = _word("fflags")

    @property
    def reservation(self) -> int | None:
        """The address that a load-reserved holds, or None."""
        value = self._words[RESERVATION]
        return None if value == NO_RESERVATION else value

    @reservation.setter
    def reservation(self, address: int | None) -> None:
        self._words[RESERVATION] = NO_RESERVATION if address is None else address

    # Counting. Native code and `retired` add to the state; `collect` moves it to the mode's ledger.

    def retired(self, kind: str, taken: bool | None = None) -> None:
        """Count one instruction of a kind; `taken` says how a conditional branch went."""
        words = self._words
        for field, count in _counted(kind):
            words[field] += count
        if taken is not None:
            at = predictor_index(self.pc)
            self.predictor[at], missed = PREDICTIONS[self.predictor[at]][taken]
            words[BRANCH_MISSES] += missed

    def collect(self) -> None:
        """Move what was counted since the last call to the current mode's counts and the clock."""
        words = self._words
        instructions = words[INSTRUCTIONS]
        if not instructions:
            return
        misses = words[BRANCH_MISSES]
        cycles = instructions + words[EXTRA_CYCLES] + MISPREDICT_CYCLES * misses
        counts = self.counts[words[MODE]]
        counts["instructions"] += instructions
        counts["cycles"] += cycles
        counts["branches"] += words[BRANCHES]
        counts["branch-misses"] += misses
        counts["loads"] += words[LOADS]
        counts["stores"] += words[STORES]
        self.clock += cycles
        for field in PENDING:
            words[field] = 0

    def charge(self, instructions: int, cycles: int, **others: int) -> None:
        """Count what a model of system software did in the current mode, and let the time pass.

        `others` may name any further source of SOURCES, `branch_misses` for `branch-misses`.
        """
        self.collect()
        counts = self.counts[self._words[MODE]]
        counts["instructions"] += instructions
        counts["cycles"] += cycles
        for source, count in others.items():
            counts[source.replace("_", "-")] += count
        self.clock += cycles

    @property
    def cycles(self) -> int:
        """The clock, in cycles since power-on, idle time included."""
        words = self._words
        return (
            self.clock
            + words[INSTRUCTIONS]
            + words[EXTRA_CYCLES]
            + MISPREDICT_CYCLES * words[BRANCH_MISSES]
        )

    def idle_until(self, cycle: int) -> None:
        """Let time pass without executing, as wfi does."""
        self.collect()
        self.clock = max(self.clock, cycle)

    @property
    def time(self) -> int:
        """The `time` CSR: ticks of the timebase since power-on."""
        return self.cycles * TIMEBASE_HERTZ // HERTZ

    # CSRs.

    def read_csr(self, number: int) -> int:
        """The CSR's value as an instruction of the current mode reads it. Trap(2) if it may not."""
        self._permit(number, write=False)
        return self.csr_value(number)

    def write_csr(self, number: int, value: int) -> None:
        """Write as an instruction of the current mode would; illegal fields keep legal values."""
        self._permit(number, write=True)
        self.set_csr(number, value & MASK)

    def _permit(self, number: int, write: bool) -> None:
        if self.mode < number >> 8 & 3 or write and number >> 10 == 3:
            raise Trap(2)

    def csr_value(self, number: int) -> int:
        """The CSR's value, whoever asks."""
        if number == SSTATUS:
            return self._mstatus & SSTATUS_MASK | 2 << 32
        if number == MSTATUS:
            return self._mstatus | 0xA << 32
        if number == FCSR:
            return self.frm << 5 | self.fflags
        if number == FRM:
            return self.frm
        if number == FFLAGS:
            return self.fflags
        if number == SATP:
            return self.satp
        if number in (CYCLE, MCYCLE):
            return self.cycles
        if number in (INSTRET, MINSTRET):
            pending = self._words[INSTRUCTIONS]
            return sum(counts["instructions"] for counts in self.counts.values()) + pending
        if number == TIME:
            return self.time
        if number in (SIP, MIP):
            timer = STIP if self.time >= self.csrs.get(STIMECMP, MASK) else 0
            return self.csrs.get(MIP, 0) & ~STIP | timer
        if number == SIE:
            return self.csrs.get(MIE, 0) & self.csrs.get(MIDELEG, 0)
        return self.csrs.get(number, 0)

    def set_csr(self, number: int, value: int) -> None:
        """Set the CSR, whoever asks."""
        if number in (SSTATUS, MSTATUS):
            mask = SSTATUS_MASK if number == SSTATUS else 0x7E_79AA
            self._set_mstatus(self._mstatus & ~mask | value & mask)
        elif number == FCSR:
            self.fflags = value & 31
            self.frm = value >> 5 & 7
            self._fp_changed()
        elif number == FRM:
            self.frm = value & 7
            self._fp_changed()
        elif number == FFLAGS:
            self.fflags = value & 31
        elif number == SATP:
            if value >> 60 in (0, 8):
                self.satp = value
                self._translations.clear()
        elif number == SIE:
            mask = self.csrs.get(MIDELEG, 0)
            self.csrs[MIE] = self.csrs.get(MIE, 0) & ~mask | value & mask
        else:
            self.csrs[number] = value

    def _set_mstatus(self, value: int) -> None:
        changed = self._mstatus ^ value
        self._mstatus = value
        if changed & (MSTATUS_SUM | MSTATUS_MXR | MSTATUS_MPRV):
            self._translations.clear()
            self.access = value & (MSTATUS_SUM | MSTATUS_MXR | MSTATUS_MPRV)
        if changed & MSTATUS_FS:
            self._fp_changed()

    def _fp_changed(self) -> None:
        self.fp_slow = not self._mstatus & MSTATUS_FS or self.frm >= FRM_RMM

    @property
    def fcsr(self) -> int:
        """frm and fflags as the fcsr shows them."""
        return self.csr_value(FCSR)

    @fcsr.setter
    def fcsr(self, value: int) -> None:
        self.set_csr(FCSR, value)

    # Traps.

    def trap(self, cause: int, tval: int = 0, interrupt: bool = False) -> None:
        """Deliver a trap at pc to the mode that delegation names (privileged manual 3.1.8)."""
        self.collect()
        delegated = self.csrs.get(MIDELEG if interrupt else MEDELEG, 0) >> cause & 1
        mode, status = self.mode, self._mstatus
        code = cause | (1 << 63 if interrupt else 0)
        if mode != M and delegated:
            self.csrs[SEPC], self.csrs[SCAUSE], self.csrs[STVAL] = self.pc, code, tval
            status &= ~(MSTATUS_SPIE | MSTATUS_SPP)
            status |= (status & MSTATUS_SIE) << 4 | mode << 8
            self._set_mstatus(status & ~MSTATUS_SIE)
            to, vector = S, self.csrs.get(STVEC, 0)
        else:
            self.csrs[MEPC], self.csrs[MCAUSE], self.csrs[MTVAL] = self.pc, code, tval
            status &= ~(MSTATUS_MPIE | 3 << 11)
            status |= (status & MSTATUS_MIE) << 4 | mode << 11
            self._set_mstatus(status & ~MSTATUS_MIE)
            to, vector = M, self.csrs.get(MTVEC, 0)
        self.pc = (vector & ~3) + (4 * cause if interrupt and vector & 1 else 0)
        self._enter(to)

    def sret(self) -> None:
        """Return from a trap taken in S-mode."""
        self.collect()
        status = self._mstatus
        to = status >> 8 & 1
        status = status & ~MSTATUS_SIE | (status & MSTATUS_SPIE) >> 4
        self._set_mstatus((status | MSTATUS_SPIE) & ~(MSTATUS_SPP | MSTATUS_MPRV))
        self.pc = self.csrs.get(SEPC, 0)
        self._enter(to)

    def mret(self) -> None:
        """Return from a trap taken in M-mode."""
        self.collect()
        status = self._mstatus
        to = status >> 11 & 3
        status = status & ~MSTATUS_MIE | (status & MSTATUS_MPIE) >> 4
        if to != M:
            status &= ~MSTATUS_MPRV
        self._set_mstatus((status | MSTATUS_MPIE) & ~(3 << 11))
        self.pc = self.csrs.get(MEPC, 0)
        self._enter(to)

    def _enter(self, mode: int) -> None:
        if mode != self.mode:
            self.mode = mode
            self._translations.clear()

    # Memory as instructions see it.

    def translate(self, va: int, access: str) -> int:
        """The physical address behind va for access 'r', 'w' or 'x' in the current mode.

        Trap: page fault (translation refuses) or access fault (no memory there). Sv39 with Svade:
        A and D are the software's to set (privileged manual 10.4).
        """
        key = va >> 12, access
        page = self._translations.get(key)
        if page is None:
            page = self._translations[key] = self._walk(va, access)
        return page | va & 0xFFF

    def _walk(self, va: int, access: str) -> int:
        mode, flags = self.mode, 0
        if access != "x" and self._mstatus & MSTATUS_MPRV:
            mode = self._mstatus >> 11 & 3
        if mode == M or self.satp >> 60 == 0:
            page = va & ~0xFFF
        else:
            if (va + (1 << 38) & MASK) >> 39:
                raise Trap(PAGE_FAULT[access], va)  # not sign-extended from bit 38
            table = (self.satp & (1 << 44) - 1) << 12
            for level in (2, 1, 0):
                pa = table + (va >> 12 + 9 * level & 511) * 8
                if not self.ram.contains(pa, 8):
                    raise Trap(ACCESS_FAULT[access], va)
                pte = self.ram.load(pa, 8)
                if not pte & PTE_V or pte & (PTE_R | PTE_W) == PTE_W or pte >> 54:
                    raise Trap(PAGE_FAULT[access], va)
                if pte & (PTE_R | PTE_X):
                    break
                table = pte >> 10 << 12
            else:
                raise Trap(PAGE_FAULT[access], va)
            flags = pte & 0xFF
            if flags & PTE_X and self._mstatus & MSTATUS_MXR:
                flags |= PTE_R
            user = flags & PTE_U
            reachable = (
                user if mode == U else (not user or (access != "x" and self._mstatus & MSTATUS_SUM))
            )
            needed = NEEDS[access] | PTE_A | (PTE_D if access == "w" else 0)
            low = (1 << 9 * level) - 1
            ppn = pte >> 10
            if not reachable or flags & needed != needed or ppn & low:
                raise Trap(PAGE_FAULT[access], va)
            page = (ppn | va >> 12 & low) << 12
        if not self.ram.contains(page, 4096):
            raise Trap(ACCESS_FAULT[access], va)
        return page

    def load(self, va: int, size: int) -> int:
        """The number of `size` bytes at va; misaligned is allowed and may cross a page."""
        if (va & 0xFFF) + size <= 4096:
            return self.ram.load(self.translate(va, "r"), size)
        first = 4096 - (va & 0xFFF)
        low, high = self.translate(va, "r"), self.translate(va + first & MASK, "r")
        return self.ram.load(low, first) | self.ram.load(high, size - first) << 8 * first

    def store(self, va: int, size: int, value: int) -> None:
        """Put the low `size` bytes of value at va; nothing is written if any byte faults."""
        if (va & 0xFFF) + size <= 4096:
            self.ram.store(self.translate(va, "w"), size, value)
            return
        first = 4096 - (va & 0xFFF)
        low, high = self.translate(va, "w"), self.translate(va + first & MASK, "w")
        self.ram.store(low, first, value)
        self.ram.store(high, size - first, value >> 8 * first)

    def sfence_vma(self, va: int | None = None, asid: int | None = None) -> None:
        """Forget translations: of one page, or all."""
        if va is None:
            self._translations.clear()
        else:
            for access in "rwx":
                self._translations.pop((va >> 12, access), None)
        for tell in self.fences:
            tell(va, asid)

    def fence_i(self) -> None:
        """Make stores visible to fetches. Stores to code are always seen here; engines may care."""
        for tell in self.code_fences:
            tell()

    def wfi(self) -> None:
        """Wait for interrupt: a hint; the machine decides how time passes."""
