"""perf_events: who gets counters, what that counts, and which calls of the driver it takes."""

from errno import EINVAL, EOPNOTSUPP

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvperf.stack.events_core import Reading, Status, scaled
from rvperf.stack.events_core.period import MOST_SAMPLES_A_TICK, adjusted, calculated

from .pmus import UNKNOWN, World

MS = 1_000_000


def running(world) -> list:
    """Who has counters, in the order in which they got them."""
    return [event.owner for event in world.driver.counting]


# The sequences of driver calls that traces of a perf session are made of.


def test_opening_an_event_for_a_program_to_come_does_not_touch_the_pmu():
    world = World()
    world.core.switch_in("task")
    world.open("e", "task", disabled=True, enable_on_exec=True, inherit=True)
    assert world.driver.taken() == []


def test_exec_takes_one_add():
    world = World()
    world.core.switch_in("task")
    world.open("e", "task", disabled=True, enable_on_exec=True)
    world.core.exec("task")
    assert world.driver.taken() == [("add", "e")]
    world.core.exec("task")  # enable_on_exec holds for one exec
    assert world.driver.taken() == []


def test_switching_away_and_back_takes_a_del_and_an_add():
    world = World()
    world.open("e", "task")
    world.core.switch_in("task")
    assert world.driver.taken() == [("add", "e")]
    world.core.switch("task", "other")
    world.core.switch("other", "task")
    assert world.driver.taken() == [("del", "e"), ("add", "e")]


def test_the_end_of_a_task_takes_one_del_and_its_counts_stay():
    world = World()
    event = world.open("e", "task")
    world.core.switch_in("task")
    world.run(1000)
    world.driver.taken()
    world.core.exit("task")
    world.core.switch("task", "other")
    assert world.driver.taken() == [("del", "e")]
    world.run(1000)
    assert world.core.read(event) == Reading(1000, 1000, 1000)
    assert world.driver.taken() == []
    assert event.status == Status.EXIT


@pytest.mark.parametrize("running_now, calls", [(True, [("read", "e")]), (False, [])])
def test_reading_asks_the_pmu_only_while_it_counts(running_now, calls):
    world = World()
    event = world.open("e", "task")
    world.core.switch_in("task" if running_now else "other")
    world.driver.taken()
    world.core.read(event)
    assert world.driver.taken() == calls


def test_enabling_and_disabling():
    world = World()
    event = world.open("e", "task", disabled=True)
    world.core.switch_in("task")
    world.core.enable(event)
    assert world.driver.taken() == [("add", "e")]
    world.core.enable(event)
    assert world.driver.taken() == []
    world.core.disable(event)
    assert world.driver.taken() == [("del", "e")]


def test_a_new_period_stops_and_starts_a_running_counter_only():
    world = World()
    event = world.open("e", "task", disabled=True, sample_period=100)
    world.core.switch_in("task")
    world.core.set_period(event, 50)
    assert (event.sample_period, event.period_left, world.driver.taken()) == (50, 0, [])
    world.core.enable(event)
    world.driver.taken()
    world.core.set_period(event, 70)
    assert world.driver.taken() == [("stop", "e"), ("start", "e")]


def test_releasing_an_event_takes_a_del_if_it_counts():
    world = World()
    event = world.open("e", "task")
    world.core.switch_in("task")
    world.driver.taken()
    world.core.close(event)
    assert world.driver.taken() == [("del", "e")]
    world.core.switch("task", "task")
    assert world.driver.taken() == []


def test_an_unsupported_event_is_refused():
    with pytest.raises(OSError) as refused:
        World().open("e", selector=UNKNOWN)
    assert refused.value.errno == EOPNOTSUPP


# Who gets counters.


@pytest.mark.parametrize(
    "size, expected",
    [
        (4, ["cpu pinned", "task pinned", "cpu flexible", "task flexible"]),
        (3, ["cpu pinned", "task pinned", "cpu flexible"]),
        (2, ["cpu pinned", "task pinned"]),
        (1, ["cpu pinned"]),
    ],
)
def test_order(size, expected):
    world = World(size)
    for name, task, pinned in (
        ("task flexible", "task", False),
        ("cpu flexible", None, False),
        ("task pinned", "task", True),
        ("cpu pinned", None, True),
    ):
        world.open(name, task, pinned=pinned)
    world.core.switch_in("task")
    assert running(world) == expected


def test_a_pinned_event_that_does_not_fit_is_in_error_until_enabled_again():
    world = World(1)
    first = world.open("first", "task", pinned=True)
    second = world.open("second", "task", pinned=True)
    world.core.switch_in("task")
    assert (first.status, second.status) == (Status.ACTIVE, Status.ERROR)
    world.core.close(first)
    world.driver.taken()
    world.core.enable(second)
    assert second.status == Status.ACTIVE
    assert world.driver.taken() == [("add", "second")]


def test_a_pinned_event_of_a_task_makes_room_before_the_flexible_ones_of_the_cpu():
    world = World(1)
    world.open("host", None)
    world.driver.taken()
    guest = world.open("guest", "vcpu", pinned=True, disabled=True)
    world.core.switch_in("vcpu")
    world.driver.taken()
    world.core.enable(guest)  # ctx_resched(): flexible ones out, pinned in, flexible again
    assert world.driver.taken() == [("del", "host"), ("add", "guest"), ("add", "host")]
    assert running(world) == ["guest"]


def test_enabling_the_mth_pinned_event_reschedules_all_of_the_context():
    world = World(8)
    events = [world.open(n, "vcpu", pinned=True, disabled=True) for n in range(4)]
    world.core.switch_in("vcpu")
    for m, event in enumerate(events, 1):
        world.driver.taken()
        world.core.enable(event)
        out, into = [("del", n) for n in range(m - 1)], [("add", n) for n in range(m)]
        assert world.driver.taken() == out + into  # 2(m-1) + 2m SBI calls where each is two


def test_a_group_gets_all_its_counters_or_none():
    world = World(3)
    first = world.open("a", "task")
    world.open("b", "task", first)
    leader = world.open("c", "task")
    world.open("d", "task", leader)
    world.core.switch_in("task")
    assert running(world) == ["a", "b"]
    # The second member of the second didn't fit, so the first one is taken out again.
    assert world.driver.taken()[2:] == [("add", "c"), ("add", "d"), ("del", "c")]
    assert leader.status == Status.INACTIVE


def test_after_a_group_that_does_not_fit_no_other_is_tried():
    world = World(1)
    for name in "abc":
        world.open(name, "task")
    world.core.switch_in("task")
    assert world.driver.taken() == [("add", "a"), ("add", "b")]


def test_a_group_larger_than_the_pmu_opens_and_never_counts():
    world = World(2)
    leader = world.open("a", "task")
    for name in "bc":
        world.open(name, "task", leader)
    world.core.switch_in("task")
    world.run(20 * MS)
    assert world.core.read_group(leader) == [Reading(0, 20 * MS, 0)] * 3


def test_only_leaders_lead_and_only_they_are_pinned():
    world = World()
    leader = world.open("a", "task")
    sibling = world.open("b", "task", leader)
    for wrong in (
        lambda: world.open("c", "task", sibling),
        lambda: world.open("c", "other", leader),
        lambda: world.open("c", "task", leader, pinned=True),
        lambda: world.open("c", "task", leader, exclusive=True),
    ):
        with pytest.raises(OSError) as refused:
            wrong()
        assert refused.value.errno == EINVAL


def test_siblings_of_a_closed_leader_go_on_alone():
    world = World()
    leader = world.open("a", "task")
    sibling = world.open("b", "task", leader)
    world.core.switch_in("task")
    world.core.close(leader)
    assert sibling.leader is sibling
    world.driver.taken()
    world.core.switch("task", "other")
    assert world.driver.taken() == [("del", "b")]


def test_a_sibling_that_is_off_stays_off_and_its_group_counts():
    world = World()
    leader = world.open("a", "task")
    off = world.open("b", "task", leader, disabled=True)
    world.core.switch_in("task")
    assert running(world) == ["a"]
    world.core.enable(off)
    assert running(world) == ["a", "b"]


def test_an_exclusive_event_has_the_pmu_to_itself():
    world = World()
    world.open("alone", "task", exclusive=True)
    world.open("other", "task")
    world.core.switch_in("task")
    assert running(world) == ["alone"]
    world.run(4 * MS)
    assert running(world) == ["other"]


# Turns.


def test_without_a_lack_of_counters_nothing_rotates():
    world = World(2)
    world.open("a", "task")
    world.open("b", "task")
    world.core.switch_in("task")
    assert world.core.due() is None


def test_a_rotation_takes_all_flexible_groups_out_and_as_many_in_as_go():
    world = World(2)
    for name in "abc":
        world.open(name, "task")
    world.core.switch_in("task")
    assert world.core.due() == 4 * MS
    world.driver.taken()
    world.run(4 * MS)
    assert world.driver.taken() == [
        ("del", "a"), ("del", "b"), ("add", "b"), ("add", "c"), ("add", "a"),
    ]  # fmt: skip
    assert running(world) == ["b", "c"]


@pytest.mark.parametrize("size, events", [(1, 2), (2, 3), (2, 5), (3, 4)])
def test_turns_are_fair_and_scaling_finds_the_count(size, events):
    world = World(size)
    opened = [world.open(n, "task", selector=n + 1) for n in range(events)]
    world.core.switch_in("task")
    world.run(4 * MS * events * 5)
    for event in opened:
        found = world.core.read(event)
        assert found.running == found.enabled * size // events
        all_of_it = event.selector * world.now
        assert scaled(found.count, found.enabled, found.running) == all_of_it


def test_pinned_events_do_not_take_turns():
    world = World(2)
    pinned = world.open("pinned", "task", pinned=True)
    others = [world.open(name, "task") for name in "ab"]
    world.core.switch_in("task")
    world.run(40 * MS)
    assert world.core.read(pinned) == Reading(40 * MS, 40 * MS, 40 * MS)
    assert {world.core.read(event).running for event in others} == {20 * MS}


# Tasks that are made.


def test_clones_count_in_their_tasks_and_are_summed():
    world = World()
    event = world.open("e", "parent", inherit=True)
    world.core.switch_in("parent")
    world.run(100)
    world.core.fork("parent", "child")
    world.core.switch("parent", "child")
    world.run(10)
    assert world.core.read(event).count == 110
    world.core.exit("child")
    world.core.switch("child", "parent")
    world.run(1)
    assert world.core.read(event) == Reading(111, 111, 111)
    world.core.exit("parent")
    assert world.core.read(event) == Reading(111, 111, 111)
    assert not event.children


def test_a_switch_between_clones_does_not_touch_the_pmu():
    world = World()
    world.open("e", "parent", inherit=True)
    world.core.switch_in("parent")
    world.core.fork("parent", "child")
    world.core.fork("child", "grandchild")
    world.driver.taken()
    for before, after in (("parent", "child"), ("child", "grandchild"), ("grandchild", "parent")):
        world.core.switch(before, after)
    assert world.driver.taken() == []
    world.core.switch("parent", "stranger")
    assert world.driver.taken() == [("del", "e")]


def test_what_is_not_inherited_counts_in_its_task_alone():
    world = World()
    event = world.open("e", "parent")
    world.core.switch_in("parent")
    world.core.fork("parent", "child")
    world.core.switch("parent", "child")
    world.run(10)
    assert world.core.read(event).count == 0


def test_a_cpu_event_counts_whoever_runs():
    world = World()
    event = world.open("e")
    world.core.switch_in("a")
    world.run(5)
    world.core.switch("a", "b")
    world.run(7)
    assert world.core.read(event).count == 12
    assert world.driver.taken() == [("add", "e"), ("read", "e")]


TASKS = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 9 * MS)),
        st.tuples(st.just("switch"), st.sampled_from(TASKS)),
        st.tuples(st.just("read"), st.integers(0, 9)),
        st.tuples(st.just("toggle"), st.integers(0, 9)),
    ),
    max_size=30,
)
OPENED = st.lists(
    st.tuples(
        st.sampled_from((*TASKS, None)), st.integers(1, 5), st.booleans(), st.booleans(),
        st.booleans(),
    ),
    min_size=1, max_size=7,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 4), opened=OPENED, steps=STEPS)
def test_nothing_is_counted_twice_or_dropped(size, opened, steps):
    """Whatever is switched, rotated and read: an event has counted exactly while it was running,
    never more than its task ran, and all groups' members alike."""
    world = World(size)
    core = world.core
    events = []
    for task, selector, pinned, grouped, sampling in opened:
        leader = next((e.leader for e in events if e.context.task == task), None)
        leader = leader if grouped else None
        events.append(
            world.open(
                len(events), task, leader, selector, pinned=pinned and leader is None,
                sample_period=777_777 * selector if sampling else 0,
            )
        )  # fmt: skip
    core.switch_in("a")
    now = "a"
    for what, value in steps:
        if what == "run":
            world.run(value)
        elif what == "switch":
            core.switch(now, value)
            now = value
        elif what == "read":
            core.read(events[value % len(events)])
        else:
            event = events[value % len(events)]
            toggle = core.enable if event.status < Status.INACTIVE else core.disable
            toggle(event)
        assert len(world.driver.counting) <= size
        active = {e for e in events if e.status == Status.ACTIVE}
        assert active == set(world.driver.counting)
        for event in events:
            if event.leader.status != Status.ACTIVE:
                assert event.status != Status.ACTIVE
    for event in events:
        task = event.context.task
        found = core.read(event)
        ran = world.now if task is None else world.truth.get(task, 0)
        assert found.count == found.running * event.selector
        assert found.running <= found.enabled <= ran


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 3), steps=STEPS)
def test_all_that_was_enabled_all_the_time_and_fits_counts_everything(size, steps):
    world = World(size)
    events = {task: world.open(task, task, selector=3) for task in TASKS}
    now = "a"
    world.core.switch_in("a")
    for what, value in steps:
        if what == "run":
            world.run(value)
        elif what == "switch":
            world.core.switch(now, value)
            now = value
    for task, event in events.items():
        ran = world.truth.get(task, 0)
        assert world.core.read(event) == Reading(3 * ran, ran, ran)


# Periods.


def test_samples_are_as_many_as_periods_fit():
    world = World()
    seen = []
    event = world.open("e", "task", selector=3, sample_period=1000)
    event.on_overflow = lambda event: seen.append((world.now, event.last_period))
    world.core.switch_in("task")
    world.run(33_400)
    assert len(seen) == 33_400 * 3 // 1000
    assert {period for _, period in seen} == {1000}


def test_what_is_counted_too_far_belongs_to_the_next_period():
    world = World()
    event = world.open("e", "task", selector=700, sample_period=1000)  # 1400 at the first overflow
    world.core.switch_in("task")
    world.run(2)
    assert event.period_left == 600


def test_what_is_left_of_a_period_is_kept_over_a_switch():
    world = World()
    seen = []
    event = world.open("e", "task", sample_period=1000)
    event.on_overflow = lambda event: seen.append(world.now)
    world.core.switch_in("task")
    world.run(600)
    world.core.switch("task", "other")
    world.run(10_000)
    world.core.switch("other", "task")
    world.run(399)
    assert seen == []
    world.run(1)
    assert seen == [11_000]


@pytest.mark.parametrize("selector, freq", [(1, 4000), (3, 1000), (2, 100), (1, 25_000)])
def test_frequency_converges(selector, freq):
    world = World(interrupt_ns=2000)
    seen = []
    event = world.open("e", "task", selector=selector, sample_freq=freq)
    event.on_overflow = lambda event: seen.append(world.now)
    world.core.switch_in("task")
    world.run(500 * MS)
    settled = [time for time in seen if time > 300 * MS]
    assert len(settled) == pytest.approx(freq // 5, rel=0.08, abs=1)
    # 10**9 * selector a second, less what the interrupts take.
    assert event.sample_period == pytest.approx(10**9 * selector // freq, rel=0.06, abs=8)


@pytest.mark.parametrize(
    "count, nsec, freq, expected",
    [
        (1000, 10**6, 4000, 250),  # 1000 in 1 ms is 10**6 a second
        (4_000_000, 4_000_000, 4000, 250_000),
        (1, 4_000_000, 4000, 0),
        (10**12, 4_000_000, 1, 250 * 10**12),  # needs more than 64 bits on the way
    ],
)
def test_the_period_of_a_frequency(count, nsec, freq, expected):
    assert calculated(count, nsec, freq) == pytest.approx(expected, rel=1e-6)


@given(st.integers(1, 1 << 40), st.integers(10_000, 8 * MS), st.integers(100, 100_000))
def test_the_period_of_a_frequency_loses_little_to_64_bits(count, nsec, freq):
    exact = count * 10**9 // (nsec * freq)
    assert calculated(count, nsec, freq) == pytest.approx(exact, rel=1e-3, abs=1)


@pytest.mark.parametrize(
    "period, wanted, expected",
    [
        (1000, 1800, 1100),
        (1000, 1001, 1001),  # rounded away from where it is
        (1000, 999, 999),
        (1000, 200, 900),
        (1, 0, 1),
    ],
)
def test_periods_move_an_eighth_of_the_way(period, wanted, expected):
    assert adjusted(period, wanted) == expected


def test_a_tick_stops_and_starts_what_has_a_frequency():
    world = World()
    world.open("freq", "task", sample_freq=1)
    world.open("period", "task", sample_period=10**12)
    world.core.switch_in("task")
    world.driver.taken()
    world.core.tick()
    assert world.driver.taken() == [("stop", "freq"), ("start", "freq")]


def test_too_many_samples_in_a_tick_throttle_until_the_next():
    world = World()
    told = []
    event = world.open("e", "task", sample_period=1000)
    event.on_throttle = lambda event, on: told.append((world.now, on))
    world.core.switch_in("task")
    world.run(8 * MS)
    at = (MOST_SAMPLES_A_TICK + 1) * 1000
    assert told == [(at, True), (4 * MS, False), (4 * MS + at, True), (8 * MS, False)]


def test_few_samples_a_tick_are_never_throttled():
    world = World()
    event = world.open("e", "task", sample_period=20_000)
    event.on_throttle = lambda event, on: pytest.fail("throttled")
    world.core.switch_in("task")
    world.run(40 * MS)
