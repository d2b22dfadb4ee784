"""Trainers of a study's runs on noise: what a step costs does not depend on what the images show."""

from pathlib import Path
from typing import Any

import torch

from aikd.engine.measuring import Noise
from aikd.engine.store import Prepared
from aikd.engine.training import Trainer, network
from aikd.methods import Batch
from aikd.study.load import load_study
from aikd.study.methods import METHODS
from aikd.study.resolve import resolve
from aikd.study.run import Run

ROOT = Path(__file__).parents[1]
LAPTOP = ROOT / "workflow/studies/laptop.yaml", "cifar100", "preact_resnet18"
DEMO = ROOT / "workflow/studies/demo.yaml", "digits", "preact_resnet18"
PHOTOGRAPHS = ROOT / "config.yaml", "cub200", "resnet18"
Kind = tuple[Path, str, str]
"""A study, and a data set and a model of it."""


def settings_of(kind: Kind, method: str, **recipe: Any) -> dict[str, Any]:
    """Resolved settings of a run of the kind with all of its training images, and another recipe where one is given."""
    study, dataset, model = kind
    settings = resolve(load_study(study), Run(dataset, model, method, {}, "standard", 0))
    whole = {"images_per_class": None, "holdout_per_class": 0}
    return settings | {"data": settings["data"] | whole, "recipe": settings["recipe"] | recipe}


def trainer(settings: dict[str, Any], batches: int) -> Trainer:
    """A trainer of one run on so many batches of noise, in the second epoch."""
    transform = settings["data"]["transform"]
    facts = {"name": settings["data"]["name"], "classes": settings["data"]["classes"]}
    noise = Noise(
        folder=ROOT,  # of which nothing is read
        manifest=facts
        | {"images": batches * settings["recipe"]["batch_size"], "mean": [0.5] * 3, "std": [0.25] * 3},
        side=transform["resize"] or transform["size"],
    )
    return second_epoch(settings, noise)


def second_epoch(settings: dict[str, Any], prepared: Prepared) -> Trainer:
    """A trainer in the second epoch, which has a previous one to learn from; its superior model is not trained."""
    superior = network(settings, prepared, 1) if settings["superior"] else None
    made = Trainer(settings, prepared, superior, torch.device("cpu"), evaluate_every=10**9)
    made.method.begin_epoch(0)
    made.method.end_epoch(made.student)
    return made


def trainers(kind: Kind, batches: int, **recipe: Any) -> dict[str, Trainer]:
    """One of each method."""
    return {name: trainer(settings_of(kind, name, **recipe), batches) for name in METHODS}


class BareSteps:
    """Steps of a trainer on one batch that is there already, with nothing around them: no data, no log, no checks."""

    def __init__(self, made: Trainer, steps: int) -> None:
        self.made, self.steps = made, steps
        self.batch: Batch = next(made._batches(1))

    def __call__(self) -> None:
        """Take the steps."""
        made = self.made
        made.student.train()
        made.method.begin_epoch(1)
        for _ in range(self.steps):
            loss = made.method.step(made.forward, self.batch).loss
            made.optimiser.zero_grad()
            loss.backward()
            made.optimiser.step()
