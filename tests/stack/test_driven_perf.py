"""A kernel that counts and samples by a PMU's driver, on a hart without guests: what is found is
what was executed, and the SBI calls are those of Linux' traces."""

import pytest

from rvperf.stack.events_core import scaled
from rvperf.stack.kernel import kallsyms
from rvperf.stack.kernel.perf_tool import POLLED, START_UP
from rvperf.stack.sbi import Pmu

from . import elves
from .driven import EXTENSIONS, Machine

DRIVERS = sorted(EXTENSIONS)
PERIOD = 100_000
TURNS = 300_000
COUNT = 4 * TURNS + 5  # `li` takes two instructions
LOOP = f"""
    li t0, {TURNS}
loop:
    addi t1, t1, 1
    add t2, t2, t1
    addi t0, t0, -1
    bnez t0, loop
    li a0, 0
    li a7, 93
    ecall
"""
# A child and its parent, which waits for it, execute the loop once each.
FORK = """
    li a7, 220
    li a0, 17
    li a1, 0
    li a2, 0
    li a3, 0
    li a4, 0
    ecall
    mv s0, a0
    li t0, 300000
loop:
    addi t1, t1, 1
    addi t0, t0, -1
    bnez t0, loop
    beqz s0, end
    mv a0, s0
    li a1, 0
    li a2, 0
    li a3, 0
    li a7, 260
    ecall
end:
    li a0, 0
    li a7, 93
    ecall
"""
OF_PERF = START_UP.instructions + POLLED.instructions


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return elves.build(tmp_path_factory.mktemp("driven") / "loop", LOOP)


@pytest.fixture(scope="module")
def long_program(tmp_path_factory):
    text = LOOP.replace(str(TURNS), "8000000")  # 32 ms
    return elves.build(tmp_path_factory.mktemp("driven") / "long", text)


@pytest.fixture(scope="module")
def forking(tmp_path_factory):
    return elves.build(tmp_path_factory.mktemp("driven") / "fork", FORK)


def counts(machine):
    return [machine.perf.counts()[n].count for n in range(len(machine.perf.open))]


@pytest.mark.parametrize("driver", DRIVERS)
def test_user_code_is_counted_exactly(program, driver):
    machine = Machine(program, "instructions:u,cycles:u,branches:u", driver=driver, tool="stat")
    instructions, cycles, branches = counts(machine.run())
    assert instructions == COUNT
    assert branches == TURNS
    ledger = machine.hart.counts[0]
    assert cycles == ledger["cycles"] - START_UP.cycles - POLLED.cycles


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_period_of_user_code_gives_a_sample(program, driver):
    machine = Machine(program, "instructions:u", PERIOD, driver=driver, tool="record").run()
    assert counts(machine) == [COUNT]
    assert len(machine.samples) == COUNT // PERIOD
    assert all(sample.user and sample.period == PERIOD for sample in machine.samples)
    # The interrupt comes right behind the instruction: sepc is that of the next one.
    entry = elves.BASE + 120
    for number, sample in enumerate(machine.samples, 1):
        assert sample.ip == entry + 8 + (number * PERIOD - 2) % 4 * 4


@pytest.mark.parametrize(
    "driver, command, calls",
    [
        # perf record tries an event out twice, and the program is switched to twice: each time two
        # calls for add and two for del. An overflow: STOP, START of the others, START, or STOP and
        # START with a snapshot.
        ("sbi", "record", lambda k: 16 + 3 * k),
        ("snapshot", "record", lambda k: 16 + 2 * k),
        ("delegation", "record", lambda k: 0),
        ("sbi", "stat", lambda k: 8),
        ("snapshot", "stat", lambda k: 8),
        ("delegation", "stat", lambda k: 0),
    ],
)
@pytest.mark.parametrize("period", [1_000_000, 100_000])
def test_sbi_calls(program, driver, command, calls, period):
    period = period if command == "record" else 0
    machine = Machine(program, "instructions:u", period, driver=driver, tool=command).run()
    assert machine.calls == calls(len(machine.samples))


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_each_wakeup_of_another_task_is_a_pair_more(program, n):
    wakeups = tuple(100_000 * (i + 1) for i in range(n))
    machine = Machine(program, "instructions:u", tool="stat", wakeups=wakeups).run()
    assert machine.calls == 4 * (2 + n)
    assert machine.kernel.counts["context-switches"] == 2 * (1 + n)
    assert counts(machine) == [COUNT]


def test_kernel_code_is_sampled_at_the_function_that_is_charged(program):
    machine = Machine(program, "instructions:k", 1000, tool="record").run()
    assert machine.samples and not any(sample.user for sample in machine.samples)
    symbols = kallsyms.symbols(driven=True)
    first = symbols.addresses["do_execveat_common"]
    inside = [s for s in machine.samples if first <= s.ip < first + kallsyms.SIZE]
    # 60,300 of its instructions are counted, beside those of the handler between start and sret.
    assert len(inside) >= 60
    assert len(machine.samples) == pytest.approx(counts(machine)[0] / 1000, abs=1)


@pytest.mark.parametrize("event, period", [("instructions", 5000), ("cycles", 7001)])
def test_periods_that_end_in_either_mode(program, event, period):
    machine = Machine(program, event, period, tool="record").run()
    found = {sample.user for sample in machine.samples}
    assert found == {True, False}
    # Work with interrupts off may take longer than a period.
    assert len(machine.samples) == pytest.approx(counts(machine)[0] // period, abs=3)


def test_a_tiny_period_in_the_kernel_is_throttled_and_ends(program):
    machine = Machine(program, "instructions", 50, tool="record").run()
    ticks = machine.hart.cycles // 4_000_000 + 1
    assert len(machine.samples) <= 401 * ticks


def test_clones_in_children_count_too(forking):
    machine = Machine(forking, "instructions:u", PERIOD, tool="record").run()
    assert counts(machine) == [machine.hart.counts[0]["instructions"] - OF_PERF]
    assert len({sample.tid for sample in machine.samples}) == 2
    # Each has periods of its own.
    assert len(machine.samples) == 2 * (900_000 // PERIOD)


def test_groups_count_the_same_time_and_are_read_with_a_sample(program):
    machine = Machine(program, "{instructions:u,branches:u}:S", PERIOD, tool="record").run()
    first, second = (machine.perf.counts()[n] for n in (0, 1))
    assert (first.enabled, first.running) == (second.enabled, second.running)
    values = [dict((n, count) for count, n in sample.values) for sample in machine.samples]
    assert [value[0] for value in values] == [PERIOD * n for n in range(1, len(values) + 1)]
    for value in values:
        assert value[1] == pytest.approx(value[0] / 4, abs=1)


def test_a_group_that_does_not_fit_is_not_counted(program):
    events = "{instructions:u,cycles:u,branches:u}"
    machine = Machine(program, events, tool="stat", counters=2).run()
    for n in range(3):
        found = machine.perf.counts()[n]
        assert (found.count, found.running) == (0, 0)
        assert found.enabled > 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_events_take_turns_with_counters(long_program, driver):
    # Not instructions or cycles: without a filter, fixed counters count these when no others can.
    events = "branches:u,branches:u,branches:u"
    machine = Machine(long_program, events, driver=driver, tool="stat", counters=2).run()
    for n in range(3):
        found = machine.perf.counts()[n]
        assert found.running / found.enabled == pytest.approx(2 / 3, abs=0.15)
        estimate = scaled(found.count, found.enabled, found.running)
        assert estimate == pytest.approx(machine.hart.counts[0]["branches"], rel=0.01)


def test_frequency(long_program):
    machine = Machine(long_program, "instructions:u", freq=4000, tool="record").run()
    late = [s for s in machine.samples if s.time > machine.hart.cycles - 16_000_000]
    assert len(late) == pytest.approx(64, rel=0.2)
    assert sum(s.period for s in machine.samples) == pytest.approx(counts(machine)[0], rel=0.05)


def test_clocks_are_sampled_by_the_timer(long_program):
    machine = Machine(long_program, "task-clock", 100_000, tool="record").run()
    ran = machine.kernel.user_ns + machine.kernel.system_ns
    assert len(machine.samples) == pytest.approx(ran / 100_000, rel=0.05)
    assert machine.calls == 8  # for perf's own trial


def test_a_delay_begins_with_the_program(long_program):
    machine = Machine(long_program, "instructions:u", 1_000_000, tool="record", enable_at=8_000_000)
    machine.run()
    start = machine.perf.tool.let_go
    assert machine.samples[0].time - start == pytest.approx(9_000_000, rel=0.05)


def test_without_overflow_interrupts_sampling_is_refused(program):
    machine = Machine(program, "instructions", PERIOD, extensions=()).run()
    assert not machine.samples
    assert not machine.perf.counts()[0].supported


ENABLED = {
    "sbi": ["COUNTER_CFG_MATCH", "COUNTER_START"],
    "snapshot": ["COUNTER_CFG_MATCH", "COUNTER_START"],
    "delegation": [
        *("write siselect", "write sireg2"),  # the event and its filter
        *("write siselect", "write sireg", "read sip"),
        *("write siselect", "read sireg2", "write siselect", "write sireg2"),  # OF
        *("read scountinhibit", "write scountinhibit"),
    ],
}
OVERFLOWN = {
    "sbi": [
        *("COUNTER_STOP", "read scountovf", "clear sip", "read hpmcounter31"),
        *("COUNTER_START", "COUNTER_START"),  # of none, and of the one
    ],
    "snapshot": ["COUNTER_STOP", "clear sip", "COUNTER_START"],
    "delegation": [
        *("read scountinhibit", "write scountinhibit"),
        *("read scountovf", "clear sip", "read hpmcounter3"),
        *("read scountinhibit", "write scountinhibit"),
        *ENABLED["delegation"][2:],
    ],
}
ENDED = {
    "sbi": ["COUNTER_STOP", "read hpmcounter31", "COUNTER_STOP"],
    "snapshot": ["COUNTER_STOP", "COUNTER_STOP"],
    "delegation": [
        *("read scountinhibit", "write scountinhibit", "read hpmcounter3"),
        *("write siselect", "write sireg2"),
    ],
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_operations_of_a_whole_recording(program, driver):
    """Without perf's process: opening takes none, then exec, one overflow, and the end."""
    machine = Machine(program, "instructions:u", 1_000_000, driver=driver)
    done = []

    def note(operation):
        if operation[0] == "call":
            done.append(Pmu(operation[3]).name)
        elif operation[0] not in ("interrupt", "return"):
            done.append(f"{operation[0]} {operation[-1]}")

    def begin():
        machine.kernel.on_operation = note

    machine.perf.on_booted = begin
    machine.run()
    assert done == ENABLED[driver] + OVERFLOWN[driver] + ENDED[driver]
