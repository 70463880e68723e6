"""The table of events: perf's numbers, and no name twice."""

from collections import Counter

import pytest

from rvperf.events import DEFAULT, detailed, listed, parse_events, table


@pytest.mark.parametrize(
    "name, type_, config",  # include/uapi/linux/perf_event.h
    [
        ("cycles", 0, 0),
        ("instructions", 0, 1),
        ("cache-misses", 0, 3),
        ("branches", 0, 4),
        ("ref-cycles", 0, 9),
        ("cpu-clock", 1, 0),
        ("task-clock", 1, 1),
        ("cs", 1, 3),
        ("cgroup-switches", 1, 11),
        ("L1-dcache-loads", 3, 0x00000),
        ("L1-dcache-store-misses", 3, 0x10100),
        ("L1-icache-prefetches", 3, 0x00201),
        ("dTLB-load-misses", 3, 0x10003),
        ("node-prefetch-misses", 3, 0x10206),
        ("r1a", 4, 0x1A),
    ],
)
def test_encoding_is_the_kernels(name, type_, config):
    (event,) = parse_events(name)
    assert (event.type, event.config) == (type_, config)


def test_no_name_means_two_events():
    rows = [*table.HARDWARE_EVENTS, *table.SOFTWARE_EVENTS, *table.TOOL_EVENTS]
    names = Counter(name for row in rows for name in row.names)
    assert max(names.values()) == 1


def test_there_are_32_cache_events():
    assert len({row.symbol for row in table.CACHE_EVENTS.values()}) == 32


def test_what_is_listed_parses_to_itself_and_counts_and_says_what():
    for row in listed([]):
        for name in row.names:
            (event,) = parse_events(name)
            assert (event.symbol, event.source, event.countable) == (row.symbol, row.source, True)
            assert row.doc.endswith(".")


@pytest.mark.parametrize(
    "words, symbols",
    [
        (["hw"], "branch-instructions branch-misses cpu-cycles instructions"),
        (["hwcache"], "L1-dcache-loads L1-dcache-stores"),
        (["clock"], "cpu-clock task-clock"),
        (["branches"], "branch-instructions"),  # by its alias
        (["cache", "cs"], "L1-dcache-loads L1-dcache-stores context-switches"),
        (["raw_syscalls:*"], "raw_syscalls:sys_enter raw_syscalls:sys_exit"),
        (["*:*exec"], "sched:sched_process_exec"),
        (["*time"], "duration_time user_time system_time"),
        (["pmu"], ""),
        (["nosuch"], ""),
        (["nosuch:*"], ""),
    ],
)
def test_words_select(words, symbols):
    assert " ".join(row.symbol for row in listed(words)) == symbols


@pytest.mark.parametrize("level, count", [(-1, 0), (0, 0), (1, 4), (2, 10), (3, 12), (9, 12)])
def test_details_add_events(level, count):
    assert len(parse_events(detailed(level))) == count if count else detailed(level) == ""


def test_default_events_all_count():
    assert all(event.countable for event in parse_events(DEFAULT))
