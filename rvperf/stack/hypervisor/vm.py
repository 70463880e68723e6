"""A virtual machine: its memory, its vCPUs, and the PMU that it is given."""

from __future__ import annotations

from rvperf.machine.ram import Window
from rvperf.stack.hypervisor.sbi import GuestSbi
from rvperf.stack.hypervisor.stage2 import Stage2


class Vm:
    """A VM of `hypervisor`, number `number`, with `size` bytes of memory at `at` of the host's.

    `tables` is where in the host's memory its second-stage tables lie, (start, end). `vpmu` is the
    design of its PMU (rvperf.stack.hypervisor.vpmu): the first vCPU's, and what others' are made
    like.
    """

    BASE = 0x8000_0000  # where guests have their memory

    def __init__(self, hypervisor, number: int, at: int, size: int, tables: tuple, vpmu):
        self.hypervisor, self.number, self.vpmu = hypervisor, number, vpmu
        ram = hypervisor.hart.ram
        self.memory = Window(ram, at, size, self.BASE)
        self.stage2 = Stage2(ram, *tables, self.BASE, size, at - self.BASE)
        self.hgatp = self.stage2.hgatp(number + 1)
        self.htimedelta = 0
        self.sbi = GuestSbi(self)
        self.vcpus: list = []
        self.stopped = False
        hypervisor.vms.append(self)
