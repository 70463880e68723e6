"""Tier 1: a region of hot code becomes one native function.

A region is what control flow reaches from a hot address without an indirect jump, calls taken to
return, as far as it has been executed and the limits allow: mostly the rest of a function. It can
be entered at the hot address, where its calls return to and where its loops come round, which will
soon be hot as well. Guest registers are SSA values inside it; what loops change goes back to the
state when they are left, other changes at once. Exits look their target up in the jump cache and
tail-call the next region. Every loop checks the remaining budget, so a region retires exactly what
it may; an access that the TLB does not know, and all else that is rare, leaves to tier 0 before its
instruction.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from isa.ext import RV64GC
from isa.spec import Decoded
from rvperf.engine import layout
from rvperf.engine.interpreter import CONVENTION, IMMEDIATES, PARAMETERS, jump_cache
from rvperf.engine.layout import ENGINE
from rvperf.engine.lower import ATTRIBUTES, Native, function_text, is_native, needs_floats
from rvperf.engine.recording import cycle_now, pop_call, push_call, record_transfer
from rvperf.engine.ssa import LIKELY, METADATA, UNLIKELY, Code, Ssa, SsaBit, in_state, typed
from rvperf.machine.calls import LINKS, hints
from rvperf.machine.ctr import DYNAMIC
from rvperf.machine.hart import COUNTED_BY_KIND_NAMES
from rvperf.machine.state import HART
from rvperf.machine.timing import MISPREDICT_CYCLES, cycles_of, learn, predict, predictor_index
from rvperf.machine.transfers import TAKEN_BRANCH, TYPES, type_of

MOST_INSTRUCTIONS = 300  # of a region; compiling takes more than twice as long for twice as many
FILLED_UP = 100  # regions smaller than this are filled up with other hot addresses
GROUP_BYTES = 256  # accesses through one register that lie this close are checked together
ACCESS_BYTES = {"b": 1, "h": 2, "w": 4, "d": 8}


@dataclass
class Step:
    """One instruction of a block."""

    pc: int
    decoded: Decoded

    @property
    def next_pc(self) -> int:
        return self.pc + self.decoded.length

    def target(self) -> int | None:
        """Where a direct jump or branch goes."""
        if self.decoded.insn.kind in ("branch", "jump"):
            return self.pc + self.decoded.operands["imm"] & (1 << 64) - 1
        return None


@dataclass
class BasicBlock:
    """Instructions that run one after the other; `next` are the addresses that may follow."""

    pc: int
    steps: list[Step] = field(default_factory=list)
    next: list[int] = field(default_factory=list)
    loop: int = 0  # which loop it is in, 0 for none
    dirty: set[str] = field(default_factory=set)  # registers the state may lack on arrival
    needed: set[str] = field(default_factory=set)  # registers that must have values on arrival

    def writes(self) -> set[str]:
        """The registers that the block may change."""
        return {name for step in self.steps if (name := written(step.decoded))}

    def changed(self) -> set[str]:
        """The registers that the state may lack when the block is left."""
        return self.dirty | self.writes() if self.loop else set()


def written(decoded: Decoded) -> str | None:
    """The register that an instruction writes, as `x5` or `f5`."""
    target = decoded.insn.writes
    if target is None or target == "rd" and decoded.operands["rd"] == 0:
        return None
    return f"{'x' if target == 'rd' else 'f'}{decoded.operands[target]}"


@dataclass
class Group:
    """Accesses that lie close together: through registers whose values differ by constants known
    here. What they access, relative to the first such value, is [`first`, `end`)."""

    first: int
    end: int
    stores: bool
    pair: int  # of windows: the one for loads, or for stores if any of them is one
    checked: bool = False  # whether the code so far has made sure that all lies in the window
    addend: tuple[int, Ssa] | None = None  # what to add to their addresses, and in which block

    @property
    def window(self) -> int:
        """Which offset its window has in the state's windows."""
        return (2 * self.pair + self.stores) * layout.WINDOW


class Accesses:
    """Which group each access of a block belongs to.

    Each register's value is a constant behind a value that is `original`: a register's when the
    block is entered, or what some instruction of it computes. `before` is the block that this one
    is only entered from, if there is one: what has been checked there still holds.
    """

    def __init__(self, block: BasicBlock, windows: Windows, before: Accesses | None):
        self.at: dict[int, tuple[Group, int]] = {}  # by index of the step; where in it it is
        self.values: dict[int, tuple[object, int]] = dict(before.values) if before else {}
        self.groups: dict[object, list[Group]] = {}  # by original value
        inherited = before.groups if before else {}
        values = self.values
        for index, step in enumerate(block.steps):
            decoded = step.decoded
            insn, operands = decoded.insn, decoded.operands
            kind = insn.kind.removeprefix("fp-")
            if kind in ("load", "store"):
                rs1 = operands["rs1"]
                original, offset = values.get(rs1, (rs1, 0))
                offset += operands["imm"]
                end = offset + ACCESS_BYTES[insn.name.removeprefix("f")[1]]
                stores = kind == "store"
                for group in inherited.get(original, ()):
                    if group.first <= offset and end <= group.end and stores <= group.stores:
                        break
                else:
                    group = self._group(original, offset, end, stores, step.pc, windows)
                self.at[index] = group, offset
            if (to := written(decoded)) and to[0] == "x":
                value = (step.pc, 0)
                if insn.name == "addi":
                    rs1 = operands["rs1"]
                    original, offset = values.get(rs1, (rs1, 0))
                    value = original, offset + operands["imm"]
                elif insn.name == "add" and not operands["rs1"]:
                    value = values.get(operands["rs2"], (operands["rs2"], 0))
                values[int(to[1:])] = value
        for original, some in inherited.items():
            self.groups.setdefault(original, []).extend(some)

    def _group(self, original, offset: int, end: int, stores: bool, pc: int, windows) -> Group:
        """The group of this block that [offset, end) behind a value belongs to, made if need be."""
        for group in self.groups.setdefault(original, []):
            first, last = min(group.first, offset), max(group.end, end)
            if last - first <= GROUP_BYTES:
                group.first, group.end = first, last
                group.stores |= stores
                return group
        group = Group(offset, end, stores, windows.new(pc))
        self.groups[original].append(group)
        return group


class Windows:
    """The windows that a region uses: whichever, as long as they are not the same. Other regions
    may use them too, for the same kind of access."""

    def __init__(self):
        self.taken: set[int] = set()

    def new(self, pc: int) -> int:
        """The number of a pair of windows, for loads and for stores, for the access at pc."""
        number = pc >> 1
        while (found := number % (layout.WINDOWS // 2)) in self.taken:
            number += 1
        self.taken.add(found)
        return found


class Snapshot:
    """Code bytes by virtual page, and the handler of each halfword: 0 if it was never executed."""

    def __init__(self, pages: dict[int, tuple[bytes, bytes]]):
        self.pages = pages

    def executed(self, pc: int) -> bool:
        page = self.pages.get(pc >> 12)
        at = pc & 0xFFE
        return page is not None and page[1][at : at + 2] != b"\0\0"

    def bytes(self, start: int, end: int) -> bytes:
        """The code in [start, end), all of which is here."""
        data = b""
        while start < end:
            page_end = min((start | 0xFFF) + 1, end)
            at = start & 0xFFF
            data += self.pages[start >> 12][0][at : at + page_end - start]
            start = page_end
        return data

    def decode(self, pc: int) -> Decoded | None:
        """The instruction at pc; None if its bytes are not here or it has no native code."""
        page = self.pages.get(pc >> 12)
        if page is None:
            return None
        at = pc & 0xFFF
        data = page[0][at : at + 4]
        if len(data) < 4 and data[0] & 3 == 3:
            following = self.pages.get((pc >> 12) + 1)
            if following is None:
                return None
            data += following[0][:2]
        decoded = RV64GC.decode(int.from_bytes(data, "little"))
        return decoded if decoded and is_native(decoded.insn, decoded.operands) else None


@dataclass
class Shape:
    """A region's blocks by address, and the addresses where control comes into it: the head first,
    then where calls return to."""

    blocks: dict[int, BasicBlock]
    roots: list[int]

    @property
    def steps(self) -> list[Step]:
        return [step for block in self.blocks.values() for step in block.steps]


def explore(
    snapshot: Snapshot, head: int, also: tuple[int, ...] = (), most: int = MOST_INSTRUCTIONS
) -> Shape | None:
    """The region at head; None if there is nothing to compile.

    Breadth first, so that what the limit cuts off is what is farthest from the head. What it calls
    fills it up, then other hot addresses, `also`: the cases of a switch, which only an indirect
    jump connects.
    """
    steps: dict[int, Step] = {}
    leaders = {head}
    roots = [head]
    queue = deque(roots)
    waiting = deque(also)
    called: deque[int] = deque()
    calls: list[int] = []  # where direct calls are
    returns: list[int] = []
    switches: list[int] = []  # where other indirect jumps are
    cases = [head]
    follow: dict[int, list[int]] = {}
    while queue or called or waiting:
        if not queue:
            if len(steps) >= FILLED_UP:
                break
            if called:
                roots.append(called.popleft())
            else:
                roots.append(waiting.popleft())
                cases.append(roots[-1])
            leaders.add(roots[-1])
            queue.append(roots[-1])
        pc = queue.popleft()
        while pc not in steps and len(steps) < most:
            decoded = snapshot.decode(pc)
            if decoded is None or not snapshot.executed(pc):
                break
            step = steps[pc] = Step(pc, decoded)
            kind = decoded.insn.kind
            if kind not in ("branch", "jump", "jump-register"):
                pc = step.next_pc
                continue
            follow[pc] = []
            if kind == "branch":
                follow[pc] = [step.target(), step.next_pc]
            elif decoded.operands["rd"] in LINKS:
                roots.append(step.next_pc)
                if kind == "jump":
                    calls.append(pc)
                    called.append(step.target())
            elif kind == "jump" and decoded.operands["rd"] == 0:
                follow[pc] = [step.target()]
            elif kind == "jump-register" and decoded.operands["rd"] == 0:
                (returns if decoded.operands["rs1"] in LINKS else switches).append(pc)
            leaders.update(follow[pc], roots)
            queue.extend(follow[pc] or roots[-1:])
            break
        else:
            if pc in steps:
                leaders.add(pc)
    blocks: dict[int, BasicBlock] = {}
    for leader in sorted(leaders & steps.keys()):
        block = blocks[leader] = BasicBlock(leader)
        pc = leader
        while True:
            step = steps[pc]
            block.steps.append(step)
            if pc in follow:
                block.next = follow[pc]
                break
            pc = step.next_pc
            if pc not in steps or pc in leaders:
                block.next = [pc]
                break
    if head not in blocks:
        return None
    for block in blocks.values():
        if block.steps[-1].pc in switches and len(cases) > 1:
            block.next = [pc for pc in cases if pc in blocks]
    _connect_calls(blocks, set(calls), set(returns))
    shape = Shape(blocks, [pc for pc in dict.fromkeys(roots) if pc in blocks])
    _mark_loops(blocks)
    _mark_dirty(blocks)
    return shape


def _connect_calls(blocks: dict[int, BasicBlock], calls: set[int], returns: set[int]) -> None:
    """Let calls go to what they call, where that is in the region, and returns from there come
    back."""
    callers: dict[int, list[BasicBlock]] = {}
    for block in blocks.values():
        last = block.steps[-1]
        if last.pc in calls and last.target() in blocks:
            callers.setdefault(last.target(), []).append(block)
    for entry, some in callers.items():
        seen = {entry}
        stack = [entry]
        while stack:
            block = blocks[stack.pop()]
            last = block.steps[-1]
            following = block.next
            if last.pc in returns:
                back = [caller.steps[-1].next_pc for caller in some]
                block.next = list(dict.fromkeys([*block.next, *(b for b in back if b in blocks)]))
                continue
            if last.decoded.insn.writes == "rd" and last.decoded.operands["rd"] in LINKS:
                following = (
                    [last.next_pc] if last.decoded.insn.kind.startswith("jump") else following
                )
            new = [pc for pc in following if pc in blocks and pc not in seen]
            seen.update(new)
            stack.extend(new)
    for entry, some in callers.items():
        for block in some:
            block.next = [entry]


def _mark_loops(blocks: dict[int, BasicBlock]) -> None:
    """Number the loops: sets of blocks that can all reach each other (Tarjan's algorithm)."""
    index: dict[int, int] = {}
    lowest: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    loops = 0
    for root in blocks:
        if root in index:
            continue
        stack = [(root, iter(blocks[root].next))]
        index[root] = lowest[root] = len(index)
        path.append(root)
        on_path.add(root)
        while stack:
            pc, following = stack[-1]
            to = next((to for to in following if to in blocks), None)
            if to is None:
                stack.pop()
                if stack:
                    lowest[stack[-1][0]] = min(lowest[stack[-1][0]], lowest[pc])
                if lowest[pc] == index[pc]:
                    members = path[path.index(pc) :]
                    del path[path.index(pc) :]
                    on_path.difference_update(members)
                    if len(members) > 1 or pc in blocks[pc].next:
                        loops += 1
                        for member in members:
                            blocks[member].loop = loops
            elif to not in index:
                index[to] = lowest[to] = len(index)
                path.append(to)
                on_path.add(to)
                stack.append((to, iter(blocks[to].next)))
            elif to in on_path:
                lowest[pc] = min(lowest[pc], index[to])


def _mark_dirty(blocks: dict[int, BasicBlock]) -> None:
    """Which registers may differ from the state when a block is entered."""
    queue = list(blocks.values())
    while queue:
        block = queue.pop()
        for pc in block.next:
            following = blocks.get(pc)
            if following is None:
                continue
            inside = block.loop and block.loop == following.loop
            leaving = block.changed() if inside else set()
            if not leaving <= following.dirty:
                following.dirty |= leaving
                queue.append(following)


class Compiled(Native):
    """`m` in a region: registers are local variables, which LLVM turns into SSA values."""

    def __init__(self, name: str, shape: Shape, live: frozenset[str]):
        super().__init__(Code(name))
        self.blocks = shape.blocks
        self.roots = shape.roots
        self.exits: set[int] = set()
        self.windows = Windows()
        self.records_calls = "calls" in live
        self.recorded = {number for name, number in TYPES.items() if name in live}
        self.asks = DYNAMIC in live  # whether a type is recorded just now
        self.counted = [name for name in ("branches", "loads", "stores") if name in live]
        self.budget_of_cycles = layout.CYCLE_BUDGET in live
        self._plan()
        self._mark_needed()
        steps = shape.steps
        self.registers = sorted(
            {name for step in steps for name in (*self._reads(step.decoded), written(step.decoded))}
            - {None}
        )
        if any(cycles_of(step.decoded.insn.kind) > 1 for step in steps):
            self.counted.append("extra_cycles")
        self._function([step.decoded.insn.kind for step in steps])

    def text(self) -> str:
        signature = f'hidden {CONVENTION} i64 @"{self.code.name}"({PARAMETERS})'
        return function_text(self.code, signature)

    # Local variables.

    def _reads(self, decoded: Decoded) -> list[str]:
        """The registers that an instruction asks for: its body, and what records its calls."""
        found = reads(decoded)
        if self.records_calls and decoded.operands.get("rd") in LINKS:
            if decoded.insn.kind in ("jump", "jump-register"):
                found.append("x2")
        return found

    def _read(self, register: str) -> Ssa:
        if register == "x0":
            return Ssa(self.code, 0)
        if register[0] == "f":
            double = self.code.value(f"load double, ptr %{register}, align 8")
            return Ssa(self.code, None, double)
        return self.code.load(f"%{register}")

    def _write(self, register: str, value) -> None:
        to = [f"%{register}"]
        if not self.block.loop:
            to.append(self._saved(register))
        for pointer in to:
            if register[0] == "f":
                self.code.put(f"store double {value.double_text}, {typed(pointer)}, align 8")
            else:
                self.code.store(pointer, value)

    def _saved(self, register: str) -> str:
        """A pointer to the register in the state."""
        return in_state(HART[register[0]] + 8 * int(register[1:]))

    def field(self, name: str, index: int = 0) -> str:
        """A pointer to a field of the state, by way of GS: that leaves a register to the guest."""
        offset = HART.offsets.get(name)
        return in_state((ENGINE[name] if offset is None else offset) + 8 * index)

    def _state(self) -> str:
        """The state's address."""
        return self.code.value(f"load ptr, {self.field('self')}, align 8")

    def plain_field(self, name: str) -> str:
        return self.code.address(self._state(), ENGINE[name])

    # The function.

    def _function(self, kinds: list[str]) -> None:
        code = self.code
        code.put("%left = alloca i64, align 8")
        left = Ssa(code, "%budget") - self.most
        code.store("%left", left)
        for name in self.counted:
            code.put(f"%{name} = alloca i64, align 8")
            code.put(f"store i64 0, ptr %{name}, align 8")
        for register in self.registers:
            kind = "double" if register[0] == "f" else "i64"
            code.put(f"%{register} = alloca {kind}, align 8")
        short, enough = code.fresh("short"), code.fresh("enough")
        code.branch(left.slt(0), short, enough, UNLIKELY)
        code.start(short)
        self._resume(Ssa(code, "%pc"), Ssa(code, "%budget"))
        code.start(enough)
        if any(map(needs_floats, kinds)):
            slow, on = code.fresh("slow"), code.fresh("on")
            code.branch(self.read_field("fp_slow") != 0, slow, on, UNLIKELY)
            code.start(slow)
            self._resume(Ssa(code, "%pc"), Ssa(code, "%budget"))
            code.start(on)
        self._choose(Ssa(code, "%pc"), {pc: f"enter{pc:x}" for pc in self.entries}, "elsewhere")
        code.start("elsewhere")
        self._resume(Ssa(code, "%pc"), Ssa(code, "%budget"))
        for pc in self.entries:
            code.start(f"enter{pc:x}")
            for register in sorted(self.blocks[pc].needed):
                kind = "double" if register[0] == "f" else "i64"
                value = code.value(f"load {kind}, {self._saved(register)}, align 8")
                code.put(f"store {kind} {value}, ptr %{register}, align 8")
            code.goto(f"b{pc:x}")
        for pc in self.order:
            self._block(self.blocks[pc])
        for pc in sorted(self.exits):
            code.start(f"exit{pc:x}")
            self._leave(Ssa(code, pc))
        for pc in sorted({to for _, to in self.back}):
            code.start(f"spent{pc:x}")
            self._save(self.blocks[pc].changed())
            self._save_counts()
            self._resume(Ssa(code, pc), self._budget())

    def _budget(self) -> Ssa:
        """What may still retire, where the counts are settled."""
        # Hidden from LLVM, which would else keep this in loops rather than `%left`.
        left = self.code.load("%left").text
        hidden = self.code.value(f'call i64 asm "", "=r,0"(i64 {left})')
        return Ssa(self.code, hidden) + self.most

    def _block(self, block: BasicBlock) -> None:
        code = self.code
        code.start(f"b{block.pc:x}")
        self.block = block
        self.side = f"side{block.pc:x}"
        self.side_edges: list[tuple[int, str, Counter]] = []
        self.index = 0
        self.counts = Counter(self.carried[block.pc])
        self.jumped = self.when = None
        self.turns: set[int] = set()
        self.accesses = Accesses(block, self.windows, self.accesses_of.get(self.only.get(block.pc)))
        self.accesses_of[block.pc] = self.accesses
        for step in block.steps:
            self._step(step)
            self.counts += self._tally(step)
            self.index += 1
        last = block.steps[-1]
        if self.when is not None:
            self._branch(last, self.when)
        elif last.decoded.insn.kind == "jump-register" and block.next:
            self._switch(block)
        elif self.jumped is not None and not block.next:
            self._settle(self.counts)
            self._save(block.changed())
            self._leave(self.jumped)
        else:
            self._arrive(block.next[0])
            code.goto(self._label(block.next[0]))
            self._turns()
        if self.side_edges:
            self._side_exit(block)

    def _label(self, pc: int) -> str:
        """Where control goes from this block for pc: a block of the region, or an exit."""
        if (self.block.pc, pc) in self.back:
            self.turns.add(pc)
            return f"turn{self.block.pc:x}.{pc:x}"
        if pc in self.blocks:
            return f"b{pc:x}"
        self.exits.add(pc)
        return f"exit{pc:x}"

    def _turns(self) -> None:
        """Where loops come round from this block: settle the counts, and see if any are left."""
        code = self.code
        for pc in sorted(self.turns):
            code.start(self._label(pc))
            self._settle(self.counts)
            code.branch(code.load("%left").slt(0), f"spent{pc:x}", f"b{pc:x}", UNLIKELY)

    # Counts. What a block retires is a constant, and so is what a chain of blocks retires that are
    # only entered from one another: the sum is carried along, and settled where ways join.

    def _tally(self, step: Step) -> Counter:
        """What one instruction counts, and takes from the budget."""
        kind = step.decoded.insn.kind
        counts = Counter({"budget": 1})
        if extra := cycles_of(kind) - 1:
            counts["extra_cycles"] = extra
            if self.budget_of_cycles:
                counts["budget"] += extra
        for name in COUNTED_BY_KIND_NAMES.get(kind, ()):
            if name in self.counted:
                counts[name] = 1
        return counts

    def _most(self, step: Step) -> int:
        """The most that one instruction may take from the budget."""
        wrong = self.budget_of_cycles and step.decoded.insn.kind == "branch"
        return self._tally(step)["budget"] + (MISPREDICT_CYCLES if wrong else 0)

    def _plan(self) -> None:
        """Find out what is carried into each block, and what the budget is checked for.

        It is checked where the region is entered and where a loop comes round: for the longest
        way between two of these, so that no block between asks, and `%left` is what is left
        beyond that.
        """
        self.order = order = _depth_first(self.blocks, self.roots)
        place = {pc: n for n, pc in enumerate(order)}
        edges = [(b.pc, to) for b in self.blocks.values() for to in b.next if to in self.blocks]
        self.back = {(at, to) for at, to in edges if place[at] >= place[to]}
        entered = Counter(to for _, to in edges)
        self.entries = dict.fromkeys([*self.roots, *sorted({to for _, to in self.back})])
        self.carried = {pc: Counter() for pc in self.blocks}
        self.only = {to: at for at, to in edges if entered[to] == 1 and to not in self.entries}
        self.accesses_of: dict[int, Accesses] = {}
        need: dict[int, int] = {}
        for pc in reversed(order):
            block = self.blocks[pc]
            following = [need[to] for to in block.next if to in need and (pc, to) not in self.back]
            need[pc] = sum(map(self._most, block.steps)) + max(following, default=0)
        self.most = max(need[pc] for pc in self.entries)
        for pc in order:
            leaving = sum(map(self._tally, self.blocks[pc].steps), self.carried[pc])
            for to in self.blocks[pc].next:
                if to in self.only:
                    self.carried[to] = leaving

    def _mark_needed(self) -> None:
        """Which registers must have their values where a block starts: those that are read or saved
        from there on, before anything has written them."""
        before: dict[int, list[int]] = {}
        for block in self.blocks.values():
            for pc in block.next:
                before.setdefault(pc, []).append(block.pc)
        queue = list(self.blocks)
        while queue:
            block = self.blocks[queue.pop()]
            needed = block.changed()  # what leaving in its middle saves
            after: set[str] = set()
            for pc in block.next:
                if pc in self.blocks:
                    after |= self.blocks[pc].needed
            for step in reversed(block.steps):
                after -= {written(step.decoded)}
                after |= set(self._reads(step.decoded))
            needed |= after
            if not needed <= block.needed:
                block.needed |= needed
                queue.extend(before.get(block.pc, ()))

    def _arrive(self, pc: int) -> None:
        """On the way to pc: settle the counts, unless they are carried there, and bring the state
        up to date where a loop is left. Where one comes round, that is settled last."""
        if (self.block.pc, pc) in self.back:
            return
        if not self.carried.get(pc):
            self._settle(self.counts)
        to = self.blocks.get(pc)
        if to is None or to.loop != self.block.loop:
            self._save(self.block.changed())

    def _settle(self, counts: Counter) -> None:
        for name, count in counts.items():
            if name == "budget":
                self.code.store("%left", self.code.load("%left") - count)
            else:
                self.code.store(f"%{name}", self.code.load(f"%{name}") + count)

    def _step(self, step: Step) -> None:
        insn, operands = step.decoded.insn, step.decoded.operands
        self.pc = step.pc
        given = {}
        for name in insn.parameters:
            if name == "m":
                given[name] = self
            elif name == "pc":
                given[name] = Ssa(self.code, step.pc)
            elif name == "next_pc":
                given[name] = Ssa(self.code, step.next_pc)
            elif name.endswith("_n"):
                given[name] = operands[name[:-2]]
            elif name == "csr" or name in IMMEDIATES:
                given[name] = Ssa(self.code, operands[name] & (1 << 64) - 1)
            else:
                given[name] = self._read(f"{'f' if name[0] == 'f' else 'x'}{operands[name]}")
        value = insn.body(**given)
        if self.records_calls and insn.kind in ("jump", "jump-register"):
            self._record_call(step)
        self._record_jump(step)
        if value is not None and (register := written(step.decoded)):
            self._write(register, value)

    def _record_call(self, step: Step) -> None:
        """Keep the shadow call stack."""
        pops, pushes = hints(step.decoded.operands["rd"], step.decoded.operands.get("rs1", 0))
        if pops and pushes:
            self.give_up()  # the coroutine's hint is rare
            self.code.start(self.code.fresh("dead"))
        elif pushes:
            push_call(self, step.pc, step.next_pc, self.jumped, self._read("x2"))
        elif pops:
            pop_call(self, self.jumped)

    def _record_jump(self, step: Step) -> None:
        """Record the transfer, if it is a jump of a type that is recorded."""
        operands = step.decoded.operands
        if step.decoded.insn.kind not in ("jump", "jump-register"):
            return
        links = operands["rd"], operands.get("rs1", 0)
        type_ = type_of(step.decoded.insn.kind, *links)
        if type_ in self.recorded:
            cycle = self._cycle_after(self.counts + self._tally(step))
            record_transfer(self, type_, step.pc, self.jumped, 0, cycle, self.asks)

    def _cycle_after(self, counts: Counter) -> Ssa:
        """The mode's cycles when `counts` will have been settled."""
        left = self.code.load("%left") + (self.most - counts["budget"])
        if self.budget_of_cycles:
            return cycle_now(self, left, layout.CYCLES)
        cycle = cycle_now(self, left, 0)
        if "extra_cycles" in self.counted:
            cycle = cycle + self.code.load("%extra_cycles")
        return cycle + counts["extra_cycles"]

    def _host(self, addr, size, access, aligned=False) -> str:
        """As in tier 0, but by the window that the access's group has; filled by tier 0 if need be,
        which leaves the instruction to tier 0 if it can't."""
        code = self.code
        if self.index not in self.accesses.at:
            return super()._host(addr, size, access, aligned)
        group, offset = self.accesses.at[self.index]
        if not group.checked:
            self._check(group, addr + (group.first - offset))
        if group.addend is None or group.addend[0] != self.block.pc:
            place = ENGINE["windows"] + group.window
            addend = code.load(in_state(place + layout.WINDOW_ADDEND))
            group.addend = self.block.pc, addend
        host = addr + group.addend[1]
        return code.value(f"inttoptr i64 {host.text} to ptr")

    def _check(self, group: Group, first: Ssa) -> None:
        """Make sure that all of the group, which begins at address `first`, is in its window."""
        code = self.code
        place = ENGINE["windows"] + group.window
        size = group.end - group.first
        opened, refill = code.fresh("opened"), code.fresh("refill")
        distance = first - code.load(in_state(place + layout.WINDOW_LOW))
        room = layout.WINDOW_NEAR if 8 < size <= layout.NEAR else layout.WINDOW_ROOM
        inside = distance.ult(code.load(in_state(place + room)))
        if size > layout.NEAR:
            begins = code.fresh("begins")
            code.branch(inside, begins, refill, LIKELY)
            code.start(begins)
            inside = (distance + (size - 8)).ult(code.load(in_state(place + room)))
        code.branch(inside, opened, refill, LIKELY)
        code.start(refill)
        wanted = self.field("wanted")
        code.store(self.field("miss"), first)
        code.store(wanted, size << 32 | group.window)
        name = "refill_store" if group.stores else "refill_load"
        function = code.value(f"load ptr, {self.field(name)}, align 8")
        code.put(f"call preserve_allcc void {function}() #1")
        failed = code.fresh("failed")
        code.branch(code.load(wanted) == 0, opened, failed, LIKELY)
        code.start(failed)
        self.give_up()
        code.start(opened)
        group.checked = True

    # Ways out of an instruction.

    def _side_edge(self) -> None:
        self.side_edges.append((self.index, self.code.block, Counter(self.counts)))

    def give_up(self) -> None:
        self._side_edge()
        self.code.goto(self.side)

    def missed(self, addr, access) -> None:
        self.give_up()

    def _side_exit(self, block: BasicBlock) -> None:
        """Leave in the middle of the block: pc and counts depend on where."""
        code = self.code
        code.start(self.side)

        def merged(values) -> Ssa:
            edges = zip(values, self.side_edges, strict=True)
            joined = ", ".join(f"[ {value}, %{edge[1]} ]" for value, edge in edges)
            return Ssa(code, code.value(f"phi i64 {joined}"))

        pc = merged([block.steps[index].pc for index, _, _ in self.side_edges])
        names = sorted({name for _, _, counts in self.side_edges for name in counts})
        done = {name: merged([counts[name] for _, _, counts in self.side_edges]) for name in names}
        self._settle(done)
        self._save(block.changed())
        self._save_counts()
        self._resume(pc, self._budget())

    def _save(self, dirty: set[str]) -> None:
        """Bring registers up to date in the state."""
        for register in sorted(dirty):
            kind = "double" if register[0] == "f" else "i64"
            value = self.code.value(f"load {kind}, ptr %{register}, align 8")
            self.code.put(f"store {kind} {value}, {self._saved(register)}, align 8")

    def _save_counts(self) -> None:
        """Add what was counted to the state's counters."""
        for name in self.counted:
            pointer = self.field(name)
            self.code.store(pointer, self.code.load(pointer) + self.code.load(f"%{name}"))

    def _tail(self, function: str, pc: Ssa, budget: Ssa) -> None:
        code = self.code
        result = code.value(
            f"musttail call {CONVENTION} i64 {function}"
            f"(ptr {self._state()}, ptr %entry, i64 {pc.text}, i64 {budget.text})"
        )
        code.put(f"ret i64 {result}")

    def _resume(self, pc: Ssa, budget: Ssa) -> None:
        function = self.code.value(f"load ptr, {self.field('resume')}, align 8")
        self._tail(function, pc, budget)

    def _leave(self, pc: Ssa) -> None:
        """Go on at pc outside the region: in the next one, or in tier 0."""
        code = self.code
        self._save_counts()
        budget = self._budget()
        hit, miss = code.fresh("hit"), code.fresh("miss")
        function = jump_cache(self, pc, hit, miss)
        code.start(hit)
        self._tail(function, pc, budget)
        code.start(miss)
        resync = code.value(f"load ptr, {self.field('resync')}, align 8")
        self._tail(resync, pc, budget)

    # Jumps.

    def jump(self, target, when=None) -> None:
        if when is None:
            self.jumped = target if isinstance(target, Ssa) else Ssa(self.code, target)
        else:
            self.when = when

    def _choose(self, pc: Ssa, labels: dict[int, str], otherwise: str) -> None:
        """Go to the label that an address has. Addresses are even: halving them makes for shorter
        tables."""
        code = self.code
        distance = pc - min(labels)
        code.declared.add("declare i64 @llvm.fshr.i64(i64, i64, i64)")
        half = code.value(
            f"call i64 @llvm.fshr.i64(i64 {distance.text}, i64 {distance.text}, i64 1)"
        )
        ways = " ".join(
            f"i64 {(at - min(labels)) // 2}, label %{label}" for at, label in labels.items()
        )
        code.put(f"switch i64 {half}, label %{otherwise} [ {ways} ]")

    def _switch(self, block: BasicBlock) -> None:
        """End the block by an indirect jump that may stay in the region."""
        code = self.code
        elsewhere = code.fresh("elsewhere")
        labels = {pc: code.fresh("case") for pc in block.next}
        self._choose(self.jumped, labels, elsewhere)
        code.start(elsewhere)
        self._settle(self.counts)
        self._save(block.changed())
        self._leave(self.jumped)
        for pc, label in labels.items():
            code.start(label)
            self._arrive(pc)
            code.goto(self._label(pc))
        self._turns()

    def _branch(self, step: Step, when: SsaBit) -> None:
        """End the block by a conditional branch, and let the predictor see it."""
        code = self.code
        counter = in_state(HART["predictor"] + predictor_index(step.pc))
        taken, fallen = code.fresh("taken"), code.fresh("fallen")
        code.branch(when, taken, fallen)
        for label, way, pc in ((taken, True, step.target()), (fallen, False, step.next_pc)):
            code.start(label)
            if way and TAKEN_BRANCH in self.recorded:
                known = predict(code.load(counter, 8), SsaBit(code, way))
                missed = self._count_branch(counter, *known)
                cycle = self._cycle_after(self.counts)
                record_transfer(self, TAKEN_BRANCH, step.pc, pc, missed, cycle, self.asks)
                self._arrive(pc)
                code.goto(self._label(pc))
                continue
            self._arrive(pc)
            go = self._label(pc)
            wrong = code.fresh("learn")
            # A saturated counter that was right stays as it is, and there is nothing to count.
            code.branch(code.load(counter, 8) == (3 if way else 0), go, wrong, LIKELY)
            code.start(wrong)
            self._count_branch(counter, *learn(code.load(counter, 8), way))
            code.goto(go)
        self._turns()

    def _count_branch(self, counter: str, after: Ssa, missed: SsaBit) -> Ssa:
        """What the predictor has learnt of a branch; gives whether it was wrong, as a word."""
        code = self.code
        code.store(counter, after, 8)
        self.bump("branch_misses", missed.word())
        if self.budget_of_cycles:
            code.store("%left", code.load("%left") - missed.word() * MISPREDICT_CYCLES)
        return missed.word()


def _depth_first(blocks: dict[int, BasicBlock], roots: list[int]) -> list[int]:
    """The blocks in reverse postorder: but for ways back, each comes after those it follows."""
    order: list[int] = []
    seen: set[int] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(blocks[root].next))]
        while stack:
            pc, following = stack[-1]
            to = next((to for to in following if to in blocks and to not in seen), None)
            if to is None:
                order.append(pc)
                stack.pop()
            else:
                seen.add(to)
                stack.append((to, iter(blocks[to].next)))
    return order[::-1]


def reads(decoded: Decoded) -> list[str]:
    """The registers that an instruction's body asks for, x0 aside."""
    found = []
    for name in decoded.insn.parameters:
        number = decoded.operands.get(name)
        if name in ("rs1", "rs2", "rs3") and number:
            found.append(f"x{number}")
        elif name in ("fs1", "fs2", "fs3"):
            found.append(f"f{number}")
    return found


def region_module(name: str, shape: Shape, live: frozenset[str]) -> tuple[str, tuple[int, ...]]:
    """(the LLVM module of a region whose function is called `name`, where it can be entered)."""
    compiled = Compiled(name, shape, live)
    parts = (*sorted(compiled.code.declared), compiled.text(), ATTRIBUTES, METADATA)
    return "\n".join(parts), tuple(compiled.entries)


def exits(shape: Shape) -> set[int]:
    """Where control may go from the region by a jump whose target is known."""
    found = {pc for block in shape.blocks.values() for pc in block.next}
    found |= {step.target() for step in shape.steps if step.target() is not None}
    return found - {step.pc for step in shape.steps}


def ranges(shape: Shape) -> list[tuple[int, int]]:
    """The address ranges [start, end) that the region's code was read from."""
    found: list[tuple[int, int]] = []
    for step in sorted(shape.steps, key=lambda step: step.pc):
        if found and found[-1][1] >= step.pc:
            found[-1] = (found[-1][0], max(found[-1][1], step.next_pc))
        else:
            found.append((step.pc, step.next_pc))
    return found
