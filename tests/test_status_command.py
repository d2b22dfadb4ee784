"""`aikd status` and `aikd why` on a small study of real runs."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.cli import main
from aikd.commands import status as command
from aikd.engine.store import write_prepared
from tests.conftest import DIGITS, PAPER

STUDY = """
name: small
seeds: [0, 1]
recipe: {epochs: 4, milestones: [2], batch_size: 8, learning_rate: 0.01}
data: {digits: {models: [net]}}
models: {net: {label: Net, architecture: preact_resnet18, width: 4, blocks: [1, 1, 1, 1]}}
methods: {baseline: {}, tfkd: {}, cskd: {}}
tables:
  table_2: {kind: comparison, metrics: [top1_error]}
  table_3: {kind: comparison, metrics: [ece], methods: [tfkd]}
"""
DONE, TRAINED, FAILED = "digits/net/baseline/seed0", "digits/net/tfkd/seed0", "digits/net/baseline/seed1"
KILLED, WAITING, LAST = "digits/net/cskd/seed0", "digits/net/cskd/seed1", "digits/net/tfkd/seed1"
Say = Callable[..., str]


def settings(run: str) -> str:
    done = [sys.executable, "-m", "aikd", "settings", run, "--study", "study.yaml"]
    return subprocess.run(done, capture_output=True, text=True, check=True).stdout


def train(run: str, *options: str, **recipe: Any) -> list[str]:
    wanted = json.loads(settings(run))
    wanted["recipe"] |= recipe
    return ["train", "--settings", json.dumps(wanted), "--results", "results/small", *options]


def images(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels, labels = rng.integers(0, 256, (80, 3, 8, 8), dtype=np.uint8), np.arange(80) % 10
    splits: Any = {"train": (pixels[:40], labels[:40]), "test": (pixels[40:], labels[40:])}
    write_prepared(folder, "digits", [str(digit) for digit in range(10)], splits, {})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of six runs one is done, one trained, one failed, one was killed, and two have not begun."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "study.yaml").write_text(STUDY)
    images(folder / "data" / DIGITS, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("AIKD_DEVICE", "cpu")
        assert main(train(DONE)) == 0
        for step in ("predict", "calibrate"):
            assert main([step, DONE, "--results", "results/small"]) == 0
        assert main(train(TRAINED)) == 0
        log = Path(f"results/small/logs/train/{FAILED}.log")
        log.parent.mkdir(parents=True)
        with log.open("w") as file:
            failed = [sys.executable, "-m", "aikd", *train(FAILED, learning_rate=1e30)]
            assert subprocess.run(failed, stderr=file, check=False).returncode == 1
        killed = [sys.executable, "-m", "aikd", *train(KILLED, "--save-every", "1", epochs=10**5)]
        with subprocess.Popen(killed, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("epoch      3/"):
                    break
            process.kill()
    return folder


@pytest.fixture(autouse=True)
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which one stands."""
    shutil.copytree(template, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments, "--study", "study.yaml"]) == 0
        return capsys.readouterr().out

    return run


def edit(old: str, new: str) -> None:
    assert old in STUDY
    Path("study.yaml").write_text(STUDY.replace(old, new))


# status


def test_every_run_and_how_that_is_known(say: Say) -> None:
    found = json.loads(say("status", "--json"))
    runs = {run["run"]: run for run in found["runs"]}
    assert {run: runs[run]["state"] for run in sorted(runs)} == {
        DONE: "done", TRAINED: "trained", FAILED: "failed", KILLED: "interrupted", WAITING: "waiting", LAST: "waiting",
    }  # fmt: skip
    assert "lower recipe.learning_rate" in runs[FAILED]["error"]
    assert runs[FAILED]["log"] == f"results/small/logs/train/{FAILED}.log"
    assert "gone without a word" in runs[KILLED]["how"]
    assert runs[KILLED]["epoch"] in (2, 3)
    assert runs[DONE]["device"] == "cpu, 1 threads"
    targets = {target["target"]: target for target in found["targets"]}
    assert targets["claims"]["states"] == {}  # a study without AI-KD can check none
    assert targets["table_3"]["states"] == {"done": 1, "failed": 1, "trained": 1, "waiting": 1}
    assert sum(targets["all"]["states"].values()) == 6
    assert found["training"] == 0
    assert 0 < targets["table_3"]["left"] < targets["all"]["left"] < 600


def test_what_needs_somebody_comes_first_and_the_rest_is_counted(say: Say) -> None:
    text = say("status")
    lines = text.splitlines()
    assert re.fullmatch(
        r"study small, .*: 6 runs: 1 failed, 1 interrupted, 1 trained, 2 waiting, 1 done", lines[0]
    )
    listed = [
        line.split()[:2] for line in lines if line.startswith(("failed", "interrupted", "waiting", "done"))
    ]
    assert listed == [["failed", FAILED], ["interrupted", KILLED]]
    assert f"    log: results/small/logs/train/{FAILED}.log" in lines
    assert "digits/net  1 trained, 2 waiting, 1 done" in lines
    everything = say("status", "--all")
    for run in (DONE, TRAINED, FAILED, KILLED, WAITING, LAST):
        assert len(re.findall(rf"^\w+ +{run} ", everything, re.M)) == 1, run


def test_of_a_superior_model_a_table_wants_only_the_model(say: Say, project: Path) -> None:
    shutil.rmtree(project / f"results/small/runs/{DONE}")
    shutil.move(project / f"results/small/runs/{TRAINED}", project / f"results/small/runs/{DONE}")
    summary = project / f"results/small/runs/{DONE}/train.json"
    summary.write_text(json.dumps({"run": DONE, "settings": json.loads(settings(DONE))}))
    states = {
        target: _state(say("status", target, "--json"), DONE)
        for target in ("table_2", "table_3", "report", "all_runs", "all")
    }
    assert states.pop("table_3") == "done"
    assert set(states.values()) == {"trained"}


def test_of_a_run_that_is_only_drawn_no_metrics_are_wanted(say: Say, project: Path) -> None:
    figure = "{kind: tsne, data: digits, model: net, methods: [tfkd], classes: 2}"
    edit("tables:", f"figures: {{figure_6: {figure}}}\ntables:")
    asked = ("learning_curves", "figure_6", "table_2")
    for expected in (["done", "trained", "trained"], ["done", "done", "trained"]):
        assert [_state(say("status", target, "--json"), TRAINED) for target in asked] == expected
        (project / "results/small/runs" / TRAINED / "predictions.safetensors").touch()


def test_a_run_that_is_none_of_the_studys_is_called_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--study", "study.yaml", "digits/net/baseline/seed7", DONE, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "digits/net/baseline/seed7: seed 7 is none of the study's, which has 0, 1\n"
    assert [run["state"] for run in json.loads(shown.out)["runs"]] == ["waiting", "done"]


def _state(text: str, run: str) -> str:
    [state] = [found["state"] for found in json.loads(text)["runs"] if found["run"] == run]
    return str(state)


def test_control_characters_of_a_log_do_not_reach_the_terminal(say: Say, project: Path) -> None:
    (project / f"results/small/runs/{FAILED}/.progress.json").unlink()
    (project / f"results/small/logs/train/{FAILED}.log").write_text("aikd train: \x1b[2Jgone\x07\n")
    text = say("status")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[2Jgone" in text


def test_watching_looks_again_until_all_is_done(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    text = say("status", "table_3", "--watch", "7")
    assert looks == [7, 7, 7]
    assert text.count("study small, ") == 3
    assert "\x1b" not in text
    looks.clear()
    lines = say("status", "table_3", "--watch", "7", "--json").splitlines()
    assert [json.loads(line)["study"] for line in lines] == ["small"] * 3
    looks.clear()
    for run in ("tfkd", "baseline"):
        edit("seeds: [0, 1]", "seeds: [0]")
        folder = Path(f"results/small/runs/digits/net/{run}/seed0")
        (folder / "metrics.json").write_text(
            json.dumps({"model": json.loads((folder / "train.json").read_text())["model"]})
        )
    say("status", "table_3", "--watch")
    assert looks == []


@pytest.mark.parametrize("value", ["0", "-1", "nan", "table_2", "1e9"])
def test_a_pause_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], value: str) -> None:
    with pytest.raises(SystemExit):
        main(["status", f"--watch={value}"])
    assert "allowed are seconds above 0 (targets stand before --watch)" in capsys.readouterr().err


def test_a_terminal_is_cleared_between_two_looks() -> None:
    terminal, end = pty.openpty()
    words = ["status", "table_3", "--watch", "0.1", "--study", "study.yaml"]
    with subprocess.Popen(
        [sys.executable, "-m", "aikd", *words], stdout=end, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(end)
        shown, started = b"", time.monotonic()
        while shown.count(b"study small") < 3 and time.monotonic() - started < 60:
            shown += os.read(terminal, 4096)
        process.terminate()
    os.close(terminal)
    assert shown.startswith(command.CLEAR.encode() + b"study small")
    assert shown.count(command.CLEAR.encode()) >= 3


def test_312_runs_take_half_a_second_and_no_torch(tmp_path: Path) -> None:
    code = "import sys, time; from aikd.cli import main; main(sys.argv[1:]); print(time.process_time())"
    code += "; print([name for name in ('torch', 'numpy', 'pandas', 'snakemake') if name in sys.modules])"
    for words in (["status", "--study", str(PAPER)], ["why", "all", "--study", str(PAPER)]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        *_, seconds, heavy = done.stdout.splitlines()
        assert heavy == "[]"
        assert float(seconds) < 1.5  # half a second where nothing else runs


def test_runs_can_be_asked_for_one_by_one(say: Say) -> None:
    lines = say("status", DONE, WAITING).splitlines()
    assert re.fullmatch(r"study small, .*: 2 runs: 1 waiting, 1 done", lines[0])
    assert [line.split()[:2] for line in lines[3:] if line[0] != " "] == [
        ["waiting", WAITING],
        ["done", DONE],
    ]
    found = json.loads(say("status", TRAINED, "table_3", "--json"))
    assert [run["run"] for run in found["runs"]] == [TRAINED]
    assert [target["target"] for target in found["targets"]] == ["table_3"]
    other = WAITING.replace("seed1", "seed7")  # which the study can train, though nothing needs it
    assert _state(say("status", other, "--json"), other) == "waiting"


# why


def test_without_a_target_each_run_that_would_be_trained_again_has_a_line(say: Say) -> None:
    head = "study small: of 6 runs {} would be trained again, 4 are not trained yet, {} are up to date\n"
    assert say("why") == head.format(0, 2)
    edit("learning_rate: 0.01}", "learning_rate: 0.02, precision: bf16}")
    changes = 'recipe.learning_rate: 0.01 → 0.02; recipe.precision: "fp32" → "bf16"'
    superior = "its superior model (net, Baseline, same seed) would be trained again"
    assert say("why") == head.format(2, 0) + f"{DONE}: {changes}\n{TRAINED}: {changes}; {superior}\n"


def test_a_run_that_nothing_needs_is_said_to_be_one(say: Say) -> None:
    lines = say("why", WAITING.replace("seed1", "seed7")).splitlines()
    assert lines[1:3] == [
        "    seed 7 is none of the study's, which has 0, 1",
        "    it has not been trained yet",
    ]
    other = "digits/net/cskd/weight=3/seed1"
    assert say("why", other).splitlines()[1] == (
        f"    no table or figure of the study needs it; of this method on these data it needs {WAITING}"
    )


def test_nothing_has_changed(say: Say) -> None:
    assert say("why", DONE).startswith(f"{DONE}: up to date\n\nSnakemake goes by records of its own;")
    text = say("why", TRAINED)
    assert text.startswith(
        f"{TRAINED}: up to date\n    missing: predictions.safetensors, metrics.json; where"
    )


def test_every_changed_setting_is_named_from_what_to_what(say: Say) -> None:
    edit("learning_rate: 0.01}", "learning_rate: 0.02, precision: bf16}\naugmentations: {}")
    assert say("why", DONE).splitlines()[:3] == [
        f"{DONE}: would be trained again",
        "    recipe.learning_rate: 0.01 → 0.02",
        '    recipe.precision: "fp32" → "bf16"',
    ]
    assert say("why", TRAINED).splitlines()[3] == (
        "    its superior model (net, Baseline, same seed) would be trained again"
    )


def test_a_setting_of_another_version_is_named(
    say: Say, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setattr("aikd.study.resolve.RECIPE_VERSION", 1000)
    path = project / f"results/small/runs/{DONE}/train.json"
    summary = json.loads(path.read_text())
    summary["settings"]["recipe"]["old"] = 1
    del summary["settings"]["recipe"]["momentum"]
    path.write_text(json.dumps(summary))
    lines = say("why", DONE).splitlines()[1:4]
    assert lines == [
        "    recipe_version: 1 → 1000 (the mathematics of training has changed)",
        "    recipe.old: 1 → nothing",
        "    recipe.momentum: nothing → 0.9",
    ]


def test_other_data_are_named_and_missing_ones_too(say: Say, project: Path) -> None:
    manifest = f"data/{DIGITS}/manifest.json"
    images(project / "data" / DIGITS, 1)
    assert re.search(rf"^    the data: \w{{16}}… → \w{{16}}… \({manifest}\)$", say("why", DONE), re.M)
    (project / manifest).unlink()
    text = say("why", DONE)
    assert text.startswith(f"{DONE}: up to date\n    {manifest} is not there or damaged: whether")


def test_another_superior_model_is_named(say: Say, project: Path) -> None:
    path = project / f"results/small/runs/{DONE}/train.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"model": "f" * 64}))
    assert re.search(
        r"^    its superior model \(net, Baseline, same seed\): \w{16}… → f{16}…$", say("why", TRAINED), re.M
    )
    path.unlink()
    shutil.rmtree(path.parent)
    assert "    its superior model (net, Baseline, same seed) is not there" in say("why", TRAINED)


def test_missing_files_are_named(say: Say, project: Path) -> None:
    folder = project / f"results/small/runs/{DONE}"
    (folder / "model.safetensors").unlink()
    text = say("why", DONE)
    assert text.startswith(f"{DONE}: up to date\n    missing: model.safetensors; made again only where")
    (folder / "train.json").unlink()  # as Snakemake leaves it of a training that it began anew
    assert say("why", DONE).startswith(
        f"{DONE}: would be trained again\n    missing: model.safetensors, train.json"
    )
    (project / f"results/small/runs/{TRAINED}/history.csv").unlink()
    assert "    missing: history.csv\n" in say("why", TRAINED)
    (project / f"results/small/runs/{TRAINED}/train.json").write_text("{")
    assert "train.json: not readable JSON" in say("why", TRAINED)


def test_a_run_that_was_not_trained_says_what_became_of_it(say: Say) -> None:
    assert say("why", WAITING).startswith(f"{WAITING}: would be trained\n    it has not been trained yet\n\n")
    assert re.search(
        rf"^{FAILED}: would be trained\n    .*\n    failed after epoch 0 of 4: {FAILED}: \w+ is nan",
        say("why", FAILED),
    )
    assert re.search(
        r"\n    interrupted after epoch [23] of 4: process \d+ on \S+ is gone", say("why", KILLED)
    )


def test_runs_of_a_target_are_grouped_by_their_reasons(say: Say) -> None:
    text = say("why", "all")
    head = "all: of 6 runs 0 would be trained again, 4 are not trained yet, 2 are up to date"
    assert text.startswith(f"{head}\n\nit has not been trained yet\n")
    assert len(re.findall("^    digits/", text.partition("missing: ")[0], re.M)) == 4
    edit("seeds: [0, 1]", "seeds: [0, 1, 2, 3]")
    assert "    and 7 more (--all names them)" in say("why", "all")
    assert len(re.findall("^    digits/", say("why", "all", "--all"), re.M)) == 10 + 1


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("table_9", 'target: found "table_9"'),
        ("digits/net", "expected DATASET/MODEL/METHOD"),
        ("digits/other/baseline/seed0", "other"),
    ],
)
def test_what_is_not_in_the_study_is_one_message(
    capsys: pytest.CaptureFixture[str], what: str, words: str
) -> None:
    assert main(["why", what, "--study", "study.yaml"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
