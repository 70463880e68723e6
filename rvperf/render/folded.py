"""Collapsed stacks, the text that flame graph tools take: a line a stack, `comm;outer;inner N`.

The form is Brendan Gregg's (https://github.com/brendangregg/FlameGraph), with his marks: `_[k]` for
kernel functions, `_[i]` for inlined ones. N is the sum of the samples' periods.
"""

from rvperf.render.stacks import Function, Stacks


def folded(stacks: Stacks) -> str:
    """All stacks of an event, sorted."""
    names = [part(function) for function in stacks.functions]
    sums: dict[str, int] = {}
    for (comm, stack), _, period in stacks.totals(stacks.comm, stacks.stack):
        path = [plain(stacks.comm_name(comm)), *(names[number] for number in stacks.path(stack))]
        line = ";".join(path)
        sums[line] = sums.get(line, 0) + period
    return "".join(f"{line} {weight}\n" for line, weight in sorted(sums.items()))


def part(function: Function) -> str:
    mark = "_[k]" if "kernel" in function.kind else "_[i]" if function.inlined else ""
    return plain(function.label) + mark


def plain(name: str) -> str:
    """A name without the separator."""
    return name.replace(";", ":")
