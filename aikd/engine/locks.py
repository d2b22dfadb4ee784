"""One process at a time."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from aikd.errors import UserError
from aikd.files import naming

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a file system without locks answers, as some of clusters do."""

LOCK = ".lock"

PAUSE = 0.5
"""Seconds between two looks of a process that waits."""


@contextmanager
def exclusive(
    path: Path, waiting: Callable[[str], None] | None = None, check: Callable[[], None] = lambda: None
) -> Iterator[bool]:
    """Have a folder, or a file that need not be there, for oneself.

    The system frees the lock of a process that died, however it did. Yields whether there is a lock: a file system
    without any has to do, but then nobody knows whose temporary files are about.

    Args:
        waiting: told who has it before waiting for them; none: do not wait.
        check: called while it waits; what it raises ends that.

    Raises:
        UserError: another process has it.
        OSError: there is no room, or no permission.
    """
    lock = path / LOCK if path.is_dir() else path.with_name(f".{path.name}{LOCK}")
    file, held = _locked(lock, path, waiting, check)
    with file:
        try:
            with naming(lock):
                # Not through the buffer, which would try once more when it is closed, after hours of work.
                file.truncate(0)
                os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield held
        finally:
            # Safe while it is held: who opened the file before it went sees that it is no longer the one by that name.
            lock.unlink(missing_ok=True)


def _locked(
    lock: Path, path: Path, waiting: Callable[[str], None] | None, check: Callable[[], None]
) -> tuple[TextIO, bool]:
    """The lock file, open and locked, and still the one that others will find; and whether it could be locked."""
    said = ""
    while True:
        file = lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            used = f"{path}: in use by {file.read() or 'a process that has just begun'}"
            file.close()
            if waiting is None:
                raise UserError(f"{used}; wait for it, or end it first") from None
            if used != said:
                waiting(f"{used}; waiting for it")
                said = used
            check()
            time.sleep(PAUSE)  # and not in the system's queue, where nobody would look for signals
            continue
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file, False
            file.close()
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                return file, True
        file.close()
