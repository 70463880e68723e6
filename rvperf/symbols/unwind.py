"""Who called whom, from registers and a stack, by call frame information (DWARF 5, section 6.4).

`unwind` gives instruction pointers as perf has them of libdw: first where the program is; then, for
each caller, the byte before the return address, which is in the call and not in what comes after
it. A frame that was interrupted by a signal, and the kernel's code that ends a signal's handler,
have their exact address.

Where perf gives up at a function without call frame information, `unwind` goes on if this is where
the program is, or where a signal interrupted it, and ra is in a mapped file: in .plt, ra is right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rvperf.symbols.dwarf import DAMAGE, MASK, number, sleb, string, uleb
from rvperf.symbols.elf import Elf

DEEPEST = 127  # PERF_MAX_STACK_DEPTH
RA, SP = 1, 2
REGISTERS = 32
SIGRETURN = bytes.fromhex("9308b00873000000")  # li a7,139; ecall
SIGNAL_REGISTERS = 128 + 176  # of rt_sigframe: siginfo, then uc_mcontext in ucontext
MOST_STEPS, DEEPEST_STACK = 1000, 100  # of one expression
MOST_ROWS = 1 << 16
ABSENT = 0xFF


class Cie(NamedTuple):
    """What several FDEs have in common."""

    code_alignment: int
    data_alignment: int
    ra: int
    signal: bool
    encoding: int
    augmented: bool
    program: bytes
    program_at: int


class Fde(NamedTuple):
    """The unwinding rules of [start, end), not yet read."""

    start: int
    end: int
    cie: Cie
    program: bytes
    program_at: int
    encoding: int


class Row(NamedTuple):
    """The rules from `start` on: how to get the CFA, and where callers' registers are.

    `cfa` is (register, offset) or (None, expression); a register's rule is a name and an operand.
    """

    start: int
    cfa: tuple | None
    rules: dict[int, tuple]


class Cfi:
    """The call frame information of a file, by virtual address."""

    def __init__(self, *elves: Elf | None):
        self.fdes: list[Fde] = []
        self._rows: dict[int, list[Row]] = {}
        for elf in elves:
            if elf:
                for name in (b".eh_frame", b".debug_frame"):
                    section = elf.section(name)
                    if section:
                        data = bytes(elf.uncompressed(section))
                        self._read(data, section.sh_addr, name == b".eh_frame")
        # Of two for one address the first that was read counts: .eh_frame is what was linked.
        self.fdes.sort(key=lambda fde: fde.start)
        self._starts = [fde.start for fde in self.fdes]

    def _read(self, data: bytes, base: int, eh: bool) -> None:
        at, cies = 0, {}
        try:
            while at + 4 <= len(data):
                start = at
                length, at, wide = number(data, at, 4), at + 4, 4
                if length == 0xFFFFFFFF:
                    length, at, wide = number(data, at, 8), at + 8, 8
                if not length:
                    if eh:
                        break
                    continue
                end = at + length
                if end > len(data):
                    break
                try:
                    self._entry(data, base, eh, start, at, end, 4 if eh else wide, cies)
                except DAMAGE:
                    pass
                at = end
        except DAMAGE:
            pass

    def _entry(self, data, base, eh, start, at, end, wide, cies) -> None:
        pointer = number(data, at, wide)
        if pointer == (0 if eh else (1 << 8 * wide) - 1):
            return
        place = at - pointer if eh else pointer
        at += wide
        cie = cies.get(place)
        if cie is None:
            cie = cies[place] = self._cie(data, base, eh, place)
        encoding = cie.encoding if eh else 0
        low, at = _pointer(data, at, encoding, base)
        size, at = _pointer(data, at, encoding & 0x0F, 0)
        if cie.augmented:
            skip, at = uleb(data, at)
            at += skip
        if low is not None and 0 < size and low + size <= MASK:
            fde = Fde(low, low + size, cie, data[at:end], base + at, encoding)
            self.fdes.append(fde)

    def _cie(self, data, base, eh, at) -> Cie:
        if at < 0:
            raise ValueError("a CIE before the section")
        length, at, wide = number(data, at, 4), at + 4, 4
        if length == 0xFFFFFFFF:
            length, at, wide = number(data, at, 8), at + 8, 8
        end = at + length
        at += 4 if eh else wide
        version, at = data[at], at + 1
        augmentation = string(data, at)
        at += len(augmentation) + 1
        if version >= 4:
            at += 2
        code, at = uleb(data, at)
        factor, at = sleb(data, at)
        if version == 1:
            ra, at = data[at], at + 1
        else:
            ra, at = uleb(data, at)
        encoding, signal, augmented = 0, False, augmentation.startswith(b"z")
        if augmented:
            size, at = uleb(data, at)
            program = at + size
            for letter in augmentation[1:]:
                if letter == ord("R"):
                    encoding, at = data[at], at + 1
                elif letter == ord("P"):
                    _, at = _pointer(data, at + 1, data[at], base)
                elif letter == ord("L"):
                    at += 1
                elif letter == ord("S"):
                    signal = True
            at = program
        return Cie(code, factor, ra, signal, encoding, augmented, data[at:end], base + at)

    def find(self, address: int) -> tuple[Fde, Row] | None:
        """The rules for an address."""
        at = bisect_right(self._starts, address) - 1
        # Ranges do not overlap but in damaged files, where the nearest start is as good as any.
        if at < 0 or address >= self.fdes[at].end:
            return None
        if at not in self._rows:
            self._rows[at] = rows_of(self.fdes[at])
        rows = self._rows[at]
        row = bisect_right([row.start for row in rows], address) - 1
        return (self.fdes[at], rows[row]) if row >= 0 else None


def _pointer(data: bytes, at: int, encoding: int, base: int) -> tuple[int | None, int]:
    """A pointer in one of .eh_frame's encodings (LSB, Core, 10.5.1)."""
    if encoding == ABSENT:
        return None, at
    start, form = at, encoding & 0x0F
    sizes = {0: 8, 2: 2, 3: 4, 4: 8, 10: 2, 11: 4, 12: 8}
    if form == 1:
        value, at = uleb(data, at)
    elif form == 9:
        value, at = sleb(data, at)
    else:
        size = sizes[form]
        value, at = number(data, at, size), at + size
        if form >= 10 and value >> (8 * size - 1):
            value -= 1 << (8 * size)
    if encoding & 0x70 == 0x10 and value:
        value += base + start
    return value & MASK, at


def rows_of(fde: Fde) -> list[Row]:
    """Run an FDE's program."""
    cie = fde.cie
    rows: list[Row] = []
    state = Row(fde.start, None, {})
    try:
        state = _run(cie.program, cie.program_at, cie, state, state, fde, None)
        _run(fde.program, fde.program_at, cie, state, state, fde, rows)
    except DAMAGE:
        pass  # the rows so far
    return rows


def _run(data, place, cie, state: Row, initial: Row, fde: Fde, rows: list | None) -> Row:
    """Add a row to `rows` before each advance, and at the end; the state at the end."""
    at, pc, cfa, rules = 0, fde.start, state.cfa, dict(state.rules)
    saved: list[tuple] = []
    factor = cie.data_alignment
    while at < len(data):
        opcode = data[at]
        at += 1
        high, low = opcode & 0xC0, opcode & 0x3F
        to = None
        if high == 0x40:
            to = pc + low * cie.code_alignment
        elif high == 0x80:
            offset, at = uleb(data, at)
            rules[low] = ("offset", offset * factor)
        elif high == 0xC0:
            _restore(rules, low, initial)
        elif opcode == 0x00:
            pass
        elif opcode == 0x01:
            to, at = _pointer(data, at, fde.encoding, place)
        elif opcode in (0x02, 0x03, 0x04):
            size = 1 << opcode - 2
            to = pc + number(data, at, size) * cie.code_alignment
            at += size
        elif opcode == 0x0A:
            saved.append((cfa, dict(rules)))
        elif opcode == 0x0B:
            cfa, rules = saved.pop()
        elif opcode in (0x0E, 0x13):
            offset, at = uleb(data, at) if opcode == 0x0E else sleb(data, at)
            cfa = (cfa[0], offset if opcode == 0x0E else offset * factor)
        elif opcode == 0x0F:
            size, at = uleb(data, at)
            cfa, at = (None, data[at : at + size]), at + size
        elif opcode == 0x2E:
            _, at = uleb(data, at)
        elif opcode == 0x2D:
            pass
        else:
            register, at = uleb(data, at)
            if opcode in (0x05, 0x14, 0x09, 0x0C, 0x2F):
                value, at = uleb(data, at)
            elif opcode in (0x11, 0x15, 0x12):
                value, at = sleb(data, at)
            elif opcode in (0x10, 0x16):
                size, at = uleb(data, at)
                value, at = data[at : at + size], at + size
            if opcode in (0x05, 0x11):
                rules[register] = ("offset", value * factor)
            elif opcode == 0x2F:
                rules[register] = ("offset", -value * factor)
            elif opcode == 0x06:
                _restore(rules, register, initial)
            elif opcode == 0x07:
                rules[register] = ("undefined", 0)
            elif opcode == 0x08:
                rules.pop(register, None)
            elif opcode == 0x09:
                rules[register] = ("register", value)
            elif opcode == 0x0C:
                cfa = (register, value)
            elif opcode == 0x12:
                cfa = (register, value * factor)
            elif opcode == 0x0D:
                cfa = (register, cfa[1] if cfa and cfa[0] is not None else 0)
            elif opcode == 0x10:
                rules[register] = ("at", value)
            elif opcode == 0x16:
                rules[register] = ("value", value)
            elif opcode in (0x14, 0x15):
                rules[register] = ("cfa", value * factor)
            else:
                raise ValueError(f"CFA opcode {opcode:#x}")
        if to is not None and rows is not None:
            if to > pc:
                rows.append(Row(pc, cfa, dict(rules)))
            pc = to
            if len(rows) > MOST_ROWS:
                raise ValueError("too many rows")
    if rows is not None:
        rows.append(Row(pc, cfa, dict(rules)))
    return Row(pc, cfa, rules)


def _restore(rules: dict, register: int, initial: Row) -> None:
    if register in initial.rules:
        rules[register] = initial.rules[register]
    else:
        rules.pop(register, None)


class Unreadable(Exception):
    """Memory that is not in the sample, or an expression that makes no sense."""


def _load(read_memory, address: int, size: int = 8) -> int:
    data = read_memory(address & MASK, size)
    if data is None or len(data) < size:
        raise Unreadable
    return int.from_bytes(data[:size], "little")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b,
    0x1B: lambda a, b: int(_signed(a) / _signed(b)) if b else 0,
    0x1C: lambda a, b: a - b,
    0x1D: lambda a, b: a % b if b else 0,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << b if b < 64 else 0,
    0x25: lambda a, b: a >> min(b, 64),
    0x26: lambda a, b: _signed(a) >> min(b, 63),
    0x27: lambda a, b: a ^ b,
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(_signed(a) >= _signed(b)),
    0x2B: lambda a, b: int(_signed(a) > _signed(b)),
    0x2C: lambda a, b: int(_signed(a) <= _signed(b)),
    0x2D: lambda a, b: int(_signed(a) < _signed(b)),
    0x2E: lambda a, b: int(a != b),
}
CONSTANTS = {0x08: 1, 0x09: -1, 0x0A: 2, 0x0B: -2, 0x0C: 4, 0x0D: -4, 0x0E: 8, 0x0F: -8, 0x03: 8}


def evaluate(data: bytes, registers: Sequence[int], read_memory, stack: list[int]) -> int:
    """A DWARF expression (2.5.1) over a stack; Unreadable if it fails."""
    at = 0
    try:
        for _ in range(MOST_STEPS):
            if at >= len(data):
                return stack[-1] & MASK
            opcode = data[at]
            at += 1
            if 0x30 <= opcode <= 0x4F:
                stack.append(opcode - 0x30)
            elif opcode in BINARY:
                b, a = stack.pop(), stack.pop()
                stack.append(BINARY[opcode](a, b))
            elif 0x70 <= opcode <= 0x8F or opcode == 0x92:
                register = opcode - 0x70
                if opcode == 0x92:
                    register, at = uleb(data, at)
                offset, at = sleb(data, at)
                stack.append(registers[register] + offset)
            elif opcode in CONSTANTS:
                size = CONSTANTS[opcode]
                value = number(data, at, abs(size))
                if size < 0 and value >> (-8 * size - 1):
                    value -= 1 << -8 * size
                stack.append(value)
                at += abs(size)
            elif opcode in (0x10, 0x11):
                value, at = uleb(data, at) if opcode == 0x10 else sleb(data, at)
                stack.append(value)
            elif opcode == 0x23:
                value, at = uleb(data, at)
                stack[-1] += value
            elif opcode == 0x06:
                stack[-1] = _load(read_memory, stack[-1])
            elif opcode == 0x94:
                size = data[at]
                if not 0 < size <= 8:
                    raise Unreadable
                stack[-1] = _load(read_memory, stack[-1], size)
                at += 1
            elif opcode == 0x12:
                stack.append(stack[-1])
            elif opcode == 0x13:
                stack.pop()
            elif opcode == 0x14:
                stack.append(stack[-2])
            elif opcode == 0x15:
                stack.append(stack[-1 - data[at]])
                at += 1
            elif opcode == 0x16:
                stack[-1], stack[-2] = stack[-2], stack[-1]
            elif opcode == 0x17:
                stack[-3], stack[-2], stack[-1] = stack[-1], stack[-3], stack[-2]
            elif opcode == 0x19:
                stack[-1] = abs(_signed(stack[-1]))
            elif opcode == 0x1F:
                stack[-1] = -stack[-1]
            elif opcode == 0x20:
                stack[-1] = ~stack[-1]
            elif opcode in (0x28, 0x2F):
                skip = number(data, at, 2)
                at += 2
                if opcode == 0x2F or stack.pop() & MASK:
                    at += skip - (1 << 16) if skip >> 15 else skip
                if at < 0:
                    raise Unreadable
            elif opcode != 0x96:
                raise Unreadable
            if stack:
                stack[-1] &= MASK
            if len(stack) > DEEPEST_STACK:
                raise Unreadable
    except DAMAGE:
        pass
    raise Unreadable


def unwind(
    registers: Sequence[int],
    read_memory: Callable[[int, int], bytes | None],
    find_dso: Callable[[int], tuple | None],
    depth: int = DEEPEST,
) -> list[int]:
    """The instruction pointers of the frames, innermost first; at least the first one.

    `registers` are those of PERF_SAMPLE_REGS_USER: pc, then x1 to x31. `read_memory(address, size)`
    has the bytes of the stack, None (or fewer) where it has none. `find_dso(ip)` gives the DSO that
    is mapped there, with the start of the map and its offset into the file, or None.

    It ends at `depth` frames, where a caller is unknown, and where a frame is its own caller.
    """
    values = [value & MASK for value in registers[:REGISTERS]]
    values += [0] * (REGISTERS - len(values))
    pc, values[0] = values[0], 0
    found, exact, seen = [pc], True, set()
    while len(found) < depth:
        try:
            step = _step(pc, values, exact, read_memory, find_dso)
        except Unreadable:
            break
        if step is None:
            break
        pc, values, exact = step
        if not pc or (pc, values[SP]) in seen:
            break
        seen.add((pc, values[SP]))
        found.append(pc if exact or _ends_handler(pc, read_memory, find_dso) else pc - 1)
    return found


def _ends_handler(pc: int, read_memory, find_dso) -> bool:
    """Is this rt_sigreturn? The page is known by its name where memory is of the stack alone."""
    mapped = find_dso(pc)
    if mapped is not None and mapped[0].path == "[sigreturn]":
        return True
    return read_memory(pc, len(SIGRETURN)) == SIGRETURN


def _step(pc: int, values: list[int], exact: bool, read_memory, find_dso):
    """A caller's pc, registers, and whether its pc is exact; None if there is none."""
    if _ends_handler(pc, read_memory, find_dso):
        place = values[SP] + SIGNAL_REGISTERS
        whole = [_load(read_memory, place + 8 * n) for n in range(REGISTERS)]
        return whole[0], [0, *whole[1:]], True
    rules = None
    looked_up = pc if exact else pc - 1
    mapped = find_dso(looked_up)
    if mapped is not None:
        dso, start, offset = mapped
        address = dso.virtual_address(looked_up - start + offset)
        rules = dso.cfi.find(address)
    if rules is None:
        ra = values[RA]
        if not exact or mapped is None or ra == pc or find_dso(ra - 1) is None:
            return None
        return ra, values, False
    fde, row = rules
    if row.cfa is None:
        return None
    register, offset = row.cfa
    if register is None:
        cfa = evaluate(offset, values, read_memory, [])
    elif register < REGISTERS:
        cfa = (values[register] + offset) & MASK
    else:
        return None
    caller = list(values)
    caller[SP] = cfa
    ra = values[fde.cie.ra] if fde.cie.ra < REGISTERS else None
    for register, (kind, operand) in row.rules.items():
        if register >= REGISTERS and register != fde.cie.ra:
            continue  # floating point
        value = _value(kind, operand, cfa, values, read_memory)
        if register == fde.cie.ra:
            ra = value
        if register < REGISTERS and value is not None:
            caller[register] = value
    caller[0] = 0
    return None if ra is None else (ra, caller, fde.cie.signal)


def _value(kind: str, operand, cfa: int, values: list[int], read_memory) -> int | None:
    if kind == "offset":
        return _load(read_memory, cfa + operand)
    if kind == "register":
        return values[operand] if operand < REGISTERS else None
    if kind == "cfa":
        return (cfa + operand) & MASK
    if kind == "at":
        return _load(read_memory, evaluate(operand, values, read_memory, [cfa]))
    if kind == "value":
        return evaluate(operand, values, read_memory, [cfa])
    return None
