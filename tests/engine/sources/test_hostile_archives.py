"""Hostile archives: harmless, or refused with one message and in little memory."""

import gzip
import os
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from written_archives import WRITERS, add, write_folder, write_tar, write_zip

from aikd.engine.sources import containers
from aikd.engine.sources.containers import Container, open_container
from aikd.errors import UserError

BOMB = 16 * 2**20
"""Bytes that bombs unpack to."""


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", ["x.tar", "x.tgz", "x.zip"])
def test_names_that_lead_elsewhere_are_only_names(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "deep/er" / kind
    path.parent.mkdir(parents=True)
    files = {str(tmp_path / "absolute"): b"1", "../up": b"2", "a/../../../up": b"3", "C:\\x": b"4"}
    (write_zip if kind == "x.zip" else write_tar)(path, files)
    before = tree(tmp_path)
    container = open_container(path)
    assert dict(container.files(container.names())) == files
    assert tree(tmp_path) == before


def test_a_folder_gives_nothing_from_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    write_folder(tmp_path / "data", {"a": b"a"})
    for name in ("../secret", str(tmp_path / "secret"), "./a"):
        with pytest.raises(UserError, match=r"data: lacks 1 of 1 files"):
            open_container(tmp_path / "data").read([name])


def test_links_and_devices_in_a_tar_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "real", b"r")
        add(tar, "symbolic", kind=tarfile.SYMTYPE, to="/etc/passwd")
        add(tar, "hard", kind=tarfile.LNKTYPE, to="real")
        add(tar, "character", kind=tarfile.CHRTYPE)
        add(tar, "block", kind=tarfile.BLKTYPE)
        add(tar, "fifo", kind=tarfile.FIFOTYPE)
        add(tar, "folder", kind=tarfile.DIRTYPE)
        add(tar, "last", b"l")
    assert open_container(path).names() == ["real", "last"]
    with pytest.raises(UserError, match="lacks 1 of 2 files: symbolic"):
        list(open_container(path).files(["real", "symbolic"]))


def test_links_in_a_zip_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder/", "")
        archive.writestr("real", "r")
    assert open_container(path).names() == ["real"]


def test_links_and_pipes_in_a_folder_are_no_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_folder(data, {"real": b"r"})
    write_folder(tmp_path / "other", {"there": b"t"})
    (data / "link").symlink_to("/etc/passwd")
    (data / "circle").symlink_to(data)
    (data / "folder").symlink_to(tmp_path / "other")
    os.mkfifo(data / "fifo")
    assert open_container(data).names() == ["real"]


@pytest.mark.parametrize("kind", ["x.tar", "x.zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "x.tar":
        with tarfile.open(path, "w") as tar:
            for name, data in (("a", b"1"), ("b", b"2"), ("./a", b"3")):
                add(tar, name, data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (("a", b"1"), ("b", b"2"), ("a", b"3")):
                archive.writestr(name, data)
    container = open_container(path)
    assert container.names() == ["a", "b"]
    assert list(container.files(["b"])) == [("b", b"2")]
    with pytest.raises(UserError, match=rf"{kind}: holds a twice"):
        list(container.files(["a", "b"]))


@pytest.mark.parametrize("kind", ["folder", "x.tar", "x.tar.gz", "x.zip"])
def test_members_that_are_too_large_are_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "FILE", 1000)
    monkeypatch.setattr(containers, "TEXT", 500)
    path = tmp_path / kind
    WRITERS[kind](path, {"500": bytes(500), "501": bytes(501), "1000": bytes(1000), "1001": bytes(1001)})
    container = open_container(path)
    assert len(container.read(["500"])["500"]) == 500
    assert len(dict(container.files(["501", "1000"]))) == 2
    with pytest.raises(UserError, match=rf"{kind}: 501 is larger than 500 bytes"):
        container.read(["501"])
    with pytest.raises(UserError, match=rf"{kind}: 1001 is larger than 1,000 bytes"):
        list(container.files(["1001"]))


@pytest.mark.parametrize("kind", ["folder", "x.zip"])
def test_all_members_together_are_bounded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    WRITERS[kind](path, {"a": bytes(600), "b": bytes(600), "c": bytes(600)})
    container = open_container(path)
    assert len(dict(container.files(["a", "c"], total=1200))) == 2
    with pytest.raises(UserError, match=rf"{kind}: the files wanted from it exceed 1,199 bytes"):
        list(container.files(["a", "c"], total=1199))


def refused_in_little_memory(container: Container, wanted: list[str], why: str, total: int = 2**20) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=why):
            list(container.files(wanted, total=total))
        assert tracemalloc.get_traced_memory()[1] < BOMB / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("wanted", ["small", "bomb"])
def test_a_gzip_bomb_is_refused_in_little_memory(
    tmp_path: Path, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "FILE", 2**20)
    write_tar(tmp_path / "x.tgz", {"small": b"s", "bomb": bytes(BOMB)}, "w:gz")
    refused_in_little_memory(open_container(tmp_path / "x.tgz"), [wanted], r"x\.tgz: .*1,048,576 bytes")


def test_a_gzip_bomb_behind_the_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    write_tar(path, {"a": b"a"}, "w:gz")
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(BOMB)))
    refused_in_little_memory(open_container(path), ["a"], r"x\.tgz: .*1,048,576 bytes")


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_with_a_header_as_a_bomb_is_refused_in_little_memory(
    tmp_path: Path, kind: bytes, before: int
) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        for i in range(before):
            add(tar, f"before{i}", bytes(i * 100_000))
        add(tar, "header", bytes(BOMB), kind)
        add(tar, "a", b"a")
    refused_in_little_memory(open_container(tmp_path / "x.tgz"), ["a"], "or a header is", total=2**40)


@pytest.mark.parametrize("size", [2**62, -512])
def test_a_tar_that_declares_an_impossible_size_is_refused(tmp_path: Path, size: int) -> None:
    """Skipping so much would take for ever, and a negative size would go round in circles."""
    info = tarfile.TarInfo("a")
    info.size = size
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    for wanted in ("a", "b"):
        with pytest.raises(UserError, match=r"x\.tar: "):
            list(open_container(tmp_path / "x.tar").files([wanted]))


def declare(path: Path, size: int) -> None:
    """Fake the size of the only member of a zip, in both of its headers."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\3\4") + 22, size)
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 24, size)
    path.write_bytes(content)


@pytest.mark.parametrize("size", [0, 10, 2**20, 2**32 - 2])
def test_a_zip_that_lies_about_a_size_is_refused_in_little_memory(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "FILE", 2**21)
    path = tmp_path / "x.zip"
    write_zip(path, {"a": bytes(BOMB)})
    declare(path, size)
    refused_in_little_memory(open_container(path), ["a"], r"x\.zip: ", total=2**40)


def test_a_zip_that_declares_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    write_zip(path, {"a": bytes(1000)})
    declare(path, 1001)
    with pytest.raises(UserError, match=r"x\.zip: a has 1,000 of 1,001 bytes"):
        list(open_container(path).files(["a"]))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_compressed_without_a_bound_are_refused(tmp_path: Path, compression: int) -> None:
    write_zip(tmp_path / "x.zip", {"a": b"a"}, compression)
    with pytest.raises(UserError, match=r"x\.zip: cannot be read \(a is compressed in another way"):
        list(open_container(tmp_path / "x.zip").files(["a"]))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    write_zip(path, {"a": b"a"})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.zip: cannot be read \(.*encrypted"):
        list(open_container(path).files(["a"]))
