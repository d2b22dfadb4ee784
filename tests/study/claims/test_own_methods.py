"""Comparisons of methods that are a study's own, and not the paper's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aikd.study import extensions
from aikd.study.claims.binding import Bound, bind
from aikd.study.load import check_study
from tests.conftest import DEMO, PAPER, changed, parsed

OWN = {"method": "aikd", "label": "Mine", "settings": {"critic.input": "probabilities"}}
METHOD = """
from aikd.extend import Method, method

@method("mine", label="Mine")
class Mine(Method):
    def step(self, student, batch): ...
"""


def own(file: Path, changes: dict[str, Any]) -> dict[str, Bound]:
    bounds = bind(check_study(changed(parsed(file), changes)))
    return {bound.claim.id: bound for bound in bounds if bound.claim.kind == "own"}


def test_they_are_set_beside_ai_kd_and_the_baseline() -> None:
    found = own(PAPER, {"methods/mine": OWN})
    assert len(found) == 2 * 6 * 2
    bound = found["own.mine.aikd.cifar100.densenet121"]
    assert bound.text == "Mine has a lower Top-1 error than AI-KD on CIFAR-100 with DenseNet-121."
    [contrast] = bound.contrasts
    assert bound.cells[contrast.minus[0]].paths[0] == (
        "cifar100/densenet121_3x3/aikd/critic.input=probabilities/seed0"
    )
    assert contrast.low == 0


def test_they_are_compared_on_every_model_also_on_two_of_one_network() -> None:
    wide = {"label": "Wide", "architecture": "preact_resnet18", "width": 16, "blocks": [1, 1, 1, 1]}
    models = {"models/wide": wide, "data/digits/models": ["preact_resnet18", "wide"]}
    found = own(DEMO, {"methods/mine": OWN, "figures": {}} | models)
    names = [f"own.mine.{rival}.digits.{n}" for n in ("resnet18", "wide") for rival in ("aikd", "baseline")]
    assert list(found) == names
    assert {bound.missing for bound in found.values()} == {()}
    bound = found["own.mine.baseline.digits.wide"]
    assert {path.split("/")[1] for path in bound.runs} == {"wide"}
    assert bound.text.endswith("than Baseline on Digits (10 epochs) with Wide (width 16, blocks 1-1-1-1).")


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file that adds a method."""
    monkeypatch.chdir(tmp_path)
    Path("method.py").write_text(METHOD, encoding="utf-8")
    yield "method.py"
    extensions.activate([])


def test_a_method_of_a_file_is_compared_like_any_other(extension: str) -> None:
    found = own(DEMO, {"extensions": [extension], "methods/mine": {}})
    places = [(n, rival) for n in ("resnet18", "densenet121") for rival in ("aikd", "baseline")]
    assert list(found) == [f"own.mine.{rival}.digits.{n}" for n, rival in places]
    assert {bound.missing for bound in found.values()} == {()}
    bound = found["own.mine.aikd.digits.resnet18"]
    mine = [path for path in bound.runs if "/mine/" in path]
    assert mine == [f"digits/preact_resnet18/mine/seed{seed}" for seed in range(3)]
