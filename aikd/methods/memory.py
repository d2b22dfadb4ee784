"""What the student said of each training image one epoch ago."""

import torch
from torch import Tensor

from aikd.methods.base import Batch


class Memory:
    """A table N × C of logits, written as images are visited and read in the next epoch.

    An image is visited once an epoch, so one table serves: a row is read before it is overwritten.
    """

    def __init__(self, images: int, classes: int, device: torch.device) -> None:
        self.logits = torch.zeros(images, classes, device=device)

    def recall(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [B, C] of the batch's images, and of those mixed into them."""
        return self.logits[batch.index], self.logits[batch.mixed]

    def store(self, batch: Batch, logits: Tensor) -> None:
        """Remember the batch's logits [B, C]."""
        self.logits[batch.index] = logits.detach()
