// Quicksort of 20000 numbers: recursion, calls, and branches that depend on the data.
//
// expect: exit 0
// expect: stdout sorted
#include "guest.h"

enum { COUNT = 20000 };
static u64 numbers[COUNT];

static void __attribute__((noinline)) quicksort(u64 *first, u64 *last)
{
    if (first >= last)
        return;
    u64 pivot = first[(last - first) / 2];
    u64 *low = first, *high = last;
    while (low <= high) {
        while (*low < pivot)
            low++;
        while (*high > pivot)
            high--;
        if (low <= high) {
            u64 other = *low;
            *low++ = *high;
            *high-- = other;
        }
    }
    quicksort(first, high);
    quicksort(low, last);
}

int main(void)
{
    u64 seed = 1, sum = 0;
    for (u64 i = 0; i < COUNT; i++)
        sum += numbers[i] = next_random(&seed);
    quicksort(numbers, numbers + COUNT - 1);
    for (u64 i = 0; i < COUNT; i++) {
        sum -= numbers[i];
        if (i > 0 && numbers[i - 1] > numbers[i])
            return 1;
    }
    put(sum ? "numbers lost\n" : "sorted\n");
    return sum != 0;
}
