"""Recordings to ask questions of: made in this process, read back from the file."""

import os
from pathlib import Path

from rvperf.events import parse_events
from rvperf.perfdata import records
from rvperf.perfdata.reader import Reader
from rvperf.session import Workload
from rvperf.session.attributes import How
from rvperf.session.record import RecordRequest, RecordResult, record

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | {
    name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME") if name in os.environ
}


def recorded(
    output: Path,
    events: str,
    program,
    engine="native",
    build_ids="table",
    build_id_directory=None,
    **how,
) -> RecordResult:
    """Record a program (a name of samples/ or a path) with its arguments."""
    name, *arguments = program if isinstance(program, tuple) else (program,)
    path = name if os.path.isabs(str(name)) else SAMPLES / name
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        workload = Workload(
            argv=(str(path), *arguments),
            sysroot=None,
            allow_write=(),
            env=ENV,
            engine=engine,
            descriptors=(nowhere, nowhere, nowhere),
        )
        request = RecordRequest(
            workload, parse_events(events, sampling=True), How(**how), ("rvperf", "record"),
            str(output), build_ids=build_ids, build_id_directory=build_id_directory,
        )  # fmt: skip
        return record(request)
    finally:
        os.close(nowhere)


def samples_of(path: Path) -> list[tuple[str, records.Sample]]:
    """(event name, sample) in the file's order."""
    reader = Reader(str(path))
    by_id = {number: event for event in reader.events for number in event.ids}
    only = reader.events[0]
    return [
        (by_id.get(sample.id, only).name, sample)
        for number, sample in reader.records()
        if isinstance(sample, records.Sample)
    ]
