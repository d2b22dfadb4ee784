"""The same files in every kind of container."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Files = dict[str, bytes]
NOISE = np.random.default_rng(0).bytes(40_000)
FILES = {
    "birds/lists/images.txt": b"1 b.jpg\n2 a.jpg\n",
    "birds/b.jpg": NOISE[:30_000],
    "birds/a.jpg": NOISE[30_000:],
    f"birds/{'long' * 40}.jpg": b"long",
    "birds/empty": b"",
}
ORDER = list(FILES)


def write_folder(path: Path, files: Files) -> None:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def write_tar(path: Path, files: Files, mode: str = "w", format: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, mode, format=format) as tar:
        for name, data in files.items():
            add(tar, name, data)


def add(
    tar: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = ""
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, to
    tar.addfile(info, io.BytesIO(data))


def write_zip(path: Path, files: Files, compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


WRITERS: dict[str, Callable[[Path, Files], None]] = {
    "folder": write_folder,
    "x.tar": write_tar,
    "old.tar": lambda path, files: write_tar(path, files, format=tarfile.GNU_FORMAT),
    "x.tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "X.TGZ": lambda path, files: write_tar(path, files, "w:gz"),
    "x.zip": write_zip,
    "stored.zip": lambda path, files: write_zip(path, files, zipfile.ZIP_STORED),
    # Named for what they were before somebody packed or unpacked them on the way.
    "packed.tar": lambda path, files: write_tar(path, files, "w:gz"),
    "unpacked.tgz": write_tar,
}
