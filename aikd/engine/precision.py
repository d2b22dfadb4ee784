"""In what arithmetic and memory layout networks run. Losses and the critic are always fp32."""

import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from aikd.engine.compiling import compiled
from aikd.errors import UserError
from aikd.methods.base import IN_STEP, Network
from aikd.models.folding import folded

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A precision (`fp32`, `bf16` or `fp16`) and layout on a device."""

    name: str
    device: torch.device
    channels_last: bool = True
    compiled_batch: int | None = None
    """Images of the batches for which networks are compiled; none: they never are."""
    fold: bool = True
    """Whether frozen copies may be rewritten, BatchNorm folded and weights held in the precision: known to be right for
    the networks of the project."""

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of images and convolutions."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, module: nn.Module) -> nn.Module:
        """The module itself, moved to the device in the layout."""
        if self.device.type == "cpu" and self.channels_last:
            _thin_before_convolutions(module)
        # torch's types do not know of memory formats for modules.
        return module.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def autocast(self) -> torch.autocast:
        """The context in which networks run."""
        return torch.autocast(self.device.type, DTYPES[self.name], enabled=self.name != "fp32")

    def network(self, module: nn.Module) -> Network:
        """The module as a function of images [B, 3, H, W], run in this precision, with fp32 logits [B, C]."""
        run = compiled(module, self.compiled_batch) if self.compiled_batch else module

        def forward(images: Tensor) -> Tensor:
            with self.autocast():
                logits: Tensor = run(images)
            return logits.float()

        return forward

    def frozen(self, module: nn.Module) -> Network:
        """A copy of the module that never changes again: eval mode, no gradients, BatchNorm folded if it may be.

        Raises:
            UserError: it is no module; methods are handed this function as `setup.freeze`.
        """
        if not isinstance(module, nn.Module):
            raise UserError(f"setup.freeze takes a torch module, found {type(module).__name__}; {IN_STEP}")
        copied = folded(module) if self.fold else copy.deepcopy(module).eval()
        network = self.place(copied).requires_grad_(False)
        if self.name != "fp32" and self.fold:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    # What autocast would do at every call, to the bit.
                    layer.to(DTYPES[self.name])
        forward = self.network(network)

        def frozen(images: Tensor) -> Tensor:
            with torch.inference_mode():
                logits = forward(images)
            # Autograd refuses inference tensors in a loss; a copy is an ordinary one.
            return logits.clone()

        return frozen

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which fp16 needs and the others pass through."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def overruns(layer: nn.Conv2d) -> bool:
    """Whether the gradient of a layer may be written beyond its end, by the oneDNN in torch 2.14.1 with AVX-512.

    It fills whole vectors of 16 channels in the gradient of the images of a 1×1 convolution with a stride, in
    channels_last. Seen from 46 pixels on, in fp32 and bf16; the process crashes, or goes on with damaged memory.
    """
    return (
        layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.padding == (0, 0)
        and layer.in_channels < 16
    )


def _thin_before_convolutions(network: nn.Module) -> None:
    """Take the stride of such layers out of them: they get every so-manyth pixel, and see the same."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and overruns(layer):
            down, right = layer.stride
            layer.register_forward_pre_hook(partial(_thin, down=down, right=right))
            layer.stride = (1, 1)


def _thin(layer: nn.Module, images: tuple[Tensor], *, down: int, right: int) -> Tensor:
    return images[0][:, :, ::down, ::right]
