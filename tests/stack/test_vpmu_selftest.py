"""What KVM's own test of a guest's PMU asks for (basic, events, snapshot, overflow), by plain SBI
calls of a guest without a driver."""

from __future__ import annotations

import pytest

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from rvperf.machine.traps import Trap
from rvperf.stack.sbi import (
    Base,
    CfgFlag,
    CounterInfo,
    Error,
    Extension,
    FirmwareEvent,
    Pmu,
    Snapshot,
    StartFlag,
    StopFlag,
    bits,
)
from tests.stack.virtual import (
    CYCLES,
    INSTRUCTIONS,
    SCAUSE,
    SEPC,
    SIE,
    SIE_BIT,
    SIP,
    SSTATUS,
    STVEC,
    Guest,
    Stack,
)

LCOFI = 1 << 13
CYCLE, HPMCOUNTER31, SCOUNTOVF = (
    CSR_NUMBERS[name] for name in ("cycle", "hpmcounter31", "scountovf")
)
LOOP = 10_000  # instructions
HALF = (1 << 63) - 1
OVERFLOWS = 5
DESIGNS = ("sbi", "snapshot", "deleg")
WITH_SNAPSHOTS = ("snapshot", "deleg")


class Caller(Guest):
    """A guest that only knows SBI."""

    def boot(self, driver) -> None:
        """Traps and the interrupt."""
        self.write(STVEC, 0xFFFFFFFF80000000)
        self.set(SIE, LCOFI)
        self.page = Snapshot(self.vcpu.vm.memory, self.vcpu.vm.memory.base + 0x4000)
        self.shares = False
        self.handler = None
        self.counters = 0
        for idx in range(self.pmu(Pmu.NUM_COUNTERS)):
            error, value = self.call(Extension.PMU, Pmu.COUNTER_GET_INFO, idx)
            if not error and not CounterInfo.of(value).firmware:
                self.counters |= 1 << idx

    def pmu(self, function, *arguments):
        """A call that gives no error."""
        error, value = self.call(Extension.PMU, function, *arguments)
        assert error == Error.SUCCESS
        return value

    def fails(self, function, *arguments):
        """The error that a call gives."""
        error, _ = self.call(Extension.PMU, function, *arguments)
        return Error(error)

    def configure(self, event):
        """A counter for an event."""
        return self.pmu(Pmu.COUNTER_CFG_MATCH, 0, self.counters, 0, event, 0)

    def start(self, idx, value=None):
        """Start a counter, from a value if there is one."""
        flags = StartFlag(0) if value is None else StartFlag.SET_INIT_VALUE
        self.pmu(Pmu.COUNTER_START, idx, 1, flags, value or 0)

    def stop(self, idx, flags=0):
        """Stop a counter."""
        self.pmu(Pmu.COUNTER_STOP, idx, 1, flags | StopFlag.TAKE_SNAPSHOT * self.shares)

    def value(self, idx):
        """What a counter that stands still, or runs, holds."""
        if self.shares:
            return self.page[0]
        return self.read(CounterInfo.of(self.pmu(Pmu.COUNTER_GET_INFO, idx)).csr)

    def share(self):
        """Have snapshots."""
        self.pmu(Pmu.SNAPSHOT_SET_SHMEM, self.page.address, 0, 0)
        self.shares = True

    def interrupted(self) -> None:
        """Only overflows come."""
        assert self.read(SCAUSE) == 1 << 63 | 13
        at = self.read(SEPC)
        self.handler()
        self.write(SEPC, at)
        self.hart.sret()


@pytest.fixture(params=DESIGNS)
def vpmu(request):
    return request.param


def run(vpmu, test):
    Stack(vpmu, guest=Caller).run(test)


def test_there_is_a_pmu_with_counters(vpmu):
    def test(guest):
        assert guest.call(Extension.BASE, Base.PROBE_EXTENSION, Extension.PMU) == (0, 1)
        assert guest.counters == 0xFFFF_FFFD  # all but the time
        for idx in bits(guest.counters):
            assert guest.pmu(Pmu.COUNTER_GET_INFO, idx) == CounterInfo(CYCLE + idx).value != 0

    run(vpmu, test)


def test_a_counter_that_is_not_configured_can_not_be_read(vpmu):
    """An illegal instruction, of which the guest's kernel is told."""

    def test(guest):
        for csr in range(CYCLE, HPMCOUNTER31 + 1):
            if csr == CYCLE + 1:
                continue  # time
            guest.write(SCAUSE, 0)
            with pytest.raises(Trap):
                guest.read(csr)
            assert guest.read(SCAUSE) == Cause.ILLEGAL_INSTRUCTION
        idx = guest.configure(INSTRUCTIONS)
        assert guest.read(CYCLE + idx) == 0

    run(vpmu, test)


def test_firmware_counters(vpmu):
    def test(guest):
        first = guest.counters.bit_length()
        assert guest.fails(Pmu.COUNTER_FW_READ, first) == Error.INVALID_PARAM
        event = FirmwareEvent.SET_TIMER.event_idx
        assert guest.pmu(Pmu.COUNTER_CFG_MATCH, first, 1, 0, event, 0) == first
        assert guest.pmu(Pmu.COUNTER_FW_READ, first) == 0
        guest.start(first)
        for _ in range(3):
            guest.call(Extension.TIME, 0, (1 << 64) - 1)
        assert guest.pmu(Pmu.COUNTER_FW_READ, first) == 3

    run(vpmu, test)


def test_an_event_that_there_is_not(vpmu):
    def test(guest):
        got = guest.fails(Pmu.COUNTER_CFG_MATCH, 0, guest.counters, 0, 0x1234, 0)
        assert got == Error.NOT_SUPPORTED

    run(vpmu, test)


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("event", [CYCLES, INSTRUCTIONS])
def test_events_count(vpmu, event, shares):
    if shares and vpmu == "sbi":
        return

    def test(guest):
        if shares:
            guest.share()
            assert guest.page.overflow == 0 and not any(guest.page[n] for n in range(64))
        idx = guest.configure(event)
        before = guest.value(idx)
        guest.start(idx)
        guest.work(LOOP)
        guest.stop(idx)
        assert guest.value(idx) - before >= LOOP
        # From half of what the counter can hold, and from 100.
        guest.start(idx, HALF)
        guest.work(LOOP)
        guest.stop(idx)
        from_half = guest.value(idx)
        assert HALF + LOOP <= from_half < HALF + 2 * LOOP
        guest.start(idx, 100)
        guest.work(LOOP)
        guest.stop(idx)
        assert 100 + LOOP <= guest.value(idx) < from_half
        again = guest.fails(Pmu.COUNTER_STOP, idx, 1, StopFlag.RESET)
        assert again == Error.ALREADY_STOPPED
        # And then it is free, of which KVM says nothing.
        assert guest.fails(Pmu.COUNTER_STOP, idx, 1, 0) == Error.SUCCESS

    run(vpmu, test)


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_each_overflow_interrupts_once(vpmu):
    """So many overflows of cycles, then so many of instructions; each with its bit set, and the
    counter behind its overflow."""
    start = (1 << 64) - 1 - LOOP

    def test(guest):
        if vpmu != "sbi":
            guest.share()
        for event in (CYCLES, INSTRUCTIONS):
            idx, seen = guest.configure(event), []

            def handler(idx=idx, seen=seen):
                guest.stop(idx)
                guest.clear(SIP, LCOFI)
                overflown = guest.page.overflow if guest.shares else guest.read(SCOUNTOVF) >> idx
                seen.append(overflown & 1)

            guest.handler = handler
            for times in range(1, OVERFLOWS + 1):
                guest.start(idx, start)
                guest.set(SSTATUS, SIE_BIT)
                guest.work(LOOP - 200)
                assert len(seen) == times - 1
                guest.work(400)
                guest.work(20 * LOOP)
                guest.clear(SSTATUS, SIE_BIT)
                assert seen == [1] * times
                assert guest.value(idx) < start
            guest.fails(Pmu.COUNTER_STOP, idx, 1, StopFlag.RESET)
        assert [exit.cause for exit in guest.vcpu.exits].count(1 << 63 | 13) == (
            0 if vpmu == "deleg" else 2 * OVERFLOWS
        )

    run(vpmu, test)


@pytest.mark.parametrize("vpmu", WITH_SNAPSHOTS)
def test_several_counters_stop_and_start_together(vpmu):
    """Which the original doesn't try. Values are by their place in the call's mask."""

    def test(guest):
        guest.share()
        idxs = [guest.configure(event) for event in (CYCLES, INSTRUCTIONS)]
        assert idxs == [0, 2]
        guest.page[0], guest.page[2] = 1000, 2000
        guest.pmu(Pmu.COUNTER_START, 0, 0b101, StartFlag.INIT_SNAPSHOT)
        guest.work(LOOP)
        guest.pmu(Pmu.COUNTER_STOP, 0, 0b101, StopFlag.TAKE_SNAPSHOT)
        assert 1000 + LOOP < guest.page[0] < 1000 + LOOP + 100
        assert 2000 + LOOP < guest.page[2] < 2000 + LOOP + 100
        assert guest.page.overflow == 0

    run(vpmu, test)


def test_snapshots_need_memory_to_share(vpmu):
    def test(guest):
        idx = guest.configure(CYCLES)
        start = guest.fails(Pmu.COUNTER_START, idx, 1, StartFlag.INIT_SNAPSHOT)
        guest.start(idx)
        stop = guest.fails(Pmu.COUNTER_STOP, idx, 1, StopFlag.TAKE_SNAPSHOT)
        assert start == stop == Error.NO_SHMEM
        share = guest.fails(Pmu.SNAPSHOT_SET_SHMEM, guest.page.address + 8, 0, 0)
        assert share == (Error.NOT_SUPPORTED if vpmu == "sbi" else Error.INVALID_PARAM)

    run(vpmu, test)


def test_configuring_can_clear_and_start_at_once(vpmu):
    def test(guest):
        flags = CfgFlag.CLEAR_VALUE | CfgFlag.AUTO_START
        idx = guest.pmu(Pmu.COUNTER_CFG_MATCH, 0, guest.counters, flags, INSTRUCTIONS, 0)
        guest.work(LOOP)
        assert LOOP <= guest.read(CYCLE + idx) < LOOP + 100
        assert guest.fails(Pmu.COUNTER_START, idx, 1, 0) == Error.ALREADY_STARTED

    run(vpmu, test)
