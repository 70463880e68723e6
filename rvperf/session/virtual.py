"""Runs a program in a virtual machine and measures there: `stat --vm`, `record --vm`, `kvm`."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from isa.record import Record
from rvperf.events import Event
from rvperf.machine.csrs import QUIRKS as HARTS
from rvperf.machine.hart import VS, VU
from rvperf.machine.pmu import SELECTORS
from rvperf.machine.ram import Window
from rvperf.results import Count, KvmStatResult, StatResult, VmExitRow
from rvperf.session import (
    FAILED,
    HARDWARE,
    NATIVE_COUNTERS,
    SessionError,
    StatRequest,
    Workload,
    _exit,
    check_directories,
    kernel_for,
    software_value,
)
from rvperf.session.board import Board
from rvperf.session.record import RecordRequest, RecordResult, Session, kind_of, samplings
from rvperf.session.recording import Recording
from rvperf.stack.hypervisor import Vcpu
from rvperf.stack.hypervisor.vcpu import VSTIMECMP, Exit
from rvperf.stack.hypervisor.vpmu import Vpmu
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from rvperf.stack.kernel import Kernel, kallsyms
from rvperf.stack.kernel.driven_perf import DrivenPerf
from rvperf.stack.kernel.perf_tool import PerfTool
from rvperf.stack.kernel.samples import Details, Sampling
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.pmu_drivers.riscv_pmu import Driver
from rvperf.stack.pmu_drivers.sbi import SbiDriver
from rvperf.stack.sbi import Extension, Hsm, Snapshot, Srst

SHARED_PAGE = 3 << 20  # in a guest's memory: for snapshots of counters
SWITCH_NS = 100_000  # between switches that were asked for
EXEC_NS = 150_000  # from when perf lets the program go until it has surely begun


class VmOptions(Record):
    """What sort of virtual machine.

    `counters` is how many programmable counters the guest gets, None for what the design gives.
    `switches` and `host_switches` are how often, beside what happens anyway, the guest's kernel and
    the host take the program and the vCPU's thread off their CPU for a moment. `isa` overrides the
    hart's extensions.
    """

    vpmu: str = "snapshot"
    """A design (vpmu.designs), or "none" for a guest without counters."""
    counters: int | None = None
    quirks: frozenset[str] = frozenset()
    switches: int = 0
    host_switches: int = 0
    isa: frozenset[str] | None = None
    policy: str = "lazy"
    host_events: frozenset[int] = frozenset()
    """What the host will count beside the guest, by SBI's event_idx."""


class Place(Record):
    """Where a vCPU is: on a hart of `board`, the first of a VM by number or `beside` another.

    The VM's memory is divided into `parts`, of which this one's kernel has one. `again` is who was
    there before, if the vCPU is reset.
    """

    board: Board
    vm: int = 0
    hart: int = 0
    beside: VirtualMachine | None = None
    number: int = 0
    parts: int = 1
    again: VirtualMachine | None = None

    def part(self, memory: Window) -> Window:
        """This one's share of its VM's memory."""
        size = memory.size // self.parts & -0x200000
        base = memory.base + self.number * size
        return Window(self.board.ram, base + memory.offset, size, base)


def design_of(options: VmOptions) -> type[Vpmu]:
    """The design of the VM's PMU."""
    return Vpmu if options.vpmu == Vpmu.name else DESIGNS[options.vpmu]


def vpmu_for(options: VmOptions) -> Vpmu:
    """The VM's PMU."""
    design = design_of(options)
    given = {} if options.counters is None else {"counters": options.counters}
    if design.name == "passthrough":
        given["policy"] = options.policy
    return design(quirks=options.quirks, **given)


def board_for(engine: str, options: VmOptions, selectors: frozenset[int], **more) -> Board:
    """A board whose harts have what the design of the VM's PMU needs; `more` is Board's.
    SessionError."""
    design = design_of(options)
    extensions = design.needs(options.quirks)
    if options.isa is not None:
        if missing := sorted(extensions - options.isa):
            what = f"--vpmu {design.name} needs {', '.join(missing)}"
            raise SessionError(f"{what}, which the hart's ISA string doesn't have", FAILED)
        extensions = options.isa
    quirks = options.quirks & HARTS.keys()
    selectors |= options.host_events
    return Board(engine, extensions, selectors=selectors, quirks=quirks, **more)


class VirtualMachine:
    """A vCPU, and on it a kernel with one program, for `session.record.Session`.

    It has a board with a VM for itself, or is where `place` says.
    """

    def __init__(self, workload: Workload, options: VmOptions, live: frozenset[str], prepare=None,
                 selectors: frozenset[int] = frozenset(), place: Place | None = None):  # fmt: skip
        self.workload, self.options = workload, options
        self.board = place.board if place else board_for(workload.engine, options, selectors)
        one = self.board.harts[place.hart if place else 0]
        self.firmware = one.firmware
        check_directories(workload)
        again = place.again if place else None
        if again:
            self.vm, self.vcpu, self.memory = again.vm, again.vcpu, again.memory
            self.vcpu.reset(self._guest)
            self.memory.discard(self.memory.base, self.memory.size)
        else:
            self._place(place, one.host)
        self.vpmu = self.vcpu.vpmu
        if prepare:
            prepare(self.vcpu.recorders)
        tally = again.kernel.tally if again else None
        self.kernel, program = self.make_kernel(tally)
        self.vcpu.recorders.identify = getattr(self.kernel, "identify", None)
        self.vcpu.software = self.kernel
        if not again:
            self.host.add(self.vcpu)
        self.program = f"{workload.sysroot}\0{program}"
        if place is None:
            self.board.record_for([self.vcpu])
            self.board.make_engines(live, self.program)
        self.interrupts = 0
        self.while_running = None
        """Called now and then while the program runs, if set."""
        self.at_end: Callable[[], None] | None = None
        """Called in the guest when its program has ended, if set."""
        self.on_hosted: Callable[[], None] | None = None
        self.on_left: Callable[[], None] | None = None
        """Called in the host, when it has booted and when the guest has gone, if set."""
        self.at_start: Callable[[], None] | None = None
        """Called in the guest before perf begins there, if set, in place of `forget`."""
        self.began = 0
        """The clock when perf, or without it the program, began in the guest."""

    def _place(self, place: Place | None, host) -> None:
        """Have a vCPU, in a VM of its own or another's."""
        vpmu = vpmu_for(self.options)
        if place and place.beside:
            self.vm = place.beside.vm
        else:
            number, hart = (place.vm, place.hart) if place else (0, 0)
            self.vm = self.board.vm(number, vpmu, hart)
        self.vcpu = Vcpu(self.vm, self._guest, vpmu)
        self.vcpu.hypervisor = host
        self.memory = place.part(self.vm.memory) if place else self.vm.memory
        """What its kernel has of the VM's memory."""

    def executed(self) -> list:
        """As `Hart.executed`, of this vCPU's program wherever it ran."""
        return self.vcpu.recorders.executed([one.hart for one in self.board.harts])

    def make_kernel(self, tally=None) -> tuple[Kernel, str]:
        """What runs in the VM, and the path of its program. SessionError."""
        return kernel_for(
            self.hart, self.workload, ram=self.memory, mode=VS, above=self.vcpu.leave, tally=tally
        )

    @property
    def host(self):
        """The host of the hart that it is on."""
        return self.vcpu.hypervisor

    @property
    def hart(self):
        """The hart that it is on."""
        return self.vcpu.hypervisor.hart

    def driver(self) -> Driver:
        """The guest's PMU driver."""
        kind, kernel = self.vpmu.guest_driver, self.kernel
        return driver_of(kind, kernel, self.memory, self.options.quirks)

    def host_driver(self, level) -> Driver:
        """The host's."""
        return host_driver_of(self.vpmu, level)

    def _guest(self) -> None:
        """What runs in the VM's VS-mode: the kernel, from its boot to its end."""
        kernel = self.kernel
        if kernel.driven:
            kernel.perf.on_booted = self._booted
        else:
            self._booted()
        kernel.boot()
        while not kernel.finished:
            if kernel.hart.mode != VS:
                self.vcpu.leave()
            kernel.trap()
        if self.at_end:
            self.at_end()
        self.power_off()

    def power_off(self) -> None:
        """The guest's kernel ends: the last one ends the VM."""
        others = [one for one in self.vm.vcpus if one is not self.vcpu and not one.stopped]
        if others:
            self.kernel.call(Extension.HSM, Hsm.HART_STOP)
        self.kernel.call(Extension.SRST, Srst.SYSTEM_RESET)

    def _booted(self) -> None:
        if self.at_start:
            self.at_start()
        else:
            self.forget()
        self.began = self.hart.cycles

    def forget(self) -> None:
        """Booting is over: what has been counted of operations so far is not of interest."""
        self.vcpu.exits.clear()
        for level in (self.kernel, self.host, self.firmware):
            level.tally.clear()
        for origin in self.host.calls_by_origin:
            self.host.calls_by_origin[origin] = 0
        self.vpmu.saves = self.vpmu.restores = 0
        self.vpmu.times_saved = self.vpmu.times_restored = 0

    def perf_begins(self, command: str, perf: DrivenPerf) -> None:
        """Have perf's `command` run in the guest beside the program."""

        switches = range(1, self.options.switches + 1)
        PerfTool(perf, command, tuple(n * SWITCH_NS for n in switches), self.switch_from_now)

    def switch_from_now(self) -> None:
        """Have the host take the vCPU's thread off the hart as often as was asked for."""
        first = self.hart.cycles + EXEC_NS
        times = (first + n * SWITCH_NS for n in range(self.options.host_switches))
        self.host.scheduler.interludes.extend(times)

    def switch_off(self) -> None:
        """The vCPU, which isn't loaded, is destroyed or reset: what runs in the guest is gone."""
        self.vcpu.forget()
        self.kernel.switch_off()

    def run(self) -> None:
        """Run until the guest's program ends. ^C goes to the program."""
        previous = signal.signal(signal.SIGINT, self._interrupted)
        self.ready()
        try:
            self.board.while_running = self.while_running
            self.board.run(self.host_driver, self.on_hosted)
            if self.on_left:
                self.on_left()
        finally:
            signal.signal(signal.SIGINT, previous)

    def ready(self) -> None:
        """Before it runs: the program has so much time."""
        if self.workload.timeout_ns is not None:
            self.kernel.interrupt_at(self.workload.timeout_ns, signal.SIGTERM)

    def _interrupted(self, number, frame) -> None:
        self.interrupts += 1
        which, here = signal.SIGINT, self.host.vcpu is self.vcpu
        self.kernel.interrupt(which if self.interrupts == 1 else signal.SIGKILL, here)
        if not here:
            self.vcpu.csrs[VSTIMECMP] = 0


def host_driver_of(vpmu: Vpmu, level, own: int | None = None) -> Driver:
    """The host's PMU driver. Counters that are a guest's it leaves alone, and takes its own from
    the other end: all others, or only those of the mask `own`."""
    if vpmu.reserved:
        limit = ~vpmu.reserved & (1 << 32) - 1 if own is None else own
        return DelegationDriver(level, lowest_first=False, limit=limit)
    return driver_of(vpmu.host_driver, level)


def driver_of(kind: str, level, memory=None, quirks: frozenset[str] = frozenset()) -> Driver:
    """A kernel's PMU driver, by what `Vpmu.guest_driver` and `host_driver` call it."""
    if kind == "delegation":
        return DelegationDriver(level, quirks=quirks)
    shared = Snapshot(memory, memory.base + SHARED_PAGE) if kind == "snapshot" else None
    return SbiDriver(level, shared, quirks=quirks)


def selectors_of(events: tuple[Event, ...]) -> frozenset[int]:
    """The events that counters will be asked for."""
    sources = {HARDWARE[event.source] for event in events if event.source in HARDWARE}
    return frozenset({SELECTORS[source] for source in sources})


# perf stat in the guest.


def stat(request: StatRequest, options: VmOptions) -> StatResult:
    """Run the program in a VM to its end, and count in the guest."""
    return counted(request, options)[1]


def counted(
    request: StatRequest, options: VmOptions, prepared: Callable = lambda machine: None
) -> tuple[VirtualMachine, StatResult]:
    """As `stat`, with the machine after the run; `prepared` is given it before."""
    session = GuestStat(request, options)
    prepared(session.machine)
    session.machine.run()
    return session.machine, session.finish()


class GuestStat:
    """perf stat in a VM, which is where `place` says, or made for it."""

    def __init__(self, request: StatRequest, options: VmOptions, place: Place | None = None):
        self.request, self.place = request, place
        events = request.events
        self.live = frozenset({NATIVE_COUNTERS.get(event.source) for event in events} - {None})
        self.machine = machine = VirtualMachine(
            request.workload, options, self.live, None, selectors_of(events), place
        )
        kernel = machine.kernel
        asked = tuple(
            Sampling(event, HARDWARE.get(event.source, event.source or ""), kind_of(event))
            for event in events
        )
        self.perf = kernel.perf = DrivenPerf(kernel, asked, machine.driver(), Details())
        machine.perf_begins("stat", self.perf)
        self.tool = self.perf.tool
        self.tool.on_start = self._start
        self.ended: int | None = None
        """The clock when the program had."""
        self.total: tuple[Count, ...] | None = None
        """What the intervals' summary shows."""
        self.read: dict = {}
        self._seen: tuple[Count, ...] = ()
        self.intervals = None
        if request.every is not None:
            from rvperf.session.intervals import Intervals

            self.intervals = Intervals(request.every)
            self.tool.interval, self.tool.on_interval = request.every.ns, self._interval
        machine.at_end = self._end

    def opened(self) -> None:
        """Nothing is written before there are counts."""

    def _start(self) -> None:
        """perf lets the program go: what was done before was not the program's."""
        self.machine.kernel.system_ns = 0
        self.machine.switch_from_now()

    def _interval(self) -> bool:
        """perf reads the events; whether it will do so again."""
        read = self.perf.counts()
        self.tool.leave_out()
        self.intervals.tell(self._elapsed, self._counts(read))
        return not self.intervals.over

    def _end(self) -> None:
        """The program has ended, and perf reads the events."""
        self.read.update(self.perf.counts())
        self.ended = self.machine.hart.cycles
        if self.intervals:
            self.tool.leave_out()
            self.total = self.intervals.end(self._elapsed, self._counts(self.read))

    @property
    def _elapsed(self) -> int:
        """For how long perf has counted, in ns: since it let the program go."""
        now = self.machine.hart.cycles if self.ended is None else self.ended
        return now - self.tool.let_go if self.tool.let_go else 0

    def so_far(self) -> tuple[Count, ...]:
        """What has been counted until now, as far as can be told without disturbing the guest: the
        last that was seen while its program ran on a hart."""
        machine, vcpu = self.machine, self.machine.vcpu
        if self.read:
            self._seen = self._counts(self.read)
        elif machine.host.vcpu is vcpu and machine.hart.mode == VU:
            held = partial(machine.vpmu.holds, vcpu)
            in_user_mode = max(machine.hart.cycles - machine.kernel.entered, 0)
            self._seen = self._counts(self.perf.so_far(held), in_user_mode)
        return self._seen

    def _counts(self, read: dict, running: int = 0) -> tuple[Count, ...]:
        return tuple(
            _count(self.machine, number, event, read, self._elapsed, running)
            for number, event in enumerate(self.request.events)
        )

    def finish(self) -> StatResult:
        """What was counted, after the run."""
        machine, request = self.machine, self.request
        kernel = machine.kernel
        return StatResult(
            command=request.workload.argv,
            counts=self._counts(self.read) if self.total is None else self.total,
            elapsed=self._elapsed,
            user=kernel.user_ns,
            system=kernel.system_ns,
            exit=_exit(kernel.exit),
            interrupted=machine.interrupts > 0,
        )


def _count(
    machine: VirtualMachine, number: int, event: Event, read: dict, elapsed: int, running: int = 0
) -> Count:
    """What perf stat in the guest read of an event, `elapsed` ns after it began. A program has been
    in user mode for `running` ns that the kernel doesn't know of yet."""
    kernel = machine.kernel
    shown = (event.name, event.symbol)
    details = {"unit": event.unit, "scale": event.scale, "context": event.context}
    if event.source in HARDWARE:
        found = read.get(number)
        if found is None or not found.supported:
            return Count(*shown, None, supported=False, **details)
        return Count(*shown, found.count, enabled=found.enabled, running=found.running, **details)
    ran = kernel.user_ns + kernel.system_ns + running
    value = software_value(kernel, event, elapsed, running)
    times = value if event.kind == "tool" else ran
    return Count(*shown, value, enabled=times, running=times, **details)


# perf kvm stat.


def exits(workload: Workload, options: VmOptions) -> KvmStatResult:
    """Run the program in a VM to its end, and tell of the VM exits from its exec on."""
    machine = VirtualMachine(workload, options, frozenset())
    machine.run()
    return KvmStatResult(
        command=workload.argv,
        rows=rows_of(machine.vcpu.exits),
        elapsed=machine.hart.cycles - machine.began,
        exit=_exit(machine.kernel.exit),
    )


def rows_of(exits: list[Exit]) -> tuple[VmExitRow, ...]:
    """VM exits by cause and what they were about."""
    times: dict[tuple[int, str], list[int]] = {}
    for one in exits:
        if one.duration is not None:
            times.setdefault((one.cause, one.key), []).append(one.duration)
    return tuple(
        VmExitRow(cause, key, len(spent), sum(spent), min(spent), max(spent),
                  sum(time * time for time in spent))
        for (cause, key), spent in sorted(times.items())
    )  # fmt: skip


# perf record in the guest.


def record(
    request: RecordRequest,
    options: VmOptions,
    told=lambda text: None,
    host: bool = False,
    guest: bool = False,
) -> RecordResult:
    """Run the program in a VM to its end, and sample with perf in the guest.

    With `host` or `guest` it is the host's perf that samples, its own code, the guest's or both.
    """
    if host or guest:
        from rvperf.session.host import HostSession

        return HostSession(request, options, told, host, guest).run()
    return GuestSession(request, options, told).run()


class GuestSession(Session):
    """One recording in a VM, which is where `place` says, or made for it."""

    def __init__(
        self, request: RecordRequest, options: VmOptions, told, place: Place | None = None
    ):
        self.options, self.place = options, place
        super().__init__(request, told)

    def make_machine(self, live: frozenset[str]) -> VirtualMachine:
        self.live = live
        selectors = selectors_of(self.request.events)
        return VirtualMachine(
            self.request.workload, self.options, live, self.prepare, selectors, self.place
        )

    def make_recording(self, rotate_at: tuple[int, int]) -> Recording:
        return Recording(self.specs, self.open, kallsyms.symbols(driven=True), rotate_at)

    def make_perf(self, asked: Details) -> DrivenPerf:
        perf = DrivenPerf(
            self.kernel,
            samplings(self.request.events, self.request.how),
            self.machine.driver(),
            asked,
            self.recording,
        )
        self.machine.perf_begins("record", perf)
        return perf
