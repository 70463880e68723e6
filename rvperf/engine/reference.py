"""The reference engine: the instruction table executed in plain Python, one instruction at a time.

It is slow and plainly right, and so the oracle of the native engine, which also leaves to it the
instructions that only the machine model can execute.
"""

from __future__ import annotations

from collections.abc import Callable

from isa import softfloat
from isa.ext import RV64GC
from isa.num import MASK, Num, Truth, number, signed
from isa.spec import Decoded, Table
from rvperf.machine.calls import hints
from rvperf.machine.hart import Hart
from rvperf.machine.transfers import type_of
from rvperf.machine.traps import Trap

U, S, M, VU, VS = 0, 1, 3, 4, 5
ILLEGAL_INSTRUCTION, BREAKPOINT, LOAD_MISALIGNED, STORE_MISALIGNED = 2, 3, 4, 6
VIRTUAL_INSTRUCTION = 22
ECALL_FROM = {U: 8, VU: 8, S: 9, VS: 10, M: 11}
MSTATUS, MENVCFG, SENVCFG, HENVCFG, HSTATUS = 0x300, 0x30A, 0x10A, 0x60A, 0x600
SCTRSTATUS = 0x14F
MSTATUS_TVM, MSTATUS_TW, MSTATUS_TSR = 1 << 20, 1 << 21, 1 << 22
HSTATUS_VTVM, HSTATUS_VTW, HSTATUS_VTSR, HSTATUS_HU = 1 << 20, 1 << 21, 1 << 22, 1 << 9
CACHE_BLOCK = 64
# The fields of menvcfg and senvcfg that let less privileged modes use a cache-block operation.
ENVCFG_CBIE, ENVCFG_CBCFE, ENVCFG_CBZE = 3 << 4, 1 << 6, 1 << 7
CACHE_BLOCK_ENABLE = {
    "inval": ENVCFG_CBIE,
    "clean": ENVCFG_CBCFE,
    "flush": ENVCFG_CBCFE,
    "zero": ENVCFG_CBZE,
}


class Effects:
    """A hart as semantic bodies see it (`isa.protocol.Machine`), acting at once.

    `word` and `next_pc` are of the instruction in hand; `taken` is how its branch went. An effect
    that must follow the instruction's retirement is left in `after`.
    """

    def __init__(self, hart: Hart):
        self.hart = hart
        self.word = 0
        self.next_pc = 0
        self.taken: bool | None = None
        self.after: Callable[[], None] | None = None

    def jump(self, target, when=None):
        if when is None:
            self.next_pc = number(target)
            return
        self.taken = when.value
        if when.value:
            self.next_pc = number(target)

    # Memory.

    def load(self, addr, size):
        return Num(self.hart.load(addr.value, size))

    def store(self, addr, size, value):
        self.hart.store(addr.value, size, number(value))

    def load_reserved(self, addr, size):
        addr = self._aligned(addr, size, LOAD_MISALIGNED)
        value = self.hart.load(addr, size)
        self.hart.reservation = addr
        return Num(value)

    def store_conditional(self, addr, size, value):
        addr = self._aligned(addr, size, STORE_MISALIGNED)
        reserved = self.hart.reservation == addr
        if reserved:
            self.hart.store(addr, size, number(value))
        self.hart.reservation = None
        return Num(not reserved)

    def amo(self, addr, size, change):
        addr = self._aligned(addr, size, STORE_MISALIGNED)
        # An AMO that may not load reports a store's exception too, so only "w" is asked for.
        pa = self.hart.translate(addr, "w")
        old = Num(self.hart.ram.load(pa, size))
        self.hart.ram.store(pa, size, number(change(old)))
        return old

    def _aligned(self, addr, size: int, cause: int) -> int:
        if addr.value % size:
            raise Trap(cause, addr.value)
        return addr.value

    def cache_block(self, addr, operation):
        enable = CACHE_BLOCK_ENABLE[operation]
        mode, csr = self.hart.mode, self.hart.csr_value
        if mode != M and not csr(MENVCFG) & enable:
            self.illegal()
        if mode >= VU and not csr(HENVCFG) & enable:
            self.refuse()
        if mode in (U, VU) and not csr(SENVCFG) & enable:
            self.refuse()
        if operation == "zero":
            pa = self.hart.translate(addr.value, "w")
            self.hart.ram.write(pa & -CACHE_BLOCK, bytes(CACHE_BLOCK))
            return
        # Memory is coherent, so nothing is left to do if the block may be accessed at all.
        try:
            self.hart.translate(addr.value, "r")
        except Trap:
            self.hart.translate(addr.value, "w")

    def fence_i(self):
        self.hart.fence_i()

    def wait_on_reservation(self, short):
        """No other hart could take the reservation away, and the wait may end for any reason."""

    # Floating point.

    def _rounding(self, rm) -> int:
        rm = number(rm)
        if rm == softfloat.DYNAMIC:
            rm = self.hart.frm
        if rm > softfloat.RMM:
            self.illegal()
        return rm

    def _accrue(self, result):
        value, flags = result
        if flags:
            self.hart.fflags |= flags
        return value

    def fadd(self, fmt, a, b, rm):
        return Num(self._accrue(softfloat.add(fmt, number(a), number(b), self._rounding(rm))))

    def fsub(self, fmt, a, b, rm):
        return Num(self._accrue(softfloat.sub(fmt, number(a), number(b), self._rounding(rm))))

    def fmul(self, fmt, a, b, rm):
        return Num(self._accrue(softfloat.mul(fmt, number(a), number(b), self._rounding(rm))))

    def fdiv(self, fmt, a, b, rm):
        return Num(self._accrue(softfloat.div(fmt, number(a), number(b), self._rounding(rm))))

    def fsqrt(self, fmt, a, rm):
        return Num(self._accrue(softfloat.sqrt(fmt, number(a), self._rounding(rm))))

    def ffma(self, fmt, a, b, c, rm):
        rm = self._rounding(rm)
        return Num(self._accrue(softfloat.fused(fmt, number(a), number(b), number(c), rm)))

    def feq(self, fmt, a, b):
        return Truth(self._accrue(softfloat.equal(fmt, number(a), number(b))))

    def flt(self, fmt, a, b):
        return Truth(self._accrue(softfloat.less(fmt, number(a), number(b))))

    def fle(self, fmt, a, b):
        return Truth(self._accrue(softfloat.less_or_equal(fmt, number(a), number(b))))

    def f_to_int(self, fmt, a, bits, signed, rm):
        rm = self._rounding(rm)
        value = self._accrue(softfloat.to_int(fmt, number(a), bits, signed, rm))
        return Num(value).sext(bits)

    def int_to_f(self, fmt, a, bits, signed, rm):
        value = _integer(number(a), bits, signed)
        return Num(self._accrue(softfloat.from_int(fmt, value, self._rounding(rm))))

    def f_to_f(self, to_fmt, from_fmt, a, rm):
        rm = self._rounding(rm)
        return Num(self._accrue(softfloat.convert(to_fmt, from_fmt, number(a), rm)))

    # What only the machine model can do.

    def read_csr(self, csr, writes=False):
        hart = self.hart
        if writes:
            # What refuses is the whole access: one that HS-mode could not make either, for it
            # would write a read-only CSR, is an illegal instruction in a guest too (8.6.1).
            hart.csrs.permit(number(csr), hart.mode, write=True)
        return Num(hart.read_csr(number(csr)))

    def write_csr(self, csr, value):
        hart, at, new = self.hart, number(csr), number(value)
        mode = hart.mode
        hart.csrs.permit(at, mode, write=True)
        at = hart.csrs.seen(at, mode)
        # A write takes effect once the instruction is complete, its own counting included
        # (unprivileged manual 6.1), so that what was written to a counter is what is read next.
        self.after = lambda: hart.set_csr(at, new)

    # By the privileged manual (3.3.1) ECALL and EBREAK do not retire. QEMU's counts, which people
    # compare with, have them, and so has a program's listing: they count as instructions here, in
    # the mode that executes them (docs/architecture.md says so).

    def ecall(self):
        self.hart.retired("system")
        raise Trap(ECALL_FROM[self.hart.mode])

    def ebreak(self):
        self.hart.retired("system")
        raise Trap(BREAKPOINT, self.hart.pc)

    def mret(self):
        if self.hart.mode != M:
            self.illegal()
        self._return(self.hart.mret)

    def sret(self):
        self._privileged(MSTATUS_TSR, HSTATUS_VTSR)
        self._return(self.hart.sret)

    def wfi(self):
        # TW bars it below M whatever V is, so that a guest's is not a virtual instruction then.
        if self.hart.mode != M and self.hart.csr_value(MSTATUS) & MSTATUS_TW:
            self.illegal()
        self._privileged(0, HSTATUS_VTW)
        self.after = self.hart.wfi

    def sfence_vma(self, va, asid, has_va, has_asid):
        self._privileged(MSTATUS_TVM, HSTATUS_VTVM)
        self.hart.sfence_vma(number(va) if has_va else None, number(asid) if has_asid else None)

    def hfence_vvma(self, va, asid, has_va, has_asid):
        self._hypervisor()
        self.hart.sfence_vma(number(va) if has_va else None, number(asid) if has_asid else None)

    def hfence_gvma(self, gpa, vmid, has_gpa, has_vmid):
        self._hypervisor(MSTATUS_TVM)
        self.hart.hfence_gvma()

    def order_invalidations(self):
        """What Svinval orders is in order already; TVM and VTVM do not bar it."""
        self._privileged(0, 0)

    def clear_transfers(self):
        """Where sctrstatus may be accessed: the manual's rules are the same."""
        self.hart.csrs.permit(SCTRSTATUS, self.hart.mode, write=True)
        self.after = self.hart.ctr.clear

    def need(self, extension):
        if extension not in self.hart.extensions:
            self.illegal()

    def guest_load(self, addr, size, execute=False):
        self._hypervisor(user=HSTATUS_HU)
        return Num(self.hart.guest_load(addr.value, size, execute))

    def guest_store(self, addr, size, value):
        self._hypervisor(user=HSTATUS_HU)
        self.hart.guest_store(addr.value, size, number(value))

    def _privileged(self, barred_by: int, guest_barred_by: int) -> None:
        """A supervisor's instruction: S-mode's unless a bit of mstatus bars it, VS-mode's unless
        one of hstatus does."""
        hart = self.hart
        mode = hart.mode
        if mode == S and hart.csr_value(MSTATUS) & barred_by:
            self.illegal()
        if mode in (U, VU) or (mode == VS and hart.csr_value(HSTATUS) & guest_barred_by):
            self.refuse()

    def _hypervisor(self, barred_by: int = 0, user: int = 0) -> None:
        """A hypervisor's instruction: of M-mode, of HS-mode unless a bit of mstatus bars it, and of
        U-mode if a bit of hstatus, `user`, lets it."""
        hart = self.hart
        mode = hart.mode
        if not hart.hypervisor or (mode == S and hart.csr_value(MSTATUS) & barred_by):
            self.illegal()
        if mode >= VU or (mode == U and not hart.csr_value(HSTATUS) & user):
            self.refuse()

    def refuse(self):
        """Raise what an instruction does that HS-mode could execute, but the mode may not."""
        if self.hart.mode < VU:
            self.illegal()
        raise Trap(VIRTUAL_INSTRUCTION, self.word)

    def _return(self, leave: Callable[[], None]) -> None:
        """Retire in the mode that executed the instruction, then leave it."""
        self.after = leave

    def illegal(self):
        """Raise illegal instruction."""
        raise Trap(ILLEGAL_INSTRUCTION, self.word)


def _integer(value: int, bits: int, is_signed: bool) -> int:
    return signed(value, bits) if is_signed else value & ((1 << bits) - 1)


class Reference:
    """Executes a hart's instructions by the definitions in `table`."""

    def __init__(self, hart: Hart, table: Table = RV64GC):
        self.hart = hart
        self.table = table
        self._effects = Effects(hart)
        self._prepared: dict[int, Callable[[int], None]] = {}

    def run(self, budget: int) -> None:
        """Execute `budget` instructions; fewer if one raises a Trap or reaches a stop, or as an
        attentive hart wants it."""
        hart, step = self.hart, self.step
        hart.overflowed = hart.attention = False
        for _ in range(budget):
            if hart.stale:
                hart.arm()
            if not hart.limited:
                step()
            else:
                hart.note_before()
                step()
                if hart.stopped:
                    hart.settle()
                    return
                if hart.overflowed:
                    return
            if hart.attentive and hart.attention:
                return

    def step(self) -> None:
        """Execute the instruction at pc. A Trap leaves the hart as it was."""
        hart = self.hart
        pc = hart.pc
        word = self._fetch(pc)
        execute = self._prepared.get(word)
        if execute is None:
            decoded = self.table.decode(word)
            if decoded is None:
                raise Trap(ILLEGAL_INSTRUCTION, word)
            execute = self._prepared[word] = self._prepare(decoded)
        execute(pc)

    def call(self) -> None:
        """Execute the ecall at pc, which whoever asks has recognised."""
        self._effects.ecall()

    def _fetch(self, pc: int) -> int:
        """The 16 or 32 bits of the instruction at pc."""
        hart = self.hart
        pa = hart.translate(pc, "x")
        if pc & 0xFFF <= 0xFFC:
            word = hart.ram.load(pa, 4)
            return word if word & 3 == 3 else word & 0xFFFF
        word = hart.ram.load(pa, 2)
        if word & 3 == 3:  # the rest lies in the next page
            word |= hart.ram.load(hart.translate(pc + 2 & MASK, "x"), 2) << 16
        return word

    def _prepare(self, decoded: Decoded) -> Callable[[int], None]:
        """A function of pc that executes the instruction; its operands are looked up once, here."""
        hart, effects = self.hart, self._effects
        insn, length, word = decoded.insn, decoded.length, decoded.word
        body, kind = insn.body, insn.kind
        readers = [self._reader(name, decoded) for name in insn.parameters]
        is_float = insn.extension in ("F", "D")
        destination = decoded.operands.get(insn.writes or "")
        registers = hart.f if insn.writes == "fd" else hart.x
        if insn.writes == "rd" and destination == 0:
            destination = None
        links, transfer = None, type_of(kind)
        if kind in ("jump", "jump-register"):
            links = decoded.operands["rd"], decoded.operands.get("rs1", 0)
            transfer = type_of(kind, *links)
            if not any(hints(*links)):
                links = None

        def execute(pc: int) -> None:
            effects.word = word
            effects.next_pc = pc + length & MASK
            effects.taken = None
            if is_float and hart.fp_slow and not hart.floats_on:
                effects.illegal()
            try:
                value = body(*[read(pc) for read in readers])
            except Trap as trap:
                if trap.cause in (ILLEGAL_INSTRUCTION, VIRTUAL_INSTRUCTION):
                    trap.tval = word
                raise
            if links and hart.calls:
                hart.calls.jumped(*links, pc, pc + length & MASK, effects.next_pc, hart.x[2])
            if destination is not None and value is not None:
                registers[destination] = number(value)
            missed = hart.retired(kind, effects.taken)
            if transfer and hart.transfers and effects.taken is not False:
                cycle = hart.cycles_in_mode
                hart.transfers.record(pc, effects.next_pc, transfer, missed, cycle)
            hart.pc = effects.next_pc
            if effects.after:
                finish, effects.after = effects.after, None
                finish()

        return execute

    def _reader(self, name: str, decoded: Decoded) -> Callable[[int], object]:
        """What gives a body's parameter, as a function of pc."""
        hart = self.hart
        if name == "m":
            return lambda pc, m=self._effects: m
        if name == "pc":
            return Num
        if name == "next_pc":
            return lambda pc, length=decoded.length: Num(pc + length)
        if name.endswith("_n"):
            return lambda pc, value=decoded.operands[name[:-2]]: value
        value = decoded.operands[name]
        if name.startswith("rs"):
            return lambda pc, x=hart.x, at=value: Num(x[at])
        if name.startswith("fs"):
            return lambda pc, f=hart.f, at=value: Num(f[at])
        constant = Num(value)
        return lambda pc: constant
