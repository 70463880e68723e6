// The same sum over the same numbers, unsorted or sorted first. The loop that sums runs the same
// instructions but for those guarded; sorted, its branch goes one way for long, then the other.
// Compare branch-misses.
//
// args: unsorted
// expect: exit 0
// expect: stdout 1227606400
// args: sorted
// expect: exit 0
// expect: stdout 1227606400
#include "guest.h"

enum { COUNT = 8192, ROUNDS = 100 };
static u32 numbers[COUNT];

// Counting sort: the numbers are bytes.
static void sort(void)
{
    static u32 seen[256];
    for (u64 i = 0; i < COUNT; i++)
        seen[numbers[i]]++;
    for (u64 value = 0, i = 0; value < 256; value++)
        for (u32 n = seen[value]; n > 0; n--)
            numbers[i++] = (u32)value;
}

int main(int argc, char **argv)
{
    u64 seed = 42, sum = 0;
    for (u64 i = 0; i < COUNT; i++)
        numbers[i] = (u32)(next_random(&seed) >> 20) & 255;
    if (argc > 1 && same(argv[1], "sorted"))
        sort();
    for (int round = 0; round < ROUNDS; round++)
        for (u64 i = 0; i < COUNT; i++)
            if (numbers[i] >= 128) {
                sum += numbers[i] * 16;
                asm volatile("" : "+r"(sum));   // keeps it a branch
            }
    put_number("", sum, 10, "\n");
    return 0;
}
