"""What `perf list` does in a kernel: it tries which events perf_event_open(2) takes."""

from __future__ import annotations

from collections.abc import Iterable

from isa.csrs import CSR_NUMBERS
from isa.modes import VS
from rvperf.stack.events_core import EventAttr, EventsCore
from rvperf.stack.kernel import DEFAULT_EPOCH, Exit, costs
from rvperf.stack.kernel.kallsyms import TEXT
from rvperf.stack.level import Level

STVEC = CSR_NUMBERS["stvec"]


def opened(core: EventsCore, selectors: Iterable[int], work=lambda cost: None) -> frozenset[int]:
    """Those of the hardware events that a kernel opens: perf's is_event_supported(), which opens
    each for itself, disabled. `work` lets the time of a system call pass."""
    found = set()
    for selector in selectors:
        work(costs.OPEN_EVENT)
        try:
            event = core.open(EventAttr(selector, disabled=True))
        except OSError:
            continue
        found.add(selector)
        work(costs.CLOSE_EVENT)
        core.close(event)
    return frozenset(found)


class ListingGuest(Level):
    """A guest's kernel that has a PMU driver, and no program but `perf list`.

    Interrupts stay off: nothing in it waits, and nothing that it opens counts.
    """

    exit = Exit()
    epoch = DEFAULT_EPOCH

    def __init__(self, hart, above, tally=None):
        super().__init__(hart, VS, above, tally)
        self.driver = self.core = None
        self.supported: frozenset[int] = frozenset()

    def use(self, driver) -> None:
        """Have a driver for the PMU, made for this level."""
        self.driver = driver
        self.core = EventsCore(driver, lambda: self.hart.cycles)

    def boot(self) -> None:
        """Set up traps, and the driver."""
        self.write(STVEC, TEXT)
        self.driver.probe()

    def list(self, selectors: Iterable[int]) -> None:
        """perf list, of these hardware events."""
        self.supported = opened(self.core, selectors, self.charge)

    def interrupt(self, number: int, here: bool = True) -> None:
        """A signal from outside: perf list is over before that matters."""

    def switch_off(self) -> None:
        """As `Kernel.switch_off`; it has nothing of the machine's own host's."""
