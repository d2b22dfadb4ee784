"""What a job needs of the machine: main memory, from measurements of full-size steps on the CPU."""

import csv
import math
from functools import cache
from pathlib import Path
from typing import Any

from aikd.study.architectures import counted_as
from aikd.study.catalogue import DataSet

MEASURED = Path(__file__).with_name("memory.csv")
"""Peak resident memory, in MiB, of two training steps and an evaluation; `benchmarks/memory.py` writes it."""

SMALL = {"preact_resnet18", "densenet121_3x3"}
"""Architectures measured on 32-pixel images."""
LIBRARIES = 600
"""MiB that a training process has before it holds a network."""
BATCH = {32: 128 * 32**2, 224: 32 * 224**2}
"""Pixels of the measured batches, by the side of their images."""
HEADROOM = 1.2
"""Measurements are of one machine; a request that is too low kills the job."""
RESIDENT_IMAGE = 64 * 64 * 3
"""Bytes of an image of a 32-pixel set as stored, at most; those with padded crops of any size stay in memory, too.
Photographs stay on the disk and are mapped in."""


@cache
def measured() -> dict[tuple[str, str], int]:
    """(architecture, method) → peak in MiB at full size."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        return {(row["architecture"], row["method"]): int(row["mib"]) for row in csv.DictReader(file)}


def memory(settings: dict[str, Any], dataset: DataSet) -> int:
    """Main memory, in MB, that training or predicting a run may take, from its resolved settings.

    What was measured, scaled to the network's width and the batch, and the images that stay in memory. A method that
    was never measured counts as the most demanding one. On a GPU it is too much: most of it lies there.
    """
    side: int = settings["data"]["transform"]["size"]
    model = counted_as(settings["model"], side)
    peaks = {method: mib for (name, method), mib in measured().items() if name == model["architecture"]}
    peak = peaks.get(settings["method"], max(peaks.values()))
    pixels: int = settings["recipe"]["batch_size"] * side**2
    width = (model.get("width") or 64) / 64 * (model.get("growth") or 32) / 32
    network = (peak - LIBRARIES) * width * pixels / BATCH[32 if model["architecture"] in SMALL else 224]
    mapped = dataset.stored_side and settings["data"]["transform"]["crop"] == "resized"
    images: float = 0 if mapped else (dataset.train + dataset.test) * max(RESIDENT_IMAGE, 3 * side**2) / 2**20
    return math.ceil(HEADROOM * (LIBRARIES + network + images) * 2**20 / 10**6)
