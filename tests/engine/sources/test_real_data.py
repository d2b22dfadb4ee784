"""Whole data sets through download and preparation, where real data is at hand.

The environment variable AIKD_TEST_DATA names a folder with CUB_200_2011-8classes.tgz, tiny-imagenet-20classes.zip,
build_cifar100.py and split_lists/<data set>/.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.cli import main
from aikd.engine.sources import prepare
from aikd.engine.sources.layouts import LAYOUTS
from aikd.engine.store import Packed, Prepared
from aikd.study.catalogue import DATA_SETS
from aikd.study.resolve import prepared_folder
from tests.engine.sources.small_sets import Files, mat
from tests.workflow.archives import picture, tar

pytestmark = pytest.mark.skipif("AIKD_TEST_DATA" not in os.environ, reason="AIKD_TEST_DATA names no folder")
REAL = Path(os.environ.get("AIKD_TEST_DATA", ""))

SMALL = [picture(0, i, size=(12, 30)) for i in range(50)]
"""Images tall enough to lose 20 rows."""


def prepared(name: str, data: Path, files: Files, **changes: Any) -> Prepared:
    """Take the archives as if somebody had placed them, and prepare the set."""
    (data / "downloads").mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (data / "downloads" / file).write_bytes(content)
    for file in files:
        assert main(["download", file, "--data", str(data), "--accept-other"]) == 0
    facts = DATA_SETS[name]
    settings: dict[str, Any] = {
        "name": name,
        "counts": {"classes": facts.classes, "train": facts.train, "test": facts.test},
        "sides": {"train": facts.stored_side, "test": facts.transform.resize if facts.stored_side else None},
        "source": {"accept_other": True},
    }
    prepare(settings | changes, data)
    return Prepared.open(data / prepared_folder(settings | changes))


def listed(name: str, file: str) -> bytes:
    return (REAL / "split_lists" / name / file).read_bytes()


def filled(paths: list[str]) -> Files:
    return {path: SMALL[i % len(SMALL)] for i, path in enumerate(paths)}


def cub() -> Files:
    texts = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
    files = {text: listed("cub200", text) for text in texts}
    paths = [line.split(" ", 1)[1] for line in files["images.txt"].decode().splitlines()]
    files |= filled([f"images/{path}" for path in paths])
    return {"CUB_200_2011.tgz": tar({f"CUB_200_2011/{name}": data for name, data in files.items()}, "w:gz")}


def dogs() -> Files:
    lists, paths = {}, []
    for split in ("train", "test"):
        rows = [line.split(" ") for line in listed("stanford_dogs", f"dog_{split}.txt").decode().splitlines()]
        lists[f"{split}_list.mat"] = mat([row[0] for row in rows], [int(row[1]) + 1 for row in rows])
        paths += [f"Images/{row[0]}" for row in rows]
    return {"images.tar": tar(filled(paths)), "lists.tar": tar(lists)}


def mit() -> Files:
    lists = {name: listed("mit67", name) for name in ("TrainImages.txt", "TestImages.txt")}
    paths = [f"Images/{line}" for text in lists.values() for line in text.decode().splitlines()]
    return {"indoorCVPR_09.tar": tar(filled(paths))} | lists


def aircraft() -> Files:
    texts = ("variants.txt", "images_variant_trainval.txt", "images_variant_test.txt")
    files = {text: listed("fgvc_aircraft", text) for text in texts}
    rows = b"\n".join(files[text] for text in texts[1:]).decode().splitlines()
    files |= filled([f"images/{row.split(' ')[0]}.jpg" for row in rows if row])
    archive = tar({f"fgvc-aircraft-2013b/data/{name}": data for name, data in files.items()}, "w:gz")
    return {"fgvc-aircraft-2013b.tar.gz": archive}


@pytest.mark.parametrize(
    ("name", "make"),
    [("cub200", cub), ("stanford_dogs", dogs), ("mit67", mit), ("fgvc_aircraft", aircraft)],
)
def test_official_lists_at_full_count(name: str, make: Callable[[], Files], tmp_path: Path) -> None:
    data, facts = prepared(name, tmp_path, make()), DATA_SETS[name]
    train, test = data.labels("train"), data.labels("test")
    assert (len(train), len(test)) == (facts.train, facts.test)
    assert set(train.tolist()) == set(test.tolist()) == set(range(facts.classes))
    assert np.bincount(train).min() == facts.smallest
    height = 30 - LAYOUTS[name].cut_bottom
    assert data.images("train").shape == (facts.train, 3, height, 12)  # type: ignore[union-attr]


def test_real_cifar100(tmp_path: Path) -> None:
    archives = tmp_path / "archives"
    subprocess.run([sys.executable, REAL / "build_cifar100.py", archives], check=True, capture_output=True)
    content = (archives / "cifar-100-python.tar.gz").read_bytes()
    shutil.rmtree(archives)
    data = prepared("cifar100", tmp_path / "data", {"cifar-100-python.tar.gz": content})
    # As torchvision users know them: (0.5071, 0.4865, 0.4409) and (0.2673, 0.2564, 0.2762).
    np.testing.assert_allclose(data.manifest["mean"], (0.5071, 0.4865, 0.4409), atol=5e-5)
    np.testing.assert_allclose(data.manifest["std"], (0.2673, 0.2564, 0.2762), atol=5e-5)
    assert (np.bincount(data.labels("train")) == 500).all()
    assert (np.bincount(data.labels("test")) == 100).all()


def test_the_excerpts_as_published_sets_with_counts_of_their_own(tmp_path: Path) -> None:
    birds = prepared(
        "cub200",
        tmp_path,
        {"CUB_200_2011.tgz": (REAL / "CUB_200_2011-8classes.tgz").read_bytes()},
        counts={"classes": 8, "train": 240, "test": 184},
    )
    train, test = birds.images("train"), birds.images("test")
    assert isinstance(train, Packed)
    assert isinstance(test, Packed)
    assert train.sizes.min(1).max() == 384
    assert test.sizes.min(1).max() == 256
    tiny = prepared(
        "tiny_imagenet",
        tmp_path,
        {"tiny-imagenet-200.zip": (REAL / "tiny-imagenet-20classes.zip").read_bytes()},
        counts={"classes": 20, "train": 10_000, "test": 1_000},
    )
    assert tiny.images("train").shape == (10_000, 3, 64, 64)  # type: ignore[union-attr]
    assert tiny.manifest["conversions"]["grey"]["count"] > 0
