"""`rvperf list` in a virtual machine and on its host."""

import json
import os
from pathlib import Path

import pytest

from rvperf.cli import main
from rvperf.events import listed
from rvperf.session.listing import ListRequest, list_events
from rvperf.session.virtual import VmOptions
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from rvperf.stack.hypervisor.vpmu.kvm import KvmPmu
from rvperf.stack.sbi import Error, Refused

SORT = Path(__file__).parent.parent / "samples" / "sort"
BRANCH_MISSES = 6
HW = ["branch-instructions", "branch-misses", "cpu-cycles", "instructions"]
CACHE = ["L1-dcache-loads", "L1-dcache-stores"]


def names(options: VmOptions, *patterns) -> list[str]:
    return [row.symbol for row in list_events(ListRequest(tuple(listed(patterns))), options)]


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run a command line: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        return main([*words]), *capfd.readouterr()

    return run


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_a_guest_with_a_pmu_has_what_a_bare_host_has(vpmu):
    assert names(VmOptions(vpmu=vpmu, counters=1)) == [row.symbol for row in listed(())]


def test_without_a_pmu_there_is_what_the_kernel_counts():
    kinds = {row.kind for row in listed(()) if row.symbol in names(VmOptions(vpmu="none"))}
    assert kinds == {"sw", "tool", "tracepoint"}


@pytest.mark.parametrize("vpmu", ["sbi", "snapshot"])
def test_what_the_hypervisor_refuses_is_not_listed_and_not_supported(vpmu, command, monkeypatch):
    configure = KvmPmu.configure

    def refusing(self, vcpu, base, mask, flags, event_idx, *more):
        if event_idx == BRANCH_MISSES:
            raise Refused(Error.NOT_SUPPORTED)
        return configure(self, vcpu, base, mask, flags, event_idx, *more)

    monkeypatch.setattr(KvmPmu, "configure", refusing)
    assert command("list", "--vm", "--vpmu", vpmu, "--raw-dump", "hw") == (
        0, "branch-instructions cpu-cycles instructions ", ""
    )  # fmt: skip
    _, _, err = command(
        "stat", "--vm", "--vpmu", vpmu, "-x,", "-e", "branch-misses,instructions", str(SORT)
    )
    first, second = err.splitlines()
    assert first.startswith("<not supported>,,branch-misses")
    assert int(second.split(",")[0]) > 1_000_000


def test_both_sides_in_the_order_of_the_command_line(command):
    status, out, err = command(
        "kvm", "run", "--json", "--guest", "list --raw-dump hw",
        "--host", "list --raw-dump cache", "--host", "list --raw-dump nosuch",
    )  # fmt: skip
    lists, report = out.split("{\n", 1)
    assert (status, lists.split(), err) == (0, [*HW, *CACHE], "")
    sessions = json.loads("{" + report)["sessions"]
    assert [(one["name"], one["command"], one["listed"]) for one in sessions] == [
        ("vm0", ["hw"], True), ("host", ["cache"], True), ("host", ["nosuch"], True)
    ]  # fmt: skip


def test_while_a_guest_has_the_whole_pmu_its_host_has_none(command):
    """perf list opens events that count on both sides, which a host refuses then."""
    _, out, _ = command(
        "kvm", "run", "--vpmu", "mediated", "--guest", "list --raw-dump hw",
        "--host", "list --raw-dump hw",
    )  # fmt: skip
    assert out.split("\n")[0].split() == HW


def test_one_of_two_guests_has_no_pmu(command):
    _, out, _ = command(
        "kvm", "run", "--without-pmu", "vm0", "--guest", "list --raw-dump hw user_time",
        "--guest", "list --raw-dump hw",
    )  # fmt: skip
    assert out.split("\n")[0].split() == ["user_time", *HW]


def test_a_guest_that_lists_beside_others_that_count_and_are_sampled(command):
    status, out, err = command(
        "kvm", "run", "--vcpus", "2", "--guest", "list --raw-dump hw",
        "--guest", f"stat -x, -e instructions:u -- {SORT}",
        "--host", "record -e cycles:GH -o host.data",
    )  # fmt: skip
    assert status == 0
    assert out.startswith("sorted\n" + " ".join(HW))
    assert os.path.getsize("host.data") > 1000
    assert err.startswith("2127885,,instructions:u,")


@pytest.mark.parametrize(
    "words, line",
    [
        (["--vpmu", "sbi"], " Error: option `vpmu' needs --vm\n"),
        (["--vm", "--counters", "30"],
         " Error: option `counters' expects a number from 1 to 29, not `30'\n"),
        (["--vm", "--isa", "rv64gc"],
         " Error: a virtual machine needs the extension h, not in `rv64gc'\n"),
        (["--vm", "--vpmu", "passthrough", "--isa", "rv64gch_smcsrind_smcdeleg_smcntrpmf_sscofpmf_"
          "smstateen_ssaia_svinval"],
         "--vpmu passthrough needs Xrvpt, which the hart's ISA string doesn't have\n"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(words, line, command):
    status, out, err = command("list", *words)
    assert status in (129, 255) and (out, err) == ("", line)
