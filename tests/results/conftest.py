"""A folder of runs as training and evaluation leave it, with numbers that a test chooses."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from aikd.study.schema import Study

BINS = {"count": [1, 0, 3], "confidence": [0.2, None, 0.9], "accuracy": [0.0, None, 1.0]}


@dataclass
class Folder:
    """Writes what runs leave behind."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def compiled(self) -> str:
        """What pdflatex says of all tables in `out`, set in two columns with booktabs alone; it must not fail."""
        inputs = "\n".join(rf"\input{{{path.name}}}" for path in sorted(self.out.glob("*.tex")))
        preamble = r"\documentclass[twocolumn]{article}\usepackage[utf8]{inputenc}\usepackage{booktabs}"
        lengths = r"\setlength{\textwidth}{7in}\setlength{\columnwidth}{3.4in}"
        document = self.out / "document.tex"
        document.write_text(f"{preamble}{lengths}\n\\begin{{document}}\n{inputs}\n\\end{{document}}\n")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document.name]
        done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        return done.stdout

    def write(self, path: Path, content: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def metrics(self, run: str, bins: dict[str, Any] | None = None, **metrics: float) -> Path:
        stored = {"none": BINS, "crossfit": BINS} if bins is None else bins
        content = {"run": run, "images": 4, "metrics": metrics, "bins": stored}
        return self.write(self.results / "runs" / run / "metrics.json", content)

    def train(self, run: str, **summary: Any) -> Path:
        content = {
            "run": run,
            "epochs": 300,
            "seconds": 12.25,
            "images_per_second": 1000 / 3,
            "parameters": 11_217_444,
            "final": {"train_error": 0.5, "test_error": 21.0},
            "best": {"epoch": 288, "test_error": 20.5},
            "device": "cpu, 2 threads",
            "threads": 2,
            "peak_memory": {"host_mb": 512, "device_mb": None},
            "precision": "fp32",
            "revision": "abc",
            "versions": {"python": "3.11.2", "aikd": "0.1.0", "torch": "2", "torchvision": "1", "numpy": "3"},
        }
        return self.write(self.results / "runs" / run / "train.json", content | summary)

    def predictions(self, run: str, features: Any, labels: Sequence[int]) -> Path:
        path = self.results / "runs" / run / "predictions.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"features": np.asarray(features, np.float16), "labels": np.asarray(labels, np.int64)}
        arrays["logits"] = np.zeros((len(labels), 10), np.float32)
        save_file(arrays, path, metadata={"run": run, "dataset": "digits"})
        return path

    def manifest(self, dataset: str, **facts: Any) -> Path:
        return self.write(self.data / dataset / "manifest.json", {"name": dataset, **facts})

    def all_metrics(self, runs: Sequence[str]) -> None:
        """Every metric of every run, different from run to run."""
        rng = np.random.default_rng(0)
        percents = ("top1_error", "top5_error", "ece", "ece_crossfit")
        for run in runs:
            self.metrics(run, f1=0.8 + 0.05 * rng.random(), **{name: 20 + rng.random() for name in percents})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="session")
def paper() -> Study:
    """The study that is the paper."""
    config = Path(__file__).parents[2] / "config.yaml"
    return Study.model_validate(yaml.safe_load(config.read_text(encoding="utf-8")))
