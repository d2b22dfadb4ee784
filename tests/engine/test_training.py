"""The training loop against a loop written out, and what two runs have in common."""

import copy
import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from torch import Tensor, nn

from aikd.engine.history import first_not_finite, write_history
from aikd.engine.store import Prepared
from aikd.engine.training import Row, Trainer, learning_rate
from aikd.errors import UserError
from aikd.methods import Batch, Step
from aikd.models import build

CPU = torch.device("cpu")
TIMES = {"seconds", "images_per_second"}
METHODS = ("baseline", "cskd", "tfkd", "pskd", "aikd")
Make = Callable[..., dict[str, Any]]


def superior(settings: dict[str, Any]) -> nn.Module | None:
    """Stands in for the trained superior model where the settings name one."""
    if not settings["superior"]:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return build(settings["model"], 10)


def trainer(settings: dict[str, Any], prepared: Prepared, evaluate_every: int = 1) -> Trainer:
    return Trainer(settings, prepared, superior(settings), CPU, evaluate_every)


def train(settings: dict[str, Any], prepared: Prepared) -> tuple[list[Row], dict[str, Tensor]]:
    """History without times, and weights."""
    run = trainer(settings, prepared)
    rows = run.run(lambda row: None)
    return [
        {key: value for key, value in row.items() if key not in TIMES} for row in rows
    ], run.student.state_dict()


def record(run: Trainer, seen: list[Any], look: Callable[[Batch, Step], Any]) -> None:
    """Appends `look` of every step from now on."""
    original = run.method.step

    def step(student: Any, batch: Batch) -> Step:
        result = original(student, batch)
        seen.append(look(batch, result))
        return result

    run.method.step = step  # type: ignore[method-assign]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())


def test_learning_rate_of_the_paper() -> None:
    recipe = {"learning_rate": 0.1, "decay": 0.1, "milestones": [150, 225]}
    rates = [learning_rate(recipe, epoch) for epoch in range(300)]
    assert rates == pytest.approx([0.1] * 150 + [0.01] * 75 + [0.001] * 75)


def test_learning_rate_follows_torchs_scheduler() -> None:
    recipe = {"learning_rate": 0.4, "decay": 0.3, "milestones": [2, 3, 7]}
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[2, 3, 7], gamma=0.3)
    for epoch in range(10):
        assert learning_rate(recipe, epoch) == pytest.approx(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()


def test_baseline_is_the_plain_loop(digits: Prepared, make_settings: Make) -> None:
    """Same batches, torch's own cross-entropy, SGD and schedule: the same weights and history."""
    settings = make_settings(epochs=3, milestones=[2], learning_rate=0.02, weight_decay=1e-2)
    run = trainer(settings, digits)
    plain = copy.deepcopy(run.student)
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[2])
    rows = run.run(lambda row: None)
    for epoch, row in enumerate(rows):
        losses, errors = [], []
        plain.train()
        for batch in run.train.epoch(0, epoch, 128, settings["augmentation"], False):
            logits = plain(batch.images)
            loss = nn.functional.cross_entropy(logits, batch.targets.first)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            errors.append(100 - 100 * accuracy_score(batch.targets.first, logits.argmax(1)))
        assert row["learning_rate"] == pytest.approx(scheduler.get_last_lr()[0])
        scheduler.step()
        assert row["epoch"] == epoch + 1
        assert row["loss"] == row["ce"] == pytest.approx(np.mean(losses), rel=1e-4)
        assert row["train_error"] == pytest.approx(np.mean(errors), abs=0.2)
    for mine, theirs in zip(run.student.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_test_error_is_that_of_the_student_in_eval_mode(digits: Prepared, make_settings: Make) -> None:
    run = trainer(make_settings(epochs=1, milestones=[]), digits)
    (row,) = run.run(lambda row: None)
    pixels = torch.from_numpy(np.array(digits.images("test"))).double() / 255
    mean, std = (torch.tensor(digits.manifest[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        predicted = run.student.eval()(((pixels - mean) / std).float()).argmax(1)
    assert row["test_error"] == pytest.approx(100 - 100 * accuracy_score(digits.labels("test"), predicted))


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_is_one_result_to_the_bit(digits: Prepared, make_settings: Make, method: str) -> None:
    settings = make_settings(method, seed=1, data={"images_per_class": 20}, batch_size=32)
    torch.manual_seed(1)
    rows, weights = train(settings, digits)
    torch.manual_seed(2)
    np.random.default_rng().random()
    again, weights_again = train(settings, digits)
    assert rows == again
    assert same(weights, weights_again)
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_another_seed_is_another_result(digits: Prepared, make_settings: Make) -> None:
    runs = [train(make_settings(seed=seed, data={"images_per_class": 20}), digits) for seed in (0, 1)]
    assert not same(runs[0][1], runs[1][1])
    assert runs[0][0][0]["loss"] != runs[1][0][0]["loss"]


@pytest.mark.parametrize("augmentation", ["standard", "cutmix"])
def test_every_method_sees_the_same_batches_of_a_seed(
    digits: Prepared, make_settings: Make, augmentation: str
) -> None:
    """Common random numbers: images, labels, order and mixing, to the bit."""
    seen: dict[str, list[Any]] = {}
    for method in METHODS:
        run = trainer(make_settings(method, augmentation=augmentation, data={"images_per_class": 20}), digits)
        record(
            run, seen.setdefault(method, []), lambda batch, step: (batch.images, batch.index, batch.targets)
        )
        run.run(lambda row: None)
    assert len(seen["baseline"]) == 2 * 2
    for method in METHODS[1:]:
        for mine, first in zip(seen[method], seen["baseline"], strict=True):
            assert torch.equal(mine[0], first[0])
            assert torch.equal(mine[1], first[1])
            assert mine[2].lam == first[2].lam
            assert torch.equal(mine[2].first, first[2].first)
            assert torch.equal(mine[2].second, first[2].second)


def test_students_start_alike_and_apart_from_the_superior(digits: Prepared, make_settings: Make) -> None:
    weights = {method: trainer(make_settings(method), digits).student.state_dict() for method in METHODS}
    assert not torch.equal(weights["baseline"]["conv1.weight"], weights["aikd"]["conv1.weight"])
    for method in METHODS[2:]:
        assert same(weights[method], weights["cskd"])
    other = trainer(make_settings("cskd", seed=1), digits).student.state_dict()
    assert not torch.equal(other["conv1.weight"], weights["cskd"]["conv1.weight"])


def test_initial_weights_leave_torchs_own_generator_alone(digits: Prepared, make_settings: Make) -> None:
    settings = make_settings()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trainer(settings, digits)
    assert torch.equal(torch.rand(1), expected)


def test_evaluation_set_is_looked_at_every_k_epochs_and_at_the_end(
    digits: Prepared, make_settings: Make
) -> None:
    settings = make_settings(epochs=5, milestones=[], data={"images_per_class": 5})
    every = trainer(settings, digits).run(lambda row: None)
    some = trainer(settings, digits, evaluate_every=2).run(lambda row: None)
    assert [row["test_error"] is not None for row in some] == [False, True, False, True, True]
    # Looking changes nothing.
    assert [row["loss"] for row in some] == [row["loss"] for row in every]
    assert some[-1]["test_error"] == every[-1]["test_error"]


def test_history_file_has_an_empty_cell_where_nobody_looked(
    digits: Prepared, make_settings: Make, tmp_path: Path
) -> None:
    rows = trainer(make_settings("pskd", data={"images_per_class": 5}), digits, evaluate_every=2).run(
        lambda row: None
    )
    write_history(tmp_path / "history.csv", rows)
    with (tmp_path / "history.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert written == [{key: "" if x is None else str(x) for key, x in row.items()} for row in rows]
    assert [row["test_error"] == "" for row in written] == [True, False]


def test_history_holds_the_means_over_an_epochs_steps(digits: Prepared, make_settings: Make) -> None:
    run = trainer(make_settings("aikd", epochs=1, milestones=[]), digits)
    seen: list[dict[str, Tensor]] = []
    record(run, seen, lambda batch, step: {"loss": step.loss, **step.terms})
    (row,) = run.run(lambda row: None)
    assert len(seen) == 8
    for name in (
        "loss",
        "ce",
        "previous",
        "guide",
        "adversarial",
        "critic_loss",
        "distance",
        "gradient_norm",
    ):
        assert row[name] == pytest.approx(np.mean([terms[name].item() for terms in seen]), rel=1e-6), name


def test_previous_student_is_that_of_the_last_epoch(digits: Prepared, make_settings: Make) -> None:
    """In the loop: S_{t-1} says in epoch t what the student said, in eval mode, when epoch t-1 had ended."""
    settings = make_settings("aikd", {"alpha_g": 0, "omega": 0}, data={"images_per_class": 20}, batch_size=32)
    run = trainer(settings, digits)
    images = next(run.test.evaluation())[0]
    for epoch in (0, 1):
        run.epoch(epoch)
        # test_error has left the student in eval mode.
        expected = run.forward(images).detach()
        run.student.train()
        for p in run.student.parameters():
            p.data.add_(0.1)
        torch.testing.assert_close(run.method.previous(images), expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.half)]
)
def test_networks_run_in_their_precision_and_losses_in_fp32(
    digits: Prepared, make_settings: Make, name: str, dtype: torch.dtype
) -> None:
    settings = make_settings("aikd", epochs=1, milestones=[], precision=name, data={"images_per_class": 20})
    run = trainer(settings, digits)
    inside: set[torch.dtype] = set()
    run.student.fc.register_forward_hook(lambda m, i, out: inside.add(out.dtype))  # type: ignore[union-attr]
    seen: list[Any] = []
    record(
        run,
        seen,
        lambda batch, step: {step.logits.dtype, step.loss.dtype, *(t.dtype for t in step.terms.values())},
    )
    (row,) = run.run(lambda row: None)
    assert inside == {dtype}
    assert set.union(*seen) == {torch.float32}
    assert {p.dtype for p in run.student.parameters()} == {torch.float32}
    assert math.isfinite(row["loss"])


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_low_precision_learns_as_fp32_does(digits: Prepared, make_settings: Make, name: str) -> None:
    """Gradients of fp16 are scaled and unscaled again: the weights go the same way."""
    runs = [trainer(make_settings(epochs=1, milestones=[], precision=p), digits) for p in ("fp32", name)]
    start = torch.cat([p.detach().flatten() for p in runs[0].student.parameters()])
    for run in runs:
        run.run(lambda row: None)
    full, low = (torch.cat([p.detach().flatten() for p in run.student.parameters()]) - start for run in runs)
    assert torch.cosine_similarity(full, low, dim=0) > 0.85
    assert low.norm().item() == pytest.approx(full.norm().item(), rel=0.1)


@pytest.mark.parametrize("held", [False, True])
def test_images_too_small_for_the_test_transform_are_refused_before_the_first_epoch(
    digits: Prepared, make_settings: Make, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training crops are resized and fit; nobody would look at a test image before `evaluate_every` epochs."""
    settings = make_settings(data={"holdout_per_class": 2 if held else 0})
    settings["data"]["transform"] |= {"size": 12, "crop": "resized"}
    message = (
        r"^data\.digits: transform: a centre crop of size 12 does not fit into a test image of 8×8 pixels"
    )
    if held:  # as if only the test images were large enough
        monkeypatch.setattr("aikd.engine.training.test_data", lambda *_: None)
    with pytest.raises(UserError, match=message):
        trainer(settings, digits)


def test_fp16_whose_first_step_overflows_has_moved_nothing(digits: Prepared, make_settings: Make) -> None:
    run = trainer(make_settings(epochs=1, milestones=[], precision="fp16"), digits)
    start = copy.deepcopy(dict(run.student.named_parameters()))
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    (batch, *_) = run._batches(0)
    run._step(batch)
    for name, parameter in run.student.named_parameters():
        assert torch.equal(parameter, start[name])
        assert not run.optimiser.state[parameter]["momentum_buffer"].any()


def test_a_term_that_is_not_finite_is_named_with_epoch_and_step(
    digits: Prepared, make_settings: Make
) -> None:
    run, steps = trainer(make_settings("aikd", batch_size=64), digits), 0
    original = run.method.step

    def step(student: Any, batch: Batch) -> Step:
        nonlocal steps
        steps += 1
        result = original(student, batch)
        if steps < 15 + 3:
            return result
        guide = result.terms["guide"] * math.nan
        return Step(result.loss + guide, result.logits, result.terms | {"guide": guide})

    run.method.step = step  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"digits/net/aikd/seed0: guide is nan in epoch 2, step 3 of 15"):
        run.run(lambda row: None)


def test_a_learning_rate_too_high_is_explained(digits: Prepared, make_settings: Make) -> None:
    with pytest.raises(UserError, match=r"in epoch 1, step \d of 8; lower recipe\.learning_rate"):
        trainer(make_settings(learning_rate=1e30), digits).run(lambda row: None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_first_step_that_is_not_finite_is_found(bad: float) -> None:
    names = ["a", "b"]
    assert first_not_finite(names, [[0.0, 1.0], [1e30, -1e30]]) is None
    assert first_not_finite(names, [[0.0, 1.0], [0.0, bad], [bad, bad]]) == ("b", 2)
