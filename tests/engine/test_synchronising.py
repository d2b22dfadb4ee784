"""A step gives the device work and never waits for it: operators that would make the host wait are counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from aikd.engine.store import Prepared, write_prepared
from aikd.engine.training import Trainer, network

Make = Callable[..., dict[str, Any]]

WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "unique", "item"}
"""Operators whose result is a value, or a shape that depends on values: on a GPU the host waits for it."""

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("cskd", {}),
    ("tfkd", {}),
    ("pskd", {}),
    ("aikd", {}),
    ("aikd", {"previous": "memory"}),
    ("aikd", {"critic": {"steps": 2, "passes": "separate"}}),
]


class Waits(TorchDispatchMode):
    """Counts operators that wait. Adam's own count of its steps lies on the host wherever the network is."""

    def __init__(self, run: Trainer) -> None:
        super().__init__()
        self.run, self.seen = run, Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITING and not (args and id(args[0]) in self.on_the_host()):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))

    def on_the_host(self) -> set[int]:
        states = getattr(self.run.method, "optimiser", torch.optim.SGD([torch.zeros(1)])).state.values()
        return {id(state["step"]) for state in states if "step" in state}


@contextmanager
def waits(run: Trainer) -> Iterator[Counter[str]]:
    mode = Waits(run)
    with mode:
        yield mode.seen


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Prepared]:
    """Digits-like data with so many training images."""

    def make(count: int) -> Prepared:
        folder = tmp_path_factory.mktemp("sized")
        images = np.random.default_rng(count).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
        labels = np.arange(count, dtype=np.int64) % 10
        splits = {"train": (images, labels), "test": (images[:20], labels[:20])}
        write_prepared(folder, "digits", [str(i) for i in range(10)], splits, {})
        return Prepared.open(folder)

    return make


def trainer(settings: dict[str, Any], prepared: Prepared) -> Trainer:
    superior = network(settings, prepared, 1) if settings["superior"] else None
    run = Trainer(settings, prepared, superior, torch.device("cpu"), evaluate_every=10**9)
    run.epoch(0)  # after it methods have a previous epoch, and optimisers their buffers
    return run


@pytest.mark.parametrize("augmentation", ["standard", "cutmix"])
@pytest.mark.parametrize(("method", "settings"), VARIANTS, ids=str)
def test_an_epoch_waits_as_often_whatever_its_number_of_steps(
    make_settings: Make,
    sized: Callable[[int], Prepared],
    method: str,
    settings: dict[str, Any],
    augmentation: str,
) -> None:
    seen = []
    for count in (40, 120):
        made = make_settings(method, settings, augmentation=augmentation, epochs=9, batch_size=20)
        run = trainer(made, sized(count))
        with waits(run) as counter:
            run.epoch(1)
        seen.append(counter)
    assert seen[0] == seen[1]
    assert sum(seen[0].values()) <= 20


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("method", "settings"), VARIANTS, ids=str)
def test_no_step_waits(
    make_settings: Make,
    sized: Callable[[int], Prepared],
    method: str,
    settings: dict[str, Any],
    precision: str,
) -> None:
    run = trainer(make_settings(method, settings, epochs=9, batch_size=20, precision=precision), sized(40))
    run.student.train()
    run.method.begin_epoch(1)
    batches = list(run._batches(1))
    with waits(run) as counter:
        for batch in batches:
            run._step(batch)
    assert counter == Counter()


def test_a_value_that_is_looked_at_is_seen(make_settings: Make, sized: Callable[[int], Prepared]) -> None:
    run = trainer(make_settings(epochs=9, batch_size=20), sized(40))
    with waits(run) as counter:
        assert torch.ones(()).item() == 1
        torch.ones(3)[torch.ones(3) > 0]
    assert counter["_local_scalar_dense"] == 1
    assert counter["nonzero"] + counter["masked_select"] <= 1
