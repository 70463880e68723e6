// SHA-256 (FIPS 180-4) of a block that is hashed on and on: rotations, additions, no branches
// inside.
#include "bench.h"

static u32 k[64];

// The constants are the first 32 bits of the fractions of cube and square roots of primes.
static u32 fraction_of_root(u64 prime, int cube)
{
    // The largest r with r^e <= prime * 2^(32 e); its low 32 bits are the fraction's first 32.
    typedef unsigned __int128 wide;
    u64 r = 0;
    for (u64 bit = 1L << 36; bit > 0; bit >>= 1) {
        u64 t = r | bit;
        if (cube ? (wide)t * t * t <= (wide)prime << 96 : (wide)t * t <= (wide)prime << 64)
            r = t;
    }
    return (u32)r;
}

static u32 rotated(u32 x, int n)
{
    return x >> n | x << (32 - n);
}

static void compress(u32 state[8], const u32 block[16])
{
    u32 w[64], a = state[0], b = state[1], c = state[2], d = state[3];
    u32 e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 16; i++)
        w[i] = block[i];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7]
             + (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3)
             + (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
    for (int i = 0; i < 64; i++) {
        u32 t1 = h + k[i] + w[i] + ((e & f) ^ (~e & g))
               + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25));
        u32 t2 = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

int main(int argc, char **argv)
{
    // The block of the message "abc", then the digest so far in place of its first eight words.
    u32 state[8], block[16] = {0x61626380, [15] = 24};
    for (u64 n = 2, found = 0; found < 64; n++) {
        int prime = 1;
        for (u64 d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (!prime)
            continue;
        if (found < 8)
            state[found] = fraction_of_root(n, 0);
        k[found++] = fraction_of_root(n, 1);
    }
    compress(state, block);
    if (state[0] != 0xba7816bf || state[7] != 0xf20015ad)   // FIPS 180-4's example
        return 1;
    for (u64 n = rounds(argc, argv) * 1000; n > 0; n--) {
        for (int i = 0; i < 8; i++)
            block[i] = state[i];
        compress(state, block);
    }
    return report("sha256", (u64)state[0] << 32 | state[7]);
}
