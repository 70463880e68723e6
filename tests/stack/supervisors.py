"""A supervisor over firmware, on a hart with a PMU: the test is its kernel and its program."""

from isa.csrs import CSR_NUMBERS
from isa.modes import S, U
from rvperf.machine.hart import Hart
from rvperf.machine.ram import Ram
from rvperf.stack.firmware import Firmware
from rvperf.stack.level import Level
from rvperf.stack.sbi import Extension, name_of

RAM_AT, RAM_SIZE = 0x8000_0000, 4 << 20
PAGE = RAM_AT + (3 << 20)  # to share
HARDWARE = ("Sscofpmf",)


class Supervisor(Level):
    """S-mode just after boot, and what happened since: `operations` in order, as `Tally` names
    them but for the mode."""

    def __init__(self, extensions=HARDWARE, counters=29, **options):
        hart = Hart(Ram(RAM_SIZE, RAM_AT), extensions=extensions, counters=counters)
        self.firmware = Firmware(hart, **options)
        super().__init__(hart, S, self.firmware.trap)
        self.operations = []
        self.on_operation = self._note
        self.firmware.boot(RAM_AT)
        hart.set_csr(CSR_NUMBERS["stvec"], RAM_AT)

    def _note(self, operation):
        what, _, *which = operation
        self.operations.append((what, *which))

    def since(self, do, *arguments):
        """What an action does, in words: `read sip`, `COUNTER_STOP`."""
        self.operations.clear()
        do(*arguments)
        return [self.word(*operation) for operation in self.operations]

    @staticmethod
    def word(what, *which):
        if what == "call":
            return name_of(*which).partition(".")[2]
        return f"{what} {which[0]}"

    def pmu(self, function, *arguments):
        """A call of the PMU extension."""
        return self.call(Extension.PMU, function, *arguments)

    def in_user_mode(self, do):
        """Do something in U-mode, and come back."""
        hart = self.hart
        hart.set_csr(CSR_NUMBERS["sepc"], RAM_AT)
        hart.set_csr(CSR_NUMBERS["sstatus"], 1 << 5)  # SPIE, and SPP is U
        hart.sret()
        assert hart.mode == U
        result = do()
        if hart.mode == U:
            hart.trap(8)
        assert hart.mode == S
        return result

    def work(self, instructions, each=None):
        """Have the program execute so many instructions; `each` is the handler of interrupts."""
        hart = self.hart

        def execute():
            for _ in range(instructions):
                hart.charge(1, 1)
                if hart.interrupt():
                    each()
                    hart.sret()

        self.in_user_mode(execute)
