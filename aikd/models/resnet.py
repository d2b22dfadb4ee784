"""ResNet-18 with the 7×7 stem for 224-pixel images (section 4.1, reference [10]), from torchvision."""

from collections.abc import Sequence
from typing import Any

from torch import nn


def resnet18(
    classes: int, channels: int = 3, width: int = 64, blocks: Sequence[int] = (2, 2, 2, 2)
) -> nn.Module:
    """torchvision's ResNet-18, untrained: images [B, channels, H, W] → logits [B, classes].

    Args:
        classes: number of logits.
        channels: channels of the images.
        width: channels of the first of the four stages; each later stage doubles them.
        blocks: blocks in each of the four stages.
    """
    from torchvision.models.resnet import BasicBlock, ResNet

    model: nn.Module = ResNet(BasicBlock, list(blocks), num_classes=classes)
    if (channels, width) != (3, 64):
        _resize(model, classes, channels, width, blocks)
    return model


def _resize(model: Any, classes: int, channels: int, width: int, blocks: Sequence[int]) -> None:
    """Replace every layer that has weights: torchvision has 3 image channels and width 64 built in."""
    from torchvision.models.resnet import BasicBlock

    model.inplanes = width
    model.conv1 = nn.Conv2d(channels, width, kernel_size=7, stride=2, padding=3, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    model.layer1 = model._make_layer(BasicBlock, width, blocks[0])
    model.layer2 = model._make_layer(BasicBlock, 2 * width, blocks[1], stride=2)
    model.layer3 = model._make_layer(BasicBlock, 4 * width, blocks[2], stride=2)
    model.layer4 = model._make_layer(BasicBlock, 8 * width, blocks[3], stride=2)
    model.fc = nn.Linear(8 * width, classes)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision initialises them
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
