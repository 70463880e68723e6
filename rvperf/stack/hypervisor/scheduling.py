"""Which vCPU runs on a hart, and for how long: the host's scheduler, as far as vCPUs need it.

vCPU threads take turns in slices of emulated time; one whose guest waits (wfi) sleeps until
something is pending for it; one that waits for the hart goes to another that is idle. Other tasks
of the host may take the hart for a moment, which costs the vCPU a switch out and in again:
`interludes` says when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from isa.csrs import CSR_NUMBERS
from isa.record import Record, replace
from isa.routing import VSLCOFI
from rvperf.machine.timing import CYCLES_A_TICK

from . import costs
from .vcpu import NEVER, VSIE, VSTIMECMP, Vcpu

SLICE_NS = 3_000_000  # EEVDF's base slice
HVIP = CSR_NUMBERS["hvip"]


class Move(Record):
    """A vCPU goes to another hart: to whose host, is asked when it does."""

    time: int
    vcpu: Vcpu
    to: Callable
    every: int = 0
    """ns until the next time; 0 for once."""


class Stop(Record):
    """A vCPU is taken off its hart, wherever that is, for `do(host)`; with `every` as `Move`."""

    time: int
    vcpu: Vcpu
    do: Callable
    every: int = 0


class Scheduler:
    """The vCPU threads of one hart of `host`."""

    def __init__(self, host, slice_ns: int = SLICE_NS, interludes: Iterable[int] = ()):
        self.host = host
        self.slice_ns = slice_ns
        self.interludes = deque(sorted(interludes))
        """When, in ns since power-on, another task of the host runs for a moment."""
        self.ready: deque[Vcpu] = deque()
        self.sleeping: list[Vcpu] = []
        self.slice_end = 0
        self._rest: Vcpu | None = None
        self.switches = 0
        """How often a vCPU has left the hart."""

        self.moves: list[Move | Stop] = []
        """Which vCPUs go to other harts or are stopped, and when; may be of others' too."""
        self.offline: tuple[tuple[int, int], ...] = ()
        """From when to when the hart is offline."""
        self.refuge: Callable | None = None
        """Gives whose host its vCPUs go to then, at a time."""
        self.spare: Callable | None = None
        """Gives a host that has nothing to do, None if there is none; nobody is asked if unset."""
        self.pinned: frozenset[Vcpu] = frozenset()
        """Those that stay, but for `moves`."""

    def add(self, vcpu: Vcpu) -> None:
        """A vCPU that may run."""
        self.ready.append(vcpu)

    def wake_all(self) -> None:
        """Who sleeps has a reason to look again: wfi may end at any time."""
        self.ready.extend(self.sleeping)
        self.sleeping.clear()
        if self.host.vcpu:
            self.host.vcpu.halted = False

    def decide(self) -> None:
        """After a guest's exit: who is to run next? `host.vcpu` is None if nobody is left."""
        host, vcpu = self.host, self.host.vcpu
        now = host.hart.cycles
        self._move()
        if vcpu is None or vcpu is not host.vcpu:
            pass  # it has gone
        elif vcpu.vm.stopped or vcpu.stopped:
            self._leave()
        elif vcpu.halted and not self.runnable(vcpu):
            self._leave()
            self.sleeping.append(vcpu)
        elif self.interludes and now >= self.interludes[0]:
            self.interludes.popleft()
            self._leave()
            host.charge(costs.INTERLUDE)
            self.ready.appendleft(vcpu)
            self._rest = vcpu
        elif self.ready and now >= self.slice_end:
            self._leave()
            self.ready.append(vcpu)
        else:
            vcpu.halted = False
        if host.vcpu is None:
            self.next()
        self._balance()

    def next(self) -> None:
        """Put the next vCPU on the hart; time passes until one can run."""
        host = self.host
        while True:
            self._move()
            self._wake()
            if self.ready:
                vcpu = min(self.ready, key=lambda one: max(one.ready_at - host.hart.cycles, 0))
                if vcpu.ready_at > host.hart.cycles:
                    host.hart.idle_until(vcpu.ready_at)
                    continue  # meanwhile, something else may be due
                self.ready.remove(vcpu)
                vcpu.halted = False
                if vcpu is not self._rest:  # who was interrupted has the rest of its slice
                    self.slice_end = host.hart.cycles + self.slice_ns
                self._rest = None
                host.load(vcpu)
                host.arm()
                return
            if not self.sleeping:
                return
            due = min(vcpu.csrs[VSTIMECMP] for vcpu in self.sleeping)
            move = self._next_move()
            if move is not None and (due == NEVER or move < due * CYCLES_A_TICK):
                host.hart.idle_until(move)
            elif due == NEVER:
                # Only the outside can wake them, and it tells nobody: wfi may end at any time.
                self.wake_all()
            else:
                host.hart.idle_until(due * CYCLES_A_TICK)

    def due(self) -> int | None:
        """When the scheduler wants the timer's interrupt, in ns since power-on."""
        times = [vcpu.csrs[VSTIMECMP] * CYCLES_A_TICK for vcpu in self.sleeping
                 if vcpu.csrs[VSTIMECMP] != NEVER]  # fmt: skip
        if self.ready:
            times.append(self.slice_end)
        if self.interludes:
            times.append(self.interludes[0])
        if (move := self._next_move()) is not None:
            times.append(move)
        return min(times, default=None)

    def runnable(self, vcpu: Vcpu) -> bool:
        """Whether something waits for a vCPU that is halted (kvm_arch_vcpu_runnable)."""
        host = self.host
        loaded = host.vcpu is vcpu
        if host.hart.pmu.delay and host.counters_of is vcpu:  # their interrupt may have come
            vcpu.hvip |= host.read(HVIP) & VSLCOFI
        timer, enabled = (host.read(csr) if loaded else vcpu.csrs[csr] for csr in (VSTIMECMP, VSIE))
        return host.hart.time >= timer or bool(vcpu.injected & enabled)

    def _next_move(self) -> int | None:
        """When a vCPU is moved or stopped, or all have to go."""
        now = self.host.hart.cycles
        times = [one.time for one in self.moves if one.vcpu.hypervisor is self.host]
        times += [start for start, _ in self.offline if start > now]
        return min(times, default=None)

    def _move(self) -> None:
        """Move and stop whose time it is."""
        host = self.host
        now = host.hart.cycles
        for move in [one for one in self.moves if one.time <= now]:
            vcpu = move.vcpu
            if vcpu.hypervisor is not host:
                continue  # perhaps since the last of these moves
            self.moves.remove(move)
            if vcpu.vm.stopped or vcpu.stopped:
                continue
            if move.every:
                self.moves.append(replace(move, time=now + move.every))
            if isinstance(move, Stop):
                self._stop(vcpu, move.do)
            elif (to := move.to()) is not host:
                self._take(vcpu)
                host.migrate(vcpu, to)
        while vcpu := self._stranded():
            self._take(vcpu)
            host.migrate(vcpu, self.refuge(host.hart.cycles))

    def _balance(self) -> None:
        """Give who waits to a hart that is idle (nohz_balancer_kick)."""
        waiting = [vcpu for vcpu in self.ready if vcpu not in self.pinned]
        if waiting and self.spare and (to := self.spare(self.host.hart.cycles)):
            self.ready.remove(waiting[-1])
            self.host.migrate(waiting[-1], to)

    def _stranded(self) -> Vcpu | None:
        """A vCPU of a hart that is offline."""
        now = self.host.hart.cycles
        if not any(start <= now < end for start, end in self.offline):
            return None
        for vcpu in (self.host.vcpu, *self.ready, *self.sleeping):
            if vcpu and vcpu.ready_at <= now and not (vcpu.vm.stopped or vcpu.stopped):
                return vcpu
        return None

    def _stop(self, vcpu: Vcpu, do: Callable) -> None:
        """Take a vCPU off the hart for something; then it goes on, unless it has ended."""
        asleep = vcpu in self.sleeping
        self._take(vcpu)
        do(self.host)
        if not vcpu.stopped:
            self.sleeping.append(vcpu) if asleep else self.ready.appendleft(vcpu)

    def _take(self, vcpu: Vcpu) -> None:
        """It is neither on the hart nor waits for it."""
        if vcpu is self.host.vcpu:
            self._leave()
        else:
            (self.ready if vcpu in self.ready else self.sleeping).remove(vcpu)

    def _leave(self) -> None:
        self.switches += 1
        self.host.put()
        self.host.charge(costs.SWITCH)

    def _wake(self) -> None:
        for vcpu in [vcpu for vcpu in self.sleeping if self.runnable(vcpu)]:
            self.sleeping.remove(vcpu)
            self.ready.append(vcpu)
