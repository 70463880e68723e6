"""The machine as native code sees it: memory through the software TLB, and the host's floating
point, for both tiers. A tier adds how it keeps registers, jumps, and gives an instruction up.
"""

from __future__ import annotations

import struct

from isa.spec import Insn
from rvperf.engine import layout
from rvperf.engine.layout import ENGINE
from rvperf.engine.ssa import LIKELY, UNLIKELY, Code, Ssa, SsaBit, text_of
from rvperf.machine.state import HART

DYNAMIC = 7
NX, NV = 1, 16
# The CSRs that native code has, by their numbers: the rest is the Python reader's.
FFLAGS, FRM, FCSR = NATIVE_CSRS = (1, 2, 3)
# The host's control register: flags IE ZE OE UE PE by bit, which are NV DZ OF UF NX by bit here.
HOST_FLAGS = ((0, 4), (2, 3), (3, 2), (4, 1), (5, 0))
HOST_FLAG_BITS = 0x3F
HOST_DEFAULT = 0x1F80  # all exceptions masked, to nearest
HOST_ROUNDING = 13  # the place of its rounding mode
HOST_ROUNDING_OF = 0b10_01_11_00  # two bits for each of RNE RTZ RDN RUP
INFINITY = {32: 0xFF << 23, 64: 0x7FF << 52}
TYPE = {32: "float", 64: "double"}
SUFFIX = {32: "f32", 64: "f64"}
ROUND_TO_INTEGRAL = {0: "roundeven", 1: "trunc", 2: "floor", 3: "ceil", DYNAMIC: "nearbyint"}
STRICT = 'metadata !"fpexcept.strict"'
ROUNDED = 'metadata !"round.dynamic"'


def is_native(insn: Insn, operands: dict[str, int]) -> bool:
    """Whether native code executes an instruction with these operands."""
    return insn.native or insn.kind == "csr" and operands["csr"] in NATIVE_CSRS


def needs_floats(kind: str) -> bool:
    """Whether an instruction of a kind is floating point's, fcsr included."""
    return kind.startswith("fp-") or kind == "csr"


def double_literal(value: float) -> str:
    """A double as LLVM writes it exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Native:
    """`m` for native code. `code` is the function being written; `%state` its first argument."""

    def __init__(self, code: Code):
        self.code = code

    # What a tier gives.

    def give_up(self) -> None:
        """End the block: leave this instruction, not yet done, to the Python reader."""
        raise NotImplementedError

    def missed(self, addr: Ssa, access: int) -> None:
        """End the block: the TLB (its tag at `access`) has no mapping for addr; nothing is done."""
        raise NotImplementedError

    def jump(self, target, when=None) -> None:
        raise NotImplementedError

    # The shared state.

    def field(self, name: str, index: int = 0) -> str:
        """A pointer to a field of the state."""
        offset = HART.offsets.get(name)
        if offset is None:
            offset = ENGINE[name]
        return self.code.address("%state", offset + 8 * index)

    def read_field(self, name: str) -> Ssa:
        return self.code.load(self.field(name))

    def bump(self, name: str, by) -> None:
        """Add to a counter of the state."""
        pointer = self.field(name)
        self.code.store(pointer, self.code.load(pointer) + by)

    # Memory.

    def _host(self, addr: Ssa, size: int, access: int, aligned: bool = False) -> str:
        """A pointer to the `size` bytes at addr; leaves by `missed` if the TLB doesn't give one."""
        addend = self._probe(addr, size, access, aligned)
        return self.code.value(f"inttoptr i64 {(addr + addend).text} to ptr")

    def _probe(self, addr: Ssa, size: int, access: int, aligned: bool) -> Ssa:
        """Look addr up in the TLB: what to add to reach it. Goes on where it is found.

        A tag equals the address only if that lies on the page and is a multiple of size; else,
        unless it has to be `aligned`, it is still good if all bytes lie on the page.
        """
        code = self.code
        offset = addr.shr(7) & ((layout.TLB_ENTRIES - 1) * layout.TLB_ENTRY)
        entry = code.address(self.field("tlb"), offset)
        tag = code.load(code.address(entry, access))
        hit, miss = code.fresh("hit"), code.fresh("miss")
        unless_hit = code.fresh("odd") if size > 1 and not aligned else miss
        code.branch(tag == (addr & (~0xFFF | size - 1)), hit, unless_hit, LIKELY)
        if unless_hit != miss:
            code.start(unless_hit)
            on_page = (tag == (addr & ~0xFFF)) & (addr & 0xFFF).ult(4096 - size + 1)
            code.branch(on_page, hit, miss)
        code.start(miss)
        self.missed(addr, access)
        code.start(hit)
        return code.load(code.address(entry, layout.TLB_ADDEND))

    def load(self, addr, size: int) -> Ssa:
        return self._load(self._host(addr, size, layout.TLB_LOAD), size)

    def _load(self, pointer: str, size: int) -> Ssa:
        bits = 8 * size
        value = self.code.value(f"load i{bits}, ptr {pointer}, align 1")
        if bits < 64:
            value = self.code.value(f"zext i{bits} {value} to i64")
        return Ssa(self.code, value)

    def store(self, addr, size: int, value) -> None:
        pointer = self._host(addr, size, layout.TLB_STORE)
        if size == 8 and isinstance(value, Ssa) and value.double is not None:
            self.code.put(f"store double {value.double}, ptr {pointer}, align 1")
            return
        self._put(pointer, size, value)

    def _put(self, pointer: str, size: int, value) -> None:
        if size < 8:
            self.code.store(pointer, value, 8 * size)
        else:
            self.code.put(f"store i64 {text_of(value)}, ptr {pointer}, align 1")

    def load_reserved(self, addr, size: int) -> Ssa:
        pointer = self._host(addr, size, layout.TLB_LOAD, aligned=True)
        self.code.store(self.field("reservation"), addr)
        return self._load(pointer, size)

    def store_conditional(self, addr, size: int, value) -> Ssa:
        pointer = self._host(addr, size, layout.TLB_STORE, aligned=True)
        held = self.field("reservation")
        holds = self.code.load(held) == addr
        self.code.store(held, layout.NO_TAG)
        old = self._load(pointer, size)
        new = holds.apply("select", holds, value, old)
        self.code.store(pointer, new, 8 * size)
        return (~holds).word()

    def amo(self, addr, size: int, change) -> Ssa:
        pointer = self._host(addr, size, layout.TLB_STORE, aligned=True)
        old = self._load(pointer, size)
        self.code.store(pointer, change(old), 8 * size)
        return old

    # Floating point, by the host's unit: its rounding mode is the guest's frm and its flags accrue
    # the guest's while native code runs. Strict intrinsics keep both in order.

    def raise_flags(self, flags) -> None:
        """Accrue flags (a word) that the host's unit has not seen."""
        pointer = self.field("fflags")
        self.code.store(pointer, self.code.load(pointer) | flags)

    def plain_field(self, name: str) -> str:
        """A pointer to an engine's field of the state that functions can be given."""
        return self.field(name)

    def host_control(self) -> Ssa:
        """The host's control and status register."""
        pointer = self.plain_field("mxcsr")
        self.code.call("void", "llvm.x86.sse.stmxcsr", f"ptr {pointer}")
        return self.code.load(pointer, 32)

    def set_host_control(self, value) -> None:
        """Write the host's control and status register."""
        pointer = self.plain_field("mxcsr")
        self.code.store(pointer, value, 32)
        self.code.call("void", "llvm.x86.sse.ldmxcsr", f"ptr {pointer}")

    def host_control_for(self, frm) -> Ssa:
        """The host's register for rounding mode frm (0 to 3), with no flags raised."""
        rounding = Ssa(self.code, HOST_ROUNDING_OF).shr(frm.shl(1)) & 3
        return rounding.shl(HOST_ROUNDING) | HOST_DEFAULT

    def host_flags(self) -> Ssa:
        """The flags that the host's unit has accrued, as fflags has them."""
        control, flags = self.host_control(), Ssa(self.code, 0)
        for host, guest in HOST_FLAGS:
            flags = flags | (control.shr(host) & 1).shl(guest)
        return flags

    def read_csr(self, csr, writes=False) -> Ssa:
        number = csr.ref
        frm = self.read_field("frm")
        if number == FRM:
            return frm
        fflags = self.read_field("fflags") | self.host_flags()
        return fflags if number == FFLAGS else frm.shl(5) | fflags

    def write_csr(self, csr, value) -> None:
        code, number = self.code, csr.ref
        frm = self.read_field("frm")
        if number != FFLAGS:
            frm = value.shr(5 if number == FCSR else 0) & 7
            slow, on = code.fresh("slow"), code.fresh("on")
            code.branch(frm.uge(4), slow, on, UNLIKELY)
            code.start(slow)
            self.give_up()  # a mode that the host's unit doesn't have
            code.start(on)
            code.store(self.field("frm"), frm)
        if number == FRM:
            flags = self.host_control() & HOST_FLAG_BITS
            self.set_host_control(self.host_control_for(frm) | flags)
            return
        code.store(self.field("fflags"), value & 31)
        self.set_host_control(self.host_control_for(frm))

    def _operand(self, fmt: int, word) -> str:
        if fmt == 64:
            return word.double_text
        low = self.code.value(f"trunc i64 {text_of(word)} to i32")
        return self.code.value(f"bitcast i32 {low} to float")

    def _result(self, fmt: int, value: str) -> Ssa:
        if fmt == 64:
            return Ssa(self.code, None, value)
        bits = self.code.value(f"bitcast float {value} to i32")
        return Ssa(self.code, self.code.value(f"zext i32 {bits} to i64"))

    def _strict(self, result: str, name: str, *arguments: str, rounded: bool = True) -> str:
        extra = (ROUNDED, STRICT) if rounded else (STRICT,)
        full = f"llvm.experimental.constrained.{name}"
        types = [argument.rsplit(" ", 1)[0] for argument in arguments]
        declared = ", ".join([*types, *["metadata"] * len(extra)])
        self.code.declared.add(f"declare {result} @{full}({declared})")
        given = ", ".join([*arguments, *extra])
        return self.code.value(f"call {result} @{full}({given}) #1")

    def _canonical(self, fmt: int, value: str, if_nan=None) -> str:
        """The value, or the canonical NaN for any NaN. NaNs are rare: a branch, no dependency."""
        code, kind = self.code, TYPE[fmt]
        nan = code.value(f"fcmp uno {kind} {value}, {value}")
        cold, on = code.fresh("nan"), code.fresh("on")
        before = code.block
        code.branch(SsaBit(code, nan), cold, on, UNLIKELY)
        code.start(cold)
        if if_nan:
            if_nan()
        canonical = "0x7FF8000000000000"  # a float literal is written as the double of its value
        cold_end = code.block
        code.goto(on)
        code.start(on)
        return code.value(f"phi {kind} [ {value}, %{before} ], [ {canonical}, %{cold_end} ]")

    def _needs_dynamic(self, rm) -> None:
        """Static rounding modes are rare: the Python reader has them."""
        known = rm.ref if isinstance(rm, Ssa) else rm
        if known == DYNAMIC:
            return
        code = self.code
        if isinstance(known, int):
            self.give_up()
            code.start(code.fresh("dead"))
            return
        static, dynamic = code.fresh("static"), code.fresh("dynamic")
        code.branch(rm == DYNAMIC, dynamic, static, LIKELY)
        code.start(static)
        self.give_up()
        code.start(dynamic)

    def _arithmetic(self, name: str, fmt: int, operands, rm, if_nan=None) -> Ssa:
        self._needs_dynamic(rm)
        given = [f"{TYPE[fmt]} {self._operand(fmt, operand)}" for operand in operands]
        value = self._strict(TYPE[fmt], f"{name}.{SUFFIX[fmt]}", *given)
        return self._result(fmt, self._canonical(fmt, value, if_nan))

    def fadd(self, fmt, a, b, rm):
        return self._arithmetic("fadd", fmt, (a, b), rm)

    def fsub(self, fmt, a, b, rm):
        return self._arithmetic("fsub", fmt, (a, b), rm)

    def fmul(self, fmt, a, b, rm):
        return self._arithmetic("fmul", fmt, (a, b), rm)

    def fdiv(self, fmt, a, b, rm):
        return self._arithmetic("fdiv", fmt, (a, b), rm)

    def fsqrt(self, fmt, a, rm):
        return self._arithmetic("sqrt", fmt, (a,), rm)

    def ffma(self, fmt, a, b, c, rm):
        def infinity_times_zero():
            # Invalid even where c is a quiet NaN; the host's unit says nothing then.
            size = [word.zext(fmt - 1) for word in (a, b)]
            zero = [word == 0 for word in size]
            infinite = [word == INFINITY[fmt] for word in size]
            invalid = (zero[0] & infinite[1]) | (zero[1] & infinite[0])
            self.raise_flags(invalid.word() * NV)

        return self._arithmetic("fma", fmt, (a, b, c), rm, infinity_times_zero)

    def _compare(self, name: str, condition: str, fmt: int, a, b) -> SsaBit:
        given = [f"{TYPE[fmt]} {self._operand(fmt, operand)}" for operand in (a, b)]
        full = f"llvm.experimental.constrained.{name}.{SUFFIX[fmt]}"
        self.code.declared.add(f"declare i1 @{full}({TYPE[fmt]}, {TYPE[fmt]}, metadata, metadata)")
        condition = f'metadata !"{condition}"'
        given = ", ".join([*given, condition, STRICT])
        return SsaBit(self.code, self.code.value(f"call i1 @{full}({given}) #1"))

    def feq(self, fmt, a, b):
        return self._compare("fcmp", "oeq", fmt, a, b)

    def flt(self, fmt, a, b):
        return self._compare("fcmps", "olt", fmt, a, b)

    def fle(self, fmt, a, b):
        return self._compare("fcmps", "ole", fmt, a, b)

    def f_to_int(self, fmt, a, bits, signed, rm):
        code = self.code
        value = self._operand(fmt, a)
        if fmt == 32:
            value = self._strict("double", "fpext.f64.f32", f"float {value}", rounded=False)
        rounded = self._to_integral(value, rm)
        low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
        above = code.value(f"fcmp oge double {rounded}, {double_literal(float(low))}")
        below = code.value(f"fcmp olt double {rounded}, {double_literal(float(high))}")
        fits = code.value(f"and i1 {above}, {below}")
        inside, outside, on = code.fresh("fits"), code.fresh("outside"), code.fresh("on")
        code.branch(SsaBit(code, fits), inside, outside, LIKELY)

        code.start(inside)
        inexact = SsaBit(code, code.value(f"fcmp une double {rounded}, {value}"))
        self.raise_flags(inexact.word() * NX)
        part = rounded
        if not signed and bits == 64:
            # Above 2^63 the host's signed conversion takes what is left after 2^63.
            half = double_literal(float(1 << 63))
            large = code.value(f"fcmp oge double {rounded}, {half}")
            off = code.value(f"select i1 {large}, double {half}, double {double_literal(0.0)}")
            part = self._strict("double", "fsub.f64", f"double {rounded}", f"double {off}")
        number = self._strict("i64", "fptosi.i64.f64", f"double {part}", rounded=False)
        exact = Ssa(code, number)
        if not signed and bits == 64:
            exact = exact ^ SsaBit(code, large).word().shl(63)
        exact = exact.sext(32) if bits == 32 else exact
        exact_text, inside_end = exact.text, code.block
        code.goto(on)

        code.start(outside)
        self.raise_flags(NV)
        negative = SsaBit(code, code.value(f"fcmp olt double {value}, {double_literal(0.0)}"))
        clipped = negative.apply("select", negative, low, high - 1).sext(bits)
        clipped_text, outside_end = clipped.text, code.block
        code.goto(on)

        code.start(on)
        return Ssa(
            code,
            code.value(
                f"phi i64 [ {exact_text}, %{inside_end} ], [ {clipped_text}, %{outside_end} ]"
            ),
        )

    def _to_integral(self, value: str, rm) -> str:
        """value rounded to an integer in mode rm, as a double, without an inexact flag."""
        known = rm.ref if isinstance(rm, Ssa) else rm
        if isinstance(known, int):
            return self._round(value, known)
        code, ends = self.code, []
        done = code.fresh("rounded")
        labels = {mode: code.fresh("mode") for mode in (*ROUND_TO_INTEGRAL, 4)}
        cases = " ".join(f"i64 {mode}, label %{label}" for mode, label in labels.items())
        code.put(f"switch i64 {rm.text}, label %{labels[DYNAMIC]} [ {cases} ]")
        for mode, label in labels.items():
            code.start(label)
            rounded = self._round(value, mode)
            ends.append(f"[ {rounded}, %{code.block} ]")
            code.goto(done)
        code.start(done)
        return code.value(f"phi double {', '.join(ends)}")

    def _round(self, value: str, mode: int) -> str:
        if name := ROUND_TO_INTEGRAL.get(mode):
            rounded = mode == DYNAMIC
            return self._strict("double", f"{name}.f64", f"double {value}", rounded=rounded)
        # To nearest, ties away from zero: every step is exact.
        code = self.code
        whole = self._round(value, 1)
        rest = self._strict("double", "fsub.f64", f"double {value}", f"double {whole}")
        size = code.call("double", "llvm.fabs.f64", f"double {rest}")
        away = code.value(f"fcmp oge double {size}, {double_literal(0.5)}")
        one, zero = double_literal(1.0), double_literal(0.0)
        step = code.value(f"select i1 {away}, double {one}, double {zero}")
        step = code.call("double", "llvm.copysign.f64", f"double {step}", f"double {value}")
        return self._strict("double", "fadd.f64", f"double {whole}", f"double {step}")

    def int_to_f(self, fmt, a, bits, signed, rm):
        if fmt == 32 or bits == 64:  # 32 bits always fit a double
            self._needs_dynamic(rm)
        if bits == 32:
            a = a.sext(32) if signed else a.zext(32)
        name = "sitofp" if signed or bits == 32 else "uitofp"
        value = self._strict(TYPE[fmt], f"{name}.{SUFFIX[fmt]}.i64", f"i64 {text_of(a)}")
        return self._result(fmt, value)

    def f_to_f(self, to_fmt, from_fmt, a, rm):
        given = f"{TYPE[from_fmt]} {self._operand(from_fmt, a)}"
        suffix = f"{SUFFIX[to_fmt]}.{SUFFIX[from_fmt]}"
        if to_fmt == 32:
            self._needs_dynamic(rm)
            value = self._strict("float", f"fptrunc.{suffix}", given)
        else:
            value = self._strict("double", f"fpext.{suffix}", given, rounded=False)
        return self._result(to_fmt, self._canonical(to_fmt, value))


def function_text(code: Code, signature: str) -> str:
    """The LLVM definition of a finished body."""
    return "\n".join([f"define {signature} #0 {{", "start:", *code.lines, "}"])


ATTRIBUTES = (
    'attributes #0 = { nounwind strictfp "no-builtins" "frame-pointer"="none" }\n'
    "attributes #1 = { strictfp }\n"
)
