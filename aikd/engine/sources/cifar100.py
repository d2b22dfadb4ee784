"""CIFAR-100 as it is published: pickled arrays of 32 × 32 pixels, with the class of each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aikd.engine.sources.listing import Container
from aikd.engine.sources.pickles import read_pickle
from aikd.engine.store import Split
from aikd.errors import UserError

ARCHIVE = "cifar-100-python.tar.gz"
_FOLDER = "cifar-100-python/"

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_cifar100(archive: Container) -> tuple[list[str], dict[Split, Arrays]]:
    """Class names, and for each split the images uint8 [N, 3, 32, 32] and their fine labels int64 [N], both as stored.

    The coarse labels, of which the paper makes no use, may be missing.

    Raises:
        UserError: the archive lacks a file, or a file is not what CIFAR-100 consists of.
    """
    contents: dict[str, dict[str, Any]] = {}
    for name, data in archive.files([f"{_FOLDER}{file}" for file in ("meta", "train", "test")]):
        file = name.removeprefix(_FOLDER)
        content = read_pickle(data, _where(file))
        if not isinstance(content, dict):
            raise UserError(f"{_where(file)}: found {type(content).__name__}, but it should be a dict")
        contents[file] = {_decoded(key): value for key, value in content.items()}
    names = _class_names(contents["meta"])
    return names, {
        "train": _arrays("train", contents["train"], len(names)),
        "test": _arrays("test", contents["test"], len(names)),
    }


def _where(file: str) -> str:
    return f"{ARCHIVE}: {_FOLDER}{file}"


def _decoded(text: Any) -> Any:
    """Text as str: Python 2's str comes as bytes."""
    return text.decode("latin-1") if isinstance(text, bytes) else text


def _class_names(meta: dict[str, Any]) -> list[str]:
    found = meta.get("fine_label_names")
    names = [_decoded(name) for name in found] if isinstance(found, list) else []
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise UserError(f"{_where('meta')}: fine_label_names should be a list of names, each once")
    return names


def _arrays(file: str, content: dict[str, Any], classes: int) -> Arrays:
    where, images, labels = _where(file), content.get("data"), content.get("fine_labels")
    if not isinstance(images, np.ndarray) or images.shape[1:] != (3 * 32 * 32,):
        found = f"shape {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise UserError(f"{where}: data: found {found}, but it should be an array of [N, 3072]")
    if not isinstance(labels, list) or len(labels) != len(images):
        found = f"{len(labels):,} of them" if isinstance(labels, list) else type(labels).__name__
        raise UserError(
            f"{where}: fine_labels: found {found}, but it should be a list, one for each of {len(images):,} images"
        )
    for index, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < classes:
            found = str(label) if isinstance(label, int) else type(label).__name__
            raise UserError(
                f"{where}: fine_labels: found {found} for image {index}; allowed: 0 to {classes - 1}"
            )
    return images.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)
