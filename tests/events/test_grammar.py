"""What -e accepts and what it means; perf 6.1 itself judges the mistakes."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvperf.cli.syntax import syntax_error
from rvperf.events import EventSyntaxError, format_event, parse_events, table
from tests.oracles import perf


@pytest.mark.parametrize(
    "text, names, symbols",
    [
        ("cs", "cs", "context-switches"),
        ("cs:u", "cs:u", "context-switches"),
        ("cs:", "cs:", "context-switches"),
        ("cs, faults ", "cs faults", "context-switches page-faults"),
        ("cs//u", "cs//u", "context-switches"),
        ("cs/name=a.b:c-d/", "a.b:c-d", "context-switches"),
        ("cpu-clock/period=2000000,name=foo/u", "foo", "cpu-clock"),
        ("{cs,faults}:u", "cs faults", "context-switches page-faults"),
        ("pair{cs:k,faults},cs", "cs:k faults cs", "context-switches page-faults context-switches"),
        ("L1-dcache", "L1-dcache", "L1-dcache-loads"),
        ("l1d-read-ops", "l1d-read-ops", "L1-dcache-loads"),
        ("L1-data-write", "L1-data-write", "L1-dcache-stores"),
        ("L1-dcache-misses-loads", "L1-dcache-misses-loads", "L1-dcache-load-misses"),
        ("L1-dcache-loads:u", "L1-dcache-loads", "L1-dcache-loads"),  # perf drops cache's :u
        ("d-tlb-speculative-load", "d-tlb-speculative-load", "dTLB-prefetches"),
        ("branches,branch-loads", "branches branch-loads", "branch-instructions branch-loads"),
        ("raw_syscalls:sys_enter:u", "raw_syscalls:sys_enter", "raw_syscalls:sys_enter"),
        (
            "sched:*e[cx]*",
            "sched:sched_process_exec sched:sched_process_exit",
            "sched:sched_process_exec sched:sched_process_exit",
        ),
        ("r1a:u,r0x1A", "r1a:u r0x1A", "r1a r0x1A"),
        ("cpu/event=0x8000,name=foo/", "foo", "cpu"),
        ("mem:0x100/8:rw:u", "mem:0x100/8:rw:u", "mem:0x100/8:rw"),
        ("duration_time:u", "duration_time:u", "duration_time"),
    ],
)
def test_names_as_typed_and_symbols(text, names, symbols):
    events = parse_events(text)
    assert [event.name for event in events] == names.split()
    assert [event.symbol for event in events] == symbols.split()


@pytest.mark.parametrize(
    "modifiers, excluded",
    [
        ("", ""),
        ("u", "kernel hv guest"),
        ("k", "user hv"),
        ("h", "user kernel"),
        ("uk", "hv guest"),
        ("ku", "hv guest"),
        ("ukh", "guest"),
        ("G", "host"),
        ("H", "guest"),
        ("GH", ""),
        ("uG", "kernel hv host"),
        ("p", "guest"),
        ("I", "idle"),
    ],
)
def test_modifiers_exclude(modifiers, excluded):
    (event,) = parse_events(f"cycles:{modifiers}")
    modes = ("user", "kernel", "hv", "host", "guest", "idle")
    assert [m for m in modes if getattr(event, f"exclude_{m}")] == excluded.split()


def test_other_modifiers():
    (event,) = parse_events("cycles:pppPSDWeb")
    assert event.precise == 3
    assert all(
        (
            event.precise_max,
            event.sample_read,
            event.pinned,
            event.weak,
            event.exclusive,
            event.bpf,
        )
    )


def test_modifiers_of_a_group_come_on_top():
    cycles, faults = parse_events("{cycles:u,faults}:k")
    assert (cycles.context, faults.context) == ("h", "uh")


def test_events_of_a_group_share_its_number():
    groups = [event.group for event in parse_events("{cs,faults},cycles,{cs:u,cs:k}")]
    assert groups == [0, 0, None, 1, 1]


@pytest.mark.parametrize("name", ["cache-misses", "LLC-loads", "dummy", "r1", "cpu//", "mem:1"])
def test_what_perf_knows_and_nothing_counts(name):
    (event,) = parse_events(name)
    assert not event.countable


MISTAKES = """\
nosuch
task-clock,nosuch
cs,,cs
,cs
cs,
cs:q
cs:uu
cs:pppp
cs:PP
g:{cs,faults}
cs}
{cs,}
{cs,faults}:q
cs:u:k
cs faults
CYCLES
rzz
r
1
a=b
@x
cs!
cs/name=foo/:u
cs/name=foo
cs/name/
cs/name=1/
cs/name=foo bar/
cs/name='a b'/
cs/bogus=1/
cs/name=foo,u/
cs/period=x/
cs/freq=100/
duration_time/name=x/
duration_time,cs/name=a"b/
L1-dcache-loads-misses-refs
nosuch/event=1/
nosuch:nosuch
cs,sched:nosuch
nosuch:*
sched:sched_process_exec/name=x/
task-clock,page-faults,nosuch,task-clock,page-faults,context-switches,cpu-migrations,cs
nosuch,task-clock,page-faults,context-switches,cpu-migrations,duration_time,user_time,cs
"""


@pytest.mark.parametrize("text", ["", "  ", *MISTAKES.splitlines()])
def test_mistakes_are_shown_as_perf_shows_them(text):
    with pytest.raises(EventSyntaxError) as mistake:
        parse_events(text)
    theirs = perf.perf("stat", "-e", text, "true")
    assert theirs.returncode == 129
    expected, _, _ = theirs.stderr.partition("\n Usage:")
    expected = re.sub(r"/sys/kernel/(debug/)?tracing", "/sys/kernel/tracing", expected)
    assert syntax_error(mistake.value, 80) == expected.replace("'perf list'", "'rvperf list'")


@pytest.mark.parametrize(
    "text, shown",
    [
        (
            "task-clock,nosuch",
            "event syntax error: 'task-clock,nosuch'\n"
            "                                \\___ parser error\n"
            "Run 'rvperf list' for a list of valid events\n",
        ),
        (
            "{cs",  # perf 6.1 accepts this by mistake
            "event syntax error: '{cs'\n"
            "                      \\___ parser error\n"
            "Run 'rvperf list' for a list of valid events\n",
        ),
        (
            "L1-icache-stores",  # perf 6.1 rejects this without saying why
            "event syntax error: 'L1-icache-stores'\n"
            "                     \\___ L1-icache has no such operation\n"
            "Run 'rvperf list' for a list of valid events\n",
        ),
    ],
)
def test_mistakes_as_we_show_them(text, shown):
    with pytest.raises(EventSyntaxError) as mistake:
        parse_events(text)
    assert syntax_error(mistake.value, 80) == shown


SYMBOLS = sorted(
    {*table.SYMBOLS, *(row.symbol for row in table.CACHE_EVENTS.values())}
    | {row.symbol for row in table.TRACEPOINT_EVENTS}
)
LETTERS = st.lists(st.sampled_from("ukhGHpPSDIWeb"), unique=True).map("".join)


# A machine with other work to do takes longer than hypothesis has patience.
STEADY = settings(
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip


@STEADY
@given(st.sampled_from(SYMBOLS), LETTERS)
def test_format_of_a_parsed_event_parses_to_the_same(symbol, letters):
    (event,) = parse_events(f"{symbol}:{letters}")
    text = format_event(event)
    (again,) = parse_events(text)
    assert format_event(again) == text
    assert {f: getattr(again, f) for f in FLAGS} == {f: getattr(event, f) for f in FLAGS}


FLAGS = (
    "symbol type config source exclude_user exclude_kernel exclude_hv exclude_host exclude_guest "
    "exclude_idle precise precise_max sample_read pinned exclusive weak bpf terms"
).split()

PIECES = [*SYMBOLS, *table.CACHE_EVENTS[0, 0, 0].names, "l1d", "-", "loads", "r1f", "mem:"]
PIECES += [*"{},:/=-*? ukpGH019\"'\\\n\0é", "name", "period", "cpu", "0x10", "sched", "nosuch"]


@STEADY
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_any_text_is_events_or_one_mistake_with_a_place(text):
    try:
        events = parse_events(text)
    except EventSyntaxError as mistake:
        assert -1 <= mistake.column <= max(len(text), 1)
        assert syntax_error(mistake, 80).startswith("event syntax error: '")
    else:
        assert events
