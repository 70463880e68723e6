"""Instruction words as text and back: operands are written as GNU's assembler writes them.

How operands are written follows from an instruction's fields and kind (`_syntax`). The assembler is
for tests and small programs: labels, the usual pseudo-instructions, `.dword`, `.word` and `.zero`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from isa.csrs import CSR_NAMES, CSR_NUMBERS
from isa.ext import RV64GC
from isa.num import signed
from isa.spec import Insn, Table

X = (
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 "
    "t3 t4 t5 t6"
).split()
F = (
    "ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 "
    "fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11"
).split()
ROUNDING = ("rne", "rtz", "rdn", "rup", "rmm", "reserved5", "reserved6", "dyn")
X_NUMBERS = {name: n for n, name in enumerate(X)} | {f"x{n}": n for n in range(32)} | {"fp": 8}
F_NUMBERS = {name: n for n, name in enumerate(F)} | {f"f{n}": n for n in range(32)}
ORDER = "rd fd rs1 fs1 rs2 fs2 rs3 fs3 shamt imm uimm rm".split()
# Conversions that are never inexact: their rounding mode is rne unless one is written.
EXACT = ("fcvt.d.s", "fcvt.d.w", "fcvt.d.wu")
BY_KIND = {
    "load": "rd, imm(rs1)",
    "fp-load": "fd, imm(rs1)",
    "store": "rs2, imm(rs1)",
    "fp-store": "fs2, imm(rs1)",
    "load-reserved": "rd, (rs1)",
    "store-conditional": "rd, rs2, (rs1)",
    "amo": "rd, rs2, (rs1)",
    "branch": "rs1, rs2, target",
    "jump": "rd, target",
    "jump-register": "rd, imm(rs1)",
}
BY_NAME = {
    "lui": "rd, upper",
    "auipc": "rd, upper",
    "csrrw": "rd, csr, rs1",
    "csrrs": "rd, csr, rs1",
    "csrrc": "rd, csr, rs1",
    "csrrwi": "rd, csr, uimm5",
    "csrrsi": "rd, csr, uimm5",
    "csrrci": "rd, csr, uimm5",
    "fence": "pred, succ",
    "fence.i": "",
    "sfence.vma": "rs1, rs2",
    **dict.fromkeys(
        "hfence.vvma hfence.gvma sinval.vma hinval.vvma hinval.gvma".split(), "rs1, rs2"
    ),
    **dict.fromkeys("hlv.b hlv.bu hlv.h hlv.hu hlvx.hu".split(), "rd, (rs1)"),
    **dict.fromkeys("hlv.w hlv.wu hlvx.wu hlv.d".split(), "rd, (rs1)"),
    **dict.fromkeys("hsv.b hsv.h hsv.w hsv.d".split(), "rs2, (rs1)"),
    "cbo.zero": "(rs1)",
    "cbo.inval": "(rs1)",
    "cbo.clean": "(rs1)",
    "cbo.flush": "(rs1)",
    "prefetch.i": "imm(rs1)",
    "prefetch.r": "imm(rs1)",
    "prefetch.w": "imm(rs1)",
    "c.nop": "imm",
    "c.jr": "rs1",
    "c.jalr": "rs1",
    "c.j": "target",
    "c.beqz": "rs1', target",
    "c.bnez": "rs1', target",
    "c.addi4spn": "rd', sp, uimm",
    "c.addi16sp": "sp, imm",
    "c.lui": "rd, upper",
}


@cache
def _syntax(insn: Insn, table: Table) -> str:
    """How an instruction's operands are written, with field names, `target` and `upper`."""
    if insn.name in BY_NAME:
        return BY_NAME[insn.name]
    whole = table[insn.expands] if insn.expands else insn
    if whole.kind not in BY_KIND:
        named = {name.rstrip("'"): name for name in insn.fields}
        return ", ".join(named[name] for name in ORDER if name in named)
    if not insn.expands:
        return BY_KIND[whole.kind]

    def spelled(found: re.Match) -> str:
        bound = insn.operands[found[0]]
        return bound if isinstance(bound, str) else X[bound]

    return re.sub(r"[a-z]+\d?", spelled, BY_KIND[whole.kind])


def disassemble(word: int, pc: int = 0, table: Table = RV64GC) -> str:
    """The instruction in a word as text; what is none, as data."""
    decoded = table.decode(word)
    if decoded is None:
        return f".word {word:#010x}" if word & 3 == 3 else f".half {word & 0xFFFF:#06x}"
    insn = decoded.spelled
    values = {name: field.decode(word) for name, field in insn.fields.items()}
    name = insn.name
    if "aq" in values:
        name += ("", ".rl", ".aq", ".aqrl")[values["aq"] << 1 | values["rl"]]
    if name == "fence" and (values["fm"], values["pred"], values["succ"]) == (8, 3, 3):
        return "fence.tso"

    def written(found: re.Match) -> str:
        operand = found[0]
        if operand == "target":
            return f"{pc + values['imm'] & (1 << 64) - 1:#x}"
        if operand == "upper":
            return f"{values['imm'] >> 12 & 0xFFFFF:#x}"
        if operand not in values:
            return operand
        return _written(operand, values[operand])

    operands = re.sub(r"[a-z]+\d?'?", written, _syntax(insn, table))
    if "rm" in values and values["rm"] == (0 if name in EXACT else 7):
        operands = operands.rpartition(", ")[0]
    return f"{name} {operands}".rstrip()


def _written(field: str, value: int) -> str:
    plain = field.rstrip("'")
    if plain in ("rd", "rs1", "rs2", "rs3"):
        return X[value]
    if plain in ("fd", "fs1", "fs2", "fs3"):
        return F[value]
    if plain == "rm":
        return ROUNDING[value]
    if plain == "csr":
        return CSR_NAMES.get(value, f"{value:#x}")
    if plain in ("pred", "succ"):
        return "".join(c for c, bit in zip("iorw", (8, 4, 2, 1), strict=True) if value & bit) or "0"
    if plain == "shamt":
        return f"{value:#x}"
    return str(value)


# Pseudo-instructions: what they stand for, with {0} {1} {2} for their operands.
PSEUDO = {
    "nop": "addi zero, zero, 0",
    "mv": "addi {0}, {1}, 0",
    "not": "xori {0}, {1}, -1",
    "neg": "sub {0}, zero, {1}",
    "negw": "subw {0}, zero, {1}",
    "sext.w": "addiw {0}, {1}, 0",
    "seqz": "sltiu {0}, {1}, 1",
    "snez": "sltu {0}, zero, {1}",
    "sltz": "slt {0}, {1}, zero",
    "sgtz": "slt {0}, zero, {1}",
    "beqz": "beq {0}, zero, {1}",
    "bnez": "bne {0}, zero, {1}",
    "blez": "bge zero, {0}, {1}",
    "bgez": "bge {0}, zero, {1}",
    "bltz": "blt {0}, zero, {1}",
    "bgtz": "blt zero, {0}, {1}",
    "bgt": "blt {1}, {0}, {2}",
    "ble": "bge {1}, {0}, {2}",
    "bgtu": "bltu {1}, {0}, {2}",
    "bleu": "bgeu {1}, {0}, {2}",
    "j": "jal zero, {0}",
    "call": "jal ra, {0}",
    "tail": "jal zero, {0}",
    "jr": "jalr zero, 0({0})",
    "ret": "jalr zero, 0(ra)",
    "csrr": "csrrs {0}, {1}, zero",
    "csrw": "csrrw zero, {0}, {1}",
    "csrs": "csrrs zero, {0}, {1}",
    "csrc": "csrrc zero, {0}, {1}",
    "csrwi": "csrrwi zero, {0}, {1}",
    "rdcycle": "csrrs {0}, cycle, zero",
    "rdtime": "csrrs {0}, time, zero",
    "rdinstret": "csrrs {0}, instret, zero",
    "frcsr": "csrrs {0}, fcsr, zero",
    "fmv.s": "fsgnj.s {0}, {1}, {1}",
    "fabs.s": "fsgnjx.s {0}, {1}, {1}",
    "fneg.s": "fsgnjn.s {0}, {1}, {1}",
    "fmv.d": "fsgnj.d {0}, {1}, {1}",
    "fabs.d": "fsgnjx.d {0}, {1}, {1}",
    "fneg.d": "fsgnjn.d {0}, {1}, {1}",
    "fence.tso": "fence rw, rw, 8",
}
# Other ways to write an instruction, by its name and number of operands.
SHORT_FORMS = {
    ("jal", 1): "jal ra, {0}",
    ("jalr", 1): "jalr ra, 0({0})",
    ("jalr", 3): "jalr {0}, {2}({1})",
    ("fence", 0): "fence iorw, iorw",
    ("sfence.vma", 0): "sfence.vma zero, zero",
    ("sfence.vma", 1): "sfence.vma {0}, zero",
    ("hfence.vvma", 0): "hfence.vvma zero, zero",
    ("hfence.vvma", 1): "hfence.vvma {0}, zero",
    ("hfence.gvma", 0): "hfence.gvma zero, zero",
    ("hfence.gvma", 1): "hfence.gvma {0}, zero",
}


def assemble(line: str, pc: int = 0, labels: dict[str, int] | None = None) -> int:
    """The instruction word of one line, such as `add a0, a1, a2` or `beqz a0, loop`."""
    name, _, rest = line.strip().partition(" ")
    operands = [operand.strip() for operand in rest.split(",")] if rest.strip() else []
    whole = SHORT_FORMS.get((name, len(operands))) or PSEUDO.get(name)
    if whole:
        name, _, rest = whole.format(*operands).partition(" ")
        operands = [operand.strip() for operand in rest.split(",")] if rest else []
    ordering = 0
    if name not in RV64GC.by_name and name.endswith((".aq", ".rl", ".aqrl")):
        name, _, suffix = name.rpartition(".")
        ordering = {"aq": 2, "rl": 1, "aqrl": 3}[suffix]
    if name not in RV64GC.by_name:
        raise ValueError(f"{line!r}: no instruction {name}")
    insn = RV64GC[name]
    values = {"aq": ordering >> 1, "rl": ordering & 1} if "aq" in insn.fields else {}
    if name == "fence":
        values |= {"fm": int(operands[2]) if len(operands) == 3 else 0, "rs1": 0, "rd": 0}
        operands = operands[:2]
    if name == "fence.i":
        values = {"imm": 0, "rs1": 0, "rd": 0}
    syntax = _syntax(insn, RV64GC)
    wanted = syntax.split(", ") if syntax else []
    if len(operands) == len(wanted) - 1 and wanted[-1] == "rm":
        operands.append("rne" if name in EXACT else "dyn")
    if name == "c.nop" and not operands:
        operands = ["0"]
    if len(operands) != len(wanted):
        raise ValueError(f"{line!r}: the operands of {name} are: {syntax or 'none'}")
    known = labels or {}
    for pattern, operand in zip(wanted, operands, strict=True):
        inner = re.fullmatch(r"([a-z]*)\(([a-z0-9']+)\)", pattern)
        if not inner:
            _read(values, pattern, operand, pc, known)
            continue
        found = re.fullmatch(r"(.*)\((.+)\)", operand)
        if not found:
            raise ValueError(f"{line!r}: {operand!r} is not {pattern}")
        if inner[1]:
            _read(values, inner[1], found[1] or "0", pc, known)
        _read(values, inner[2], found[2], pc, known)
    return insn.encode(**values)


def _read(values: dict[str, int], field: str, text: str, pc: int, labels: dict[str, int]) -> None:
    """Put what an operand says into the values of an instruction's fields."""
    plain, text = field.rstrip("'"), text.strip()
    if plain in ("rd", "rs1", "rs2", "rs3"):
        values[field] = _named(text, X_NUMBERS, "x register")
    elif plain in ("fd", "fs1", "fs2", "fs3"):
        values[field] = _named(text, F_NUMBERS, "f register")
    elif plain == "rm":
        values[field] = _named(text, {name: n for n, name in enumerate(ROUNDING)}, "rounding mode")
    elif plain == "csr":
        values[field] = CSR_NUMBERS[text] if text in CSR_NUMBERS else _number(text, labels)
    elif plain in ("pred", "succ"):
        values[field] = sum({"i": 8, "o": 4, "r": 2, "w": 1, "0": 0}[letter] for letter in text)
    elif plain == "target":
        values["imm"] = signed(_number(text, labels) - pc)
    elif plain == "upper":
        value = _number(text, labels) << 12
        values["imm"] = value - (1 << 32) if value >> 31 and value >= 0 else value
    elif plain in X_NUMBERS:
        if _named(text, X_NUMBERS, "x register") != X_NUMBERS[plain]:
            raise ValueError(f"{text!r} stands where only {plain} can")
    else:
        values[field] = _number(text, labels)


def _named(text: str, numbers: dict[str, int], what: str) -> int:
    if text not in numbers:
        raise ValueError(f"{text!r} is not a {what}")
    return numbers[text]


def _number(text: str, labels: dict[str, int]) -> int:
    if text in labels:
        return labels[text]
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor a label") from None


def constant(register: str, value: int) -> Iterator[str]:
    """The instructions that load any 64-bit constant: what `li` stands for."""
    value = (value + (1 << 63)) % (1 << 64) - (1 << 63)
    low = (value + 0x800 & 0xFFF) - 0x800
    if value == low:
        yield f"addi {register}, zero, {low}"
    elif -(1 << 31) <= value < 1 << 31:
        yield f"lui {register}, {value - low >> 12 & 0xFFFFF}"
        if low:
            yield f"addiw {register}, {register}, {low}"
    else:
        rest = value - low >> 12
        zeros = (rest & -rest).bit_length() - 1
        yield from constant(register, rest >> zeros)
        yield f"slli {register}, {register}, {12 + zeros}"
        if low:
            yield f"addi {register}, {register}, {low}"


def program(text: str, at: int = 0) -> bytes:
    """The bytes of a program of several lines, at an address. `#` begins a comment."""
    labels: dict[str, int] = {}
    items: list[tuple[int, Callable[[], bytes]]] = []
    pc = at

    def put(size: int, give: Callable[[int], bytes]) -> None:
        nonlocal pc
        items.append((pc, lambda here=pc: give(here)))
        pc += size

    def put_instruction(line: str) -> None:
        size = 2 if line.startswith("c.") else 4
        put(size, lambda here: assemble(line, here, labels).to_bytes(size, "little"))

    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        while found := re.match(r"([A-Za-z_.$][\w.$]*):\s*", line):
            labels[found[1]] = pc
            line = line[found.end() :]
        if not line:
            continue
        name, _, rest = line.partition(" ")
        operands = [operand.strip() for operand in rest.split(",")]
        if name == "li":
            for one in constant(operands[0], int(operands[1], 0)):
                put_instruction(one)
        elif name == "la":
            put(8, lambda here, to=operands: _address(to[0], _number(to[1], labels) - here))
        elif name in (".dword", ".word"):
            size = 8 if name == ".dword" else 4
            for one in operands:
                put(size, lambda here, one=one, size=size: _data(_number(one, labels), size))
        elif name == ".zero":
            put(int(rest, 0), lambda here, size=int(rest, 0): bytes(size))
        else:
            put_instruction(line)
    return b"".join(give() for _, give in items)


def _data(value: int, size: int) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _address(register: str, offset: int) -> bytes:
    """auipc and addi that give pc + offset."""
    low = (offset + 0x800 & 0xFFF) - 0x800
    upper = assemble(f"auipc {register}, {offset - low >> 12 & 0xFFFFF}")
    lower = assemble(f"addi {register}, {register}, {low}")
    return upper.to_bytes(4, "little") + lower.to_bytes(4, "little")
