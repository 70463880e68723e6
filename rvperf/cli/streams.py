"""Our own two streams, which may be closed, full, or have lost their reader."""

import os
import sys


def standard() -> tuple[int | None, ...]:
    """Descriptors 0, 1 and 2, None in place of one that we were started without.

    The numbers of those are taken up, lest the next file that is opened becomes the program's
    stdout.
    """
    found = []
    for number in range(3):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this
            found.append(None)
    return tuple(found)


class WriteFailure(Exception):
    """Standard output can't take what the user asked for."""


def say(text: str) -> None:
    """Print on standard output, at once. Raises BrokenPipeError or WriteFailure."""
    try:
        if sys.stdout is None:
            raise OSError(9, os.strerror(9))  # EBADF: started with it closed
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:  # names in files may be any bytes
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
    except OSError as error:
        forget(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise WriteFailure(f"write failure on standard output: {error.strerror}") from None


def tell(text: str) -> None:
    """Print on standard error; if nobody can read it there, nobody is left to tell."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        forget(sys.stderr)


def forget(stream) -> None:
    """Drop what a failed write left in the buffer, so that it does not fail again at exit."""
    if stream is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
