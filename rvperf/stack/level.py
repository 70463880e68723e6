"""What every model of system software is: something at a privilege level that plays by the hart's
rules.

A model is entered when the hart has delivered a trap to its level, and lets go by `sret` or `mret`.
In between it may do what software of that level may: access CSRs, make SBI calls, and let the time
of its work pass. What the hart refuses it traps, to whom the architecture says, as an instruction
of the model's would; whoever takes the trap serves it, and the model goes on behind it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable

from isa.assembly import assemble
from isa.causes import Cause
from isa.csrs import CSR_NAMES, CSR_NUMBERS
from isa.modes import VS, Mode, S
from rvperf.machine.pmu import SOURCES
from rvperf.machine.timing import CYCLES_A_TICK, cycles_of
from rvperf.machine.traps import Trap

INSTRUCTIONS, CYCLES = SOURCES.index("instructions"), SOURCES.index("cycles")
A0, A1, A6, A7 = 10, 11, 16, 17
MASK = (1 << 64) - 1
WFI = assemble("wfi")
CALL_FROM = {S: Cause.ENVIRONMENT_CALL_FROM_S, VS: Cause.ENVIRONMENT_CALL_FROM_VS}
STIMECMP, VSTIMECMP, HTIMEDELTA = (
    CSR_NUMBERS[name] for name in ("stimecmp", "vstimecmp", "htimedelta")
)
NEVER = MASK
CSR_CYCLES, CALL_CYCLES = cycles_of("csr"), cycles_of("system")


ACCESSES = ("read", "write", "swap", "set", "clear")


class Tally(Counter):
    """What models have done, by (what, mode, ...).

    (one of `ACCESSES`, mode, CSR's name) for a CSR instruction, ("trapped", mode, CSR's name) for
    one that was refused, ("call", mode, extension, function) for an SBI call, and what the levels
    note besides: ("interrupt", mode, cause) for one that is served, ("exit", mode, scause) when a
    guest has stopped in a mode, ("enter", mode) when it goes on, and ("return", mode) for a kernel
    that goes back to a program.
    """

    def accesses(self, mode: Mode) -> int:
        """How many CSR instructions there were in a mode."""
        return sum(n for key, n in self.items() if key[0] in ACCESSES and key[1] == mode)


class Level:
    """System software at one privilege level of `hart`: `mode` is M, S (HS) or VS.

    `above` serves a trap that the hart has just delivered to another, more privileged level, until
    the hart is back here. `tally` counts what was done, and may be shared.
    """

    def __init__(self, hart, mode: Mode, above: Callable[[], None] | None = None, tally=None):
        self.hart = hart
        self.mode = mode
        self.above = above
        self.tally = Tally() if tally is None else tally
        self.origin = ""
        """What it does this for, while somebody wants to know (`Hypervisor.ORIGINS`)."""
        self.runs_programs = False
        """Whether what this models includes a program, which it executes in user mode now."""
        self.on_operation: Callable[[tuple], None] | None = None
        """Told each operation as `Tally` counts it, before it is done."""

    # What software of this level does.

    def read(self, csr: int) -> int:
        """csrr. Trap if whoever serves a refused access says that there is no such CSR."""
        self._does("read", csr)
        try:
            value = self.hart.read_csr(csr)
        except Trap as trap:
            return self._refused(trap, csr, f"csrr a0, {csr:#x}", 0)
        self.hart.charge(1, CSR_CYCLES)
        return value

    def write(self, csr: int, value: int) -> None:
        """csrw."""
        self._does("write", csr)
        try:
            self.hart.write_csr(csr, value)
        except Trap as trap:
            self._refused(trap, csr, f"csrw {csr:#x}, a0", value)
            return
        self.hart.charge(1, CSR_CYCLES)

    def swap(self, csr: int, value: int) -> int:
        """csrrw: the value from before."""
        self._does("swap", csr)
        hart = self.hart
        try:
            before = hart.read_csr(csr)
            hart.write_csr(csr, value)
        except Trap as trap:
            return self._refused(trap, csr, f"csrrw a0, {csr:#x}, a0", value)
        hart.charge(1, CSR_CYCLES)
        return before

    def set(self, csr: int, bits: int) -> None:
        """csrs."""
        self._modify("set", csr, bits, lambda value: value | bits)

    def clear(self, csr: int, bits: int) -> None:
        """csrc."""
        self._modify("clear", csr, bits, lambda value: value & ~bits)

    def sequence(self, *operations: tuple[str, int, int]) -> list[int]:
        """Several CSR instructions in a row that nothing refuses: (one of `ACCESSES`, CSR, value),
        for "read" with any value. Gives what each read; the same as one by one, sooner done."""
        hart, tally, mode = self.hart, self.tally, self.mode
        if self.on_operation:
            return [self._one(*operation) for operation in operations]
        found = []
        for what, csr, value in operations:
            tally[what, mode, CSR_NAMES[csr]] += 1
            before = hart.read_csr(csr) if what != "write" else 0
            found.append(before)
            if what in ("write", "swap"):
                hart.write_csr(csr, value)
            elif what == "set":
                hart.write_csr(csr, before | value)
            elif what == "clear":
                hart.write_csr(csr, before & ~value)
        hart.charge(len(operations), CSR_CYCLES * len(operations))
        return found

    def _one(self, what: str, csr: int, value: int) -> int:
        if what == "read":
            return self.read(csr)
        return getattr(self, what)(csr, value) or 0

    def call(self, extension: int, function: int, *arguments: int) -> tuple[int, int]:
        """An SBI call: (error, value), the error as a signed number (SBI 3)."""
        hart = self.hart
        x = hart.x
        self.note("call", self.mode, extension, function)
        kept = array("Q", x[A0 : A7 + 1].tobytes())
        given = [argument & MASK for argument in arguments]
        x[A0 : A7 + 1] = array("Q", given + [0] * (8 - len(given)))
        x[A6], x[A7] = function, extension
        self._trap(Trap(CALL_FROM[self.mode]), CALL_CYCLES)
        x = self.hart.x  # it may be another hart by now
        error, value = x[A0], x[A1]
        x[A0 : A7 + 1] = kept
        return error - (1 << 64) if error >> 63 else error, value

    def moves(self, hart) -> None:
        """This goes on on another hart, whose state is put there by who moves it."""
        self.hart = hart

    def wfi(self) -> None:
        """wfi, of a guest's whose hypervisor has it trap (hstatus.VTW)."""
        self._trap(Trap(Cause.VIRTUAL_INSTRUCTION, WFI), 0)

    def charge(self, cost) -> None:
        """Let the time of a handler's work (`cost.instructions`, `cost.cycles`) pass here."""
        self.let_pass(cost.instructions, cost.cycles)

    def let_pass(
        self, instructions: int, cycles: int, between: Callable[[int], None] | None = None
    ) -> None:
        """Let work pass in this mode, interrupted where a counter overflows or a timer fires.

        `between(done)` takes the interrupts when so many instructions are done; `poll` without.
        """
        hart, done = self.hart, 0
        while instructions or cycles:
            part, time = instructions, cycles
            if hart.pmu.live:
                hart.collect()
                due = hart.pmu.due()
                share = -(-instructions * due[CYCLES] // cycles) if cycles else instructions
                part = min(instructions, due[INSTRUCTIONS], share)
                if part < instructions:
                    time = min(due[CYCLES], -(-cycles * part // instructions), cycles)
            if time > (until := self._timer()):
                part, time = min(part, -(-instructions * until // cycles)), until
            hart.charge(part, time)
            instructions, cycles, done = instructions - part, cycles - time, done + part
            if between:
                between(done)
            else:
                self.poll()
            hart = self.hart

    def _timer(self) -> int:
        """Cycles until the next timer's interrupt; one that is pending doesn't come again."""
        hart = self.hart
        words, now, soonest = hart.csrs.words, hart.cycles, NEVER
        timers = [words[STIMECMP]]
        if hart.hypervisor:
            timers.append(words[VSTIMECMP] - words[HTIMEDELTA])
        for due in timers:
            if now < due * CYCLES_A_TICK < now + soonest:
                soonest = due * CYCLES_A_TICK - now
        return soonest

    def poll(self) -> None:
        """Take what interrupt is pending and enabled, as between two instructions."""
        mode = self.hart.mode
        while self.hart.interrupt():
            if self.hart.mode == self.mode:
                self.interrupted()
            while self.hart.mode != mode:
                self.above()

    # How that traps.

    def _does(self, what: str, csr: int) -> None:
        self.note(what, self.mode, CSR_NAMES.get(csr, f"{csr:#x}"))

    def note(self, *operation) -> None:
        """Count and tell an operation."""
        self.tally[operation] += 1
        if self.on_operation:
            self.on_operation(operation)

    def _modify(self, what: str, csr: int, bits: int, change: Callable[[int], int]) -> None:
        self._does(what, csr)
        hart = self.hart
        try:
            hart.write_csr(csr, change(hart.read_csr(csr)))
        except Trap as trap:
            self._refused(trap, csr, f"csr{what[0]} {csr:#x}, a0", bits)
            return
        hart.charge(1, CSR_CYCLES)

    def _refused(self, trap: Trap, csr: int, instruction: str, value: int) -> int:
        """Trap with a CSR instruction that has `value` in a0; gives a0 afterwards."""
        self.note("trapped", self.mode, CSR_NAMES.get(csr, f"{csr:#x}"))
        x = self.hart.x
        kept, x[A0] = x[A0], value & MASK
        trap.tval = assemble(instruction)
        try:
            self._trap(trap, 0)
            return self.hart.x[A0]
        finally:
            self.hart.x[A0] = kept

    def _trap(self, trap: Trap, cycles: int) -> None:
        """Take an exception of an instruction of ours, and come back behind that instruction.

        Trap if it comes back to us as an exception instead.
        """
        hart = self.hart
        if cycles:
            hart.charge(1, cycles)
        at = hart.pc
        hart.take(trap)
        self._serve()
        hart = self.hart
        if hart.pc != at + 4 & MASK:
            hart.sret()  # it was reflected to us: leave the frame that it has
            hart.pc = at
            raise trap
        hart.pc = at

    def _serve(self) -> None:
        """A trap may have been delivered to another level: come back when it is served."""
        while self.hart.mode != self.mode:
            self.above()

    def interrupted(self) -> None:
        """An interrupt has been delivered to this level while it ran: serve it, and return by
        sret. Levels that let interrupts in while they run give this."""
        raise AssertionError(f"an interrupt in {self.mode!r}, where none is let in")
