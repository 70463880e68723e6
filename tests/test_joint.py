"""`kvm run`: perf in several guests and in the host at the same time, on one board."""

import json
import os
import re
import signal
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from rvperf.cli import kvm_explain, main
from rvperf.cli import kvm_run as kvm_run_command
from rvperf.cli.options import parse
from rvperf.perfdata.reader import Reader
from rvperf.session import joint as session
from tests.oracles.babeltrace import babeltrace
from tests.oracles.perf import perf

TIMER = 1 << 63 | 5
SAMPLES = Path(__file__).parent.parent / "samples"
SIEVE, SORT, LS = (f"-- {SAMPLES / name}" for name in ("sieve", "sort", "ls"))
COUNT = "stat -x, -e instructions:u"
SAMPLE = "record -e instructions:u -c 100000"


@pytest.fixture
def kvm_run(tmp_path, monkeypatch, capfd):
    """Run it: (exit status, the report as JSON, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*words):
        status = main(["kvm", "run", "--json", *words])
        out, err = capfd.readouterr()
        return status, json.loads(out[out.index("{\n") :]) if "{\n" in out else None, err

    return run


def alone(capfd, *words) -> str:
    assert main([*words]) == 0
    return capfd.readouterr().err


def counts(report) -> dict:
    return {
        (session["name"], one["name"]): one["value"]
        for session in report["sessions"]
        for one in session["counts"]
    }


def test_what_a_guest_counts_and_samples_is_what_it_does_alone(kvm_run, capfd):
    vm = ["--vm", "--vpmu", "passthrough"]
    expected = alone(capfd, *COUNT.split(), *vm, *SIEVE.split())
    alone(capfd, *SAMPLE.split(), *vm, "-o", "alone.data", *SORT.split())
    status, report, err = kvm_run(
        "--guest", f"{COUNT} {SIEVE}", "--guest", f"{SAMPLE} -o together.data {SORT}",
        "--host", "record -e instructions:GH -c 150000 -o host.data", "--slice", "700us",
    )  # fmt: skip
    assert status == 0
    assert expected.split(",")[0] in err
    one, other = (len(Reader(path).columns()) for path in ("alone.data", "together.data"))
    assert one == other > 15
    assert [session["lost"] for session in report["sessions"]] == [0, 0, 0]


@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "deleg", "mediated", "passthrough"])
def test_migrating_vcpus_count_the_same(kvm_run, vpmu):
    """User instructions don't depend on who else runs, or where."""
    _, report, _ = kvm_run("--vpmu", vpmu, "--guest", f"{COUNT} {SIEVE}")
    expected = counts(report)["vm0", "instructions:u"]
    _, report, _ = kvm_run(
        "--vpmu", vpmu, "--harts", "2", "--migrate-every", "250us",
        "--guest", f"{COUNT} {SIEVE}", "--guest", f"{COUNT} {SIEVE}",
    )  # fmt: skip
    assert report["migrations"] > 8
    assert counts(report) == {(name, "instructions:u"): expected for name in ("vm0", "vm1")}


def test_guest_and_host_together_are_all(kvm_run):
    """:G and :H are disjoint and cover what is counted without a filter, but for the opening and
    closing of the events themselves, which is the host's."""
    _, report, _ = kvm_run(
        "--guest", f"{COUNT} {SIEVE}", "--guest", f"{COUNT} {SORT}",
        "--host", "stat -e instructions:G,instructions:H,instructions:GH",
    )  # fmt: skip
    found = counts(report)
    guest, host, both = (found["host", f"instructions:{side}"] for side in ("G", "H", "GH"))
    assert guest > 10 * host > 0
    assert abs(guest + host - both) < 1000


def test_a_vcpu_alone_is_never_saved_and_two_are_at_each_change_of_owner(kvm_run):
    _, report, _ = kvm_run("--guest", f"{COUNT} {SORT}")
    (one,) = report["guests"]
    assert (one["saves"], one["restores"], report["owner_changes"]) == (0, 0, 0)
    _, report, _ = kvm_run(
        "--guest", f"{COUNT} {SORT}", "--guest", f"{COUNT} {SORT}", "--slice", "500us"
    )
    assert report["owner_changes"] > 4
    for what in ("saves", "restores"):
        assert sum(one[what] for one in report["guests"]) == report["owner_changes"]


def test_owners_of_counters_don_t_overlap(kvm_run):
    _, report, _ = kvm_run(
        "--guest", f"{COUNT} {SORT}", "--guest", f"{SAMPLE} -o a.data {SORT}", "--harts", "2",
        "--migrate-every", "600us", "--reserve", "5", "--host", "stat -e cycles:G,cycles:H",
    )  # fmt: skip
    assert {one["owner"] for one in report["owners"]} == {"host", "vm0", "vm1"}
    assert report["reserved"] == list(range(3, 27))
    last: dict = {}
    for one in sorted(report["owners"], key=lambda one: one["start"]):
        place = one["hart"], one["counter"]
        assert last.get(place, 0) <= one["start"] < one["end"]
        last[place] = one["end"]
        assert (one["owner"] == "host") == (one["counter"] > 26)


def test_deleg_loses_samples_of_the_host_and_says_why(kvm_run):
    def sampled(vpmu):
        _, report, err = kvm_run(
            "--vpmu", vpmu, "--guest", f"{SAMPLE} -o a.data {SORT}",
            "--host", "record -e instructions:G -c 90000 -o host.data",
        )  # fmt: skip
        return report["sessions"][1]

    lost = sampled("deleg")
    assert lost["lost"] > 10 and "delegated to the guest" in lost["why"]
    assert sampled("passthrough")["lost"] == 0


def test_stock_perf_opens_both_files(kvm_run):
    kvm_run(
        "--guest", f"{SAMPLE} -o guest.data {SORT}",
        "--host", "record -e instructions:GH -c 90000 -o host.data",
    )  # fmt: skip
    assert "quicksort" in perf("report", "-i", "guest.data", "--stdio").stdout
    host = perf("kvm", "--host", "--guest", "report", "-i", "host.data", "--stdio").stdout
    assert "quicksort" in host


def test_host_intervals_add_up(kvm_run):
    _, report, err = kvm_run(
        "--guest", f"{COUNT} -o /dev/null {SORT}", "--host", "stat -e instructions:G -x, -I 1"
    )
    rows = [line.split(",") for line in err.splitlines()]
    times = [float(row[0]) for row in rows]
    assert times[:-1] == [(n + 1) / 1000 for n in range(len(times) - 1)] and len(times) > 3
    assert sum(int(row[1]) for row in rows) == counts(report)["host", "instructions:G"]


def test_intervals_of_guests_and_of_the_host_add_up_beside_each_other(kvm_run):
    _, report, err = kvm_run(
        "--guest", f"stat -e instructions:u -x, -I 1 {SORT}",
        "--guest", f"stat -e branches:u -x, -I 2 {SIEVE}",
        "--host", "stat -e instructions:G -x, -I 1 --interval-count 1", "--slice", "300us",
    )  # fmt: skip
    sums = Counter()
    for row in (line.split(",") for line in err.splitlines()):
        sums[row[3]] += int(row[1])
    assert sums == {name: value for (_, name), value in counts(report).items()}


def test_a_guests_summary_follows_its_rows(kvm_run):
    _, report, err = kvm_run("--guest", f"stat -e instructions:u -x, -I 1 --summary {SORT}")
    *rows, last = (line.split(",") for line in err.splitlines())
    assert last[0] == "         summary" and len(rows) > 2
    assert int(last[1]) == sum(int(row[1]) for row in rows)


@pytest.mark.parametrize(
    "words, why",
    [
        ("-I x", "--guest stat: Error: switch `I' expects a numerical value"),
        ("--interval-count 2", "--guest stat: interval-count option should be used together with"),
        ("-I 1 --interval-clear", "--interval-clear does not work with output"),
    ],
)
def test_intervals_that_cannot_be(kvm_run, words, why):
    status, _, err = kvm_run("--guest", f"stat {words} {SORT}")
    assert status and err.strip().startswith(why) and err.count("\n") == 1


def test_a_host_that_wants_more_than_it_has_multiplexes(kvm_run):
    _, report, err = kvm_run(
        "--guest", f"{COUNT} -o /dev/null {LS}", "--reserve", "1", "--passthrough", "20",
        "--host", "stat -x, -e instructions:G,instructions:H -I 4",
    )  # fmt: skip
    host = report["sessions"][1]["counts"]
    assert all(0 < one["running"] < one["enabled"] for one in host)
    assert {one["counter"] for one in report["owners"] if one["owner"] == "host"} == {31}


def test_a_count_that_is_multiplexed_is_an_estimate(kvm_run):
    """perf stat scales; what the events have really counted is in the report, with the times."""
    _, report, err = kvm_run(
        "--guest", f"stat -x, -e cycles:u,branches:u,instructions:u {LS}", "--passthrough", "1",
    )  # fmt: skip
    rows = [line.split(",") for line in err.splitlines()[:2]]
    for row, one in zip(rows, report["sessions"][0]["counts"], strict=False):
        assert 0 < one["running"] < one["enabled"]
        assert int(row[0]) == int(one["value"] * one["enabled"] / one["running"])
    _, report, err = kvm_run(
        "--guest", f"stat --no-scale -x, -e cycles:u,branches:u {LS}", "--passthrough", "1"
    )
    assert int(err.split(",")[0]) == report["sessions"][0]["counts"][0]["value"]


def test_a_host_s_group_has_its_counters_together_or_none(kvm_run):
    _, report, _ = kvm_run(
        "--guest", f"{COUNT} -o /dev/null {LS}", "--reserve", "2",
        "--host", "stat -x, -e {cycles:G,branches:G},{cycles:G,branches:G,instructions:G}",
    )  # fmt: skip
    running = [one["running"] for one in report["sessions"][1]["counts"]]
    assert running[1] > 0 and abs(running[0] - running[1]) < 1000  # they are read one by one
    assert running[2:] == [0, 0, 0]


def test_what_the_host_s_kernel_counts_by_itself(kvm_run):
    """Two vCPUs that share a hart have it half of the time each, and all of it together."""
    software = "stat -x, -e task-clock,cs,migrations,duration_time"
    _, report, _ = kvm_run(
        "--guest", f"{COUNT} -o /dev/null {SORT}", "--guest", f"{COUNT} -o /dev/null {SORT}",
        "--slice", "500us", "--host", software, "--host", f"{software} -p vm0",
        "--host", f"{software} -p vm1",
    )  # fmt: skip
    everything, one, other = ([row["value"] for row in each["counts"]]
                              for each in report["sessions"][2:])  # fmt: skip
    assert everything[0] == everything[3] == report["end"] - report["start"]
    assert 0.9 * everything[0] < one[0] + other[0] < everything[0]
    assert everything[1] == one[1] + other[1] == report["switches"] > 4
    assert everything[2] == 0


@pytest.mark.parametrize(
    "words, line",
    [
        (["--passthrough", "16", "--reserve", "16"],
         " Error: 16 counters passed through + 16 reserved for the host = 32, but a hart has 29\n"),
        (["--reserve", "29"],
         " Error: 29 counters - 29 reserved for the host leave none to pass through\n"),
        (["--vpmu", "sbi", "--reserve", "3"],
         " Error: option `reserve' is for --vpmu passthrough\n"),
        (["--host", "record ls"],
         " Error: --host record: the host's perf has no program of its own; `ls'?\n"),
        (["--host", "stat -p vm7"], " Error: no vm7: there is vm0\n"),
        (["--guest", "stat -e nothing -- x"], "syntax error"),
        (["--guest", "top"],
         " Error: --guest expects record, stat or list and its options, not `top'\n"),
        (["--host", "list --vm"], " Error: --host list: option `vm' is for a run alone\n"),
        (["--guest", "list --what"], " --guest list: Error: unknown option `what'\n"),
        (["--migrate", "/nowhere"], " Error: /nowhere: No such file or directory\n"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(kvm_run, words, line):
    status, report, err = kvm_run("--guest", f"{COUNT} {SORT}", *words)
    assert status in (129, 255) and report is None
    assert line in err


def test_a_file_says_who_goes_where(kvm_run, tmp_path):
    (tmp_path / "moves").write_text("# time who where\n200us vm0 1\n400us vm0/0 0\n1ms, vm0, 1\n")
    _, report, _ = kvm_run(
        "--guest", f"{COUNT} {SORT}", "--harts", "2", "--migrate", str(tmp_path / "moves")
    )
    assert report["migrations"] == 3
    assert report["guests"][0]["hart"] == 1


@pytest.mark.parametrize(
    "vpmu, words, expected",
    [
        ("passthrough", [], {0: "host", 1: "clock", 3: "guests", 18: "guests", 19: "host"}),
        ("passthrough", ["--passthrough", "4", "--reserve", "3"],
         {2: "host", 6: "guests", 7: "free", 28: "free", 29: "host"}),
        ("snapshot", [], {0: "firmware", 1: "clock", 3: "firmware", 31: "firmware"}),
        ("deleg", [], {0: "host", 3: "host", 31: "host"}),
    ],
)  # fmt: skip
def test_whose_a_counter_is_that_nobody_uses(kvm_run, vpmu, words, expected):
    """Where counters aren't delegated to the host firmware hands them out, one by one."""
    _, report, _ = kvm_run("--vpmu", vpmu, *words, "--guest", f"{COUNT} {SORT}")
    assert len(report["unused"]) == 32
    assert {counter: report["unused"][counter] for counter in expected} == expected


def test_an_interrupt_while_the_host_works_ends_the_guest(tmp_path, monkeypatch):
    """The guest isn't on the hart then, and may not enter its kernel for long by itself."""
    monkeypatch.setattr(kvm_explain, "TURNS", 100_000_000)
    program = tmp_path / "loop"
    program.write_bytes(kvm_explain.elf())
    program.chmod(0o755)
    exits = count()

    def hear(level, owner, operation):
        if operation[0] == "exit" and operation[2] == TIMER and next(exits) == 2:
            signal.raise_signal(signal.SIGINT)

    def look(running):
        running.moments.also = hear

    words = ["--guest", f"stat -e instructions:u {program}", "--guest", "list hw"]
    result = joint(words, look)
    assert result.guests[0].exit.signal == signal.SIGINT
    assert 0 < result.guests[0].counts[0].value < 100_000_000


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_the_report_can_go_into_a_file(kvm_run, tmp_path, capfd, how):
    """So that what is printed is the programs' alone."""
    words = ["kvm", "run", *how, "--guest", f"{COUNT} -o counts {SORT}"]
    assert main(words) == 0
    printed = capfd.readouterr().out
    assert main([*words, "-o", "report"]) == 0
    assert printed == capfd.readouterr().out + (tmp_path / "report").read_text()
    assert printed.startswith("sorted\n")


def test_the_first_guest_that_fails_decides(kvm_run):
    status, _, _ = kvm_run(
        "--guest", f"{COUNT} {SORT}", "--guest", f"{COUNT} -- {SAMPLES / 'args'} one two"
    )
    assert status == 3


def test_pictures_tell_what_the_report_does(kvm_run, tmp_path):
    status, report, _ = kvm_run(
        "--guest", f"{SAMPLE} {SORT}", "--html", "k.html", "--trace", "k.json",
    )  # fmt: skip
    assert status == 0
    trace = json.loads((tmp_path / "k.json").read_text())["traceEvents"]
    overflows = [event for event in trace if event["ph"] == "i"]
    assert len(overflows) == report["overflow_irqs"]["VS"] > 15
    last = {event["name"]: event["args"]["n"] for event in trace if event["ph"] == "C"}
    assert last["VM exits"] == report["guests"][0]["vm_exits"]
    assert last["saves"] == report["guests"][0]["saves"] == 0
    assert '"overflows"' in (tmp_path / "k.html").read_text()


def joint(words, watch=None):
    """A run without its output: what it gives."""
    options, _ = parse(kvm_run_command.OPTIONS, words)
    nowhere = os.open(os.devnull, os.O_RDWR)
    guests = [kvm_run_command.Inner(text, (nowhere,) * 3) for text in options["guest"]]
    hosts = [kvm_run_command.Inner(text, (nowhere,) * 3, guests[0]) for text in options["host"]]
    requests = [tuple(one.request for one in side) for side in (guests, hosts)]
    asked = kvm_run_command.options_of(options)
    try:
        return session.run(*requests, asked, watch=watch)
    finally:
        os.close(nowhere)


@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "deleg", "mediated", "passthrough"])
def test_who_looks_on_changes_nothing_and_sees_counts_grow(vpmu):
    words = [
        "--vpmu", vpmu, "--counters", "4", "--slice", "300us", "--harts", "2",
        "--migrate-every", "700us", "--guest", f"stat -e instructions:u,cycles,task-clock {SORT}",
        "--guest", f"record -o /dev/null -e instructions:u -c 50000 {SIEVE}", "--vcpus", "2",
        "--host", "stat -e instructions:GH,instructions:H -I 1",
    ]  # fmt: skip
    seen, looks = [], count()

    def look(running):
        if not next(looks) % 4:
            seen.append(running.so_far())

    watched = joint(words, look)
    assert joint(words) == watched
    end = watched.report.sessions
    for place in (0, 2):
        values = [[one.value or 0 for one in report.sessions[place].counts] for report in seen]
        for so_far, last in zip(zip(*values, strict=True), end[place].counts, strict=True):
            assert list(so_far) == sorted(so_far) and len(set(so_far)) > 20 or not last.supported
            assert so_far[-1] <= (last.value or 0)
    saves = [report.totals[-1].saves for report in seen if report.totals]
    assert saves == sorted(saves)
    assert saves[-1] <= sum(one.saves for one in watched.report.guests)


def test_a_ctf_trace_tells_what_the_report_does(kvm_run, tmp_path):
    words = [
        "--guest", f"{SAMPLE} {SORT}", "--guest", f"{COUNT} {SORT}", "--slice", "500us",
        "--harts", "2", "--migrate-every", "900us", "--vcpus", "2",
    ]  # fmt: skip
    _, report, _ = kvm_run(*words, "--ctf", "trace")
    events, complaints = babeltrace(tmp_path / "trace")
    assert complaints == ""
    found = Counter(name for _, name, _, _ in events)

    def total(what):
        return sum(one[what] for one in report["guests"])

    assert found["vm_exit"] == total("vm_exits") > 20
    assert found["counters_save"] == total("saves") > 3
    assert found["counters_restore"] == total("restores")
    for one in report["guests"]:
        for kind, what in (("counters_save", "saves"), ("counters_restore", "restores")):
            its = [e for e in events if e[1] == kind and f'"{one["name"]}"' in e[3]]
            assert len(its) == one[what] > 0
    assert found["vcpu_migrate"] == report["migrations"] > 3
    assert found["vcpu_put"] == report["switches"]
    assert found["sbi_call"] == report["sbi_calls"] + total("guest_sbi_calls")
    assert found["overflow_interrupt"] == sum(report["overflow_irqs"].values()) > 15
    owned = [(one["start"], str(one["hart"]), one["counter"]) for one in report["owners"]]
    begun = [
        (time, hart, int(fields.split(",")[0].split()[-1]))
        for time, name, hart, fields in events if name == "counter_begin"
    ]  # fmt: skip
    assert sorted(begun) == sorted(owned)
    before = {path.name: path.read_bytes() for path in (tmp_path / "trace").iterdir()}
    kvm_run(*words, "--ctf", "trace")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "trace").iterdir()}


def test_a_directory_that_is_not_ours_is_told_before_anything_runs(kvm_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("x")
    status, report, err = kvm_run("--guest", f"{COUNT} {SORT}", "--ctf", "mine")
    assert (status, report) == (255, None)
    assert err == "failed to create output directory mine: There is something else in it\n"


def test_json_has_what_the_documentation_says(kvm_run):
    """The fields of the table, and no others."""
    _, report, _ = kvm_run(
        "--guest", f"{SAMPLE} -o a.data {SORT}", "--host", "stat -e cycles:G", "--slice", "500us",
        "--guest", f"{COUNT} {SORT}",
    )  # fmt: skip
    text = (Path(__file__).parent.parent / "docs" / "virtualisation.md").read_text()
    table = text.partition("| Field of `--json`")[2].partition("\n\n")[0]
    told = {}
    for row in table.splitlines()[2:]:
        name, fields = row.split("|")[1:3]
        (name,) = re.findall(r"`(\w+)`", name)
        told[name] = set(re.findall(r"`(\w+)`", fields))
    assert told.keys() == report.keys()
    for name in ("sessions", "guests", "owners", "overflows", "totals"):
        assert told[name] >= set(report[name][0]), name


def test_a_picture_that_cannot_be_written_is_told_before_anything_runs(kvm_run):
    status, report, err = kvm_run("--guest", f"{COUNT} {SORT}", "--html", "/nowhere/k.html")
    assert (status, report) == (255, None)
    assert err == "failed to create output file /nowhere/k.html: No such file or directory\n"
