"""Prepared data: a folder with `manifest.json` and the decoded images.

Images of one array lie in `<split>_images.npy`, [N, C, H, W]. Those of different sizes lie one after the other in
`<split>_images.bin`, each [H, W, 3], and `<split>_index.npy` says where. Labels and index are in the order of the
published lists.
"""

import hashlib
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from aikd.errors import UserError
from aikd.files import leftovers, read_json, replacing, write_json
from aikd.messages import say
from aikd.records import data_digest
from aikd.study.layout import MANIFEST

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

UNFINISHED = ".unfinished"
"""Stands beside a manifest while its arrays are exchanged, or where they are of other sources than there are now."""

AGAIN = "prepare the data again with `aikd prepare`"
CHECKED = 2**28
"""Bytes up to which an array is compared with the manifest's hash whenever it is opened: a fraction of a second. A
larger one is when its file is new to this machine, or has changed."""


class Facts(BaseModel, strict=True):
    """What the manifest says of one array."""

    shape: list[int]
    dtype: str
    sha256: str
    """Of its bytes in C order."""


class _Manifest(BaseModel, strict=True):
    name: str
    classes: int
    class_names: list[str]
    train: int
    test: int
    mean: list[float]
    std: list[float]
    source: dict[str, Any]
    arrays: dict[str, Facts]
    conversions: dict[str, Any]


class Packed:
    """Images of different sizes in one memory-mapped file: `packed[i]` is uint8 [H, W, 3], not copied.

    Args:
        data: uint8 [bytes].
        index: int64 [N, 3]: offset in bytes, height and width of each image.
    """

    def __init__(self, data: NDArray[np.uint8], index: NDArray[np.int64]) -> None:
        self._data, self._index = data, index

    def __len__(self) -> int:
        return len(self._index)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of each image, int64 [N, 2]."""
        return self._index[:, 1:]

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        offset, height, width = self._index[i].tolist()
        return self._data[offset : offset + 3 * height * width].reshape(height, width, 3)

    def as_array(self) -> NDArray[np.uint8] | None:
        """All images as a view [N, 3, H, W], where they have one size and lie in order."""
        n, (height, width) = len(self), self.sizes[0].tolist()
        size = 3 * height * width
        if (self.sizes != self.sizes[0]).any() or (self._index[:, 0] != size * np.arange(n)).any():
            return None
        return self._data[: n * size].reshape(n, height, width, 3).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Prepared:
    """A prepared data set, memory-mapped."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Prepared":
        """Open the data set in `folder`; its arrays are checked when they are asked for.

        Raises:
            UserError: it is not there, its manifest is damaged, or a preparation of it did not come to its end.
        """
        manifest = read_json(folder / MANIFEST, f"delete it and {AGAIN}")
        if (folder / UNFINISHED).exists():
            raise UserError(f"{folder}: the last preparation did not come to its end; {AGAIN}")
        try:
            arrays = _Manifest.model_validate(manifest).arrays
        except ValidationError as error:
            problems = ", ".join(_problem(detail) for detail in error.errors()[:3])
            raise UserError(f"{folder / MANIFEST}: {problems}; {AGAIN}") from None
        for file in (file for split in SPLITS for file in _files(split, arrays)):
            if file not in arrays:
                raise UserError(f"{folder / MANIFEST}: lacks arrays/{file}; {AGAIN}")
        return cls(folder, manifest)

    @property
    def digest(self) -> str:
        """SHA-256 of all that runs take from it: its arrays, of which the manifest has theirs, and its moments."""
        return data_digest(self.manifest)

    @property
    def channels(self) -> int:
        """Channels of the images, from the manifest: no array is opened, and none is hashed, for it."""
        channels: int = self.manifest["arrays"].get("train_images.npy", {"shape": [0, 3]})["shape"][1]
        return channels

    def images(self, split: Split) -> NDArray[np.uint8] | Packed:
        """Images of a split: uint8 [N, C, H, W] where all have one size, else `Packed`.

        Raises:
            UserError: the files are missing, or not those that the manifest describes.
        """
        images, *index, _ = _files(split, self.manifest["arrays"])
        data: NDArray[np.uint8] = self._array(images, np.uint8, 1 if index else 4)
        if not index:
            self._check_count(images, split, len(data))
            return data
        places: NDArray[np.int64] = self._array(index[0], np.int64, 2)
        self._check_count(index[0], split, len(places))
        if places.shape[1] != 3 or not _inside(places, len(data)):
            raise UserError(f"{self.folder / index[0]}: points outside {images}; {AGAIN}")
        packed = Packed(data, places)
        array = packed.as_array()
        return packed if array is None else array

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Labels of a split, int64 [N], 0..classes - 1.

        Raises:
            UserError: as for `images`.
        """
        *_, file = _files(split, self.manifest["arrays"])
        labels: NDArray[np.int64] = self._array(file, np.int64, 1)
        self._check_count(file, split, len(labels))
        classes = self.manifest["classes"]
        if labels.min() < 0 or labels.max() >= classes:
            raise UserError(
                f"{self.folder / file}: found labels {labels.min()} to {labels.max()}, but there are "
                f"{classes} classes; {AGAIN}"
            )
        return labels

    def _check_count(self, file: str, split: Split, count: int) -> None:
        if count != self.manifest[split] or not count:
            raise UserError(
                f"{self.folder / file}: holds {count:,} images, the manifest says {self.manifest[split]:,}; "
                f"{AGAIN}"
            )

    def _array(self, name: str, dtype: type[np.generic], dimensions: int) -> NDArray[Any]:
        path, expected = self.folder / name, Facts.model_validate(self.manifest["arrays"][name])
        try:
            array: NDArray[Any] = (
                np.memmap(path, np.uint8, "r")
                if path.suffix == ".bin"
                else np.lib.format.open_memmap(path, mode="r")
            )
        except (FileNotFoundError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}); {AGAIN}") from None
        except OSError as error:  # which says nothing of what is in it
            raise UserError(f"{path}: {error.strerror}") from None
        if list(array.shape) != expected.shape:
            raise UserError(
                f"{path}: found shape {list(array.shape)}, the manifest says {expected.shape}; {AGAIN}"
            )
        if str(array.dtype) != expected.dtype or array.dtype != dtype or array.ndim != dimensions:
            raise UserError(
                f"{path}: found {array.ndim} dimensions of {array.dtype}, expected {dimensions} of "
                f"{dtype.__name__}; {AGAIN}"
            )
        small = array.nbytes <= CHECKED
        if not (_digest(array) == expected.sha256 if small else _known(path, array, expected.sha256)):
            raise UserError(f"{path}: is not the array that the manifest describes; {AGAIN}")
        return array


class Moments:
    """Mean and standard deviation of pixels 0..255, channel by channel, from how often each value occurs.

    All sums are exact, so neither the order of images nor the number of workers can change them.
    """

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros((channels, 256), np.int64)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Count the pixels of images [N, C, H, W]."""
        for channel, values in enumerate(images.swapaxes(0, 1)):
            self.counts[channel] += np.bincount(values.ravel(), minlength=256)

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """As fractions of 255, rounded to six places."""
        means, stds = [], []
        for counts in self.counts.tolist():
            n, first, second = (sum(c * value**k for value, c in enumerate(counts)) for k in range(3))
            means.append(round(first / n / 255, 6))
            stds.append(round((n * second - first**2) ** 0.5 / n / 255, 6))
        return means, stds


def write_prepared(
    folder: Path,
    name: str,
    class_names: list[str],
    splits: dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]],
    source: dict[str, Any],
) -> dict[str, Any]:
    """Write arrays and, last, the manifest. Equal data gives an equal manifest, byte for byte.

    What was there before stays whole until everything new is written.

    Args:
        splits: images uint8 [N, 3, H, W] and labels int64 [N] of each split.
        source: where the images come from.
    """
    arrays = {}
    with ExitStack() as stack:
        for split, (images, labels) in splits.items():
            for kind, array in (("images", images), ("labels", labels)):
                path = folder / f"{split}_{kind}.npy"
                arrays[path.name] = stack.enter_context(saving(path, array))
        begin(folder)
    train = splits["train"][0]
    moments = Moments(train.shape[1])
    for block in _blocks(train):
        moments.add(block)
    counts = {split: len(labels) for split, (_, labels) in splits.items()}
    return write_manifest(folder, name, class_names, counts, moments, source, arrays, {})


@contextmanager
def saving(path: Path, array: NDArray[Any]) -> Iterator[dict[str, Any]]:
    """Write an array, which gets its name at the end; yields what the manifest says of it, as in `Facts`."""
    array = np.ascontiguousarray(array)
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            # What `np.save` does, but for its own way to the disk, which hides the system's error.
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(array.data)
        yield {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": _digest(array)}


def begin(folder: Path) -> None:
    """Have nobody take what is in `folder` for a whole data set until its manifest is written."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNFINISHED).touch()


def tidy(folder: Path) -> None:
    """Remove what preparations that were killed left half-written; only for the process that has the folder."""
    names = [
        name for split in SPLITS for name in (*_files(split, {f"{split}_images.bin"}), f"{split}_images.npy")
    ]
    for path in (path for name in (MANIFEST, *names) for path in leftovers(folder / name)):
        path.unlink(missing_ok=True)


def write_manifest(
    folder: Path,
    name: str,
    class_names: list[str],
    counts: dict[Split, int],
    moments: Moments,
    source: dict[str, Any],
    arrays: dict[str, dict[str, Any]],
    conversions: dict[str, Any],
) -> dict[str, Any]:
    """Write the manifest of a prepared set, after everything that it describes; returns it.

    Args:
        counts: images of each split.
        moments: of the training images.
        arrays: file → what `Facts` says.
        conversions: what was done to images → how many, and the first of them.
    """
    mean, std = moments.mean_and_std()
    manifest = {
        "name": name,
        "classes": len(class_names),
        "class_names": class_names,
        "train": counts["train"],
        "test": counts["test"],
        "mean": mean,
        "std": std,
        "source": source,
        "arrays": arrays,
        "conversions": conversions,
    }
    write_json(folder / MANIFEST, manifest)
    (folder / UNFINISHED).unlink(missing_ok=True)
    return manifest


def _files(split: Split, arrays: Container[str]) -> list[str]:
    """Files of a split: images, where they are packed their index, labels."""
    packed = f"{split}_images.bin" in arrays
    images = [f"{split}_images.bin", f"{split}_index.npy"] if packed else [f"{split}_images.npy"]
    return [*images, f"{split}_labels.npy"]


def _inside(places: NDArray[np.int64], size: int) -> bool:
    offset, height, width = places.T
    # In floating point, where nothing wraps around.
    ends = offset + 3.0 * height * width
    return bool(offset.min() >= 0 and height.min() > 0 and width.min() > 0 and ends.max() <= size)


def _problem(detail: Any) -> str:
    place = "/".join(str(part) for part in detail["loc"])
    return f"lacks {place}" if detail["type"] == "missing" else f"{place}: {detail['msg']}"


def _blocks(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """About a million values at a time."""
    size = max(1, 2**20 // max(1, images[:1].size))
    return (images[start : start + size] for start in range(0, len(images), size))


def _known(path: Path, array: NDArray[Any], sha256: str) -> bool:
    """Whether a large array has a hash. Beside its file stands what the file was like when that was last found."""
    note = path.with_name(f".{path.name}.checked")
    stat = path.stat()
    now = {"sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}
    with suppress(UserError):  # none yet, or damaged: no matter
        if read_json(note) == now:
            return True
    say(f"{path}: comparing {array.nbytes / 1e9:.1f} GB with their hash, once")
    same = _digest(array) == sha256
    if same:
        with suppress(OSError):  # a folder that is only read is compared each time
            write_json(note, now)
    return same


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
