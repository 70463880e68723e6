"""Programs run piece by piece in either engine, to look at a recorder in between."""

import time

from rvperf.engine.hot import Regions
from rvperf.engine.native import EXTRA, Native
from rvperf.engine.reference import Reference
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.firmware import Firmware
from rvperf.stack.kernel import Kernel

S = 1


class Run:
    """A program that has not begun. `prepare` is given the hart, to switch recorders on.

    `engine` is "reference", "tier 0", or "native", which has regions: `compile` makes sure.
    """

    def __init__(self, argv, cwd, prepare, engine="native", live=(), sysroot=None, **options):
        native = engine != "reference"
        self.hart = Hart(Ram(), EXTRA if native else 0)
        prepare(self.hart)
        self.kernel = Kernel(
            self.hart, list(map(str, argv)), {}, cwd=str(cwd), sysroot=sysroot, **options
        )
        self.regions = None
        if engine == "native":
            self.regions = Regions(frozenset(live) | self.hart.recorded)
        self.engine = Native(self.hart, self.regions) if native else Reference(self.hart)
        Firmware(self.hart).boot(0)
        self.kernel.boot()

    def to(self, instruction: int) -> bool:
        """Go on until this many instructions have retired in user mode, or to the end: is there
        more?"""
        hart, kernel = self.hart, self.kernel
        while not kernel.finished and (left := instruction - self.user_instructions()) > 0:
            if not hart.interrupt():
                try:
                    self.engine.run(left)
                except Trap as trap:
                    hart.trap(trap.cause, trap.tval)
            if hart.mode == S:
                kernel.trap()
        return not kernel.finished

    def visits(self, pc: int, look):
        """Each time that pc is reached: (instructions retired in user mode, what `look` gives).

        For the reference engine.
        """
        hart, step, retired = self.hart, self.engine.step, self.user_instructions()
        while not self.kernel.finished:
            if hart.interrupt():
                self.kernel.trap()
            try:
                step()
                retired += 1
            except Trap as trap:
                hart.trap(trap.cause, trap.tval)
                self.kernel.trap()
                retired = self.user_instructions()
            if hart.pc == pc:
                yield retired, look()

    def user_instructions(self) -> int:
        """How many instructions have retired in user mode."""
        self.hart.collect()
        return self.hart.counts[0]["instructions"]

    def end(self) -> None:
        """Give back what the run holds."""
        self.kernel.close()
        if self.regions and self.regions.worker:
            self.regions.worker.dismiss()

    def compile(self) -> None:
        """Wait until what is hot so far is compiled."""
        while self.regions.busy:
            self.regions.poll()
            time.sleep(0.01)
