"""Runs a program in a virtual machine and samples from the host: `perf kvm record`."""

from __future__ import annotations

import os
from errno import EOPNOTSUPP

from isa.record import replace
from rvperf.perfdata import records
from rvperf.session import SessionError
from rvperf.session.record import RecordRequest, RecordResult, Session, samplings
from rvperf.session.recording import (
    GUEST_KERNEL_DSO,
    GUEST_KERNEL_MAP,
    KernelImage,
    Recording,
)
from rvperf.session.virtual import VirtualMachine, VmOptions, selectors_of
from rvperf.stack.hypervisor import kallsyms as hosts_kallsyms
from rvperf.stack.hypervisor.host_perf import HostPerf, HostTasks, HostThread, Wanted
from rvperf.stack.kernel import kallsyms
from rvperf.stack.kernel.driven_perf import DrivenPerf, Nobody
from rvperf.stack.kernel.samples import Details

REFUSED = 255
WHY_LOST = "their periods ended where the host lets no interrupt in"
GUEST_SYMBOLS = ".kallsyms"
"""What the file with the guest kernel's symbols is called beside the recording."""


class GuestMaps(Nobody):
    """What a guest's kernel does with its tasks, told as what the vCPU's thread has in the guest.

    The host samples a thread and can't tell the guest's tasks apart: the thread has the name and
    the maps of whichever runs. (A real host hears of that only from a perf in the guest, which
    `perf inject --guest-data` merges in.)
    """

    def __init__(self, recording: HostRecording, thread: HostThread):
        self.recording, self.thread = recording, thread
        self.name, self.memory = "", None

    def comm(self, task, executed: bool) -> None:
        """A task that runs has a new name, perhaps by an exec."""
        self.name, self.memory = task.name, task.memory
        self.recording.guest_comm(self.thread, task.name)

    def mmap(self, task, area, executable: bool) -> None:
        """It has a new map."""
        self.recording.guest_map(self.thread, area)

    def switch(self, task, out: bool) -> None:
        """Another task runs."""
        if out:
            return
        if task.name != self.name or task.memory is not self.memory:
            same, self.memory = task.memory is self.memory, task.memory
            self.name = task.name
            self.again(not same)

    def again(self, maps: bool = True) -> None:
        """Tell of what there is."""
        if self.memory is None:
            return
        self.recording.guest_comm(self.thread, self.name)
        for area in self.memory.areas if maps else ():
            if area.prot & 4:
                self.recording.guest_map(self.thread, area)


class HostRecording(Recording):
    """The sink of the host's perf: of several harts, whose records aren't in the order of time.
    With `guest` it has the guest kernel's symbols, too."""

    def __init__(self, specs, open_file, rotate_at, tasks: HostTasks, guest: bool):
        super().__init__(specs, open_file, hosts_kallsyms.symbols(), rotate_at)
        self.tasks = tasks
        self.cpus = tasks.cpus or tuple(range(len(tasks.board.hosts)))
        self.guests: list[GuestMaps] = []
        self._newest = 0
        """No record of before the last round is later."""
        if guest:
            self.program_mode = records.GUEST_USER
            self.kernels += (
                KernelImage(
                    kallsyms.symbols(driven=True),
                    records.GUEST_KERNEL,
                    GUEST_KERNEL_DSO,
                    GUEST_KERNEL_MAP,
                    0,
                ),
            )

    @property
    def now(self) -> int:
        """As HostTasks has it."""
        return self.tasks.now

    @property
    def cpu(self) -> int:
        """The hart."""
        return self.tasks.cpu

    def opening(self, task: HostThread) -> int:
        """As HostTasks has it."""
        return self.tasks.opening(task)

    def settled(self) -> bool:
        """A hart that is behind may still tell what is older."""
        return self.tasks.board.horizon >= self._newest

    def _round(self) -> None:
        super()._round()
        self._newest = self.tasks.board.latest

    def guest_comm(self, thread: HostThread, name: str) -> None:
        """What a vCPU's thread executes in its guest."""
        comm = records.Comm(thread.process.pid, thread.tid, name, misc=records.GUEST_USER)
        self._write(self._side(comm, thread))

    def guest_map(self, thread: HostThread, area) -> None:
        """A map that it has there."""
        record = self._map_record(thread, area)
        record.misc += records.GUEST_USER - records.USER
        self._write(self._side(record, thread))

    def _resynthesize(self) -> None:
        super()._resynthesize()
        for one in self.guests:
            one.again()


class HostSession(Session):
    """One recording of `host`'s code, `guest`'s, or both."""

    def __init__(self, request: RecordRequest, options: VmOptions, told, host: bool, guest: bool):
        self.options, self.guest = options, guest
        request = replace(request, how=replace(request.how, host=host, guest=guest))
        check(request)
        super().__init__(request, told)

    def make_machine(self, live: frozenset[str]) -> VirtualMachine:
        selectors = selectors_of(self.request.events)
        return VirtualMachine(self.request.workload, self.options, live, self.prepare, selectors)

    @property
    def cpus(self) -> int:
        """As Session has it."""
        return len(self.machine.board.harts)

    def make_recording(self, rotate_at: tuple[int, int]) -> HostRecording:
        cpus = None
        if self.how.system_wide:
            cpus = self.request.cpus or tuple(range(self.cpus))
        self.tasks = HostTasks(self.machine.board, self.vcpus(), self.request.vm, cpus)
        self.specs = opened_for(self.specs, len(self.tasks.openings))
        return HostRecording(self.specs, self.open, rotate_at, self.tasks, self.guest)

    def make_perf(self, asked: Details) -> HostPerf:
        machine, recording = self.machine, self.recording
        sampled = samplings(self.request.events, self.request.how)
        wanted = tuple(
            Wanted(one, bool(spec.attr.exclude_host), bool(spec.attr.exclude_guest))
            for one, spec in zip(sampled, self.specs, strict=False)
        )
        for vcpu in self.tasks.threads:
            for one in wanted:
                if not one.exclude_guest and not vcpu.vpmu.host_counts_guests:
                    what = f"with --vpmu {vcpu.vpmu.name} the host can't count while the guest "
                    refuse(one.sampling.event, f"{what}runs; try :H, or --host --no-guest")
        self.follow_guests()
        chains = bool(asked.callchain and asked.kernel_chain)
        perf = HostPerf(wanted, self.tasks, recording, recording.symbols, chains)
        machine.on_hosted, machine.on_left = self.open_events, perf.end
        return perf

    def vcpus(self) -> list:
        """All that there are."""
        return [self.machine.vcpu]

    def follow_guests(self) -> None:
        """Hear from the guest's kernel what its programs are."""
        machine, maps = self.machine, None
        if self.guest:
            maps = GuestMaps(self.recording, self.tasks.threads[machine.vcpu])
            self.recording.guests.append(maps)
        driver = machine.driver()
        self.kernel.perf = DrivenPerf(self.kernel, (), driver, Details(switches=True), maps)

    def begin(self) -> None:
        self.recording.begin(self.tasks)
        self.recording.synthesize()

    def open_events(self) -> None:
        """perf runs on the host, which has booted."""
        self.machine.switch_from_now()
        self.open_on(self.machine.host)

    def open_on(self, host) -> None:
        """Those of one hart."""
        try:
            self.perf.begin(host)
        except OSError as error:
            first = self.request.events[0]
            if error.errno == EOPNOTSUPP:
                what = "PMU Hardware doesn't support sampling/overflow-interrupts."
                refuse(first, f"{what} Try 'perf stat'")
            refuse(first, os.strerror(error.errno))

    def finish(self) -> RecordResult:
        perf, recording = self.perf, self.recording
        recording.lost = perf.lost()
        result = super().finish()
        if self.guest and self.request.output is not None and not result.full:
            self.write_guest_symbols(f"{self.request.output}{GUEST_SYMBOLS}")
        if recording.lost:
            why = perf.why_lost or WHY_LOST
            self.told(f"[ perf record: {recording.lost} samples lost: {why} ]\n")
        return result

    def write_guest_symbols(self, path: str) -> None:
        """The guest kernel's symbols, as stock perf takes them from --guestkallsyms."""
        if not os.path.isfile(self.request.output) and not self.dumps:
            return  # /dev/null, say
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(self.recording.kernels[-1].symbols.text())
        except OSError as error:
            self.told(f"rvperf: {path}: {error.strerror}\n")


def opened_for(specs, count: int) -> list:
    """The events when each is opened so many times: every time it has another id."""
    return [
        replace(spec, ids=tuple(range(at * count + 1, (at + 1) * count + 1)))
        for at, spec in enumerate(specs)
    ]


def refuse(event, why: str):
    raise SessionError(f"Error:\n{event.name}: {why}", REFUSED)


def check(request: RecordRequest) -> None:
    """SessionError for what the host's perf doesn't do."""
    how = request.how
    for event in request.events:
        if samplings((event,), how)[0].kind != "hardware":
            refuse(event, "the host samples hardware events alone")
    lacking = {
        "--call-graph but fp": how.callchain not in (None, "fp"),
        "-b": how.branches,
        "-d": how.data or how.phys_data,
        "-W": how.weight,
        "-D": how.delay_ms,
        "-s": how.inherit_stat,
        "--user-regs": how.user_registers,
        "--switch-events": how.switch_events,
        "--truth": request.truth,
    }
    for option, given in lacking.items():
        if given:
            raise SessionError(f"Error:\nkvm record has no {option}", REFUSED)
