"""Where a run stands, by the files that it left."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aikd.progress import Progress, settings_digest
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.status.runs import Standing, stand
from tests.study.status.conftest import NOW, OWN, progress

RUN = "digits/preact_resnet18/baseline/seed0"
LOG = f"logs/train/{RUN}.log"


@pytest.fixture
def settings(demo: Study) -> dict[str, Any]:
    return resolve(demo, Run.from_path(RUN))


def put(results: Path, name: str, content: Any) -> Path:
    path = results / name if name.startswith("logs/") else results / "runs" / RUN / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Progress):
        content = content.model_dump_json()
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def trained(results: Path, settings: dict[str, Any], model: str = "a") -> None:
    put(results, "model.safetensors", "")
    put(
        results,
        "train.json",
        {"settings": settings, "model": model, "seconds": 60.0, "images_per_second": 7.0},
    )


def look(results: Path, settings: dict[str, Any], **options: Any) -> Standing:
    return stand(results, settings, **{"now": NOW} | options)


def test_a_run_of_which_there_is_nothing_waits(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert look(tmp_path, settings) == Standing(RUN, "waiting", "not begun", 10)


def test_a_run_is_trained_and_then_done(tmp_path: Path, settings: dict[str, Any]) -> None:
    trained(tmp_path, settings)
    assert look(tmp_path, settings).state == "trained"
    put(tmp_path, "metrics.json", {"model": "the one before"})
    assert look(tmp_path, settings).state == "trained"
    put(tmp_path, "metrics.json", {"model": "a"})
    found = look(tmp_path, settings)
    assert (found.state, found.epoch, found.whole, found.images_per_second) == ("done", 10, 60.0, 7.0)
    (tmp_path / "runs" / RUN / "model.safetensors").unlink()  # for its room
    assert look(tmp_path, settings).state == "done"


def test_what_jobs_took_beside_training_is_known_of_runs_done_in_one_go(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    trained(tmp_path, settings)
    put(tmp_path, "metrics.json", {"model": "a"})
    assert look(tmp_path, settings).around is None
    for rule, seconds in (("train", 62.5), ("predict", 1.25), ("calibrate", 2.0)):
        path = tmp_path / "benchmarks" / rule / f"{RUN}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"s": seconds, "h:m:s": "0:01:00"}) + "\n")
    assert look(tmp_path, settings).around == 5.75  # 2.5 s to start, as training took 60, and the two others
    summary = {"settings": settings, "model": "a", "seconds": 60.0}
    put(tmp_path, "train.json", summary | {"resumed_at": [3]})
    assert look(tmp_path, settings).around is None
    put(tmp_path, "train.json", summary | {"seconds": 70.0})  # trained again by hand
    assert look(tmp_path, settings).around is None
    put(tmp_path, "train.json", summary)
    for damage in ("", "{", "[]", '{"s": null}'):
        path.write_text(damage)
        assert look(tmp_path, settings).around is None


def test_results_of_other_settings_are_none(tmp_path: Path, settings: dict[str, Any]) -> None:
    trained(tmp_path, settings | {"seed": 7})
    found = look(tmp_path, settings)
    assert (found.state, found.how) == ("waiting", "trained with other settings: seed was 7, now it is 0")


def test_a_run_that_is_trained_once_more_runs(tmp_path: Path, settings: dict[str, Any]) -> None:
    trained(tmp_path, settings)
    put(tmp_path, "metrics.json", {"model": "a"})
    put(tmp_path, ".progress.json", progress(settings=settings_digest(settings)))
    found = look(tmp_path, settings)
    assert (found.state, found.how, found.left) == ("running", "wrote 5 s ago", 67.5)
    assert (found.epoch, found.epochs, found.step, found.steps, found.images_per_second) == (
        3,
        10,
        5,
        20,
        100.0,
    )
    put(tmp_path, ".progress.json", progress(process=OWN.model_copy(update={"born": "1"})))
    assert look(tmp_path, settings).state == "done"  # killed after its results were written, or by hand


def test_a_run_in_training_says_what_it_does_and_whether_it_is_what_the_study_wants(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    put(tmp_path, ".progress.json", progress(doing="waits for a GPU"))
    how = look(tmp_path, settings).how
    assert how == "waits for a GPU; wrote 5 s ago; with other settings than the study's now (`aikd why`)"


def test_a_run_that_moved_between_two_looks_runs(tmp_path: Path, settings: dict[str, Any]) -> None:
    put(tmp_path, ".progress.json", progress(3600))
    assert look(tmp_path, settings).state == "interrupted"
    assert look(tmp_path, settings, before=NOW - 3600).state == "interrupted"
    assert look(tmp_path, settings, before=NOW - 3700).state == "running"


def test_of_a_run_that_was_killed_the_saved_epochs_count(tmp_path: Path, settings: dict[str, Any]) -> None:
    gone = OWN.model_copy(update={"born": "1"})
    put(tmp_path, ".progress.json", progress(process=gone, settings=settings_digest(settings)))
    for epoch in (1, 2):
        put(tmp_path, f".state/epoch-{epoch:04}.safetensors", "")
    found = look(tmp_path, settings)
    assert (found.state, found.epoch, found.left, found.log, found.error) == (
        "interrupted",
        2,
        None,
        None,
        None,
    )
    # It was after 3.25 of 10 epochs, and 67.5 s before the end.
    assert found.whole == pytest.approx(100)
    log = put(tmp_path, LOG, "epoch 3/10\n")
    assert (look(tmp_path, settings).log, look(tmp_path, settings).error) == (str(log), None)


def test_of_a_run_that_found_no_room_for_its_last_words_the_log_has_them(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    put(tmp_path, ".progress.json", progress(process=OWN.model_copy(update={"born": "1"})))
    log = put(tmp_path, LOG, "aikd train: model: no room, the disk is full\n")
    found = look(tmp_path, settings)
    assert (found.state, found.error, found.how) == (
        "failed",
        "model: no room, the disk is full",
        "its log ends so",
    )
    os.utime(log, (1, 1))  # of an attempt before
    assert (look(tmp_path, settings).state, look(tmp_path, settings).error) == ("interrupted", None)


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_an_attempt_that_ended_left_its_last_words(
    tmp_path: Path, settings: dict[str, Any], state: str
) -> None:
    put(tmp_path, ".progress.json", progress(9e6, state=state, doing="No room."))
    found = look(tmp_path, settings)
    assert (found.state, found.error, found.how) == (state, "No room.", ".progress.json says so")


@pytest.mark.parametrize(
    ("log", "state", "error"),
    [
        ("aikd train: data/x: no such file\n\n", "failed", "data/x: no such file"),
        ("a: 7 images\naikd train: a: interrupted after 3\n", "interrupted", "a: interrupted after 3"),
        ("Traceback (most recent call last):\n  File\nImportError: torch\n", "failed", "ImportError: torch"),
        ("epoch 1/10  loss 1\n", "waiting", None),
        ("", "waiting", None),
    ],
)  # fmt: skip
def test_without_progress_the_end_of_the_log_tells(
    tmp_path: Path, settings: dict[str, Any], log: str, state: str, error: str | None
) -> None:
    put(tmp_path, LOG, log)
    found = look(tmp_path, settings)
    assert (found.state, found.error) == (state, error)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"run": 1}', "\x00"])
def test_progress_that_cannot_be_understood_is_none(
    tmp_path: Path, settings: dict[str, Any], damage: str
) -> None:
    put(tmp_path, ".progress.json", damage)
    assert look(tmp_path, settings).state == "waiting"
    put(tmp_path, ".state/epoch-0004.safetensors", "")
    assert (look(tmp_path, settings).state, look(tmp_path, settings).epoch) == ("interrupted", 4)


@pytest.mark.parametrize("command", ["predict", "calibrate"])
def test_a_run_that_cannot_be_predicted_with_failed(
    tmp_path: Path, settings: dict[str, Any], command: str
) -> None:
    log = put(tmp_path, f"logs/{command}/{RUN}.log", f"aikd {command}: damaged\n")
    trained(tmp_path, settings)
    os.utime(log, (1, 1))  # of the training before
    assert look(tmp_path, settings).state == "trained"
    os.utime(log)
    found = look(tmp_path, settings)
    assert (found.state, found.error, found.log) == ("failed", "damaged", str(log))
