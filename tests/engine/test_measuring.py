"""Measuring the device: what is made of times, and that it takes no longer than it may."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import torch

from aikd.engine.measuring import line, measure
from aikd.engine.training import Trainer
from aikd.study.catalogue import DATA_SETS
from aikd.study.costs.times import Speed
from aikd.study.costs.work import Work, work

Make = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")


def ticking(step: float) -> Callable[[], float]:
    """A clock that moves by so many seconds whenever somebody looks at it."""
    ticks: Iterator[int] = count()
    return lambda: step * next(ticks)


def runs(make_settings: Make, *methods: str) -> list[tuple[dict[str, Any], Work]]:
    made = [make_settings(method, batch_size=48) for method in methods]
    return [(settings, work(settings, DATA_SETS["digits"], 1)) for settings in made]


@pytest.mark.parametrize(
    ("sizes", "seconds", "rate", "overhead"),
    [
        # 10 ms and 1 ms an image, of 1e6 operations each
        ([10, 40], [0.020, 0.050], 1e9, 0.010),
        # slower than proportional: nothing is left for the overhead
        ([10, 40], [0.005, 0.050], 40e6 / 0.050, 0.0),
        # times that fall, of a disturbed machine: the larger batch decides, less what layers usually take
        ([10, 40], [0.060, 0.050], 40e6 / 0.046, 0.004),
        ([2], [0.020], 2e6 / 0.016, 0.004),
        # that never makes up more than half of it
        ([2], [0.002], 2e6 / 0.001, 0.001),
    ],
)
def test_a_line_through_two_batches(
    sizes: list[int], seconds: list[float], rate: float, overhead: float
) -> None:
    assert line(sizes, seconds, 10**6, 0.004) == pytest.approx((rate, overhead))
    flops, on_top = line(sizes, seconds, 10**6, 0.004)
    assert on_top + sizes[-1] * 1e6 / flops == pytest.approx(seconds[-1]), (
        "the larger batch takes what it took"
    )


@pytest.mark.parametrize(("tick", "batch"), [(1e-9, 48), (100.0, 2)])
def test_batches_are_as_large_as_there_is_time_for(make_settings: Make, tick: float, batch: int) -> None:
    given = runs(make_settings, "baseline", "pskd")
    speeds, found = measure(given, threads=1, clock=ticking(tick))
    assert [kind["batch"] for kind in found] == [batch]
    for settings, planned in given:
        assert speeds(settings, planned).training(planned) > 0


def test_a_method_adds_what_its_losses_take(make_settings: Make) -> None:
    given = runs(make_settings, "baseline", "tfkd", "aikd")
    speeds, _ = measure(given, threads=1, seconds=0.2)
    baseline, tfkd, aikd = (speeds(settings, planned) for settings, planned in given)
    assert isinstance(baseline, Speed)
    assert (baseline.trained, baseline.frozen, baseline.start) == (aikd.trained, aikd.frozen, aikd.start)
    # The critic is trained with a gradient of a gradient: many times the work of a cross-entropy.
    assert aikd.step > baseline.step + 1e-3 > tfkd.step


def test_batches_are_as_large_as_memory_allows(make_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def step(trainer: Trainer, batch: Any) -> Any:
        tried.append(len(batch.images))
        if tried[-1] > 16:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(trainer, batch)

    original = Trainer._step
    monkeypatch.setattr(Trainer, "_step", step)
    _, [kind] = measure(runs(make_settings, "baseline"), threads=1, clock=ticking(1e-9))
    assert kind["batch"] == 12
    assert sorted(set(tried)) == [2, 3, 6, 12, 24, 48]


def test_where_not_even_two_images_fit_the_error_is_passed_on(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(trainer: Trainer, batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Trainer, "_step", full)
    with pytest.raises(torch.OutOfMemoryError):
        measure(runs(make_settings, "baseline"), threads=1, clock=ticking(1e-9))


def test_a_machine_that_others_use_is_noticed(make_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes while this process does not run, here as it sleeps in each step."""
    step = Trainer._step

    def slowed(trainer: Trainer, batch: Any) -> Any:
        began = time.perf_counter()
        result = step(trainer, batch)
        time.sleep(3 * (time.perf_counter() - began))
        return result

    monkeypatch.setattr(Trainer, "_step", slowed)
    _, [kind] = measure(runs(make_settings, "baseline"), threads=1, seconds=0.2)
    assert kind["waiting"] > 1.3


def test_nothing_left_needs_no_measuring() -> None:
    def clock() -> float:
        raise AssertionError("nobody should look")

    assert measure([], threads=1, clock=clock)[1] == []
