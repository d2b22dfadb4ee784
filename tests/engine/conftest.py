"""Small real runs: scikit-learn's digits, and a set of images that tell which one they are."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aikd.engine import jobs
from aikd.engine.sources import prepare
from aikd.engine.store import Prepared, write_prepared
from aikd.study.methods import METHODS
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from tests.conftest import DIGITS, DIGITS_SETTINGS
from tests.engine import resuming
from tests.engine.archive_server import Server, serving
from tests.engine.exports import Trained, trained

torch.set_num_threads(1)

COUNTS = (5, 3, 9, 4, 4, 2, 6, 3, 3, 2)
"""Training images of each class in the `marked` set: 41, so that batches of 8 leave one over."""

NET = {"label": "Net", "architecture": "preact_resnet18", "width": 4, "blocks": [1, 1, 1, 1]}
Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all prepared data, with the digits in it."""
    folder = tmp_path_factory.mktemp("data")
    prepare(DIGITS_SETTINGS, folder)
    return folder


@pytest.fixture(scope="session")
def digits(data: Path) -> Prepared:
    return Prepared.open(data / DIGITS)


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Ten classes of 8 × 8 images, classes interleaved; every pixel of image i is i."""
    folder = tmp_path_factory.mktemp("marked") / "digits"
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), COUNTS))
    images = np.broadcast_to(np.arange(len(labels))[:, None, None, None], (len(labels), 3, 8, 8)).astype(
        np.uint8
    )
    names = [str(digit) for digit in range(10)]
    write_prepared(folder, "digits", names, {"train": (images, labels), "test": (images[:7], labels[:7])}, {})
    return Prepared.open(folder)


@pytest.fixture(scope="session")
def make_settings() -> Make:
    """Resolved settings of a run, as `aikd settings` prints them."""

    def make(
        method: str = "baseline", settings: dict[str, Any] | None = None, *, seed: int = 0,
        augmentation: str = "standard", data: dict[str, Any] | None = None, **recipe: Any,
    ) -> dict[str, Any]:  # fmt: skip
        study = Study.model_validate(
            {
                "name": "test",
                "recipe": {"epochs": 2, "milestones": [1], "batch_size": 128} | recipe,
                "data": {"digits": {"models": ["net"]} | (data or {})},
                "models": {"net": NET},
                "methods": {name: {} for name in METHODS},
            }
        )
        return resolve(study, Run("digits", "net", method, settings or {}, augmentation, seed))

    return make


# Resuming


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of prepared data: 40 random images of 8 × 8."""
    folder, rng = tmp_path_factory.mktemp("tiny"), np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8), np.arange(50) % 10
    splits: Any = {"train": (images[:41], labels[:41]), "test": (images[41:], labels[41:])}
    write_prepared(folder / DIGITS, "digits", [str(digit) for digit in range(10)], splits, {})
    return folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny: Path, make_settings: Make) -> Path:
    """Results of all methods, trained in one go, without a state ever saved."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        for method in resuming.METHODS:
            jobs.train(make_settings(*method, **resuming.RECIPE), folder, tiny, 1, save_every=100)
    return folder


@pytest.fixture
def results(tmp_path: Path, undisturbed: Path) -> Path:
    """New results, in which only the superior model is there."""
    superior = Path("runs/digits/net/baseline")
    shutil.copytree(undisturbed / superior, tmp_path / "results" / superior)
    return tmp_path / "results"


@pytest.fixture
def baseline(make_settings: Make) -> dict[str, Any]:
    return make_settings(**resuming.RECIPE)


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local server of archives, torn down after the test."""
    with serving(monkeypatch) as running:
        yield running


# Exports


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        return trained(tmp_path_factory.mktemp("photographs"), "photographs", holdout_per_class=2)


@pytest.fixture(scope="session")
def folder(photographs: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export, not to be changed."""
    target = tmp_path_factory.mktemp("exports") / "cats"
    photographs.export(target)
    return target


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "cats"))
