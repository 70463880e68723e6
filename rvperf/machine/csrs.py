"""The hart's CSR file: `isa.csrs` says what each CSR is, this says where its value lives.

Most are words of the file. `ELSEWHERE` lists those that the hart computes or keeps in the state
that it shares with native code, and those whose change it must hear of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from isa import pmp
from isa.causes import Interrupt
from isa.counting import CYCLE, FIRST, INSTRET, LAST, PROGRAMMABLE, overflows_seen
from isa.csr import Csr, Part, always, never
from isa.csrs import CSR_NUMBERS, registers
from isa.ext import EVERY, STANDARD
from isa.modes import REACH, VIRTUAL, Mode, virtual
from isa.record import Record
from isa.routing import LCOFI, VS_INTERRUPTS, VSLCOFI, guest_view
from rvperf.machine.traps import Trap

TYPE_CHECKING = False  # as `typing` has it, whose import isn't free
if TYPE_CHECKING:
    from rvperf.machine.hart import Hart

MASK = (1 << 64) - 1
ILLEGAL_INSTRUCTION = 2
ALL = registers(EVERY)  # with the fields of every extension


def bits_of(csr: str, *fields: str) -> int:
    """The mask of some fields of a CSR."""
    return sum(ALL[CSR_NUMBERS[csr]].fields[name].mask for name in fields)


def place_of(csr: str, field: str) -> int:
    """The bit number where a field of a CSR begins."""
    return ALL[CSR_NUMBERS[csr]].fields[field].low


MENVCFG, STIMECMP = CSR_NUMBERS["menvcfg"], CSR_NUMBERS["stimecmp"]
INHIBIT, FCSR = CSR_NUMBERS["mcountinhibit"], CSR_NUMBERS["fcsr"]
MIP, SCOUNTOVF, SCTRSTATUS = (CSR_NUMBERS[name] for name in ("mip", "scountovf", "sctrstatus"))
SCOUNTINHIBIT = CSR_NUMBERS["scountinhibit"]
COUNTER, EVENT = CSR_NUMBERS["mcycle"], CSR_NUMBERS["mhpmevent3"] - FIRST
FRM_AT, FFLAGS = place_of("fcsr", "frm"), bits_of("fcsr", "fflags")
STCE = bits_of("menvcfg", "STCE")
STIP = 1 << Interrupt.SUPERVISOR_TIMER
MCOUNTEREN, HCOUNTEREN = CSR_NUMBERS["mcounteren"], CSR_NUMBERS["hcounteren"]
TIME, VSTIMECMP, HTIMEDELTA = (CSR_NUMBERS[name] for name in ("time", "vstimecmp", "htimedelta"))
HENVCFG, HVIP, HVIEN = (CSR_NUMBERS[name] for name in ("henvcfg", "hvip", "hvien"))
MIE, MIDELEG, HIDELEG = (CSR_NUMBERS[name] for name in ("mie", "mideleg", "hideleg"))
HSTATUS, HGEIP, HGEIE = (CSR_NUMBERS[name] for name in ("hstatus", "hgeip", "hgeie"))
VSSTATUS, VSIE, VSIP = (CSR_NUMBERS[name] for name in ("vsstatus", "vsie", "vsip"))
PMPCFG = CSR_NUMBERS["pmpcfg0"], CSR_NUMBERS["pmpcfg2"]
PMPADDR = CSR_NUMBERS["pmpaddr0"]
VGEIN_AT = place_of("hstatus", "VGEIN")
VSSIP = 1 << Interrupt.VIRTUAL_SUPERVISOR_SOFTWARE
VSTIP = 1 << Interrupt.VIRTUAL_SUPERVISOR_TIMER
VSEIP = 1 << Interrupt.VIRTUAL_SUPERVISOR_EXTERNAL
OF_HVIP = VSSIP | VSLCOFI  # the bits of mip that are hvip's, and can be written in both
# What decides which counters are a guest's (Xrvpt).
DELEGATING = frozenset(
    CSR_NUMBERS[name] for name in ("menvcfg", "henvcfg", "mcounteren", "hcounteren")
)
SGEIP = 1 << Interrupt.SUPERVISOR_GUEST_EXTERNAL
QUIRKS = {
    "qemu-scountovf": "QEMU masks scountovf in VS-mode with mcounteren alone, not with hcounteren "
    "as well, so that a guest sees overflows of counters that it may not read.",
    "qemu-scountinhibit": "QEMU makes a write to scountinhibit one of mcountinhibit & mcounteren, "
    "so that counters which aren't delegated start to count.",
}
"""Known mistakes of other harts, off unless asked for."""


# Those that have a say in which interrupt is taken, and when.
INTERRUPTS = frozenset(
    CSR_NUMBERS[name]
    for name in (
        "mstatus mie mip mideleg menvcfg stimecmp vsstatus vsie vsip hstatus henvcfg hideleg hvip "
        "hgeie hvien hvictl htimedelta vstimecmp"
    ).split()
)


class Elsewhere(Record):
    """How a CSR that isn't just a word of the file is read, and written with a legal value."""

    get: Callable[[CsrFile], int]
    put: Callable[[CsrFile, int], None]


class CsrFile:
    """The CSRs of `hart` as the machine sees them; permission is asked for by `permit`.

    `rows` declares those that there are with the hart's extensions. `words` are the values by
    number, except of views; for some of `ELSEWHERE` they stand for less. `quirks` are of `QUIRKS`.
    """

    def __init__(
        self,
        hart: Hart,
        extensions: frozenset[str] = STANDARD,
        counters: int = PROGRAMMABLE,
        quirks: Iterable[str] = (),
    ):
        self.hart = hart
        self.quirks = frozenset(quirks)
        self.rows = registers(extensions, counters)
        self.words = {
            number: csr.initial()
            for number, csr in self.rows.items()
            if not (csr.view or csr.select)
        }
        known = _quick(extensions, counters)
        self.plain, self.plain_writes, self.substitutes, self._gated, self._open = known
        self._delegating = DELEGATING if "Xrvpt" in extensions else frozenset()

    def permit(self, number: int, mode: int, write: bool) -> None:
        """Trap, unless an instruction in `mode` may access the CSR."""
        if (number, write) in self._open[mode]:
            return
        csr = self.rows.get(number)
        if csr is None:
            raise Trap(ILLEGAL_INSTRUCTION)
        cause = csr.refusal(mode, write, self.named)
        if cause is not None:
            raise Trap(cause)

    def seen(self, number: int, mode: int) -> int:
        """The CSR that an instruction in `mode` gets by a number: while V=1 vsstatus for sstatus,
        and so on (8.2)."""
        return self.substitutes.get(number, number) if mode >= VIRTUAL else number

    def value_in(self, number: int, mode: int) -> int:
        """The value that an instruction in `mode` reads, which may."""
        value = self.value(self.seen(number, mode))
        if number == TIME and mode >= VIRTUAL:
            return value + self.words[HTIMEDELTA] & MASK
        if number == SCOUNTOVF:
            words = self.words
            host = MASK if "qemu-scountovf" in self.quirks else words.get(HCOUNTEREN, 0)
            return overflows_seen(mode, value, words[MCOUNTEREN], host)
        return value

    def named(self, name: str) -> int:
        """The value of the CSR of this name."""
        return self.value(CSR_NUMBERS[name])

    def value(self, number: int) -> int:
        """The value of the CSR of this number. KeyError if there is none."""
        if number in ELSEWHERE:
            return ELSEWHERE[number].get(self)
        if number in self._gated:
            return self.words[number] & self._gated[number].open(self.named)
        if number in self.words:
            return self.words[number]
        row = self.rows[number]
        if row.select:
            part = self._part(row)
            if not part or not part.of:
                return 0
            if part.index is not None:
                return self.hart.ctr.entry(part.of, part.index)
            return part.show(self.value(CSR_NUMBERS[part.of]))
        return row.read(self.named)

    def _part(self, row: Csr) -> Part | None:
        """What an indirect register reaches."""
        select = self.named(row.select)
        window = row.window(select)
        return window and window.part(select)

    def write(self, number: int, new: int) -> None:
        """Give the CSR what is legal of a value, through a view its part of the CSR behind."""
        csr = self.rows[number]
        if csr.select:
            part = self._part(csr)
            if not part or not part.of:
                return
            if part.index is not None:
                self.hart.ctr.put_entry(part.of, part.index, new)
                return
            number = CSR_NUMBERS[part.of]
            self.write(number, part.take(self.value(number), new & MASK))
            return
        if number == SCOUNTINHIBIT and "qemu-scountinhibit" in self.quirks:
            number, new = INHIBIT, new & self.words[MCOUNTEREN]
            csr = self.rows[number]
        elif csr.view:
            number, new = CSR_NUMBERS[csr.view.of], csr.write(new & MASK, self.named)
            csr = self.rows[number]
        if number in INTERRUPTS:
            self.hart.attention = True
        value = csr.legalize(self.value(number), new & MASK)
        if number in ELSEWHERE:
            ELSEWHERE[number].put(self, value)
        elif csr.open:
            open_bits = csr.open(self.named)
            self.words[number] = value & open_bits | self.words[number] & ~open_bits
        else:
            self.words[number] = value
        if number in self._delegating:
            self.hart.pmu.delegate()


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
    pending = words[MIP]
    if words[MENVCFG] & STCE:
        due = file.hart.time >= words[STIMECMP]
        pending = pending & ~STIP | (STIP if due else 0)
    return pending | _guest_pending(file) if file.hart.hypervisor else pending


def _guest_pending(file: CsrFile) -> int:
    """The interrupts of VS-mode, and SGEI, that are pending (8.2.3, 8.2.4)."""
    words = file.words
    pending = words[HVIP] & VS_INTERRUPTS
    if file.value(HENVCFG) & STCE:
        if file.hart.time + words[HTIMEDELTA] & MASK >= words[VSTIMECMP]:
            pending |= VSTIP
    external = words[HGEIP]
    if external:
        if external >> (words[HSTATUS] >> VGEIN_AT & 63) & 1:
            pending |= VSEIP
        if external & words[HGEIE]:
            pending |= SGEIP
    return pending


def _put_mip(file: CsrFile, value: int) -> None:
    if file.words[MENVCFG] & STCE:
        value = value & ~STIP | file.words[MIP] & STIP
    if file.hart.hypervisor:  # hip.VSSIP, and so mip.VSSIP, is hvip.VSSIP
        file.words[HVIP] = file.words[HVIP] & ~OF_HVIP | value & OF_HVIP
        value &= ~(VS_INTERRUPTS | SGEIP)
    file.words[MIP] = value


def _put_vsstatus(file: CsrFile, value: int) -> None:
    file.words[VSSTATUS] = value
    file.hart.guest_status_changed()


def _put_vsatp(file: CsrFile, value: int) -> None:
    file.hart.vsatp = value
    file.hart.forget_translations()


def _put_hgatp(file: CsrFile, value: int) -> None:
    file.hart.hgatp = value
    file.hart.forget_translations()


def _guest_view(shared: int, own: int) -> Callable[[CsrFile], int]:
    """vsie or vsip, of two CSRs as `routing.guest_view` has them."""

    def get(file: CsrFile) -> int:
        words = file.words
        hvien = words.get(HVIEN, 0)
        return guest_view(file.value(shared), words[own], words[MIDELEG], words[HIDELEG], hvien)

    return get


def _put_guest_view(shared: int, own: int, writable: int) -> Callable[[CsrFile, int], None]:
    """Write those bits of vsie or vsip that are some CSR's, `writable` of VS-mode's interrupts."""

    def put(file: CsrFile, value: int) -> None:
        words = file.words
        hideleg = words[HIDELEG]
        mask, new = hideleg & writable, value << 1
        if hideleg & VSLCOFI:
            pass
        elif hideleg & LCOFI:
            overflow = LCOFI & words[MIDELEG]
            mask, new = mask | overflow, new & ~overflow | value & overflow
        elif words.get(HVIEN, 0) & LCOFI:
            words[own] = words[own] & ~LCOFI | value & LCOFI
        file.write(shared, file.value(shared) & ~mask | new & mask)

    return put


def _counter(number: int) -> Elsewhere:
    """A performance counter, by the number that it has among them."""

    def put(file: CsrFile, value: int) -> None:
        if number in file.hart.pmu.numbers:
            file.hart.pmu.put(number, value)

    return Elsewhere(lambda file: file.hart.pmu.value(number), put)


def _counts(csr: int, number: int) -> Elsewhere:
    """A CSR that decides what a counter counts."""

    def put(file: CsrFile, value: int) -> None:
        file.words[csr] = value
        file.hart.pmu.reconsider(number)

    return Elsewhere(lambda file: file.words[csr], put)


def _records(number: int, get: Callable[[CsrFile], int] | None = None) -> Elsewhere:
    """A CSR that decides what control transfers are recorded."""

    def put(file: CsrFile, value: int) -> None:
        file.hart.ctr.write(number, value)

    return Elsewhere(get or (lambda file: file.words[number]), put)


def configurations(file: CsrFile) -> bytes:
    """The configurations of the PMP entries."""
    return b"".join(file.words[number].to_bytes(8, "little") for number in PMPCFG)


def addresses(file: CsrFile) -> list[int]:
    """The addresses of the PMP entries as they are held."""
    return [file.words[PMPADDR + n] for n in range(pmp.ENTRIES)]


def _put_pmpcfg(number: int) -> Callable[[CsrFile, int], None]:
    def put(file: CsrFile, value: int) -> None:
        if file.hart.protection.entries:
            file.words[number] = pmp.kept(file.words[number], value)
            file.hart.protection_changed()

    return put


def _pmpaddr(n: int) -> Elsewhere:
    """A PMP entry's address. What it holds is not all that is read."""

    def get(file: CsrFile) -> int:
        return pmp.shown(file.words[PMPADDR + n], configurations(file)[n])

    def put(file: CsrFile, value: int) -> None:
        if file.hart.protection.entries and not pmp.address_held(n, configurations(file)):
            file.words[PMPADDR + n] = value
            file.hart.protection_changed()

    return Elsewhere(get, put)


def _put_inhibit(file: CsrFile, value: int) -> None:
    changed = file.words[INHIBIT] ^ value
    file.words[INHIBIT] = value
    file.hart.pmu.reconsider(*(n for n in range(LAST + 1) if changed >> n & 1))


ELSEWHERE = {
    CSR_NUMBERS["mstatus"]: Elsewhere(lambda file: file.hart.mstatus, _put_mstatus),
    CSR_NUMBERS["fcsr"]: Elsewhere(_get_fcsr, _put_fcsr),
    CSR_NUMBERS["satp"]: Elsewhere(_get_satp, _put_satp),
    CSR_NUMBERS["time"]: Elsewhere(_get_time, _put_nothing),
    MIP: Elsewhere(_get_mip, _put_mip),
    **{COUNTER + n: _counter(n) for n in (CYCLE, INSTRET, *range(FIRST, LAST + 1))},
    **{EVENT + n: _counts(EVENT + n, n) for n in range(FIRST, LAST + 1)},
    CSR_NUMBERS["mcyclecfg"]: _counts(CSR_NUMBERS["mcyclecfg"], CYCLE),
    CSR_NUMBERS["minstretcfg"]: _counts(CSR_NUMBERS["minstretcfg"], INSTRET),
    INHIBIT: Elsewhere(lambda file: file.words[INHIBIT], _put_inhibit),
    **{
        CSR_NUMBERS[name]: _records(CSR_NUMBERS[name])
        for name in ("mctrctl", "vsctrctl", "sctrdepth")
    },
    SCTRSTATUS: _records(SCTRSTATUS, lambda file: file.hart.ctr.status),
    SCOUNTOVF: Elsewhere(lambda file: file.hart.pmu.overflow_bits, _put_nothing),
    VSSTATUS: Elsewhere(lambda file: file.words[VSSTATUS], _put_vsstatus),
    VSIE: Elsewhere(_guest_view(MIE, VSIE), _put_guest_view(MIE, VSIE, VS_INTERRUPTS)),
    VSIP: Elsewhere(_guest_view(MIP, HVIP), _put_guest_view(MIP, HVIP, OF_HVIP)),
    CSR_NUMBERS["vsatp"]: Elsewhere(lambda file: file.hart.vsatp, _put_vsatp),
    CSR_NUMBERS["hgatp"]: Elsewhere(lambda file: file.hart.hgatp, _put_hgatp),
    **{
        number: Elsewhere(lambda file, number=number: file.words[number], _put_pmpcfg(number))
        for number in PMPCFG
    },
    **{PMPADDR + n: _pmpaddr(n) for n in range(pmp.ENTRIES)},
}


@cache
def _quick(extensions: frozenset[str], counters: int):
    """What is known of each CSR beforehand, for a hart with these extensions.

    (What may be read in a mode whatever else the state, and is a word: the quick way for most
    reads; what may be written there with no further consequence, and the bits that change; what
    stands for what while V=1; which are partly closed by others; what may be accessed in a mode
    whatever else the state, (number, whether it is written).)
    """
    rows = registers(extensions, counters)
    substitutes = {CSR_NUMBERS[csr.stands_for]: n for n, csr in rows.items() if csr.stands_for}

    def is_open(csr: Csr, mode: Mode) -> bool:
        reached = REACH[mode] >= csr.mode
        return reached and csr.visible is always and csr.off is never and not csr.select

    def is_plain(number: int, csr: Csr, mode: Mode) -> bool:
        return (
            is_open(csr, mode)
            and not (csr.view or csr.open or number in ELSEWHERE)
            and not (virtual(mode) and number in substitutes)
        )

    plain = {
        mode: frozenset(number for number, csr in rows.items() if is_plain(number, csr, mode))
        for mode in Mode
    }
    writes = {
        mode: {
            number: rows[number].write_mask
            for number in numbers
            if rows[number].takes_anything
            and not rows[number].read_only
            and not ("Xrvpt" in extensions and number in DELEGATING)
        }
        for mode, numbers in plain.items()
    }
    always_open = {
        mode: frozenset(
            (number, write)
            for number, csr in rows.items()
            for write in (False, True)
            if is_open(csr, mode) and not (write and csr.read_only)
        )
        for mode in Mode
    }
    partly = {n: csr for n, csr in rows.items() if csr.open}
    return plain, writes, substitutes, partly, always_open
