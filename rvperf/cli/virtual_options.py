"""The options that make a virtual machine, and what their words mean: declared once, read by stat,
record and kvm."""

from isa.record import Record
from rvperf.cli.options import Option, Usage

DESIGNS = {
    "trap": "the guest's driver accesses counter CSRs; each access traps and the host emulates it",
    "sbi": "the guest's driver makes SBI calls, and the host serves them with perf events",
    "snapshot": "as sbi, and counts come back in memory that guest and host share (SBI snapshot)",
    "deleg": "as snapshot, the host's own driver on Ssccfg, overflow interrupts straight to VS",
    "mediated": "the guest has the whole PMU while it runs; each exit and entry switches all of it",
    "passthrough": "the guest owns the first counters and their interrupt; the host keeps the rest",
}
DEFAULT_DESIGN = "snapshot"
MOST_COUNTERS = 29


class Mistake(Usage):
    """A word that is wrong: one line says so, and no usage page follows."""

    def __init__(self, message: str):
        super().__init__(message, ())


def named(known, what: str):
    """A converter that takes one of the known names, or `list`."""

    def convert(text: str) -> str:
        if text not in known and text != "list":
            raise Mistake(unknown(text, known, what))
        return text

    return convert


def quirk(text: str) -> str:
    return named(quirks(), "quirk")(text)


def quirks() -> dict[str, str]:
    """Known deviations of the real software, each with what it does."""
    from rvperf.stack.hypervisor.vpmu.designs import QUIRKS

    return QUIRKS


def unknown(text: str, known, what: str) -> str:
    """One line: there is no such thing, and what was meant or what there is."""
    from difflib import get_close_matches

    close = get_close_matches(text, known, 1, 0.5)
    there = f"did you mean `{close[0]}'?" if close else f"there are {', '.join(known)}"
    return f" Error: there is no {what} `{text}'; {there}\n"


def designs(text: str) -> tuple[str, ...]:
    """`all`, or names of designs separated by commas."""
    if text in ("all", "list"):
        return tuple(DESIGNS) if text == "all" else ("list",)
    convert = named(DESIGNS, "design")
    chosen = tuple(dict.fromkeys(convert(name) for name in text.split(",")))
    return ("list",) if "list" in chosen else chosen


def counters(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_COUNTERS:
        message = f" Error: option `counters' expects a number from 1 to {MOST_COUNTERS}"
        raise Mistake(f"{message}, not `{text}'\n")
    return int(text)


def switches(option: str):
    def convert(text: str) -> int:
        if not text.isdecimal():
            raise Mistake(f" Error: option `{option}' expects 0 or more, not `{text}'\n")
        return int(text)

    return convert


def isa(text: str) -> frozenset[str]:
    """The optional extensions that an ISA string names."""
    from isa.strings import IsaStringError, extensions_of

    try:
        found = extensions_of(text)
    except IsaStringError as error:
        raise Mistake(f" Error: {error}\n") from None
    if "H" not in found:
        raise Mistake(f" Error: a virtual machine needs the extension h, not in `{text}'\n")
    return found


VM = Option("", "vm", "run the program, and perf, in a virtual machine")
VPMU = Option(
    "", "vpmu", f"how the VM gets its counters (default: {DEFAULT_DESIGN}): {', '.join(DESIGNS)}, "
    "or list to have them explained", "text", "design", convert=named(DESIGNS, "design"),
)  # fmt: skip
MACHINE = (
    Option("", "counters", f"counters that the guest gets (1-{MOST_COUNTERS}; default: the "
           "design's)", "text", "n", convert=counters),
    Option("", "quirk", "be as wrong as real software is known to be; list explains (repeatable)",
           "several", "name", (), quirk),
    Option("", "isa", "what extensions the hart has: rv64gch_sscofpmf_smcdeleg and the like "
           "(default: all)", "text", "string", convert=isa),
    Option("", "guest-switches", "times that the guest's scheduler takes the program off the vCPU "
           "and puts it back", "text", "n", 0, switches("guest-switches")),
    Option("", "host-switches", "times that the host's scheduler takes the vCPU off the hart and "
           "puts it back", "text", "n", 0, switches("host-switches")),
)  # fmt: skip
OPTIONS = (VM, VPMU, *MACHINE)


def explained(options) -> str:
    """What `list` asks for in place of a name; empty if nothing does."""
    text = ""
    if "list" in (options["vpmu"] or ()) or options["vpmu"] == "list":
        text += listing(DESIGNS)
    if "list" in options["quirk"]:
        text += listing(quirks())
    return text


def listing(table: dict[str, str]) -> str:
    from textwrap import wrap

    width = max(map(len, table)) + 3
    lines = []
    for name, sentence in table.items():
        first, *more = wrap(sentence, 80 - width)
        lines += [f" {name:<{width - 1}}{first}", *(f"{'':{width}}{line}" for line in more)]
    return "\n".join(lines) + "\n"


def check(options) -> None:
    """Options of a VM are for one. Raises Mistake."""
    if options["vm"]:
        return
    for option in (VPMU, *MACHINE):
        if options[option.key] != option.default:
            raise Mistake(f" Error: option `{option.long}' needs --vm\n")


def machine(options, vpmu: str | None = None):
    """The session's VmOptions for these options, or None where no VM was asked for."""
    if not options.get("vm", True):
        return None
    from rvperf.session.virtual import VmOptions

    return VmOptions(
        vpmu=vpmu or options["vpmu"] or DEFAULT_DESIGN,
        counters=options["counters"],
        quirks=frozenset(options["quirk"]),
        switches=options["guest_switches"],
        host_switches=options["host_switches"],
        isa=options["isa"],
    )


class Sides(Record):
    """Whose code `perf kvm` is about: --host and --guest."""

    host: bool = False
    guest: bool = True
    file: str | None = None
    """The file that was asked for."""

    @property
    def path(self) -> str:
        """The file; perf's name for it if none was asked for."""
        if self.file:
            return self.file
        if self.host:
            return "perf.data.kvm" if self.guest else "perf.data.host"
        return "perf.data.guest"


SIDES = (
    Option("", "guest", "Collect guest os data", default=None),
    Option("", "host", "Collect host os data", default=None),
)

GUEST_SYMBOLS = (
    Option("", "guestmount", "guest mount directory under which every guest os instance has a "
           "subdir", "text", "directory"),
    Option("", "guestvmlinux", "file saving guest os vmlinux", "text", "file"),
    Option("", "guestkallsyms", "file saving guest os /proc/kallsyms", "text", "file"),
    Option("", "guestmodules", "file saving guest os /proc/modules", "text", "file"),
    Option("", "guest-code", "Guest code can be found in hypervisor process"),
)  # fmt: skip


def sides(before: Sides, options: dict) -> Sides:
    """What later options make of it; without the host there is only the guest."""
    host = before.host if options["host"] is None else bool(options["host"])
    guest = before.guest if options["guest"] is None else bool(options["guest"])
    return Sides(host, guest or not host, before.file)
