"""Training as the methods' repositories write it: a DataLoader with workers, PIL images, eager fp32.

It stands for what somebody would write without this project, not for any one repository: the same networks, losses,
batches and optimiser, in the plainest way.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

Item = tuple[Tensor, int, int]


class Indexed(Dataset[Item]):
    """Images with their labels and positions, through a transform."""

    def __init__(self, images: Any, labels: Any, transform: Any) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Item:
        image = self.images[i]
        image = Image.open(image).convert("RGB") if isinstance(image, str) else Image.fromarray(image)
        return self.transform(image), int(self.labels[i]), i


def small(images: NDArray[Any], labels: NDArray[Any]) -> Indexed:
    """Arrays [N, 32, 32, 3] with the augmentation of CIFAR-100."""
    steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    return Indexed(images, labels, transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.25] * 3)]))


def photographs(paths: list[str], labels: list[int]) -> Indexed:
    """Files with the augmentation of the 224-pixel sets."""
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    return Indexed(paths, labels, transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.25] * 3)]))


class Plain:
    """A training loop of one method: `baseline`, `pskd` or `aikd`.

    Args:
        superior: what AI-KD learns from.
        workers: processes that load images.
    """

    def __init__(
        self,
        method: str,
        net: nn.Module,
        superior: nn.Module,
        data: Indexed,
        classes: int,
        batch: int,
        workers: int,
    ) -> None:
        self.method, self.net, self.superior, self.classes = method, net, superior.eval(), classes
        self.loader = DataLoader(
            data, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        self.optimiser = torch.optim.SGD(
            net.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self.previous = copy.deepcopy(net).eval()
        self.past = torch.full((len(data), classes), 1 / classes)
        self.critic = nn.Sequential(
            nn.Linear(classes, 64), nn.BatchNorm1d(64), nn.LeakyReLU(0.2), nn.Linear(64, 32)
        )
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), 1e-4)

    def epoch(self) -> None:
        """One epoch, with a running mean of the loss as loops print it."""
        self.net.train()
        total = 0.0
        for images, labels, index in self.loader:
            loss = getattr(self, self.method)(images, labels, index)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        self.previous = copy.deepcopy(self.net).eval()

    def baseline(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.net(images), labels)

    def pskd(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy with labels softened by the predictions of an epoch ago."""
        logits = self.net(images)
        soft = 0.5 * F.one_hot(labels, self.classes) + 0.5 * self.past[index]
        self.past[index] = logits.detach().softmax(1)
        return -(soft * logits.log_softmax(1)).sum(1).mean()

    def aikd(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy, two divergences and the critic."""
        logits = self.net(images)
        with torch.no_grad():
            guide, previous = self.superior(images), self.previous(images)
        self._train_critic(logits.detach(), guide)
        loss = 0.6 * F.cross_entropy(logits, labels) - 0.1 * self.critic(logits).mean()
        for share, teacher, tau in ((0.1, guide, 3), (0.3, previous, 3)):
            divergence = F.kl_div(
                F.log_softmax(logits / tau, 1), F.softmax(teacher / tau, 1), reduction="batchmean"
            )
            loss = loss + share * tau**2 * divergence
        return loss

    def _train_critic(self, student: Tensor, superior: Tensor) -> None:
        epsilon = torch.rand(len(student), 1)
        between = (epsilon * superior + (1 - epsilon) * student).requires_grad_()
        gradient = torch.autograd.grad(self.critic(between).mean(1).sum(), between, create_graph=True)[0]
        penalty = 10 * (gradient.norm(dim=1) - 1).square().mean()
        loss = self.critic(student).mean() - self.critic(superior).mean() + penalty
        self.critic_optimiser.zero_grad()
        loss.backward()
        self.critic_optimiser.step()


def batches(data: Indexed, batch: int, workers: int) -> Iterator[Any]:
    """The images of one epoch alone."""
    yield from DataLoader(data, batch, shuffle=True, num_workers=workers)
