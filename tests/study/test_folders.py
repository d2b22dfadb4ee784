"""A user's folder of images: classes, counts, and the fingerprint by which changes are noticed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from aikd.errors import UserError
from aikd.study.folders import (
    EXTENSIONS,
    Scan,
    fingerprint,
    held_out,
    kept_file,
    read_tree,
    scan,
    scan_or_kept,
)

Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """A folder with these files, each as long as its name."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * len(name))
        return tmp_path

    return make


SPLIT = ("train/cat/1.jpg", "train/cat/2.png", "train/dog/1.jpg", "test/cat/3.jpg", "test/dog/2.jpg")
FLAT = ("cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/2.jpg")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        scan(folder, 0.2)
    return str(error.value)


def test_a_folder_with_a_split_of_its_own_keeps_it(fill: Fill) -> None:
    folder = fill(*SPLIT)
    assert scan(folder, 0.5) == Scan({"cat": 2, "dog": 1}, 2, split="test")
    tree = read_tree(folder)
    assert tree.train == {"cat": ["train/cat/1.jpg", "train/cat/2.png"], "dog": ["train/dog/1.jpg"]}
    assert tree.test == {"cat": ["test/cat/3.jpg"], "dog": ["test/dog/2.jpg"]}


@pytest.mark.parametrize("second", ["val", "valid", "TEST", "Valid"])
def test_the_second_half_may_be_called_otherwise(fill: Fill, second: str) -> None:
    folder = fill(*(name.replace("test/", f"{second}/") for name in SPLIT))
    assert scan(folder, 0.5) == Scan({"cat": 2, "dog": 1}, 2, split=second)


def test_val_is_not_looked_into_where_there_is_a_test(fill: Fill) -> None:
    folder = fill(*SPLIT, "val/cat/1.jpg", "val/horse/1.jpg", "extra/x.jpg")
    assert scan(folder, 0.5) == Scan({"cat": 2, "dog": 1}, 2, ["extra", "val"], split="test")


def test_class_folders_are_to_be_split(fill: Fill) -> None:
    folder = fill(*FLAT)
    tree = read_tree(folder)
    assert (list(tree.train.values()), tree.test) == ([list(FLAT[:3]), list(FLAT[3:])], None)
    assert scan(folder, 0.2) == Scan({"cat": 2, "dog": 1}, 2)
    assert scan(folder, 0.7) == Scan({"cat": 1, "dog": 1}, 3)
    assert scan(folder, 0.7).train == 2


@given(images=st.integers(2, 10_000), fraction=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_every_class_is_in_both_halves_and_else_the_fraction_is_rounded(images: int, fraction: float) -> None:
    held = held_out(images, fraction)
    assert 1 <= held <= images - 1
    assert abs(held - fraction * images) <= 0.5 or held in (1, images - 1)


def test_a_class_called_train_is_told_from_half_a_split(fill: Fill) -> None:
    assert list(scan(fill("train/1.jpg", "train/steam/2.jpg", *FLAT), 0.2).classes) == ["cat", "dog", "train"]


@pytest.mark.parametrize("half", ["train", "test", "Val"])
def test_half_a_split_is_not_taken_for_a_class(fill: Fill, half: str) -> None:
    names = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    folder = fill(*(f"{half}/{name}" for name in names), *(f"validation/{name}" for name in names))
    message = f"{folder}: found {half}/ with folders in it; a split is train/ and one of test/, val/, valid/"
    assert refusal(folder) == message


def test_images_are_found_as_image_folder_finds_them_and_gif_too(fill: Fill) -> None:
    names = [f"cat/{i}{e}" for i, e in enumerate((*IMG_EXTENSIONS, ".JPG", ".Jpeg"))]
    folder = fill(
        *names,
        "dog/a/b/1.jpg",
        "dog/a/2.jpg",
        "dog/2.jpg",
        "dog/notes.txt",
        "dog/jpg",
        "owl/x y.png",
        "owl/ü.png",
    )
    reference = ImageFolder(str(folder))
    tree = read_tree(folder)
    assert list(tree.train) == reference.classes
    paths = {path for images in tree.train.values() for path in images}
    assert paths == {Path(path).relative_to(folder).as_posix() for path, _ in reference.samples}
    assert tree.passed_over == ["dog/jpg", "dog/notes.txt"]
    fill("dog/3.gif")
    assert "dog/3.gif" in read_tree(folder).train["dog"]
    assert set(EXTENSIONS) == {*IMG_EXTENSIONS, ".gif"}


def test_what_is_no_image_is_counted_and_hidden_files_are_not(fill: Fill) -> None:
    hidden = (".DS_Store", ".cache/1.jpg", "cat/._1.jpg", "cat/.thumbs/1.jpg")
    folder = fill(*FLAT, *hidden, "readme.md", "1.jpg", "dog/labels.csv")
    os.mkfifo(folder / "dog/pipe.jpg")
    passed_over = ["1.jpg", "readme.md", "dog/labels.csv", "dog/pipe.jpg"]
    found = scan(folder, 0.2)
    assert found == Scan({"cat": 2, "dog": 1}, 2, passed_over)
    assert found.remark == (
        "passed over 4: 1.jpg, readme.md, dog/labels.csv, …; in no class folder, or not named like an image "
        f"({', '.join(EXTENSIONS)})"
    )
    assert (
        scan(fill("new/cat/1.jpg", *(f"new/{name}" for name in FLAT), "new/.hidden") / "new", 0.2).remark
        is None
    )


def test_links_are_followed(fill: Fill, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere, folder = tmp_path_factory.mktemp("elsewhere"), fill(*FLAT)
    for name in ("1.jpg", "2.jpg"):
        (elsewhere / name).write_bytes(b"abc")
    (folder / "dog/linked.jpg").symlink_to(elsewhere / "1.jpg")
    (folder / "owl").symlink_to(elsewhere)
    tree = read_tree(folder)
    assert tree.train["dog"][-1] == "dog/linked.jpg"
    assert tree.train["owl"] == ["owl/1.jpg", "owl/2.jpg"]
    before = fingerprint(folder)
    (elsewhere / "1.jpg").write_bytes(b"abcd")
    assert fingerprint(folder) != before


def test_a_broken_link_and_a_circle_are_refused(fill: Fill) -> None:
    folder = fill(*FLAT, "dog/a/1.jpg")
    (folder / "dog/a/gone.jpg").symlink_to(folder / "nowhere.jpg")
    assert refusal(folder) == f"{folder}/dog/a/gone.jpg: a link to nothing"
    (folder / "dog/a/gone.jpg").unlink()
    (folder / "dog/a/back").symlink_to(folder / "dog")
    assert refusal(folder) == f"{folder}/dog/a/back: a link to a folder that contains it"


def test_two_folders_that_link_to_each_other_are_refused(fill: Fill) -> None:
    folder = fill(*FLAT)
    (folder / "cat/x").symlink_to(folder / "dog")
    (folder / "dog/y").symlink_to(folder / "cat")
    assert "a link to a folder that contains it" in refusal(folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat/1.jpg", *FLAT[3:]), "/cat: found 1 images in this class folder, of 2 or more needed; images end"),
        (("cat/1.txt", *FLAT[3:]), "/cat: found 0 images in this class folder, of 2 or more needed"),
        (FLAT[:3], ": found 1 class folders (cat); at least two are needed, one for each class"),
        (("1.jpg", "2.jpg"), ": found 0 class folders (none); at least two are needed"),
        ((*SPLIT, "train/owl/1.jpg"), ": 1 classes are in train/ only: owl"),
        ((*SPLIT, *(f"test/{i}/1.jpg" for i in range(6))), ": 6 classes are in test/ only: 0, 1, 2, 3, 4, …"),
        ((*SPLIT, "test/cow/1.txt"), "/test/cow: found 0 images in this class folder, of 1 or more needed"),
        (("train/1.jpg", "test/2.jpg"), "/train: found 0 class folders (none); at least two are needed"),
    ],
)  # fmt: skip
def test_folders_that_are_no_data_set_are_refused(fill: Fill, names: tuple[str, ...], message: str) -> None:
    folder = fill(*names)
    assert refusal(folder).startswith(f"{folder}{message}")


def test_a_folder_that_cannot_be_read_is_refused(fill: Fill) -> None:
    folder = fill(*FLAT)
    assert refusal(folder / "none") == f"{folder}/none: cannot be read (No such file or directory)"
    assert refusal(folder / "cat/1.jpg") == f"{folder}/cat/1.jpg: cannot be read (Not a directory)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_class_folder_without_permission_is_refused(fill: Fill) -> None:
    folder = fill(*FLAT)
    (folder / "dog").chmod(0)
    try:
        assert refusal(folder) == f"{folder}/dog: cannot be read (Permission denied)"
    finally:
        (folder / "dog").chmod(0o755)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS allows no such names")
@pytest.mark.parametrize("name", [b"dog/\xff.jpg", b"\xff/1.jpg"])
def test_names_that_are_not_utf8_are_refused(fill: Fill, name: bytes) -> None:
    folder = fill(*FLAT)
    (folder / os.fsdecode(name)).parent.mkdir(exist_ok=True)
    (folder / os.fsdecode(name)).touch()
    assert "which is not UTF-8; rename it" in refusal(folder)
    assert refusal(folder).isprintable()


def test_the_fingerprint_changes_with_the_images_and_with_nothing_else(fill: Fill) -> None:
    folder = fill(*FLAT, "dog/notes.txt")
    prints = [fingerprint(folder)]
    (folder / "dog/notes.txt").write_bytes(b"other")
    os.utime(folder / "dog/1.jpg", (0, 0))
    assert fingerprint(folder) == prints[0]
    added, renamed, moved = (folder / name for name in ("dog/3.jpg", "dog/4.jpg", "cat/4.jpg"))
    for change in (
        added.touch,
        partial(added.rename, renamed),
        partial(renamed.rename, moved),
        partial(moved.write_bytes, b"longer than before"),
        moved.unlink,
    ):
        change()
        prints.append(fingerprint(folder))
    assert prints[-1] == prints[0]
    assert len(set(prints)) == 5


def test_the_fingerprint_covers_the_test_images(fill: Fill) -> None:
    folder = fill(*SPLIT)
    before = fingerprint(folder)
    (folder / "test/dog/2.jpg").write_bytes(b"")
    assert fingerprint(folder) != before


def test_the_fingerprint_does_not_depend_on_where_the_folder_is(fill: Fill) -> None:
    folder = fill(*(f"a/{name}" for name in FLAT), *(f"b/{name}" for name in reversed(FLAT)))
    assert fingerprint(folder / "a") == fingerprint(folder / "b")


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"classes": [], "test": 3}, "classes: "),
        ({"classes": {"a": "many"}, "test": 3}, "classes.a: "),
        ({"classes": {"a": 3}}, "test: "),
        ({"classes": {"a": 3}, "test": 3, "passed_over": 1}, "passed_over: "),
    ],
)
def test_what_was_kept_of_a_folder_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: dict[str, Any], said: str
) -> None:
    """It came in an archive, of which only the hash was compared."""
    monkeypatch.chdir(tmp_path)
    file = kept_file("photos", 0.2)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(kept))
    with pytest.raises(UserError, match=rf"{file.name}: not what a folder held \({said}"):
        scan_or_kept(Path("photos"), 0.2)
    whole = {"classes": {"a": 3}, "test": 3, "passed_over": ["x"], "split": None, "fingerprint": "ab"}
    file.write_text(json.dumps(whole))
    assert scan_or_kept(Path("photos"), 0.2) == Scan({"a": 3}, 3, ["x"])


def test_looking_at_a_folder_needs_neither_numpy_nor_torch() -> None:
    code = "import sys, aikd.study.folders; print(sorted({'numpy', 'torch', 'pydantic'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
