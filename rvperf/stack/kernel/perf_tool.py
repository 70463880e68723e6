"""perf itself as a process beside the program: what it does that touches the PMU.

Before the program perf tries out what the kernel has, opens the events and lets the program go by
writing to a pipe. It is runnable then, so that the program is soon taken off the CPU once; perf
waits from there on until the program has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.record import Record
from rvperf.machine.pmu import EVENTS
from rvperf.machine.traps import Trap
from rvperf.stack.events_core import EventAttr

from . import costs
from .memory import AddressSpace
from .tasks import PARENT_PID, SLEEPING, Descriptors, Process, Task, Wait

SEPC = CSR_NUMBERS["sepc"]
CYCLES = next(selector for selector, source in EVENTS.items() if source == "cycles")
ENTRY = 0x10000  # where perf's own code is: no sample is taken of it


class Program(Record):
    """What perf does in user mode, as instructions and cycles: modelled, not measured."""

    instructions: int
    cycles: int


START_UP = Program(400_000, 700_000)  # options, events' names, maps of the system
WOKEN = Program(1_500, 2_500)  # from poll's timeout to the first read, and after the last row
PRINTED = Program(6_000, 9_500)  # for each event of an interval: its row, computed and formatted
POLLED = Program(20_000, 35_000)  # from the write to the pipe to waiting for the program
TURN_NS = 450_000
"""How long the program that was let go runs before it is perf's turn again: perf has been taken off
the CPU in the middle of its slice. Modelled, of the order that real stacks show."""
COMMANDS = {
    # How often a command tries an event out at its start: perf_probe_api() of perf record.
    "record": 2,
    "stat": 0,
}


class PerfTool:
    """`perf record` or `perf stat` in the kernel of `perf`, a DrivenPerf.

    `wakeups` are times, in ns since the program was let go, at which another task of the system
    runs shortly, which takes the program off the CPU. `on_start` is called as it is let go.

    With an `interval` in ns perf wakes up that long after it has last begun to wait, reads the
    events and calls `on_interval`, as long as that gives True.
    """

    def __init__(
        self,
        perf,
        command: str = "record",
        wakeups: tuple[int, ...] = (),
        on_start: Callable[[], None] = lambda: None,
    ):
        self.perf, self.kernel = perf, perf.kernel
        self.probes = COMMANDS[command]
        self.wakeups = wakeups
        self.on_start = on_start
        self.let_go = 0
        self.interval = 0
        self.on_interval: Callable[[], bool] = lambda: False
        self.task: Task | None = None
        self._left_out = 0, 0  # of perf's own time and switches, what the kernel's are without
        perf.tool = self

    def begin(self) -> None:
        """From perf's start to the program's exec, in the kernel."""
        kernel, core = self.kernel, self.perf.core
        self.task = task = self._task("perf", self._rest())
        core.switch_in(task)
        self._in_user_mode(START_UP)
        for _ in range(self.probes):
            self._probe()
        self.perf.open_events(kernel.first)
        kernel.ready.append(task)
        self.let_go = kernel.hart.cycles
        self.on_start()
        kernel.slice_end = self.let_go + TURN_NS
        if self.wakeups:
            worker = self._task("kworker/0:1", self._work())
            worker.wait = next(worker.sleep)
            worker.state, worker.urgent = SLEEPING, True
            kernel.sleepers.append(worker)

    def _task(self, name: str, steps: Iterator[Wait]) -> Task:
        """A task that never runs in user mode: its steps are those of a call that sleeps."""
        kernel = self.kernel
        memory = AddressSpace(kernel.frames, kernel.counts, kernel.changed)
        where = kernel.first.where.copy()
        process = Process(PARENT_PID, None)
        task = Task(kernel, process.pid, process, memory, Descriptors(), where, name=name)
        process.threads.append(task)
        task.sleep = steps
        if self.perf.details.all_tasks:
            self.perf.sink.comm(task, False)
        return task

    def _probe(self) -> None:
        """Try an event out, which counts at once."""
        kernel, core = self.kernel, self.perf.core
        kernel.charge(costs.OPEN_EVENT)
        with self.perf.operating():
            event = core.open(EventAttr(CYCLES, exclude_kernel=True, exclude_hv=True))
        kernel.charge(costs.CLOSE_EVENT)
        with self.perf.operating():
            core.close(event)

    def _rest(self) -> Iterator[Wait]:
        """perf has let the program go, and runs until it waits for it."""
        self._in_user_mode(POLLED)
        self.kernel.charge(costs.POLL)
        if self.interval:
            yield from self._intervals()
        yield Wait(lambda: self.kernel.finished)

    def _intervals(self) -> Iterator[Wait]:
        """perf stat -I: it wakes up, reads, prints and waits again."""
        task, kernel = self.task, self.kernel
        task.urgent = True  # it has slept for so long that it comes before who was running
        # What it did so far, the switch to come included, is in the kernel's counts without -I.
        self._left_out = task.system_ns, task.process.switches + 1
        more = True
        while more:
            yield Wait(deadline=kernel.hart.cycles + self.interval)
            self._in_user_mode(WOKEN)
            for _ in self.perf.open:
                kernel.charge(costs.READ_EVENT)
            more = self.on_interval()
            for _ in self.perf.open:
                self._in_user_mode(PRINTED)
            kernel.charge(costs.of("write"))
            self._in_user_mode(WOKEN)
            kernel.charge(costs.POLL)

    def leave_out(self) -> None:
        """Take what perf itself did for intervals out of the kernel's counts, which are to be the
        program's."""
        task = self.task
        time, switches = self._left_out
        self.kernel.system_ns -= task.system_ns - time
        self.kernel.counts["context-switches"] -= max(task.process.switches - switches, 0)
        self._left_out = task.system_ns, max(task.process.switches, switches)

    def _work(self) -> Iterator[Wait]:
        """What another task does each time that it runs."""
        for time in self.wakeups:
            yield Wait(deadline=self.let_go + time)
            self.kernel.charge(costs.WORKER)
        yield Wait(lambda: self.kernel.finished)

    def _in_user_mode(self, program: Program) -> None:
        """Leave the kernel, execute, and come back by a system call."""
        hart = self.kernel.hart
        hart.write_csr(SEPC, ENTRY)
        hart.sret()
        self.kernel.runs_programs = True
        self.kernel.let_pass(program.instructions, program.cycles)
        self.kernel.runs_programs = False
        self.kernel.hart.take(Trap(Cause.ENVIRONMENT_CALL_FROM_U))
