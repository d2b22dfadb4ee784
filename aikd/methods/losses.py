"""The losses that the methods share. All take logits [B, C] and return the mean over the batch, in nats."""

import torch.nn.functional as F
from torch import Tensor

from aikd.methods.base import Targets


def soften(logits: Tensor, tau: float = 1.0) -> Tensor:
    """log p(x; τ), the logarithm of eq. 1: shape [B, C]."""
    return F.log_softmax(logits / tau, dim=1)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """D_KL(p ‖ q) of log-probabilities: summed over classes, averaged over the batch.

    KLDivLoss's default would average over the classes too, a factor C too small.
    """
    return F.kl_div(q, p, reduction="batchmean", log_target=True)


def distillation(teacher: Tensor, student: Tensor, tau: float) -> Tensor:
    """τ² D_KL(p^teacher(x; τ) ‖ p^student(x; τ)), eqs. 4 and 5; τ² keeps the gradient's scale."""
    return tau**2 * divergence(soften(teacher, tau), soften(student, tau))


def cross_entropy(logits: Tensor, targets: Targets) -> Tensor:
    """H(q, p), λ-weighted over the two labels of mixed images."""
    return targets.blend(*(F.cross_entropy(logits, labels) for labels in (targets.first, targets.second)))


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """H(target, p) for target distributions [B, C]."""
    return -(target * soften(logits)).sum(1).mean()
