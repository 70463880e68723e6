"""riscv64 programs to ask about, made once a test run by the cross compiler."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.oracles.perf import absent

HERE = Path(__file__).parent
SCRATCH = tempfile.TemporaryDirectory()  # goes when the tests are done


def tool(name: str) -> str:
    """A cross tool's path; without it the test is skipped, in CI it fails."""
    path = shutil.which(f"riscv64-linux-gnu-{name}")
    return path or absent(f"there is no riscv64-linux-gnu-{name}")


@functools.cache
def compiled(source: str, *options: str, compiler: str = "gcc") -> str:
    """The path of a program made of a source file beside this one."""
    made = Path(tempfile.mkdtemp(dir=SCRATCH.name), "it")
    subprocess.run([tool(compiler), *options, str(HERE / source), "-o", str(made)], check=True)
    return str(made)


def output(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    return done.stdout
