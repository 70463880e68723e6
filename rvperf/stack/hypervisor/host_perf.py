"""perf_events of the host as `perf kvm record` uses it: samples of vCPU threads, in the host and in
their guests, taken where the PMU's interrupt is served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial

from isa.record import Record
from rvperf.machine.pmu import SELECTORS
from rvperf.stack.events_core import EventAttr, EventsCore, PerfEvent, attr_of
from rvperf.stack.hypervisor import Hypervisor, Vcpu, costs
from rvperf.stack.hypervisor.vcpu import in_guests_kernel
from rvperf.stack.kernel.kallsyms import KernelSymbols
from rvperf.stack.kernel.samples import CONTEXT_KERNEL, Sample, Sampling
from rvperf.stack.kernel.tasks import FIRST_PID

VMM, VCPU = "lkvm", "kvm-vcpu-{}"  # what kvmtool calls itself and its threads
IDLE = "swapper"


class HostProcess:
    """A process of the host's, as far as it is seen there."""

    parent = leader = None

    def __init__(self, pid: int):
        self.pid, self.threads = pid, []


class HostThread:
    """One of its threads, which runs `vcpu`, if any."""

    def __init__(self, process: HostProcess, tid: int, name: str, vcpu: Vcpu | None = None):
        self.process, self.tid, self.name, self.vcpu = process, tid, name, vcpu
        process.threads.append(self)


class HostTasks:
    """Who runs VMs on a board: a process for each, and in it a thread for each vCPU.

    `vcpus` are all that there are; seen are those of VM `vm`, or with None all of them. The host's
    events are opened for their threads, or for the CPUs by number that `cpus` has.

    `board` has the `hosts` of its harts and the one that is `running`, a `horizon` before which
    nothing will happen on any of them, and the `latest` time that any is at.
    """

    def __init__(
        self,
        board,
        vcpus: Iterable[Vcpu],
        vm: int | None = None,
        cpus: tuple[int, ...] | None = None,
    ):
        self.board = board
        self.processes: dict[int, HostProcess] = {}
        self.threads: dict[Vcpu, HostThread] = {}
        """By vCPU."""
        of: dict = {}
        tid = FIRST_PID
        for vcpu in vcpus:
            process = of.get(vcpu.vm)
            if process is None:
                process = of[vcpu.vm] = HostProcess(tid)
                HostThread(process, tid, VMM)
                tid += 1
            thread = HostThread(process, tid, VCPU.format(vcpu.number), vcpu)
            tid += 1
            if vm in (None, vcpu.vm.number):
                self.processes[process.pid] = process
                self.threads[vcpu] = thread
        self.first = self.mains[0]
        self.idle = HostThread(HostProcess(0), 0, IDLE)
        """Who runs where no vCPU does."""
        self.cpus = cpus
        self.openings: list = [*self.threads] if cpus is None else [*cpus]
        """What each event is opened for: vCPUs or CPUs."""
        self.begun = False
        """Whether any event is open."""

    @property
    def host(self) -> Hypervisor:
        """The host of the hart whose turn it is."""
        return self.board.running.host

    @property
    def hart(self):
        """The hart whose turn it is."""
        return self.host.hart

    @property
    def cpu(self) -> int:
        """Its number."""
        return self.board.hosts.index(self.host)

    @property
    def now(self) -> int:
        """The clock of the hart whose turn it is; before any event is open, of the one that is
        behind, so that what is there from the start comes before all else."""
        return self.hart.cycles if self.begun else self.board.horizon

    def opening(self, thread: HostThread) -> int:
        """The place among `openings` of who tells of a thread on the hart whose turn it is."""
        if self.cpus is not None:
            return self.cpus.index(self.cpu) if self.cpu in self.cpus else 0
        vcpus = (one.vcpu for one in thread.process.threads if one.vcpu)
        return self.openings.index(thread.vcpu or next(vcpus))

    @property
    def mains(self) -> list[HostThread]:
        """The processes' first threads."""
        return [process.threads[0] for process in self.processes.values()]


class Wanted(Record):
    """An event to be opened: how it is sampled, and whose code it leaves out."""

    sampling: Sampling
    exclude_host: bool
    exclude_guest: bool


class HostPerf:
    """The host's events while they are open, and their samples, which go to `sink`.

    They are opened for what `tasks` says: the vCPUs' threads, whom they follow from hart to hart,
    or harts. `callchains` says whether samples have a call chain; that of a guest's code is empty,
    as in Linux.
    """

    def __init__(
        self,
        wanted: tuple[Wanted, ...],
        tasks: HostTasks,
        sink,
        symbols: KernelSymbols,
        callchains: bool = False,
    ):
        self.wanted, self.tasks, self.sink = wanted, tasks, sink
        self.symbols, self.callchains = symbols, callchains
        self.events: list[PerfEvent] = []
        self.taken: Counter[tuple[int, int]] = Counter()
        """How many samples there were of each event, by its place and that of who it is for."""

    def begin(self, host: Hypervisor) -> None:
        """The host has booted: the VMM starts, and what is to be opened on `host`'s hart is, which
        is done once on each. OSError if an event can't be."""
        sink, tasks = self.sink, self.tasks
        if not tasks.begun:
            for main in tasks.mains:
                sink.comm(main, True)
            for thread in tasks.threads.values():
                sink.fork(thread.process.threads[0], thread)
                sink.comm(thread, False)
            tasks.begun = True
        for opening, owner in enumerate(tasks.openings):
            if tasks.cpus is None and owner.hypervisor is host:
                self._open_all(host, opening, owner)
            elif tasks.cpus is not None and tasks.board.hosts[owner] is host:
                self._open_all(host, opening, None)

    def end(self) -> None:
        """The VMs have gone, and so has the VMM."""
        for event in self.events:
            self._core_of(event).read(event)
        for thread in (*self.tasks.threads.values(), *self.tasks.mains):
            self.sink.exit(thread)

    def _core_of(self, event: PerfEvent) -> EventsCore:
        """Where an event is now."""
        vcpu, (_, opening) = event.context.task, event.owner
        if vcpu is not None:
            return vcpu.hypervisor.core
        return self.tasks.board.hosts[self.tasks.openings[opening]].core

    def _open_all(self, host: Hypervisor, opening: int, owner: Vcpu | None) -> None:
        leaders: dict[int, PerfEvent] = {}
        for number, one in enumerate(self.wanted):
            group = one.sampling.event.group
            leader = leaders.get(group) if group is not None else None
            place = number, opening
            sampled = partial(self._sampled, place)  # which may be while it is being opened
            event = host.core.open(self._attr(one, leader is None), owner, leader, sampled)
            event.owner, event.on_throttle = place, self._throttled
            self.events.append(event)
            if group is not None:
                leaders.setdefault(group, event)

    @staticmethod
    def _attr(one: Wanted, leads: bool) -> EventAttr:
        spec = one.sampling
        return attr_of(
            spec.event,
            SELECTORS[spec.source],
            leads,
            sample_period=0 if spec.freq else spec.period,
            sample_freq=spec.freq,
            exclude_host=one.exclude_host,
            exclude_guest=one.exclude_guest,
        )

    def _sampled(self, place: tuple[int, int], event: PerfEvent) -> None:
        """A period of an event's is over, in the PMU's interrupt."""
        host, (number, opening) = self.tasks.host, place
        host.charge_closed(costs.SAMPLE)
        vcpu = host.vcpu
        # As should_sample_guest() has it. What counts in guests alone has overflown in one.
        in_guest = host.guest_overflowed or event.exclude_host
        if vcpu is not None and in_guest and not event.exclude_guest:
            sample = Sample(number, vcpu.sepc, not in_guests_kernel(vcpu), guest=True)
            chain = []
        else:
            cost, done = host.overflowed_at
            ip = self.symbols.place(cost.symbol, done)
            sample = Sample(number, ip, user=False)
            chain = [CONTEXT_KERNEL, ip, *map(self.symbols.call, cost.callers)]
        thread = self.tasks.threads.get(vcpu, self.tasks.idle)
        sample.pid, sample.tid = thread.process.pid, thread.tid
        sample.time, sample.period = host.hart.cycles, event.last_period
        sample.opening = opening
        if self.callchains:
            sample.callchain = chain
        if self.wanted[number].sampling.leader is not None:
            host.core.update_group(event)
            sample.values = [(other.count, other.owner[0]) for other in event.group]
        self.taken[place] += 1
        self.sink.sample(sample)

    def _throttled(self, event: PerfEvent, on: bool) -> None:
        """An event that interrupts too often stands still until the next tick, or goes on."""
        tasks = self.tasks
        runs = event.context.task or tasks.host.vcpu
        self.sink.throttle(tasks.threads.get(runs, tasks.idle), event.owner[0], on)

    def lost(self) -> int:
        """How many periods have ended without a sample. Of events with a frequency, whose periods
        are nobody's to say, it is those that would have kept it up, and only if the guest gets the
        host's interrupts."""
        found = 0
        for event in self.events:
            if event.frequency:
                due = event.running * event.frequency // 10**9 if self.why_lost else 0
            else:
                due = event.count // event.sample_period if event.sampling else 0
            found += max(due - self.taken[event.owner], 0)
        return found

    @property
    def why_lost(self) -> str:
        """Why the host loses samples, if a guest gets its interrupts."""
        whys = (vcpu.vpmu.why_host_loses for vcpu in self.tasks.threads)
        return next(filter(None, whys), "")
