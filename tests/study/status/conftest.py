"""Progress as a training process might have written it."""

from collections.abc import Callable
from typing import Any

import pytest

from aikd.progress import Process, Progress

NOW = 1_800_000_000.0
Written = Callable[..., Progress]

ELSEWHERE = Process(host="node07", pid=4711, place="another start of another machine", born="1", job="123")
OWN = Process.own()


def progress(ago: float = 5.0, process: Process = ELSEWHERE, **changes: Any) -> Progress:
    """Of a run that is in its 4th of 10 epochs, a quarter of which it has done."""
    return Progress.model_validate(
        {
            "run": "digits/net/baseline/seed0", "state": "running", "doing": "trains", "settings": "",
            "epochs": 10, "epoch": 3, "step": 5, "steps": 20, "images_per_second": 100.0, "loss": 0.5,
            "left": 67.5, "seconds": 40.0, "device": "cpu", "at": NOW - ago, "every": 10.0, "process": process,
        }
        | changes
    )  # fmt: skip


@pytest.fixture
def written() -> Written:
    return progress
