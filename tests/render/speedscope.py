"""speedscope as an oracle: its schema, which is kept here, and itself, out of its npm package."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.oracles.perf import absent

SCHEMA = Path(__file__).parent.parent / "data" / "speedscope" / "file-format-schema.json"
"""From speedscope 1.25.0, (c) 2018 Jamie Wong, under the MIT licence beside it."""
PACKAGE = "speedscope@1.25.0"


def schema() -> dict:
    return json.loads(SCHEMA.read_text())


def application(directory: Path) -> Path:
    """The page of speedscope, unpacked into a directory. Skips (in CI: fails) without it."""
    if shutil.which("npm") is None:
        absent("there is no npm to get speedscope with")
    done = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=directory, capture_output=True, text=True,
        env={**os.environ, "npm_config_cache": str(directory / "cache")}, check=False,
    )  # fmt: skip
    if done.returncode:
        absent(f"npm can't get {PACKAGE}: {done.stderr[-500:]}")
    archive = directory / done.stdout.split()[-1]
    shutil.unpack_archive(archive, directory, filter="data")
    return directory / "package" / "dist" / "release" / "index.html"


def loading(name: str, data: bytes) -> str:
    """A script that hands a file to the page, as speedscope's own command line does it."""
    content = base64.b64encode(data).decode()
    return f"speedscope.loadFileFromBase64({json.dumps(name)}, {json.dumps(content)})"
