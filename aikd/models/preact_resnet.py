"""PreAct ResNet-18 for small images (section 4.1, reference [11]), as CS-KD and PS-KD published it."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def preact_resnet18(
    classes: int, channels: int = 3, width: int = 64, blocks: Sequence[int] = (2, 2, 2, 2)
) -> nn.Module:
    """PreAct ResNet-18 with a 3×3 stem and torch's default initialisation.

    Args:
        classes: number of logits.
        channels: channels of the images.
        width: channels of the first of the four stages; each later stage doubles them.
        blocks: blocks in each of the four stages.
    """
    return PreActResNet(classes, channels, width, blocks)


class PreActBlock(nn.Module):
    """Two pre-activated 3×3 convolutions and a shortcut: [B, inputs, H, W] → [B, outputs, H/s, W/s].

    s is the stride. The shortcut starts behind the first BatchNorm and ReLU even where it is the identity:
    reference [11] adds the raw input there, the code that AI-KD compares with does not.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x), inplace=True)
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active)), inplace=True))
        shortcut: Tensor = self.shortcut(active)
        return residual.add_(shortcut)


class PreActResNet(nn.Module):
    """Stem, four stages, mean over the image, linear layer: [B, channels, H, W] → logits [B, classes].

    BatchNorm and ReLU follow the stem and none stands before the pooling: the published form again.
    """

    def __init__(self, classes: int, channels: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks[0], stride=1)
        self.layer2 = _stage(width, 2 * width, blocks[1], stride=2)
        self.layer3 = _stage(2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = _stage(4 * width, 8 * width, blocks[3], stride=2)
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    later = (PreActBlock(outputs, outputs, stride=1) for _ in range(1, blocks))
    return nn.Sequential(PreActBlock(inputs, outputs, stride), *later)


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
