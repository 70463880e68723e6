"""How a tracepoint's raw bytes become text: its fields, and its `print fmt`.

A format (tracefs' events/*/*/format) lists the fields and has the arguments of a printf in C. They
are evaluated as libtraceevent does, which reads all numbers unsigned and in 64 bits. What it can't
parse it prints field by field after [FAILED TO PARSE], and so do we.
"""

import re
from collections.abc import Callable

from isa.record import Record

FIELD = re.compile(r"^\s*field:(.*?);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d+);)?", re.M)
TOKEN = re.compile(
    r"""\s+|(?P<string>"(?:[^"\\]|\\.)*")|(?P<char>'(?:[^'\\]|\\.)')"""
    r"""|(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<op>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(),.{}\[\]])"""
)
PRECEDENCE = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"),
    ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
CONVERSION = re.compile(r"%(%|[-#0-9.*hlLzZ]*(?:p(?:[FfSs]|[Mm][RF]?|h[CDN]?)?|[duixXos]))")
BROKEN = re.compile(r"%[-#0-9.*hlLzZ]*(.)", re.S)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
KNOWN = {
    "HI_SOFTIRQ": 0, "TIMER_SOFTIRQ": 1, "NET_TX_SOFTIRQ": 2, "NET_RX_SOFTIRQ": 3,
    "BLOCK_SOFTIRQ": 4, "IRQ_POLL_SOFTIRQ": 5, "TASKLET_SOFTIRQ": 6, "SCHED_SOFTIRQ": 7,
    "HRTIMER_SOFTIRQ": 8, "RCU_SOFTIRQ": 9, "HRTIMER_NORESTART": 0, "HRTIMER_RESTART": 1,
}  # fmt: skip
"""Names of values that formats keep."""
WIDTHS = {"char": 1, "u8": 1, "s8": 1, "short": 2, "u16": 2, "s16": 2, "int": 4, "u32": 4, "s32": 4}
TYPE_WORDS = {
    "unsigned", "signed", "char", "short", "int", "long", "void", "struct", "const", "bool", "enum",
    "union", "volatile", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "size_t", "ssize_t",
    "pid_t", "uid_t", "gid_t", "dev_t", "sector_t", "loff_t", "umode_t", "gfp_t", "__u8", "__u16",
    "__u32", "__u64", "__s8", "__s16", "__s32", "__s64",
}  # fmt: skip
MASK = (1 << 64) - 1
DEEPEST = 200
"""Nested parentheses that are followed."""


class FormatError(ValueError):
    """A print fmt that isn't understood."""


class Field(Record):
    """A field of a tracepoint, as its format declares it."""

    name: str
    type: str
    offset: int
    size: int
    signed: bool
    array: bool
    length: int
    """Elements of an array; 0 if that isn't declared."""

    @property
    def dynamic(self) -> bool:
        return self.type.startswith(("__data_loc", "__rel_loc"))

    @property
    def relative(self) -> bool:
        return self.type.startswith("__rel_loc")

    @property
    def textual(self) -> bool:
        return self.array and any(word in self.type for word in ("char", "u8", "s8"))

    def number(self, data: bytes) -> int:
        return int.from_bytes(data[self.offset : self.offset + self.size], "little")

    def bytes(self, data: bytes) -> bytes:
        """The contents of an array, wherever they are."""
        if not self.dynamic:
            return data[self.offset : self.offset + self.size or None]
        place = self.number(data)
        at = place & 0xFFFF
        if self.relative:
            at += self.offset + self.size
        return data[at : at + (place >> 16)]

    def shown(self, data: bytes) -> str:
        """perf's text for it outside of a print fmt."""
        if self.array:
            contents = self.bytes(data)
            cut = contents.split(b"\0", 1)[0]
            if self.textual and all(32 <= c < 127 or 9 <= c <= 13 for c in cut):
                return text(cut)
            return f"ARRAY[{', '.join(f'{byte:02x}' for byte in contents)}]"
        value = self.number(data)
        if "*" in self.type:
            return f"0x{value:x}"
        if not self.signed:
            return f"0x{value:x}" if "long" in self.type else str(value)
        signed = wrapped(value, self.size)
        if self.size == 4 and "long" in self.type:
            return f"0x{value & 0xFFFFFFFF:x}"
        return f"{signed:2d}" if self.size == 2 else str(signed)


def wrapped(value: int, size: int) -> int:
    """The value as a signed number of so many bytes."""
    bits = 8 * (size or 8)
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def fields_of(format_text: str) -> dict[str, Field]:
    """The fields by name, those that all tracepoints have first."""
    found = {}
    for declared, offset, size, signed in FIELD.findall(format_text):
        match = re.match(r"(.*?)(\w+)\s*(\[[^]]*\])?\s*$", declared, re.S)
        if not match:
            continue
        kind, name, brackets = match[1].strip(), match[2], match[3]
        length = int(brackets[1:-1]) if brackets and brackets[1:-1].isdigit() else 0
        array = bool(brackets) or "[" in kind
        field = Field(name, kind, int(offset), int(size), signed == "1", array, length)
        found[name] = field
    return found


class Printer:
    """Prints the samples of one tracepoint.

    printer = Printer(format_text, resolve)
    printer(raw)

    `resolve(address)` gives (name, start) of the kernel's function at an address, or None.
    """

    def __init__(self, format_text: str, resolve: Callable | None = None):
        self.fields = fields_of(format_text)
        self.resolve = resolve
        _, _, fmt = format_text.partition("print fmt:")
        self._pieces = None
        try:
            parser = Parser(fmt.strip(), self.fields)
            self._pieces = self._compiled(*parser.whole())
        except (FormatError, RecursionError):
            pass

    def __call__(self, data: bytes) -> str:
        if self._pieces is None:
            own = [field for name, field in self.fields.items() if not name.startswith("common_")]
            shown = "".join(f" {field.name}={field.shown(data)}" for field in own)
            return f"[FAILED TO PARSE]{shown}"
        return "".join([piece if type(piece) is str else piece(data) for piece in self._pieces])

    def _compiled(self, fmt: str, arguments: list) -> list:
        """Literal text, and functions from the data to text."""
        pieces, at = [], 0
        rest = list(arguments)
        while at < len(fmt):
            next_at = fmt.find("%", at)
            if next_at < 0:
                pieces.append(unescaped(fmt[at:]))
                break
            pieces.append(unescaped(fmt[at:next_at]))
            match = CONVERSION.match(fmt, next_at)
            if match is None:
                broken = BROKEN.match(fmt, next_at)
                if broken is None:
                    break
                pieces.append(f">{broken[1]}<")
                at = broken.end()
                continue
            at = match.end()
            if match[1] == "%":
                pieces.append("%")
                continue
            length = None
            if "*" in match[1]:
                if not rest:
                    raise FormatError("no argument match")
                length = rest.pop(0)
            if not rest:
                raise FormatError("no argument match")
            pieces.append(self._conversion(match[1], rest.pop(0), length))
        return [piece for piece in pieces if piece != ""]

    def _conversion(self, how: str, argument, length):
        if "p" in how:
            return self._pointer(how[how.index("p") + 1 :], argument, length)
        kind = how[-1]
        longs = how.count("l") + 2 * how.count("L") - how.count("h")
        shape = re.sub("[hlLzZ]", "", how[:-1])

        def shaped(data) -> str:
            if length is None:
                return shape
            count = wrapped(length.number(data), 4)
            return shape.replace("*", str(count)) if count >= 0 else shape.replace(".*", "")

        if kind == "s":
            return lambda data: argument.text(data, shaped(data))
        if not -2 <= longs <= 2:
            raise FormatError("bad count")
        size = {-2: 1, -1: 2, 0: 4, 1: 8, 2: 8}[longs]

        def number(data) -> str:
            value = argument.number(data)
            if kind in "di":
                return f"%{shaped(data)}d" % wrapped(value, size)
            value &= (1 << 8 * size) - 1
            form = shaped(data)
            if kind == "u":
                return f"%{form}d" % value
            if "#" in form and (kind == "o" or not value):
                form = form.replace("#", "")
                if kind == "o" and value:
                    return "0" + f"%{form}o" % value
            return f"%{form}{kind}" % value

        return number

    def _pointer(self, extension: str, argument, length):
        def address(data) -> str:
            value = argument.number(data)
            return f"0x{value:x}" if value else "(nil)"

        def function(data) -> str:
            value = argument.number(data)
            found = self.resolve(value) if self.resolve else None
            if not found:
                return f"0x{value:x}"
            offset = f"+0x{value - found[1]:x}" if extension[0] in "FS" else ""
            return found[0] + offset

        def mac(data) -> str:
            octets = argument.contents(data)[:6]
            if len(octets) < 6:
                return "INVALIDMAC"
            if extension[1:] == "R":
                octets = octets[::-1]
            separator = {"": ":", "F": "-", "R": ":"}[extension[1:]]
            return (separator if extension[0] == "M" else "").join(f"{o:02x}" for o in octets)

        def buffer(data) -> str:
            octets = argument.contents(data)
            count = length.number(data) if length else 1
            separator = {"": " ", "C": ":", "D": "-", "N": ""}[extension[1:]]
            return separator.join(f"{octet:02x}" for octet in octets[:count])

        if isinstance(argument, Text):
            return argument.value
        if not extension:
            return address
        return {"M": mac, "m": mac, "h": buffer}.get(extension[0], function)


def unescaped(fmt: str) -> str:
    return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), fmt, flags=re.S)


def printed(shape: str, value: str) -> str:
    """A text by the flags, width and precision of its %s (`shape` starts with the flags)."""
    try:
        return f"%{shape.replace('#', '').removeprefix('%')}s" % value
    except ValueError:
        return value


# --- arguments: each has `number(data)`, `text(data, shape)` and `contents(data)`


class Node:
    """An expression. What is no number is 0, what is no text is empty."""

    def number(self, data: bytes) -> int:
        return 0

    def text(self, data: bytes, shape: str = "") -> str:
        return ""

    def contents(self, data: bytes) -> bytes:
        return b""


class Text(Node):
    def __init__(self, value: str):
        self.value = value

    def text(self, data, shape=""):
        return printed(shape, self.value)


class Number(Node):
    def __init__(self, value: int, written: str = ""):
        self.value, self.written = value & MASK, written

    def number(self, data):
        return self.value

    def text(self, data, shape=""):
        return printed(shape, self.written)


class OfField(Node):
    """REC->name."""

    def __init__(self, field: Field):
        self.field = field

    def number(self, data):
        return self.field.number(data)

    def text(self, data, shape=""):
        if not self.field.array and self.field.size == 8:
            return f"{self.field.number(data):x}"
        start = self.field.offset
        cut = data[start : start + self.field.size if self.field.size else None]
        return printed(shape, text(cut.split(b"\0", 1)[0]))

    def contents(self, data):
        return data[self.field.offset :]


class Element(Node):
    """REC->name[index]."""

    def __init__(self, array: Node, index: Node):
        self.array, self.index = array, index

    def number(self, data):
        index = self.index.number(data)
        if isinstance(self.array, OfField):
            field = self.array.field
            size = field.size // field.length if field.length else 1
        else:
            size = getattr(self.array, "width", 1)
        if index > 1 << 16:
            return 0
        contents = self.array.contents(data)
        return int.from_bytes(contents[index * size : (index + 1) * size], "little")


class Dynamic(Node):
    """__get_str, __get_dynamic_array and their like, of a field whose data are elsewhere."""

    def __init__(self, field: Field, kind: str):
        self.field, self.kind, self.width = field, kind, 1

    def number(self, data):
        place = self.field.number(data)
        return place >> 16 if self.kind.endswith("_len") else place & 0xFFFF

    def text(self, data, shape=""):
        if self.kind.endswith("bitmask"):
            return printed(shape, bitmask(self.field.bytes(data)))
        place = self.field.number(data)
        at = place & 0xFFFF
        if self.field.relative:
            at += self.field.offset + self.field.size
        return printed(shape, text(data[at:].split(b"\0", 1)[0]))

    def contents(self, data):
        return self.field.bytes(data)


def bitmask(data: bytes) -> str:
    """Hexadecimal, the highest byte first, a comma every 32 bits."""
    shown = [f"{byte:02x}" for byte in data]
    words = ["".join(reversed(shown[at : at + 4])) for at in range(0, len(shown), 4)]
    return ",".join(reversed(words))


class Cast(Node):
    """(type)expression. Narrow types cut, none extends a sign."""

    def __init__(self, kind: str, value: Node):
        self.value = value
        self.pointer = kind.endswith("*")
        self.width = WIDTHS.get(kind.removesuffix("*").strip().removeprefix("unsigned "), 8)

    def number(self, data):
        value = self.value.number(data)
        return value if self.pointer else value & (1 << 8 * self.width) - 1

    def text(self, data, shape=""):
        return self.value.text(data, shape) if self.pointer else ""

    def contents(self, data):
        return self.value.contents(data)


class Unary(Node):
    def __init__(self, operator: str, value: Node):
        self.operator, self.value = operator, value

    def number(self, data):
        value = self.value.number(data)
        if self.operator == "!":
            return int(not value)
        return (~value if self.operator == "~" else -value) & MASK


class Binary(Node):
    def __init__(self, operator: str, left: Node, right: Node):
        self.operator, self.left, self.right = operator, left, right

    def number(self, data):
        a, operator = wrapped(self.left.number(data), 8), self.operator
        if operator == "&&":
            return int(bool(a and self.right.number(data)))
        if operator == "||":
            return int(bool(a or self.right.number(data)))
        b = wrapped(self.right.number(data), 8)
        return OPERATIONS[operator](a, b) & MASK


def divided(a: int, b: int) -> int:
    """C's division; libtraceevent would crash on 0."""
    if not b:
        return 0
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


OPERATIONS = {
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": divided,
    "%": lambda a, b: a - divided(a, b) * b,
}


class Choice(Node):
    """condition ? one : other."""

    def __init__(self, condition: Node, one: Node, other: Node):
        self.condition, self.one, self.other = condition, one, other

    def _chosen(self, data) -> Node:
        return self.one if self.condition.number(data) else self.other

    def number(self, data):
        return self._chosen(data).number(data)

    def text(self, data, shape=""):
        return self._chosen(data).text(data, shape)

    def contents(self, data):
        return self._chosen(data).contents(data)


class Symbolic(Node):
    """__print_symbolic: the name of a value."""

    def __init__(self, value: Node, names: list[tuple[int, str]]):
        self.value, self.names = value, names

    def text(self, data, shape=""):
        value = self.value.number(data)
        for number, name in self.names:
            if number == value:
                return printed(shape, name)
        return f"0x{value:x}"


class Flags(Node):
    """__print_flags: the names of the bits of a value."""

    def __init__(self, value: Node, delimiter: str, names: list[tuple[int, str]]):
        self.value, self.delimiter, self.names = value, delimiter, names

    def text(self, data, shape=""):
        value, shown = self.value.number(data), []
        for number, name in self.names:
            if not value and wrapped(number, 8) < 0:
                shown.append(printed(shape, name))
                break
            if wrapped(number, 8) > 0 and value & number == number:
                shown.append(printed(shape, name))
                value &= ~number
        if value:
            shown.append(f"0x{value:x}")
        return self.delimiter.join(shown)


class Hex(Node):
    """__print_hex and __print_hex_str."""

    def __init__(self, array: Node, size: Node, separator: str):
        self.array, self.size, self.separator = array, size, separator

    def text(self, data, shape=""):
        shown = self.array.contents(data)[: self.size.number(data)]
        return self.separator.join(f"{byte:02x}" for byte in shown)


class Array(Node):
    """__print_array."""

    def __init__(self, array: Node, count: Node, size: Node):
        self.array, self.count, self.size = array, count, size

    def text(self, data, shape=""):
        contents, size = self.array.contents(data), self.size.number(data)
        if size not in (1, 2, 4, 8):
            return ""
        count = min(self.count.number(data), len(contents) // size)
        return " ".join(
            str(int.from_bytes(contents[at * size : (at + 1) * size], "little"))
            for at in range(count)
        )


class Parser:
    """Recursive descent over the C of a print fmt. Raises FormatError."""

    def __init__(self, source: str, fields: dict[str, Field]):
        self.fields = fields
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(source):
            match = TOKEN.match(source, at)
            if match is None:
                raise FormatError(f"what is {source[at : at + 10]!r}?")
            at = match.end()
            if match.lastgroup:
                self.tokens.append((match.lastgroup, match[0]))
        self.at = 0
        self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if not token or (wanted is not None and token != wanted):
            raise FormatError(f"{wanted or 'more'} expected, not {token!r}")
        self.at += 1
        return token

    def string(self) -> str:
        """One or more literals after each other, without their quotes."""
        if self.kind() != "string":
            raise FormatError(f"a string expected, not {self.peek()!r}")
        parts = []
        while self.kind() == "string":
            parts.append(self.take()[1:-1])
        return "".join(parts)

    def whole(self) -> tuple[str, list[Node]]:
        fmt = self.string()
        arguments = []
        while self.peek():
            self.take(",")
            arguments.append(self.expression())
        return fmt, arguments

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise FormatError("too deep")
        condition = self.binary(0)
        if self.peek() == "?":
            self.take()
            one = self.expression()
            self.take(":")
            condition = Choice(condition, one, self.expression())
        self.depth -= 1
        return condition

    def binary(self, level: int) -> Node:
        if level == len(PRECEDENCE):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in PRECEDENCE[level] and self.kind() == "op":
            operator = self.take()
            left = Binary(operator, left, self.binary(level + 1))
        return left

    def unary(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise FormatError("too deep")
        try:
            if self.kind() == "op" and self.peek() in "!~-+":
                operator = self.take()
                value = self.unary()
                return value if operator == "+" else Unary(operator, value)
            if self.peek() == "(" and self._type_follows():
                self.take("(")
                words = []
                while self.peek() != ")":
                    words.append(self.take())
                self.take(")")
                return Cast(" ".join(words), self.unary())
            return self.postfix()
        finally:
            self.depth -= 1

    def _type_follows(self) -> bool:
        """Is this parenthesis a cast?"""
        at = self.at + 1
        words = []
        while at < len(self.tokens) and (self.tokens[at][0] == "name" or self.tokens[at][1] == "*"):
            words.append(self.tokens[at][1])
            at += 1
        closed = at < len(self.tokens) and self.tokens[at][1] == ")"
        named = [word for word in words if word != "*"]
        return closed and bool(named) and (named[0] in TYPE_WORDS or words[-1] == "*")

    def postfix(self) -> Node:
        value = self.primary()
        while self.peek() == "[":
            self.take()
            value = Element(value, self.expression())
            self.take("]")
        return value

    def primary(self) -> Node:
        kind = self.kind()
        if kind == "string":
            return Text(unescaped(self.string()))
        if kind == "char":
            return Number(ord(unescaped(self.take()[1:-1])))
        if kind == "number":
            written = self.take()
            return Number(integer(written), written)
        if kind == "name":
            return self.named(self.take())
        self.take("(")
        value = self.expression()
        self.take(")")
        return value

    def field(self) -> Field:
        name = self.take()
        if name not in self.fields:
            raise FormatError(f"there is no field {name}")
        return self.fields[name]

    def named(self, name: str) -> Node:
        if name == "REC":
            self.take("->")
            return OfField(self.field())
        if self.peek() != "(":
            if name in KNOWN:
                return Number(KNOWN[name], name)
            raise FormatError(f"what is {name}?")
        self.take("(")
        value = self.call(name)
        self.take(")")
        return value

    def call(self, name: str) -> Node:
        if name in (
            "__get_str", "__get_dynamic_array", "__get_dynamic_array_len", "__get_bitmask",
            "__get_rel_str", "__get_rel_dynamic_array", "__get_rel_dynamic_array_len",
            "__get_rel_bitmask",
        ):  # fmt: skip
            return Dynamic(self.field(), name)
        if name in ("__print_hex", "__print_hex_str"):
            array = self.expression()
            self.take(",")
            return Hex(array, self.expression(), " " if name == "__print_hex" else "")
        if name == "__print_array":
            array = self.expression()
            self.take(",")
            count = self.expression()
            self.take(",")
            return Array(array, count, self.expression())
        if name in ("__print_symbolic", "__print_symbolic_u64"):
            value = self.expression()
            return Symbolic(value, self.names())
        if name in ("__print_flags", "__print_flags_u64"):
            value = self.expression()
            self.take(",")
            delimiter = unescaped(self.string()) if self.kind() == "string" else self.take() and ""
            return Flags(value, delimiter, self.names())
        if name == "__builtin_expect":
            value = self.expression()
            self.take(",")
            self.expression()
            return value
        if name in ("__builtin_constant_p", "sizeof"):
            while self.peek() != ")":
                self.take()
            return Number(0)
        raise FormatError(f"what is {name}()?")

    def names(self) -> list[tuple[int, str]]:
        """`, { value, "name" }` again and again."""
        found = []
        while self.peek() == ",":
            self.take()
            self.take("{")
            value = self.expression().number(b"") if self.peek() else 0
            self.take(",")
            name = unescaped(self.string())
            self.take("}")
            found.append((value & MASK, name))
        return found


def integer(written: str) -> int:
    """A C constant."""
    digits = written.rstrip("uUlL")
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    if digits.startswith("0") and digits.isdigit() and len(digits) > 1:
        return int(digits, 8) if all(c < "8" for c in digits) else 0
    return int(digits)
