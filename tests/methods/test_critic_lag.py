"""A critic that lags, where the truth is known: two Gaussians that differ by a shift are |shift| apart (Wasserstein-1).

A WGAN-GP critic whose penalty has weight λ does not settle at slope 1: of all slopes g it picks the one with the
largest W·g - λ(g - 1)², which is g = 1 + W/2λ, and then estimates W·g.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from aikd.methods.critic import Critic, critic_loss
from aikd.optimisers import Adam
from aikd.study.methods import CriticSettings

CLASSES, WASSERSTEIN, PENALTY = 8, 2.0, 10.0
SLOPE = 1 + WASSERSTEIN / (2 * PENALTY)
Play = Callable[[float, int], Tensor]


def game(seed: int, **settings: Any) -> Play:
    """A critic, and a game of so many of its steps against a student whose mean lies `at` times the superior's."""
    generator = torch.Generator().manual_seed(seed)
    checked = CriticSettings(penalty=PENALTY, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = Critic(CLASSES, checked)
    optimiser = Adam(critic.parameters(), lr=3e-3, betas=(0.5, 0.9))
    superior = torch.full((CLASSES,), WASSERSTEIN / CLASSES**0.5)

    def play(at: float, steps: int) -> Tensor:
        """Distance and gradient norm after each step [steps, 2]."""
        seen = []
        for _ in range(steps):
            z, z_superior = torch.randn(2, 128, CLASSES, generator=generator)
            epsilon = torch.rand(128, 1, generator=generator)
            loss, terms = critic_loss(critic, z + at * superior, z_superior + superior, epsilon, checked)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seen.append([terms["distance"], terms["gradient_norm"]])
        return torch.tensor(seen)

    return play


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_against_a_student_at_rest_the_critic_finds_the_distance(norm: str) -> None:
    distance, gradient = game(0, norm=norm)(0, 600)[-100:].mean(0).tolist()
    assert gradient == pytest.approx(SLOPE, rel=0.05)
    assert distance == pytest.approx(WASSERSTEIN * SLOPE, rel=0.05)


def test_batchnorm_over_all_three_batches_overestimates() -> None:
    """Its statistics mix the batches, so the penalty's gradient is not the slope that the distance is made with."""
    assert game(0, norm="batch")(0, 600)[-100:].mean(0)[0] > 1.3 * WASSERSTEIN * SLOPE


def test_batchnorm_in_separate_passes_finds_nothing() -> None:
    assert abs(game(0, norm="batch", passes="separate")(0, 600)[-100:].mean(0)[0]) < 0.05 * WASSERSTEIN


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_negative_distance_is_a_critic_that_lags_and_steps_heal_it(norm: str) -> None:
    """No two distributions are less than 0 apart: a negative estimate comes of a student that has overtaken."""
    play = game(0, norm=norm)
    settled = play(0, 600)[-100:].mean(0)[0]
    # At once the student is as far beyond the superior as it was before it: the true distance has not changed.
    overtaken = play(2, 600)[:, 0]
    assert overtaken[:5].max() < -0.5 * settled
    assert overtaken[-100:].mean() == pytest.approx(settled.item(), rel=0.1)
