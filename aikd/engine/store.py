"""Prepared data: a folder with `manifest.json` and the decoded images as arrays."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aikd.errors import UserError
from aikd.files import read_json, replacing, write_json
from aikd.study.layout import MANIFEST

Split = Literal["train", "test"]


CHECKED = 2**28
"""Bytes up to which an array is compared with the manifest's hash whenever it is opened: a fraction of a second."""


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


@dataclass(frozen=True)
class Prepared:
    """A prepared data set. Images are uint8 [N, 3, H, W], memory-mapped; labels int64 [N], class indices."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Prepared":
        """Open the data set in `folder`.

        Raises:
            UserError: it is not there, or its manifest is damaged.
        """
        manifest = read_json(folder / MANIFEST)
        missing = {
            "name",
            "classes",
            "class_names",
            "train",
            "test",
            "mean",
            "std",
            "arrays",
        } - manifest.keys()
        if missing:
            raise UserError(
                f"{folder / 'manifest.json'}: lacks {', '.join(sorted(missing))}; prepare the data again"
            )
        return cls(folder, manifest)

    @property
    def channels(self) -> int:
        """Channels of the images, from the manifest: no array is opened, and none is hashed, for it."""
        channels: int = self.manifest["arrays"]["train_images.npy"]["shape"][1]
        return channels

    def images(self, split: Split) -> NDArray[np.uint8]:
        """Images of a split, uint8 [N, 3, H, W]."""
        return self._array(f"{split}_images.npy")

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Labels of a split, int64 [N]."""
        return self._array(f"{split}_labels.npy")

    def _array(self, name: str) -> NDArray[Any]:
        path, expected = self.folder / name, self.manifest["arrays"][name]["shape"]
        try:
            array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}); prepare the data again") from None
        if list(array.shape) != expected:
            raise UserError(
                f"{path}: found shape {list(array.shape)}, the manifest says {expected}; prepare again"
            )
        if array.nbytes <= CHECKED and _digest(array) != self.manifest["arrays"][name].get("sha256"):
            raise UserError(f"{path}: is not the array that the manifest describes; prepare the data again")
        return array


def write_prepared(
    folder: Path,
    name: str,
    class_names: list[str],
    splits: dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]],
    source: dict[str, Any],
) -> dict[str, Any]:
    """Write arrays and, last, the manifest. Equal data gives an equal manifest, byte for byte.

    Args:
        splits: images uint8 [N, 3, H, W] and labels int64 [N] of each split.
        source: where the images come from.
    """
    arrays = {}
    for split, (images, labels) in splits.items():
        for kind, array in (("images", images), ("labels", labels)):
            file = f"{split}_{kind}.npy"
            with replacing(folder / file) as temporary:
                np.save(temporary, array, allow_pickle=False)
            digest = _digest(array)
            arrays[file] = {"shape": list(array.shape), "sha256": digest}
    train = splits["train"][0].astype(np.float64) / 255
    manifest = {
        "name": name,
        "classes": len(class_names),
        "class_names": class_names,
        "train": len(splits["train"][1]),
        "test": len(splits["test"][1]),
        "mean": [round(float(m), 6) for m in train.mean((0, 2, 3))],
        "std": [round(float(s), 6) for s in train.std((0, 2, 3))],
        "source": source,
        "arrays": arrays,
    }
    write_json(folder / MANIFEST, manifest)
    return manifest
