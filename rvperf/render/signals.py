"""riscv64 Linux's signals in glibc's words (psignal(3)), which perf prints."""

INTERRUPT = 2

NAMES = (
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
)


def signal_name(number: int) -> str:
    """psignal() knows no names for real-time signals, so perf has none either."""
    return NAMES[number - 1] if 1 <= number <= len(NAMES) else f"Unknown signal {number}"
