"""Tier 0: the native interpreter. Every instruction of the table becomes one function.

A function does its instruction and ends in a tail call through the next decoded entry, with the
state pointer, the entry, pc and the remaining budget in registers. Entries are filled on first
execution by a native decoder made from the same rows. Whatever is rare leaves to Python.
"""

from __future__ import annotations

from isa import pmp
from isa.modes import VIRTUAL, M
from isa.record import Record
from isa.spec import Insn, Table
from rvperf.engine import layout
from rvperf.engine.layout import (
    ENGINE,
    ENTRY,
    ENTRY_1,
    ENTRY_2,
    ENTRY_3,
    ENTRY_D,
    ENTRY_IMM,
)
from rvperf.engine.lower import (
    ATTRIBUTES,
    HOST_DEFAULT,
    NATIVE_CSRS,
    Native,
    function_text,
    needs_floats,
)
from rvperf.engine.recording import (
    cycle_now,
    pop_call,
    push_call,
    record_transfer,
    start_clock,
)
from rvperf.engine.ssa import (
    LIKELY,
    METADATA,
    UNLIKELY,
    Code,
    Ssa,
    SsaBit,
    in_state,
    text_of,
    typed,
)
from rvperf.machine import transfers
from rvperf.machine.hart import COUNTED_BY_KIND_NAMES
from rvperf.machine.state import HART, SINK
from rvperf.machine.timing import MISPREDICT_CYCLES, PREDICTOR_MASK, cycles_of, predict

CONVENTION = "preserve_nonecc"
PARAMETERS = "ptr %state, ptr %entry, i64 %pc, i64 %budget"
SIGNATURE = f"hidden {CONVENTION} i64 @{{name}}({PARAMETERS})"
SLOTS = {"rd": ENTRY_D, "fd": ENTRY_D, "rs1": ENTRY_1, "fs1": ENTRY_1, "rs2": ENTRY_2}
SLOTS |= {"fs2": ENTRY_2, "rs3": ENTRY_3, "fs3": ENTRY_3}
IMMEDIATES = ("imm", "uimm", "shamt", "rm", "uimm5")
# Handlers before those of instructions, in the table's order.
SPECIAL = ("undecoded", "reader", "call", "enter_region", "crossing", "resync", "resume")
MOST_STEPS = 64  # that `look_further` goes each way
ATOMIC = ("amo", "load-reserved", "store-conditional")
# Bits of a page table entry that an access needs besides V and A. W without R is reserved.
PTE_R, PTE_W = 1 << 1, 1 << 2
LOAD_NEEDS, STORE_NEEDS, FETCH_NEEDS = PTE_R, PTE_R | PTE_W | 1 << 7, 1 << 3
PMP_NEEDS = {LOAD_NEEDS: pmp.R, STORE_NEEDS: pmp.W, FETCH_NEEDS: pmp.X}
# `walk` in VS and VU: the page, plus 1, or 0 (rvperf.engine.guests).
GUEST_WALK_CALL = "call preserve_allcc i64 @guest_walk(ptr %state, i64 {va}, i64 {needed})"
PTE_POINTER = 0b111 | 1023 << 54  # V, R and W, and what is reserved: only V is set in a pointer


class Handler(Record):
    """A function of tier 0: for an instruction of a length, of which some operand may be fixed."""

    name: str
    insn: Insn | None = None
    length: int = 0
    csr: int | None = None


def handlers(table: Table) -> list[Handler]:
    """Tier 0's functions in the order of their indices."""
    found = [Handler(name) for name in SPECIAL]
    short = {insn.expands for insn in table.insns if insn.expands}
    for insn in table.insns:
        if insn.kind == "csr":
            found += [Handler(f"{insn.name}/{csr}", insn, 4, csr) for csr in NATIVE_CSRS]
        elif insn.body and insn.native:
            found.append(Handler(f"{insn.name}/4", insn, 4))
            if insn.name in short:
                found.append(Handler(f"{insn.name}/2", insn, 2))
    return found


class Interpreted(Native):
    """`m` in a function of tier 0: registers lie in the state."""

    def __init__(self, name: str):
        super().__init__(Code(name))
        self.pc = Ssa(self.code, "%pc")
        self.budget = Ssa(self.code, "%budget")
        self.length = 4
        self.kind = ""
        self.mispredicted = None  # a word, 1 if the branch in hand was
        self.counts_executions = False

    def text(self) -> str:
        return function_text(self.code, SIGNATURE.format(name=f'"{self.code.name}"'))

    # Ways out. Each ends the block.

    def tail(self, function: str, entry: str = "%entry", pc=None, budget=None) -> None:
        """Go on in another function: a name with its sigil."""
        pc = (self.pc if pc is None else pc).text
        budget = (self.budget if budget is None else budget).text
        self.code.put(
            f"%r{self.code.fresh()} = musttail call {CONVENTION} i64 {function}"
            f"(ptr %state, ptr {entry}, i64 {pc}, i64 {budget})"
        )
        self.code.put(f"ret i64 {self.code.lines[-1].split()[0]}")

    def leave(self, reason: int, pc=None, budget=None) -> None:
        """Return to Python."""
        code = self.code
        code.store(self.field("pc"), self.pc if pc is None else pc)
        code.store(self.field("budget"), self.budget if budget is None else budget)
        code.put(f"ret i64 {reason}")

    def give_up(self) -> None:
        self.tail("@reader")

    def missed(self, addr, access) -> None:
        self.code.store(self.field("miss"), addr)
        name = "@missed_load" if access == layout.TLB_LOAD else "@missed_store"
        self.tail(f"{name}_atomic" if self.kind in ATOMIC else name)

    def unless_budget_is_spent(self) -> None:
        """Leave here if no further instruction may retire."""
        code = self.code
        spent, on = code.fresh("spent"), code.fresh("on")
        code.branch(self.budget.slt(1), spent, on, UNLIKELY)
        code.start(spent)
        self.tail("@spent")
        code.start(on)

    # The instruction in hand.

    def operand(self, name: str) -> Ssa:
        """The value of a body's parameter."""
        code = self.code
        if name == "pc":
            return self.pc
        if name == "next_pc":
            return self.pc + self.length
        if name == "csr":
            return Ssa(code, self.csr)
        if name.endswith("_n"):
            # A native CSR is read and written at no cost: as if no register were x0.
            return 1
        if name in IMMEDIATES:
            value = code.value(f"load i32, ptr {code.address('%entry', ENTRY_IMM)}, align 4")
            return Ssa(code, code.value(f"sext i32 {value} to i64"))
        return code.load(self.register(name))

    def register(self, name: str) -> str:
        """A pointer to the register that an operand names."""
        code = self.code
        number = code.load(code.address("%entry", SLOTS[name]), 8)
        file = HART["f" if name.startswith("f") else "x"]
        return code.address("%state", number.shl(3) + file)

    def jump(self, target, when=None) -> None:
        code = self.code
        if when is None:
            self.jumped = target if isinstance(target, Ssa) else Ssa(code, target)
            return
        self.predict(when)
        taken, on = code.fresh("taken"), code.fresh("on")
        code.branch(when, taken, on)
        code.start(taken)
        self.arrive(target)
        code.start(on)

    def predict(self, when) -> None:
        """Let the branch predictor see how the branch at pc went."""
        code = self.code
        index = self.pc.shr(1) & PREDICTOR_MASK
        pointer = code.address(self.field("predictor"), index)
        counter, missed = predict(code.load(pointer, 8), when)
        code.store(pointer, counter, 8)
        self.mispredicted = missed.word()
        self.bump("branch_misses", self.mispredicted)

    def count(self) -> Ssa:
        """Count the instruction by its kind; that it is one, the budget says: what is left of it.

        A budget of cycles loses those beyond the first as well.
        """
        budget = self.budget - 1
        if extra := cycles_of(self.kind) - 1:
            self.bump("extra_cycles", extra)
            budget = budget - (self.read_field("unit") & extra)
        if self.mispredicted is not None:
            budget = budget - (self.read_field("unit") & self.mispredicted * MISPREDICT_CYCLES)
        for field in COUNTED_BY_KIND_NAMES.get(self.kind, ()):
            self.bump(field, 1)
        if self.counts_executions:
            self.count_at(layout.PAGE_EXECUTIONS, 1)
            if self.mispredicted is not None:
                self.count_at(layout.PAGE_MISSES, self.mispredicted)
        return budget

    def count_at(self, counters: int, by) -> None:
        """Add to the counter of the instruction in hand among some in its decoded page."""
        code = self.code
        # Entries are twice as far apart as counters are.
        pointer = code.address("%entry", Ssa(code, counters) - (self.pc & 0xFFE).shl(2))
        code.store(pointer, code.load(pointer) + by)

    def arrive(self, target) -> None:
        """Retire a jump and go on at target; backward jumps, calls and the like count as heat."""
        code = self.code
        budget = self.count()
        record_arrival(self, target, budget)
        entry_of, miss = code.fresh("known"), code.fresh("unknown")
        slot = fetch_slot(self, target)
        tag = code.load(code.address(slot, layout.FETCH_TAG))
        code.branch(tag == (target & ~0xFFF), entry_of, miss, LIKELY)
        code.start(miss)
        self.tail("@resync", pc=target, budget=budget)
        code.start(entry_of)
        page = code.value(f"load ptr, ptr {code.address(slot, layout.FETCH_DECODED)}, align 8")
        heat, on = code.fresh("heat"), code.fresh("go")
        if self.kind == "branch":
            code.branch(target.ult(self.pc), heat, on)
        else:
            code.goto(heat)
        code.start(heat)
        warm(self, page, target, budget)
        code.goto(on)
        code.start(on)
        dispatch(self, page, target, budget)


def fetch_slot(m: Interpreted, pc) -> str:
    """A pointer to the entry of the fetch TLB that pc may have."""
    offset = pc.shr(7) & ((layout.FETCH_ENTRIES - 1) * layout.FETCH_ENTRY)
    return m.code.address(m.field("fetch"), offset)


def warm(m: Interpreted, page: str, pc, budget) -> None:
    """Count a jump to pc; leave once, when it becomes hot."""
    code = m.code
    pointer = code.address(page, (pc & 0xFFE) + layout.PAGE_JUMPS)
    jumps = code.value(f"load i16, ptr {pointer}, align 2")
    more = code.call("i16", "llvm.uadd.sat.i16", f"i16 {jumps}", "i16 1")
    code.put(f"store i16 {more}, ptr {pointer}, align 2")
    threshold = code.value(f"load i16, ptr {m.field('threshold')}, align 8")
    hot, on = code.fresh("hot"), code.fresh("on")
    reached = SsaBit(code, code.value(f"icmp eq i16 {more}, {threshold}"))
    code.branch(reached, hot, on, UNLIKELY)
    code.start(hot)
    m.leave(layout.HOT, pc=pc, budget=budget)
    code.start(on)


def dispatch(m: Interpreted, page: str, pc, budget) -> None:
    """Go on at pc, whose page is decoded at `page`."""
    code = m.code
    entry = code.address(page, (pc & 0xFFE).shl(3))
    function = code.value(f"load ptr, ptr {entry}, align 8")
    m.tail(function, entry, pc, budget)


def instruction(handler: Handler, counting: bool) -> Interpreted:
    """The function of one instruction, which also counts executions if `counting`."""
    insn, length = handler.insn, handler.length
    m = Interpreted(handler.name)
    m.counts_executions = counting
    code = m.code
    m.length, m.kind, m.jumped = length, insn.kind, None
    m.csr = handler.csr
    m.unless_budget_is_spent()
    if needs_floats(insn.kind):
        slow, on = code.fresh("slow"), code.fresh("on")
        code.branch(m.read_field("fp_slow") != 0, slow, on, UNLIKELY)
        code.start(slow)
        m.give_up()
        code.start(on)
    given = {name: m if name == "m" else m.operand(name) for name in insn.parameters}
    value = insn.body(**given)
    if m.kind in ("jump", "jump-register"):
        record_call(m)
    if value is not None and insn.writes:
        pointer = m.register(insn.writes)
        if isinstance(value, Ssa) and value.double is not None:
            code.put(f"store double {value.double}, ptr {pointer}, align 8")
        else:
            code.store(pointer, value)
    if m.jumped is not None:
        m.arrive(m.jumped)
        return m
    budget = m.count()
    entry = code.address("%entry", length * (ENTRY // 2))
    function = code.value(f"load ptr, ptr {entry}, align 8")
    m.tail(function, entry, m.pc + length, budget)
    return m


def record_call(m: Interpreted) -> None:
    """Keep the shadow call stack, if there is one, at the jump in hand."""
    code = m.code
    kept, done = code.fresh("kept"), code.fresh("done")
    code.branch(m.read_field("calls") == 0, done, kept, LIKELY)
    code.start(kept)
    rd, rs1 = (code.load(code.address("%entry", SLOTS[name]), 8) for name in ("rd", "rs1"))
    to_link, from_link = ((number & ~4) == 1 for number in (rd, rs1))  # x1 or x5
    call, other = code.fresh("call"), code.fresh("other")
    code.branch(to_link, call, other)
    code.start(call)
    if m.kind == "jump-register":
        both, alone = code.fresh("both"), code.fresh("alone")
        code.branch(from_link & (rd != rs1), both, alone, UNLIKELY)
        code.start(both)
        m.give_up()  # the coroutine's hint is rare
        code.start(alone)
    stack_pointer = code.load(code.address("%state", HART["x"] + 8 * 2))
    push_call(m, m.pc, m.pc + m.length, m.jumped, stack_pointer)
    code.goto(done)
    code.start(other)
    if m.kind == "jump-register":
        back = code.fresh("back")
        code.branch(from_link, back, done)
        code.start(back)
        pop_call(m, m.jumped)
    code.goto(done)
    code.start(done)


def record_arrival(m: Interpreted, target, budget) -> None:
    """Record the transfer in hand, which is complete, if its type is recorded."""
    code = m.code
    some, wanted, done = code.fresh("some"), code.fresh("wanted"), code.fresh("done")
    types = m.read_field("transfers")
    code.branch(types == 0, done, some, LIKELY)
    code.start(some)
    mispredicted = 0
    if m.kind == "branch":
        type_, mispredicted = Ssa(code, transfers.TAKEN_BRANCH), m.mispredicted
    else:
        type_ = transfer_type(m)
    code.branch(types.shr(type_) & 1 == 0, done, wanted)
    code.start(wanted)
    cycle = cycle_now(m, budget, m.read_field("unit"))
    record_transfer(m, type_, m.pc, target, mispredicted, cycle)
    code.goto(done)
    code.start(done)


def transfer_type(m: Interpreted) -> Ssa:
    """The type of the jump in hand, as `transfers.type_of` gives it."""
    code = m.code
    rd = code.load(code.address("%entry", SLOTS["rd"]), 8)
    calls, links = (rd & ~4) == 1, rd != SINK
    if m.kind == "jump":
        other = links.apply(
            "select", links, transfers.OTHER_DIRECT_JUMP, Ssa(code, transfers.DIRECT_JUMP)
        )
        return calls.apply("select", calls, transfers.DIRECT_CALL, other)
    rs1 = code.load(code.address("%entry", SLOTS["rs1"]), 8)
    from_link = (rs1 & ~4) == 1
    swaps = from_link & (rd != rs1)
    other = links.apply(
        "select", links, transfers.OTHER_INDIRECT_JUMP, Ssa(code, transfers.INDIRECT_JUMP)
    )
    back = from_link.apply("select", from_link, transfers.RETURN, other)
    call = swaps.apply("select", swaps, transfers.COROUTINE_SWAP, transfers.INDIRECT_CALL)
    return calls.apply("select", calls, call, back)


# What is not an instruction.


def leaving(name: str, reason: int) -> Interpreted:
    """Return to Python for a reason."""
    m = Interpreted(name)
    m.leave(reason)
    return m


def walk(m: Interpreted, va, needed: int) -> tuple[Ssa, Ssa]:
    """Translate va in the current mode by Sv39, or as it is without translation: (ok, page).

    `ok` is not 0 if it succeeded. `needed` are the PTE bits that the access asks for. What
    depends on SUM, MXR or MPRV is left to Python; for a fetch nothing does. VS and VU have two
    stages (rvperf.engine.guests).
    """
    code = m.code
    done, failed, bare = code.fresh("done"), code.fresh("failed"), code.fresh("bare")
    paged, checked = code.fresh("paged"), code.fresh("checked")
    satp, mode = m.read_field("satp"), m.read_field("mode")
    if needed != FETCH_NEEDS:
        code.branch(m.read_field("access") != 0, failed, checked, UNLIKELY)
        code.start(checked)
    guest, host = code.fresh("guest"), code.fresh("host")
    code.branch(mode.ult(VIRTUAL), host, guest, LIKELY)
    code.start(guest)
    found = Ssa(code, code.value(GUEST_WALK_CALL.format(va=text_of(va), needed=needed)))
    guest_page, guest_block = found & ~1, code.block
    code.branch(found != 0, f"{done}.in", failed, LIKELY)
    code.start(host)
    code.branch((satp.shr(60) == 0) | (mode == 3), bare, paged, UNLIKELY)

    code.start(paged)
    table_first = satp.shl(20).shr(8)  # the PPN, times the size of a page
    canonical = code.fresh("canonical")
    code.branch(va.sext(39) == va, canonical, failed, LIKELY)
    code.start(canonical)
    table = table_first
    leaves = []
    for level in (2, 1, 0):
        at = table + (va.shr(12 + 9 * level) & 511).shl(3)
        pointer = physical(m, at, failed, pmp.R)
        pte = code.load(pointer)
        leaf, inner = code.fresh("leaf"), code.fresh("inner")
        code.branch((pte & 0b1010) != 0, leaf, inner, LIKELY if level == 0 else "")
        code.start(leaf)
        user = mode == 0
        wanted = needed | 0x41  # A and V
        asked = (pte & (wanted | 0x10)) == (user.word().shl(4) | wanted)
        ppn = pte.shl(10).shr(20)
        low = (1 << 9 * level) - 1
        good = asked & (ppn & low == 0) & (pte.shr(54) == 0)
        if not needed & PTE_R:
            good = good & (pte & (PTE_R | PTE_W) != PTE_W)  # reserved
        page = (ppn | va.shr(12) & low).shl(12)
        leaves.append((page, good, code.block))
        code.goto(f"{done}.pte")
        code.start(inner)
        valid = code.fresh("valid")
        code.branch((pte & PTE_POINTER) == 1, valid, failed, LIKELY)
        code.start(valid)
        table = pte.shl(10).shr(20).shl(12)
    code.goto(failed)

    code.start(f"{done}.pte")
    pages = ", ".join(f"[ {page.text}, %{block} ]" for page, _, block in leaves)
    goods = ", ".join(f"[ {good.ref}, %{block} ]" for _, good, block in leaves)
    page = code.value(f"phi i64 {pages}")
    good = code.value(f"phi i1 {goods}")
    code.branch(SsaBit(code, good), f"{done}.in", failed, LIKELY)
    code.start(bare)
    identity = va & ~0xFFF
    code.goto(f"{done}.in")
    code.start(f"{done}.in")
    pages = f"[ {page}, %{done}.pte ], [ {identity.text}, %{bare} ]"
    page = Ssa(code, code.value(f"phi i64 {pages}, [ {guest_page.text}, %{guest_block} ]"))
    of_mode = (mode == M).word() * pmp.OF_M_AT
    physical(m, page, failed, Ssa(code, PMP_NEEDS[needed]).shl(of_mode))
    code.goto(done)
    code.start(failed)
    code.goto(f"{done}.end")
    code.start(done)
    code.goto(f"{done}.end")
    code.start(f"{done}.end")
    ok = code.value(f"phi i64 [ 1, %{done} ], [ 0, %{failed} ]")
    out = code.value(f"phi i64 [ {page.text}, %{done} ], [ 0, %{failed} ]")
    return Ssa(code, ok), Ssa(code, out)


def physical(m: Interpreted, pa, otherwise: str, needed) -> str:
    """A pointer to the RAM at pa; goes to a block if there is none, or if PMP denies any of what is
    `needed`, bits as `isa.pmp.denied` has them."""
    code = m.code
    offset = pa - m.read_field("ram_base")
    inside = code.fresh("ram")
    code.branch(offset.ult(m.read_field("ram_size")), inside, otherwise, LIKELY)
    code.start(inside)
    allowed = code.fresh("allowed")
    pages = code.value(f"load ptr, ptr {m.field('denied')}, align 8")
    denied = code.load(code.address(pages, offset.shr(12)), 8)
    code.branch((denied & needed) == 0, allowed, otherwise, LIKELY)
    code.start(allowed)
    ram = code.value(f"load ptr, ptr {m.field('ram')}, align 8")
    return code.address(ram, offset)


def missed(name: str, access: int, needed: int, unmapped: int) -> Interpreted:
    """Fill the TLB for the access at `miss` and do the instruction again, or leave it to Python.

    The reason to leave is `unmapped` if there is no translation for the access.
    """
    m = Interpreted(name)
    code = m.code
    va = m.read_field("miss")
    offset = va.shr(7) & ((layout.TLB_ENTRIES - 1) * layout.TLB_ENTRY)
    slot = code.address(m.field("tlb"), offset)
    reader, fill, plain = code.fresh("reader"), code.fresh("fill"), code.fresh("plain")
    fault = code.fresh("fault")
    # A mapping that is there already: the access is misaligned, and Python's.
    there = code.load(code.address(slot, access)) == (va & ~0xFFF)
    code.branch(there, reader, fill, UNLIKELY)
    code.start(reader)
    m.give_up()
    code.start(fill)
    ok, page = walk(m, va, needed)
    code.branch(ok != 0, plain, fault, LIKELY)
    code.start(fault)
    m.leave(unmapped)
    code.start(plain)
    index = (page - m.read_field("ram_base")).shr(12)
    if access == layout.TLB_STORE:
        # Stores to pages with decoded instructions always go through Python.
        flags = code.value(f"load ptr, ptr {m.field('code')}, align 8")
        clean = code.fresh("clean")
        code.branch(code.load(code.address(flags, index), 8) == 0, clean, reader, LIKELY)
        code.start(clean)
        stored = code.value(f"load ptr, ptr {m.field('stored')}, align 8")
        code.store(code.address(stored, index), 1, 8)
    ram = code.value(f"load i64, ptr {m.field('ram')}, align 8")
    host = Ssa(code, ram) + index.shl(12)
    # The entry may hold another page for the other kind of access: drop that first.
    other = layout.TLB_STORE if access == layout.TLB_LOAD else layout.TLB_LOAD
    kept = code.load(code.address(slot, other))
    keeps = kept == (va & ~0xFFF)
    code.store(code.address(slot, other), keeps.apply("select", keeps, kept, layout.NO_TAG))
    code.store(code.address(slot, layout.TLB_ADDEND), host - (va & ~0xFFF))
    # Extents as well; where the page stays the same, this only makes them shorter.
    code.store(code.address(m.field("extents"), offset.shr(2)), 0)
    code.store(code.address(slot, access), va & ~0xFFF)
    function = code.value("load ptr, ptr %entry, align 8")
    m.tail(function)
    return m


def from_region(name: str) -> Interpreted:
    """`void name()`, that regions call in mid-instruction: it preserves all registers."""
    m = Interpreted(name)
    m.code.put(f"%state = load ptr, {in_state(ENGINE['self'])}, align 8")
    return m


def from_region_text(m: Interpreted) -> str:
    m.code.put("ret void")
    return function_text(m.code, f"hidden preserve_allcc void @{m.code.name}()")


def page_entry(m: Interpreted, page: Ssa, access: int, extent: int) -> tuple[str, str, SsaBit]:
    """A page's entry in the TLB, its extent there, and whether it is mapped for the access."""
    code = m.code
    index = page.shr(12) & (layout.TLB_ENTRIES - 1)
    entry = code.address(m.field("tlb"), index * layout.TLB_ENTRY)
    mapped = code.load(code.address(entry, access)) == page
    return entry, code.address(m.field("extents"), index * layout.EXTENT + extent), mapped


def refill(name: str, access: int, extent: int) -> str:
    """`void refill()`: open a window for the bytes that are wanted from `miss` on.

    What is wanted becomes 0; it stays what it was if not all of the bytes lie in one extent.
    """
    m = from_region(name)
    code = m.code
    va, wanted = m.read_field("miss"), m.read_field("wanted")
    page = va & ~0xFFF
    entry, known, mapped = page_entry(m, page, access, extent)
    found, lost, look, on = (code.fresh(label) for label in ("found", "lost", "look", "on"))
    code.branch(mapped, found, lost, LIKELY)
    code.start(lost)
    code.put("ret void")
    code.start(found)
    # Looking further takes longer than the rest, and is seldom of use where much is known already.
    refills = m.read_field("refills") + 1
    code.store(m.field("refills"), refills)
    code.branch((code.load(known, 32) == 0) | (refills & 15 == 0), look, on)
    code.start(look)
    code.put(f"call preserve_allcc void @look_further_{name}()")
    code.goto(on)
    code.start(on)
    before, after = code.load(known, 16), code.load(code.address(known, 2), 16)
    first = page - before.shl(12)
    size = (before + after + 1).shl(12)
    window = code.address(m.field("windows"), wanted & 0xFFFFFFFF)
    code.store(code.address(window, layout.WINDOW_LOW), first)
    code.store(code.address(window, layout.WINDOW_ROOM), size - 7)
    code.store(code.address(window, layout.WINDOW_NEAR), size - (layout.NEAR - 1))
    addend = code.load(code.address(entry, layout.TLB_ADDEND))
    code.store(code.address(window, layout.WINDOW_ADDEND), addend)
    outside = size.ult(va - first + wanted.shr(32))
    code.store(m.field("wanted"), outside.apply("select", outside, wanted, 0))
    return from_region_text(m)


def look_further(name: str, access: int, extent: int) -> str:
    """`void look_further()`: see how far the extent of the page at `miss` goes, which is mapped."""
    m = from_region(name)
    code = m.code
    for local in ("first", "last", "steps"):
        code.put(f"%{local} = alloca i64, align 8")
    page = m.read_field("miss") & ~0xFFF
    entry, known, _ = page_entry(m, page, access, extent)
    addend = code.load(code.address(entry, layout.TLB_ADDEND))
    code.store("%first", page - code.load(known, 16).shl(12))
    code.store("%last", page + code.load(code.address(known, 2), 16).shl(12))
    for end, way in (("%first", -1), ("%last", 1)):
        look, longer, done = code.fresh("look"), code.fresh("longer"), code.fresh("done")
        more = code.fresh("more")
        code.store("%steps", MOST_STEPS)
        code.goto(look)
        code.start(look)
        left = code.load("%steps") - 1
        code.store("%steps", left)
        code.branch(left == 0, done, more, UNLIKELY)
        code.start(more)
        next_page = code.load(end) + way * 4096
        entry, beyond, mapped = page_entry(m, next_page, access, extent)
        same = code.load(code.address(entry, layout.TLB_ADDEND)) == addend
        code.branch(mapped & same, longer, done)
        code.start(longer)
        further = code.load(code.address(beyond, 1 + way), 16).shl(12)
        code.store(end, next_page + (further if way > 0 else 0 - further))
        code.goto(look)
        code.start(done)
    first, last = code.load("%first"), code.load("%last")
    for at, pages in ((0, (page - first).shr(12)), (2, (last - page).shr(12))):
        most = Ssa(code, 0xFFFF).ult(pages)
        code.store(code.address(known, at), most.apply("select", most, 0xFFFF, pages), 16)
    return from_region_text(m)


def resync(name: str, in_region: bool) -> Interpreted:
    """Go on at pc from anywhere: find its page's decoded entries, filling the fetch TLB.

    With `in_region` a compiled region may be entered, and arriving counts as heat; without, one
    instruction is interpreted first, so that whoever could not do it gets past it.
    """
    m = Interpreted(name)
    code = m.code
    pc = m.pc
    slot = fetch_slot(m, pc)
    found, search = code.fresh("found"), code.fresh("search")
    tag = code.load(code.address(slot, layout.FETCH_TAG))
    code.branch(tag == (pc & ~0xFFF), found, search, LIKELY)
    code.start(search)
    ok, page = walk(m, pc, FETCH_NEEDS)
    mapped, fetch, ready = code.fresh("mapped"), code.fresh("fetch"), code.fresh("ready")
    code.branch(ok != 0, mapped, fetch, LIKELY)
    code.start(mapped)
    index = (page - m.read_field("ram_base")).shr(12)
    pages = code.value(f"load ptr, ptr {m.field('decoded')}, align 8")
    decoded = code.load(code.address(pages, index.shl(3)))
    code.branch(decoded != 0, ready, fetch, LIKELY)
    code.start(fetch)
    m.leave(layout.FETCH)
    code.start(ready)
    ram = code.value(f"load i64, ptr {m.field('ram')}, align 8")
    code.store(code.address(slot, layout.FETCH_BYTES), Ssa(code, ram) + index.shl(12))
    code.store(code.address(slot, layout.FETCH_DECODED), decoded)
    code.store(code.address(slot, layout.FETCH_TAG), pc & ~0xFFF)
    code.goto(found)
    code.start(found)
    page = code.value(f"load ptr, ptr {code.address(slot, layout.FETCH_DECODED)}, align 8")
    if in_region:
        warm(m, page, pc, m.budget)
        dispatch(m, page, pc, m.budget)
        return m
    original(m, page)
    return m


def original(m: Interpreted, page: str) -> None:
    """Interpret the instruction at pc, whether or not a region starts there."""
    code, pc = m.code, m.pc
    index = code.load(code.address(page, (pc & 0xFFE) + layout.PAGE_HANDLERS), 16)
    table = code.value(f"load ptr, ptr {m.field('handlers')}, align 8")
    function = code.value(f"load ptr, ptr {code.address(table, index.shl(3))}, align 8")
    m.tail(function, code.address(page, (pc & 0xFFE).shl(3)))


def page_of_entry(m: Interpreted) -> str:
    """The decoded page that %entry lies in."""
    return m.code.address("%entry", 0 - (m.pc & 0xFFE).shl(3))


def enter_region(name: str) -> Interpreted:
    """What an entry calls where a region starts: the region, or Python if it is not in the jump
    cache of this address space."""
    m = Interpreted(name)
    code = m.code
    hit, miss = code.fresh("hit"), code.fresh("miss")
    function = jump_cache(m, m.pc, hit, miss)
    code.start(hit)
    m.tail(function)
    code.start(miss)
    m.leave(layout.HOT)
    return m


def jump_cache(m: Native, pc, hit: str, miss: str) -> str:
    """Look pc up in the jump cache: goes to `hit` with the function returned, or to `miss`."""
    code = m.code
    cache = code.value(f"load ptr, {typed(m.field('jumps'))}, align 8")
    slot = code.address(cache, pc.shl(3) & ((layout.JUMP_ENTRIES - 1) * layout.JUMP_ENTRY))
    function = code.value(f"load ptr, ptr {code.address(slot, 8)}, align 8")
    code.branch(code.load(slot) == pc, hit, miss, LIKELY)
    return function


def undecoded(name: str, crossing: bool, counting: bool = False) -> Interpreted:
    """Read the instruction at pc and set its entry, then execute it.

    An instruction that crosses into the next page is read anew each time (`crossing`), because the
    next page has a life of its own: its entry goes on leading here.
    """
    m = Interpreted(name)
    code, pc = m.code, m.pc
    slot = fetch_slot(m, pc)
    known, lost = code.fresh("known"), code.fresh("lost")
    tag = code.load(code.address(slot, layout.FETCH_TAG))
    code.branch(tag == (pc & ~0xFFF), known, lost, LIKELY)
    code.start(lost)
    m.tail("@resync" if not crossing else "@resume")
    code.start(known)
    bytes_ = code.value(f"load ptr, ptr {code.address(slot, layout.FETCH_BYTES)}, align 8")
    here = code.address(bytes_, pc & 0xFFE)
    low = code.load(here, 16)
    if crossing:
        ok, page = walk(m, pc + 2, FETCH_NEEDS)
        mapped, unmapped = code.fresh("mapped"), code.fresh("unmapped")
        code.branch(ok != 0, mapped, unmapped, LIKELY)
        code.start(unmapped)
        m.give_up()
        code.start(mapped)
        index = page - m.read_field("ram_base")
        ram = code.value(f"load ptr, ptr {m.field('ram')}, align 8")
        high = code.load(code.address(ram, index), 16)
        leads_here = code.load("%entry")
        handler = decode_call(m, low | high.shl(16), "%entry")
        function = code.value("load ptr, ptr %entry, align 8")
        code.store("%entry", leads_here)
        if counting:
            count_crossing(m, handler)
        m.tail(function)
        return m
    short, long, word = code.fresh("short"), code.fresh("long"), code.fresh("word")
    code.branch((low & 3) == 3, long, short)
    code.start(long)
    whole, crosses = code.fresh("whole"), code.fresh("crosses")
    code.branch((pc & 0xFFE) == 0xFFE, crosses, whole, UNLIKELY)
    code.start(crosses)
    table = code.value(f"load ptr, ptr {m.field('handlers')}, align 8")
    function = code.load(code.address(table, 8 * SPECIAL.index("crossing")))
    code.store("%entry", function)
    remember(m, Ssa(code, SPECIAL.index("crossing")))
    m.tail("@crossing")
    code.start(whole)
    full = low | code.load(code.address(here, 2), 16).shl(16)
    code.goto(word)
    code.start(short)
    code.goto(word)
    code.start(word)
    bits = code.value(f"phi i64 [ {full.text}, %{whole} ], [ {low.text}, %{short} ]")
    remember(m, decode_call(m, Ssa(code, bits), "%entry"))
    function = code.value("load ptr, ptr %entry, align 8")
    m.tail(function)
    return m


def count_crossing(m: Interpreted, handler: Ssa) -> None:
    """Note what is counted for an instruction that crosses into the next page. Should that change,
    the Python reader executes and counts it."""
    code = m.code
    at = code.address(page_of_entry(m), layout.PAGE_CROSSING)
    noted = code.load(at, 16)
    new, changed, same = code.fresh("new"), code.fresh("changed"), code.fresh("same")
    code.branch((noted == 0) | (noted == handler), new, changed, LIKELY)
    code.start(changed)
    m.give_up()
    code.start(new)
    code.store(at, handler, 16)
    code.goto(same)
    code.start(same)


def remember(m: Interpreted, index: Ssa) -> None:
    """Note which handler the entry in hand has."""
    code = m.code
    at = code.address(page_of_entry(m), (m.pc & 0xFFE) + layout.PAGE_HANDLERS)
    code.store(at, index, 16)


def decode_call(m: Interpreted, word: Ssa, entry: str) -> Ssa:
    """Decode a word into an entry; the index of its handler."""
    code = m.code
    table = code.value(f"load ptr, ptr {m.field('handlers')}, align 8")
    index = code.value(f"call i64 @decode(i64 {word.text}, ptr {entry}, ptr {table})")
    return Ssa(code, index)


def decoder(table: Table) -> str:
    """The native decoder: `i64 @decode(word, entry, handlers)`, from the rows of the table."""
    code = Code("decode")
    word = Ssa(code, "%word")
    index_of = {
        (handler.insn.name, handler.length, handler.csr): index
        for index, handler in enumerate(handlers(table))
        if handler.insn
    }
    results = []

    def fill(function_index: int, fields: dict) -> None:
        for name, value in fields.items():
            if name in SLOTS:
                if name == "rd":
                    zero = value == 0
                    value = zero.apply("select", zero, SINK, value)
                code.store(code.address("%entry", SLOTS[name]), value, 8)
            elif name in IMMEDIATES:
                low = code.value(f"trunc i64 {value.text} to i32")
                code.put(f"store i32 {low}, ptr {code.address('%entry', ENTRY_IMM)}, align 4")
        results.append(f"[ {function_index}, %{code.block} ]")
        code.goto("done")

    def value_of(field) -> Ssa:
        value = Ssa(code, 0)
        for piece in field.pieces:
            part = word.shr(piece.at) & ((1 << piece.width) - 1)
            value = value | part.shl(piece.to)
        if field.name.endswith("'"):
            return value + 8
        return value.sext(field.width) if field.signed else value

    lengths = {2: 0xE003, 4: 0x7F}
    for length, group in lengths.items():
        code.start(f"length{length}") if length == 4 else None
        if length == 2:
            code.branch((word & 3) == 3, "length4", "length2", "")
            code.start("length2")
        members: dict[int, list[Insn]] = {}
        ordered = sorted(table.insns, key=lambda insn: -insn.mask.bit_count())
        for insn in ordered:
            if insn.length == length:
                members.setdefault(insn.match & group, []).append(insn)
        cases = " ".join(f"i64 {key}, label %g{length}_{key}" for key in members)
        code.put(f"switch i64 {(word & group).text}, label %illegal [ {cases} ]")
        for key, insns in members.items():
            code.start(f"g{length}_{key}")
            for insn in insns:
                matches = (word & insn.mask) == insn.match
                for name, values in insn.unless.items():
                    for value in values:
                        matches = matches & (value_of(insn.fields[name]) != value)
                yes, no = code.fresh("is"), code.fresh("not")
                code.branch(matches, yes, no)
                code.start(yes)
                meant = table[insn.expands] if insn.expands else insn
                values = {name: value_of(field) for name, field in insn.fields.items()}
                if insn.expands:
                    values = {
                        name: values[bound] if isinstance(bound, str) else Ssa(code, bound)
                        for name, bound in insn.operands.items()
                    }
                if meant.kind == "csr":
                    for csr in NATIVE_CSRS:
                        this, other = code.fresh("this"), code.fresh("other")
                        code.branch(values["csr"] == csr, this, other)
                        code.start(this)
                        fill(index_of[meant.name, length, csr], values)
                        code.start(other)
                other = SPECIAL.index("call" if meant.name == "ecall" else "reader")
                index = index_of.get((meant.name, length, None), other)
                fill(index, values)
                code.start(no)
            code.goto("illegal")
    code.start("illegal")
    results.append(f"[ {SPECIAL.index('reader')}, %illegal ]")
    code.goto("done")
    code.start("done")
    index = Ssa(code, code.value(f"phi i64 {', '.join(results)}"))
    function = code.load(code.address("%handlers", index.shl(3)))
    code.store("%entry", function)
    code.put(f"ret i64 {index.text}")
    return function_text(code, "internal i64 @decode(i64 %word, ptr %entry, ptr %handlers)")


def called_from_python(name: str, inner: str) -> Interpreted:
    """`i64 name(state)`: what Python calls to have `inner` done. Lends the guest the host's
    floating-point unit, and GS."""
    m = Interpreted(name)
    code = m.code
    # Regions reach the state by GS, which nothing else uses: arch_prctl(ARCH_SET_GS, state).
    code.put(
        'call i64 asm sideeffect "syscall", "={rax},{rax},{rdi},{rsi},~{rcx},~{r11},~{memory}"'
        "(i64 158, i64 4097, ptr %state)"
    )
    m.set_host_control(m.host_control_for(m.read_field("frm") & 3))
    result = code.value(f"call i64 @{inner}(ptr %state)")
    m.raise_flags(m.host_flags())
    m.set_host_control(HOST_DEFAULT)
    code.put(f"ret i64 {result}")
    return m


def enter() -> Interpreted:
    """`i64 enter(state)`: run from pc until the budget is spent or something is Python's."""
    m = Interpreted("enter")
    pc, budget = m.read_field("pc"), m.read_field("budget")
    start_clock(m, budget)
    result = m.code.value(
        f"call {CONVENTION} i64 @resume(ptr %state, ptr null, i64 {pc.text}, i64 {budget.text})"
    )
    m.code.put(f"ret i64 {result}")
    return m


def module(table: Table, counting: bool = False) -> str:
    """Tier 0 as an LLVM module: `run`, and the functions that `handlers` lists, by their names.

    If `counting`, executions are counted as well (rvperf.machine.executions).
    """
    listed = handlers(table)
    functions = [
        leaving("reader", layout.READER),
        leaving("spent", layout.BUDGET),
        leaving("call", layout.CALL),
        missed("missed_load", layout.TLB_LOAD, LOAD_NEEDS, layout.NO_LOAD),
        missed("missed_store", layout.TLB_STORE, STORE_NEEDS, layout.NO_STORE),
        # Atomics may raise something else first, or not access memory at all: Python knows.
        missed("missed_load_atomic", layout.TLB_LOAD, LOAD_NEEDS, layout.READER),
        missed("missed_store_atomic", layout.TLB_STORE, STORE_NEEDS, layout.READER),
        resync("resync", True),
        resync("resume", False),
        enter_region("enter_region"),
        undecoded("undecoded", False),
        undecoded("crossing", True, counting),
    ]
    functions += [instruction(handler, counting) for handler in listed if handler.insn]
    from rvperf.engine.advance import CAPTURE, approach, capture
    from rvperf.engine.guests import GUEST_WALK, HOST_WALK, guest_walk, host_walk

    declared = set()
    text = [
        decoder(table),
        function_text(host_walk().code, HOST_WALK),
        function_text(guest_walk().code, GUEST_WALK),
        function_text(capture().code, CAPTURE),
        refill("refill_load", layout.TLB_LOAD, layout.EXTENT_LOAD),
        refill("refill_store", layout.TLB_STORE, layout.EXTENT_STORE),
        look_further("look_further_refill_load", layout.TLB_LOAD, layout.EXTENT_LOAD),
        look_further("look_further_refill_store", layout.TLB_STORE, layout.EXTENT_STORE),
    ]
    for m in (enter(), approach()):
        text.append(function_text(m.code, f"internal i64 @{m.code.name}(ptr %state)"))
    for m in (called_from_python("run", "enter"), called_from_python("advance", "approach")):
        declared.update(m.code.declared)
        text.append(function_text(m.code, f"i64 @{m.code.name}(ptr %state)"))
    for m in functions:
        declared.update(m.code.declared)
        text.append(m.text())
    return "\n".join([*sorted(declared), *text, ATTRIBUTES, METADATA])
