"""perf.data files are read as perf reads them."""

import os
import re
from random import Random

import pytest

from rvperf.perfdata import reader as reader_module
from rvperf.perfdata import records
from rvperf.perfdata.reader import PerfDataError, Reader
from rvperf.perfdata.records import sample_encoder
from rvperf.perfdata.writer import EventSpec, Writer
from tests.oracles.perf import perf
from tests.perfdata import files

VARIANTS = {
    "file": {},
    "compressed": {"compress": 3},
    "pipe": {"pipe": True},
    "compressed pipe": {"pipe": True, "compress": 1},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_what_was_written_is_read(tmp_path, options):
    files.write(tmp_path / "a", **options)
    reader = Reader(tmp_path / "a")
    samples = [record for _, record in reader.records() if record.name == "SAMPLE"]
    assert [(s.ip, s.time, s.id, s.event.name) for s in samples[:3]] == [
        (0x10000, 200, 1, "cycles:u"),
        (0x10004, 201, 2, "fw_set_timer"),
        (0x10008, 202, 1, "cycles:u"),
    ]
    assert len(samples) == len(reader.columns()) == 20
    assert reader.columns().ip.tolist() == [s.ip for s in samples]
    assert reader.warnings == []


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_perf_reads_the_same_samples(tmp_path, options):
    files.write(tmp_path / "a", **options)
    theirs = perf("script", "-i", str(tmp_path / "a"), "-F", "tid,ip,event,period", "--ns")
    ours = [
        (str(s.tid), str(s.period), s.event.name, f"{s.ip:x}")
        for _, s in Reader(tmp_path / "a").records()
        if s.name == "SAMPLE"
    ]
    pattern = r"^ *(\d+) +(\d+) +(\S+): +(\S+)"
    assert re.findall(pattern, theirs.stdout, re.MULTILINE) == ours


@pytest.mark.parametrize("name", ["rec-lua-u", "rec-sqlite-g"])
def test_a_real_file_has_as_many_samples_as_its_perf_said(name):
    reader = Reader(files.REAL / f"{name}.data")
    assert len(reader.columns()) == {"rec-lua-u": 1118, "rec-sqlite-g": 1343}[name]
    assert reader.events[0].name == "instructions:u"
    assert reader.warnings == []


def test_records_in_rounds_come_in_order_of_time(tmp_path):
    attr = files.cycles()
    encode = sample_encoder(attr)
    times = [[5, 3, 9], [4, 12, 10], [11, 2, 20]]
    with Writer(tmp_path / "a", [EventSpec(attr, "cycles:u", (1,))]) as file:
        for part in times:
            for time in part:
                file.write(encode(id=1, tid=1, pid=1, time=time * 10**9))
            file.round()
    theirs = perf("script", "-i", str(tmp_path / "a"), "-F", "time")
    ours = [s.time // 10**9 for _, s in Reader(tmp_path / "a").records() if s.name == "SAMPLE"]
    assert ours == [int(line.split(".")[0]) for line in theirs.stdout.split()]


@pytest.mark.parametrize("alike", [1, 60])
@pytest.mark.parametrize("seed", range(12))
def test_records_are_found_whatever_they_hold(tmp_path, monkeypatch, seed, alike):
    """Samples of any length, up to so many of one, with words in them that look like a sample's
    header."""
    sizes = {"LANES": 7, "LANE": 64, "SYNCHRONISE": 32, "RUN": 4, "LONGEST_RUN": 16}
    for name, value in sizes.items():
        monkeypatch.setattr(reader_module, name, value)
    random = Random(seed)
    attr = files.cycles("CALLCHAIN")
    encode = sample_encoder(attr)
    header = 9 | 2 << 32 | 48 << 48
    with Writer(tmp_path / "a", [EventSpec(attr, "cycles:u", (1,))]) as file:
        left = 0
        for time in range(1, 3000):
            if not left:
                depth, left = random.randrange(9), random.randint(1, alike)
            left -= 1
            chain = random.choices((header, 5, 2**64 - 512), (seed, 40, 40), k=depth)
            file.write(encode(id=1, tid=1, pid=1, time=time, callchain=chain))
            if not left and not random.randrange(30 // alike + 1):
                data = records.TracingData(16).encode() + header.to_bytes(8, "little") * 2
                file.write(random.choice((records.FinishedRound().encode(), data)))
    reader = Reader(tmp_path / "a")
    assert reader.columns().time.tolist() == list(range(1, 3000))
    assert reader.warnings == []


def test_a_cut_file_gives_what_is_there(tmp_path):
    files.write(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    reader = Reader(tmp_path / "a")
    assert 0 < len(reader.columns()) < 20
    assert "truncated" in reader.warnings[0]


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x7fELF" * 40, b"2ELIFREP" + bytes(96), b"PERFILE2" + b"\xff" * 96]
)
def test_what_is_no_perf_data_is_one_error(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(PerfDataError):
        Reader(tmp_path / "a")


def test_a_missing_file_is_told_as_perf_tells_it(tmp_path):
    with pytest.raises(PerfDataError) as caught:
        Reader(tmp_path / "a")
    theirs = perf("evlist", "-i", str(tmp_path / "a"))
    assert (caught.value.message + "\n", caught.value.status) == (
        theirs.stderr,
        theirs.returncode % 256,
    )


def test_a_killed_writer_leaves_a_file_that_opens(tmp_path):
    attr = files.cycles()
    writer = Writer(tmp_path / "a", [EventSpec(attr, "cycles:u", (1,))])
    writer.write(sample_encoder(attr)(id=1, time=1))
    writer.flush()
    assert len(Reader(tmp_path / "a").columns()) == 1
    assert perf("script", "-i", str(tmp_path / "a"), "-F", "time").returncode == 0
    writer.close()


def test_a_file_is_private_and_the_old_one_is_kept(tmp_path):
    (tmp_path / "a").write_text("old")
    files.write(tmp_path / "a")
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o600
    assert (tmp_path / "a.old").read_text() == "old"
