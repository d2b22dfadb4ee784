"""Operations and parameters of the networks, counted layer by layer in closed form.

Operations are those of torch's FlopCounterMode: two for each multiplication with its addition in convolutions and
linear layers; biases, BatchNorm, activations and pooling are not counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

CHANNELS = 3
"""Of the images: every data set is stored as RGB."""


@dataclass(frozen=True)
class Network:
    """A network on images of one size."""

    forward: int
    """Operations of one image's forward pass."""
    stem: int
    """Those of them in the first convolution, whose input takes no gradient."""
    parameters: int
    """Trainable numbers."""
    statistics: int
    """Running means and variances of BatchNorm, which are saved with the parameters."""
    norms: int
    """BatchNorms."""
    layers: int
    """Convolutions and linear layers."""
    features: int
    """Inputs of the last linear layer."""

    @property
    def training(self) -> int:
        """Operations of one image's forward and backward pass: two more for each of the forward's, one in the stem."""
        return 3 * self.forward - self.stem

    @property
    def model_bytes(self) -> int:
        """Bytes of the saved model: numbers of 4, a counter of 8 for each BatchNorm, about 100 to name each tensor."""
        tensors = self.layers + 1 + 5 * self.norms
        return 4 * (self.parameters + self.statistics) + 8 * self.norms + 100 * tensors


class _Tally:
    """Walks through a network: keeps the image's side and channels, and adds up what its layers cost."""

    def __init__(self, side: int) -> None:
        self.side, self.channels = side, CHANNELS
        self.forward = self.stem = self.parameters = self.normed = self.norms = self.layers = 0

    def conv(self, outputs: int, kernel: int, stride: int = 1, padding: int | None = None) -> None:
        """A convolution without bias; padding None: as much as keeps the side at stride 1."""
        self.pool(kernel, stride, kernel // 2 if padding is None else padding)
        weights = self.channels * outputs * kernel**2
        self.parameters += weights
        self.forward += 2 * weights * self.side**2
        self.stem = self.stem or self.forward
        self.channels = outputs
        self.layers += 1

    def pool(self, kernel: int, stride: int, padding: int) -> None:
        """Anything that takes windows: pooling costs no products."""
        self.side = (self.side + 2 * padding - kernel) // stride + 1

    def norm(self) -> None:
        """BatchNorm over the channels."""
        self.parameters += 2 * self.channels
        self.normed += self.channels
        self.norms += 1

    def shortcut(self, channels: int, norm: bool) -> None:
        """A 1×1 convolution from `channels` to where the walk is."""
        weights = channels * self.channels
        self.parameters += weights + (2 * self.channels if norm else 0)
        self.forward += 2 * weights * self.side**2
        self.normed += self.channels if norm else 0
        self.norms += norm
        self.layers += 1

    def done(self, classes: int) -> Network:
        """Global pooling and the linear layer."""
        self.parameters += (self.channels + 1) * classes
        return Network(
            forward=self.forward + 2 * self.channels * classes,
            stem=self.stem,
            parameters=self.parameters,
            statistics=2 * self.normed,
            norms=self.norms,
            layers=self.layers + 1,
            features=self.channels,
        )


def _preact_resnet(t: _Tally, width: int, blocks: tuple[int, ...]) -> None:
    t.conv(width, 3)
    t.norm()
    for stage, depth in enumerate(blocks):
        for block in range(depth):
            stride, inputs = 2 if stage and not block else 1, t.channels
            t.norm()
            t.conv(width * 2**stage, 3, stride)
            t.norm()
            t.conv(width * 2**stage, 3)
            if stride != 1 or inputs != t.channels:
                t.shortcut(inputs, norm=False)


def _resnet(t: _Tally, width: int, blocks: tuple[int, ...]) -> None:
    t.conv(width, 7, 2)
    t.norm()
    t.pool(3, 2, 1)
    for stage, depth in enumerate(blocks):
        for block in range(depth):
            stride, inputs = 2 if stage and not block else 1, t.channels
            for s in (stride, 1):
                t.conv(width * 2**stage, 3, s)
                t.norm()
            if stride != 1 or inputs != t.channels:
                t.shortcut(inputs, norm=True)


def _densenet(t: _Tally, growth: int, blocks: tuple[int, ...], small: bool) -> None:
    if small:
        t.conv(2 * growth, 3)
    else:
        t.conv(2 * growth, 7, 2)
        t.norm()
        t.pool(3, 2, 1)
    for i, depth in enumerate(blocks):
        for _ in range(depth):
            inputs = t.channels
            t.norm()
            t.conv(4 * growth, 1)
            t.norm()
            t.conv(growth, 3)
            t.channels += inputs
        t.norm()
        if i + 1 < len(blocks):
            t.conv(t.channels // 2, 1)
            t.pool(2, 2, 0)


def count(model: Mapping[str, Any], side: int, classes: int) -> Network:
    """A network as a run's resolved settings describe it, on images of side × side pixels.

    Args:
        model: `architecture`, `width`, `growth`, `blocks`; missing or None: full size.
        side: of the square input, in pixels.
        classes: number of logits.

    Raises:
        KeyError: an unknown architecture.
    """
    blocks, width, growth = model.get("blocks"), model.get("width"), model.get("growth")
    return _count(model["architecture"], width, growth, tuple(blocks) if blocks else None, side, classes)


@cache
def _count(
    architecture: str,
    width: int | None,
    growth: int | None,
    blocks: tuple[int, ...] | None,
    side: int,
    classes: int,
) -> Network:
    tally = _Tally(side)
    match architecture:
        case "preact_resnet18":
            _preact_resnet(tally, width or 64, blocks or (2, 2, 2, 2))
        case "resnet18":
            _resnet(tally, width or 64, blocks or (2, 2, 2, 2))
        case "densenet121" | "densenet121_3x3":
            _densenet(tally, growth or 32, blocks or (6, 12, 24, 16), architecture.endswith("3x3"))
        case _:
            raise KeyError(architecture)
    return tally.done(classes)
