"""What hardware and software did, step by step, between two stretches of guests' programs."""

from __future__ import annotations

from isa.modes import VU
from rvperf.results import Operation
from rvperf.session.designs import LANES, described
from rvperf.session.moments import OVERFLOW


class Steps:
    """Keeps one stretch of operations of `joint`, from a program's stop until one goes on.

    `kind` says which: "guest overflow", "host overflow", "save" (a vCPU's counters are saved, and
    another's restored), or "move" (saved on one hart, and restored on another; of a single vCPU).
    It keeps the second that there is, where caches are warm, or the only one.
    """

    def __init__(self, joint, kind: str):
        self.joint, self.kind = joint, kind
        self.kept: list[tuple[Operation, ...]] = []
        self._open: dict[int, list] = {}  # by hart: its steps
        self._before: dict[int, tuple] = {}
        self._overflows: dict[int, set[str]] = {}
        self._harts = [one.hart for one in joint.board.harts]
        self._last = None
        joint.moments.also = self._hear

    @property
    def found(self) -> tuple[Operation, ...]:
        return self.kept[-1] if self.kept else ()

    def _hear(self, level, owner: str, operation: tuple) -> None:
        if len(self.kept) == 2:
            return
        what, mode, *about = operation
        hart = level.hart
        key = 0 if self.kind == "move" else self._harts.index(hart)
        steps = self._open.get(key)
        if steps is None:
            if what not in ("exit", "interrupt"):
                return
            steps = self._open[key] = []
            self._before[key], self._overflows[key] = self._saved(), set()
            began = LANES[mode] if what == "exit" else "VU"
            steps.append(Operation(hart.cycles, began, "the guest runs", "work"))
        elif self.kind == "move" and hart is not self._last:
            came = f"the vCPU comes to hart {self._harts.index(hart)}"
            steps.append(Operation(hart.cycles, LANES[level.mode], came, "work"))
        self._last = hart
        lane = LANES[mode] if what == "return" else LANES[level.mode]
        text, kind = described(what, mode, about)
        if what == "trapped":
            last = steps[-1]
            text = f"{last.text} (traps)"
            steps[-1] = Operation(last.time_ns, last.lane, text, "trap")
        else:
            if what == "enter":
                lane = LANES[mode]
            steps.append(Operation(hart.cycles, lane, text, kind))
        if what in ("interrupt", "exit") and OVERFLOW in about:
            self._overflows[key].add(LANES[level.mode])
        if what == "return" or (what == "enter" and mode == VU):
            self._end(key, self._open.pop(key))

    def _saved(self) -> tuple[int, ...]:
        """Saves, restores, migrations."""
        joint = self.joint
        vpmus = {id(machine.vpmu): machine.vpmu for machine in joint.machines}.values()
        return (
            sum(one.times_saved for one in vpmus),
            sum(one.times_restored for one in vpmus),
            sum(one.host.migrations for one in joint.board.harts),
        )

    def _end(self, hart: int, steps: list[Operation]) -> None:
        pairs = zip(self._saved(), self._before.pop(hart), strict=True)
        saved, restored, moved = (now > before for now, before in pairs)
        overflows = self._overflows.pop(hart)
        if (
            (self.kind == "save" and saved and restored)
            or (self.kind == "move" and saved and restored and moved)
            or (self.kind == "guest overflow" and "VS" in overflows)
            or (self.kind == "host overflow" and "HS" in overflows and "VS" not in overflows)
        ):
            self.kept.append(tuple(steps))
