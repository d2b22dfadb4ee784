"""How the adversarial term acts on the student, in scalars to log. Nothing here changes what is trained."""

import torch
import torch.nn.functional as F
from torch import Tensor


def logit_terms(student: Tensor, superior: Tensor | None) -> dict[str, Tensor]:
    """Mean over images and classes, and mean length over images, of logits [B, C]; also of the superior's, if any."""
    both = {"logit": student} if superior is None else {"logit": student, "superior_logit": superior}
    return {
        f"{name}_{what}": value
        for name, z in both.items()
        for what, value in (("mean", z.detach().mean()), ("norm", z.detach().norm(dim=1).mean()))
    }


def adversarial_terms(
    z: Tensor, superior: Tensor, adversarial: Tensor, rest: Tensor, omega: float
) -> dict[str, Tensor]:
    """Where L_A pushes the student's logits, and how hard.

    Args:
        z: the student's logits [B, C], through which both losses are reached.
        superior: the superior's logits of the same images [B, C].
        adversarial: L_A (eq. 7), scalar.
        rest: all other terms of eq. 8 with their weights, scalar.
        omega: ω, the weight of L_A.

    Returns:
        `adversarial_cosine`: the mean over images of cos(-∂L_A/∂z, z^Sup - z): 1 where the step that lowers L_A
        leads straight to the superior's logits, 0 where it has nothing to do with them;
        `adversarial_share`: ‖ω ∂L_A/∂z‖ / (‖ω ∂L_A/∂z‖ + ‖∂rest/∂z‖) over the batch, a fraction.
    """
    (push,) = torch.autograd.grad(adversarial, z, retain_graph=True)
    (others,) = torch.autograd.grad(rest, z, retain_graph=True)
    ours, theirs = omega * push.norm(), others.norm()
    return {
        "adversarial_cosine": F.cosine_similarity(-push, superior - z.detach(), dim=1, eps=1e-12).mean(),
        "adversarial_share": ours / (ours + theirs).clamp_min(torch.finfo(ours.dtype).tiny),
    }
