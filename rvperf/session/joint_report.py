"""What came of a `kvm run`, while it goes on and at its end."""

from __future__ import annotations

from collections import Counter

from isa.causes import name_of_cause
from isa.modes import VS, M, S
from isa.record import replace
from isa.routing import INTERRUPT
from rvperf.machine.pmu import FIRST
from rvperf.results import GuestFigures, JointReport, JointSession
from rvperf.session.host import WHY_LOST
from rvperf.session.host_stat import HostStat
from rvperf.session.joint_host import HostRecord
from rvperf.session.listing import GuestList, HostList
from rvperf.session.virtual import GuestSession, GuestStat, vpmu_for
from rvperf.stack.hypervisor.pmu_exits import is_of_pmu
from rvperf.stack.sbi import bits, name_of

OVERFLOW = INTERRUPT | 13
GUEST_MISSED = "their periods ended while the event was switched out, which the driver overlooks"
GUEST_WAITS = "the interrupt came when the period after was over, too"


class Account:
    """Keeps account of a `session.joint.Joint`."""

    def __init__(self, joint):
        self.joint = joint
        self.missed: Counter = Counter()
        """By guest's session."""

    def follow(self, session) -> None:
        """Count the periods that end while an event of a guest's is switched out."""
        driver = session.perf.core.driver
        driver.start = self._noting(driver.start, session)

    def _noting(self, start, session):
        def started(event, reload=True):
            self.missed[session] += event.sampling and event.period_left <= 0
            start(event, reload)

        return started

    def so_far(self) -> JointReport:
        """The report while it goes on; of sessions it has what can be told without disturbing."""
        owners = tuple(interval for one in self.joint.owners for interval in one.so_far())
        return replace(self.report((), (), owners), sessions=self._sessions_so_far(), running=True)

    def _sessions_so_far(self) -> tuple[JointSession, ...]:
        found = []
        for session in (*self.joint.sessions, *self.joint.hosts):
            recorded = isinstance(session, GuestSession | HostRecord)
            samples = session.recording.samples if recorded else None
            if isinstance(session, HostStat):
                found.append(JointSession("host", (session.whose,), counts=session.so_far()))
            elif isinstance(session, HostList | GuestList):
                found.append(self._list_session(session))
            elif isinstance(session, HostRecord):
                found.append(
                    JointSession("host", session.request.command, samples, session.recording.lost)
                )
            else:
                name, argv = self.joint.names[session.machine.vcpu], session.request.workload.argv
                counts = session.so_far() if isinstance(session, GuestStat) else ()
                found.append(JointSession(name, argv, samples, counts=counts))
        return tuple(found)

    def report(self, guests, hosts, owners) -> JointReport:
        """All of it; `guests` and `hosts` are the sessions' results."""
        joint = self.joint
        board, options = joint.board, joint.options
        vpmu = vpmu_for(options.machine)
        calls, origins, overflows = Counter(), Counter(), Counter()
        for one in board.harts:
            for (what, *about), count in one.host.tally.items():
                if what == "call":
                    calls[name_of(*about[1:])] += count
            origins.update(one.host.calls_by_origin)
            overflows["M"] += one.firmware.tally["interrupt", M, OVERFLOW]
            overflows["HS"] += one.host.tally["interrupt", S, OVERFLOW]
        for machine in joint.machines:
            overflows["VS"] += machine.kernel.tally["interrupt", VS, OVERFLOW]
        sessions = [
            self._guest_session(session, result)
            for session, result in zip(joint.sessions, guests, strict=False)
        ]
        sessions += [
            self._host_session(session, result)
            for session, result in zip(joint.hosts, hosts, strict=False)
        ]
        return JointReport(
            vpmu=options.machine.vpmu,
            policy=getattr(vpmu, "policy", ""),
            start=joint.began,
            end=max(one.hart.cycles for one in board.harts),
            harts=options.harts,
            reserved=tuple(bits(vpmu.reserved)),
            counters=tuple(range(FIRST, FIRST + board.counters)),
            sessions=tuple(sessions),
            guests=tuple(self._figures(machine) for machine in joint.machines),
            owners=owners,
            unused=self._unused(),
            owners_grain=max(one.grain for one in joint.owners),
            owner_changes=sum(one.changes for one in joint.owners),
            switches=sum(one.host.scheduler.switches for one in board.harts),
            migrations=sum(one.host.migrations for one in board.harts),
            sbi_calls=calls.total(),
            sbi_calls_by_function=dict(sorted(calls.items())),
            sbi_calls_by_origin=dict(origins),
            overflow_irqs=dict(overflows),
            overflows=tuple(sorted(joint.moments.overflows, key=lambda one: one.time)),
            totals=joint.moments.totals(),
            happened=tuple(joint.direction.happened) if joint.direction else (),
        )

    def _figures(self, machine) -> GuestFigures:
        exits, vpmu, kernel = machine.vcpu.exits, machine.vpmu, machine.kernel
        causes = Counter(name_of_cause(one.cause) for one in exits)
        return GuestFigures(
            name=self.joint.names[machine.vcpu],
            hart=self.joint.board.hosts.index(machine.host),
            vm_exits=len(exits),
            vm_exits_by_cause=dict(sorted(causes.items())),
            pmu_exits=sum(is_of_pmu(one.cause, one.key) for one in exits),
            guest_sbi_calls=sum(n for key, n in kernel.tally.items() if key[0] == "call"),
            saves=vpmu.times_saved,
            restores=vpmu.times_restored,
            registers_saved=vpmu.saves,
            registers_restored=vpmu.restores,
            overflow_irqs=kernel.tally["interrupt", VS, OVERFLOW],
        )

    def _list_session(self, session) -> JointSession:
        name = "host" if isinstance(session, HostList) else self.joint.names[session.machine.vcpu]
        return JointSession(name, session.request.patterns, listed=True)

    def _guest_session(self, session, result) -> JointSession:
        if isinstance(session, GuestList):
            return self._list_session(session)
        name = self.joint.names[session.machine.vcpu]
        if isinstance(session, GuestStat):
            return JointSession(name, session.request.workload.argv, counts=result.counts)
        counts = session.counts
        due = sum(
            counts[one.number].count // one.spec.period
            for one in session.perf.open
            if one.number in counts and one.spec.period and not one.spec.freq
        )
        due += sum(one.count // one.spec.period for one in session.perf.software_sampled())
        lost = max(due - result.samples, 0)
        missed = min(self.missed[session], lost)
        why = [f"{missed}: {GUEST_MISSED}"] if missed else []
        if lost > missed:
            why.append(f"{lost - missed}: {GUEST_WAITS}")
        return JointSession(
            name, session.request.workload.argv, result.samples, lost, "; ".join(why), result.path
        )

    def _host_session(self, session, result) -> JointSession:
        if isinstance(session, HostList):
            return self._list_session(session)
        if isinstance(session, HostStat):
            return JointSession("host", result.command, counts=result.counts)
        lost = session.recording.lost
        why = ""
        if lost:
            why = session.perf.why_lost or WHY_LOST
        return JointSession("host", session.request.command, result.samples, lost, why, result.path)

    def _unused(self) -> tuple[str, ...]:
        passed = 0
        for machine in self.joint.machines:
            passed |= machine.vpmu.reserved
        return self.joint.owners[0].unused(passed, (1 << FIRST + self.joint.board.counters) - 1)
