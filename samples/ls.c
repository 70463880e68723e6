// `ls -l` of a directory that it fills itself, so that the host's files don't matter: make files,
// read the entries, stat each, put them in order, format, write. Alone it uses /dev/shm, which is
// the kernel's memory, and takes five and a half million instructions, most of them the kernel's.
//
// args: . 3
// expect: exit 0
// expect: stdout -rw-r--r--      1 entry-0000
// expect: stdout -rw-r--r--      2 entry-0001
// expect: stdout -rw-r--r--      3 entry-0002
// expect: stdout total 3
#include "guest.h"

enum { SYS_mkdirat = 34, SYS_getdents64 = 61, SYS_newfstatat = 79, AT_FDCWD = -100,
       AT_REMOVEDIR = 0x200, O_WRONLY = 1, O_CREAT = 64, O_DIRECTORY = 0200000,
       FILES = 325, MOST = 10000, PREFIX = 6, LENGTH = 10 };

static i64 sizes[MOST];
static char path[256], buffer[32768], page[4096];
static u64 directory, used;     // lengths of the path to the directory, and of what the page holds

static void append(char *to, u64 *at, const char *s)
{
    while (*s)
        to[(*at)++] = *s++;
}

// The path of the file with a number.
static i64 file(i64 n)
{
    u64 at = directory;
    append(path, &at, "/entry-");
    for (i64 unit = MOST / 10; unit; unit /= 10)
        path[at++] = "0123456789"[n / unit % 10];
    path[at] = 0;
    return (i64)path;
}

// Notes the sizes of the entries that are ours, by number: that sorts them.
static i64 read_entries(void)
{
    i64 count = 0, read, stat[16];
    path[directory] = 0;
    i64 fd = syscall4(SYS_openat, AT_FDCWD, (i64)path, O_DIRECTORY, 0);
    while ((read = syscall4(SYS_getdents64, fd, (i64)buffer, sizeof buffer, 0)) > 0)
        for (char *p = buffer; p < buffer + read; p += *(unsigned short *)(p + 16)) {
            char *name = p + 19;                    // d_name; d_reclen is at offset 16
            if (length(name) != LENGTH || name[PREFIX - 1] != '-')
                continue;
            i64 n = (i64)number(name + PREFIX);
            syscall4(SYS_newfstatat, AT_FDCWD, file(n), (i64)stat, 0);
            sizes[n] = stat[6];                     // st_size is at offset 48
            count++;
        }
    syscall4(SYS_close, fd, 0, 0, 0);
    return count;
}

static void print(i64 n)
{
    char size[] = "      ";
    int column = 5;
    for (i64 rest = sizes[n]; rest; rest /= 10)
        size[column--] = "0123456789"[rest % 10];
    append(page, &used, "-rw-r--r-- ");
    append(page, &used, size);
    append(page, &used, " ");
    append(page, &used, (const char *)file(n) + directory + 1);
    append(page, &used, "\n");
    if (used > sizeof page - 40 || sizes[n + 1] == 0) {
        syscall4(SYS_write, 1, (i64)page, (i64)used, 0);
        used = 0;
    }
}

int main(int argc, char **argv)
{
    i64 files = argc > 2 ? (i64)number(argv[2]) : FILES;
    append(path, &directory, argc > 1 ? argv[1] : "/dev/shm");
    if (argc > 1)
        append(path, &directory, "/rvperf-ls.tmp");
    syscall4(SYS_mkdirat, AT_FDCWD, (i64)path, 0755, 0);
    for (i64 n = 0; n < files; n++) {
        i64 fd = syscall4(SYS_openat, AT_FDCWD, file(n), O_WRONLY | O_CREAT, 0644);
        syscall4(SYS_write, fd, (i64)buffer, n % 100 + 1, 0);
        syscall4(SYS_close, fd, 0, 0, 0);
    }
    i64 count = read_entries();
    for (i64 n = 0; n < files; n++)
        print(n);
    put_number("total ", (u64)count, 10, "\n");
    for (i64 n = 0; n < files; n++)
        syscall4(SYS_unlinkat, AT_FDCWD, file(n), 0, 0);
    path[directory] = 0;
    syscall4(SYS_unlinkat, AT_FDCWD, (i64)path, AT_REMOVEDIR, 0);
    return 0;
}
