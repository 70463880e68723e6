// Five rounding modes and five flags. One third, 2.5 as an integer and -2.5 as an integer, in
// each mode; then a division by zero, an overflow, an underflow, an invalid operation, and what
// each leaves in fflags.
//
// expect: exit 0
// expect: stdout rne 3fd5555555555555 2 -2
// expect: stdout rtz 3fd5555555555555 2 -2
// expect: stdout rdn 3fd5555555555555 2 -3
// expect: stdout rup 3fd5555555555556 3 -2
// expect: stdout rmm 3fd5555555555555 3 -3
// expect: stdout flags dz 8 of 5 uf 3 nv 10 none 0
// expect: stdout nan 7ff8000000000000 boxed ffffffff3f800000
#include "guest.h"

static u64 bits(double x)
{
    u64 n;
    asm("fmv.x.d %0, %1" : "=r"(n) : "f"(x));
    return n;
}

static u64 flags_of(double a, double b, int divide)
{
    u64 flags;
    asm volatile("fsflags zero");
    if (divide)
        asm volatile("fdiv.d ft0, %0, %1" :: "f"(a), "f"(b) : "ft0");
    else
        asm volatile("fmul.d ft0, %0, %1" :: "f"(a), "f"(b) : "ft0");
    asm volatile("frflags %0" : "=r"(flags));
    return flags;
}

int main(void)
{
    static const char *const names[] = {"rne ", "rtz ", "rdn ", "rup ", "rmm "};
    volatile double one = 1, three = 3, half = 2.5, zero = 0, huge = 1e308, tiny = 1e-308;
    for (u64 mode = 0; mode < 5; mode++) {
        double third;
        i64 up, down;
        asm volatile("fsrm %0" :: "r"(mode));
        asm volatile("fdiv.d %0, %1, %2" : "=f"(third) : "f"(one), "f"(three));
        asm volatile("fcvt.l.d %0, %1" : "=r"(up) : "f"(half));
        asm volatile("fcvt.l.d %0, %1" : "=r"(down) : "f"(-half));
        put_number(names[mode], bits(third), 16, " ");
        put_number("", (u64)up, 10, " -");
        put_number("", (u64)-down, 10, "\n");
    }
    asm volatile("fsrm zero");
    put_number("flags dz ", flags_of(one, zero, 1), 16, " of ");
    put_number("", flags_of(huge, huge, 0), 16, " uf ");
    put_number("", flags_of(tiny, tiny, 0), 16, " nv ");
    put_number("", flags_of(zero, zero, 1), 16, " none ");
    put_number("", flags_of(one, three, 0), 16, "\n");

    double nan, boxed;
    asm volatile("fdiv.d %0, %1, %1" : "=f"(nan) : "f"(zero));
    asm volatile("fcvt.s.d %0, %1" : "=f"(boxed) : "f"(one));
    put_number("nan ", bits(nan), 16, " boxed ");
    put_number("", bits(boxed), 16, "\n");
    return 0;
}
