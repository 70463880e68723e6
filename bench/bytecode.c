// An interpreter inside the interpreter: a stack machine that adds up the lengths of Collatz
// sequences. One indirect jump or switch an operation, and a stack in memory.
#include "bench.h"

enum op { PUSH, LOAD, STORE, ADD, MUL, HALF, ODD, LESS, JUMP, JUMP_IF_ZERO, HALT };
enum variable { A, N, STEPS, LIMIT, VARIABLES };
struct insn { enum op op; i64 arg; };

static const struct insn program[] = {
    /*  0 */ {PUSH, 1}, {STORE, A},                                    // a = 1
    /*  2 */ {LOAD, A}, {LOAD, LIMIT}, {LESS, 0}, {JUMP_IF_ZERO, 32},  // while (a < limit) {
    /*  6 */ {LOAD, A}, {STORE, N},                                    //   n = a
    /*  8 */ {PUSH, 1}, {LOAD, N}, {LESS, 0}, {JUMP_IF_ZERO, 27},      //   while (1 < n) {
    /* 12 */ {LOAD, N}, {ODD, 0}, {JUMP_IF_ZERO, 21},                  //     if (n is odd)
    /* 15 */ {LOAD, N}, {PUSH, 3}, {MUL, 0}, {PUSH, 1}, {ADD, 0}, {JUMP, 23},  //   3 n + 1
    /* 21 */ {LOAD, N}, {HALF, 0},                                     //     else n / 2
    /* 23 */ {STORE, N}, {LOAD, STEPS}, {PUSH, 1}, {JUMP, 33},         //     n = that; steps += 1 }
    /* 27 */ {LOAD, A}, {PUSH, 1}, {ADD, 0}, {STORE, A}, {JUMP, 2},    //   a += 1 }
    /* 32 */ {HALT, 0},
    /* 33 */ {ADD, 0}, {STORE, STEPS}, {JUMP, 8},
};

static i64 __attribute__((noinline)) interpret(const struct insn *code, i64 limit)
{
    i64 variables[VARIABLES] = {0}, stack[16], *top = stack;
    variables[LIMIT] = limit;
    for (const struct insn *insn = code;; insn++)
        switch (insn->op) {
        case PUSH: *top++ = insn->arg; break;
        case LOAD: *top++ = variables[insn->arg]; break;
        case STORE: variables[insn->arg] = *--top; break;
        case ADD: top--; top[-1] += top[0]; break;
        case MUL: top--; top[-1] *= top[0]; break;
        case HALF: top[-1] >>= 1; break;
        case ODD: top[-1] &= 1; break;
        case LESS: top--; top[-1] = top[-1] < top[0]; break;
        case JUMP: insn = code + insn->arg - 1; break;
        case JUMP_IF_ZERO: if (*--top == 0) insn = code + insn->arg - 1; break;
        case HALT: return variables[STEPS];
        }
}

int main(int argc, char **argv)
{
    u64 sum = 0;
    for (u64 n = rounds(argc, argv); n > 0; n--)
        sum = mixed(sum, (u64)interpret(program, 1000));
    return report("bytecode", sum);
}
