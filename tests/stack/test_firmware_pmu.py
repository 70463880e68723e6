"""SBI's PMU extension as firmware serves it: errors of SBI 11, and what becomes of the hart."""

import pytest

from isa.csrs import CSR_NUMBERS
from rvperf.stack.sbi import CounterInfo, Extension, FirmwareEvent, Pmu
from tests.stack.supervisors import PAGE, Supervisor

NOT_SUPPORTED, INVALID_PARAM, INVALID_ADDRESS = -2, -3, -5
ALREADY_AVAILABLE, ALREADY_STARTED, ALREADY_STOPPED, NO_SHMEM = -6, -7, -8, -9
INSTRUCTIONS, CYCLES = 2, 1
ALL = (1 << 32) - 1  # the hart's counters
OWN = ((1 << 16) - 1) << 32  # the firmware's
OF, MINH, SINH, UINH, VSINH, VUINH = (1 << bit for bit in (63, 62, 61, 60, 59, 58))
RESET, SNAPSHOT, SET_INIT, INIT_SNAPSHOT = 1, 2, 1, 2


def value(level, name):
    return level.hart.csr_value(CSR_NUMBERS[name])


@pytest.fixture
def kernel():
    return Supervisor()


def configured(kernel, event=INSTRUCTIONS, flags=0):
    """A counter configured for an event."""
    every = (1 << kernel.pmu(Pmu.NUM_COUNTERS)[1]) - 1
    error, idx = kernel.pmu(Pmu.COUNTER_CFG_MATCH, 0, every, flags, event, 0)
    assert error == 0
    return idx


def test_what_a_hart_is_left_in_at_boot(kernel):
    assert value(kernel, "mcounteren") == 0xFFFFFFFF
    assert value(kernel, "scounteren") == 2
    assert value(kernel, "mcountinhibit") == 0xFFFFFFF8
    assert {value(kernel, f"mhpmevent{n}") for n in range(3, 32)} == {OF | MINH}
    assert value(kernel, "mideleg") & 1 << 13


def test_there_are_the_harts_counters_time_among_them_and_16_of_the_firmware(kernel):
    assert kernel.pmu(Pmu.NUM_COUNTERS) == (0, 32 + 16)


@pytest.mark.parametrize(
    "idx, info",
    [
        (0, CounterInfo(0xC00, 64)),
        (1, None),  # time is no counter
        (2, CounterInfo(0xC02, 64)),
        (3, CounterInfo(0xC03, 64)),
        (6, CounterInfo(0xC06, 64)),
        (7, CounterInfo(firmware=True)),  # of four programmable ones
        (22, CounterInfo(firmware=True)),
        (23, None),
        ((1 << 64) - 1, None),
    ],
)
def test_what_counters_are(idx, info):
    error, value = Supervisor(counters=4).pmu(Pmu.COUNTER_GET_INFO, idx)
    assert (error, CounterInfo.of(value)) == (
        (0, info) if info else (INVALID_PARAM, CounterInfo.of(0))
    )


def test_the_number_of_a_counters_info():
    assert CounterInfo(0xC03, 64).value == 0x3F << 12 | 0xC03
    assert CounterInfo(firmware=True).value == 1 << 63 | 0x3F << 12


@pytest.mark.parametrize(
    "first, mask, event, error",
    [
        (0, ALL, 0x1234, NOT_SUPPORTED),  # no such event
        (0, ALL, 3, NOT_SUPPORTED),  # nothing counts it
        (0, 1 << 48, INSTRUCTIONS, INVALID_PARAM),  # beyond the last
        (48, 1, INSTRUCTIONS, INVALID_PARAM),
        (1 << 63, 1, INSTRUCTIONS, INVALID_PARAM),
        (0, 0, INSTRUCTIONS, INVALID_PARAM),
        (0, ALL, FirmwareEvent.SET_TIMER.event_idx, NOT_SUPPORTED),  # only the firmware's can
        (0, OWN, INSTRUCTIONS, NOT_SUPPORTED),
        (0, OWN, 0xF0000 | 22, NOT_SUPPORTED),  # reserved
    ],
)
def test_what_cannot_be_configured(kernel, first, mask, event, error):
    assert kernel.pmu(Pmu.COUNTER_CFG_MATCH, first, mask, 0, event, 0) == (error, 0)


@pytest.mark.parametrize(
    "flags, inhibits",
    [
        (0, 0),
        (8, VUINH),
        (16, VSINH),
        (32, UINH),
        (64, SINH),
        (128, 0),
        (0x78, SINH | UINH | VSINH | VUINH),
    ],
)
def test_configured_counters_do_not_interrupt_nor_count_m_mode(flags, inhibits):
    kernel = Supervisor(("H", "Sscofpmf"))
    idx = configured(kernel, INSTRUCTIONS, flags)
    assert value(kernel, f"mhpmevent{idx}") == OF | MINH | inhibits | INSTRUCTIONS


def test_the_last_free_counter_is_taken_and_fixed_ones_only_when_there_is_no_other():
    kernel = Supervisor(counters=2)
    taken = [configured(kernel) for _ in range(3)]
    assert taken == [4, 3, 2]


def test_without_overflow_interrupts_cycles_and_instructions_are_fixed():
    kernel = Supervisor(())
    assert [configured(kernel, CYCLES), configured(kernel, INSTRUCTIONS)] == [0, 2]


def test_the_event_of_a_counter_that_is_known_is_not_matched_again(kernel):
    idx = configured(kernel)
    skip_match = 1
    again = (Pmu.COUNTER_CFG_MATCH, 0, 1 << idx, skip_match, INSTRUCTIONS, 0)
    assert kernel.pmu(*again) == (0, idx)
    kernel.pmu(Pmu.COUNTER_STOP, idx, 1, RESET)
    assert kernel.pmu(*again) == (INVALID_PARAM, 0)


def test_counters_can_be_cleared_and_started_at_once(kernel):
    idx = configured(kernel, INSTRUCTIONS, 2 | 4 | 64)  # clear, start, not in S-mode
    kernel.work(100)
    assert kernel.read(0xC00 + idx) == 100


def test_starting_and_stopping_twice(kernel):
    idx = configured(kernel)
    assert kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, 5) == (0, 0)
    assert kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, 5) == (ALREADY_STARTED, 0)
    assert kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0) == (0, 0)
    assert kernel.pmu(Pmu.COUNTER_STOP, idx, 1, RESET) == (ALREADY_STOPPED, 0)
    assert value(kernel, f"mhpmevent{idx}") == 0
    assert kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0) == (INVALID_PARAM, 0)  # no longer configured


@pytest.mark.parametrize("function", [Pmu.COUNTER_START, Pmu.COUNTER_STOP])
@pytest.mark.parametrize(
    "first, mask", [(0, 0), (5, 1), (1, 1), (48, 1), (0, 1 << 50), (4096, 1 << 31)]
)
def test_counters_that_cannot_be_started_or_stopped(kernel, function, first, mask):
    assert kernel.pmu(function, first, mask, 0) == (INVALID_PARAM, 0)


def test_a_set_is_started_and_stopped_with_those_that_are_configured(kernel):
    a, b = configured(kernel), configured(kernel)
    every = (1 << 48) - 1
    kernel.pmu(Pmu.COUNTER_STOP, 0, every, 0)  # mcycle and minstret were running
    assert kernel.pmu(Pmu.COUNTER_START, 0, every, 0) == (0, 0)
    assert value(kernel, "mcountinhibit") == 0xFFFFFFF8 & ~(1 << a | 1 << b)
    assert kernel.pmu(Pmu.COUNTER_STOP, 0, every, 0) == (0, 0)
    assert value(kernel, "mcountinhibit") == 0xFFFFFFFD


@pytest.mark.parametrize("pending, interrupts", [(False, True), (True, False)])
def test_started_counters_interrupt_unless_an_interrupt_is_still_to_be_served(
    kernel, pending, interrupts
):
    idx = configured(kernel)
    kernel.hart.set_csr(CSR_NUMBERS["mip"], pending << 13)
    kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, 5)
    assert (not value(kernel, f"mhpmevent{idx}") & OF) == interrupts


# What Linux' sbi_pmu_test asks of KVM, asked of firmware.


@pytest.mark.parametrize("event", [CYCLES, INSTRUCTIONS])
def test_counting_goes_on_from_what_is_set(kernel, event):
    idx = configured(kernel, event)
    kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, 100)
    before = kernel.read(0xC00 + idx)
    kernel.work(10000)
    after = kernel.read(0xC00 + idx)
    assert after - before >= 10000 and before >= 100
    assert kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0)[0] == 0
    half = (1 << 64) // 2
    kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, half)
    assert kernel.read(0xC00 + idx) >= half
    kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0)
    kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, 100)
    assert 100 <= kernel.read(0xC00 + idx) < half
    kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0)
    assert kernel.pmu(Pmu.COUNTER_STOP, idx, 1, RESET)[0] == ALREADY_STOPPED


def test_a_firmware_counter_counts_what_the_firmware_does(kernel):
    event = FirmwareEvent.SET_TIMER
    idx = configured(kernel, event.event_idx)
    assert idx == 32
    assert kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, 7) == (0, 0)
    for when in (1000, 2000, 3000):
        kernel.call(Extension.TIME, 0, when)
    assert kernel.pmu(Pmu.COUNTER_FW_READ, idx) == (0, 10)
    assert kernel.pmu(Pmu.COUNTER_FW_READ_HI, idx) == (0, 0)
    kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0)
    kernel.call(Extension.TIME, 0, 4000)
    assert kernel.pmu(Pmu.COUNTER_FW_READ, idx) == (0, 10)


@pytest.mark.parametrize("idx", [2, 3, 32, 48, 1 << 60])
def test_a_firmware_counter_that_is_not_configured_cannot_be_read(kernel, idx):
    assert kernel.pmu(Pmu.COUNTER_FW_READ, idx) == (INVALID_PARAM, 0)


def test_one_overflow_interrupt_for_each_period(kernel):
    idx = configured(kernel, INSTRUCTIONS, 64)  # not in S-mode
    kernel.set(CSR_NUMBERS["sie"], 1 << 13)
    start = (1 << 64) - 10000
    seen = []

    def served():
        kernel.pmu(Pmu.COUNTER_STOP, idx, 1, 0)
        assert kernel.read(CSR_NUMBERS["scountovf"]) >> idx & 1
        kernel.clear(CSR_NUMBERS["sip"], 1 << 13)
        seen.append(kernel.read(0xC00 + idx))
        kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, start)

    kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT, start)
    kernel.work(50000, served)
    assert seen == [0] * 5


# Snapshots, which OpenSBI does not take.


def test_snapshots_are_declined(kernel):
    assert kernel.pmu(Pmu.SNAPSHOT_SET_SHMEM, PAGE, 0, 0) == (NOT_SUPPORTED, 0)
    idx = configured(kernel)
    assert kernel.pmu(Pmu.COUNTER_START, idx, 1, INIT_SNAPSHOT) == (NO_SHMEM, 0)
    assert kernel.pmu(Pmu.COUNTER_STOP, idx, 1, SNAPSHOT) == (NO_SHMEM, 0)


@pytest.mark.parametrize(
    "low, high, flags, error",
    [
        (PAGE, 0, 0, 0),
        (PAGE + 8, 0, 0, INVALID_PARAM),
        (PAGE, 0, 1, INVALID_PARAM),
        (PAGE, 1, 0, INVALID_ADDRESS),
        (0x1000, 0, 0, INVALID_ADDRESS),
        ((1 << 64) - 1, (1 << 64) - 1, 0, 0),
    ],
)
def test_which_page_can_be_shared(low, high, flags, error):
    kernel = Supervisor(snapshot=True)
    assert kernel.pmu(Pmu.SNAPSHOT_SET_SHMEM, low, high, flags) == (error, 0)


def test_a_snapshot_has_values_and_overflows_relative_to_the_base():
    kernel = Supervisor(snapshot=True)
    ram = kernel.hart.ram
    kernel.pmu(Pmu.SNAPSHOT_SET_SHMEM, PAGE, 0, 0)
    assert {ram.load(PAGE + at, 8) for at in range(0, 4096, 8)} == {0}
    high, low = configured(kernel, INSTRUCTIONS, 64), configured(kernel, INSTRUCTIONS, 64)
    assert (high, low) == (31, 30)
    ram.store(PAGE + 8, 8, 1000)  # 30
    ram.store(PAGE + 16, 8, (1 << 64) - 50)  # 31
    assert kernel.pmu(Pmu.COUNTER_START, 30, 3, INIT_SNAPSHOT) == (0, 0)
    kernel.work(100)
    assert kernel.pmu(Pmu.COUNTER_STOP, 30, 3, SNAPSHOT) == (0, 0)
    assert [ram.load(PAGE + at, 8) for at in (0, 8, 16, 24)] == [0b10, 1100, 50, 0]
    assert kernel.pmu(Pmu.COUNTER_STOP, 30, 3, SNAPSHOT | RESET)[0] == ALREADY_STOPPED
    assert ram.load(PAGE, 8) == 0


def test_values_are_set_or_come_from_the_snapshot_and_not_both():
    kernel = Supervisor(snapshot=True)
    kernel.pmu(Pmu.SNAPSHOT_SET_SHMEM, PAGE, 0, 0)
    idx = configured(kernel)
    assert kernel.pmu(Pmu.COUNTER_START, idx, 1, SET_INIT | INIT_SNAPSHOT)[0] == INVALID_PARAM


# SBI 3.


def test_which_events_there_are_can_be_asked_at_once():
    kernel = Supervisor(spec=(3, 0))
    ram = kernel.hart.ram
    events = {INSTRUCTIONS: 1, 3: 0, 0x10000: 1, 0xF0005: 1, 0xF0016: 0, 0x1234: 0}
    for n, event in enumerate(events):
        ram.store(PAGE + 16 * n, 4, event)
    assert kernel.pmu(Pmu.EVENT_GET_INFO, PAGE, 0, len(events), 0) == (0, 0)
    assert [ram.load(PAGE + 16 * n + 4, 4) for n in range(len(events))] == list(events.values())


@pytest.mark.parametrize(
    "low, high, count, flags, error",
    [
        (PAGE + 8, 0, 1, 0, INVALID_PARAM),
        (PAGE, 0, 0, 0, INVALID_PARAM),
        (PAGE, 0, 1, 1, INVALID_PARAM),
        (PAGE, 1, 1, 0, INVALID_ADDRESS),
        (0x1000, 0, 1, 0, INVALID_ADDRESS),
    ],
)
def test_how_not_to_ask_for_events(low, high, count, flags, error):
    kernel = Supervisor(spec=(3, 0))
    assert kernel.pmu(Pmu.EVENT_GET_INFO, low, high, count, flags) == (error, 0)


def test_events_cannot_be_asked_for_before_sbi_3(kernel):
    assert kernel.pmu(Pmu.EVENT_GET_INFO, PAGE, 0, 1, 0) == (NOT_SUPPORTED, 0)
