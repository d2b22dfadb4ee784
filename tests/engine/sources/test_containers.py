"""Archives and folders: what is read from them, and how damaged ones are refused."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from written_archives import FILES, NOISE, ORDER, WRITERS, write_tar

from aikd.engine.sources.containers import Container, open_container
from aikd.errors import UserError

ARCHIVES = [kind for kind in WRITERS if kind != "folder"]


@pytest.fixture(params=WRITERS)
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Container:
    """The same files in every kind of container."""
    WRITERS[request.param](tmp_path / request.param, FILES)
    return open_container(tmp_path / request.param)


def test_files_come_whole_and_in_the_containers_order(container: Container) -> None:
    order = sorted(ORDER) if container.path.is_dir() else ORDER
    assert container.names() == order
    assert list(container.files(FILES)) == [(name, FILES[name]) for name in order]
    assert list(container.files({"birds/a.jpg", "birds/b.jpg"})) == [
        (name, FILES[name]) for name in order if name[-5:] in ("a.jpg", "b.jpg")
    ]


def test_texts_are_read_by_their_exact_names(container: Container) -> None:
    names = ["birds/lists/images.txt", "birds/empty"]
    assert container.read(names) == {name: FILES[name] for name in names}


@pytest.mark.parametrize("kind", ["x.tar", "x.tgz"])
def test_texts_are_read_though_the_archive_is_cut_off_further_on(tmp_path: Path, kind: str) -> None:
    """What follows is not looked at: lists often lie before gigabytes of images."""
    path = tmp_path / kind
    write_tar(path, {"list": b"text", "image": NOISE * 5}, "w" if kind == "x.tar" else "w:gz")
    path.write_bytes(path.read_bytes()[:-50_000])
    assert open_container(path).read(["list", "list"]) == {"list": b"text"}
    with pytest.raises(UserError, match=kind):
        list(open_container(path).files(["list"]))


def test_what_is_missing_is_named(container: Container) -> None:
    for read in (container.read, lambda names: list(container.files(names))):
        with pytest.raises(
            UserError, match=rf"{container.path}: lacks 2 of 3 files: lists/images.txt, birds$"
        ):
            read(["lists/images.txt", "birds", "birds/a.jpg"])


def test_of_many_that_are_missing_the_first_are_named(container: Container) -> None:
    with pytest.raises(UserError, match=r"lacks 9 of 9 files: 0, 1, 2, …$"):
        container.read([str(i) for i in range(9)])


def test_names_lose_a_leading_dot(tmp_path: Path) -> None:
    for kind in ("x.tar", "x.zip"):
        WRITERS[kind](tmp_path / kind, {"./a/b.txt": b"b", ".//././c": b"c", ".hidden": b"h"})
        assert dict(open_container(tmp_path / kind).files(["a/b.txt", "c", ".hidden"])) == {
            "a/b.txt": b"b",
            "c": b"c",
            ".hidden": b"h",
        }


# What cannot be opened


@pytest.mark.parametrize("name", ["x.rar", "x.gz", "tar", "x.tar.bz2"])
def test_other_kinds_of_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"{name}: cannot be read; allowed: a folder, \.zip, \.tar"):
        open_container(tmp_path / name)


def test_no_such_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.zip: no such file or folder"):
        open_container(tmp_path / "x.zip")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"Not Found\n", b"<html>" * 1000])
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz"])
def test_what_is_no_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert_refused(open_container(tmp_path / name))


def assert_refused(container: Container, why: str = "cannot be read") -> None:
    for read in (container.names, lambda: list(container.files(FILES))):
        with pytest.raises(UserError, match=rf"{container.path.name}: .*{why}"):
            read()


# Damage


@pytest.mark.parametrize("kind", ARCHIVES)
def test_truncated_archives_are_refused_wherever_they_end(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / kind, FILES)
    whole = (tmp_path / kind).read_bytes()
    # Behind its last file a tar has only zeros.
    end = len(whole.rstrip(b"\0")) if kind in ("x.tar", "old.tar", "unpacked.tgz") else len(whole)
    for length in (0, 1, 100, 512, 600, 1024, end // 2, end - 1025, end - 513, end - 1):
        (tmp_path / kind).write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"{kind}: "):
            list(open_container(tmp_path / kind).files(FILES))


def test_a_tar_that_ends_between_two_files_is_refused(tmp_path: Path) -> None:
    """tarfile takes it for whole; what is listed further on would only seem to be missing."""
    path = tmp_path / "x.tar"
    write_tar(path, {"a": b"a", "b": b"b"})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(UserError, match="is it damaged or incomplete"):
        list(open_container(path).files(["a"]))


def test_a_damaged_header_in_a_tar_is_refused(tmp_path: Path) -> None:
    """tarfile takes it for the end of the archive."""
    path = tmp_path / "x.tar"
    write_tar(path, {"a": b"a", "b": b"b"})
    content = bytearray(path.read_bytes())
    content[1024] ^= 1  # the b of the second file's name
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad checksum.*is it damaged or incomplete"):
        list(open_container(path).files(["a"]))


@pytest.mark.parametrize("kind", ["x.tgz", "x.zip", "stored.zip"])
def test_flipped_bits_are_noticed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    files = {"a": bytes(value % 7 for value in NOISE) + NOISE}  # compressed, and not worth it
    (WRITERS["X.TGZ"] if kind == "x.tgz" else WRITERS[kind])(path, files)
    whole = path.read_bytes()
    for position in range(100, len(whole) - 1000, 2500):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(UserError, match=rf"{kind}: .*is it damaged"):
            list(open_container(path).files(["a"]))


def test_the_checksum_at_the_end_of_a_gzip_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    write_tar(path, FILES, "w:gz")
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.tgz: .*CRC"):
        list(open_container(path).files(["birds/a.jpg"]))


@pytest.mark.skipif(
    "AIKD_TEST_DATA" not in os.environ, reason="AIKD_TEST_DATA names no folder of real archives"
)
@pytest.mark.parametrize("name", ["CUB_200_2011-8classes.tgz", "tiny-imagenet-20classes.zip"])
def test_real_archives_are_read_as_the_libraries_read_them(name: str) -> None:
    path = Path(os.environ["AIKD_TEST_DATA"], name)
    container = open_container(path)
    found = dict(container.files(container.names()))
    if name.endswith("zip"):
        with zipfile.ZipFile(path) as archive:
            expected = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    else:
        with tarfile.open(path) as tar:
            members = [(info.name, tar.extractfile(info)) for info in tar.getmembers()]
            expected = {name: file.read() for name, file in members if file}
    assert found == expected
