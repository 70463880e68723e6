"""Whom the host's perf measures beside guests: -p, -a, -C of `kvm run --host "record ..."`."""

from rvperf.cli.streams import tell
from rvperf.cli.virtual_options import Mistake


def vm_number(text: str) -> int:
    """-p: a VM."""
    digits = text.removeprefix("vm")
    if not digits.isdecimal():
        raise Mistake(f" Error: option `pid' expects a VM: vm0 is the first, not `{text}'\n")
    return int(digits)


def cpus(text: str) -> tuple[int, ...]:
    """-C: harts."""
    from rvperf.profile.selection import SelectionError, numbers

    try:
        return tuple(sorted(numbers(text)))
    except SelectionError:
        what = f"harts, like 0-2,5, not `{text}'"
        raise Mistake(f" Error: option `cpu' expects {what}\n") from None


def targets(options) -> dict:
    """What a RecordRequest is told of it, by perf's rules (target__validate); the options are
    what is left then."""
    vm, wanted = options["pid"], options["cpu"]
    if vm is not None and (wanted or options["all_cpus"]):
        tell(f"Warning:\nPID/TID switch overriding {'CPU' if wanted else 'SYSTEM'}\n")
        options["all_cpus"] = wanted = None
    elif wanted:
        options["all_cpus"] = True
    options["cpu"] = None
    return {"vm": vm, "cpus": wanted}
