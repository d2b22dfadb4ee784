"""Archives and folders, read but never unpacked: no name inside them becomes a name on the disk."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Self

from aikd.errors import UserError

TEXT = 64 * 2**20
"""Largest text member, in bytes."""
FILE = 256 * 2**20
"""Largest member of any other kind, in bytes."""
TOTAL = 32 * 2**30
"""Bytes of all members together that are read by default."""

_HEADERS = 128 * 2**10
"""Bytes of headers that a tar may put before a member: real ones need a few thousand."""
_BUFFER = 64 * 2**10
_DAMAGES = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""What the libraries raise when an archive is damaged, encrypted or made to confuse them."""


@dataclass(frozen=True)
class _Member:
    name: str
    read: Callable[[int], tuple[int, bytes]]
    """Declared size, and the content up to so many bytes."""


class Container(ABC):
    """An archive or a folder of files. Links, devices and folders in it are not files: they are passed over.

    A leading `./` is no part of a member's name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def _members(self, total: int) -> Iterator[_Member]:
        """Its regular files, in an order that is always the same; each can be read until the next is asked for.

        `total` bounds the bytes that may come out of decompression on the way.
        """

    def names(self) -> list[str]:
        """All regular files, each once, in the container's order.

        Raises:
            UserError: the archive is damaged.
        """
        with self._named_errors():
            return list(dict.fromkeys(member.name for member in self._members(TOTAL)))

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Small members, by their exact names; what follows the last of them in the archive is not looked at.

        Raises:
            UserError: one is missing or larger than 64 MB, or the archive is damaged.
        """
        found: dict[str, bytes] = {}
        for name, data in self._find(names, TEXT, TOTAL):
            found[name] = data
            if len(found) == len(set(names)):
                break
        return found

    def files(self, wanted: Collection[str], total: int = TOTAL) -> Iterator[tuple[str, bytes]]:
        """The wanted files and their contents, each once, in the container's order, to its very end.

        Raises:
            UserError: some are missing or one is there twice; one is larger than 256 MB; together they are larger
                than `total` bytes; the archive is damaged.
        """
        yield from self._find(wanted, FILE, total)

    def _find(self, wanted: Collection[str], largest: int, total: int) -> Iterator[tuple[str, bytes]]:
        missing, size = dict.fromkeys(wanted), 0
        known = frozenset(missing)
        with self._named_errors():
            for member in self._members(total):
                if member.name not in known:
                    continue
                if member.name not in missing:
                    raise UserError(f"{self.path}: holds {member.name} twice; which one is meant?")
                del missing[member.name]
                data = self._content(member, largest)
                size += len(data)
                if size > total:
                    raise UserError(f"{self.path}: the files wanted from it exceed {total:,} bytes")
                yield member.name, data
        if missing:
            names = ", ".join(list(missing)[:3]) + ", …" * (len(missing) > 3)
            raise UserError(f"{self.path}: lacks {len(missing):,} of {len(known):,} files: {names}")

    def _content(self, member: _Member, largest: int) -> bytes:
        # Whatever is declared, no more is read: a header costs nothing to fake.
        declared, data = member.read(largest + 1)
        if max(declared, len(data)) > largest:
            raise UserError(f"{self.path}: {member.name} is larger than {largest:,} bytes")
        if len(data) != declared:
            raise UserError(
                f"{self.path}: {member.name} has {len(data):,} of {declared:,} bytes; "
                "is it damaged or incomplete?"
            )
        return data

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGES as error:
            cause = str(error) or type(error).__name__
            raise UserError(f"{self.path}: cannot be read ({cause}); is it damaged or incomplete?") from None


def open_container(path: Path) -> Container:
    """What `path` is by its name: a folder, a .zip, a .tar, or a .tar.gz or .tgz.

    Raises:
        UserError: there is none, or it is of another kind.
    """
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.name.lower().endswith(".zip"):
        return _Zip(path)
    if path.name.lower().endswith((".tar", ".tar.gz", ".tgz")):
        return _Tar(path)
    raise UserError(f"{path}: cannot be read; allowed: a folder, .zip, .tar, .tar.gz, .tgz")


class _Folder(Container):
    def _members(self, total: int) -> Iterator[_Member]:
        paths = {path.relative_to(self.path).as_posix(): path for path in _walk(self.path)}
        for name in sorted(paths):
            yield _Member(name, partial(_from_file, paths[name]))


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _from_file(path: Path, limit: int) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return _measured(os.fstat(file.fileno()).st_size, file, limit)


class _Zip(Container):
    def _members(self, total: int) -> Iterator[_Member]:
        with zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind in (0, stat.S_IFREG) and not info.is_dir():
                    yield _Member(_plain(info.filename), partial(_from_zip, archive, info))


def _from_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> tuple[int, bytes]:
    # The other methods are decompressed without a bound on what comes out.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{info.filename} is compressed in another way than zip's usual one")
    with archive.open(info) as file:
        return _measured(info.file_size, file, limit)


class _Tar(Container):
    def _members(self, total: int) -> Iterator[_Member]:
        with self.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = _Bounded(gzip.GzipFile(fileobj=file) if packed else file, _HEADERS)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER, tarinfo=_Header) as tar:
                while (info := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined] # it would keep every header
                    if tar.offset > total:
                        raise tarfile.ReadError(f"longer than {total:,} bytes")
                    # What the member holds, and the headers of the next one.
                    stream.limit = min(total, tar.offset + _HEADERS)
                    if info.isreg():
                        yield _Member(_plain(info.name), partial(_from_tar, tar, info))
            # Only at its end does gzip compare its checksum.
            stream.limit = total
            while stream.read(_BUFFER):
                pass


def _from_tar(tar: tarfile.TarFile, info: tarfile.TarInfo, limit: int) -> tuple[int, bytes]:
    file = tar.extractfile(info)
    return _measured(info.size, file or io.BytesIO(), limit)


class _Bounded(io.RawIOBase):
    """A stream that is no longer than `limit`; without, a false header could make tarfile fill the memory."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self.stream, self.limit, self.position = stream, limit, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self.stream.read(size)
        self.position += len(data)
        if self.position > self.limit:
            raise tarfile.ReadError(f"longer than {self.limit:,} bytes, or a header is")
        return data


class _Header(tarfile.TarInfo):
    """A header that must be whole: tarfile takes a broken one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end of the archive
            raise tarfile.ReadError(str(error)) from None


def _measured(declared: int, file: IO[bytes], limit: int) -> tuple[int, bytes]:
    return declared, file.read(min(limit, declared + 1))


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name
