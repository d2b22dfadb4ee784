"""Networks compiled for training: the same results within rounding, and one line where nothing can be compiled."""

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from aikd.engine import jobs
from aikd.engine.compiling import compiled
from aikd.engine.store import Prepared
from aikd.engine.training import Trainer
from tests.conftest import DIGITS
from tests.engine.resuming import METHODS, RECIPE, Make, interrupt, same_results, superior, timeless

pytestmark = pytest.mark.usefixtures("on_the_cpu")
with_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)

ROOT = Path(__file__).parents[2]
CALM = RECIPE | {"epochs": 2, "milestones": [], "learning_rate": 0.001, "batch_size": 16}


@pytest.fixture(autouse=True)
def _own_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.set_stance("default")
    torch.compiler.reset()


def trainer(settings: dict[str, Any], data: Path, compiled: bool) -> Trainer:
    prepared = Prepared.open(data / DIGITS)
    return Trainer(settings, prepared, superior(settings), torch.device("cpu"), compiled=compiled)


def losses(rows: list[Any]) -> list[float]:
    return [x for row in timeless(rows) for x in row.values()]


@with_compiler
@pytest.mark.parametrize("method", ["baseline", "aikd"])
def test_two_epochs_agree_with_those_of_networks_as_they_are(
    tiny: Path, make_settings: Make, method: str
) -> None:
    """41 images: two batches that are compiled, and one of nine that is not."""
    plain, fast = (trainer(make_settings(method, **CALM), tiny, compiled) for compiled in (False, True))
    rows = [t.run(lambda row: None) for t in (plain, fast)]
    # Cosines are means of what nearly cancels.
    assert losses(rows[1]) == pytest.approx(losses(rows[0]), rel=1e-4, abs=1e-3)
    assert fast.student.state_dict().keys() == plain.student.state_dict().keys()
    for name, weights in fast.student.state_dict().items():
        torch.testing.assert_close(weights, plain.student.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "architecture", "precision"),
    [
        *((method, "preact_resnet18", "bf16") for method in METHODS),
        *((("aikd", {}), name, "fp32") for name in ("resnet18", "densenet121_3x3")),
    ],
    ids=str,
)
def test_networks_are_one_graph_that_serves_later_epochs(
    tiny: Path, make_settings: Make, monkeypatch: pytest.MonkeyPatch,
    method: Any, architecture: str, precision: str,
) -> None:  # fmt: skip
    """All of the compiler but its last part, which writes kernels."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    settings = make_settings(*method, **CALM | {"epochs": 4, "precision": precision})
    size = {"growth": 4} if architecture.startswith("densenet") else {"width": 4}
    settings["model"] = {"architecture": architecture, "blocks": [1, 1, 1, 1]} | size
    run = trainer(settings, tiny, True)
    with torch.compiler.set_stance("fail_on_recompile"):
        run.test_error()
        with pytest.raises(RuntimeError, match="fail_on_recompile"):
            run.epoch(0)
    run.epoch(0)
    run.epoch(1)
    with torch.compiler.set_stance("fail_on_recompile"):
        run.epoch(2)


@with_compiler
def test_later_epochs_compile_nothing_and_keep_no_network(tiny: Path, make_settings: Make) -> None:
    """Each epoch's frozen copy of the student runs what was compiled for the superior model, and goes."""
    run = trainer(make_settings("aikd", **CALM | {"epochs": 9}), tiny, True)
    copies: list[weakref.ref[Any]] = []
    run.epoch(0)
    run.epoch(1)
    with torch.compiler.set_stance("fail_on_recompile"):
        for epoch in range(2, 9):
            run.epoch(epoch)
            copies.append(weakref.ref(run.method.previous))  # type: ignore[attr-defined]
    gc.collect()
    assert [copy() is not None for copy in copies] == [False] * 6 + [True]


@with_compiler
def test_a_compiled_run_that_is_interrupted_ends_as_if_it_had_not_been(
    tmp_path: Path, tiny: Path, make_settings: Make
) -> None:
    settings = make_settings(**CALM | {"epochs": 4})
    jobs.train(settings, tmp_path / "whole", tiny, 1, compiled=True)
    with pytest.MonkeyPatch.context() as patch:
        train = jobs.train
        patch.setattr(jobs, "train", lambda *given, **more: train(*given, **more, compiled=True))
        interrupt(settings, tmp_path / "stopped", tiny, 2)
    jobs.train(settings, tmp_path / "stopped", tiny, 1, compiled=True)
    whole, stopped = (tmp_path / name / "runs" / settings["run"] for name in ("whole", "stopped"))
    same_results(stopped, whole)
    assert json.loads((stopped / "train.json").read_text())["compiled"] is True
    # What was compiled is used for training alone, so anyone can predict with its results.
    jobs.predict(settings["run"], tmp_path / "stopped", tiny)


@with_compiler
def test_only_full_batches_are_compiled() -> None:
    linear = torch.nn.Linear(3, 2)
    fast = compiled(linear, 4)
    with torch.compiler.set_stance("fail_on_recompile"):
        for size in (1, 3, 5):
            images = torch.randn(size, 3)
            assert torch.equal(fast(images), linear(images))
        with pytest.raises(RuntimeError, match="fail_on_recompile"):
            fast(torch.randn(4, 3))


def test_without_a_compiler_there_is_one_line(tmp_path: Path, tiny: Path, make_settings: Make) -> None:
    settings, nowhere = make_settings(**CALM), str(tmp_path / "no-compiler")
    command = [sys.executable, "-m", "aikd", "train", "--settings", json.dumps(settings), "--compile"]
    command += ["--results", str(tmp_path / "results"), "--data", str(tiny)]
    # What others compiled before must not be found.
    changes = {"CXX": nowhere, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | changes, capture_output=True, text=True, check=False
    )
    said = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert said[-1].startswith("aikd train: --compile: torch.compile cannot work on cpu here (")
    assert said[-1].endswith("); set `compile: false` in the study")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results/runs" / settings["run"] / "model.safetensors").exists()
