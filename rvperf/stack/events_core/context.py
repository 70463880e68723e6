"""The events of one task, or of the CPU: struct perf_event_context."""

from __future__ import annotations

from collections.abc import Callable

from .event import PerfEvent

PINNED, FLEXIBLE = "pinned", "flexible"
KINDS = (PINNED, FLEXIBLE)
"""In the order in which groups get counters: first those that must have one."""


def kind_of(event: PerfEvent) -> str:
    """Which kind of group an event belongs to: its leader decides."""
    return PINNED if event.leader.attr.pinned else FLEXIBLE


class Context:
    """`task` is whose it is; None for the CPU's. `clock` gives nanoseconds."""

    def __init__(self, clock: Callable[[], int], task=None):
        self.clock, self.task = clock, task
        self.events: list[PerfEvent] = []
        self.groups: dict[str, list[PerfEvent]] = {kind: [] for kind in KINDS}
        """Leaders, in the order in which they are tried."""
        self.on: dict[str, list[PerfEvent]] = {kind: [] for kind in KINDS}
        """Leaders of groups that have counters, in the order in which they got them."""
        self.scheduled: set[str] = set()
        """Which kinds are scheduled in: their groups have counters, or couldn't have any."""
        self.rotate = False
        """Some flexible group did not fit."""
        # Which context this is an unchanged copy of, by inheritance (perf_event_context.parent_ctx,
        # generation).
        self.origin: Context | None = None
        self.changes = self.origin_changes = 0
        self.time = 0
        """ns for which it was scheduled in, as far as `update_time` has looked."""
        self._since: int | None = None

    # Time passes for a context while it is scheduled in, and stands still while it is worked on.

    def start_time(self) -> None:
        """It is about to be scheduled in."""
        self._since = self.clock()

    @property
    def now(self) -> int:
        """What `time` would be after `update_time`."""
        return self.time if self._since is None else self.time + self.clock() - self._since

    def update_time(self) -> None:
        """update_context_time()."""
        if self._since is not None:
            now = self.clock()
            self.time, self._since = self.time + now - self._since, now

    def stop_time(self) -> None:
        """It has been scheduled out."""
        self._since = None

    # Groups.

    def add(self, event: PerfEvent) -> None:
        """list_add_event(), perf_group_attach()."""
        self.events.append(event)
        self.changes += 1
        if event.leader is event:
            self.groups[kind_of(event)].append(event)
        else:
            event.leader.siblings.append(event)

    def remove(self, event: PerfEvent) -> None:
        """list_del_event(), perf_group_detach(). Without its leader each of a group is alone."""
        self.events.remove(event)
        self.changes += 1
        if event.leader is not event:
            event.leader.siblings.remove(event)
            event.leader = event
            return
        kind = kind_of(event)
        self.groups[kind].remove(event)
        if event in self.on[kind]:
            self.on[kind].remove(event)
        for sibling in event.siblings:
            sibling.leader = sibling
            alone = kind_of(sibling)
            self.groups[alone].append(sibling)
            if sibling.status == sibling.status.ACTIVE:
                self.on[alone].append(sibling)
        event.siblings = []

    def rotate_to_end(self, leader: PerfEvent) -> None:
        """rotate_ctx(): a flexible group goes behind all others."""
        flexible = self.groups[FLEXIBLE]
        flexible.remove(leader)
        flexible.append(leader)

    def next_to_rotate(self) -> PerfEvent | None:
        """ctx_event_to_rotate(): the group that has had its counters for longest."""
        self.rotate = False
        for leaders in (self.on[FLEXIBLE], self.groups[FLEXIBLE]):
            if leaders:
                return leaders[0]
        return None

    # Copies, which a switch between tasks may exchange instead of scheduling.

    def copied_from(self, parent: Context) -> None:
        """This has been made by inheriting all that is in `parent`."""
        self.origin = parent.origin or parent
        self.origin_changes = parent.origin_changes if parent.origin else parent.changes
        self.changes = 0

    def differs(self) -> None:
        """unclone_ctx(): this is no longer a copy, nor are copies of this one."""
        self.origin = None
        self.changes += 1

    def equivalent(self, other: Context) -> bool:
        """context_equiv()."""
        if self.origin is other:
            return self.origin_changes == other.changes
        if other.origin is self:
            return other.origin_changes == self.changes
        return (
            self.origin is not None
            and self.origin is other.origin
            and self.origin_changes == other.origin_changes
        )
