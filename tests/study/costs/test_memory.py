"""Memory requests follow what was measured."""

import pytest

from aikd.study.costs.memory import measured, memory
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study


def request(study: Study, run: str) -> int:
    return memory(resolve(study, Run.from_path(run)), study.dataset(run.partition("/")[0]))


def test_every_model_and_method_of_the_paper_was_measured(paper: Study) -> None:
    assert measured().keys() == {(model, method) for model in paper.models for method in paper.methods}
    assert min(measured().values()) > 600


def test_the_request_is_the_peak_and_the_images_with_a_fifth_to_spare(paper: Study) -> None:
    peak = measured()["preact_resnet18", "aikd"]
    images = 60_000 * 64 * 64 * 3 / 2**20
    # MiB to MB
    expected = 1.2 * (peak + images) * 1.048576
    assert request(paper, "cifar100/preact_resnet18/aikd/seed0") == pytest.approx(expected, abs=1)


def test_photographs_are_not_held_in_memory(paper: Study) -> None:
    expected = 1.2 * measured()["densenet121", "cskd"] * 1.048576
    for name in ("cub200", "stanford_dogs"):
        assert request(paper, f"{name}/densenet121/cskd/weight=3/seed0") == pytest.approx(expected, abs=1)


def test_a_narrow_network_needs_less(demo: Study) -> None:
    assert request(demo, "digits/preact_resnet18/aikd/seed0") < 1000
