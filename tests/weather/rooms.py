"""Places where the room for files can be taken away and given back."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

PAGE = 4096


class Room(Protocol):
    """A folder on a disk that fills up."""

    folder: Path
    reason: str
    """What is said where a file finds no room in it."""

    def refuse(self, size: int = 1) -> None:
        """Leave too little room for a new file of so many bytes."""

    def relent(self) -> None:
        """Give the room back."""


class Limited:
    """The process may write no file beyond a size: works everywhere, and looks to a program like a full disk."""

    reason = "no room, the limit on the size of files is reached"

    def __init__(self, folder: Path) -> None:
        self.folder, self.before = folder, resource.getrlimit(resource.RLIMIT_FSIZE)

    def refuse(self, size: int = 1) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, self.before[1]))

    def relent(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


class Small:
    """A disk of 8 MiB in memory."""

    reason = "no room, the disk is full"

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / ".filler"

    def refuse(self, size: int = 1) -> None:
        free = os.statvfs(self.folder)
        left = (size - 1) // PAGE * PAGE
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - left)

    def relent(self) -> None:
        self.filler.unlink(missing_ok=True)


@contextmanager
def small(folder: Path) -> Iterator[Small]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip("only root may mount a small disk" if done is None else f"cannot mount: {done.stderr}")
    try:
        yield Small(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, and what they hold."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".filler")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
