"""`rvperf kvm`'s command lines, and `--vm` of stat and record, in front of a session that answers
at once; `kvm report` beside stock perf's."""

import json
import shlex
import subprocess
from types import SimpleNamespace

import pytest

from rvperf.cli import main
from rvperf.cli.virtual_options import DESIGNS
from rvperf.perfdata import records
from rvperf.perfdata.records import SampleId
from rvperf.results import (
    Count,
    DesignResult,
    Exit,
    KvmStatResult,
    Operation,
    StatResult,
    VmExitRow,
)
from rvperf.session import designs, virtual
from rvperf.session.record import RecordResult
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS as MADE
from rvperf.stack.hypervisor.vpmu.designs import QUIRKS
from tests.oracles.perf import absent, perf
from tests.render.profiles import KERNEL, SAMPLES, Program, Recording, attr_of
from tests.render.test_report import without_tip

EXITS = (VmExitRow(10, "pmu.counter_start", 3, 3000, 1000, 1000, 3_000_000),)
STEPS = (Operation(1000, "VU", "overflow", "work"), Operation(2000, "HS", "LCOFI", "interrupt"))


def design(name: str, code=0) -> DesignResult:
    return DesignResult(
        name, {"HS": 5}, 57, {}, 30, 20, {}, {}, {}, {}, 0, 0, 5, 0, 100, 0.5, True,
        operations=STEPS, exit=Exit(code=code),
    )  # fmt: skip


@pytest.fixture
def session(monkeypatch):
    """The functions of rvperf.session that run VMs; what they were asked."""
    asked = SimpleNamespace(calls=[], code=0)

    def stat(request, machine):
        asked.calls.append((request, machine))
        counts = tuple(Count(event.name, event.symbol, 1, True, 1, 1) for event in request.events)
        return StatResult(request.workload.argv, counts, 1, 1, 0, Exit(code=asked.code))

    def record(request, machine, told, **sides):
        asked.calls.append((request, machine, sides))
        return RecordResult(Exit(code=asked.code), 5, 1, request.output, 0, 0, 0, False, 0)

    def exits(workload, machine):
        asked.calls.append((workload, machine))
        return KvmStatResult(workload.argv, EXITS, 1, Exit(code=asked.code))

    def compare(request, machines, operations):
        asked.calls.append((request, machines, operations))
        return tuple(design(machine.vpmu, asked.code) for machine in machines)

    for function in (stat, record, exits):
        monkeypatch.setattr(virtual, function.__name__, function)
    monkeypatch.setattr(designs, "compare", compare)
    return asked


@pytest.fixture
def rvperf(capfd, session, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(line: str):
        status = main(shlex.split(line))
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return run


# --- options of virtual machines


def test_what_a_vm_is_by_default(rvperf, session):
    assert rvperf("stat --vm ./program its own --vm").status == 0
    ((request, machine),) = session.calls
    assert request.workload.argv == ("./program", "its", "own", "--vm")
    assert (machine.vpmu, machine.counters, machine.quirks) == ("snapshot", None, frozenset())
    assert (machine.switches, machine.host_switches, machine.isa) == (0, 0, None)


@pytest.mark.parametrize("command", ["stat --vm", "record --vm", "kvm stat", "kvm record"])
def test_what_a_vm_can_be(rvperf, session, command):
    line = f"{command} --vpmu sbi --counters 4 --quirk kvm-hpm31 --quirk kvm-no-scountovf "
    assert rvperf(f"{line} --guest-switches 3 --host-switches 4 -- ./program").status == 0
    machine = session.calls[0][1]
    assert (machine.vpmu, machine.counters) == ("sbi", 4)
    assert machine.quirks == {"kvm-hpm31", "kvm-no-scountovf"}
    assert (machine.switches, machine.host_switches) == (3, 4)


def test_an_isa_string_names_the_extensions_that_there_are(rvperf, session):
    rvperf("stat --vm --isa rv64gch_sscofpmf_smcsrind_zba ./program")
    assert session.calls[0][1].isa == {"H", "Sscofpmf", "Smcsrind"}


@pytest.mark.parametrize(
    "options, says",
    [
        ("--vm --vpmu snaphot", "there is no design `snaphot'; did you mean `snapshot'?"),
        ("--vm --vpmu x", f"there is no design `x'; there are {', '.join(DESIGNS)}"),
        ("--vm --quirk kvm-hpm32", "there is no quirk `kvm-hpm32'; did you mean `kvm-hpm31'?"),
        ("--vm --counters 0", "option `counters' expects a number from 1 to 29, not `0'"),
        ("--vm --counters many", "option `counters' expects a number from 1 to 29, not `many'"),
        ("--vm --guest-switches -1", "option `guest-switches' expects 0 or more, not `-1'"),
        ("--vm --isa rv32i", "ISA string 'rv32i': it has to begin with rv64"),
        ("--vm --isa rv64gch_sscofpm", "there is no extension 'sscofpm'; did you mean sscofpmf?"),
        ("--vm --isa rv64gc", "a virtual machine needs the extension h, not in `rv64gc'"),
        ("--vm --isa rv64gch_smcdeleg", "ISA string 'rv64gch_smcdeleg': Smcdeleg needs Smcsrind"),
        ("--vpmu sbi", "option `vpmu' needs --vm"),
        ("--quirk kvm-hpm31", "option `quirk' needs --vm"),
    ],
)
@pytest.mark.parametrize("command", ["stat", "record"])
def test_a_wrong_word_gets_one_line(rvperf, session, command, options, says):
    run = rvperf(f"{command} {options} ./program")
    assert (run.status, run.out, session.calls) == (129, "", [])
    assert run.err.startswith(" Error: ") and run.err.endswith(f"{says}\n")
    assert run.err.count("\n") == 1


def test_every_design_can_be_chosen():
    assert list(DESIGNS) == list(MADE)


@pytest.mark.parametrize("command", ["stat", "record", "kvm stat", "kvm compare"])
def test_lists_explain_designs_and_quirks(rvperf, session, command):
    run = rvperf(f"{command} --quirk list")
    assert run.status == 0
    words = " ".join(run.out.split())
    assert all(f"{name} {sentence}" in words for name, sentence in QUIRKS.items())
    words = " ".join(rvperf(f"{command} --vpmu list").out.split())
    assert all(f"{name} {sentence}" in words for name, sentence in DESIGNS.items())
    assert session.calls == []


# --- kvm


def test_kvm_alone_shows_its_usage(rvperf):
    run = rvperf("kvm")
    assert run.status == 129
    assert run.err.startswith(
        "\n Usage: rvperf kvm [<options>] "
        "{record|report|diff|buildid-list|stat|compare|run|explain}\n\n"
        "    -i, --input <file>    Input file name\n"
    )


@pytest.mark.parametrize(
    "line, says",
    [
        ("kvm recrod ls", "there is no kvm command `recrod'; did you mean `record'?"),
        ("kvm re ls", "there is no kvm command `re'"),  # perf wants three letters, too
        ("kvm stat --event=exits ls", "there is no report event `exits'"),
        ("kvm stat -k smaple ls", "there is no compare key `smaple'; did you mean `sample'?"),
        ("kvm stat --vcpu 1 ls", "there is no vcpu 1, only 0"),
        ("kvm stat record ls", "rvperf doesn't have perf's `kvm stat record' yet"),
        ("kvm top", "rvperf doesn't have perf's `kvm top' yet"),
        ("kvm compare -- report", "there is no command `report'; did you mean `record'?"),
        ("kvm compare --vpmu sbi,passthru -- stat ls", "did you mean `passthrough'?"),
        ("kvm compare -- stat --vm ls", "kvm compare makes the VMs"),
        ("kvm compare -- record -o a.data ls", "kvm compare keeps no output"),
    ],
)
def test_mistakes(rvperf, session, line, says):
    run = rvperf(line)
    assert (run.status, run.out, session.calls) == (129, "", [])
    assert run.err.count("\n") == 1 and says in run.err


# --- kvm stat


def test_kvm_stat_prints_exits_and_ends_as_the_program(rvperf, session):
    session.code = 3
    run = rvperf("kvm stat ./program --its option")
    assert run.status == 3 and run.out == ""
    assert run.err.startswith("\n\nAnalyze events for all VMs, all VCPUs:\n\n")
    assert "EXC_SUPERVISOR_SYSCALL          3" in run.err
    workload, _ = session.calls[0]
    assert workload.argv == ("./program", "--its", "option")


def test_kvm_stat_by_sbi_call_as_csv_into_a_file(rvperf, tmp_path):
    assert rvperf("kvm stat --event sbi -x, -o exits.csv ./program").err == ""
    line = "pmu.counter_start,3,3000,1000,1000,1000.0\n"
    assert (tmp_path / "exits.csv").read_text() == line


def test_kvm_stat_json(rvperf):
    assert json.loads(rvperf("kvm stat -j ./program").err)["samples"] == 3


def test_kvm_stat_tells_where_it_cannot_write(rvperf):
    run = rvperf("kvm stat -o no/such/directory ./program")
    assert run.status == 255
    why = "failed to create output file no/such/directory: No such file or directory\n"
    assert run.err == why


# --- kvm record


@pytest.mark.parametrize(
    "line, sides, path",
    [
        ("kvm record", (False, True), "perf.data.guest"),
        ("kvm --guest record", (False, True), "perf.data.guest"),
        ("kvm --host record", (True, True), "perf.data.kvm"),
        ("kvm --host --guest record", (True, True), "perf.data.kvm"),
        ("kvm --host --no-guest record", (True, False), "perf.data.host"),
        ("kvm --no-guest record", (False, True), "perf.data.guest"),
        ("kvm record --host --no-guest", (True, False), "perf.data.host"),
        ("kvm --host rec -o mine", (True, True), "mine"),
        ("kvm -o mine record", (False, True), "mine"),
        ("kvm -o mine record -o other", (False, True), "other"),
    ],
)
def test_kvm_record_has_perfs_files(rvperf, session, line, sides, path):
    run = rvperf(f"{line} -e cycles -- ./program")
    ((request, _, given),) = session.calls
    assert (given["host"], given["guest"]) == sides
    assert request.output == path
    assert f"wrote 0.000 MB {path} (5 samples)" in run.err


def test_record_in_a_vm_is_the_guests_own(rvperf, session):
    rvperf("record --vm -o mine ./program")
    ((request, _, given),) = session.calls
    assert (request.output, given) == ("mine", {})


# --- kvm compare


def test_compare_runs_the_inner_line_in_every_design(rvperf, session):
    run = rvperf("kvm compare --counters 8 -- record -e instructions -c 1000000 -- ls -l /")
    ((request, machines, operations),) = session.calls
    assert [machine.vpmu for machine in machines] == list(DESIGNS)
    assert {machine.counters for machine in machines} == {8}
    assert (request.workload.argv, request.how.period) == (("ls", "-l", "/"), 1_000_000)
    assert (request.output, request.build_ids, operations) == ("/dev/null", "", False)
    assert run.status == 0
    assert run.out.split()[:6] == list(DESIGNS)


def test_compare_of_stat_in_chosen_designs(rvperf, session):
    session.code = 2
    run = rvperf("kvm compare --vpmu passthrough,sbi,sbi -x, stat -e cycles:u ls")
    ((request, machines, _),) = session.calls
    assert [machine.vpmu for machine in machines] == ["passthrough", "sbi"]
    assert [event.name for event in request.events] == ["cycles:u"]
    assert "sbi,vm_exits,,57\n" in run.out
    assert run.status == 2


def test_compare_shows_one_overflow_if_asked(rvperf, session, tmp_path):
    run = rvperf("kvm compare -v --svg steps.svg --vpmu deleg -- record ls")
    assert session.calls[0][2] is True
    assert rvperf("kvm compare -vv --vpmu deleg -- record ls").out == run.out
    assert "      1.000   +-------->!    |     LCOFI\n" in run.out
    assert (tmp_path / "steps.svg").read_text().startswith("<svg ")


def test_compare_as_json(rvperf):
    objects = json.loads(rvperf("kvm compare --vpmu sbi,deleg -j -- record ls").out)
    assert [(one["vpmu"], one["vm_exits"]) for one in objects] == [("sbi", 57), ("deleg", 57)]


# --- kvm report, beside perf's


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A directory with samples of a host and a guest, and symbols of both kernels."""
    path = tmp_path_factory.mktemp("mixed")
    made = Recording(path / "perf.data.kvm", [attr_of(exclude_guest=0)], seed=5)
    host, guest = Program(SAMPLES / "sort"), Program(SAMPLES / "sieve")
    kernel = "[guest.kernel.kallsyms]_text"
    made.write(records.Mmap(0, 0, KERNEL, 1 << 24, KERNEL, kernel, misc=records.GUEST_KERNEL,
                            sample_id=SampleId()))  # fmt: skip
    made.run(20, "sort", host)

    def ids():
        return SampleId(30, 30, made.tick(), 10)

    misc = records.GUEST_USER | records.MISC_COMM_EXEC
    made.write(records.Comm(30, 30, "sieve", misc=misc, sample_id=ids()))
    for start, size, offset, prot in guest.maps:
        if prot & 4:
            made.write(records.Mmap2(30, 30, start, size, offset, maj=8, min=1, ino=5, prot=prot,
                                     flags=2, filename=guest.path, misc=records.GUEST_USER,
                                     sample_id=ids()))  # fmt: skip
    made.programs[30] = guest
    for n in range(100):
        made.sample(20)
        made.sample(30, misc=records.GUEST_USER)
        if n % 3 == 0:
            made.sample(30, misc=records.GUEST_KERNEL, ip=KERNEL + 0x1000 * (n % 5) + 8)
        if n % 4 == 0:
            made.sample(20, misc=records.KERNEL, ip=KERNEL + 0x1000 * (n % 3) + 4)
    made.file.close()
    (path / "host").write_text(symbols("_text", "schedule", "do_idle"))
    (path / "guest").write_text(symbols("_text", "do_guest", "guest_two", "do_page_fault"))
    (path / "modules").write_text("")
    return path


def symbols(*names: str) -> str:
    lines = [f"{KERNEL + 0x1000 * n:016x} T {name}\n" for n, name in enumerate(names)]
    return "".join(lines) + f"{KERNEL + 0x5000:016x} T _etext\n"


@pytest.mark.parametrize("sides", ["", "--host", "--host --no-guest"])
def test_build_ids_are_perfs(mixed, monkeypatch, capfd, sides):
    monkeypatch.chdir(mixed)
    words = shlex.split(f"kvm {sides} buildid-list -i perf.data.kvm")
    theirs = perf(*words)
    assert main(words) == theirs.returncode
    assert capfd.readouterr().out == theirs.stdout


VMLINUX = """
.globl _text
.type _text, @function
_text: .space 0x1000
.type do_guest, @function
do_guest: .space 0x1000
.size do_guest, . - do_guest
.type start_kernel, @function
start_kernel: .space 0x3000
.size start_kernel, . - start_kernel
"""


def test_a_guests_vmlinux_names_its_symbols(mixed, monkeypatch, capfd):
    monkeypatch.chdir(mixed)
    build(mixed / "vmlinux", VMLINUX)
    words = shlex.split("kvm --guestvmlinux vmlinux -i perf.data.kvm report --stdio")
    theirs = perf(*words)
    assert main(words) == theirs.returncode
    out = capfd.readouterr().out
    assert without_tip(out) == without_tip(theirs.stdout)
    assert "[g] do_guest" in out


def build(path, assembly: str) -> None:
    """A kernel's ELF file, at the kernel's address."""
    words = [
        "riscv64-linux-gnu-gcc", "-nostdlib", "-static", f"-Wl,-Ttext={KERNEL:#x},-e_text",
        "-x", "assembler", "-", "-o", path,
    ]  # fmt: skip
    try:
        subprocess.run(words, input=assembly.encode(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        absent(f"no cross compiler: {error}")


GUEST_SYMBOLS = "--guestkallsyms=guest --guestmodules=modules"


@pytest.mark.parametrize(
    "line",
    [
        "kvm -i perf.data.kvm report",
        "kvm --host report",
        "kvm --host --no-guest report -i perf.data.kvm",
        f"kvm {GUEST_SYMBOLS} report -i perf.data.kvm",
        f"kvm --host --guest {GUEST_SYMBOLS} report",
        f"kvm --host {GUEST_SYMBOLS} report -s sym,dso --show-cpu-utilization",
        "kvm --host report -s comm,pid -n",
        "kvm -i perf.data.kvm report -s dso --percentage relative",
        "kvm -i perf.data.kvm report -U",
        "report -i perf.data.kvm",
        "report -i perf.data.kvm -s dso --show-cpu-utilization",
        "kvm report",  # there is no perf.data.guest
    ],
)
def test_reports_are_perfs(mixed, monkeypatch, capfd, line):
    monkeypatch.chdir(mixed)
    words = [*shlex.split(line), "--stdio", "--kallsyms", "host"]
    theirs = perf(*words)
    status = main(words)
    out, err = capfd.readouterr()
    assert without_tip(out) == without_tip(theirs.stdout)
    assert (status, err) == (theirs.returncode, theirs.stderr)
