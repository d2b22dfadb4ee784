"""Messages of a command, on stderr: no work is lost over one that cannot be written."""

import json
import os
import sys
from contextlib import suppress
from typing import TextIO

_ERASE = "\r\x1b[K"


class _Line:
    """At the end of stderr."""

    drawn = False
    """Whether one stands there that is not to stay."""


def say(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Write a message to stderr, or another stream, at once.

    Where it takes none (a log on a full disk, or whose reader has gone), do without.
    """
    if stream is None:
        erase()
    with suppress(OSError):
        print(text, file=stream or sys.stderr, end=end, flush=True)


def shown(text: str) -> str:
    """A name as it may go to a terminal: what is not printable is escaped, like `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_json(line: str) -> str:
    """The same JSON on one line, in which what is not printable is escaped, too."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def drawable() -> bool:
    """Whether stderr is a terminal on which a line can be drawn anew."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def draw(text: str) -> None:
    """Have a line stand at the end of stderr, a terminal, until the next drawing or message."""
    _Line.drawn = True
    with suppress(OSError):
        print(_ERASE + text, file=sys.stderr, end="", flush=True)


def erase() -> None:
    """Take away what was drawn."""
    if _Line.drawn:
        _Line.drawn = False
        with suppress(OSError):
            print(_ERASE, file=sys.stderr, end="", flush=True)


def duration(seconds: float) -> str:
    """How long, in the unit that people would choose: `45 s`, `12 min`, `5.2 h`, `3.1 days`."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.1f} days"


def plural(number: int, noun: str) -> str:
    """The noun as it stands behind a number: `seed` behind 1, else `seeds`."""
    return noun if number == 1 else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """So many of something: `1 seed`, `3 seeds`."""
    return f"{number:,} {plural(number, noun)}"


def drop_rest(stream: TextIO) -> None:
    """At the end: drop what is still in the buffer of a stream that does not take it.

    Python would try once more when it ends, and make the exit code 120.
    """
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
