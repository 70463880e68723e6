// Nearly the shortest program that prints: what remains is the fixed cost of starting and of a
// system call.
//
// expect: exit 0
// expect: stdout hello
#include "guest.h"

// Pointers: in a static-PIE they need relocating.
static const char *const words[] = {"hello", "\n"};

int main(void)
{
    for (u64 i = 0; i < sizeof words / sizeof *words; i++) {
        const char *const volatile *word = &words[i];
        put(*word);
    }
    return 0;
}
