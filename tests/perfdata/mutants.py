"""Damaged perf.data files: each is read in full, or refused with a PerfDataError."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random

from rvperf.cli import carry_out
from rvperf.perfdata.reader import PerfDataError, Reader
from rvperf.profile.samples import Profile
from rvperf.render.header import evlist, header
from tests.perfdata import files


def originals(directory: Path) -> list[bytes]:
    """Files of each kind, to be damaged."""
    kinds = [
        {},
        {"leader": 0, "extra": "CALLCHAIN|CPU", "chain": (2**64 - 512, 1, 2)},
        {"compress": 1},
        {"pipe": True},
    ]
    made = []
    for number, options in enumerate(kinds):
        files.write(directory / f"{number}", **options)
        made.append((directory / f"{number}").read_bytes())
    return [*made, (files.REAL / "rec-sqlite-g.data").read_bytes()[:20_000]]


def damaged(data: bytes, random: Random) -> bytes:
    """A copy with some bytes, words or its length changed; the beginning oftener than the rest."""
    data = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(min(len(data), random.choice((104, 700, len(data)))))
        change = random.randrange(4)
        if change == 0:
            data[at] = random.randrange(256)
        elif change == 1:
            value = random.choice((0, 1, 2**16 - 1, 2**32 - 1, 2**63, 2**64 - 1, len(data)))
            data[at & ~7 : (at & ~7) + 8] = value.to_bytes(8, "little")
        elif change == 2:
            del data[at : at + random.randint(1, 40)]
        elif len(data) > 200:
            del data[random.randrange(100, len(data)) :]
    return bytes(data)


def read_all(path: Path) -> bool:
    """Do with a file all that commands do; False if it was refused."""
    try:
        reader = Reader(path)
    except PerfDataError as error:
        assert error.message
        return False
    header(reader, True)
    evlist(reader, verbose=True)
    for _ in reader.records():
        pass
    profile = Profile(reader)
    for resolved in profile.samples():
        resolved.chain  # noqa: B018
    profile.aggregate(("event", "comm", "dso", "address", "chain"))
    return True


def show(path: Path) -> None:
    """Let the commands print it: they succeed, or end as perf does where it can't go on."""
    for command in (["report", "--stdio"], ["script"]):
        out, said = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(said):
            status = carry_out([*command, "-i", str(path)])
        assert status in (0, 255), f"{command}: {status}"
        assert status == 0 or said.getvalue(), f"{command} says nothing"


def fuzz_files(directory: Path, count: int, seed: int) -> int:
    """Read so many damaged files; how many could be read."""
    sources = originals(directory)
    read = 0
    for number in range(seed, seed + count):
        random = Random(number)
        path = directory / "damaged"
        path.write_bytes(damaged(random.choice(sources), random))
        try:
            read += read_all(path)
            show(path)
        except Exception as error:
            raise AssertionError(f"file of seed {number}") from error
    return read
