"""Images a second of training, beside a loop as the methods' repositories write it.

usage: python -m benchmarks.loader

Both have all cores of the machine: the plain loop a worker for each, besides its training.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from aikd.engine.memory import keep_freed_memory
from aikd.engine.training import Trainer
from aikd.models import build
from aikd.study.resolve import resolve
from aikd.study.run import Run
from benchmarks import photographs
from benchmarks.networks import LAPTOP, second_epoch, settings_of, trainer
from benchmarks.plain import Indexed, Plain
from benchmarks.plain import photographs as plain_photographs
from benchmarks.plain import small as plain_small
from benchmarks.timing import interleaved, ratios, spread, table

METHODS = ("baseline", "pskd", "aikd")


def main() -> str:
    """Both comparisons, as one Markdown table."""
    keep_freed_memory()
    rows = [*_small(batches=15), *_large(images=96)]
    return table(["training, all cores", "plain loop, images/s", "this project, images/s", "ratio"], rows)


def _small(batches: int) -> list[list[str]]:
    settings = {m: settings_of(LAPTOP, m) for m in METHODS}
    size = settings["baseline"]["recipe"]["batch_size"]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batches * size, 32, 32, 3), dtype=np.uint8)
    data = plain_small(images, np.arange(len(images)) % 100)
    ours = {m: trainer(settings[m], batches) for m in METHODS}
    label = "CIFAR-100's shape, PreAct ResNet-18 width 16, batch 128"
    return _compared(label, ours, data, 100, size, rounds=5)


def _large(images: int) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        study = photographs.make(folder / "images", images, 8)
        store = photographs.prepared(study, folder / "data")
        runs = {m: Run("photographs", "resnet18", m, {}, "standard", 0) for m in METHODS}
        ours = {m: second_epoch(resolve(study, run), store) for m, run in runs.items()}
        paths = sorted((folder / "images/train").rglob("*.jpg"))
        data = plain_photographs([str(path) for path in paths], [int(path.parent.name[-1]) for path in paths])
        label = "photographs of 500 × 375, ResNet-18, 224 pixels, batch 32"
        return _compared(label, ours, data, photographs.CLASSES, 32, rounds=3)


def _compared(
    label: str, ours: dict[str, Trainer], data: Indexed, classes: int, batch: int, rounds: int
) -> list[list[str]]:
    rows, workers, images = [], torch.get_num_threads(), len(data)
    for method, made in ours.items():
        net, superior = (build(made.settings["model"], classes) for _ in range(2))
        loop = Plain(method, net, superior, data, classes, batch, workers)
        tasks: dict[str, Callable[[], object]] = {"plain": loop.epoch, "ours": partial(made.epoch, 1)}
        times = interleaved(tasks, rounds)
        rates = [spread([images / s for s in times[name]]) for name in ("plain", "ours")]
        rows.append([f"{label}: {method}", *rates, ratios(times["plain"], times["ours"])])
    return rows


if __name__ == "__main__":
    print(main())
