"""Designs of PMU virtualisation side by side: one measurement in a VM under each."""

from __future__ import annotations

import os
from collections import Counter

from isa.causes import name_of_cause
from isa.modes import VS, VU, M, S
from isa.record import replace
from isa.routing import INTERRUPT
from rvperf.machine.pmu import EVENTS
from rvperf.results import DesignResult, Exit, Operation
from rvperf.session import SessionError, StatRequest
from rvperf.session.record import RecordRequest
from rvperf.session.virtual import (
    GuestSession,
    VirtualMachine,
    VmOptions,
    counted,
)
from rvperf.stack.events_core import EventAttr
from rvperf.stack.hypervisor.pmu_exits import is_of_pmu
from rvperf.stack.level import ACCESSES
from rvperf.stack.sbi import name_of

LANES = {VU: "VU", VS: "VS", S: "HS", M: "M"}
OVERFLOW = INTERRUPT | 13
INSTRUCTIONS = next(number for number, source in EVENTS.items() if source == "instructions")
HOST_PERIOD = 100_003  # of what the host samples, to see whether it can: a prime
SEEN = 0.9  # the share of what happened that a host has to count, if it can profile


def compare(
    request: RecordRequest | StatRequest, options: tuple[VmOptions, ...], operations: bool = False
) -> tuple[DesignResult, ...]:
    """Measure once under each design; `operations` keeps one overflow's, step by step."""
    without, _, _ = _run(_nothing_of(request), replace(options[0], vpmu="none"), False)
    return tuple(_measure(request, each, operations, without) for each in options)


def _measure(request, options: VmOptions, operations: bool, without) -> DesignResult:
    machine, samples, trace = _run(request, options, operations)
    profiled = _host_profiles(request, options)
    host, kernel, vpmu = machine.host, machine.kernel, machine.vpmu
    exits = machine.vcpu.exits
    calls = Counter()
    for (what, *about), count in host.tally.items():
        if what == "call":
            calls[name_of(*about[1:])] += count
    took, plain = (one.hart.cycles - one.began for one in (machine, without))
    overflows = {
        "M": machine.firmware.tally["interrupt", M, OVERFLOW],
        "HS": host.tally["interrupt", S, OVERFLOW],
        "VS": kernel.tally["interrupt", VS, OVERFLOW],
    }
    taken, expected = samples
    return DesignResult(
        vpmu=options.vpmu,
        overflow_irqs=overflows,
        vm_exits=len(exits),
        vm_exits_by_cause=dict(Counter(name_of_cause(one.cause) for one in exits)),
        pmu_exits=sum(is_of_pmu(one.cause, one.key) for one in exits),
        sbi_calls=calls.total(),
        sbi_calls_by_function=dict(calls),
        sbi_calls_by_origin=dict(host.calls_by_origin),
        csr_accesses={
            LANES[level.mode]: level.tally.accesses(level.mode)
            for level in (kernel, host, machine.firmware)
        },
        trapped_csrs=_trapped(kernel),
        saves=vpmu.saves,
        restores=vpmu.restores,
        samples=taken,
        lost=max(expected - taken, 0),
        cycles=took - plain,
        overhead_percent=100 * (took - plain) / plain,
        host_can_profile=profiled,
        guest_sbi_calls=sum(n for key, n in kernel.tally.items() if key[0] == "call"),
        operations=trace,
        exit=_ended(kernel),
    )


def _ended(kernel) -> Exit:
    found = kernel.exit
    return Exit(signal=found.signal) if found.signal else Exit(code=found.code)


def _trapped(kernel) -> dict[str, int]:
    found = {key[2]: n for key, n in kernel.tally.items() if key[0] == "trapped"}
    return dict(sorted(found.items()))


def _run(request, options: VmOptions, operations: bool, prepared=lambda machine: None):
    """(the machine after the run, (samples taken, samples due), operations of one overflow)."""
    trace = Trace() if operations else None

    def prepare(machine: VirtualMachine) -> None:
        if trace:
            trace.follow(machine)
        prepared(machine)

    if isinstance(request, StatRequest):
        machine, _ = counted(request, options, prepare)
        return machine, (0, 0), trace.overflow() if trace else ()
    session = GuestSession(replace(request, output=os.devnull, build_ids=""), options, _untold)
    machine, perf = session.machine, session.perf
    counts = {}
    machine.at_end = lambda: counts.update(perf.counts())
    prepare(machine)
    result = session.run()
    due = sum(
        (counts[one.number].count + max(perf.missed.get(one.number, 0), 0)) // one.spec.period
        for one in perf.open
        if one.number in counts and one.spec.period and not one.spec.freq
    )
    others = sum(one.count // one.spec.period for one in perf.software_sampled())
    return machine, (result.samples, due + others), trace.overflow() if trace else ()


def _untold(text: str) -> None:
    """What perf would say meanwhile: nobody wants to know."""


def _nothing_of(request) -> StatRequest:
    """The same program with a perf that counts nothing."""
    return StatRequest(workload=request.workload, events=())


def _host_profiles(request, options: VmOptions) -> bool:
    """Whether the host, sampling the same hart meanwhile, sees it all and loses no sample."""
    found = {}

    def prepare(machine: VirtualMachine) -> None:
        def start() -> None:
            core, hart = machine.host.core, machine.hart
            sampled = []
            found.update(
                event=core.open(
                    EventAttr(INSTRUCTIONS, sample_period=HOST_PERIOD), None,
                    on_overflow=sampled.append,
                ),
                samples=sampled,
                before=_instructions(hart),
                machine=machine,
            )  # fmt: skip

        def end() -> None:
            found["count"] = machine.host.core.read(found["event"]).count
            found["after"] = _instructions(machine.hart)

        machine.on_hosted, machine.on_left = start, end

    options = replace(options, host_events=frozenset({INSTRUCTIONS}))
    try:
        _run(request, options, False, prepare)
    except SessionError:
        return False
    seen = found["count"] >= SEEN * (found["after"] - found["before"])
    return seen and len(found["samples"]) >= found["count"] // HOST_PERIOD


def _instructions(hart) -> int:
    """What the hart has retired outside of M-mode, where nobody counts."""
    hart.collect()
    return sum(counts["instructions"] for mode, counts in hart.counts.items() if mode != M)


class Trace:
    """What the levels of a machine do, from its first overflow interrupt until the program goes
    on."""

    def __init__(self):
        self.steps: list[Operation] = []
        self._began = self._ended = False

    def follow(self, machine: VirtualMachine) -> None:
        """Listen to a machine's levels."""
        hart = machine.hart
        for level in (machine.kernel, machine.host, machine.firmware):
            lane = LANES[level.mode]
            level.on_operation = lambda operation, lane=lane: self._note(hart, lane, operation)

    def _note(self, hart, lane: str, operation: tuple) -> None:
        if self._ended:
            return
        what, mode, *about = operation
        if not self._began:
            if (what, about) not in (("exit", [OVERFLOW]), ("interrupt", [OVERFLOW])):
                return
            self._began = True
            self.steps.append(Operation(hart.cycles, LANES[mode] if what == "exit" else "VU",
                                        "a counter overflows", "work"))  # fmt: skip
        text, kind = described(what, mode, about)
        if what == "return":
            lane = LANES[mode]
        if what != "trapped":
            self.steps.append(Operation(hart.cycles, lane, text, kind))
        else:
            last = self.steps[-1]
            self.steps[-1] = replace(last, text=f"{last.text} (traps)", kind="trap")
        self._ended = what == "return" or (what == "enter" and mode == VU and self._served())

    def _served(self) -> bool:
        """Whether the guest's kernel has had its interrupt."""
        return any(step.lane == "VS" for step in self.steps)

    def overflow(self) -> tuple[Operation, ...]:
        """The steps; none if nothing has overflown."""
        return tuple(self.steps)


def described(what: str, mode: int, about: list) -> tuple[str, str]:
    """(what an operation of `Tally`'s is called, its kind)."""
    mnemonics = {"read": "csrr", "write": "csrw", "swap": "csrrw", "set": "csrs", "clear": "csrc"}
    if what in ACCESSES:
        return f"{mnemonics[what]} {about[0]}", "csr"
    if what == "call":
        return f"ecall {name_of(*about)}", "sbi"
    if what == "interrupt":
        return f"interrupt: {name_of_cause(about[0])}", "interrupt"
    if what == "exit":
        return f"VM exit: {name_of_cause(about[0])}", "exit"
    if what == "enter":
        return f"enter {LANES[mode]}", "return"
    if what == "return":
        return "the program goes on", "return"
    return what, "trap"
