"""How an instruction is declared, and the decoder and encoder that follow from its row.

A row is the manual's own: fields and literal bits from bit 31 (or 15) down to 0, for example
`imm[12|10:5] rs2 rs1 000 imm[4:1|11] 1100011`. Register operands are `rd rs1 rs2 rs3`, and
`fd fs1 fs2 fs3` where the manual means the floating-point file; the three-bit registers of
compressed rows carry a prime (`rd'`, `fs2'`). `imm` is sign-extended, `uimm` and `shamt` are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, cached_property

from isa.csr import Csr, expand
from isa.record import Record

WIDTHS = {"rm": 3, "csr": 12, "aq": 1, "rl": 1, "pred": 4, "succ": 4, "fm": 4, "uimm5": 5}
REGISTERS = ("rd", "rs1", "rs2", "rs3", "fd", "fs1", "fs2", "fs3")
WIDTHS |= {name: 5 for name in REGISTERS} | {f"{name}'": 3 for name in REGISTERS}
_TOKEN = re.compile(r"([a-z]+[0-9]?'?)(?:\[([0-9:|]+)\])?$")


class Piece(Record):
    """`width` bits of a field: at bit `at` of the instruction, at bit `to` of the value."""

    at: int
    width: int
    to: int


class Field(Record):
    """An operand of an instruction: how its value is scattered over the instruction's bits."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def width(self) -> int:
        """Bits of the value, the zeros below its lowest encoded bit included."""
        return max(piece.to + piece.width for piece in self.pieces)

    @property
    def signed(self) -> bool:
        return self.name == "imm"

    def decode(self, word: int) -> int:
        """The operand's value: a register number, or a number with its sign."""
        value = 0
        for piece in self.pieces:
            value |= (word >> piece.at & ((1 << piece.width) - 1)) << piece.to
        if self.name.endswith("'"):
            return value + 8
        if self.signed and value >> (self.width - 1):
            value -= 1 << self.width
        return value

    def encode(self, value: int) -> int:
        """The instruction bits for a value. ValueError if it can't be said in this field."""
        raw = value - 8 if self.name.endswith("'") else value
        bits = 0
        for piece in self.pieces:
            bits |= (raw >> piece.to & ((1 << piece.width) - 1)) << piece.at
        if self.decode(bits) != value:
            raise ValueError(f"{value} does not fit {self.name}")
        return bits


@cache
def _read_token(token: str) -> tuple[str, int, tuple[tuple[int, int], ...]] | None:
    """(name, width, (high, low) of the pieces) of a field in a row; None if it is no field."""
    found = _TOKEN.match(token)
    if not found:
        return None
    name, ranges = found.groups()
    if not ranges:
        return name, WIDTHS[name], ((WIDTHS[name] - 1, 0),)
    spans = [span.split(":") for span in ranges.split("|")]
    pairs = tuple((int(span[0]), int(span[-1])) for span in spans)
    return name, sum(high - low + 1 for high, low in pairs), pairs


def parse_row(row: str) -> tuple[int, int, int]:
    """(length in bytes, mask, match) of a row of the instruction listing."""
    bits = ""
    for token in row.split():
        if token.isdecimal():
            bits += token
        elif field := _read_token(token):
            bits += "x" * field[1]
        else:
            raise ValueError(f"row {row!r}: can't read {token!r}")
    if len(bits) not in (16, 32):
        raise ValueError(f"row {row!r} has {len(bits)} bits")
    mask = int(bits.replace("0", "1").replace("x", "0"), 2)
    return len(bits) // 8, mask, int(bits.replace("x", "0"), 2)


def parse_fields(row: str) -> dict[str, Field]:
    """The fields of a row, by name."""
    pieces: dict[str, list[Piece]] = {}
    at = 8 * parse_row(row)[0]
    for token in row.split():
        if token.isdecimal():
            at -= len(token)
            continue
        name, _, spans = _read_token(token)
        for high, low in spans:
            at -= high - low + 1
            pieces.setdefault(name, []).append(Piece(at, high - low + 1, low))
    return {name: Field(name, tuple(found)) for name, found in pieces.items()}


class Insn(Record):
    """One instruction: its row, its kind, and its meaning.

    `body` takes operands by field name (register values as Words, immediates as Words too), `pc`
    and `next_pc` if it asks for them, `m` (an `isa.protocol.Machine`) if it touches the machine,
    and `NAME_n` for the number in a field as a Python int: of a register rather than its value.
    What it returns, if not None, is written to rd or fd. A compressed
    instruction has no body: it `expands` to another instruction with `operands` bound to its own
    fields (by name) or to constants.
    """

    name: str
    row: str
    kind: str
    extension: str
    body: Callable | None = None
    expands: str | None = None
    operands: dict[str, str | int] = {}
    unless: dict[str, tuple[int, ...]] = {}
    native: bool = True

    __eq__ = object.__eq__  # there is one of each, and it serves as a key
    __hash__ = object.__hash__

    @cached_property
    def _parsed(self):
        return parse_row(self.row)

    @property
    def length(self) -> int:
        return self._parsed[0]

    @property
    def mask(self) -> int:
        return self._parsed[1]

    @property
    def match(self) -> int:
        return self._parsed[2]

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Its operands, by name."""
        return parse_fields(self.row)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """What the body asks for, by name."""
        code = self.body.__code__ if self.body else None
        return code.co_varnames[: code.co_argcount] if code else ()

    @property
    def doc(self) -> str:
        """What it does, in a sentence: its body's docstring."""
        return self.body.__doc__ or "" if self.body else ""

    @property
    def writes(self) -> str | None:
        """`rd`, `fd`, or None: where the body's value goes."""
        return next((name for name in ("rd", "fd") if name in self.fields), None)

    def accepts(self, word: int) -> bool:
        """Whether word is this instruction: fixed bits, and no reserved operand (`unless`)."""
        return word & self.mask == self.match and not any(
            self.fields[name].decode(word) in values for name, values in self.unless.items()
        )

    def encode(self, **operands: int) -> int:
        """The instruction word. ValueError names an operand that is missing or can't be said."""
        if missing := set(self.fields) - set(operands):
            raise ValueError(f"{self.name} needs {', '.join(sorted(missing))}")
        word = self.match
        for name, value in operands.items():
            word |= self.fields[name].encode(value)
        for name, values in self.unless.items():
            if operands[name] in values:
                raise ValueError(f"{self.name}: {name} {operands[name]} is reserved")
        return word


class Decoded(Record):
    """An instruction word read: the instruction that defines its meaning, and its operands.

    For a compressed word `insn` is the instruction that it expands to and `spelled` the compressed
    one. `operands` are register numbers and immediate values by field name.
    """

    insn: Insn
    spelled: Insn
    operands: dict[str, int]
    length: int
    word: int


class Extension:
    """A named set of instructions and CSRs. A file of `isa/ext` declares one, and then those."""

    def __init__(self, name: str, doc: str):
        self.name = name
        self.doc = doc
        self.insns: list[Insn] = []
        self.csrs: list[Csr] = []
        self.extended: list[tuple[str, tuple[str, ...], Callable[[Csr], Csr]]] = []

    def insn(self, name: str, row: str, kind: str, *, native: bool = True, unless=None):
        """Declare an instruction; the decorated function is its meaning.

        `native=False` leaves it to the Python reader, because it acts on what only the machine
        model knows (CSRs, privilege). `unless` names operand values that are reserved.
        """

        def declare(body):
            self.insns.append(
                Insn(name, row, kind, self.name, body, unless=unless or {}, native=native)
            )
            return body

        return declare

    def short(self, name: str, row: str, expands: str, *, unless=None, **operands: str | int):
        """Declare a compressed instruction by the instruction that it stands for."""
        self.insns.append(Insn(name, row, "", self.name, None, expands, operands, unless or {}))

    def csr(self, name: str, address: int, doc: str, **properties) -> None:
        """Declare a CSR (`isa.csr.Csr`), or with a name such as `mhpmevent{3..31}` several."""
        self.csrs += expand(Csr(name, address, doc, **properties))

    def extend(self, name: str, *, needs: tuple[str, ...] = (), **properties) -> None:
        """Add to another extension's CSR, if the hart has that: fields, or who may not see it.

        The properties are those of `isa.csr.Csr.extended`. `needs` names further extensions
        without which nothing is added.
        """
        self.extended.append((name, needs, lambda csr: csr.extended(**properties)))


class Table:
    """The instructions of a set of extensions, and the decoder that follows from their rows."""

    def __init__(self, extensions):
        self.extensions = tuple(extensions)
        self.insns = [insn for extension in self.extensions for insn in extension.insns]
        self.by_name = {insn.name: insn for insn in self.insns}
        self._decoded: dict[int, Decoded | None] = {}

    @cached_property
    def _buckets(self) -> dict[tuple[int, int], list[tuple[int, int, Insn]]]:
        """The rows by length and opcode, as (mask, match, instruction)."""
        buckets: dict[tuple[int, int], list[tuple[int, int, Insn]]] = {}
        # The more bits a row fixes, the earlier it is tried: c.jr before c.mv.
        ordered = sorted(self.insns, key=lambda insn: -insn.mask.bit_count())
        for insn in ordered:
            shared = insn.mask & (0x7F if insn.length == 4 else 0xE003)
            width = 0x7F if insn.length == 4 else 0xE003
            if shared != width:
                raise ValueError(f"{insn.name}: its row leaves opcode bits open")
            key = insn.length, insn.match & width
            buckets.setdefault(key, []).append((insn.mask, insn.match, insn))
        return buckets

    def __getitem__(self, name: str) -> Insn:
        return self.by_name[name]

    def decode(self, word: int) -> Decoded | None:
        """What the 16 or 32 bits in `word` mean, or None if nothing. Upper bits are ignored."""
        if word & 3 == 3:
            word &= 0xFFFFFFFF
            key = (4, word & 0x7F)
        else:
            word &= 0xFFFF
            key = (2, word & 0xE003)
        if word in self._decoded:
            return self._decoded[word]
        found = None
        for mask, match, insn in self._buckets.get(key, ()):
            if word & mask == match and insn.accepts(word):
                found = self._read(insn, word)
                break
        self._decoded[word] = found
        return found

    def _read(self, spelled: Insn, word: int) -> Decoded:
        values = {name: field.decode(word) for name, field in spelled.fields.items()}
        if spelled.expands is None:
            return Decoded(spelled, spelled, values, spelled.length, word)
        insn = self.by_name[spelled.expands]
        bound = {
            name: values[value] if isinstance(value, str) else value
            for name, value in spelled.operands.items()
        }
        return Decoded(insn, spelled, bound, spelled.length, word)
