"""The demo study as it is: small, and still a classifier."""

from pathlib import Path

import pytest
import torch

from aikd.engine.store import Prepared
from aikd.engine.training import Trainer
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from tests.conftest import DIGITS


@pytest.mark.parametrize("model", ["preact_resnet18", "densenet121_3x3"])
def test_the_demo_s_baseline_errs_on_less_than_a_tenth_of_the_digits(
    demo: Study, data: Path, model: str
) -> None:
    settings = resolve(demo, Run("digits", model, "baseline"))
    trainer = Trainer(settings, Prepared.open(data / DIGITS), None, torch.device("cpu"), evaluate_every=100)
    history = trainer.run(lambda row: None)
    assert history[-1]["test_error"] < 10
    assert history[-1]["train_error"] < 10


def test_the_demo_asks_for_every_table_and_figure_of_the_paper(demo: Study, paper: Study) -> None:
    assert demo.tables.keys() == paper.tables.keys()
    assert demo.figures.keys() == paper.figures.keys()
    assert demo.methods.keys() == paper.methods.keys()
    assert demo.seeds == paper.seeds
