"""What the tests of resuming share: a small run, an interruption of it, and the comparison of two."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from aikd.engine import jobs
from aikd.engine.adoption import LEFT_BEHIND, TRAINED
from aikd.engine.signals import heeding
from aikd.engine.store import Prepared
from aikd.engine.training import Trainer
from aikd.errors import Interrupted
from aikd.models import build
from tests.conftest import DIGITS

Make = Callable[..., dict[str, Any]]
EPOCHS = 6
RECIPE: dict[str, Any] = {"epochs": EPOCHS, "milestones": [2, 3], "batch_size": 8, "learning_rate": 0.01}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("cskd", {}),
    ("tfkd", {}),
    ("pskd", {}),
    ("aikd", {"previous": "snapshot"}),
    ("aikd", {"previous": "memory"}),
]
OUTPUTS = ("model.safetensors", LEFT_BEHIND)
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


def superior(settings: dict[str, Any]) -> Any:
    if not settings["superior"]:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return build(settings["model"], 10)


def trainer(settings: dict[str, Any], data: Path) -> Trainer:
    return Trainer(settings, Prepared.open(data / DIGITS), superior(settings), torch.device("cpu"))


def timeless(rows: list[Any]) -> list[Any]:
    return [{key: x for key, x in row.items() if key not in ("seconds", "images_per_second")} for row in rows]


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return timeless(list(csv.DictReader(file)))


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return found


def stop_after(monkeypatch: pytest.MonkeyPatch, epochs: int, number: int = signal.SIGTERM) -> None:
    """A signal comes in the second step of the epoch that follows."""
    original, steps = Trainer._step, []

    def step(self: Trainer, batch: Any) -> Any:
        if len(self.history) == epochs:
            steps.append(1)
            if len(steps) == 2:
                os.kill(os.getpid(), number)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)


def contents(path: Path) -> Any:
    """Tensors as bytes, and metadata: the order of metadata in the file is the library's whim."""
    with safe_open(path, framework="np") as file:
        names = sorted(file.keys())
        return {name: file.get_tensor(name).tobytes() for name in names}, file.metadata()


def same_results(found: Path, expected: Path) -> None:
    """All but times and provenance, and nothing else in the folder."""
    assert (found / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    assert contents(found / LEFT_BEHIND) == contents(expected / LEFT_BEHIND)
    assert history(found) == history(expected)
    different = {"seconds", "images_per_second", "resumed_at", "revision", "peak_memory"}
    a, b = ({k: v for k, v in summary(f).items() if k not in different} for f in (found, expected))
    assert a == b
    assert {path.name for path in found.iterdir()} == {
        *OUTPUTS, "history.csv", "train.json", TRAINED,
    }  # fmt: skip


def interrupt(settings: dict[str, Any], results: Path, data: Path, epochs: int, save_every: int = 2) -> str:
    """Train until a signal comes in the epoch after `epochs`; returns what was said in the end."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, epochs)
        with pytest.raises(Interrupted) as end, heeding() as signals:
            jobs.train(settings, results, data, 1, save_every, signals=signals)
    return str(end.value)
