# How samples/ and bench/ build their programs: freestanding, static, and the same bytes every time.
# The objects have fixed names (the linker writes them into the symbol table), and there is no
# build id. Set PROGRAMS, then include this.
CROSS   := riscv64-linux-gnu-
CC      := $(CROSS)gcc
START   := ../samples/start.S
PINNED  := gcc 12.2.0-13, binutils 2.40, glibc 2.36-8cross1
FOUND   := gcc $(shell $(CC) --version 2>&1 | tr -d '()' | awk 'NR == 1 { print $$3 }'), \
           binutils $(shell $(CROSS)ld --version 2>&1 | awk 'NR == 1 { print $$NF }'), \
           glibc $(shell dpkg-query -W -f '$${Version}' libc6-dev-riscv64-cross 2>&1)
# Compiled from the root of the project, so that sources are found there: samples/sort.c.
HERE    := $(notdir $(CURDIR))
COMPILE  = cd .. && $(CC) $(CFLAGS)
DEBUG   := -g -fdebug-prefix-map=$(abspath ..)=.
CFLAGS  := -march=rv64gc -mabi=lp64d -O2 -Wall -Wextra -ffreestanding -fno-builtin \
           -fno-stack-protector -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
           -msmall-data-limit=0 -Isamples $(DEBUG)
LDFLAGS := -nostdlib -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack
OUT     := .
OBJECTS  = $(abspath $(OUT)/objects)
# The marks that say where code begins ($x) and data ($d): tools take them for functions' names.
UNMARK  := $(CROSS)objcopy --wildcard --strip-symbol='$$x*' --strip-symbol='$$d*'

all: pinned $(PROGRAMS:%=$(OUT)/%)

pinned:
	@[ "$(FOUND)" = "$(PINNED)" ] || { \
	  echo "needs Debian's $(PINNED) ($(CROSS)); found: $(FOUND)" >&2; exit 1; }

$(OUT)/%: %.c $(START) ../samples/guest.h $(MAKEFILE_LIST) | pinned
	@mkdir -p $(OUT)/objects
	$(COMPILE) -fno-pie -c $(HERE)/$< -o $(OBJECTS)/$*.o
	$(COMPILE) -fno-pie -c samples/start.S -o $(OBJECTS)/start.o
	$(CC) $(LDFLAGS) -static -no-pie $(OUT)/objects/start.o $(OUT)/objects/$*.o -o $@
	$(UNMARK) $@
	@rm -r $(OUT)/objects

.PHONY: all pinned
.NOTPARALLEL:
