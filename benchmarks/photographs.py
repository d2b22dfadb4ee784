"""A folder of JPEGs that are made up, but as large and as hard to decode as photographs."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aikd.engine.sources import prepare
from aikd.engine.store import Prepared
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.schema import Study

SIZE = 500, 375
GRAIN = 14.0
"""Noise of single pixels, in 0..255, with which a file has about the 97 kB of an image of CUB-200-2011."""
CLASSES = 5


def make(folder: Path, train: int, test: int) -> Study:
    """Write so many images of each split into an ImageFolder-style `folder`; returns a study of them."""
    for split, count in (("train", train), ("test", test)):
        for i in range(count):
            path = folder / split / f"class_{i % CLASSES}" / f"{i:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(np.random.default_rng([count, i])).save(path, quality=92)
    return Study.model_validate(
        {
            "name": "benchmark",
            "recipe": {"precision": "bf16", "batch_size": 32},
            "data": {"photographs": {"folder": str(folder), "models": ["resnet18"]}},
            "models": {"resnet18": {"label": "ResNet-18"}},
            "methods": {"baseline": {}, "pskd": {}, "aikd": {}},
        }
    )


def picture(rng: np.random.Generator) -> Image.Image:
    """Noise of all scales, the coarser the stronger, as photographs have it."""
    total = np.zeros((SIZE[1], SIZE[0], 3), np.float32)
    for level in range(1, 9):
        coarse = rng.normal(size=(2**level, 2**level, 3)).astype(np.float32)
        for channel in range(3):
            enlarged = Image.fromarray(coarse[..., channel]).resize(SIZE, Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(enlarged) / 2 ** (level / 2)
    total = 50 * total + rng.normal(scale=GRAIN, size=total.shape)
    return Image.fromarray((127 + total).clip(0, 255).astype(np.uint8))


def prepared(study: Study, data: Path, workers: int | None = None) -> Prepared:
    """The study's images, packed."""
    settings: dict[str, Any] = resolve_data(study, "photographs")
    prepare(settings, data, workers)
    return Prepared.open(data / prepared_folder(settings))
