// Following pointers: every load needs the one before it. In `chase shuffled` the next node lies
// anywhere, in `chase ordered` right behind. Same instructions, other misses.
//
// args: ordered
// expect: exit 0
// expect: stdout 65536 steps
// args: shuffled
// expect: exit 0
// expect: stdout 65536 steps
#include "guest.h"

enum { NODES = 16384, LAPS = 4 };
static struct node { struct node *next; u64 pad[7]; } nodes[NODES];     // a cache line each

int main(int argc, char **argv)
{
    static u32 order[NODES];
    u64 seed = 7, steps = 0;
    for (u32 i = 0; i < NODES; i++)
        order[i] = i;
    int shuffled = argc > 1 && same(argv[1], "shuffled");
    for (u64 i = NODES - 1; i > 0; i--) {
        u64 j = shuffled ? next_random(&seed) % (i + 1) : i;
        u32 other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    for (u64 i = 0; i < NODES; i++)
        nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
    struct node *here = nodes;
    for (int lap = 0; lap < LAPS; lap++)
        do {
            here = here->next;
            steps++;
        } while (here != nodes);
    put_number("", steps, 10, " steps\n");
    return 0;
}
