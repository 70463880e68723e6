"""`kvm run` with several harts: who runs where."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from rvperf.cli import main
from tests.stack import elves
from tests.subject import command

SAMPLES = Path(__file__).parent.parent / "samples"
LONG, SHORT = (f"stat -x, -e instructions:u -- {SAMPLES / name}" for name in ("sieve", "hello"))


@pytest.fixture
def kvm_run(tmp_path, monkeypatch, capfd):
    """Run it: the report as JSON, or what was said instead."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        main(["kvm", "run", "--json", *words])
        out, err = capfd.readouterr()
        return json.loads(out[out.index("{\n") :]) if "{\n" in out else err

    return run


def harts(report) -> list:
    return [one["hart"] for one in report["guests"]]


def counts(report) -> list:
    return [one["value"] for session in report["sessions"] for one in session["counts"]]


def test_who_waits_goes_to_a_hart_that_is_idle(kvm_run):
    """vm0 and vm2 share hart 0 until vm1 has ended."""
    guests = ["--guest", LONG, "--guest", SHORT, "--guest", LONG, "--slice", "500us"]
    alone = counts(kvm_run("--guest", LONG))
    report = kvm_run(*guests, "--harts", "2")
    assert report["migrations"] == 1 and harts(report)[0] != harts(report)[2]
    assert [counts(report)[0], counts(report)[2]] == 2 * alone
    shared = kvm_run(*guests)
    assert report["end"] - report["start"] < 0.7 * (shared["end"] - shared["start"])


def test_who_is_pinned_stays(kvm_run):
    guests = ["--guest", LONG, "--guest", SHORT, "--guest", LONG, "--slice", "500us"]
    report = kvm_run(*guests, "--harts", "2", "--pin", "vm0=1", "--pin", "vm1=1", "--pin", "vm2=1")
    assert report["migrations"] == 0 and harts(report) == [1, 1, 1]
    report = kvm_run(*guests, "--harts", "2", "--pin", "vm0=0")
    assert report["migrations"] == 1 and harts(report) == [0, 1, 1]


def test_two_vcpus_of_a_vm_can_be_pinned_apart(kvm_run):
    report = kvm_run("--guest", LONG, "--vcpus", "2", "--harts", "3", "--pin", "vm0=2",
                     "--pin", "vm0/1=0")  # fmt: skip
    assert harts(report) == [2, 0]


@pytest.mark.parametrize(
    "pin, says",
    [
        ("vm0", "option `pin' expects a VM or a vCPU and a hart: vm1=0, vm0/1=2, not `vm0'"),
        ("vm0=x", "option `pin' expects a VM"),
        ("vm3=0", "no vm 3: there is only 0"),
        ("vm0=1", "no hart 1: there is only 0"),
        ("vm0/1=0", "no vcpu 1: there is only 0"),
    ],
)
def test_mistakes_are_told_in_a_line(kvm_run, pin, says):
    said = kvm_run("--guest", SHORT, "--pin", pin)
    assert says in said and said.count("\n") == 1


SAY = "la a1, text\n li a0, 1\n li a2, 3\n li a7, 64\n ecall\n"


def test_an_interrupt_from_the_terminal_ends_all_guests(tmp_path):
    """Also those that wait for the hart meanwhile, and never leave user mode by themselves."""
    path = elves.build(tmp_path / "it", f"{SAY}forever: j forever\ntext: .word 0x0a6968\n")
    guests = ["--guest", f"stat -- {path}"] * 3
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command(), "kvm", "run", *guests], stdout=pipe, stderr=pipe, start_new_session=True
    ) as running:
        guard = threading.Timer(60, running.kill)
        guard.start()
        assert running.stdout.read(9) == 3 * b"hi\n"
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate()
        guard.cancel()
    assert err.count(f"Performance counter stats for '{path}'".encode()) == 3
    assert b" Sessions" in out and running.returncode == 130
