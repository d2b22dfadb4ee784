"""Hostile archives and folders through the commands a user calls: harmless, or one message, and nothing prepared."""

import io
import os
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from written_archives import add, write_folder

from aikd.cli import main
from aikd.engine.sources import containers
from aikd.study.schema import look
from tests.workflow import archives

Files = dict[str, bytes]
COUNTS = {"accept_other": True, "counts": archives.COUNTS}
TRANSFORM = {"size": 32, "resize": 36}
PHOTOGRAPHS = {"models": ["resnet18"], "transform": TRANSFORM, "stored_side": 44}
STUDY = {
    "name": "hostile",
    "data": {
        "cifar100": {"models": ["resnet18"]} | COUNTS,
        "tiny_imagenet": {"models": ["resnet18"]} | COUNTS,
        "cub200": PHOTOGRAPHS | COUNTS,
        "mine": PHOTOGRAPHS | {"folder": "photos", "label": "Mine", "test_fraction": 0.4},
    },
    "models": {"resnet18": {"label": "ResNet-18", "width": 16, "blocks": [1, 1, 1, 1]}},
    "methods": {"baseline": {}},
    "calibration": {"folds": 2},
}
CUB, CIFAR, TINY = "CUB_200_2011.tgz", "cifar-100-python.tar.gz", "tiny-imagenet-200.zip"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder deep enough that names with `../` would lead to somewhere inside the test's own."""
    folder = tmp_path / "a/b/home"
    write_folder(folder / "photos", archives.pictures(dict.fromkeys(archives.CLASSES, "{c}/{i}.jpg")))
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    (tmp_path / "secret.jpg").write_bytes(b"root:x:0:0")
    monkeypatch.chdir(folder)
    return folder


def unpacked(name: str) -> Files:
    """The harmless archive's members."""
    layout = {CUB: archives.cub200, CIFAR: archives.cifar100}[name]
    with tarfile.open(fileobj=io.BytesIO(layout()[name])) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def outside(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if root / "a/b/home/data" not in (path, *path.parents)}


def prepared(dataset: str) -> list[Path]:
    return list(Path("data", dataset).glob("*/manifest.json"))


def prepare(
    dataset: str, archive: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """What `aikd prepare` says of an archive that `aikd download` has taken; nothing but data/ may change."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / archive).write_bytes(content)
    before = outside(tmp_path)
    assert main(["download", archive, "--mirror", str(mirror), "--accept-other"]) == 0
    capsys.readouterr()
    code = main(["prepare", dataset, "--study", "study.yaml", "--workers", "1"])
    said = capsys.readouterr().err
    assert outside(tmp_path) == before
    assert "Traceback" not in said
    assert len(prepared(dataset)) == (code == 0)
    if code:
        assert said.startswith("aikd prepare: ")
        assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_names_that_lead_elsewhere_are_never_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    names = ["../up.jpg", "../../../up.jpg", str(tmp_path / "absolute.jpg"), "C:\\up.jpg"]
    if kind == "zip":
        archive = io.BytesIO(archives.tiny_imagenet()[TINY])
        with zipfile.ZipFile(archive, "a") as out:
            for name in names:
                out.writestr(name, b"1")
        said = prepare("tiny_imagenet", TINY, archive.getvalue(), tmp_path, capsys)
    else:
        content = archives.tar(unpacked(CUB) | dict.fromkeys(names, b"1"), "w:gz")
        said = prepare("cub200", CUB, content, tmp_path, capsys)
    assert "6 training and 4 evaluation images of 2 classes" in said


@pytest.mark.parametrize("name", ["../../../secret.jpg", "/etc/passwd"])
def test_a_list_that_leads_elsewhere_reads_nothing_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files = unpacked(CUB)
    files["CUB_200_2011/images.txt"] = files["CUB_200_2011/images.txt"].replace(
        b"001.ape/ape_0.jpg", name.encode()
    )
    assert "lacks 1 of 10 files: " in prepare("cub200", CUB, archives.tar(files, "w:gz"), tmp_path, capsys)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_place_of_an_image_is_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: bytes
) -> None:
    image, archive = "CUB_200_2011/images/001.ape/ape_0.jpg", io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in unpacked(CUB).items():
            if name == image:
                add(tar, name, kind=kind, to=str(tmp_path / "secret.jpg"))
            else:
                add(tar, name, data)
    said = prepare("cub200", CUB, archive.getvalue(), tmp_path, capsys)
    assert f"lacks 1 of 10 files: {image}" in said


def test_a_link_in_a_zip_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original, archive = zipfile.ZipFile(io.BytesIO(archives.tiny_imagenet()[TINY])), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for info in original.infolist():
            data = original.read(info)
            if info.filename.endswith("n01_0.JPEG"):
                info.external_attr, data = 0o120777 << 16, str(tmp_path / "secret.jpg").encode()
            out.writestr(info, data)
    said = prepare("tiny_imagenet", TINY, archive.getvalue(), tmp_path, capsys)
    assert "expected 2 classes, 6 training and 4 test images; found 2 classes, 5 training" in said


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_bomb_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(containers, "FILE", 2**20)
    if kind == "zip":
        original, archive = zipfile.ZipFile(io.BytesIO(archives.tiny_imagenet()[TINY])), io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for name in original.namelist():
                out.writestr(name, bytes(2**21) if name.endswith("n01_0.JPEG") else original.read(name))
        said = prepare("tiny_imagenet", TINY, archive.getvalue(), tmp_path, capsys)
    else:
        files = unpacked(CUB) | {"CUB_200_2011/images/001.ape/ape_0.jpg": bytes(2**21)}
        said = prepare("cub200", CUB, archives.tar(files, "w:gz"), tmp_path, capsys)
    assert "is larger than 1,048,576 bytes" in said


def test_an_image_that_is_a_bomb_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(file, "PNG")
    image = "CUB_200_2011/images/001.ape/ape_0.jpg"
    said = prepare(
        "cub200", CUB, archives.tar(unpacked(CUB) | {image: file.getvalue()}, "w:gz"), tmp_path, capsys
    )
    assert image in said


class Call:
    """Pickled, it makes whoever loads it run a statement."""

    def __reduce__(self) -> Any:
        return exec, ("import sys; sys.canary = 1",)


@pytest.mark.parametrize("member", ["meta", "train", "test"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_pickle_that_runs_code_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], member: str, whole: bool
) -> None:
    files = unpacked(CIFAR)
    name = f"cifar-100-python/{member}"
    hostile = Call() if whole else pickle.loads(files[name]) | {b"more": [Call()]}
    files[name] = pickle.dumps(hostile, protocol=2)
    said = prepare("cifar100", CIFAR, archives.tar(files, "w:gz"), tmp_path, capsys)
    assert name in said
    assert not hasattr(sys, "canary")


def prepare_mine(capsys: pytest.CaptureFixture[str]) -> str:
    look.cache_clear()  # each call stands for a process of its own
    code = main(["prepare", "mine", "--study", "study.yaml", "--workers", "1"])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (1, 1)
    assert not prepared("mine")
    return said


def test_a_link_out_of_ones_own_folder_is_followed_but_must_be_an_image(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = home / "photos/ape/more.jpg"
    link.symlink_to(tmp_path / "secret.jpg")
    said = prepare_mine(capsys)
    assert "ape/more.jpg" in said
    assert "root" not in said
    link.unlink()
    (tmp_path / "elsewhere.jpg").write_bytes(archives.picture(0, 9))
    link.symlink_to(tmp_path / "elsewhere.jpg")
    look.cache_clear()
    assert main(["prepare", "mine", "--study", "study.yaml", "--workers", "1"]) == 0


@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "nothing"])
def test_a_link_to_what_never_ends_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    os.mkfifo(home / "pipe")
    (home / "photos/ape/more.jpg").symlink_to(target if target.startswith("/") else home / target)
    assert "ape/more.jpg: a link to nothing" in prepare_mine(capsys)


def test_a_link_round_in_a_circle_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "photos/ape/more").symlink_to(home / "photos/ape")
    assert "ape/more: a link to a folder that contains it" in prepare_mine(capsys)
