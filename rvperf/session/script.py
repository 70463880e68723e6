"""What happens to the vCPUs and harts of `kvm run` while it runs: who moves where, who is stopped,
reset or destroyed, and which hart is taken away."""

from __future__ import annotations

from isa.counting import FIRST, PROGRAMMABLE
from isa.record import Record
from rvperf.results import Happening
from rvperf.session import FAILED, SessionError
from rvperf.stack.hypervisor.scheduling import Move, Stop
from rvperf.stack.sbi import bits

OF_IMAGES = ("snapshot", "restore", "counters")
"""What only counters that are passed through have."""


class Migration(Record):
    """At a time, in ns since the guests began, a vCPU goes to a hart."""

    time: int
    vm: int
    vcpu: int
    hart: int


class Change(Record):
    """At a time, something is done with a VM, or with one of its vCPUs alone.

    "destroy" and "reset" end it and have it begin again; "snapshot" takes the registers of its
    counters while it runs, "restore" puts back what was taken last; "counters" gives it `number`
    of them.
    """

    time: int
    what: str
    vm: int
    vcpu: int | None = None
    number: int = 0


class Offline(Record):
    """From a time to another, in ns since the guests began, a hart isn't there."""

    start: int
    end: int
    hart: int


class Script(Record):
    """All of it, each kind in the order of time. `migrate_every` is after how many ns each vCPU
    goes to the next hart, 0 for never."""

    migrations: tuple[Migration, ...] = ()
    changes: tuple[Change, ...] = ()
    offline: tuple[Offline, ...] = ()
    migrate_every: int = 0


def check(script: Script, vms: int, vcpus: int, harts: int, design: str, reserve: int) -> None:
    """SessionError for what can't be done; `design` is the VMs' and `reserve` how many counters the
    host keeps."""
    for one in (*script.migrations, *script.changes, *script.offline):
        for what, there in (("vm", vms), ("vcpu", vcpus), ("hart", harts)):
            check_there(what, getattr(one, what, None) or 0, there)
    taken = set()
    for one in script.changes:
        whose = {(one.vm, n) for n in (range(vcpus) if one.vcpu is None else (one.vcpu,))}
        if one.what in OF_IMAGES and design != "passthrough":
            what = f"`{one.what}' needs counters that are passed through: --vpmu passthrough"
            raise SessionError(f" Error: {what}", FAILED)
        if one.what == "snapshot":
            taken |= whose
        if one.what == "restore" and whose - taken:
            what = f"nothing to restore at {one.time} ns: no snapshot of vm{one.vm} before"
            raise SessionError(f" Error: {what}", FAILED)
        if one.what == "counters" and one.number + reserve > PROGRAMMABLE:
            raise SessionError(
                f" Error: {one.number} counters passed through + {reserve} reserved for the host = "
                f"{one.number + reserve}, but a hart has {PROGRAMMABLE}",
                FAILED,
            )
    for time in sorted(one.start for one in script.offline):
        if len({one.hart for one in script.offline if one.start <= time < one.end}) == harts:
            raise SessionError(f" Error: no hart is left at {time} ns", FAILED)
    for one in script.migrations:
        if any(
            each.hart == one.hart and each.start <= one.time < each.end for each in script.offline
        ):
            raise SessionError(f" Error: hart {one.hart} is offline at {one.time} ns", FAILED)


def check_there(what: str, number: int, there: int) -> None:
    """SessionError if there is no such VM, vCPU or hart."""
    if number >= there:
        few = "there is only 0" if there == 1 else f"there are 0 to {there - 1}"
        raise SessionError(f" Error: no {what} {number}: {few}", FAILED)


class Direction:
    """Has a script carried out on a `session.joint.Joint` whose guests have begun at `began`."""

    def __init__(self, script: Script, joint, began: int):
        self.script, self.joint, self.began = script, joint, began
        self.harts = joint.board.harts
        self.happened: list[Happening] = []
        self._images: dict = {}

    def begin(self) -> None:
        """Tell the schedulers what they will have to do, and when."""
        moves = [self._move(one) for one in self.script.migrations]
        if every := self.script.migrate_every:
            for vcpu in self.joint.vcpus:
                to = lambda vcpu=vcpu: self._next_of(vcpu)  # noqa: E731
                moves.append(Move(self.began + every, vcpu, to, every))
        for one in self.script.changes:
            for vcpu in self.joint.vcpus:
                if vcpu.vm.number == one.vm and one.vcpu in (None, vcpu.number):
                    moves.append(self._stop(one, vcpu))
        moves.sort(key=lambda one: one.time)
        for number, one in enumerate(self.harts):
            scheduler = one.host.scheduler
            scheduler.moves = moves
            scheduler.offline = tuple(
                (self.began + each.start, self.began + each.end)
                for each in self.script.offline
                if each.hart == number
            )
            scheduler.refuge = lambda time, one=one: self._next_online(one, time)
            scheduler.spare = self._idle
            scheduler.pinned = self.joint.pinned
            scheduler.spare = self._idle
            scheduler.pinned = self.joint.pinned
            one.host.armed = False

    # Harts.

    def _move(self, one: Migration) -> Move:
        vcpu = next(
            each for each in self.joint.vcpus if (each.vm.number, each.number) == (one.vm, one.vcpu)
        )
        return Move(self.began + one.time, vcpu, lambda: self.harts[one.hart].host)

    def _next_of(self, vcpu):
        """Whose host a vCPU goes to that goes round."""
        here = next(one for one in self.harts if one.host is vcpu.hypervisor)
        return self._next_online(here, here.hart.cycles)

    def _next_online(self, here, time: int):
        """The host of the next hart that is there."""
        at, away = self.harts.index(here), self._away(time)
        numbers = [(at + n) % len(self.harts) for n in range(1, len(self.harts) + 1)]
        return self.harts[next(n for n in numbers if n not in away)].host

    def _idle(self, time: int):
        """The host of a hart that is there and has nothing to do; None if there is none."""
        away = self._away(time)
        for number, one in enumerate(self.harts):
            if number not in away and one.host.vcpu is None and not one.host.scheduler.ready:
                return one.host
        return None

    def _away(self, time: int) -> set[int]:
        """Harts that are offline."""
        now = time - self.began
        return {one.hart for one in self.script.offline if one.start <= now < one.end}

    # What is done with vCPUs.

    def _stop(self, one: Change, vcpu) -> Stop:
        do = getattr(self, f"_{one.what}")

        def act(host) -> None:
            about = do(host, vcpu, one) or ""
            number = self.joint.board.hosts.index(host)
            self.happened.append(
                Happening(host.hart.cycles, self.joint.names[vcpu], one.what, number, about)
            )

        return Stop(self.began + one.time, vcpu, act)

    def _destroy(self, host, vcpu, one: Change) -> None:
        host.destroy(vcpu)
        self.joint.switch_off(vcpu)
        vcpu.stopped = True

    def _reset(self, host, vcpu, one: Change) -> None:
        host.destroy(vcpu)
        self.joint.restart(vcpu)
        host.set_up(vcpu)

    def _snapshot(self, host, vcpu, one: Change) -> str:
        if not vcpu.vpmu.reserved:
            return "it has no counters"
        image = self._images[vcpu] = vcpu.vpmu.snapshot(vcpu)
        running = [n for n in image.values if not image.inhibited >> n & 1]
        shown = [f"{n} {image.values[n]:#x} {image.events[n]:#x}" for n in running]
        shown.append("an interrupt pending" if image.pending else "no interrupt pending")
        return ", ".join(shown)

    def _restore(self, host, vcpu, one: Change) -> str:
        if vcpu not in self._images:
            return "refused: there is no snapshot of it"
        try:
            vcpu.vpmu.put_back(vcpu, self._images[vcpu])
        except ValueError as error:
            return f"refused: {error}"
        return ""

    def _counters(self, host, vcpu, one: Change) -> str:
        """The host's own counters are others then; it can't be given those that are in use."""
        if not vcpu.vpmu.reserved:
            return "it has no counters"
        wanted = ((1 << one.number) - 1) << FIRST
        for number, each in enumerate(self.harts):
            if used := wanted & each.host.core.driver.used:
                return f"refused: the host counts with {[*bits(used)][0]} of hart {number}"
        vcpu.vpmu.resize(vcpu, one.number)
        for each in self.harts:
            each.host.core.driver.limit = self.joint.hosts_counters()
        return str(one.number)
