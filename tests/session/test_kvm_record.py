"""`perf kvm record`: the host samples a virtual machine, its own code there and the guest's."""

import os
import shlex
from types import SimpleNamespace

import pytest

from isa.modes import VS, VU
from isa.record import replace
from rvperf.cli import main
from rvperf.events import parse_events
from rvperf.perfdata import records
from rvperf.perfdata.reader import Reader
from rvperf.session import SessionError, Workload
from rvperf.session.attributes import How, specs
from rvperf.session.host import GuestMaps, HostSession
from rvperf.session.record import RecordRequest
from rvperf.session.virtual import GuestSession, VmOptions, record
from rvperf.stack.events_core import EventAttr
from rvperf.stack.kernel.kallsyms import FIRST
from tests.oracles.perf import perf
from tests.render.test_report import without_tip
from tests.session.recordings import ENV, SAMPLES

PERIOD = 20_011  # further than any single piece of the host's work goes
INSTRUCTIONS = 2  # SBI's event_idx
BOTH, GUEST, HOST = {"host": True, "guest": True}, {"guest": True}, {"host": True}
VMM, VCPU = 1000, 1001


@pytest.fixture
def request_for(tmp_path):
    """A RecordRequest by events and options; the program lists files of its kernel's memory."""
    nowhere = os.open(os.devnull, os.O_RDWR)

    def made(events=f"instructions/period={PERIOD}/", program=("ls",), **how):
        name, *arguments = program
        workload = Workload(
            argv=(str(SAMPLES / name), *arguments),
            sysroot=None,
            allow_write=(),
            env=ENV,
            engine="native",
            descriptors=(nowhere, nowhere, nowhere),
        )
        return RecordRequest(
            workload, parse_events(events, sampling=True), How(**how), ("rvperf", "record"),
            str(tmp_path / "perf.data.kvm"), build_id_directory=str(tmp_path / "debug"),
        )  # fmt: skip

    yield made
    os.close(nowhere)


def run(request, vpmu="snapshot", told=lambda text: None, host=False, guest=False, **options):
    """(the session, its result)."""
    session = HostSession(request, VmOptions(vpmu, **options), told, host, guest)
    return session, session.run()


def samples(result):
    return [one for _, one in Reader(result.path).records() if isinstance(one, records.Sample)]


# Which side is sampled.


@pytest.mark.parametrize(
    "sides, given",
    [
        # (exclude_host, exclude_guest) without modifiers, :u, :k, :G, :H, :p, {}:u, {}:G, {}:H;
        # as perf 6.1's evlist -v shows it.
        (GUEST, ["1 0", "0 0", "0 0", "1 0", "0 1", "0 1", "1 0", "1 0", "0 1"]),
        (BOTH, ["0 0", "0 0", "0 0", "1 0", "0 1", "0 1", "0 0", "1 0", "0 1"]),
        (HOST, ["0 1", "0 1", "0 0", "1 0", "0 1", "0 1", "0 1", "1 0", "0 1"]),
    ],
)
def test_modifiers_and_sides(sides, given):
    how = How(host=sides.get("host", False), guest=sides.get("guest", False))
    names = ["cycles", *(f"cycles:{letter}" for letter in "ukGHp"),
             *(f"{{cycles}}:{letter}" for letter in "uGH")]  # fmt: skip
    found = []
    for name in names:
        attr = specs(parse_events(name, sampling=True), how)[0].attr
        found.append(f"{int(attr.exclude_host)} {int(attr.exclude_guest)}")
    assert found == given


@pytest.mark.parametrize(
    "sides, modes",
    [
        (BOTH, {records.KERNEL, records.GUEST_KERNEL, records.GUEST_USER}),
        (GUEST, {records.GUEST_KERNEL, records.GUEST_USER}),
        (HOST, {records.KERNEL}),
    ],
)
def test_what_samples_are_of(request_for, sides, modes):
    session, result = run(request_for("cycles/period=4001/"), **sides)
    found = samples(result)
    assert {one.cpumode for one in found} == modes
    assert {(one.pid, one.tid) for one in found} == {(VMM, VCPU)}
    for one in found:
        if one.cpumode == records.GUEST_USER:
            assert 0x10000 <= one.ip < 0x20000
        elif one.cpumode == records.GUEST_KERNEL:
            assert FIRST <= one.ip < session.recording.kernels[1].symbols.end
        else:
            assert FIRST <= one.ip < session.recording.symbols.end


# How many there are.


@pytest.mark.parametrize("sides", [BOTH, GUEST, HOST])
@pytest.mark.parametrize("vpmu", ["trap", "sbi", "snapshot", "passthrough"])
def test_no_sample_is_lost(request_for, vpmu, sides):
    request = request_for()
    session, result = run(request, vpmu, host_switches=3, **sides)
    (event,) = session.perf.events
    assert result.samples == event.count // PERIOD >= (1 if sides is HOST else 5)
    assert result.lost == 0
    if sides is GUEST:
        hart = session.machine.hart
        assert event.count == sum(hart.counts[mode]["instructions"] for mode in (VS, VU))


@pytest.mark.parametrize("sides", [BOTH, GUEST])
def test_where_overflows_go_to_the_guest_the_host_loses_them(request_for, sides):
    told = []
    session, result = run(request_for(), "deleg", told.append, **sides)
    (event,) = session.perf.events
    assert result.samples == 0
    assert result.lost == event.count // PERIOD > 0
    assert told == [
        f"[ perf record: {result.lost} samples lost: counter overflow interrupts are delegated to "
        "the guest ]\n"
    ]


def test_a_frequency_is_lost_too(request_for):
    _, result = run(request_for("cycles", freq=20_000), "deleg", **GUEST)
    assert result.samples == 0 and result.lost > 5


def test_samples_that_never_end_are_throttled(request_for):
    _, result = run(request_for("cycles/period=100/"), **BOTH)
    assert result.samples >= 400


def test_where_the_guest_has_the_whole_pmu_the_host_samples_itself_alone(request_for):
    with pytest.raises(SessionError, match="--vpmu mediated the host can't count while the guest"):
        run(request_for(), "mediated", **BOTH)
    # What ends just before the events make way for the guest's is lost.
    session, result = run(request_for("cycles/period=5003/"), "mediated", **HOST)
    assert result.samples + result.lost == session.perf.events[0].count // 5003
    assert result.samples > 5 * result.lost


def test_passed_through_the_guest_samples_as_if_the_host_did_not(request_for):
    request = request_for("instructions/period=1009/u")

    def guests(host_samples):
        output = f"{request.output}.{host_samples}"
        session = GuestSession(
            replace(request, output=output), VmOptions("passthrough"), lambda text: None
        )
        machine = session.machine
        taken, counts = [], {}
        attr = EventAttr(INSTRUCTIONS, sample_period=5003)
        if host_samples:
            machine.on_hosted = lambda: machine.host.core.open(attr, None, None, taken.append)
        machine.at_end = lambda: counts.update(session.perf.counts())
        result = session.run()
        assert bool(taken) == host_samples
        return counts[0].count, [(one.ip, one.period) for one in samples(result)]

    count, found = guests(False)
    assert len(found) > 5
    assert guests(True) == (count, found)


# What stock perf makes of it.


@pytest.fixture
def recorded(request_for, tmp_path, monkeypatch):
    """A recording of both sides in the current directory, with call chains."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    events = f"{{instructions/period={PERIOD}/,cycles/period=9001/}}"
    request = replace(request_for(events), build_id_directory=None)
    return run(request, **BOTH)


@pytest.fixture
def rvperf(capfd):
    def ours(line):
        status = main(shlex.split(line))
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return ours


SYMBOLS = "--guestkallsyms=perf.data.kvm.kallsyms --guestmodules=/dev/null"


@pytest.mark.parametrize("sides", ["--host --guest", "--guest", "--host --no-guest"])
@pytest.mark.parametrize("options", ["", "-s dso,sym,comm,pid"])
def test_reports_rows_are_perfs(recorded, rvperf, sides, options):
    line = f"report --stdio -i perf.data.kvm {options}"
    theirs = perf("kvm", *sides.split(), *SYMBOLS.split(), *line.split())
    ours = rvperf(f"kvm {sides} {line}")
    assert theirs.returncode == ours.status == 0, theirs.stderr + ours.err
    assert without_tip(ours.out) == without_tip(theirs.stdout)
    if "--no-guest" not in sides:
        assert "[g] do_sys_openat2" in ours.out
    if sides != "--guest":
        assert "[k] kvm_arch_vcpu_ioctl_run" in ours.out


def test_script_and_evlist_are_perfs(recorded, rvperf):
    for line in (f"script -i perf.data.kvm {SYMBOLS}", "evlist -v -i perf.data.kvm"):
        theirs, ours = perf(*line.split()), rvperf(line.replace(" --guestmodules=/dev/null", ""))
        assert theirs.stdout == ours.out != "", theirs.stderr


def test_the_guests_symbols_are_found_without_the_file_beside(recorded, rvperf, tmp_path):
    beside = rvperf("kvm --guest report --stdio -i perf.data.kvm").out
    os.unlink(tmp_path / "perf.data.kvm.kallsyms")
    assert rvperf("kvm --guest report --stdio -i perf.data.kvm").out == beside


def test_call_chains_are_the_hosts_alone(request_for):
    _, result = run(request_for("cycles/period=4001/", callchain="fp"), **BOTH)
    chains = {one.cpumode: len(one.callchain) for one in samples(result)}
    assert chains[records.GUEST_USER] == chains[records.GUEST_KERNEL] == 0
    assert chains[records.KERNEL] > 3


# The guest's tasks, as the vCPU's thread has them.


class Written:
    """A recording that keeps what GuestMaps tells it."""

    def __init__(self):
        self.told = []

    def guest_comm(self, thread, name):
        self.told.append(name)

    def guest_map(self, thread, area):
        self.told.append(area.name)


def area(name, prot=5):
    return SimpleNamespace(name=name, prot=prot)


def test_the_thread_has_the_maps_of_the_task_that_runs():
    written = Written()
    maps = GuestMaps(written, None)
    shell = SimpleNamespace(name="sh", memory=SimpleNamespace(areas=[area("sh"), area("heap", 3)]))
    thread = SimpleNamespace(name="worker", memory=shell.memory)
    child = SimpleNamespace(name="ls", memory=SimpleNamespace(areas=[area("ls"), area("libc")]))
    maps.comm(shell, True)
    maps.mmap(shell, area("sh"), True)
    for after in (thread, shell, child, child, shell):
        maps.switch(None, True)
        maps.switch(after, False)
    assert written.told == ["sh", "sh", "worker", "sh", "ls", "ls", "libc", "sh", "sh"]


# What there isn't.


@pytest.mark.parametrize(
    "events, how, says",
    [
        ("page-faults", {}, "page-faults: the host samples hardware events alone"),
        ("cycles", {"callchain": "dwarf"}, "kvm record has no --call-graph but fp"),
        ("cycles", {"delay_ms": 5}, "kvm record has no -D"),
    ],
)
def test_what_the_hosts_perf_lacks_is_said(request_for, events, how, says):
    with pytest.raises(SessionError, match=says):
        record(request_for(events, **how), VmOptions(), guest=True)


def test_without_sscofpmf_there_is_nothing_to_sample_with(request_for):
    isa = frozenset({"H", "Svinval", "Smstateen", "Ssaia", "Smcntrpmf", "Smcsrind", "Smcdeleg"})
    with pytest.raises(SessionError):
        run(request_for(), isa=isa, **GUEST)
