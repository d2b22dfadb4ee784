"""Tiny networks whose logits are known in closed form, and the losses written out in plain NumPy."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, rel_entr, softmax
from torch import Tensor, nn

from aikd.engine.precision import Precision
from aikd.methods import Batch, Method, Setup, Targets, load_method

torch.set_num_threads(1)

Array = NDArray[np.floating[Any]]
CLASSES, IMAGES, BATCH, EPOCHS = 4, 8, 4, 5
PIXELS = 3 * 2 * 2


class Linear(nn.Module):
    """Images [B, 3, 2, 2] → logits [B, 4]: one linear layer, with no randomness and no mode."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.fc = nn.Linear(PIXELS, CLASSES)
        numbers = np.random.default_rng(seed).normal(size=(CLASSES, PIXELS + 1)).astype(np.float32)
        self.fc.weight.data.copy_(torch.from_numpy(numbers[:, :-1]))
        self.fc.bias.data.copy_(torch.from_numpy(numbers[:, -1]))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(images.flatten(1))
        return logits


class Normalised(nn.Module):
    """The same behind a BatchNorm, so that train and eval mode differ."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm2d(3, affine=False), Linear(seed)
        self.norm.running_mean = torch.tensor([0.5, -1.0, 2.0])
        self.norm.running_var = torch.tensor([2.0, 0.5, 3.0])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(images))
        return logits


def logits_of(network: nn.Module, images: Tensor) -> Array:
    """What a `Linear` says, by NumPy in double precision."""
    weight, bias = (p.detach().numpy().astype(np.float64) for p in network.parameters())
    result: Array = images.numpy().astype(np.float64).reshape(len(images), -1) @ weight.T + bias
    return result


def eval_logits_of(network: Normalised, images: Tensor) -> Array:
    """What a `Normalised` says in eval mode, by NumPy."""
    state = network.norm.state_dict()
    mean, var = (state[f"running_{key}"].numpy().astype(np.float64)[:, None, None] for key in ("mean", "var"))
    scaled = (images.numpy().astype(np.float64) - mean) / np.sqrt(var + network.norm.eps)
    return logits_of(network.linear, torch.from_numpy(scaled))


def cross_entropy(logits: Array, labels: Tensor) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels.numpy()].mean())


def soft_cross_entropy(logits: Array, target: Array) -> float:
    return float(-(target * log_softmax(logits, axis=1)).sum(1).mean())


def distillation(teacher: Array, student: Array, tau: float) -> float:
    """τ² KL(softmax(teacher / τ) ‖ softmax(student / τ)), summed over classes, averaged over images."""
    p, q = softmax(teacher / tau, axis=1), softmax(student / tau, axis=1)
    return float(tau**2 * rel_entr(p, q).sum(1).mean())


def make_batch(seed: int = 0, start: int = 0, lam: float = 1.0, device: str = "cpu") -> Batch:
    """Images start..start+3 of the set, with partners; `lam` below 1 mixes labels and positions in reverse."""
    rng = np.random.default_rng([seed, start])
    images, partners = (
        torch.from_numpy(rng.normal(size=(BATCH, 3, 2, 2)).astype(np.float32)).to(device) for _ in range(2)
    )
    index = torch.arange(start, start + BATCH).to(device)
    labels = torch.tensor([0, 2, 1, 2]).to(device)
    second, mixed = (labels, index) if lam == 1 else (labels.flip(0), index.flip(0))
    return Batch(images, Targets(labels, second, lam), index, mixed, partners)


def make_method(
    name: str, settings: dict[str, Any] | None = None, superior: nn.Module | None = None,
    seed: int = 0, device: str = "cpu",
) -> Method:  # fmt: skip
    method, checked = load_method(name, settings or {})
    precision = Precision("fp32", torch.device(device))
    return method(
        Setup(
            settings=checked,
            classes=CLASSES,
            images=IMAGES,
            epochs=EPOCHS,
            steps=IMAGES // BATCH,
            batch_size=BATCH,
            seed=seed,
            device=torch.device(device),
            superior=precision.frozen(superior) if superior else None,
            freeze=precision.frozen,
        )
    )


def gradient(loss: Tensor, network: nn.Module) -> Tensor:
    """∂loss/∂θ as one vector."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """The helpers above, for tests that put a method together."""
    helpers: dict[str, type | Callable[..., Any]] = {
        h.__name__: h for h in (Linear, Normalised, make_batch, make_method, gradient)
    }
    return SimpleNamespace(classes=CLASSES, images=IMAGES, epochs=EPOCHS, batch=BATCH, **helpers)


@pytest.fixture(scope="session")
def by_hand() -> SimpleNamespace:
    """The losses, and the networks' logits, in NumPy."""
    helpers = (logits_of, eval_logits_of, cross_entropy, soft_cross_entropy, distillation)
    return SimpleNamespace(**{helper.__name__: helper for helper in helpers})
