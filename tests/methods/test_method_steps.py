"""Baseline, CS-KD, TF-KD and PS-KD: every term of a step against NumPy, on networks small enough to write out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from aikd.methods import Step


def check(step: Step, terms: dict[str, float], total: float) -> None:
    """The named terms, all of them, and the loss."""
    found = {name: term.item() for name, term in step.terms.items()}
    assert found == pytest.approx(terms, rel=1e-5)
    assert step.loss.item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_baseline_is_cross_entropy(tiny: SimpleNamespace, by_hand: SimpleNamespace, lam: float) -> None:
    student, batch = tiny.Linear(1), tiny.make_batch(lam=lam)
    z = by_hand.logits_of(student, batch.images)
    step = tiny.make_method("baseline").step(student, batch)
    ce = lam * by_hand.cross_entropy(z, batch.targets.first)
    ce += (1 - lam) * by_hand.cross_entropy(z, batch.targets.second)
    check(step, {"ce": ce}, ce)
    np.testing.assert_allclose(step.logits.detach(), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "temperature", "weight"), [({}, 4, 1), ({"weight": 3, "temperature": 2}, 2, 3)]
)
def test_cskd_draws_towards_the_partners(
    tiny: SimpleNamespace,
    by_hand: SimpleNamespace,
    settings: dict[str, float],
    temperature: float,
    weight: float,
) -> None:
    student, batch = tiny.Linear(1), tiny.make_batch()
    z, other = (by_hand.logits_of(student, images) for images in (batch.images, batch.partners))
    ce = by_hand.cross_entropy(z, batch.targets.first)
    class_wise = by_hand.distillation(other, z, temperature)
    step = tiny.make_method("cskd", settings).step(student, batch)
    check(step, {"ce": ce, "class_wise": class_wise}, ce + weight * class_wise)


def test_cskd_partners_pass_in_train_mode_without_gradient(tiny: SimpleNamespace) -> None:
    """BatchNorm sees both batches, first the images and then the partners; the gradient knows the images alone."""
    student, batch = tiny.Normalised(1), tiny.make_batch()
    modes: list[tuple[bool, bool]] = []
    student.register_forward_hook(lambda m, _, out: modes.append((m.training, out.requires_grad)))
    mean = student.norm.running_mean.numpy().astype(np.float64)
    step = tiny.make_method("cskd").step(student, batch)
    assert modes == [(True, True), (True, False)]
    assert student.norm.num_batches_tracked.item() == 2
    for images in (batch.images, batch.partners):
        mean = 0.9 * mean + 0.1 * images.numpy().astype(np.float64).mean((0, 2, 3))
    np.testing.assert_allclose(student.norm.running_mean, mean, rtol=1e-5)

    # With the partners' logits as constants the gradient is the same.
    constant = torch.from_numpy(softmax(_train_logits(student, batch.partners) / 4, axis=1))
    z = student(batch.images)
    logp = torch.log_softmax(z / 4, 1)
    class_wise = 16 * (constant * (constant.log() - logp)).sum(1).mean()
    expected = torch.nn.functional.cross_entropy(z, batch.targets.first) + class_wise
    torch.testing.assert_close(tiny.gradient(step.loss, student), tiny.gradient(expected, student))


def _train_logits(student: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(student(images))


@pytest.mark.parametrize(
    ("settings", "alpha", "temperature", "kl_weight"),
    [({}, 0.95, 6, 0.5), ({"alpha": 0.9, "temperature": 20}, 0.9, 20, 0.5), ({"kl_weight": 1}, 0.95, 6, 1)],
)
def test_tfkd_scales_the_guide_by_half(
    tiny: SimpleNamespace, by_hand: SimpleNamespace, settings: dict[str, float],
    alpha: float, temperature: float, kl_weight: float,
) -> None:  # fmt: skip
    student, superior, batch = tiny.Linear(1), tiny.Normalised(2), tiny.make_batch()
    z, teacher = by_hand.logits_of(student, batch.images), by_hand.eval_logits_of(superior, batch.images)
    ce = by_hand.cross_entropy(z, batch.targets.first)
    guide = kl_weight * by_hand.distillation(teacher, z, temperature)
    step = tiny.make_method("tfkd", settings, superior).step(student, batch)
    check(step, {"ce": ce, "guide": guide}, (1 - alpha) * ce + alpha * guide)


def test_tfkd_default_is_the_published_multiplier_at_a_hundred_classes(tiny: SimpleNamespace) -> None:
    """A mean over images and classes times 50, as published, is 0.5 of the batch mean at C = 100."""
    rng = np.random.default_rng(0)
    z, teacher = rng.normal(size=(4, 100)), rng.normal(size=(4, 100))
    p, q = softmax(teacher / 6, axis=1), softmax(z / 6, axis=1)
    published = 50 * 6**2 * np.mean(p * np.log(p / q))
    method = tiny.make_method("tfkd", superior=tiny.Linear(0))
    object.__setattr__(method.setup, "superior", lambda _: torch.from_numpy(teacher))
    guide = method.step(lambda _: torch.from_numpy(z), tiny.make_batch()).terms["guide"]
    assert guide.item() == pytest.approx(published)


def test_the_superior_model_takes_no_gradient_and_never_changes(tiny: SimpleNamespace) -> None:
    student, superior, batch = tiny.Linear(1), tiny.Normalised(2), tiny.make_batch()
    method = tiny.make_method("tfkd", superior=superior)
    before = {name: tensor.clone() for name, tensor in superior.state_dict().items()}
    step = method.step(student, batch)
    step.loss.backward()
    assert all(p.grad is None for p in superior.parameters())
    for name, tensor in superior.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    again = method.step(student, batch)
    assert again.terms["guide"].item() == step.terms["guide"].item()


@pytest.mark.parametrize("epoch", range(5))
def test_pskd_alpha_grows_linearly_to_its_last_epoch(
    tiny: SimpleNamespace, by_hand: SimpleNamespace, epoch: int
) -> None:
    """α_t = 0.8 (t + 1) / epochs, and the past is what the memory was given in the epoch before."""
    first, student, batch = tiny.Linear(3), tiny.Linear(1), tiny.make_batch()
    method = tiny.make_method("pskd")
    method.begin_epoch(max(epoch - 1, 0))
    if epoch:
        method.step(first, batch)
    method.begin_epoch(epoch)
    step = method.step(student, batch)
    z, one_hot = by_hand.logits_of(student, batch.images), np.eye(tiny.classes)[batch.targets.first]
    past = softmax(by_hand.logits_of(first, batch.images), axis=1) if epoch else one_hot
    alpha = 0.8 * (epoch + 1) / tiny.epochs
    loss = by_hand.soft_cross_entropy(z, (1 - alpha) * one_hot + alpha * past)
    check(step, {"soft_ce": loss}, loss)


def test_pskd_first_epoch_is_cross_entropy(tiny: SimpleNamespace, by_hand: SimpleNamespace) -> None:
    student, batch = tiny.Linear(1), tiny.make_batch()
    method = tiny.make_method("pskd", {"alpha": 1})
    method.begin_epoch(0)
    ce = by_hand.cross_entropy(by_hand.logits_of(student, batch.images), batch.targets.first)
    check(method.step(student, batch), {"soft_ce": ce}, ce)


def test_pskd_memory_holds_each_image_as_it_was_last_visited(
    tiny: SimpleNamespace, by_hand: SimpleNamespace
) -> None:
    """Rows are found by position in the set, whatever the batch; the other rows stay as they are."""
    student = tiny.Linear(1)
    method = tiny.make_method("pskd")
    method.begin_epoch(0)
    low, high = tiny.make_batch(start=0), tiny.make_batch(start=4)
    method.step(student, high)
    assert (method.memory.logits[:4] == 0).all()
    method.step(student, low)
    expected = [by_hand.logits_of(student, batch.images) for batch in (low, high)]
    np.testing.assert_allclose(method.memory.logits, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    assert not method.memory.logits.requires_grad

    # The next epoch meets the images in another order and another crop.
    second, method.epoch = tiny.make_batch(seed=9, start=0), 1
    order = torch.tensor([2, 0, 3, 1])
    shuffled = type(second)(
        second.images,
        type(second.targets)(second.targets.first[order], second.targets.first[order]),
        order,
        order,
    )
    step = method.step(tiny.Linear(5), shuffled)
    alpha = 0.8 * 2 / tiny.epochs
    target = (1 - alpha) * np.eye(4)[shuffled.targets.first] + alpha * softmax(expected[0], axis=1)[order]
    loss = by_hand.soft_cross_entropy(by_hand.logits_of(tiny.Linear(5), second.images), target)
    check(step, {"soft_ce": loss}, loss)


def test_pskd_mixed_images_mix_the_targets_of_both(tiny: SimpleNamespace, by_hand: SimpleNamespace) -> None:
    first, student, lam = tiny.Linear(3), tiny.Linear(1), 0.3
    plain, batch = tiny.make_batch(), tiny.make_batch(lam=lam)
    method = tiny.make_method("pskd")
    method.begin_epoch(0)
    method.step(first, plain)
    method.begin_epoch(1)
    step = method.step(student, batch)
    one_hot = np.eye(tiny.classes)[plain.targets.first]
    past = softmax(by_hand.logits_of(first, plain.images), axis=1)
    own = (1 - 0.32) * one_hot + 0.32 * past
    target = lam * own + (1 - lam) * own[::-1]
    loss = by_hand.soft_cross_entropy(by_hand.logits_of(student, batch.images), target)
    check(step, {"soft_ce": loss}, loss)


def test_pskd_runs_the_student_once_a_step(tiny: SimpleNamespace) -> None:
    """No second network and no second pass."""
    student = tiny.Normalised(1)
    tiny.make_method("pskd").step(student, tiny.make_batch())
    assert student.norm.num_batches_tracked.item() == 1
