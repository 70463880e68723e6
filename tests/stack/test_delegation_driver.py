"""The counter delegation driver over firmware: its operations in their order, and what it counts
and delivers.

The sequences are those of Linux' riscv_pmu_dev.c, as posted, and csr_ind.h.
"""

import errno

import pytest

from isa.csrs import CSR_NUMBERS
from rvperf.stack.level import CSR_CYCLES
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.pmu_drivers.event import HwEvent
from rvperf.stack.sbi import Extension, FirmwareEvent
from tests.stack.supervisors import Supervisor

CYCLES, INSTRUCTIONS = 1, 2
DELEGATION = ("Sscofpmf", "Smcsrind", "Smcdeleg", "Smcntrpmf")
WITH_GUESTS = ("H", *DELEGATION)
USER = {"exclude_kernel": True}

INDIRECT_WRITE = ["write siselect", "write sireg"]
CONFIGURE = ["write siselect", "write sireg2"]
WARL = ["write siselect", "read sireg", "write sireg", "read sireg", "write sireg"]
INHIBIT = LET_COUNT = ["read scountinhibit", "write scountinhibit"]
LET_INTERRUPT = ["read sip", "write siselect", "read sireg2", *CONFIGURE]
START = [*INDIRECT_WRITE, *LET_INTERRUPT, *LET_COUNT]


def driven(extensions=DELEGATION, counters=29, **options):
    """A kernel, and its driver as it is after boot."""
    kernel = Supervisor(extensions, counters)
    driver = DelegationDriver(kernel, **options)
    driver.probe()
    return kernel, driver


def added(driver, *events):
    for event in events:
        assert driver.supports(event) == 0
        assert driver.add(event)
    return events


def config(kernel, event):
    return kernel.hart.csr_value(CSR_NUMBERS[f"mhpmevent{event.idx}"])


# Operations.


def test_boot():
    kernel = Supervisor(DELEGATION, counters=2)
    driver = DelegationDriver(kernel)
    assert kernel.since(driver.probe) == [
        "GET_SPEC_VERSION",
        "PROBE_EXTENSION",
        "read scountinhibit",
        "write scountinhibit",
        "read scountinhibit",
        "write scountinhibit",
        *WARL * 2,
        "NUM_COUNTERS",
        *["COUNTER_GET_INFO"] * 21,
        "write scounteren",
        *INHIBIT,
        "COUNTER_STOP",
        "clear sip",
        "set sie",
    ]
    assert driver.counters == 0b11101 | 0xFFFF << 5
    assert (driver.width, driver.hardware) == (64, 4)
    assert kernel.hart.csr_value(CSR_NUMBERS["mcountinhibit"]) & 0xFFFFFFFD == 0b11101


def test_without_sbis_pmu_there_are_the_harts_counters():
    kernel = Supervisor(DELEGATION, counters=2)
    del kernel.firmware.services[Extension.PMU]
    driver = DelegationDriver(kernel)
    calls = [word for word in kernel.since(driver.probe) if " " not in word]
    assert calls == ["GET_SPEC_VERSION", "PROBE_EXTENSION"]
    assert driver.counters == 0b11101
    assert driver.supports(HwEvent(FirmwareEvent.IPI_SENT.event_idx)) == errno.ENOENT


@pytest.mark.parametrize(
    "do, sequence, count",
    [
        ("supports", [], 0),
        ("add stopped", CONFIGURE, 2),
        ("add", [*CONFIGURE, *START], 11),
        ("start", START, 9),
        ("stop", [*INHIBIT, "read hpmcounter3"], 3),
        ("read", ["read hpmcounter3"], 1),
        ("delete", [*INHIBIT, "read hpmcounter3", *CONFIGURE], 5),
        ("delete stopped", CONFIGURE, 2),
    ],
)
def test_operations(do, sequence, count):
    kernel, driver = driven()
    event = HwEvent(INSTRUCTIONS, 1000)
    driver.supports(event)
    if "add" not in do and do != "supports":
        driver.add(event, start=do != "start")
    if do == "delete stopped":
        driver.stop(event)
    actions = {
        "add stopped": lambda it: driver.add(it, start=False),
        "delete stopped": driver.delete,
    }
    assert kernel.since(actions.get(do) or getattr(driver, do), event) == sequence
    assert len(sequence) == count


def test_an_event_that_is_not_sampled_never_interrupts():
    kernel, driver = driven()
    event = HwEvent(INSTRUCTIONS)
    driver.supports(event)
    assert kernel.since(driver.add, event) == [
        *CONFIGURE,
        *INDIRECT_WRITE,
        "read sip",
        *LET_COUNT,
    ]
    assert config(kernel, event) >> 63


def overflowed(driver, kernel, upto=10):
    """Let events overflow, and serve it: the operations, and the events delivered."""
    delivered, seen = [], []
    kernel.work(upto, lambda: seen.append(kernel.since(driver.overflow, delivered.append)))
    return seen, delivered


@pytest.mark.parametrize("overflows", [1, 2, 3])
def test_an_overflow_costs_6_csr_accesses_and_10_for_each_counter(overflows):
    kernel, driver = driven()
    events = added(driver, *(HwEvent(INSTRUCTIONS, 10, **USER) for _ in range(overflows)))
    calls = kernel.tally.copy()
    seen, delivered = overflowed(driver, kernel)
    reads = [f"read hpmcounter{3 + n}" for n in range(overflows)]
    assert seen == [
        [*INHIBIT, "read scountovf", "clear sip", *reads, *LET_COUNT, *START * overflows]
    ]
    assert len(seen[0]) == 6 + 10 * overflows
    assert delivered == list(events)
    assert not [key for key in kernel.tally - calls if key[0] == "call"]


def test_an_interrupt_that_is_still_to_be_served_keeps_a_counter_from_interrupting():
    kernel, driver = driven()
    kernel.hart.set_csr(CSR_NUMBERS["mip"], 1 << 13)
    (event,) = added(driver, HwEvent(INSTRUCTIONS, 1000))
    assert config(kernel, event) >> 63


def test_firmware_events_are_the_firmwares():
    kernel, driver = driven()
    event = HwEvent(FirmwareEvent.SET_TIMER.event_idx)
    driver.supports(event)
    assert kernel.since(driver.add, event) == ["COUNTER_CFG_MATCH", "COUNTER_START"]
    assert event.idx == 32
    kernel.call(0x54494D45, 0, 1000)
    assert kernel.since(driver.delete, event) == ["COUNTER_STOP", "COUNTER_FW_READ", "COUNTER_STOP"]
    assert event.count == 1


# Which counters.


@pytest.mark.parametrize(
    "options, taken",
    [
        ({}, [3, 4, 5]),
        ({"lowest_first": False}, [31, 30, 29]),
        ({"limit": 0xFFF80000}, [19, 20, 21]),
        ({"lowest_first": False, "limit": 0xFFF80000}, [31, 30, 29]),
        ({"lowest_first": False, "limit": 0x70}, [6, 5, 4]),
    ],
)
def test_counters_are_taken_in_order(options, taken):
    _, driver = driven(**options)
    events = added(driver, *(HwEvent(INSTRUCTIONS) for _ in range(3)))
    assert [event.idx for event in events] == taken
    driver.delete(events[1])
    (again,) = added(driver, HwEvent(CYCLES))
    assert again.idx == taken[1]


def test_when_no_counter_is_left_an_event_is_not_added():
    _, driver = driven(limit=0b11000)
    added(driver, HwEvent(INSTRUCTIONS), HwEvent(INSTRUCTIONS))
    another = HwEvent(INSTRUCTIONS)
    driver.supports(another)
    assert not driver.add(another)
    assert another.idx is None


@pytest.mark.parametrize(
    "period, counters, idx",
    [(0, 0b1, 0), (0, 0b100, 2), (100, 0b11100, 3), (0, 0b110000, 4), (0, 1 << 9, 9)],
)
def test_an_event_may_say_which_counters_can_count_it(period, counters, idx):
    kernel, driver = driven()
    event = HwEvent(CYCLES if counters & 1 else INSTRUCTIONS, period, counters=counters, **USER)
    added(driver, event)
    assert event.idx == idx
    kernel.work(50)
    driver.delete(event)
    assert event.count == 50


def test_a_fixed_counter_without_a_filter_is_left_as_it_is():
    kernel, driver = driven(("Sscofpmf", "Smcsrind", "Smcdeleg"))
    event = HwEvent(INSTRUCTIONS, counters=0b100)
    driver.supports(event)
    assert kernel.since(driver.add, event)[:2] == INDIRECT_WRITE
    assert kernel.since(driver.delete, event) == [*INHIBIT, "read instret"]


# Where it counts.


@pytest.mark.parametrize(
    "excluded, guest, inhibits",
    [
        ("", False, ""),
        ("kernel", False, "SINH"),
        ("user", False, "UINH"),
        ("guest", False, "VSINH VUINH"),
        ("kernel guest", False, "SINH VSINH VUINH"),
        ("host", False, "SINH UINH"),
        ("kernel hv host", True, "SINH UINH VSINH"),
        ("user hv host", True, "SINH UINH VUINH"),
        ("hv host", True, "SINH UINH"),
    ],
)
def test_where_an_event_is_not_counted(excluded, guest, inhibits):
    kernel, driver = driven(WITH_GUESTS)
    exclude = {f"exclude_{who}": True for who in excluded.split()}
    (event,) = added(driver, HwEvent(INSTRUCTIONS, guest=guest, **exclude))
    names = {"SINH": 61, "UINH": 60, "VSINH": 59, "VUINH": 58}
    found = config(kernel, event)
    assert [name for name, bit in names.items() if found >> bit & 1] == inhibits.split()
    assert found >> 62 & 1  # MINH is the firmware's, and stays
    assert found & 0xFFFFF == INSTRUCTIONS


def test_raw_events_are_the_harts_own_numbers():
    kernel, driver = driven()
    (event,) = added(driver, HwEvent(0x20000, data=5))
    assert config(kernel, event) & 0xFFFFF == 5


@pytest.mark.parametrize(
    "event, error",
    [
        (HwEvent(INSTRUCTIONS, 100), 0),
        (HwEvent(3), errno.ENOENT),
        (HwEvent(0x20000, data=77), 0),
        (HwEvent(FirmwareEvent.IPI_SENT.event_idx), 0),
    ],
)
def test_what_is_supported(event, error):
    _, driver = driven()
    assert driver.supports(event) == error


@pytest.mark.parametrize(
    "where, modes", [({}, (0, 1)), (USER, (0,)), ({"exclude_user": True}, (1,))]
)
def test_what_is_counted_is_the_harts_own_ledger_while_the_counter_runs(where, modes):
    kernel, driver = driven()
    hart, at = kernel.hart, []
    event = HwEvent(CYCLES, **where)

    def ledger():
        return sum(hart.counts[mode]["cycles"] for mode in modes)

    def write(csr, value, plain=kernel.write):
        """The counter starts or stops with the write itself, whose own cycles come after."""
        plain(csr, value)
        if csr == CSR_NUMBERS["scountinhibit"]:
            own = 1 in modes and hart.mode == 1
            at.append(ledger() - (CSR_CYCLES if own else 0))

    kernel.write = write
    added(driver, event)
    for n in (17, 0, 1000):
        kernel.work(n)
        driver.read(event)
        driver.stop(event)
        kernel.work(500)
        driver.start(event)
    kernel.work(5)
    driver.delete(event)
    assert len(at) == 8
    assert event.count == sum(at[1::2]) - sum(at[::2])
    if modes == (0,):
        assert event.count == 1022


@pytest.mark.parametrize("period, work", [(1, 20), (7, 100), (100, 1000), (1000, 999), (333, 1000)])
def test_an_event_is_delivered_once_a_period(period, work):
    kernel, driver = driven()
    event, other = added(driver, HwEvent(INSTRUCTIONS, period, **USER), HwEvent(CYCLES, **USER))
    _, delivered = overflowed(driver, kernel, upto=work)
    driver.delete(event)
    driver.delete(other)
    assert delivered == [event] * (work // period)
    assert (event.count, other.count) == (work, work)
