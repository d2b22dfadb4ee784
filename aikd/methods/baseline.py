"""Baseline: standard training, and the pre-trained superior model of the methods that need one."""

from aikd.methods.base import Batch, Method, Network, Step
from aikd.methods.losses import cross_entropy


class Baseline(Method):
    """L = H(q, p)."""

    def step(self, student: Network, batch: Batch) -> Step:
        logits = student(batch.images)
        loss = cross_entropy(logits, batch.targets)
        return Step(loss, logits, {"ce": loss})
