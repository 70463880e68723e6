"""perf list in a virtual machine, or on its host: an event of the PMU is there if the kernel's
driver takes it."""

from __future__ import annotations

from isa.record import Record
from rvperf.events import Row
from rvperf.machine.pmu import SELECTORS
from rvperf.session import HARDWARE, Workload
from rvperf.session.host_stat import counts_none_of
from rvperf.session.virtual import Place, VirtualMachine, VmOptions
from rvperf.stack.event_list import ListingGuest, opened

NOTHING = Workload(("list",), None, (), {}, engine="reference")
"""What a VM runs in which perf list is all there is: no instruction of a program's."""


class ListRequest(Record):
    """A perf list of these events; `patterns` are its words."""

    rows: tuple[Row, ...]
    patterns: tuple[str, ...] = ()
    workload: Workload = NOTHING
    events: tuple = ()
    """Those that counters have to count: none."""
    vm: int | None = None
    """The VM that a host's session is about: none in particular."""

    @property
    def selectors(self) -> list[int]:
        """SBI's numbers of the events that a PMU is asked for."""
        return sorted({SELECTORS[HARDWARE[row.source]] for row in self.rows if of_pmu(row)})


def of_pmu(row: Row) -> bool:
    """Whether an event is for the PMU's driver to count."""
    return row.source in HARDWARE


def listed(request: ListRequest, supported: frozenset[int]) -> tuple[Row, ...]:
    """What perf list prints: the kernel's own events, and those of the PMU that could be opened."""
    return tuple(
        row
        for row in request.rows
        if not of_pmu(row) or SELECTORS[HARDWARE[row.source]] in supported
    )


def list_events(request: ListRequest, options: VmOptions) -> tuple[Row, ...]:
    """What perf list prints in a VM. SessionError."""
    session = GuestList(request, options)
    session.machine.run()
    return session.finish()


class ListingMachine(VirtualMachine):
    """A VM that boots, in which perf list runs, and that ends."""

    def __init__(self, request: ListRequest, options: VmOptions, place: Place | None = None):
        self.request = request
        super().__init__(request.workload, options, frozenset(), place=place)
        self.kernel.use(self.driver())

    def make_kernel(self, tally=None) -> tuple[ListingGuest, str]:
        """A kernel whose only program is perf list."""
        return ListingGuest(self.hart, self.vcpu.leave, tally), ""

    def _guest(self) -> None:
        kernel = self.kernel
        kernel.boot()
        self._booted()
        kernel.list(self.request.selectors)
        self.power_off()


class GuestList:
    """perf list in a VM, which is where `place` says, or made for it."""

    live = frozenset()

    def __init__(self, request: ListRequest, options: VmOptions, place: Place | None = None):
        self.request, self.place = request, place
        self.machine = ListingMachine(request, options, place)
        self.perf = self.machine.kernel

    def opened(self) -> None:
        """Nothing is written before all is known."""

    def finish(self) -> tuple[Row, ...]:
        """What it prints, after the run."""
        return listed(self.request, self.machine.kernel.supported)


class HostList:
    """perf list on the host while `vcpus` run there."""

    def __init__(self, request: ListRequest, board, vcpus):
        self.request, self.board, self.vcpus = request, board, vcpus
        self.supported: frozenset[int] = frozenset()

    def opened(self) -> None:
        """Nothing is written before all is known."""

    def open_on(self, host) -> None:
        """perf list runs, on the first hart's host."""
        if host is not self.board.harts[0].host:
            return
        if counts_none_of(self.vcpus, exclude_guest=False):
            return
        self.supported = opened(host.core, self.request.selectors)

    def finish(self) -> tuple[Row, ...]:
        """What it prints, after the run."""
        return listed(self.request, self.supported)
