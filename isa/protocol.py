"""What a semantic body may ask of the machine: the methods of `m`.

Each reader gives its own `Machine`: the reference engine acts on a hart at once, the native engine
writes code that will. Addresses and data are `Word`s of the algebra; a size is a Python int of
bytes. A method that can't do its work raises the exception that the manual names, before it has
changed anything, and then the instruction changes nothing either: a body has one effect, its last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from isa.words import Bit, Word


class Machine(Protocol):
    """The hart as a body sees it."""

    def jump(self, target: Word, when: Bit | None = None) -> None:
        """Continue at target; with `when`, only where it holds."""

    # Memory. Ordinary accesses may be misaligned; the others raise address-misaligned.

    def load(self, addr: Word, size: int) -> Word:
        """The bytes at addr, zero-extended."""

    def store(self, addr: Word, size: int, value: Word) -> None:
        """Write the low bytes of value."""

    def load_reserved(self, addr: Word, size: int) -> Word:
        """Load, zero-extended, and reserve the bytes for a store-conditional."""

    def store_conditional(self, addr: Word, size: int, value: Word) -> Word:
        """0 if the bytes were still reserved and are written, else 1. It ends the reservation."""

    def amo(self, addr: Word, size: int, change: Callable[[Word], Word]) -> Word:
        """Replace the value at addr by change of it, at once; the old value, zero-extended."""

    def cache_block(self, addr: Word, operation: str) -> None:
        """`inval`, `clean`, `flush` or `zero` the cache block that holds addr."""

    def fence_i(self) -> None:
        """Let instruction fetches see the stores before."""

    def wait_on_reservation(self, short: bool) -> None:
        """Rest while the reservation is valid: at most a short time, or as long as it takes."""

    # Floating point. Values are the raw bits of a format of `fmt` bits (32 or 64), zero above.
    # `rm` is the instruction's rounding mode field, where 7 means the one in frm. Results that are
    # not a number are the canonical NaN, and exceptions accrue in fflags.

    def fadd(self, fmt: int, a: Word, b: Word, rm: Word) -> Word: ...

    def fsub(self, fmt: int, a: Word, b: Word, rm: Word) -> Word: ...

    def fmul(self, fmt: int, a: Word, b: Word, rm: Word) -> Word: ...

    def fdiv(self, fmt: int, a: Word, b: Word, rm: Word) -> Word: ...

    def fsqrt(self, fmt: int, a: Word, rm: Word) -> Word: ...

    def ffma(self, fmt: int, a: Word, b: Word, c: Word, rm: Word) -> Word:
        """a times b plus c, rounded once. Infinity times zero is invalid even if c is a NaN."""

    def feq(self, fmt: int, a: Word, b: Word) -> Bit:
        """Equal; quiet: invalid for signalling NaNs alone."""

    def flt(self, fmt: int, a: Word, b: Word) -> Bit:
        """Less; invalid for any NaN."""

    def fle(self, fmt: int, a: Word, b: Word) -> Bit:
        """Less or equal; invalid for any NaN."""

    def f_to_int(self, fmt: int, a: Word, bits: int, signed: bool, rm: Word) -> Word:
        """Rounded to an integer of `bits`, clipped to its range, NaN to its largest.

        Results of 32 bits, unsigned ones as well, are sign-extended to 64.
        """

    def int_to_f(self, fmt: int, a: Word, bits: int, signed: bool, rm: Word) -> Word:
        """The low `bits` of a, as an integer, rounded to the format."""

    def f_to_f(self, to_fmt: int, from_fmt: int, a: Word, rm: Word) -> Word:
        """The same number in another format, rounded."""

    # What only the machine model can do: instructions declared `native=False`.

    def read_csr(self, csr: Word, writes: bool = False) -> Word:
        """A CSR's value, or illegal instruction where this mode may not see it, or write it if the
        instruction `writes` it as well."""

    def write_csr(self, csr: Word, value: Word) -> None:
        """Write a CSR, or illegal instruction where this mode may not."""

    def ecall(self) -> None:
        """Raise environment call from the current mode."""

    def ebreak(self) -> None:
        """Raise breakpoint."""

    def mret(self) -> None:
        """Return from a trap taken in M-mode."""

    def sret(self) -> None:
        """Return from a trap taken in S-mode."""

    def wfi(self) -> None:
        """Rest until an interrupt is pending."""

    def sfence_vma(self, va: Word, asid: Word, has_va: bool, has_asid: bool) -> None:
        """Let translations see the stores to page tables before, of an address, an ASID or all."""

    def hfence_vvma(self, va: Word, asid: Word, has_va: bool, has_asid: bool) -> None:
        """As sfence_vma, for the guest's own page tables."""

    def hfence_gvma(self, gpa: Word, vmid: Word, has_gpa: bool, has_vmid: bool) -> None:
        """As sfence_vma, for those of guest physical addresses; gpa is shifted right by 2."""

    def order_invalidations(self) -> None:
        """Order what Svinval invalidates and what translates before and after."""

    def clear_transfers(self) -> None:
        """Clear the control transfer records."""

    def need(self, extension: str) -> None:
        """Illegal instruction, unless the hart has an extension that not all have."""

    def guest_load(self, addr: Word, size: int, execute: bool = False) -> Word:
        """The bytes at addr as the guest of hstatus.SPVP loads them, zero-extended.

        With `execute`, pages must be executable rather than readable.
        """

    def guest_store(self, addr: Word, size: int, value: Word) -> None:
        """Write the low bytes of value as the guest of hstatus.SPVP would."""
