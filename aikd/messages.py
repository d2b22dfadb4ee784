"""Messages of a command, on stderr: no work is lost over one that cannot be written."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Write a message to stderr, or another stream, at once.

    Where it takes none (a log on a full disk, or whose reader has gone), do without.
    """
    with suppress(OSError):
        print(text, file=stream or sys.stderr, end=end, flush=True)


def drop_rest(stream: TextIO) -> None:
    """At the end: drop what is still in the buffer of a stream that does not take it.

    Python would try once more when it ends, and make the exit code 120.
    """
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
