"""`rvperf kvm explain`: one scenario of guests and host on one set of counters, from a run on the
spot."""

import os
import struct
import tempfile
from pathlib import Path

from isa.record import Record
from rvperf.cli import kvm_run, virtual_options
from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, tell

SYNOPSIS = "rvperf kvm explain [<scenario>|list]"
OPTIONS = (Option("v", "verbose", "each CSR access as a step of its own"),)
PROGRAM = """
    li   a0, {turns}
    addi sp, sp, -64
again:
    sd   a0, 0(sp)
    ld   a1, 0(sp)
    addi a0, a0, -1
    bnez a0, again
    li   a7, 93
    ecall
"""
"""What guests run: a loop, and exit(0)."""
TURNS = 60_000
BASE = 0x10000
SAMPLE = "record -q -B -e instructions:u -c 50000 -o /dev/null -- {program}"
COUNT = "stat -o /dev/null -e instructions:u -- {program}"
HOST_SAMPLE = "record -q -B -e instructions:GH -c 70000 -o /dev/null"


class Scenario(Record):
    """`words` are `kvm run`'s, with a program to be filled in. `shows` is a kind of session.steps's
    stretches, and `what` the line above it."""

    about: str
    words: tuple[str, ...]
    shows: str
    what: str


SCENARIOS = {
    "single": Scenario(
        "one vCPU has a hart for itself: nothing is saved",
        ("--passthrough", "2", "--guest", SAMPLE),
        "guest overflow",
        "One overflow of the guest's",
    ),
    "two": Scenario(
        "two vCPUs take turns on one hart: a save and a restore for each change",
        ("--passthrough", "2", "--slice", "100us", "--guest", SAMPLE, "--guest", SAMPLE),
        "save",
        "One change of owner",
    ),
    "migration": Scenario(
        "a vCPU goes to another hart: saved there, and then it runs",
        ("--passthrough", "2", "--harts", "2", "--migrate-every", "150us", "--guest", SAMPLE),
        "move",
        "One migration",
    ),
    "together": Scenario(
        "host and guest sample at the same time, undisturbed by each other",
        ("--passthrough", "2", "--guest", SAMPLE, "--host", HOST_SAMPLE),
        "host overflow",
        "One overflow of the host's",
    ),
    "shlcofideleg": Scenario(
        "the guest gets all overflow interrupts, the host loses samples",
        ("--vpmu", "deleg", "--guest", COUNT, "--host", HOST_SAMPLE),
        "guest overflow",
        "One overflow of the host's",
    ),
}


def run(words: list[str]) -> int:
    try:
        options, rest = parse(OPTIONS, words)
        if len(rest) > 1:
            raise virtual_options.Mistake(" Error: one scenario at a time\n")
        name = rest[0] if rest else "list"
        if name == "list":
            width = max(map(len, SCENARIOS))
            say("".join(f"  {name:<{width}}  {one.about}\n" for name, one in SCENARIOS.items()))
            return 0
        if name not in SCENARIOS:
            raise virtual_options.Mistake(virtual_options.unknown(name, SCENARIOS, "scenario"))
    except Usage as mistake:
        about = not isinstance(mistake, virtual_options.Mistake)
        tell(mistake.message + (usage(SYNOPSIS, OPTIONS, mistake.about) if about else ""))
        return mistake.status
    return explain(name, bool(options["verbose"]))


def explain(name: str, verbose: bool) -> int:
    from rvperf.render import explain as page
    from rvperf.session import SessionError

    scenario = SCENARIOS[name]
    try:
        report, steps = made(scenario)
    except SessionError as error:
        tell(error.message.rstrip() + "\n")
        return error.exit_code
    words = [shown(word) for word in scenario.words]
    say(page.text(name, scenario.about, words, scenario.what, report, steps, not verbose))
    return 0


def shown(word: str) -> str:
    """As one would type it."""
    return f'"{word.format(program="./loop")}"' if " " in word else word


def made(scenario: Scenario):
    """A run: its report, and the steps to show. SessionError."""
    from rvperf.session.joint import Joint
    from rvperf.session.steps import Steps

    with tempfile.TemporaryDirectory(prefix="rvperf-") as directory:
        program = Path(directory, "loop")
        program.write_bytes(elf())
        program.chmod(0o755)
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            words = [word.format(program=program) for word in scenario.words]
            options, _ = parse(kvm_run.OPTIONS, words)
            asked = kvm_run.options_of(options)
            descriptors = (nowhere, nowhere, nowhere)
            guests = [kvm_run.Inner(text, descriptors) for text in options["guest"]]
            hosts = [kvm_run.Inner(text, descriptors, guests[0]) for text in options["host"]]
            requests = [tuple(one.request for one in side) for side in (guests, hosts)]
            joint = Joint(*requests, asked, lambda text: None)
            steps = Steps(joint, scenario.shows)
            return joint.run().report, steps.found
        finally:
            os.close(nowhere)


def elf() -> bytes:
    """The program as an ELF file: a header, a segment with all of it, code."""
    from isa.assembly import program

    headers = 64 + 56
    code = program(PROGRAM.format(turns=TURNS), BASE + headers)
    size = headers + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 243, 1, BASE + headers, 64, 0, 5, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 4096)
    return ident + header + segment + code
