"""What a short run pays before and after its program."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HELLO = str(ROOT / "samples" / "hello")

DEAR = {
    "argparse", "ast", "asyncio", "dataclasses", "datetime", "email", "hashlib", "inspect", "json",
    "llvmlite", "pathlib", "pickle", "rich", "shutil", "subprocess", "tempfile", "threading",
    "typer", "typing",
}  # fmt: skip
"""Modules that take milliseconds to import, and that counting a short program needs none of."""


def imported(*words) -> set[str]:
    """The modules that one command imports. It runs twice: the first fills the engine's cache."""
    program = (
        "import sys; from rvperf.cli import main; main(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr)"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_a_short_run_imports_nothing_dear():
    assert not imported("stat", "-e", "instructions:u", "--", HELLO) & DEAR


def test_help_and_list_import_no_machine():
    for words in (["--help"], ["list"]):
        modules = imported(*words)
        assert not modules & DEAR
        assert not {
            name for name in modules if name.startswith(("rvperf.machine", "rvperf.engine"))
        }


def test_the_entry_point_ends_with_all_that_was_written(tmp_path):
    program = "from rvperf.cli import console; console()"
    command = [sys.executable, "-c", program, "stat", "-j", "-e", "instructions:u", "--"]
    done = subprocess.run([*command, HELLO], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert '"event" : "instructions:u"' in done.stderr
    assert (
        subprocess.run([*command, tmp_path / "nothing"], cwd=ROOT, capture_output=True).returncode
        == 255
    )
