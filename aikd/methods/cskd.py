"""CS-KD: class-wise self-knowledge distillation (Yun et al., CVPR 2020), as its published code computes it."""

import torch

from aikd.methods.base import Batch, Method, Network, Step
from aikd.methods.losses import cross_entropy, distillation


class CSKD(Method):
    """L = H(q, p(x)) + λ T² D_KL(p(x'; T) ‖ p(x; T)), x' another image of the class of x.

    x' passes through the student in train mode without gradient, so BatchNorm's statistics see both batches.
    """

    wants_partners = True

    def step(self, student: Network, batch: Batch) -> Step:
        s = self.settings
        assert batch.partners is not None
        logits = student(batch.images)
        with torch.no_grad():
            partner_logits = student(batch.partners)
        ce = cross_entropy(logits, batch.targets)
        class_wise = distillation(partner_logits, logits, s.temperature)
        return Step(ce + s.weight * class_wise, logits, {"ce": ce, "class_wise": class_wise})
