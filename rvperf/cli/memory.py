"""How a command that works on large arrays has its memory managed."""


def keep_freed() -> None:
    """Let the process keep what it frees, for what it needs next.

    glibc gives large blocks back to the system at once, and asks for them anew: for arrays of
    megabytes that come and go, the zeroing of fresh pages takes longer than the work on them.
    Other C libraries are left as they are.
    """
    import ctypes

    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune:
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
        tune(mmap_threshold, 1 << 30)
        tune(trim_threshold, (1 << 31) - 1)
        tune(top_pad, 64 << 20)
