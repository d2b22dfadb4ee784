"""Small real runs: scikit-learn's digits, and a set of images that tell which one they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aikd.engine.sources import prepare
from aikd.engine.store import Prepared, write_prepared
from aikd.study.methods import METHODS
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study

torch.set_num_threads(1)

COUNTS = (5, 3, 9, 4, 4, 2, 6, 3, 3, 2)
"""Training images of each class in the `marked` set: 41, so that batches of 8 leave one over."""

NET = {"label": "Net", "architecture": "preact_resnet18", "width": 4, "blocks": [1, 1, 1, 1]}
Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all prepared data, with the digits in it."""
    folder = tmp_path_factory.mktemp("data")
    prepare({"name": "digits", "source": {}, "counts": {}, "sides": {}}, folder)
    return folder


@pytest.fixture(scope="session")
def digits(data: Path) -> Prepared:
    return Prepared.open(data / "digits")


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
