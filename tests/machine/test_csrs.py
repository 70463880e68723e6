"""Control and status registers: who may access them, and what they keep of what is written."""

import pytest

from isa.csrs import CSR_NUMBERS, CSRS
from isa.modes import M, S, U
from tests.machine.harts import FS, ILLEGAL, TVM, hart_in, read, value, write

ONES = (1 << 64) - 1
MAY = {"": (ILLEGAL, ILLEGAL), "r": (0, ILLEGAL), "rw": (0, None)}


@pytest.mark.parametrize(
    "name, user, supervisor, machine",
    [
        ("mscratch", "", "", "rw"),
        ("mcause", "", "", "rw"),
        ("mideleg", "", "", "rw"),
        ("mvendorid", "", "", "r"),
        ("mhartid", "", "", "r"),
        ("pmpaddr63", "", "", "rw"),
        ("sscratch", "", "rw", "rw"),
        ("scause", "", "rw", "rw"),
        ("satp", "", "rw", "rw"),
        ("scounteren", "", "rw", "rw"),
        ("mhpmcounter3", "", "", "rw"),
        ("hpmcounter31", "", "", "r"),  # no counter is enabled for the others
    ],
)
def test_who_may_read_and_write_a_csr(name, user, supervisor, machine):
    for mode, may in ((U, user), (S, supervisor), (M, machine)):
        hart = hart_in(mode)
        assert (read(hart, name), write(hart, name, 0)) == MAY[may], mode


def test_every_csr_obeys_its_address():
    for number, csr in CSRS.items():
        for mode in (U, S, M):
            hart = hart_in(mode, mstatus=FS, mcounteren=ONES, scounteren=ONES, menvcfg=1 << 63)
            least, read_only = number >> 8 & 3, number >> 10 == 3
            assert (read(hart, csr.name) == ILLEGAL) == (mode < least), (csr.name, mode)
            refused = write(hart, csr.name, 0) == ILLEGAL
            assert refused == (mode < least or read_only), (csr.name, mode)


@pytest.mark.parametrize("number", [0x004, 0x1FF, 0x5A8, 0x7C0, 0xB01, 0xC80, 0xFFF])
@pytest.mark.parametrize("mode", [U, S, M])
def test_a_number_without_a_csr_is_illegal(number, mode, monkeypatch):
    monkeypatch.setitem(CSR_NUMBERS, "nothing", number)
    hart = hart_in(mode)
    assert read(hart, "nothing") == write(hart, "nothing", 0) == ILLEGAL


@pytest.mark.parametrize("name, bit", [("cycle", 0), ("time", 1), ("instret", 2),
                                       ("hpmcounter3", 3), ("hpmcounter31", 31)])  # fmt: skip
@pytest.mark.parametrize(
    "mode, mcounteren, scounteren, sees",
    [
        (S, 0, 0, False),
        (S, 0, 1, False),
        (S, 1, 0, True),
        (S, 1, 1, True),
        (U, 0, 0, False),
        (U, 0, 1, False),
        (U, 1, 0, False),
        (U, 1, 1, True),
    ],
)
def test_a_counter_needs_the_enables_above_the_mode(name, bit, mode, mcounteren, scounteren, sees):
    hart = hart_in(mode, mcounteren=mcounteren << bit, scounteren=scounteren << bit)
    assert read(hart, name) == (0 if sees else ILLEGAL)
    others = hart_in(mode, mcounteren=ONES ^ 1 << bit, scounteren=ONES ^ 1 << bit)
    assert read(others, name) == ILLEGAL


def test_m_mode_needs_no_counter_enable():
    assert read(hart_in(M), "cycle") == read(hart_in(M), "hpmcounter31") == 0


@pytest.mark.parametrize("name", ["fcsr", "frm", "fflags"])
@pytest.mark.parametrize("mode", [U, S, M])
def test_floating_point_csrs_are_illegal_while_fs_is_off(name, mode):
    off, on = hart_in(mode), hart_in(mode, mstatus=FS)
    assert (read(off, name), write(off, name, 0)) == (ILLEGAL, ILLEGAL)
    assert (read(on, name), write(on, name, 0)) == (0, None)


def test_tvm_keeps_s_mode_from_satp():
    hart = hart_in(S, mstatus=TVM)
    assert (read(hart, "satp"), write(hart, "satp", 0)) == (ILLEGAL, ILLEGAL)
    hart.mode = M
    assert (read(hart, "satp"), write(hart, "satp", 0)) == (0, None)


@pytest.mark.parametrize(
    "stce, tm, sees", [(0, 0, False), (0, 1, False), (1, 0, False), (1, 1, True)]
)
def test_s_mode_has_its_timer_where_stce_and_tm_give_it(stce, tm, sees):
    hart = hart_in(S, menvcfg=stce << 63, mcounteren=tm << 1)
    assert (write(hart, "stimecmp", 5) is None) == sees


@pytest.mark.parametrize(
    "name, before, written, after",
    [
        ("mstatus", 0, ONES, 0x8000000A_007E79AA),
        ("mstatus", 0, 0, 0x0000000A_00000000),
        ("mstatus", 1 << 11, 2 << 11, 0xA_00000800),  # MPP 2 is no mode: it stays S
        ("mstatus", 0, 1 << 13, 0x8000000A_00006000),  # FS not off is dirty
        ("misa", 0, 0, 0x80000000_0014112F),
        ("misa", 0, ONES, 0x80000000_0014112F),
        ("medeleg", 0, ONES, 0xB3FF),  # calls from M-mode are not delegated
        ("mideleg", 0, ONES, 0x2222),
        ("mie", 0, ONES, 0x2AAA),
        ("mip", 0, ONES, 0x2222),  # devices' bits are theirs
        ("mtvec", 0, ONES ^ 2, ONES ^ 2),
        ("mtvec", 0x100 | 1, 0x200 | 2, 0x200 | 1),  # MODE 2 is reserved
        ("stvec", 0, 0x80000003, 0x80000000),
        ("mepc", 0, ONES, ONES - 1),
        ("sepc", 0, ONES, ONES - 1),
        ("mcause", 0, ONES, ONES),
        ("mtval", 0, ONES, ONES),
        ("mscratch", 0, ONES, ONES),
        ("mcounteren", 0, ONES, 0xFFFFFFFF),
        ("scounteren", 0, ONES, 0xFFFFFFFF),
        ("mcountinhibit", 0, ONES, 0xFFFFFFFD),  # the time does not stand still
        ("menvcfg", 0, ONES, 0x80000000_000000F1),
        ("menvcfg", 1 << 4, 2 << 4, 1 << 4),  # CBIE 2 is reserved
        ("senvcfg", 0, ONES, 0xF1),
        ("satp", 0, 8 << 60 | 0xABCD << 44 | 0x12345, 8 << 60 | 0xABCD << 44 | 0x12345),
        ("satp", 8 << 60 | 1, 9 << 60 | 2, 8 << 60 | 1),  # no Sv48: no effect at all
        ("satp", 8 << 60 | 1, 1 << 60 | 2, 8 << 60 | 1),
        ("satp", 8 << 60 | 1, 0, 0),
        ("fcsr", 0, ONES, 0xFF),
        ("frm", 0, ONES, 7),
        ("fflags", 0, ONES, 0x1F),
        ("mcycle", 0, ONES, ONES),
        ("minstret", 5, 7, 7),
        ("mhpmcounter3", 0, ONES, ONES),
        ("stimecmp", 0, ONES, ONES),
        ("pmpcfg0", 0, ONES, 0),  # no PMP entry is implemented
        ("pmpaddr0", 0, ONES, 0),
    ],
)
def test_what_a_csr_keeps_of_a_write(name, before, written, after):
    hart = hart_in(M, extensions=["Sscofpmf"], mstatus=FS)
    write(hart, name, before)
    assert write(hart, name, written) is None
    assert read(hart, name) == after


@pytest.mark.parametrize(
    "name, reset",
    [
        ("mstatus", 0xA_00000000),
        ("mhartid", 0),
        ("satp", 0),
        ("stimecmp", ONES),
        ("mip", 0),
        ("mcountinhibit", 0),
        ("mideleg", 0),
    ],
)
def test_values_after_reset(name, reset):
    assert read(hart_in(M), name) == reset


def test_sstatus_is_the_part_of_mstatus_that_is_the_supervisors():
    hart = hart_in(M, mstatus=ONES)
    assert read(hart, "sstatus") == 0x80000002_000C6122
    write(hart, "sstatus", 0)
    assert read(hart, "mstatus") == 0xA_00721888  # MIE MPIE MPP MPRV TVM TW TSR
    write(hart, "mstatus", 0)
    write(hart, "sstatus", ONES)
    assert read(hart, "mstatus") == 0x8000000A_000C6122


def test_frm_and_fflags_are_parts_of_fcsr():
    hart = hart_in(U, mstatus=FS)
    write(hart, "frm", 3)
    write(hart, "fflags", 0x11)
    assert read(hart, "fcsr") == hart.fcsr == 0x71
    hart.fcsr = 0x2A
    assert (read(hart, "frm"), read(hart, "fflags"), hart.frm, hart.fflags) == (1, 10, 1, 10)


@pytest.mark.parametrize(
    "fs, frm, slow", [(0, 0, 1), (FS, 0, 0), (FS, 3, 0), (FS, 4, 1), (FS, 7, 1)]
)
def test_native_code_may_not_do_floating_point_while_off_or_rounding_as_no_host_does(fs, frm, slow):
    hart = hart_in(M, mstatus=FS)
    write(hart, "frm", frm)
    write(hart, "mstatus", fs)
    assert hart.fp_slow == slow


@pytest.mark.parametrize(
    "mideleg, sie, mie",
    [(0, 0, 0x2AAA), (0x20, 0x20, 0x2AAA), (0x2222, 0x2222, 0x2AAA)],
)
def test_sie_shows_delegated_interrupts_only(mideleg, sie, mie):
    hart = hart_in(M, extensions=["Sscofpmf"], mideleg=mideleg, mie=ONES)
    assert read(hart, "sie") == sie
    write(hart, "sie", 0)
    assert read(hart, "mie") == mie & ~mideleg
    write(hart, "sie", ONES)
    assert read(hart, "mie") == mie


def test_sip_lets_s_mode_clear_software_and_overflow_interrupts_only():
    hart = hart_in(S, extensions=["Sscofpmf"], mideleg=0x2222, mip=0x2222)
    assert read(hart, "sip") == 0x2222
    write(hart, "sip", 0)
    assert read(hart, "sip") == 0x220  # the timer's and the external one stay
    write(hart, "sip", ONES)
    assert read(hart, "sip") == 0x2222
    hart = hart_in(S, extensions=["Sscofpmf"], mideleg=0x20, mip=0x2222)
    assert read(hart, "sip") == 0x20
    write(hart, "sip", 0)
    assert value(hart, "mip") == 0x2222


def test_the_timer_decides_stip_once_sstc_is_on():
    hart = hart_in(M, mip=1 << 5)
    assert read(hart, "mip") == 1 << 5  # as M-mode wrote it
    write(hart, "menvcfg", 1 << 63)
    assert read(hart, "mip") == 0
    write(hart, "stimecmp", 3)
    hart.idle_until(299)
    assert (read(hart, "time"), read(hart, "mip")) == (2, 0)
    hart.idle_until(300)
    assert (read(hart, "time"), read(hart, "mip")) == (3, 1 << 5)
    write(hart, "mip", 0)  # read-only now
    assert read(hart, "mip") == 1 << 5
    write(hart, "stimecmp", 4)
    assert read(hart, "mip") == 0


# Debug specification, 5.7: a hart without triggers has a tselect that can't be written, and tinfo
# has bit 0 alone, "there is no trigger at this tselect".
@pytest.mark.parametrize(
    "name, reads",
    [("tselect", 0), ("tdata1", 0), ("tdata2", 0), ("tdata3", 0), ("tinfo", 1)],
)
def test_there_are_no_triggers(name, reads):
    hart = hart_in(M)
    hart.write_csr(CSR_NUMBERS[name], (1 << 64) - 1)
    assert read(hart, name) == reads
    hart.mode = S
    assert read(hart, name) == ILLEGAL
