"""A machine with a hypervisor: harts with firmware and a host, and virtual machines with programs.

Programs run in VU-mode under guest kernels in VS-mode, a host in HS-mode and firmware in M-mode.
Several harts run in turns of emulated time, so what happens is the same on every run.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.counting import PROGRAMMABLE
from isa.csrs import CSR_NUMBERS
from isa.pmp import ENTRIES
from rvperf.engine.reference import Reference
from rvperf.machine.hart import VS, VU, Hart, M, S
from rvperf.machine.ram import Ram
from rvperf.machine.recorders import Recorders
from rvperf.machine.timing import CYCLES_A_TICK
from rvperf.machine.traps import Trap
from rvperf.session import LATE, LOOK_UP, NEVER, STIMECMP
from rvperf.stack.firmware import Firmware
from rvperf.stack.hypervisor import Hypervisor, Vm
from rvperf.stack.hypervisor.vpmu import Vpmu

MIB = 1 << 20
HOST_MEMORY = 256 * MIB
TABLES_AT, TABLES = 64 * MIB, 4 * MIB  # in the host's memory, for each VM's second stage
VM_MEMORY = 4 << 30
TURN = 20_000  # cycles that a hart runs before another one's turn, at most
VSTIMECMP = CSR_NUMBERS["vstimecmp"]


def both(first: Callable, second: Callable) -> Callable:
    """Tell two of them."""

    def tell(page: int) -> None:
        first(page)
        second(page)

    return tell


class HartWithHost:
    """One hart, what runs on it in M-mode and HS-mode, and its engine."""

    def __init__(self, board: Board, number: int):
        self.board = board
        self.hart = hart = Hart(
            board.ram,
            board.extra,
            board.extensions,
            counters=board.counters,
            selectors=board.selectors,
            quirks=board.quirks,
            pmp_entries=ENTRIES,
        )
        self.firmware = Firmware(hart, number=number)
        self.host = Hypervisor(hart, self.firmware.trap, **board.host_options)
        self.engine = None
        self.pace = 16
        """Cycles that 16 instructions have taken lately: how far it is to a deadline is a guess."""

    @property
    def busy(self) -> bool:
        """Whether a vCPU is on the hart or waits for it."""
        return self.when is not None

    @property
    def when(self) -> int | None:
        """When there is something to do here; None if nobody is left."""
        if self.host.vcpu is not None:
            return self.hart.cycles
        times = [vcpu.ready_at for vcpu in self.host.scheduler.ready]
        return max(self.hart.cycles, min(times)) if times else None

    def boot(self, driver) -> None:
        """Firmware, and the host kernel, whose events `driver` counts."""
        self.firmware.boot(0)
        self.host.boot()
        self.host.count_with(driver(self.host))

    def run(self, until: int) -> None:
        """Go on until the clock is past `until`, or nobody is left to run."""
        hart, host, firmware = self.hart, self.host, self.firmware
        while host.vcpu is not None and hart.cycles < until:
            mode = hart.mode
            if mode == VU and not host.vcpu.software.runs_programs:
                self._run_user(until)
            elif mode in (VS, VU):
                host.vcpu.resume()
            elif mode == S:
                host.trap()
            elif mode == M:
                firmware.trap()

    def _run_user(self, until: int) -> None:
        hart = self.hart
        self.host.vcpu.software.remind()
        if hart.interrupt():
            return
        words, start = hart.csrs.words, hart.cycles
        due = min(words[STIMECMP], words[VSTIMECMP])
        if due != NEVER:
            until = min(until, due * CYCLES_A_TICK)
        step = LOOK_UP[self.board.kind]
        if until < NEVER:
            # Rather too short: the rest is a further step, but what is too long makes it late.
            step = min(step, max((until - start) * 31 // (2 * self.pace), LATE))
        if self.board.while_running:
            self.board.while_running()
        before = hart.instructions
        try:
            self.engine.run(step)
        except Trap as trap:
            hart.take(trap)
        retired = hart.instructions - before
        if retired > LATE // 2:
            self.pace = max(16 * (hart.cycles - start) // retired, 16)


class Board:
    """`harts` harts with `extensions`, and room for `vms` virtual machines.

    `kind` is the engine's, as `Workload.engine`. `selectors` are the events that counters will be
    asked to count, and `counters` how many programmable ones each hart has.
    """

    def __init__(
        self,
        kind: str,
        extensions: frozenset[str],
        *,
        counters: int = PROGRAMMABLE,
        selectors: frozenset[int] | None = None,
        quirks: frozenset[str] = frozenset(),
        harts: int = 1,
        vms: int = 1,
        **host_options,
    ):
        self.kind = kind
        self.extensions = extensions
        self.counters, self.selectors, self.quirks = counters, selectors, quirks
        self.host_options = host_options
        self.extra = 0
        if kind == "native":
            from rvperf.engine.native import EXTRA

            self.extra = EXTRA
        self.ram = Ram(HOST_MEMORY + vms * VM_MEMORY)
        self.harts = [HartWithHost(self, number) for number in range(harts)]
        self.running = self.harts[0]
        """Whose turn it is, or was."""
        self.regions = []
        self.vms: list[Vm] = []
        self.while_running: Callable[[], None] | None = None
        """Called now and then while guests run, if set."""

    @property
    def hosts(self) -> list[Hypervisor]:
        """The harts' hosts."""
        return [one.host for one in self.harts]

    @property
    def horizon(self) -> int:
        """A time before which nothing will happen on any hart: they aren't equally far."""
        times = [when for one in self.harts if (when := one.when) is not None]
        return min(times) if times else self.latest

    @property
    def latest(self) -> int:
        """A time after which nothing has happened yet on any hart."""
        return max(one.hart.cycles for one in self.harts)

    def vm(self, number: int, vpmu: Vpmu, hart: int = 0) -> Vm:
        """A virtual machine, by number from 0, that begins on a hart."""
        base = self.ram.base
        tables = base + TABLES_AT + number * TABLES
        memory = base + HOST_MEMORY + number * VM_MEMORY
        host = self.harts[hart].host
        vm = Vm(host, number, memory, VM_MEMORY, (tables, tables + TABLES), vpmu)
        self.vms.append(vm)
        return vm

    def record_for(self, vcpus) -> None:
        """Have harts record what vCPUs that may come there want, before there are engines."""
        for one in self.harts:
            Recorders.switch_on(one.hart, [vcpu.recorders for vcpu in vcpus])

    def make_engines(self, live: frozenset[str], program: str) -> None:
        """What executes instructions; compiled code is kept under the name `program`."""
        for one in self.harts:
            if self.kind != "native":
                one.engine = Reference(one.hart)
                continue
            from rvperf.engine.native import Native

            regions = None
            if not one.hart.executions:
                from rvperf.engine.hot import Regions

                regions = Regions(live | one.hart.recorded, program)
                self.regions.append(regions)
            before = self.ram.on_code_write
            one.engine = engine = Native(one.hart, regions)
            if len(self.harts) > 1:
                self.ram.on_code_write = both(before, engine.forget_page)
        engines = [one.engine for one in self.harts]
        for engine in engines if self.kind == "native" else ():
            engine.others = [other for other in engines if other is not engine]

    def run(self, driver: Callable, started: Callable[[], None] | None = None) -> None:
        """Boot, and run until no vCPU is left. `driver` makes the host's PMU driver for a level;
        `started` is called when the hosts have booted."""
        try:
            for one in self.harts:
                one.boot(driver)
            if started:
                started()
            for one in self.harts:
                if one.host.scheduler.ready:
                    one.host.start()
            self._loop()
        finally:
            self.running = max(self.harts, key=lambda one: one.hart.cycles)
            for one in self.harts:
                one.hart.collect()
            for regions in self.regions:
                regions.finish()
            for vm in self.vms:
                for vcpu in vm.vcpus:
                    vcpu.forget()
            for one in self.harts:
                if one.hart.mode in (VS, VU):  # stopped in a guest: now the host reads its events
                    one.hart.mode = S

    def _loop(self) -> None:
        if len(self.harts) == 1:
            self.harts[0].run(NEVER)
            return
        while running := [one for one in self.harts if one.when is not None]:
            behind = self.running = min(running, key=lambda one: one.when)
            if behind.host.vcpu is None:
                behind.hart.idle_until(behind.when)
                behind.host.start()
            behind.run(behind.hart.cycles + TURN)
