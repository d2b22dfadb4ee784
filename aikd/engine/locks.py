"""One process at a time."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from aikd.errors import UserError

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a file system without locks answers, as some of clusters do."""

LOCK = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Have a folder for oneself; the system frees the lock of a process that died, however it did.

    Raises:
        UserError: another process has it.
    """
    path = folder / LOCK
    with _locked(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            # Safe while it is held: who opened the file before it went sees that it is no longer the one by that name.
            path.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
    """The lock file, open and locked, and still the one that others will find."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read() or "a process that has just begun"
            file.close()
            if isinstance(error, BlockingIOError):
                raise UserError(f"{path.parent}: in use by {holder}; wait for it, or end it first") from None
            if error.errno not in NO_LOCKS:
                raise
            return path.open("a+", encoding="utf-8")
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()
