import io
import math
import statistics

import pandas as pd
import pytest

from aikd.errors import UserError
from aikd.results.aggregate import all_runs, costs, seeds_text, summarise, write_all_runs
from aikd.study.specs import Cell

SEEDS = tuple(f"digits/preact_resnet18/pskd/seed{seed}" for seed in range(3))


def test_summary_is_mean_and_sample_standard_deviation(folder):
    values = [21.5, 20.25, 23.125]
    for run, value in zip(SEEDS, values, strict=True):
        folder.metrics(run, ece=value)
    summary = summarise(Cell("ece", SEEDS), folder.results)
    assert summary.mean == pytest.approx(statistics.mean(values))
    assert summary.std == pytest.approx(statistics.stdev(values))
    assert summary.n == 3


def test_one_seed_has_no_standard_deviation(folder):
    folder.metrics(SEEDS[1], ece=5.0)
    summary = summarise(Cell("ece", SEEDS), folder.results)
    assert (summary.mean, summary.n) == (5.0, 1)
    assert math.isnan(summary.std)


def test_no_seed_is_no_summary(folder):
    assert summarise(Cell("ece", SEEDS), folder.results) is None


def test_scheme_chooses_the_calibrated_metric(folder):
    folder.metrics(SEEDS[0], ece=9.0, ece_crossfit=1.5, ece_oracle=1.0)
    assert summarise(Cell("ece", SEEDS, "crossfit"), folder.results).mean == 1.5
    assert summarise(Cell("ece", SEEDS, "oracle"), folder.results).mean == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable JSON"),
        ("[1]", "expected a JSON object"),
        ({"metrics": {"ece": 1.0}}, f"is of the run None, not of {SEEDS[0]}"),
        ({"run": SEEDS[1], "metrics": {"ece": 1.0}}, f"is of the run {SEEDS[1]}, not of {SEEDS[0]}"),
        ({"run": SEEDS[0]}, "metrics is missing"),
        ({"run": SEEDS[0], "metrics": {"f1": 0.5}}, "metrics.ece is missing; found f1"),
        ({"run": SEEDS[0], "metrics": {"ece": None}}, "metrics.ece must be a finite number"),
        ({"run": SEEDS[0], "metrics": {"ece": True}}, "metrics.ece must be a finite number"),
        ({"run": SEEDS[0], "metrics": {"ece": math.nan}}, "metrics.ece must be a finite number"),
    ],
)
def test_broken_metrics_are_an_error_that_names_the_file(folder, content, message):
    path = folder.write(folder.results / "runs" / SEEDS[0] / "metrics.json", content)
    with pytest.raises(UserError) as raised:
        summarise(Cell("ece", SEEDS), folder.results)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize("value", ["x", math.nan, True, None])
def test_a_metric_that_is_no_number_is_no_row_of_all_runs(folder, value):
    path = folder.metrics(SEEDS[0], ece=value)
    folder.train(SEEDS[0])
    with pytest.raises(UserError, match=r"metrics\.ece must be a finite number") as raised:
        all_runs(folder.results, SEEDS[:1])
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("counts", "planned", "text"),
    [
        ([3, 3], 3, "n = 3 seeds"),
        ([2], 3, "n = 2 of 3 seeds"),
        ([3, 1, 2], 3, "n = 1–3 of 3 seeds"),
        ([1], 1, "n = 1 seed"),
    ],
)
def test_number_of_seeds_in_words(counts, planned, text):
    assert seeds_text(counts, planned) == text


def test_all_runs_has_one_row_a_run_in_the_order_given(folder):
    runs = ["digits/preact_resnet18/aikd/omega=0.25,tau_g=2/cutout/seed1", SEEDS[2], SEEDS[0]]
    folder.metrics(runs[0], top1_error=1 / 3, nll=0.1)
    folder.train(runs[0])
    folder.metrics(runs[1], top1_error=2.0, ece_oracle=7.0)
    frame = all_runs(folder.results, runs)
    assert list(frame["run"]) == runs
    first = frame.iloc[0]
    assert (first["method"], first["settings"]) == ("aikd", "omega=0.25,tau_g=2")
    assert (first["augmentation"], first["seed"]) == ("cutout", 1)
    assert (first["top1_error"], first["images"]) == (1 / 3, 4)
    assert (first["best_epoch"], first["best_test_error"], first["final_train_error"]) == (288, 20.5, 0.5)
    assert pd.isna(frame["ece_oracle"][0])
    assert frame["ece_oracle"][1] == 7.0
    assert frame.iloc[2][["images", "top1_error", "epochs"]].isna().all()


def test_csv_of_runs_keeps_every_digit(folder):
    folder.metrics(SEEDS[0], top1_error=0.1 + 0.2, nll=1 / 3)
    folder.train(SEEDS[0], final={"train_error": 1e-17, "test_error": 21.0})
    frame = all_runs(folder.results, SEEDS[:2])
    write_all_runs(folder.results, SEEDS[:2], folder.out)
    stored = (folder.out / "all_runs.csv").read_bytes()
    assert b"\r" not in stored
    again = pd.read_csv(io.BytesIO(stored))
    assert again["top1_error"][0] == 0.1 + 0.2
    assert again["nll"][0] == 1 / 3
    assert again["final_train_error"][0] == 1e-17
    assert list(again.columns) == list(frame.columns)
    assert b",11217444," in stored


def test_what_never_comes_out_twice_stands_in_the_costs_alone(folder):
    for seconds, run in enumerate(SEEDS, 1):
        folder.metrics(run, ece=1.0)
        folder.train(run, seconds=seconds)
    write_all_runs(folder.results, SEEDS, folder.out)
    before = (folder.out / "all_runs.csv").read_bytes()
    elsewhere = {"device": "GPU", "threads": 8, "revision": "abc+changes", "images_per_second": 1.5}
    memory, versions = {"host_mb": 1, "device_mb": 7}, {"python": "3.14.1", "torch": "5.0a"}
    folder.train(SEEDS[1], seconds=1e-17, peak_memory=memory, versions=versions, **elsewhere)
    write_all_runs(folder.results, SEEDS, folder.out)
    assert (folder.out / "all_runs.csv").read_bytes() == before
    stored = pd.read_csv(folder.out / "costs.csv")
    assert list(stored["run"]) == list(SEEDS)
    assert list(stored["seconds"]) == [1, 1e-17, 3]
    expected = elsewhere | {"memory_mb": 1, "device_memory_mb": 7, "python": "3.14.1", "torch": "5.0a"}
    assert stored.loc[1, list(expected)].to_dict() == expected
    assert stored["device_memory_mb"].isna().tolist() == [True, False, True]
    assert b",512," in (folder.out / "costs.csv").read_bytes()


def test_costs_of_a_run_that_did_not_note_them_are_missing(folder):
    folder.write(
        folder.results / "runs" / SEEDS[0] / "train.json", {"run": SEEDS[0], "seconds": 3, "versions": None}
    )
    frame = costs(folder.results, SEEDS[:2])
    assert frame["seconds"].tolist()[0] == 3
    assert frame.drop(columns=["run", "seconds"]).isna().all(axis=None)
    assert frame["seconds"].isna().tolist() == [False, True]


def test_broken_training_summary_is_an_error_that_names_the_file(folder):
    folder.metrics(SEEDS[0], ece=1.0)
    path = folder.train(SEEDS[0], best={})
    with pytest.raises(UserError, match=r"best\.epoch is missing") as raised:
        all_runs(folder.results, SEEDS)
    assert str(path) in str(raised.value)
