"""The shadow call stack tells what the programs themselves know: each says at its probes who has
called whom. The engines keep the same, at whatever instruction they are stopped."""

import bisect
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from rvperf.machine.calls import BOTTOM
from tests.oracles import need
from tests.recorded import Run

HERE = Path(__file__).parent
PROGRAMS = (
    "recursion",
    "mutual",
    "tail",
    "longjumps",
    "signals",
    "elsewhere",
    "jump_out",
    "jump_out_of_stack",
    "jump_out_of_high_stack",
    "threads",
    "forks",
    "exceptions",
)
programs = pytest.mark.parametrize("program", PROGRAMS)
STOPS = 200


class Binary:
    """A program with its functions' names."""

    def __init__(self, path):
        self.path = path
        text = subprocess.run(
            ["riscv64-linux-gnu-nm", "-n", path], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split() for line in text.splitlines()]
        functions = sorted((int(row[0], 16), row[2]) for row in rows if row[1] in "tTwW")
        self.addresses = [address for address, _ in functions]
        self.names = [name for _, name in functions]
        self.probe = self.addresses[self.names.index("probe")]

    def name(self, pc: int) -> str:
        return self.names[bisect.bisect_right(self.addresses, pc) - 1]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """(arguments, Binary) of a program."""
    made = tmp_path_factory.mktemp("calls")
    built: dict[str, Binary] = {}

    def build(program):
        source = "exceptions.cc" if program == "exceptions" else "calls.c"
        compiler = f"riscv64-linux-gnu-{'g++' if source.endswith('.cc') else 'gcc'}"
        need(None if shutil.which(compiler) else f"not installed: {compiler}")
        if source not in built:
            path = made / source.partition(".")[0]
            subprocess.run(
                [compiler, "-O2", "-static", "-pthread", "-w", "-o", path, HERE / source],
                check=True,
            )
            built[source] = Binary(path)
        return [built[source].path, program], built[source]

    return build


def chain(run: Run, binary: Binary) -> list[str]:
    """The names of the callers of what the hart executes."""
    trampoline = run.kernel.current.memory.sigreturn_address
    found = run.hart.call_stack()
    names = []
    for n, back in enumerate(found):
        # After the trampoline comes the interrupted pc; the others lie behind a call.
        interrupted = n and found[n - 1] == trampoline
        names.append(
            "TRAMPOLINE" if back == trampoline else binary.name(back if interrupted else back - 1)
        )
    return names


def agrees(names: list[str], truth: list[str]) -> bool:
    """Whether the names begin as the program says; `...` stands for any number of them."""
    if not truth:
        return True
    if truth[0] == "...":
        return any(agrees(names[skip:], truth[1:]) for skip in range(len(names)))
    return names[:1] == truth[:1] and agrees(names[1:], truth[1:])


def entries(run: Run) -> tuple:
    """All that the shadow stack holds, and who it is of."""
    calls = run.hart.calls
    words = calls.stack.words[4 * (BOTTOM + 1) : 4 * calls.top].tolist()
    return run.kernel.current.tid, run.hart.pc, words


@pytest.fixture(scope="module")
def reference(build, tmp_path_factory):
    """By program: the instructions after which a probe is reached, what was found there, and
    what the stack held at these and some random instructions."""
    known = {}

    def reference(program):
        if program not in known:
            argv, binary = build(program)
            run = Run(argv, HERE, lambda hart: hart.record_calls(kept=16), "reference")
            probes = list(run.visits(binary.probe, lambda: observed(run, binary)))
            random = Random(program)
            last = run.user_instructions()
            stops = {at for at, *_ in probes} | {random.randrange(last) for _ in range(STOPS)}
            known[program] = probes, sorted(stops)
        return known[program]

    return reference


def observed(run: Run, binary: Binary) -> tuple[list[str], list[str]]:
    """(the callers of the probe, what the program says that they are)."""
    truth = run.kernel.current.memory.read_string(run.hart.x[10], 200)
    return chain(run, binary), truth.decode().split()


@programs
def test_the_stack_is_what_the_program_says(program, reference):
    probes, _ = reference(program)
    assert len(probes) >= 6
    for at, (names, truth) in probes:
        assert agrees(names, truth), f"after {at}: {names}"


@programs
def test_native_code_keeps_the_same_stack(program, build, reference):
    _, stops = reference(program)
    argv, _ = build(program)
    runs = oracle, tier0, native = [
        Run(argv, HERE, lambda hart: hart.record_calls(kept=16), engine)
        for engine in ("reference", "tier 0", "native")
    ]
    # Unwinding has so much hot code that compiling all of it takes long.
    native.engine.threshold[0] = 300 if program == "exceptions" else 25
    for n, stop in enumerate(stops):
        for run in runs:
            run.to(stop)
        found = entries(oracle)
        assert entries(tier0) == found and entries(native) == found, f"after {stop}"
        if n == len(stops) // 2:
            native.compile()
    assert native.regions.known, "nothing was compiled"
    for run in runs:
        run.end()


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_stack_before_an_instruction_that_stops_the_hart(engine, build, reference):
    """Whatever instruction a stop is reached on, calls and returns too, the stack is as the one
    that was there before it."""
    argv, _ = build("recursion")
    runs = one, other = [Run(argv, HERE, lambda hart: hart.record_calls(), engine) for _ in "ab"]
    first = reference("recursion")[0][3][0]
    for at in range(first, first + 300):
        one.to(at)
        before = one.hart.pc, one.hart.call_stack()
        other.hart.stop_after({"instructions": at + 1 - other.user_instructions()})
        other.to(at + 1)
        assert (other.hart.before[32], other.hart.call_stack(before=True)) == before
    for run in runs:
        run.end()


def test_native_samples_have_the_stack(build, reference):
    """What native code puts into its samples is what there was before each of them."""
    argv, _ = build("mutual")  # which has no system calls: those would be Python's samples
    oracle, native = [
        Run(argv, HERE, lambda hart: hart.record_calls(), engine)
        for engine in ("reference", "native")
    ]
    first, period, samples = reference("mutual")[0][3][0], 7, 200
    for run in (oracle, native):
        run.to(first)
    native.hart.capture.configure({"instructions": period}, "exact", 5)
    native.hart.stop_after({"instructions": period})
    native.to(first + period * samples)
    taken = [addresses for _, _, addresses in native.hart.capture.drain()]
    assert len(taken) == samples
    for n, addresses in enumerate(taken, 1):
        oracle.to(first + period * n - 1)
        assert addresses == (oracle.hart.pc, *oracle.hart.call_stack(4))
    for run in (oracle, native):
        run.end()
