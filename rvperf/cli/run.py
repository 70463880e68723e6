"""`rvperf run`: run a bare-metal program on the hart."""

from rvperf.cli.options import INVALID_STATUS, Option, Usage, parse, usage
from rvperf.cli.streams import say, standard, tell

SYNOPSIS = "rvperf run --bios <file> [<options>]"
TIMED_OUT_STATUS = 124
"""Exit status of a program that has not ended in time: what timeout(1) gives."""
MOST = 255  # that an exit status can say
ENGINES = ("native", "reference")


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise Usage(" Error: option `timeout' expects a number of seconds\n", ("timeout",))
    return value


def engine(name: str) -> str:
    if name not in ENGINES:
        message = f" Error: option `engine' is one of {', '.join(ENGINES)}, not {name}\n"
        raise Usage(message, ("engine",))
    return name


OPTIONS = (
    Option("", "bios", "the program: an ELF file for riscv64, started in M-mode", "text", "file"),
    Option("", "isa", "extensions of the hart, as rv64gch_sscofpmf (default: all)", "text", "isa"),
    Option(
        "",
        "timeout",
        "end after so many seconds of emulated time, with status 124",
        "text",
        "seconds",
        convert=seconds,
    ),
    Option(
        "",
        "engine",
        "native code, or the definitions themselves (slow)",
        "text",
        "native|reference",
        default="native",
        convert=engine,
    ),
)


def run(words: list[str]) -> int:
    from isa.strings import IsaStringError, extensions_of, ratified

    try:
        options, rest = parse(OPTIONS, words)
        if rest or not options["bios"]:
            raise Usage("" if rest else " Error: --bios is missing\n", None)
        extensions = ratified() if options["isa"] is None else extensions_of(options["isa"])
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    except IsaStringError as error:
        tell(f"{error}\n")
        return INVALID_STATUS
    return bare(options, extensions)


def bare(options, extensions) -> int:
    """Run the program of --bios: its status as an exit status."""
    from rvperf.session.bare import BareWorkload, TimedOut
    from rvperf.session.bare import run as run_bare

    path, timeout = options["bios"], options["timeout"]
    workload = BareWorkload(
        path=path,
        extensions=extensions,
        write=write,
        engine=options["engine"],
        timeout_ns=None if timeout is None else int(timeout * 1e9),
    )
    standard()
    try:
        ended = run_bare(workload)
    except TimedOut as late:
        tell(f"{late} after {timeout:g} s of emulated time\n")
        return TIMED_OUT_STATUS
    if ended.code:
        what = f"failed: {ended.code}" if ended.word is None else f"failed: test {ended.code}"
        tell(f"{path}: {what}\n")
    return min(ended.code, MOST)


def write(descriptor: int, data: bytes) -> None:
    """Print what the program writes to descriptor 1 or 2."""
    text = data.decode("utf-8", "surrogateescape")
    if descriptor == 1:
        say(text)
    else:
        tell(text)


def manual() -> str:
    return (
        "rvperf-run - Run a bare-metal program on the hart\n\n" + usage(SYNOPSIS, OPTIONS) + MANUAL
    )


MANUAL = """\
 The program gets a hart and its RAM, 8 GiB from 0x80000000, and no devices. It is loaded to its
 physical addresses and started at its entry in M-mode, with 0 in a0 (the hart's number) and a1 (no
 device tree). It ends by a store to its symbol `tohost`: 1 is success, and an odd number that the
 test of half that number failed, which becomes the exit status (255 if it is larger). It prints by
 HTIF's system call `write`, or its terminal. An ecall in M-mode that is SBI's system reset ends it,
 too, and so does SBI's legacy shutdown as long as mtvec is 0: other ecalls are the program's own.

 Physical memory protection has 16 entries, of whole pages. As long as the program sets none, S-mode
 and U-mode have no access to memory.

 The exit status is 124 after --timeout, and 255 for a file that can't be run, or if nothing but
 traps ever happens.

    rvperf run --bios rv64ui-p-add
    rvperf run --isa rv64gc --timeout 1 --bios rv64mi-p-csr
"""
