/* Frames of every kind, without a C library: leaves, saved registers, big and variable frames,
   recursion, calls through pointers, and a signal's handler. */
typedef long word;

static long call(long n, long a, long b, long c, long d) {
    register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b,
                  a2 __asm__("a2") = c, a3 __asm__("a3") = d;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3) : "memory");
    return a0;
}

static volatile int hits;

__attribute__((noinline)) static int leaf(int a) {
    hits += a;
    return a * 3;
}

__attribute__((noinline)) static int fib(int n) { return n < 2 ? leaf(n) : fib(n - 1) + fib(n - 2); }

__attribute__((noinline)) static int big(int n) {
    volatile char room[5000];
    for (int i = 0; i < 5000; i += 500) room[i] = n;
    return (n ? big(n - 1) : leaf(3)) + room[500];
}

__attribute__((noinline)) static int variable(int n) {
    volatile char room[n * 16];
    room[n] = n;
    return fib(4) + room[n];
}

static int (*volatile through)(int) = big;

static void handler(int number) { hits += fib(3) + number; }

__attribute__((noinline)) static void signalled(void) {
    word action[3] = {(word)handler, 0, 0};
    call(134, 10, (word)action, 0, 8);                /* rt_sigaction(SIGUSR1) */
    call(129, call(172, 0, 0, 0, 0), 10, 0, 0);       /* kill(getpid(), SIGUSR1) */
}

static inline int twice(int x) { return x > 3 ? leaf(x) + x : x * 2; }

__attribute__((noinline)) static int inlined(int x) {
    int sum = 0;
    for (int i = 0; i < x; i++) sum += twice(i);
    return sum;
}

__attribute__((used)) static void begin(void) {
    hits = fib(5) + through(2) + variable(7) + inlined(6);
    signalled();
    call(93, 0, 0, 0, 0);
}

__asm__(".globl _start\n.type _start,@function\n_start:\n.cfi_startproc\n.cfi_undefined ra\n"
        ".option push\n.option norelax\nlla gp, __global_pointer$\n.option pop\n"
        "call begin\n.cfi_endproc\n.size _start, .-_start\n");
