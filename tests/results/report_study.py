"""A study that has run, as far as a report can tell: every file that runs leave behind, with numbers made up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from aikd.results.aggregate import write_all_runs
from aikd.results.classes import write_classes
from aikd.results.figures import write_figure
from aikd.study import beside, queries
from aikd.study.load import check_study
from aikd.study.resolve import prepared_folder, resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from tests.conftest import DEMO, parsed

EPOCHS = 20
TERMS = {
    "baseline": ("ce",),
    "cskd": ("ce", "class_wise"),
    "tfkd": ("ce", "guide"),
    "pskd": ("soft_ce",),
    "aikd": ("ce", "previous", "guide", "critic_loss", "adversarial"),
}
NASTY = "α_CE < 1 & <script>alert('no')</script> 50 % _x_"
"""A caption that must reach neither HTML nor LaTeX as it is."""


def small(**changes: Any) -> Study:
    """The demo with less in it, and compared with the paper's table 2."""
    study = parsed(DEMO)
    study["recipe"] |= {"epochs": EPOCHS, "milestones": [10]}
    study["tables"] = {name: study["tables"][name] for name in ("table_1", "table_2", "table_5")}
    study["tables"]["table_2"] |= {"published": 2}
    study["tables"]["table_5"] |= {"caption": NASTY}
    study["figures"] = {name: study["figures"][name] for name in ("figure_4", "figure_7b")}
    return check_study(study | changes)


def fill(study: Study, results: Path, data: Path, norm: Callable[[int], float] = lambda seed: 0.9) -> None:
    """Writes runs, data sets, tables' sources and figures; `norm` gives the critic's last gradient norm."""
    rng = np.random.default_rng(0)
    for name in study.data:
        dataset = study.dataset(name)
        facts = {"classes": dataset.classes, "train": dataset.train, "test": dataset.test}
        names = [f"class <{i}>" for i in range(dataset.classes)]
        folder = data / prepared_folder(resolve_data(study, name))
        _json(folder / "manifest.json", {"name": name, "class_names": names} | facts)
    runs = queries.runs_of(study)
    for run in runs:
        _run(study, results, run, rng, norm(run.seed))
    write_all_runs(results, [run.path for run in runs], results)
    write_classes(beside.classes(study), results, data, results)
    # One figure stands for all, which are drawn in tests of their own.
    first, *others = [*study.figures, *beside.learning_curves(study)]
    for path in write_figure(queries.figure(study, first), results, results / "figures"):
        for name in others:
            shutil.copy(path, path.with_stem(name))


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _run(study: Study, results: Path, run: Run, rng: np.random.Generator, norm: float) -> None:
    folder, dataset = results / "runs" / run.path, study.dataset(run.dataset)
    labels = np.arange(dataset.test) % dataset.classes
    hits = rng.random(dataset.test) < 0.8
    predicted = np.where(hits, labels, rng.integers(0, dataset.classes, dataset.test))
    error = 100 * float((predicted != labels).mean())
    bins = {"count": [5, 5, 90], "confidence": [0.2, 0.5, 0.9], "accuracy": [0.1, 0.6, 0.8]}
    names = ("top1_error", "top5_error", "f1", "ece", "ece_crossfit", "gap")
    metrics = dict(zip(names, (error, error / 4, 1 - error / 100, 3 + rng.random(), 1.0, -2.0), strict=True))
    _json(
        folder / "metrics.json",
        {
            "run": run.path,
            "images": dataset.test,
            "metrics": metrics,
            "bins": {"none": bins, "crossfit": bins},
        },
    )
    versions = {
        "python": "3.11.2",
        "aikd": "0.1.0",
        "torch": "2.14.1",
        "torchvision": "0.29.1",
        "numpy": "2.4.6",
    }
    _json(
        folder / "train.json",
        {
            "run": run.path, "settings": resolve(study, run), "epochs": EPOCHS, "seconds": 75.0,
            "images_per_second": 1234.5, "parameters": 1000, "final": {"train_error": 1.0, "test_error": error},
            "best": {"epoch": 3, "test_error": error}, "resumed_at": [2] if run.seed == 1 else [],
            "device": "cpu, 2 threads", "threads": 2, "peak_memory": {"host_mb": 512, "device_mb": None},
            "precision": "fp32", "revision": "abc123", "versions": versions,
        },
    )  # fmt: skip
    save_file(
        {
            "logits": np.eye(dataset.classes, dtype=np.float32)[predicted],
            "features": np.zeros((dataset.test, 2), np.float16),
            "labels": labels,
        },
        folder / "predictions.safetensors",
        metadata={"run": run.path, "dataset": run.dataset},
    )
    _history(run, error, norm, rng).to_csv(folder / "history.csv", index=False)


def _history(run: Run, error: float, norm: float, rng: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, EPOCHS + 1)
    columns: dict[str, Any] = {"epoch": epoch, "learning_rate": np.where(epoch > 10, 0.005, 0.05)}
    columns["loss"] = 2 * np.exp(-epoch / 5)
    columns |= {term: 2 * np.exp(-epoch / 5) + 0.05 * rng.random(EPOCHS) for term in TERMS[run.method]}
    if run.method == "aikd" and dict(run.settings).get("omega") != 0:
        columns |= {"distance": np.linspace(0, 0.5, EPOCHS), "gradient_norm": np.linspace(0, norm, EPOCHS)}
    columns["train_error"] = 60 * np.exp(-epoch / 4)
    columns["test_error"] = np.where(epoch % 2, np.nan, error + 30 * np.exp(-epoch / 4))
    return pd.DataFrame(columns | {"seconds": 3.75, "images_per_second": 240.0})
