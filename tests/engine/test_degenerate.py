"""Data sets at the edge of what can be trained on, and training that diverges: it works, or says what is wrong."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aikd.engine import jobs
from aikd.engine.state import States
from aikd.engine.store import Prepared, write_prepared
from aikd.engine.training import Trainer
from aikd.errors import UserError
from aikd.methods import Batch, Step
from aikd.methods.aikd import AIKD
from tests.engine import resuming

pytestmark = pytest.mark.usefixtures("on_the_cpu")
Make = Callable[..., dict[str, Any]]

NAMES = ["-".join([name, *settings.values()]) for name, settings in resuming.METHODS]

CASES = {
    "fewer images than a batch": ([4, 3, 2], 128, [9]),
    "a class of one image": ([5, 1, 4], 4, [4, 4, 2]),
    "one image left over": ([5, 1, 3], 4, [4, 5]),
    "one image a class": ([1, 1], 2, [2]),
    "batches of two and one left over": ([2, 1], 2, [3]),
}
"""Training images of each class, batch size, and the batches that come of it."""


def prepared(folder: Path, counts: list[int], constant: bool = False) -> Prepared:
    """Random images of 8 × 8, which the last maps of the network see as single pixels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 3, 8, 8), dtype=np.uint8)
    if constant:
        images[:, 1] = 7
    names = [str(label) for label in range(len(counts))]
    write_prepared(
        folder / "digits", "digits", names, {"train": (images, labels), "test": (images, labels)}, {}
    )
    return Prepared.open(folder / "digits")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", resuming.METHODS, ids=NAMES)
def test_every_method_trains_on_few_images(
    tmp_path: Path, make_settings: Make, method: tuple[str, dict[str, Any]], case: str
) -> None:
    counts, batch_size, expected = CASES[case]
    settings = make_settings(*method, epochs=3, milestones=[], batch_size=batch_size, learning_rate=0.01)
    data = prepared(tmp_path, counts)
    superior = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, len(counts)))
    trainer = Trainer(settings, data, superior if settings["superior"] else None, torch.device("cpu"))
    sizes: list[int] = []
    original = trainer.method.step

    def step(student: Any, batch: Batch) -> Step:
        sizes.append(len(batch.images))
        return original(student, batch)

    trainer.method.step = step  # type: ignore[method-assign]
    rows = trainer.run(lambda row: None)
    assert sizes == 3 * expected
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_the_partner_of_a_classs_only_image_is_the_image_itself(tmp_path: Path, make_settings: Make) -> None:
    settings = make_settings("cskd", epochs=1, milestones=[], batch_size=4)
    trainer = Trainer(settings, prepared(tmp_path, [5, 1, 3]), None, torch.device("cpu"))
    for seed in range(20):
        partners = trainer.train.partners(np.random.default_rng(seed))
        assert partners[5] == 5
        assert set(partners[:5]) <= set(range(5))


def test_images_without_any_contrast_are_refused_before_training(tmp_path: Path, make_settings: Make) -> None:
    data = prepared(tmp_path, [4, 4], constant=True)
    with pytest.raises(
        UserError, match=r"^data\.digits\.transform: .* same all over .* give `mean` and `std`$"
    ):
        Trainer(make_settings(), data, None, torch.device("cpu"))
    transform = {"transform": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    Trainer(make_settings(data=transform, epochs=1, milestones=[]), data, None, torch.device("cpu"))


# Divergence


def poisoned(
    monkeypatch: pytest.MonkeyPatch, at: int, poison: Callable[[Trainer], None], after: bool = False
) -> None:
    """Every trainer meets the poison just before a step (counted from 1 over all epochs), or just after it."""
    original = Trainer._step

    def step(self: Trainer, batch: Batch) -> dict[str, torch.Tensor]:
        self.steps = getattr(self, "steps", 0) + 1  # type: ignore[attr-defined]
        if self.steps == at and not after:  # type: ignore[attr-defined]
            poison(self)
        scalars = original(self, batch)
        if self.steps == at and after:  # type: ignore[attr-defined]
            poison(self)
        return scalars

    monkeypatch.setattr(Trainer, "_step", step)


def poison_student(trainer: Trainer) -> None:
    trainer.student.fc.weight.data[0, 0] = math.nan  # type: ignore[union-attr,operator,index]


def poison_critic(trainer: Trainer) -> None:
    assert isinstance(trainer.method, AIKD)
    assert trainer.method.critic is not None
    trainer.method.critic.fc2.weight.data[0, 0] = math.inf


STEPS = 5
"""Of an epoch: 41 images in batches of 8, the last with one more."""


def refused(results: Path, data: Path, settings: dict[str, Any]) -> str:
    """What training says that diverges in its third epoch; the states of before must be kept, and be all there is."""
    with pytest.raises(UserError) as raised:
        jobs.train(settings, results, data, evaluate_every=1, save_every=1)
    folder = results / "runs" / settings["run"]
    assert [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")] == []
    assert States(folder).epochs() == [2, 1]
    return str(raised.value).removeprefix(settings["run"] + ": ")


@pytest.mark.parametrize("method", resuming.METHODS, ids=NAMES)
def test_a_loss_that_is_not_a_number_is_named_and_loses_no_state(
    results: Path,
    tiny: Path,
    make_settings: Make,
    monkeypatch: pytest.MonkeyPatch,
    method: tuple[str, dict[str, Any]],
) -> None:
    if method[0] == "baseline":
        results = results.parent / "other"
    poisoned(monkeypatch, 2 * STEPS + 3, poison_student)
    message = refused(results, tiny, make_settings(*method, **resuming.RECIPE))
    name = "soft_ce" if method[0] == "pskd" else "ce"
    assert message.startswith(
        f"{name} is nan in epoch 3, step 3 of {STEPS}; lower recipe.learning_rate, or look at"
    )


def test_a_critic_that_diverges_is_named(
    results: Path, tiny: Path, make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, 2 * STEPS + 2, poison_critic)
    message = refused(results, tiny, make_settings("aikd", **resuming.RECIPE))
    assert message.startswith(f"critic_loss is nan in epoch 3, step 2 of {STEPS}; ")


def test_weights_that_diverge_in_the_last_step_are_named(
    results: Path, tiny: Path, make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss has seen them yet."""
    poisoned(monkeypatch, 3 * STEPS, poison_student, after=True)
    message = refused(results, tiny, make_settings("aikd", **resuming.RECIPE))
    assert message.startswith("fc.weight of the network is not finite after epoch 3; ")
