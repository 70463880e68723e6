// What calls.c does, with exceptions.

extern "C" {
volatile int one = 1, sink;
__attribute__((noinline, noclone)) void probe(const char *truth) { sink += *truth; }
}

#define APART extern "C" __attribute__((noinline, noclone))
#define PROBE(truth) (probe(truth), sink++)

struct Guard {
    const char *truth;
    Guard(const char *truth) : truth(truth) {}
    __attribute__((noinline)) ~Guard() { PROBE(truth); }
};

APART void thrower(int depth) {
    if (depth == 0) {
        PROBE("thrower thrower thrower cleaner catcher main");
        throw one;
    }
    thrower(depth - 1);
    sink++;
}

APART void cleaner() {
    Guard guard("_ZN5GuardD2Ev cleaner ... catcher main");
    thrower(2);
}

APART void after() { PROBE("after catcher main"); }

APART void catcher() {
    try {
        cleaner();
    } catch (int) {
        PROBE("catcher main");
    }
    after();
    sink++;
}

int main() {
    for (int round = 0; round < 6; round++) {
        catcher();
        PROBE("main");
    }
    return 0;
}
