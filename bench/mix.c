// Three kinds of embedded work in turn, each feeding a CRC: a linked list that is searched,
// reversed and merge-sorted; small integer matrices; and a state machine that scans text for
// numbers.
#include "bench.h"

static u32 crc(u32 sum, u32 value)
{
    for (int i = 0; i < 16; i++, value >>= 1)
        sum = (sum ^ value) & 1 ? sum >> 1 ^ 0xa001 : sum >> 1;
    return sum;
}

enum { NODES = 200 };
static struct node { struct node *next; int key, rank; } nodes[NODES];

static struct node *merged(struct node *a, struct node *b, int by_rank)
{
    struct node head, *last = &head;
    while (a && b) {
        int first = by_rank ? a->rank <= b->rank : a->key <= b->key;
        struct node **from = first ? &a : &b;
        last->next = *from;
        last = *from;
        *from = last->next;
    }
    last->next = a ? a : b;
    return head.next;
}

static struct node *sorted(struct node *list, int by_rank)
{
    if (!list || !list->next)
        return list;
    struct node *middle = list;
    for (struct node *end = list->next; end && end->next; end = end->next->next)
        middle = middle->next;
    struct node *rest = middle->next;
    middle->next = 0;
    return merged(sorted(list, by_rank), sorted(rest, by_rank), by_rank);
}

static u32 work_on_list(u32 sum, u64 *seed)
{
    for (int i = 0; i < NODES; i++)
        nodes[i] = (struct node){.next = i + 1 < NODES ? &nodes[i + 1] : 0,
                                 .key = (int)(next_random(seed) >> 50), .rank = i};
    struct node *list = sorted(nodes, 0), *back = 0;
    for (int wanted = 0; wanted < 16384; wanted += 1024) {
        struct node *here = list;
        while (here && here->key < wanted)
            here = here->next;
        sum = crc(sum, here ? (u32)here->rank : 0xffff);
    }
    while (list) {
        struct node *next = list->next;
        list->next = back;
        back = list;
        list = next;
    }
    return crc(sum, (u32)sorted(back, 1)->key);
}

enum { N = 12 };

static u32 work_on_matrices(u32 sum)
{
    static short a[N][N], b[N][N];
    static int c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (short)(sum + (u32)(i * j));
            b[i][j] = (short)(sum * 3 + (u32)(i - j));
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            c[i][j] = 0;
            for (int k = 0; k < N; k++)
                c[i][j] += a[i][k] * b[k][j] >> 4 & 0xfff;
        }
    for (int i = 0; i < N; i++)
        sum = crc(sum, (u32)c[i][N - 1 - i]);
    return sum;
}

enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, EXPONENT_DIGITS, INVALID, STATES };

static enum state after(enum state state, char c)
{
    int digit = c >= '0' && c <= '9';
    switch (state) {
    case START: return digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : INVALID;
    case SIGN: return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER: return digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case POINT: return digit ? FRACTION : INVALID;
    case FRACTION: return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT: return digit || c == '-' ? EXPONENT_DIGITS : INVALID;
    case EXPONENT_DIGITS: return digit ? EXPONENT_DIGITS : INVALID;
    default: return INVALID;
    }
}

static u32 work_on_text(u32 sum, u64 *seed)
{
    static const char pieces[] = "0123456789+-.e,,";
    static char text[512];
    u32 seen[STATES] = {0};
    for (u64 i = 0; i < sizeof text; i++)
        text[i] = pieces[next_random(seed) >> 60];
    enum state state = START;
    for (u64 i = 0; i < sizeof text; i++)
        if (text[i] == ',') {
            seen[state]++;
            state = START;
        } else {
            state = after(state, text[i]);
        }
    for (int i = 0; i < STATES; i++)
        sum = crc(sum, seen[i]);
    return sum;
}

int main(int argc, char **argv)
{
    u64 seed = 1234567;
    u32 sum = 0;
    for (u64 n = rounds(argc, argv) * 10; n > 0; n--) {
        sum = work_on_list(sum, &seed);
        sum = work_on_matrices(sum);
        sum = work_on_text(sum, &seed);
    }
    return report("mix", sum);
}
