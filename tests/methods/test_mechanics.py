"""What is logged of the adversarial term, against gradients written out by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from aikd.methods.losses import cross_entropy
from aikd.methods.mechanics import adversarial_terms, logit_terms

B, C, OMEGA = 6, 4, 0.3


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    student, superior = (torch.from_numpy(random.normal(size=(B, C)).astype("float32")) for _ in range(2))
    return student.requires_grad_(), superior


def test_cosine_and_share_of_a_linear_critic(tiny: SimpleNamespace, logits: tuple[torch.Tensor, ...]) -> None:
    """d(z) = w·z pushes every image along w; cross-entropy pulls along p - q."""
    z, superior = logits
    w, labels = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.arange(B) % C
    targets = tiny.make_batch().targets.__class__(labels, labels)
    terms = adversarial_terms(z, superior, -(z @ w).mean(), cross_entropy(z, targets), OMEGA)

    s, way = z.detach().numpy(), (superior - z).detach().numpy()
    cosines = way @ w.numpy() / (np.linalg.norm(way, axis=1) * np.linalg.norm(w.numpy()))
    assert terms["adversarial_cosine"].item() == pytest.approx(cosines.mean(), rel=1e-5)
    ours = OMEGA * np.linalg.norm(np.tile(w.numpy() / B, (B, 1)))
    theirs = np.linalg.norm((softmax(s, axis=1) - np.eye(C)[labels]) / B)
    assert terms["adversarial_share"].item() == pytest.approx(ours / (ours + theirs), rel=1e-5)


def test_a_step_that_leads_to_the_superior_has_cosine_one(logits: tuple[torch.Tensor, ...]) -> None:
    z, superior = logits
    towards = (z - superior).square().sum() / 2
    assert adversarial_terms(z, superior, towards, z.sum(), 1)["adversarial_cosine"].item() == pytest.approx(
        1
    )


def test_no_gradient_at_all_is_nothing_and_not_nan(logits: tuple[torch.Tensor, ...]) -> None:
    z, superior = logits
    terms = adversarial_terms(z, superior, 0 * z.sum(), 0 * z.sum(), OMEGA)
    assert {name: x.item() for name, x in terms.items()} == {"adversarial_cosine": 0, "adversarial_share": 0}


def test_logits_by_hand() -> None:
    z = torch.tensor([[3.0, 4.0], [0.0, -1.0]], requires_grad=True)
    terms = {name: x.item() for name, x in logit_terms(z, None).items()}
    assert terms == {"logit_mean": 1.5, "logit_norm": 3}
    assert logit_terms(z, 2 * z.detach())["superior_logit_norm"].item() == 6


def test_what_is_seen_at_a_look_stands_until_the_next(
    tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aikd.methods.aikd.LOOK_EVERY", 2)
    method, student, batch = tiny.make_method("aikd", {}, tiny.Linear(2)), tiny.Linear(1), tiny.make_batch()
    method.setup = replace(method.setup, steps=3)
    for epoch in range(2):  # each begins with a look
        method.begin_epoch(epoch)
        first, second, third = (
            method.step(student, batch).terms["adversarial_share"].item() for _ in range(3)
        )
        assert first == second
        assert second != third  # the critic has learnt since
        method.end_epoch(student)


def test_what_is_logged_changes_no_gradient(tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> list[torch.Tensor]:
        method, student = tiny.make_method("aikd", {}, tiny.Linear(2)), tiny.Linear(1)
        method.begin_epoch(0)
        method.step(student, tiny.make_batch()).loss.backward()
        return [p.grad for p in student.parameters()]

    logged = gradients()
    monkeypatch.setattr("aikd.methods.aikd.adversarial_terms", lambda *given: {})
    assert all(torch.equal(a, b) for a, b in zip(logged, gradients(), strict=True))
