"""The work that a run is planned to do against the operations that it does, one by one, and the bytes it leaves."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aikd.engine import jobs
from aikd.engine.state import Snapshot
from aikd.engine.store import Prepared
from aikd.engine.training import Trainer, holdout_data
from aikd.methods import Batch, Setup, Targets, load_method
from aikd.models import build
from aikd.study.catalogue import DATA_SETS
from aikd.study.costs.work import Work, critic, work

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
DATA = {"data": {"images_per_class": 41, "holdout_per_class": 3}}


class Counter(TorchDispatchMode):
    """Adds up torch's own formulas; FlopCounterMode itself cannot look into `autograd.grad` by a leaf."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket not in flop_registry:
            # In inference mode a convolution arrives as a whole, with the operation that is counted inside.
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at where the adversarial term pushes, which the plan leaves out."""
    monkeypatch.setattr("aikd.methods.aikd.adversarial_terms", lambda *given: {})


def planned(settings: dict[str, Any], evaluate_every: int = 2) -> Work:
    return work(settings, DATA_SETS["digits"], evaluate_every)


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("baseline", {}),
        ("cskd", {}),
        ("tfkd", {}),
        ("pskd", {}),
        ("aikd", {}),
        ("aikd", {"alpha_g": 0, "omega": 0}),
        ("aikd", {"alpha_p": 0, "omega": 0}),
        ("aikd", {"previous": "memory", "critic": {"fc1": 16, "steps": 2}}),
    ],
)
def test_a_run_does_the_operations_that_were_counted(
    digits: Prepared, make_settings: Make, method: str, changes: dict[str, Any]
) -> None:
    settings = make_settings(method, changes, epochs=3, **DATA)
    superior = build(settings["model"], 10) if settings["superior"] else None
    trainer = Trainer(settings, digits, superior, CPU, evaluate_every=2)
    with Counter() as counter:
        trainer.run(lambda row: None)
    expected = planned(settings)
    predictions = expected.predicted * expected.network.forward
    assert counter.flops == expected.flops - predictions
    assert len(trainer.train) == expected.images
    held = holdout_data(settings, digits, trainer.precision)
    assert expected.predicted == len(trainer.test) + len(held or [])
    assert expected.steps == len(list(trainer._batches(0)))


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("passes", ["joint", "separate"])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_the_critic_does_the_operations_that_were_counted(norm: str, passes: str) -> None:
    images, classes = 6, 7
    logits = torch.randn(images, classes)
    for head, middle, steps in product(["mean", "linear"], ["kept", "dropped"], [1, 3]):
        sizes = {"fc1": 5, "fc2": 3, "head": head, "norm": norm, "passes": passes, "middle_term": middle}
        method, settings = load_method("aikd", {"alpha_p": 0, "critic": sizes | {"steps": steps}})
        setup = Setup(
            settings=settings, classes=classes, images=images, epochs=1, steps=1, batch_size=images, seed=0,
            device=CPU, superior=lambda x: x + 1, freeze=lambda module: module,
        )  # fmt: skip
        trained, weight = method(setup), torch.ones(classes, requires_grad=True)
        trained.begin_epoch(0)
        labels = torch.arange(images)
        with Counter() as counter:
            batch = Batch(logits, Targets(labels, labels), labels, labels)
            trained.step(lambda x: x * weight, batch).loss.backward()  # noqa: B023
        assert counter.flops == images * critic(settings, classes), (head, middle, steps)


def test_a_run_leaves_about_the_bytes_that_were_counted(
    data: Path, digits: Prepared, make_settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    settings = make_settings("pskd", **DATA)
    jobs.train(settings, tmp_path, data, 1)
    jobs.predict(settings["run"], tmp_path, data)
    expected, folder = planned(settings), tmp_path / "runs" / settings["run"]
    sizes = {file.name: file.stat().st_size for file in folder.iterdir() if not file.name.startswith(".")}
    assert sizes["model.safetensors"] == pytest.approx(expected.network.model_bytes, rel=0.05)
    assert sum(sizes.values()) == pytest.approx(expected.disk, rel=0.1)

    trainer = Trainer(settings, digits, None, CPU)
    trainer.run(lambda row: None)
    Snapshot.of({"trainer": trainer.state()}).save(tmp_path / "state.safetensors")
    assert (tmp_path / "state.safetensors").stat().st_size == pytest.approx(expected.states / 3, rel=0.1)
