// Files by raw system calls: create, write, seek, read back, fstat, unlink, and the error that a
// missing file gives. It works in the current directory and leaves nothing behind.
//
// expect: exit 0
// expect: stdout wrote 14
// expect: stdout size 14
// expect: stdout second line
// expect: stdout gone -2
#include "guest.h"

enum { AT_FDCWD = -100, O_RDWR = 2, O_CREAT = 64, O_TRUNC = 512 };

int main(void)
{
    static const char name[] = "rvperf-files-sample.tmp", text[] = "one\nsecond ok\n";
    char back[32] = {0};
    i64 stat[16];
    i64 fd = syscall4(SYS_openat, AT_FDCWD, (i64)name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        put_number("cannot create: error ", (u64)-fd, 10, "\n");
        return 1;
    }
    put_number("wrote ", (u64)syscall4(SYS_write, fd, (i64)text, sizeof text - 1, 0), 10, "\n");
    syscall4(SYS_fstat, fd, (i64)stat, 0, 0);
    put_number("size ", (u64)stat[6], 10, "\n");        // st_size is at offset 48
    syscall4(SYS_lseek, fd, 4, 0, 0);
    i64 n = syscall4(SYS_read, fd, (i64)back, sizeof back - 1, 0);
    put(n == 10 && same(back, "second ok\n") ? "second line\n" : "read something else\n");
    syscall4(SYS_close, fd, 0, 0, 0);
    syscall4(SYS_unlinkat, AT_FDCWD, (i64)name, 0, 0);
    fd = syscall4(SYS_openat, AT_FDCWD, (i64)name, O_RDWR, 0);
    put_number("gone -", (u64)-fd, 10, "\n");
    return 0;
}
