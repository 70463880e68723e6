"""Machine code as GNU objdump (binutils 2.40) prints it for riscv64 with -d --no-show-raw-insn.

Instructions and operands are those of `isa`, which knows whatever the emulator runs; what is here
is binutils' choice of names: the short forms (`mv`, `ret`), `add` for `addi`, and the comments with
the address that an instruction and a `lui` or `auipc` before it make together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from isa.assembly import EXACT, ROUNDING, F, X
from isa.csrs import CSR_NAMES
from isa.ext import RV64GC

MASK = (1 << 64) - 1
GP, TP, RA = 3, 4, 1
PLAIN = {  # instructions with a constant that are printed by the name of those without
    "addi": "add", "andi": "and", "ori": "or", "xori": "xor", "slli": "sll", "srli": "srl",
    "srai": "sra", "slliw": "sllw", "srliw": "srlw", "sraiw": "sraw", "addiw": "addw",
}  # fmt: skip
WITH_ZERO = {  # branches by which operand is zero
    ("beq", "rs2"): "beqz", ("bne", "rs2"): "bnez", ("bge", "rs1"): "blez", ("bge", "rs2"): "bgez",
    ("blt", "rs2"): "bltz", ("blt", "rs1"): "bgtz",
}  # fmt: skip
ONE_SOURCE = {"fsgnj": "fmv", "fsgnjn": "fneg", "fsgnjx": "fabs"}
READ = {1: "frflags", 2: "frrm", 3: "frcsr", 0xC00: "rdcycle", 0xC01: "rdtime", 0xC02: "rdinstret"}
WRITTEN = {1: "fsflags", 2: "fsrm", 3: "fscsr"}
VECTOR = {8: "vstart", 9: "vxsat", 10: "vxrm", 15: "vcsr", 0xC20: "vl", 0xC21: "vtype",
          0xC22: "vlenb"}  # fmt: skip
UNIMPLEMENTED = 0xC0001073  # csrrw zero, cycle, zero


class Line(NamedTuple):
    """One instruction: `text` has mnemonic, tab, operands and comment; `target` is a jump's."""

    address: int
    size: int
    text: str
    target: int | None


def disassemble(
    code: bytes,
    address: int,
    name: Callable[[int], str | None] | None = None,
    gp: int | None = None,
) -> Iterator[Line]:
    """The instructions of a piece of code.

    `name(address)` gives what stands for it in angle brackets: `symbol` or `symbol+0x12`. Without
    it addresses are written as for a file that has no symbols. `gp` is the value of
    __global_pointer$, if there is one.
    """
    reader = _Reader(name, gp)
    at = 0
    while at < len(code):
        size = 4 if code[at] & 3 == 3 else 2
        if at + size > len(code):
            size = len(code) - at
        word = int.from_bytes(code[at : at + size], "little")
        yield reader.line(address + at, size, word)
        at += size


class _Reader:
    """Remembers, as binutils does, what upper parts of addresses registers have."""

    def __init__(self, name, gp):
        self.name, self.gp = name, gp
        self.upper: dict[int, int] = {}
        self.meant: int | None = None

    def line(self, address: int, size: int, word: int) -> Line:
        decoded = RV64GC.decode(word) if size in (2, 4) else None
        if size == 2 and word == 0 or word == UNIMPLEMENTED:
            return Line(address, size, "unimp", None)
        if decoded is None or decoded.length != size:
            digits = {1: ".byte", 2: ".2byte", 4: ".4byte"}.get(size, ".byte")
            return Line(address, size, f"{digits}\t0x{word:x}", None)
        self.meant = None
        insn, values = decoded.insn, decoded.operands
        mnemonic, operands, target = self._spelled(insn, values, address, word)
        text = f"{mnemonic}\t{operands}" if operands else mnemonic
        if target is not None:
            text += self._bracketed(target)
        elif self.meant is not None:
            text += f" # {self._number(self.meant)}{self._bracketed(self.meant)}"
        return Line(address, size, text, target)

    def _bracketed(self, address: int) -> str:
        name = self.name(address) if self.name else None
        return f" <{name}>" if name else ""

    def _number(self, address: int) -> str:
        return f"{address:x}" if self.name else f"0x{address:x}"

    def _address(self, register: int, offset: int, wide: bool = False) -> None:
        """maybe_print_address of opcodes/riscv-dis.c."""
        if register in self.upper:
            value = self.upper.pop(register) + offset
        elif register == GP and self.gp is not None:
            value = self.gp + offset
        elif register in (0, TP):
            value = offset
        else:
            return
        if wide:
            value = (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        self.meant = value & MASK

    def _spelled(self, insn, v: dict, address: int, word: int):
        """Mnemonic, operands, and where it jumps to."""
        name, kind = insn.name, insn.kind
        rd, rs1, rs2 = (v.get(field) for field in ("rd", "rs1", "rs2"))
        imm = v.get("imm", 0)
        if name in ("lui", "auipc"):
            value = imm if name == "lui" else address + imm
            self.upper[rd] = value & MASK
            return name, f"{X[rd]},0x{imm >> 12 & 0xFFFFF:x}", None
        if kind == "branch":
            target = address + imm & MASK
            for which, register in (("rs2", rs2), ("rs1", rs1)):
                other = rs1 if which == "rs2" else rs2
                short = WITH_ZERO.get((name, which))
                if short and register == 0 and not (name == "bge" and rs1 == 0 and which == "rs2"):
                    return short, f"{X[other]},{self._number(target)}", target
            return name, f"{X[rs1]},{X[rs2]},{self._number(target)}", target
        if name == "jal":
            target = address + imm & MASK
            if rd == 0:
                return "j", f"{self._number(target)}", target
            return (
                name,
                f"{self._number(target)}" if rd == RA else f"{X[rd]},{self._number(target)}",
                target,
            )
        if name == "jalr":
            if word & 3 == 3:
                self._address(rs1, imm)
            return self._jalr(rd, rs1, imm)
        if kind in ("load", "fp-load", "store", "fp-store"):
            if word & 3 == 3:
                self._address(rs1, imm)
            register = next(
                (F if field[0] == "f" else X)[v[field]]
                for field in ("rd", "fd", "rs2", "fs2")
                if field in v
            )
            return name, f"{register},{imm}({X[rs1]})", None
        if kind in ("load-reserved", "store-conditional", "amo"):
            name += ("", ".rl", ".aq", ".aqrl")[v["aq"] << 1 | v["rl"]]
            middle = "" if kind == "load-reserved" else f"{X[rs2]},"
            return name, f"{X[rd]},{middle}({X[rs1]})", None
        if "csr" in v:
            return self._csr(name, v)
        if name == "fence":
            return self._fence(v)
        if name == "pause":
            return "fence", "w,unknown", None  # the name needs Zihintpause in the attributes
        if name in ("sfence.vma", "hfence.vvma", "hfence.gvma"):
            shown = [X[rs1], X[rs2]] if rs2 else [X[rs1]] if rs1 else []
            return name, ",".join(shown), None
        if "rd" in v and "rs1" in v:
            found = self._integer(name, v, word)
            if found:
                return (*found, None)
        if name.startswith("cbo."):
            return name, f"({X[rs1]})", None
        if name.startswith("prefetch."):
            return name, f"{imm}({X[rs1]})", None
        return (*self._plain(name, v), None)

    def _jalr(self, rd, rs1, imm):
        place = f"{imm}({X[rs1]})" if imm else X[rs1]
        if rd == 0:
            return ("ret", "", None) if rs1 == RA and not imm else ("jr", place, None)
        return "jalr", place if rd == RA else f"{X[rd]},{place}", None

    def _csr(self, name, v):
        rd, csr = v["rd"], v["csr"]
        shown = CSR_NAMES.get(csr) or VECTOR.get(csr, f"0x{csr:x}")
        source = v.get("rs1")
        if name == "csrrs" and source == 0:
            if csr in READ:
                return READ[csr], X[rd], None
            return "csrr", f"{X[rd]},{shown}", None
        if name == "csrrw" and csr in WRITTEN:
            return WRITTEN[csr], X[source] if rd == 0 else f"{X[rd]},{X[source]}", None
        constant = next((v[key] for key in ("uimm5", "uimm", "zimm") if key in v), None)
        if name == "csrrwi" and csr in (1, 2):
            short = WRITTEN[csr] + "i"
            return short, f"{constant}" if rd == 0 else f"{X[rd]},{constant}", None
        last = str(constant) if source is None else X[source]
        name = name.removesuffix("i")
        if rd == 0:
            return name.replace("csrr", "csr"), f"{shown},{last}", None
        return name, f"{X[rd]},{shown},{last}", None

    def _fence(self, v):
        fm, before, after = v.get("fm", 0), v["pred"], v["succ"]
        if (fm, before, after) == (8, 3, 3):
            return "fence.tso", "", None
        if before == after == 15 and not fm:
            return "fence", "", None
        sets = ["".join(c for c, bit in zip("iorw", (8, 4, 2, 1), strict=True) if value & bit)
                or "unknown" for value in (before, after)]  # fmt: skip
        return "fence", ",".join(sets), None

    def _integer(self, name, v, word):
        """Integer arithmetic with its short forms; None if it is something else."""
        rd, rs1, rs2, imm = v["rd"], v["rs1"], v.get("rs2"), v.get("imm", v.get("shamt"))
        a, b = X[rd], X[rs1]
        if rs2 is not None and len(v) == 3:
            c = X[rs2]
            if name in ("sub", "subw") and rs1 == 0:
                return ("neg" if name == "sub" else "negw"), f"{a},{c}"
            if name == "sltu" and rs1 == 0:
                return "snez", f"{a},{c}"
            if name == "slt" and rs2 == 0:
                return "sltz", f"{a},{b}"
            if name == "slt" and rs1 == 0:
                return "sgtz", f"{a},{c}"
            if name == "add" and rs1 == 0 and word & 3 == 2:
                return "mv", f"{a},{c}"
            return name, f"{a},{b},{c}"
        if imm is None:
            return None
        if name == "addi":
            if rd == rs1 == imm == 0:
                return "nop", ""
            if rs1 == 0:
                return "li", f"{a},{imm}"
            if imm == 0:
                return "mv", f"{a},{b}"
            if word & 3 == 3 or word & 0xE003 in (0x0001, 0x6001):
                self._address(rs1, imm)
        if name == "addiw":
            if imm == 0:
                return "sext.w", f"{a},{b}"
            if rs1:
                self._address(rs1, imm, wide=True)
        if name == "xori" and imm == -1:
            return "not", f"{a},{b}"
        if name == "andi" and imm == 255:
            return "zext.b", f"{a},{b}"
        if name == "sltiu" and imm == 1:
            return "seqz", f"{a},{b}"
        shown = f"0x{imm:x}" if "shamt" in v else str(imm)
        return PLAIN.get(name, name), f"{a},{b},{shown}"

    def _plain(self, name, v):
        """Any other: its registers in order, then how it rounds."""
        fs1, fs2 = v.get("fs1"), v.get("fs2")
        operation, _, width = name.partition(".")
        if operation in ONE_SOURCE and fs1 == fs2:
            return f"{ONE_SOURCE[operation]}.{width}", f"{F[v['fd']]},{F[fs1]}"
        shown = []
        for field in ("rd", "fd", "rs1", "fs1", "rs2", "fs2", "rs3", "fs3"):
            if field in v:
                shown.append((F if field[0] == "f" else X)[v[field]])
        for field in ("shamt", "imm", "uimm"):
            if field in v:
                shown.append(str(v[field]))
        if "rm" in v and v["rm"] != (0 if name in EXACT else 7):
            shown.append(ROUNDING[v["rm"]] if v["rm"] not in (5, 6) else "unknown")
        return name, ",".join(shown)
