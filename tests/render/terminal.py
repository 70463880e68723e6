"""A terminal of a given size, with a command in it: a pty, and pyte to see what the screen has."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import pyte

PATIENCE = 60
"""Seconds after which something doesn't come any more."""
LEFT = b"\x1b[?1049l"
"""Says that a program gives back the whole screen."""


class Terminal:
    def __init__(self, words: list[str], columns: int, rows: int, directory):
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.output = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "HOME": str(directory)}
        for name in ("COLUMNS", "LINES", "TEXTUAL", "NO_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=directory, env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read(self, until: Callable[[], bool]) -> None:
        """Show what comes, until it is so, or nothing comes any more."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            left = deadline - time.monotonic()
            assert left > 0, "\n".join(self.lines)
            if not select.select([self._ours], [], [], left)[0]:
                continue
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:  # the other side is closed
                return
            self.output += data
            self._stream.feed(self._decoder.decode(data))

    def shows(self, text: str) -> None:
        """Wait until it is on the screen."""
        self.read(lambda: any(text in line for line in self.lines))

    def ended(self) -> int:
        """Wait for the end; the exit status."""
        self.read(lambda: False)
        return self.process.wait(PATIENCE)

    @property
    def printed(self) -> str:
        """What has been printed since the view was left, without what it says to the terminal."""
        assert LEFT in self.output
        text = self.output.rpartition(LEFT)[2].decode().replace("\r\n", "\n")
        return re.sub(r"\x1b\[[?>=]?[\d;]*[a-zA-Z]", "", text)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)


@contextlib.contextmanager
def terminal(words: list[str], columns: int, rows: int, directory):
    """A command in one, which is ended if it hasn't."""
    made = Terminal(words, columns, rows, directory)
    try:
        yield made
    finally:
        made.close()
