"""The discriminator of AI-KD: a WGAN-GP critic on the networks' outputs (sections 3.1 and 3.2, eq. 6)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aikd.study.methods import CriticSettings


class Critic(nn.Module):
    """Fully connected - normalisation - LeakyReLU - fully connected; d(x) is the mean of the outputs.

    The paper's critic ends in 32 outputs where its equations need a scalar. A mean, not a sum: the gradient
    penalty would bind 32 times too early on a sum. `head: linear` learns the scalar instead.
    """

    def __init__(self, classes: int, settings: CriticSettings) -> None:
        super().__init__()
        self.reads_probabilities = settings.input == "probabilities"
        self.slope = settings.slope
        self.fc1 = nn.Linear(classes, settings.fc1)
        self.norm = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}[settings.norm](
            settings.fc1
        )
        self.fc2 = nn.Linear(settings.fc1, settings.fc2)
        self.head = nn.Linear(settings.fc2, 1) if settings.head == "linear" else None

    def read(self, logits: Tensor) -> Tensor:
        """What the critic sees of logits [B, C]: themselves, or their softmax."""
        return F.softmax(logits, dim=1) if self.reads_probabilities else logits

    def forward(self, x: Tensor) -> Tensor:
        """d(x) [B] for what `read` gives, [B, C]."""
        x = self.fc2(F.leaky_relu(self.norm(self.fc1(x)), self.slope))
        return x.mean(1) if self.head is None else self.head(x).squeeze(1)


def critic_loss(
    critic: Critic, student: Tensor, superior: Tensor, epsilon: Tensor, settings: CriticSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_D of eq. 6 and what shows the critic's health; `critic` is in train mode.

    L_D = E[D(S_t(x))] - E[D(S^Sup(x))] + λ E[(‖∇D(x̂)‖₂ - 1)²], x̂ between S_t(x) and S^Sup(x).

    By default all three batches go through the critic in one pass. BatchNorm in passes of their own would
    centre student and superior alike and so hide the very shift that the critic is to see.

    Args:
        student: S_t(x), detached, as the critic reads it [B, C].
        superior: S^Sup(x), likewise [B, C].
        epsilon: place of each interpolate between its own student (0) and superior (1) output [B, 1].
        settings: `penalty` is eq. 6's λ, `passes` and `middle_term` choose the reading.

    Returns:
        L_D, and the scalar terms `critic_loss`, `distance` (the estimated Wasserstein distance from student to
        superior) and `gradient_norm` (mean over the interpolates; 1 in a healthy critic).
    """
    between = torch.lerp(student, superior, epsilon).requires_grad_()
    if settings.passes == "joint":
        d_student, d_superior, d_between = critic(torch.cat([student, superior, between])).chunk(3)
    else:
        d_student, d_superior, d_between = critic(student), critic(superior), critic(between)
    (gradient,) = torch.autograd.grad(d_between.sum(), between, create_graph=True)
    norm = gradient.norm(dim=1)
    penalty = settings.penalty * (norm - 1).square().mean()
    middle = d_superior.mean() if settings.middle_term == "kept" else 0.0
    loss = d_student.mean() - middle + penalty
    terms = {
        "critic_loss": loss,
        "distance": d_superior.mean() - d_student.mean(),
        "gradient_norm": norm.mean(),
    }
    return loss, {name: term.detach() for name, term in terms.items()}


@contextmanager
def frozen(critic: Critic) -> Iterator[Critic]:
    """The critic as the student meets it: in eval mode, and taking no gradient of its own."""
    critic.eval().requires_grad_(False)
    try:
        yield critic
    finally:
        critic.train().requires_grad_(True)
