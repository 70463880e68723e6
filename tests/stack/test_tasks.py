"""Processes and threads: who runs, what they share, and what is left of them."""

import errno
import struct

import pytest

from .calling import Caller

SIGCHLD = 17
CLONE_VM, CLONE_FILES, CLONE_SIGHAND, CLONE_VFORK, CLONE_THREAD = (
    0x100, 0x400, 0x800, 0x4000, 0x10000,
)  # fmt: skip
CLONE_SETTLS, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID = 0x80000, 0x100000, 0x200000
THREAD = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | 0x200
MASK64 = (1 << 64) - 1


@pytest.fixture
def call(tmp_path):
    return Caller(tmp_path)


def fork(call):
    return call("clone", SIGCHLD, 0, 0, 0, 0)


def test_fork_gives_the_child_a_copy(call):
    at = call("mmap", 0, 4096, 3, 0x22, -1, 0)
    call.memory.write(at, b"before")
    parent, pc = call.task, call.hart.pc
    pid = fork(call)
    assert pid == parent.process.pid + 1
    call.memory.write(at, b"parent")
    out = call.put(bytes(4))
    call("wait4", -1, out, 0, 0)  # the parent sleeps, the child runs
    child = call.task
    assert child is not parent and call.hart.x[10] == 0 and call.hart.pc == pc + 4
    assert call.memory.read(at, 6) == b"before"
    call.memory.write(at, b"child!")
    call("exit_group", 7)
    assert call.task is parent and call.hart.x[10] == pid
    assert parent.memory.read(at, 6) == b"parent"
    assert parent.memory.load(out, 4) == 7 << 8
    assert call("wait4", -1, 0, 0, 0) == -errno.ECHILD
    assert call.kernel.counts["context-switches"] == 1  # the child's last one isn't its own


def test_a_pipe_carries_from_child_to_parent(call):
    ends = call.room(8)
    call("pipe2", ends, 0)
    reader, writer = struct.unpack("<ii", call.memory.read(ends, 8))
    parent = call.task
    fork(call)
    call("close", writer)
    out = call.room(16)
    call("read", reader, out, 16)
    assert call.task is not parent
    call("write", writer, b"news", 4)
    call("exit_group", 0)
    assert call.task is parent and call.hart.x[10] == 4
    assert call.memory.read(out, 4) == b"news"
    assert call("read", reader, out, 16) == 0


def test_vfork_parent_waits_until_exec(call):
    parent = call.task
    action = struct.pack("<QQQ", 0x12340, 0, 0)
    assert call("rt_sigaction", 10, action, 0, 8) == 0
    call("clone", CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0)
    child = call.task
    assert child is not parent and child.memory is parent.memory
    assert call("kill", parent.process.pid, 10) == 0
    assert call.task is child  # not even a signal lets the parent go on
    assert call.kernel.tracepoints["sched:sched_process_exec"] == 1
    call("execve", "program", 0, 0)
    assert call.kernel.tracepoints["sched:sched_process_exec"] == 2
    assert child.memory is not parent.memory
    call("exit_group", 0)
    assert call.task is parent and call.hart.pc == 0x12340  # now its handler runs
    call("rt_sigreturn")
    assert call.hart.x[10] == child.tid


def test_failed_exec_changes_nothing(call):
    memory, pc = call.memory, call.hart.pc
    assert call("execve", "missing", 0, 0) == -errno.ENOENT
    assert call("execve", ".", 0, 0) == -errno.EACCES
    assert call.memory is memory and call.hart.pc == pc + 8


def test_threads_share_and_are_told_apart(call):
    parent = call.task
    stack = call("mmap", 0, 65536, 3, 0x22, -1, 0)
    word = call.room(8)
    flags = THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID
    tid = call("clone", flags, stack + 65536, word, 0x7777, word)
    assert call.memory.load(word, 4) == tid
    call("futex", word, 0, tid, 0, 0, 0)  # FUTEX_WAIT, as pthread_join does
    thread = call.task
    assert thread is not parent and thread.process is parent.process
    assert call.hart.x[4] == 0x7777 and call.hart.x[2] == stack + 65536
    assert thread.memory is parent.memory
    call("exit", 0)
    assert call.task is parent and call.hart.x[10] == 0
    assert call.memory.load(word, 4) == 0 and not call.kernel.finished
    assert parent.process.threads == [parent]


def test_futex_that_changed_and_times_out(call):
    word = call.put(bytes(8))
    assert call("futex", word, 0, 1, 0, 0, 0) == -errno.EAGAIN
    word = call.room(8)
    limit = call.memory.write(word + 8, struct.pack("<qq", 2, 0))
    assert limit is None
    before = call.kernel.now()
    assert call("futex", word, 0, 0, word + 8, 0, 0) == -errno.ETIMEDOUT
    assert call.kernel.now() - before >= 2 * 10**9
    assert call("futex", word, 1, 1, 0, 0, 0) == 0
    assert call("futex", word + 1, 0, 0, 0, 0, 0) == -errno.EINVAL


def test_tasks_take_turns_when_their_time_is_up(call):
    parent = call.task
    fork(call)
    call.kernel.hart.idle_until(call.kernel.now() + 10_000_000)
    assert call.hart.interrupt()
    call.kernel.trap()
    assert call.task is not parent
    call.kernel.hart.idle_until(call.kernel.now() + 10_000_000)
    assert call.hart.interrupt()
    call.kernel.trap()
    assert call.task is parent


def test_a_zombie_is_told_of_once(call):
    fork(call)
    info = call.room(128)
    call("waitid", 0, 0, info, 4, 0)
    call("kill", call("getpid"), 9)
    assert call.hart.x[10] == 0
    told = struct.unpack_from("<iiiiiIi", call.memory.read(info, 128))
    assert told[0] == SIGCHLD and told[2] == 2 and told[6] == 9
    assert call("waitid", 0, 0, 0, 4, 0) == -errno.ECHILD


def test_the_number_of_tasks_is_limited(call):
    made = 0
    while (pid := fork(call)) > 0 and made < 5000:
        made += 1
    assert pid == -errno.EAGAIN and made < 4096


def test_another_task_finds_no_branch_records(call):
    call.hart.record_transfers()
    call.hart.transfers.record(0x1000, 0x2000, 9, False, 1)
    fork(call)
    assert len(call.hart.branch_records()) == 1
    call("wait4", -1, 0, 0, 0)  # the parent sleeps, the child runs
    assert call.hart.branch_records() == []


def test_exec_begins_with_no_calls(call, tmp_path):
    call.hart.record_calls()
    call.hart.calls.push(0x1004, 0x8000, 0x1000, 0x2000)
    call("execve", str(tmp_path / "program"), 0, 0)
    assert call.hart.call_stack() == []
