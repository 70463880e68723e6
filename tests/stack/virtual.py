"""A whole stack for tests: firmware, hypervisor, and a guest that is a few lines of Python.

The guest is a Level in VS-mode with a PMU driver and a core of its own, as a kernel has; what it
does is a function that is given it.
"""

from __future__ import annotations

import re

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S
from rvperf.machine.hart import Hart
from rvperf.machine.pmu import SOURCES
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.events_core import EventAttr, EventsCore
from rvperf.stack.firmware import Firmware
from rvperf.stack.hypervisor import Hypervisor, Vcpu, Vm
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from rvperf.stack.level import ACCESSES, Level
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.pmu_drivers.sbi import SbiDriver
from rvperf.stack.sbi import Base, Extension, Snapshot, name_of

MEMORY = 64 << 20
TABLES = 4 << 20
SIP, SIE, STVEC, SSTATUS, SEPC, SCAUSE = (
    CSR_NUMBERS[name] for name in ("sip", "sie", "stvec", "sstatus", "sepc", "scause")
)
SIE_BIT, SPP, WFI = 1 << 1, 1 << 8, 0x10500073
CYCLES, INSTRUCTIONS = 1, 2
# The CSRs of a PMU: what else is accessed isn't its affair.
COUNTER = re.compile(r"cycle|instret|hpmcounter\d+")
OF_PMUS = {"siselect", "sireg", "sireg2", "scountinhibit", "vscountinhibit", "scountovf", "sip"}


class Guest(Level):
    """The guest's kernel, as far as its PMU goes."""

    def __init__(self, stack, vcpu):
        super().__init__(stack.hart, VS, vcpu.leave)
        self.stack, self.vcpu = stack, vcpu
        self.core = None
        self.overflows = 0
        self.samples = self.missed = 0
        self.done = False
        # The ledger of VS and VU when the vCPU left the hart, and what others did in it so far.
        self.left = {mode: dict.fromkeys(SOURCES, 0) for mode in (VS, VU)}
        self.others = {mode: dict.fromkeys(SOURCES, 0) for mode in (VS, VU)}

    def boot(self, driver) -> None:
        """Set up traps, and the driver."""
        self.write(STVEC, 0xFFFFFFFF80000000)
        driver.probe()
        self.core = EventsCore(driver, lambda: self.hart.cycles)
        driver.start = self._noting_missed(driver.start)
        for name in ("open", "close", "enable", "read", "exec", "exit", "switch_in", "switch_out"):
            setattr(self.core, name, self._undisturbed(getattr(self.core, name)))
        self.set(SSTATUS, SIE_BIT)

    def _noting_missed(self, start):
        """A period that ended while an event was switched out is no sample: riscv_pmu_start doesn't
        look at what riscv_pmu_event_set_period tells it."""

        def started(event, reload=True):
            self.missed += event.sampling and event.period_left <= 0
            start(event, reload)

        return started

    def _undisturbed(self, method):
        """The kernel calls its core with interrupts off."""

        def call(*arguments, **named):
            was_on = self.read(SSTATUS) & SIE_BIT
            self.clear(SSTATUS, was_on)
            try:
                return method(*arguments, **named)
            finally:
                self.set(SSTATUS, was_on)
                self.poll()

        return call

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

    def retired(self, mode, source="instructions") -> int:
        """How many there have been in VS-mode or VU-mode of this vCPU's."""
        return self.hart.counts[mode][source] - self.others[mode][source]

    def comes(self) -> None:
        """Its vCPU comes to the hart: what has happened there since it left was others'."""
        for mode, counts in self.others.items():
            for source in counts:
                counts[source] += self.hart.counts[mode][source] - self.left[mode][source]

    def goes(self) -> None:
        """Its vCPU leaves the hart."""
        self.left = {mode: dict(self.hart.counts[mode]) for mode in self.left}

    def user(self, instructions: int) -> None:
        """Execute some instructions in VU-mode, behind which is an ecall to VS-mode."""
        hart = self.hart
        self.clear(SSTATUS, SPP)
        hart.sret()
        hart.charge(instructions, instructions)
        while hart.interrupt():
            while hart.mode not in (VS, VU):
                self.above()
            if hart.mode == VS:
                self.interrupted()
        hart.take(Trap(Cause.ENVIRONMENT_CALL_FROM_U))
        self.set(SSTATUS, SIE_BIT)

    def sampled(self, event) -> None:
        """A period of an event is over."""
        self.samples += 1

    # Exits that have nothing to do with the PMU.

    def ask(self) -> None:
        """Make an SBI call that is not the PMU's."""
        self.call(Extension.BASE, Base.GET_SPEC_VERSION)

    def wait(self) -> None:
        """wfi."""
        self._trap(Trap(Cause.VIRTUAL_INSTRUCTION, WFI), 0)

    def touch(self, gpa: int) -> None:
        """Load from an address, which may be a stage-2 fault."""
        while True:
            try:
                self.hart.load(gpa, 8)
                return
            except Trap as trap:
                self.hart.take(trap)
                self._serve()

    def let_host(self, do) -> None:
        """Make an SBI call behind which the host does something."""
        self.stack.wanted.append(do)
        self.ask()

    def switched_out(self) -> None:
        """Make an SBI call behind which another task of the host runs for a moment."""
        self.vcpu.hypervisor.scheduler.interludes.append(0)
        self.ask()


class Stack:
    """A hart with everything on it, for the design `vpmu`. Run `run(guest)` in the guest, or one
    in each of several VMs of this design, or of those named in `vpmus`."""

    def __init__(self, vpmu: str, quirks=(), vpmus=(), vcpus=1, guest=Guest, **options):
        self.guest, self.vcpus = guest, vcpus
        self.quirks = frozenset(quirks)
        designs = [DESIGNS[name] for name in vpmus or (vpmu,)]
        ram = Ram(MEMORY * (1 + len(designs)))
        extensions = frozenset().union(*(design.needs(self.quirks) for design in designs))
        self.hart = Hart(ram, 0, extensions, quirks=self.quirks)
        self.firmware = Firmware(self.hart)
        self.host = Hypervisor(self.hart, self.firmware.trap, tick_ns=0)
        self.vms = []
        for number, design in enumerate(designs):
            tables = ram.base + (16 << 20) + TABLES * number
            at = ram.base + MEMORY * (1 + number)
            vpmu = design(quirks=self.quirks, **options)
            self.vms.append(Vm(self.host, number, at, MEMORY, (tables, tables + TABLES), vpmu))
        self.vm, self.vpmu = self.vms[0], self.vms[0].vpmu
        self.guests: list[Guest] = []
        self.wanted: list = []
        """What the host is to do behind the next exit."""
        self._load, self._put = self.host.load, self.host.put
        self.host.load, self.host.put = self._loaded, self._putting
        self._decide = self.host.scheduler.decide
        self.host.scheduler.decide = self._do_wanted

    def run(self, *runs) -> Guest:
        """Boot, and have `run(guest)` executed by each vCPU of each VM. The first one's guest."""
        vms = [vm for vm in self.vms for _ in range(self.vcpus)]
        for vm, run in zip(vms, runs, strict=True):
            vcpu = Vcpu(vm, self._software(len(self.guests), run))
            vcpu.software = self.guest(self, vcpu)
            self.guests.append(vcpu.software)
        self.firmware.boot(0)
        self.host.boot()
        self.host.count_with(self.driver_for(self.host, self.vpmu.host_driver, None))
        for guest in self.guests:
            self.host.add(guest.vcpu)
        self.host.start()
        while not all(guest.done for guest in self.guests):
            mode = self.hart.mode
            {VS: self._guest, VU: self._guest, S: self.host.trap, M: self.firmware.trap}[mode]()
        return self.guests[0]

    def _software(self, number: int, run):
        def software():
            guest = self.guests[number]
            vcpu = guest.vcpu
            guest.boot(self.driver_for(guest, vcpu.vpmu.guest_driver, vcpu.vm.memory))
            self.started(guest)
            run(guest)
            guest.done = True
            while not all(one.done for one in self.guests):
                guest.wait()

        return software

    def _loaded(self, vcpu) -> None:
        vcpu.software.comes()
        self._load(vcpu)

    def _putting(self) -> None:
        self.host.vcpu.software.goes()
        self._put()

    def _do_wanted(self) -> None:
        while self.wanted:
            self.wanted.pop(0)()
        self._decide()

    def _guest(self) -> None:
        self.host.vcpu.resume()

    def started(self, guest) -> None:
        """Booting is over: what was counted so far is not of interest."""
        guest.vcpu.exits.clear()
        self.host.tally.clear()
        self.host.calls_by_origin = dict.fromkeys(self.host.calls_by_origin, 0)

    def driver_for(self, level, kind, memory):
        """A kernel's driver by name. Where counters are passed through, the host's are the last."""
        if kind == "delegation":
            given = self.vpmu.reserved
            ours = {"lowest_first": False, "limit": ~given} if given and level is self.host else {}
            return DelegationDriver(level, quirks=self.quirks, **ours)
        if kind == "snapshot":
            page = Snapshot(memory, memory.base + Snapshot.SIZE * level.vcpu.number)
            return SbiDriver(level, page, self.quirks)
        return SbiDriver(level, quirks=self.quirks)


class Trace:
    """What guest and host do with their PMUs, in order, as words of text.

    "E name" is an SBI call of the guest's, "T access" a CSR access of its that trapped, "G access"
    one that did not, and "I n" an interrupt that made it exit; "h name" and "H access" are the
    host's.
    """

    def __init__(self, stack, guest):
        self.words: list[str] = []
        self.exits = guest.vcpu.exits
        guest.on_operation = lambda operation: self._note("E", "G", operation)
        stack.host.on_operation = lambda operation: self._note("h", "H", operation)

    def of(self, step) -> list[str]:
        """What a step does: a line for each of the guest's operations and interrupts, behind which
        comes what the host does for it."""
        before = len(self.words)
        step()
        lines: list[str] = []
        for word in self.words[before:]:
            if word[0] in "hH":
                lines[-1] += f"{', ' if ' -> ' in lines[-1] else ' -> '}{word}"
            else:
                lines.append(word)
        return lines

    def _note(self, call, access, operation) -> None:
        what, _, *name = operation
        if what == "call":
            self.words.append(f"{call} {name_of(*name)}".replace("PMU.COUNTER_", ""))
        elif what == "exit" and name[0] >> 63:
            self.words.append(f"I {name[0] & 63}")
        elif what in (*ACCESSES, "trapped") and (name[0] in OF_PMUS or COUNTER.match(name[0])):
            if what == "trapped":
                self.words[-1] = "T" + self.words[-1][1:]
            else:
                self.words.append(f"{access} {what} {name[0]}")


def sampling(guest, period: int, selector: int = INSTRUCTIONS, **more):
    """An open event that is sampled, of instructions if not said otherwise, not enabled yet."""
    attr = EventAttr(selector, sample_period=period, disabled=True, **more)
    guest.core.switch_in("task")
    return guest.core.open(attr, "task", on_overflow=guest.sampled)
