"""A machine with a hypervisor: a program runs in VU-mode under a guest kernel in VS-mode, a host
in HS-mode and firmware in M-mode."""

from __future__ import annotations

import os
import signal

from rvperf.engine.reference import Reference
from rvperf.machine.hart import VS, VU, Hart, M, S
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.session import (
    CYCLES_A_TICK,
    FAILED,
    LATE,
    LOOK_UP,
    NEVER,
    STIMECMP,
    SessionError,
    Workload,
    check_directories,
)
from rvperf.stack.firmware import Firmware
from rvperf.stack.hypervisor import Hypervisor, Vcpu, Vm
from rvperf.stack.hypervisor.vpmu import Vpmu
from rvperf.stack.kernel import Kernel, LoadError, resolve_program

EXTENSIONS = ("H", "Svinval", "Smstateen", "Ssaia", "Sscofpmf", "Shlcofideleg")
VM_MEMORY = 4 << 30
HOST_MEMORY = 256 << 20
TABLES = 4 << 20  # of each VM, for the second stage
VSTIMECMP = 0x24D


class VirtualMachine:
    """A hart with firmware, a host with KVM, and one VM with a kernel and a program in it."""

    def __init__(self, workload: Workload, live: frozenset[str], vpmu: Vpmu | None = None):
        self.workload = workload
        native = workload.engine == "native"
        if native:
            from rvperf.engine.native import EXTRA, Native
        ram = Ram(HOST_MEMORY + VM_MEMORY)
        self.hart = hart = Hart(ram, EXTRA if native else 0, EXTENSIONS)
        check_directories(workload)
        self.firmware = Firmware(hart)
        self.host = Hypervisor(hart, self._serve_firmware)
        tables = ram.base + (64 << 20)
        at = ram.base + HOST_MEMORY
        self.vm = Vm(self.host, 0, at, VM_MEMORY, (tables, tables + TABLES), vpmu or Vpmu())
        try:
            program = resolve_program(
                workload.argv[0], workload.env.get("PATH"), workload.sysroot, os.getcwd()
            )
            self.kernel = Kernel(
                hart,
                workload.argv,
                workload.env,
                sysroot=workload.sysroot,
                allow_write=workload.allow_write,
                descriptors=workload.descriptors,
                verbose=bool(workload.verbose),
                program=program,
                ram=self.vm.memory,
            )
        except LoadError as error:
            reason = os.strerror(error.errno)
            raise SessionError(f"Workload failed: {reason}\n{error.message}", FAILED) from None
        self.vcpu = Vcpu(self.vm, self._guest)
        self.vcpu.software = self.kernel
        self.regions = None
        if native:
            from rvperf.engine.hot import Regions

            self.regions = Regions(live | hart.recorded, f"{workload.sysroot}\0{program}")
        self.engine = Native(hart, self.regions) if native else Reference(hart)
        self.interrupts = 0

    def _serve_firmware(self) -> None:
        self.firmware.trap()

    def _guest(self) -> None:
        """What runs in the VM's VS-mode: the kernel, from its boot to its end."""
        kernel, vcpu, hart = self.kernel, self.vcpu, self.hart
        kernel.boot()
        while not kernel.finished:
            if hart.mode != VS:
                vcpu.leave()
            kernel.trap()

    def run(self) -> None:
        """Run until the guest's program ends."""
        previous = signal.signal(signal.SIGINT, self._interrupted)
        try:
            self.firmware.boot(0)
            self.host.boot()
            self.host.start(self.vcpu)
            self.host_started()
            self._loop()
        finally:
            signal.signal(signal.SIGINT, previous)
            self.hart.collect()
            if self.regions:
                self.regions.finish()

    def host_started(self) -> None:
        """The host's tick begins with the first vCPU."""

    def _interrupted(self, number, frame) -> None:
        self.interrupts += 1
        self.kernel.interrupt(signal.SIGINT if self.interrupts == 1 else signal.SIGKILL)

    def _loop(self) -> None:
        hart = self.hart
        while not self.vcpu.finished:
            mode = hart.mode
            if mode == VU:
                self._run_user()
            elif mode == VS:
                self.host.vcpu.resume()
            elif mode == S:
                self.host.trap()
            elif mode == M:
                self.firmware.trap()

    def _run_user(self) -> None:
        hart = self.hart
        if hart.interrupt():
            return
        words = hart.csrs.words
        due = min(words[STIMECMP], words[VSTIMECMP])
        step = LOOK_UP[self.workload.engine]
        if due != NEVER:
            step = min(step, max((due * CYCLES_A_TICK - hart.cycles) // 8, LATE))
        try:
            self.engine.run(step)
        except Trap as trap:
            hart.take(trap)
