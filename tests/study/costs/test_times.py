"""Seconds of a run, added up by hand, and what the rules ask for."""

from typing import Any

import pytest

from aikd.study.costs.times import Speed, minutes, stated
from aikd.study.costs.work import Work, work
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study


@pytest.fixture
def demo_run(demo: Study) -> Work:
    settings = resolve(demo, Run.from_path("digits/preact_resnet18/aikd/seed0"))
    return work(settings, demo.dataset("digits"), evaluate_every=4)


def test_seconds_are_operations_over_rates_and_what_comes_on_top(demo_run: Work) -> None:
    w, n = demo_run, demo_run.network
    speed = Speed(trained=2e9, frozen=5e9, step=0.01, frozen_step=0.003, epoch=0.2, start=4)
    # 901 images make 19 batches of up to 48; ten epochs, the superior in ten and the previous student in nine;
    # looks at 896 images after epochs 4, 8 and 10, and their prediction.
    steps = 10 * 0.2 + 190 * 0.01 + 9010 * n.training / 2e9
    images = 19 * 901 + 4 * 896
    frozen = images * n.forward / 5e9 + 0.003 * (19 * 19 + -(-4 * 896 * 19 // 901))
    assert speed.training(w) == pytest.approx(4 + steps + frozen, rel=1e-12)
    # Without the rates' part of it.
    on_top = 4 + 10 * 0.2 + 190 * 0.01 + 0.003 * (19 * 19 + -(-4 * 896 * 19 // 901))
    assert speed.overhead(w) == pytest.approx(on_top, rel=1e-12)
    assert speed.predicting(w) == pytest.approx(4 + 896 * n.forward / 5e9 + 19 * 0.003)


def test_a_stated_device_twice_as_fast_takes_half_the_time_for_the_operations(demo_run: Work) -> None:
    slow, fast, endless = (stated(t, demo_run).training(demo_run) for t in (1e-4, 2e-4, 1e9))
    assert (slow - endless) == pytest.approx(2 * (fast - endless), rel=1e-6)
    operations = demo_run.flops - demo_run.seen * demo_run.critic
    assert slow - endless == pytest.approx(operations / 1e8, rel=1e-6)


@pytest.mark.parametrize(
    ("seconds", "attempt", "expected"), [(0, 1, 10), (1, 1, 11), (3600, 1, 100), (3600, 3, 300)]
)
def test_a_cluster_is_asked_for_half_as_much_again_and_more_with_each_attempt(
    seconds: Any, attempt: int, expected: int
) -> None:
    assert minutes(seconds, attempt) == expected
