"""The kernel: tasks, memory, files, signals and time, for programs on one hart.

It takes the traps that the architecture routes to S-mode, or a guest's to VS-mode, and answers them
as Linux would. All it does to the hart goes through CSRs, registers and page tables in RAM; the
time that it would take is charged (costs.py).
"""

import fcntl
import os
import random
import resource
import select
import stat
import struct
import sys
import time
from array import array
from collections import deque
from errno import ENOSYS
from types import GeneratorType

from isa.causes import Cause
from isa.csrs import CSR_NUMBERS
from isa.modes import VS, VU, Mode, S, U
from isa.record import Record
from rvperf.events.table import TRACEPOINT_EVENTS
from rvperf.machine.executions import PageIdentity
from rvperf.machine.timing import CYCLES_A_TICK, cycles_of
from rvperf.machine.traps import Trap
from rvperf.stack.level import Level

from . import costs, execution, files, procfs, signals
from .elf import LoadError
from .execution import resolve_program
from .frames import PAGE, Frames, OutOfMemory
from .kallsyms import TEXT
from .memory import PROT_EXEC, PROT_READ, PROT_WRITE, AccessFault
from .names import NAMES
from .pagecache import PageCache
from .paths import Paths, Place
from .shm import SharedMemory
from .signals import SigInfo
from .syscalls import TABLE, arguments_of, synchronisation
from .tasks import (
    DEAD,
    FIRST_PID,
    RUNNABLE,
    SLEEPING,
    STOPPED,
    Descriptors,
    Interrupted,
    Process,
    Task,
    Where,
)

__all__ = ["Exit", "Kernel", "LoadError", "resolve_program"]

(
    SSTATUS,
    SIE,
    STVEC,
    SCOUNTEREN,
    SENVCFG,
    SEPC,
    SCAUSE,
    STVAL,
    STIMECMP,
    SATP,
    TIME,
    VSTIMECMP,
    HSTATUS,
) = (
    CSR_NUMBERS[name]
    for name in (
        "sstatus",
        "sie",
        "stvec",
        "scounteren",
        "senvcfg",
        "sepc",
        "scause",
        "stval",
        "stimecmp",
        "satp",
        "time",
        "vstimecmp",
        "hstatus",
    )
)
SPP, SPIE, FS, FS_INITIAL = 1 << 8, 1 << 5, 3 << 13, 1 << 13
STIE = 1 << 5
SV39 = 8 << 60
INTERRUPT = 1 << 63
TIMER, OVERFLOW = INTERRUPT | 5, INTERRUPT | 13
WFI, WFI_CYCLES, VTW = 0x10500073, cycles_of("system"), 1 << 21
ILLEGAL, BREAKPOINT, USER_CALL = 2, 3, 8
PAGE_FAULTS = {12: PROT_EXEC, 13: PROT_READ, 15: PROT_WRITE}
NEVER = (1 << 64) - 1
FOREVER = 1 << 61  # 73 years: nobody means such a deadline
MASK64 = (1 << 64) - 1

RESERVED = 4 << 20  # the firmware's 2 MiB and as much for the kernel's own
EXECVE = 221
PRIORITY = 120  # of every task: nice 0
SLICE_NS = 3_000_000  # how long a task runs while others wait (EEVDF's base slice)
DEFAULT_EPOCH = 1_735_689_600  # 2025-01-01 00:00:00 UTC: when the machine was switched on
HIGHEST_TASKS = 4096

# What the kernel tells of other exceptions: cause -> (signal, si_code).
EXCEPTIONS = {
    0: (signals.SIGBUS, 1),  # BUS_ADRALN
    1: (signals.SIGSEGV, 2),
    2: (signals.SIGILL, 1),  # ILL_ILLOPC
    3: (signals.SIGTRAP, 1),  # TRAP_BRKPT
    4: (signals.SIGBUS, 1),
    5: (signals.SIGSEGV, 2),
    6: (signals.SIGBUS, 1),
    7: (signals.SIGSEGV, 2),
}
UNLIMITED = (1 << 64) - 1
LIMITS = {
    3: (8 << 20, UNLIMITED),
    4: (0, UNLIMITED),
    6: (HIGHEST_TASKS, HIGHEST_TASKS),
    7: (1024, 1 << 20),
    8: (8 << 20, 8 << 20),
    11: (15000, 15000),
    12: (819200, 819200),
    13: (0, 0),
    14: (0, 0),
}


class Exit(Record):
    """How the program ended: an exit code, or the signal that killed it."""

    code: int = 0
    signal: int = 0


def allow_open_files():
    """Lets us hold a host descriptor for every file that a guest opens or maps."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        pass


def start_of_time(env):
    """When the machine is switched on: SOURCE_DATE_EPOCH, or a fixed time."""
    given = env.get("SOURCE_DATE_EPOCH", "")
    return int(given) if given.isdecimal() and len(given) < 12 else DEFAULT_EPOCH


class Kernel(Level):
    """One Linux, with one program started in it.

    `argv` and `env` are what the program gets; `program` is its path if that isn't argv[0]. `cwd`
    is a directory of the host, `allow_write` names further ones that the guest may write in.
    Raises LoadError if the program can't be started.

    A guest's kernel has `mode` VS and physical memory of its own, `ram`; the rest is as in `Level`.
    """

    def __init__(
        self,
        hart,
        argv,
        env,
        cwd=None,
        sysroot=None,
        allow_write=(),
        descriptors=(0, 1, 2),
        verbose=False,
        program=None,
        epoch=None,
        ram=None,
        mode: Mode = S,
        above=None,
        tally=None,
    ):
        super().__init__(hart, mode, above, tally)
        self.user_mode = VU if mode == VS else U
        self.ram = ram or hart.ram
        self.masked = True
        """Interrupts are off, as in handlers of interrupts and in the scheduler."""
        self.driven = False
        """Whether interrupts are let in while the kernel works: where a PMU's are to be seen."""
        if hart.executions and mode != VS:  # else it is the vCPU's to say whose code runs
            hart.executions.identify = self.identify
        self.verbose = verbose
        allow_open_files()
        self.frames = Frames(self.ram, RESERVED)
        self.cache = PageCache(self.frames)
        self.shm = SharedMemory(self.cache)
        self.epoch = start_of_time(env) if epoch is None else epoch
        self.uid, self.gid = os.getuid(), os.getgid()
        self.random = random.Random("rvperf").randbytes
        self.counts = dict.fromkeys(
            (
                "page-faults",
                "minor-faults",
                "major-faults",
                "context-switches",
                "cpu-migrations",
                "alignment-faults",
                "emulation-faults",
            ),
            0,
        )
        self.tracepoints = dict.fromkeys((row.symbol for row in TRACEPOINT_EVENTS), 0)
        self.perf = None  # perf_events.PerfEvents, if something is sampled
        self.user_ns = self.system_ns = 0
        self.entered = 0  # the clock when a task last went to user mode
        self.finished = False
        self.exit = None
        self.unknown = set()
        self.arrived = deque()  # signals from outside that nobody has been told of
        self.outside = None  # (when, signal) of one that is still to come
        self.pipes = 0
        self.futexes = {}
        self.ready = deque()
        self.sleepers = []
        self.processes = {}
        self.next_pid = FIRST_PID
        self.armed = NEVER
        self.time_delta = 0  # what `time` is ahead of the machine's
        self.timers_changed = False  # a timer was started since the last arm()
        self.resched = False
        self.current = None
        self.running_memory = None
        self.slice_end = 0
        self.preempted = None, 0  # who gave way to something urgent, and when its slice ends

        cwd = os.path.realpath(cwd or os.getcwd())
        self.paths = Paths(sysroot, (cwd, "/tmp", *allow_write))
        self.paths.synthetic_link = lambda path: procfs.link(self, path)
        self.sigreturn_page = self.cache.anonymous(4096, "[sigreturn]")
        self.sigreturn_page.users = 1
        self.sigreturn_page.write(0, signals.SIGRETURN_CODE)

        here = Place(cwd, status=os.stat(cwd))
        name = self.program = program or argv[0]
        space, self.entry, self.stack_pointer, comm = execution.build(
            self, name, [os.fsencode(word) for word in argv],
            [os.fsencode(f"{key}={value}") for key, value in env.items()], here,
        )  # fmt: skip
        process = Process(self.allocate_pid(), None)
        process.limits = dict(LIMITS)
        self.foreground = process.group
        table = Descriptors()
        self.standard = [self.inherit(host) for host in descriptors]
        for number, file in enumerate(self.standard):
            if file is not None:
                table.put(number, file)
        self.first = self.current = Task(
            self, process.pid, process, space, table, Where(here), name=comm
        )
        process.threads.append(self.current)
        self.processes[process.pid] = process

    def identify(self, va):
        """What the page at an address of the current task holds."""
        area = self.current.memory.find(va)
        page = va & -PAGE
        if area is None or area.file is None:
            return PageIdentity(None, page)
        return PageIdentity(area.file.name, area.offset + page - area.start)

    def inherit(self, host):
        """The open file behind a descriptor of the command's own; None if there is none."""
        if host is None:
            return None
        try:
            mode = os.fstat(host).st_mode
        except OSError:
            return None
        flags = fcntl.fcntl(host, fcntl.F_GETFL)
        if stat.S_ISREG(mode):
            try:
                name = os.readlink(f"/proc/self/fd/{host}")
            except OSError:
                name = "/"
            return files.HostFile(os.dup(host), flags, None, name, self.cache)
        if stat.S_ISCHR(mode) and os.path.exists("/dev/null"):
            if os.fstat(host).st_rdev == os.stat("/dev/null").st_rdev:
                return files.Device("null", flags, self.random)
        return files.HostStream(host, flags)

    def boot(self):
        """At the start in S- or VS-mode: sets the hart up and enters the program."""
        hart, task = self.hart, self.current
        self.put(STVEC, TEXT)
        self.put(SIE, STIE)
        self.put(SCOUNTEREN, 7)
        self.put(SENVCFG, 1 << 7 | 1 << 6 | 1 << 4)
        self.put(STIMECMP, NEVER)
        self.time_delta = self.get(TIME) - hart.time
        status = hart.read_csr(SSTATUS) & ~(SPP | FS)
        hart.write_csr(SSTATUS, status | SPIE | FS_INITIAL)
        if self.perf:
            self.perf.boot()
        hart = self.hart  # a guest's may be another by now
        hart.x[0:32] = array("Q", bytes(256))
        hart.f[0:32] = array("Q", bytes(256))
        hart.fcsr = 0
        hart.x[2] = self.stack_pointer
        self.use(task.memory)
        task.pc = self.entry
        # What perf sees of its own execve: the exec itself, and the call's return.
        self.masked = False
        if self.perf:
            self.perf.executed(task)
        self.trace_exec(task, os.fsencode(self.program))
        self.charge(costs.of("execve"))
        self.trace("raw_syscalls:sys_exit", costs.LEAVE_CALL, lambda: {"id": EXECVE, "ret": 0})
        self.leave()

    # CSRs. What accesses cost is part of the kernel's costs, unless they trap.

    def put(self, csr, value):
        """csrw, as part of some work that is charged."""
        try:
            self.hart.write_csr(csr, value)
        except Trap as trap:
            self._refused(trap, csr, f"csrw {csr:#x}, a0", value)

    def get(self, csr):
        """csrr, as part of some work that is charged."""
        try:
            return self.hart.read_csr(csr)
        except Trap as trap:
            return self._refused(trap, csr, f"csrr a0, {csr:#x}", 0)

    # Traps

    def trap(self):
        """Answers the trap that the hart has just delivered here, and returns to a task."""
        hart, task = self.hart, self.current
        spent = hart.cycles - self.entered
        self.user_ns += spent
        task.user_ns += spent
        cause, value = hart.read_csr(SCAUSE), hart.read_csr(STVAL)
        task.pc = hart.read_csr(SEPC)
        self.masked = bool(cause & INTERRUPT)
        if self.perf:
            self.perf.entered()
        try:
            self.answer(task, cause, value)
        except OutOfMemory:
            self.kill_for_memory()
        if self.finished:
            return
        self.leave()

    def answer(self, task, cause, value):
        """Does what a trap asks for, and lets somebody be ready to go on."""
        if cause == USER_CALL:
            self.system_call(task)
        elif cause in PAGE_FAULTS:
            self.charge(costs.PAGE_FAULT)
            self.page_fault(task, cause, value)
        elif cause == TIMER:
            self.charge(costs.INTERRUPT)
            if self.driven:
                self.armed = None  # it has to be set anew
                self.perf.timer()
            self.resched = True
        elif cause == OVERFLOW:
            self.perf.overflow()
        else:
            self.charge(costs.TRAP)
            self.exception(task, cause, value)
        if self.arrived:
            self.receive()
        if self.sleepers:
            self.wake_sleepers()
            if self.ready and self.ready[0].urgent:
                self.resched = True
        if task.state != RUNNABLE or task.notify or self.resched:
            self.schedule()

    def kill_for_memory(self):
        """Ends whoever asked for the frame that there isn't, as the OOM killer does."""
        print("rvperf: the guest's memory is used up: its program is killed", file=sys.stderr)
        while True:
            process = self.current.process
            if process.exit is None:
                process.killed_by = None
                self.exit_process(process, 0, signals.SIGKILL)
            try:
                self.schedule()
                return
            except OutOfMemory:
                continue

    def leave(self):
        """Returns to the current task in user mode."""
        if self.armed != NEVER or self.ready or self.sleepers or self.timers_changed or self.driven:
            self.arm()
        hart = self.hart
        hart.write_csr(SEPC, self.current.pc)
        self.entered = hart.cycles
        if self.on_operation:
            self.note("return", self.user_mode)
        hart.sret()
        if self.perf:
            self.perf.resume()

    def charge(self, cost, moved=0):
        """Lets the time of kernel work pass."""
        instructions, cycles = cost.instructions, cost.cycles
        if moved and cost.bytes_per_instruction:
            more = moved // cost.bytes_per_instruction
            instructions, cycles = instructions + more, cycles + more
        if self.perf:
            self.perf.work(cost, instructions, cycles)
        self.system_ns += cycles
        self.current.system_ns += cycles
        if self.driven:
            self.perf.let_pass(cost, instructions, cycles)
        elif self.above:
            self.let_pass(instructions, cycles)
        else:
            self.hart.charge(instructions, cycles)

    def interrupted(self):
        """An interrupt has come while the kernel worked with interrupts on."""
        self.perf.interrupted()

    def timer_fired(self):
        """The timer interrupt came while the kernel worked: what it is for is done at the end."""
        self.armed, self.timers_changed, self.resched = NEVER, True, True
        self.put(STIMECMP, NEVER)

    def now(self):
        """Nanoseconds since boot: the clock is 1 GHz."""
        return self.hart.cycles

    def page_fault(self, task, cause, address):
        counts = self.counts
        counts["page-faults"] += 1
        task.process.faults += 1
        self.trace(
            "exceptions:page_fault_user",
            costs.PAGE_FAULT.callers[0],
            lambda: {"address": address, "ip": task.pc, "error_code": cause},
        )
        if self.perf:
            self.perf.software_event("page-faults", address)
        try:
            task.memory.fault(address, PAGE_FAULTS[cause])
        except AccessFault as fault:
            signals.force(task, signals.fault(fault.signal, fault.code, address))
        else:
            counts["minor-faults"] += 1
            if self.perf:
                self.perf.software_event("minor-faults", address)

    def trace(self, name, where, fields):
        """A tracepoint is passed, in a function of ours; `fields` gives its fields if asked."""
        self.tracepoints[name] += 1
        if self.perf:
            self.perf.tracepoint(name, where, fields)

    def trace_exec(self, task, filename):
        """A task has executed a program."""
        self.trace(
            "sched:sched_process_exec",
            costs.EXEC,
            lambda: {"filename": filename, "pid": task.tid, "old_pid": task.tid},
        )

    def trace_return(self, number, result):
        """A system call returns to the user."""
        self.trace(
            "raw_syscalls:sys_exit",
            costs.LEAVE_CALL,
            lambda: {"id": number, "ret": (result + (1 << 63) & MASK64) - (1 << 63)},
        )

    def exception(self, task, cause, value):
        """An exception that no page can cure."""
        signal, code = EXCEPTIONS.get(cause, (signals.SIGILL, 1))
        address = value if cause not in (ILLEGAL, BREAKPOINT) else task.pc
        signals.force(task, signals.fault(signal, code, address))

    def moves(self, hart) -> None:
        """As `Level.moves`."""
        super().moves(hart)
        if self.perf:
            self.perf.hart = hart

    def changed(self, va):
        """A page table entry has changed: the hart must look again."""
        self.hart.sfence_vma(va)

    def use(self, memory):
        """Makes the hart translate through an address space."""
        if self.running_memory is not memory:
            self.running_memory = memory
            self.put(SATP, SV39 | memory.root)
            self.hart.sfence_vma()

    # System calls

    def system_call(self, task):
        """Runs the call that a7 names; its result goes to a0, now or when it has slept."""
        x = self.hart.x
        number = x[17]
        self.trace(
            "raw_syscalls:sys_enter",
            costs.ENTER_CALL,
            lambda: {"id": number, "args": x[10:16].tolist()},
        )
        x = self.hart.x  # a vCPU may have gone to another hart
        task.pc += 4
        call = TABLE.get(number)
        if call is None:
            self.report_unknown(number)
            self.charge(costs.TRAP)
            self.hart.x[10] = -ENOSYS & MASK64
            self.trace_return(number, -ENOSYS)
            return
        task.call = call
        task.argument = x[10]
        try:
            result = call.handler(task, *arguments_of(call, x[10:16].tolist()))
        except OSError as error:
            result = -error.errno
        if type(result) is GeneratorType:
            task.sleep = result
            self.proceed(task)
            return
        self.complete(task, result)

    def complete(self, task, result):
        """Ends a system call. None: the handler has set the registers itself."""
        cost = task.call.cost
        moved = result if cost.bytes_per_instruction and result and result > 0 else 0
        self.charge(cost, moved)
        if task.state != DEAD:
            self.trace_return(task.call.number, self.hart.x[10] if result is None else result)
        if result is not None:
            self.hart.x[10] = result & MASK64

    def proceed(self, task):
        """Runs the system call that the current task sleeps in until it ends or sleeps again."""
        try:
            if task.wait is not None and not self.satisfied(task) and signals.deliverable(task):
                wait = task.sleep.throw(Interrupted(task.wait.restart))
            else:
                wait = next(task.sleep)
        except StopIteration as ended:
            task.sleep = task.wait = None
            self.complete(task, ended.value)
        except Interrupted:
            restart = task.wait.restart
            task.sleep = task.wait = None
            self.complete(task, None)
            signals.deliver(task, restart)
        except OSError as error:
            task.sleep = task.wait = None
            self.complete(task, -error.errno)
        else:
            task.wait = wait
            if signals.deliverable(task) and not self.satisfied(task):
                self.proceed(task)
                return
            task.state = SLEEPING
            self.sleepers.append(task)

    def report_unknown(self, number):
        """Names a system call that there isn't, once, if the user wants to know."""
        if self.verbose and number not in self.unknown:
            name = NAMES.get(number, "unknown")
            print(f"rvperf: system call {name} ({number}) is not there: ENOSYS", file=sys.stderr)
        self.unknown.add(number)

    # Scheduling

    def satisfied(self, task):
        """True if what a sleeping task waits for has come."""
        wait = task.wait
        if wait.deadline is not None and self.hart.cycles >= wait.deadline:
            return True
        return wait.ready is not None and wait.ready()

    def wake(self, task):
        """Lets a task run again, behind those that wait already."""
        if task is not self.current and task not in self.ready:
            self.ready.append(task)

    def wake_sleepers(self):
        """Moves every sleeper whose wait is over to the queue of those that can run."""
        self.fire_timers()
        still = []
        for task in self.sleepers:
            if task.state != SLEEPING:
                if task.state == STOPPED:
                    still.append(task)
                continue
            if self.satisfied(task) or signals.deliverable(task):
                task.state = RUNNABLE
                if task.urgent:
                    self.ready.appendleft(task)
                elif task is not self.current:
                    self.ready.append(task)
            else:
                still.append(task)
        self.sleepers = still

    def schedule(self):
        """Chooses who runs next and makes it ready to enter user mode."""
        self.resched = False
        before, self.masked = self.masked, True
        try:
            self._schedule()
        finally:
            self.masked = before

    def _schedule(self):
        before, left = self.current, self.current.state != RUNNABLE
        while not self.finished:
            task = self.pick()
            if task is None:
                return
            if (left or task is not before) and before.state != DEAD:
                self.counts["context-switches"] += 1
                before.process.switches += 1
                if self.perf:
                    self.perf.software_event("context-switches", 0, costs.SWITCH.symbol)
                self.charge(costs.SWITCH)
            self.switch(task)
            before, left = task, False
            if task.sleep is not None:
                self.masked = False
                self.proceed(task)
                self.masked = True
            if task.state == RUNNABLE and (task.notify or task.process.killed_by):
                signals.deliver(task)
            if task.state == RUNNABLE and not self.finished:
                return
            left = True

    def pick(self):
        """The next task to run; time passes until there is one. None if the program has ended."""
        while not self.finished:
            self.fire_timers()
            if self.arrived:
                self.receive()
            if self.sleepers:
                self.wake_sleepers()
            current = self.current
            if current.state == RUNNABLE:
                if self.ready and self.ready[0].urgent:
                    self.preempted = current, self.slice_end
                    task = self.ready.popleft()
                    self.ready.appendleft(current)
                    return task
                if self.ready and self.hart.cycles >= self.slice_end:
                    self.ready.append(current)
                else:
                    return current
            while self.ready:
                task = self.ready.popleft()
                if task.state == RUNNABLE:
                    preempted, slice_end = self.preempted
                    if task is not preempted:
                        slice_end = self.hart.cycles + SLICE_NS
                    self.slice_end, self.preempted = slice_end, (None, 0)
                    return task
            self.idle()
        return None

    def idle(self):
        """Nobody can run: goes to the next deadline, or waits for the host."""
        deadline = self.next_deadline()
        reads = [fd for task in self.sleepers for fd in task.wait.reads]
        writes = [fd for task in self.sleepers for fd in task.wait.writes]
        if reads or writes:
            # Input may come while emulated time stands still: the pause is real, its length isn't
            # counted unless it ends a timeout.
            pause = 0.1
            if deadline is not None:
                pause = min(pause, max(0, deadline - self.hart.cycles) / 1e9)
            found = select.select(reads, writes, [], pause)
            if any(found):
                return
            if deadline is not None:
                step = min(deadline, self.hart.cycles + int(pause * 1e9) + 1)
                self.wait(step)
        elif deadline is not None:
            self.wait(deadline)
        else:
            time.sleep(0.05)  # until somebody interrupts us

    def wait(self, until):
        """Waits, by wfi, for an interrupt, at the latest at a time in nanoseconds since boot. Ends
        early if whoever takes a guest's wfi lets it."""
        if self.mode == VS:
            self.armed = self.tick_at(until)
            self.put(STIMECMP, self.armed)
            if self.hart.csr_value(HSTATUS) & VTW:
                self._trap(Trap(Cause.VIRTUAL_INSTRUCTION, WFI), WFI_CYCLES)
                return
        self.hart.idle_until(until)

    def tick_at(self, when):
        """What the timer is set to for a time in nanoseconds since boot."""
        return -(-when // CYCLES_A_TICK) + self.time_delta

    def next_deadline(self):
        """When the next timeout or timer falls due, in nanoseconds; None if there is none."""
        soonest = self.outside[0] if self.outside else None
        if self.driven:
            due = self.perf.due()
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        for task in self.sleepers:
            due = task.wait.deadline
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        for process in self.processes.values():
            for due, _ in process.timers.values():
                if soonest is None or due < soonest:
                    soonest = due
            for timer in process.posix_timers.values():
                if timer.deadline and (soonest is None or timer.deadline < soonest):
                    soonest = timer.deadline
        return soonest if soonest is not None and soonest < FOREVER else None

    def fire_timers(self):
        """Sends the signals of timers that have fallen due."""
        if self.outside and self.hart.cycles >= self.outside[0]:
            self.arrived.append(self.outside[1])
            self.outside = None
        for process in self.processes.values():
            if process.timers:
                now = self.hart.cycles
                for which, (due, interval) in list(process.timers.items()):
                    if now < due:
                        continue
                    signal = (signals.SIGALRM, signals.SIGVTALRM, signals.SIGPROF)[which]
                    if interval:
                        missed = (now - due) // interval
                        process.timers[which] = (due + (missed + 1) * interval, interval)
                    else:
                        del process.timers[which]
                    signals.post(process, SigInfo(signal, signals.SI_KERNEL))
            if process.posix_timers:
                for timer in list(process.posix_timers.values()):
                    timer.fire(self.hart.cycles, process)

    def arm(self):
        """Sets the timer interrupt for the next thing that is due."""
        if self.driven and self.armed is not None and self.tick_at(self.hart.cycles) > self.armed:
            return  # it is pending, and comes as soon as interrupts are let in
        self.timers_changed = False
        due = self.next_deadline()
        if self.ready:
            now = self.hart.cycles
            if self.slice_end <= now:
                self.slice_end = now + SLICE_NS
            due = self.slice_end if due is None else min(due, self.slice_end)
        tick = NEVER if due is None else self.tick_at(due)
        if tick != self.armed:
            self.armed = tick
            self.put(STIMECMP, tick)

    def switch(self, task):
        """Puts a task's registers into the hart."""
        before = self.current
        if before is task:
            return
        hart = self.hart
        if before.state != DEAD:
            before.x[:] = array("Q", hart.x[0:32].tobytes())
            before.f[:] = array("Q", hart.f[0:32].tobytes())
            before.fcsr = hart.fcsr
        hart.x[0:32] = task.x
        hart.f[0:32] = task.f
        hart.fcsr = task.fcsr
        hart.reservation = None
        if self.perf:
            self.perf.switch(before, task)
        if hart.calls:
            before.calls = hart.calls.exchange(task.calls)
            if before.state == DEAD:
                before.calls = None
        if hart.transfers:
            hart.transfers.clear()
        self.current = task
        self.use(task.memory)

    # Processes

    def allocate_pid(self):
        """The next process or thread number."""
        pid = self.next_pid
        self.next_pid += 1
        return pid

    def limit(self, process, resource):
        """(soft, hard) of a resource limit."""
        return process.limits.get(resource, (UNLIMITED, UNLIMITED))

    def exit_task(self, task):
        """Ends a task whose process is killed, and the process with it."""
        code, signal = task.process.killed_by
        self.exit_process(task.process, code, signal)

    def exit_process(self, process, code, signal):
        """exit_group(2), or death by a signal."""
        for task in list(process.threads):
            self.end_thread(task)
        process.exit = (code, signal)
        process.timers.clear()
        process.posix_timers.clear()
        for child in process.children:
            child.parent = None
            if child.exit is not None:
                self.processes.pop(child.pid, None)
        process.children = []
        if process is self.first.process:
            self.finished = True
            self.exit = Exit(code, signal)
            self.close()
            return
        parent = process.parent
        if parent is None:
            self.processes.pop(process.pid, None)
            return
        action = parent.actions[signals.SIGCHLD]
        if process.exit_signal == signals.SIGCHLD and (
            action.handler == signals.SIG_IGN or action.flags & signals.SA_NOCLDWAIT
        ):
            self.reap(parent, process)
            if action.handler == signals.SIG_IGN:
                return
        if process.exit_signal:
            status = signal or code
            payload = struct.pack(
                "<iIiiqq",
                process.pid, self.uid, status, 0,
                process.user_ns // 10**7, process.system_ns // 10**7,
            )  # fmt: skip
            signals.post(parent, SigInfo(process.exit_signal, 2 if signal else 1, payload))

    def close(self):
        """Ends what still runs and gives the host's descriptors back."""
        self.finished = True
        for process in list(self.processes.values()):
            for task in list(process.threads):
                self.end_thread(task)
        self.cache.close()

    def switch_off(self):
        """The machine's power is gone, wherever the kernel was: what it has of the host's is given
        back, and its program has ended as if it was killed."""
        self.finished, self.perf = True, None
        self.exit = Exit(0, signals.SIGKILL)
        self.close()

    def reap(self, parent, child):
        """Forgets a child that has ended, its times added to the parent's."""
        parent.children_user_ns += child.user_ns + child.children_user_ns
        parent.children_system_ns += child.system_ns + child.children_system_ns
        parent.children_faults += child.faults + child.children_faults
        if child in parent.children:
            parent.children.remove(child)
        self.processes.pop(child.pid, None)

    def end_thread(self, task):
        """What every thread does at its end: do_exit()."""
        if task.state == DEAD:
            return
        if task.memory.users > 1 or len(task.process.threads) > 1:
            synchronisation.release_robust_list(task)
            if task.clear_child_tid:
                synchronisation.clear_and_wake(task)
        task.state = DEAD
        task.vfork_done = True
        if task.sleep is not None:
            task.sleep.close()
        task.sleep = task.wait = None
        if not self.finished:
            self.trace(
                "sched:sched_process_exit",
                costs.EXIT,
                lambda: {"comm": task.name.encode(), "pid": task.tid, "prio": PRIORITY},
            )
        if self.perf:
            self.perf.exited(task)
        process = task.process
        process.user_ns += task.user_ns
        process.system_ns += task.system_ns
        if task in process.threads and len(process.threads) > 1:
            process.threads.remove(task)
        task.descriptors.release()
        if self.running_memory is task.memory and task.memory.users == 1:
            self.running_memory = None
        task.memory.release()

    def interrupt(self, signal, here=True):
        """A signal from outside, such as ^C at the terminal: to the foreground process group.

        May be called at any time, in a handler of Python's signals too: it only leaves word, and
        has the timer interrupt fire if the hart is in user mode and we are `here`, on it.
        """
        self.arrived.append(signal)
        if here:
            self._fire()

    def remind(self):
        """The hart is in user mode: have the timer interrupt fire if there is still word of a
        signal, which may have been left while the hart was elsewhere."""
        if self.arrived:
            self._fire()

    def interrupt_at(self, when, signal):
        """A signal from outside at a time to come, in nanoseconds since boot."""
        self.outside = (when, signal)
        self.timers_changed = True
        self._fire()

    def _fire(self):
        """Has the timer interrupt come now if the hart is in user mode."""
        if self.hart.mode == self.user_mode:
            self.armed = 0
            self.hart.set_csr(VSTIMECMP if self.mode == VS else STIMECMP, 0)

    def receive(self):
        """Posts the signals that have come from outside."""
        while self.arrived:
            signal = self.arrived.popleft()
            for process in list(self.processes.values()):
                if process.group == self.foreground:
                    signals.post(process, SigInfo(signal, signals.SI_KERNEL))
