"""Oracles: programs that we did not write and that say what is right."""

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("RVPERF_TEST_CACHE") or Path.home() / ".cache/rvperf-tests")
"""Where oracles keep what is costly to make; never inside the repository."""


def need(missing: str | None) -> None:
    """Skip the test when an oracle is missing (`missing` says why); in CI, fail it."""
    if missing is None:
        return
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(missing)
    pytest.fail(f"CI must have every oracle: {missing}", pytrace=False)
