"""How a control and status register is declared.

A CSR is a name, an address, its fields, and who may see it. The address tells the least mode that
may access it and whether it is read-only (privileged manual 2.1); `visible` adds what further
bits decide. Bits outside of fields read as zero. A write keeps what is legal of it: bits without a
field and fields with one value don't change, and a field with a list of legal values keeps its old
one when given another. `view` makes a CSR a window on a part of another.

Who may not access a CSR gets an illegal instruction exception; in VS-mode and VU-mode a virtual
instruction exception where HS-mode may (`Csr.refusal`).

An indirect register (Smcsrind) reaches what the value of its select register says: extensions give
it windows (`Window`) on ranges of values, which also say who is refused there and how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from isa.causes import Cause
from isa.modes import REACH, S, virtual
from isa.record import Record, replace

Read = Callable[[str], int]
TVM_TSR = 1 << 20 | 1 << 22  # of mstatus


class CsrField(Record):
    """Bits high..low of a CSR. With `value` they always read so; `legal` lists what they may be.

    Those not `writable` are set by the machine alone.
    """

    high: int
    low: int
    value: int | None = None
    legal: tuple[int, ...] | None = None
    writable: bool = True

    @property
    def mask(self) -> int:
        """The field's bits in the register."""
        return (1 << self.high + 1) - (1 << self.low)

    def of(self, register: int) -> int:
        """The field's value in a register's value."""
        return (register & self.mask) >> self.low


def bits(high: int, low: int | None = None, **properties) -> CsrField:
    """A field: `bits(8)`, `bits(12, 11, legal=(0, 1, 3))`, `bits(33, 32, value=2)`."""
    return CsrField(high, high if low is None else low, **properties)


class View(Record):
    """A window on the bits `mask` of CSR `of`, moved down by `shift`.

    `writable` are the bits that can be written through it (all of `mask` unless given), and
    `gate` names a CSR whose zeros hide bits, or is a function that gives such a mask.
    """

    of: str
    mask: int = (1 << 64) - 1
    shift: int = 0
    writable: int | None = None
    gate: str | Callable[[Read], int] | None = None

    def open(self, mask: int, read: Read) -> int:
        """The part of mask that the gate lets through."""
        if not self.gate:
            return mask
        return mask & (read(self.gate) if isinstance(self.gate, str) else self.gate(read))


class Part(Record):
    """The CSR `of` as an indirect register has it: what it shows of a value, and what the CSR gets
    when `new` is written there over `old`.

    With an `index` it is an entry of something that has no CSRs; without a name it is always 0.
    """

    of: str | None
    show: Callable[[int], int] = lambda value: value
    take: Callable[[int, int], int] = lambda old, new: new
    index: int | None = None


class Window(Record):
    """What an indirect register reaches while its select register is in first..last.

    `refusal` gives what an access raises, if anything, from the select register's value, the mode,
    whether the select register is a guest's (vsiselect), and the CSRs. `part` says what is reached
    by a value.
    """

    first: int
    last: int
    refusal: Callable[[int, int, bool, Read], Cause | None]
    part: Callable[[int], Part]


def unchanged(value: int) -> int:
    """The whole value is what was written to its fields."""
    return value


def always(mode: int, read: Read) -> bool:
    """The CSR is visible to every mode that its address admits."""
    return True


def never(mode: int, read: Read) -> bool:
    """The CSR's unit is always on."""
    return False


class Csr(Record):
    """One control and status register.

    `needs` names the extensions, beside the one that declares it, without which it doesn't exist.
    `off` says that the unit that it belongs to is off in a mode: then it is an illegal instruction.
    `locked` says that a mode may not write it now, which sees it.
    `stands_for` names the supervisor CSR whose place it takes while V=1. `open` gives the bits that
    other CSRs let be anything but zero. `select` names the select register of an indirect one;
    while V=1 the guest's counts, whose name has a v in front.
    """

    name: str
    address: int
    doc: str
    fields: Mapping[str, CsrField] = {}
    reset: int = 0
    view: View | None = None
    visible: Callable[[int, Read], bool] = always
    derive: Callable[[int], int] = unchanged  # from the fields written, the whole value
    whole: bool = False  # an illegal value in one field keeps the write from changing any
    needs: tuple[str, ...] = ()
    off: Callable[[int, Read], bool] = never
    locked: Callable[[int, Read], bool] = never
    stands_for: str | None = None
    open: Callable[[Read], int] | None = None
    select: str | None = None
    windows: tuple[Window, ...] = ()

    @property
    def mode(self) -> int:
        """The least privileged mode that may access it."""
        return self.address >> 8 & 3

    @property
    def read_only(self) -> bool:
        """Whether every write is illegal."""
        return self.address >> 10 == 3

    @cached_property
    def constant(self) -> int:
        """The bits of fields that always read the same."""
        return sum(f.value << f.low for f in self.fields.values() if f.value is not None)

    @cached_property
    def write_mask(self) -> int:
        """The bits that a write may change."""
        return sum(f.mask for f in self.fields.values() if f.value is None and f.writable)

    @cached_property
    def restricted(self) -> tuple[CsrField, ...]:
        """The fields that can't hold just any value."""
        return tuple(f for f in self.fields.values() if f.legal is not None)

    @property
    def takes_anything(self) -> bool:
        """Whether all values of the bits in `write_mask` are legal, whatever the others are."""
        return self.derive is unchanged and not self.restricted

    def permits(self, mode: int, write: bool, read: Read) -> bool:
        """Whether an instruction in `mode` may access it. `read` gives CSRs."""
        if REACH[mode] < self.mode:
            return False
        if write and (self.read_only or self.locked(mode, read)):
            return False
        return self.visible(mode, read) and not self.off(mode, read)

    def refusal(self, mode: int, write: bool, read: Read) -> Cause | None:
        """What an access in `mode` raises, if anything (hypervisor extension 8.6.1).

        A virtual instruction exception is raised where V=1 is what prevents it: where it would be
        valid in HS-mode, TVM and TSR of mstatus aside.
        """
        if self.permits(mode, write, read):
            return self._refusal_behind(mode, read) if self.select else None
        if virtual(mode) and not self.off(mode, read):

            def trusting(name: str) -> int:
                return read(name) & ~TVM_TSR if name == "mstatus" else read(name)

            if self.permits(S, write, trusting):
                return Cause.VIRTUAL_INSTRUCTION
        return Cause.ILLEGAL_INSTRUCTION

    def _refusal_behind(self, mode: int, read: Read) -> Cause | None:
        """What an access raises by the select register's value; without a window, illegal
        instruction, as the manual recommends. For these registers 8.6.1 does not apply."""
        name = f"v{self.select}" if virtual(mode) else self.select
        select = read(name)
        window = self.window(select)
        if window is None:
            return Cause.ILLEGAL_INSTRUCTION
        return window.refusal(select, mode, name.startswith("v"), read)

    def window(self, select: int) -> Window | None:
        """The window for a value of the select register: the one that was added last."""
        for window in reversed(self.windows):
            if window.first <= select <= window.last:
                return window
        return None

    def extended(
        self,
        fields: Mapping[str, CsrField] | None = None,
        visible: Callable[[int, Read], bool] | None = None,
        admits: Callable[[int, Read], bool] | None = None,
        off: Callable[[int, Read], bool] | None = None,
        locked: Callable[[int, Read], bool] | None = None,
        open: Callable[[Read], int] | None = None,
        window: Window | None = None,
    ) -> Csr:
        """This CSR with further fields, conditions on who may see it, others who may (`admits`),
        bits to close, and a window."""
        return replace(
            self,
            fields={**self.fields, **(fields or {})},
            visible=_seen(self.visible, visible, admits),
            off=off or self.off,
            locked=locked or self.locked,
            open=_both_open(self.open, open),
            windows=(*self.windows, window) if window else self.windows,
        )

    def legalize(self, old: int, new: int) -> int:
        """What the CSR holds after `new` is written over `old`. Not for views."""
        value = old & ~self.write_mask | new & self.write_mask
        for f in self.restricted:
            if f.of(new) not in f.legal:
                if self.whole:
                    return old
                value = value & ~f.mask | old & f.mask
        return self.derive(value | self.constant)

    def initial(self) -> int:
        """Its value after reset."""
        return self.derive(self.reset | self.constant)

    def read(self, read: Read) -> int:
        """The value of a view, given the CSRs' values by name."""
        view = self.view
        return (read(view.of) & view.open(view.mask, read)) >> view.shift

    def write(self, new: int, read: Read) -> int:
        """What to write to `view.of` so that this view gets the value `new`."""
        view = self.view
        mask = view.open(view.mask if view.writable is None else view.writable, read)
        return read(view.of) & ~mask | new << view.shift & mask


def _seen(mine, visible, admits):
    """Who sees a CSR: those of before whom `visible` lets, and those whom `admits` does."""
    found = mine
    if visible:
        found = visible
        if mine is not always:

            def found(mode: int, read: Read) -> bool:
                return mine(mode, read) and visible(mode, read)

    if not admits:
        return found
    return lambda mode, read: found(mode, read) or admits(mode, read)


def _both_open(mine, more):
    if mine and more:
        return lambda read: mine(read) & more(read)
    return mine or more


def expand(csr: Csr) -> Iterator[Csr]:
    """The CSRs that a name such as `mhpmevent{3..31}` stands for, at rising addresses.

    With a third number (`pmpcfg{0..14..2}`) the numbers and addresses rise by that step.
    """
    found = re.search(r"\{(\d+)\.\.(\d+)(?:\.\.(\d+))?\}", csr.name)
    if not found:
        yield csr
        return
    first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
    for n in range(first, last + 1, step):
        name, of = csr.name.replace(found[0], str(n)), csr.view
        if of:
            of = replace(of, of=of.of.replace(found[0], str(n)))
        yield replace(csr, name=name, address=csr.address + n - first, view=of)
