// Every bench program takes a number of rounds and prints a checksum of what it computed.
#include "guest.h"

static inline u64 rounds(int argc, char **argv)
{
    return argc > 1 ? number(argv[1]) : 1;
}

static inline u64 bits(double x)
{
    u64 n;
    asm("fmv.x.d %0, %1" : "=r"(n) : "f"(x));
    return n;
}

static inline int report(const char *name, u64 checksum)
{
    put(name);
    put_number(" ", checksum, 16, "\n");
    return 0;
}

static inline u64 mixed(u64 sum, u64 value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15;
    return sum ^ sum >> 29;
}
