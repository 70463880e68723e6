// Eratosthenes over a megabyte of flags, again and again.
#include "bench.h"

enum { LIMIT = 1000000 };
static u8 composite[LIMIT];

int main(int argc, char **argv)
{
    u64 sum = 0;
    for (u64 n = rounds(argc, argv); n > 0; n--) {
        u64 primes = 0;
        for (u64 i = 0; i < LIMIT; i++)
            composite[i] = 0;
        for (u64 i = 2; i < LIMIT; i++) {
            if (composite[i])
                continue;
            primes++;
            for (u64 multiple = i * i; multiple < LIMIT; multiple += i)
                composite[multiple] = 1;
        }
        sum = mixed(sum, primes);
    }
    return report("sieve", sum);
}
