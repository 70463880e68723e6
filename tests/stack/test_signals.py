"""Signals: the frame that a handler finds, and what happens without one."""

import errno
import shutil
import struct
import subprocess

import pytest

from rvperf.stack.kernel import signals

from .calling import Caller

HANDLER = 0x12340
SIGSEGV, SIGILL, SIGTRAP, SIGUSR1, SIGCHLD, SIGALRM = 11, 4, 5, 10, 17, 14
SIGINFO, ONSTACK, RESTART, NODEFER, RESETHAND = 4, 0x08000000, 0x10000000, 1 << 30, 1 << 31
COMPILER = shutil.which("riscv64-linux-gnu-gcc")


@pytest.fixture
def call(tmp_path):
    return Caller(tmp_path)


def handle(call, signal, flags=SIGINFO, mask=0, handler=HANDLER):
    action = struct.pack("<QQQ", handler, flags, mask)
    assert call("rt_sigaction", signal, action, 0, 8) == 0


def raise_(call, signal):
    return call("tgkill", call("getpid"), call("gettid"), signal)


@pytest.mark.skipif(not COMPILER, reason="no cross compiler, whose headers are the oracle")
def test_frame_is_laid_out_as_the_headers_say():
    source = """
    #include <signal.h>
    #include <stddef.h>
    #include <ucontext.h>
    #define SAY(name, value) long name = value;
    SAY(info, sizeof(siginfo_t)) SAY(size, sizeof(ucontext_t))
    SAY(stack, offsetof(ucontext_t, uc_stack)) SAY(mask, offsetof(ucontext_t, uc_sigmask))
    SAY(registers, offsetof(ucontext_t, uc_mcontext.__gregs))
    SAY(floating, offsetof(ucontext_t, uc_mcontext.__fpregs))
    """
    command = [COMPILER, "-xc", "-S", "-o-", "-"]
    text = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout
    values = {}
    for line in text.splitlines():
        words = line.split()
        if line.endswith(":") and not line.startswith("."):
            name = line[:-1]
        elif words and words[0] == ".dword":
            values[name] = int(words[1])
    assert values == {
        "info": signals.UCONTEXT,
        "size": signals.FRAME_SIZE - signals.UCONTEXT,
        "stack": signals.UC_STACK,
        "mask": signals.UC_SIGMASK,
        "registers": signals.UC_REGISTERS,
        "floating": signals.UC_FLOATING,
    }


def test_handler_gets_its_frame_and_sigreturn_undoes_it(call):
    x, f = call.hart.x, call.hart.f
    handle(call, SIGUSR1)
    for i in (1, *range(3, 10), *range(18, 32)):
        x[i] = 0x1111 * i
    for i in range(32):
        f[i] = 0x2222 * i
    call.hart.fcsr = 0x65
    call.hart.pc = 0x4444
    pid = call("getpid")
    call.hart.pc = 0x4444
    saved, sp = list(x), x[2]
    assert call("kill", pid, SIGUSR1) == SIGUSR1  # a0 is the handler's argument already
    frame = x[2]
    assert frame % 16 == 0 and frame <= sp - signals.FRAME_SIZE
    assert call.hart.pc == HANDLER and call.hart.mode == 0
    assert (x[11], x[12]) == (frame, frame + 128)
    info = call.memory.read(frame, 128)
    assert struct.unpack_from("<iii", info) == (SIGUSR1, 0, 0)
    assert struct.unpack_from("<i", info, 16)[0] == pid
    assert call.memory.read(x[1], 8) == struct.pack("<II", 0x08B00893, 0x73)
    area = call.memory.find(x[1])
    assert area.prot == 5
    assert call.task.mask == 1 << SIGUSR1 - 1
    x[9] = f[9] = 0
    call.hart.fcsr = 0
    call("rt_sigreturn")
    assert [x[i] for i in range(1, 10)] == saved[1:10]
    assert [x[i] for i in range(18, 32)] == saved[18:32]
    assert x[10] == 0  # what kill returned
    assert list(f) == [0x2222 * i for i in range(32)] and call.hart.fcsr == 0x65
    assert call.hart.pc == 0x4448
    assert call.task.mask == 0


def test_registers_can_be_changed_by_the_handler(call):
    handle(call, SIGUSR1)
    raise_(call, SIGUSR1)
    uc = call.hart.x[12]
    call.memory.store(uc + 176, 8, 0xABCD0)
    call.memory.store(uc + 176 + 8 * 10, 8, 77)
    call("rt_sigreturn")
    assert call.hart.pc == 0xABCD0 and call.hart.x[10] == 77


@pytest.mark.parametrize(
    "cause, value, signal, code",
    [
        (2, 0, SIGILL, 1),
        (3, 0, SIGTRAP, 1),
        (13, 0x10, SIGSEGV, 1),
        (15, 0x10000, SIGSEGV, 2),
        (12, 0xDEAD0000, SIGSEGV, 1),
        (6, 0x10001, 7, 1),
    ],
)
def test_exceptions_become_signals(call, cause, value, signal, code):
    handle(call, signal)
    pc = call.hart.pc
    call.trap(cause, value)
    assert call.hart.pc == HANDLER and call.hart.x[10] == signal
    info = call.memory.read(call.hart.x[11], 128)
    assert struct.unpack_from("<i", info, 8)[0] == code
    address = struct.unpack_from("<Q", info, 16)[0]
    assert address == (pc if cause in (2, 3) else value)
    call("rt_sigreturn")
    assert call.hart.pc == pc


def test_an_exception_that_is_blocked_kills(call):
    handle(call, SIGSEGV)
    call("rt_sigprocmask", 0, struct.pack("<Q", 1 << SIGSEGV - 1), 0, 8)
    call.trap(13, 0x10)
    assert call.kernel.finished and call.kernel.exit.signal == SIGSEGV


def test_without_a_handler_the_program_ends(call):
    raise_(call, SIGUSR1)
    assert call.kernel.finished and call.kernel.exit.signal == SIGUSR1


def test_what_is_ignored_by_default_is_not_heard(call):
    assert raise_(call, SIGCHLD) == 0
    assert not call.kernel.finished and not call.task.pending


def test_blocked_signals_wait(call):
    handle(call, SIGUSR1)
    bit = struct.pack("<Q", 1 << SIGUSR1 - 1)
    call("rt_sigprocmask", 0, bit, 0, 8)
    assert raise_(call, SIGUSR1) == 0 and raise_(call, SIGUSR1) == 0
    out = call.room(8)
    assert call("rt_sigpending", out, 8) == 0
    assert call.memory.read(out, 8) == bit
    call("rt_sigprocmask", 1, bit, 0, 8)
    assert call.hart.pc == HANDLER
    call("rt_sigreturn")
    assert call.hart.x[10] == 0 and call.hart.pc != HANDLER  # once only


def test_kill_and_stop_cannot_be_caught_or_blocked(call):
    for signal in (9, 19):
        action = struct.pack("<QQQ", HANDLER, 0, 0)
        assert call("rt_sigaction", signal, action, 0, 8) == -errno.EINVAL
    call("rt_sigprocmask", 2, struct.pack("<Q", (1 << 64) - 1), 0, 8)
    assert call.task.mask == (1 << 64) - 1 & ~(1 << 8 | 1 << 18)
    raise_(call, 9)
    assert call.kernel.exit.signal == 9


def test_handlers_run_on_the_stack_that_was_named(call):
    stack = call("mmap", 0, 65536, 3, 0x22, -1, 0)
    assert call("sigaltstack", struct.pack("<QiiQ", stack, 0, 0, 65536), 0) == 0
    handle(call, SIGUSR1, SIGINFO | ONSTACK)
    raise_(call, SIGUSR1)
    assert stack < call.hart.x[2] < stack + 65536
    old = call.room(24)
    assert call("sigaltstack", 0, old) == 0
    assert struct.unpack("<QiiQ", call.memory.read(old, 24)) == (stack, 1, 0, 65536)
    assert call("sigaltstack", old, 0) == -errno.EPERM


def test_overflow_of_the_stack_can_be_handled_on_another(call):
    stack = call("mmap", 0, 65536, 3, 0x22, -1, 0)
    call("sigaltstack", struct.pack("<QiiQ", stack, 0, 0, 65536), 0)
    handle(call, SIGSEGV, SIGINFO | ONSTACK)
    call.hart.x[2] = 0x1000
    call.trap(15, 0xFF8)
    assert call.hart.pc == HANDLER and not call.kernel.finished


def test_no_room_for_the_frame_kills(call):
    handle(call, SIGUSR1)
    call.hart.x[2] = 0x1000
    raise_(call, SIGUSR1)
    assert call.kernel.exit.signal == SIGSEGV


def test_a_bad_frame_kills(call):
    call.hart.x[2] = 0x1000
    call("rt_sigreturn")
    assert call.kernel.exit.signal == SIGSEGV


def test_one_shot_and_not_deferred(call):
    handle(call, SIGUSR1, RESETHAND | NODEFER)
    raise_(call, SIGUSR1)
    assert call.task.mask == 0
    raise_(call, SIGUSR1)
    assert call.kernel.exit.signal == SIGUSR1


@pytest.mark.parametrize("flags, restarted", [(RESTART, True), (0, False)])
def test_a_read_that_a_signal_interrupts(call, flags, restarted):
    handle(call, SIGALRM, flags)
    ends = call.room(8)
    call("pipe2", ends, 0)
    reader = struct.unpack("<ii", call.memory.read(ends, 8))[0]
    call("setitimer", 0, struct.pack("<qqqq", 0, 0, 1, 0), 0)
    out = call.room(16)
    pc = call.hart.pc
    call("read", reader, out, 16)
    assert call.hart.pc == HANDLER and call.kernel.now() >= 10**9
    call("rt_sigreturn")
    if restarted:
        assert call.hart.pc == pc and call.hart.x[10] == reader
    else:
        assert call.hart.pc == pc + 4 and call.hart.x[10] == (1 << 64) - errno.EINTR


def test_sleep_tells_what_is_left(call):
    handle(call, SIGALRM, RESTART)
    call("setitimer", 0, struct.pack("<qqqq", 0, 0, 1, 0), 0)
    rest = call.put(struct.pack("<qq", 5, 0))
    pc = call.hart.pc
    call("nanosleep", rest, rest)
    call("rt_sigreturn")
    assert call.hart.x[10] == (1 << 64) - errno.EINTR and call.hart.pc == pc + 4
    seconds, ns = struct.unpack("<qq", call.memory.read(rest, 16))
    assert 3.9 < seconds + ns / 1e9 <= 4


def test_suspend_waits_under_its_own_mask(call):
    handle(call, SIGALRM)
    call("rt_sigprocmask", 0, struct.pack("<Q", 1 << SIGALRM - 1), 0, 8)
    call("setitimer", 0, struct.pack("<qqqq", 0, 0, 1, 0), 0)
    call("rt_sigsuspend", struct.pack("<Q", 0), 8)
    assert call.hart.pc == HANDLER
    call("rt_sigreturn")
    assert call.task.mask == 1 << SIGALRM - 1
    assert call.hart.x[10] == (1 << 64) - errno.EINTR


def test_a_signal_from_outside_is_heard_in_user_mode(call):
    call.kernel.interrupt(2)
    assert call.hart.interrupt()
    call.kernel.trap()
    assert call.kernel.exit.signal == 2


def test_a_signal_to_come_from_outside_ends_a_sleep(call):
    call.kernel.interrupt_at(10**9, 15)
    assert call.hart.interrupt()  # to set the timer
    call.kernel.trap()
    call("nanosleep", call.put(struct.pack("<qq", 5, 0)), 0)
    assert call.kernel.exit.signal == 15
    assert 10**9 <= call.kernel.now() < 2 * 10**9
