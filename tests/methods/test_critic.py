"""The critic: its size, eq. 6 against slow and closed forms, and what BatchNorm lets it see."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aikd.methods.critic import Critic, critic_loss, frozen
from aikd.optimisers import Adam
from aikd.study.methods import CriticSettings

C, B = 5, 6


def make(seed: int = 0, classes: int = C, **settings: Any) -> tuple[Critic, CriticSettings]:
    checked = CriticSettings(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Critic(classes, checked), checked


def data(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    student, superior, epsilon = rng.normal(size=(B, C)), rng.normal(1, 2, size=(B, C)), rng.random((B, 1))
    return tuple(torch.from_numpy(x).float() for x in (student, superior, epsilon))  # type: ignore[return-value]


@pytest.mark.parametrize(("classes", "expected"), [(100, 8672), (200, 15072), (120, 9952), (67, 6560)])
def test_parameter_counts(classes: int, expected: int) -> None:
    critic, _ = make(classes=classes)
    assert sum(p.numel() for p in critic.parameters()) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"norm": "none"}, 8672 - 128),
        ({"norm": "layer"}, 8672),
        ({"head": "linear"}, 8672 + 33),
        ({"fc1": 16, "fc2": 128}, 100 * 16 + 16 + 32 + 16 * 128 + 128),
    ],
)
def test_parameter_counts_of_the_options(settings: dict[str, Any], expected: int) -> None:
    critic, _ = make(classes=100, **settings)
    assert sum(p.numel() for p in critic.parameters()) == expected


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("head", ["mean", "linear"])
def test_d_is_a_scalar_for_each_image(norm: str, head: str) -> None:
    """FC - normalisation - LeakyReLU - FC, written out; then the mean of the outputs or one more layer."""
    critic, settings = make(norm=norm, head=head, slope=0.2)
    x = data()[1].double().numpy()
    w = {name: tensor.double().numpy() for name, tensor in critic.state_dict().items()}
    h = x @ w["fc1.weight"].T + w["fc1.bias"]
    if norm != "none":
        axis = {"batch": 0, "layer": 1}[norm]
        h = (h - h.mean(axis, keepdims=True)) / np.sqrt(h.var(axis, keepdims=True) + 1e-5)
    outputs = np.where(h > 0, h, 0.2 * h) @ w["fc2.weight"].T + w["fc2.bias"]
    assert outputs.shape == (B, settings.fc2)
    expected = outputs.mean(1) if head == "mean" else (outputs @ w["head.weight"].T + w["head.bias"])[:, 0]
    np.testing.assert_allclose(critic(torch.from_numpy(x).float()).detach(), expected, rtol=1e-4, atol=1e-5)


def test_critic_reads_logits_or_their_softmax() -> None:
    z = data()[0]
    assert make()[0].read(z) is z
    e = np.exp(z.double().numpy())
    probabilities = make(input="probabilities")[0].read(z)
    np.testing.assert_allclose(probabilities, e / e.sum(1, keepdims=True), rtol=1e-5)


def make_linear(critic: Critic) -> np.ndarray:
    """Sets the weights of a norm-free critic so that d(x) = a·x + b wherever its inputs are small; returns a."""
    with torch.no_grad():
        critic.fc1.bias.fill_(1e3)  # every LeakyReLU stays on its linear side
    a: np.ndarray = (critic.fc2.weight.double().mean(0) @ critic.fc1.weight.double()).detach().numpy()
    return a


@pytest.mark.parametrize("penalty", [0.0, 10.0])
@pytest.mark.parametrize("middle_term", ["kept", "dropped"])
def test_critic_loss_of_a_linear_critic_in_closed_form(penalty: float, middle_term: str) -> None:
    """d(x) = a·x + b has the gradient a everywhere: L_D = a·(mean student - mean superior) + λ (‖a‖ - 1)²."""
    critic, settings = make(norm="none", penalty=penalty, middle_term=middle_term)
    a = make_linear(critic)
    student, superior, epsilon = data()
    loss, terms = critic_loss(critic, student, superior, epsilon, settings)
    d_student, d_superior = (critic(x).detach().double().mean().item() for x in (student, superior))
    gap = float(a @ (superior - student).double().numpy().mean(0))
    assert terms["distance"].item() == pytest.approx(gap, abs=2e-4)
    assert terms["gradient_norm"].item() == pytest.approx(np.linalg.norm(a), rel=1e-5)
    expected = (
        d_student - (d_superior if middle_term == "kept" else 0) + penalty * (np.linalg.norm(a) - 1) ** 2
    )
    assert loss.item() == pytest.approx(expected, abs=5e-4)
    assert terms["critic_loss"].item() == loss.item()


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("passes", ["joint", "separate"])
@pytest.mark.parametrize("head", ["mean", "linear"])
def test_critic_loss_against_one_image_at_a_time(norm: str, passes: str, head: str) -> None:
    """Where images do not meet in a BatchNorm, eq. 6 is a plain loop over them."""
    critic, settings = make(seed=3, norm=norm, passes=passes, head=head, penalty=7.0)
    student, superior, epsilon = data(1)
    loss, terms = critic_loss(critic, student, superior, epsilon, settings)
    total, gap, norms = 0.0, 0.0, 0.0
    for s, t, e in zip(student, superior, epsilon, strict=True):
        x = ((1 - e) * s + e * t).requires_grad_()
        (g,) = torch.autograd.grad(critic(x[None])[0], x)
        d_s, d_t, n = critic(s[None]).item(), critic(t[None]).item(), float(np.sqrt((g.numpy() ** 2).sum()))
        total, gap, norms = total + (d_s - d_t + 7.0 * (n - 1) ** 2) / B, gap + (d_t - d_s) / B, norms + n / B
    assert loss.item() == pytest.approx(total, rel=1e-4)
    assert terms["distance"].item() == pytest.approx(gap, rel=1e-3, abs=1e-6)
    assert terms["gradient_norm"].item() == pytest.approx(norms, rel=1e-4)


def test_the_penalty_trains_the_critic_towards_slope_one() -> None:
    """The gradient through the gradient, in closed form: ∂/∂a of λ (‖a‖ - 1)² is 2 λ (‖a‖ - 1) a / ‖a‖."""
    critic, settings = make(norm="none", head="linear", fc1=1, fc2=1)
    make_linear(critic)
    with torch.no_grad():
        critic.fc2.weight.fill_(1.0)
        critic.get_parameter("head.weight").fill_(1.0)  # d(x) = w·x + b, w being fc1's only row
    student, _, epsilon = data()
    loss, _ = critic_loss(
        critic, student, student, epsilon, settings
    )  # equal means: only the penalty is left
    loss.backward()
    w = critic.fc1.weight.detach().double().numpy()
    size = np.linalg.norm(w)
    assert critic.fc1.weight.grad is not None
    np.testing.assert_allclose(critic.fc1.weight.grad, 20 * (size - 1) * w / size, rtol=1e-3)


def test_a_critic_without_slope_has_no_nan_in_its_gradient() -> None:
    """‖∇‖ has no derivative at 0, where a critic with dead units may be."""
    critic, settings = make()
    torch.nn.init.zeros_(critic.fc2.weight)
    loss, terms = critic_loss(critic, *data(), settings)
    loss.backward()
    assert terms["gradient_norm"].item() == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in critic.parameters())


def test_critic_loss_ranks_the_superior_above_the_student() -> None:
    """The sign of eq. 6: training raises d on the superior's outputs and lowers it on the student's."""
    critic, settings = make(norm="none", learning_rate=0.01)
    optimiser, (student, superior, epsilon) = Adam(critic.parameters(), lr=0.01), data()
    for _ in range(50):
        loss, terms = critic_loss(critic, student, superior, epsilon, settings)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert terms["distance"] > 1
    assert critic(superior).mean() > critic(student).mean()


class Recorder(torch.nn.Module):
    """Stands in for a critic: d(x) = Σx², and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach())
        return x.square().sum(1)


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_each_interpolate_lies_between_its_own_pair(passes: str) -> None:
    """ε is the superior's share, one for each image; all three batches pass at once unless told otherwise."""
    student, superior, epsilon = data()
    recorder = Recorder()
    _, terms = critic_loss(recorder, student, superior, epsilon, CriticSettings(passes=passes))  # type: ignore[arg-type]
    assert [len(x) for x in recorder.seen] == ([3 * B] if passes == "joint" else [B] * 3)
    seen_student, seen_superior, between = torch.cat(recorder.seen).chunk(3)
    assert torch.equal(seen_student, student)
    assert torch.equal(seen_superior, superior)
    pairs = zip(*(x.double().numpy() for x in (student, superior, epsilon)), strict=True)
    expected = np.stack([(1 - e) * s + e * t for s, t, e in pairs])
    np.testing.assert_allclose(between, expected, rtol=1e-5, atol=1e-6)
    # ∇ Σx² = 2x
    expected_norm = 2 * np.sqrt((expected**2).sum(1)).mean()
    assert terms["gradient_norm"].item() == pytest.approx(expected_norm, rel=1e-5)


def test_frozen_critic_is_in_eval_mode_and_comes_back() -> None:
    critic, _ = make()
    before = critic.norm.running_mean.clone()
    with frozen(critic) as c:
        assert not any(module.training for module in c.modules())
        assert not any(p.requires_grad for p in c.parameters())
        c(data()[0])
    assert torch.equal(critic.norm.running_mean, before)
    assert all(module.training for module in critic.modules())
    assert all(p.requires_grad for p in critic.parameters())


def test_critic_comes_back_from_an_error_as_well() -> None:
    critic, _ = make()
    with pytest.raises(ValueError, match="expected 2D"), frozen(critic) as c:
        c(torch.zeros(C))
    assert all(module.training for module in critic.modules())


def test_joint_pass_normalises_all_three_batches_by_the_same_moments() -> None:
    critic, settings = make()
    student, superior, epsilon = data()
    critic_loss(critic, student, superior, epsilon, settings)
    rows = torch.cat([student, superior, torch.lerp(student, superior, epsilon)])
    features = critic.fc1(rows).detach().double().numpy()
    np.testing.assert_allclose(critic.norm.running_mean, 0.1 * features.mean(0), rtol=1e-3, atol=1e-6)
    assert critic.norm.num_batches_tracked.item() == 1


@pytest.mark.parametrize("seed", range(5))
def test_separate_passes_cannot_tell_a_shifted_superior_whatever_the_weights(seed: int) -> None:
    """BatchNorm subtracts each batch's own mean, so outputs that differ by a shift give the same d, exactly."""
    student, _, epsilon = data(seed)
    shifted = student + torch.linspace(-3, 3, C)
    distances = {}
    for passes in ("joint", "separate"):
        critic, settings = make(seed, passes=passes)
        distances[passes] = abs(
            critic_loss(critic, student, shifted, epsilon, settings)[1]["distance"].item()
        )
    assert distances["separate"] < 1e-6
    assert distances["joint"] > 1e-3


def shown_to_the_student(passes: str, seed: int) -> float:
    """Trains a critic on superior = student + a shift; the cosine of the student's gradient with that shift."""
    classes, generator = 32, torch.Generator().manual_seed(seed)
    critic, settings = make(seed, classes, passes=passes, learning_rate=1e-3)
    optimiser = Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    shift = torch.randn(classes, generator=generator)
    shift *= 3 / shift.norm()
    for _ in range(200):
        z, epsilon = torch.randn(64, classes, generator=generator), torch.rand(64, 1, generator=generator)
        loss, _ = critic_loss(critic, z, z + shift, epsilon, settings)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    z = torch.randn(256, classes, generator=generator).requires_grad_()
    with frozen(critic) as c:
        (-c(c.read(z)).mean()).backward()
    assert z.grad is not None
    return torch.cosine_similarity(-z.grad.sum(0), shift, dim=0).item()


def test_joint_pass_shows_the_student_the_way_and_separate_passes_do_not() -> None:
    """Why student, superior and interpolates share one pass through the critic's BatchNorm."""
    joint, separate = (
        [shown_to_the_student(passes, seed) for seed in range(4)] for passes in ("joint", "separate")
    )
    assert min(joint) > 0.8
    assert abs(np.mean(separate)) < 0.3
    assert max(separate) < 0.6
