"""DenseNet-121 (section 4.1, reference [12]) with either stem, from torchvision."""

from collections.abc import Sequence

from torch import nn


def densenet121(
    classes: int, channels: int = 3, growth: int = 32, blocks: Sequence[int] = (6, 12, 24, 16)
) -> nn.Module:
    """torchvision's DenseNet-121, untrained, 7×7 stem: images [B, channels, H, W] → logits [B, classes].

    Args:
        classes: number of logits.
        channels: channels of the images.
        growth: channels that each dense layer adds; the stem makes twice as many.
        blocks: dense layers in each of the four dense blocks.
    """
    model = _densenet(classes, growth, blocks)
    if channels != 3:
        model.get_submodule("features").conv0 = _stem(channels, growth, kernel_size=7, stride=2)
    return model


def densenet121_3x3(
    classes: int, channels: int = 3, growth: int = 32, blocks: Sequence[int] = (6, 12, 24, 16)
) -> nn.Module:
    """DenseNet-121 for small images: the stem is one 3×3 convolution of stride 1, with nothing behind it.

    Arguments and shapes are those of `densenet121`.
    """
    model = _densenet(classes, growth, blocks)
    features = model.get_submodule("features")
    features.conv0 = _stem(channels, growth, kernel_size=3, stride=1)
    del features.norm0, features.relu0, features.pool0
    return model


def _densenet(classes: int, growth: int, blocks: Sequence[int]) -> nn.Module:
    from torchvision.models.densenet import DenseNet

    stem = 2 * growth
    model: nn.Module = DenseNet(growth, tuple(blocks), stem, num_classes=classes, memory_efficient=False)
    return model


def _stem(channels: int, growth: int, kernel_size: int, stride: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, 2 * growth, kernel_size, stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight)  # as torchvision initialises every convolution of a DenseNet
    return conv
