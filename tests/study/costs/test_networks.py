"""Closed forms against torch's counter, against the paper's parameters, and against one network by hand."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from aikd.models import build
from aikd.study.costs.networks import count

SIDES = {
    "preact_resnet18": (32, 9, 8),
    "densenet121_3x3": (32, 11, 8),
    "resnet18": (224, 33, 64),
    "densenet121": (224, 75, 64),
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"scale": 4, "blocks": [1, 2, 2, 1]},
    {"scale": 12, "blocks": [2, 1, 1, 3]},
]


@pytest.mark.parametrize("architecture", SIDES)
@pytest.mark.parametrize("variant", range(3))
def test_operations_and_parameters_are_those_that_torch_counts(architecture: str, variant: int) -> None:
    settings = VARIANTS[variant] | {"architecture": architecture}
    if scale := settings.pop("scale", None):
        settings["growth" if architecture.startswith("dense") else "width"] = scale
    side = SIDES[architecture][variant]
    network = count(settings, side, 7)
    with torch.device("meta"):
        model, images = build(settings, 7), torch.zeros(2, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        logits = model(images)
        assert counter.get_total_flops() == 2 * network.forward
        logits.sum().backward()
    assert counter.get_total_flops() == 2 * network.training
    assert network.parameters == sum(p.numel() for p in model.parameters())
    state = model.state_dict()
    assert network.statistics == sum(tensor.numel() for name, tensor in state.items() if "running" in name)
    assert network.norms == sum("tracked" in name for name in state)
    assert network.layers == sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in model.modules())


def test_a_small_network_is_what_pencil_and_paper_say() -> None:
    # 3 → 2 channels on 4 × 4; stages 2, 4, 8, 16 on 4, 2, 1, 1 pixels (a stride of 2 rounds up): two 3 × 3
    # convolutions each, and 1 × 1 shortcuts but for the first.
    stem = 2 * 3 * 2 * 9 * 16
    stages = (
        2 * (2 * 2 * 9 * 2) * 16
        + 2 * (2 * 4 * 9 + 4 * 4 * 9 + 2 * 4) * 4
        + 2 * (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8) * 1
        + 2 * (8 * 16 * 9 + 16 * 16 * 9 + 8 * 16) * 1
    )
    network = count({"architecture": "preact_resnet18", "width": 2, "blocks": [1, 1, 1, 1]}, 4, 5)
    assert network.stem == stem
    assert network.forward == stem + stages + 2 * 16 * 5
    assert network.training == 3 * network.forward - stem
    weights = 54 + 72 + (72 + 144 + 8) + (288 + 576 + 32) + (1152 + 2304 + 128)
    norms = 2 + (2 + 2) + (2 + 4) + (4 + 8) + (8 + 16)
    assert network.parameters == weights + 2 * norms + 17 * 5
    assert (network.statistics, network.norms, network.layers, network.features) == (2 * norms, 9, 13, 16)


@pytest.mark.parametrize(
    ("architecture", "side", "classes", "parameters"),
    [
        ("preact_resnet18", 32, 200, 11_268_744),
        ("densenet121_3x3", 32, 100, 7_048_548),
        ("resnet18", 224, 67, 11_210_883),
        ("densenet121", 224, 120, 7_076_856),
    ],
)
def test_full_size_has_the_published_parameters(
    architecture: str, side: int, classes: int, parameters: int
) -> None:
    assert count({"architecture": architecture}, side, classes).parameters == parameters


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(KeyError, match="resnet50"):
        count({"architecture": "resnet50"}, 32, 10)
