"""What one event of instructions of a guest's costs, operation by operation, in each design.

The expectations are the sequences of Linux' drivers, of KVM's virtual PMU and of OpenSBI, written
out. E is an SBI call of the guest's, which exits; T a CSR access of its that traps, and exits; G
one that doesn't. I 13 is a counter overflow interrupt that exits. Behind the arrow is what the
host does in between: h its SBI calls, H its CSR accesses.
"""

from __future__ import annotations

from functools import cache

import pytest

from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from tests.stack.virtual import Stack, Trace, sampling

# What the host does with its own counters, where SBI programs them (riscv_pmu_sbi.c).
SBI_ADD = "h CFG_MATCH, h START"
SBI_DELETE = "h STOP, H read hpmcounter31, h STOP"
# KVM's overflow handler stops and starts the event again in the driver's own handler, which has
# stopped everything and starts what hasn't overflown (nothing), then what has (again).
SBI_OVERFLOW = (
    "h STOP, H read scountovf, H clear sip, H read hpmcounter31, h START, h START, h START"
)
# The same where they are delegated to it (riscv_pmu_dev.c).
CSR_START = (
    "H write siselect, H write sireg, H read sip, H write siselect, H read sireg2, "
    "H write siselect, H write sireg2, H read scountinhibit, H write scountinhibit"
)
CSR_ADD = f"H write siselect, H write sireg2, {CSR_START}"
CSR_DELETE = (
    "H read scountinhibit, H write scountinhibit, H read hpmcounter3, "
    "H write siselect, H write sireg2"
)
CSR_OVERFLOW = (
    "H read scountinhibit, H write scountinhibit, H read scountovf, H clear sip, "
    f"H read hpmcounter3, {CSR_START}, H read scountinhibit, H write scountinhibit, {CSR_START}"
)
# In `mediated`, what each exit costs with one counter: it is saved, and restored.
SAVE = "H read scountinhibit, H write scountinhibit, H write siselect, H read sireg, H read sireg2"
RESTORE = (
    "H write siselect, H write sireg, H write sireg2, H read scountinhibit, H write scountinhibit"
)
SWAP = f"{SAVE}, {RESTORE}"

STEPS = ("open", "enable", "read", "overflow", "out", "in", "exit")
EXPECTED = {
    # Guest on Ssccfg, of which each access to a control register or counter is emulated: the 11
    # accesses of an overflow exit, and the interrupt itself does.
    "trap": {
        "open": [],
        "enable": [
            "G write siselect",
            "T write sireg2",
            "G write siselect",
            "T write sireg",
            "G read sip",
            "G write siselect",
            "T read sireg2",
            "G write siselect",
            "T write sireg2",
            "T read scountinhibit",
            f"T write scountinhibit -> {CSR_ADD}",
        ],
        "read": ["T read hpmcounter3 -> H read hpmcounter3"],
        "overflow": [
            f"I 13 -> {CSR_OVERFLOW}",
            "T read scountinhibit",
            f"T write scountinhibit -> {CSR_DELETE}",
            "T read scountovf",
            "G clear sip",
            "T read hpmcounter3",
            "T read scountinhibit",
            "T write scountinhibit",
            "G write siselect",
            "T write sireg",
            "G read sip",
            "G write siselect",
            "T read sireg2",
            "G write siselect",
            "T write sireg2",
            "T read scountinhibit",
            f"T write scountinhibit -> {CSR_ADD}",
        ],
        "out": [
            "T read scountinhibit",
            f"T write scountinhibit -> {CSR_DELETE}",
            "T read hpmcounter3",
            "G write siselect",
            "T write sireg2",
        ],
    },
    "sbi": {
        "open": [],
        "enable": ["E CFG_MATCH", f"E START -> {SBI_ADD}"],
        "read": ["T read instret -> H read hpmcounter31"],
        "overflow": [
            f"I 13 -> {SBI_OVERFLOW}",
            f"E STOP -> {SBI_DELETE}",
            "T read scountovf",
            "G clear sip",
            "T read instret",
            "E START",  # of no counter, which is refused
            f"E START -> {SBI_ADD}",
        ],
        "out": [f"E STOP -> {SBI_DELETE}", "T read instret", "E STOP"],
    },
    "snapshot": {
        "open": [],
        "enable": ["E CFG_MATCH", f"E START -> {SBI_ADD}"],
        "read": ["T read instret -> H read hpmcounter31"],
        "overflow": [
            f"I 13 -> {SBI_OVERFLOW}",
            f"E STOP -> {SBI_DELETE}",
            "G clear sip",
            f"E START -> {SBI_ADD}",
        ],
        "out": [f"E STOP -> {SBI_DELETE}", "E STOP"],
    },
    # The host isn't told of an overflow, so that KVM has to look before it stops a counter.
    "deleg": {
        "open": [],
        "enable": ["E CFG_MATCH", f"E START -> {CSR_ADD}"],
        "read": ["T read instret -> H read hpmcounter3"],
        "overflow": [
            f"E STOP -> H read scountovf, {CSR_DELETE}",
            "G clear sip",
            f"E START -> {CSR_ADD}",
        ],
        "out": [f"E STOP -> H read scountovf, {CSR_DELETE}", "E STOP"],
    },
    # As `trap`, but the counter itself can be read, and each exit is a save and a restore.
    "mediated": {
        "open": [],
        "enable": [
            "G write siselect",
            f"T write sireg2 -> {SWAP}",
            "G write siselect",
            f"T write sireg -> {SWAP}",
            "G read sip",
            "G write siselect",
            f"T read sireg2 -> {SWAP}",
            "G write siselect",
            f"T write sireg2 -> {SWAP}",
            f"T read scountinhibit -> {SWAP}",
            f"T write scountinhibit -> {SWAP}",
        ],
        "read": ["G read hpmcounter3"],
        "overflow": [
            f"I 13 -> {SAVE}, H clear sip, {RESTORE}",
            f"T read scountinhibit -> {SWAP}",
            f"T write scountinhibit -> {SWAP}",
            f"T read scountovf -> {SWAP}",
            "G clear sip",
            "G read hpmcounter3",
            f"T read scountinhibit -> {SWAP}",
            f"T write scountinhibit -> {SWAP}",
            "G write siselect",
            f"T write sireg -> {SWAP}",
            "G read sip",
            "G write siselect",
            f"T read sireg2 -> {SWAP}",
            "G write siselect",
            f"T write sireg2 -> {SWAP}",
            f"T read scountinhibit -> {SWAP}",
            f"T write scountinhibit -> {SWAP}",
        ],
        "out": [
            f"T read scountinhibit -> {SWAP}",
            f"T write scountinhibit -> {SWAP}",
            "G read hpmcounter3",
            "G write siselect",
            f"T write sireg2 -> {SWAP}",
        ],
    },
    "passthrough": {
        "open": [],
        "enable": [
            "G write siselect",
            "G write sireg2",
            "G write siselect",
            "G write sireg",
            "G read sip",
            "G write siselect",
            "G read sireg2",
            "G write siselect",
            "G write sireg2",
            "G read scountinhibit",
            "G write scountinhibit",
        ],
        "read": ["G read hpmcounter3"],
        "overflow": [
            "G read scountinhibit",
            "G write scountinhibit",
            "G read scountovf",
            "G clear sip",
            "G read hpmcounter3",
            "G read scountinhibit",
            "G write scountinhibit",
            "G write siselect",
            "G write sireg",
            "G read sip",
            "G write siselect",
            "G read sireg2",
            "G write siselect",
            "G write sireg2",
            "G read scountinhibit",
            "G write scountinhibit",
        ],
        "out": [
            "G read scountinhibit",
            "G write scountinhibit",
            "G read hpmcounter3",
            "G write siselect",
            "G write sireg2",
        ],
    },
}
# (exits, SBI calls of the host) of `perf record` of a program with one overflow: it is opened,
# enabled by exec, overflows, and exits.
TOTALS = {
    "trap": (6 + 12 + 4, 0),
    "sbi": (11, 12),
    "snapshot": (7, 12),
    "deleg": (6, 0),
    "mediated": (6 + 11 + 3, 0),
    "passthrough": (0, 0),
}
PERIOD = 100_000


@cache
def traced(vpmu):
    """What each step does, its exits and the host's SBI calls; and the guest."""
    stack = Stack(vpmu, **({"counters": 1} if vpmu == "mediated" else {}))
    found = {}

    def run(guest):
        trace, core, events = Trace(stack, guest), guest.core, []
        steps = {
            "open": lambda: events.append(sampling(guest, PERIOD, enable_on_exec=True)),
            "enable": lambda: core.exec("task"),
            "read": lambda: core.read(events[0]),
            "overflow": lambda: guest.work(PERIOD),
            "out": lambda: core.switch_out("task"),
            "in": lambda: core.switch_in("task"),
            "exit": lambda: core.exit("task"),
        }
        for name in STEPS:
            exits, calls = len(trace.exits), sum(stack.host.calls_by_origin.values())
            lines = trace.of(steps[name])
            exits = len(trace.exits) - exits
            found[name] = lines, exits, sum(stack.host.calls_by_origin.values()) - calls

    return found, stack.run(run)


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_each_operation_is_done_as_the_real_software_does_it(vpmu):
    expected = EXPECTED[vpmu]
    expected = expected | {"in": expected["enable"], "exit": expected["out"]}
    found, guest = traced(vpmu)
    assert {name: found[name][0] for name in STEPS} == expected
    assert guest.samples == guest.overflows == 1


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_what_a_recording_with_one_overflow_costs_in_all(vpmu):
    found, _ = traced(vpmu)
    of = [found[name] for name in ("open", "enable", "overflow", "exit")]
    assert (sum(exits for _, exits, _ in of), sum(calls for _, _, calls in of)) == TOTALS[vpmu]


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_only_what_traps_exits(vpmu):
    """No exit is unseen: lines of E, T and I are the exits."""
    found, _ = traced(vpmu)
    for lines, exits, _ in found.values():
        assert exits == sum(line[0] in "ETI" for line in lines)


SWITCHES = {
    "trap": f"{CSR_DELETE}, {CSR_ADD}",
    "sbi": f"{SBI_DELETE}, {SBI_ADD}",
    "snapshot": f"{SBI_DELETE}, {SBI_ADD}",
    # What has overflown has to be asked for while there still is a counter, and if the interrupt
    # is pending, it goes with the vCPU.
    "deleg": f"H read scountovf, H read sip, {CSR_DELETE}, {CSR_ADD}",
    "mediated": SWAP,
    "passthrough": "",
}


@pytest.mark.parametrize("vpmu", DESIGNS)
def test_another_task_of_the_host_runs_in_between(vpmu):
    """The vCPU's thread is switched out and in, behind an exit of another kind."""
    stack = Stack(vpmu, **({"counters": 1} if vpmu == "mediated" else {}))
    found = []

    def run(guest):
        trace, event = Trace(stack, guest), sampling(guest, PERIOD)
        guest.core.enable(event)
        found.extend(trace.of(guest.switched_out))

    stack.run(run)
    behind = f" -> {SWITCHES[vpmu]}" if SWITCHES[vpmu] else ""
    assert found == [f"E BASE.GET_SPEC_VERSION{behind}"]


def test_an_overflow_of_a_delegated_counter_is_sixteen_accesses():
    found, _ = traced("passthrough")
    assert len(found["overflow"][0]) == 6 + 10
