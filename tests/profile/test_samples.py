"""Samples are attributed as perf attributes them."""

import re
from collections import Counter

import numpy as np
import pytest

from rvperf.perfdata import records
from rvperf.perfdata.reader import Reader
from rvperf.perfdata.records import SampleId, sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer
from rvperf.profile import samples
from rvperf.profile.samples import Profile, same_runs
from tests.oracles.perf import perf
from tests.perfdata import files


def recorded(path, *steps):
    """A file of these steps, a ns apart: records, or (pid, tid, ip) for samples. Read again."""
    attr = files.cycles()
    encode = sample_encoder(attr)
    with Writer(path, [EventSpec(attr, "cycles:u", (1,))]) as file:
        for time, step in enumerate(steps, 1):
            if isinstance(step, tuple):
                pid, tid, ip = step
                file.write(encode(id=1, pid=pid, tid=tid, ip=ip, time=time * 1000, period=1))
            else:
                step.sample_id = SampleId(0, 0, time * 1000, 1)
                file.write(step.encode(attr))
    return Profile(Reader(path))


def mapped(pid, addr, size, pgoff, name):
    return records.Mmap2(pid, pid, addr, size, pgoff, prot=5, flags=2, filename=name, misc=2)


STEPS = {
    "names change": (
        (1, 1, 5), records.Comm(1, 1, "one"), (1, 1, 5), records.Comm(1, 1, "two"), (1, 1, 5),
    ),
    "a map is cut by another": (
        mapped(1, 0x1000, 0x9000, 0x1000, "/a"), (1, 1, 0x5000),
        mapped(1, 0x4000, 0x2000, 0x7000, "/b"),
        (1, 1, 0x3FFF), (1, 1, 0x4000), (1, 1, 0x5FFF), (1, 1, 0x6000), (1, 1, 0xA000),
    ),
    "a fork copies maps": (
        records.Comm(1, 1, "one"), mapped(1, 0x1000, 0x1000, 0, "/a"),
        records.Fork(2, 1, 2, 1, 0), mapped(1, 0x1000, 0x1000, 0, "/b"),
        (1, 1, 0x1000), (2, 2, 0x1000), records.Comm(2, 2, "child", misc=0x2000),
        mapped(2, 0x1000, 0x1000, 0, "/c"), (1, 1, 0x1000), (2, 2, 0x1000),
    ),
    "threads share maps": (
        records.Comm(1, 1, "one"), records.Fork(1, 1, 7, 1, 0),
        mapped(1, 0x1000, 0x1000, 0x2000, "/a"), (1, 7, 0x1010), (1, 8, 0x1010),
        records.Comm(1, 7, "seven"), (1, 7, 0x1010), (1, 1, 0x1010),
    ),
    "no file": (
        mapped(1, 0x1000, 0x1000, 0, "//anon"), mapped(1, 0x3000, 0x1000, 0, "[vdso]"),
        mapped(1, 0x5000, 0x1000, 0, "[heap]"), (1, 1, 0x1004), (1, 1, 0x3004), (1, 1, 0x5004),
        (0, 0, 0x1004),
    ),
}  # fmt: skip


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_comm_and_dso_are_perfs(tmp_path, steps):
    profile = recorded(tmp_path / "a", *steps)
    ours = []
    for s in profile.samples():
        dso = s.frame.dso.name if s.frame.dso else "[unknown]"
        ours.append((s.comm, str(s.thread.tid), f"{s.sample.ip:x}", dso))
    theirs = perf("script", "-i", str(tmp_path / "a"), "-F", "comm,tid,ip,sym,dso", "-v")
    pattern = r"^ *(\S+) +(\d+) +(\w+) \[unknown\] \((.*)\)$"
    assert ours == re.findall(pattern, theirs.stdout, re.MULTILINE)


def test_addresses_are_relative_to_the_file(tmp_path):
    profile = recorded(tmp_path / "a", *STEPS["a map is cut by another"])
    assert [hex(a) for a in profile.address.tolist()] == [
        "0x5000", "0x3fff", "0x7000", "0x8fff", "0x6000", "0xa000",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["rec-lua-u", "rec-sqlite-g"])
def test_rows_are_the_samples_counted(name):
    profile = Profile(Reader(files.REAL / f"{name}.data"))
    keys = ("comm", "dso", "address", "chain")
    rows = profile.aggregate(keys)
    ours = {
        tuple(int(rows.columns[key][i]) for key in keys): (int(rows.count[i]), int(rows.period[i]))
        for i in range(len(rows))
    }
    counted = Counter(
        (profile.comms.index(s.comm), s.frame.dso.index if s.frame.dso else -1, s.frame.address,
         int(profile.chain[s.index]))
        for s in profile.samples()
    )  # fmt: skip
    assert ours == {key: (count, count * 100_000) for key, count in counted.items()}


def test_leader_sampling_counts_each_member(tmp_path):
    from rvperf.perfdata.attr import Attr
    from rvperf.perfdata.records import Reading, ReadValue

    kinds = files.cycles().sample_type | 1 << 4
    attr = Attr(sample_type=kinds, read_format=4 | 8, sample_id_all=1, sample_period=100)
    other = Attr(config=1, sample_type=kinds, read_format=4 | 8, sample_id_all=1)
    encode = sample_encoder(attr)
    events = [EventSpec(attr, "cycles", (1,), 0), EventSpec(other, "instructions", (2,), 0)]
    with Writer(tmp_path / "a", events) as file:
        for time, (first, second) in enumerate([(100, 70), (200, 150), (300, 150)], 1):
            read = Reading([ReadValue(first, 1), ReadValue(second, 2)])
            file.write(encode(id=1, time=time * 1000, period=100, pid=1, tid=1, read=read))
    theirs = perf("script", "-i", str(tmp_path / "a"), "-F", "event,period")
    ours = [(s.event.name, str(s.period)) for s in Profile(Reader(tmp_path / "a")).samples()]
    found = re.findall(r"(\d+) +(\S+):", theirs.stdout)
    assert ours == [(name, period) for period, name in found]
    assert len(ours) == 5


def test_equal_runs_get_equal_numbers():
    words = np.array([1, 2, 3, 1, 2, 3, 1, 2], np.uint64)
    start, length = np.array([0, 3, 6, 0, 1, 5, 2]), np.array([3, 3, 2, 2, 0, 1, 1])
    a, b, c, d, e, f, g = same_runs(words, start, length).tolist()
    assert a == b and c == d and f == g and len({a, c, e, f}) == 4


def test_runs_with_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(samples, "SPREAD", np.uint64(0))
    words = np.array([1, 2, 1], np.uint64)
    assert same_runs(words, np.arange(3), np.ones(3, np.int64)).tolist() == [0, 1, 0]
