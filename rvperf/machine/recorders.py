"""What recorders of harts (calls, transfers, executions) do for one of several programs that take
turns on them: what it wants of them, and what they hold of it while it runs on none.

They record programs alone, so that it is enough to change them where who runs there changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from isa.modes import VU
from rvperf.machine.calls import CallStack
from rvperf.machine.executions import PageIdentity
from rvperf.machine.transfers import TYPES


class Recorders:
    """Of one vCPU. What it wants is said as to a Hart, before engines are made."""

    def __init__(self):
        self.kept: int | None = None
        self.types: frozenset[str] = frozenset()
        self.depth = 0
        self.executions = False
        self.identify: Callable[[int], PageIdentity] | None = None
        """As `Executions.identify`."""
        self._stack: CallStack | None = None
        self._records: tuple[bytes, int, int] | None = None  # and the cycles in VU-mode then

    def record_calls(self, kept: int = 0) -> None:
        """As `Hart.record_calls`."""
        self.kept = kept

    def record_transfers(self, types: Iterable[str] = TYPES, depth: int = 32) -> None:
        """As `Hart.record_transfers`."""
        self.types, self.depth = frozenset(types), depth

    def record_executions(self) -> None:
        """As `Hart.record_executions`."""
        self.executions = True

    @staticmethod
    def switch_on(hart, all_of: Iterable[Recorders]) -> None:
        """Have a hart record what is wanted by some of those that may run there."""
        all_of = list(all_of)
        if any(one.kept is not None for one in all_of):
            hart.record_calls()
        if any(one.types for one in all_of):
            hart.record_transfers(frozenset().union(*(one.types for one in all_of)))
            hart.transfers.varies = len({one.types for one in all_of}) > 1
        if any(one.executions for one in all_of):
            hart.record_executions()

    # Who runs on a hart changes.

    def load(self, hart) -> None:
        """It runs on a hart from now on."""
        if hart.calls:
            hart.calls.keep(self.kept or 0)
            hart.calls.exchange(self._stack)
        if hart.transfers and not hart.ctr:
            transfers = hart.transfers
            transfers.want(self.types, self.depth)
            if self._records:
                records, at, cycles = self._records
                transfers.put_back(records, at, self._cycles(hart) - cycles)
        if hart.executions:
            hart.executions.belong_to(self, self.identify)

    def put(self, hart) -> None:
        """It no longer does: it takes along what is there of it."""
        if hart.calls:
            self._stack = hart.calls.exchange(hart.calls.nobodys)
        if hart.transfers and not hart.ctr:
            self._records = (*hart.transfers.take(), self._cycles(hart))
            hart.transfers.want((), self.depth)
        if hart.executions:
            hart.executions.belong_to(None)

    @staticmethod
    def _cycles(hart) -> int:
        """The clock of transfers."""
        hart.collect()
        return hart.counts[VU]["cycles"]

    def executed(self, harts) -> list[tuple[PageIdentity, dict[str, array]]]:
        """As `Hart.executed`, of it alone on several harts."""
        return [found for hart in harts for found in hart.executed(self)]
