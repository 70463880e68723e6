// What the samples have in place of a C library: system calls and a few ways to print.
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef long i64;
typedef unsigned long u64;

enum { SYS_unlinkat = 35, SYS_openat = 56, SYS_close = 57, SYS_lseek = 62, SYS_read = 63,
       SYS_write = 64, SYS_fstat = 80 };

static inline i64 syscall4(i64 number, i64 a, i64 b, i64 c, i64 d)
{
    register i64 a7 asm("a7") = number;
    register i64 a0 asm("a0") = a;
    register i64 a1 asm("a1") = b;
    register i64 a2 asm("a2") = c;
    register i64 a3 asm("a3") = d;
    asm volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3) : "memory");
    return a0;
}

static inline u64 length(const char *s)
{
    u64 n = 0;
    while (s[n])
        n++;
    return n;
}

static inline int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static inline void put(const char *s)
{
    syscall4(SYS_write, 1, (i64)s, (i64)length(s), 0);
}

// Print n in base 10 or 16, between two strings.
static inline void put_number(const char *before, u64 n, u64 base, const char *after)
{
    char text[24];
    char *p = text + sizeof text;
    *--p = 0;
    do
        *--p = "0123456789abcdef"[n % base];
    while (n /= base);
    put(before);
    put(p);
    put(after);
}

static inline u64 number(const char *s)
{
    u64 n = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        n = n * 10 + (u64)(*s - '0');
    return n;
}

// A generator that needs no state but 64 bits (xorshift, with Marsaglia's shifts).
static inline u64 next_random(u64 *state)
{
    u64 x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

#endif
