"""In what arithmetic and memory layout networks run. Losses and the critic are always fp32."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aikd.methods.base import Network
from aikd.models.folding import folded

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A precision (`fp32`, `bf16` or `fp16`) and layout on a device."""

    name: str
    device: torch.device
    channels_last: bool = True

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of images and convolutions."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, module: nn.Module) -> nn.Module:
        """The module itself, moved to the device in the layout."""
        # torch's types do not know of memory formats for modules.
        return module.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def autocast(self) -> torch.autocast:
        """The context in which networks run."""
        return torch.autocast(self.device.type, DTYPES[self.name], enabled=self.name != "fp32")

    def network(self, module: nn.Module) -> Network:
        """The module as a function of images [B, 3, H, W], run in this precision, with fp32 logits [B, C]."""

        def forward(images: Tensor) -> Tensor:
            with self.autocast():
                logits: Tensor = module(images)
            return logits.float()

        return forward

    def frozen(self, module: nn.Module) -> Network:
        """A copy of the module that never changes again: eval mode, BatchNorm folded, no gradients."""
        forward = self.network(self.place(folded(module)).requires_grad_(False))

        def frozen(images: Tensor) -> Tensor:
            with torch.inference_mode():
                logits = forward(images)
            # Autograd refuses inference tensors in a loss; a copy is an ordinary one.
            return logits.clone()

        return frozen

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which fp16 needs and the others pass through."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")
