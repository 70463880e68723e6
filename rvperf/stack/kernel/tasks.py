"""Tasks and processes: what Linux keeps in task_struct, signal_struct and files_struct."""

from array import array
from collections import deque
from errno import EBADF, EMFILE

from isa.record import Record

FIRST_PID = 1000
PARENT_PID = 999  # who started the first process: never seen running

RUNNABLE, SLEEPING, STOPPED, DEAD = "R", "S", "T", "Z"


class Interrupted(Exception):
    """Thrown into a sleeping system call when a signal must be handled (-ERESTARTSYS).

    `restart` is false for calls that give EINTR even under SA_RESTART; signal(7) lists them.
    """

    def __init__(self, restart=True):
        super().__init__(restart)
        self.restart = restart


class Restart(Exception):
    """A system call ends without a result because a signal is to be handled first."""

    def __init__(self, allowed):
        super().__init__(allowed)
        self.allowed = allowed  # true if SA_RESTART may begin it again


class Wait(Record, mutable=True):
    """What a sleeping system call waits for: the first of these. A handler that may sleep is a
    generator that yields one of these, and looks again when it is resumed."""

    ready: object = None  # a function; true once the task may go on
    deadline: int | None = None  # in nanoseconds of emulated time since boot
    reads: tuple = ()  # host descriptors that `ready` waits to read from
    writes: tuple = ()
    restart: bool = True  # false: a handled signal gives EINTR even under SA_RESTART
    killable: bool = False  # only death ends it, no handled signal (TASK_KILLABLE)


class Descriptors:
    """A table of file descriptors (files_struct), shared by threads."""

    def __init__(self):
        self.open = {}  # number -> open file description
        self.cloexec = set()
        self.users = 1

    def get(self, number):
        """The open file at a number. Raises OSError EBADF."""
        file = self.open.get(number)
        if file is None:
            raise OSError(EBADF, "no such descriptor")
        return file

    def add(self, file, cloexec=False, lowest=0, limit=1024):
        """Puts a file at the lowest free number. Raises OSError EMFILE."""
        number = lowest
        while number in self.open:
            number += 1
        if number >= limit:
            file.release_if_unused()
            raise OSError(EMFILE, "too many open files")
        self.put(number, file, cloexec)
        return number

    def put(self, number, file, cloexec=False):
        """Puts a file at a number, closing what was there."""
        file.users += 1
        if number in self.open:
            self.close(number)
        self.open[number] = file
        if cloexec:
            self.cloexec.add(number)
        else:
            self.cloexec.discard(number)

    def close(self, number):
        """Removes a number. Raises OSError EBADF."""
        file = self.get(number)
        del self.open[number]
        self.cloexec.discard(number)
        file.drop()

    def copy(self):
        """A table of its own for a child: same numbers, same open files."""
        made = Descriptors()
        made.open = dict(self.open)
        made.cloexec = set(self.cloexec)
        for file in made.open.values():
            file.users += 1
        return made

    def release(self):
        """One user less; the last one closes everything."""
        self.users -= 1
        if not self.users:
            for number in list(self.open):
                self.close(number)


class Where(Record, mutable=True):
    """Working directory and umask (fs_struct), shared by threads."""

    cwd: object
    umask: int = 0o022

    def copy(self):
        return Where(self.cwd, self.umask)


class Action(Record, mutable=True):
    """What sigaction(2) has set for one signal."""

    handler: int = 0  # SIG_DFL
    flags: int = 0
    mask: int = 0


class Process:
    """A thread group: what getpid() names."""

    def __init__(self, pid, parent):
        self.pid, self.parent = pid, parent
        self.threads = []
        self.children = []
        self.actions = [Action() for _ in range(65)]
        self.pending = deque()
        self.group = parent.group if parent else pid
        self.session = parent.session if parent else PARENT_PID
        self.limits = dict(parent.limits) if parent else {}
        self.timers = {}  # setitimer: which -> (deadline, interval)
        self.posix_timers = {}
        self.exit = None  # (code, signal) once it has ended
        self.killed_by = None  # every thread ends with this at its next step
        self.exit_signal = 17
        self.stopped_by = 0
        self.reported = True  # false: wait4 has a stop or continue to tell
        self.user_ns = self.system_ns = 0
        self.children_user_ns = self.children_system_ns = 0
        self.faults = self.children_faults = 0
        self.switches = 0
        self.executed = False  # has called execve: setpgid by the parent is refused

    @property
    def leader(self):
        return self.threads[0] if self.threads else None


class Task:
    """A thread. While it runs its registers are the hart's; otherwise they are here."""

    def __init__(self, kernel, tid, process, memory, descriptors, where, name=""):
        self.kernel, self.tid, self.process = kernel, tid, process
        self.memory, self.descriptors, self.where = memory, descriptors, where
        self.name = name
        self.state = RUNNABLE
        self.x = array("Q", bytes(256))
        self.f = array("Q", bytes(256))
        self.fcsr = self.pc = 0
        self.calls = None  # its call stack, if that is recorded and it has run already
        self.mask = 0
        self.saved_mask = None  # what to return to after sigsuspend, ppoll, pselect6
        self.pending = deque()
        self.notify = False  # a signal may have to be delivered
        self.alt_stack = (0, 0, 2)  # address, size, SS_DISABLE
        self.clear_child_tid = self.robust_list = 0
        self.sleep = None  # the generator of the system call that it sleeps in
        self.wait = None
        self.call = None  # the system call that it is in
        self.argument = 0  # that call's first argument, to begin it again
        self.in_call = False
        self.exit_code = 0
        self.vfork_done = True
        self.urgent = False  # takes the CPU as soon as it wakes
        self.user_ns = self.system_ns = 0
