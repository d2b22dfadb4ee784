"""PS-KD: progressive refinement of targets (Kim et al., ICCV 2021), as its published code computes it."""

from typing import Any

import torch
from torch import Tensor, nn

from aikd.methods.base import Batch, Method, Network, Setup, Step
from aikd.methods.losses import soft_cross_entropy
from aikd.methods.memory import Memory


class PSKD(Method):
    """L = H((1 - α_t) q + α_t p_{t-1}, p_t), with α_t growing linearly to α in the last epoch.

    p_{t-1} is what the student said of the same image when it was last visited, in train mode, of that epoch's
    crop. In the first epoch it is q. Mixed images mix the targets of both.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.memory = Memory(setup.images, setup.classes, setup.device)
        self.epoch = 0

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def step(self, student: Network, batch: Batch) -> Step:
        alpha = self.settings.alpha * (self.epoch + 1) / self.setup.epochs
        labels = batch.targets.probabilities(self.setup.classes)
        past = self._past(batch) if self.epoch > 0 else labels
        logits = student(batch.images)
        loss = soft_cross_entropy(logits, (1 - alpha) * labels + alpha * past)
        self.memory.store(batch, logits)
        return Step(loss, logits, {"soft_ce": loss})

    def _past(self, batch: Batch) -> Tensor:
        return batch.targets.blend(*(torch.softmax(logits, 1) for logits in self.memory.recall(batch)))

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.logits}

    def load_state_dict(self, state: dict[str, Any], student: nn.Module) -> None:
        self.memory.logits.copy_(state["memory"])
