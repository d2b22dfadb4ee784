"""TF-KD, self-training (Yuan et al., CVPR 2020), as its published code computes it."""

from aikd.methods.base import Batch, Method, Network, Step
from aikd.methods.losses import cross_entropy, distillation


class TFKD(Method):
    """L = (1 - α) H(q, p) + α m/C T² D_KL(p^Sup(x; T) ‖ p(x; T)).

    m/C is `kl_weight`: the published code averages the KL over classes too and multiplies by m = 50, at C = 100.
    """

    def step(self, student: Network, batch: Batch) -> Step:
        s = self.settings
        assert self.setup.superior is not None
        logits = student(batch.images)
        teacher_logits = self.setup.superior(batch.images)
        ce = cross_entropy(logits, batch.targets)
        guide = s.kl_weight * distillation(teacher_logits, logits, s.temperature)
        return Step((1 - s.alpha) * ce + s.alpha * guide, logits, {"ce": ce, "guide": guide})
