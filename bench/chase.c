// A walk through 256 KiB of nodes in random order: each load needs the one before it. They fit a
// second-level cache, so that what is measured is the emulator more than the memory.
#include "bench.h"

enum { NODES = 4096 };
static struct node { struct node *next; u64 value, pad[6]; } nodes[NODES];
static u32 order[NODES];

int main(int argc, char **argv)
{
    u64 sum = 0, seed = 2463534242;
    for (u32 i = 0; i < NODES; i++)
        order[i] = i;
    for (u64 i = NODES - 1; i > 0; i--) {
        u64 j = next_random(&seed) % (i + 1);
        u32 other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    for (u64 i = 0; i < NODES; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
        nodes[order[i]].value = i;
    }
    struct node *here = nodes;
    for (u64 n = rounds(argc, argv) * NODES; n > 0; n--) {
        sum += here->value ^ n;
        here = here->next;
    }
    return report("chase", sum);
}
