"""A whole stack for tests: firmware, hypervisor, and a guest that is a few lines of Python.

The guest is a Level in VS-mode with a PMU driver and a core of its own, as a kernel has; what it
does is a function that is given it.
"""

from __future__ import annotations

from isa.csrs import CSR_NUMBERS
from isa.modes import VS, M, S
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.stack.events_core import EventAttr, EventsCore
from rvperf.stack.firmware import Firmware
from rvperf.stack.hypervisor import Hypervisor, Vcpu, Vm
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from rvperf.stack.level import Level
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.pmu_drivers.sbi import SbiDriver
from rvperf.stack.sbi import Snapshot

MEMORY = 64 << 20
TABLES = 4 << 20
SIP, SIE, STVEC, SSTATUS, SEPC, SCAUSE = (
    CSR_NUMBERS[name] for name in ("sip", "sie", "stvec", "sstatus", "sepc", "scause")
)
INSTRUCTIONS = 2


class Guest(Level):
    """The guest's kernel, as far as its PMU goes."""

    def __init__(self, stack, vcpu):
        super().__init__(stack.hart, VS, vcpu.leave)
        self.vcpu = vcpu
        self.core = None
        self.overflows = 0
        self.samples = 0

    def boot(self, driver) -> None:
        """Set up traps, and the driver."""
        self.write(STVEC, 0xFFFFFFFF80000000)
        driver.probe()
        self.core = EventsCore(driver, lambda: self.hart.cycles)
        self.set(SSTATUS, 1 << 1)

    def interrupted(self) -> None:
        """The overflow interrupt, while the kernel itself runs."""
        assert self.read(SCAUSE) == 1 << 63 | 13
        at = self.read(SEPC)
        self.origin = "overflow"
        self.overflows += 1
        self.core.driver.overflow(self.core.overflow)
        self.origin = ""
        self.write(SEPC, at)
        self.hart.sret()

    def work(self, instructions: int) -> None:
        """Execute some instructions in VS-mode."""
        self.hart.charge(instructions, instructions)
        self.poll()

    def sampled(self, event) -> None:
        """A period of an event is over."""
        self.samples += 1


class Stack:
    """A hart with everything on it, for the design `vpmu`. Run `run(guest)` in the guest."""

    def __init__(self, vpmu: str, extensions=None, quirks=(), **options):
        ram = Ram(MEMORY * 2)
        design = DESIGNS[vpmu]
        extensions = design.extensions if extensions is None else extensions
        self.hart = Hart(ram, 0, extensions)
        self.firmware = Firmware(self.hart)
        self.host = Hypervisor(self.hart, self.firmware.trap, tick_ns=0)
        tables = ram.base + (16 << 20)
        self.vpmu = design(quirks=frozenset(quirks), **options)
        self.vm = Vm(self.host, 0, ram.base + MEMORY, MEMORY, (tables, tables + TABLES), self.vpmu)

    def run(self, run) -> Guest:
        """Boot, and have `run(guest)` executed by a vCPU."""

        def software():
            guest.boot(self.driver_for(guest, self.vpmu.guest_driver, self.vm.memory))
            self.started()
            run(guest)

        vcpu = Vcpu(self.vm, software)
        guest = vcpu.software = Guest(self, vcpu)
        self.firmware.boot(0)
        self.host.boot()
        self.host.count_with(self.driver_for(self.host, self.vpmu.host_driver, None))
        self.host.add(vcpu)
        self.host.start()
        while not vcpu.finished:
            {VS: vcpu.resume, S: self.host.trap, M: self.firmware.trap}[self.hart.mode]()
        return guest

    def started(self) -> None:
        """Booting is over: what was counted so far is not of interest."""
        vcpu = self.vm.vcpus[0]
        vcpu.exits.clear()
        self.host.tally.clear()
        self.host.calls_by_origin = dict.fromkeys(self.host.calls_by_origin, 0)

    @staticmethod
    def driver_for(level, kind, memory):
        """A kernel's driver by name."""
        if kind == "delegation":
            return DelegationDriver(level)
        if kind == "snapshot":
            return SbiDriver(level, Snapshot(memory, memory.base))
        return SbiDriver(level)


def sampling(guest, period: int, **more):
    """An open event of instructions that is sampled, not enabled yet."""
    attr = EventAttr(INSTRUCTIONS, sample_period=period, disabled=True, **more)
    guest.core.switch_in("task")
    return guest.core.open(attr, "task", on_overflow=guest.sampled)
