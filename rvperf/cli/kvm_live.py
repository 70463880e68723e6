"""`kvm run` on a terminal: the run is in a process of its own, and this one shows how it goes.

What the run prints is kept until the view is closed, so that it doesn't end up in it.
"""

import os
import pickle
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from rvperf.cli.streams import say

EVERY = 0.2
"""Seconds between reports, at least; and a tenth of the time goes into them, at most."""


def wanted(options) -> bool:
    """Whether there is a terminal to show something on."""
    try:
        there = os.isatty(0) and os.isatty(1)
    except OSError:
        return False
    return there and not options["json"] and os.environ.get("TERM", "dumb") != "dumb"


class Sender:
    """Sends reports to the view."""

    def __init__(self, descriptor: int):
        self.descriptor, self.due = descriptor, 0.0

    def watch(self, joint) -> None:
        """Called now and then."""
        now = time.monotonic()
        if now >= self.due:
            self.send(joint.so_far())
            after = time.monotonic()
            self.due = after + max(EVERY, 10 * (after - now))

    def last(self, report) -> None:
        """The run is over: what it prints now nobody is to interrupt."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.send(report)

    def send(self, report) -> None:
        data = pickle.dumps(report)
        data = struct.pack("<Q", len(data)) + data
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError:  # nobody looks any more
            self.due = float("inf")


class Receiver(threading.Thread):
    """Takes reports, the newest of which is `report`, until there are no more."""

    def __init__(self, descriptor: int):
        super().__init__(daemon=True)
        self.file = os.fdopen(descriptor, "rb")
        self.report = None

    def run(self) -> None:
        while len(head := self.file.read(8)) == 8:
            data = self.file.read(struct.unpack("<Q", head)[0])
            self.report = pickle.loads(data)

    @property
    def runs(self) -> bool:
        """Whether there is a run that could be ended; with the last report come its results."""
        return self.is_alive() and (self.report is None or self.report.running)

    def ended(self) -> bool:
        return not self.is_alive()


def watched(work: Callable[[Sender], int]) -> int:
    """Run `work` in another process, and show what it sends; its exit status."""
    out, into = os.pipe()
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            status = 255
            try:
                os.close(out)
                redirect(printed.fileno())
                status = work(Sender(into))
                sys.stdout.flush()
                sys.stderr.flush()
            except KeyboardInterrupt:
                status = 128 + signal.SIGINT
            except Exception:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status & 0xFF)
        os.close(into)
        receiver = Receiver(out)
        receiver.start()
        told = False
        try:
            from rvperf.render.joint_live import Live

            Live(lambda: receiver.report, receiver.ended).run()
        except KeyboardInterrupt:  # before there is a view ^C is the terminal's, for both processes
            told = True
        finally:
            if not told and receiver.runs:
                os.kill(child, signal.SIGINT)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        printed.seek(0)
        say(printed.read().decode("utf-8", "surrogateescape"))
    return 128 - status if status < 0 else status


def redirect(printed: int) -> None:
    """Away from the terminal, which is the view's."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(printed, 1)
    if os.isatty(2):
        os.dup2(printed, 2)
