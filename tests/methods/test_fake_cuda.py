"""Every method on a GPU that is not there: fake tensors have devices and shapes, and no values to wait for."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("cskd", {}),
    ("tfkd", {}),
    ("pskd", {}),
    ("aikd", {"omega": 0}),
    ("aikd", {"previous": "memory", "omega": 0}),
    ("aikd", {}),
    ("aikd", {"critic": {"passes": "separate", "middle_term": "dropped", "steps": 2}}),
    ("aikd", {"critic": {"norm": "layer", "head": "linear", "input": "probabilities"}}),
    ("aikd", {"critic": {"norm": "none"}, "alpha_p": 0, "alpha_g": 0}),
]


def move(module: nn.Module, device: torch.device, memory_format: Any = None) -> nn.Module:
    """`Module.to` for fake tensors, whose parameters PyTorch cannot swap in place."""
    for part in module.modules():
        for name, p in part.named_parameters(recurse=False):
            part.register_parameter(name, nn.Parameter(p.detach().to(device), p.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, buffer.to(device))
    return module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fake tensors that can be moved and copied; autograd's engine, which needs a real device, is stood in for."""
    monkeypatch.setattr(nn.Module, "to", move)
    monkeypatch.setattr(FakeTensorMode, "__deepcopy__", lambda mode, memo: mode, raising=False)
    monkeypatch.setattr(torch.autograd, "grad", lambda _, x, **how: (x * 2,))
    monkeypatch.setattr(Tensor, "backward", lambda loss: None)
    with FakeTensorMode():
        yield


@pytest.mark.usefixtures("fake")
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("lam", [1.0, 0.3])
@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_a_step_stays_on_the_gpu(
    tiny: SimpleNamespace, name: str, settings: dict[str, Any], lam: float
) -> None:
    device = torch.device("cuda")
    student, superior = move(tiny.Normalised(1), device), move(tiny.Normalised(2), device)
    method = tiny.make_method(name, settings, superior, device="cuda")
    for epoch in (0, 1):
        method.begin_epoch(epoch)
        batch = tiny.make_batch(lam=lam, device="cuda")
        step = method.step(student, batch)
        method.end_epoch(student)
        scalars = [step.loss, *step.terms.values(), batch.targets.error(step.logits)]
        assert {(tensor.device.type, tensor.shape) for tensor in scalars} == {("cuda", ())}
        assert (step.logits.device.type, step.logits.shape) == ("cuda", (tiny.batch, tiny.classes))
