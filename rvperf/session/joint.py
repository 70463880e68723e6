"""Several VMs on one board, with perf in each guest and in the host at the same time: `kvm run`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from isa.counting import PROGRAMMABLE
from isa.record import Record, replace
from rvperf.results import HartEvents, JointReport, StatResult
from rvperf.session import FAILED, NATIVE_COUNTERS, SessionError, StatRequest
from rvperf.session.board import Board
from rvperf.session.host_stat import HostStat, HostStatRequest
from rvperf.session.joint_host import HostRecord
from rvperf.session.joint_report import Account
from rvperf.session.listing import GuestList, HostList, ListRequest
from rvperf.session.moments import Moments
from rvperf.session.owners import Owners
from rvperf.session.record import RecordRequest, RecordResult, live_for
from rvperf.session.recording import OutputFull
from rvperf.session.script import Direction, Script, check_there
from rvperf.session.script import check as check_script
from rvperf.session.virtual import (
    GuestSession,
    GuestStat,
    Place,
    VmOptions,
    board_for,
    host_driver_of,
    selectors_of,
    vpmu_for,
)
from rvperf.stack.hypervisor.scheduling import SLICE_NS


class JointOptions(Record):
    """The board, and how vCPUs share it.

    `machine` is what each VM is like. `reserve` is how many counters the host has where some are
    passed through; None for all others. `slice_ns` is how long a vCPU has a hart that others want.
    `without_pmu` names VMs, and vCPUs of VMs, that get no counters: (VM, vCPU or None for all).
    `pinned` says which begin and stay on a hart: (VM, vCPU or None for all, hart).
    """

    machine: VmOptions
    reserve: int | None = None
    harts: int = 1
    vcpus: int = 1
    slice_ns: int = SLICE_NS
    script: Script = Script()
    without_pmu: tuple[tuple[int, int | None], ...] = ()
    pinned: tuple[tuple[int, int | None, int], ...] = ()


class JointResult(Record):
    """What the sessions gave, in the order in which they were asked for, and what happened."""

    guests: tuple[StatResult | RecordResult, ...]
    hosts: tuple[StatResult | RecordResult, ...]
    report: JointReport
    destroyed: dict[int, int] = {}
    """By guest, when it was destroyed, in ns since they all began."""
    hart_events: HartEvents = HartEvents()


GuestRequest = StatRequest | RecordRequest | ListRequest
HostRequest = HostStatRequest | RecordRequest | ListRequest


def run(
    guests: tuple[GuestRequest, ...],
    hosts: tuple[HostRequest, ...],
    options: JointOptions,
    told: Callable[[str], None] = lambda text: None,
    watch: Callable[[Joint], None] | None = None,
) -> JointResult:
    """Run each guest in a VM of its own, until all have ended, with the host's sessions beside.

    `told` hears what perf record says meanwhile. `watch` is called now and then, and may ask for
    `so_far()`. SessionError.
    """
    joint = Joint(guests, hosts, options, told)
    joint.watch = watch
    return joint.run()


class Joint:
    """One board with all of it."""

    def __init__(self, guests, hosts, options: JointOptions, told):
        self.options = options
        check(guests, hosts, options)
        self.board = self._board(guests, hosts)
        self.sessions = []  # of vCPU 0 of each VM
        self.others = []  # of further vCPUs
        for number, request in enumerate(guests):
            self._vm(number, request, told)
        self.all = [*self.sessions, *self.others]
        self.machines = [session.machine for session in self.all]
        self.vcpus = [machine.vcpu for machine in self.machines]
        self.names = {vcpu: self._name(vcpu) for vcpu in self.vcpus}
        live = frozenset().union(*(session.live for session in self.all))
        self.hosts = []
        for request in hosts:
            if isinstance(request, HostStatRequest):
                self.hosts.append(HostStat(request, self.board, self.vcpus))
            elif isinstance(request, ListRequest):
                self.hosts.append(HostList(request, self.board, self.vcpus))
            else:
                self.hosts.append(HostRecord(request, options.machine, told, self.machines))
        programs = sorted({machine.program for machine in self.machines})
        self.board.record_for(self.vcpus)
        self.board.make_engines(live | self._hosts_live(hosts), "\0".join(programs))
        self.owners = [
            Owners(number, one, self.names.__getitem__)
            for number, one in enumerate(self.board.harts)
        ]
        self.moments = Moments(self.board, self.machines, self.names.__getitem__)
        self.account = Account(self)
        self.direction: Direction | None = None
        self.destroyed: dict[int, int] = {}
        self.watch: Callable[[Joint], None] | None = None
        self.waiting = 0
        self.started = False
        self.starting = 0
        self.began = 0
        self.full = ""

    def _board(self, guests, hosts) -> Board:
        events = [event for request in (*guests, *hosts) for event in request.events]
        options = self.options
        return board_for(
            engine_of(guests),
            options.machine,
            selectors_of(tuple(events)),
            harts=options.harts,
            vms=len(guests),
        )

    @staticmethod
    def _hosts_live(hosts) -> frozenset[str]:
        found = set()
        for request in hosts:
            if isinstance(request, RecordRequest):
                found |= live_for(request)
            else:
                found |= {NATIVE_COUNTERS.get(event.source) for event in request.events} - {None}
        return frozenset(found)

    def _vm(self, number: int, request: GuestRequest, told) -> None:
        """A VM with its vCPUs, each with a kernel, and a perf and a program, of its own."""
        options, first = self.options, None
        for which in range(options.vcpus):
            hart = self._pinned_to(number, which)
            place = Place(
                self.board,
                number,
                (number * options.vcpus + which) % options.harts if hart is None else hart,
                first.machine if first else None,
                which,
                options.vcpus,
            )
            one = request if not first else quiet(request)
            session = self._session(one, place, told if not first else ignored)
            session.machine.at_start = lambda session=session: self._at_start(session.machine)
            (self.others if first else self.sessions).append(session)
            first = first or session

    def _pinned_to(self, vm: int, vcpu: int) -> int | None:
        """The hart that a vCPU has to be on, if it is pinned."""
        found = [hart for one, which, hart in self.options.pinned
                 if one == vm and which in (None, vcpu)]  # fmt: skip
        return found[-1] if found else None

    @property
    def pinned(self) -> frozenset:
        """The vCPUs that are."""
        return frozenset(
            vcpu for vcpu in self.vcpus if self._pinned_to(vcpu.vm.number, vcpu.number) is not None
        )

    def _session(
        self, request: GuestRequest, place: Place, told
    ) -> GuestStat | GuestSession | GuestList:
        """perf on a vCPU."""
        options = self.options.machine
        if {(place.vm, None), (place.vm, place.number)} & {*self.options.without_pmu}:
            options = replace(options, vpmu="none", counters=None)
        if isinstance(request, ListRequest):
            return GuestList(request, options, place)
        if isinstance(request, StatRequest):
            return GuestStat(request, options, place)
        session = GuestSession(request, options, told, place)
        session.kernel.perf = session.perf
        session.counts = {}
        session.machine.at_end = lambda: session.counts.update(session.perf.counts())
        return session

    def _name(self, vcpu) -> str:
        name = f"vm{vcpu.vm.number}"
        return name if self.options.vcpus == 1 else f"{name}/{vcpu.number}"

    # Running.

    def run(self) -> JointResult:
        for session in (*self.all, *self.hosts):
            if not isinstance(session, HostStat):
                session.opened()
        for session in self.all:
            self.account.follow(session)
        previous = signal.signal(signal.SIGINT, self._interrupted)
        try:
            for machine in self.machines:
                machine.ready()
            for one in self.board.harts:
                one.host.scheduler.slice_ns = self.options.slice_ns
            self.board.while_running = self._look
            self.board.run(self._host_driver)
        except OutputFull as end:
            for session in (*self.sessions, *self.hosts):
                if isinstance(session, GuestSession | HostRecord):
                    session.full = session.full or str(end)
        finally:
            signal.signal(signal.SIGINT, previous)
        now = max(one.hart.cycles for one in self.board.harts)
        owners = tuple(interval for one in self.owners for interval in one.end(now))
        hosts = []
        for session in self.hosts:
            if isinstance(session, HostRecord):
                session.perf.end()
            hosts.append(session.finish())
        for session in self.others:
            session.finish()
        guests = tuple(session.finish() for session in self.sessions)
        report = self.account.report(guests, hosts, owners)
        return JointResult(guests, tuple(hosts), report, self.destroyed, self.moments.hart_events())

    def _host_driver(self, level):
        return host_driver_of(vpmu_for(self.options.machine), level, self.hosts_counters())

    def hosts_counters(self) -> int:
        """Those that the host may take, as a mask, where some are passed through."""
        if (reserve := self.options.reserve) is not None:
            return ((1 << reserve) - 1) << (32 - reserve) | 0b101
        own = (1 << 32) - 1
        for machine in self.machines:
            own &= ~machine.vpmu.reserved
        return own

    def _look(self) -> None:
        for session in (*self.all, *self.hosts):
            if isinstance(session, GuestSession | HostRecord):
                session.look()
        if self.watch and self.started:
            self.watch(self)

    def _interrupted(self, number, frame) -> None:
        for machine in self.machines:
            machine._interrupted(number, frame)

    # The start: all guests have booted.

    def _at_start(self, machine) -> None:
        """In a guest that has booted: wait until all have, and the host's sessions run."""
        self.waiting += 1
        if self.waiting == len(self.machines):
            now = max(one.hart.cycles for one in self.board.harts)
            for number, one in enumerate(self.board.harts):

                def begin(number=number, one=one) -> None:
                    self._begin(number, one, now)

                if one.host.vcpu is None:
                    one.hart.idle_until(now)
                    begin()
                else:
                    one.host.wanted.append(begin)
        while not self.started:
            machine.kernel.wfi()

    def _begin(self, number: int, one, now: int) -> None:
        """In a hart's host."""
        before, self.board.running = self.board.running, one
        one.hart.idle_until(now)
        for session in self.hosts:
            if isinstance(session, HostStat):
                session.begin(one, one.hart.cycles)
            else:
                session.open_on(one.host)
        self.owners[number].begin()
        self.board.running = before
        self.starting += 1
        if self.starting == len(self.board.harts):
            self.began = one.hart.cycles
            for machine in self.machines:
                machine.forget()
            for each in self.board.harts:
                each.host.tally.clear()
                each.firmware.tally.clear()
                each.host.calls_by_origin = dict.fromkeys(each.host.calls_by_origin, 0)
                each.host.migrations = 0
                each.host.scheduler.switches = 0
                each.host.scheduler.wake_all()
            self.direction = Direction(self.options.script, self, self.began)
            self.direction.begin()
            self.moments.begin(self.began)
            self.started = True

    # Guests end, and begin again, while others go on.

    def switch_off(self, vcpu) -> None:
        """What runs on a vCPU is gone; it isn't loaded."""
        session = next(one for one in self.all if one.machine.vcpu is vcpu)
        session.machine.switch_off()
        if session in self.sessions:
            self.destroyed[self.sessions.index(session)] = vcpu.hypervisor.hart.cycles - self.began

    def restart(self, vcpu) -> None:
        """A vCPU begins again: its kernel boots, and perf and the program with it."""
        old = next(one for one in self.all if one.machine.vcpu is vcpu)
        old.machine.switch_off()
        old.finish()
        place = replace(old.place, again=old.machine)
        told = getattr(old, "told", ignored)
        new = self._session(old.request, place, told)
        new.machine.at_start = lambda: None
        for several in (self.all, self.sessions, self.others):
            several[:] = [new if one is old else one for one in several]
        self.machines[self.machines.index(old.machine)] = new.machine
        if isinstance(new, GuestSession):
            new.opened()
        self.account.follow(new)
        self.moments.follow(new.machine)
        for host in self.hosts:
            if isinstance(host, HostRecord):
                host.follow_guest(new.machine)
        if (limit := new.request.workload.timeout_ns) is not None:
            new.machine.kernel.interrupt_at(vcpu.hypervisor.hart.cycles + limit, signal.SIGTERM)

    def so_far(self) -> JointReport:
        """The report while it goes on; of sessions it has what can be told without disturbing."""
        return self.account.so_far()


def ignored(text) -> None:
    """What perf says on further vCPUs."""


def quiet(request: GuestRequest) -> GuestRequest:
    """The same on a further vCPU: its output, and the program's, is nobody's."""
    if isinstance(request, ListRequest):
        return request
    nowhere = os.open(os.devnull, os.O_RDWR)
    workload = replace(request.workload, descriptors=(nowhere, nowhere, nowhere))
    if isinstance(request, StatRequest):
        every = request.every and replace(request.every, told=ignored)
        return replace(request, workload=workload, every=every)
    return replace(request, workload=workload, output=os.devnull, build_ids="")


def engine_of(guests) -> str:
    """What executes the programs, if there are any."""
    engines = [one.workload.engine for one in guests if not isinstance(one, ListRequest)]
    return engines[0] if engines else guests[0].workload.engine


def check(guests, hosts, options: JointOptions) -> None:
    """SessionError for what can't be run together."""
    machine = options.machine
    if machine.vpmu == "passthrough":
        check_counters(machine.counters, options.reserve)
    check_files((*guests, *hosts))
    for request in hosts:
        vm = getattr(request, "vm", None)
        if vm is not None and vm >= len(guests):
            there = "vm0" if len(guests) == 1 else f"vm0 to vm{len(guests) - 1}"
            raise SessionError(f" Error: no vm{vm}: there is {there}", FAILED)
        for cpu in getattr(request, "cpus", None) or ():
            if cpu >= options.harts:
                few = "only 0" if options.harts == 1 else f"only 0 to {options.harts - 1}"
                raise SessionError(f" Error: there is no CPU {cpu}, {few}", FAILED)
    check_script(
        options.script, len(guests), options.vcpus, options.harts, machine.vpmu,
        options.reserve or 0,
    )  # fmt: skip
    for vm, vcpu in options.without_pmu:
        for what, number, there in (("vm", vm, len(guests)), ("vcpu", vcpu or 0, options.vcpus)):
            check_there(what, number, there)
    for vm, vcpu, hart in options.pinned:
        for what, number, there in (
            ("vm", vm, len(guests)),
            ("vcpu", vcpu or 0, options.vcpus),
            ("hart", hart, options.harts),
        ):
            check_there(what, number, there)


def check_files(requests) -> None:
    """SessionError if two recordings would be written to one file."""
    seen = set()
    for request in requests:
        if isinstance(request, RecordRequest):
            path = os.path.realpath(request.output) if request.output else "-"
            if path in seen and path != os.devnull:
                what = f"two sessions write {request.output or 'to stdout'}; give one another -o"
                raise SessionError(f" Error: {what}", FAILED)
            seen.add(path)


def check_counters(passed: int | None, reserved: int | None) -> None:
    """SessionError if guests and host want more counters than there are."""
    passed, reserved = 16 if passed is None else passed, reserved or 0
    if passed + reserved > PROGRAMMABLE:
        raise SessionError(
            f" Error: {passed} counters passed through + {reserved} reserved for the host = "
            f"{passed + reserved}, but a hart has {PROGRAMMABLE} (3 to 31)",
            FAILED,
        )
