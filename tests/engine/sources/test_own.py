"""Data sets of extensions: stored like any others, and refused where they are not what they say."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.engine.sources import prepare
from aikd.engine.store import Prepared
from aikd.errors import UserError
from aikd.study import extensions
from aikd.study.load import check_study
from aikd.study.resolve import prepared_folder, resolve_data

DATA = """
import numpy as np
from aikd.extend import DataSet, Transform, data_set

@data_set("dots", DataSet(
    label="Dots", category="coarse", classes=3, train=30, test=9, transform=Transform(size=8, padding=1)))
def dots():
    images = np.random.default_rng(0).integers(0, 256, (39, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(39) % 3
    return ["a", "b", "c"], {"train": (images[:30], labels[:30]), "test": (images[30:], labels[30:])}
"""

Read = Callable[[], dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    """How the data are prepared, as another process gets it: the extension is not read any more."""
    monkeypatch.chdir(tmp_path)
    Path("dots.py").write_text(DATA, encoding="utf-8")

    def settings() -> dict[str, Any]:
        study = check_study(
            {
                "name": "test",
                "extensions": ["dots.py"],
                "data": {"dots": {"models": ["resnet18"]}},
                "models": {"resnet18": {"label": "ResNet-18"}},
                "methods": {"baseline": {}},
            }
        )
        found = resolve_data(study, "dots")
        extensions.activate([])
        return found

    yield settings
    extensions.activate([])


def test_a_data_set_is_stored_like_any_other(read: Read, tmp_path: Path) -> None:
    settings = read()
    manifest = prepare(settings, tmp_path / "data")
    prepared = Prepared.open(tmp_path / "data" / prepared_folder(settings))
    images = np.random.default_rng(0).integers(0, 256, (39, 3, 8, 8), dtype=np.uint8)
    assert np.array_equal(prepared.images("train"), images[:30])  # type: ignore[arg-type]
    assert np.array_equal(prepared.images("test"), images[30:])  # type: ignore[arg-type]
    assert np.array_equal(prepared.labels("test"), np.arange(30, 39) % 3)
    assert manifest["class_names"] == ["a", "b", "c"]
    mean = images[:30].mean((0, 2, 3)) / 255
    assert manifest["mean"] == pytest.approx(mean.tolist(), abs=1e-6)
    before = (prepared.folder / "manifest.json").read_bytes()
    shutil.rmtree(prepared.folder)
    extensions.activate([])
    prepare(settings, tmp_path / "data")
    assert (prepared.folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("train=30", "train=31", "data set dots: expected 3 classes, 31 training and 9 test images; found"),
        ('"c"]', '"c", "d"]', "data set dots: expected 3 classes"),
        ("% 3", "% 4", "dots.py: data set dots: train: found labels 0 to 3, but there are 3 classes"),
        ("% 3", "* 0", "data set dots: no training image of 2 classes: b, c"),
        ("% 3", "* 0.5", "dots.py: data set dots: train: expected 30 whole numbers as labels, found float64"),
        ("labels[:30]", "labels[:29]", r"dots.py: data set dots: train: expected 30 whole numbers.*found int64 \[29\]"),
        ("images[30:]", "images[30:, :1]", r"dots.py: data set dots: test: expected images uint8 .*\[9, 1, 8, 8\]"),
        ("dtype=np.uint8)", ")", r"dots.py: data set dots: train: expected images uint8 \[N, 3, H, W\], found int64"),
        ('"test": (', '"val": (', "dots.py: data set dots: lacks test; found train, val"),
        ("return [", "return 3, [", "dots.py: data set dots: expected the names of the classes and a dict"),
        ('"train": (images[:30], labels[:30])', '"train": images', "dots.py: data set dots: train: expected images"),
    ],
)  # fmt: skip
def test_a_data_set_that_is_not_what_it_says(
    read: Read, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in DATA
    Path("dots.py").write_text(DATA.replace(old, new.replace("dtype=np.uint8)", ")")))
    settings = read()
    with pytest.raises(UserError, match=f"^{expected}"):
        prepare(settings, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("manifest.json"))
