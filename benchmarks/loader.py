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
PRECISIONS = ("bf16", "fp32")
"""What this project trains in; the plain loop is in fp32."""


def main() -> str:
    """Both comparisons, as one Markdown table."""
    keep_freed_memory()
    rows = [*_small(batches=15), *_large(images=96)]
    ours = ["this project, images/s", "ratio", "in fp32, images/s", "ratio"]
    return table(["training, all cores", "plain loop in fp32, images/s", *ours], rows)


def _small(batches: int) -> list[list[str]]:
    settings = {p: {m: settings_of(LAPTOP, m, precision=p) for m in METHODS} for p in PRECISIONS}
    size = settings["bf16"]["baseline"]["recipe"]["batch_size"]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batches * size, 32, 32, 3), dtype=np.uint8)
    data = plain_small(images, np.arange(len(images)) % 100)
    ours = {m: [trainer(settings[p][m], batches) for p in PRECISIONS] for m in METHODS}
    label = "CIFAR-100's shape, PreAct ResNet-18 width 16, batch 128"
    return _compared(label, ours, data, 100, size, rounds=5)


def _large(images: int) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        study = photographs.make(folder / "images", images, 8)
        store = photographs.prepared(study, folder / "data")
        runs = {m: Run("photographs", "resnet18", m, {}, "standard", 0) for m in METHODS}

        def made(run: Run, precision: str) -> Trainer:
            settings = resolve(study, run)
            return second_epoch(settings | {"recipe": settings["recipe"] | {"precision": precision}}, store)

        ours = {m: [made(run, precision) for precision in PRECISIONS] for m, run in runs.items()}
        paths = sorted((folder / "images/train").rglob("*.jpg"))
        data = plain_photographs([str(path) for path in paths], [int(path.parent.name[-1]) for path in paths])
        label = "photographs of 500 × 375, ResNet-18, 224 pixels, batch 32"
        return _compared(label, ours, data, photographs.CLASSES, 32, rounds=3)


def _compared(
    label: str, ours: dict[str, list[Trainer]], data: Indexed, classes: int, batch: int, rounds: int
) -> list[list[str]]:
    """A row a method; `ours` has a trainer of each for each of `PRECISIONS`."""
    rows, workers, images = [], torch.get_num_threads(), len(data)
    for method, made in ours.items():
        net, superior = (build(made[0].settings["model"], classes) for _ in range(2))
        loop = Plain(method, net, superior, data, classes, batch, workers)
        tasks: dict[str, Callable[[], object]] = {"plain": loop.epoch}
        tasks |= {p: partial(one.epoch, 1) for p, one in zip(PRECISIONS, made, strict=True)}
        times = interleaved(tasks, rounds)
        row = [f"{label}: {method}", spread([images / s for s in times["plain"]])]
        for precision in PRECISIONS:
            taken = times[precision]
            row += [spread([images / s for s in taken]), ratios(times["plain"], taken)]
        rows.append(row)
    return rows


if __name__ == "__main__":
    print(main())
