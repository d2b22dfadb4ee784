"""What a run does: passes of its networks, images, and what it leaves on the disk, counted from its settings."""

import math
from dataclasses import dataclass
from typing import Any

from aikd.study.architectures import counted_as
from aikd.study.catalogue import DataSet
from aikd.study.costs.networks import Network, count
from aikd.study.methods import AIKDSettings, method_spec

TEXTS = 10_000
"""Bytes of a run's summary, metrics, logs and benchmark records, about."""
EPOCH_TEXT = 350
"""Bytes that an epoch adds to its history and log, about."""
STATES = 3
"""States on the disk at most: two are kept, a third is being written."""


@dataclass(frozen=True)
class Work:
    """One training run, with the prediction of the evaluation set at its end."""

    network: Network
    epochs: int
    images: int
    """Training images of an epoch."""
    steps: int
    """Batches of an epoch."""
    passes: int
    """Epochs' worth of passes without gradient, of the student or a frozen network, beside the student's own."""
    critic: int
    """Operations, for each image trained on, of the critic: its own steps and the student's adversarial loss."""
    evaluations: int
    """Looks at the evaluation set while training."""
    test: int
    """Images of the evaluation set."""
    predicted: int
    """Images predicted at the end: the evaluation set and what was held out."""
    classes: int
    memory: bool
    """Whether the method keeps a table of what it said of each training image."""

    @property
    def seen(self) -> int:
        """Images trained on, each as often as it is shown."""
        return self.epochs * self.images

    @property
    def trained_flops(self) -> int:
        """Operations of the student's forward and backward passes and of the critic."""
        return self.seen * (self.network.training + self.critic)

    @property
    def unlearned_images(self) -> int:
        """Images that pass without gradient: through superior and previous, as partners, in evaluations, predicted."""
        return self.passes * self.images + self.evaluations * self.test + self.predicted

    @property
    def flops(self) -> int:
        """All operations of the run."""
        return self.trained_flops + self.unlearned_images * self.network.forward

    @property
    def disk(self) -> int:
        """Bytes that stay: model, predictions (logits in fp32, features in fp16, labels), texts."""
        outputs = 4 * self.classes + 2 * self.network.features + 8
        return self.network.model_bytes + self.predicted * outputs + TEXTS + EPOCH_TEXT * self.epochs

    @property
    def states(self) -> int:
        """Bytes of the states on the disk while the run is in training: student, momentum, the method's table."""
        table = 4 * self.images * self.classes if self.memory else 0
        return STATES * (self.network.model_bytes + 4 * self.network.parameters + table)


def work(settings: dict[str, Any], dataset: DataSet, evaluate_every: int) -> Work:
    """Count what a run does.

    Args:
        settings: the run's resolved settings.
        dataset: its data set, as the study wants it.
        evaluate_every: epochs between two looks at the evaluation set; the last epoch is always looked at.
    """
    data, recipe = settings["data"], settings["recipe"]
    method = method_spec(settings["method"]).check(settings["settings"])
    held = dataset.classes * data["holdout_per_class"]
    wanted = data["images_per_class"]
    images = dataset.classes * wanted if wanted else dataset.train - held
    epochs: int = recipe["epochs"]
    first, later = method.frozen_passes
    side = data["transform"]["size"]
    return Work(
        network=count(counted_as(settings["model"], side), side, dataset.classes),
        epochs=epochs,
        images=images,
        steps=math.ceil(images / recipe["batch_size"]),
        passes=first + later * (epochs - 1),
        critic=critic(method, dataset.classes) if isinstance(method, AIKDSettings) else 0,
        evaluations=math.ceil(epochs / evaluate_every),
        test=dataset.test,
        predicted=dataset.test + held,
        classes=dataset.classes,
        memory=method.remembers,
    )


def critic(method: AIKDSettings, classes: int) -> int:
    """Operations of the critic for each image of a step: its own updates (eq. 6), and the student's L_A (eq. 7).

    An update passes student, superior and interpolates forward; then the gradient of the interpolates' outputs by
    the inputs; then back through both. In one joint pass all three batches take all these ways.
    """
    c = method.critic
    if method.omega == 0:
        return 0
    reading = 2 * classes * c.fc1
    head = 2 * c.fc2 if c.head == "linear" else 0
    rest = 2 * c.fc1 * c.fc2 + head
    once = reading + rest
    # Each layer's products: forward, gradient by its input, and on the way back those of the gradient of the weights,
    # of the input, and of both factors of the first gradient. What follows the last layer is constant, so there one
    # factor needs none.
    penalised = 6 * once - (head or rest)
    if c.passes == "joint":
        update = 3 * penalised
    else:
        # Student and superior alone: forward, then gradients of weights and of all inputs but the data. The
        # interpolates' own outputs are not in the loss, so nothing goes back from them.
        alone = 3 * once - reading
        update = penalised - 2 * rest + alone + (alone if c.middle_term == "kept" else once)
    # The student's L_A: forward and back. The looks at where it pushes are left out: one step in ten has one.
    return c.steps * update + 2 * once
