"""`rvperf list`."""

import pytest

from rvperf.events import parse_events
from tests.oracles import perf

ALL = """\
  branch-instructions OR branches                    [Hardware event]
  branch-misses                                      [Hardware event]
  cpu-cycles OR cycles                               [Hardware event]
  instructions                                       [Hardware event]
  context-switches OR cs                             [Software event]
  cpu-clock                                          [Software event]
  cpu-migrations OR migrations                       [Software event]
  major-faults                                       [Software event]
  minor-faults                                       [Software event]
  page-faults OR faults                              [Software event]
  task-clock                                         [Software event]
  duration_time                                      [Tool event]
  user_time                                          [Tool event]
  system_time                                        [Tool event]
  L1-dcache-loads                                    [Hardware cache event]
  L1-dcache-stores                                   [Hardware cache event]
  exceptions:page_fault_user                         [Tracepoint event]
  raw_syscalls:sys_enter                             [Tracepoint event]
  raw_syscalls:sys_exit                              [Tracepoint event]
  sched:sched_process_exec                           [Tracepoint event]
  sched:sched_process_exit                           [Tracepoint event]
"""


def test_everything_that_counts_is_listed(rvperf):
    run = rvperf("list")
    assert (run.status, run.out, run.err) == (0, ALL, "")


@pytest.mark.parametrize("word, tag", [("hw", "Hardware event"), ("cache", "Hardware cache event")])
def test_a_kind(rvperf, word, tag):
    expected = [line for line in ALL.splitlines() if line.endswith(f"[{tag}]")]
    assert rvperf("list", word).out.splitlines() == expected


def test_software_lines_are_perfs(rvperf):
    theirs = perf.perf("list", "sw").stdout.splitlines()
    ours = rvperf("list", "sw").out.splitlines()
    assert ours == [line for line in theirs if line in ours] != []


def test_words_concatenate(rvperf):
    assert rvperf("list", "sw", "hw").out == rvperf("list", "sw").out + rvperf("list", "hw").out


def test_a_pattern_that_matches_nothing_is_no_failure(rvperf):
    run = rvperf("list", "nosuch")
    assert (run.status, run.out) == (0, "")


def test_raw_dump_is_names_alone(rvperf):
    run = rvperf("list", "--raw-dump", "hw")
    assert run.out == "branch-instructions branch-misses cpu-cycles instructions "


def test_every_name_counts(rvperf):
    for name in rvperf("list", "--raw-dump").out.split():
        assert parse_events(name)[0].countable
        assert rvperf("stat", "-x,", "-e", name, "./program").err.startswith(("1000,", "0.00,"))


def test_descriptions_on_demand(rvperf):
    assert rvperf("list", "-v", "cs").out == (
        "  context-switches OR cs                             [Software event]\n"
        "       [Switches from one task to another.]\n"
    )
    assert rvperf("list", "--no-desc").out == ALL


def test_unknown_option(rvperf):
    run = rvperf("list", "--bogus")
    assert (run.status, run.out) == (129, "")
    assert run.err.startswith("  Error: unknown option `bogus'\n\n Usage: rvperf list [<options>] ")


def test_perfs_option_that_we_lack_is_named(rvperf):
    run = rvperf("list", "-j")
    assert run.status == 129
    assert run.err.startswith(" Error: rvperf doesn't have perf's switch `j' yet\n")


def test_header_only_where_perf_would_page(rvperf, monkeypatch):
    monkeypatch.setattr("rvperf.cli.list.paged", lambda: True)
    header = "\nList of pre-defined events (to be used in -e or -M):\n\n"
    assert rvperf("list", "hw").out == header + "\n".join(ALL.splitlines()[:4]) + "\n"
