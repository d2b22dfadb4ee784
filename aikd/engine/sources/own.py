"""A data set of an extension: arrays from its function, in the store like any others."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aikd.engine.sources.listing import check_labels
from aikd.engine.store import SPLITS, Split, write_prepared
from aikd.errors import UserError
from aikd.study.catalogue import DATA_SETS
from aikd.study.registry import Source

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def prepare(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Have the images made, check them, and write them to `folder`; returns the manifest.

    Raises:
        UserError: the function returns no data set, or one of other counts than the extension says.
    """
    name, source, counts = settings["name"], Source(**settings["source"]["extension"]), settings["counts"]
    where = f"{source.file}: data set {name}"
    if name not in DATA_SETS.own:
        raise UserError(f"{source.file}: adds no data set {name}")
    found = DATA_SETS.own[name].implementation()
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
        raise UserError(f"{where}: expected the names of the classes and a dict of {' and '.join(SPLITS)}")
    class_names = [str(class_name) for class_name in found[0]]
    splits: dict[Split, Arrays] = {}
    for split in SPLITS:
        if split not in found[1]:
            raise UserError(f"{where}: lacks {split}; found {', '.join(map(str, found[1])) or 'nothing'}")
        splits[split] = _arrays(f"{where}: {split}", found[1][split], len(class_names))
    labels = [splits[split][1].tolist() for split in SPLITS]
    expected = (counts["classes"], counts["train"], counts["test"])
    check_labels(name, class_names, labels[0], labels[1], expected=expected)
    return write_prepared(folder, name, class_names, splits, {"extension": source.code})


def _arrays(where: str, found: Any, classes: int) -> Arrays:
    if not (isinstance(found, tuple | list) and len(found) == 2):
        raise UserError(f"{where}: expected images and labels, found {type(found).__name__}")
    images, labels = (np.asarray(array) for array in found)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise UserError(
            f"{where}: expected images uint8 [N, 3, H, W], found {images.dtype} {list(images.shape)}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise UserError(
            f"{where}: expected {len(images):,} whole numbers as labels, found {labels.dtype} {list(labels.shape)}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"{where}: found labels {labels.min()} to {labels.max()}, but there are {classes} classes"
        )
    return images, labels.astype(np.int64)
