"""What works from an installed wheel, in another directory and without a clone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from rvperf.cli.kvm_explain import SCENARIOS
from tests.oracles.perf import absent

ROOT = Path(__file__).parent.parent.parent
PARTS = ("pyproject.toml", "README.md", "LICENSE", "build_ahead.py", "rvperf", "isa")
"""What a wheel is made of."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Run Python where the wheel's content is, and no clone: what a program prints."""
    source, home = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("home")
    for name in PARTS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "tier0.bin")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(home), str(source)]
    built = subprocess.run(wheel, capture_output=True, text=True)
    if built.returncode:
        absent(f"no wheel can be built: {built.stderr[-2000:]}")
    (path,) = home.glob("*.whl")
    where = tmp_path_factory.mktemp("site")
    ZipFile(path).extractall(where)

    def run(program: str, *words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(where), "HOME": str(home)}
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=home, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert run("import rvperf; print(rvperf.__file__)").startswith(str(where))
    return run


def test_every_scenario_of_explain_runs(installed):
    program = """
import sys
from rvperf.cli import main
for name in sys.argv[1:]:
    assert main(["kvm", "explain", name]) == 0
"""
    text = installed(program, *SCENARIOS)
    for name, scenario in SCENARIOS.items():
        assert f" {name}: " in text and scenario.what in text
    assert text.count("Who has the counters") == len(SCENARIOS) and "there was none" not in text
