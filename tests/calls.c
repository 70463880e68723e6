// Programs that say at each probe who has called whom: names, innermost first, up to a name that
// stands for all further ones. argv[1] names the program; each does its thing ROUNDS times, so that
// its code gets hot.

#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 40
#define APART __attribute__((noinline, noclone))

volatile int one = 1, sink;

APART void probe(const char *truth) { sink += *truth; }
// A call that is no tail call: something is left to do.
#define CALL(call) ((call), sink++)
#define PROBE(truth) CALL(probe(truth))

// Recursion.

APART int down(int depth) {
    if (depth == 0) {
        PROBE("down down down down recursion");
        return 1;
    }
    return down(depth - 1) + one;
}

static void recursion(void) { sink += down(3); }

APART int odd(int n);
APART int even(int n) {
    if (n == 0) {
        PROBE("even odd even odd mutual");
        return 1;
    }
    return odd(n - 1) + one;
}
int odd(int n) { return n == 0 ? 0 : even(n - 1) + one; }
static void mutual(void) { sink += odd(3); }

// Tail calls: who made one is no caller any more.

APART void last(void) { PROBE("last first tail"); }
APART void middle(void) { last(); }
APART void first(void) { CALL(middle()); }
static void tail(void) { CALL(first()); }

// longjmp over frames, to one that has an array of a size that isn't known.

static jmp_buf back;

APART void thrower(int depth) {
    if (depth == 0) {
        PROBE("thrower thrower thrower catcher longjumps");
        longjmp(back, 1);
    }
    CALL(thrower(depth - 1));
}

APART void after(void) { PROBE("after catcher longjumps"); }

APART void catcher(void) {
    volatile char room[100 + one];
    room[one] = 0;
    if (setjmp(back) == 0)
        thrower(2);
    CALL(after());
    sink += room[one];
}

static void longjumps(void) { CALL(catcher()); }

// A handler, on the program's stack and on one of its own.

static char alternate[1 << 16];

APART void in_handler(const char *truth) { PROBE(truth); }

static const char *volatile in_whom;

static void on_signal(int signal) { CALL(in_handler(in_whom)); }

APART void interrupted(void) {
    // No call: the signal comes between two instructions of this function.
    in_whom = "in_handler on_signal TRAMPOLINE interrupted signals";
    register long a0 asm("a0") = getpid();
    register long a1 asm("a1") = SIGUSR1;
    register long a7 asm("a7") = 129;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
    PROBE("interrupted signals");
}

static void deliver(int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(SIGUSR1, &action, 0);
}

static void signals(void) {
    deliver(0);
    CALL(interrupted());
}

static void handler_on(void *stack, size_t size) {
    stack_t it = {.ss_sp = stack, .ss_size = size};
    sigaltstack(&it, 0);
}

APART void interrupted_elsewhere(void) {
    in_whom = "in_handler on_signal TRAMPOLINE interrupted_elsewhere elsewhere";
    register long a0 asm("a0") = getpid();
    register long a1 asm("a1") = SIGUSR1;
    register long a7 asm("a7") = 129;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
    PROBE("interrupted_elsewhere elsewhere");
}

static void elsewhere(void) {
    handler_on(alternate, sizeof alternate);
    deliver(SA_ONSTACK);
    CALL(interrupted_elsewhere());
}

// Out of a handler by siglongjmp.

static sigjmp_buf out;

static void leave(int signal) {
    PROBE("leave TRAMPOLINE ... raiser raiser raiser leaver");
    siglongjmp(out, 1);
}

APART void raiser(int depth) {
    if (depth == 0) {
        raise(SIGUSR2);
        _exit(3);
    }
    CALL(raiser(depth - 1));
}

APART void left(void) { PROBE("left leaver"); }

APART void leaver(int flags) {
    struct sigaction action = {.sa_handler = leave, .sa_flags = flags};
    sigaction(SIGUSR2, &action, 0);
    if (sigsetjmp(out, 1) == 0)
        raiser(2);
    CALL(left());
}

static void jump_out(void) { leaver(0); }

static void jump_out_of_stack(void) {
    handler_on(alternate, sizeof alternate);
    leaver(SA_ONSTACK);
}

static void jump_out_of_high_stack(void) {
    // A stack above the frames that the signal interrupts.
    char room[1 << 14];
    handler_on(room, sizeof room);
    CALL(leaver(SA_ONSTACK));
    handler_on(alternate, sizeof alternate);
}

// Threads and processes.

APART void at_work(const char *truth) { PROBE(truth); }

static void *work(void *truth) {
    CALL(at_work(truth));
    return 0;
}

APART void join(pthread_t thread) {
    pthread_join(thread, 0);
    PROBE("join threads");
}

static void threads(void) {
    pthread_t thread;
    pthread_create(&thread, 0, work, "at_work work start_thread");
    CALL(join(thread));
}

APART int parting(void) {
    int child = fork();
    if (child == 0) {
        PROBE("parting forks");
        return 0;
    }
    waitpid(child, 0, 0);
    PROBE("parting forks");
    return 1;
}

static void forks(void) {
    if (!parting()) {
        CALL(at_work("at_work forks"));
        _exit(0);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
    int rounds;
} PROGRAMS[] = {
    {"recursion", recursion, ROUNDS},
    {"mutual", mutual, ROUNDS},
    {"tail", tail, ROUNDS},
    {"longjumps", longjumps, ROUNDS},
    {"signals", signals, ROUNDS},
    {"elsewhere", elsewhere, ROUNDS},
    {"jump_out", jump_out, ROUNDS},
    {"jump_out_of_stack", jump_out_of_stack, ROUNDS},
    {"jump_out_of_high_stack", jump_out_of_high_stack, ROUNDS},
    {"threads", threads, 3},
    {"forks", forks, 3},
};

int main(int argc, char **argv) {
    for (unsigned i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS; i++) {
        if (strcmp(argv[1], PROGRAMS[i].name) == 0)
            for (int round = 0; round < PROGRAMS[i].rounds; round++)
                PROGRAMS[i].run();
    }
    return 0;
}
