// Two 64 x 64 matrices of doubles multiplied in two orders. The sums are the same; only the
// second walks all three matrices along their rows. Compare L1-dcache-load-misses and cycles of
// `matmul ijk` and `matmul ikj`.
//
// args: ijk
// expect: exit 0
// expect: stdout trace 80925
// args: ikj
// expect: exit 0
// expect: stdout trace 80925
#include "guest.h"

enum { N = 64 };
static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            // a = ones + identity, so trace(a b) = sum(b) + trace(b)
            a[i][j] = i == j ? 2 : 1;
            b[i][j] = i * 2 % 7 + j % 40;
        }
    if (argc > 1 && same(argv[1], "ikj")) {
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++)
                    c[i][j] += a[i][k] * b[k][j];
    } else {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                for (int k = 0; k < N; k++)
                    c[i][j] += a[i][k] * b[k][j];
    }
    double trace = 0;
    for (int i = 0; i < N; i++)
        trace += c[i][i];
    put_number("trace ", (u64)trace, 10, "\n");
    return 0;
}
