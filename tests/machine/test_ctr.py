"""Control transfer records as software sees them (Smctr), in both engines.

Tests are named by the manual's normative rules where it has one.
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.assembly import program as assembled
from isa.csrs import CSR_NUMBERS, registers
from isa.ext import EVERY, OPTIONAL
from isa.modes import VS, VU, M, S, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.ctr import cycle_count
from rvperf.machine.traps import Trap
from tests.machine.harts import RAM_AT, hart_in, value

ONES = (1 << 64) - 1
EXTENSIONS = ("H", "Smcsrind", "Smctr", "Sscofpmf")
U_BIT, S_BIT, M_BIT, BPFRZ, LCOFIFRZ = 1, 2, 4, 1 << 11, 1 << 12
FROZEN = 1 << 31
STVEC, MTVEC = RAM_AT + 0x400, RAM_AT + 0x800
EXCEPTION, INTERRUPT, TRAP_RETURN, TAKEN, CALL, JUMP, RETURN = 1, 2, 3, 5, 9, 11, 13
MODES = (U, S, M, VU, VS)
# Calls something twice, which returns; then turns four times.
PROGRAM = """
jal ra, sub
jal ra, sub
addi t1, x0, 4
again: addi t1, t1, -1
bne t1, x0, again
jal x0, on
sub: addi t2, t2, 1
jalr x0, 0(ra)
on: addi x0, x0, 0
addi x0, x0, 0
"""
SUB, AGAIN, ON = RAM_AT + 24, RAM_AT + 12, RAM_AT + 32
RAN = [(RAM_AT, SUB, CALL), (SUB + 4, RAM_AT + 4, RETURN), (RAM_AT + 4, SUB, CALL),
       (SUB + 4, RAM_AT + 8, RETURN), *[(AGAIN + 4, AGAIN, TAKEN)] * 3,
       (AGAIN + 8, ON, JUMP)]  # fmt: skip
STEPS = 3 + 2 * 4 + 4 + 2


def csr(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


def entry(hart, index):
    """(source, target, data) of a logical entry, as S-mode reads it."""
    csr(hart, "siselect", 0x200 + index)
    return tuple(value(hart, name) for name in ("sireg", "sireg2", "sireg3"))


def recorded(hart):
    """(source, target, type) of the valid entries, oldest first."""
    depth = 16 << value(hart, "sctrdepth")
    found = [entry(hart, index) for index in range(depth)]
    valid = [(source & ~1, to & ~1, data & 15) for source, to, data in found if source & 1]
    return valid[::-1]


@pytest.fixture(params=["reference", "native"])
def machine(request):
    def make(mode=S, extensions=EXTENSIONS, text=PROGRAM, **csrs):
        native = request.param == "native"
        hart = hart_in(mode, extra=EXTRA if native else 0, extensions=extensions, **csrs)
        hart.ram.write(RAM_AT, assembled(text, RAM_AT))
        hart.pc = RAM_AT
        csr(hart, "stvec", STVEC)
        csr(hart, "mtvec", MTVEC)
        return (Native if native else Reference)(hart), hart

    return make


# Recording.


@pytest.mark.parametrize("mode, name, bit", [(U, "mctrctl", U_BIT), (S, "mctrctl", S_BIT),
                                             (M, "mctrctl", M_BIT), (S, "sctrctl", S_BIT),
                                             (VU, "vsctrctl", U_BIT),
                                             (VS, "vsctrctl", S_BIT)])  # fmt: skip
def test_norm_mctrctl_mode_op(machine, mode, name, bit):
    """Transfers are recorded in the modes that are enabled, and in no other."""
    engine, hart = machine(mode)
    csr(hart, name, bit)
    engine.run(STEPS)
    assert recorded(hart) == RAN
    for other in set(MODES) - {mode}:
        csr(hart, "sctrstatus", 0)
        before = recorded(hart)
        hart.mode, hart.pc = other, RAM_AT
        engine.run(STEPS)
        assert recorded(hart) == before


def test_nothing_is_recorded_at_reset(machine):
    engine, hart = machine()
    engine.run(STEPS)
    assert recorded(hart) == [] and value(hart, "sctrstatus") == 0


@pytest.mark.parametrize("name, type", [("TKBRINH", TAKEN), ("DIRCALLINH", CALL),
                                        ("RETINH", RETURN), ("DIRJMPINH", JUMP)])  # fmt: skip
def test_norm_ctr_behavior_criteria_type(machine, name, type):
    """A type's filter keeps it out; changed in the middle, it holds from there on."""
    engine, hart = machine()
    bit = registers(EVERY)[CSR_NUMBERS["mctrctl"]].fields[name].mask
    csr(hart, "mctrctl", S_BIT | bit)
    engine.run(STEPS)
    assert recorded(hart) == [one for one in RAN if one[2] != type]
    csr(hart, "mctrctl", S_BIT)
    hart.pc = RAM_AT
    engine.run(STEPS)
    assert recorded(hart)[-len(RAN) :] == RAN


@pytest.mark.parametrize("depth", range(5))
def test_norm_ctr_stack(machine, depth):
    """The youngest is entry 0; older than the depth are lost, and WRPTR wraps there."""
    engine, hart = machine(sctrdepth=depth)
    csr(hart, "mctrctl", S_BIT)
    turns = 80
    for _ in range(turns):
        hart.pc = RAM_AT
        engine.run(STEPS)
    size = 16 << depth
    assert recorded(hart) == (RAN * turns)[-size:]
    assert value(hart, "sctrstatus") == len(RAN) * turns % size
    csr(hart, "siselect", 0x200 + size)
    if size < 256:
        csr(hart, "sireg", ONES)
        assert [value(hart, name) for name in ("sireg", "sireg2", "sireg3")] == [0, 0, 0]


def test_norm_sctrstatus_frozen_op(machine):
    engine, hart = machine()
    csr(hart, "mctrctl", S_BIT)
    csr(hart, "sctrstatus", FROZEN)
    engine.run(STEPS)
    assert recorded(hart) == [] and value(hart, "sctrstatus") == FROZEN
    csr(hart, "sctrstatus", 0)
    hart.pc = RAM_AT
    engine.run(STEPS)
    assert recorded(hart) == RAN


def test_a_program_controls_it_by_itself(machine):
    text = f"""
    csrrw x0, {CSR_NUMBERS["sctrctl"]}, a0
    jal ra, sub
    csrrw x0, {CSR_NUMBERS["sctrctl"]}, x0
    jal ra, sub
    sub: sctrclr
    jal x0, on
    on: addi x0, x0, 0
    """
    engine, hart = machine(text=text)
    hart.x[10] = S_BIT
    engine.run(2)
    assert recorded(hart) == [(RAM_AT + 4, RAM_AT + 16, CALL)]
    engine.run(2)
    assert recorded(hart) == [(RAM_AT + 20, RAM_AT + 24, JUMP)]


# Traps and returns.


@pytest.mark.parametrize("source, target", [*product((0, 1), repeat=2)])
@pytest.mark.parametrize("interrupt", [False, True])
def test_norm_ctr_trap_ee(machine, interrupt, source, target):
    """And ctr_trap_ed, ctr_trap_de, ctr_trap_dd."""
    _, hart = machine(U, medeleg=1 << 8, mideleg=1 << 13)
    csr(hart, "mctrctl", source * U_BIT | target * S_BIT)
    hart.trap(13 if interrupt else 8, 0, interrupt)
    type = INTERRUPT if interrupt else EXCEPTION
    assert recorded(hart) == ([(source * RAM_AT, STVEC, type)] if target else [])


@pytest.mark.parametrize("source, target", [*product((0, 1), repeat=2)])
def test_norm_ctr_trapret_ee(machine, source, target):
    """And ctr_trapret_ed, ctr_trapret_de, ctr_trapret_dd."""
    engine, hart = machine(S, text="sret", sepc=RAM_AT + 0x40)
    csr(hart, "mctrctl", target * U_BIT | source * S_BIT)
    engine.run(1)
    assert hart.mode == U
    expected = [(RAM_AT, target * (RAM_AT + 0x40), TRAP_RETURN)]
    assert recorded(hart) == (expected if source else [])


@pytest.mark.parametrize("name, cause", [("EXCINH", 8), ("TRETINH", None)])
def test_filters_of_traps(machine, name, cause):
    engine, hart = machine(U if cause else S, text="sret", medeleg=1 << 8)
    bit = registers(EVERY)[CSR_NUMBERS["mctrctl"]].fields[name].mask
    csr(hart, "mctrctl", U_BIT | S_BIT | bit)
    hart.trap(cause) if cause else engine.run(1)
    assert recorded(hart) == []


def test_a_guests_filters_hold_for_traps_out_of_it(machine):
    """Virtualization mode transitions: of fields but the mode enables, vsctrctl's count."""
    _, hart = machine(VU, medeleg=1 << 8)
    excinh = 1 << 33
    for host, guest, count in ((excinh, 0, 1), (0, excinh, 0)):
        csr(hart, "mctrctl", S_BIT | host)
        csr(hart, "vsctrctl", U_BIT | guest)
        hart.mode = VU
        before = len(recorded(hart))
        hart.trap(8)
        assert len(recorded(hart)) - before == count


@pytest.mark.parametrize("bit, cause, interrupt", [(LCOFIFRZ, 13, True), (BPFRZ, 3, False)])
@pytest.mark.parametrize("mode", [U, VU])
def test_norm_sctrstatus_frozen_set(machine, mode, bit, cause, interrupt):
    """And ctr_freeze_bp, ctr_freeze_vs: it freezes where the trap goes, and is not recorded."""
    engine, hart = machine(mode, medeleg=8, mideleg=1 << 13)
    name = "mctrctl" if mode == U else "vsctrctl"
    csr(hart, name, U_BIT)
    csr(hart, "mctrctl", value(hart, "mctrctl") | S_BIT | bit)
    engine.run(STEPS)
    hart.trap(cause, 0, interrupt)
    assert hart.mode == S
    assert recorded(hart) == RAN
    assert value(hart, "sctrstatus") & FROZEN
    csr(hart, "mctrctl", S_BIT)
    csr(hart, "sctrstatus", 0)
    hart.mode = U
    hart.trap(cause, 0, interrupt)
    assert not value(hart, "sctrstatus") & FROZEN


# Counts of cycles.


@pytest.mark.parametrize("cycles, found", [
    (0, 0), (4095, 0xFFF), (4096, 1 << 12), (8191, 0x1FFF), (8192, 2 << 12), (8195, 2 << 12 | 1),
    (134201344, 0xFFFF), (1 << 27, 0xFFFF), (1 << 40, 0xFFFF),
])  # fmt: skip
def test_norm_ctr_ccounter_inc(cycles, found):
    """12 bits of mantissa and 4 of exponent; it saturates (ctr_ccounter_sat)."""
    assert cycle_count(cycles) == found
    exponent, mantissa = found >> 12, found & 0xFFF
    told = mantissa if not exponent else (1 << 12) + mantissa << exponent - 1
    assert told <= cycles
    assert cycles > 134201344 or cycles - told < max(1, 1 << max(exponent - 1, 0))


def test_cycles_since_the_record_before(machine):
    """Elapsed cycles in enabled modes; none for the first (ctr_ccounter_ccv)."""
    engine, hart = machine()
    csr(hart, "mctrctl", S_BIT)
    engine.run(5)
    found = [entry(hart, index)[2] for index in range(3)]
    assert found[2] == CALL  # CCV is 0
    for data in found[:2]:
        assert data & 1 << 15
    hart.mode = U  # not enabled: its cycles don't count
    hart.charge(500, 500)
    hart.mode = S
    hart.charge(70, 70)
    engine.run(1)
    assert entry(hart, 0)[2] == RETURN | 1 << 15 | 73 << 16  # an addi, 70, and two of the return
    csr(hart, "mctrctl", S_BIT)  # which resets the counter
    engine.run(5)
    assert [entry(hart, index)[2] >> 15 & 1 for index in (1, 0)] == [0, 1]


def test_mispredicted_branches_are_marked(machine):
    engine, hart = machine()
    csr(hart, "mctrctl", S_BIT)
    engine.run(STEPS)
    misses = sum(entry(hart, index)[1] & 1 for index in range(8))
    hart.collect()
    assert misses + 1 == hart.counts[S]["branch-misses"]  # the last one was not taken


# What software writes.


def test_norm_ctrsource_op():
    """Entries can be written, and moved by WRPTR, as a kernel does that restores them."""
    hart = hart_in(S, extensions=EXTENSIONS)
    csr(hart, "sctrstatus", 5)
    for index in range(16):
        csr(hart, "siselect", 0x200 + index)
        for name, new in (("sireg", 101), ("sireg2", 201), ("sireg3", ONES)):
            csr(hart, name, new + (index << 32) if name != "sireg3" else new)
    assert entry(hart, 3) == (101 + (3 << 32), 201 + (3 << 32), 0xFFFF_800F)
    csr(hart, "sctrstatus", 6)
    assert entry(hart, 4) == (101 + (3 << 32), 201 + (3 << 32), 0xFFFF_800F)
    for name in ("sireg4", "sireg5", "sireg6"):
        csr(hart, name, ONES)
        assert value(hart, name) == 0
    csr(hart, "vsiselect", 0x204)
    assert value(hart, "vsireg") == 101 + (3 << 32)


def test_norm_sctrclr_op1(machine):
    engine, hart = machine()
    csr(hart, "mctrctl", S_BIT)
    engine.run(STEPS)
    hart.ctr.clear()
    assert [entry(hart, index) for index in range(16)] == [(0, 0, 0)] * 16
    engine.run(0)
    hart.pc = RAM_AT
    engine.run(1)
    assert entry(hart, 0) == (RAM_AT | 1, SUB, CALL)


@pytest.mark.parametrize("name, mask", [("mctrctl", 0xFF2E_0000_1807),
                                        ("sctrctl", 0xFF2E_0000_1803),
                                        ("vsctrctl", 0xFF2E_0000_1803),
                                        ("sctrstatus", 0x8000_000F)])  # fmt: skip
def test_norm_mctrctl_impl(name, mask):
    """Bits of fields that there are not are read-only zero; M and MTE are not sctrctl's."""
    hart = hart_in(M, extensions=EXTENSIONS)
    csr(hart, name, ONES)
    assert value(hart, name) == mask
    csr(hart, "sctrdepth", 5)
    assert value(hart, "sctrdepth") == 0


# Who may.

CTR, CSRIND = 1 << 54, 1 << 60


@pytest.mark.parametrize("m, h", [*product((0, CTR), repeat=2)])
def test_norm_mstateen_ctr0(m, h):
    """And hstateen_ctr, sctrdepth_mode, sctrclr_exceptions: five modes by both state enables."""
    extensions = OPTIONAL.keys() - {"Xrvpt"}
    hart = hart_in(M, extensions=extensions, mstateen0=m | CSRIND, hstateen0=h | CSRIND)
    csr(hart, "siselect", 0x200)
    csr(hart, "vsiselect", 0x200)
    hart.ram.write(RAM_AT, assembled("sctrclr", RAM_AT))
    engine = Reference(hart)

    def outcome(act):
        try:
            act()
        except Trap as trap:
            return int(trap.cause)

    def clears():
        hart.pc = RAM_AT
        engine.run(1)

    for mode in MODES:
        hart.mode = mode
        guest = (22 if m else 2) if mode in (VU, VS) else None
        host = 2 if mode == U or (mode == S and not m) else None
        own = guest if mode == VU or not (m and h) else None
        for name in ("sctrctl", "sctrstatus", "sireg", "sireg3", "sireg6"):
            # CSRIND's rules come first: those of VU are virtual instructions whatever CTR is.
            expected = 22 if mode == VU and "ireg" in name else own if guest else host
            found = outcome(lambda name=name: hart.read_csr(CSR_NUMBERS[name]))
            assert found == expected, (name, mode)
        assert outcome(lambda: hart.read_csr(CSR_NUMBERS["sctrdepth"])) == (guest or host), mode
        assert outcome(lambda: hart.read_csr(CSR_NUMBERS["vsctrctl"])) == (guest or host), mode
        assert outcome(clears) == (own if guest else host), mode


@pytest.mark.parametrize("name", ["mctrctl", "sctrctl", "sctrstatus", "sctrdepth", "vsctrctl"])
def test_without_smctr_there_is_nothing(name):
    hart = hart_in(M, extensions=OPTIONAL.keys() - {"Smctr"})
    with pytest.raises(Trap):
        hart.read_csr(CSR_NUMBERS[name])
    csr(hart, "siselect", 0x200)
    with pytest.raises(Trap):
        hart.read_csr(CSR_NUMBERS["sireg"])
    hart.ram.write(RAM_AT, assembled("sctrclr", RAM_AT))
    hart.pc = RAM_AT
    with pytest.raises(Trap, match="cause 2"):
        Reference(hart).run(1)
