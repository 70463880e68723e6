"""The Firefox Profiler's processed profile format, in JSON (https://profiler.firefox.com).

It is the format's version 48 (docs-developer/CHANGELOG-formats.md of firefox-devtools/profiler);
the front end brings older ones up to date itself. Each thread has tables of its own.
"""

import numpy as np

from rvperf.perfdata.distinct import distinct
from rvperf.render.long_json import numbers, written
from rvperf.render.pprof import Strings, encodable
from rvperf.render.speedscope import first_seen, source_files
from rvperf.render.stacks import Stacks

VERSION, GECKO_VERSION = 48, 29
CATEGORIES = (("Other", "grey"), ("User", "yellow"), ("Kernel", "blue"), ("Inlined", "green"))
OTHER, USER, KERNEL, INLINED = range(len(CATEGORIES))
LIBRARY = 1
"""A resource's type."""


def firefox(stacks: Stacks) -> bytes:
    """The samples of an event, weighted by period; ms since its first sample."""
    start = int(stacks.time.min()) if len(stacks) else 0
    span = int(stacks.time.max()) - start if len(stacks) else 0
    features = stacks.profile.reader.features
    libs = Libraries()
    files = source_files(stacks)
    threads = tuple(thread(stacks, one, start, libs, files) for one in first_seen(stacks.thread))
    return written(
        {
            "meta": {
                "version": GECKO_VERSION,
                "preprocessedProfileVersion": VERSION,
                "interval": span / 1e6 / max(1, len(stacks) - 1) or 1,
                "startTime": 0,
                "processType": 0,
                "product": encodable(" ".join(features.get("CMDLINE", ())) or "perf.data"),
                "importedFrom": "rvperf",
                "oscpu": encodable(features.get("CPUDESC") or features.get("ARCH") or "riscv64"),
                "stackwalk": 1,
                "debug": False,
                "symbolicated": True,
                "categories": [
                    {"name": name, "color": colour, "subcategories": ["Other"]}
                    for name, colour in CATEGORIES
                ],
                "extensions": {"baseURL": [], "id": [], "name": [], "length": 0},
                "markerSchema": [],
                "sampleUnits": {"time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs"},
                "usesOnlyOneStackType": True,
                "doesNotUseFrameImplementation": True,
                "sourceCodeIsNotOnSearchfox": True,
            },
            "libs": libs.list,
            "pages": [],
            "counters": [],
            "profilerOverhead": [],
            "threads": threads,
        }
    )


class Libraries:
    """The dsos that are referred to."""

    def __init__(self):
        self.list: list[dict] = []
        self._numbers: dict[int, int] = {}

    def number(self, dso) -> int:
        if dso.index not in self._numbers:
            self._numbers[dso.index] = len(self.list)
            code = (dso.build_id or b"").hex()
            name, path = encodable(dso.short_name), encodable(dso.name)
            self.list.append(
                {
                    "arch": "riscv64",
                    "name": name,
                    "path": path,
                    "debugName": name,
                    "debugPath": path,
                    "breakpadId": breakpad(dso.build_id or b""),
                    "codeId": code or None,
                }
            )
        return self._numbers[dso.index]


def breakpad(build_id: bytes) -> str:
    """Breakpad's name for a build-id: its first 16 bytes as a little-endian GUID, and an age."""
    guid = build_id[:16].ljust(16, b"\0")
    parts = guid[3::-1], guid[5:3:-1], guid[7:5:-1], guid[8:]
    return b"".join(parts).hex().upper() + "0"


class Table:
    """A table by columns. `row` gives the number of an equal row, or makes one."""

    def __init__(self, *columns: str, **constant):
        self.columns, self.constant = columns, constant
        self.rows: dict[tuple, int] = {}

    def row(self, *values) -> int:
        return self.rows.setdefault(values, len(self.rows))

    def data(self) -> dict:
        rows = list(self.rows)
        columns = {name: [row[n] for row in rows] for n, name in enumerate(self.columns)}
        constants = {name: [value] * len(rows) for name, value in self.constant.items()}
        return {**columns, **constants, "length": len(rows)}


def thread(stacks: Stacks, number: int, start: int, libs: Libraries, files: list[str]) -> dict:
    """A thread with its tables."""
    chosen = np.flatnonzero(stacks.thread == number)
    chosen = chosen[np.argsort(stacks.time[chosen], kind="stable")]
    strings = Strings()
    resources = Table("name", "lib", host=None, type=LIBRARY)
    functions = Table(
        "name", "resource", "fileName", "source",
        isJS=False, relevantForJS=False, lineNumber=None, columnNumber=None,
    )  # fmt: skip
    frames = Table(
        "address", "inlineDepth", "category", "func", "line",
        subcategory=0, nativeSymbol=None, innerWindowID=0, implementation=None, column=None,
    )  # fmt: skip
    calls = Table("prefix", "frame", "category", subcategory=0)
    known: dict[int, list[tuple[int, int]]] = {}

    def frame(location, depth: int) -> tuple[int, int]:
        function, line = location.frames[depth]
        what = stacks.functions[function]
        there = location.map
        resource = -1
        if there is not None:
            lib = libs.number(there.dso)
            resource = resources.row(strings[what.dso], lib)
        category = INLINED if what.inlined else KERNEL if "kernel" in what.kind else USER
        file = files[function] if files[function] != what.path else ""
        func = functions.row(strings[what.label], resource, strings[file] if file else None, what)
        address = location.address if there is not None else -1
        row = frames.row(address, len(location.frames) - 1 - depth, category, func, line or None)
        return row, category

    def leaf(stack: int) -> int:
        prefix = None
        for index in stacks.stacks[stack]:
            if index not in known:
                location = stacks.locations[index]
                depths = reversed(range(len(location.frames)))
                known[index] = [frame(location, depth) for depth in depths]
            for row, category in known[index]:
                prefix = calls.row(prefix, row, category)
        return prefix

    mine = stacks.stack[chosen]
    first, which = distinct([mine])
    column = np.array([leaf(stack) for stack in mine[first].tolist()], np.int64)[which]
    who = stacks.profile.threads[number]
    comm = stacks.comm_name(int(stacks.comm[chosen[-1]]))
    times = (stacks.time[chosen] - start) / 1e6
    functions_data = functions.data()
    del functions_data["source"]  # it only tells functions of one name apart
    return {
        "name": comm,
        "processName": comm,
        "processType": "default",
        "processStartupTime": 0,
        "processShutdownTime": None,
        "registerTime": float(times[0]),
        "unregisterTime": None,
        "isMainThread": who.pid == who.tid,
        "pid": str(who.pid),
        "tid": who.tid,
        "pausedRanges": [],
        "samples": {
            "stack": numbers(column),
            "time": numbers(times),
            "weight": numbers(stacks.period[chosen]),
            "weightType": "samples",
            "length": len(column),
        },
        "markers": {
            "data": [], "name": [], "startTime": [], "endTime": [], "phase": [], "category": [],
            "length": 0,
        },
        "stackTable": calls.data(),
        "frameTable": frames.data(),
        "funcTable": functions_data,
        "resourceTable": resources.data(),
        "nativeSymbols": {
            "libIndex": [], "address": [], "name": [], "functionSize": [], "length": 0,
        },
        "stringArray": list(strings),
    }  # fmt: skip
