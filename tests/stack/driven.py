"""A machine without guests whose kernel drives the PMU: firmware, a kernel in S-mode with a driver,
and a program."""

from isa.modes import M, S
from rvperf.engine.native import EXTRA, Native
from rvperf.events.grammar import parse_events
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.machine.traps import Trap
from rvperf.stack.firmware import Firmware
from rvperf.stack.kernel import Kernel
from rvperf.stack.kernel.driven_perf import DrivenPerf
from rvperf.stack.kernel.perf_events import CLOCKS
from rvperf.stack.kernel.perf_tool import PerfTool
from rvperf.stack.kernel.samples import Details, Sampling
from rvperf.stack.pmu_drivers.delegation import DelegationDriver
from rvperf.stack.pmu_drivers.sbi import SbiDriver
from rvperf.stack.sbi import Snapshot

CYCLES_A_TICK = 100
EXTENSIONS = {
    "sbi": ("Sscofpmf",),
    "snapshot": ("Sscofpmf",),
    "delegation": ("Sscofpmf", "Smcsrind", "Smcdeleg", "Smcntrpmf"),
}


class Samples:
    """A sink that keeps samples."""

    def __init__(self):
        self.samples = []

    def sample(self, sample):
        self.samples.append(sample)

    def __getattr__(self, name):
        return lambda *given: None


class Machine:
    """`program` with `events` (as -e has them) sampled every `period` or just counted."""

    def __init__(self, program, events, period=0, freq=0, driver="sbi", tool=None, wakeups=(),
                 counters=29, extensions=None, enable_at=0):  # fmt: skip
        extensions = EXTENSIONS[driver] if extensions is None else extensions
        events = parse_events(events, sampling=True)
        self.hart = hart = Hart(Ram(64 << 20), EXTRA, extensions, counters)
        self.firmware = Firmware(hart, snapshot=driver == "snapshot")
        self.kernel = kernel = Kernel(
            hart, [str(program)], {}, cwd=str(program.parent), above=self.firmware.trap
        )
        if driver == "delegation":
            self.driver = DelegationDriver(kernel)
        else:
            shared = Snapshot(hart.ram, hart.ram.base + (3 << 20)) if driver == "snapshot" else None
            self.driver = SbiDriver(kernel, shared)
        self.sink = Samples()
        self.perf = kernel.perf = DrivenPerf(
            kernel,
            tuple(
                Sampling(
                    event,
                    event.source,
                    "clock" if event.source in CLOCKS else "hardware",
                    0 if freq or event.sample_read and n else period,
                    freq,
                    leader=0 if event.sample_read else None,
                )
                for n, event in enumerate(events)
            ),
            self.driver,
            Details(inherit=not any(event.sample_read for event in events), enable_at=enable_at),
            sink=self.sink,
        )
        self.perf.on_booted = kernel.tally.clear
        if tool:
            PerfTool(self.perf, tool, wakeups)
        self.engine = Native(hart, None)

    @property
    def samples(self):
        return self.sink.samples

    @property
    def calls(self) -> int:
        """SBI calls since the driver has probed."""
        return sum(n for key, n in self.kernel.tally.items() if key[0] == "call")

    def run(self):
        """Run the program to its end."""
        hart, kernel = self.hart, self.kernel
        self.firmware.boot(0)
        kernel.boot()
        while not kernel.finished:
            if not hart.interrupt():
                due = hart.csrs.words[0x14D]
                step = 1_000_000
                if due < 1 << 60:
                    step = min(step, max((due * CYCLES_A_TICK - hart.cycles) // 8, 100))
                try:
                    self.engine.run(step)
                    self.perf.stopped()
                except Trap as trap:
                    self.perf.stopped()
                    hart.take(trap)
            if hart.mode == M:
                self.firmware.trap()
            if hart.mode == S:
                kernel.trap()
        return self
