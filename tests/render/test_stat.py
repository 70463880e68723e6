"""The three forms of `perf stat`, from results made by hand; then against perf itself."""

import csv as csv_module
import json
import re

import pytest

from isa.record import replace
from rvperf.render import stat as render
from rvperf.results import Count, Exit, StatResult
from tests.oracles import perf

MS = 1_000_000


def hardware(name, event, value, **more):
    return Count(name, event, value, True, 2 * MS, 2 * MS, **more)


TASK_CLOCK = hardware("task-clock", "task-clock", 2 * MS, unit="msec", scale=1e-6)
CYCLES = hardware("cycles", "cpu-cycles", 4_000_000)
INSTRUCTIONS = hardware("instructions", "instructions", 5_000_000)
BRANCHES = hardware("branches", "branch-instructions", 1_000_000)
BRANCH_MISSES = hardware("branch-misses", "branch-misses", 62_500)
SWITCHES = hardware("cs", "context-switches", 0)
LLC_LOADS = Count("LLC-loads", "LLC-loads", None, supported=False)
SYSTEM_TIME = Count("system_time", "system_time", 0, True, 0, 0, "ns")


def result(*counts, **more):
    return StatResult(("./hello", "a b"), counts, 4 * MS, 1_500_000, 500_000, Exit(0), **more)


def test_text_of_the_default_events():
    counts = TASK_CLOCK, SWITCHES, CYCLES, INSTRUCTIONS, BRANCHES, BRANCH_MISSES
    text = render.text(result(*counts))
    assert {len(line) for line in text.splitlines()[3:9]} == {91}
    assert re.sub(" +$", "", text, flags=re.MULTILINE) == (
        "\n"
        " Performance counter stats for './hello a b':\n"
        "\n"
        "              2.00 msec task-clock                       #    0.500 CPUs utilized\n"
        "                 0      cs                               #    0.000 /sec\n"
        "           4000000      cycles                           #    2.000 GHz\n"
        "           5000000      instructions                     #    1.25  insn per cycle\n"
        "           1000000      branches                         #  500.000 M/sec\n"
        "             62500      branch-misses                    #    6.25% of all branches\n"
        "\n"
        "       0.004000000 seconds time elapsed\n"
        "\n"
        "       0.001500000 seconds user\n"
        "       0.000500000 seconds sys\n"
        "\n"
        "\n"
    )


def test_csv_of_the_default_events():
    counts = TASK_CLOCK, SWITCHES, CYCLES, INSTRUCTIONS, BRANCHES, BRANCH_MISSES, LLC_LOADS
    assert render.csv(result(*counts), ",") == (
        "2.00,msec,task-clock,2000000,100.00,0.500,CPUs utilized\n"
        "0,,cs,2000000,100.00,0.000,/sec\n"
        "4000000,,cycles,2000000,100.00,2.000,GHz\n"
        "5000000,,instructions,2000000,100.00,1.25,insn per cycle\n"
        "1000000,,branches,2000000,100.00,500.000,M/sec\n"
        "62500,,branch-misses,2000000,100.00,6.25,of all branches\n"
        "<not supported>,,LLC-loads,0,100.00,,\n"
    )


def test_json_of_a_count_and_of_none():
    assert render.json_lines(result(TASK_CLOCK, INSTRUCTIONS, SYSTEM_TIME)) == (
        '{"counter-value" : "2.000000", "unit" : "msec", "event" : "task-clock", '
        '"event-runtime" : 2000000, "pcnt-running" : 100.00, '
        '"metric-value" : 0.500000, "metric-unit" : "CPUs utilized"}\n'
        '{"counter-value" : "5000000.000000", "unit" : "", "event" : "instructions", '
        '"event-runtime" : 2000000, "pcnt-running" : 100.00, '
        '"metric-value" : 0.000000, "metric-unit" : "insn per cycle"}\n'
        '{"counter-value" : "<not counted>", "unit" : "ns", "event" : "system_time", '
        '"event-runtime" : 0, "pcnt-running" : 100.00, '
        '"metric-value" : 0.000000, "metric-unit" : ""}\n'
    )


def test_every_json_line_is_json_whatever_the_event_is_called():
    (line,) = render.json_lines(result(replace(CYCLES, name='a"\\b'))).splitlines()
    assert json.loads(line)["event"] == 'a"\\b'


@pytest.mark.parametrize(
    "count, row",
    [
        (LLC_LOADS, "   <not supported>      LLC-loads" + " " * 51),
        (SYSTEM_TIME, "     <not counted> ns   system_time" + " " * 49),
        (SWITCHES, "                 0      cs" + " " * 65),
        (
            replace(CYCLES, running=MS // 2),
            "           4000000      cycles" + " " * 61 + "  (25.00%)",
        ),
        (
            replace(CYCLES, noise=7.125),
            "           4000000      cycles" + " " * 61 + "  ( +-  7.12% )",
        ),
        (replace(CYCLES, running=0), "     <not counted>      cycles" + " " * 54 + "  (0.00%)"),
    ],
)
def test_row_without_a_metric(count, row):
    assert render.text(result(count)).splitlines()[3] == row


def test_long_units_widen_their_column():
    rows = render.text(result(replace(CYCLES, unit="Joules"), TASK_CLOCK)).splitlines()
    assert rows[3].startswith("           4000000 Joules cycles ")
    assert rows[4].startswith("              2.00 msec   task-clock ")


@pytest.mark.parametrize(
    "event, value, per_second",
    [
        ("page-faults", 1, " 500.000 /sec"),
        ("page-faults", 2, "1000.000 /sec"),  # 1000 is not yet more than 1000
        ("page-faults", 3, "   1.500 K/sec"),
        ("instructions", 3, None),  # instructions go with cycles or alone
    ],
)
def test_rate(event, value, per_second):
    row = render.text(result(TASK_CLOCK, hardware(event, event, value))).splitlines()[4]
    assert (f" # {per_second}" in row) if per_second else ("#" not in row)


def test_ratios_relate_events_of_equal_modes_only():
    user = hardware("instructions:u", "instructions", 3_000_000, context="kh")
    rows = render.csv(result(CYCLES, user, INSTRUCTIONS), ",").splitlines()
    assert rows[1] == "3000000,,instructions:u,2000000,100.00,,"
    assert rows[2] == "5000000,,instructions,2000000,100.00,1.25,insn per cycle"


def test_rates_take_a_clock_of_any_mode():
    clock = replace(TASK_CLOCK, name="task-clock:u", context="kh")
    assert render.csv(result(clock, CYCLES), ",").endswith(",2.000,GHz\n")


def test_several_runs():
    runs = result(replace(CYCLES, noise=1.5), SWITCHES, runs=3, elapsed_deviation=87_900)
    assert render.text(runs).splitlines()[1] == (
        " Performance counter stats for './hello a b' (3 runs):"
    )
    assert render.text(runs).endswith(
        "\n\n         0.0040000 +- 0.0000879 seconds time elapsed  ( +-  2.20% )\n\n"
    )
    assert render.csv(runs, ",").splitlines() == [
        "4000000,,cycles,1.50%,2000000,100.00,,",
        "0,,cs,0.00%,2000000,100.00,,",
    ]
    assert '"event" : "cycles", "variance" : 1.50, "event-runtime"' in render.json_lines(runs)


def test_equal_runs_show_no_noise_and_no_less_time():
    assert render.text(result(CYCLES, runs=3)).endswith(
        "\n       0.004000000 +- 0.000000000 seconds time elapsed\n\n"
    )


def test_null_run_has_no_rows_and_no_blank_line_of_theirs():
    assert render.text(result(), null_run=True).startswith(
        "\n Performance counter stats for './hello a b':\n\n       0.004000000 seconds time"
    )


def test_counts_are_grouped_and_nothing_else_is():
    def by_commas(form, value):
        return (form % value).replace("4000000", "4,000,000")[-18:]

    lines = render.text(result(CYCLES), group=by_commas).splitlines()
    assert lines[3].startswith("         4,000,000      cycles ")
    assert "4,000,000" not in render.csv(result(CYCLES), ",") + render.json_lines(result(CYCLES))


@pytest.mark.parametrize(
    "misses, colour",
    [(50_000, ""), (60_000, "\033[33m"), (110_000, "\033[35m"), (210_000, "\033[31m")],
)
def test_alarming_shares_are_coloured_on_a_terminal(misses, colour):
    counts = BRANCHES, replace(BRANCH_MISSES, value=misses)
    row = render.text(result(*counts), colour=True).splitlines()[4]
    number = f"{misses / 10_000:7.2f}%"
    assert (f"# {colour}{number}\033[m of all" in row) if colour else (f"# {number} of all" in row)
    assert "\033" not in render.text(result(*counts))


def test_raw_lines_of_verbose():
    assert render.raw(result(CYCLES, LLC_LOADS)) == (
        "cycles: 4000000 2000000 2000000\nfailed to read counter LLC-loads\n"
    )


SOFTWARE = (
    "duration_time,task-clock,cs,page-faults,faults:u,minor-faults,cpu-migrations:k,"
    "user_time,system_time"
)
HARDWARE = "duration_time,task-clock,cycles,instructions,branches,branch-misses"


@pytest.fixture(params=[SOFTWARE, HARDWARE, SOFTWARE + ",bus-cycles"], ids=["sw", "hw", "none"])
def events(request):
    return request.param


def counted(events, *options):
    result, printed = perf.stat(events, *options)
    if events is HARDWARE and not all(c.counted and c.enabled == c.running for c in result.counts):
        pytest.skip("no hardware events here")  # nor in most virtual machines, CI's among them
    return result, printed


def test_text_is_perfs(events):
    result, printed = counted(events)
    assert render.text(result) == printed


def test_csv_is_perfs(events):
    result, printed = counted(events, "-x;")
    assert render.csv(result, ";") == printed
    assert {len(row) for row in csv_module.reader(printed.splitlines(), delimiter=";")} == {7}


def test_json_is_perfs(events):
    result, printed = counted(events, "-j")
    assert render.json_lines(result) == printed
