"""`kvm run` on a terminal: what it shows while it runs, how it is ended, what it prints then."""

import subprocess
import sys
from pathlib import Path

import pytest

from rvperf.cli import kvm_explain
from tests.render.terminal import terminal

SAMPLES = Path(__file__).parent.parent.parent / "samples"
RVPERF = [sys.executable, "-m", "rvperf.cli", "kvm", "run"]
TURNS = 2_000_000_000
"""Of a guest that goes on for as long as anybody looks."""
SIZES = [(80, 24), (160, 50)]


@pytest.fixture
def endless(tmp_path, monkeypatch):
    monkeypatch.setattr(kvm_explain, "TURNS", TURNS)
    path = tmp_path / "endless"
    path.write_bytes(kvm_explain.elf())
    path.chmod(0o755)
    return path


def run(program, tmp_path, size, *words):
    """In a VM with perf stat, and with the host's perf beside it."""
    guest = ["--guest", f"stat -e instructions:u -- {program}"]
    host = ["--host", "stat -e cycles:G", "--passthrough", "6", "--reserve", "4"]
    return terminal([*RVPERF, *guest, *host, *words], *size, tmp_path)


def strip_of(lines: list[str], name: str) -> str:
    (found,) = {line.split()[1] for line in lines if line.split()[:1] == [name]}
    return found


def value(lines: list[str], event: str) -> int:
    """0 if it isn't there now."""
    found = [line.partition(event)[0].split()[-1:] for line in lines if event in line]
    return int(found[0][0].replace(",", "")) if found and found[0] else 0


@pytest.mark.parametrize("size", SIZES)
def test_both_sides_the_strip_and_totals_are_on_the_screen(endless, tmp_path, size):
    with run(endless, tmp_path, size) as view:
        view.shows("instructions:u")
        view.shows(" exits ")  # which is the last that is drawn
        lines = view.lines
        assert lines[0].startswith(" rvperf kvm run: passthrough, lazy") and "runs" in lines[0]
        middle = lines[1].index("│")
        assert (lines[1][:middle].split(), lines[1][middle + 1 :].split()) == (["Host"], ["Guests"])
        assert "cycles:G" in "".join(line[:middle] for line in lines[:10])
        assert "vm0 stat: " in lines[2][middle:]
        free, host = ("9-27", "0,2,28-30") if size == (80, 24) else ("20", "29")
        assert set(strip_of(lines, free)) == {"."} and set(strip_of(lines, host)) == {"h"}
        assert set(strip_of(lines, "31")) == {"H"}
        assert set(strip_of(lines, "3-8" if size == (80, 24) else "8")) == {"0"}
        assert lines[-2].startswith(" exits ") and "SBI calls guest" in lines[-2]
        assert lines[-1].startswith(" q ")
        assert len(view.screen.display) == size[1]


def test_counts_move_while_it_runs(endless, tmp_path):
    with run(endless, tmp_path, (80, 24)) as view:
        for event in ("instructions:u", "cycles:G"):
            view.shows(event)
            before = value(view.lines, event)
            view.read(lambda e=event, n=before: value(view.lines, e) > n)
            assert value(view.lines, event) > before


@pytest.mark.parametrize("key", ["q", "\x03", "\x1b"], ids=["q", "ctrl-c", "escape"])
def test_a_key_ends_the_run_as_an_interrupt_does_and_results_are_printed(endless, tmp_path, key):
    with run(endless, tmp_path, (80, 24), "--html", "k.html") as view:
        view.shows("instructions:u")
        view.type(key)
        assert view.ended() == 128 + 2
        printed = view.printed
        assert f"Performance counter stats for '{endless}'" in printed
        assert "Performance counter stats for 'system wide'" in printed
        assert f"{endless}: Interrupt\n" in printed
        assert "\n Counters\n" in printed
        assert not {"Traceback", "Error"} & set(printed.split())
    assert (tmp_path / "k.html").exists()


def test_a_run_that_has_ended_stays_on_the_screen_until_q(tmp_path):
    with run(f"{SAMPLES / 'args'} one two", tmp_path, (80, 24)) as view:
        view.shows("has ended")
        view.shows("instructions:u")
        last = value(view.lines, "instructions:u")
        view.type("q")
        assert view.ended() == 3
        assert f"{last} " in view.printed.replace(",", "")


def test_what_programs_print_comes_after_the_view(tmp_path):
    with run(SAMPLES / "hello", tmp_path, (80, 24)) as view:
        view.shows("has ended")
        assert not any(line.strip() == "hello" for line in view.lines)
        view.type("q")
        assert view.ended() == 0
        assert view.printed.splitlines().count("hello") == 1


def test_an_interrupt_before_the_view_is_left_to_the_run(tmp_path):
    """The terminal has sent it to both: a second one would kill the guest."""
    program = """
import signal, sys
from rvperf.cli import kvm_live
from rvperf.render import joint_live

class Interrupted:
    def __init__(self, *given):
        pass

    def run(self):
        raise KeyboardInterrupt

def work(sender):
    signal.signal(signal.SIGINT, lambda *given: sys.exit("interrupted again"))
    print("what there was")
    return 130

joint_live.Live = Interrupted
sys.exit(kvm_live.watched(work))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "what there was\n", "")


def test_a_mistake_is_told_without_a_view(tmp_path):
    with terminal([*RVPERF, "--guest", "stat -- ./nothing"], 80, 24, tmp_path) as view:
        assert view.ended() != 0
        assert b"nothing" in view.output and b"Traceback" not in view.output


def test_a_dumb_terminal_gets_the_report_alone(tmp_path, monkeypatch):
    words = ["env", "TERM=dumb", *RVPERF, "--guest", f"stat -- {SAMPLES / 'hello'}"]
    with terminal(words, 80, 24, tmp_path) as view:
        assert view.ended() == 0
        assert b"\x1b[?1049h" not in view.output and b"Counters" in view.output
