"""`kvm run`: exact call chains, branch records and truth of guests that share harts."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from rvperf.cli import main
from rvperf.profile.truth import of
from tests.oracles.perf import perf

SAMPLES = Path(__file__).parent.parent / "samples"
SORT, RECURSE = (f"-- {SAMPLES / name}" for name in ("sort", "recurse"))
EVERY = "record -e instructions:u -c 50021"
SHARED = {
    "in turns": ["--slice", "500us"],
    "migrating": ["--harts", "2", "--migrate-every", "300us"],
}


@pytest.fixture
def kvm_run(tmp_path, monkeypatch, capfd):
    """Run guests: the report as JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*guests, options=()):
        words = [word for guest in guests for word in ("--guest", guest)]
        assert main(["kvm", "run", "--json", *words, *options]) == 0
        out, _ = capfd.readouterr()
        return json.loads(out[out.index("{\n") :])

    return run


WHERE = re.compile(r"(0x[0-9a-f]+)/(0x[0-9a-f]+)/")


def stacks(path: str) -> Counter:
    """How often stock perf shows each (ip, call chain, branches from and to). Which branches were
    mispredicted, and their cycles, depend on who had the predictor before."""
    text = perf("script", "-i", path, "-F", "ip,brstack").stdout
    found = []
    for block in text.split("\n\n" if "\n\n" in text.strip() else "\n"):
        ips = [line.split()[0] for line in block.splitlines() if line.strip()]
        if ips:
            found.append((tuple(ips), tuple(WHERE.findall(block))))
    return Counter(found)


@pytest.mark.parametrize("shared", SHARED.values(), ids=SHARED)
def test_stacks_are_those_of_each_guest_alone(kvm_run, shared):
    """Two run the same program at the same addresses, and each wants something else."""
    asked = {
        "exact": f"{EVERY} --call-graph exact -o %s.exact {RECURSE}",
        "lbr": f"{EVERY} --call-graph lbr -o %s.lbr {SORT}",
        "any": f"{EVERY} -b -o %s.any {SORT}",
        "calls": f"{EVERY} -j any_call,u -o %s.calls {RECURSE}",
    }
    for guest in asked.values():
        kvm_run(guest % "alone")
    nothing = f"stat -e instructions:u -o /dev/null {SORT}"
    report = kvm_run(nothing, *(guest % "shared" for guest in asked.values()), options=shared)
    assert report["switches"] > 8
    for name in asked:
        alone = stacks(f"alone.{name}")
        assert stacks(f"shared.{name}") == alone
        assert max(len(ips) + len(branches) for ips, branches in alone) > 3


@pytest.mark.parametrize("shared", SHARED.values(), ids=SHARED)
def test_exact_counts_are_those_of_each_guest_alone(kvm_run, shared):
    """By address, though both run the same program. Cycles aren't: there is one predictor."""
    record = "record -e instructions:u,branches:u -c 50021 --truth -o %s"
    kvm_run(f"{record % 'alone'} {SORT}")
    report = kvm_run(
        f"{record % 'one'} {SORT}", f"{record % 'other'} {SORT}", options=["--vcpus", "2", *shared]
    )
    assert report["switches"] > 8
    expected = of("alone").events
    assert sum(sum(counts.values()) for counts in expected["instructions:u"].values()) > 2_000_000
    assert of("one").events == of("other").events == expected
