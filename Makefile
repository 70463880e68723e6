# Rebuilds the sample programs bit for bit; `make -C samples OUT=/some/dir` builds them elsewhere.
PROGRAMS := args branchsort chase fault files fpround hello hello-pie loop matmul printf recurse selfmod sieve sort
include build.mk
.NOTPARALLEL:                           # the recipes share one directory of objects

# Loaded anywhere: start.S relocates it.
$(OUT)/hello-pie: hello.c $(START) guest.h | pinned
	@mkdir -p $(OUT)/objects
	$(CC) $(CFLAGS) -fPIE -c hello.c -o $(OUT)/objects/hello.o
	$(CC) $(CFLAGS) -fPIE -c $(START) -o $(OUT)/objects/start.o
	$(CC) $(CFLAGS) $(LDFLAGS) -static-pie -Wl,--no-dynamic-linker -Wl,-z,norelro \
	  $(OUT)/objects/start.o $(OUT)/objects/hello.o -o $@
	@rm -r $(OUT)/objects

# Assembly that is its own start.
$(OUT)/loop: loop.S | pinned
	@mkdir -p $(OUT)/objects
	$(CC) $(CFLAGS) -c $< -o $(OUT)/objects/loop.o
	$(CC) $(CFLAGS) $(LDFLAGS) -static -no-pie $(OUT)/objects/loop.o -o $@
	@rm -r $(OUT)/objects

# The one sample with a C library: Debian's glibc, static.
$(OUT)/printf: printf.c | pinned
	@mkdir -p $(OUT)/objects
	$(CC) -march=rv64gc -mabi=lp64d -O2 -Wall -Wextra -c $< -o $(OUT)/objects/printf.o
	$(CC) -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 $(OUT)/objects/printf.o -o $@
	@rm -r $(OUT)/objects
