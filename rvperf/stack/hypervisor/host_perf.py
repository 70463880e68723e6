"""perf_events of the host as `perf kvm record` uses it: samples of vCPU threads, in the host and in
their guests, taken where the PMU's interrupt is served.
"""

from __future__ import annotations

from collections.abc import Iterable

from isa.record import Record
from rvperf.machine.pmu import EVENTS
from rvperf.stack.events_core import EventAttr, PerfEvent
from rvperf.stack.hypervisor import Hypervisor, Vcpu, costs
from rvperf.stack.hypervisor.vcpu import in_guests_kernel
from rvperf.stack.kernel.kallsyms import KernelSymbols
from rvperf.stack.kernel.samples import CONTEXT_KERNEL, Sample, Sampling
from rvperf.stack.kernel.tasks import FIRST_PID

SELECTORS = {source: selector for selector, source in EVENTS.items()}
VMM, VCPU = "lkvm", "kvm-vcpu-{}"  # what kvmtool calls itself and its threads


class HostProcess:
    """A process of the host's, as far as it is seen there."""

    parent = leader = None

    def __init__(self, pid: int):
        self.pid, self.threads = pid, []


class HostThread:
    """One of its threads."""

    def __init__(self, process: HostProcess, tid: int, name: str):
        self.process, self.tid, self.name = process, tid, name
        process.threads.append(self)


class HostTasks:
    """Who runs VMs: a process for each, and in it a thread for each vCPU."""

    def __init__(self, hart, vcpus: Iterable[Vcpu]):
        self.hart = hart
        self.processes: dict[int, HostProcess] = {}
        self.threads: dict[Vcpu, HostThread] = {}
        """By vCPU."""
        of: dict = {}
        tid = FIRST_PID
        for vcpu in vcpus:
            process = of.get(vcpu.vm)
            if process is None:
                process = of[vcpu.vm] = self.processes[tid] = HostProcess(tid)
                HostThread(process, tid, VMM)
                tid += 1
            self.threads[vcpu] = HostThread(process, tid, VCPU.format(vcpu.number))
            tid += 1
        self.first = self.mains[0]

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

    They are the vCPU threads' in `tasks`, or with `all_tasks` the CPU's. `callchains` says whether
    samples have a call chain; that of a guest's code is empty, as in Linux.
    """

    def __init__(
        self,
        host: Hypervisor,
        wanted: tuple[Wanted, ...],
        tasks: HostTasks,
        sink,
        symbols: KernelSymbols,
        all_tasks: bool = False,
        callchains: bool = False,
    ):
        self.host, self.wanted, self.tasks, self.sink = host, wanted, tasks, sink
        self.symbols, self.all_tasks, self.callchains = symbols, all_tasks, callchains
        self.events: list[PerfEvent] = []
        self.taken: dict[int, int] = {}
        """How many samples there were of each event, by its place."""

    def begin(self) -> None:
        """The host has booted: the VMM starts, and the events are opened. OSError if one can't."""
        sink = self.sink
        for main in self.tasks.mains:
            sink.comm(main, True)
        for thread in self.tasks.threads.values():
            sink.fork(thread.process.threads[0], thread)
            sink.comm(thread, False)
        for owner in [None] if self.all_tasks else self.tasks.threads:
            leaders: dict[int, PerfEvent] = {}
            for number, one in enumerate(self.wanted):
                group = one.sampling.event.group
                event = self._open(one, owner, leaders.get(group) if group is not None else None)
                event.owner = number
                self.events.append(event)
                if group is not None:
                    leaders.setdefault(group, event)

    def end(self) -> None:
        """The VMs have gone, and so has the VMM."""
        for event in self.events:
            self.host.core.read(event)
        for thread in (*self.tasks.threads.values(), *self.tasks.mains):
            self.sink.exit(thread)

    def _open(self, one: Wanted, owner: Vcpu | None, leader: PerfEvent | None) -> PerfEvent:
        spec, asked = one.sampling, one.sampling.event
        attr = EventAttr(
            SELECTORS[spec.source],
            sample_period=0 if spec.freq else spec.period,
            sample_freq=spec.freq,
            exclude_user=asked.exclude_user,
            exclude_kernel=asked.exclude_kernel,
            exclude_hv=asked.exclude_hv,
            exclude_host=one.exclude_host,
            exclude_guest=one.exclude_guest,
            pinned=asked.pinned and leader is None,
            exclusive=asked.exclusive and leader is None,
        )
        return self.host.core.open(attr, owner, leader, self._sampled)

    def _sampled(self, event: PerfEvent) -> None:
        """A period of an event's is over, in the PMU's interrupt."""
        host, number = self.host, event.owner
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
        thread = self.tasks.threads.get(vcpu)
        sample.pid, sample.tid = (thread.process.pid, thread.tid) if thread else (0, 0)
        sample.time, sample.period = host.hart.cycles, event.last_period
        if self.callchains:
            sample.callchain = chain
        if self.wanted[number].sampling.leader is not None:
            host.core.update_group(event)
            sample.values = [(other.count, other.owner) for other in event.group]
        self.taken[number] = self.taken.get(number, 0) + 1
        self.sink.sample(sample)

    def lost(self) -> int:
        """How many periods have ended without a sample. Of events with a frequency, whose periods
        are nobody's to say, it is those that would have kept it up, and only if the guest gets the
        host's interrupts."""
        found = 0
        for event in self.events:
            if event.frequency:
                due = event.running * event.frequency // 10**9 if self._interrupts_lost else 0
            else:
                due = event.count // event.sample_period if event.sampling else 0
            found += max(due - self.taken.get(event.owner, 0), 0)
        return found

    @property
    def _interrupts_lost(self) -> bool:
        return any(vm.vpmu.why_host_loses for vm in self.host.vms)
