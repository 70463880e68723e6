"""`kvm run`'s trace in the Common Trace Format, as babeltrace2 reads it."""

from collections import Counter

import pytest

from rvperf.render import joint_ctf
from rvperf.results import CounterOwner, HartEvent, HartEvents, OverflowInterrupt
from tests.oracles.babeltrace import babeltrace
from tests.render.test_joint import START, report

S_TIMER = 1 << 63 | 5
HAPPENED = (
    (
        HartEvent(START + 700, 0, "vm_exit", "vm0", ("VU", S_TIMER)),
        'vcpu = "vm0", mode = ( "VU" : container = 3 ), scause = 0x8000000000000005, '
        'reason = "IRQ_S_TIMER"',
    ),
    (
        HartEvent(START + 900, 0, "vm_entry", "vm0", ("VS",)),
        'vcpu = "vm0", mode = ( "VS" : container = 2 )',
    ),
    (HartEvent(START + 100, 1, "vcpu_load", "vm0/1"), 'vcpu = "vm0/1"'),
    (HartEvent(START + 110, 1, "vcpu_put", "vm0/1"), 'vcpu = "vm0/1"'),
    (HartEvent(START + 120, 0, "vcpu_migrate", "vm0/1", (1,)), 'vcpu = "vm0/1", hart = 1'),
    (HartEvent(START + 5, 0, "counters_save", "vm0", (32,)), 'vcpu = "vm0", registers = 32'),
    (HartEvent(START + 6, 0, "counters_restore", "vm\0", (32,)), 'vcpu = "vm.", registers = 32'),
    (
        HartEvent(START + 950, 0, "sbi_call", "host", ("HS", 0x504D55, 3, "PMU.COUNTER_START")),
        'caller = "host", mode = ( "HS" : container = 1 ), extension = 0x504D55, '
        'function = 0x3, name = "PMU.COUNTER_START"',
    ),
)


def written(tmp_path, made, happened=()):
    joint_ctf.write(str(tmp_path / "out"), made, HartEvents(tuple(happened)))
    return babeltrace(tmp_path / "out")


@pytest.mark.parametrize("happening, fields", HAPPENED, ids=[one.kind for one, _ in HAPPENED])
def test_what_happened_is_an_event_of_its_hart(tmp_path, happening, fields):
    events, complaints = written(tmp_path, report(harts=2), [happening])
    assert complaints == ""
    assert (happening.time, happening.kind, str(happening.hart), fields) in events


def test_there_is_an_event_for_each_thing_and_no_other(tmp_path):
    made = report(harts=2, unused=("host",) * 32)
    events, complaints = written(tmp_path, made, [one for one, _ in HAPPENED])
    assert complaints == ""
    expected = Counter(one.kind for one, _ in HAPPENED)
    expected["counter_kept"] = 2 * 32
    expected["counter_begin"] = expected["counter_end"] = len(made.owners)
    expected["overflow_interrupt"], expected["totals"] = len(made.overflows), len(made.totals)
    assert Counter(name for _, name, _, _ in events) == expected


def test_owners_and_overflows_have_their_times(tmp_path):
    events, _ = written(tmp_path, report())
    first = 'counter = 3, owner = "vm0"'
    assert [e for e in events if e[3] == first] == [
        (START, "counter_begin", "0", first),
        (START + 2_000_000, "counter_end", "0", first),
    ]
    assert [(time, fields) for time, name, _, fields in events if name == "overflow_interrupt"] == [
        (START + 1_000_000, 'mode = ( "VS" : container = 2 ), owner = "vm0"'),
        (START + 3_000_000, 'mode = ( "HS" : container = 1 ), owner = "host"'),
    ]


def test_the_last_totals_are_the_report_s(tmp_path):
    events, _ = written(tmp_path, report())
    assert [e for e in events if e[1] == "totals"][-1] == (
        START + 4_000_000, "totals", "",
        "vm_exits = 7, sbi_calls = 0, guest_sbi_calls = 1, saves = 1, restores = 1",
    )  # fmt: skip


def test_one_ends_before_another_begins(tmp_path):
    events, _ = written(tmp_path, report())
    at_2_ms = [name for time, name, _, _ in events if time == START + 2_000_000]
    assert at_2_ms == ["counter_end", "counter_end", "counter_begin", "counter_begin"]


def test_what_was_not_kept_is_discarded_events(tmp_path):
    happened = HartEvents((HAPPENED[0][0],), (17,))
    joint_ctf.write(str(tmp_path / "out"), report(), happened)
    _, complaints = babeltrace(tmp_path / "out")
    assert "discarded 17 events" in complaints


def test_a_trace_replaces_one_of_ours_and_all_of_it(tmp_path):
    written(tmp_path, report(harts=3))
    events, complaints = written(tmp_path, report(owners=(), overflows=(), totals=(), unused=()))
    assert (events, complaints) == ([], "")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["hart_0", "machine", "metadata"]


@pytest.mark.parametrize("name", ["thesis.txt", "hart_0", "metadata", "hart_x"])
def test_a_directory_with_something_else_stays_as_it_is(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("/* CTF 1.8 */\n mine")
    assert joint_ctf.refused(str(tmp_path / "out")) == "There is something else in it"
    with pytest.raises(OSError):
        joint_ctf.write(str(tmp_path / "out"), report(), HartEvents())
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_a_stranger_s_file_in_our_trace_stays(tmp_path):
    written(tmp_path, report())
    (tmp_path / "out" / "notes").write_text("mine")
    assert joint_ctf.refused(str(tmp_path / "out")) == "There is something else in it"


def test_an_owner_before_the_start_is_in_the_stream(tmp_path):
    """Harts begin a little apart."""
    early = CounterOwner(0, 31, "host", START - 500, START + 10)
    late = OverflowInterrupt(START + 10**9, 0, "M", "firmware")
    events, complaints = written(tmp_path, report(owners=(early,), overflows=(late,), unused=()))
    assert complaints == ""
    assert [time for time, *_ in events if time not in (START + 10**6, START + 4 * 10**6)] == [
        START - 500, START + 10, START + 10**9,
    ]  # fmt: skip
