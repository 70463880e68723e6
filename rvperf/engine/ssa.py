"""The algebra over LLVM values: the second reader of `isa`, and the text it writes.

`Code` is one LLVM function under construction; `Ssa` and `SsaBit` are its words and bits. A value
is either a Python int, known while the code is written and folded by the definition in `isa.num`,
or the name of an LLVM value. Doubles keep their own type as long as nothing asks for their bits,
so that floating-point registers stay in floating-point registers.
"""

from __future__ import annotations

from isa import num
from isa.words import MASK, Bit, Word

LIKELY = "!prof !0"
UNLIKELY = "!prof !1"
METADATA = '!0 = !{!"branch_weights", i32 4000, i32 1}\n!1 = !{!"branch_weights", i32 1, i32 4000}'

# A pointer relative to GS, where compiled regions find the state.
IN_STATE = "ptr addrspace(256)"

SIMPLE = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "and": "and",
    "or": "or",
    "xor": "xor",
}
COMPARISONS = {"eq": "eq", "ne": "ne", "slt": "slt", "ult": "ult"}
SHIFTS = {"shl": "shl", "shr": "lshr", "sar": "ashr"}
WIDE = {"mulhu": ("zext", "zext"), "mulhs": ("sext", "sext"), "mulhsu": ("sext", "zext")}
COUNTS = {"clz": "ctlz", "ctz": "cttz"}


class Code:
    """The body of one LLVM function, as text: blocks in order, values by their SSA names."""

    def __init__(self, name: str):
        self.name = name
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self.block = "start"
        self._next = 0

    def fresh(self, prefix: str = "v") -> str:
        """A name not used before in this function, without its sigil."""
        self._next += 1
        return f"{prefix}{self._next}"

    def put(self, line: str) -> None:
        """Append an instruction that has no value."""
        self.lines.append("  " + line)

    def value(self, expression: str) -> str:
        """Append `expression` and return the name of its value."""
        self._next += 1
        name = f"%v{self._next}"
        self.lines.append(f"  {name} = {expression}")
        return name

    def start(self, block: str) -> None:
        """Begin a block."""
        self.lines.append(f"{block}:")
        self.block = block

    def branch(self, bit, yes: str, no: str, weight: str = "") -> None:
        """End the block by a condition. `weight` is LIKELY or UNLIKELY where it is known."""
        weight = weight and ", " + weight
        self.put(f"br i1 {bit_text(bit)}, label %{yes}, label %{no}{weight}")

    def goto(self, block: str) -> None:
        self.put(f"br label %{block}")

    def call(self, result: str, function: str, *arguments: str, attributes: str = "") -> str:
        """Call a declared LLVM function; arguments are `type value`."""
        types = ", ".join(argument.rsplit(" ", 1)[0] for argument in arguments)
        self.declared.add(f"declare {result} @{function}({types})")
        text = f"call {result} @{function}({', '.join(arguments)}){attributes}"
        if result == "void":
            self.put(text)
            return ""
        return self.value(text)

    def word(self, ref) -> Ssa:
        return Ssa(self, ref)

    def address(self, base: str, offset) -> str:
        """The pointer `offset` bytes (an int or a word) behind base."""
        if isinstance(offset, Ssa):
            offset = offset.text
        address = self.value(f"getelementptr i8, {typed(base)}, i64 {offset}")
        return f"{IN_STATE} {address}" if base.startswith(IN_STATE) else address

    def load(self, pointer: str, bits: int = 64) -> Ssa:
        """The word of `bits` at a pointer, zero-extended."""
        value = self.value(f"load i{bits}, {typed(pointer)}, align {1 if bits < 64 else 8}")
        if bits < 64:
            value = self.value(f"zext i{bits} {value} to i64")
        return Ssa(self, value)

    def store(self, pointer: str, word, bits: int = 64) -> None:
        """Put the low `bits` of a word at a pointer."""
        value = text_of(word)
        if bits < 64:
            if isinstance(word, int) or isinstance(word, Ssa) and isinstance(word.ref, int):
                value = str(int(value) & ((1 << bits) - 1))
            else:
                value = self.value(f"trunc i64 {value} to i{bits}")
        self.put(f"store i{bits} {value}, {typed(pointer)}, align {1 if bits < 64 else 8}")


def in_state(offset: int) -> str:
    """A pointer to the byte `offset` of the state, relative to GS."""
    return f"{IN_STATE} inttoptr (i64 {offset} to {IN_STATE})"


def typed(pointer: str) -> str:
    """A pointer with its type: one of this process's addresses unless it says otherwise."""
    return pointer if pointer.startswith("ptr ") else f"ptr {pointer}"


def text_of(word) -> str:
    """An LLVM operand of type i64 for a word or an int."""
    if isinstance(word, Ssa):
        return word.text
    return str(num.signed(word))


def bit_text(bit) -> str:
    """An LLVM operand of type i1 for a bit or a bool."""
    ref = bit.ref if isinstance(bit, SsaBit) else bit
    if isinstance(ref, str):
        return ref
    return "true" if ref else "false"


def apply(self, op: str, *operands):
    """Both readers' `apply`: fold what is known, write LLVM for the rest."""
    known = [operand.ref if isinstance(operand, Ssa | SsaBit) else operand for operand in operands]
    if all(isinstance(operand, int) for operand in known):
        values = [operand & MASK for operand in known]
        if op in num.WORDS:
            return Ssa(self.code, num.WORDS[op](*values) & MASK)
        return SsaBit(self.code, bool(num.TRUTHS[op](*values)))
    return _WRITERS[op](self.code, *operands)


class SsaBit(Bit):
    """A Bit as an LLVM i1, or a bool that is known."""

    __slots__ = ("code", "ref")

    def __init__(self, code: Code, ref: str | bool):
        self.code = code
        self.ref = ref

    apply = apply


class Ssa(Word):
    """A Word as an LLVM i64 (or double: its bits are meant), or an int that is known."""

    __slots__ = ("code", "ref", "double")

    def __init__(self, code: Code, ref: str | int, double: str | None = None):
        self.code = code
        self.ref = ref
        self.double = double

    apply = apply

    @property
    def text(self) -> str:
        """The LLVM operand of type i64."""
        if self.ref is None:
            self.ref = self.code.value(f"bitcast double {self.double} to i64")
        return str(num.signed(self.ref)) if isinstance(self.ref, int) else self.ref

    @property
    def double_text(self) -> str:
        """The LLVM operand of type double with these bits."""
        if self.double is None:
            self.double = self.code.value(f"bitcast i64 {self.text} to double")
        return self.double


def _simple(op):
    return lambda code, a, b: Ssa(code, code.value(f"{op} i64 {text_of(a)}, {text_of(b)}"))


def _compare(op):
    return lambda code, a, b: SsaBit(code, code.value(f"icmp {op} i64 {text_of(a)}, {text_of(b)}"))


def _shift(op):
    def write(code, a, amount):
        known = amount.ref if isinstance(amount, Ssa) else amount
        if isinstance(known, int):
            amount = known & 63
        else:
            amount = code.value(f"and i64 {text_of(amount)}, 63")
        return Ssa(code, code.value(f"{op} i64 {text_of(a)}, {amount}"))

    return write


def _wide(first, second):
    def write(code, a, b):
        a = code.value(f"{first} i64 {text_of(a)} to i128")
        b = code.value(f"{second} i64 {text_of(b)} to i128")
        product = code.value(f"mul i128 {a}, {b}")
        high = code.value(f"lshr i128 {product}, 64")
        return Ssa(code, code.value(f"trunc i128 {high} to i64"))

    return write


def _divide(op, signed, by_zero):
    def write(code, a, b):
        a, b = text_of(a), text_of(b)
        zero = code.value(f"icmp eq i64 {b}, 0")
        unsafe = zero
        if signed:
            lowest = code.value(f"icmp eq i64 {a}, {num.signed(num.MIN)}")
            minus = code.value(f"icmp eq i64 {b}, -1")
            both = code.value(f"and i1 {lowest}, {minus}")
            unsafe = code.value(f"or i1 {zero}, {both}")
        # Dividing by 1 instead gives MIN and 0, what MIN / -1 is to give.
        divisor = code.value(f"select i1 {unsafe}, i64 1, i64 {b}")
        result = code.value(f"{op} i64 {a}, {divisor}")
        otherwise = a if by_zero is None else by_zero
        return Ssa(code, code.value(f"select i1 {zero}, i64 {otherwise}, i64 {result}"))

    return write


def _extend(op):
    def write(code, a, bits):
        if bits in (8, 16, 32):
            low = code.value(f"trunc i64 {text_of(a)} to i{bits}")
            return Ssa(code, code.value(f"{op} i{bits} {low} to i64"))
        if op == "zext":
            return a & ((1 << bits) - 1)
        return a.shl(64 - bits).sar(64 - bits)

    return write


def _count(name):
    return lambda code, a: Ssa(
        code, code.call("i64", f"llvm.{name}.i64", f"i64 {text_of(a)}", "i1 false")
    )


def _intrinsic(name):
    return lambda code, a: Ssa(code, code.call("i64", f"llvm.{name}.i64", f"i64 {text_of(a)}"))


def _on_bits(op):
    return lambda code, a, b: SsaBit(code, code.value(f"{op} i1 {bit_text(a)}, {bit_text(b)}"))


def _select(code, bit, a, b):
    known = bit.ref
    if not isinstance(known, str):
        return _as_word(code, a if known else b)
    bit = bit_text(bit)
    return Ssa(code, code.value(f"select i1 {bit}, i64 {text_of(a)}, i64 {text_of(b)}"))


def _as_word(code, value):
    return value if isinstance(value, Ssa) else Ssa(code, value & MASK)


_WRITERS = (
    {op: _simple(text) for op, text in SIMPLE.items()}
    | {op: _compare(text) for op, text in COMPARISONS.items()}
    | {op: _shift(text) for op, text in SHIFTS.items()}
    | {op: _wide(*extensions) for op, extensions in WIDE.items()}
    | {op: _count(text) for op, text in COUNTS.items()}
    | {
        "sdiv": _divide("sdiv", True, "-1"),
        "udiv": _divide("udiv", False, "-1"),
        "srem": _divide("srem", True, None),
        "urem": _divide("urem", False, None),
        "sext": _extend("sext"),
        "zext": _extend("zext"),
        "cpop": _intrinsic("ctpop"),
        "bswap": _intrinsic("bswap"),
        "bit_and": _on_bits("and"),
        "bit_or": _on_bits("or"),
        "bit_not": lambda code, a: SsaBit(code, code.value(f"xor i1 {bit_text(a)}, true")),
        "bit_word": lambda code, a: Ssa(code, code.value(f"zext i1 {bit_text(a)} to i64")),
        "select": _select,
    }
)
