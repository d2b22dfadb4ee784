"""Prepared data: what is written, what is found again, and what is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from aikd.engine.sources import prepare
from aikd.engine.store import Prepared, write_prepared
from aikd.errors import UserError


@pytest.fixture
def copied(digits: Prepared, tmp_path: Path) -> Path:
    """A prepared set to damage."""
    return Path(shutil.copytree(digits.folder, tmp_path / "digits"))


def test_digits_are_split_in_half_class_by_class(digits: Prepared) -> None:
    source = load_digits()
    counts = {split: np.bincount(digits.labels(split)) for split in ("train", "test")}
    assert (counts["train"].sum(), counts["test"].sum()) == (901, 896)
    assert (counts["train"] + counts["test"]).tolist() == np.bincount(source.target).tolist()
    assert set(counts["train"] - counts["test"]) <= {0, 1}


def test_digits_are_all_there_each_on_one_side(digits: Prepared) -> None:
    """Every image of the source, with its label, once: training and test set share none."""
    source = load_digits()
    grey = np.rint(source.images * 255 / 16).astype(np.uint8)
    expected = sorted((image.tobytes(), int(label)) for image, label in zip(grey, source.target, strict=True))
    found = []
    for split in ("train", "test"):
        images, labels = digits.images(split), digits.labels(split)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert (images == images[:, :1]).all()
        found += [(image[0].tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]
    assert sorted(found) == expected
    assert len(set(expected)) == 1797  # no image twice, so none on both sides


def test_manifest_describes_what_is_stored(digits: Prepared) -> None:
    manifest = json.loads((digits.folder / "manifest.json").read_text())
    assert manifest == digits.manifest
    assert (manifest["name"], manifest["classes"], manifest["train"], manifest["test"]) == (
        "digits",
        10,
        901,
        896,
    )
    assert manifest["class_names"] == [str(digit) for digit in range(10)]
    pixels = digits.images("train") / 255
    assert manifest["mean"] == pytest.approx(pixels.mean((0, 2, 3)), abs=1e-6)
    assert manifest["std"] == pytest.approx(pixels.std((0, 2, 3)), abs=1e-6)
    for name, described in manifest["arrays"].items():
        array = np.load(digits.folder / name)
        assert described == {
            "shape": list(array.shape),
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        }


def test_prepared_twice_is_equal_byte_for_byte(digits: Prepared, tmp_path: Path) -> None:
    prepare("digits", tmp_path)
    for file in digits.folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in digits.folder.iterdir()}


def test_unknown_data_set_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"digit.*digits"):
        prepare("digit", tmp_path)


def test_moments_are_those_of_the_training_images_alone(tmp_path: Path) -> None:
    black, white = (np.full((2, 3, 2, 2), value, np.uint8) for value in (0, 255))
    labels = np.zeros(2, np.int64)
    manifest = write_prepared(tmp_path, "x", ["a"], {"train": (black, labels), "test": (white, labels)}, {})
    assert (manifest["mean"], manifest["std"]) == ([0, 0, 0], [0, 0, 0])


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _scribble(path: Path) -> None:
    path.write_bytes(b"\x00scribble")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_remove, _truncate, _scribble, _empty])
@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy"])
def test_damaged_array_is_named(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(copied / name)
    prepared = Prepared.open(copied)
    with pytest.raises(UserError, match=rf"digits/{name}: .*prepare"):
        prepared.images("train"), prepared.labels("test")


@pytest.mark.parametrize("damage", [_remove, _truncate, _scribble, _empty])
def test_damaged_manifest_is_named(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied / "manifest.json")
    with pytest.raises(UserError, match=r"digits/manifest\.json"):
        Prepared.open(copied)


def test_array_of_another_shape_is_refused(copied: Path) -> None:
    np.save(copied / "train_images.npy", np.zeros((901, 3, 9, 9), np.uint8))
    expected = r"train_images\.npy: found shape \[901, 3, 9, 9\], the manifest says \[901, 3, 8, 8\]"
    with pytest.raises(UserError, match=expected):
        Prepared.open(copied).images("train")


@pytest.mark.parametrize("key", ["classes", "mean", "arrays"])
def test_manifest_without_a_key_is_refused(copied: Path, key: str) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest[key]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"manifest\.json: lacks {key}"):
        Prepared.open(copied)


def test_images_are_read_without_loading_them(digits: Prepared) -> None:
    assert isinstance(digits.images("train"), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        digits.images("train")[0] = 0
