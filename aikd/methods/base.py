"""What a method is given, and what it gives back."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from aikd.study.methods import METHODS, MethodSettings, method_spec

if TYPE_CHECKING:  # an extension is read, and its classes are made, without torch
    import torch
    from torch import Tensor, nn


IN_STEP = (
    "in step the student is a function of images; the module itself comes in end_epoch(student) and "
    "load_state_dict(state, student)"
)
"""What who takes a step's student for a module is told."""


class Network(Protocol):
    """Images [B, 3, H, W] → fp32 logits [B, C]."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Targets:
    """Labels of a batch: `lam` of `first` and 1 - `lam` of `second`, which differ only for mixed images.

    Shapes: first and second [B], class indices; lam a fraction, 1 where nothing was mixed.
    """

    first: Tensor
    second: Tensor
    lam: float = 1.0

    def blend(self, first: Tensor, second: Tensor) -> Tensor:
        """λ of what belongs to the first labels and 1 - λ of what belongs to the second."""
        return first if self.lam == 1 else self.lam * first + (1 - self.lam) * second

    def probabilities(self, classes: int) -> Tensor:
        """The labels as distributions [B, C]: one-hot unless images were mixed."""
        import torch

        # torch's one_hot looks at the values of labels, for which a host may have to wait.
        every = torch.arange(classes, device=self.first.device)
        return self.blend(*((labels.unsqueeze(1) == every).float() for labels in (self.first, self.second)))

    def error(self, logits: Tensor) -> Tensor:
        """Share of images (fraction, scalar) whose strongest logit is not their label, λ-weighted."""
        predicted = logits.argmax(1)
        return self.blend(*((predicted != labels).float().mean() for labels in (self.first, self.second)))


@dataclass(frozen=True)
class Batch:
    """One training batch on the student's device.

    Shapes: images [B, 3, H, W], normalised and augmented; index [B], positions in the training set; mixed [B],
    positions of the images mixed in (index itself where nothing was); partners like images.
    """

    images: Tensor
    targets: Targets
    index: Tensor
    mixed: Tensor
    partners: Tensor | None = None
    """For each image another one of its class (the same with some luck), for methods that ask for it."""


@dataclass(frozen=True)
class Step:
    """What one training step yields: the loss to minimise, the student's logits [B, C], terms to log (scalars)."""

    loss: Tensor
    logits: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Setup:
    """All that a method may know of the run it serves."""

    settings: Any
    """The method's own settings."""
    classes: int
    images: int
    """Training images N."""
    epochs: int
    steps: int
    """Batches in an epoch."""
    batch_size: int
    seed: int
    device: torch.device
    superior: Network | None
    """S^Sup: a function of images, frozen, in eval mode; None where the settings have no use for it
    (`needs_superior`)."""
    freeze: Callable[[nn.Module], Network]
    """Makes a frozen copy, in eval mode, of a module: of the student in `end_epoch`, not of what `step` is given."""


class Method(ABC):
    """A training method. Its loss reads like the paper's; state that it carries goes through `state_dict`."""

    wants_partners: ClassVar[bool] = False
    """Whether batches need `partners`."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.settings = setup.settings

    @abstractmethod
    def step(self, student: Network, batch: Batch) -> Step:
        """The loss of one batch.

        Args:
            student: a function of images, in train mode, that keeps gradients; no module, so it has no parameters and
                cannot be frozen: the module comes in `end_epoch`.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first batch of an epoch, counted from 0."""

    def end_epoch(self, student: nn.Module) -> None:
        """Called after the last batch of an epoch; `student` is the module itself, in train mode."""

    def state_dict(self) -> dict[str, Any]:
        """Everything the method needs to go on after an interruption: tensors and plain data, nested in dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any], student: nn.Module) -> None:
        """Takes up a state saved by `state_dict`; `student` is a network of the student's shape, not changed."""


def load_method(name: str, settings: dict[str, Any]) -> tuple[type[Method], MethodSettings]:
    """The code and the checked settings of a method.

    Raises:
        UserError: there is no such method.
    """
    spec = method_spec(name)
    if own := METHODS.own.get(name):
        return own.implementation, spec.check(settings)
    module, _, attribute = spec.implementation.partition(":")
    return getattr(importlib.import_module(module), attribute), spec.check(settings)
