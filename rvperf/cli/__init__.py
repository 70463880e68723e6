"""The `rvperf` command. One module a command; each is imported only when it is asked for, so that
`rvperf --help` doesn't pay for the machine."""

import gc
import os
import sys

import rvperf
from rvperf.cli.streams import WriteFailure, say, tell

PROGRAM = "rvperf"

# Name: its module here, and what the list of commands says of it (perf's own words).
COMMANDS = {
    "annotate": "Read perf.data (created by perf record) and display annotated code",
    "buildid-list": "List the buildids in a perf.data file",
    "diff": "Read perf.data files and display the differential profile",
    "evlist": "List the event names in a perf.data file",
    "kvm": "Tool to trace/measure kvm guest os",
    "list": "List all symbolic event types",
    "record": "Run a command and record its profile into perf.data",
    "report": "Read perf.data (created by perf record) and display the profile",
    "run": "Run a bare-metal program on the hart",
    "script": "Read perf.data (created by perf record) and display trace output",
    "stat": "Run a command and gather performance counter statistics",
}
BUILT_IN = {
    "help": "Show help for rvperf or for one of its commands",
    "version": "Display the version of rvperf binary",
}
SYNOPSIS = f"{PROGRAM} [--version] [--help] COMMAND [ARGS]"


def console() -> None:
    """Run this process's command line and end: the console entry point.

    All is flushed and closed by then, and the process's memory goes at once. To let Python free
    it piece by piece would take a tenth of a short run. So would looking for garbage among what
    is being imported; a command that works for longer turns the collector on again. Nor does
    anything here multiply matrices: threads that numpy's OpenBLAS starts would only wait, busily.
    (The programs that record and stat run inherit this environment.)
    """
    gc.disable()
    if sys.argv[1:2] not in (["record"], ["stat"]):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    status = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)


def main(words: list[str] | None = None) -> int:
    """Run one command line, the process's own if none is given, and give its exit status."""
    try:
        return carry_out(sys.argv[1:] if words is None else words)
    except BrokenPipeError:
        return 128 + 13  # whoever read us has gone: end as SIGPIPE would have ended perf
    except WriteFailure as failure:
        tell(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + 2
    except Exception as error:
        # Only a command that measures imports the session, so only then can this be its error.
        session = sys.modules.get("rvperf.session")
        if session is None or not isinstance(error, session.SessionError):
            raise
        tell(f"{error.message}\n")
        return error.exit_code


def carry_out(words: list[str]) -> int:
    # Not `run`: that is a command, and its module becomes an attribute of this package.
    if not words:
        say(commands_page())
        return 1
    first, *rest = words
    if first in ("--help", "-h"):
        first, rest = "help", rest
    elif first in ("--version", "-v"):
        first, rest = "version", []
    elif first == "--list-cmds":
        say(" ".join(sorted({**COMMANDS, **BUILT_IN})) + "\n")
        return 0
    elif first.startswith("-"):
        tell(f"Unknown option: {first}\n\n Usage: {SYNOPSIS}\n")
        return 129
    if first in COMMANDS and rest[:1] == ["--help"]:
        first, rest = "help", [first]
    if first == "help":
        return help_on(rest)
    if first == "version":
        say(f"{PROGRAM} version {rvperf.__version__}\n")
        return 0
    if first in COMMANDS:
        return command(first).run(rest)
    return unknown(first)


def command(name: str):
    """The module of a command: `run(words)` gives its exit status, `manual()` its help."""
    from importlib import import_module

    return import_module(f"rvperf.cli.{name.replace('-', '_')}")


def commands_page() -> str:
    lines = [f"   {name:<15} {sentence}" for name, sentence in all_commands()]
    return (
        f"\n usage: {SYNOPSIS}\n\n"
        f" The {PROGRAM} commands are:\n" + "\n".join(lines) + "\n\n"
        f" See '{PROGRAM} help COMMAND' for more information on a specific command.\n\n"
    )


def all_commands() -> list[tuple[str, str]]:
    return sorted({**COMMANDS, **BUILT_IN}.items())


def help_on(words: list[str]) -> int:
    if not words or words[0] in BUILT_IN:
        say(commands_page())
        return 0
    if words[0] not in COMMANDS:
        return unknown(words[0])
    say(command(words[0]).manual())
    return 0


def unknown(name: str) -> int:
    from difflib import get_close_matches

    message = f"{PROGRAM}: '{name}' is not a {PROGRAM}-command. See '{PROGRAM} --help'.\n"
    close = get_close_matches(name, {**COMMANDS, **BUILT_IN})
    if close:
        message += "\nDid you mean this?\n" + "".join(f"\t{found}\n" for found in close)
    tell(message)
    return 1
