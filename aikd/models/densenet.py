"""DenseNet-121 (section 4.1, reference [12]): torchvision's for 224-pixel images, its own stem for small ones."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FULL = (6, 12, 24, 16)


def densenet121(classes: int, channels: int = 3, growth: int = 32, blocks: Sequence[int] = FULL) -> nn.Module:
    """torchvision's DenseNet-121, untrained, 7×7 stem: images [B, channels, H, W] → logits [B, classes].

    Args:
        classes: number of logits.
        channels: channels of the images.
        growth: channels that each dense layer adds; the stem makes twice as many.
        blocks: dense layers in each of the four dense blocks.
    """
    from torchvision.models.densenet import DenseNet

    stem = 2 * growth
    model: nn.Module = DenseNet(growth, tuple(blocks), stem, num_classes=classes, memory_efficient=False)
    if channels != 3:
        conv = nn.Conv2d(channels, stem, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        model.get_submodule("features").conv0 = conv
    return model


def densenet121_3x3(
    classes: int, channels: int = 3, growth: int = 32, blocks: Sequence[int] = FULL
) -> nn.Module:
    """DenseNet-121 for small images: the stem is one 3×3 convolution of stride 1, with nothing behind it.

    Arguments and shapes are those of `densenet121`. Layers are named, and initialised, as torchvision's.
    """
    return SmallImageDenseNet(classes, channels, growth, blocks)


class SmallImageDenseNet(nn.Module):
    """DenseNet-BC behind a 3×3 stem. Written out: importing torchvision takes longer than a small run's training."""

    def __init__(self, classes: int, channels: int, growth: int, blocks: Sequence[int]) -> None:
        super().__init__()
        width = 2 * growth
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(channels, width, 3, padding=1, bias=False)
        )
        for i, depth in enumerate(blocks, 1):
            layers[f"denseblock{i}"] = nn.Sequential(
                OrderedDict(
                    (f"denselayer{j + 1}", DenseLayer(width + j * growth, growth)) for j in range(depth)
                )
            )
            width += depth * growth
            if i < len(blocks):
                layers[f"transition{i}"] = _transition(width)
                width //= 2
        layers["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(width, classes)
        nn.init.zeros_(self.classifier.bias)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, channels, H, W] → logits [B, classes]."""
        features = F.relu(self.features(images), inplace=True)
        logits: Tensor = self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


class DenseLayer(nn.Module):
    """BN-ReLU-1×1 conv to 4 × growth channels, BN-ReLU-3×3 conv to growth channels, appended to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] → [B, width + growth, H, W]."""
        new = self.conv1(F.relu(self.norm1(x), inplace=True))
        new = self.conv2(F.relu(self.norm2(new), inplace=True))
        return torch.cat([x, new], 1)


def _transition(width: int) -> nn.Sequential:
    """Halves the channels and the resolution between two dense blocks."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(width, width // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, 2),
        )
    )
