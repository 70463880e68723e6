"""`rvperf script` prints what stock perf prints of the same file, byte for byte."""

import os
import subprocess
import sys

import pytest

from rvperf.perfdata.reader import Reader
from rvperf.perfdata.writer import EventSpec, Writer
from tests.oracles.perf import perf
from tests.perfdata import files
from tests.render import scripted

EVERYWHERE = (
    "",
    "-F comm,tid,pid,time,cpu,event,ip,sym,dso,symoff,period",
    "-D",
)
CASES = {
    "one-event": (
        "-G", "-F ip,sym", "-F +misc,-dso", "-F +flags --ns", "-F +srcline", "-F ip,sym,srccode",
        "-F ip,sym,srcline --full-source-path", "--reltime", "--deltatime", "-L", "-S fib",
        "-S fib,main -v", "-S 0x101f0", "--dsos recurse", "--dsos none", "-c prog", "-c other",
        "--pid 10", "--pid 1,2", "--time 10%-30%", "--time ,0.00002", "--time 10%/2,10%/4",
        "--time 0.00001,0.00002", "--time 50%", "--header", "--header-only", "-I --header",
        "-F sw:ip", "-F hw:", "-F hw:ip -F trace:ip", "-F symoff", "-F time,srcline", "-F +addr",
        "-F +foo", "-F ip,+sym", "-F zz:ip", "-F sym", "--reltime --deltatime", "--time nonsense",
        "-C 0", "-F +trace", "-F comm,dso",
    ),
    "cpus": ("-C 1,3", "-C 9", "-C 0-2", "-C x", "-F +cpu -L"),
    "several-events": ("-F sw:ip,sym -F hw:comm", "-F +addr", "-F raw:ip,sym"),
    "callchains": (
        "-G", "--max-stack 2", "--max-stack 0", "--stop-bt fib", "-F -ip", "-F -sym,-symoff",
        "-F ip,sym,srcline", "-F comm,ip", "--no-inline", "-L", "-F event,trace,ip",
    ),
    "branches": ("-F +brstack", "-F +brstacksym,-dso", "-F +brstacksym", "-F comm,brstack"),
    "memory": ("-F -addr,-weight", "-F ip,ins_lat,phys_addr,data_src"),
    "weights": ("-F +addr,+weight,+data_src,+phys_addr",),
    "faults": ("-F +addr", "-F addr,sym", "-F ip,addr,sym,dso,symoff"),
    "modes": ("-F +misc",),
    "tasks": (
        "--show-task-events", "--show-mmap-events --show-task-events -F +misc",
        "--show-switch-events --ns", "--show-namespace-events --show-cgroup-events",
        "--show-lost-events --show-bpf-events", "--show-task-events -C 1,2", "--tid 11,12",
        "--pid 11", "-c kid",
    ),
    "tracepoints": (
        "-F comm,tid,time,event,trace", "-F trace", "-F -trace", "-F trace:trace,ip,sym", "-F +ip",
    ),
    "traced-chains": ("-G", "-F trace:event,ip,sym"),
}  # fmt: skip
PAIRS = [(kind, text) for kind in scripted.KINDS for text in (*EVERYWHERE, *CASES.get(kind, ()))]
OURS_KNOW_MORE = {("registers", "-D")}
"""perf 6.1 calls all of riscv64's registers `unknown`."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Paths by kind, and of a kallsyms."""
    directory = tmp_path_factory.mktemp("script")
    for name in scripted.KINDS:
        scripted.make(name, directory / name)
    (directory / "kallsyms").write_text(scripted.KALLSYMS)
    return directory


def both(rvperf, path, *words):
    """What perf and we print, as (status, output)."""
    theirs = perf("script", "-i", str(path), *words)
    ours = rvperf("script", "-i", str(path), *words)
    return (theirs.returncode, theirs.stdout), (ours.status, ours.out), theirs.stderr, ours.err


@pytest.mark.parametrize("kind, text", PAIRS, ids=[f"{k} {t}" for k, t in PAIRS])
def test_it_prints_what_perf_prints(rvperf, made, kind, text):
    words = [*text.split(), "--kallsyms", str(made / "kallsyms")]
    theirs, ours, _, _ = both(rvperf, made / kind, *words)
    if (kind, text) in OURS_KNOW_MORE:
        names = [line.split()[1] for line in ours[1].splitlines() if line.startswith(".... ")]
        assert {"pc", "ra", "sp", "t6"} <= set(names)
        return
    assert ours == theirs


@pytest.mark.parametrize("text", ["-F +foo", "-F ip,+sym", "-F zz:ip", "-F sw:ip,trace"])
def test_mistakes_in_fields_begin_with_perfs_words(rvperf, made, text):
    theirs, ours, their_words, our_words = both(rvperf, made / "one-event", *text.split())
    assert our_words.splitlines()[0] == their_words.splitlines()[0]
    assert ours[0] == theirs[0] == 129


@pytest.mark.parametrize(
    "text",
    ["-F +addr", "-C 0", "-F symoff", "-F time,srcline", "--time x", "-F +tod", "-F +uregs"],
)
def test_what_cannot_be_shown_is_said_in_perfs_words(rvperf, made, text):
    theirs, ours, their_words, our_words = both(rvperf, made / "one-event", *text.split())
    assert (ours[0], our_words) == (theirs[0], their_words)


@pytest.mark.parametrize("name", ["rec-lua-u", "rec-sqlite-g"])
def test_a_file_of_a_real_machine_gives_what_perf_gives(rvperf, tmp_path, name):
    path = tmp_path / "perf.data"
    with_older_attributes(files.REAL / f"{name}.data", path)
    for words in ((), ("-G",), ("-F", "ip,sym,dso,misc"), ("-D",)):
        theirs, ours, _, _ = both(rvperf, path, *words)
        assert ours == theirs


def with_older_attributes(source, target) -> None:
    """Copy a file; perf 6.1 refuses the larger attributes of its successors."""
    reader = Reader(source)
    features = {k: v for k, v in reader.features.items() if k in ("ARCH", "BUILD_ID", "NRCPUS")}
    events = [EventSpec(event.attr, event.name, event.ids) for event in reader.events]
    for event in events:
        event.attr.size = 128
    with Writer(target, events, features) as file:
        for at, size in zip((8 * reader.starts).tolist(), reader.sizes.tolist(), strict=True):
            file.write(bytes(reader.data[at : at + size]))


@pytest.mark.parametrize("words", [[], ["-F", "ip,sym"], ["-G"]], ids=str)
@pytest.mark.parametrize("kind", scripted.PIPES)
def test_a_pipe_is_read_as_perf_reads_it(tmp_path, kind, words):
    scripted.PIPES[kind](tmp_path / "pipe")
    (tmp_path / "kallsyms").write_text(scripted.KALLSYMS)
    words = ["script", "-i", "-", "--kallsyms", str(tmp_path / "kallsyms"), *words]
    perf("--version")  # skips or fails without one
    out = []
    for program in (["perf"], [sys.executable, "-m", "rvperf.cli"]):
        with (tmp_path / "pipe").open("rb") as file:
            done = subprocess.run(
                [*program, *words],
                stdin=file,
                capture_output=True,
                env=os.environ | {"LC_ALL": "C"},
            )
        out.append((done.returncode, done.stdout))
    assert out[0] == out[1]
    assert out[1][1]


@pytest.mark.parametrize("words", ["", "-F comm,ip", "--show-mmap-events", "-C 0"])
@pytest.mark.parametrize("kind", ["several-events", "tracepoints"])
def test_each_event_has_a_file_of_its_own(tmp_path, kind, words, made):
    file = tmp_path / "perf.data"
    file.write_bytes((made / kind).read_bytes())
    found = []
    for program in (["perf"], [sys.executable, "-m", "rvperf.cli"]):
        if program == ["perf"]:
            perf("--version")  # or there is nothing to compare with
        words_of = [*program, "script", "-i", "perf.data", "--per-event-dump", *words.split()]
        done = subprocess.run(words_of, cwd=tmp_path, capture_output=True)
        dumps = sorted(tmp_path.glob("*.dump"))
        found.append((done.returncode, done.stdout, [(p.name, p.read_bytes()) for p in dumps]))
        for dump in dumps:
            dump.unlink()
    assert found[0] == found[1]


def test_callers_come_out_of_registers_and_stack(rvperf, tmp_path):
    scripted.dwarf(tmp_path / "dwarf")
    done = rvperf("script", "-i", str(tmp_path / "dwarf"), "-F", "ip,sym")
    chain = ["1e6", "fib", "211", "fib", "23d", "put_number.constprop.0"]
    assert done.out.split("\n\n")[0].split() == chain
    kept = rvperf("script", "-i", str(tmp_path / "dwarf"), "-F", "ip,sym", "--max-stack", "1")
    assert kept.out.split("\n\n")[0].split() == ["1e6", "fib"]


def test_instructions_are_riscvs(rvperf, made):
    done = rvperf("script", "-i", str(made / "one-event"), "-F", "ip,insn,insnlen")
    assert done.out.splitlines()[:2] == [
        "            101e6 ilen: 2 insn: c5 67",
        "            101f0 ilen: 2 insn: 22 e0",
    ]


def test_code_between_branches_is_shown(rvperf, made):
    done = rvperf("script", "-i", str(made / "branches"), "-F", "comm,brstackinsn")
    assert "\t000000000001020e\tinsn: ef f0 9f fd             \t# MISPRED" in done.out


@pytest.mark.parametrize("name", ["nosuch", "empty", "text", "."])
def test_what_is_no_perf_data_is_refused_as_perf_does(rvperf, tmp_path, name):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("This is no perf.data, but long enough to be one.\n" * 9)
    theirs, ours, their_words, our_words = both(rvperf, tmp_path / name)
    assert ours == theirs
    if name != ".":
        assert our_words.splitlines()[0] == their_words.splitlines()[0]
    assert len(our_words.splitlines()) == 1


def test_names_are_shown_whatever_bytes_they_are(tmp_path, made):
    data = (made / "one-event").read_bytes().replace(b"prog\0", b"pr\xffg\0")
    (tmp_path / "file").write_bytes(data)
    words = [sys.executable, "-m", "rvperf.cli", "script", "-i", str(tmp_path / "file")]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(words, capture_output=True, env=strict)
    assert done.stdout.startswith(b"            pr\xffg    10 ")
