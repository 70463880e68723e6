"""A hart: registers, privilege mode, CSRs, translation, traps, and what it has counted."""

from __future__ import annotations

import operator
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache, lru_cache

from isa import pmp, routing
from isa.causes import Cause, Interrupt
from isa.counting import PROGRAMMABLE
from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL, STANDARD
from isa.modes import VIRTUAL, VS, VU, M, Mode, S, U, virtual
from isa.num import Num, Truth, number
from isa.routing import (
    ADDRESSED,
    FRAMES,
    INTERRUPT,
    READS_TABLE,
    claim,
    enter_host,
    handler,
    renumbered,
    route,
)
from rvperf.machine.calls import Calls
from rvperf.machine.csrs import CsrFile, addresses, bits_of, configurations, place_of
from rvperf.machine.ctr import DYNAMIC, ControlTransferRecords
from rvperf.machine.executions import Executions, PageIdentity
from rvperf.machine.pmu import SOURCES, Pmu
from rvperf.machine.protection import Protection
from rvperf.machine.ram import Ram
from rvperf.machine.state import HART, NO_STOP, Block
from rvperf.machine.timing import (
    HERTZ,
    MISPREDICT_CYCLES,
    TIMEBASE_HERTZ,
    cycles_of,
    predict,
    predictor_index,
)
from rvperf.machine.transfers import TYPES, Transfer, Transfers
from rvperf.machine.traps import Trap

MASK = (1 << 64) - 1
NO_RESERVATION = MASK
MSTATUS = CSR_NUMBERS["mstatus"]
MIE, MIP = CSR_NUMBERS["mie"], CSR_NUMBERS["mip"]
MEDELEG, MIDELEG = CSR_NUMBERS["medeleg"], CSR_NUMBERS["mideleg"]
FCSR, STIMECMP = CSR_NUMBERS["fcsr"], CSR_NUMBERS["stimecmp"]
NEVER = MASK  # in stimecmp
SUM, MXR, MPRV = (bits_of("mstatus", name) for name in ("SUM", "MXR", "MPRV"))
MPP, MPP_AT, FS = bits_of("mstatus", "MPP"), place_of("mstatus", "MPP"), bits_of("mstatus", "FS")
MPV = bits_of("mstatus", "MPV")
HSTATUS, VSSTATUS = CSR_NUMBERS["hstatus"], CSR_NUMBERS["vsstatus"]
HVICTL = CSR_NUMBERS["hvictl"]
HVIP, HGEIP, HTIMEDELTA, VSTIMECMP = (
    CSR_NUMBERS[name] for name in ("hvip", "hgeip", "htimedelta", "vstimecmp")
)
VSIE, VSIP = CSR_NUMBERS["vsie"], CSR_NUMBERS["vsip"]
HEDELEG, HIDELEG = CSR_NUMBERS["hedeleg"], CSR_NUMBERS["hideleg"]
SPV, SPVP = bits_of("hstatus", "SPV"), bits_of("hstatus", "SPVP")
# Where a guest physical address, and an instruction, go with a trap to S or M.
GUEST_CSRS = {
    S: (CSR_NUMBERS["htval"], CSR_NUMBERS["htinst"]),
    M: (CSR_NUMBERS["mtval2"], CSR_NUMBERS["mtinst"]),
}
SATP_MODE, SATP_PPN = place_of("satp", "MODE"), bits_of("satp", "PPN")
# The CSRs of a mode's trap frame: epc, cause, tval, tvec.
FRAME_CSRS = {
    to: tuple(CSR_NUMBERS[name] for name in (frame.epc, frame.cause, frame.tval, frame.tvec))
    for to, frame in FRAMES.items()
}
FRM_RMM = 4
# A kernel's calls and returns ask for the same few again and again.
enter, leave = lru_cache(64)(routing.enter), lru_cache(64)(routing.leave)

PAGE_FAULT = {
    "x": Cause.INSTRUCTION_PAGE_FAULT,
    "r": Cause.LOAD_PAGE_FAULT,
    "w": Cause.STORE_PAGE_FAULT,
}
GUEST_PAGE_FAULT = {
    "x": Cause.INSTRUCTION_GUEST_PAGE_FAULT,
    "r": Cause.LOAD_GUEST_PAGE_FAULT,
    "w": Cause.STORE_GUEST_PAGE_FAULT,
}
ACCESS_FAULT = {
    "x": Cause.INSTRUCTION_ACCESS_FAULT,
    "r": Cause.LOAD_ACCESS_FAULT,
    "w": Cause.STORE_ACCESS_FAULT,
}
PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << n for n in range(8))
NEEDS = {"r": PTE_R | PTE_A, "w": PTE_W | PTE_A | PTE_D, "x": PTE_X | PTE_A}

RESERVATION, MODE, ACCESS, SATP, PC, CALLS, CALLS_BEFORE, STATE_VSATP, STATE_HGATP = (
    HART[name] // 8
    for name in (
        "reservation",
        "mode",
        "access",
        "satp",
        "pc",
        "calls",
        "calls_before",
        "vsatp",
        "hgatp",
    )
)
# What `collect` moves, as it lies in the state.
PENDING = ("instructions", "extra_cycles", "branches", "branch_misses", "loads", "stores")
INSTRUCTIONS, EXTRA_CYCLES, _, BRANCH_MISSES, _, _ = (HART[name] // 8 for name in PENDING)
NOTHING = array("Q", [0] * len(PENDING))
RETURN_LENGTH = 4  # of mret and sret
NO_STOPS = [NO_STOP] * len(SOURCES)
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
    `extensions` are names of `isa.ext.OPTIONAL`; with H there are VS and VU modes too. `counters`
    and `selectors` are for `Pmu`. `quirks` are names of `csrs.QUIRKS`. With `pmp_entries` (0 or 16)
    modes below M may access only what these entries let them. Synchronous exceptions leave as
    `Trap`; `trap()` delivers one to the mode that takes it.
    """

    def __init__(
        self,
        ram: Ram,
        extra: int = 0,
        extensions: Iterable[str] = (),
        counters: int = PROGRAMMABLE,
        selectors: Iterable[int] | None = None,
        quirks: Iterable[str] = (),
        pmp_entries: int = 0,
    ):
        extensions = frozenset(extensions)
        for name in extensions:
            missing = [other for other in (name, *OPTIONAL.get(name, ()))
                       if other not in OPTIONAL or other not in extensions]  # fmt: skip
            if missing:
                raise ValueError(f"extension {name}: there is no {missing[0]}")
        self.ram = ram
        self.extensions = extensions
        self.hypervisor = "H" in extensions
        self.state = Block(-(-(HART.size + extra) // 4096) * 4096)
        self.x = self.state.words(HART["x"], 33)
        self.f = self.state.words(HART["f"], 32)
        self._words = self.state.words(0, HART["predictor"] // 8)
        self._pending = self.state.words(HART[PENDING[0]], len(PENDING))
        self.predictor = self.state.view[HART["predictor"] : HART["predictor"] + 4096]
        self.clock = 0  # cycles collected so far; `cycles` adds what is still in the state
        modes = [mode for mode in Mode if self.hypervisor or not virtual(mode)]
        self.counts = {mode: dict.fromkeys(SOURCES, 0) for mode in modes}
        self.idle = dict.fromkeys(modes, 0)
        """The cycles that the hart has waited in each mode, beside those that it counted."""
        self.fences: list[Callable[[int | None, int | None], None]] = []
        self.code_fences: list[Callable[[], None]] = []
        # What was walked, by what it depends on beside the tables: the mode, and `access`.
        self._walked: dict[tuple[int, int], dict[tuple[int, str], int]] = defaultdict(dict)
        self.protection = Protection(ram, pmp_entries)
        self.protection_fences: list[Callable[[], None]] = []
        self.before = self.state.words(HART["before"], 33)
        self._stops = self.state.words(HART["stops"], len(SOURCES))
        self._stops[:] = array("Q", [NO_STOP] * len(SOURCES))
        self.limited = False
        """Whether there is a stop anywhere: engines then note `before`, and look."""
        self._asked: list[int] | None = None
        """The stops that were asked for, while `_stops` has those of overflows as well."""
        self.stale = False
        """Whether `arm` has to set the stops anew before instructions are executed."""
        self.overflowed = False
        """Whether a counter has overflowed; engines clear it, and return when it is set."""
        self.attentive = False
        """Whether engines return after an instruction that may change which interrupt is due, or
        waits for one; otherwise whoever runs them looks when it likes."""
        self.attention = False  # whether there was such an instruction
        self.waiting = False  # whether there was a wfi, for who asks to reset
        self.capture = None
        """The engine's way to take samples by itself, if it has one (engine.advance.Capture)."""
        self._watched: list = []
        self.reservation = None
        self.calls: Calls | None = None  # the shadow call stack, while one is kept
        self.transfers: Transfers | None = None  # control transfer records, likewise
        self.ctr: ControlTransferRecords | None = None  # those that software controls (Smctr)
        self.executions: Executions | None = None  # executions by address, likewise
        self.csrs = CsrFile(self, STANDARD | extensions, counters, quirks)
        self.pmu = Pmu(self, counters, selectors)
        self._watched = self.pmu.live
        self.mstatus = self.csrs.words[MSTATUS]
        self.mode = M
        if "Smctr" in extensions:
            self.ctr = ControlTransferRecords(self)
        self.floats_changed()

    pc = _word("pc")
    satp = _word("satp")
    vsatp = _word("vsatp")
    hgatp = _word("hgatp")
    access = _word("access")
    fp_slow = _word("fp_slow")
    frm = _word("frm")
    fflags = _word("fflags")

    @property
    def mode(self) -> int:
        """The privilege mode."""
        return self._words[MODE]

    @mode.setter
    def mode(self, mode: int) -> None:
        words = self._words
        if self.ctr:
            self.ctr.leave()
        before, words[MODE] = words[MODE], mode
        if self._watched:
            self.stale = True
        if (before ^ mode) & VIRTUAL:
            self.guest_status_changed()
        elif mode == M or before == M:
            self._access_changed()
        self._translations = self._walked[mode, words[ACCESS]]
        if self.ctr:
            self.ctr.enter()

    @property
    def context(self) -> tuple[int, int | tuple[int, int], int]:
        """What translations depend on beside the tables: mode, `space` and access."""
        words = self._words
        if words[MODE] >= VIRTUAL:
            return words[MODE], (words[STATE_VSATP], words[STATE_HGATP]), words[ACCESS]
        return words[MODE], words[SATP], words[ACCESS]

    @property
    def reservation(self) -> int | None:
        """The address that a load-reserved holds, or None.

        Traps and returns leave it alone, as a hart may (privileged manual 3.3.2): a program
        retires as many instructions with a page fault or a tick between load-reserved and
        store-conditional as without. So who switches to other code must end it, which kernels do
        by a store-conditional, and models by setting None.
        """
        value = self._words[RESERVATION]
        return None if value == NO_RESERVATION else value

    @reservation.setter
    def reservation(self, address: int | None) -> None:
        self._words[RESERVATION] = NO_RESERVATION if address is None else address

    # Counting. Native code and `retired` add to the state; `collect` moves it to the mode's ledger.

    def retired(self, kind: str, taken: bool | None = None) -> bool:
        """Count one instruction of a kind: was it mispredicted? `taken` says how a conditional
        branch went."""
        words = self._words
        for field, count in _counted(kind):
            words[field] += count
        missed = 0
        if taken is not None:
            at = predictor_index(self.pc)
            self.predictor[at], missed = PREDICTIONS[self.predictor[at]][taken]
            words[BRANCH_MISSES] += missed
        if self.executions:
            self.executions.retired(words[PC], kind, missed)
        return bool(missed)

    def collect(self) -> None:
        """Move what was counted since the last call to the current mode's counts and the clock."""
        words = self._words
        if not words[INSTRUCTIONS]:
            return
        instructions, extra, branches, misses, loads, stores = self._pending.tolist()
        cycles = instructions + extra + MISPREDICT_CYCLES * misses
        if self.limited:
            moved = instructions, cycles, branches, misses, loads, stores
            for at, count in enumerate(moved):
                if self._stops[at] != NO_STOP:
                    self._stops[at] -= min(count, self._stops[at])
            if self._asked:
                self._asked = [stop if stop == NO_STOP else max(stop - count, 0)
                               for stop, count in zip(self._asked, moved, strict=True)]  # fmt: skip
        counts = self.counts[words[MODE]]
        counts["instructions"] += instructions
        counts["cycles"] += cycles
        counts["branches"] += branches
        counts["branch-misses"] += misses
        counts["loads"] += loads
        counts["stores"] += stores
        self.clock += cycles
        self._pending[:] = NOTHING
        if self._watched:
            self._advanced((instructions, cycles, branches, misses, loads, stores))

    def uncollected(self) -> tuple[int, ...]:
        """What has happened since the last collection, by SOURCES."""
        instructions, extra, branches, misses, loads, stores = self._pending.tolist()
        cycles = instructions + extra + MISPREDICT_CYCLES * misses
        return instructions, cycles, branches, misses, loads, stores

    def stop_after(self, counts: dict[str, int]) -> None:
        """Have engines stop as soon as one of these counts, by SOURCES, has gone on so far.

        Each must be at least 1. `run` then returns early, right after the instruction that made
        it, and `before` is what the registers were before that instruction.
        """
        done = self.uncollected()
        for at, source in enumerate(SOURCES):
            more = counts.get(source)
            self._stops[at] = NO_STOP if more is None else min(done[at] + more, NO_STOP)
        self.limited = bool(counts)
        self._asked = None
        self.stale = bool(self._watched)

    def arm(self) -> None:
        """Set the stops: where counters overflow in this mode, beside those that were asked for."""
        self.stale = False
        asked = self._asked or self._stops.tolist()
        due = self.pmu.due()
        self._stops[:] = array("Q", map(min, asked, due))
        self._asked = asked if due != NO_STOPS else None
        self.limited = any(stop != NO_STOP for stop in self._stops)

    def settle(self) -> None:
        """A stop has been reached: note what has overflowed there, and look for the next."""
        if self._asked:
            self.collect()

    def _advanced(self, counts: tuple[int, ...]) -> None:
        """The current mode's counts have gone on: note what has overflowed."""
        before, self.overflowed = self.overflowed, False
        self.pmu.moved(self._words[MODE], counts)
        if self.overflowed:
            self.arm()
        self.overflowed |= before

    @property
    def waits_for_cycles(self) -> bool:
        """Whether there is a stop in cycles."""
        return self._stops[SOURCES.index("cycles")] != NO_STOP

    @property
    def stopped(self) -> bool:
        """Whether a stop has been reached."""
        return any(map(operator.le, self._stops.tolist(), self.uncollected()))

    def note_before(self) -> None:
        """Keep the registers as they are, because the next instruction may reach a stop."""
        self.before[0:32] = self.x[0:32]
        self.before[32] = self._words[PC]
        self._words[CALLS_BEFORE] = self._words[CALLS]

    def charge(self, instructions: int, cycles: int, **others: int) -> None:
        """Count what a model of system software did in the current mode, and let the time pass.

        `others` may name any further source of SOURCES, `branch_misses` for `branch-misses`. A
        counter that overflows on the way interrupts when all of it is done.
        """
        if self._words[INSTRUCTIONS]:
            self.collect()
        counts = self.counts[self._words[MODE]]
        counts["instructions"] += instructions
        counts["cycles"] += cycles
        for source, count in others.items():
            counts[source.replace("_", "-")] += count
        self.clock += cycles
        if self._watched:
            self.stale = True
            more = {source.replace("_", "-"): count for source, count in others.items()}
            more |= {"instructions": instructions, "cycles": cycles}
            self._advanced(tuple(more.get(source, 0) for source in SOURCES))
        if self.pmu.arriving:
            self.pmu.arrive()

    @property
    def cycles(self) -> int:
        """The clock, in cycles since power-on, idle time included."""
        return self.clock + self._pending_cycles

    @property
    def cycles_in_mode(self) -> int:
        """The cycles spent in the current mode."""
        return self.counts[self._words[MODE]]["cycles"] + self._pending_cycles

    @property
    def _pending_cycles(self) -> int:
        words = self._words
        return words[INSTRUCTIONS] + words[EXTRA_CYCLES] + MISPREDICT_CYCLES * words[BRANCH_MISSES]

    def idle_until(self, cycle: int) -> None:
        """Let time pass without executing, as wfi does."""
        self.collect()
        if cycle > self.clock:
            self.idle[self._words[MODE]] += cycle - self.clock
            self.clock = cycle
            if self.pmu.arriving:
                self.pmu.arrive()

    @property
    def time(self) -> int:
        """The `time` CSR: ticks of the timebase since power-on."""
        return self.cycles * TIMEBASE_HERTZ // HERTZ

    @property
    def instructions(self) -> int:
        """Instructions retired since power-on, in all modes."""
        counted = sum(counts["instructions"] for counts in self.counts.values())
        return counted + self._words[INSTRUCTIONS]

    # Recorders of control flow: off unless asked for.

    def record_calls(self, kept: int = 0) -> None:
        """Keep the shadow call stack from now on, empty at first; `kept` as `Calls` has it."""
        self.calls = Calls(self._words, kept)

    def record_transfers(self, types: Iterable[str] = TYPES, depth: int = 32) -> None:
        """Record control transfers from now on: those of some types (names of
        `transfers.TYPES`), as many as `depth` (16, 32, 64, 128 or 256)."""
        self.transfers = Transfers(self.state, self._words, types, depth)

    def record_executions(self) -> None:
        """Count executions at each address from now on. Native engines must be made, without
        regions, and kernels as well, after this."""
        self.executions = Executions()
        self.fences.append(self.executions.remapped)

    @property
    def recorded(self) -> frozenset[str]:
        """What compiled code must be made to record and count: names for the engine's `live`."""
        begun = self.transfers and not (self.ctr and not self.ctr.begun)
        types = self.transfers.types if begun else ()
        counted = self.pmu.compiled_for if self.pmu.overflows else ()
        changing = begun and (self.ctr or self.transfers.varies)
        others = (("calls", self.calls), (DYNAMIC, changing))
        return frozenset((*types, *counted, *(name for name, kept in others if kept)))

    def call_stack(self, limit: int = 127, before: bool = False) -> list[int]:
        """The return addresses of the calls under way, innermost first; none if not recorded.

        `before`: as they were before the instruction that reached a stop, as `before` has the
        registers.
        """
        return self.calls.return_addresses(limit, before) if self.calls else []

    def call_records(self, depth: int, before: bool = False) -> list[tuple[int, int]]:
        """(from, to) of the calls under way that a call stack of `depth` entries in hardware would
        still have, innermost first. It has to be what `record_calls` was told to be `kept`."""
        return self.calls.records(depth, before) if self.calls else []

    def branch_records(self) -> list[Transfer]:
        """The last control transfers, newest first; none if they are not recorded."""
        return self.transfers.newest_first() if self.transfers else []

    def executed(self, owner: object = None) -> list[tuple[PageIdentity, dict[str, array]]]:
        """For each page of code what it holds, and each of SOURCES by halfword, exactly. There is
        more than one for a page whose code has changed; none if executions are not recorded.
        `owner` as in `Executions`."""
        if not self.executions:
            return []
        pages = self.executions.collect(owner)
        return [(page.identity, page.counts(COUNTED_BY_KIND_NAMES)) for page in pages]

    # CSRs.

    def read_csr(self, number: int) -> int:
        """The CSR's value as an instruction of the current mode reads it. Trap if it may not."""
        mode, csrs = self._words[MODE], self.csrs
        if number in csrs.plain[mode]:
            return csrs.words[number]
        csrs.permit(number, mode, write=False)
        return csrs.value_in(number, mode)

    def write_csr(self, number: int, value: int) -> None:
        """Write as an instruction of the current mode would; illegal fields keep legal values."""
        mode, csrs = self._words[MODE], self.csrs
        mask = csrs.plain_writes[mode].get(number)
        if mask is not None:
            words = csrs.words
            words[number] = words[number] & ~mask | value & mask
            return
        csrs.permit(number, mode, write=True)
        csrs.write(csrs.seen(number, mode), value)

    def csr_value(self, number: int) -> int:
        """The CSR's value, whoever asks."""
        return self.csrs.value(number)

    def set_csr(self, number: int, value: int) -> None:
        """Set the CSR, whoever asks; illegal fields keep legal values here too."""
        self.csrs.write(number, value)

    def set_mstatus(self, value: int) -> None:
        """Put a legal value into mstatus, and know what follows for memory and floating point."""
        changed = self.mstatus ^ value
        self.mstatus = value
        if changed & (SUM | MXR | MPRV | MPP | MPV):
            self._access_changed()
        if changed & FS:
            self.floats_changed()

    def guest_status_changed(self) -> None:
        """Know what follows from V and vsstatus for memory and floating point."""
        self._access_changed()
        self.floats_changed()

    def _access_changed(self) -> None:
        """Put together what decides, beside the mode, whose memory may be accessed and how.

        In VS and VU it is SUM and MXR of vsstatus, and mstatus.MXR one bit above its place. With
        MPV, vsstatus counts as well, and is shifted out of mstatus' way.
        """
        words, status = self._words, self.mstatus
        if words[MODE] >= VIRTUAL:
            access = self.csrs.words[VSSTATUS] & (SUM | MXR) | (status & MXR) << 1
        else:
            access = status & (SUM | MXR | MPRV)
            if words[MODE] == M and not access & MPRV:
                access = 0  # nothing is translated
            if access & MPRV:
                access |= status & MPP
                if status & MPV and status & MPP != MPP:
                    access |= MPV | (self.csrs.words[VSSTATUS] & (SUM | MXR)) << 24
        words[ACCESS] = access
        if self.protection.stale and (words[MODE] != M or access & MPRV):
            self._protect()
        self._translations = self._walked[words[MODE], access]

    def protection_changed(self) -> None:
        """Know what follows from the CSRs of PMP."""
        self.protection.stale = True
        words = self._words
        if words[MODE] != M or words[ACCESS] & MPRV or pmp.locked(configurations(self.csrs)):
            self._protect()

    def _protect(self) -> None:
        """Have pages protected as PMP says now."""
        if self.protection.apply(configurations(self.csrs), addresses(self.csrs)):
            self.forget_translations()
            for tell in self.protection_fences:
                tell()

    def floats_changed(self) -> None:
        """Decide anew whether native code may execute floating point."""
        self.fp_slow = not self.floats_on or self.frm >= FRM_RMM

    @property
    def floats_on(self) -> bool:
        """Whether floating point is on: in VS and VU vsstatus.FS must be on as well (8.2.11)."""
        if not self.mstatus & FS:
            return False
        return self._words[MODE] < VIRTUAL or bool(self.csrs.words[VSSTATUS] & FS)

    @property
    def fcsr(self) -> int:
        """frm and fflags as the fcsr shows them."""
        return self.csr_value(FCSR)

    @fcsr.setter
    def fcsr(self, value: int) -> None:
        self.set_csr(FCSR, value)

    # Traps and interrupts.

    def trap(self, cause: int, tval: int = 0, interrupt: bool = False) -> None:
        """Deliver a trap at pc to the mode that delegation names (privileged manual 3.1.8)."""
        state, words = self._words, self.csrs.words
        mode, further = state[MODE], ()
        if self.hypervisor:
            further = words[HEDELEG], words[HIDELEG]
        to = route(cause, interrupt, mode, words[MEDELEG], words[MIDELEG], *further)
        if interrupt and to == VS:
            cause = renumbered(cause)
        self._deliver(to, cause, tval, interrupt)

    def take(self, trap: Trap) -> None:
        """Deliver an exception to the mode that delegation names."""
        if not self.hypervisor:
            self.trap(trap.cause, trap.tval)
            return
        words, mode = self.csrs.words, self._words[MODE]
        delegation = words[MEDELEG], words[MIDELEG], words[HEDELEG], words[HIDELEG]
        to = route(trap.cause, False, mode, *delegation)
        self._deliver(to, trap.cause, trap.tval, False, trap)

    def _deliver(
        self, to: int, cause: int, tval: int, interrupt: bool, trap: Trap | None = None
    ) -> None:
        """Put a trap into the CSRs of the mode that takes it, and go on there (8.6)."""
        self.collect()
        state, words = self._words, self.csrs.words
        mode = state[MODE]
        epc, code, value, tvec = FRAME_CSRS[to]
        words[epc] = state[PC]
        words[code] = cause | (INTERRUPT if interrupt else 0)
        words[value] = tval
        if not self.hypervisor:
            self.set_mstatus(enter(to, mode, self.mstatus))
        elif to == VS:
            words[VSSTATUS] = enter(VS, mode, words[VSSTATUS])
        else:
            guest = trap.guest if trap else None
            if guest is None:
                guest = mode >= VIRTUAL and not interrupt and cause in ADDRESSED
            self.set_mstatus(enter(to, mode, self.mstatus, guest))
            if to == S:
                words[HSTATUS] = enter_host(mode, words[HSTATUS], guest)
            address, instruction = GUEST_CSRS[to]
            words[address] = trap.gpa >> 2 if trap else 0
            words[instruction] = trap.tinst if trap else 0
        state[PC] = handler(words[tvec], cause, interrupt)
        if self.ctr:
            self.ctr.trapped(mode, to, words[epc], cause, interrupt)
        self.mode = to

    def sret(self) -> None:
        """Return from a trap taken in S-mode, or in VS-mode while V=1."""
        self._return(VS if self._words[MODE] >= VIRTUAL else S)

    def mret(self) -> None:
        """Return from a trap taken in M-mode."""
        self._return(M)

    def _return(self, of: Mode) -> None:
        if self._words[INSTRUCTIONS]:
            self.collect()
        words = self.csrs.words
        if not self.hypervisor or of == M:
            to, status = leave(of, self.mstatus)
            self.set_mstatus(status)
        elif of == VS:
            to, words[VSSTATUS] = leave(VS, words[VSSTATUS])
            self.set_mstatus(self.mstatus & ~MPRV)
        else:
            to, status = leave(S, self.mstatus, bool(words[HSTATUS] & SPV))
            words[HSTATUS] &= ~SPV
            self.set_mstatus(status)
        source, self._words[PC] = self._words[PC], words[FRAME_CSRS[of][0]]
        if self.ctr:
            # The instruction is complete, and pc behind it.
            self.ctr.returned(self._words[MODE], to, source - RETURN_LENGTH & MASK)
        self.mode = to
        self.attention = True

    def pending_interrupt(self) -> Interrupt | None:
        """The interrupt that would be taken now: pending, enabled, and of the highest priority.

        One for VS-mode by the number that it sees.
        """
        words = self.csrs.words
        if not words[MIP] and self._nothing_else_pending(words):
            return None  # the usual case, found quickly
        found = self._claimed()
        return found and found[1]

    def _nothing_else_pending(self, words) -> bool:
        """Whether certainly no interrupt but those in the word of mip is pending."""
        if words[STIMECMP] == NEVER and not self.hypervisor:
            return True
        now = self.time
        if now >= words[STIMECMP]:
            return False
        if not self.hypervisor:
            return True
        guests = words[HVIP] | words[HGEIP] | words.get(HVICTL, 0)
        return not guests and now + words[HTIMEDELTA] & MASK < words[VSTIMECMP]

    def _claimed(self) -> tuple[Mode, Interrupt] | None:
        """The interrupt that would be taken now, behind the mode that takes it."""
        words, mode = self.csrs.words, self._words[MODE]
        if not self.hypervisor:
            return claim(mode, self.mstatus, self.csrs.value(MIP), words[MIE], words[MIDELEG])
        value = self.csrs.value
        guest = value(VSIP) & value(VSIE) if mode >= VIRTUAL else 0
        enables = words[MIE], words[MIDELEG], words[HIDELEG], words[VSSTATUS]
        return claim(mode, self.mstatus, value(MIP), *enables, guest, words.get(HVICTL, 0))

    def interrupt(self) -> bool:
        """Take the pending interrupt, if there is one: was there?"""
        words = self.csrs.words
        if not words[MIP] and self._nothing_else_pending(words):
            return False
        found = self._claimed()
        if found is None:
            return False
        to, which = found
        self._deliver(to, which, 0, True)
        return True

    # Memory as instructions see it.

    def translate(self, va: int, access: str) -> int:
        """The physical address behind va for access 'r', 'w' or 'x' in the current mode.

        Trap: page fault (translation refuses) or access fault (no memory there). Sv39 with Svade:
        A and D are the software's to set (privileged manual 10.4). What was found holds until
        satp is written or an sfence.vma covers it.
        """
        key = va >> 12, access
        page = self._translations.get(key)
        if page is None:
            page = self._translations[key] = self._walk(va, access)
        return page | va & 0xFFF

    def _walk(self, va: int, access: str) -> int:
        mode, status = self.mode, self.mstatus
        if mode < VIRTUAL and access != "x" and status & MPRV:
            mode = (status & MPP) >> MPP_AT
            if status & MPV and mode != M:
                mode |= VIRTUAL
        if mode >= VIRTUAL:
            return self._walk_guest(va, access, mode)
        if mode == M or not self.satp >> SATP_MODE:
            page = va & ~0xFFF
        else:
            page = self._walk_tables(va, access, mode)
        if not self.ram.contains(page, 4096) or self.protection.denies(page, access, mode):
            raise Trap(ACCESS_FAULT[access], va)
        return page

    def _walk_tables(self, va: int, access: str, mode: int) -> int:
        """The page behind va in the tables of satp, for an access as in `mode` (U or S)."""
        refused = Trap(PAGE_FAULT[access], va)
        if (va + (1 << 38) & MASK) >> 39:
            raise refused  # not sign-extended from bit 38
        status = self.mstatus
        return self._look_up(
            va,
            (self.satp & SATP_PPN) << 12,
            NEEDS[access],
            bool(status & MXR),
            mode == U or bool(access != "x" and status & SUM),
            mode == S,
            refused,
            Trap(ACCESS_FAULT[access], va),
        )

    def _look_up(
        self,
        va: int,
        table: int,
        needed: int,
        executable_is_readable: bool,
        user: bool,
        supervisor: bool,
        refused: Trap,
        missing: Trap,
        top: int = 511,
        place: Callable[[int], int] | None = None,
    ) -> int:
        """The page behind va in the tables at `table`: the algorithm of Sv39 (10.3.2), Svade.

        Pages with U must be `user`'s, others `supervisor`'s. `top` are the index's bits at the
        root, and `place` turns the address of an entry into a physical one, for VS-stage tables.
        """
        ram, denied = self.ram, self.protection.denied
        for level in (2, 1, 0):
            pa = table + (va >> 12 + 9 * level & (top if level == 2 else 511)) * 8
            if place:
                pa = place(pa)
            # Tables are read as by S-mode, whoever the access is of.
            if not ram.contains(pa, 8) or denied[pa - ram.base >> 12] & pmp.R:
                raise missing
            pte = ram.words[pa - ram.base >> 3]
            if not pte & PTE_V or pte & (PTE_R | PTE_W) == PTE_W or pte >> 54:
                raise refused
            if pte & (PTE_R | PTE_X):
                break
            table = pte >> 10 << 12
        else:
            raise refused
        flags = pte
        if flags & PTE_X and executable_is_readable:
            flags |= PTE_R
        offset = (1 << 9 * level) - 1  # of the page in its superpage
        ppn = pte >> 10
        reachable = user if flags & PTE_U else supervisor
        if not reachable or flags & needed != needed or ppn & offset:
            raise refused
        return (ppn | va >> 12 & offset) << 12

    def _walk_guest(self, va: int, access: str, mode: int, execute: bool = False) -> int:
        """The page behind a guest's va for an access as in `mode` (VU or VS), by two stages (8.5).

        The guest's tables lead to guest physical addresses, and so do the addresses of their
        entries; hgatp's tables lead from there to memory. With `execute` an access 'r' needs what
        is executable rather than readable, as HLVX does.
        """
        words, status = self.csrs.words, self.mstatus
        vsatp, guest = self.vsatp, words[VSSTATUS]
        needed = PTE_X | PTE_A if execute else NEEDS[access]
        missing = Trap(ACCESS_FAULT[access], va, guest=True)
        readable = bool(status & MXR)  # for both stages; vsstatus.MXR is for the first alone
        both = readable and not execute
        page = va & ~0xFFF
        if vsatp >> SATP_MODE:
            refused = Trap(PAGE_FAULT[access], va, guest=True)
            if (va + (1 << 38) & MASK) >> 39:
                raise refused

            def place(gpa: int) -> int:
                fault = Trap(GUEST_PAGE_FAULT[access], va, gpa, READS_TABLE, guest=True)
                # An entry is read as by a load, whatever it is read for.
                return self._walk_host(gpa, NEEDS["r"], readable, fault, missing) | gpa & 0xFFF

            page = self._look_up(
                va,
                (vsatp & SATP_PPN) << 12,
                needed,
                both or (bool(guest & MXR) and not execute),
                mode == VU or bool(access != "x" and guest & SUM),
                mode == VS,
                refused,
                missing,
                place=place,
            )
        gpa = page | va & 0xFFF
        fault = Trap(GUEST_PAGE_FAULT[access], va, gpa, guest=True)
        page = self._walk_host(gpa, needed, both, fault, missing)
        # HLVX, too, needs what PMP lets it read.
        if not self.ram.contains(page, 4096) or self.protection.denies(page, access, mode):
            raise missing
        return page

    def _walk_host(
        self, gpa: int, needed: int, executable_is_readable: bool, refused: Trap, missing: Trap
    ) -> int:
        """The page behind a guest physical address, by hgatp: Sv39x4, always as U-mode (8.5.1)."""
        hgatp = self.hgatp
        if not hgatp >> SATP_MODE:
            return gpa & ~0xFFF
        if gpa >> 41:
            raise refused
        root = (hgatp & SATP_PPN) << 12
        return self._look_up(
            gpa, root, needed, executable_is_readable, True, False, refused, missing, top=2047
        )

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

    # What HLV and HSV do: as the guest would in the mode of hstatus.SPVP (8.3).

    def guest_load(self, va: int, size: int, execute: bool = False) -> int:
        """As `load`, of a guest; `execute`: what it may execute rather than read."""
        if self.protection.stale:
            self._protect()
        mode = VS if self.csrs.words[HSTATUS] & SPVP else VU
        first = min(size, 4096 - (va & 0xFFF))
        page = self._walk_guest(va, "r", mode, execute)
        low = self.ram.load(page | va & 0xFFF, first)
        if first == size:
            return low
        page = self._walk_guest(va + first & MASK, "r", mode, execute)
        return low | self.ram.load(page, size - first) << 8 * first

    def guest_store(self, va: int, size: int, value: int) -> None:
        """As `store`, of a guest."""
        if self.protection.stale:
            self._protect()
        mode = VS if self.csrs.words[HSTATUS] & SPVP else VU
        first = min(size, 4096 - (va & 0xFFF))
        page = self._walk_guest(va, "w", mode)
        if first < size:
            high = self._walk_guest(va + first & MASK, "w", mode)
            self.ram.store(high, size - first, value >> 8 * first)
        self.ram.store(page | va & 0xFFF, first, value)

    def hfence_gvma(self) -> None:
        """Forget all translations: guest physical addresses are not told apart."""
        self.sfence_vma()

    def sfence_vma(self, va: int | None = None, asid: int | None = None) -> None:
        """Forget translations: of one page, or all. ASIDs are not told apart."""
        if va is None:
            self.forget_translations()
        else:
            for walked in self._walked.values():
                for access in "rwx":
                    walked.pop((va >> 12, access), None)
        for tell in self.fences:
            tell(va, asid)

    def forget_translations(self) -> None:
        """Forget what was walked, in all modes."""
        for walked in self._walked.values():
            walked.clear()

    def fence_i(self) -> None:
        """Make stores visible to fetches. Stores to code are always seen here; engines may care."""
        for tell in self.code_fences:
            tell()

    def wfi(self) -> None:
        """Wait for interrupt: a hint; the machine decides how time passes."""
        self.waiting = self.attention = True
