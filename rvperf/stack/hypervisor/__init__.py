"""The host in HS-mode: a Linux with KVM that runs virtual machines.

It is entered when a trap of a guest's, or an interrupt, is delivered to HS-mode: a VM exit. It does
what arch/riscv/kvm does, through CSR instructions and SBI calls that the hart sees, and returns
into the guest. What is left out of the host: user space (who started the VM has nothing to do while
it runs) and everything that takes no part in counting.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from heapq import heappop, heappush
from itertools import count

from isa.causes import Cause, Interrupt
from isa.csrs import CSR_NAMES, CSR_NUMBERS
from isa.modes import VS, VU, S
from isa.routing import INTERRUPT, LCOFI, VSLCOFI
from rvperf.machine.timing import CYCLES_A_TICK
from rvperf.stack.events_core import EventAttr, EventsCore, PerfEvent, Reading
from rvperf.stack.level import Level
from rvperf.stack.pmu_drivers.event import HwEvent
from rvperf.stack.pmu_drivers.riscv_pmu import Driver

from . import costs
from .instructions import CsrAccess, Wfi, decoded
from .scheduling import Scheduler
from .vcpu import NEVER, OWN, Exit, Vcpu
from .vm import Vm

__all__ = ["Hypervisor", "Vcpu", "Vm"]

(SSTATUS, STVEC, SEPC, SCAUSE, STVAL, SIE, STIMECMP, SCOUNTEREN, SENVCFG) = (
    CSR_NUMBERS[name]
    for name in (
        "sstatus",
        "stvec",
        "sepc",
        "scause",
        "stval",
        "sie",
        "stimecmp",
        "scounteren",
        "senvcfg",
    )
)
(HSTATUS, HEDELEG, HIDELEG, HCOUNTEREN, HVIP, HVIEN, HGATP, HENVCFG, HTVAL, HTINST, HTIMEDELTA) = (
    CSR_NUMBERS[name]
    for name in (
        "hstatus",
        "hedeleg",
        "hideleg",
        "hcounteren",
        "hvip",
        "hvien",
        "hgatp",
        "henvcfg",
        "htval",
        "htinst",
        "htimedelta",
    )
)
HSTATEEN0, VSIE = CSR_NUMBERS["hstateen0"], CSR_NUMBERS["vsie"]
VSSTATUS, VSTVEC, VSEPC, VSCAUSE, VSTVAL, VSTIMECMP = (
    CSR_NUMBERS[name] for name in ("vsstatus", "vstvec", "vsepc", "vscause", "vstval", "vstimecmp")
)
SIE_BIT, SPIE, SPP, FS_DIRTY = 1 << 1, 1 << 5, 1 << 8, 3 << 13
SPV, SPVP, VTW = 1 << 7, 1 << 8, 1 << 21
STCE = 1 << 63
VECTOR = 0xFFFFFFFF80001000  # __kvm_switch_return's place in the host kernel's text
HOST_VECTOR = 0xFFFFFFFF80000000  # handle_exception's
STIE = 1 << Interrupt.SUPERVISOR_TIMER
# What KVM delegates to VS-mode (KVM_HEDELEG_DEFAULT, KVM_HIDELEG_DEFAULT).
GUESTS_EXCEPTIONS = sum(
    1 << cause
    for cause in (
        Cause.INSTRUCTION_ADDRESS_MISALIGNED,
        Cause.ILLEGAL_INSTRUCTION,
        Cause.BREAKPOINT,
        Cause.ENVIRONMENT_CALL_FROM_U,
        Cause.INSTRUCTION_PAGE_FAULT,
        Cause.LOAD_PAGE_FAULT,
        Cause.STORE_PAGE_FAULT,
    )
)
GUESTS_INTERRUPTS = sum(
    1 << which
    for which in (
        Interrupt.VIRTUAL_SUPERVISOR_SOFTWARE,
        Interrupt.VIRTUAL_SUPERVISOR_TIMER,
        Interrupt.VIRTUAL_SUPERVISOR_EXTERNAL,
    )
)
TIME_COUNTER = 1 << 1
CACHE_BLOCKS = 1 << 7 | 1 << 6 | 1 << 4  # henvcfg.CBZE, CBCFE, CBIE = flush
TICK_NS = 10_000_000  # CONFIG_HZ is 100: a host for throughput
GUEST_PAGE_FAULTS = (
    Cause.INSTRUCTION_GUEST_PAGE_FAULT,
    Cause.LOAD_GUEST_PAGE_FAULT,
    Cause.STORE_GUEST_PAGE_FAULT,
)


# Why the host makes SBI calls.
BOOT, GUEST_OPERATION, OVERFLOW, VCPU_SWITCH, HOST_PERF = ORIGINS = (
    "boot",
    "guest operation",
    "overflow",
    "vcpu switch",
    "host perf",
)


def _closed(method):
    """A method of EventsCore with the host's interrupts off."""

    @wraps(method)
    def closed(self, *arguments, **named):
        with self.host.closed():
            return method(self, *arguments, **named)

    return closed


class HostEvents(EventsCore):
    """perf_events of the host. An overflow must not come while it works on events."""

    def __init__(self, host: Hypervisor, driver: Driver):
        super().__init__(driver, lambda: host.hart.cycles)
        self.host = host

    open, close = _closed(EventsCore.open), _closed(EventsCore.close)
    enable, disable = _closed(EventsCore.enable), _closed(EventsCore.disable)
    read, read_group = _closed(EventsCore.read), _closed(EventsCore.read_group)
    set_period = _closed(EventsCore.set_period)

    def peek(self, event: PerfEvent, held: Callable[[int], int] | None = None) -> Reading:
        """As `EventsCore.peek`, of the hart's counters."""
        return super().peek(event, held or self.host.hart.pmu.value)

    switch_in, switch_out = _closed(EventsCore.switch_in), _closed(EventsCore.switch_out)


class Hypervisor(Level):
    """The HS-mode model of one hart. `firmware` serves what it traps upward.

    `tick_ns` is how often the host's timer interrupts while a vCPU runs; 0 for never. Events, the
    host's own and those that it counts for guests, are `core`'s: see `count_with`.
    """

    def __init__(self, hart, firmware, tick_ns: int = TICK_NS, tally=None):
        super().__init__(hart, S, firmware, tally)
        self.tick_ns = tick_ns
        self.origin = BOOT
        self.calls_by_origin = dict.fromkeys(ORIGINS, 0)
        self.core: EventsCore | None = None
        self.counters_of: Vcpu | None = None
        """Whose values the counters hold that are passed through to guests."""
        self.on_owner: Callable[[Vcpu | None, int], None] | None = None
        """Told which counters, as a mask, hold a vCPU's values from now on; with None whose they
        were no longer."""
        self.on_vcpu: Callable[[str, Vcpu, object], None] | None = None
        """Told what is done with a vCPU here: "load", "put", "migrate" with the other hart's host,
        "save" and "restore" with how many registers of counters."""
        self.wanted: deque[Callable[[], None]] = deque()
        """What programs of the host do behind the next VM exit."""
        self.migrations = 0
        """How many vCPUs have gone to other harts."""
        self.timers: list[tuple[int, int, Callable[[], None]]] = []
        """What they do at a time: see `at`."""
        self._order = count()
        self.stopped_by = 0
        """The interrupt that has stopped a guest and is still pending: scause."""
        self.working = costs.RUN, 0
        """What the host does while it lets interrupts in: (cost, instructions done)."""
        self.overflowed_at = self.working
        """What it did when the counter overflow interrupt came that is served."""
        self.guest_overflowed = False
        """Whether the counter overflow interrupt that is served has stopped a guest."""
        self.vcpu: Vcpu | None = None
        """Whose state the hart has, whether the guest runs or the host does."""
        self.armed = False
        """Whether the timer is set for what is next."""
        self.vms: list[Vm] = []
        self.scheduler = Scheduler(self)
        self.smstateen = "Smstateen" in hart.extensions
        self.filtering = {"Ssaia", "Sscofpmf"} <= hart.extensions

    # Setting up.

    def boot(self) -> None:
        """Out of the firmware: the host kernel sets itself and KVM up."""
        self.write(STVEC, HOST_VECTOR)
        self.write(SIE, STIE)
        self.write(SCOUNTEREN, 2)
        self.write(STIMECMP, NEVER)
        self.write(HEDELEG, GUESTS_EXCEPTIONS)
        self.write(HIDELEG, GUESTS_INTERRUPTS)
        self.write(HCOUNTEREN, TIME_COUNTER)
        self.write(HVIP, 0)
        if self.filtering:
            self.set(HVIEN, LCOFI)

    def count_with(self, driver: Driver) -> None:
        """Have the host's events counted by a driver, which is made for this level."""
        driver.probe()
        self.core = HostEvents(self, driver)

    def add(self, vcpu: Vcpu) -> None:
        """A vCPU in its reset state that is to run here."""
        self.set_up(vcpu)
        self.scheduler.add(vcpu)

    def set_up(self, vcpu: Vcpu) -> None:
        """What a vCPU has at its reset of the host's own registers (kvm_riscv_reset_vcpu)."""
        vcpu.hstatus = SPV | SPVP | VTW
        vcpu.sstatus = SPP | SPIE | FS_DIRTY

    def start(self) -> None:
        """Let the vCPUs run."""
        self.origin = VCPU_SWITCH
        self.scheduler.next()
        if self.vcpu:
            self.enter(self.vcpu)

    def destroy(self, vcpu: Vcpu) -> None:
        """A vCPU that isn't loaded is destroyed or reset: nothing of it stays in the PMU
        (kvm_riscv_vcpu_pmu_deinit, kvm_riscv_vcpu_pmu_reset). Guests that switch themselves off
        aren't, until who started them ends them, which is after the run."""
        self.charge(costs.DESTROY)
        vcpu.vpmu.reset(vcpu)

    def migrate(self, vcpu: Vcpu, to: Hypervisor) -> None:
        """A vCPU of this hart, which isn't loaded, is another's from now on: what the counters hold
        of it is saved before it can run there (docs/passthrough.md 9)."""
        self.charge(costs.MIGRATE)
        vcpu.vpmu.migrating(vcpu)
        self.hand_over(vcpu, to)

    def hand_over(self, vcpu: Vcpu, to: Hypervisor) -> None:
        """The scheduler's part of a migration."""
        if self.core:
            self.core.move(vcpu, to.core)
        vcpu.hypervisor, vcpu.ready_at = to, self.hart.cycles
        vcpu.software.moves(to.hart)
        to.scheduler.add(vcpu)
        self.migrations += 1
        vcpu.migrations += 1
        self.tell("migrate", vcpu, to)

    # A vCPU comes to the hart and leaves it (kvm_arch_vcpu_load, kvm_arch_vcpu_put).

    def load(self, vcpu: Vcpu) -> None:
        """Put a vCPU's state into the hart."""
        vcpu.loads()
        self.charge(costs.LOAD)
        self.vcpu = vcpu
        self.tell("load", vcpu)
        hart, before = self.hart, self.counters_of
        if vcpu.ran_on is not hart:
            if vcpu.ran_on is not None:  # its code may have changed since it was here
                hart.fence_i()
                hart.sfence_vma()
            vcpu.ran_on = hart
        if before is not None and before is not vcpu:
            before.vpmu.evicted(before)
        self.write(HENVCFG, STCE | CACHE_BLOCKS | vcpu.vpmu.henvcfg)
        if self.smstateen:
            self.write(HSTATEEN0, vcpu.vpmu.hstateen0)
        resident = before is vcpu
        vcpu.vpmu.loaded(vcpu)
        for csr in OWN:
            self.write(csr, vcpu.csrs[csr])
        self.sequence(*(self._injected(vcpu) if resident else [("write", HVIP, vcpu.hvip)]))
        self.write(HGATP, vcpu.vm.hgatp)
        self.write(HTIMEDELTA, vcpu.vm.htimedelta)
        hart.x[0:32] = vcpu.x
        hart.f[0:32] = vcpu.f
        hart.fcsr = vcpu.fcsr
        hart.reservation = None
        vcpu.recorders.load(hart)
        if self.core:
            self.core.switch_in(vcpu)

    def put(self) -> None:
        """Take the vCPU's state out of the hart."""
        vcpu, hart = self.vcpu, self.hart
        vcpu.vpmu.leaving(vcpu)
        if self.core:
            self.core.switch_out(vcpu)
        self.charge(costs.PUT)
        for csr in OWN:
            vcpu.csrs[csr] = self.read(csr)
        vcpu.x = array("Q", hart.x[0:32].tobytes())
        vcpu.f = array("Q", hart.f[0:32].tobytes())
        vcpu.fcsr = hart.fcsr
        vcpu.recorders.put(hart)
        vcpu.vpmu.putting(vcpu)
        vcpu.leaves()
        self.vcpu = None
        self.tell("put", vcpu)

    # World switches: __kvm_riscv_switch_to, with what kvm_arch_vcpu_ioctl_run does around it.

    def enter(self, vcpu: Vcpu) -> None:
        """Go into the guest, with interrupts off."""
        self.charge(costs.RUN)
        self.clear(SSTATUS, SIE_BIT)
        if not self.armed:  # the timer has fired since
            self.arm()
        vcpu.vpmu.entering(vcpu)
        *_, self.host_scounteren, self.host_senvcfg = self.sequence(
            *self._injected(vcpu),
            ("swap", SCOUNTEREN, vcpu.scounteren),
            ("swap", SENVCFG, vcpu.senvcfg),
        )
        self.charge_closed(costs.ENTER)
        self.sequence(
            ("swap", SSTATUS, vcpu.sstatus),
            ("swap", HSTATUS, vcpu.hstatus),
            ("swap", STVEC, VECTOR),
            ("write", SEPC, vcpu.sepc),
        )
        if vcpu.exits and vcpu.exits[-1].duration is None:
            vcpu.exits[-1].duration = self.hart.cycles - vcpu.exits[-1].time
        self.note("enter", VS if vcpu.sstatus & SPP else VU)
        self.hart.sret()

    def _injected(self, vcpu: Vcpu) -> list[tuple[str, int, int]]:
        """What gives hvip a vCPU's interrupts. Where the overflow interrupt of counters that it has
        may come late, that bit is hardware's to change."""
        if not self.hart.pmu.delay or self.counters_of is not vcpu:
            return [("write", HVIP, vcpu.hvip)]
        wanted = vcpu.hvip & ~VSLCOFI
        return [("clear", HVIP, ~wanted & ~VSLCOFI), ("set", HVIP, wanted)]

    def trap(self) -> None:
        """A guest has trapped to HS-mode: do what it needs, and let one go on."""
        vcpu, hart = self.vcpu, self.hart
        at, known = hart.cycles, hart.csr_value
        self.note("exit", VS if known(SSTATUS) & SPP else VU, known(SCAUSE))
        self.charge_closed(costs.EXIT)
        (
            vcpu.sepc, _, vcpu.hstatus, vcpu.sstatus, cause, value, htval, htinst,
            vcpu.scounteren, vcpu.senvcfg, _, hvip,
        ) = self.sequence(
            ("read", SEPC, 0),
            ("swap", STVEC, HOST_VECTOR),
            ("swap", HSTATUS, 0),
            ("swap", SSTATUS, SPIE | FS_DIRTY),
            ("read", SCAUSE, 0),
            ("read", STVAL, 0),
            ("read", HTVAL, 0),
            ("read", HTINST, 0),
            ("swap", SCOUNTEREN, self.host_scounteren),
            ("swap", SENVCFG, self.host_senvcfg),
            ("read", VSIE, 0),  # kvm_riscv_vcpu_sync_interrupts
            ("read", HVIP, 0),
        )  # fmt: skip
        vcpu.synchronise(hvip)
        mode = VS if vcpu.sstatus & SPP else VU
        vcpu.exits.append(exit := Exit(cause, mode, at))
        if cause & INTERRUPT:
            self.note("interrupt", S, cause)
            self.stopped_by = cause
        vcpu.vpmu.exited(vcpu, cause)
        self.set(SSTATUS, SIE_BIT)  # the host's interrupts are served here
        self.working = costs.RUN, 0
        self.poll()
        self.stopped_by = 0
        if not cause & INTERRUPT:
            self.origin = vcpu.software.origin or GUEST_OPERATION
            exit.key = self.serve(vcpu, cause, value, htval, htinst)
        self.origin = HOST_PERF
        while self.wanted:
            self.wanted.popleft()()
        self.origin = VCPU_SWITCH
        self.scheduler.decide()
        if self.vcpu:
            if not self.armed:
                self.arm()
            self.enter(self.vcpu)

    # What guests trap for (kvm_riscv_vcpu_exit).

    def serve(self, vcpu: Vcpu, cause: int, value: int, htval: int, htinst: int) -> str:
        """Do what an exception of the guest asks for; gives what it was about."""
        if cause in GUEST_PAGE_FAULTS:
            self.charge(costs.STAGE2_FAULT)
            gpa = htval << 2 | value & 3
            if vcpu.vm.stage2.map(gpa) is None:
                self.redirect(vcpu, cause - Cause.INSTRUCTION_GUEST_PAGE_FAULT + 1, value)
            return f"{gpa:#x}"
        if cause == Cause.VIRTUAL_INSTRUCTION:
            self.charge(costs.VIRTUAL_INSTRUCTION)
            return self.emulate(vcpu, value)
        if cause == Cause.ENVIRONMENT_CALL_FROM_VS:
            self.charge(costs.SBI_CALL)
            vcpu.sepc += 4
            return vcpu.vm.sbi.called(vcpu)
        self.redirect(vcpu, cause, value)
        return ""

    def emulate(self, vcpu: Vcpu, instruction: int) -> str:
        """An instruction that V=1 kept from being executed (vcpu_insn.c)."""
        found = decoded(instruction)
        if isinstance(found, Wfi):
            self.charge(costs.WAIT)
            vcpu.sepc += 4
            vcpu.halted = True
            return "wfi"
        if isinstance(found, CsrAccess):
            name = CSR_NAMES.get(found.csr, f"{found.csr:#x}")
            if vcpu.vpmu.access(vcpu, found):
                vcpu.sepc += 4
                return name
            self.redirect(vcpu, Cause.ILLEGAL_INSTRUCTION, instruction)
            return name
        self.redirect(vcpu, Cause.ILLEGAL_INSTRUCTION, instruction)
        return f"{instruction:#x}"

    def redirect(self, vcpu: Vcpu, cause: int, value: int) -> None:
        """Let the guest's kernel take an exception (kvm_riscv_vcpu_trap_redirect)."""
        self.charge(costs.REDIRECT)
        status = self.read(VSSTATUS)
        enabled = status & SIE_BIT
        status &= ~(SPP | SPIE | SIE_BIT)
        status |= vcpu.sstatus & SPP | (SPIE if enabled else 0)
        self.write(VSSTATUS, status)
        self.write(VSCAUSE, cause)
        self.write(VSTVAL, value)
        self.write(VSEPC, vcpu.sepc)
        vcpu.sepc = self.read(VSTVEC)
        vcpu.sstatus |= SPP
        vcpu.hstatus |= SPVP

    # Events for guests.

    def counts_event(self, selector: int) -> bool:
        """Whether the host can count an event at all (SBI's event_idx)."""
        return self.core is not None and not self.core.driver.supports(HwEvent(selector))

    def open_for_guest(self, vcpu: Vcpu, selector: int, on_overflow, **wanted) -> PerfEvent:
        """An event of a vCPU's thread that counts in its guest alone, not enabled yet
        (perf_event_create_kernel_counter as KVM uses it). `wanted` is more of EventAttr."""
        attr = EventAttr(
            selector,
            guest=True,
            exclude_host=True,
            exclude_hv=True,
            pinned=True,
            disabled=True,
            **wanted,
        )
        return self.core.open(attr, vcpu, on_overflow=on_overflow)

    def inject(self, vcpu: Vcpu, which: int) -> None:
        """Make an interrupt pending for a guest, from its next entry on."""
        vcpu.hvip |= 1 << which

    # The host's own work.

    def interrupted(self) -> None:
        """An interrupt of the host's, while it lets them in."""
        cause, origin = self.read(SCAUSE), self.origin
        if cause != self.stopped_by:
            self.note("interrupt", S, cause)
        self.guest_overflowed = cause == self.stopped_by
        self.stopped_by = 0  # the guest that it stopped has been told of it
        at = self.read(SEPC)
        self.charge_closed(costs.INTERRUPT)
        if cause == INTERRUPT | Interrupt.SUPERVISOR_TIMER:
            self.tick()
        elif cause == INTERRUPT | Interrupt.COUNTER_OVERFLOW:
            self.origin = OVERFLOW
            self.overflowed_at = self.working
            self.core.driver.overflow(self._overflowed)
        else:
            raise AssertionError(f"interrupt {cause & ~INTERRUPT} in HS-mode: none is enabled")
        self.origin = origin
        self.write(SEPC, at)
        self.hart.sret()

    def _overflowed(self, event: PerfEvent) -> bool:
        """A period of an event's is over: whether it is throttled. Guests' counters never are, as
        their kernels do that themselves."""
        return self.core.overflow(event) and not event.guest

    def tick(self) -> None:
        """The timer has fired."""
        self.charge_closed(costs.TICK)
        if self.core:
            self.core.timer()
        while self.timers and self.timers[0][0] <= self.hart.cycles:
            heappop(self.timers)[-1]()
        self.write(STIMECMP, NEVER)
        self.armed = False

    def at(self, time: int, do: Callable[[], None]) -> None:
        """Have a program of the host do something in the timer's interrupt, at a time in ns."""
        heappush(self.timers, (time, next(self._order), do))
        self.armed = False

    def owns(self, vcpu: Vcpu | None, counters: int) -> None:
        """These counters are a vCPU's from now on, or none's."""
        if self.on_owner:
            self.on_owner(vcpu, counters)

    def tell(self, what: str, vcpu: Vcpu, about: object = None) -> None:
        """Something is done with a vCPU (`on_vcpu`)."""
        if self.on_vcpu:
            self.on_vcpu(what, vcpu, about)

    def arm(self) -> None:
        """Set the timer for what is next: the tick, or the scheduler's."""
        times = []
        if self.tick_ns:
            now = self.hart.cycles
            times.append(now - now % self.tick_ns + self.tick_ns)
        if (due := self.scheduler.due()) is not None:
            times.append(due)
        if self.core and (due := self.core.due()) is not None:
            times.append(due)
        if self.timers:
            times.append(self.timers[0][0])
        soon = self.hart.cycles + CYCLES_A_TICK  # what is late is due as soon as the guest runs
        self.write(STIMECMP, -(-max(min(times), soon) // CYCLES_A_TICK) if times else NEVER)
        self.armed = True

    def note(self, *operation) -> None:
        super().note(*operation)
        if operation[0] == "call":
            self.calls_by_origin[self.origin] += 1

    @contextmanager
    def closed(self) -> Iterator[None]:
        """With interrupts off; what has come meanwhile is served behind it."""
        hart = self.hart
        status = hart.read_csr(SSTATUS)
        hart.write_csr(SSTATUS, status & ~SIE_BIT)
        try:
            yield
        finally:
            hart.write_csr(SSTATUS, hart.read_csr(SSTATUS) | status & SIE_BIT)
        self.poll()

    def charge(self, cost) -> None:
        """As `Level.charge`."""

        def let_in(done: int) -> None:
            self.working = cost, done
            self.poll()

        self.let_pass(cost.instructions, cost.cycles, let_in)

    def charge_closed(self, cost) -> None:
        """As `charge`, with interrupts off."""
        self.hart.charge(cost.instructions, cost.cycles)
