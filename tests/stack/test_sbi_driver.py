"""The SBI driver over firmware: its operations in their order, and what it counts and delivers.

The sequences are those of Linux' riscv_pmu_sbi.c.
"""

import errno

import pytest

from isa.csrs import CSR_NUMBERS
from rvperf.stack.pmu_drivers.event import HwEvent
from rvperf.stack.pmu_drivers.sbi import SbiDriver
from rvperf.stack.sbi import Extension, FirmwareEvent, Snapshot
from tests.stack.supervisors import HARDWARE, PAGE, Supervisor

CYCLES, INSTRUCTIONS, BRANCHES = 1, 2, 5
MATCH, START, STOP = "COUNTER_CFG_MATCH", "COUNTER_START", "COUNTER_STOP"
ON, OFF = [MATCH, START], [STOP, "read hpmcounter31", STOP]
USER = {"exclude_kernel": True}


def driven(extensions=HARDWARE, counters=29, quirks=(), **options):
    """A kernel, and its driver as it is after boot; with snapshots if the firmware takes them."""
    kernel = Supervisor(extensions, counters, **options)
    page = Snapshot(kernel.hart.ram, PAGE)
    driver = SbiDriver(kernel, page, quirks)
    driver.probe()
    return kernel, driver


def added(driver, *events):
    for event in events:
        assert driver.supports(event) == 0
        assert driver.add(event)
    return events


# Operations.


def test_boot():
    kernel = Supervisor(counters=2)
    driver = SbiDriver(kernel, Snapshot(kernel.hart.ram, PAGE))
    seen = kernel.since(driver.probe)
    known, unknown = [MATCH, STOP], [MATCH]
    assert seen == [
        "GET_SPEC_VERSION",
        "PROBE_EXTENSION",
        "NUM_COUNTERS",
        *["COUNTER_GET_INFO"] * 21,
        "SNAPSHOT_SET_SHMEM",
        "write scounteren",
        STOP,
        "clear sip",
        "set sie",
        # Of the ten general events 1, 2, 5 and 6 are there.
        *known * 2 + unknown * 2 + known * 2 + unknown * 4,
        # Of the 42 of caches, the first's reads and writes.
        *known + unknown + known + unknown * 39,
    ]
    assert driver.counters == 0b11101 | 0xFFFF << 5
    assert (driver.width, driver.hardware) == (64, 4)
    assert driver.snapshot is None


def test_without_sbis_pmu_there_is_nothing():
    kernel = Supervisor()
    del kernel.firmware.services[Extension.PMU]
    driver = SbiDriver(kernel)
    assert kernel.since(driver.probe) == ["GET_SPEC_VERSION", "PROBE_EXTENSION"]
    assert driver.counters == 0
    assert driver.supports(HwEvent(INSTRUCTIONS)) == errno.ENOENT


@pytest.mark.parametrize(
    "do, sequence",
    [
        ("supports", []),
        ("add", ON),
        ("add stopped", [MATCH]),
        ("delete", OFF),
        ("delete stopped", [STOP]),
        ("start", [START]),
        ("stop", [STOP, "read hpmcounter31"]),
        ("read", ["read hpmcounter31"]),
    ],
)
def test_operations(do, sequence):
    kernel, driver = driven()
    event = HwEvent(INSTRUCTIONS)
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


@pytest.mark.parametrize(
    "do, sequence", [("add", ON), ("delete", [STOP, STOP]), ("read", ["read hpmcounter31"])]
)
def test_operations_with_snapshots_read_memory_of_stopped_counters(do, sequence):
    kernel, driver = driven(snapshot=True)
    event = HwEvent(INSTRUCTIONS)
    driver.supports(event)
    if do != "add":
        driver.add(event)
    assert kernel.since(getattr(driver, do), event) == sequence


def test_firmware_events_are_read_by_calls():
    kernel, driver = driven()
    (event,) = added(driver, HwEvent(FirmwareEvent.SET_TIMER.event_idx))
    assert event.idx == 32
    kernel.call(0x54494D45, 0, 1000)
    assert kernel.since(driver.read, event) == ["COUNTER_FW_READ"]
    assert event.count == 1
    assert kernel.since(driver.delete, event) == [STOP, "COUNTER_FW_READ", STOP]


def test_a_program_that_may_read_its_counter_is_let_while_it_counts():
    kernel, driver = driven()
    event = HwEvent(INSTRUCTIONS, user_read=True)
    driver.supports(event)
    access = ["read scounteren", "write scounteren"]
    assert kernel.since(driver.add, event) == [*ON, *access]
    assert kernel.hart.csr_value(CSR_NUMBERS["scounteren"]) == 1 << 31 | 2
    assert kernel.since(driver.stop, event) == [*access, STOP, "read hpmcounter31"]
    assert kernel.hart.csr_value(CSR_NUMBERS["scounteren"]) == 2


def overflowed(driver, kernel, *events, upto=10):
    """Let events overflow, and serve it: the operations, and the events delivered."""
    delivered, seen = [], []

    def handler():
        seen.append(kernel.since(driver.overflow, delivered.append))

    kernel.work(upto, handler)
    return seen, delivered


@pytest.mark.parametrize("overflows", [1, 2, 3])
def test_an_overflow_costs_a_stop_and_a_start_and_one_more_start_each(overflows):
    kernel, driver = driven()
    events = added(driver, *(HwEvent(INSTRUCTIONS, 10, **USER) for _ in range(overflows)))
    seen, delivered = overflowed(driver, kernel)
    reads = [f"read hpmcounter{32 - overflows + n}" for n in range(overflows)]
    assert seen == [[STOP, "read scountovf", "clear sip", *reads, START, *[START] * overflows]]
    assert delivered == list(reversed(events))  # rising counters


def test_an_overflow_with_snapshots_costs_two_calls():
    kernel, driver = driven(snapshot=True)
    added(driver, *(HwEvent(INSTRUCTIONS, 10, **USER) for _ in range(3)))
    seen, delivered = overflowed(driver, kernel)
    assert seen == [[STOP, "clear sip", START]]
    assert len(delivered) == 3


def test_an_interrupt_without_counters_in_use_is_only_cleared():
    kernel, driver = driven()
    assert kernel.since(driver.overflow, None) == ["clear sip"]


def test_an_interrupt_without_any_overflow_leaves_counters_standing():
    kernel, driver = driven(counters=1)
    added(driver, HwEvent(INSTRUCTIONS, 1000))
    assert kernel.since(driver.overflow, None) == [STOP, "read scountovf", "clear sip"]
    assert kernel.hart.csr_value(CSR_NUMBERS["mcountinhibit"]) >> 3 & 1


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
        ("user host", False, "SINH UINH"),
        ("user kernel", False, "SINH UINH"),
        ("hv", False, ""),
        ("kernel hv host", True, "SINH UINH VSINH"),
        ("user hv host", True, "SINH UINH VUINH"),
        ("hv host", True, "SINH UINH"),
    ],
)
def test_where_an_event_is_not_counted(excluded, guest, inhibits):
    kernel, driver = driven(("H", "Sscofpmf"))
    exclude = {f"exclude_{who}": True for who in excluded.split()}
    (event,) = added(driver, HwEvent(INSTRUCTIONS, guest=guest, **exclude))
    config = kernel.hart.csr_value(CSR_NUMBERS[f"mhpmevent{event.idx}"])
    names = {"MINH": 62, "SINH": 61, "UINH": 60, "VSINH": 59, "VUINH": 58}
    assert [name for name, bit in names.items() if config >> bit & 1] == ["MINH", *inhibits.split()]


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize(
    "where, modes", [({}, (0, 1)), (USER, (0,)), ({"exclude_user": True}, (1,))]
)
def test_what_is_counted_is_the_harts_own_ledger_while_the_counter_runs(snapshot, where, modes):
    kernel, driver = driven(snapshot=snapshot)
    hart, at = kernel.hart, []

    def switched(operation):  # by the firmware, which isn't counted: the counter starts, or stops
        if operation[0] == "write" and operation[2] == "mcountinhibit":
            at.append(sum(hart.counts[mode]["cycles"] for mode in modes))

    kernel.firmware.on_operation = switched
    (event,) = added(driver, HwEvent(CYCLES, **where))
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


def test_user_mode_is_counted_exactly_across_stops():
    kernel, driver = driven()
    events = added(driver, HwEvent(INSTRUCTIONS, **USER), HwEvent(BRANCHES, **USER))
    for n in (10, 200, 3000):
        kernel.work(n)
        for event in events:
            driver.delete(event)
        kernel.work(1000)
        for event in events:
            driver.add(event)
    for event in events:
        driver.delete(event)
    assert [event.count for event in events] == [3210, 0]


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("period, work", [(1, 20), (7, 100), (100, 1000), (1000, 999), (333, 1000)])
def test_an_event_is_delivered_once_a_period(snapshot, period, work):
    kernel, driver = driven(snapshot=snapshot)
    event, other = added(driver, HwEvent(INSTRUCTIONS, period, **USER), HwEvent(CYCLES, **USER))
    _, delivered = overflowed(driver, kernel, upto=work)
    driver.delete(event)
    driver.delete(other)
    assert delivered == [event] * (work // period)
    assert (event.count, other.count) == (work, work)
    assert event.period_left == period - work % period


def test_a_late_overflow_leaves_the_next_period_shorter():
    kernel, driver = driven()
    (event,) = added(driver, HwEvent(INSTRUCTIONS, 100, **USER))
    hart = kernel.hart
    at = []

    def work():
        for _ in range(40):
            hart.charge(7, 7)  # seven at a time: it interrupts at the next multiple
            if hart.interrupt():
                driver.overflow(lambda _: at.append(event.count))
                hart.sret()

    kernel.in_user_mode(work)
    assert at == [105, 203]


def test_the_known_mistake_of_linux_leaves_counters_standing_after_an_overflow():
    kernel, driver = driven(snapshot=True, quirks={"linux-snapshot-base"})
    (event,) = added(driver, HwEvent(INSTRUCTIONS, 10, **USER))
    seen, delivered = overflowed(driver, kernel, upto=100)
    assert (len(delivered), event.count) == (1, 10)
    driver.delete(event)
    driver.add(event)
    seen, delivered = overflowed(driver, kernel, upto=100)
    assert len(delivered) == 1


# What there is.


@pytest.mark.parametrize(
    "extensions, event, error",
    [
        (HARDWARE, HwEvent(INSTRUCTIONS, 100), 0),
        (HARDWARE, HwEvent(3), errno.ENOENT),  # cache-references
        (HARDWARE, HwEvent(0x10009), errno.ENOENT),
        (HARDWARE, HwEvent(0x1234), errno.EINVAL),
        (HARDWARE, HwEvent(0x20000, data=5), 0),
        ((), HwEvent(INSTRUCTIONS), 0),
        ((), HwEvent(INSTRUCTIONS, 100), errno.EOPNOTSUPP),
        ((), HwEvent(INSTRUCTIONS, exclude_kernel=True), errno.EINVAL),
        ((), HwEvent(INSTRUCTIONS, exclude_hv=True), errno.EINVAL),
    ],
)
def test_what_is_supported(extensions, event, error):
    _, driver = driven(extensions)
    assert driver.supports(event) == error


def test_when_no_counter_is_left_an_event_is_not_added():
    _, driver = driven(counters=2)
    added(driver, *(HwEvent(INSTRUCTIONS) for _ in range(3)))  # minstret too
    another = HwEvent(INSTRUCTIONS)
    driver.supports(another)
    assert not driver.add(another)
    assert another.idx is None
    branches = HwEvent(BRANCHES)
    driver.supports(branches)
    assert not driver.add(branches)
