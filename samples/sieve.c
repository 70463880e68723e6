// The primes below 100000 by Eratosthenes: byte stores in long strides, and a branch that is hard
// to foresee.
//
// expect: exit 0
// expect: stdout 9592
#include "guest.h"

enum { LIMIT = 100000 };
static u8 composite[LIMIT];

int main(void)
{
    u64 primes = 0;
    for (u64 n = 2; n < LIMIT; n++) {
        if (composite[n])
            continue;
        primes++;
        for (u64 multiple = n * n; multiple < LIMIT; multiple += n)
            composite[multiple] = 1;
    }
    put_number("", primes, 10, "\n");
    return 0;
}
