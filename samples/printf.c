// The one sample with a C library (glibc, static): printf, malloc, qsort, floating-point output.
// Starting glibc costs more instructions than the whole of `hello`; see how many.
//
// args: 1000
// expect: exit 0
// expect: stdout 1000 words, first aaihh, last zyvoo, mean length 5.00
// expect: stdout pi is 3.14159265358979
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, letters = 0;
    char **words = malloc(count * sizeof *words);
    unsigned seed = 1;
    if (!words || !count)
        return 1;
    for (size_t i = 0; i < count; i++) {
        words[i] = malloc(6);
        for (int j = 0; j < 5; j++) {
            seed = seed * 1664525u + 1013904223u;
            words[i][j] = (char)('a' + (seed >> 24) % 26);
        }
        words[i][5] = 0;
        letters += strlen(words[i]);
    }
    qsort(words, count, sizeof *words, compare);
    printf("%zu words, first %s, last %s, mean length %.2f\n", count, words[0], words[count - 1],
           (double)letters / (double)count);
    double pi = 0;
    for (int k = 39; k >= 0; k--)       // Bailey, Borwein and Plouffe's series
        pi = pi / 16 + 4.0 / (8 * k + 1) - 2.0 / (8 * k + 4) - 1.0 / (8 * k + 5)
           - 1.0 / (8 * k + 6);
    printf("pi is %.14f\n", pi);
    for (size_t i = 0; i < count; i++)
        free(words[i]);
    free(words);
    return 0;
}
