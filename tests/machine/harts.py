"""Harts to ask questions of: made in a mode, with CSRs of given values, over a little RAM."""

from isa.csrs import CSR_NUMBERS
from isa.modes import M
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap

RAM_AT = 0x8000_0000
RAM_SIZE = 64 << 12
ILLEGAL = "illegal"

# Bits of mstatus.
SIE, MIE, SPIE, MPIE, SPP, MPP_S, MPP_M = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 1 << 11, 3 << 11
FS, MPRV, SUM, MXR, TVM = 3 << 13, 1 << 17, 1 << 18, 1 << 19, 1 << 20
# Bits of page table entries.
V, R, W, X, U_BIT, G, A, D = (1 << n for n in range(8))
SV39 = 8 << 60


def hart_in(
    mode=M, *, ram_size=RAM_SIZE, extra=0, extensions=(), counters=29, pmp_entries=0, **csrs
) -> Hart:
    """A hart in `mode`, its CSRs set by name in the order given."""
    hart = Hart(Ram(ram_size, RAM_AT), extra, extensions, counters, pmp_entries=pmp_entries)
    for name, value in csrs.items():
        hart.set_csr(CSR_NUMBERS[name], value)
    hart.mode = mode
    return hart


def read(hart: Hart, name: str):
    """What an instruction of the hart's mode reads: a value, or ILLEGAL."""
    try:
        return hart.read_csr(CSR_NUMBERS[name])
    except Trap as trap:
        assert trap.cause == 2
        return ILLEGAL


def write(hart: Hart, name: str, value: int):
    """Write as an instruction of the hart's mode: None, or ILLEGAL."""
    try:
        return hart.write_csr(CSR_NUMBERS[name], value)
    except Trap as trap:
        assert trap.cause == 2
        return ILLEGAL


def value(hart: Hart, name: str) -> int:
    """The CSR's value, whoever asks."""
    return hart.csr_value(CSR_NUMBERS[name])


def pte(pa: int, flags: int) -> int:
    """The page table entry that points to pa."""
    return pa >> 12 << 10 | flags


def put_entry(hart: Hart, table: int, index: int, entry: int) -> None:
    """Put an entry into the page table at a physical address."""
    hart.ram.store(table + 8 * index, 8, entry)


def outcome(access, *args):
    """What a memory access gives: its value, or its trap's (cause, tval)."""
    try:
        return access(*args)
    except Trap as trap:
        return int(trap.cause), trap.tval
