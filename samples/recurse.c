// Fibonacci by definition: calls and returns, and a stack that breathes. fib(20) makes 2 x
// fib(21) - 1 = 21891 calls.
//
// expect: exit 0
// expect: stdout fib 6765 calls 21891
// args: 10
// expect: exit 0
// expect: stdout fib 55 calls 177
#include "guest.h"

static u64 calls;

static u64 __attribute__((noinline, optimize("no-optimize-sibling-calls")))
fib(u64 n)
{
    calls++;
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv)
{
    put_number("fib ", fib(argc > 1 ? number(argv[1]) : 20), 10, " ");
    put_number("calls ", calls, 10, "\n");
    return 0;
}
