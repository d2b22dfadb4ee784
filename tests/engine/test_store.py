"""Prepared data: what is written, what is found again, and what is refused."""

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from aikd.engine import store
from aikd.engine.sources.digits import prepare as prepare_digits
from aikd.engine.sources.listing import Entry, Listing
from aikd.engine.sources.packing import pack
from aikd.engine.store import Packed, Prepared, write_prepared
from aikd.errors import UserError


@pytest.fixture
def copied(digits: Prepared, tmp_path: Path) -> Path:
    """A prepared set to damage."""
    return Path(shutil.copytree(digits.folder, tmp_path / "digits"))


SIZES = {"train": [(4, 5), (3, 3), (7, 2), (4, 5)], "test": [(2, 2), (6, 1)]}


def pixels(split: str, i: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Image i of a split of `birds`."""
    return np.random.default_rng([len(split), i]).integers(256, size=(*SIZES[split][i], 3), dtype=np.uint8)


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A small packed set of two classes, to damage."""
    files, entries = (
        [],
        {split: [Entry(f"{split}{i}", i % 2) for i in range(len(SIZES[split]))] for split in SIZES},
    )
    for split, sizes in SIZES.items():
        for i in range(len(sizes)):
            file = io.BytesIO()
            Image.fromarray(pixels(split, i)).save(file, "PNG")
            files.append((f"{split}{i}", file.getvalue()))
    listing = Listing(["a", "b"], entries["train"], entries["test"])
    sides: Any = {"train": None, "test": None}
    pack(tmp_path / "birds", listing, iter(files), name="birds", source={}, sides=sides, workers=1)
    return tmp_path / "birds"


def describe(folder: Path, name: str, array: np.ndarray[Any, Any], **facts: Any) -> None:
    """Replace an array, and describe the new one in the manifest as if it were the right one."""
    np.save(folder / name, array)
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    manifest["arrays"][name] = {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "sha256": digest,
    } | facts
    (folder / "manifest.json").write_text(json.dumps(manifest))


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
            "dtype": str(array.dtype),
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        }


def test_prepared_twice_is_equal_byte_for_byte(digits: Prepared, tmp_path: Path) -> None:
    prepare_digits(tmp_path)
    for file in digits.folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in digits.folder.iterdir()}


def test_moments_are_those_of_the_training_images_alone(tmp_path: Path) -> None:
    black, white = (np.full((2, 3, 2, 2), value, np.uint8) for value in (0, 255))
    labels = np.zeros(2, np.int64)
    manifest = write_prepared(tmp_path, "x", ["a"], {"train": (black, labels), "test": (white, labels)}, {})
    assert (manifest["mean"], manifest["std"]) == ([0, 0, 0], [0, 0, 0])


def test_moments_are_those_of_plain_numpy(tmp_path: Path) -> None:
    """More values than are counted at a time, and channels that differ."""
    rng = np.random.default_rng(0)
    train = (rng.integers(256, size=(500, 3, 32, 32)) // np.array([1, 2, 5])[:, None, None]).astype(np.uint8)
    assert train.size > 2**20
    labels, test = np.zeros(500, np.int64), (train[:1], np.zeros(1, np.int64))
    manifest = write_prepared(tmp_path, "x", ["a"], {"train": (train, labels), "test": test}, {})
    assert manifest["mean"] == pytest.approx((train / 255).mean((0, 2, 3)), abs=6e-7)
    assert manifest["std"] == pytest.approx((train / 255).std((0, 2, 3)), abs=6e-7)


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


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_an_array_that_cannot_be_read_now_is_not_called_damaged(
    copied: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    prepared = Prepared.open(copied)
    monkeypatch.setattr(np.lib.format, "open_memmap", refuse)
    with pytest.raises(UserError) as error:
        prepared.labels("test")
    assert str(error.value) == f"{copied / 'test_labels.npy'}: {os.strerror(number)}"


@pytest.mark.parametrize("damage", [_remove, _truncate, _scribble, _empty])
def test_damaged_manifest_is_named(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied / "manifest.json")
    advice = "no such file" if damage is _remove else ".*; delete it and prepare the data again"
    with pytest.raises(UserError, match=rf"digits/manifest\.json: {advice}"):
        Prepared.open(copied)


@pytest.mark.parametrize("damage", [_remove, _truncate, _scribble, _empty])
@pytest.mark.parametrize("name", ["train_images.bin", "train_index.npy", "train_labels.npy"])
def test_damaged_file_of_a_packed_set_is_named(
    birds: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(birds / name)
    prepared = Prepared.open(birds)
    with pytest.raises(UserError, match=rf"birds/{name}: .*prepare"):
        prepared.images("train"), prepared.labels("train")
    assert len(prepared.images("test")) == len(prepared.labels("test")) == 2


@pytest.mark.parametrize("name", ["train_images.bin", "train_index.npy", "train_labels.npy"])
def test_a_single_wrong_byte_is_noticed(birds: Path, name: str) -> None:
    content = bytearray((birds / name).read_bytes())
    content[-1] ^= 1
    (birds / name).write_bytes(content)
    prepared = Prepared.open(birds)
    with pytest.raises(UserError, match=rf"birds/{name}: is not the array that the manifest describes"):
        prepared.images("train"), prepared.labels("train")


@pytest.mark.parametrize("limit", ["small", "large"])
def test_images_that_are_not_those_of_the_manifest_are_refused(
    birds: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A copy that was interrupted may have the right length, and holes of zeros."""
    path = birds / "train_images.bin"
    size = path.stat().st_size
    monkeypatch.setattr(store, "CHECKED", size if limit == "small" else size - 1)
    assert Prepared.open(birds).images("train")[0].any()
    path.write_bytes(bytes(size))
    for _ in range(2):
        with pytest.raises(UserError, match=r"train_images\.bin: is not the array"):
            Prepared.open(birds).images("train")


def test_a_large_file_is_compared_once_and_again_where_it_has_changed(
    birds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = birds / "train_images.bin"
    monkeypatch.setattr(store, "CHECKED", path.stat().st_size - 1)
    said = f"{path}: comparing 0.0 GB with their hash, once\n"
    for expected in (said, ""):
        Prepared.open(birds).images("train")
        assert capsys.readouterr().err == expected
    note = birds / ".train_images.bin.checked"
    note.write_text("{")
    os.utime(path, ns=(1, 1))
    other = birds / "other"
    shutil.copy2(path, other)
    for change in (lambda: None, lambda: other.replace(path), lambda: note.write_text("[]")):
        change()
        Prepared.open(birds).images("train")
        assert capsys.readouterr().err == said


def test_a_large_file_in_a_folder_that_is_only_read_is_compared_each_time(
    birds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "CHECKED", (birds / "train_images.bin").stat().st_size - 1)
    monkeypatch.setattr(store, "write_json", refuse)
    for _ in range(2):
        Prepared.open(birds).images("train")
    assert capsys.readouterr().err.count("comparing") == 2


@pytest.mark.parametrize(
    "place", [(-1, 2, 2), (0, 0, 5), (0, 4, -5), (75, 4, 5), (2**40, 4, 5), (0, 2**31, 2**31), (0, 2**62, 4)]
)
def test_an_index_that_points_outside_is_refused(birds: Path, place: tuple[int, int, int]) -> None:
    """Also where the manifest agrees with it, and where sizes multiplied would wrap around."""
    index = np.load(birds / "test_index.npy")
    assert index.tolist() == [[0, 2, 2], [12, 6, 1]]
    index[1] = place
    describe(birds, "test_index.npy", index)
    with pytest.raises(UserError, match=r"test_index\.npy: points outside test_images\.bin"):
        Prepared.open(birds).images("test")


@pytest.mark.parametrize("columns", [2, 4])
def test_an_index_of_another_width_is_refused(birds: Path, columns: int) -> None:
    describe(birds, "test_index.npy", np.ones((2, columns), np.int64))
    with pytest.raises(UserError, match=r"test_index\.npy: points outside"):
        Prepared.open(birds).images("test")


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_of_no_class_are_refused(birds: Path, label: int) -> None:
    describe(birds, "train_labels.npy", np.array([0, 1, label, 1]))
    with pytest.raises(UserError, match=rf"train_labels\.npy: found labels .*{label}.* 2 classes"):
        Prepared.open(birds).labels("train")


@pytest.mark.parametrize("kind", ["labels", "index"])
def test_another_number_of_images_than_the_manifest_s_is_refused(birds: Path, kind: str) -> None:
    name = f"train_{kind}.npy"
    describe(birds, name, np.load(birds / name)[:3])
    prepared = Prepared.open(birds)
    with pytest.raises(UserError, match=rf"{name}: holds 3 images, the manifest says 4"):
        prepared.images("train"), prepared.labels("train")


def test_arrays_of_another_length_are_refused(copied: Path) -> None:
    describe(copied, "test_images.npy", np.zeros((895, 3, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"test_images\.npy: holds 895 images, the manifest says 896"):
        Prepared.open(copied).images("test")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("train_labels.npy", np.zeros(4, np.float64)),
        ("train_labels.npy", np.zeros((4, 1), np.int64)),
        ("train_index.npy", np.zeros((4, 3), np.int32)),
        ("train_index.npy", np.zeros(4, np.int64)),
    ],
)
def test_arrays_of_another_kind_are_refused(birds: Path, name: str, array: Any) -> None:
    describe(birds, name, array)
    prepared = Prepared.open(birds)
    with pytest.raises(UserError, match=rf"{name}: found . dimensions of \w+, expected . of int64"):
        prepared.images("train"), prepared.labels("train")


def test_an_array_of_another_type_than_the_manifest_s_is_refused(birds: Path) -> None:
    describe(birds, "train_labels.npy", np.zeros(4, np.int64), dtype="int32")
    with pytest.raises(UserError, match=r"train_labels\.npy: found"):
        Prepared.open(birds).labels("train")


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


@pytest.mark.parametrize("name", ["train_images.bin", "test_index.npy", "train_labels.npy"])
def test_manifest_without_an_array_is_refused(birds: Path, name: str) -> None:
    manifest = json.loads((birds / "manifest.json").read_text())
    described = manifest["arrays"].pop(name)
    (birds / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"manifest\.json: lacks arrays/\w+\.npy; prepare the data again"):
        Prepared.open(birds)
    for fact in described:
        manifest["arrays"][name] = {key: value for key, value in described.items() if key != fact}
        (birds / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=rf"manifest\.json: lacks arrays/{name}/{fact}; prepare"):
            Prepared.open(birds)


@pytest.mark.parametrize(
    ("key", "value"),
    [("classes", "2"), ("train", 4.5), ("mean", "grey"), ("arrays", []), ("class_names", None)],
)
def test_manifest_with_a_wrong_value_is_refused(birds: Path, key: str, value: Any) -> None:
    manifest = json.loads((birds / "manifest.json").read_text())
    (birds / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(UserError, match=rf"manifest\.json: {key}: .*; prepare the data again"):
        Prepared.open(birds)


def test_images_are_read_without_loading_them(digits: Prepared) -> None:
    assert isinstance(digits.images("train"), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        digits.images("train")[0] = 0


def test_images_of_different_sizes_are_read_one_by_one(birds: Path) -> None:
    prepared = Prepared.open(birds)
    assert prepared.channels == 3
    for split in ("train", "test"):
        images = prepared.images(split)
        assert isinstance(images, Packed)
        assert images.sizes.tolist() == [list(size) for size in SIZES[split]]
        assert len(images) == len(SIZES[split])
        for i, image in enumerate(images):
            np.testing.assert_array_equal(image, pixels(split, i))
            assert isinstance(image, np.memmap)
            with pytest.raises(ValueError, match="read-only"):
                image[0] = 0
        np.testing.assert_array_equal(images[-1], pixels(split, len(images) - 1))
        with pytest.raises(IndexError):
            images[len(images)]
        assert prepared.labels(split).tolist() == [i % 2 for i in range(len(images))]


@pytest.mark.parametrize("offsets", [[0, 36, 72], [72, 36, 0], [0, 36, 73]])
def test_images_of_one_size_are_one_view_only_where_they_lie_in_order(offsets: list[int]) -> None:
    data = np.random.default_rng(0).integers(256, size=120, dtype=np.uint8)
    packed = Packed(data, np.array([[offset, 4, 3] for offset in offsets]))
    array = packed.as_array()
    if offsets == [0, 36, 72]:
        assert array is not None
        assert np.shares_memory(array, data)
        np.testing.assert_array_equal(array, np.stack([image.transpose(2, 0, 1) for image in packed]))
    else:
        assert array is None
