// What the kernel puts on a new program's stack: the arguments, the environment, the auxiliary
// vector.
//
// args: one "two words" -x
// expect: exit 4
// expect: stdout argv[1] = one
// expect: stdout argv[2] = two words
// expect: stdout argv[3] = -x
// expect: stdout pagesz 4096
// expect: stdout random yes
// expect: stdout execfn yes
// expect: stdout entry yes
#include "guest.h"

enum { AT_PAGESZ = 6, AT_ENTRY = 9, AT_RANDOM = 25, AT_EXECFN = 31 };
extern char _start[];

int main(int argc, char **argv, char **envp)
{
    for (int i = 1; i < argc; i++) {
        put_number("argv[", (u64)i, 10, "] = ");
        put(argv[i]);
        put("\n");
    }
    while (*envp)
        envp++;
    u64 found[64] = {0};
    for (u64 *aux = (u64 *)envp + 1; aux[0]; aux += 2)
        if (aux[0] < 64)
            found[aux[0]] = aux[1];
    put_number("pagesz ", found[AT_PAGESZ], 10, "\n");
    put(found[AT_RANDOM] ? "random yes\n" : "random no\n");
    put(found[AT_EXECFN] && length((char *)found[AT_EXECFN]) ? "execfn yes\n" : "execfn no\n");
    put(found[AT_ENTRY] == (u64)_start ? "entry yes\n" : "entry no\n");
    return argc;
}
