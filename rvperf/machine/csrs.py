"""The hart's CSR file: `isa.csrs` says what each CSR is, this says where its value lives.

Most are words of the file. `ELSEWHERE` lists those that the hart computes or keeps in the state
that it shares with native code, and those whose change it must hear of.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.causes import Interrupt
from isa.csr import always
from isa.csrs import CSR_NUMBERS, CSRS
from isa.modes import Mode
from isa.record import Record
from rvperf.machine.traps import Trap

TYPE_CHECKING = False  # as `typing` has it, whose import isn't free
if TYPE_CHECKING:
    from rvperf.machine.hart import Hart

MASK = (1 << 64) - 1
ILLEGAL_INSTRUCTION = 2


def bits_of(csr: str, *fields: str) -> int:
    """The mask of some fields of a CSR."""
    return sum(CSRS[CSR_NUMBERS[csr]].fields[name].mask for name in fields)


def place_of(csr: str, field: str) -> int:
    """The bit number where a field of a CSR begins."""
    return CSRS[CSR_NUMBERS[csr]].fields[field].low


MENVCFG, STIMECMP = CSR_NUMBERS["menvcfg"], CSR_NUMBERS["stimecmp"]
INHIBIT, FCSR = CSR_NUMBERS["mcountinhibit"], CSR_NUMBERS["fcsr"]
MCYCLE, MINSTRET, MIP = CSR_NUMBERS["mcycle"], CSR_NUMBERS["minstret"], CSR_NUMBERS["mip"]
FRM_AT, FFLAGS = place_of("fcsr", "frm"), bits_of("fcsr", "fflags")
STCE = bits_of("menvcfg", "STCE")
STIP = 1 << Interrupt.SUPERVISOR_TIMER
STANDS_STILL = {
    MCYCLE: bits_of("mcountinhibit", "CY"),
    MINSTRET: bits_of("mcountinhibit", "IR"),
}


class Elsewhere(Record):
    """How a CSR that isn't just a word of the file is read, and written with a legal value."""

    get: Callable[[CsrFile], int]
    put: Callable[[CsrFile, int], None]


class CsrFile:
    """The CSRs of `hart` as the machine sees them; permission is asked for by `permit`.

    `words` are the values by number, except of views; for some of `ELSEWHERE` they stand for less.
    """

    def __init__(self, hart: Hart):
        self.hart = hart
        self.words = {number: csr.initial() for number, csr in CSRS.items() if not csr.view}

    def permit(self, number: int, mode: int, write: bool) -> None:
        """Illegal instruction, unless an instruction in `mode` may access the CSR."""
        csr = CSRS.get(number)
        if csr is None or not csr.permits(mode, write, self.named):
            raise Trap(ILLEGAL_INSTRUCTION)

    def named(self, name: str) -> int:
        """The value of the CSR of this name."""
        return self.value(CSR_NUMBERS[name])

    def value(self, number: int) -> int:
        """The value of the CSR of this number. KeyError if there is none."""
        if number in ELSEWHERE:
            return ELSEWHERE[number].get(self)
        if number in self.words:
            return self.words[number]
        return CSRS[number].read(self.named)

    def write(self, number: int, new: int) -> None:
        """Give the CSR what is legal of a value, through a view its part of the CSR behind."""
        csr = CSRS[number]
        if csr.view:
            number, new = CSR_NUMBERS[csr.view.of], csr.write(new & MASK, self.named)
            csr = CSRS[number]
        value = csr.legalize(self.value(number), new & MASK)
        if number in ELSEWHERE:
            ELSEWHERE[number].put(self, value)
        else:
            self.words[number] = value


# Where the others live.


def _put_mstatus(file: CsrFile, value: int) -> None:
    file.hart.set_mstatus(value)


def _get_fcsr(file: CsrFile) -> int:
    return file.hart.frm << FRM_AT | file.hart.fflags


def _put_fcsr(file: CsrFile, value: int) -> None:
    file.hart.fflags = value & FFLAGS
    file.hart.frm = value >> FRM_AT
    file.hart.floats_changed()


def _get_satp(file: CsrFile) -> int:
    return file.hart.satp


def _put_satp(file: CsrFile, value: int) -> None:
    file.hart.satp = value
    file.hart.forget_translations()


def _get_time(file: CsrFile) -> int:
    return file.hart.time


def _put_nothing(file: CsrFile, value: int) -> None:
    """It can't be written: the machine alone moves it."""


def _get_mip(file: CsrFile) -> int:
    """With menvcfg.STCE, STIP is the timer's comparison; else it is as M-mode wrote it (Sstc)."""
    words = file.words
    if not words[MENVCFG] & STCE:
        return words[MIP]
    due = file.hart.time >= words[STIMECMP]
    return words[MIP] & ~STIP | (STIP if due else 0)


def _put_mip(file: CsrFile, value: int) -> None:
    if file.words[MENVCFG] & STCE:
        value = value & ~STIP | file.words[MIP] & STIP
    file.words[MIP] = value


def _counter(number: int, count: Callable[[Hart], int]) -> Elsewhere:
    """A counter that runs with `count` unless mcountinhibit stops it (privileged manual 3.1.12).

    While it runs, its word is what to add to the count; while it stands still, its value.
    """
    stops = STANDS_STILL[number]

    def base(file: CsrFile) -> int:
        return 0 if file.words[INHIBIT] & stops else count(file.hart)

    def get(file: CsrFile) -> int:
        return file.words[number] + base(file) & MASK

    def put(file: CsrFile, value: int) -> None:
        file.words[number] = value - base(file) & MASK

    return Elsewhere(get, put)


def _get_inhibit(file: CsrFile) -> int:
    return file.words[INHIBIT]


def _put_inhibit(file: CsrFile, value: int) -> None:
    """Counters that stop or start keep their values."""
    kept = {number: ELSEWHERE[number].get(file) for number in STANDS_STILL}
    file.words[INHIBIT] = value
    for number, count in kept.items():
        ELSEWHERE[number].put(file, count)


ELSEWHERE = {
    CSR_NUMBERS["mstatus"]: Elsewhere(lambda file: file.hart.mstatus, _put_mstatus),
    CSR_NUMBERS["fcsr"]: Elsewhere(_get_fcsr, _put_fcsr),
    CSR_NUMBERS["satp"]: Elsewhere(_get_satp, _put_satp),
    CSR_NUMBERS["time"]: Elsewhere(_get_time, _put_nothing),
    MIP: Elsewhere(_get_mip, _put_mip),
    MCYCLE: _counter(MCYCLE, lambda hart: hart.cycles),
    MINSTRET: _counter(MINSTRET, lambda hart: hart.instructions),
    INHIBIT: Elsewhere(_get_inhibit, _put_inhibit),
}

# What may be read in a mode whatever else the state, and is a word: the quick way for most reads.
PLAIN = {
    mode: frozenset(
        number
        for number, csr in CSRS.items()
        if csr.mode <= mode and csr.visible is always and not csr.view and number not in ELSEWHERE
    )
    for mode in Mode
}
# And what may be written there with no further consequence: the bits that change.
PLAIN_WRITES = {
    mode: {
        number: CSRS[number].write_mask
        for number in plain
        if CSRS[number].takes_anything and not CSRS[number].read_only
    }
    for mode, plain in PLAIN.items()
}
