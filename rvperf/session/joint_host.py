"""The host's perf record in `kvm run`, which samples several VMs' vCPUs."""

from __future__ import annotations

from rvperf.session.host import GuestMaps, HostSession
from rvperf.session.listing import ListingMachine


class HostRecord(HostSession):
    """A perf record of the host beside guests' own sessions: of vCPUs' threads, or of harts."""

    def __init__(self, request, options, told, machines):
        self.machines = machines
        super().__init__(request, options, told, True, True)

    def make_machine(self, live):
        return next(one for one in self.machines if self.request.vm in (None, one.vm.number))

    def vcpus(self):
        return [machine.vcpu for machine in self.machines]

    def follow_guests(self) -> None:
        for machine in self.machines:
            self.follow_guest(machine)

    def follow_guest(self, machine) -> None:
        """Hear from a guest's kernel what its programs are, if it is sampled."""
        thread = self.tasks.threads.get(machine.vcpu)
        if thread is None or isinstance(machine, ListingMachine):
            return
        maps = GuestMaps(self.recording, thread)
        self.recording.guests.append(maps)
        perf = machine.kernel.perf
        perf.sink = Both(perf.sink, maps)


class Both:
    """A sink of a kernel's events, and `maps`, which is told of programs and their maps alone."""

    def __init__(self, sink, maps: GuestMaps):
        self._sink, self._maps = sink, maps

    def __getattr__(self, name):
        return getattr(self._sink, name)

    def comm(self, task, executed: bool) -> None:
        self._sink.comm(task, executed)
        self._maps.comm(task, executed)

    def mmap(self, task, area, executable: bool) -> None:
        self._sink.mmap(task, area, executable)
        self._maps.mmap(task, area, executable)
