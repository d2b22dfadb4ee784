"""Networks on the CPU keep clear of a fault in oneDNN, and compute what they computed."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from aikd.engine.precision import Precision, overruns
from aikd.models import build
from aikd.models.folding import folded

CPU = torch.device("cpu")
ARCHITECTURES = ("preact_resnet18", "resnet18", "densenet121", "densenet121_3x3")


def strides(network: nn.Module) -> list[tuple[int, int]]:
    return [m.stride for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]


@pytest.mark.parametrize(
    ("convolution", "expected"),
    [
        (nn.Conv2d(8, 16, 1, stride=2), True),
        (nn.Conv2d(15, 16, 1, stride=(1, 2)), True),
        (nn.Conv2d(16, 16, 1, stride=2), False),
        (nn.Conv2d(8, 16, 1), False),
        (nn.Conv2d(8, 16, 3, stride=2, padding=1), False),
    ],
)
def test_which_layers_are_avoided(convolution: nn.Conv2d, expected: bool) -> None:
    assert overruns(convolution) is expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_of_the_paper_are_left_alone(architecture: str) -> None:
    network = build({"architecture": architecture}, 10)
    before = strides(network)
    Precision("fp32", CPU).place(network)
    assert strides(network) == before
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("precision", "guarded"), [(Precision("fp32", CPU), True), (Precision("fp32", CPU, False), False)]
)
def test_only_channels_last_is_avoided(precision: Precision, guarded: bool) -> None:
    network = precision.place(build({"architecture": "resnet18", "width": 8}, 10))
    assert ((2, 2) not in strides(network)[:1]) is guarded


@pytest.mark.parametrize("architecture", ["preact_resnet18", "resnet18"])
def test_a_narrow_network_computes_the_same_without_the_fault(architecture: str) -> None:
    torch.manual_seed(0)
    plain = build({"architecture": architecture, "width": 8}, 10).double()
    placed = Precision("fp32", CPU).place(copy.deepcopy(plain))
    # Placed twice, as a frozen copy of the student is.
    again = Precision("fp32", CPU).place(copy.deepcopy(placed))
    assert (2, 2) in strides(plain)
    assert (2, 2) not in strides(placed)[:1]
    assert placed.state_dict().keys() == plain.state_dict().keys()
    images, gradients = torch.randn(2, 3, 64, 64, dtype=torch.double), []
    for network in (plain, placed, again):
        # In the layout that is safe for all of them.
        given = images.clone().requires_grad_()
        network.to(memory_format=torch.contiguous_format)(given).square().sum().backward()
        gradients.append([given.grad, *(p.grad for p in network.parameters())])
    for expected, *others in zip(*gradients, strict=True):
        for other in others:
            torch.testing.assert_close(other, expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_narrow_network_trains_on_large_images_without_a_crash(precision: str) -> None:
    code = f"""
import torch
from aikd.engine.precision import Precision
from aikd.models import build
precision = Precision({precision!r}, torch.device("cpu"))
network = precision.place(build({{"architecture": "resnet18", "width": 8}}, 10))
forward = precision.network(network)
for step in range(3):
    images = torch.randn(4, 3, 224, 224).to(memory_format=precision.memory_format)
    forward(images).square().sum().backward()
    kept = [torch.empty(64 * n).fill_(1) for n in range(200)]
print("done")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-500:]


class Casts(TorchDispatchMode):
    """Counts changes of type."""

    seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Under inference_mode the latter is not taken apart.
        self.seen += func.overloadpacket.__name__ in ("_to_copy", "to")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["bf16", "fp16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_frozen_weights_change_their_type_once_and_no_bit_of_the_result(architecture: str, name: str) -> None:
    torch.manual_seed(0)
    size = {"growth": 8} if architecture.startswith("densenet") else {"width": 16}
    network = build({"architecture": architecture, "blocks": [1, 1, 1, 1], **size}, 10)
    precision, images = Precision(name, CPU), torch.randn(4, 3, 64, 64)
    network(images)  # BatchNorm has something to fold
    before = copy.deepcopy(network.state_dict())
    plain, frozen = precision.network(precision.place(folded(network))), precision.frozen(network)
    with torch.no_grad(), Casts() as needed:
        expected = plain(images)
    with Casts() as left:
        assert torch.equal(frozen(images), expected)
    # The images and the logits; and of each layer its weight and, if it has one, its bias.
    assert (left.seen, needed.seen > 10) == (2, True)
    for key, weights in network.state_dict().items():
        assert torch.equal(weights, before[key]), key
