// A program that writes itself: it makes `li a0, n; ret` in memory, fence.i, and calls it, for n
// from 0 to 999. An emulator that keeps translated code must notice every change.
//
// expect: exit 0
// expect: stdout 499500
#include "guest.h"

// A page of text that is writable too (the linker is told so by the section's name and flags).
asm(".pushsection .rwx, \"awx\", @progbits\n"
    ".balign 4\n"
    "patch: .skip 8\n"
    ".popsection");
extern u32 patch[2];

int main(void)
{
    u64 sum = 0;
    for (u32 n = 0; n < 1000; n++) {
        ((volatile u32 *)patch)[0] = n << 20 | 10 << 7 | 0x13;      // addi a0, zero, n
        ((volatile u32 *)patch)[1] = 0x00008067;                    // jalr zero, 0(ra)
        asm volatile("fence.i" ::: "memory");
        sum += ((u64(*)(void))patch)();
    }
    put_number("", sum, 10, "\n");
    return 0;
}
