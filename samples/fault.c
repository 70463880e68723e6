// Ways to go wrong, and pages touched for the first time. `fault pages N` touches N pages of
// zeroed memory and ends well: page-faults grow by N exactly. The others end by a signal; the
// counts up to there are printed all the same.
//
// args: pages 100
// expect: exit 0
// expect: stdout touched 100
// args: store
// expect: signal SIGSEGV
// args: load
// expect: signal SIGSEGV
// args: jump
// expect: signal SIGSEGV
// args: text
// expect: signal SIGSEGV
// args: illegal
// expect: signal SIGILL
// args: ebreak
// expect: signal SIGTRAP
// args: stack
// expect: signal SIGSEGV
// args: misaligned
// expect: exit 0
// expect: stdout 908070605040302
// args: nonsense
// expect: exit 2
#include "guest.h"

enum { PAGES = 4096 };
static volatile u8 memory[PAGES][4096];

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static u64 __attribute__((noinline)) deeper(volatile u64 *above)
{
    volatile u64 here[64] = {*above};
    return deeper(here) + here[0];
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "pages";
    if (same(what, "pages")) {
        u64 n = argc > 2 ? number(argv[2]) : 10;
        for (u64 i = 0; i < n && i < PAGES; i++)
            memory[i][0] = 1;
        put_number("touched ", n, 10, "\n");
        return 0;
    }
    if (same(what, "store"))
        asm volatile("sd zero, 8(zero)" ::: "memory");
    if (same(what, "load"))
        asm volatile("ld t0, 0(%0)" :: "r"(1L << 46) : "t0", "memory");
    if (same(what, "jump"))
        asm volatile("jr %0" :: "r"(0x1000));
    if (same(what, "text"))
        asm volatile("sw zero, 0(%0)" :: "r"(main) : "memory");
    if (same(what, "illegal"))
        asm volatile(".word 0");
    if (same(what, "ebreak"))
        asm volatile("ebreak");
    if (same(what, "stack")) {
        u64 bottom = 0;
        return (int)deeper(&bottom);
    }
    if (same(what, "misaligned")) {     // Linux promises that this works in user mode
        u64 word;
        static const u8 bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
        asm volatile("ld %0, 1(%1)" : "=r"(word) : "r"(bytes) : "memory");
        put_number("", word, 16, "\n");
        return 0;
    }
    if (same(what, "forever"))
        for (;;)
            asm volatile("");
    return 2;
}
