"""docs/talk.md: the figures that it gives for a listing are those of a run."""

import json

import pytest

from rvperf.cli import main
from tests.test_samples import SAMPLES

RECORD = ("record", "-e", "instructions", "-c", "1000000", "--")
STAT = ("stat", "-e", "instructions", "--")
SHUTDOWN = 1  # the guest's last SBI call


def compared(capfd, designs: str, *words) -> list[dict]:
    assert main(["kvm", "compare", "-j", "--vpmu", designs, "--", *map(str, words)]) == 0
    return json.loads(capfd.readouterr().out)


def test_exits_and_calls_are_what_the_operations_add_up_to(capfd):
    sbi, snapshot, deleg, passthrough = compared(
        capfd, "sbi,snapshot,deleg,passthrough", *RECORD, SAMPLES / "ls"
    )
    k, n, x = 5, 4, passthrough["vm_exits"]
    assert [one["overflow_irqs"]["VS"] for one in (sbi, snapshot, deleg, passthrough)] == [k] * 4
    assert (sbi["vm_exits"], sbi["sbi_calls"]) == (6 * k + 5 * n + x, 8 * k + 4 * n)
    assert (snapshot["vm_exits"], snapshot["sbi_calls"]) == (3 * k + 4 * n + x, 8 * k + 4 * n)
    assert (deleg["vm_exits"], deleg["sbi_calls"]) == (2 * k + 4 * n + x, 0)
    for nothing in ("pmu_exits", "sbi_calls", "saves", "restores"):
        assert passthrough[nothing] == 0


@pytest.mark.parametrize("command, overflows, calls", [(RECORD, 1, 18), (STAT, 0, 8)])
def test_a_guest_makes_the_calls_that_linux_made(capfd, command, overflows, calls):
    """Linux 6.12 under KVM, with one overflow in an `ls /`."""
    (found,) = compared(capfd, "snapshot", *command, SAMPLES / "ls", "/dev/shm", 85)
    assert found["overflow_irqs"]["HS"] == overflows
    assert found["guest_sbi_calls"] - SHUTDOWN == calls
    assert sum(found["trapped_csrs"].values()) == 0
