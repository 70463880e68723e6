"""Where the host kernel's functions lie: those of any kernel that drives a PMU, and KVM's."""

from rvperf.stack.costs import Cost
from rvperf.stack.kernel import kallsyms

from . import costs


def symbols() -> kallsyms.KernelSymbols:
    """The host kernel's symbols."""
    work = tuple(value for value in vars(costs).values() if isinstance(value, Cost))
    return kallsyms.symbols(True, work)
