"""A kernel with one program that never executes: the test makes its system calls for it."""

from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.stack.firmware import Firmware
from rvperf.stack.kernel import Kernel
from rvperf.stack.kernel.memory import PROT_EXEC, PROT_READ, PROT_WRITE
from rvperf.stack.kernel.names import NAMES

from . import elves

NUMBERS = {name: number for number, name in NAMES.items()}
ECALL_FROM_U = 8
PAGE_FAULT = {PROT_EXEC: 12, PROT_READ: 13, PROT_WRITE: 15}
SCRATCH = 0x10_0000_0000


class Caller:
    """Boots a minimal program in `cwd` and calls the kernel as it would."""

    def __init__(self, cwd, sysroot=None, allow_write=(), size=64 << 20, **options):
        name = elves.write(cwd / "program", elves.program())
        self.hart = Hart(Ram(size))
        self.kernel = Kernel(
            self.hart,
            [name],
            {"A": "1"},
            cwd=str(cwd),
            sysroot=sysroot,
            allow_write=allow_write,
            **options,
        )
        Firmware(self.hart).boot(0)
        self.kernel.boot()
        assert self("mmap", SCRATCH, 1 << 20, 3, 0x32, -1, 0) == SCRATCH
        self.free = SCRATCH

    def __call__(self, name, *arguments):
        """The result of a system call; bytes and str arguments are put into memory first."""
        self.free = SCRATCH
        words = [
            self.put(argument) if isinstance(argument, bytes | str) else argument
            for argument in arguments
        ]
        x = self.hart.x
        for i, word in enumerate(words):
            x[10 + i] = word & 0xFFFFFFFFFFFFFFFF
        x[17] = NUMBERS[name]
        self.trap(ECALL_FROM_U)
        result = x[10]
        return result - (1 << 64) if result >> 63 else result

    def trap(self, cause, value=0):
        """Delivers an exception and lets the kernel answer it."""
        self.hart.trap(cause, value)
        self.kernel.trap()

    @property
    def task(self):
        return self.kernel.current

    @property
    def memory(self):
        return self.kernel.current.memory

    def put(self, data):
        """Stores bytes, or a string and its zero; the address."""
        if isinstance(data, str):
            data = data.encode() + b"\0"
        at = self.free
        self.memory.write(at, data)
        self.free = (at + len(data) + 15) & ~15
        return at

    def room(self, size):
        """An address with room for an answer."""
        return self.put(bytes(size))
