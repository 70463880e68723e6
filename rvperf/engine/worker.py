"""The compiling process: reads hot addresses with their code from stdin, writes regions to stdout.

It is a process of its own so that compiling neither holds the interpreter lock of the emulating
one nor, if LLVM should fail on some region, ends it. Messages are pickles, each after its length
as eight bytes; both ends are ours. When the emulating process is done, this one finishes what it
was asked for, goes on to where those regions lead, all within `GRACE_SECONDS`, and adds what it
has to the cache, so that the next run of the program finds it.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import deque

from isa.record import Record
from rvperf.engine import codecache
from rvperf.engine.codecache import Region

PAUSE_SECONDS = 1  # at least, between times when the cache is written to
GRACE_SECONDS = 10
# -P and the path: whatever lies in the working directory is not for us to import.
COMMAND = """\
import sys
file, *sys.path = sys.argv[1:]
from rvperf.engine.worker import main
main(file)
"""


class Job(Record):
    """Compile the region at `head`, filled up by others that are hot as well (`also`).

    `pages` as `regions.Snapshot` takes them.
    """

    head: int
    live: frozenset[str]
    pages: dict[int, tuple[bytes, bytes]]
    also: tuple[int, ...] = ()


class Worker:
    """The compiling process as the emulating one sees it.

    `file` names what it keeps its regions under in the cache, empty for nothing; `live` are the
    events that they count.
    """

    def __init__(self, file: str, live: frozenset[str]):
        self.live = live
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", COMMAND, file, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # ^C is for the emulating process
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        os.set_blocking(self.process.stdin.fileno(), False)
        self._received = bytearray()
        self._unsent = bytearray()
        self.alive = True

    def send(
        self, head: int, pages: dict[int, tuple[bytes, bytes]], also: tuple[int, ...] = ()
    ) -> None:
        """Queue the region at `head`; `pages` and `also` as `Job` has them."""
        data = pickle.dumps(Job(head, self.live, pages, also))
        self._unsent += len(data).to_bytes(8, "little") + data
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = os.write(self.process.stdin.fileno(), self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.alive = False

    def receive(self) -> list[Region]:
        """The regions that have been finished since the last call; does not wait."""
        self._flush()
        try:
            while data := os.read(self.process.stdout.fileno(), 1 << 20):
                self._received += data
            self.alive = False
        except BlockingIOError:
            pass
        except OSError:
            self.alive = False
        found = []
        while len(self._received) >= 8:
            size = int.from_bytes(self._received[:8], "little")
            if len(self._received) < 8 + size:
                break
            found.append(pickle.loads(bytes(self._received[8 : 8 + size])))
            del self._received[: 8 + size]
        return found

    def dismiss(self) -> None:
        """Let it finish and keep what it was asked for, and wait no longer."""
        os.set_blocking(self.process.stdin.fileno(), True)
        self._flush()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.returncode = 0  # nobody waits for it: it outlives this process


def compile_region(job: Job) -> tuple[Region, set[int]]:
    """(the region at the job's head, where control may go from it); no ranges: nothing there."""
    from rvperf.engine import objects, regions

    snapshot = regions.Snapshot(job.pages)
    shape = regions.explore(snapshot, job.head, job.also)
    if shape is None:
        return Region(job.head), set()
    text, entries = regions.region_module("region", shape, job.live)
    piece = objects.compile_module(text)
    ranges = tuple(regions.ranges(shape))
    guest_code = b"".join(snapshot.bytes(start, end) for start, end in ranges)
    function = piece.symbols["region"]
    region = Region(job.head, entries, ranges, guest_code, piece.code, function)
    return region, {pc for pc in regions.exits(shape) if snapshot.executed(pc)}


def read_jobs(source, jobs: queue.SimpleQueue) -> None:
    """Take jobs as they come, so that whoever sends one never waits for a compilation."""
    while len(size := source.read(8)) == 8:
        jobs.put(pickle.loads(source.read(int.from_bytes(size, "little"))))
    jobs.put(None)


def keep(file: str, done: dict[int, Region]) -> None:
    """Put the regions that were compiled into the cache."""
    compiled = [region for region in done.values() if region.ranges]
    if file and compiled:
        codecache.add_regions(file, compiled)


def main(file: str) -> None:
    """Serve jobs until stdin ends, keep the regions in the cache, and go on for a while."""
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    reader = threading.Thread(target=read_jobs, args=(sys.stdin.buffer, jobs), daemon=True)
    reader.start()
    sink = sys.stdout.buffer
    done: dict[int, Region] = {}
    reached: set[int] = set()  # where a region can be entered
    onward: deque[Job] = deque()  # where the regions lead, in the order of their heat

    def work(job: Job) -> Region:
        try:
            region, exits = compile_region(job)
        except Exception:  # a region that can't be compiled stays interpreted
            region, exits = Region(job.head), set()
        done[job.head] = region
        reached.update((job.head, *region.entries))
        onward.extend(Job(pc, job.live, job.pages) for pc in sorted(exits))
        return region

    kept = time.monotonic()
    while reader.is_alive() and (job := jobs.get()):
        data = pickle.dumps(work(job))
        try:
            sink.write(len(data).to_bytes(8, "little") + data)
            sink.flush()
        except OSError:
            break
        if jobs.empty() and time.monotonic() - kept > PAUSE_SECONDS:
            keep(file, done)
            kept = time.monotonic()
    keep(file, done)  # the next run may begin at once
    # Nobody waits any more. Only one process at a time goes on, so that many short runs do not
    # leave as many of these behind.
    os.nice(10)
    if file and codecache.claim("onward"):
        deadline = time.monotonic() + GRACE_SECONDS
        while not jobs.empty() and (job := jobs.get()):
            onward.appendleft(job)
        while onward and time.monotonic() < deadline:
            job = onward.popleft()
            if job.head not in reached:
                work(job)
        keep(file, done)
    os._exit(0)  # stdout may be closed at its other end; there is nothing left to flush
