"""What switching vCPUs costs under each design of PMU virtualisation and each policy, as a table.

For 1, 2, 4 and 8 vCPUs that share a hart and slices of 1, 4 and 10 ms: the registers of counters
that are saved and restored in a second of emulated time, the cycles that the host spends in that
second, as a share, and the SBI calls that it makes. Each guest counts instructions, works without
end and makes an SBI call in each ms; another task of the host takes the hart for a moment every 2
ms. All figures are emulated, so they are the same on every run.
"""

import argparse
from functools import partial

from isa.modes import VS, VU, M, S
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.session.virtual import driver_of, host_driver_of
from rvperf.stack.events_core import EventAttr, EventsCore
from rvperf.stack.firmware import Firmware
from rvperf.stack.hypervisor import Hypervisor, Vcpu, Vm
from rvperf.stack.hypervisor.vpmu.designs import DESIGNS
from rvperf.stack.level import Level
from rvperf.stack.sbi import Base, Extension

MEMORY, TABLES = 16 << 20, 1 << 20
MS = 1_000_000
INSTRUCTIONS = 2
VCPUS, SLICES = (1, 2, 4, 8), (1, 4, 10)
ROWS = (
    *((name, "") for name in ("trap", "sbi", "snapshot", "deleg", "mediated")),
    *(("passthrough", policy) for policy in ("lazy", "eager", "always")),
)
STEP = 50_000  # instructions that a guest executes at a time
ASK_NS, INTERLUDE_NS = MS, 2 * MS


class Guest(Level):
    """A guest that counts its instructions and works until it is told not to."""

    def __init__(self, hart, vcpu, number, done):
        super().__init__(hart, VS, vcpu.leave)
        self.vcpu, self.number, self.done = vcpu, number, done

    def run(self) -> None:
        """From boot on."""
        vpmu, memory = self.vcpu.vpmu, self.vcpu.vm.memory
        driver = driver_of(vpmu.guest_driver, self, memory)
        driver.probe()
        core = EventsCore(driver, lambda: self.hart.cycles)
        core.switch_in("task")
        core.open(EventAttr(INSTRUCTIONS), "task")
        asked = self.hart.cycles
        while not self.done():
            self.hart.charge(STEP, STEP)
            self.poll()
            if self.hart.cycles >= asked + ASK_NS:
                asked = self.hart.cycles
                self.call(Extension.BASE, Base.GET_SPEC_VERSION)
        self.vcpu.stopped = True
        self.wfi()


def measured(design: str, policy: str, vcpus: int, slice_ms: int, ms: int):
    """(registers saved and restored, share of cycles in HS and M, SBI calls), in a second."""
    made = DESIGNS[design]
    ram = Ram((2 + vcpus) * MEMORY)
    hart = Hart(ram, 0, made.needs(()))
    firmware = Firmware(hart)
    host = Hypervisor(hart, firmware.trap)
    host.scheduler.slice_ns = slice_ms * MS
    began: list[int] = []

    def done() -> bool:
        return bool(began) and hart.cycles >= began[0] + ms * MS

    def begin(number: int) -> None:
        host.vms[number].vcpus[0].software.run()

    vpmus = []
    for number in range(vcpus):
        vpmu = made(policy=policy) if policy else made()
        vpmus.append(vpmu)
        tables, at = ram.base + MEMORY + number * TABLES, ram.base + (2 + number) * MEMORY
        vm = Vm(host, number, at, MEMORY, (tables, tables + TABLES), vpmu)
        vcpu = Vcpu(vm, partial(begin, number))
        vcpu.software = Guest(hart, vcpu, number, done)
    firmware.boot(0)
    host.boot()
    host.count_with(host_driver_of(vpmus[0], host))
    for vm in host.vms:
        host.add(vm.vcpus[0])
    host.start()
    before = None
    host.scheduler.interludes.extend(range(INTERLUDE_NS, 400 * MS, INTERLUDE_NS))
    warm = (vcpus + 1) * slice_ms * MS  # each has begun by then

    def now():
        hart.collect()
        own = sum(hart.counts[mode]["cycles"] for mode in (S, M))
        calls = sum(n for (what, *_), n in host.tally.items() if what == "call")
        return own, sum(one.saves + one.restores for one in vpmus), calls

    while host.vcpu is not None:
        if before is None and hart.cycles >= warm:
            before = now()
            began.append(hart.cycles)
        mode = hart.mode
        if mode in (VS, VU):
            host.vcpu.resume()
        elif mode == S:
            host.trap()
        else:
            firmware.trap()
        if done():
            break
    spent = (hart.cycles - began[0]) / 1e9
    own, registers, calls = (a - b for a, b in zip(now(), before, strict=True))
    return registers / spent, own / (hart.cycles - began[0]), calls / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ms", type=int, default=100, help="emulated time of each run")
    ms = parser.parse_args().ms
    print(f"{'':20} {'slice':>6}" + "".join(f"{n:>24} vCPU{'s' * (n > 1):1}" for n in VCPUS))
    print(f"{'':27}" + f"{'registers/s  host  SBI/s':>30}" * len(VCPUS))
    for design, policy in ROWS:
        for slice_ms in SLICES:
            line = f"{design + ' ' + policy:20} {slice_ms:>3} ms"
            for vcpus in VCPUS:
                registers, share, calls = measured(design, policy, vcpus, slice_ms, ms)
                line += f"{registers:15.0f} {100 * share:6.2f}% {calls:6.0f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
