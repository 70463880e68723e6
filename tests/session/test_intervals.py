"""What `stat -I` counts, of programs on a bare host and in virtual machines."""

import os

import pytest

from rvperf.events import parse_events
from rvperf.machine.timing import SLOWEST
from rvperf.session import Every, StatRequest, Workload, stat, virtual
from tests.session.recordings import ENV, SAMPLES
from tests.stack.elves import build

EVENTS = (
    "task-clock,cs,faults,cycles,instructions,instructions:u,instructions:k,branches:u,"
    "branch-misses:u,L1-dcache-loads:u,duration_time,user_time,system_time,raw_syscalls:sys_enter"
)
MS = 1_000_000
SPIN = "li t0, {}\n {}: addi t0, t0, -1\n bne t0, zero, {}\n"
SLEEP = "la a0, time\n li a1, 0\n li a7, 101\n ecall\n"
EXIT = "li a0, 0\n li a7, 93\n ecall\n"
# 3 ms of sleep, with some work before and after it.
SLEEPER = SPIN.format(1000, "a", "a") + SLEEP + SPIN.format(1000, "b", "b") + EXIT
SLEEPER += "time: .dword 0\n .dword 3000000\n"
# clone(SIGCHLD): both work, and the parent waits.
PAIR = (
    "li a0, 17\n li a1, 0\n li a7, 220\n ecall\n bne a0, zero, parent\n"
    + SPIN.format(900000, "a", "a") + EXIT
    + "parent: " + SPIN.format(900000, "b", "b")
    + "li a0, -1\n li a1, 0\n li a2, 0\n li a3, 0\n li a7, 260\n ecall\n" + EXIT
)  # fmt: skip


def measured(program, ns, events=EVENTS, engine="native", vpmu=None, times=0):
    """(the result, the intervals) of a name of samples/ or a path; without intervals if `ns` is
    0; in a VM if `vpmu` is a design."""
    rows = []
    every = Every(ns, times, rows.append) if ns else None
    with open(os.devnull, "r+b") as nowhere:
        workload = Workload(
            (str(SAMPLES / program),), None, (), ENV, engine, descriptors=(nowhere.fileno(),) * 3
        )
        request = StatRequest(workload, parse_events(events), every)
        if vpmu is None:
            return stat(request), rows
        return virtual.stat(request, virtual.VmOptions(vpmu=vpmu)), rows


def sums(rows) -> list:
    """(count, enabled, running) of each event over all intervals."""
    totals = []
    for same in zip(*(row.counts for row in rows), strict=True):
        numbers = ((one.value, one.enabled, one.running) for one in same)
        totals.append(tuple(map(sum, zip(*numbers, strict=True))))
    return totals


def numbers(result) -> list:
    return [(one.value, one.enabled, one.running) for one in result.counts]


@pytest.fixture(params=["sort", "sleeper", "pair"])
def program(request, tmp_path):
    text = {"sleeper": SLEEPER, "pair": PAIR}.get(request.param)
    return build(tmp_path / request.param, text) if text else request.param


@pytest.mark.parametrize("ns", [MS, 70_000])
def test_looking_changes_no_count_and_loses_none(program, ns):
    plain, _ = measured(program, 0)
    looked, rows = measured(program, ns)
    assert len(rows) > 2
    assert sums(rows) == numbers(looked) == numbers(plain)
    assert looked.elapsed == plain.elapsed == rows[-1].time


def test_the_engines_agree_on_every_interval():
    found = [measured("printf", 50_000, engine=engine)[1] for engine in ("native", "reference")]
    assert found[0] == found[1] and len(found[0]) > 2


def test_a_row_is_of_the_first_moment_after_its_time(tmp_path):
    """An instruction of a program takes SLOWEST cycles at most."""
    spin = build(tmp_path / "spin", SPIN.format(2_000_000, "a", "a") + EXIT)
    _, rows = measured(spin, MS)
    assert len(rows) > 3
    late = [row.time - (number + 1) * MS for number, row in enumerate(rows[:-1])]
    assert all(0 <= one < SLOWEST for one in late)


def test_nothing_runs_while_a_program_sleeps(tmp_path):
    _, rows = measured(build(tmp_path / "sleeper", SLEEPER), MS, "task-clock,duration_time")
    assert [row.time for row in rows[1:3]] == [2 * MS, 3 * MS]
    assert [row.counts[0].counted for row in rows] == [True, False, False, True]
    assert rows[2].counts[1].value == MS


def test_a_run_shorter_than_an_interval_has_one_row():
    result, rows = measured("hello", 1000 * MS)
    assert [row.time for row in rows] == [result.elapsed]


@pytest.mark.parametrize("vpmu", [None, "passthrough"])
def test_a_limit_stops_the_rows_and_not_the_program(vpmu):
    whole, _ = measured("sort", 0, vpmu=vpmu)
    result, rows = measured("sort", MS, vpmu=vpmu, times=2)
    assert len(rows) == 2
    assert sums(rows) == numbers(result)
    assert result.elapsed > rows[-1].time and result.exit == whole.exit


@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "deleg", "mediated", "passthrough"])
def test_intervals_in_a_guest_add_up(vpmu):
    looked, rows = measured(
        "sort", MS, "task-clock,cs,cycles,instructions,duration_time", vpmu=vpmu
    )
    assert len(rows) > 2
    assert sums(rows) == numbers(looked)


def test_perf_in_a_guest_leaves_the_programs_own_instructions_alone(program):
    events = "instructions:u,branches:u,faults"
    plain, _ = measured(program, 0, events, vpmu="passthrough")
    looked, _ = measured(program, MS, events, vpmu="passthrough")
    assert [one.value for one in looked.counts] == [one.value for one in plain.counts]


def test_perf_in_a_guest_takes_the_program_off_the_cpu_to_look():
    plain, _ = measured("sort", 0, "cs", vpmu="passthrough")
    looked, rows = measured("sort", MS, "cs", vpmu="passthrough")
    assert looked.counts[0].value - plain.counts[0].value == len(rows) - 1 > 1
    assert looked.elapsed > plain.elapsed


def test_perf_in_a_guest_takes_no_cpu_from_one_who_sleeps(tmp_path):
    sleeper = build(tmp_path / "sleeper", SLEEPER)
    plain, _ = measured(sleeper, 0, "cs", vpmu="passthrough")
    looked, rows = measured(sleeper, MS, "task-clock,cs", vpmu="passthrough")
    assert looked.counts[1].value == plain.counts[0].value
    assert any(not row.counts[0].counted for row in rows)


def test_a_clock_in_a_guest_is_the_programs_and_not_perfs():
    """What perf itself does at each wake-up is left out: user time is the same."""
    plain, _ = measured("sort", 0, "user_time,task-clock", vpmu="passthrough")
    looked, rows = measured("sort", MS, "user_time,task-clock", vpmu="passthrough")
    assert looked.user == plain.user == looked.counts[0].value
    assert looked.counts[1].value < looked.elapsed
