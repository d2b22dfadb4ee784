"""What the benchmarks share. The times themselves are never tested."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aikd.study.costs.plan import jobs_of
from aikd.study.schema import Study
from benchmarks import planned, study
from benchmarks.__main__ import NAMES, PAGE, insert
from benchmarks.networks import ROOT
from benchmarks.timing import interleaved, ratios, spread, table
from tests.conftest import DEMO


def test_tasks_take_turns_and_first_rounds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    clock: Iterator[float] = iter([0.0, 1.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: next(clock))
    times = interleaved({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, rounds=1, warm=1)
    assert done == ["a", "b", "a", "b"]
    assert times == {"a": [2.0], "b": [4.0]}


def test_ratios_are_of_the_same_round() -> None:
    """The medians of 2, 4, 60 and of 1, 2, 30 tell the same here, but not what a slow round did to either."""
    assert ratios([2, 4, 60], [1, 2, 30]) == "2.00 (2.00 to 2.00)"
    assert ratios([3, 1, 2, 4, 5], [1, 1, 1, 1, 1]) == "3.00 (2.00 to 4.00)"


@pytest.mark.parametrize("value", [0.01234, 0.1234, 1.234, 12.34, 123.4, 1234.0])
def test_numbers_have_three_digits(value: float) -> None:
    shown = spread([value] * 3)
    middle = float(shown.split()[0])
    assert middle == pytest.approx(value, rel=5e-3)
    assert len(shown.split()[0].replace(".", "").lstrip("0")) == (4 if value > 1000 else 3)


def test_a_unit_divides() -> None:
    low, high = np.quantile([1.0, 2.0, 3.0], [0.25, 0.75]) * 1000
    assert spread([1.0, 2.0, 3.0], unit=1e-3) == f"2000 ({low:.0f} to {high:.0f})"


def test_tables_are_markdown() -> None:
    assert table(["a", "b"], [["x", 1]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_a_table_is_exchanged_and_nothing_else() -> None:
    page = "before\n<!-- steps -->\nold\n<!-- end of steps -->\nafter\n"
    once = insert(page, "steps", "new\\1\n")
    assert once.startswith("before\n<!-- steps -->\nnew\\1\n\n*")
    assert once.endswith("*\n<!-- end of steps -->\nafter\n")
    assert "old" not in once
    assert insert(once, "steps", "new\\1\n") == once


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_a_place_on_the_page_and_a_main(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(f"<!-- {name} -->") == page.count(f"<!-- end of {name} -->") == 1
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_methods_of_a_study_are_timed_beside_the_baseline() -> None:
    lines = study.main([str(DEMO), "--model", "densenet121_3x3"], rounds=1).splitlines()
    assert lines[0].startswith("| step on digits, densenet121_3x3, batch 48 |")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == ["Baseline", "CS-KD", "TF-KD", "PS-KD", "AI-KD"]
    assert [row[1] for row in rows] == ["1.00", "1.33", "1.33", "1.00", "1.67"]
    assert rows[0][2].startswith("1.00 (")


def test_the_plan_is_tried_on_all_runs_whatever_is_done(
    demo: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = "digits/preact_resnet18/baseline/seed0"
    folder = demo.results / "runs" / path
    folder.mkdir(parents=True)
    (folder / "train.json").write_text(json.dumps({"settings": jobs_of(demo)[path].settings}))
    (folder / "model.safetensors").touch()
    assert jobs_of(demo)[path].done
    assert len(planned.chosen(demo, ["table_2"], planned.METHODS)) == 30
    one = planned.chosen(demo, ["table_2"], ["aikd"])
    assert {job.settings["method"] for job in one.values()} == {"baseline", "aikd"}
    order = list(one)
    for path, job in one.items():
        if job.settings["superior"]:
            assert order.index(job.settings["superior"]) < order.index(path)


def test_a_run_that_fails_is_one_line(demo: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = next(iter(jobs_of(demo).values()))
    with pytest.raises(
        SystemExit, match=r"^digits/preact_resnet18/baseline/seed0: aikd train: .*manifest.json: no such file"
    ):
        planned.train(demo, job, tmp_path, tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("module", "arguments", "status", "text"),
    [
        ("benchmarks", "--help", 0, r"usage: python -m benchmarks .*starting.*"),
        ("benchmarks", "nosuch", 1, r"nosuch: no such benchmark; there are steps, .*\n"),
        (
            "benchmarks.study",
            "nofile.yaml",
            1,
            r"nofile.yaml: cannot be read \(No such file or directory\)\n",
        ),
        ("benchmarks.study", f"{DEMO} --model vgg", 1, r'--model: found "vgg".*\n'),
        (
            "benchmarks.planned",
            "nofile.yaml",
            1,
            r"nofile.yaml: cannot be read \(No such file or directory\)\n",
        ),
    ],
)
def test_what_is_asked_wrongly_is_one_message(module: str, arguments: str, status: int, text: str) -> None:
    command = [sys.executable, "-m", module, *arguments.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert re.fullmatch(text, done.stdout + done.stderr, re.DOTALL)
    assert "Traceback" not in done.stderr
