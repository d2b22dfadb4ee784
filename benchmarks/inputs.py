"""What it takes to turn stored images into batches, and archives into stored images.

usage: python -m benchmarks.inputs
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from aikd.engine.data import TrainingData
from aikd.engine.memory import keep_freed_memory
from aikd.engine.precision import Precision
from aikd.engine.store import Prepared
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from benchmarks import photographs
from benchmarks.networks import LAPTOP, BareSteps, settings_of, trainer
from benchmarks.plain import batches as plain_batches
from benchmarks.plain import photographs as plain_photographs
from benchmarks.timing import interleaved, ratios, spread, table

IMAGES = 400


def main() -> str:
    """All tables, as Markdown."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        study = photographs.make(folder / "images", IMAGES, 8)
        parts = [small(), large(study, folder), preparing(study, folder)]
    return "\n\n".join(parts)


def small() -> str:
    """Making a batch of 128 images of 32 pixels, beside the step that it is for; on one thread."""
    made = trainer(settings_of(LAPTOP, "baseline"), 30)
    tasks: dict[str, Callable[[], object]] = {
        "input": lambda: [None for _ in made._batches(1)],
        "step": BareSteps(made, 30),
    }
    times = interleaved(tasks, 7)
    rows = [
        ["batch of 128 × 32², cropped, mirrored, normalised, ms", spread(times["input"], 30 / 1000)],
        ["step of PreAct ResNet-18, width 16, bf16, ms", spread(times["step"], 30 / 1000)],
        ["input over step, %", ratios([100 * t for t in times["input"]], times["step"])],
    ]
    return table(["32-pixel input, one thread", ""], rows)


def large(study: Study, folder: Path) -> str:
    """Crops of 224 pixels from the packed store, beside torchvision's from files; and over threads."""
    ours = _training(study, photographs.prepared(study, folder / "data"))
    paths = sorted(map(str, (folder / "images/train").rglob("*.jpg")))
    data = plain_photographs(paths, [0] * len(paths))
    cores = sorted(os.sched_getaffinity(0))
    tasks: dict[str, Callable[[], object]] = {
        "torchvision": partial(_on, cores[:1], lambda: [None for _ in plain_batches(data, 32, 0)]),
        "one": partial(_on, cores[:1], partial(_epoch, ours, 1)),
        "all": partial(_on, cores, partial(_epoch, ours, len(cores))),
    }
    times = interleaved(tasks, 7)
    rates = {name: [IMAGES / s for s in seconds] for name, seconds in times.items()}
    labels = {
        "torchvision": "ImageFolder, PIL, RandomResizedCrop: one core",
        "one": "packed store: one core",
        "all": f"packed store: {len(cores)} cores",
    }
    rows = [
        [label, spread(rates[name]), ratios(times["torchvision"], times[name])]
        for name, label in labels.items()
    ]
    return table(["224-pixel input, photographs of 500 × 375", "images/s", "ratio"], rows)


def _on(cores: Sequence[int], task: Callable[[], object]) -> None:
    """Do it on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        task()
    finally:
        os.sched_setaffinity(0, before)


def _training(study: Study, store: Prepared) -> TrainingData:
    settings = resolve(study, Run("photographs", "resnet18", "baseline", {}, "standard", 0))
    precision = Precision("bf16", torch.device("cpu"))
    return TrainingData(store, settings["data"], store.images("train"), store.labels("train"), precision)


def _epoch(data: TrainingData, threads: int) -> None:
    torch.set_num_threads(threads)
    for _ in data.epoch(0, 1, 32, {"name": "standard"}, partners=False):
        pass
    torch.set_num_threads(1)


def preparing(study: Study, folder: Path) -> str:
    """Preparing photographs, beside decoding each once; on all cores."""
    paths = sorted((folder / "images").rglob("*.jpg"))
    cores = len(os.sched_getaffinity(0))
    numbers = iter(range(10**6))
    tasks: dict[str, Callable[[], object]] = {
        "decode": lambda: _decode(paths, cores),
        "prepare": lambda: photographs.prepared(study, folder / f"data-{next(numbers)}", cores),
    }
    times = interleaved(tasks, 5)
    rows = [
        [f"decoding {len(paths)} JPEGs once, s", spread(times["decode"])],
        ["preparing them, s", spread(times["prepare"])],
        ["ratio", ratios(times["prepare"], times["decode"])],
    ]
    return table([f"preparing photographs of 500 × 375, {cores} cores", ""], rows)


def _decode(paths: list[Path], cores: int) -> None:
    def one(path: Path) -> None:
        with Image.open(path) as image:
            image.convert("RGB")

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(one, paths))


if __name__ == "__main__":
    print(main())
