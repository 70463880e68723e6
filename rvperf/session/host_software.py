"""What the host's kernel counts by itself: clocks, switches of vCPUs' threads, and what never
happens there. Its programs are the VMMs, which have nothing to do while their vCPUs run."""

from __future__ import annotations

from collections.abc import Callable

from rvperf.events import Event
from rvperf.session import IN_KERNEL

CLOCKS = ("cpu-clock", "task-clock")


class SoftwareEvent:
    """An event on the hart `one`, from now on: system-wide, or of the threads of `vcpus` alone."""

    def __init__(self, event: Event, one, vcpus, whole: bool):
        self._count = counter(event, one, vcpus, whole)
        self._time = clock(one, vcpus, whole) if event.kind != "tool" else self._count
        self._began = self._count(), self._time()

    def read(self) -> tuple[int, int, int]:
        """(count, enabled, running) by now."""
        count, time = self._began
        passed = self._time() - time
        return self._count() - count, passed, passed


def clock(one, vcpus, whole: bool) -> Callable[[], int]:
    """The time of the hart, or for which threads had one, in ns."""
    return (lambda: one.hart.cycles) if whole else lambda: sum(vcpu.ran for vcpu in vcpus)


def counter(event: Event, one, vcpus, whole: bool) -> Callable[[], int]:
    """What an event counts."""
    source = event.source
    if source in CLOCKS:
        return clock(one, vcpus, whole)
    if source == "duration_time":
        return lambda: one.hart.cycles
    if source in IN_KERNEL and not event.exclude_kernel:
        what = "switches" if source == "context-switches" else "migrations"
        return lambda: sum(getattr(vcpu, what) for vcpu in vcpus)
    return lambda: 0
