// Doubles: the product of two 128 x 128 matrices, fed back into the next round.
#include "bench.h"

enum { N = 128 };
static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (i + 2 * j) % 17 / 16.0;
            b[i][j] = (3 * i + j) % 19 / 1024.0;
        }
    for (u64 n = rounds(argc, argv); n > 0; n--) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < N; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                a[i][j] = 0.75 * a[i][j] + 0.25 * c[j][i];
    }
    double trace = 0;
    for (int i = 0; i < N; i++)
        trace += c[i][i];
    return report("matmul", bits(trace));
}
