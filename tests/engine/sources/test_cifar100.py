"""CIFAR-100's archive, in its published form and as today's Python would write it."""

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import python2
import torchvision
from small_sets import Fake

from aikd.engine.sources.cifar100 import read_cifar100
from aikd.engine.sources.containers import open_container
from aikd.errors import UserError

Dumps = Callable[[Any], bytes]
Content = dict[str, dict[bytes, Any]]


def python3(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def split(name: bytes, labels: list[int], seed: int) -> dict[bytes, Any]:
    return {
        b"filenames": [b"image_%d.png" % i for i in range(len(labels))],
        b"batch_label": name,
        b"fine_labels": labels,
        b"coarse_labels": [0] * len(labels),
        b"data": np.random.default_rng(seed).integers(256, size=(len(labels), 3072), dtype=np.uint8),
    }


@pytest.fixture
def content() -> Content:
    return {
        "meta": {b"fine_label_names": [b"apple", b"baby", b"bear"], b"coarse_label_names": [b"all"]},
        "test": split(b"testing batch 1 of 1", [2, 0, 1], 0),
        "train": split(b"training batch 1 of 1", [1, 1, 0, 2, 0], 1),
    }


def fake(content: Content, dumps: Dumps = python2.dumps) -> Fake:
    return Fake({f"cifar-100-python/{name}": dumps(value) for name, value in content.items()})


def refusal(content: Content) -> str:
    with pytest.raises(UserError) as error:
        read_cifar100(fake(content))
    return str(error.value)


@pytest.mark.parametrize("dumps", [python2.dumps, python3])
def test_images_and_fine_labels_are_read_from_either_pythons_pickles(content: Content, dumps: Dumps) -> None:
    names, splits = read_cifar100(fake(content, dumps))
    assert names == ["apple", "baby", "bear"]
    assert list(splits) == ["train", "test"]
    for name, (images, labels) in splits.items():
        np.testing.assert_array_equal(images, content[name][b"data"].reshape(-1, 3, 32, 32), strict=True)
        np.testing.assert_array_equal(labels, np.array(content[name][b"fine_labels"], np.int64), strict=True)


def test_keys_that_are_text_and_missing_coarse_labels_do_no_harm(content: Content) -> None:
    bare = {
        name: {key.decode(): value for key, value in values.items() if b"coarse" not in key}
        for name, values in content.items()
    }
    names, splits = read_cifar100(fake(bare, python3))  # type: ignore[arg-type]
    assert (names, splits["train"][1].tolist()) == (["apple", "baby", "bear"], [1, 1, 0, 2, 0])


class Reference(torchvision.datasets.CIFAR100):
    """Without the published checksums."""

    train_list = [["train", None]]
    test_list = [["test", None]]
    meta = {"filename": "meta", "key": "fine_label_names", "md5": None}


def test_the_published_form_is_read_as_torchvision_reads_it(tmp_path: Path, content: Content) -> None:
    path = tmp_path / "cifar-100-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in fake(content).contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        tar.addfile(tarfile.TarInfo("cifar-100-python/file.txt~"))
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path, filter="data")
    names, splits = read_cifar100(open_container(path))
    for name, (images, labels) in splits.items():
        reference = Reference(str(tmp_path), train=name == "train")
        np.testing.assert_array_equal(images.transpose(0, 2, 3, 1), reference.data, strict=True)
        assert (labels.tolist(), names) == (reference.targets, reference.classes)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (b"data", np.zeros((5, 3071), np.uint8), "data: found shape [5, 3071], but it should be an array of [N,"),
        (b"data", np.zeros(3072, np.uint8), "data: found shape [3072], but"),
        (b"data", [1, 2], "data: found list, but"),
        (b"data", np.zeros((4, 3072), np.uint8), "fine_labels: found 5 of them, but it should be a list, one"),
        (b"fine_labels", None, "fine_labels: found NoneType, but"),
        (b"fine_labels", [0, 1, 2, 0], "fine_labels: found 4 of them, but it should be a list, one for"),
        (b"fine_labels", [0, 1, 2, 3, 0], "fine_labels: found 3 for image 3; allowed: 0 to 2"),
        (b"fine_labels", [0, -1, 2, 3, 0], "fine_labels: found -1 for image 1; allowed: 0 to 2"),
        (b"fine_labels", [0, 1, 2, 1, True], "fine_labels: found True for image 4; allowed: 0 to 2"),
        (b"fine_labels", [b"a", 1, 2, 1, 0], "fine_labels: found bytes for image 0; allowed: 0 to 2"),
    ],
)  # fmt: skip
def test_images_and_labels_that_cannot_be_are_refused(
    content: Content, key: bytes, value: Any, message: str
) -> None:
    content["train"][key] = value
    assert f"cifar-100-python.tar.gz: cifar-100-python/train: {message}" in refusal(content)


@pytest.mark.parametrize("names", [None, [], [b"apple", b"apple", b"bear"], [b"apple", 1, b"bear"], b"abc"])
def test_class_names_that_cannot_be_are_refused(content: Content, names: Any) -> None:
    content["meta"][b"fine_label_names"] = names
    message = "cifar-100-python/meta: fine_label_names should be a list of names, each once"
    assert message in refusal(content)


def test_a_hostile_or_foreign_file_is_refused_by_its_name(content: Content) -> None:
    archive = fake(content)
    for data, message in ((python2.dumps([1]), "found list, but"), (b"cos\nsystem\n.", "it names os.system")):
        archive.contents["cifar-100-python/test"] = data
        with pytest.raises(UserError, match=f"cifar-100-python.tar.gz: cifar-100-python/test: .*{message}"):
            read_cifar100(archive)
