"""Firmware: the smaller extensions of SBI, and exceptions that it passes on."""

import pytest

from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, S, U
from rvperf.machine.traps import Trap
from rvperf.stack.sbi import Extension, FirmwareEvent, Pmu
from tests.stack.supervisors import RAM_AT, Supervisor

NOT_SUPPORTED, INVALID_PARAM, ALREADY_AVAILABLE = -2, -3, -6
ALL_HARTS = (1 << 64) - 1
WITH_GUESTS = ("H", "Sscofpmf")


@pytest.mark.parametrize(
    "function, argument, value",
    [
        (0, 0, 2 << 24),  # SBI 2.0
        (1, 0, 1),  # OpenSBI
        (2, 0, 0x10006),
        (3, 0x504D55, 1),  # PMU
        (3, 0x735049, 1),  # sPI
        (3, 0x53525354, 0),  # SRST: nobody to do it
        (3, 0x4442434E, 0),  # DBCN: not there
        (4, 0, 0),
        (5, 0, 0),
        (6, 0, 0),
    ],
)
def test_what_base_tells(function, argument, value):
    assert Supervisor().call(Extension.BASE, function, argument) == (0, value)


@pytest.mark.parametrize("extension, function", [(0x10, 7), (0x504D55, 9), (0x4442434E, 0), (0, 0)])
def test_calls_that_do_not_exist(extension, function):
    assert Supervisor().call(extension, function) == (NOT_SUPPORTED, 0)


def test_a_call_keeps_the_other_registers():
    kernel = Supervisor()
    for n in range(5, 18):
        kernel.hart.x[n] = n
    kernel.call(Extension.BASE, 0)
    assert list(kernel.hart.x[5:18]) == list(range(5, 18))


def test_the_timer_is_the_harts_own():
    kernel = Supervisor()
    assert kernel.call(Extension.TIME, 0, 12345) == (0, 0)
    assert kernel.hart.csr_value(CSR_NUMBERS["stimecmp"]) == 12345


@pytest.mark.parametrize(
    "mask, first, error, pending",
    [
        (1, 0, 0, 1),
        (0, ALL_HARTS, 0, 1),
        (0, 0, 0, 0),
        (2, 0, INVALID_PARAM, 0),
        (1, 1, INVALID_PARAM, 0),
    ],
)
def test_to_whom_interrupts_can_be_sent(mask, first, error, pending):
    kernel = Supervisor()
    assert kernel.call(Extension.IPI, 0, mask, first) == (error, 0)
    assert kernel.hart.csr_value(CSR_NUMBERS["mip"]) >> 1 & 1 == pending


@pytest.mark.parametrize(
    "function, sent",
    [(0, 8), (1, 10), (2, 12), (3, 16), (4, 14), (5, 20), (6, 18)],
)
def test_fences_are_counted_where_they_are_asked_for_and_where_they_are_done(function, sent):
    kernel = Supervisor(WITH_GUESTS)
    for idx, code in ((32, sent), (33, sent + 1)):
        match = (Pmu.COUNTER_CFG_MATCH, idx, 1, 4, FirmwareEvent(code).event_idx, 0)
        assert kernel.pmu(*match) == (0, idx)
    assert kernel.call(Extension.RFENCE, function, 1, 0, 0, 0) == (0, 0)
    assert [kernel.pmu(Pmu.COUNTER_FW_READ, idx)[1] for idx in (32, 33)] == [1, 1]


def test_without_guests_there_are_no_fences_for_them():
    assert Supervisor().call(Extension.RFENCE, 4, 1, 0, 0, 0) == (NOT_SUPPORTED, 0)


@pytest.mark.parametrize(
    "start, size, fenced",
    [
        (0x1000, 0x2000, [0x1000, 0x2000]),
        (0x1800, 0x1000, [0x1000, 0x2000]),
        (0, 0, [None]),
        (0x1000, (1 << 64) - 1, [None]),
        (0x1000, 1 << 30, [None]),
    ],
)
def test_what_a_fence_covers(start, size, fenced):
    kernel, seen = Supervisor(), []
    kernel.hart.fences.append(lambda va, asid: seen.append(va))
    assert kernel.call(Extension.RFENCE, 1, 1, 0, start, size) == (0, 0)
    assert seen == fenced


@pytest.mark.parametrize(
    "function, argument, answer",
    [
        (0, 0, (ALREADY_AVAILABLE, 0)),
        (0, 1, (INVALID_PARAM, 0)),
        (2, 0, (0, 0)),  # started
        (2, 1, (INVALID_PARAM, 0)),
        (3, 0, (0, 0)),
        (3, 1, (INVALID_PARAM, 0)),
        (3, 0x80000000, (NOT_SUPPORTED, 0)),
    ],
)
def test_states_of_harts(function, argument, answer):
    assert Supervisor().call(Extension.HSM, function, argument) == answer


class Ended(Exception):
    """By a reset."""


def test_a_system_reset_ends_the_machine():
    def end(kind, reason):
        raise Ended(kind, reason)

    kernel = Supervisor(on_reset=end)
    assert kernel.call(Extension.BASE, 3, Extension.SRST) == (0, 1)
    assert kernel.call(Extension.SRST, 0, 3, 0) == (INVALID_PARAM, 0)
    assert kernel.call(Extension.SRST, 0, 0, 2) == (INVALID_PARAM, 0)
    with pytest.raises(Ended, match="0, 1"):
        kernel.call(Extension.SRST, 0, 0, 1)


# Exceptions. With guests, those of OpenSBI's list are the host's and others are passed on.


@pytest.mark.parametrize("extensions", [(), WITH_GUESTS])
def test_an_instruction_that_is_illegal_for_a_supervisor_comes_back_to_it(extensions):
    kernel = Supervisor(extensions)
    with pytest.raises(Trap) as raised:
        kernel.read(0x300)  # mstatus
    assert raised.value.cause == 2
    assert kernel.hart.csr_value(CSR_NUMBERS["scause"]) == 2
    assert kernel.hart.csr_value(CSR_NUMBERS["stval"]) == 0x30002573  # csrr a0, mstatus


def taken(mode, cause, hedeleg=0, **of_trap):
    """The hart after a trap from a mode that M-mode takes first, if it does."""
    hart_of = Supervisor(WITH_GUESTS)
    hart = hart_of.hart
    for name, value in {"stvec": 0x100, "vstvec": 0x200, "hedeleg": hedeleg}.items():
        hart.set_csr(CSR_NUMBERS[name], value)
    hart.mode = mode
    hart.pc = RAM_AT + 0x40
    hart.take(Trap(cause, **of_trap))
    while hart.mode == 3:
        hart_of.firmware.trap()
    return hart


def csrs(hart, *names):
    return [hart.csr_value(CSR_NUMBERS[name]) for name in names]


@pytest.mark.parametrize("cause", [1, 2, 4, 5, 6, 7])
@pytest.mark.parametrize(
    "mode, hedeleg, to, virtual, privilege",
    [
        (U, 0, S, 0, 0),
        (S, 0, S, 0, 1),
        (VU, 0, S, 1, 0),
        (VS, 0, S, 1, 1),
        (VU, 0xFF, VS, None, 0),
        (VS, 0xFF, VS, None, 1),
        (U, 0xFF, S, 0, 0),
    ],
)
def test_to_whom_an_exception_is_passed_on(cause, mode, hedeleg, to, virtual, privilege):
    hart = taken(mode, cause, hedeleg, tval=0x1234)
    assert hart.mode == to
    if to == VS:
        assert hart.pc == 0x200
        assert csrs(hart, "vscause", "vsepc", "vstval") == [cause, RAM_AT + 0x40, 0x1234]
        assert csrs(hart, "vsstatus")[0] >> 8 & 1 == privilege
    else:
        assert hart.pc == 0x100
        assert csrs(hart, "scause", "sepc", "stval") == [cause, RAM_AT + 0x40, 0x1234]
        assert csrs(hart, "mstatus")[0] >> 8 & 1 == privilege
        assert csrs(hart, "hstatus")[0] >> 7 & 1 == virtual


@pytest.mark.parametrize("cause", [1, 2, 4, 5, 6, 7])
@pytest.mark.parametrize("mode", [U, S, VU, VS])
@pytest.mark.parametrize("hedeleg", [0, 0xFF])
def test_an_exception_passed_on_is_as_if_it_had_been_delegated(cause, mode, hedeleg):
    """The hart's own delivery is the expectation."""
    names = ("scause", "sepc", "stval", "hstatus", "htval", "htinst", "mstatus",
             "vscause", "vsepc", "vstval", "vsstatus")  # fmt: skip

    def end(delegated):
        kernel = Supervisor(WITH_GUESTS)
        hart = kernel.hart
        given = {"stvec": 0x100, "vstvec": 0x200, "hedeleg": hedeleg, "vsstatus": 2, "sstatus": 2}
        if delegated:
            given["medeleg"] = 0xFFFFFFFF
        for name, value in given.items():
            hart.set_csr(CSR_NUMBERS[name], value)
        hart.mode, hart.pc = mode, RAM_AT + 0x40
        hart.take(Trap(cause, 0x1234))
        while hart.mode == 3:
            kernel.firmware.trap()
        values = csrs(hart, *names)
        values[names.index("mstatus")] &= ~(1 << 7 | 1 << 38)  # MPIE and GVA, of M-mode itself
        return hart.mode, hart.pc, values

    assert end(delegated=False) == end(delegated=True)


@pytest.mark.parametrize(
    "cause, to", [(22, S), (20, S), (21, S), (23, S), (10, S), (8, VS), (12, VS)]
)
def test_what_m_mode_never_sees_of_guests(cause, to):
    kernel = Supervisor(WITH_GUESTS)
    kernel.hart.set_csr(CSR_NUMBERS["hedeleg"], 1 << 8 | 1 << 12)
    kernel.hart.mode = VS if cause != 8 else VU
    kernel.hart.take(Trap(cause))
    assert kernel.hart.mode == to
    assert not kernel.firmware.tally


def test_passing_on_is_counted_and_takes_time():
    kernel = Supervisor(WITH_GUESTS)
    kernel.pmu(Pmu.COUNTER_CFG_MATCH, 32, 1, 4, FirmwareEvent.ILLEGAL_INSN.event_idx, 0)
    spent = kernel.hart.counts[3]["instructions"]
    with pytest.raises(Trap):
        kernel.read(0x300)
    assert kernel.pmu(Pmu.COUNTER_FW_READ, 32) == (0, 1)
    assert kernel.hart.counts[3]["instructions"] > spent
