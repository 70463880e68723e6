"""`rvperf kvm run`: perf in guests and in the host, at the same time on one set of counters."""

import shlex
import sys

from isa.record import replace
from rvperf.cli import host_options, kvm_files, virtual_options
from rvperf.cli.kvm_script import Unclear, numbers, script
from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, standard, tell
from rvperf.cli.virtual_options import MACHINE, VPMU, Mistake

SYNOPSIS = 'rvperf kvm run [<options>] --guest "{record|stat|list} ... -- <command>" [--host ...]'
POLICIES = ("lazy", "eager", "always")
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
FAILED_STATUS = 255


def number(option: str, least: int = 1):
    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise Mistake(f" Error: option `{option}' expects {least} or more, not `{text}'\n")
        return int(text)

    return convert


def duration(option: str):
    def convert(text: str) -> int:
        digits = text.rstrip("nums")
        unit = text[len(digits) :] or "ns"
        if not digits.isdecimal() or unit not in UNITS or not int(digits):
            what = "a time: 3ms, 500us, 250000"
            raise Mistake(f" Error: option `{option}' expects {what} (ns), not `{text}'\n")
        return int(digits) * UNITS[unit]

    return convert


def policy(text: str) -> str:
    if text not in POLICIES:
        raise Mistake(virtual_options.unknown(text, POLICIES, "policy"))
    return text


OPTIONS = (
    Option("", "guest", "a VM, and what perf does in it: record or stat, its options and a "
           "command; or list (repeatable)", "several", "command line", ()),
    Option("", "host", "what perf does on the host: record, stat or list with its options "
           "(repeatable)",
           "several", "command line", ()),
    replace(VPMU, help=VPMU.help.replace(virtual_options.DEFAULT_DESIGN, "passthrough", 1),
            default="passthrough"),
    *(option for option in MACHINE),
    Option("", "passthrough", "counters that are passed through to a guest, from the first on "
           "(default: 16)", "text", "n", convert=number("passthrough")),
    Option("", "reserve", "counters that the host keeps, from the last on (default: all that are "
           "not passed through)", "text", "n", convert=number("reserve")),
    Option("", "policy", "when counters that are passed through are saved: lazy (another vCPU "
           "comes), eager (the vCPU leaves), always (each exit)", "text", "policy", "lazy", policy),
    Option("", "harts", "harts of the machine (default: 1)", "text", "n", 1, number("harts")),
    Option("", "vcpus", "vCPUs of each VM, each with a kernel and a copy of the program of its own "
           "(default: 1)", "text", "n", 1, number("vcpus")),
    Option("", "slice", "how long a vCPU has a hart that others wait for (default: 3ms)", "text",
           "time", None, duration("slice")),
    Option("", "migrate-every", "each vCPU goes to the next hart so often", "text", "time", 0,
           duration("migrate-every")),
    Option("", "migrate", "a script of what happens, with lines as `3ms vm0/1 1' (to hart 1), `3ms "
           "vm0 reset', destroy, snapshot, restore or counters 8, `3ms hart1 offline' or online",
           "text", "file"),
    Option("", "pin", "a VM, or a vCPU of it, that begins and stays on a hart: vm1=0, vm0/1=2 "
           "(repeatable)", "several", "vm=hart", ()),
    Option("", "without-pmu", "a VM, or a vCPU of it, that gets no counters: vm1, vm0/1 "
           "(repeatable)",
           "several", "vm", ()),
    Option("o", "output", "where the report goes, which is printed otherwise", "text", "file"),
    Option("j", "json", "have the report in JSON format"),
    Option("", "html", "write a page that shows who owned which counter when", "text", "file"),
    Option("", "trace", "write the same for timeline viewers (Chrome's trace events)", "text",
           "file"),
    Option("", "ctf", "write a trace in the Common Trace Format, with each exit, switch and SBI "
           "call", "text", "dir"),
)  # fmt: skip


def run(words: list[str]) -> int:
    descriptors = standard()
    try:
        options, rest = parse(OPTIONS, words)
        if explained := virtual_options.explained(options):
            say(explained)
            return 0
        if rest:
            raise Mistake(f" Error: what is `{rest[0]}'? Programs are --guest's\n")
        if not options["guest"]:
            raise Usage("\n", None)
        asked = options_of(options)
    except Usage as mistake:
        page = "" if isinstance(mistake, Mistake) else usage(SYNOPSIS, OPTIONS, mistake.about)
        tell(mistake.message + page)
        return mistake.status
    try:
        guests = [Inner(text, descriptors) for text in options["guest"]]
        first = next((one for one in guests if one.name != "list"), guests[0])
        hosts = [Inner(text, descriptors, first) for text in options["host"]]
    except Usage as mistake:
        tell(mistake.message)
        return mistake.status
    from rvperf.cli import kvm_live

    if kvm_live.wanted(options):
        return kvm_live.watched(lambda view: together(guests, hosts, asked, options, view))
    return together(guests, hosts, asked, options)


class Inner:
    """A quoted command line, parsed as it would be alone: what it asks for, and what to do with
    what comes of it. A host's, which has no program, is given the first guest that has one. Raises
    Usage."""

    def __init__(self, text: str, descriptors, guest=None):
        from importlib import import_module

        self.side = "--host" if guest else "--guest"
        self.rows = None
        """Of -I, once it is open."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise Mistake(f" Error: {self.side} `{text}': {error}\n") from None
        if not words or words[0] not in ("record", "stat", "list"):
            what = f"{self.side} expects record, stat or list and its options, not `{text}'"
            raise Mistake(f" Error: {what}\n")
        self.name = words[0]
        self.its = its = import_module(f"rvperf.cli.{self.name}")
        words = words[1:]
        table = its.OPTIONS if guest is None else tuple(map(of_hosts, its.OPTIONS))
        try:
            self.options, command = parse(table, words)
        except Usage as mistake:
            text = mistake.message.strip() or f"Usage: {its.SYNOPSIS}"
            raise Mistake(f" {self.side} {self.name}: {text}\n") from None
        if self.options["vm"]:
            raise Mistake(f" Error: {self.side} {self.name}: option `vm' is for a run alone\n")
        if self.name == "list":
            self.checked(command)
            self.command, self.request = ("list",), its.request_of(command)
            self.output = None
            return
        self.command = tuple(command)
        self.request = self.of_guest(words, descriptors) if guest is None else None
        if guest:
            if command:
                what = "the host's perf has no program of its own"
                raise Mistake(f" Error: {self.side} {self.name}: {what}; `{command[0]}'?\n")
            self.request = self.of_host(words, descriptors, guest)
        self.output = None

    def checked(self, command):
        """What the command's own checks give. Raises Usage, one line."""
        try:
            return self.its.check(self.options, command)
        except Usage as mistake:
            message = mistake.message.strip() or "it needs a command"
            raise Mistake(f" {self.side} {self.name}: {message}\n") from None

    def of_guest(self, words, descriptors):
        its, options = self.its, self.options
        found = self.checked(self.command)
        if self.name == "stat":
            if options["repeat"] != 1:
                raise Mistake(" Error: --guest stat: option `repeat' is for a run alone\n")
            self.events = its.wanted(options)
            return its.request_of(options, self.command, self.events, descriptors, self.interval)
        options["output"] = options["output"] or "perf.data"
        return its.request_of(options, self.command, found, descriptors, words)

    def of_host(self, words, descriptors, guest):
        its, options = self.its, self.options
        whom = host_options.targets(options) if self.name == "record" else {}
        found = self.checked(guest.command)
        if self.name == "record":
            options["output"] = options["output"] or "perf.data.kvm"
            options["sysroot"] = options["sysroot"] or guest.options.get("sysroot")
            request = its.request_of(options, guest.command, found, descriptors, words)
            return replace(request, **whom)
        from rvperf.session.host_stat import HostStatRequest

        self.events = its.wanted(options)
        countable = tuple(event for event in self.events if event.countable)
        every = None
        if options["interval_print"]:
            from rvperf.cli import intervals

            every = intervals.every(options, self.interval)
        return HostStatRequest(countable, every, options["pid"])

    # What came of it.

    def open(self) -> bool:
        """Where a stat's counts go; whether it could be opened."""
        if self.name == "stat":
            try:
                self.output = self.its.open_output(self.options)
            except OSError as error:
                tell(f"failed to create output file: {error.strerror}\n")
                return False
            if self.options["interval_clear"] and not self.output.stream.isatty():
                tell("--interval-clear does not work with output\n")
                return False
            if self.options["interval_print"]:
                from rvperf.cli.intervals import Rows

                self.rows = Rows(self.options, self.events, self.output)
        return True

    def show(self, result, destroyed: int | None = None) -> int:
        """Print what the command prints at its end; its exit status. A guest that was `destroyed`
        at a time, in ns, took its perf with it: what that has recorded is kept."""
        if destroyed is not None:
            what = f"{destroyed / 1e6:.6f} ms: the VM was destroyed, and perf {self.name} with it"
            tell(f"{self.command[0]}: {what}\n")
        if self.name == "record":
            return self.recorded(result)
        if self.name == "list":
            self.its.show(self.options, result)
            return 0
        if destroyed is not None:
            self.output.stream.close()
            return ended(self.command, result.exit)
        counted = iter(result.counts)
        shown = replace(
            result,
            counts=tuple(self.its.shown(self.options, event, counted) for event in self.events),
        )
        with self.output:
            if not self.rows or self.options["summary"]:
                self.its.show(self.options, shown, self.output)
        return ended(self.command, shown.exit) if self.side == "--guest" else 0

    def interval(self, interval) -> None:
        """Print a row of -I's, if there is somewhere to print it."""
        if self.rows:
            self.rows.print(interval)

    def recorded(self, result) -> int:
        options = self.options
        self.its.keep_truth(result, self.request.output)
        if not options["quiet"]:
            counted = options["buildid"] and not options["switch_output"]
            tell(self.its.summary(result, bool(self.request.compress), counted))
        if result.full:
            tell(f"failed to write perf data, error: {result.full}\n")
            return FAILED_STATUS
        return ended(self.command, result.exit) if self.side == "--guest" else 0


def of_hosts(option: Option) -> Option:
    """An option as the host's perf has it: -a and -p are there, and CPUs are harts."""
    if option.long == "all-cpus":
        return Option("a", "all-cpus", "system-wide collection from all CPUs")
    if option.long == "pid" and option.short == "p":
        return Option("p", "pid", "the VM to measure: vm0 is the first one's", "text", "vm",
                      convert=host_options.vm_number)  # fmt: skip
    if option.long == "cpu" and option.kind != "missing":
        return replace(option, convert=host_options.cpus)
    return option


def ended(command, exit) -> int:
    """The exit status of how a guest's program ended."""
    if exit.signal is not None:
        from rvperf.render.signals import signal_name

        tell(f"{command[0]}: {signal_name(exit.signal)}\n")
        return 128 + exit.signal
    return exit.code or 0


def options_of(options):
    """What the session is asked for. Raises Usage."""
    from isa.counting import PROGRAMMABLE
    from rvperf.session.joint import JointOptions
    from rvperf.stack.hypervisor.scheduling import SLICE_NS

    machine = virtual_options.machine(options)
    passed, kept = options["passthrough"], options["reserve"]
    counters = machine.counters
    for name in ("passthrough", "reserve"):
        if options[name] is not None and machine.vpmu != "passthrough":
            raise Mistake(f" Error: option `{name}' is for --vpmu passthrough\n")
    if passed is not None:
        if counters is not None and counters != passed:
            raise Mistake(f" Error: --counters {counters}, but --passthrough {passed}\n")
        counters = passed
    if machine.vpmu == "passthrough":
        if counters is None:
            counters = 16 if kept is None else PROGRAMMABLE - kept
        total = counters + (kept or 0)
        if counters < 1:
            left = f"{PROGRAMMABLE} counters - {kept} reserved for the host"
            raise Mistake(f" Error: {left} leave none to pass through\n")
        if total > PROGRAMMABLE:
            raise Mistake(
                f" Error: {counters} counters passed through + {kept or 0} reserved for the host = "
                f"{total}, but a hart has {PROGRAMMABLE}\n"
            )
    return JointOptions(
        machine=replace(machine, counters=counters, policy=options["policy"]),
        reserve=kept,
        harts=options["harts"],
        vcpus=options["vcpus"],
        slice_ns=options["slice"] or SLICE_NS,
        script=script(options["migrate"], duration("migrate"), options["migrate_every"]),
        without_pmu=tuple(map(without_pmu, options["without_pmu"])),
        pinned=tuple(map(pinned, options["pin"])),
    )


def pinned(text: str) -> tuple[int, int | None, int]:
    """A VM or a vCPU of it, and its hart. Raises Usage."""
    name, _, hart = text.partition("=")
    try:
        if not hart.isdecimal():
            raise Unclear
        return *numbers(name), int(hart)
    except Unclear:
        what = f"option `pin' expects a VM or a vCPU and a hart: vm1=0, vm0/1=2, not `{text}'"
        raise Mistake(f" Error: {what}\n") from None


def without_pmu(name: str) -> tuple[int, int | None]:
    """A VM or a vCPU of it. Raises Usage."""
    try:
        return numbers(name)
    except Unclear:
        what = f"option `without-pmu' expects a VM or a vCPU: vm1, vm0/1, not `{name}'"
        raise Mistake(f" Error: {what}\n") from None


def together(guests, hosts, asked, options, view=None) -> int:
    """Run it all, and print what each prints, and the report. `view` is shown it meanwhile."""
    from rvperf.session import SessionError, joint

    if not all(inner.open() for inner in (*guests, *hosts)):
        close(guests, hosts)
        return FAILED_STATUS
    if not kvm_files.can_be_written(options):
        close(guests, hosts)
        return FAILED_STATUS
    try:
        result = joint.run(
            tuple(inner.request for inner in guests),
            tuple(inner.request for inner in hosts),
            asked,
            tell,
            view.watch if view else None,
        )
    except SessionError as error:
        tell(error.message.rstrip() + "\n")
        close(guests, hosts)
        return error.exit_code
    if view:
        view.last(result.report)
    sys.stdout.flush()
    statuses = [
        inner.show(each, result.destroyed.get(number))
        for number, (inner, each) in enumerate(zip(guests, result.guests, strict=True))
    ]
    statuses += [inner.show(each) for inner, each in zip(hosts, result.hosts, strict=True)]
    kvm_files.write(options, result)
    if options["output"] is None:
        say(kvm_files.report(result, options))
    return next(filter(None, statuses), 0)


def close(guests, hosts) -> None:
    """Nothing will be printed: give back where it would have gone."""
    for inner in (*guests, *hosts):
        if inner.output:
            inner.output.stream.close()
