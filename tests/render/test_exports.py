"""Other tools take the exports, and see in them what was recorded."""

import gzip
import json
import shutil
import subprocess
import sys
from random import Random

import pytest

from rvperf.perfdata.reader import PerfDataError, Reader
from rvperf.profile.samples import Profile
from rvperf.render.export import FORMATS, export, exported
from rvperf.render.folded import folded
from tests.oracles.perf import absent
from tests.perfdata import files
from tests.perfdata.mutants import damaged, originals
from tests.render.speedscope import schema
from tests.render.told import profile, stacks

SAMPLES = (
    "prog main;work>hash", "prog main;work>hash", "prog main;read;k:entry;k:sys_read",
    "helper/11/1 run;work", "prog main;read", "helper/11/1 run;weird; name 7", "prog/10/1/1 main",
)  # fmt: skip
EVENTS = ("cycles", "page-faults")


@pytest.fixture
def made(tmp_path) -> Profile:
    return profile(tmp_path / "perf.data", SAMPLES, events=EVENTS)


def test_folded_stacks_are_weighted_and_marked(tmp_path):
    samples = ["prog main;work>hash", "prog main;k:entry", "prog main;work>hash", "prog main;a b"]
    assert folded(stacks(tmp_path / "a", samples, period=5)) == (
        "prog;main;a b 5\nprog;main;entry_[k] 5\nprog;main;work;hash_[i] 10\n"
    )


def test_a_name_has_no_separator_in_folded_stacks(tmp_path):
    made = stacks(tmp_path / "a", ["prog main;x"])
    made.functions[0].__dict__["name"] = "f(a; b)"
    assert folded(made) == "prog;main;f(a: b) 1000\n"


def test_gprof2dot_takes_folded_stacks(made):
    done = subprocess.run(
        [sys.executable, "-m", "gprof2dot", "-f", "collapse", "-n0", "-e0"],
        input=exported(made, "folded"), capture_output=True, check=False,
    )  # fmt: skip
    graph = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    # Of six cycles samples four are in main, and two of them in the inlined hash.
    assert "main\\n66.67%\\n(0.00%)" in graph
    assert "hash_[i]\\n33.33%\\n(33.33%)" in graph


def test_speedscope_files_are_valid(made):
    import jsonschema

    content = json.loads(exported(made, "speedscope"))
    jsonschema.validate(content, schema())
    told = [(one["name"], one["endValue"], one["weights"]) for one in content["profiles"]]
    assert told == [
        ("cycles prog 10/10", 4000, [2000, 1000, 1000]),
        ("cycles helper 10/11", 2000, [1000, 1000]),
        ("page-faults prog 10/10", 1000, [1000]),
    ]
    names = [frame["name"] for frame in content["shared"]["frames"]]
    first = content["profiles"][0]["samples"]
    assert [[names[n] for n in stack] for stack in first] == [
        ["main", "work", "hash [inlined]"],
        ["main", "read", "entry [kernel]", "sys_read [kernel]"],
        ["main", "read"],
    ]


def test_pprof_files_decode(made):
    """By protoc, which knows nothing of the fields' meaning."""
    if shutil.which("protoc") is None:
        absent("there is no protoc")
    data = gzip.decompress(exported(made, "pprof"))
    done = subprocess.run(["protoc", "--decode_raw"], input=data, capture_output=True, check=True)
    text = done.stdout.decode()
    for string in ("cycles", "count", "hash", "/src/h.c", "sys_read", "/bin/prog", "tid", "helper"):
        assert f'6: "{string}"' in text
    assert text.count("\n2 {") + text.startswith("2 {") == 5  # different stacks by thread
    assert f'6: "{files.BUILD_ID.hex()}"' in text


def test_pprof_files_have_no_date(made):
    assert exported(made, "pprof")[4:8] == bytes(4)


def test_firefox_tables_agree(made):
    content = json.loads(exported(made, "firefox"))
    assert content["meta"]["preprocessedProfileVersion"] == 48
    assert [thread["name"] for thread in content["threads"]] == ["prog", "helper"]
    for thread in content["threads"]:
        for name, table in thread.items():
            if isinstance(table, dict) and "length" in table:
                columns = [column for column in table.values() if isinstance(column, list)]
                assert {len(column) for column in columns} <= {table["length"]}, name
        calls = thread["stackTable"]
        assert all(prefix is None or prefix < n for n, prefix in enumerate(calls["prefix"]))
        assert set(calls["frame"]) <= set(range(thread["frameTable"]["length"]))
        assert set(thread["frameTable"]["func"]) <= set(range(thread["funcTable"]["length"]))
        assert set(thread["funcTable"]["resource"]) <= set(range(thread["resourceTable"]["length"]))
        assert set(thread["resourceTable"]["lib"]) <= set(range(len(content["libs"])))
        assert sum(thread["samples"]["weight"]) == {"prog": 4000, "helper": 2000}[thread["name"]]


def firefox_stack(content, thread, sample):
    """The names of a sample's stack, outermost first, and their categories."""
    tables = content["threads"][thread]
    found, at = [], tables["samples"]["stack"][sample]
    while at is not None:
        function = tables["frameTable"]["func"][tables["stackTable"]["frame"][at]]
        name = tables["stringArray"][tables["funcTable"]["name"][function]]
        category = content["meta"]["categories"][tables["stackTable"]["category"][at]]["name"]
        found.append((name, category))
        at = tables["stackTable"]["prefix"][at]
    return found[::-1]


def test_firefox_stacks_are_those_recorded(made):
    content = json.loads(exported(made, "firefox"))
    assert firefox_stack(content, 0, 0) == [
        ("main", "User"), ("work", "User"), ("hash", "Inlined"),
    ]  # fmt: skip
    assert firefox_stack(content, 0, 2) == [
        ("main", "User"), ("read", "User"), ("entry", "Kernel"), ("sys_read", "Kernel"),
    ]  # fmt: skip


def test_chrome_profiles_hold_each_sample(made):
    events = json.loads(exported(made, "chrome"))["traceEvents"]
    assert [event["args"]["name"] for event in events if event["name"] == "thread_name"] == [
        "prog", "helper",
    ]  # fmt: skip
    chunks = [event["args"]["data"] for event in events if event["name"] == "ProfileChunk"]
    starts = [event["args"]["data"] for event in events if event["name"] == "Profile"]
    assert [start["startTime"] for start in starts] == [1000, 1003]
    assert [chunk["timeDeltas"] for chunk in chunks] == [[0, 1, 1, 2], [0, 2]]
    nodes = {node["id"]: node for node in chunks[0]["cpuProfile"]["nodes"]}
    found = []
    for sample in chunks[0]["cpuProfile"]["samples"]:
        names = []
        while sample is not None:
            names.append(nodes[sample]["callFrame"]["functionName"])
            sample = nodes[sample].get("parent")
        found.append(names[::-1])
    assert found == [
        ["(root)", "main", "work", "hash [inlined]"],
        ["(root)", "main", "work", "hash [inlined]"],
        ["(root)", "main", "read", "entry [kernel]", "sys_read [kernel]"],
        ["(root)", "main", "read"],
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_exports_are_the_same_every_time(made, format):
    again = Profile(Reader(made.reader.path), made.symbols)
    assert exported(made, format) == exported(again, format)


@pytest.mark.parametrize("format", FORMATS)
def test_any_event_can_be_chosen(made, format):
    assert exported(made, format, "page-faults") != exported(made, format, "cycles")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("samples", [[], ["prog main"]], ids=["nothing", "one sample"])
def test_little_is_exported_too(tmp_path, format, samples):
    assert exported(profile(tmp_path / "a", samples), format) is not None


@pytest.mark.parametrize("name", ["rec-lua-u.data", "rec-sqlite-g.data"])
@pytest.mark.parametrize("format", FORMATS)
def test_what_a_real_machine_recorded_is_exported(name, format):
    assert len(exported(Profile(Reader(files.REAL / name)), format)) > 50


def test_damaged_files_are_exported_as_far_as_they_go(tmp_path):
    path, random, read = tmp_path / "damaged", Random(3), 0
    for original in originals(tmp_path) * 6:
        path.write_bytes(damaged(original, random))
        try:
            made = Profile(Reader(path))
        except PerfDataError:
            continue
        read += 1
        for format in FORMATS:
            exported(made, format)
    assert read > 10


def test_a_file_is_whole_or_not_there(made, tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.write_text("before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError):
        export(made, None, "folded", str(target))
    assert target.read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "perf.data"]
