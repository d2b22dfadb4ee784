"""The project's SGD and Adam are PyTorch's."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aikd import optimisers

SGDS: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "fused": True},
]
ADAMS: list[dict[str, Any]] = [
    {"lr": 1e-2},
    {"lr": 1e-2, "betas": (0.5, 0.9), "foreach": True},
    {"lr": 1e-2, "betas": (0.5, 0.9), "weight_decay": 0.1},
    {"lr": 1e-2, "fused": True},
]


def steps(optimiser: type[torch.optim.Optimizer], settings: dict[str, Any], count: int = 8) -> list[Tensor]:
    """The parameters after each of some steps on a small network, the learning rate lowered on the way."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    for p in model.parameters():
        p.data.normal_(generator=generator)
    chosen = optimiser(model.parameters(), **settings)
    seen = []
    for step in range(count):
        x, y = torch.randn(6, 5, generator=generator), torch.randn(6, 3, generator=generator)
        chosen.zero_grad()
        (model(x) - y).square().mean().backward()
        chosen.param_groups[0]["lr"] = settings["lr"] * 0.1 ** (step // 4)
        chosen.step()
        seen.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return seen


@pytest.mark.parametrize(
    ("name", "settings"), [("SGD", s) for s in SGDS] + [("Adam", s) for s in ADAMS], ids=str
)
def test_every_step_is_torchs_own_to_the_bit(name: str, settings: dict[str, Any]) -> None:
    found, expected = (steps(getattr(module, name), settings) for module in (optimisers, torch.optim))
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(found[0], found[-1])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_state_passes_to_and_from_torchs_own(name: str) -> None:
    p = torch.ones(3, requires_grad=True)
    mine, theirs = (getattr(module, name)([p], lr=0.1) for module in (optimisers, torch.optim))
    p.grad = torch.ones(3)
    mine.step()
    theirs.load_state_dict(mine.state_dict())
    assert theirs.state_dict() == mine.state_dict()
    mine.load_state_dict(theirs.state_dict())


def test_gradients_stay_out_of_the_update() -> None:
    p = torch.ones(3, requires_grad=True)
    optimiser = optimisers.SGD([p], lr=0.1)
    p.square().sum().backward()
    optimiser.step()
    assert p.is_leaf
    assert p.requires_grad
    assert p.tolist() == pytest.approx([0.8] * 3)
    optimiser.zero_grad()
    assert p.grad is None


def test_training_does_not_import_the_compiler() -> None:
    """What the two classes are for: a process that trains starts without torch._dynamo."""
    code = (
        "import sys, torch\n"
        "from aikd.optimisers import SGD, Adam\n"
        "p = torch.ones(2, requires_grad=True)\n"
        "for optimiser in (SGD([p], lr=.1, momentum=.9, nesterov=True, fused=True), Adam([p], foreach=True)):\n"
        "    optimiser.zero_grad(); p.sum().backward(); optimiser.step(); optimiser.state_dict()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_a_first_step_that_loss_scaling_skips_leaves_no_momentum(nesterov: bool, fused: bool) -> None:
    """The slow, obvious way beside it: SGD written out, which does nothing in the first step."""
    size, lr, momentum, decay = 100_000, 0.1, 0.9, 5e-4
    p = nn.Parameter(torch.ones(size))
    settings = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": decay, "fused": fused}
    optimiser, scaler = optimisers.SGD([p], **settings), torch.amp.GradScaler("cpu", init_scale=4.0)
    optimiser.start_at_rest()
    expected, velocity = torch.ones(size), torch.zeros(size)
    for slope in (torch.inf, 2.0, -1.0, 0.5):
        # Memory that was used before, and is free again: where the kernel would find its momentum.
        junk = [torch.full((size,), 7e5) for _ in range(20)]
        del junk
        optimiser.zero_grad()
        scaler.scale((slope * p).sum()).backward()
        scaler.step(optimiser)
        scaler.update()
        if slope != torch.inf:
            gradient = slope + decay * expected
            velocity = momentum * velocity + gradient
            expected -= lr * (gradient + momentum * velocity if nesterov else velocity)
        torch.testing.assert_close(p.detach(), expected)


@pytest.mark.parametrize("settings", SGDS[1:], ids=str)
def test_starting_at_rest_changes_no_step(settings: dict[str, Any]) -> None:
    expected = steps(optimisers.SGD, settings)

    class AtRest(optimisers.SGD):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            self.start_at_rest()

    for mine, theirs in zip(steps(AtRest, settings), expected, strict=True):
        assert torch.equal(mine, theirs)
