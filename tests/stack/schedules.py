"""Random lives of vCPUs whose counters are passed through, on one hart or two, and beside each what
it should see: every counter is followed in Python from the ledger of VS-mode and VU-mode.

A guest carries out steps, which say what it does and what happens to it. Each step that looks at a
counter checks it; `Wrong` says which invariant does not hold.
"""

from __future__ import annotations

from hypothesis import strategies as st

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, M, S
from isa.record import replace
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.events_core import EventAttr
from rvperf.stack.firmware import Firmware
from rvperf.stack.hypervisor import Hypervisor, Vcpu, Vm
from rvperf.stack.hypervisor.vpmu import Vpmu
from rvperf.stack.hypervisor.vpmu.passthrough import PassthroughPmu
from rvperf.stack.level import Level
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.sbi import Base, Extension, bits

MEMORY, TABLES = 16 << 20, 1 << 20
COUNTERS = 3  # that are passed through: 3, 4 and 5
D = 0b111 << 3
OF, SINH, UINH = 1 << 63, 1 << 61, 1 << 60
FILTERS = {0: (VS, VU), SINH: (VU,), UINH: (VS,)}
LCOFI = 1 << 13
INSTRUCTIONS = 2
MASK = (1 << 64) - 1
HOST_PERIOD = 4001
(SISELECT, SIREG, SIREG2, SCOUNTINHIBIT, SCOUNTOVF, HPM, SIP, SIE, SSTATUS, STVEC, SEPC) = (
    CSR_NUMBERS[name]
    for name in ("siselect", "sireg", "sireg2", "scountinhibit", "scountovf", "hpmcounter3", "sip",
                 "sie", "sstatus", "stvec", "sepc")
)  # fmt: skip
SCOUNTEREN = CSR_NUMBERS["scounteren"]
RAW_COUNTER = CSR_NUMBERS["mhpmcounter3"]
SIE_BIT, SPP = 1 << 1, 1 << 8


class Wrong(AssertionError):
    """An invariant that does not hold."""


def require(invariant: str, holds: bool, *about) -> None:
    if not holds:
        raise Wrong(f"{invariant}: {about}")


class Counter:
    """What a counter should be."""

    def __init__(self):
        self.value, self.selects, self.filter, self.of, self.running = 0, False, 0, False, False
        self.since = {VS: 0, VU: 0}


class Guest(Level):
    """A vCPU's software: handles its counters itself, step by step."""

    def __init__(self, world: World, vcpu: Vcpu, steps):
        super().__init__(vcpu.hypervisor.hart, VS, vcpu.leave)
        self.world, self.vcpu, self.steps = world, vcpu, steps
        self.counters = {number: Counter() for number in bits(D)}
        self.retired = {VS: 0, VU: 0}  # before it came to its hart
        self.came = {VS: 0, VU: 0}  # the hart's ledger then
        self.here = False
        self.interrupts = self.wraps = 0
        self.unserved: set[int] = set()
        self.trace: list = []
        self.done = False
        self.in_handler = None

    # What it has executed.

    def ledger(self) -> dict:
        if not self.here:
            return dict(self.retired)
        self.hart.collect()
        counts = self.hart.counts
        return {
            mode: self.retired[mode] + counts[mode]["instructions"] - self.came[mode]
            for mode in (VS, VU)
        }

    def comes(self) -> None:
        self.hart.collect()
        self.came = {mode: self.hart.counts[mode]["instructions"] for mode in (VS, VU)}
        self.here = True

    def goes(self) -> None:
        self.retired, self.here = self.ledger(), False

    def follow(self) -> None:
        """Bring what counters should be up to date."""
        now = self.ledger()
        for number, one in self.counters.items():
            if one.running and one.selects:
                one.value += sum(now[mode] - one.since[mode] for mode in FILTERS[one.filter])
                if one.value > MASK and not one.of:
                    one.of = True
                    self.wraps += 1
                    self.unserved.add(number)
                one.value &= MASK
            one.since = now

    # What it does.

    def boot(self) -> None:
        self.write(STVEC, 0xFFFFFFFF80000000)
        self.set(SIE, LCOFI)
        self.set(SSTATUS, SIE_BIT)
        self.write(SCOUNTINHIBIT, MASK)
        require("I4", self.read(SCOUNTINHIBIT) == D)  # the WARL probe shows exactly D

    def program(self, number: int, left: int, filter: int) -> None:
        one = self.counters[number]
        self.inhibit(number, True)
        self.poll()  # what has overflown is served first
        self.write(SISELECT, 0x40 + number)
        self.follow()
        self.write(SIREG, -left & MASK)
        one.value = -left & MASK
        self.write(SIREG2, INSTRUCTIONS | filter)
        one.selects, one.filter, one.of = True, filter, False
        self.unserved.discard(number)
        self.inhibit(number, False)

    def park(self, number: int) -> None:
        """As Linux leaves a counter: OF set, and it stands still."""
        one = self.counters[number]
        self.inhibit(number, True)
        self.poll()  # what has overflown is served first
        self.write(SISELECT, 0x40 + number)
        self.write(SIREG2, INSTRUCTIONS | OF)
        one.of, one.filter, one.selects = True, 0, True
        self.unserved.discard(number)

    def inhibit(self, number: int, stop: bool) -> None:
        value = self.read(SCOUNTINHIBIT)
        self.expect_inhibited(value)
        self.follow()
        one = self.counters[number]
        self.write(SCOUNTINHIBIT, value | 1 << number if stop else value & ~(1 << number))
        one.running = not stop

    def expect_inhibited(self, value: int) -> None:
        expected = sum(1 << n for n, one in self.counters.items() if not one.running)
        require("I1", value == expected, "scountinhibit", bin(value), bin(expected))

    def look(self, number: int) -> None:
        self.follow()
        one = self.counters[number]
        seen = self.read(HPM + number - 3)
        require("I1", seen == one.value, number, hex(seen), hex(one.value))
        self.follow()
        self.write(SISELECT, 0x40 + number)
        self.follow()
        seen = self.read(SIREG)
        require("I1", seen == one.value, number, hex(seen), hex(one.value))
        self.trace.append((number, seen, self.interrupts))

    def trespass(self, number: int) -> None:
        """A counter that is the host's."""
        self.write(SISELECT, 0x40 + number)
        for access in (lambda: self.read(SIREG), lambda: self.write(SIREG2, 0),
                       lambda: self.read(HPM + number - 3)):  # fmt: skip
            try:
                access()
            except Trap:
                continue
            require("I4", False, "no trap", number)
        require("I4", not self.read(SCOUNTOVF) & ~D)

    def work(self, instructions: int) -> None:
        self.hart.charge(instructions, instructions)
        self.poll()

    def closed(self, instructions: int) -> None:
        """With interrupts off: what overflows waits, perhaps while others run."""
        self.clear(SSTATUS, SIE_BIT)
        self.hart.charge(instructions, instructions)
        self.give_way()
        self.set(SSTATUS, SIE_BIT)
        self.poll()

    def user(self, instructions: int) -> None:
        self.clear(SSTATUS, SPP)
        self.hart.sret()
        self.hart.charge(instructions, instructions)
        while self.hart.interrupt():
            while self.hart.mode not in (VS, VU):
                self.above()
            if self.hart.mode == VS:
                self.interrupted()
        self.hart.take(Trap(Cause.ENVIRONMENT_CALL_FROM_U))
        self.set(SSTATUS, SIE_BIT)

    def interrupted(self) -> None:
        at = self.read(SEPC)
        self.interrupts += 1
        world = self.world
        self.follow()
        if not world.delay:
            require("I7", bool(self.unserved), "an interrupt without an overflow")
        require("I8", self.interrupts <= self.wraps, "more interrupts than overflows")
        before = self.read(SCOUNTINHIBIT)
        self.follow()
        self.write(SCOUNTINHIBIT, MASK)
        running = [n for n, one in self.counters.items() if one.running]
        for number in running:
            self.counters[number].running = False
        if self.in_handler:
            step, self.in_handler = self.in_handler, None
            step()
        overflown = self.read(SCOUNTOVF)
        expected = sum(1 << n for n, one in self.counters.items() if one.of)
        require("I6", overflown == expected, bin(overflown), bin(expected))
        self.clear(SIP, LCOFI)
        for number in bits(overflown):
            one = self.counters[number]
            if number not in self.unserved:
                continue
            self.write(SISELECT, 0x40 + number)
            self.write(SIREG, -5000 & MASK)
            self.write(SIREG2, INSTRUCTIONS | one.filter)
            one.value, one.of = -5000 & MASK, False
        self.unserved.clear()
        self.follow()
        self.write(SCOUNTINHIBIT, before)
        for number in running:
            self.counters[number].running = True
        self.write(SEPC, at)
        self.hart.sret()

    # What happens to it.

    def ask(self) -> None:
        self.call(Extension.BASE, Base.GET_SPEC_VERSION)

    def give_way(self) -> None:
        self.vcpu.hypervisor.scheduler.slice_end = 0
        self.ask()

    def away(self) -> None:
        self.vcpu.hypervisor.scheduler.interludes.append(0)
        self.ask()

    def let_host(self, do) -> None:
        self.vcpu.hypervisor.wanted.append(do)
        self.ask()

    def off_hart(self, do) -> None:
        """Something that the host does while the vCPU is on no hart."""

        def act() -> None:
            host = self.vcpu.hypervisor
            host.scheduler._leave()
            do(host)
            if self.vcpu.hypervisor is host:
                host.scheduler.ready.appendleft(self.vcpu)

        self.let_host(act)

    def migrate(self, late: bool) -> None:
        to = self.world.other(self.vcpu.hypervisor)
        if to is self.vcpu.hypervisor:
            self.away()
            return

        def move(host) -> None:
            (host.hand_over if late else host.migrate)(self.vcpu, to)

        self.off_hart(move)

    def snapshot(self) -> None:
        def take(host) -> None:
            self.follow()
            image = self.vcpu.vpmu.snapshot(self.vcpu)
            for number, one in self.counters.items():
                require("I1", image.values[number] == one.value, "image", number)

        self.off_hart(take)

    def set_registers(self, more: int) -> None:
        """Another image than what it had: its values are greater. (Nothing may overflow by it.)"""

        def put(host) -> None:
            self.follow()
            values = {}
            for number, one in self.counters.items():
                one.value = values[number] = one.value - more & MASK
            vpmu = self.vcpu.vpmu
            inhibited = sum(1 << n for n, one in self.counters.items() if not one.running)
            events = {
                number: (INSTRUCTIONS if one.selects else 0)
                | (OF if one.of else 0)
                | (one.filter & SINH) >> 2
                | (one.filter & UINH) >> 2
                for number, one in self.counters.items()
            }
            image = replace(vpmu.blank(), values=values, events=events, inhibited=inhibited)
            vpmu.put_back(self.vcpu, image)

        if all(one.value > 1 << 63 for one in self.counters.values()) and not self.unserved:
            self.off_hart(put)

    def run(self) -> None:
        self.boot()
        for name, *arguments in self.steps:
            if name == "migrate in handler":
                self.in_handler = lambda: self.migrate(False)
                continue
            getattr(self, name)(*arguments)
        # What is on its way comes.
        for number in self.counters:
            self.inhibit(number, True)
        for _ in range(2):
            self.work(self.world.delay + 10)
        self.follow()
        require("I6", not self.unserved, "lost", self.unserved)
        for number in self.counters:
            self.look(number)


class Plain(Guest):
    """One without counters."""

    def boot(self) -> None:
        self.write(STVEC, 0xFFFFFFFF80000000)

    def run(self) -> None:
        self.boot()
        for name, *arguments in self.steps:
            if name in ("work", "user", "ask", "give_way", "away", "migrate"):
                getattr(self, name)(*arguments)


class World:
    """Harts, their hosts, and a VM for each of the `lives`, whose counters are passed through if
    `plain` doesn't say otherwise."""

    def __init__(self, lives, policy="lazy", harts=1, delay=0, plain=(), pmu=PassthroughPmu,
                 host=Hypervisor):  # fmt: skip
        self.delay = delay
        ram = Ram((2 + len(lives)) * MEMORY)
        self.hosts, self.firmwares, self.counted = [], {}, []
        for number in range(harts):
            hart = Hart(ram, 0, PassthroughPmu.extensions, selectors=(INSTRUCTIONS,))
            hart.pmu.delay = delay
            firmware = Firmware(hart, number=number)
            one = host(hart, firmware.trap, tick_ns=0)
            self.hosts.append(one)
            self.firmwares[one] = firmware
            self._watch(one)
        self.guests = []
        for number, steps in enumerate(lives):
            vpmu = Vpmu() if number in plain else pmu(COUNTERS, policy=policy)
            one = self.hosts[number % harts]
            tables = ram.base + MEMORY + number * TABLES
            at = ram.base + (2 + number) * MEMORY
            vm = Vm(one, number, at, MEMORY, (tables, tables + TABLES), vpmu)
            vcpu = Vcpu(vm, self._software(number))
            vcpu.software = (Plain if number in plain else Guest)(self, vcpu, steps)
            self.guests.append(vcpu.software)

    def other(self, host):
        """Where a vCPU goes from there."""
        return self.hosts[(self.hosts.index(host) + 1) % len(self.hosts)]

    def _watch(self, host) -> None:
        load, put, enter = host.load, host.put, host.enter

        def loaded(vcpu):
            vcpu.software.comes()
            load(vcpu)
            host.raw = self._raw(host)

        def putting():
            vcpu = host.vcpu
            if isinstance(vcpu.software, Plain):  # nobody's counter may have counted it
                require("I3", self._raw(host) == host.raw, "counters went on")
            vcpu.software.goes()
            put()

        def entering(vcpu):
            require("I8", not host.hart.csr_value(SCOUNTEREN) & D, "the host's users may read")
            enter(vcpu)

        host.load, host.put, host.enter = loaded, putting, entering

    @staticmethod
    def _raw(host) -> list[int]:
        return [host.hart.pmu.value(number) for number in bits(D)]

    def _software(self, number: int):
        def software() -> None:
            guest = self.guests[number]
            guest.run()
            guest.done = True
            guest.vcpu.stopped = True
            guest.ask()

        return software

    def run(self) -> World:
        try:
            self._run()
        finally:
            for guest in self.guests:
                guest.vcpu.forget()
        return self

    def _run(self) -> None:
        for host in self.hosts:
            self.firmwares[host].boot(0)
            host.boot()
            driver = DelegationDriver(host, lowest_first=False, limit=~D & (1 << 32) - 1)
            host.count_with(driver)
            taken: list = []
            attr = EventAttr(INSTRUCTIONS, sample_period=HOST_PERIOD, exclude_host=True)
            event = host.core.open(attr, None, on_overflow=taken.append)
            self.counted.append((host, event, taken, self._ledger(host)))
        for guest in self.guests:
            guest.vcpu.hypervisor.add(guest.vcpu)
        for host in self.hosts:
            if host.scheduler.ready:
                host.start()
        while True:
            running = [host for host in self.hosts if host.vcpu or host.scheduler.ready]
            if not running:
                break
            host = min(running, key=lambda one: one.hart.cycles)
            if host.vcpu is None:
                host.start()
            mode = host.hart.mode
            if mode in (VS, VU):
                host.vcpu.resume()
            elif mode == S:
                host.trap()
            elif mode == M:
                self.firmwares[host].trap()
        for host, event, taken, before in self.counted:
            count = host.core.read(event).count
            require("I2", count == self._ledger(host) - before, "the host's count of guests")
            if not self.delay:
                require("I5", len(taken) == count // HOST_PERIOD, "the host's samples", len(taken))

    @staticmethod
    def _ledger(host) -> int:
        host.hart.collect()
        return sum(host.hart.counts[mode]["instructions"] for mode in (VS, VU))

    @property
    def traces(self) -> list:
        """What guests saw."""
        return [(guest.trace, guest.interrupts) for guest in self.guests]


NUMBERS = st.integers(3, 5)
LENGTHS = st.integers(1, 3000)
STEP = st.one_of(
    st.tuples(st.just("program"), NUMBERS, st.integers(1, 4000), st.sampled_from(list(FILTERS))),
    st.tuples(st.just("work"), LENGTHS),
    st.tuples(st.just("user"), LENGTHS),
    st.tuples(st.just("closed"), LENGTHS),
    st.tuples(st.just("look"), NUMBERS),
    st.tuples(st.just("park"), NUMBERS),
    st.tuples(st.just("trespass"), st.integers(6, 31)),
    st.tuples(st.sampled_from(["ask", "give_way", "away", "snapshot", "migrate in handler"])),
    st.tuples(st.just("set_registers"), st.integers(1, 100)),
    st.tuples(st.just("migrate"), st.booleans()),
)
LIFE = st.lists(STEP, min_size=1, max_size=14)
"""One vCPU's steps."""
