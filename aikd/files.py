"""Files that are either whole or not there."""

import errno
import glob
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from aikd.errors import UserError

NO_ROOM = {
    errno.ENOSPC: "no room, the disk is full",
    errno.EDQUOT: "no room, the disk quota is used up",
    errno.EFBIG: "no room, the limit on the size of files is reached",
}
"""What the system answers where nothing more can be written, in words."""

ABANDONED = 24 * 3600.0
"""Seconds after which a temporary file that nobody has touched is no longer being written."""


@contextmanager
def naming(path: Path, *aliases: Path) -> Iterator[None]:
    """Within, an `OSError` for want of room says so and names `path`; so does any that names one of `aliases`.

    The system itself names no file where writing fails, but only where opening does.
    """
    try:
        yield
    except OSError as error:
        if error.strerror in NO_ROOM.values():  # it is named already
            raise
        if error.errno in NO_ROOM:
            raise OSError(error.errno, NO_ROOM[error.errno], str(path)) from error
        if error.filename in map(str, aliases):
            raise OSError(error.errno, f"cannot be written ({error.strerror})", str(path)) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, and renames what was written there to `path` at the end.

    Whatever happens in between, `path` holds the old content or the new, never a part of it. The folder is made
    if need be; the temporary file keeps the suffix, by which some writers choose their format.

    Raises:
        OSError: there is no room or no permission; names `path`, at which the old content still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in leftovers(path, untouched=ABANDONED):
        abandoned.unlink(missing_ok=True)
    # Chance, as processes on two machines, or threads of one process, may write the same file at once.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")
    with naming(path, temporary):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            # What went wrong before is what matters, not that on a broken disk nothing can be removed either.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, and renames it to `path` at the end: whole, or not there.

    Raises:
        UserError: something is at `path` already; nothing there is touched. An empty folder is no hindrance.
        OSError: there is no room or no permission.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    temporary.mkdir()
    try:
        with naming(path):
            yield temporary
            for file in (file for file in temporary.rglob("*") if file.is_file()):
                with file.open("rb+") as content:
                    os.fsync(content.fileno())
        refuse_existing(path)  # once more, as writing may have taken a while
        temporary.replace(path)
    except OSError as error:
        if Path(str(error.filename)).is_relative_to(temporary):  # a name that nobody has given
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


def refuse_existing(path: Path) -> None:
    """Refuse a folder to be made where something is already.

    Raises:
        UserError: something is at `path`, other than an empty folder.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()) or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"{path}: exists already, and is not overwritten; remove it, or name another place")


def leftovers(path: Path, untouched: float = 0.0) -> list[Path]:
    """Temporary files that processes killed while `replacing` `path` left beside it.

    Those of processes that still write are among them, unless the caller has the folder for itself, or asks only
    for files that were not touched for so many seconds.
    """
    name = re.compile(re.escape(f".{path.stem}.") + "[0-9a-f]+" + re.escape(path.suffix))
    found = []
    for file in path.parent.glob(f".{glob.escape(path.stem)}.*"):
        with suppress(FileNotFoundError):  # another process has just finished it
            if name.fullmatch(file.name) and time.time() - file.stat().st_mtime >= untouched:
                found.append(file)
    return found


def _sync_folder(folder: Path) -> None:
    """Have a new name survive a power cut, too, on file systems that can promise it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def write_together(contents: dict[Path, bytes]) -> None:
    """Write several files atomically: no name is given before the content of all is on the disk."""
    with ExitStack() as stack:
        for path, content in contents.items():
            temporary = stack.enter_context(replacing(path))
            temporary.write_bytes(content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    write_together({path: content})


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically; the same data in the same order gives the same bytes."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, mend: str = "") -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        mend: what to do about a damaged one, for the message.

    Raises:
        UserError: the file is missing, cannot be read, or is not a JSON object.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:  # which says nothing of what is in it
        raise UserError(f"{path}: {error.strerror}") from None
    return json_object(content, path, mend)


def json_object(content: bytes, where: Path | str, mend: str = "") -> dict[str, Any]:
    """The object in the bytes of a JSON file.

    Raises:
        UserError: they are not a JSON object; begins with `where`, ends with `mend`.
    """
    advice = f"; {mend}" if mend else ""
    try:
        data = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise UserError(f"{where}: not readable JSON ({error}){advice}") from None
    except RecursionError:
        raise UserError(f"{where}: not readable JSON (nested too deeply){advice}") from None
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(data).__name__}{advice}")
    return data
