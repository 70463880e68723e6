"""`rvperf kvm`: what `perf kvm` tells of virtual machines, and the designs of PMU virtualisation
side by side."""

import gc
import os

from rvperf.cli import virtual_options
from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, standard, tell
from rvperf.cli.virtual_options import GUEST_SYMBOLS, MACHINE, SIDES, VPMU, Mistake, Sides

SYNOPSIS = "rvperf kvm [<options>] {record|report|diff|buildid-list|stat|compare|run|explain}"
STAT_SYNOPSIS = "rvperf kvm stat [<options>] [--] <command>"
COMPARE_SYNOPSIS = "rvperf kvm compare [<options>] [--] {record|stat} [<options>] [--] <command>"
NAMES = ("record", "report", "diff", "buildid-list", "stat", "compare", "run", "explain")
SHORTEST = 3
"""Letters that a command's name can be abbreviated to, as in perf."""
FAILED_STATUS = 255

VERBOSE = Option(
    "v", "verbose", "be more verbose (show counter open errors, etc)", "count", default=0
)
OPTIONS = (
    Option("i", "input", "Input file name", "text", "file"),
    Option("o", "output", "Output file name", "text", "file"),
    *SIDES,
    *GUEST_SYMBOLS,
    VERBOSE,
)


def run(words: list[str]) -> int:
    try:
        options, rest = parse(OPTIONS, words)
        if not rest:
            raise Usage("\n", None)
        name, rest = command_of(rest[0]), rest[1:]
    except Usage as mistake:
        return tell_mistake(mistake, SYNOPSIS, OPTIONS)
    file = options["output"] or options["input"]
    whose = virtual_options.sides(Sides(file=file), options)
    if name == "record":
        from rvperf.cli import record

        return record.run(rest, whose)
    if name == "report":
        from rvperf.cli import report

        return report.run(rest, whose, options)
    if name == "diff":
        from rvperf.cli import diff

        return diff.run(rest)
    if name == "buildid-list":
        from rvperf.cli import buildid_list

        return buildid_list.run(["-i", whose.path, *rest], whose.guest, whose.host)
    if name == "run":
        from rvperf.cli import kvm_run

        return kvm_run.run(rest)
    if name == "explain":
        from rvperf.cli import kvm_explain

        return kvm_explain.run(rest)
    return stat(rest) if name == "stat" else compare(rest)


def command_of(word: str) -> str:
    """The command of a name or its beginning. Raises Usage."""
    for name in NAMES:
        if name == word or (len(word) >= SHORTEST and name.startswith(word)):
            return name
    if word == "top":
        raise Mistake(" Error: rvperf doesn't have perf's `kvm top' yet\n")
    raise Mistake(virtual_options.unknown(word, NAMES, "kvm command"))


def tell_mistake(mistake: Usage, synopsis: str, options) -> int:
    page = "" if isinstance(mistake, Mistake) else usage(synopsis, options, mistake.about)
    tell(mistake.message + page)
    return mistake.status


# --- kvm stat


def report_event(text: str) -> str:
    from rvperf.render.kvm import EVENTS

    if text not in EVENTS:
        raise Mistake(virtual_options.unknown(text, EVENTS, "report event"))
    return text


def sort_keys(text: str) -> tuple[str, ...]:
    from rvperf.render.kvm import SORT_KEYS

    keys = tuple(text.split(","))
    for key in keys:
        if key not in SORT_KEYS:
            raise Mistake(virtual_options.unknown(key, SORT_KEYS, "compare key"))
    return keys


def separator(text: str) -> str:
    return "\t" if text == "\\t" else text


SEPARATOR = Option(
    "x", "field-separator", "print figures with custom separator", "text", "separator",
    convert=separator,
)  # fmt: skip


def stat_options() -> tuple[Option, ...]:
    from rvperf.cli.stat import ENGINE, SANDBOX

    return (
        Option("", "event", "event for reporting: vmexit, csr, sbi, fault, all", "text",
               "report event", "vmexit", report_event),
        Option("k", "key", "key for sorting: sample(sort by samples number) time (sort by avg "
               "time), percent_sample, percent_time, max_time, min_time, mean_time", "text",
               "sort-key", ("sample",), sort_keys),
        Option("", "vcpu", "vcpu id to report", "number", "n"),
        Option("o", "output", "output file name", "text", "file"),
        SEPARATOR,
        Option("j", "json-output", "print figures in JSON format"),
        VERBOSE,
        VPMU,
        *MACHINE,
        *SANDBOX,
        ENGINE,
    )  # fmt: skip


def stat(words: list[str]) -> int:
    """Run a program in a VM and print its exits."""
    descriptors = standard()
    table = stat_options()
    try:
        options, command = parse(table, words)
        if explained := virtual_options.explained(options):
            say(explained)
            return 0
        check_stat(options, command)
    except Usage as mistake:
        return tell_mistake(mistake, STAT_SYNOPSIS, table)
    result = exits(options, tuple(command), descriptors)
    page = stat_page(options, result)
    if options["output"] is None:
        tell(page)
    elif not written(options["output"], page):
        return FAILED_STATUS
    if result.exit.signal is not None:
        from rvperf.render.signals import signal_name

        tell(f"{command[0]}: {signal_name(result.exit.signal)}\n")
    return result.exit.code or 0


def check_stat(options, command) -> None:
    if not command:
        raise Usage("\n", None)
    if options["engine"] not in ("native", "reference"):
        engine = options["engine"]
        raise Mistake(virtual_options.unknown(engine, ("native", "reference"), "engine"))
    if options["vcpu"] not in (None, 0, -1):
        raise Mistake(f" Error: there is no vcpu {options['vcpu']}, only 0\n")
    if command[0] in ("record", "report", "live"):
        message = f" Error: rvperf doesn't have perf's `kvm stat {command[0]}' yet; `rvperf kvm"
        raise Mistake(f"{message} stat PROGRAM' runs and reports at once\n")


def exits(options, command, descriptors):
    from rvperf.session import Workload, virtual

    gc.freeze()
    gc.enable()
    workload = Workload(
        argv=command,
        sysroot=options["sysroot"] or os.environ.get("RVPERF_SYSROOT") or None,
        allow_write=options["allow_write"],
        env=dict(os.environ),
        engine=options["engine"],
        timeout_ns=None,
        verbose=options["verbose"],
        descriptors=descriptors,
    )
    return virtual.exits(workload, virtual_options.machine(options))


def stat_page(options, result) -> str:
    from rvperf.render import kvm

    event, keys = options["event"], options["key"]
    if options["json_output"]:
        return kvm.json_lines(result, event, keys)
    if options["field_separator"] is not None:
        return kvm.csv(result, options["field_separator"], event, keys)
    return kvm.text(result, event, keys)


def written(path: str, text: str) -> bool:
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        return True
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        tell(f"failed to create output file {path}: {why}\n")
        return False


# --- kvm compare

COMPARE_OPTIONS = (
    Option("", "vpmu", "designs to compare: all, or names separated by commas; list explains them",
           "text", "all|design,...", tuple(virtual_options.DESIGNS), virtual_options.designs),
    VERBOSE,
    Option("", "svg", "draw one overflow under each design, step by step", "text", "file"),
    SEPARATOR,
    Option("j", "json-output", "print figures in JSON format"),
    *MACHINE,
)  # fmt: skip


def compare(words: list[str]) -> int:
    """Run a record or stat under each design, and set what it took side by side."""
    descriptors = standard()
    try:
        options, inner = parse(COMPARE_OPTIONS, words)
        if explained := virtual_options.explained(options):
            say(explained)
            return 0
        if not inner:
            raise Usage("\n", None)
        if inner[0] not in ("record", "stat"):
            raise Mistake(virtual_options.unknown(inner[0], ("record", "stat"), "command"))
    except Usage as mistake:
        return tell_mistake(mistake, COMPARE_SYNOPSIS, COMPARE_OPTIONS)
    from importlib import import_module

    its = import_module(f"rvperf.cli.{inner[0]}")
    quiet = os.open(os.devnull, os.O_RDWR)
    try:
        request = request_of(its, inner[1:], (quiet, quiet, descriptors[2]))
    except Usage as mistake:
        return tell_mistake(mistake, its.SYNOPSIS, its.OPTIONS)
    results = compared(options, request)
    if options["svg"] is not None:
        from rvperf.render import lanes

        if not written(options["svg"], lanes.svg(results)):
            return FAILED_STATUS
    say(compare_page(options, results))
    return next((result.exit.code for result in results if result.exit.code), 0)


def request_of(its, words, descriptors):
    """What the inner command line asks of the session. Raises Usage.

    The programs run with nothing to read and nobody to print for, and nothing is kept of them.
    """
    options, command = parse(its.OPTIONS, words)
    if options["vm"]:
        raise Mistake(" Error: kvm compare makes the VMs; what they are like comes before "
                      "record or stat\n")  # fmt: skip
    if options["output"] is not None:
        raise Mistake(" Error: kvm compare keeps no output of record or stat\n")
    found = its.check(options, command)
    if its.__name__.endswith("stat"):
        events = its.wanted(options)
        return its.request_of(options, tuple(command), events, descriptors, _unprinted)
    options["output"], options["buildid"] = os.devnull, False
    return its.request_of(options, tuple(command), found, descriptors, words)


def _unprinted(interval) -> None:
    """perf reads what -I asks for, and nobody sees it."""


def compared(options, request):
    from rvperf.session import designs

    machines = tuple(virtual_options.machine(options, design) for design in options["vpmu"])
    operations = bool(options["verbose"] or options["svg"])
    return designs.compare(request, machines, operations)


def compare_page(options, results) -> str:
    from rvperf.render import compare as page
    from rvperf.render import lanes

    if options["json_output"]:
        return page.json_text(results, bool(options["verbose"]))
    if options["field_separator"] is not None:
        return page.csv(results, options["field_separator"])
    return page.text(results) + (
        lanes.text(results, options["verbose"] == 1) if options["verbose"] else ""
    )


def manual() -> str:
    from rvperf.cli import kvm_run

    return (
        "rvperf-kvm - Trace and measure a virtual machine and what its PMU costs\n\n"
        + usage(SYNOPSIS, OPTIONS)
        + usage(STAT_SYNOPSIS, stat_options())
        + usage(COMPARE_SYNOPSIS, COMPARE_OPTIONS)
        + usage(kvm_run.SYNOPSIS, kvm_run.OPTIONS)
        + MANUAL
    )


MANUAL = """\
 The command is a riscv64 Linux program, which runs in VU-mode under a guest kernel, a hypervisor
 and firmware. `kvm stat` prints its VM exits to stderr, with the time from each to the next entry.
 `kvm record` samples from the host, the guest by default, into perf.data.guest, perf.data.host or
 perf.data.kvm. `kvm compare` runs a record or stat in the guest once for each design. perf inside
 the guest alone: `rvperf stat --vm` and `rvperf record --vm`. `kvm run` has perf in several guests
 and in the host at the same time; each quoted line is what it would be alone. `kvm explain` runs
 and explains one scenario at a time.

    rvperf kvm stat --event=csr --vpmu trap ./program
    rvperf kvm --host record ./program
    rvperf kvm --host report
    rvperf kvm compare -- record -e instructions -c 1000000 -- ./program
    rvperf kvm run --guest "record -c 1000000 -- ./program" --host "stat -e cycles:G,cycles:H -I 10"
"""
