"""What the kernel's work costs: modelled, not measured.

Every figure is an assumption of ours, of the order that Linux shows on small in-order cores; none
was taken from a machine. `symbol` is the Linux function under which the work appears in samples.
"""

from rvperf.stack.costs import Cost

ENTRY = "handle_exception"  # arch/riscv/kernel/entry.S: where every trap of the user's arrives
CALL = ("do_trap_ecall_u", ENTRY)
TRAP = Cost(ENTRY, 300, 500)
INTERRUPT = Cost("riscv_intc_irq", 900, 1500, callers=("do_irq", ENTRY))
PAGE_FAULT = Cost("handle_mm_fault", 1500, 2600, callers=("do_page_fault", ENTRY))
COPY_PAGE = Cost("copy_page", 600, 1200, callers=("do_wp_page", "do_page_fault", ENTRY))
SIGNAL = Cost("do_signal", 1800, 2800, callers=("do_work_pending", ENTRY))
SWITCH = Cost("__schedule", 1200, 2200, callers=("schedule", ENTRY))
# Where events are raised that take no modelled time of their own: sampled software events and
# tracepoints show them.
COPY_FROM_USER = "__asm_copy_to_user"
ENTER_CALL, LEAVE_CALL = "syscall_trace_enter", "syscall_exit_work"
EXEC, EXIT = "begin_new_exec", "do_exit"
ENTRIES = (ENTRY, *CALL, COPY_FROM_USER, ENTER_CALL, LEAVE_CALL, EXEC, EXIT)


def callers_of(symbol: str) -> tuple[str, ...]:
    """What leads to a function of `ENTRIES` or a fixed cost's."""
    for cost in fixed():
        if cost.symbol == symbol:
            return cost.callers
        if symbol in cost.callers:
            return cost.callers[cost.callers.index(symbol) + 1 :]
    return CALL


def fixed():
    """The costs that belong to no system call."""
    return TRAP, INTERRUPT, PAGE_FAULT, COPY_PAGE, SIGNAL, SWITCH


# With a PMU driver: what an overflow takes beside the driver's own part, and perf's own work.
PMU_INTERRUPT = Cost("riscv_intc_irq", 350, 600, callers=("do_irq", ENTRY))
SAMPLE = Cost("perf_event_output_forward", 900, 1500, callers=("__perf_event_overflow",))
OPEN_EVENT = Cost("__do_sys_perf_event_open", 6000, 9800, callers=CALL)
READ_EVENT = Cost("perf_read", 900, 1500, callers=CALL)
CLOSE_EVENT = Cost("perf_release", 2000, 3300, callers=CALL)
POLL = Cost("do_sys_poll", 1500, 2300, callers=CALL)
WORKER = Cost("process_one_work", 2500, 4000, callers=("worker_thread",))


def driven():
    """The costs of a kernel that drives a PMU."""
    return PMU_INTERRUPT, SAMPLE, OPEN_EVENT, READ_EVENT, CLOSE_EVENT, POLL, WORKER


MODELLED = {
    "read": Cost("ksys_read", 800, 1200, 8),
    "write": Cost("ksys_write", 800, 1200, 8),
    "readv": Cost("do_readv", 1000, 1500, 8),
    "writev": Cost("do_writev", 1000, 1500, 8),
    "pread64": Cost("ksys_pread64", 800, 1200, 8),
    "pwrite64": Cost("ksys_pwrite64", 800, 1200, 8),
    "sendfile": Cost("do_sendfile", 2000, 3200, 8),
    "copy_file_range": Cost("vfs_copy_file_range", 2500, 4000, 8),
    "openat": Cost("do_sys_openat2", 4000, 7000),
    "openat2": Cost("do_sys_openat2", 4000, 7000),
    "close": Cost("filp_flush", 600, 900),
    "lseek": Cost("ksys_lseek", 200, 300),
    "getdents64": Cost("iterate_dir", 4000, 6500, 4),
    "newfstatat": Cost("vfs_fstatat", 3000, 5000),
    "fstat": Cost("vfs_fstat", 600, 900),
    "statx": Cost("do_statx", 3200, 5200),
    "readlinkat": Cost("do_readlinkat", 3000, 5000),
    "faccessat": Cost("do_faccessat", 3000, 5000),
    "faccessat2": Cost("do_faccessat", 3000, 5000),
    "mkdirat": Cost("do_mkdirat", 6000, 10000),
    "unlinkat": Cost("do_unlinkat", 6000, 10000),
    "renameat2": Cost("do_renameat2", 8000, 13000),
    "pipe2": Cost("do_pipe2", 3500, 5500),
    "ppoll": Cost("do_sys_poll", 1500, 2300),
    "pselect6": Cost("do_pselect", 1500, 2300),
    "brk": Cost("__do_sys_brk", 1500, 2500),
    "mmap": Cost("ksys_mmap_pgoff", 3000, 5000),
    "munmap": Cost("__vm_munmap", 3000, 5000),
    "mprotect": Cost("do_mprotect_pkey", 2500, 4200),
    "mremap": Cost("__do_sys_mremap", 3500, 5800),
    "madvise": Cost("do_madvise", 1500, 2500),
    "clone": Cost("kernel_clone", 40000, 65000),
    "clone3": Cost("kernel_clone", 40000, 65000),
    "execve": Cost("do_execveat_common", 60000, 100000),
    "exit": Cost("do_exit", 20000, 33000),
    "exit_group": Cost("do_group_exit", 20000, 33000),
    "wait4": Cost("kernel_wait4", 1500, 2400),
    "waitid": Cost("kernel_waitid", 1500, 2400),
    "futex": Cost("do_futex", 600, 1000),
    "rt_sigaction": Cost("do_sigaction", 250, 400),
    "rt_sigprocmask": Cost("sigprocmask", 200, 320),
    "rt_sigreturn": Cost("restore_sigcontext", 900, 1400),
    "kill": Cost("kill_something_info", 1500, 2400),
    "tgkill": Cost("do_tkill", 1200, 2000),
    "clock_gettime": Cost("__do_sys_clock_gettime", 200, 320),
    "gettimeofday": Cost("__do_sys_gettimeofday", 200, 320),
    "getrandom": Cost("__do_sys_getrandom", 600, 1000, 2),
    "sched_yield": Cost("do_sched_yield", 400, 650),
    "ioctl": Cost("do_vfs_ioctl", 400, 650),
    "fcntl": Cost("do_fcntl", 250, 400),
}


def of(name):
    """The cost of a system call, trap entry and exit included; those not listed are small."""
    entry = f"__riscv_sys_{name}"
    body = MODELLED.get(name) or Cost(entry, 150, 240)
    return Cost(
        body.symbol,
        TRAP.instructions + body.instructions,
        TRAP.cycles + body.cycles,
        body.bytes_per_instruction,
        CALL if body.symbol == entry else (entry, *CALL),
    )
