"""How often each instruction was executed, exactly: what samples can be compared with.

Executions and mispredictions are counted at every address; with an instruction's kind they give
each of the hart's other counts there. Counts belong to what a page of code holds, a part of a
file or else memory at an address, so that they outlive the page.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from isa.record import Record
from rvperf.machine.timing import MISPREDICT_CYCLES, cycles_of

HALFWORDS = 2048  # of a page: where an instruction may begin
NOTHING = array("Q", bytes(8 * HALFWORDS))


class PageIdentity(Record):
    """What a page of code holds: a file's page, by its name and the offset of its first byte; or,
    without a name, memory at a virtual address."""

    file: str | None
    offset: int


class PageCounts:
    """The counts in a page, by halfword: how often the instruction that begins there was executed,
    how often it was mispredicted, and its kind ("" if none was executed).

    Code that changes has more than one of these, so that each halfword has one kind.
    """

    def __init__(self, identity: PageIdentity):
        self.identity = identity
        self.executions = array("Q", NOTHING)
        self.misses = array("Q", NOTHING)
        self.kinds = [""] * HALFWORDS

    def counts(self, counted_by_kind: dict[str, tuple[str, ...]]) -> dict[str, array]:
        """What the hart counts, by its name in hart.SOURCES, at each halfword; `counted_by_kind` is
        hart.COUNTED_BY_KIND_NAMES."""
        found = {
            "instructions": self.executions,
            "cycles": array("Q", NOTHING),
            "branches": array("Q", NOTHING),
            "branch-misses": self.misses,
            "loads": array("Q", NOTHING),
            "stores": array("Q", NOTHING),
        }
        cycles = found["cycles"]
        for at, kind in enumerate(self.kinds):
            if kind:
                count = self.executions[at]
                cycles[at] = count * cycles_of(kind) + MISPREDICT_CYCLES * self.misses[at]
                for name in counted_by_kind.get(kind, ()):
                    found[name][at] = count
        return found


class Executions:
    """Counts executions. `identify` tells what lies at a virtual address of the current task.

    Engines that count on their own put theirs in by `add`: whenever a page's code changes, and when
    `collect` asks them to. Where several programs take turns, each page belongs to one of them, by
    `owner`.
    """

    def __init__(self):
        self.identify: Callable[[int], PageIdentity] = lambda va: PageIdentity(None, va & ~0xFFF)
        self.owner: object = None
        """Whose the code is that is executed now; None if there is but one."""
        self.collectors: list[Callable[[], None]] = []
        self._pages: dict[tuple[object, PageIdentity], list[PageCounts]] = {}
        self._near: dict[int, list[PageCounts]] = {}  # by virtual page, while it is mapped so

    def belong_to(
        self, owner: object, identify: Callable[[int], PageIdentity] | None = None
    ) -> None:
        """What is executed from now on is another's, whose pages `identify` tells."""
        self.owner = owner
        self.identify = identify or self.identify
        self._near.clear()

    def place(self, va: int) -> tuple[object, PageIdentity]:
        """Whose the page at an address is, and what it holds."""
        return self.owner, self.identify(va)

    def remapped(self, va: int | None, asid: int | None) -> None:
        """Translations have changed."""
        self._near.clear()

    def retired(self, pc: int, kind: str, missed: bool) -> None:
        """An instruction was executed, not by an engine that counts on its own."""
        pages = self._near.get(pc >> 12)
        if pages is None:
            pages = self._near[pc >> 12] = self._of(self.place(pc))
        at = pc >> 1 & HALFWORDS - 1
        page = next((page for page in pages if page.kinds[at] in ("", kind)), None)
        if page is None:
            page = PageCounts(pages[0].identity)
            pages.append(page)
        page.kinds[at] = kind
        page.executions[at] += 1
        page.misses[at] += missed

    def add(
        self,
        place: tuple[object, PageIdentity],
        executions: array,
        misses: array,
        kinds: list[str],
    ) -> None:
        """Add what was counted in a page of a `place`; `kinds` as `PageCounts` has them."""
        some = [at for at, count in enumerate(executions) if count]
        pages = self._of(place)
        for page in pages:
            if all(page.kinds[at] in ("", kinds[at]) for at in some):
                break
        else:
            page = PageCounts(place[1])
            pages.append(page)
        for at in some:
            page.kinds[at] = kinds[at]
            page.executions[at] += executions[at]
            page.misses[at] += misses[at]

    def _of(self, place: tuple[object, PageIdentity]) -> list[PageCounts]:
        return self._pages.setdefault(place, [PageCounts(place[1])])

    def collect(self, owner: object = None) -> Iterable[PageCounts]:
        """All that has been counted so far of one's code."""
        for collector in self.collectors:
            collector()
        return [page for place, pages in self._pages.items() if place[0] is owner for page in pages]
