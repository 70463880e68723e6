// Quicksort through a comparison function that is passed in: calls, indirect calls, recursion.
#include "bench.h"

enum { COUNT = 50000 };
static u64 numbers[COUNT];

static int __attribute__((noinline)) compare(const u64 *a, const u64 *b)
{
    return *a < *b ? -1 : *a > *b;
}

static void quicksort(u64 *first, u64 *last, int (*order)(const u64 *, const u64 *))
{
    while (first < last) {
        u64 pivot = first[(last - first) / 2], *low = first, *high = last;
        while (low <= high) {
            while (order(low, &pivot) < 0)
                low++;
            while (order(high, &pivot) > 0)
                high--;
            if (low <= high) {
                u64 other = *low;
                *low++ = *high;
                *high-- = other;
            }
        }
        quicksort(first, high, order);
        first = low;
    }
}

int main(int argc, char **argv)
{
    int (*volatile order)(const u64 *, const u64 *) = compare;     // keeps the calls indirect
    u64 sum = 0, seed = 88172645463325252;
    for (u64 n = rounds(argc, argv); n > 0; n--) {
        for (u64 i = 0; i < COUNT; i++)
            numbers[i] = next_random(&seed);
        quicksort(numbers, numbers + COUNT - 1, order);
        for (u64 i = 0; i < COUNT; i += 997)
            sum = mixed(sum, numbers[i]);
    }
    return report("quicksort", sum);
}
