"""Every method goes on from its saved state as if nothing had happened."""

import copy
import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aikd.methods import Method
from aikd.study.methods import METHODS

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("cskd", {}),
    ("tfkd", {}),
    ("pskd", {}),
    ("aikd", {}),
    ("aikd", {"previous": "memory"}),
    ("aikd", {"omega": 0}),
    ("aikd", {"alpha_p": 0, "critic": {"norm": "layer", "steps": 2, "head": "linear"}}),
    ("aikd", {"critic": {"input": "probabilities", "passes": "separate"}}),
]


def train_epoch(
    method: Method, student: nn.Module, epoch: int, tiny: SimpleNamespace
) -> list[dict[str, Tensor]]:
    optimiser, log = torch.optim.SGD(student.parameters(), lr=0.1), []
    method.begin_epoch(epoch)
    for start in (4, 0):
        step = method.step(student, tiny.make_batch(seed=epoch, start=start))
        optimiser.zero_grad()
        step.loss.backward()
        optimiser.step()
        log.append({"loss": step.loss.detach(), "logits": step.logits.detach()} | step.terms)
    method.end_epoch(student)
    return log


def test_every_method_of_the_study_is_here() -> None:
    assert {name for name, _ in VARIANTS} == set(METHODS)


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
@pytest.mark.parametrize("epochs", [1, 3])
def test_resumed_method_goes_on_identically(
    tiny: SimpleNamespace, name: str, settings: dict[str, Any], epochs: int
) -> None:
    superior, student = tiny.Normalised(2), tiny.Normalised(1)
    method = tiny.make_method(name, settings, superior)
    for epoch in range(epochs):
        train_epoch(method, student, epoch, tiny)
    file = io.BytesIO()
    torch.save({"method": method.state_dict(), "student": student.state_dict()}, file)
    expected = train_epoch(method, student, epochs, tiny)

    file.seek(0)
    state = torch.load(file, weights_only=True)
    resumed_student = tiny.Normalised(7)
    resumed_student.load_state_dict(state["student"])
    weights = copy.deepcopy(resumed_student.state_dict())
    torch.manual_seed(99)
    resumed = tiny.make_method(name, settings, superior)
    resumed.load_state_dict(state["method"], resumed_student)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in resumed_student.state_dict().items())
    found = train_epoch(resumed, resumed_student, epochs, tiny)
    for before, after in zip(expected, found, strict=True):
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_state_is_needed_and_complete(tiny: SimpleNamespace, name: str, settings: dict[str, Any]) -> None:
    """Memory and critic travel; the snapshot does not, being the student itself."""
    state = tiny.make_method(name, settings, tiny.Linear(2)).state_dict()
    keys = {"memory"} if name == "pskd" or settings.get("previous") == "memory" else set()
    if name == "aikd" and settings.get("omega") != 0:
        keys |= {"critic", "critic_optimiser"}
    assert state.keys() == keys
