"""perf record of the host beside guests' perfs, on one hart and on several: `kvm run --host`."""

import io
import json
import re
import signal
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

from rvperf.cli import main
from rvperf.perfdata import records
from rvperf.perfdata.reader import Reader
from rvperf.session import recording
from rvperf.session.host import HostRecording
from rvperf.stack import events_core
from rvperf.stack.hypervisor.host_perf import HostPerf
from tests.oracles.perf import perf
from tests.session.recordings import SAMPLES

SORT, SIEVE = (f"-- {SAMPLES / name}" for name in ("sort", "sieve"))
COUNT = "stat -e branches:u -o /dev/null"
PERIOD = 9001
FIRST_VM, FIRST_THREAD, SECOND_VM, SECOND_THREAD = 1000, 1001, 1002, 1003


@pytest.fixture(scope="module")
def kvm_run(tmp_path_factory):
    """Run it in a directory of its own: which, the status, the report, and what stderr had."""
    where = tmp_path_factory.mktemp("kvm_run")

    def run(*words, command=("kvm", "run", "--json")):
        here = tmp_path_factory.mktemp("one")
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("HOME", str(where))
            patch.chdir(here)
            status = main([*command, *words])
        report = json.loads(out.getvalue()) if "--json" in command and out.getvalue() else None
        return SimpleNamespace(here=here, status=status, report=report, err=err.getvalue())

    return run


def all_of(kind, path) -> list:
    return [one for _, one in Reader(str(path)).records() if isinstance(one, kind)]


def samples(path) -> list:
    return all_of(records.Sample, path)


def places(path) -> list:
    """What of the samples isn't a time or an identity."""
    return [(one.cpumode, one.ip, one.period) for one in samples(path)]


def script(path, *options):
    """Stock perf's lines, with the guests' samples."""
    known = (f"--guestkallsyms={path}.kallsyms", "--guestmodules=/dev/null")
    found = perf("script", "-i", str(path), *known, *options)
    assert found.returncode == 0 and "order" not in found.stderr, found.stderr
    return found.stdout.splitlines()


HOSTS = {
    "all.data": f"record -a -e instructions:G -c {PERIOD}",
    "hart0.data": f"record -C 0 -e instructions:G -c {PERIOD}",
    "hart1.data": f"record -C 1 -e instructions:G -c {PERIOD}",
    "vm0.data": f"record -p vm0 --sample-cpu -e instructions:G -c {PERIOD}",
    "vm1.data": f"record -p vm1 --sample-cpu -e instructions:G -c {PERIOD}",
    "host.data": f"record --sample-cpu -e cycles:H -c {PERIOD}",
    "group.data": "record -e {instructions:G,branches:G}:S -c 20011",
}


@pytest.fixture(scope="module", params=["passthrough", "snapshot"])
def migrating(request, kvm_run):
    """Two VMs that go to and fro between two harts, and all sorts of recordings."""
    hosts = [f"{words} -o {path}" for path, words in HOSTS.items()]
    hosts += [f"stat -p vm{vm} -e instructions:G" for vm in (0, 1)]
    hosts += ["stat -e instructions:G", "stat -e branches:G"]
    run = kvm_run(
        "--vpmu", request.param, "--harts", "2", "--migrate-every", "250us",
        "--guest", f"{COUNT} {SORT}", "--guest", f"{COUNT} {SIEVE}",
        *(word for words in hosts for word in ("--host", words)),
    )  # fmt: skip
    assert run.status == 0 and run.report["migrations"] > 8
    *_, run.vm0, run.vm1, run.both, run.branches = [
        session["counts"][0]["value"] for session in run.report["sessions"] if session["counts"]
    ]
    return run


def test_each_period_of_a_vms_threads_has_a_sample(migrating):
    found = [len(samples(migrating.here / f"vm{vm}.data")) for vm in (0, 1)]
    assert found == [migrating.vm0 // PERIOD, migrating.vm1 // PERIOD]


def test_each_period_of_a_hart_has_a_sample(migrating):
    """What a hart has begun of a period when all ends is less than one."""
    found = len(samples(migrating.here / "all.data"))
    assert found in (migrating.both // PERIOD, migrating.both // PERIOD - 1)
    assert [session["lost"] for session in migrating.report["sessions"][2:7]] == [0] * 5


def test_of_single_harts_there_are_their_own_samples(migrating):
    both = samples(migrating.here / "all.data")
    for hart in (0, 1):
        alone = samples(migrating.here / f"hart{hart}.data")
        assert {one.cpu for one in alone} == {hart}
        assert len(alone) == sum(one.cpu == hart for one in both)


def test_samples_are_of_who_was_asked_for_on_all_harts(migrating):
    for vm, (pid, tid) in enumerate([(FIRST_VM, FIRST_THREAD), (SECOND_VM, SECOND_THREAD)]):
        found = samples(migrating.here / f"vm{vm}.data")
        assert {(one.pid, one.tid) for one in found} == {(pid, tid)}
        assert {one.cpu for one in found} == {0, 1}


@pytest.mark.parametrize("name", ["all.data", "vm0.data", "host.data"])
def test_stock_perf_shows_them_in_time_order_with_their_cpus(migrating, name):
    path = migrating.here / name
    shown = [
        (tid, cpu, time)
        for tid, cpu, time in (line.split() for line in script(path, "-F", "tid,cpu,time", "--ns"))
    ]
    times = [time for _, _, time in shown]
    assert times == sorted(times) and {cpu for _, cpu, _ in shown} == {"[000]", "[001]"}
    expected = sorted(samples(path), key=lambda one: one.time)
    assert sorted(shown) == sorted(
        (f"{one.tid}", f"[{one.cpu:03d}]", f"{one.time // 10**9}.{one.time % 10**9:09d}:")
        for one in expected
    )


def test_the_header_is_that_of_a_machine_with_several_cpus(migrating):
    header = perf("report", "--header-only", "-i", str(migrating.here / "all.data")).stdout
    assert "# nrcpus online : 2\n# nrcpus avail : 2\n" in header
    ids = re.findall(r"name = (\S+), , id = \{ (.*?) \}", header)
    assert ids == [("instructions:G", "1, 2"), ("dummy:HG", "3, 4")]
    dump = perf("report", "-D", "-i", str(migrating.here / "all.data")).stdout
    assert "PERF_RECORD_CPU_MAP: 0-1" in dump


@pytest.mark.parametrize("name", ["all.data", "host.data"])
def test_a_task_begins_and_ends_once(migrating, name):
    path = migrating.here / name
    threads = [FIRST_THREAD, SECOND_THREAD]
    assert [one.tid for one in all_of(records.Fork, path)] == threads
    assert sorted(one.tid for one in all_of(records.Exit, path)) == [
        FIRST_VM, FIRST_THREAD, SECOND_VM, SECOND_THREAD,
    ]  # fmt: skip
    told = [one.comm for one in all_of(records.Comm, path) if one.cpumode == records.USER]
    assert told == ["perf-exec", "lkvm", "lkvm", "kvm-vcpu-0", "kvm-vcpu-0"]


def test_groups_are_read_thread_by_thread(migrating):
    """perf subtracts what the same id had before: each thread's has to be its own."""
    lines = script(migrating.here / "group.data", "-F", "tid,event,period")
    found = {"instructions:G:": 0, "branches:G:": 0}
    for line in lines:
        _, period, event = line.split()
        found[event] += int(period)
    for event, count in (("instructions:G:", migrating.both), ("branches:G:", migrating.branches)):
        assert 0 <= count - found[event] <= 2 * 20011


def test_reports_of_stock_perf_have_both_programs(migrating):
    path = str(migrating.here / "all.data")
    known = (f"--guestkallsyms={path}.kallsyms", "--guestmodules=/dev/null")
    page = perf(
        "kvm", "--host", "--guest", *known, "report", "-i", path, "--stdio", "-s", "dso,sym"
    )
    assert re.search(r" sort +\[u\] quicksort", page.stdout)
    assert re.search(r" sieve +\[u\] ", page.stdout)


# Rounds.


def sessions_with_small_rounds(kvm_run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "BUFFER", 256)
        return kvm_run(
            "--harts", "2", "--guest", f"{COUNT} {SIEVE}", "--guest", f"{COUNT} {SIEVE}",
            "--host", "record -a -e cycles -c 3001 -o host.data",
        ).here / "host.data"  # fmt: skip


def test_a_round_ends_only_where_nothing_older_can_come(kvm_run):
    path = sessions_with_small_rounds(kvm_run)
    assert len(all_of(records.FinishedRound, path)) > 30
    script(path)


def test_if_it_did_not_perf_would_tell(kvm_run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostRecording, "settled", lambda self: True)
        path = sessions_with_small_rounds(kvm_run)
    with pytest.raises(AssertionError, match="out of order"):
        script(path)


# On one hart.


def test_on_one_hart_there_is_one_cpu(kvm_run):
    path = kvm_run("--guest", f"{COUNT} {SIEVE}", "--host", "record -a -o host.data").here
    reader = Reader(str(path / "host.data"))
    assert [event.ids for event in reader.events] == [(1,), (2,)]
    assert reader.features["NRCPUS"].available == 1
    assert {one.cpu for one in samples(path / "host.data")} == {0}


def test_an_event_that_overflows_while_it_is_opened_is_sampled(kvm_run):
    """Where there is a frequency the first period is 1."""
    words = ("--guest", f"{COUNT} {SORT}", "--guest", f"{COUNT} {SIEVE}", "--slice", "500us")
    run = kvm_run(*words, "--host", "record -e cycles -F 20000 -o host.data")
    assert run.status == 0
    assert len(samples(run.here / "host.data")) > 20


def test_what_is_throttled_is_told(kvm_run, monkeypatch):
    """Of each thread's event by itself, off and on in turns."""
    monkeypatch.setattr(events_core, "MOST_SAMPLES_A_TICK", 10)
    run = kvm_run(
        "--guest", f"{COUNT} {SIEVE}", "--guest", f"{COUNT} {SIEVE}", "--slice", "400us",
        "--host", "record -e instructions:G -c 9001 -o host.data",
    )  # fmt: skip
    told = all_of((records.Throttle, records.Unthrottle), run.here / "host.data")
    for number in (1, 2):
        kinds = [type(one) for one in told if one.id == number]
        turns = [records.Throttle, records.Unthrottle] * len(kinds)
        assert len(kinds) > 1 and kinds == turns[: len(kinds)]


# Alone and together.


def test_the_guests_samples_are_those_that_it_has_alone(kvm_run):
    """Passed through, with whatever the host samples: of user code, to the instruction."""
    guest = "record -e instructions:u,cycles:u -c 20011 -o guest.data"
    alone = kvm_run("--guest", f"{guest} {SORT}").here
    for host in ("record -e instructions:GH -c 15013 -o host.data", "record -a -F 5000 -o a.data"):
        together = kvm_run("--guest", f"{guest} {SORT}", "--host", host).here
        assert places(together / "guest.data") == places(alone / "guest.data")
    assert len(places(alone / "guest.data")) > 200


@pytest.mark.parametrize("vpmu, harts", [("passthrough", 1), ("passthrough", 2), ("snapshot", 2)])
def test_the_hosts_samples_are_those_that_it_has_alone(kvm_run, vpmu, harts):
    """Of events that no perf's own work counts as, to the instruction."""
    host = "record -e branches:G,L1-dcache-loads:G -c 1511 -o host.data"
    where = ["--vpmu", vpmu, "--harts", f"{harts}", "--migrate-every", "200us"][
        : 2 + 4 * (harts > 1)
    ]
    alone = kvm_run("--guest", f"{COUNT} {SORT}", "--vpmu", vpmu, "--host", host).here
    together = kvm_run(
        *where, "--vpmu", vpmu,
        "--guest", f"record -e instructions:u -c 10007 -o a {SORT}", "--host", host,
    )  # fmt: skip
    found = places(alone / "host.data")
    assert places(together.here / "host.data") == found
    assert len(found) > 500


def test_what_guests_do_is_sampled_by_kvm_record_as_by_kvm_run(kvm_run):
    words = "record -e branches:G -c 1511 -o host.data"
    joint = kvm_run("--guest", f"{COUNT} {SORT}", "--host", words).here
    single = kvm_run(
        *words.split(), "--vpmu", "passthrough", *SORT.split(), command=("kvm", "--host", "--guest")
    ).here
    assert places(single / "host.data") == places(joint / "host.data")


def test_a_guest_that_samples_does_more_and_the_host_sees_that(kvm_run):
    """The guest's own handlers are instructions in the guest: the host has them with no sample
    lost, and each has the same."""

    def host_counts(guest):
        run = kvm_run(
            "--guest", f"{guest} {SORT}",
            "--host", f"record -e instructions:G -c {PERIOD} -o host.data",
            "--host", "stat -e instructions:G",
        )  # fmt: skip
        count = run.report["sessions"][-1]["counts"][0]["value"]
        assert len(samples(run.here / "host.data")) == count // PERIOD
        return count

    few, many, more = (
        host_counts(f"record -e instructions:u -c {period} -o a")
        for period in (40000, 20000, 13333)
    )
    each = {count: 2127885 // count for count in (40000, 20000, 13333)}
    per_sample = (many - few) / (each[20000] - each[40000])
    assert (more - many) / (each[13333] - each[20000]) == pytest.approx(per_sample, rel=0.02)


# What is lost.


def test_what_is_lost_is_counted_thread_by_thread():
    """One thread's samples don't stand for another's that are lost."""
    perf = HostPerf((), None, None, None)
    for opening, (count, taken) in enumerate([(1099, 10), (599, 2)]):
        event = SimpleNamespace(
            frequency=0, sampling=True, count=count, sample_period=100, owner=(0, opening)
        )
        perf.events.append(event)
        perf.taken[0, opening] = taken
    assert perf.lost() == 3


# What there isn't.


@pytest.mark.parametrize(
    "host, line",
    [
        ("record -p vm2", " Error: no vm2: there is vm0 to vm1\n"),
        ("record -C 2", " Error: there is no CPU 2, only 0 to 1\n"),
        ("record -C x", " Error: option `cpu' expects harts, like 0-2,5, not `x'\n"),
        ("record -p all", " Error: option `pid' expects a VM: vm0 is the first, not `all'\n"),
    ],
)
def test_mistakes_are_told_in_a_line(kvm_run, host, line):
    run = kvm_run(
        "--harts", "2", "--guest", f"{COUNT} {SIEVE}", "--guest", f"{COUNT} {SIEVE}",
        "--host", host,
    )  # fmt: skip
    assert run.status in (129, 255) and run.report is None
    assert line in run.err and "Traceback" not in run.err


@pytest.mark.parametrize("hosts", [["-o guest.data"], ["-c 9001", "-c 9002"], ["-o -", "-o -"]])
def test_two_sessions_do_not_write_one_file(kvm_run, hosts):
    words = [word for one in hosts for word in ("--host", f"record {one}")]
    run = kvm_run("--guest", f"record -c 99999 -o guest.data {SIEVE}", *words)
    assert run.status == 255 and run.report is None
    assert re.fullmatch(r" Error: two sessions write \S+.*; give one another -o\n", run.err)


@pytest.mark.parametrize("harts", [1, 2])
def test_a_recording_that_is_long_enough_ends_all(kvm_run, harts):
    """Harts are wherever they were: all that was counted is still read."""
    run = kvm_run(
        "--harts", f"{harts}", "--guest", f"{COUNT} {SIEVE}", "--host", "stat -e instructions:G",
        "--host", "record -e instructions:G -c 9001 --max-size 3K -o host.data",
    )  # fmt: skip
    found = len(samples(run.here / "host.data"))
    assert run.status == 128 + signal.SIGTERM
    assert 0 < found == run.report["sessions"][1]["counts"][0]["value"] // 9001 < 100
    script(run.here / "host.data")


@pytest.mark.parametrize("other, what", [("-a", "SYSTEM"), ("-C 0", "CPU")])
def test_a_vm_goes_before_harts_as_in_perf(kvm_run, other, what):
    run = kvm_run("--guest", f"{COUNT} {SIEVE}", "--host", f"record {other} -p vm0 -c 9001 -o a")
    assert f"Warning:\nPID/TID switch overriding {what}\n" in run.err
    assert {one.tid for one in samples(run.here / "a")} == {FIRST_THREAD}
