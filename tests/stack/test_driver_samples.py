"""A real program in U-mode that a driver samples: exact in both engines, by both drivers."""

import pytest

from isa.assembly import program
from isa.csrs import CSR_NUMBERS
from isa.modes import S, U
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.firmware import Firmware
from rvperf.stack.level import Level
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.pmu_drivers.event import HwEvent
from rvperf.stack.pmu_drivers.sbi import SbiDriver
from rvperf.stack.sbi import Snapshot

RAM_AT, CODE, PAGE = 0x8000_0000, 0x8030_0000, 0x8030_1000
EXTENSIONS = ("Sscofpmf", "Smcsrind", "Smcdeleg")
DRIVERS = {
    "sbi": SbiDriver,
    "snapshot": lambda level: SbiDriver(level, Snapshot(level.hart.ram, PAGE)),
    "delegation": DelegationDriver,
}
# 2 + 4 * 5000 + 1 instructions (calls count), 5000 of them branches and as many loads.
LOOP = program(
    """
    li t0, 5000
    loop: ld t1, 0(sp)
    addi t1, t1, 1
    addi t0, t0, -1
    bnez t0, loop
    ecall
    """,
    CODE,
)
INSTRUCTIONS, BRANCHES, LOADS = 2, 5, 0x10000


@pytest.fixture(params=[Reference, Native])
def engine(request):
    return request.param


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.parametrize(
    "selector, period, total, places",
    [
        # After n it is at 8 + 4 ((n - 2) % 4): two instructions, and then four again and again.
        (INSTRUCTIONS, 4000, 20003, [0x10] * 5),
        (INSTRUCTIONS, 3333, 20003, [0x14, 0x08, 0x0C, 0x10, 0x14, 0x08]),
        (BRANCHES, 1000, 5000, [0x08] * 4 + [0x18]),
        (LOADS, 2500, 5000, [0x0C] * 2),
    ],
)
def test_samples_fall_right_behind_the_instruction_that_overflows(
    engine, name, selector, period, total, places
):
    hart = Hart(Ram(4 << 20, RAM_AT), EXTRA if engine is Native else 0, EXTENSIONS)
    firmware = Firmware(hart, snapshot=name == "snapshot")
    kernel = Level(hart, S, firmware.trap)
    firmware.boot(RAM_AT)
    driver = DRIVERS[name](kernel)
    driver.probe()
    event = HwEvent(selector, period, exclude_kernel=True)
    assert driver.supports(event) == 0 and driver.add(event)

    hart.ram.write(CODE, LOOP)
    hart.x[2] = PAGE
    hart.set_csr(CSR_NUMBERS["sepc"], CODE)
    hart.set_csr(CSR_NUMBERS["sstatus"], 1 << 5)
    hart.sret()
    runs, at = engine(hart), []
    while True:
        try:
            runs.run(1 << 20)
        except Trap as trap:
            assert trap.cause == 8
            hart.take(trap)
            break
        if hart.interrupt():
            assert hart.mode == S
            driver.overflow(lambda _: at.append(hart.csr_value(CSR_NUMBERS["sepc"]) - CODE))
            hart.sret()
    driver.delete(event)
    assert at == places
    assert event.count == total
    if selector == INSTRUCTIONS:
        assert hart.counts[U]["instructions"] == total
