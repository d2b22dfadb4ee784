"""The shared losses against SciPy and closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, rel_entr, softmax

from aikd.methods import Targets
from aikd.methods.losses import cross_entropy, distillation, divergence, soft_cross_entropy, soften

LOGITS = hnp.arrays(np.float64, (3, 5), elements=st.floats(-20, 20))
TAU = st.floats(0.3, 20)


def targets(first: list[int], second: list[int] | None = None, lam: float = 1.0) -> Targets:
    return Targets(torch.tensor(first), torch.tensor(second or first), lam)


@given(z=LOGITS, tau=TAU)
def test_soften_is_the_log_softmax_of_scaled_logits(z: np.ndarray, tau: float) -> None:
    np.testing.assert_allclose(soften(torch.from_numpy(z), tau), log_softmax(z / tau, axis=1), atol=1e-9)


@settings(deadline=None)
@given(p=LOGITS, q=LOGITS)
def test_divergence_sums_over_classes_and_averages_over_the_batch(p: np.ndarray, q: np.ndarray) -> None:
    found = divergence(*(torch.from_numpy(log_softmax(z, axis=1)) for z in (p, q)))
    expected = rel_entr(softmax(p, axis=1), softmax(q, axis=1)).sum() / len(p)
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_divergence_of_two_coins() -> None:
    """½ ln(½ / ¼) + ½ ln(½ / ¾) = ln 2 - ½ ln 3, twice."""
    p = torch.tensor([[0.5, 0.5], [0.5, 0.5]], dtype=torch.float64).log()
    q = torch.tensor([[0.25, 0.75], [0.75, 0.25]], dtype=torch.float64).log()
    assert divergence(p, q).item() == pytest.approx(np.log(2) - np.log(3) / 2)


def test_divergence_is_of_the_first_from_the_second() -> None:
    """The direction matters: the teacher's probabilities weigh the logarithms."""
    p = torch.tensor([[0.999, 0.001]], dtype=torch.float64).log()
    q = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    assert divergence(p, q).item() == pytest.approx(0.68524, abs=1e-5)
    assert divergence(q, p).item() == pytest.approx(2.76123, abs=1e-5)


@settings(deadline=None)
@given(teacher=LOGITS, student=LOGITS, tau=TAU)
def test_distillation_carries_the_squared_temperature(
    teacher: np.ndarray, student: np.ndarray, tau: float
) -> None:
    p, q = softmax(teacher / tau, axis=1), softmax(student / tau, axis=1)
    found = distillation(torch.from_numpy(teacher), torch.from_numpy(student), tau)
    assert found.item() == pytest.approx(tau**2 * rel_entr(p, q).sum(1).mean(), rel=1e-6, abs=1e-7)


def test_gradient_of_distillation_is_tau_times_the_difference_of_probabilities() -> None:
    """∂/∂z of τ² KL(p ‖ softmax(z/τ)) / B is τ (softmax(z/τ) - p) / B."""
    rng = np.random.default_rng(0)
    teacher, z, tau = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), 3.0
    student = torch.from_numpy(z).requires_grad_()
    distillation(torch.from_numpy(teacher), student, tau).backward()
    expected = tau * (softmax(z / tau, axis=1) - softmax(teacher / tau, axis=1)) / 6
    assert student.grad is not None
    np.testing.assert_allclose(student.grad, expected, atol=1e-12)


def test_confident_logits_stay_finite() -> None:
    sure = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    other = torch.tensor([[-1e4, 1e4, 0.0]])
    for loss in (distillation(other, sure, 1.0), distillation(sure, other, 1.0)):
        assert loss.item() == pytest.approx(2e4)
    distillation(other, sure, 1.0).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


@given(z=LOGITS, lam=st.floats(0, 1))
def test_cross_entropy_weighs_both_labels_of_mixed_images(z: np.ndarray, lam: float) -> None:
    first, second, logp = [0, 4, 2], [1, 4, 0], log_softmax(z, axis=1)
    expected = -np.mean([lam * logp[i, first[i]] + (1 - lam) * logp[i, second[i]] for i in range(3)])
    found = cross_entropy(torch.from_numpy(z), targets(first, second, lam))
    assert found.item() == pytest.approx(expected, abs=1e-9)


@given(z=LOGITS, weights=hnp.arrays(np.float64, (3, 5), elements=st.floats(0.01, 1)))
def test_soft_cross_entropy_is_entropy_plus_divergence(z: np.ndarray, weights: np.ndarray) -> None:
    target = weights / weights.sum(1, keepdims=True)
    entropy = -(target * np.log(target)).sum(1).mean()
    expected = entropy + rel_entr(target, softmax(z, axis=1)).sum(1).mean()
    found = soft_cross_entropy(torch.from_numpy(z), torch.from_numpy(target))
    assert found.item() == pytest.approx(expected, abs=1e-8)


@given(z=LOGITS)
def test_divergence_from_a_one_hot_label_is_cross_entropy(z: np.ndarray) -> None:
    """KL(q ‖ p) = H(q, p), which is why the label can stand in for S_{t-1} in AI-KD's first epoch."""
    labels, logits = targets([3, 0, 3]), torch.from_numpy(z)
    one_hot = labels.probabilities(5)
    ce = cross_entropy(logits, labels).item()
    almost = one_hot.double().clamp(min=1e-300).log()
    assert divergence(almost, soften(logits)).item() == pytest.approx(ce, abs=1e-9)
    assert soft_cross_entropy(logits, one_hot).item() == pytest.approx(ce, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.16, 0.8, 1.0])
def test_gradient_of_soft_targets_is_that_of_cross_entropy_and_divergence(alpha: float) -> None:
    """PS-KD's loss and (1-α) H(q, p) + α KL(P ‖ p) differ by P's entropy, which the student cannot change."""
    rng = np.random.default_rng(1)
    past = torch.from_numpy(log_softmax(rng.normal(size=(4, 5)), axis=1))
    z = torch.from_numpy(rng.normal(size=(4, 5))).requires_grad_()
    labels = targets([0, 1, 4, 2])
    soft = soft_cross_entropy(z, (1 - alpha) * labels.probabilities(5) + alpha * past.exp())
    split = (1 - alpha) * cross_entropy(z, labels) + alpha * divergence(past, soften(z))
    (found,), (expected,) = torch.autograd.grad(soft, z), torch.autograd.grad(split, z)
    torch.testing.assert_close(found, expected)


def test_targets_as_probabilities_and_error() -> None:
    mixed = targets([0, 1], [2, 1], 0.75)
    assert mixed.probabilities(3).tolist() == [[0.75, 0, 0.25], [0, 1, 0]]
    logits = torch.tensor([[0.0, 0.0, 9.0], [0.0, 9.0, 0.0]])
    # The first image is taken for its second label, whose share is a quarter.
    assert mixed.error(logits).item() == pytest.approx(0.375)
    assert targets([0, 1]).error(logits).item() == 0.5


def test_losses_of_the_conftest_agree_with_torch(by_hand: SimpleNamespace) -> None:
    """The reference of the other tests has to be right itself."""
    rng = np.random.default_rng(2)
    z, teacher, labels = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), torch.tensor([1, 0, 3])
    assert by_hand.cross_entropy(z, labels) == pytest.approx(
        F.cross_entropy(torch.from_numpy(z), labels).item()
    )
    soft, logp = torch.from_numpy(softmax(teacher / 2, axis=1)), torch.from_numpy(log_softmax(z / 2, axis=1))
    expected = 4 * F.kl_div(logp, soft, reduction="none").sum(1).mean().item()
    assert by_hand.distillation(teacher, z, 2.0) == pytest.approx(expected)
